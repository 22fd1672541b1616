//! RESP: the Redis protocol over TCP, in front of the keyspaces.
//!
//! One task a connection (`connection.rs`): bytes are decoded by `forebay-wire`, commands carried out one after the other
//! (`execute.rs`) as far as the client may (`rights.rs`), and replies written in the order of the requests. A connection's state is in `session.rs`. What a command does to
//! values is a function of them (`values`); where they come from and go is in `data.rs`.

mod begun;
mod buffers;
mod cached;
mod client;
mod clients;
mod connection;
mod counted;
mod data;
mod execute;
mod freshness;
mod hit;
mod inbox;
mod info;
mod jobs;
mod keyspace;
mod limited;
mod monitor;
mod operators;
mod pubsub;
mod refuse;
mod replies;
mod rights;
#[cfg(test)]
mod served;
mod server;
mod session;
mod slowlog;
mod tracking;
mod transaction;
mod values;
mod walk;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use forebay::Forebay;
use forebay::rt::{Clock, Mutex, Tick};
use tokio::net::TcpListener;

use self::clients::Clients;
use self::info::Counted;
use self::monitor::Monitors;
use self::pubsub::Channels;
use self::tracking::Tracking;
use self::walk::Walks;
use self::watch::Watches;
use crate::access::Door;
use crate::configuration::Server;
use crate::connections::{self, Places, Refused};
use crate::jobs::Jobs;
use crate::keyspaces::Keyspaces;
use crate::observe::commands::Commands;
use crate::observe::slow::SlowLog;
use crate::reloads::Reloads;
use crate::stop::Stop;
use crate::time;
use crate::tls::{self, Protocol, Tls};
use crate::warming::AskedWarmings;

/// What is sent to who finds no place; Redis' words.
const NO_PLACE: &[u8] = b"-ERR max number of clients reached\r\n";

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Service {
    /// Where tokens are shown.
    door: Door,
    places: Arc<Places>,
    keyspaces: Keyspaces,
    channels: Arc<Channels>,
    monitors: Arc<Monitors>,
    /// What waits for all connections.
    waiting: inbox::Total,
    /// Who is told when what he has read is of no use any more.
    tracking: Arc<Tracking>,
    /// Keys that connections watch.
    watches: Arc<Watches>,
    /// What had been counted when counting began anew.
    counted_before: Mutex<Counted>,
    /// Connections that found no place.
    refused: Refused,
    copy_counts: counted::CopyCounts,
    /// The budget of memory, in bytes.
    memory_bytes: u64,
    clock: Clock,
    started: Tick,
    /// Where clients' scans are.
    walks: Walks,
    next_connection: AtomicI64,
    clients: Arc<Clients>,
    commands: AtomicU64,
    /// The same by command, and how long they took.
    asked: Commands,
    slow: SlowLog,
    /// Where clients ask that declarations are read again.
    reloads: Reloads,
    /// What operators have had warmed.
    warmings: AskedWarmings,
    /// What is done by the clock.
    jobs: Jobs,
}

impl Service {
    pub(crate) fn new(
        door: Door,
        places: Arc<Places>,
        keyspaces: Keyspaces,
        jobs: Jobs,
        memory_bytes: u64,
        engine: Forebay,
    ) -> Self {
        let clock = engine.clock().clone();
        let started = clock.now();
        Self {
            door,
            places,
            keyspaces,
            clients: Arc::new(Clients::new(clock.clone())),
            channels: Arc::default(),
            monitors: Arc::default(),
            waiting: inbox::Total::default(),
            tracking: Arc::new(Tracking::new(engine)),
            watches: Arc::default(),
            counted_before: Mutex::default(),
            refused: Refused::default(),
            copy_counts: counted::CopyCounts::default(),
            memory_bytes,
            clock,
            started,
            walks: Walks::default(),
            next_connection: AtomicI64::new(1),
            commands: AtomicU64::new(0),
            asked: Commands::default(),
            slow: SlowLog::new(Server::default().slow),
            reloads: Reloads::default(),
            warmings: AskedWarmings::default(),
            jobs,
        }
    }

    /// The same, for which slow is what takes so long, or longer.
    pub(crate) fn slow_after(self, span: Duration) -> Self {
        Self { slow: SlowLog::new(span), ..self }
    }

    /// The same, whose clients ask for reloads at `reloads`.
    pub(crate) fn reloaded_by(self, reloads: Reloads) -> Self {
        Self { reloads, ..self }
    }

    /// What was slow.
    pub(crate) fn slow(&self) -> &SlowLog {
        &self.slow
    }

    /// What clients have asked for.
    pub(crate) fn asked(&self) -> &Commands {
        &self.asked
    }

    /// How many connections found no place.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.now()
    }

    /// How many connections are open, and how many have been.
    pub(crate) fn connections(&self) -> (u64, u64) {
        let open = u64::try_from(self.clients.len()).unwrap_or(u64::MAX);
        let all = self.next_connection.load(Ordering::Relaxed).saturating_sub(1);
        (open, u64::try_from(all).unwrap_or_default())
    }
}

/// What is sent to who does not begin a handshake where one is due.
const NO_TLS: &[u8] = b"-ERR this port speaks TLS: connect to it as rediss://, or with --tls\r\n";

/// Accepts connections until it is told to stop, then waits for those that are open. They are within `tls` where there is one.
pub(crate) async fn serve(listener: TcpListener, tls: Option<Tls>, service: Arc<Service>, stop: Stop) {
    let places = Arc::clone(&service.places);
    let no_place = if tls.is_some() { tls::NO_PLACE } else { NO_PLACE };
    let connection = |stream, peer| {
        let (service, mut stop, tls) = (Arc::clone(&service), stop.clone(), tls.clone());
        async move {
            let ended = match tls {
                None => Box::pin(connection::run(stream, &service, stop)).await,
                Some(tls) => {
                    let greeted = tls.greet(stream, Protocol::Resp, || NO_TLS.into(), &mut stop);
                    let Some(stream) = Box::pin(greeted).await else { return };
                    Box::pin(connection::run_secure(stream, &service, stop)).await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%peer, %error, "connection lost");
            }
        }
    };
    let clock = &service.clock;
    let accepting = connections::accept(
        listener,
        &places,
        (|| no_place.into(), &service.refused),
        clock,
        stop.clone(),
        connection,
    );
    tokio::join!(accepting, service.tracking.look_after(service.keyspaces.view(), stop.clone()));
}

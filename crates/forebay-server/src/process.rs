//! The process: listeners that open when everything behind them is ready, and close before it goes.
//!
//! Addresses are taken first, so that a busy port is told before any work is done; connections are accepted last. On the
//! way out no new connection is accepted, requests under way are answered, and what takes longer than ten seconds is cut.
//! What is served can be exchanged meanwhile (`process/reload.rs`).

mod reload;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::middleware::from_fn_with_state;
use forebay::Forebay;
use forebay::rt::{Clock, Tasks};
use tokio::net::{TcpListener, TcpSocket};

pub use self::reload::{ReloadError, Reloaded};
use crate::access::{self, Door};
use crate::app::{App, AtStop, Progress};
use crate::assembly::{self, Assembled, Assembly, AssemblyError, Surroundings};
use crate::configuration::{Deployment, Server};
use crate::connections::Places;
use crate::disks::{Disks, Mark};
use crate::http::Hits;
use crate::http::bodies::{self, Budget};
use crate::jobs::{self, Jobs};
use crate::keyspaces::Keyspaces;
use crate::observe::{self, Observed};
use crate::panics;
use crate::reloads::{AskedReloads, Reloads};
use crate::stop::{self, Stop, StopSender};
use crate::time::{Clocks, WallClock};
use crate::tls::{Certificate, Tls, TlsError};
use crate::warming::Warmer;
use crate::{http, resp, waiting_writes};

/// The longest that requests under way are waited for when the process ends.
const DRAIN: Duration = Duration::from_secs(10);
/// The longest that the last work of an app is waited for.
const AT_STOP: Duration = Duration::from_secs(5);
/// The longest that what is under way without a client is waited for after that.
const LAST_WRITES: Duration = Duration::from_secs(2);
/// Connections that the system holds until they are accepted.
const BACKLOG: u32 = 1024;

/// Why the process did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address} for {protocol}: {source}; stop what uses it or say another in [server] {option}"
    )]
    Listen {
        /// `HTTP` or `RESP`.
        protocol: &'static str,
        /// The option of `[server]`.
        option: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's own words.
        source: std::io::Error,
    },
    /// Anybody could come, and nobody would be asked who it is.
    #[error(
        "[server] {option} is not a loopback address, and no tokens are declared: `forebay token new` makes one and its lines"
    )]
    Exposed {
        /// The option of `[server]`.
        option: &'static str,
    },
    /// Connections cannot be made secure as declared.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// What is declared cannot be served.
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    /// There is no runtime to serve on.
    #[error(transparent)]
    Engine(#[from] forebay::Error),
}

/// A process that serves.
#[derive(Debug)]
pub struct Process {
    /// Where HTTP is served.
    pub http: SocketAddr,
    /// Where RESP is served.
    pub resp: SocketAddr,
    /// The apps' lines for the start-up message.
    pub notes: Vec<String>,
    /// What is in service.
    deployment: Deployment,
    assembled: Vec<Assembled>,
    keyspaces: Keyspaces,
    door: Door,
    /// What both listeners speak in; nothing where they do without.
    tls: Option<Tls>,
    stop: StopSender,
    listeners: Tasks,
    warmer: Warmer,
    jobs: Jobs,
    clocks: Clocks,
    /// What apps and bounds have raised.
    alarms: observe::Board,
    engine: Forebay,
    disks: Disks,
    /// What was open before a reload that has not ended, or was given up.
    unused_since: Option<Mark>,
    apps: Vec<App>,
    /// The apps' tasks, which end with the process.
    app_tasks: Tasks,
    /// What the apps do last.
    at_stop: Vec<AtStop>,
    reloads: Reloads,
}

/// Starts serving `deployment` with `apps`; both ports are open when this returns.
///
/// # Errors
/// The first thing that keeps it from serving; nothing is left listening then.
pub async fn start(
    deployment: &Deployment,
    apps: &[App],
    progress: Arc<dyn Progress>,
) -> Result<Process, StartError> {
    start_by(deployment, apps, progress, Clock::system(), WallClock::system()).await
}

/// Like [`start`], with TTLs, time-outs and pauses measured by `clock`, and the schedules of jobs and what rows
/// say of their ends by `wall`.
///
/// # Errors
/// As [`start`].
pub async fn start_by(
    deployment: &Deployment,
    apps: &[App],
    progress: Arc<dyn Progress>,
    clock: Clock,
    wall: WallClock,
) -> Result<Process, StartError> {
    let (server, tls) = (&deployment.server, secured(deployment, &clock).await?);
    let clocks = Clocks { engine: clock, wall };
    let http = take(server.http, "HTTP", "http")?;
    let resp = take(server.resp, "RESP", "resp")?;
    let tasks = || Tasks::current().ok_or(forebay::Error::NoRuntime);
    let (app_tasks, listeners, warm_tasks) = (tasks()?, tasks()?, tasks()?);
    let surroundings = Surroundings::new(app_tasks.clone(), progress);
    let Assembly { keyspaces: assembled, engine, disks, routes, notes, at_stop, alarms } =
        Box::pin(assembly::assemble(deployment, apps, &surroundings, clocks.clone())).await?;
    let (stop, stopped) = stop::channel();
    let (http, resp) = match open_both(http, resp, server) {
        Ok(opened) => opened,
        Err(error) => {
            drop((app_tasks, surroundings, assembled, routes, engine));
            disks.close().await;
            return Err(error);
        }
    };
    let at = (address(&http, server.http), address(&resp, server.resp));
    let warmer = Warmer::start(engine.clock(), warm_tasks);
    warmer.follow(&assembled);
    let jobs = jobs::of(deployment, &assembled, &engine, apps, &alarms);
    let served = reload::in_service(deployment, &assembled, &disks, jobs);
    let keyspaces = surroundings.keyspaces;
    keyspaces.swap(served.with_days_of(&clocks.wall));
    let jobs = Jobs::new(keyspaces.clone(), engine.clock().clone(), clocks.wall.clone(), stopped.clone());
    let (door, reloads) = (Door::new(&deployment.tokens), Reloads::default());
    let front = Front {
        deployment,
        engine: &engine,
        keyspaces: &keyspaces,
        door: &door,
        tls: tls.as_ref(),
        reloads: reloads.clone(),
        jobs: &jobs,
        alarms: alarms.clone(),
    };
    front.serve((http, resp), routes, &listeners, &stopped).await;
    log_addresses(at.0, at.1, tls.is_some());
    Ok(Process {
        http: at.0,
        resp: at.1,
        notes,
        deployment: deployment.clone(),
        assembled,
        keyspaces,
        door,
        tls,
        stop,
        listeners,
        warmer,
        jobs,
        clocks,
        alarms,
        engine,
        disks,
        unused_since: None,
        apps: apps.to_vec(),
        app_tasks,
        at_stop,
        reloads,
    })
}

/// What connections are within, where they are to be; whoever others can reach asks for tokens.
async fn secured(deployment: &Deployment, clock: &Clock) -> Result<Option<Tls>, StartError> {
    let server = &deployment.server;
    if let (Some(option), true) = (server.exposed().next(), deployment.tokens.is_empty()) {
        return Err(StartError::Exposed { option });
    }
    Ok(match &server.tls {
        Some(declared) => Some(Tls::new(Certificate::read(declared).await?, clock.clone())),
        None => None,
    })
}

fn log_addresses(http: SocketAddr, resp: SocketAddr, is_secure: bool) {
    match is_secure {
        true => {
            tracing::info!(http = %format_args!("https://{http}"), resp = %format_args!("rediss://{resp}"), "serving");
        }
        false => tracing::info!(%http, %resp, "serving"),
    }
}

/// What both listeners serve.
struct Front<'s> {
    deployment: &'s Deployment,
    engine: &'s Forebay,
    keyspaces: &'s Keyspaces,
    door: &'s Door,
    tls: Option<&'s Tls>,
    reloads: Reloads,
    jobs: &'s Jobs,
    alarms: observe::Board,
}

impl Front<'_> {
    /// Accepts connections for HTTP, where apps have `routes` beside our own, and for RESP, as tasks of `listeners`. Before that it knows
    /// what its jobs have done.
    async fn serve(
        self,
        (http, resp): (TcpListener, TcpListener),
        routes: axum::Router,
        listeners: &Tasks,
        stopped: &Stop,
    ) {
        let Self { deployment, engine, keyspaces, door, tls, reloads, jobs, alarms } = self;
        let server = &deployment.server;
        let clock = engine.clock().clone();
        jobs.learn().await;
        listeners.spawn(waiting_writes::look_after(keyspaces.clone(), clock.clone(), stopped.clone()));
        listeners.spawn(jobs.clone().look_after());
        let places = Places::new(server.connections, server.connections_per_address);
        let service = resp::Service::new(
            door.clone(),
            Arc::clone(&places),
            keyspaces.clone(),
            jobs.clone(),
            deployment.memory.budget_bytes,
            engine.clone(),
        );
        let service = Arc::new(service.slow_after(server.slow).reloaded_by(reloads));
        let observed = Observed::new(
            engine.clone(),
            Arc::clone(&service),
            keyspaces.clone(),
            jobs.clone(),
            alarms,
            stopped.clone(),
        );
        let observed = Arc::new(observed);
        let counted = observed.http_connections();
        listeners.spawn(observe::watch(Arc::clone(&observed), stopped.clone()));
        listeners.spawn(observe::watch_alarms(Arc::clone(&observed), stopped.clone()));
        let values = http::Served::new(keyspaces.clone(), engine.clone());
        let hits = Hits::new(Arc::clone(&values), door.clone(), Arc::clone(&observed));
        let router = http::router(values).merge(http::of_apps(routes));
        // Judged first, and again as the body comes, so that who may not send one takes nothing of what all bodies have.
        let budget = Budget::new(server.bodies_bytes);
        let router =
            router.merge(observe::routes(&observed)).layer(from_fn_with_state(budget, bodies::within));
        let router = access::http::guard(router, door.clone());
        let router = router.layer(from_fn_with_state(observed, observe::observe));
        let front = http::Front { router, hits: Arc::new(hits) };
        listeners.spawn(http::serve(http, tls.cloned(), front, places, counted, clock, stopped.clone()));
        listeners.spawn(resp::serve(resp, tls.cloned(), service, stopped.clone()));
    }
}

impl Process {
    /// Whether both listeners speak TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// The reloads that clients ask for from now on, as by `FB.RELOAD`. Where nobody takes them, who asks is told that there are none.
    #[must_use]
    pub fn asked_reloads(&self) -> AskedReloads {
        self.reloads.listen()
    }

    /// Stops accepting, waits for requests and jobs under way, at most ten seconds, lets the apps do what they have still to do
    /// ([`Running::at_stop`](crate::app::Running::at_stop)), writes down which keys were read most, closes the disks, and ends; whether all were answered.
    pub async fn stop(self) -> bool {
        let Self {
            stop,
            listeners,
            warmer,
            jobs,
            engine,
            disks,
            app_tasks,
            at_stop,
            assembled,
            keyspaces,
            ..
        } = self;
        stop.stop();
        let clock = engine.clock().clone();
        let drained = clock.timeout(DRAIN, listeners.idle()).await.is_ok();
        drop(listeners);
        jobs.interrupt().await;
        for last in at_stop {
            let done = clock.timeout(AT_STOP, panics::caught(last.done())).await;
            if !matches!(done, Ok(Ok(()))) {
                tracing::warn!(
                    "an app has not done, or not in time, what it does when the process is stopped"
                );
            }
        }
        warmer.remember().await;
        drop((warmer, jobs, app_tasks, assembled, keyspaces));
        if !disks.is_empty() {
            // Writes whose clients have gone away get a moment too, before their disk is closed.
            let _ = clock.timeout(LAST_WRITES, engine.idle()).await;
        }
        drop(engine);
        disks.close().await;
        tracing::info!(drained, "stopped");
        drained
    }
}

/// Takes an address without accepting connections on it yet.
fn take(address: SocketAddr, protocol: &'static str, option: &'static str) -> Result<TcpSocket, StartError> {
    let socket = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    socket().map_err(|source| StartError::Listen { protocol, option, address, source })
}

/// Both ports, or neither.
fn open_both(
    http: TcpSocket,
    resp: TcpSocket,
    server: &Server,
) -> Result<(TcpListener, TcpListener), StartError> {
    let http = open(http, server.http, "HTTP", "http")?;
    Ok((http, open(resp, server.resp, "RESP", "resp")?))
}

fn open(
    socket: TcpSocket,
    address: SocketAddr,
    protocol: &'static str,
    option: &'static str,
) -> Result<TcpListener, StartError> {
    socket.listen(BACKLOG).map_err(|source| StartError::Listen { protocol, option, address, source })
}

/// The address that was really taken: the system picks a port where 0 was asked for.
fn address(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}

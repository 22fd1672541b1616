//! Keyspaces that are served on a simulated clock, and clients of them: for tests of what clients are answered, and when.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use forebay::rt::{Clock, Tasks};
use forebay::{Forebay, Keyspace};
use forebay_wire::resp::{Reply, ReplyLimits, ReplyState, decode_reply, encode_request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::Service;
use crate::access::Door;
use crate::connections::Places;
use crate::jobs::Jobs;
use crate::keyspaces::{InService, Keyspaces};
use crate::stop;
use crate::time::WallClock;

/// A process' RESP side.
pub(super) struct Served {
    pub(super) service: Arc<Service>,
    pub(super) keyspaces: Keyspaces,
    pub(super) stop: stop::StopSender,
    address: SocketAddr,
    _tasks: Tasks,
}

/// Keyspaces in service, by their numbers.
pub(super) fn in_service<const N: usize>(keyspaces: [(u32, Arc<Keyspace>); N]) -> InService {
    InService::new(BTreeMap::from(keyspaces), BTreeMap::new())
}

impl Served {
    pub(super) async fn new(engine: Forebay, first: InService) -> Self {
        let (door, places) = (Door::new(&BTreeMap::new()), Places::new(100, 100));
        let keyspaces = Keyspaces::new(first);
        let (stop, stopped) = stop::channel();
        let jobs = Jobs::new(keyspaces.clone(), engine.clock().clone(), WallClock::system(), stopped.clone());
        let service = Arc::new(Service::new(door, places, keyspaces.clone(), jobs, 0, engine));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = Tasks::current().unwrap();
        tasks.spawn(super::serve(listener, None, Arc::clone(&service), stopped));
        Self { service, keyspaces, stop, address, _tasks: tasks }
    }

    /// A client in RESP3.
    pub(super) async fn client(&self) -> Client {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let mut client = Client { stream, input: BytesMut::new(), state: ReplyState::default() };
        client.say("HELLO 3").await;
        client
    }
}

/// A client in RESP3.
pub(super) struct Client {
    stream: TcpStream,
    input: BytesMut,
    state: ReplyState,
}

impl Client {
    /// Sends a command, or several, each in a line of its own.
    pub(super) async fn send(&mut self, lines: &str) {
        let mut bytes = BytesMut::new();
        for line in lines.lines() {
            encode_request(&mut bytes, &line.split(' ').collect::<Vec<_>>());
        }
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// The next reply, or message. It may be given up.
    pub(super) async fn next(&mut self) -> String {
        loop {
            if let Some(reply) =
                decode_reply(&mut self.input, &ReplyLimits::default(), &mut self.state).unwrap()
            {
                return shown(&reply);
            }
            let read = self.stream.read_buf(&mut self.input);
            let read = Clock::system().timeout(Duration::from_secs(10), read).await.expect("nothing came");
            assert_ne!(read.unwrap(), 0, "closed");
        }
    }

    pub(super) async fn say(&mut self, line: &str) -> String {
        self.send(line).await;
        self.next().await
    }

    /// The messages that have been sent by now.
    pub(super) async fn told(&mut self) -> Vec<String> {
        self.send("PING").await;
        let mut told = Vec::new();
        loop {
            match self.next().await {
                pong if pong == "PONG" => return told,
                message => told.push(message),
            }
        }
    }
}

fn shown(reply: &Reply) -> String {
    match reply {
        Reply::Simple(text) | Reply::Bulk(text) | Reply::Error(text) | Reply::Verbatim { text, .. } => {
            String::from_utf8_lossy(text).into_owned()
        }
        Reply::Integer(number) => number.to_string(),
        Reply::Array(all) | Reply::Push(all) => all.iter().map(shown).collect::<Vec<_>>().join(" "),
        Reply::Null => "nil".into(),
        other => format!("{other:?}"),
    }
}

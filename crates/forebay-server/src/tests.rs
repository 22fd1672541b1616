//! That a shared tier is told of what clients drop: two engines over one tier, a front end before the first.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use forebay::rt::{Clock, Tasks};
use forebay::{Blob, Forebay, Keyspace, Namespace, Writes, load_one, secs};
use forebay_simulated::{Partition, SimulatedTier};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

use crate::access::{self, Digest, Door, Right, Token};
use crate::jobs::Jobs;
use crate::keyspaces::{InService, Keyspaces};
use crate::time::WallClock;
use crate::{http, resp, stop};

/// Two instances; clients speak to the first.
struct Pair {
    clock: Clock,
    tier: SimulatedTier,
    /// What the source gives.
    row: Arc<AtomicU64>,
    first: (Forebay, Namespace<Blob>),
    other: (Forebay, Namespace<Blob>),
    router: Router,
    door: Door,
    client: TcpStream,
    _stop: stop::StopSender,
    _tasks: Tasks,
}

impl Pair {
    async fn new() -> Self {
        let clock = Clock::simulated();
        let tier = SimulatedTier::new(clock.clone(), 1);
        let row = Arc::new(AtomicU64::new(1));
        let instance = |number| {
            let link = Arc::new(tier.link(number));
            let engine = Forebay::builder().clock(clock.clone()).shared_tier(link).build().unwrap();
            let row = Arc::clone(&row);
            let load = move |_code: String| {
                let row = row.load(Ordering::SeqCst).to_string();
                async move { Ok::<_, Infallible>(Some(Blob::opaque(row))) }
            };
            let item = engine.namespace("item").key("item:{code}").ttl(secs(60)).writes(Writes::Cache);
            let item = item.source(load_one(load)).build().unwrap();
            (engine, item)
        };
        let (first, other) = (instance(1), instance(2));
        let mut keyspace = Keyspace::new("shop");
        keyspace.add(first.1.clone()).unwrap();
        let served = InService::new(BTreeMap::from([(0, Arc::new(keyspace))]), BTreeMap::new());
        let keyspaces = Keyspaces::new(served);
        let door = Door::new(&BTreeMap::new());
        let places = crate::connections::Places::new(100, 100);
        let (stop, stopped) = stop::channel();
        let jobs = Jobs::new(keyspaces.clone(), clock.clone(), WallClock::system(), stopped.clone());
        let service = resp::Service::new(door.clone(), places, keyspaces.clone(), jobs, 0, first.0.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let tasks = Tasks::current().unwrap();
        tasks.spawn(resp::serve(listener, None, Arc::new(service), stopped));
        let router =
            access::http::guard(http::router(http::Served::new(keyspaces, first.0.clone())), door.clone());
        Self { clock, tier, row, first, other, router, door, client, _stop: stop, _tasks: tasks }
    }

    /// The result of `work`, while time goes on.
    async fn run<T>(clock: &Clock, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            for _ in 0..200 {
                tokio::select! {
                    biased;
                    done = &mut work => return done,
                    () = tokio::task::yield_now() => {}
                }
            }
            clock.advance(Duration::from_millis(1));
        }
    }

    /// The answer to a RESP command, or the status of an HTTP request.
    async fn ask(&mut self, asked: &str) -> String {
        let clock = self.clock.clone();
        Self::run(&clock, async {
            let Some(path) = asked.strip_prefix("DELETE ") else {
                self.client.write_all(format!("{asked}\r\n").as_bytes()).await.unwrap();
                let mut reply = Vec::new();
                while !reply.ends_with(b"\r\n") {
                    reply.push(self.client.read_u8().await.unwrap());
                }
                return String::from_utf8(reply).unwrap().trim_end().to_owned();
            };
            let request = Request::delete(path).body(Body::empty()).unwrap();
            self.router.clone().oneshot(request).await.unwrap().status().as_str().to_owned()
        })
        .await
    }

    async fn read(&self, (_, item): &(Forebay, Namespace<Blob>)) -> u64 {
        let read = Self::run(&self.clock, item.read(b"item:a")).await.unwrap();
        let value = read.value.unwrap();
        std::str::from_utf8(value.as_blob().unwrap().as_bytes()).unwrap().parse().unwrap()
    }
}

const DROPS: [&str; 6] = [
    "DELETE /v1/shop/item/item:a",
    "DEL item:a",
    "UNLINK item:a",
    "FB.INVALIDATE item:a",
    "FB.EXPIRE item:a",
    "SET item:a v EXAT 1",
];

#[tokio::test]
async fn what_clients_drop_is_gone_on_every_instance() {
    let mut pair = Pair::new().await;
    for (at, drop) in (1..).zip(DROPS) {
        assert_eq!((pair.read(&pair.first).await, pair.read(&pair.other).await), (at, at), "{drop}");
        pair.row.store(at + 1, Ordering::SeqCst);
        let said = pair.ask(drop).await;
        assert!(["204", ":1", "+OK"].contains(&said.as_str()), "{drop}: {said}");
        let acknowledged = pair.first.0.acknowledged(Duration::from_millis(500));
        assert!(Pair::run(&pair.clock, acknowledged).await.unwrap());
        assert_eq!((pair.read(&pair.other).await, pair.read(&pair.first).await), (at + 1, at + 1), "{drop}");
    }
}

#[tokio::test]
async fn a_shared_tier_that_cannot_be_told_is_said_and_what_is_held_here_is_gone() {
    let mut pair = Pair::new().await;
    for (at, drop) in (1..).zip(DROPS) {
        assert_eq!(pair.read(&pair.first).await, at, "{drop}");
        pair.row.store(at + 1, Ordering::SeqCst);
        pair.tier.partition(1, Some(Partition::Refused));
        let said = pair.ask(drop).await;
        let wanted = if drop.starts_with("DELETE") {
            StatusCode::SERVICE_UNAVAILABLE.as_str()
        } else {
            "-FBUNCONFIRMED"
        };
        assert!(said.starts_with(wanted), "{drop}: {said}");
        assert_eq!(pair.read(&pair.first).await, at + 1, "{drop}");
        pair.tier.partition(1, None);
    }
}

/// Tokens called as they are, each for reading, or also for writing.
fn tokens(all: &[(&str, Right)]) -> BTreeMap<String, Token> {
    let token = |name: &str, may| Token {
        digest: Digest::of(name.as_bytes()),
        keyspace: None,
        namespaces: None,
        may,
    };
    all.iter().map(|(name, may)| ((*name).to_owned(), token(name, *may))).collect()
}

#[tokio::test]
async fn a_right_that_is_taken_away_is_gone_with_the_next_request() {
    let mut pair = Pair::new().await;
    assert_eq!(pair.ask("SET item:a 1").await, "+OK");
    pair.door.replace(&tokens(&[("ann", Right::Write)]));
    // Who was let in without one is let go.
    let mut rest = Vec::new();
    let ended = Pair::run(&pair.clock.clone(), pair.client.read_to_end(&mut rest)).await;
    assert!(ended.is_ok() && rest.is_empty(), "{rest:?}");
    pair.client = TcpStream::connect(pair.client.peer_addr().unwrap()).await.unwrap();
    assert_eq!(pair.ask("SET item:a 2").await, "-NOAUTH Authentication required.");
    assert_eq!(pair.ask("DELETE /v1/shop/item/item:a").await, "401");
    assert_eq!(pair.ask("AUTH ann").await, "+OK");
    assert_eq!(pair.ask("SET item:a 3").await, "+OK");

    // Also from what waits already.
    assert_eq!(pair.ask("MULTI").await, "+OK");
    assert_eq!(pair.ask("SET item:a 4").await, "+QUEUED");
    pair.door.replace(&tokens(&[("ann", Right::Read)]));
    assert!(pair.ask("EXEC").await.starts_with("-EXECABORT"));
    assert!(pair.ask("SET item:a 5").await.starts_with("-NOPERM"));
    assert_eq!(pair.ask("EXISTS item:a").await, ":1");

    // Whose token is no longer there is let go.
    pair.door.replace(&tokens(&[("bob", Right::Read)]));
    let mut rest = Vec::new();
    let ended = Pair::run(&pair.clock.clone(), pair.client.read_to_end(&mut rest)).await;
    assert!(ended.is_ok() && rest.is_empty(), "{rest:?}");
}

#[tokio::test]
async fn a_panic_costs_its_request_and_those_before_it_are_answered() {
    let mut pair = Pair::new().await;
    let address = pair.client.peer_addr().unwrap();
    let mut other = TcpStream::connect(address).await.unwrap();
    other.write_all(b"PING\r\nECHO a\r\nPANIC\r\nPING\r\n").await.unwrap();
    let mut said = String::new();
    Pair::run(&pair.clock.clone(), other.read_to_string(&mut said)).await.unwrap();
    let (before, reply) = said.split_once("a\r\n").unwrap();
    assert_eq!(before, "+PONG\r\n$1\r\n");
    assert!(reply.starts_with("-ERR internal error") && !reply.contains("of this test"), "{reply}");
    assert_eq!(reply.matches("\r\n").count(), 1, "nothing after it: {reply}");
    assert_eq!(pair.ask("PING").await, "+PONG", "others go on");
}

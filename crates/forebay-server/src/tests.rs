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

use crate::keyspaces::{InService, Keyspaces};
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
        let service = resp::Service::new(keyspaces.clone(), 0, clock.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stop, stopped) = stop::channel();
        let tasks = Tasks::current().unwrap();
        tasks.spawn(resp::serve(listener, Arc::new(service), stopped));
        let router = http::router(keyspaces, first.0.clone());
        Self { clock, tier, row, first, other, router, client, _stop: stop, _tasks: tasks }
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

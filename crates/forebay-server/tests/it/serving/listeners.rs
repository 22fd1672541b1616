//! What an open port must stand: clients that come slowly, take nothing, come in crowds, or come while the process ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay::rt::Clock;
use forebay_server::app::{App, Running};
use forebay_server::process::{self, Process};
use forebay_server::time::WallClock;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{NAMESPACES, Resp, Stage, Unseen, ask, database, declaration, deployment, soon};

/// A process whose clock the test drives.
struct Timed {
    process: Process,
    clock: Clock,
    _folder: TempDir,
}

impl Timed {
    async fn new(rest: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        drop(database(&folder.path().join("main.db")).await);
        let rest = format!("[shared]\nurl = 'memory'\n{rest}");
        let text = declaration(folder.path(), "127.0.0.1:0", "127.0.0.1:0", &rest);
        let clock = Clock::simulated();
        let deployment = deployment("t", &text);
        let started =
            process::start_by(&deployment, &[], Arc::new(Unseen), clock.clone(), WallClock::system());
        Self { process: soon(started).await.unwrap(), clock, _folder: folder }
    }

    /// What is sent until the connection ends, and how much time went by until then, in seconds. Time goes by in steps of one, each with
    /// room for everybody else to go on.
    async fn end_of(&self, client: &mut TcpStream) -> (String, u64) {
        let mut said = Vec::new();
        let mut seconds = 0;
        let mut ended = std::pin::pin!(client.read_to_end(&mut said));
        let ended = loop {
            let mut polls = 0;
            let ended = soon(async {
                loop {
                    tokio::select! {
                        biased;
                        ended = &mut ended => return Some(ended),
                        () = tokio::task::yield_now() => polls += 1,
                    }
                    if polls > 300 {
                        return None;
                    }
                }
            })
            .await;
            match ended {
                Some(ended) => break ended,
                None => self.clock.advance(Duration::from_secs(1)),
            }
            seconds += 1;
            assert!(seconds < 1_000, "it goes on for ever");
        };
        // A connection that is cut off ends too.
        let _ = ended;
        (String::from_utf8_lossy(&said).into_owned(), seconds)
    }
}

async fn connected(address: std::net::SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut client = soon(TcpStream::connect(address)).await.unwrap();
    soon(client.write_all(bytes)).await.unwrap();
    client
}

#[tokio::test]
async fn who_lets_the_server_wait_is_let_go() {
    let timed = Timed::new(NAMESPACES).await;
    let http = timed.process.http;
    for (sent, least, most) in [
        // Nothing, or a part of a head.
        ("", 9, 12),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", 9, 12),
        // Another request after the first: none, or a part of it.
        ("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 58, 63),
        // A body that stops.
        (
            "PUT /v1/shop/scratch/scratch:a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nabc",
            9,
            13,
        ),
    ] {
        let mut client = connected(http, sent.as_bytes()).await;
        let (said, seconds) = timed.end_of(&mut client).await;
        assert!((least..=most).contains(&seconds), "{sent:?}: after {seconds} s: {said}");
        match sent {
            sent if sent.starts_with("PUT") => {
                assert!(said.starts_with("HTTP/1.1 408") && said.contains("body_late"), "{said}");
            }
            sent if sent.ends_with("\r\n\r\n") => assert!(said.starts_with("HTTP/1.1 200"), "{said}"),
            _ => assert_eq!(said, "", "{sent:?}"),
        }
    }
}

#[tokio::test]
async fn who_takes_no_reply_is_let_go() {
    let timed = Timed::new(NAMESPACES).await;
    let value = "x".repeat(8 << 20);
    let mut client = Resp::connect(timed.process.resp).await;
    for (address, request) in [
        (timed.process.http, "GET /v1/shop/scratch/scratch:a HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        (timed.process.resp, "GET scratch:a\r\n"),
    ] {
        assert_eq!(super::shown(&client.call(&["SET", "scratch:a", &value]).await), "OK");
        // So many that no buffers of the system take them all.
        let mut idle = connected(address, request.repeat(4).as_bytes()).await;
        for _ in 0..70 {
            for _ in 0..300 {
                tokio::task::yield_now().await;
            }
            timed.clock.advance(Duration::from_secs(1));
        }
        let (said, _) = timed.end_of(&mut idle).await;
        assert!(said.len() > 1_000, "{request}: {said}");
        assert!(said.len() < 4 * value.len(), "{request}: {} bytes", said.len());
    }
    assert_eq!(client.say("PING").await, "PONG", "others go on");
}

#[tokio::test]
async fn who_shows_no_token_is_let_go() {
    let timed = Timed::new(
        "[token.a]\nmay = ['read']\nhash = 'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'",
    )
    .await;
    let mut client = connected(timed.process.resp, b"PING\r\n*2\r\n").await;
    let (said, seconds) = timed.end_of(&mut client).await;
    assert_eq!(said, "-NOAUTH Authentication required.\r\n");
    assert!((9..=12).contains(&seconds), "{seconds}");
    let mut known = connected(timed.process.resp, b"AUTH abc\r\n").await;
    let mut said = [0; 5];
    soon(known.read_exact(&mut said)).await.unwrap();
    timed.clock.advance(Duration::from_secs(3_600));
    soon(known.write_all(b"PING\r\n")).await.unwrap();
    let mut said = [0; 7];
    soon(known.read_exact(&mut said)).await.unwrap();
    assert_eq!(&said, b"+PONG\r\n");
    // Who forgets its token has as long again.
    soon(known.write_all(b"RESET\r\n")).await.unwrap();
    let mut said = [0; 8];
    soon(known.read_exact(&mut said)).await.unwrap();
    assert_eq!(&said, b"+RESET\r\n");
    let (said, seconds) = timed.end_of(&mut known).await;
    assert_eq!(said, "");
    assert!((9..=12).contains(&seconds), "{seconds}");
}

/// A stage with more options of `[server]` and with `apps`.
pub(super) async fn stage(server: &str, apps: &[App]) -> (Process, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    drop(database(&folder.path().join("main.db")).await);
    let text = declaration(folder.path(), "127.0.0.1:0", "127.0.0.1:0", NAMESPACES);
    let text = text.replacen("[server]\n", &format!("[server]\n{server}\n"), 1);
    let file = if apps.is_empty() { "forebay.toml" } else { "apps/bad/forebay.toml" };
    (super::start(&deployment(file, &text), apps).await.unwrap(), folder)
}

#[tokio::test]
async fn who_finds_no_place_is_told_at_once() {
    let (process, _folder) = stage("connections = 2", &[]).await;
    // Each address has half of them, rounded up: here there is one client at a time.
    let mut client = Resp::connect(process.resp).await;
    assert_eq!(client.say("CONFIG GET maxclients").await, "[maxclients 2]");
    let mut other = Resp::connect(process.resp).await;
    assert_eq!(super::shown(&other.next().await.unwrap()), "!ERR max number of clients reached");
    assert!(other.next().await.is_none());
    let answer = ask(process.http, "GET", "/health", "").await;
    assert_eq!(
        (answer.status, answer.problem().as_str(), answer.header("retry-after")),
        (503, "no_place", "1")
    );
    answer.names_its_request();
    drop((client, other));
    soon(async { while ask(process.http, "GET", "/health", "").await.status != 200 {} }).await;
    let metrics = soon(async {
        loop {
            let answer = ask(process.http, "GET", "/metrics", "").await;
            if answer.status == 200 {
                return answer.body;
            }
        }
    });
    let metrics = metrics.await;
    let refused = |listener| {
        let name = format!("forebay_{listener}_connections_refused_total ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap_or_else(|| panic!("no {name}")).parse::<f64>().unwrap()
    };
    assert!((refused("resp") - 1.0).abs() < 1e-9 && refused("http") >= 1.0, "{metrics}");
}

#[tokio::test]
async fn a_panic_costs_its_request() {
    let bad = App {
        name: "bad",
        summary: "",
        declaration: "",
        migrations: &[],
        jobs: &[],
        tries: &[],
        start: |_| {
            Box::pin(async {
                let route = axum::routing::get(async || -> &'static str { panic!("of this test") });
                let routes = axum::Router::new().route("/api/bad", route);
                Ok(Running { routes: Some(routes), notes: vec![], ..Running::default() })
            })
        },
    };
    let (process, _folder) = stage("", &[bad]).await;
    let answer = ask(process.http, "GET", "/api/bad", "").await;
    assert_eq!((answer.status, answer.problem().as_str()), (500, "internal"));
    assert!(!answer.body.contains("of this test"), "{}", answer.body);
    answer.names_its_request();
    let metrics = ask(process.http, "GET", "/metrics", "").await.body;
    let counted = metrics.lines().any(|line| line.contains("/api/bad") && line.contains("5xx"));
    assert!(counted, "{metrics}");
    // On one connection too, requests after it are answered.
    let requests = "GET /api/bad HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut client = connected(process.http, requests.as_bytes()).await;
    let mut said = String::new();
    soon(client.read_to_string(&mut said)).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 500") && said.contains("HTTP/1.1 200 OK"), "{said}");
}

/// What has arrived when the process is told to stop is answered to its end, also where nobody has accepted the connection yet.
#[tokio::test]
async fn stopping_loses_no_request_that_has_come() {
    const MANY: usize = 2_000;
    let stage = Stage::new().await;
    let mut clients = Vec::new();
    for (address, request) in [
        (stage.process.resp, "GET item:a\r\n"),
        (stage.process.http, "GET /v1/shop/item/item:a HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ] {
        for _ in 0..4 {
            clients.push(connected(address, request.repeat(MANY).as_bytes()).await);
        }
    }
    let replies = clients.into_iter().map(|mut client| async move {
        let mut said = String::new();
        client.read_to_string(&mut said).await.unwrap();
        said.matches("\"price\":1").count()
    });
    let replies: Vec<_> = replies.map(tokio::spawn).collect();
    assert!(soon(stage.process.stop()).await);
    for reply in replies {
        assert_eq!(soon(reply).await.unwrap(), MANY);
    }
}

/// The clock of this process stands still, so that nothing but the stop itself ends the connection.
#[tokio::test]
async fn who_has_sent_nothing_delays_no_stop() {
    let stage = Stage::new().await;
    let mut silent = connected(stage.process.http, b"").await;
    // It is accepted before those that come later.
    assert_eq!(stage.get("/health").await.status, 200);
    assert!(soon(stage.process.stop()).await);
    assert_eq!(soon(silent.read(&mut [0])).await.unwrap(), 0);
}

/// The slowest of 100 of `many` answers.
async fn slowest_but_one_percent(stage: &Stage, many: usize) -> Duration {
    let mut resp = stage.resp().await;
    let mut http = soon(TcpStream::connect(stage.process.http)).await.unwrap();
    let mut spans = Vec::new();
    for _ in 0..many {
        let begun = Instant::now();
        resp.say("GET item:a").await;
        soon(http.write_all(b"GET /v1/shop/item/item:a HTTP/1.1\r\nHost: localhost\r\n\r\n")).await.unwrap();
        let mut said = Vec::new();
        while !said.ends_with(b"}") {
            assert!(soon(http.read_buf(&mut said)).await.unwrap() > 0);
        }
        spans.push(begun.elapsed());
    }
    spans.sort();
    spans[many - many / 100 - 1]
}

fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// How many clients are slow.
const SLOW: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_cost_others_little() {
    let stage = Stage::new().await;
    stage.resp().await.call(&["SET", "scratch:big", &"x".repeat(1 << 20)]).await;
    slowest_but_one_percent(&stage, 500).await;
    let (alone, before) = (slowest_but_one_percent(&stage, 1_000).await, resident_bytes());
    let mut slow = Vec::new();
    for at in 0..SLOW {
        let (address, sent) = match at % 5 {
            0 => (stage.process.http, "GET /health HTTP/1.1\r\nHost: localhost\r\nX: "),
            1 => (stage.process.resp, "*3\r\n$3\r\nSET\r\n$9\r\nscratch:a\r\n$100000\r\nx"),
            2 => (stage.process.http, "GET /v1/shop/scratch/scratch:big HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            3 => (
                stage.process.resp,
                "GET scratch:big\r\nGET scratch:big\r\nGET scratch:big\r\nGET scratch:big\r\n",
            ),
            _ => (
                stage.process.http,
                "PUT /v1/shop/scratch/scratch:a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\nx",
            ),
        };
        slow.push(connected(address, sent.as_bytes()).await);
    }
    let drip = async {
        loop {
            for client in &mut slow {
                // Those who take nothing have no room to send either, after a while.
                let _ = tokio::time::timeout(Duration::from_millis(1), client.write_all(b"x")).await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let among = tokio::select! {
        among = slowest_but_one_percent(&stage, 1_000) => among,
        () = drip => unreachable!(),
    };
    let grown = resident_bytes().saturating_sub(before);
    println!("{SLOW} slow clients: p99 alone {alone:?}, among them {among:?}; grown by {} KiB", grown >> 10);
    // Five times the goal of twice, and a scheduler's turn: other tests run beside this one.
    assert!(among < 10 * alone + Duration::from_millis(20), "alone {alone:?}, among them {among:?}");
    assert!(grown < 5 * (64 << 20), "{grown} bytes");
}

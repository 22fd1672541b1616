//! A stage for tests of the whole process: a real one, from a declaration's text, with SQLite beneath and TCP in front.
//!
//! Nothing waits by the clock: every wait is for an event, and [`soon`] ends those that never come.

mod access;
mod apps;
mod clients;
mod copies;
mod declared;
mod dependencies;
mod http;
mod jobs;
mod kinds;
mod libraries;
mod listeners;
mod observe;
mod operators;
mod postgres;
mod pubsub;
mod redis;
mod redis_cli;
mod reload;
mod request;
mod resp;
mod shapes;
mod sinks;
mod start;
mod stores;
mod tls;
mod tracking;
mod transactions;
mod warming;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use forebay_server::app::{App, Progress};
use forebay_server::configuration::{Declaration, Deployment};
use forebay_server::process::{self, Process, StartError};
use forebay_stores::database::{Database, DatabaseOptions};
use forebay_wire::resp::{Reply, ReplyLimits, ReplyState, decode_reply, encode_request};
use sqlx::{AssertSqlSafe, Executor};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::configuration::Fixed;

/// The namespaces of most tests: `item` caches for a minute and refuses writes, `note` takes them, `scratch` has no source.
const NAMESPACES: &str = r#"
[namespace.item]
key = "item:{code}"
ttl = "60s"
absent_ttl = "30s"
source.sql = { database = "main", query = "select code, price from items where code in {keys}" }
[namespace.note]
key = "note:{code}"
ttl = "60s"
writes = "cache"
source.sql = { database = "main", query = "select code, price from items where code in {keys}" }
[namespace.scratch]
key = "scratch:{name}"
ttl = "60s"
mode = "cache"
[namespace.broken]
key = "broken:{code}"
ttl = "60s"
source.sql = { database = "main", query = "select code, price from doomed where code in {keys}" }
"#;

/// What every stage's database holds at first.
const TABLES: &str = "create table items (code text primary key, price integer);
    create table doomed (code text primary key, price integer);
    insert into items values ('a', 1), ('b', 2), ('x/y', 3), ('å', 4);
    insert into doomed values ('a', 1);";

/// No wait of these tests takes longer, unless what is waited for never comes.
const DEADLINE: Duration = Duration::from_secs(10);

/// The result of `work`, which must not take long.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("what was waited for did not come")
}

/// Nobody looks.
struct Unseen;

impl Progress for Unseen {
    fn step(&self, _: &str, _: u64, _: u64) {}
}

/// The head of a declaration with its files in `data`, listening on `http` and `resp`.
fn declaration(data: &Path, http: &str, resp: &str, rest: &str) -> String {
    let data = data.display();
    format!(
        "keyspace = 'shop'\n[server]\nhttp = '{http}'\nresp = '{resp}'\ndata = '{data}'\n\
         [database.main]\nurl = 'sqlite:{data}/main.db'\n{rest}"
    )
}

fn deployment(file: &str, text: &str) -> Deployment {
    let declaration = Declaration::parse(file, text, &Fixed::default());
    let declaration = declaration.unwrap_or_else(|report| panic!("{report}"));
    Deployment::assemble(vec![declaration]).unwrap_or_else(|report| panic!("{report}"))
}

async fn start(deployment: &Deployment, apps: &[App]) -> Result<Process, StartError> {
    soon(process::start(deployment, apps, Arc::new(Unseen))).await
}

/// A SQLite file that holds [`TABLES`].
async fn database(path: &Path) -> Database {
    let options = DatabaseOptions::sqlite(path, 1);
    let database = Database::open(&options).await.unwrap();
    database.sqlite().unwrap().execute(TABLES).await.unwrap();
    database
}

/// A process that serves, and what lies beneath it.
struct Stage {
    process: Process,
    database: Database,
    folder: TempDir,
}

impl Stage {
    /// Serves [`NAMESPACES`].
    async fn new() -> Self {
        Self::with(NAMESPACES).await
    }

    /// Serves what `rest` declares beside the database `main`.
    async fn with(rest: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = database(&folder.path().join("main.db")).await;
        let text = declaration(folder.path(), "127.0.0.1:0", "127.0.0.1:0", rest);
        let process = start(&deployment("forebay.toml", &text), &[]).await.unwrap();
        Self { process, database, folder }
    }

    /// Changes the data beneath the process.
    async fn sql(&self, sql: &str) {
        soon(self.database.sqlite().unwrap().execute(AssertSqlSafe(sql.to_owned()))).await.unwrap();
    }

    async fn resp(&self) -> Resp {
        Resp::connect(self.process.resp).await
    }

    /// A GET over HTTP.
    async fn get(&self, path: &str) -> Answer {
        ask(self.process.http, "GET", path, "").await
    }

    /// An HTTP request with more header lines, each ended by CR LF.
    async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        ask(self.process.http, method, path, headers).await
    }
}

/// A RESP client.
struct Resp {
    stream: TcpStream,
    input: BytesMut,
    state: ReplyState,
}

impl Resp {
    async fn connect(address: SocketAddr) -> Self {
        let stream = soon(TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, input: BytesMut::new(), state: ReplyState::default() }
    }

    async fn send(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.unwrap();
    }

    /// The next reply; `None` where the server has closed instead.
    async fn next(&mut self) -> Option<Reply> {
        loop {
            if let Some(reply) =
                decode_reply(&mut self.input, &ReplyLimits::default(), &mut self.state).unwrap()
            {
                return Some(reply);
            }
            if soon(self.stream.read_buf(&mut self.input)).await.unwrap_or(0) == 0 {
                assert!(self.input.is_empty(), "closed within a reply: {:?}", self.input);
                return None;
            }
        }
    }

    async fn call(&mut self, words: &[&str]) -> Reply {
        self.send(&request(words)).await;
        self.next().await.expect("closed instead of a reply")
    }

    /// The reply as text: bulk and simple strings as they are, `nil`, numbers in digits, errors behind `!`.
    async fn say(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        shown(&self.call(&words).await)
    }

    /// The number behind `name:` in `INFO`.
    async fn info(&mut self, name: &str) -> u64 {
        let text = self.say("INFO").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }
}

fn request(words: &[&str]) -> BytesMut {
    let mut bytes = BytesMut::new();
    encode_request(&mut bytes, words);
    bytes
}

fn shown(reply: &Reply) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all = |replies: &[Reply]| replies.iter().map(shown).collect::<Vec<_>>().join(" ");
    match reply {
        Reply::Simple(bytes) | Reply::Bulk(bytes) => text(bytes),
        Reply::Error(bytes) => format!("!{}", text(bytes)),
        Reply::Integer(number) => number.to_string(),
        Reply::Null => "nil".into(),
        Reply::Array(replies) => format!("[{}]", all(replies)),
        Reply::Push(replies) => format!(">[{}]", all(replies)),
        Reply::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}={}", shown(key), shown(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
        }
        Reply::Verbatim { text: inner, .. } => text(inner),
        other => panic!("{other:?}"),
    }
}

/// An HTTP reply.
#[derive(Debug)]
struct Answer {
    status: u16,
    /// By their names in small letters.
    headers: BTreeMap<String, String>,
    body: String,
    /// The body as it came.
    bytes: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// `X-Cache` and the body.
    fn seen(&self) -> (&str, &str) {
        (self.header("x-cache"), &self.body)
    }

    /// The id of the request is in the head of a problem, and the same in its body.
    fn names_its_request(&self) {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        let id = self.header("x-request-id");
        assert!(!id.is_empty() && body["request_id"] == id, "{self:?}");
    }

    /// The code of a problem, whose form is checked.
    fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(body["status"], self.status, "{self:?}");
        assert!(body["title"].is_string() && body["detail"].is_string(), "{self:?}");
        body["code"].as_str().unwrap().to_owned()
    }
}

/// One request on a connection of its own.
async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    exchange(address, method, path, headers, "").await
}

/// One request with a body.
async fn ask_with(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let headers = format!("{headers}Content-Length: {}\r\n", body.len());
    exchange(address, method, path, &headers, body).await
}

async fn exchange(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut stream = soon(TcpStream::connect(address)).await.unwrap();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n{body}");
    soon(stream.write_all(head.as_bytes())).await.unwrap();
    let mut bytes = Vec::new();
    soon(stream.read_to_end(&mut bytes)).await.unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let body = bytes.split_off(end.unwrap_or_else(|| panic!("no head: {}", bytes.escape_ascii())) + 4);
    let head = String::from_utf8(bytes).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.take_while(|line| !line.is_empty()).map(|line| line.split_once(": ").unwrap());
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned(), bytes: body }
}

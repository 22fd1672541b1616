//! A stage for tests of the whole process: a real one, from a declaration's text, with SQLite beneath and TCP in front.
//!
//! Nothing waits by the clock: every wait is for an event, and [`soon`] ends those that never come. The clients are those of `stage/`.

mod access;
mod alarms;
mod apps;
mod clients;
mod copies;
mod declared;
mod dependencies;
mod ends;
mod http;
mod jobs;
mod kinds;
mod libraries;
mod limits;
mod listeners;
mod membership;
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

use std::path::Path;
use std::sync::Arc;

use forebay_server::app::App;
use forebay_server::configuration::{Declaration, Deployment};
use forebay_server::process::{self, Process, StartError};
use forebay_stage::{Answer, DEADLINE, Resp, Unseen, ask, ask_with, request, shown, soon};
use forebay_stores::database::{Database, DatabaseOptions};
use sqlx::{AssertSqlSafe, Executor};
use tempfile::TempDir;

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

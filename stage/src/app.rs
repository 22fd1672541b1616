//! An app as it is served, on either database, and whoever else changes its rows.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use forebay::rt::Clock;
use forebay_server::app::App;
use forebay_server::configuration::secrets::Environment;
use forebay_server::configuration::{Declaration, Deployment};
use forebay_server::process::{self, Process};
use forebay_server::time::WallClock;
use forebay_simulated::proxy::Proxy;
use forebay_stores::database::{Database, DatabaseOptions};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor as _};
use tempfile::TempDir;

use crate::{Answer, Resp, Unseen, ask, ask_with, new_postgres, soon};

/// The database of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// A file.
    Sqlite,
    /// A database of its own on the server of the tests.
    Postgres,
    /// The same behind a [`Proxy`], which fails when it is told to.
    Distant,
}

/// An app that is served.
pub struct AppStage {
    pub process: Process,
    /// What TTLs go by.
    pub clock: Clock,
    /// The time of day.
    pub wall: WallClock,
    /// The app's database, past the app.
    pub beneath: Database,
    pub on: On,
    /// The keyspace's number.
    pub db: u16,
    /// What the app reaches its database through, where that is [distant](On::Distant).
    pub proxy: Option<Proxy>,
    folder: TempDir,
    deployment: Deployment,
    app: App,
}

/// Variables as a test sets them.
struct Variables(BTreeMap<String, String>);

impl Environment for Variables {
    fn variable(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    fn file(&self, _: &str) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

impl AppStage {
    /// Serves `app` as it declares itself, with its files in a folder of its own, at the time that `wall` shows. `NAME_DATABASE` is the
    /// variable by which its database is chosen.
    pub async fn new(app: App, on: On, wall: WallClock) -> Self {
        Self::with(app, on, wall, |declaration| declaration).await
    }

    /// The same with its declaration changed.
    pub async fn with(app: App, on: On, wall: WallClock, change: impl FnOnce(String) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut proxy = None;
        let (url, options) = match on {
            On::Sqlite => {
                let file = folder.path().join("app.db");
                (format!("sqlite:{}", file.display()), DatabaseOptions::sqlite(file, 4))
            }
            On::Postgres | On::Distant => {
                let mut url = new_postgres().await;
                let options = DatabaseOptions::postgres(url.parse().unwrap(), 4);
                if on == On::Distant {
                    let server = url.split(['@', '/']).nth(3).unwrap().to_owned();
                    let before = proxy.insert(Proxy::before(server.parse().unwrap()).await);
                    url = url.replace(&server, &before.address.to_string());
                }
                (url, options)
            }
        };
        let variable = format!("{}_DATABASE", app.name.to_uppercase());
        let variables = Variables(BTreeMap::from([(variable, url)]));
        let text = change(app.declaration.to_owned());
        let declaration = Declaration::parse(&app.file(), &text, &variables);
        let declaration = declaration.unwrap_or_else(|report| panic!("{report}"));
        let mut deployment =
            Deployment::assemble(vec![declaration]).unwrap_or_else(|report| panic!("{report}"));
        let free = "127.0.0.1:0".parse().unwrap();
        (deployment.server.http, deployment.server.resp) = (free, free);
        deployment.server.data = folder.path().join("data");
        for keyspace in &mut deployment.keyspaces {
            keyspace.data = deployment.server.data.clone();
        }
        let clock = Clock::system();
        let process = started(&deployment, &app, &clock, &wall).await;
        let beneath = soon(Database::open(&options)).await.unwrap();
        let db = deployment.keyspaces[0].db;
        Self { process, clock, wall, beneath, on, db, proxy, folder, deployment, app }
    }

    /// Stops it, and starts it again on what is on its disk.
    pub async fn restarted(self) -> Self {
        let Self { process, clock, wall, beneath, on, db, proxy, folder, deployment, app } = self;
        assert!(soon(process.stop()).await);
        let process = started(&deployment, &app, &clock, &wall).await;
        Self { process, clock, wall, beneath, on, db, proxy, folder, deployment, app }
    }

    /// Changes the rows past the app, as another program does: nobody is told.
    pub async fn sql(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        let done = async {
            match self.on {
                On::Sqlite => self.beneath.sqlite().unwrap().execute(sql).await.map(|_| ()),
                On::Postgres | On::Distant => self.beneath.postgres().unwrap().execute(sql).await.map(|_| ()),
            }
        };
        soon(done).await.unwrap();
    }

    /// The one number that a query gives.
    pub async fn number(&self, sql: &'static str) -> i64 {
        let asked = async {
            match self.on {
                On::Sqlite => sqlx::query_scalar(sql).fetch_one(self.beneath.sqlite().unwrap()).await,
                On::Postgres | On::Distant => {
                    sqlx::query_scalar(sql).fetch_one(self.beneath.postgres().unwrap()).await
                }
            }
        };
        soon(asked).await.unwrap()
    }

    /// A RESP client that has picked the app's keyspace.
    pub async fn resp(&self) -> Resp {
        let mut client = Resp::connect(self.process.resp).await;
        assert_eq!(client.say(&format!("SELECT {}", self.db)).await, "OK");
        client
    }

    pub async fn get(&self, path: &str) -> Answer {
        ask(self.process.http, "GET", path, "").await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        ask(self.process.http, "DELETE", path, "").await
    }

    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, "", body).await
    }

    /// A request with more header lines, each ended by CR LF, and a body.
    pub async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        ask_with(self.process.http, method, path, headers, body).await
    }

    /// The JSON at a path.
    pub async fn json(&self, path: &str) -> Value {
        self.get(path).await.json()
    }

    /// Runs a job of the declaration now; what it says it did.
    pub async fn job(&self, name: &str) -> String {
        let mut client = self.resp().await;
        client.say(&format!("FB.JOBS RUN {name}")).await
    }
}

async fn started(deployment: &Deployment, app: &App, clock: &Clock, wall: &WallClock) -> Process {
    let apps = std::slice::from_ref(app);
    let started = process::start_by(deployment, apps, Arc::new(Unseen), clock.clone(), wall.clone());
    soon(started).await.unwrap_or_else(|error| panic!("{error}"))
}

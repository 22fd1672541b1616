//! What an app is: a value that the server assembles.
//!
//! An app brings its declaration, its migrations and what runs beside its keyspace (a feeder, routes), which reads by the
//! keyspace in service ([`Served`]) and writes by its databases' transactions. It holds no caching code: what a key means is said in its declaration. The server knows no app; `forebay-cli` hands them in.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, Method};
use axum::response::Response;
use forebay::rt::Tasks;
use forebay::{Blob, Forebay, Keyspace, Namespace, Read};
use forebay_stores::database::{Database, Migration};

use crate::http::Answers;
use crate::keyspaces::{InService, Keyspaces};
pub use crate::observe::Alarms;
use crate::problem::Problem;
use crate::stop::Stop;
use crate::time::WallClock;

/// A boxed future that an app hands back.
pub type AppFuture<T> = Pin<Box<dyn Future<Output = Result<T, AppError>> + Send>>;

/// One application on Forebay.
#[derive(Clone)]
pub struct App {
    /// The name on the command line (`--app stocks`) and of its table of settings (`[app.stocks]`).
    pub name: &'static str,
    /// One line for help texts.
    pub summary: &'static str,
    /// The declaration, as TOML text.
    pub declaration: &'static str,
    /// Schema changes of its database `main`, applied in order before anything is served.
    pub migrations: &'static [Migration],
    /// Functions that the jobs of its declaration call: `[job.NAME]` with `run = "…"`.
    pub jobs: &'static [AppJob],
    /// Commands worth typing once it runs.
    pub tries: &'static [Try],
    /// Fills tables, starts feeders, builds routes; runs after the migrations and before a port opens.
    pub start: fn(Setup) -> AppFuture<Running>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("name", &self.name).finish_non_exhaustive()
    }
}

impl App {
    /// The name that its declaration is reported under.
    #[must_use]
    pub fn file(&self) -> String {
        format!("apps/{}/forebay.toml", self.name)
    }
}

/// A function of an app that a job calls. When, how often and for how long at most is said in the declaration.
///
/// ```
/// use forebay_server::app::AppJob;
///
/// const RECONCILE: AppJob = AppJob {
///     name: "reconcile",
///     run: |run| {
///         Box::pin(async move {
///             let main = run.databases.get("main").ok_or("it needs a database `main`")?;
///             let ended = main.carry_out("update periods set state = 'closed' where ends < current_timestamp").await?;
///             Ok(format!("{ended} periods closed"))
///         })
///     },
/// };
/// # assert_eq!(RECONCILE.name, "reconcile");
/// ```
#[derive(Clone, Copy)]
pub struct AppJob {
    /// What `run = "…"` calls it.
    pub name: &'static str,
    /// Does the work.
    pub run: RunJob,
}

impl std::fmt::Debug for AppJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppJob").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Does the work of a job; says in a few words what that was. Where its time is up, or the process ends, it is dropped at an await.
pub type RunJob = fn(JobRun) -> Pin<Box<dyn Future<Output = Result<String, JobError>> + Send>>;

/// Why a job did not do its work. Any error is one, and so is a text.
pub type JobError = Box<dyn std::error::Error + Send + Sync>;

/// What a run of a job is given: all of it as it is in service when the run begins.
#[derive(Debug)]
pub struct JobRun {
    /// The job's name in the declaration.
    pub job: String,
    /// Its keyspace: namespaces to read, warm and invalidate.
    pub keyspace: Arc<Keyspace>,
    /// The engine, seen from the keyspace: tags.
    pub engine: Forebay,
    /// The keyspace's databases by their declared names. Their [transactions](Database::transaction) invalidate what the keyspace has
    /// loaded from the rows that they change.
    pub databases: BTreeMap<String, Database>,
    /// The table `[app.NAME]` of the declaration, unchecked; empty where none was given.
    pub settings: toml::Table,
    /// Where to tell that something is wrong, and to count what happens.
    pub alarms: Alarms,
    /// The time of day, by which schedules are told.
    pub wall: WallClock,
    /// When it was due, since 1970-01-01 UTC; nothing where somebody began it by hand.
    pub due: Option<Duration>,
    pub(crate) stop: Stop,
}

impl JobRun {
    /// Whether the process is ending: what goes on is interrupted within ten seconds.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.is_asked()
    }

    /// Waits until the process is ending, for work that can end well by then.
    pub async fn stopping(&self) {
        self.stop.clone().asked().await;
    }
}

/// A command worth typing, and what it shows.
#[derive(Clone, Copy, Debug)]
pub struct Try {
    /// The command; `{resp}` and `{http}` stand for the ports, `{forebay}` for the binary.
    pub command: &'static str,
    /// What it shows, in a few words.
    pub shows: &'static str,
}

/// What an app is given when it starts.
pub struct Setup {
    /// The keyspace's name.
    pub keyspace: String,
    /// The folder that the app may keep files in; it exists.
    pub data: PathBuf,
    /// The keyspace's databases by their declared names, open. Their [transactions](Database::transaction) invalidate what the keyspace has
    /// loaded from the rows that they change.
    pub databases: BTreeMap<String, Database>,
    /// The keyspace as it is in service, for routes and tasks.
    pub served: Served,
    /// The table `[app.NAME]` of the declaration, unchecked; empty where none was given.
    pub settings: toml::Table,
    /// Owns every task the app spawns; they end with the server.
    pub tasks: Tasks,
    /// Where to tell how far long work has come.
    pub progress: Arc<dyn Progress>,
    /// The time of day: the system's, or a test's.
    pub wall: WallClock,
    /// Where to tell that something is wrong, and to count what happens.
    pub alarms: Alarms,
}

/// The keyspace of an app as it is in service, also after a reload. Clones are the same.
#[derive(Clone, Debug)]
pub struct Served {
    keyspaces: Keyspaces,
    name: Arc<str>,
    answers: Answers,
}

impl Served {
    pub(crate) fn new(keyspaces: Keyspaces, name: &str) -> Self {
        Self { keyspaces, name: name.into(), answers: Answers::default() }
    }

    /// The keyspace now: take it once for a request, so that all of it sees the same. There is none until the app has started, and
    /// none after a reload that took it out.
    #[must_use]
    pub fn now(&self) -> Option<Arc<Keyspace>> {
        self.keyspaces.now().named(&self.name).cloned()
    }

    /// Answers a request with what was `read` of a namespace, as `/v1/…` does: with `ETag` and what is asked by it (304, 412), parts,
    /// `Age`, `Cache-Control`, `X-Cache`, `Cache-Status`, compressed where that is wanted.
    ///
    /// # Errors
    /// The problem to answer with where the request cannot be met; 404 `absent` is no such, but an answer.
    pub async fn answer(
        &self,
        namespace: &Namespace<Blob>,
        read: &Read,
        request: (&Method, &HeaderMap),
    ) -> Result<Response, Problem> {
        let is_secure = self.keyspaces.now().is_secure(&self.name, namespace.name());
        self.answers.of(read, (namespace.policy().writes, is_secure), request).await
    }

    /// A keyspace that is in service for good, where no server is: for tests of an app's routes.
    #[must_use]
    pub fn only(keyspace: Arc<Keyspace>) -> Self {
        let name = keyspace.name().to_owned();
        let served = InService::new(BTreeMap::from([(0, keyspace)]), BTreeMap::new());
        Self::new(Keyspaces::new(served), &name)
    }
}

/// Shows how far long work has come.
pub trait Progress: Send + Sync {
    /// `done` of `total` steps of `what` are done; `done == total` ends it.
    fn step(&self, what: &str, done: u64, total: u64);
}

/// What an app leaves running.
#[derive(Debug, Default)]
pub struct Running {
    /// HTTP routes of the app, mounted at the root of the HTTP listener. Their paths must be the app's own, under
    /// `/apps/NAME` or `/api`, and they bring no fallback: two routers that claim one path are a mistake that ends the start.
    pub routes: Option<axum::Router>,
    /// Lines for the start-up message ("quotes move by a replay clock …").
    pub notes: Vec<String>,
    /// What the app has still to do when the process is stopped: it is waited for five seconds at most, once requests and jobs are over and
    /// while the keyspace can be written.
    pub at_stop: Option<AtStop>,
}

/// The last work of an app, which begins when the process is stopped; of one that is killed it never does.
///
/// ```
/// use forebay_server::app::{AtStop, Running};
///
/// let running = Running { at_stop: Some(AtStop::new(async { /* write what was gathered */ })), ..Running::default() };
/// # assert!(running.at_stop.is_some());
/// ```
pub struct AtStop(Pin<Box<dyn Future<Output = ()> + Send>>);

impl AtStop {
    /// Does `work`.
    #[must_use]
    pub fn new(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Box::pin(work))
    }

    pub(crate) async fn done(self) {
        self.0.await;
    }
}

impl std::fmt::Debug for AtStop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AtStop").finish_non_exhaustive()
    }
}

/// Why an app did not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Its settings table is wrong; the message says which key and what to write instead.
    #[error("[app.{app}]: {message}")]
    Settings {
        /// The app's name.
        app: &'static str,
        /// What is wrong and how to mend it.
        message: String,
    },
    /// Its database refused something.
    #[error("{app}: {doing}: {source}")]
    Database {
        /// The app's name.
        app: &'static str,
        /// What was being done.
        doing: &'static str,
        /// The database's own words.
        source: forebay_stores::database::DatabaseError,
    },
    /// Data that the app ships is damaged.
    #[error("{app}: {message}")]
    Data {
        /// The app's name.
        app: &'static str,
        /// What is damaged.
        message: String,
    },
}

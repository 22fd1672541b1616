//! Private servers for tests: started when the first test asks, shared by all, gone with the run.
//!
//! `cargo xtask test` listens on a Unix socket and names it in [`VARIABLE`]. A test connects, sends one line with a
//! service's name and gets one line back: `ok <url>` or `error <message>`. [`url`] is that client.
//!
//! Tests share each server: they make keys, databases and schemas under names of their own, and change no setting.

mod folder;
mod host;
mod postgres;
mod redis;
mod server;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

pub use folder::Folder;
pub use host::Host;
pub use server::Server;

use crate::{Error, needs};

/// The environment variable with the path of the socket to ask.
pub const VARIABLE: &str = "FOREBAY_TEST_SERVICES";

/// How long a test waits for a service to come up.
const PATIENCE: Duration = Duration::from_secs(180);

/// The names of the services: `redis`, `postgres`, `postgres-replica`, a streaming replica of `postgres`, and `postgres-heir`, another
/// one, which the one test that asks for it may promote.
pub const NAMES: &[&str] = &["redis", "postgres", "postgres-replica", "postgres-heir"];

/// Why a test got no service.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Nobody is there to ask.
    #[error("{VARIABLE} is not set: run this test through `cargo xtask test --quick CRATE`")]
    NotOffered,
    /// The conversation failed.
    #[error("asking for {name}: {source}; `cargo xtask test` may have ended before this test")]
    Io {
        /// The service.
        name: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// The service did not come up.
    #[error("{name}: {message}")]
    Refused {
        /// The service.
        name: String,
        /// Why, as the host says.
        message: String,
    },
}

/// The URL of the service `name` (one of [`NAMES`]), which is started where it does not run yet.
///
/// Redis: `redis://127.0.0.1:PORT`; PostgreSQL: `postgres://postgres@127.0.0.1:PORT/postgres`, superuser, no password.
///
/// # Errors
/// Outside of `cargo xtask test`, and when the service does not come up.
///
/// ```no_run
/// let url = xtask::services::url("redis")?;
/// assert!(url.starts_with("redis://127.0.0.1:"));
/// # Ok::<(), xtask::services::ServiceError>(())
/// ```
pub fn url(name: &str) -> Result<String, ServiceError> {
    let path = std::env::var_os(VARIABLE).ok_or(ServiceError::NotOffered)?;
    let answer =
        ask(path.as_ref(), name).map_err(|source| ServiceError::Io { name: name.to_owned(), source })?;
    match answer.trim_end().split_once(' ') {
        Some(("ok", url)) => Ok(url.to_owned()),
        _ => Err(ServiceError::Refused { name: name.to_owned(), message: answer.trim_end().to_owned() }),
    }
}

fn ask(path: &std::path::Path, name: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{name}\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer)
}

/// The servers that run, and the folder they live in.
///
/// Servers die with the thread that started them, even where that is killed, so one thread owns this from start to end.
#[derive(Debug)]
pub struct Services {
    folder: std::path::PathBuf,
    /// Whether what PostgreSQL confirms is on the disk.
    is_durable: bool,
    redis: Option<Server>,
    primary: Option<Server>,
    replica: Option<Server>,
    heir: Option<Server>,
}

impl Services {
    /// None running yet; they will live in `folder`, which their unprivileged users can pass through.
    #[must_use]
    pub fn new(folder: &std::path::Path) -> Self {
        Self::with(folder, false)
    }

    /// The same, for measurements: what PostgreSQL confirms is on the disk.
    #[must_use]
    pub fn durable(folder: &std::path::Path) -> Self {
        Self::with(folder, true)
    }

    fn with(folder: &std::path::Path, is_durable: bool) -> Self {
        Self {
            folder: folder.to_path_buf(),
            is_durable,
            redis: None,
            primary: None,
            replica: None,
            heir: None,
        }
    }

    /// The URL of the service `name`, which is started where it does not run yet.
    ///
    /// # Errors
    /// When there is no such service, a program is missing, or the server does not come up or went away.
    pub fn url(&mut self, name: &str) -> Result<String, Error> {
        match name {
            "redis" => running(&mut self.redis, || redis::start(&self.folder)),
            "postgres" => running(&mut self.primary, || postgres::start(&self.folder, self.is_durable)),
            "postgres-replica" | "postgres-heir" => {
                running(&mut self.primary, || postgres::start(&self.folder, self.is_durable))?;
                let port = self.primary.as_ref().map_or(0, |primary| primary.port);
                let (place, own) = match name {
                    "postgres-heir" => (&mut self.heir, "pgh"),
                    _ => (&mut self.replica, "pgr"),
                };
                running(place, || postgres::start_replica(&self.folder, own, port))
            }
            _ => Err(Error::Unknown { kind: "service", name: name.to_owned(), known: NAMES.join(", ") }),
        }
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        // The replicas first: their primary waits for whoever still streams.
        self.replica = None;
        self.heir = None;
        self.primary = None;
        self.redis = None;
    }
}

fn running(
    place: &mut Option<Server>,
    start: impl FnOnce() -> Result<Server, Error>,
) -> Result<String, Error> {
    if let Some(server) = place {
        server.check_alive()?;
        return Ok(server.url.clone());
    }
    Ok(place.insert(start()?).url.clone())
}

/// The program `name`, for starting a server.
fn program(name: &str) -> Result<std::path::PathBuf, Error> {
    needs::find(name).ok_or_else(|| Error::Missing {
        missing: name.to_owned(),
        mend: "cargo xtask needs --test".to_owned(),
    })
}

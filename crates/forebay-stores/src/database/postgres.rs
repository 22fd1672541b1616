//! PostgreSQL: its address, which may hold a password, and sessions that all speak alike.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgPool};

use super::{DatabaseError, DatabaseOptions};

/// How often a session looks, while it works at a statement, whether its client is still there. PostgreSQL 14 and newer.
pub(crate) const CLIENT_CHECK: Duration = Duration::from_millis(500);

/// The address of a PostgreSQL database, `postgres://user:password@host:port/database`. It is shown without the password.
#[derive(Clone)]
pub struct Url(Box<PgConnectOptions>);

impl FromStr for Url {
    type Err = sqlx::Error;

    fn from_str(text: &str) -> Result<Self, sqlx::Error> {
        text.parse().map(|options| Self(Box::new(options)))
    }
}

impl Url {
    fn shown(&self) -> (&str, u16, Option<&str>, &str) {
        (self.0.get_host(), self.0.get_port(), self.0.get_database(), self.0.get_username())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port, database, user) = self.shown();
        write!(f, "postgres://{user}@{host}:{port}/{}", database.unwrap_or_default())
    }
}

/// Whether they are the same in everything, also in what is not shown.
impl PartialEq for Url {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_url_lossy() == other.0.to_url_lossy()
    }
}

impl Eq for Url {}

/// Opens a pool of sessions that tell times in UTC and give up what takes too long.
pub(super) async fn open(url: &Url, options: &DatabaseOptions) -> Result<PgPool, DatabaseError> {
    Ok(options.pool().connect_with(session(url, options)).await?)
}

/// The same, connected to when it is asked first.
pub(super) fn open_lazily(url: &Url, options: &DatabaseOptions) -> PgPool {
    options.pool().min_connections(0).connect_lazy_with(session(url, options))
}

/// The same, for statements that change nothing.
pub(super) async fn open_to_read(url: &Url, options: &DatabaseOptions) -> Result<PgPool, DatabaseError> {
    let connect = session(url, options).options([("default_transaction_read_only", "on")]);
    Ok(options.pool().connect_with(connect).await?)
}

fn session(url: &Url, options: &DatabaseOptions) -> PgConnectOptions {
    PgConnectOptions::clone(&url.0).application_name("forebay").options([
        ("timezone", "UTC".to_owned()),
        ("datestyle", "ISO".to_owned()),
        ("client_connection_check_interval", CLIENT_CHECK.as_millis().to_string()),
        ("statement_timeout", options.statement_timeout.as_millis().to_string()),
    ])
}

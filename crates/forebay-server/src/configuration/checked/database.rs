//! `[database.NAME]`.

use std::time::Duration;

use super::super::fault::DatabaseFault;
use super::super::raw::Table;
use super::super::report::Findings;
use super::super::secrets::Text;
use super::{number, required};

/// A database that sources and sinks name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Where it is.
    pub url: DatabaseUrl,
    /// The connections to it.
    pub pool: Pool,
    /// The longest that it works at one statement. Default: 30 s.
    pub statement_timeout: Duration,
    /// Streaming replicas of it. An environment has none of production's.
    pub replicas: Vec<DatabaseUrl>,
    /// Whether its row changes invalidate what was loaded from the rows. Default: no.
    pub feed: bool,
}

/// Where a database is. Shown without its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseUrl {
    /// Which database system it is.
    pub kind: DatabaseKind,
    /// The whole address.
    pub text: Text,
}

/// The database systems of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// A SQLite file.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
    /// A MySQL server.
    Mysql,
}

/// The connections to a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Most connections open at once. Default: 16.
    pub max: u32,
    /// Connections kept open when idle; at most `max`. Default: 2.
    pub warm: u32,
    /// Longest wait for a free connection. Default: 5 s.
    pub wait: Duration,
    /// A connection older than this is replaced when idle. Default: 30 min.
    pub max_lifetime: Duration,
    /// A connection idle for longer is asked whether it lives. Default: 30 s.
    pub ping_after_idle: Duration,
}

/// How long a server may work at one statement unless the declaration says otherwise.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

impl Default for Pool {
    fn default() -> Self {
        Self {
            max: 16,
            warm: 2,
            wait: Duration::from_secs(5),
            max_lifetime: Duration::from_secs(30 * 60),
            ping_after_idle: Duration::from_secs(30),
        }
    }
}

impl DatabaseKind {
    fn of(url: &str) -> Option<Self> {
        let (scheme, _) = url.split_once(':')?;
        match scheme {
            "sqlite" => Some(Self::Sqlite),
            "postgres" | "postgresql" => Some(Self::Postgres),
            "mysql" => Some(Self::Mysql),
            _ => None,
        }
    }

    /// Its name as people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
            Self::Mysql => "MySQL",
        }
    }

    fn has_feed(self) -> bool {
        self != Self::Mysql
    }
}

impl DatabaseUrl {
    /// The path of a SQLite file, relative to the working folder unless absolute: what follows `sqlite:` or `sqlite://`.
    #[must_use]
    pub fn sqlite_path(&self) -> Option<&str> {
        let path = self.text.expose().strip_prefix("sqlite:")?;
        Some(path.strip_prefix("//").unwrap_or(path))
    }
}

pub(super) fn database(table: &Table, findings: &mut Findings) -> Option<Database> {
    let pool = table.table("pool").map_or_else(|| Some(Pool::default()), |table| pool(table, findings));
    let url = url(table, findings)?;
    let feed = table.flag("feed").unwrap_or(false);
    if feed && !url.kind.has_feed() {
        findings.add(table.span("feed"), DatabaseFault::NoFeed { kind: url.kind.name() });
    }
    let replicas = replicas(table, &url, findings);
    let statement_timeout = table.duration("statement_timeout").unwrap_or(STATEMENT_TIMEOUT);
    Some(Database { url, pool: pool?, statement_timeout, replicas, feed })
}

/// The replicas of the database at `url`.
fn replicas(table: &Table, url: &DatabaseUrl, findings: &mut Findings) -> Vec<DatabaseUrl> {
    let mut replicas = Vec::new();
    if url.kind != DatabaseKind::Postgres && table.has("replicas") {
        findings.add(table.key_span("replicas"), DatabaseFault::NoReplicas { kind: url.kind.name() });
        return replicas;
    }
    for entry in table.texts("replicas") {
        let Some(text) = entry.text() else { continue };
        let fault = match DatabaseKind::of(text.expose()) {
            Some(DatabaseKind::Postgres) => {
                let url = DatabaseUrl { kind: DatabaseKind::Postgres, text: text.clone() };
                let fault = incomplete(&url);
                replicas.push(url);
                fault
            }
            _ => {
                let schemes = "`postgres://HOST/NAME`";
                Some(DatabaseFault::BadScheme { place: "a replica", schemes })
            }
        };
        if let Some(fault) = fault {
            findings.add(entry.span.clone(), fault);
        }
    }
    replicas
}

/// The address in `table`, which is that of a database or of an environment's.
pub(super) fn url(table: &Table, findings: &mut Findings) -> Option<DatabaseUrl> {
    required(
        table,
        "url",
        "write `url = \"sqlite:data/main.db\"` or `url = \"postgres://HOST/NAME\"`",
        findings,
    )?;
    let text = table.text("url")?.clone();
    let fault = match DatabaseKind::of(text.expose()) {
        None => DatabaseFault::BadScheme {
            place: "a database",
            schemes: "`sqlite:PATH`, `postgres://HOST/NAME` or `mysql://HOST/NAME`",
        },
        Some(kind) => {
            let url = DatabaseUrl { kind, text };
            match incomplete(&url) {
                None => return Some(url),
                Some(fault) => fault,
            }
        }
    };
    findings.add(table.span("url"), fault);
    None
}

fn incomplete(url: &DatabaseUrl) -> Option<DatabaseFault> {
    if let Some(path) = url.sqlite_path() {
        return match path {
            "" => Some(DatabaseFault::Incomplete { what: "a path", mend: "write `sqlite:data/main.db`" }),
            _ if path.contains(":memory:") || path.contains("mode=memory") => Some(DatabaseFault::InMemory),
            _ if path.contains('?') => Some(DatabaseFault::Incomplete {
                what: "no parameters after `?` for SQLite",
                mend: "write the path alone, like `sqlite:data/main.db`",
            }),
            _ => None,
        };
    }
    let place = url.text.expose().split_once("://").map_or("", |(_, place)| place);
    let is_whole = place.split_once('/').is_some_and(|(host, name)| !host.is_empty() && !name.is_empty());
    (!is_whole).then_some(DatabaseFault::Incomplete {
        what: "a host and the name of a database",
        mend: "write it like `postgres://USER@HOST:5432/NAME`, the password as `${PGPASSWORD}`",
    })
}

fn pool(table: &Table, findings: &mut Findings) -> Option<Pool> {
    let default = Pool::default();
    let max = number(table, "max").unwrap_or(default.max);
    let warm = number(table, "warm").unwrap_or(default.warm.min(max));
    if warm > max {
        findings.add(table.span("warm"), DatabaseFault::WarmOverMax { max });
        return None;
    }
    Some(Pool {
        max,
        warm,
        wait: table.duration("wait").unwrap_or(default.wait),
        max_lifetime: table.duration("max_lifetime").unwrap_or(default.max_lifetime),
        ping_after_idle: table.duration("ping_after_idle").unwrap_or(default.ping_after_idle),
    })
}

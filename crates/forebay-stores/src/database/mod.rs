//! Declared databases: one pool each, opened as declared, migrated in order.
//!
//! It guarantees that a `Database` was reachable once, and that a migration is applied once, whole or not at all. What is
//! asked of a database (loading declared queries) is the work of `source::sql`; what an app changes in it goes through a
//! [`transaction`].

pub(crate) mod cancel;
mod connections;
mod postgres;
pub(crate) mod replica;
mod sqlite;
mod statement;
pub mod transaction;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{Migration as SqlxMigration, MigrationType, Migrator};
use sqlx::pool::{PoolConnectionMetadata, PoolOptions};
use sqlx::postgres::PgPool;
use sqlx::sqlite::SqlitePool;

pub use connections::{Connections, Ping};
pub use postgres::Url;
pub use statement::{Column, Parameter, Row, Statement};

/// How a database is reached and how its pool behaves.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    /// Where it is.
    pub address: Address,
    /// Most connections open at once, beside the one by which transactions write to a SQLite file.
    pub pool_max: u32,
    /// Connections kept open when idle.
    pub pool_warm: u32,
    /// Longest wait for a free connection.
    pub pool_wait: Duration,
    /// Longest life of a connection.
    pub pool_max_lifetime: Duration,
    /// A connection that was idle for longer is tried before it is used.
    pub pool_ping_after_idle: Duration,
    /// The longest that a database works at one statement of a source before it is given up, and that a commit is waited for.
    pub statement_timeout: Duration,
    /// Streaming replicas of a PostgreSQL database, each with a pool like the database's own: sources read them where they have applied
    /// all that was committed before a load began.
    pub replicas: Vec<Url>,
    /// Whether a SQLite file that is missing is made. Otherwise a mistyped path is told as such.
    pub create: bool,
}

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL server, and a database on it.
    Postgres(Url),
}

/// A kind of database, and its dialect of SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

impl std::fmt::Display for Dialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

impl DatabaseOptions {
    /// A SQLite file at `path`, made when it is missing, behind a pool of `pool_max` connections; all else is what a
    /// program of one's own would want: a wait of 5 s, an hour for a connection, a try after 30 s of rest.
    #[must_use]
    pub fn sqlite(path: impl Into<PathBuf>, pool_max: u32) -> Self {
        Self::of(Address::Sqlite(path.into()), pool_max)
    }

    /// The PostgreSQL database at `url`, behind a pool of `pool_max` connections; a statement may take 30 s, all else is as for
    /// SQLite.
    #[must_use]
    pub fn postgres(url: Url, pool_max: u32) -> Self {
        Self::of(Address::Postgres(url), pool_max)
    }

    fn of(address: Address, pool_max: u32) -> Self {
        Self {
            address,
            pool_max,
            pool_warm: 0,
            pool_wait: Duration::from_secs(5),
            pool_max_lifetime: Duration::from_secs(60 * 60),
            pool_ping_after_idle: Duration::from_secs(30),
            statement_timeout: Duration::from_secs(30),
            replicas: Vec::new(),
            create: true,
        }
    }

    /// A pool as it is declared, for any kind of database.
    fn pool<D: sqlx::Database>(&self) -> PoolOptions<D> {
        let ping_after_idle = self.pool_ping_after_idle;
        PoolOptions::new()
            .max_connections(self.pool_max)
            .min_connections(self.pool_warm)
            .acquire_timeout(self.pool_wait)
            .max_lifetime(self.pool_max_lifetime)
            .test_before_acquire(false)
            .before_acquire(move |connection: &mut D::Connection, state: PoolConnectionMetadata| {
                Box::pin(async move {
                    if state.idle_for >= ping_after_idle {
                        sqlx::Connection::ping(connection).await?;
                    }
                    Ok(true)
                })
            })
    }
}

/// A name as either database is told it, whatever is in it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// One change of a schema.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its place in the order; unique within an app.
    pub version: i64,
    /// What it does, in a few words.
    pub name: &'static str,
    /// The statements, for SQLite.
    pub sqlite: &'static str,
    /// The same for PostgreSQL, where the schema has such a form.
    pub postgres: Option<&'static str>,
}

impl Migration {
    fn of(&self, dialect: Dialect) -> Result<SqlxMigration, DatabaseError> {
        let statements = match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres.ok_or(DatabaseError::Dialect { wanted: Dialect::Sqlite })?,
        };
        let (name, text) = (Cow::Borrowed(self.name), sqlx::SqlStr::from_static(statements));
        Ok(SqlxMigration::new(self.version, name, MigrationType::Simple, text, false))
    }
}

/// An open database.
#[derive(Clone, Debug)]
pub struct Database {
    pool: Pool,
    /// Who is read in its place.
    replicas: Option<Arc<replica::Replicas>>,
    /// How long it may take to answer a statement of a source, and a commit with what goes with it.
    within: Duration,
    writers: Arc<transaction::sqlite::Writers>,
    /// Whom its transactions tell of what they have changed.
    fed: Vec<transaction::Fed>,
}

/// Its connections.
#[derive(Clone, Debug)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Why a database could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The folder of a SQLite file could not be made.
    #[error("cannot make the folder {}: {source}", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// There is no such SQLite file.
    #[error("there is no database file {}; correct the url, or make it first", .path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// What is asked of it needs a database of another kind.
    #[error("this needs a {wanted} database: declare one, or do without what asks for it")]
    Dialect {
        /// The kind.
        wanted: Dialect,
    },
    /// It could not be opened or asked.
    #[error("{0}")]
    Driver(#[from] sqlx::Error),
    /// A migration failed; the schema is as before it.
    #[error("{0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl Database {
    /// Opens the database and its warm connections.
    ///
    /// # Errors
    /// When the file is missing, or cannot be made or opened.
    pub async fn open(options: &DatabaseOptions) -> Result<Self, DatabaseError> {
        let pool = match &options.address {
            Address::Sqlite(path) => Pool::Sqlite(sqlite::open(path, options).await?),
            Address::Postgres(url) => Pool::Postgres(postgres::open(url, options).await?),
        };
        let replicas = match &pool {
            Pool::Sqlite(_) => None,
            Pool::Postgres(_) => replica::of(options),
        };
        Ok(Self { replicas, ..Self::alone(pool, options) })
    }

    fn alone(pool: Pool, options: &DatabaseOptions) -> Self {
        Self {
            pool,
            replicas: None,
            within: options.statement_timeout,
            writers: Arc::default(),
            fed: Vec::new(),
        }
    }

    /// Opens the database to be read and to prepare what writes; nothing in it is changed.
    ///
    /// # Errors
    /// When the file is missing, or cannot be opened.
    pub async fn open_to_read(options: &DatabaseOptions) -> Result<Self, DatabaseError> {
        let pool = match &options.address {
            Address::Sqlite(path) => Pool::Sqlite(sqlite::open_to_read(path, options).await?),
            Address::Postgres(url) => Pool::Postgres(postgres::open_to_read(url, options).await?),
        };
        Ok(Self::alone(pool, options))
    }

    /// Applies the migrations that this database has not seen, in order of version.
    ///
    /// # Errors
    /// When a statement fails, an applied migration has changed since, or one has no form for this database.
    pub async fn migrate(&self, migrations: &[Migration]) -> Result<(), DatabaseError> {
        let dialect = self.dialect();
        let list = migrations.iter().map(|migration| migration.of(dialect)).collect::<Result<_, _>>()?;
        let migrator = Migrator::with_migrations(list);
        match &self.pool {
            Pool::Sqlite(pool) => migrator.run(pool).await?,
            Pool::Postgres(pool) => migrator.run(pool).await?,
        }
        Ok(())
    }

    /// What it is asked in.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match &self.pool {
            Pool::Sqlite(_) => Dialect::Sqlite,
            Pool::Postgres(_) => Dialect::Postgres,
        }
    }

    /// The pool of a SQLite database.
    ///
    /// # Errors
    /// [`DatabaseError::Dialect`] of another.
    pub fn sqlite(&self) -> Result<&SqlitePool, DatabaseError> {
        match &self.pool {
            Pool::Sqlite(pool) => Ok(pool),
            Pool::Postgres(_) => Err(DatabaseError::Dialect { wanted: Dialect::Sqlite }),
        }
    }

    /// The pool of a PostgreSQL database.
    ///
    /// # Errors
    /// [`DatabaseError::Dialect`] of another.
    pub fn postgres(&self) -> Result<&PgPool, DatabaseError> {
        match &self.pool {
            Pool::Postgres(pool) => Ok(pool),
            Pool::Sqlite(_) => Err(DatabaseError::Dialect { wanted: Dialect::Postgres }),
        }
    }

    /// Who is read in its place.
    pub(crate) fn replicas(&self) -> Option<Arc<replica::Replicas>> {
        self.replicas.clone()
    }

    /// How long a statement may take.
    pub(crate) fn within(&self) -> Duration {
        self.within
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }
}

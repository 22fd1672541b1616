//! Declared databases: one pool each, opened as declared, migrated in order.
//!
//! It guarantees that a `Database` was reachable once, and that a migration is applied once, whole or not at all. What is
//! asked of a database (loading declared queries) is the work of `source::sql`.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::migrate::{Migration as SqlxMigration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

/// How a database is reached and how its pool behaves.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    /// Where it is.
    pub address: Address,
    /// Most connections open at once.
    pub pool_max: u32,
    /// Connections kept open when idle.
    pub pool_warm: u32,
    /// Longest wait for a free connection.
    pub pool_wait: Duration,
    /// Longest life of a connection.
    pub pool_max_lifetime: Duration,
    /// A connection that was idle for longer is tried before it is used.
    pub pool_ping_after_idle: Duration,
    /// Whether a SQLite file that is missing is made. Otherwise a mistyped path is told as such.
    pub create: bool,
}

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A SQLite file.
    Sqlite(PathBuf),
}

impl DatabaseOptions {
    /// A SQLite file at `path`, made when it is missing, behind a pool of `pool_max` connections; all else is what a
    /// program of one's own would want: a wait of 5 s, an hour for a connection, a try after 30 s of rest.
    #[must_use]
    pub fn sqlite(path: impl Into<PathBuf>, pool_max: u32) -> Self {
        Self {
            address: Address::Sqlite(path.into()),
            pool_max,
            pool_warm: 0,
            pool_wait: Duration::from_secs(5),
            pool_max_lifetime: Duration::from_secs(60 * 60),
            pool_ping_after_idle: Duration::from_secs(30),
            create: true,
        }
    }
}

/// One change of a schema.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its place in the order; unique within an app.
    pub version: i64,
    /// What it does, in a few words.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
}

/// An open database.
#[derive(Clone, Debug)]
pub struct Database {
    pool: SqlitePool,
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
        let Address::Sqlite(path) = &options.address;
        if !options.create && !path.exists() {
            return Err(DatabaseError::Missing { path: path.clone() });
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|source| DatabaseError::Folder { folder: folder.to_path_buf(), source })?;
        }
        let connect = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(options.create)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(options.pool_wait);
        let ping_after_idle = options.pool_ping_after_idle;
        let pool = SqlitePoolOptions::new()
            .max_connections(options.pool_max)
            .min_connections(options.pool_warm)
            .acquire_timeout(options.pool_wait)
            .max_lifetime(options.pool_max_lifetime)
            .test_before_acquire(false)
            .before_acquire(move |connection, state| {
                Box::pin(async move {
                    if state.idle_for >= ping_after_idle {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(connect)
            .await?;
        Ok(Self { pool })
    }

    /// Applies the migrations that this database has not seen, in order of version.
    ///
    /// # Errors
    /// When a statement fails, or an applied migration has changed since.
    pub async fn migrate(&self, migrations: &[Migration]) -> Result<(), DatabaseError> {
        let list = migrations
            .iter()
            .map(|migration| {
                SqlxMigration::new(
                    migration.version,
                    Cow::Borrowed(migration.name),
                    MigrationType::Simple,
                    sqlx::SqlStr::from_static(migration.sql),
                    false,
                )
            })
            .collect();
        Migrator::with_migrations(list).run(&self.pool).await?;
        Ok(())
    }

    /// The SQLite pool behind it.
    #[must_use]
    pub fn sqlite(&self) -> &SqlitePool {
        &self.pool
    }
}

//! SQLite: a file with a write-ahead log.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};

use super::{DatabaseError, DatabaseOptions};

/// Opens the file at `path`.
pub(super) async fn open(path: &Path, options: &DatabaseOptions) -> Result<SqlitePool, DatabaseError> {
    if !options.create && !path.exists() {
        return Err(DatabaseError::Missing { path: path.to_owned() });
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .map_err(|source| DatabaseError::Folder { folder: folder.to_path_buf(), source })?;
    }
    let connect = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(options.pool_wait);
    if options.create {
        // At the start alone: a file that is taken away later is missed, and not made anew without a table in it.
        connect.clone().create_if_missing(true).connect().await?.close().await?;
    }
    Ok(options.pool().connect_with(connect).await?)
}

/// Opens the file at `path` for statements that change nothing. A log that was left beside it is read and stays as it is: to write
/// it back is for those who write.
pub(super) async fn open_to_read(
    path: &Path,
    options: &DatabaseOptions,
) -> Result<SqlitePool, DatabaseError> {
    if !path.exists() {
        return Err(DatabaseError::Missing { path: path.to_owned() });
    }
    let connect = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(options.pool_wait);
    Ok(options.pool().connect_with(connect).await?)
}

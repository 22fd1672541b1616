//! `forebay backup` and `forebay restore`: what stores hold, copied from and to a data folder that no server has open.

use std::future::Future;
use std::path::{Path, PathBuf};

use forebay_server::disks::{self, BackupError};

use crate::arguments::{Backup, DEFAULT_FILE, Restore};
use crate::{Failure, check, say};

/// Writes a backup.
pub(crate) fn backup(asked: &Backup) -> Result<(), Failure> {
    let data = match &asked.data {
        Some(data) => data.clone(),
        None => declared_data()?,
    };
    let done = waited_for(disks::backup(&data, &asked.to))?;
    let (rows, bytes) = (done.rows, done.bytes);
    say(&format!("{} has {rows} rows of {bytes} bytes from {}", asked.to.display(), data.display()));
    Ok(())
}

/// Brings a backup back.
pub(crate) fn restore(asked: &Restore) -> Result<(), Failure> {
    let done = waited_for(disks::restore(&asked.from, &asked.to))?;
    let (rows, bytes) = (done.rows, done.bytes);
    say(&format!("{} has {rows} rows of {bytes} bytes from {}", asked.to.display(), asked.from.display()));
    Ok(())
}

/// The data folder of the declaration that would be served here.
fn declared_data() -> Result<PathBuf, Failure> {
    let file = Path::new(DEFAULT_FILE);
    let declared = if file.exists() { vec![check::read_file(file)?] } else { Vec::new() };
    Ok(check::assemble(declared)?.server.data)
}

fn waited_for<T>(work: impl Future<Output = Result<T, BackupError>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure(format!("cannot start: {error}")))?;
    runtime.block_on(work).map_err(|error| Failure::new(&error))
}

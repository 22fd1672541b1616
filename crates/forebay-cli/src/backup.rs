//! `forebay backup` and `forebay restore`: what stores hold, copied from a data folder and back to one. Where a server has the folder, that
//! one is asked for the backup, and goes on serving.

use std::future::Future;
use std::path::{Path, PathBuf};

use forebay_server::disks::{self, BackupError};

use forebay_wire::resp::Reply;

use crate::arguments::{Backup, DEFAULT_FILE, Restore};
use crate::client::Client;
use crate::{Failure, check, say};

/// Writes a backup.
pub(crate) fn backup(asked: &Backup) -> Result<(), Failure> {
    let data = match &asked.data {
        Some(data) => data.clone(),
        None => declared_data()?,
    };
    match waited_for(disks::backup(&data, &asked.to)) {
        Ok(done) => tell(&asked.to, done.rows, done.bytes, &data.display()),
        Err(BackupError::InUse { folder, holder }) => {
            let why = |Failure(failure)| {
                format!(
                    "{} is in use by {holder}, which is asked for the backup: {failure}",
                    folder.display()
                )
            };
            return by_its_server(asked).map_err(|failure| Failure(why(failure)));
        }
        Err(error) => return Err(Failure::new(&error)),
    }
    Ok(())
}

/// Has the process that serves write the backup.
fn by_its_server(asked: &Backup) -> Result<(), Failure> {
    let to = std::path::absolute(&asked.to).map_err(|error| Failure::new(&error))?;
    let to = to.to_str().ok_or_else(|| Failure("name a folder whose name is text".into()))?;
    let Reply::Map(done) = Client::connect(&asked.at)?.call(&["FB.BACKUP", to])? else {
        return Err(Failure("the server's answer is none that is known: is it of another version?".into()));
    };
    let number = |at: usize| match done.get(at) {
        Some((_, Reply::Integer(number))) => u64::try_from(*number).unwrap_or_default(),
        _ => 0,
    };
    tell(&asked.to, number(0), number(1), &"the server that has them");
    Ok(())
}

fn tell(to: &Path, rows: u64, bytes: u64, from: &dyn std::fmt::Display) {
    say(&format!("{} has {rows} rows of {bytes} bytes from {from}", to.display()));
}

/// Brings a backup back.
pub(crate) fn restore(asked: &Restore) -> Result<(), Failure> {
    let done = waited_for(disks::restore(&asked.from, &asked.to)).map_err(|error| Failure::new(&error))?;
    tell(&asked.to, done.rows, done.bytes, &asked.from.display());
    Ok(())
}

/// The data folder of the declaration that would be served here.
fn declared_data() -> Result<PathBuf, Failure> {
    let file = Path::new(DEFAULT_FILE);
    let declared = if file.exists() { vec![check::read_file(file)?] } else { Vec::new() };
    Ok(check::assemble(declared)?.server.data)
}

fn waited_for<T>(work: impl Future<Output = Result<T, BackupError>>) -> Result<T, BackupError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(BackupError::NoRuntime)?.block_on(work)
}

//! `forebay backup` and `forebay restore`: what stores hold, copied from a data folder and back to one. Where a server has the folder, that
//! one is asked for the backup, and goes on serving.

use std::path::{Path, PathBuf};

use forebay_server::disks::{self, BackupError};
use forebay_wire::resp::Reply;
use serde_json::json;

use crate::arguments::{Backup, Restore};
use crate::client::Client;
use crate::{Failure, check, runtime, say};

/// Writes a backup.
pub(crate) fn backup(asked: &Backup) -> Result<(), Failure> {
    let data = match &asked.data {
        Some(data) => data.clone(),
        // Its address is all that need be known of it: neither its folder nor what a declaration keeps secret.
        None if asked.at.resp.is_some() => return by_its_server(asked, None),
        None => declared_data(asked.at.db.unwrap_or_default())?,
    };
    match runtime()?.block_on(disks::backup(&data, &asked.to)) {
        Ok(done) => tell(&asked.to, (done.rows, done.bytes), &data.display(), asked.json),
        Err(BackupError::InUse { folder, holder }) => {
            let why = |Failure(failure)| {
                format!(
                    "{} is in use by {holder}, which is asked for the backup: {failure}",
                    folder.display()
                )
            };
            by_its_server(asked, Some(&data)).map_err(|failure| Failure(why(failure)))
        }
        Err(error) => Err(Failure::new(&error)),
    }
}

/// Has the process that serves write the backup to its own machine's disk, of the stores in `data` where that is said.
fn by_its_server(asked: &Backup, data: Option<&Path>) -> Result<(), Failure> {
    let mut client = Client::connect(&asked.at)?;
    let from = match client.place().is_here()? {
        true => "the server that has them".to_owned(),
        // A folder of this machine would mean another one there.
        false if asked.to.is_relative() => {
            let (address, to) = (&client.place().address, asked.to.display());
            return Err(Failure(format!(
                "{address} is another machine, and writes the backup to its own disk: say {to} from its root"
            )));
        }
        false => format!("{0}, on the disk of {0}", client.place().address),
    };
    let words = ["FB.BACKUP".to_owned(), whole(&asked.to)?].into_iter();
    let words: Vec<String> = words.chain(data.map(whole).transpose()?).collect();
    let Reply::Map(done) = client.call_long(&words)? else {
        return Err(Failure::unknown_answer());
    };
    let number = |at: usize| match done.get(at) {
        Some((_, Reply::Integer(number))) => u64::try_from(*number).unwrap_or_default(),
        _ => 0,
    };
    tell(&asked.to, (number(0), number(1)), &from, asked.json)
}

fn tell(
    to: &Path,
    (rows, bytes): (u64, u64),
    from: &dyn std::fmt::Display,
    as_json: bool,
) -> Result<(), Failure> {
    if as_json {
        say(&json!({ "to": to.display().to_string(), "rows": rows, "bytes": bytes }).to_string())
    } else {
        say(&format!("{} has {rows} rows of {bytes} bytes from {from}", to.display()))
    }
}

/// Brings a backup back.
pub(crate) fn restore(asked: &Restore) -> Result<(), Failure> {
    let done = runtime()?.block_on(disks::restore(&asked.from, &asked.to));
    let done = done.map_err(|error| Failure::new(&error))?;
    tell(&asked.to, (done.rows, done.bytes), &asked.from.display(), asked.json)
}

/// The data folder of the keyspace of this number, of the declaration that would be served here.
fn declared_data(db: u16) -> Result<PathBuf, Failure> {
    let deployment = check::declared_here()?;
    let keyspace = deployment.keyspaces.iter().find(|keyspace| keyspace.db == db);
    match keyspace {
        Some(keyspace) => Ok(keyspace.data.clone()),
        None if db == 0 => Ok(deployment.server.data),
        None => Err(Failure(format!("no keyspace has the number {db} here: name its data folder by --data"))),
    }
}

/// `path` from the root.
fn whole(path: &Path) -> Result<String, Failure> {
    let path = std::path::absolute(path).map_err(|error| Failure::new(&error))?;
    path.into_os_string().into_string().map_err(|_| Failure("name a folder whose name is text".into()))
}

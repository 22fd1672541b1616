//! A private PostgreSQL, and a streaming replica of it: loopback only, never as root, `wal_level = logical`.
//!
//! It guarantees nothing about durability, unless it is asked to: `fsync` is off. Shared memory is kept in the data folder or anonymous, so that it
//! goes with the server.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::program;
use super::server::{Plan, Server, User, dying_with_us};
use crate::{Error, cargo, needs};

/// Users that root may start PostgreSQL as; the first is made by Debian's package.
const USERS: &[&str] = &["postgres", "nobody"];

/// What the server is told, beside its port and folders.
const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "wal_level=logical",
    "max_wal_senders=20",
    "max_replication_slots=20",
    "max_connections=200",
    "hot_standby=on",
    "shared_buffers=32MB",
    // Kept in the data folder, so that it goes with it.
    "dynamic_shared_memory_type=mmap",
    "logging_collector=off",
    "log_destination=stderr",
];

/// What it is told besides where nobody minds what a loss of power takes.
const HASTY: &[&str] = &["fsync=off", "full_page_writes=off"];

/// Starts a primary that lives in `folder`; what it confirms is on the disk where it `is_durable`.
pub(super) fn start(folder: &Path, is_durable: bool) -> Result<Server, Error> {
    let user = unprivileged()?;
    let data = own_folder(folder, "pg", user.as_ref())?;
    let mut initdb = dying_with_us(user.as_ref(), "KILL")?;
    initdb.arg(program("initdb")?).args([
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
    ]);
    initdb.arg("--no-sync").arg("-D").arg(data.join("data")).current_dir(&data);
    cargo::output(&mut initdb, "look at what initdb says")?;
    let hasty: &[&str] = if is_durable { &[] } else { HASTY };
    serve("postgres", &data, user.as_ref(), "database system is ready to accept connections", hasty)
}

/// Starts a streaming replica of the primary at `primary_port`, which lives in the folder `own` of `folder`.
pub(super) fn start_replica(folder: &Path, own: &str, primary_port: u16) -> Result<Server, Error> {
    let user = unprivileged()?;
    let data = own_folder(folder, own, user.as_ref())?;
    let mut copy = dying_with_us(user.as_ref(), "KILL")?;
    copy.arg(program("pg_basebackup")?).args([
        "-h",
        "127.0.0.1",
        "-p",
        &primary_port.to_string(),
        "-U",
        "postgres",
    ]);
    copy.args(["-R", "-X", "stream", "--checkpoint=fast", "--no-sync", "-D"]).arg(data.join("data"));
    copy.current_dir(&data);
    cargo::output(&mut copy, "look at what pg_basebackup says")?;
    serve("postgres-replica", &data, user.as_ref(), "database system is ready to accept read", HASTY)
}

fn serve(
    name: &'static str,
    folder: &Path,
    user: Option<&User>,
    ready: &str,
    besides: &[&str],
) -> Result<Server, Error> {
    let postgres = program("postgres")?;
    let mut sockets = OsString::from("unix_socket_directories=");
    sockets.push(folder);
    let command = |port: u16| {
        let mut words: Vec<OsString> = vec![postgres.clone().into(), "-D".into(), folder.join("data").into()];
        words.extend(["-p".into(), port.to_string().into(), "-c".into(), sockets.clone()]);
        let settings = SETTINGS.iter().chain(besides);
        words.extend(settings.flat_map(|setting| ["-c".into(), setting.into()]));
        words
    };
    Server::start(&Plan {
        name,
        folder,
        ready,
        // At once, and with its shared memory removed, which KILL would leave behind.
        ends_on: "QUIT",
        user,
        command: &command,
        url: &|port| format!("postgres://postgres@127.0.0.1:{port}/postgres"),
    })
}

/// A folder of the server's own user, empty.
fn own_folder(parent: &Path, name: &str, user: Option<&User>) -> Result<PathBuf, Error> {
    let folder = parent.join(name);
    let doing = || format!("making {}", folder.display());
    if folder.exists() {
        // Left by an attempt that failed.
        fs::remove_dir_all(&folder).map_err(Error::io(doing()))?;
    }
    fs::create_dir(&folder).map_err(Error::io(doing()))?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).map_err(Error::io(doing()))?;
    if let Some(User { uid, gid }) = user {
        chown(&folder, Some(*uid), Some(*gid)).map_err(Error::io(doing()))?;
    }
    Ok(folder)
}

/// Whom to run as: PostgreSQL refuses root.
fn unprivileged() -> Result<Option<User>, Error> {
    if !needs::is_root() {
        return Ok(None);
    }
    let found =
        USERS.iter().find_map(|name| Some(User { uid: number("-u", name)?, gid: number("-g", name)? }));
    let missing = || Error::Missing {
        missing: format!("a user to run PostgreSQL as (one of {})", USERS.join(", ")),
        mend: "useradd --system postgres".to_owned(),
    };
    found.ok_or_else(missing).map(Some)
}

fn number(kind: &str, name: &str) -> Option<u32> {
    let mut id = std::process::Command::new("id");
    cargo::output(id.args([kind, name]), "").ok()?.trim().parse().ok()
}

//! A private Redis: loopback only, nothing on disk.

use std::fs;
use std::path::Path;

use super::program;
use super::server::{Plan, Server};
use crate::Error;

/// Starts one that lives in `folder`.
pub(super) fn start(folder: &Path) -> Result<Server, Error> {
    let redis = program("redis-server")?;
    let folder = folder.join("redis");
    fs::create_dir_all(&folder).map_err(Error::io(format!("making {}", folder.display())))?;
    let command = |port: u16| {
        let port = port.to_string();
        let arguments =
            ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no", "--daemonize", "no"];
        std::iter::once(redis.clone().into()).chain(arguments.iter().map(Into::into)).collect()
    };
    Server::start(&Plan {
        name: "redis",
        folder: &folder,
        ready: "Ready to accept connections",
        // Nothing to clean up, and a log line less.
        ends_on: "KILL",
        user: None,
        command: &command,
        url: &|port| format!("redis://127.0.0.1:{port}"),
    })
}

//! One server process: started as the right user, ready when its log says so, gone when dropped.
//!
//! Readiness and the end are read from the server's log, which it writes to a pipe: nothing is polled. It dies with the
//! thread that started it (`PR_SET_PDEATHSIG`), so even `kill -9` of this process leaves no server.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::program;
use crate::Error;
use crate::process::{collect, signal};

/// How long a server may take until it is ready.
const START: Duration = Duration::from_secs(60);

/// How many ports are tried where somebody takes one between our looking and the server's opening it.
const ATTEMPTS: usize = 5;

/// Lines of log shown with an error.
const TAIL_LINES: usize = 15;

/// Whom a server runs as.
#[derive(Clone, Debug)]
pub struct User {
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
}

/// How a server is started.
pub struct Plan<'a> {
    /// What it is.
    pub name: &'static str,
    /// The folder for its log; it exists.
    pub folder: &'a Path,
    /// The line of its log that says it is ready.
    pub ready: &'a str,
    /// The signal that ends it and lets it clean up.
    pub ends_on: &'static str,
    /// Whom it runs as; `None` is ourselves.
    pub user: Option<&'a User>,
    /// Its program and arguments for a port.
    pub command: &'a dyn Fn(u16) -> Vec<std::ffi::OsString>,
    /// Its URL for a port.
    pub url: &'a dyn Fn(u16) -> String,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Its port on the loopback address.
    pub port: u16,
    /// What clients connect to.
    pub url: String,
    name: &'static str,
    ends_on: &'static str,
    log: std::path::PathBuf,
    child: Child,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server on a free port and waits until it is ready.
    ///
    /// # Errors
    /// When it does not come up; the end of its log is told.
    pub fn start(plan: &Plan<'_>) -> Result<Self, Error> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match Self::try_start(plan, free_port()?) {
                Ok(server) => return Ok(server),
                Err(error) => {
                    let busy = error.to_string().contains("Address already in use");
                    last = Some(error);
                    if !busy {
                        break;
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| server_error(plan.name, "it did not come up", plan.folder)))
    }

    fn try_start(plan: &Plan<'_>, port: u16) -> Result<Self, Error> {
        let log = plan.folder.join("log");
        let file = File::create(&log).map_err(Error::io(format!("creating {}", log.display())))?;
        let (pipe, writer) = std::io::pipe().map_err(Error::io("making a pipe"))?;
        let second = writer.try_clone().map_err(Error::io("making a pipe"))?;
        let mut command = dying_with_us(plan.user, plan.ends_on)?;
        command.args((plan.command)(port)).current_dir(plan.folder);
        // A group of its own, so that Ctrl-C in a terminal reaches it only through us.
        command.stdin(Stdio::null()).stdout(writer).stderr(second).process_group(0);
        let child = command.spawn().map_err(Error::io(format!("starting {}", plan.name)))?;
        // The command holds our ends of the pipe: while it lives, the end of the log is never seen.
        drop(command);
        let (tell, told) = sync_channel(1);
        let ready = plan.ready.to_owned();
        let reader = Builder::new()
            .name(format!("{} log", plan.name))
            .spawn(move || follow(pipe, file, &ready, &tell));
        let mut server = Self {
            port,
            url: (plan.url)(port),
            name: plan.name,
            ends_on: plan.ends_on,
            log,
            child,
            reader: None,
        };
        server.reader = Some(reader.map_err(Error::io("starting a thread"))?);
        server.wait_until_ready(&told)?;
        Ok(server)
    }

    fn wait_until_ready(&self, told: &Receiver<()>) -> Result<(), Error> {
        let what = match told.recv_timeout(START) {
            Ok(()) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => "it is not ready after a minute; its log ends:",
            Err(RecvTimeoutError::Disconnected) => "it ended while starting; its log ends:",
        };
        Err(server_error(self.name, what, &self.log))
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When it went away; the end of its log is told.
    pub fn check_alive(&mut self) -> Result<(), Error> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            _ => Err(server_error(self.name, "it has ended; its log ends:", &self.log)),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        signal(self.ends_on, &self.child.id().to_string());
        collect(&mut self.child);
        // A worker of a server that had to be killed must not outlive it: it is in its group.
        signal("KILL", &format!("-{}", self.child.id()));
        if let Some(reader) = self.reader.take() {
            // A reader that panicked has nothing left to say.
            let _ = reader.join();
        }
    }
}

/// Copies the log to a file and tells once that the line `ready` came; hangs up where it never does.
fn follow(pipe: impl Read, mut file: File, ready: &str, tell: &SyncSender<()>) {
    let mut lines = BufReader::new(pipe);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        // A full disk loses the log, never the server.
        let _ = file.write_all(&line);
        if String::from_utf8_lossy(&line).contains(ready) {
            // Told already: nobody listens the second time.
            let _ = tell.try_send(());
        }
        line.clear();
    }
}

/// `setpriv` before a program, so that it gets `ends_on` when the calling thread ends, and runs as `user`.
///
/// # Errors
/// When `setpriv` is missing.
pub(super) fn dying_with_us(user: Option<&User>, ends_on: &str) -> Result<Command, Error> {
    let mut command = Command::new(program("setpriv")?);
    command.args(["--pdeathsig", ends_on]);
    if let Some(User { uid, gid }) = user {
        command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()]);
        // Root's home and name mean nothing to them.
        command.env_remove("HOME").env_remove("USER").env_remove("LOGNAME");
    }
    command.env("LC_ALL", "C");
    command.arg("--");
    Ok(command)
}

fn free_port() -> Result<u16, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::io("looking for a free port"))?;
    Ok(listener.local_addr().map_err(Error::io("looking for a free port"))?.port())
}

fn server_error(server: &'static str, what: &str, log: &Path) -> Error {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or(&[]);
    Error::Server { server, what: what.to_owned(), said: tail.join("\n") }
}

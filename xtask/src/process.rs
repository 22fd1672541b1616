//! Programs that end with us: process groups, deadlines, signals, output passed on line by line.
//!
//! It guarantees that a program started by [`Runner::run`] is gone when that returns, with everything it left in its
//! process group, and that a request to stop (Ctrl-C, SIGTERM, SIGHUP) ends it first. A program that leaves its group on
//! purpose is beyond reach. Linux only: groups are looked up in `/proc`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::Error;

/// How often a wait looks whether it was asked to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a program may take to end once asked.
const GRACE: Duration = Duration::from_secs(10);

/// The present, for durations shown to people and for deadlines.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "chores run by the system's clock; they make no promise about time"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Whether somebody asked us to stop.
#[derive(Clone, Debug)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From here on SIGINT, SIGTERM and SIGHUP no longer end the process but are noted.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn listen() -> Result<Self, Error> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&asked))
                .map_err(Error::io("listening for signals"))?;
        }
        Ok(Self(asked))
    }

    /// One that nobody asks.
    #[must_use]
    pub fn never() -> Self {
        Self(Arc::default())
    }

    /// Whether to stop.
    #[must_use]
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits until asked.
    pub fn wait(&self) {
        while !self.asked() {
            thread::park_timeout(LOOK_EVERY);
        }
    }
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// Command lines of the processes that it left behind; they have been killed.
    pub left_behind: Vec<String>,
    /// Whether it was ended because it ran past its deadline.
    pub late: bool,
}

/// Runs programs, one at a time, each in a process group of its own.
#[derive(Clone, Debug)]
pub struct Runner {
    /// Ends what runs.
    pub stop: Stop,
    /// How long a program may run.
    pub limit: Duration,
}

impl Runner {
    /// Runs `command` to its end, passing its standard output on and showing each line to `see`.
    ///
    /// # Errors
    /// When it cannot be started, or on a request to stop.
    pub fn run(&self, mut command: Command, see: impl FnMut(&str) + Send) -> Result<Ended, Error> {
        if self.stop.asked() {
            return Err(Error::Stopped);
        }
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(Error::io(format!("starting {program}")))?;
        let group = child.id();
        let output = child.stdout.take();
        let (tell, told) = sync_channel(1);
        let (status, late, left_behind) = thread::scope(|scope| {
            scope.spawn(move || tell.send(child.wait()));
            scope.spawn(move || output.map(|output| pass_on(output, see)));
            let (status, late) = self.wait(group, &told);
            // Whoever is left may hold the output open: the reader ends only after this.
            (status, late, end_group(group))
        });
        if self.stop.asked() {
            return Err(Error::Stopped);
        }
        let status = status.map_err(Error::io(format!("waiting for {program}")))?;
        Ok(Ended { status, left_behind, late })
    }

    fn wait(
        &self,
        group: u32,
        told: &Receiver<std::io::Result<ExitStatus>>,
    ) -> (std::io::Result<ExitStatus>, bool) {
        let deadline = now() + self.limit;
        let mut asked_at: Option<Instant> = None;
        loop {
            match told.recv_timeout(LOOK_EVERY) {
                Ok(status) => return (status, asked_at.is_some()),
                Err(RecvTimeoutError::Disconnected) => {
                    return (Err(std::io::ErrorKind::BrokenPipe.into()), false);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            match asked_at {
                None if self.stop.asked() || now() > deadline => {
                    asked_at = Some(now());
                    signal("TERM", &format!("-{group}"));
                }
                Some(since) if since.elapsed() > GRACE => signal("KILL", &format!("-{group}")),
                _ => {}
            }
        }
    }
}

/// Writes a line to standard output.
///
/// A reader that went away (`| head`) is no reason to stop in the middle of something, as `println!` would.
pub fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn pass_on(output: impl std::io::Read, mut see: impl FnMut(&str)) {
    let mut lines = BufReader::new(output);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        // A closed terminal is no reason to stop the work.
        let _ = std::io::stdout().write_all(&line);
        see(&String::from_utf8_lossy(&line));
        line.clear();
    }
}

/// Sends the signal named `name` to `target`: a process, or with a leading `-` a group.
///
/// The shell's own `kill` does it, since the standard library cannot and `unsafe` is forbidden.
pub fn signal(name: &str, target: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "kill -\"$1\" \"$2\"", "kill", name, target]);
    // Nobody there to get it: that is what was wanted.
    let _ = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// Kills what is alive in `group` and gives the command lines.
fn end_group(group: u32) -> Vec<String> {
    let alive = alive_in(group);
    if !alive.is_empty() {
        signal("KILL", &format!("-{group}"));
    }
    alive
}

fn alive_in(group: u32) -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_process = |name: &String| name.bytes().all(|b| b.is_ascii_digit());
    let processes = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(is_process);
    processes
        .filter(|process| group_of(process) == Some(group))
        .map(|process| command_line(&process))
        .collect()
}

/// The command line of a process; its name in brackets where it has none.
fn command_line(process: &str) -> String {
    let until = now() + LOOK_EVERY;
    loop {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned();
        if !line.is_empty() {
            return line;
        }
        // At the moment of its exec a process has none.
        if now() > until {
            let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
            return format!("[{}]", name.trim());
        }
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// The group of a process; `None` where it is gone, or dead and only not yet collected.
fn group_of(process: &str) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name stands in brackets and may hold anything; state, parent and group follow it.
    let (_, after) = stat.rsplit_once(") ")?;
    let mut fields = after.split(' ');
    let state = fields.next()?;
    let group = fields.nth(1)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(group)
}

/// Waits for `child`, which was asked to end, and kills it where it takes too long.
pub fn collect(child: &mut Child) {
    let deadline = now() + GRACE;
    while let Ok(None) = child.try_wait() {
        if now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        thread::park_timeout(Duration::from_millis(5));
    }
}

//! The comparison with Redis: the same streams of commands sent to redis-server and to us, longer than beside the other tests.
//!
//! The tests are those of `crates/forebay-server/tests/it/serving/redis`. Each prints a line
//! `same=NAME rounds=N commands=N seed=S`: so often each of so many commands was sent, and the answers were the same.

use std::fs;
use std::path::Path;

use crate::process::{Runner, say};
use crate::services::{self, Folder, Host};
use crate::{Error, cargo};

/// How often each command is sent.
const ROUNDS: u64 = 1_000;

/// What a test's line begins with.
const LINE: &str = "same=";

/// Sends each command `rounds` times (1,000 where nothing is said), in streams made from `seed` (chance where nothing is said).
///
/// # Errors
/// When a test does not build, or shows a difference; the message has the seed that shows it again.
pub fn run(root: &Path, runner: &Runner, rounds: Option<u64>, seed: Option<u64>) -> Result<(), Error> {
    let folder = Folder::new()?;
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).map_err(Error::io("making a temporary folder for the tests"))?;
    let host = Host::start(folder.path())?;
    let mut command = cargo::command(root);
    command.args(["test", "--package", "forebay-server", "--test", "it", "--locked", "--"]);
    command.args(["serving::redis::", "--nocapture"]);
    command.env("FOREBAY_SAME_ROUNDS", rounds.unwrap_or(ROUNDS).to_string());
    if let Some(seed) = seed {
        command.env("FOREBAY_SAME_SEED", seed.to_string());
    }
    command.env(services::VARIABLE, host.path()).env("TMPDIR", &temporary);
    let mut shown = Vec::new();
    let ended = runner.run(command, |line| shown.extend(told(line)))?;
    drop(host);
    folder.close()?;
    for line in &shown {
        say(line);
    }
    if ended.status.success() && !shown.is_empty() {
        return Ok(());
    }
    Err(Error::Failed("answers that differ: the lines above say where".to_owned()))
}

/// What a line tells of a stream; a test's name may stand before it.
fn told(line: &str) -> Option<String> {
    line.find(LINE).and_then(|at| line.get(at..)).map(|line| line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn a_stream_is_told_from_other_lines() {
        let line = "test serving::redis::strings ... same=strings rounds=7 commands=2 seed=1\n";
        assert_eq!(told(line).as_deref(), Some("same=strings rounds=7 commands=2 seed=1"));
        assert_eq!(told("test serving::redis::strings ... ok"), None);
    }
}

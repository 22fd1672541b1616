//! Processes that are killed in great number: the tests that kill them, asked for more cycles than beside the other tests.
//!
//! The tests are those of `crates/forebay-stores/tests/it` and `crates/forebay-cli/tests/it/kept.rs`. Each prints a line
//! `crash=NAME cycles=N acknowledged=N lost=N doubled=N disordered=N`, with `-` for what its writes cannot show. Those that fail calls to the
//! system fail each of them, whatever the number of cycles, and print `crash=NAME failed=N`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::{Runner, say};
use crate::services::{self, Folder, Host};
use crate::{Error, cargo};

/// How often each process is killed in a whole run.
const WHOLE: u64 = 1_000;
/// How often in a quick run.
const QUICK: u64 = 100;

/// What a test's line begins with.
const LINE: &str = "crash=";

/// A crate, and those of its tests that kill.
const TESTS: &[(&str, &[&str])] = &[
    (
        "forebay-stores",
        &[
            "sink::crash::nothing_acknowledged_is_lost_on_sqlite",
            "sink::crash::nothing_acknowledged_is_lost_on_postgresql",
            "disk::killed::what_a_killed_process_acknowledged_is_there",
            "embedded::killed::a_kill_neither_brings_back_what_was_invalidated_nor_cools_the_rest",
            "faults::each_call_of_the_disk_fails_and_nothing_acknowledged_is_lost",
            "faults::each_call_of_the_embedded_tier_fails_and_nothing_invalidated_comes_back",
        ],
    ),
    ("forebay-cli", &["kept::a_process_killed_while_it_writes_keeps_what_it_acknowledged_in_its_order"]),
];

/// How often to kill: `cycles`, or what a whole or a quick run does.
#[must_use]
pub fn cycles(quick: bool, cycles: Option<u64>) -> u64 {
    cycles.unwrap_or(if quick { QUICK } else { WHOLE })
}

/// Kills each process `cycles` times, and tells what the kills have shown.
///
/// # Errors
/// When a test does not build, shows that something was lost, doubled or out of order, or shows nothing.
pub fn run(root: &Path, runner: &Runner, cycles: u64) -> Result<(), Error> {
    say(format!("killing each process {cycles} times"));
    let folder = Folder::new()?;
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).map_err(Error::io("making a temporary folder for the tests"))?;
    let host = Host::start(folder.path())?;
    let mut shown = Vec::new();
    let mut failed = Vec::new();
    for (package, tests) in TESTS {
        for test in *tests {
            let mut command = command(root, package, test, cycles);
            command.env(services::VARIABLE, host.path()).env("TMPDIR", &temporary);
            let before = shown.len();
            let ended = runner.run(command, |line| shown.extend(told(line)))?;
            if !ended.status.success() || shown.len() == before {
                failed.push(*test);
            }
        }
    }
    drop(host);
    folder.close()?;
    for line in &shown {
        say(line);
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Error::Failed(format!("no proof by {}: the lines above say why", failed.join(", "))))
}

fn command(root: &Path, package: &str, test: &str, cycles: u64) -> Command {
    let mut command = cargo::command(root);
    command.args(["test", "--package", package, "--test", "it", "--locked", "--"]);
    command.args(["--exact", test, "--nocapture"]).env("FOREBAY_CRASH_CYCLES", cycles.to_string());
    command.env("FOREBAY_FAULTS_EVERY", "1");
    command
}

/// What a line tells of the kills.
fn told(line: &str) -> Option<String> {
    line.starts_with(LINE).then(|| line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{cycles, told};

    #[test]
    fn what_is_said_goes_before_what_is_usual() {
        assert_eq!(cycles(false, None), 1_000);
        assert_eq!(cycles(true, None), 100);
        assert_eq!(cycles(true, Some(7)), 7);
    }

    #[test]
    fn a_verdict_is_told_from_other_lines() {
        assert_eq!(told("crash=disk cycles=1\n").as_deref(), Some("crash=disk cycles=1"));
        assert_eq!(told("# disk 10 of 100"), None);
    }
}

//! Programs end with who started them, and what they leave running is ended and named.

use std::process::Command;
use std::time::Duration;

use xtask::Error;
use xtask::process::{Runner, Stop};

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn runner(limit: Duration) -> Runner {
    Runner { stop: Stop::never(), limit }
}

#[test]
fn lines_are_shown_as_they_come_and_the_status_is_told() {
    let mut seen = Vec::new();
    let ended = runner(Duration::from_secs(30))
        .run(shell("echo one; echo two; exit 3"), |line| seen.push(line.to_owned()));
    let ended = ended.unwrap();
    assert_eq!(seen, ["one\n", "two\n"]);
    assert_eq!(ended.status.code(), Some(3));
    assert!(ended.left_behind.is_empty() && !ended.late);
}

#[test]
fn what_a_program_leaves_running_is_ended_and_named() {
    // It holds the output open: without its end, this would wait for an hour.
    let ended = runner(Duration::from_secs(30)).run(shell("sleep 3600 &"), |_| {}).unwrap();
    assert!(ended.status.success());
    // It is seen with the shell's own command line where it has not become `sleep` yet.
    assert!(
        matches!(ended.left_behind.as_slice(), [line] if line.contains("sleep 3600")),
        "{:?}",
        ended.left_behind
    );
}

#[test]
fn a_program_that_runs_too_long_is_ended() {
    let ended = runner(Duration::from_millis(100)).run(shell("sleep 3600"), |_| {}).unwrap();
    assert!(ended.late && !ended.status.success());
}

#[test]
fn a_program_that_does_not_exist_is_named() {
    let error = runner(Duration::from_secs(30)).run(Command::new("no-such-program"), |_| {}).unwrap_err();
    assert!(matches!(&error, Error::Io { doing, .. } if doing.contains("no-such-program")), "{error}");
}

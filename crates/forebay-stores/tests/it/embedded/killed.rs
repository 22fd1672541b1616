//! A process with an engine over the embedded tier is killed: what it had loaded is warm, and what it had invalidated is gone.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::engines::Process;

/// Tells a copy of this test binary that it is the process to be killed, and its folder.
const FOLDER: &str = "FOREBAY_TEST_EMBEDDED_FOLDER";

/// The process that is killed: it loads every number, and invalidates every third as soon as it has.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let process = Process::start(Path::new(&folder), 1_000_000).await;
    for number in 0_i64.. {
        process.get(number).await;
        if number % 3 == 0 {
            process.prices.invalidate(number).await.unwrap();
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nacknowledged {number}").unwrap();
        out.flush().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_neither_brings_back_what_was_invalidated_nor_cools_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["embedded::killed::child", "--exact", "--nocapture"]).env(FOLDER, folder.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut numbers = lines.filter_map(|line| line.strip_prefix("acknowledged ")?.parse::<i64>().ok());
    let reached = numbers.find(|number| *number >= 150).expect("the child ended before it was killed");
    child.kill().unwrap();
    child.wait().unwrap();
    let last = numbers.last().unwrap_or(reached);

    let process = Process::start(folder.path(), 2_000_000).await;
    for number in 0..=last {
        let found = process.get(number).await;
        if number % 3 == 0 {
            assert_eq!(found, 2_000_000 + number, "what was invalidated came back");
        }
    }
    let invalidated = u64::try_from(last / 3 + 1).unwrap();
    // The fill of the last one may have been under way.
    assert!(process.asked() <= invalidated + 1, "{} of {invalidated} were loaded", process.asked());
    process.end().await;
}

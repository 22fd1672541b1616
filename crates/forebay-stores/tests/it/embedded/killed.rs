//! A process with an engine over the embedded tier is killed: what it had loaded is warm, and what it had invalidated is gone.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::engines::Process;
use crate::crash::{Verdict, cycles};

/// Tells a copy of this test binary that it is the process to be killed, and its folder.
const FOLDER: &str = "FOREBAY_TEST_EMBEDDED_FOLDER";
/// And the number with which it begins.
const FIRST: &str = "FOREBAY_TEST_EMBEDDED_FIRST";

/// The process that is killed: it loads every number, and invalidates every third as soon as it has.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let process = Process::start(Path::new(&folder), 1_000_000).await;
    let first: i64 = std::env::var(FIRST).unwrap().parse().unwrap();
    for number in first.. {
        process.get(number).await;
        if number % 3 == 0 {
            process.prices.invalidate(number).await.unwrap();
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nacknowledged {number}").unwrap();
        out.flush().unwrap();
    }
}

/// Starts a process on `folder` and kills it after some acknowledgements; the number of the last.
fn kill_one(folder: &Path, first: i64, enough: i64) -> i64 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["embedded::killed::child", "--exact", "--nocapture"]).env(FOLDER, folder);
    command.env(FIRST, first.to_string()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut numbers = lines.filter_map(|line| line.strip_prefix("acknowledged ")?.parse::<i64>().ok());
    let reached =
        numbers.find(|number| *number >= first + enough).expect("the child ended before it was killed");
    child.kill().unwrap();
    child.wait().unwrap();
    numbers.last().unwrap_or(reached)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_neither_brings_back_what_was_invalidated_nor_cools_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let cycles = cycles();
    let mut verdict = Verdict::of_losses("embedded", cycles);
    let mut random = fastrand::Rng::with_seed(cycles);
    let (mut first, mut cold) = (0, 0);
    for done in 1..=cycles {
        let last = kill_one(folder.path(), first, random.i64(1..60));
        let process = Process::start(folder.path(), 2_000_000).await;
        for number in first..=last {
            let found = process.get(number).await;
            let is_warm = found < 2_000_000;
            if number % 3 == 0 && is_warm {
                verdict.lost.push(format!("the invalidation of {number}: {found} came back"));
            }
            cold += u64::from(number % 3 != 0 && !is_warm);
        }
        process.end().await;
        verdict.acknowledged += u64::try_from(last + 1 - first).unwrap();
        // The one that was under way when it was killed is no matter of the next.
        first = last + 2;
        verdict.cycle(done);
    }
    // Copies are made after the answer, and not where the disk is slow to say that it has one.
    assert!(cold * 5 < verdict.acknowledged, "{cold} were cold");
    verdict.close();
}

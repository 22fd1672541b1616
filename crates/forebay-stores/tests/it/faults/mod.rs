//! Calls to the system that fail, in a process of its own: each that a disk makes to write, once and for ever, and a full disk.
//!
//! `failing.c` stands between that process and the system, and counts its calls to files below one folder. The process, which is the test
//! binary run once more, says what was acknowledged and what was refused; its parent judges by what the folder then holds.

mod full;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use forebay_stores::disk::{Batch, Disk, DiskError, DiskOptions, Durability, Page, Space};

use crate::disk::all_of;
use crate::embedded::engines::Process;

/// Tells a copy of this test binary that it is the process, and its folder.
const FOLDER: &str = "FOREBAY_TEST_FAULTS_FOLDER";
/// Every so many-th call is failed; `cargo xtask crash` asks for each of them.
const EVERY: &str = "FOREBAY_FAULTS_EVERY";

const NUMBERS: u32 = 9;

/// How calls fail: the kind, and whether all later ones fail too.
const KINDS: [(&str, bool); 6] =
    [("EIO", false), ("EIO", true), ("ENOSPC", false), ("ENOSPC", true), ("SHORT", false), ("SHORT", true)];

/// Makes the library of `failing.c` in `folder`.
fn library(folder: &Path) -> PathBuf {
    let library = folder.join("failing.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/faults/failing.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
    let made = compiler.output().expect("`cc`, which Rust links with");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    library
}

/// A copy of this test binary that is to run `test` behind the library.
fn process(test: &str, library: &Path, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(FOLDER, folder);
    command.env("LD_PRELOAD", library).env("FAULT_FOLDER", folder);
    command
}

fn say(line: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{line}").unwrap();
    out.flush().unwrap();
}

fn key(number: u32) -> String {
    format!("{number:03}")
}

/// A process over a disk whose calls fail: it writes, compacts, reads and ends, and says how that went.
#[tokio::test]
async fn writing_child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let disk = match Disk::open(&folder, DiskOptions::default()).await {
        Ok(disk) => disk,
        Err(error) => return say(&format!("not opened: {error}")),
    };
    let mut is_poisoned = false;
    let mut acknowledged = 0;
    for number in 0..NUMBERS {
        if number == NUMBERS / 2 {
            // It may fail with what it writes; what is held then is told by the rows.
            drop(disk.compact(&[Space::Stores]).await);
        }
        let mut batch = Batch::new();
        batch.put(Space::Stores, key(number), vec![b'x'; 3_000]).put(Space::Groups, key(number), "y");
        let durability = if number % 2 == 0 { Durability::Always } else { Durability::OsWritten };
        match disk.write(batch, durability).await {
            Ok(()) => {
                assert!(!is_poisoned, "it went on after a failure");
                acknowledged += 1;
                say(&format!("acknowledged {number}"));
            }
            Err(DiskError::Poisoned { .. }) => is_poisoned = true,
            Err(error) => panic!("{error:?}"),
        }
    }
    let rows = disk.scan(all_of(Space::Stores)).await.unwrap().rows;
    assert!(rows.len() >= acknowledged, "reads go on");
    assert_eq!(disk.stats().is_poisoned, is_poisoned);
    let closed = disk.close().await;
    assert!(!is_poisoned || closed.is_err(), "it closed as if all were well");
    say("ended");
}

/// A process with an engine over the embedded tier: it loads numbers and invalidates every third. No read fails.
#[tokio::test(flavor = "multi_thread")]
async fn caching_child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let process = match Process::open(Path::new(&folder), 1_000).await {
        Ok(process) => process,
        Err(error) => return say(&format!("not opened: {error}")),
    };
    for number in 0..i64::from(NUMBERS) {
        assert_eq!(process.get(number).await, 1_000 + number);
        process.settled().await;
        if number % 3 == 0 && process.prices.invalidate(number).await.is_ok() {
            say(&format!("acknowledged {number}"));
        }
    }
    say("ended");
}

/// One run of a process: what it said was acknowledged, and whether a call failed.
struct Ran {
    acknowledged: BTreeSet<u32>,
    met: String,
}

fn run(test: &str, library: &Path, folder: &Path, at: usize, (kind, lasts): (&str, bool)) -> Ran {
    let told = folder.with_extension("told");
    let mut command = process(test, library, folder);
    command.env("FAULT_AT", at.to_string()).env("FAULT_LASTS", u8::from(lasts).to_string());
    let done = command.env("FAULT_KIND", kind).env("FAULT_TOLD", &told).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let met = std::fs::read_to_string(&told).unwrap_or_default();
    let (is_over, why) =
        (said.contains("\nended") || said.contains("\nnot opened"), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && is_over, "call {at}, {kind}, {lasts}: {met}{said}{why}");
    let acknowledged = said.lines().filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok());
    Ran { acknowledged: acknowledged.collect(), met }
}

/// Fails every call of the process `test`, by every kind, in a folder of its own each; `judge` looks at what is left. How many failed.
fn sweep(test: &str, judge: impl Fn(&Path, &BTreeSet<u32>, &str) + Sync) -> usize {
    let place = tempfile::tempdir().unwrap();
    let library = library(place.path());
    let every: usize = std::env::var(EVERY).map_or(24, |text| text.parse().expect(EVERY));
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for worker in 0..3 {
            let (next, failed, judge, library, place) = (&next, &failed, &judge, &library, place.path());
            scope.spawn(move || {
                let mut over = [false; KINDS.len()];
                while over.contains(&false) {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    let (which, round) = (turn % KINDS.len(), turn / KINDS.len());
                    // Each kind begins elsewhere, so that together they meet every call.
                    let at = 1 + which % every + round * every;
                    if over[which] {
                        continue;
                    }
                    let folder = place.join(format!("{worker}-{turn}"));
                    let Ran { acknowledged, met } = run(test, library, &folder, at, KINDS[which]);
                    if met.is_empty() {
                        over[which] = true;
                        continue;
                    }
                    judge(&folder, &acknowledged, &format!("{:?} at {met}", KINDS[which]));
                    failed.fetch_add(1, Ordering::Relaxed);
                    std::fs::remove_dir_all(&folder).unwrap_or_default();
                }
            });
        }
    });
    failed.into_inner()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(work)
}

#[test]
fn each_call_of_the_disk_fails_and_nothing_acknowledged_is_lost() {
    let failed = sweep("faults::writing_child", |folder, acknowledged, when| {
        block_on(async {
            // Also where the first opening was cut short: it holds nothing of anybody's.
            let opened = Disk::open(folder, DiskOptions::default()).await;
            let disk = opened.unwrap_or_else(|error| panic!("{when}: {error}"));
            let numbers = |page: Page| -> BTreeSet<u32> {
                let number = |(key, _): &(Bytes, Bytes)| std::str::from_utf8(key).unwrap().parse().unwrap();
                page.rows.iter().map(number).collect()
            };
            let held = numbers(disk.scan(all_of(Space::Stores)).await.unwrap());
            assert_eq!(
                held,
                numbers(disk.scan(all_of(Space::Groups)).await.unwrap()),
                "{when}: half a batch"
            );
            assert!(held.is_superset(acknowledged), "{when}: {acknowledged:?} acknowledged, {held:?} there");
            let one_after_the_other = held.iter().copied().eq(0..u32::try_from(held.len()).unwrap());
            assert!(one_after_the_other, "{when}: {held:?}");
            crate::disk::put(&disk, "more", "1", Durability::Always).await;
            disk.close().await.unwrap();
        });
    });
    println!("\ncrash=disk-calls failed={failed}");
    assert!(failed > 20, "{failed}");
}

#[test]
fn each_call_of_the_embedded_tier_fails_and_nothing_invalidated_comes_back() {
    let failed = sweep("faults::caching_child", |folder, invalidated, when| {
        block_on(async {
            let opened = Process::open(folder, 2_000).await;
            let process = opened.unwrap_or_else(|error| panic!("{when}: {error}"));
            for number in invalidated {
                let number = i64::from(*number);
                assert_eq!(process.get(number).await, 2_000 + number, "{when}: {number} came back");
            }
            process.end().await;
        });
    });
    println!("\ncrash=embedded-calls failed={failed}");
    assert!(failed > 20, "{failed}");
}

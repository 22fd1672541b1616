//! The end of a process by SIGKILL: what it acknowledged is there, and what it had begun is there whole or not at all.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use forebay::tier::shared::Owner;
use forebay::tier::store::{Store as _, StoreError};
use forebay_stores::disk::{Batch, Changes, Disk, DiskError, DiskOptions, Durability, Scan, Space};
use forebay_stores::tier::store::{EmbeddedStore, StoreOptions};

use super::open;
use crate::crash::{Verdict, cycles};

/// Tells a copy of this test binary that it is the process to be killed, and its folder.
const FOLDER: &str = "FOREBAY_TEST_DISK_FOLDER";

/// The same of the process whose files are limited.
const LIMITED: &str = "FOREBAY_TEST_LIMITED_FOLDER";

/// How many rows there are, as the one who writes them counts on.
const COUNT: &str = "count";
/// The number of the newest row.
const NEWEST: &str = "newest";

async fn number_at(disk: &Disk, key: &'static str) -> u32 {
    super::text(disk, key).await.map_or(0, |text| text.parse().unwrap())
}

/// The process that is killed: it writes numbered rows, each to two spaces, counts them, and says which were acknowledged.
#[tokio::test]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let disk = open(Path::new(&folder)).await;
    let first = number_at(&disk, COUNT).await;
    for number in first.. {
        let key = format!("{number:06}");
        let durability = if number.is_multiple_of(3) { Durability::Always } else { Durability::OsWritten };
        let step = move |changes: &mut Changes<'_>| {
            changes.put(Space::Stores, key.clone(), vec![b'x'; 100])?;
            changes.put(Space::Groups, key, "y")?;
            let count = changes.get(Space::Stores, COUNT.as_bytes())?;
            let count = count.map_or(0, |count| std::str::from_utf8(&count).unwrap().parse::<u32>().unwrap());
            changes.put(Space::Stores, COUNT, (count + 1).to_string())?;
            changes.put(Space::Stores, NEWEST, number.to_string())
        };
        disk.change(200, durability, step).await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nacknowledged {number}").unwrap();
        out.flush().unwrap();
    }
}

/// A process whose files may not grow beyond some size: a write fails, and from then on all of them.
#[tokio::test]
async fn limited_child() {
    let Some(folder) = std::env::var_os(LIMITED) else { return };
    let disk = open(Path::new(&folder)).await;
    let mut written = 0_u32;
    let failed = loop {
        let mut batch = Batch::new();
        batch.put(Space::Stores, format!("{written:06}"), vec![b'x'; 10_000]);
        match disk.write(batch, Durability::OsWritten).await {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(failed, DiskError::Poisoned { .. }) && failed.unknown_outcome(), "{failed:?}");
    let refused = disk.write(Batch::new(), Durability::OsWritten).await;
    assert!(matches!(refused, Err(DiskError::Poisoned { .. })), "{refused:?}");
    assert!(disk.stats().is_poisoned);
    let rows = disk.scan(super::all_of(Space::Stores)).await.unwrap().rows;
    assert_eq!(rows.len(), written as usize, "reads go on");
    let store = EmbeddedStore::open(disk.clone(), StoreOptions::default()).unwrap();
    let of = Owner { keyspace: "shop".into(), namespace: "things".into() };
    assert!(matches!(store.count(&of).await, Err(StoreError::Poisoned)), "it is counted in a step");
    drop(store);
    assert!(matches!(disk.close().await, Err(DiskError::Poisoned { .. })));
    println!("\nacknowledged {written}");
}

#[tokio::test]
async fn after_a_write_that_failed_none_is_taken_until_the_folder_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.close().await.unwrap();
    let mut command = Command::new("sh");
    // A file may have 2 MiB; the signal is ignored, so that the write fails instead.
    command.args([
        "-c",
        "trap '' XFSZ; ulimit -f 4096; exec \"$0\" disk::killed::limited_child --exact --nocapture",
    ]);
    let done = command.arg(std::env::current_exe().unwrap()).env(LIMITED, folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    let written = said.lines().find_map(number).expect("it wrote some");
    assert!(written > 50, "{written}");
    let disk = open(folder.path()).await;
    let rows = disk.scan(super::all_of(Space::Stores)).await.unwrap().rows;
    assert_eq!(rows.len(), written as usize);
    super::put(&disk, "more", "1", Durability::Always).await;
}

fn start(folder: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["disk::killed::child", "--exact", "--nocapture"]).env(FOLDER, folder);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn number(line: &str) -> Option<u32> {
    line.strip_prefix("acknowledged ")?.parse().ok()
}

/// Rows from the number `from` on: how many are there, one after the other; half a batch, or one that is missing, is told.
async fn rows_from(disk: &Disk, from: u32, verdict: &mut Verdict) -> u32 {
    let after = from.checked_sub(1).map(|before| format!("{before:06}").into());
    let scan = |space| Scan { after: after.clone(), prefix: "0".into(), ..super::all_of(space) };
    let rows = disk.scan(scan(Space::Stores)).await.unwrap().rows;
    let others = disk.scan(scan(Space::Groups)).await.unwrap().rows;
    assert_eq!(rows.len(), others.len(), "half a batch is there");
    let end = from + u32::try_from(rows.len()).unwrap();
    for (number, (key, _)) in (from..).zip(&rows) {
        if key[..] != *format!("{number:06}").as_bytes() {
            verdict.lost.push(format!("{number}: {key:?} follows the one before"));
            break;
        }
    }
    end
}

/// Starts a process on `folder` and kills it after some acknowledgements; the number of the last.
async fn kill_one(folder: &Path, enough: u32, asks_who: bool) -> u32 {
    let mut child = start(folder);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = lines.by_ref().map_while(Result::ok).filter_map(|line| number(&line));
    let reached = told.take(enough as usize).last();
    assert!(reached.is_some(), "the child ended before it was killed");
    if asks_who {
        let refused = Disk::open(folder, DiskOptions::default()).await.unwrap_err();
        let DiskError::InUse { holder, .. } = &refused else { panic!("{refused}") };
        assert!(holder.starts_with(&format!("process {} since 20", child.id())), "{holder}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lines.map_while(Result::ok).filter_map(|line| number(&line)).last().or(reached).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_acknowledged_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let cycles = cycles();
    let mut verdict = Verdict::new("disk", cycles);
    let mut random = fastrand::Rng::with_seed(cycles);
    let mut end = 0;
    for done in 1..=cycles {
        let last = kill_one(folder.path(), random.u32(1..80), done == 1).await;
        verdict.acknowledged = u64::from(last) + 1;
        let disk = open(folder.path()).await;
        assert!(disk.opened().kept_all, "the machine has run on");
        // All of them are looked at again now and then.
        let from = if done == cycles || done.is_multiple_of(100) { 0 } else { end };
        end = rows_from(&disk, from, &mut verdict).await;
        let (count, newest) = (number_at(&disk, COUNT).await, number_at(&disk, NEWEST).await);
        if end <= last {
            verdict.lost.push(format!("{last} was acknowledged, and there are {end}"));
        }
        if count > end {
            verdict.doubled.push(format!("{count} were counted, and there are {end}"));
        }
        if count < end {
            verdict.lost.push(format!("{count} were counted, and there are {end}"));
        }
        if newest + 1 != end {
            verdict.disordered.push(format!("{newest} is the newest of {end}"));
        }
        disk.close().await.unwrap();
        verdict.cycle(done);
    }
    verdict.close();
}

#[tokio::test]
async fn after_a_start_of_the_machine_only_what_was_synced_is_sure() {
    let folder = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let disk = super::open_after_start(folder.path(), "first").await.unwrap();
    super::put(&disk, "a", "1", Durability::Always).await;
    super::put(&disk, "b", "2", Durability::OsWritten).await;
    // As a machine leaves it that stops now.
    super::copy_all(folder.path(), copy.path());
    disk.close().await.unwrap();
    let same = tempfile::tempdir().unwrap();
    super::copy_all(copy.path(), same.path());
    assert!(super::open_after_start(same.path(), "first").await.unwrap().opened().kept_all);
    let other = super::open_after_start(copy.path(), "second").await.unwrap();
    assert!(!other.opened().kept_all && !other.opened().is_new);
    assert_eq!(super::text(&other, "a").await.as_deref(), Some("1"));
}

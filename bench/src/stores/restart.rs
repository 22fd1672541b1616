//! `restart`: how long it takes to begin again after a kill, with many writes queued, and with many entries on the disk.
//!
//! Another process of this binary writes 100,000 times behind over a sink that is down, or fills a million entries into the embedded
//! tier, and is killed. Then this one opens what it left, until the first read is answered. What the entries take on the disk is
//! measured after a compaction, beside the bytes of their keys and values alone.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use forebay::tier::shared::{Answer, SharedTier as _};
use forebay::writes::{Applying, SinkWrite};
use forebay::{BehindOptions, Blob, Forebay, Namespace, Sink, SinkError, Writes, load_one};
use forebay_stores::disk::{Disk, DiskOptions, Space};
use forebay_stores::journal::{FileJournal, JournalOptions};
use forebay_stores::tier::embedded::{EmbeddedOptions, EmbeddedTier};
use tokio::task::JoinSet;

use super::{batch, behind, now, runtime, store};
use crate::error::Error;
use crate::report::{Better, Comparison};
use crate::{Extent, Settings};

pub(crate) const MEASURES: &str = "a start after a kill with 100,000 queued writes, and with 1,000,000 entries; bytes on disk an entry of 100";
pub(crate) const GOAL: &str = "each start within 5 s; twice the bytes of key and value at most";

/// The hidden arguments under which this binary is the process that is killed.
pub(crate) const QUEUE_ALONE: &str = "queue-alone";
pub(crate) const ENTRIES_ALONE: &str = "entries-alone";
/// Where that process finds its folder.
const FOLDER: &str = "FOREBAY_BENCH_FOLDER";
const WRITERS: u32 = 64;
const GOAL_MS: f64 = 5_000.0;
/// Bytes of a key and its value.
const ENTRY_BYTES: f64 = 116.0;

/// Writes that are queued, and entries that are filled.
fn many(extent: Extent) -> (u32, u32) {
    match extent {
        Extent::Full => (100_000, 1_000_000),
        Extent::Quick => (10_000, 50_000),
    }
}

pub(crate) fn run(out: &mut dyn Write, settings: &Settings) -> Result<(), Error> {
    let place = tempfile::tempdir()?;
    let (writes, entries) = many(settings.extent);
    writeln!(out, "# {writes} queued writes, {entries} entries")?;
    let folder = place.path().join("queue");
    killed(QUEUE_ALONE, settings.extent, &folder)?;
    let took = queue_again(&folder, writes)?;
    within(out, "restart-queue", took)?;
    let folder = place.path().join("entries");
    killed(ENTRIES_ALONE, settings.extent, &folder)?;
    let (took, bytes) = entries_again(&folder, entries)?;
    within(out, "restart-entries", took)?;
    let (bench, peer, unit, better, goal) = ("space", "key+value", "bytes", Better::Less, 0.5);
    let ours = bytes / f64::from(entries);
    Ok(writeln!(out, "{}", Comparison { bench, ours, peer, theirs: ENTRY_BYTES, unit, better, goal })?)
}

fn within(out: &mut dyn Write, bench: &'static str, took: Duration) -> Result<(), Error> {
    let (ours, peer, theirs, unit, better, goal) =
        (took.as_secs_f64() * 1e3, "5s", GOAL_MS, "ms", Better::Less, 1.0);
    Ok(writeln!(out, "{}", Comparison { bench, ours, peer, theirs, unit, better, goal })?)
}

/// Lets another process of this binary work in `folder`, and kills it when it says that it has.
fn killed(name: &str, extent: Extent, folder: &Path) -> Result<(), Error> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(name).env(FOLDER, folder).stdout(Stdio::piped());
    if extent == Extent::Quick {
        command.arg("--quick");
    }
    let mut child = command.spawn()?;
    let mut said = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut said)?;
    }
    child.kill()?;
    child.wait()?;
    if said == "done\n" {
        Ok(())
    } else {
        Err(store(format!("the process that was to be killed said \"{said}\"")))
    }
}

fn folder() -> Result<PathBuf, Error> {
    std::env::var_os(FOLDER).map(PathBuf::from).ok_or_else(|| store("there is no folder to work in"))
}

/// Says that all is done, and waits to be killed.
fn done(out: &mut dyn Write) -> Result<(), Error> {
    writeln!(out, "done")?;
    out.flush()?;
    loop {
        std::thread::park();
    }
}

/// A sink that is down.
struct Down;

impl Sink for Down {
    fn apply<'a>(&'a self, _: &'a str, writes: &'a [SinkWrite]) -> Applying<'a> {
        let failed = || SinkError::failed(std::io::Error::other("it is down"));
        Box::pin(async move { writes.iter().map(|_| Err(failed())).collect() })
    }
}

async fn orders(folder: &Path) -> Result<(Forebay, Namespace<Blob>), Error> {
    let journal = FileJournal::open(folder, JournalOptions::default()).await.map_err(store)?;
    let options = BehindOptions { writes_max: 1_000_000, bytes_max: 4 << 30, ..BehindOptions::default() };
    let engine = Forebay::new()?;
    let orders = engine
        .namespace::<Blob>("orders")
        .key("order:{id:integer}")
        .ttl(Duration::from_secs(60))
        .source(load_one(async |_: i64| Ok::<Option<Blob>, std::convert::Infallible>(None)))
        .writes(Writes::Behind)
        .sink(Down)
        .behind(Arc::new(journal), options)
        .build()?;
    Ok((engine, orders))
}

/// Queues writes.
pub(crate) fn queue_alone(out: &mut dyn Write, extent: Extent) -> Result<(), Error> {
    let (writes, _) = many(extent);
    let folder = folder()?;
    let runtime = runtime()?;
    let _held = runtime.block_on(async {
        let (engine, orders) = orders(&folder).await?;
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let orders = orders.clone();
            writers.spawn(async move {
                for id in (writer..writes).step_by(WRITERS as usize) {
                    orders.set(i64::from(id), behind::order(id), 64).await?;
                }
                Ok::<_, forebay::Error>(())
            });
        }
        while let Some(done) = writers.join_next().await {
            done.map_err(store)??;
        }
        Ok::<_, Error>((engine, orders))
    })?;
    done(out)
}

/// How long it takes until what was queued is seen again.
fn queue_again(folder: &Path, writes: u32) -> Result<Duration, Error> {
    runtime()?.block_on(async {
        let start = now();
        let (_engine, orders) = orders(folder).await?;
        let last = orders.get(i64::from(writes - 1)).await?;
        let took = start.elapsed();
        let pending = orders.pending_writes().writes;
        if last.is_some() && u64::try_from(pending).ok() == Some(writes.into()) {
            return Ok(took);
        }
        Err(store(format!("{pending} of {writes} queued writes are there")))
    })
}

async fn tier(folder: &Path) -> Result<(Disk, EmbeddedTier), Error> {
    let disk =
        Disk::open(folder, DiskOptions { answer_within: Duration::from_secs(60), ..DiskOptions::default() });
    let disk = disk.await.map_err(store)?;
    let tier = EmbeddedTier::open(disk.clone(), EmbeddedOptions::default()).await.map_err(store)?;
    Ok((disk, tier))
}

/// Fills entries.
pub(crate) fn entries_alone(out: &mut dyn Write, extent: Extent) -> Result<(), Error> {
    let (_, entries) = many(extent);
    let folder = folder()?;
    let runtime = runtime()?;
    let _held = runtime.block_on(async {
        let (disk, tier) = tier(&folder).await?;
        let of = batch::owner();
        for first in (0..entries).step_by(1_000) {
            let keys: Vec<String> = (first..first + 1_000).map(batch::key).collect();
            batch::fill(&tier, &of, &keys).await?;
        }
        Ok::<_, Error>((disk, tier))
    })?;
    done(out)
}

/// How long it takes until an entry is read again, and what all of them take on the disk, in bytes.
fn entries_again(folder: &Path, entries: u32) -> Result<(Duration, f64), Error> {
    runtime()?.block_on(async {
        let start = now();
        let (disk, tier) = tier(folder).await?;
        let key = batch::key(entries - 1);
        let found = tier.get(&batch::owner(), &[key.as_bytes()], None).await.map_err(store)?;
        let took = start.elapsed();
        if !matches!(found.answers[..], [Answer::Held(_)]) {
            return Err(store("an entry is not there after a kill"));
        }
        disk.compact(&Space::ALL).await.map_err(store)?;
        let bytes = folder_bytes(folder)?;
        tier.close().await.map_err(store)?;
        disk.close().await.map_err(store)?;
        Ok((took, bytes))
    })
}

/// What the files below `folder` take on the disk, in bytes.
fn folder_bytes(folder: &Path) -> Result<f64, Error> {
    use std::os::unix::fs::MetadataExt as _;

    let mut blocks = 0_u64;
    let mut left = vec![folder.to_path_buf()];
    while let Some(next) = left.pop() {
        for entry in std::fs::read_dir(next)? {
            let entry = entry?;
            let about = entry.metadata()?;
            if about.is_dir() { left.push(entry.path()) } else { blocks += about.blocks() }
        }
    }
    Ok(f64::from(u32::try_from(blocks).unwrap_or(u32::MAX)) * 512.0)
}

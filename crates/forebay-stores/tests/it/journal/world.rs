//! The engine over a journal on a disk that fails and loses power: random lives of a process, against what was acknowledged.
//!
//! One writer a key counts up. In each life some call to the disk fails, once or from then on, or none does; then the power goes, and
//! sometimes a bit of what is left turns round, which the journal finds before anybody uses it. The sink remembers the ids that it
//! has applied, and fails now and then.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::Mutex;
use forebay::value::Param;
use forebay::writes::{Applied, Applying, Change, OperationId, SinkWrite};
use forebay::{BehindOptions, Blob, Error, Forebay, Namespace, Sink, SinkError, Writes, load_one};

use super::disk::{Disk, Fault, Plan};
use super::model::{open, run};

/// The table, which outlives every process.
#[derive(Clone, Default)]
struct Table(Arc<Mutex<Rows>>);

#[derive(Default)]
struct Rows {
    /// The versions of each key, in the order in which they took effect.
    effects: BTreeMap<String, Vec<u64>>,
    done: HashSet<OperationId>,
    calls: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the table says no")]
struct No;

impl Sink for Table {
    fn apply<'a>(&'a self, _: &'a str, writes: &'a [SinkWrite]) -> Applying<'a> {
        Box::pin(async move {
            let mut rows = self.0.lock();
            rows.calls += 1;
            let turn = rows.calls % 5;
            let mut outcomes = Vec::new();
            for write in writes {
                let key = match write.key.params.as_slice() {
                    [Param::Text(key)] => Some(key.clone()),
                    _ => None,
                };
                let version = match &write.change {
                    Change::Put(value) => value.as_blob().and_then(version_of),
                    _ => None,
                };
                let (Some(key), Some(version)) = (key, version) else {
                    outcomes.push(Err(SinkError::refused(No)));
                    continue;
                };
                if turn == 3 {
                    outcomes.push(Err(SinkError::failed(No)));
                    continue;
                }
                if rows.done.insert(write.id) {
                    rows.effects.entry(key).or_default().push(version);
                }
                outcomes.push(if turn == 4 {
                    Err(SinkError::unknown(No))
                } else {
                    Ok(Applied::as_written())
                });
            }
            outcomes
        })
    }
}

fn version_of(blob: &Blob) -> Option<u64> {
    std::str::from_utf8(blob.as_bytes()).ok()?.parse().ok()
}

/// The engine over the journal on `disk`; `None` where that cannot be opened.
async fn engine(disk: &Disk, table: &Table) -> Result<Option<(Forebay, Namespace<Blob>)>, String> {
    let Ok(journal) = open(disk).await else { return Ok(None) };
    let journal = Arc::new(journal);
    let engine = Forebay::builder().memory_budget_bytes(1 << 20).build().unwrap();
    let ms = Duration::from_millis;
    let behind = BehindOptions {
        linger: ms(1),
        batch_max: 4,
        pause_first: ms(1),
        pause_max: ms(2),
        ..BehindOptions::default()
    };
    let held = table.clone();
    let load = move |key: String| {
        let newest = held.0.lock().effects.get(&key).and_then(|versions| versions.last().copied());
        async move { Ok::<_, std::convert::Infallible>(newest.map(|version| Blob::opaque(version.to_string()))) }
    };
    let things = engine
        .namespace::<Blob>("things")
        .key("thing:{id}")
        .ttl(ms(5))
        .source(load_one(load))
        .writes(Writes::Behind)
        .sink(table.clone())
        .behind(journal, behind)
        .build()
        .map_err(|error| error.to_string())?;
    Ok(Some((engine, things)))
}

/// One key's writer: the version that it found, the last that was acknowledged, the last that it tried.
#[derive(Clone, Copy, Default)]
struct Wrote {
    found: u64,
    newest: u64,
    tried: u64,
    refused: u64,
}

async fn write(
    things: Namespace<Blob>,
    key: String,
    many: u64,
    pad: usize,
) -> Result<(String, Wrote), String> {
    let held = things.get(&key).await.map_err(|error| error.to_string())?;
    let unread = |held: Blob| version_of(&held).ok_or_else(|| format!("{key} was {held:?}"));
    let found = held.map_or(Ok(0), |held| unread((*held).clone()))?;
    let mut wrote = Wrote { found, newest: found, tried: found, refused: 0 };
    for _ in 0..many {
        wrote.tried += 1;
        // Leading zeros make it long.
        let value = Blob::opaque(format!("{:0pad$}", wrote.tried));
        match things.set(&key, value, 0).await {
            Ok(()) => wrote.newest = wrote.tried,
            Err(Error::JournalUnconfirmed { .. }) => break,
            Err(Error::JournalFailed { .. }) => wrote.refused += 1,
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok((key, wrote))
}

/// What the lives of a process have shown, of each key and of the disk.
#[derive(Default)]
struct Seen {
    keys: BTreeMap<String, Wrote>,
    refused: u64,
    rotten: u64,
}

/// Lets a process live on `disk`, with faults unless it `is_last`; what is broken.
async fn life(
    disk: &Disk,
    table: &Table,
    random: &mut fastrand::Rng,
    seen: &mut Seen,
    is_last: bool,
) -> Result<(), String> {
    let Some((_engine, things)) = engine(disk, table).await? else { return Ok(()) };
    let mut writers = tokio::task::JoinSet::new();
    for key in 0..4 {
        let (many, pad) = (random.u64(1..20), random.usize(1..600));
        writers.spawn(write(things.clone(), format!("k{key}"), many, pad));
    }
    for wrote in writers.join_all().await {
        let (key, wrote) = wrote?;
        let before = seen.keys.entry(key.clone()).or_default();
        if wrote.found < before.newest || wrote.found > before.tried {
            let Wrote { newest, tried, .. } = before;
            return Err(format!("{key} was {}, {newest} acknowledged, {tried} tried", wrote.found));
        }
        *before = Wrote { tried: wrote.tried.max(before.tried), ..wrote };
        seen.refused += wrote.refused;
    }
    if is_last {
        if !things.flush_writes(Duration::from_secs(20)).await {
            return Err("not all was applied in the end".into());
        }
        if let Some(dead) = things.dead_letters().first() {
            return Err(format!("nobody refused {dead:?}"));
        }
    }
    Ok(())
}

/// A process that lives four times on one disk, as `seed` says; what is broken.
fn live(seed: u64, seen: &mut Seen) -> Result<(), String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let table = Table::default();
    let mut disk = Disk::default();
    seen.keys.clear();
    for number in 0..4 {
        let is_last = number == 3;
        let fault = random.choice([Fault::Eio, Fault::Enospc, Fault::Short, Fault::WrittenAndFailed]);
        let plan = Plan { at: random.usize(1..80), fault: fault.unwrap(), lasts: random.bool() };
        run(async {
            if random.bool()
                && let Some((name, held)) = disk.rot(&mut random)
            {
                // The one who looks after it brings the file back from a copy.
                match open(&disk).await {
                    Ok(journal) => journal.close().await,
                    Err(_) => {
                        disk.put(&name, held);
                        seen.rotten += 1;
                    }
                }
            }
            disk.plan((!is_last && random.u8(..4) > 0).then_some(plan));
            life(&disk, &table, &mut random, seen, is_last).await
        })?;
        disk = disk.power_loss(&mut random);
    }
    let rows = table.0.lock();
    for (key, Wrote { newest, .. }) in &seen.keys {
        let effects = rows.effects.get(key).map_or(&[][..], Vec::as_slice);
        if !effects.is_sorted_by(|one, next| one < next) || effects.last().is_some_and(|last| last < newest) {
            return Err(format!("{key} had {effects:?}, {newest} was acknowledged"));
        }
    }
    Ok(())
}

#[test]
fn no_life_of_a_process_loses_what_it_acknowledged() {
    let mut seen = Seen::default();
    for seed in 0..150 {
        live(seed, &mut seen).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
    }
    let Seen { refused, rotten, .. } = seen;
    assert!(refused > 100 && rotten > 100, "the disks failed too little: {refused} refused, {rotten} rotten");
}

/// Seeds within which every bug must show itself.
#[cfg(feature = "planted")]
const SEEDS: u64 = 20;

#[cfg(feature = "planted")]
#[test]
fn every_planted_bug_is_found_within_its_seeds() {
    use forebay::rt::planted::{Bug, plant};

    let suite = |bug| {
        let _planted = plant(bug);
        (0..SEEDS).find_map(|seed| Some((seed + 1, live(seed, &mut Seen::default()).err()?)))
    };
    let mut missed = Vec::new();
    for bug in Bug::OF_JOURNALS.into_iter().chain([Bug::AckBeforeDurable]) {
        match suite(bug) {
            Some((seeds, broken)) => println!("bug={bug:?} seeds={seeds} by={broken}"),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found within {SEEDS} seeds: {missed:?}");
}

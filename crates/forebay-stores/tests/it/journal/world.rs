//! The engine over a journal on a disk that fails and loses power: random lives of a process, against what was acknowledged.
//!
//! One writer a key counts up. In each life some call to the disk fails, once or from then on, or none does; then the power goes. The
//! sink remembers the ids that it has applied, and fails now and then.

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
                let [Param::Text(key)] = write.key.params.as_slice() else { panic!("{write:?}") };
                let Change::Put(value) = &write.change else { panic!("{write:?}") };
                if turn == 3 {
                    outcomes.push(Err(SinkError::failed(No)));
                    continue;
                }
                if rows.done.insert(write.id) {
                    rows.effects.entry(key.clone()).or_default().push(version_of(value.as_blob().unwrap()));
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

fn version_of(blob: &Blob) -> u64 {
    std::str::from_utf8(blob.as_bytes()).unwrap().parse().unwrap()
}

async fn engine(disk: &Disk, table: &Table) -> Option<(Forebay, Namespace<Blob>)> {
    let journal = Arc::new(open(disk).await.ok()?);
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
        .unwrap();
    Some((engine, things))
}

/// One key's writer: the version that it found, the last that was acknowledged, how many were refused.
async fn write(things: Namespace<Blob>, key: String, many: u64, pad: usize) -> (String, [u64; 2], u64) {
    let held = things.get(&key).await.unwrap();
    let mut version = held.map_or(0, |held| version_of(&held));
    let (found, mut newest, mut refused) = (version, version, 0);
    for _ in 0..many {
        version += 1;
        // Leading zeros make it long.
        let value = Blob::opaque(format!("{version:0pad$}"));
        match things.set(&key, value, 0).await {
            Ok(()) => newest = version,
            Err(Error::JournalUnconfirmed { .. }) => break,
            Err(Error::JournalFailed { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    (key, [found, newest], refused)
}

#[test]
fn no_life_of_a_process_loses_what_it_acknowledged() {
    let mut failed = 0;
    for seed in 0..150 {
        let mut random = fastrand::Rng::with_seed(seed);
        let table = Table::default();
        let mut disk = Disk::default();
        let mut newest: BTreeMap<String, u64> = BTreeMap::new();
        for life in 0..4 {
            let is_last = life == 3;
            let fault = random.choice([Fault::Eio, Fault::Enospc, Fault::Short, Fault::WrittenAndFailed]);
            let plan = Plan { at: random.usize(1..80), fault: fault.unwrap(), lasts: random.bool() };
            disk.plan((!is_last && random.u8(..4) > 0).then_some(plan));
            run(async {
                let Some((_engine, things)) = engine(&disk, &table).await else { return };
                let mut writers = tokio::task::JoinSet::new();
                for key in 0..4 {
                    let (many, pad) = (random.u64(1..20), random.usize(1..600));
                    writers.spawn(write(things.clone(), format!("k{key}"), many, pad));
                }
                for (key, [found, last], no) in writers.join_all().await {
                    let floor = newest.entry(key.clone()).or_default();
                    assert!(found >= *floor, "seed {seed}: {key} was {found}, and {floor} acknowledged");
                    *floor = last;
                    failed += no;
                }
                if is_last {
                    assert!(things.flush_writes(Duration::from_secs(20)).await, "seed {seed}");
                    assert_eq!(things.dead_letters().len(), 0);
                }
            });
            disk = disk.power_loss(&mut random);
        }
        let rows = table.0.lock();
        for (key, floor) in &newest {
            let effects = &rows.effects[key];
            assert!(effects.is_sorted_by(|one, next| one < next), "seed {seed}: {key} had {effects:?}");
            assert!(
                effects.last() >= Some(floor),
                "seed {seed}: {key} had {effects:?}, {floor} was acknowledged"
            );
        }
    }
    assert!(failed > 100, "the disks failed too little: {failed}");
}

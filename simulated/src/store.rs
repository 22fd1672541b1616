//! A store in memory that fails, waits and crashes when a test says so.
#![expect(clippy::panic, reason = "a change that the contract does not allow ends the test")]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forebay::rt::{Clock, Mutex, MutexGuard, Tick};
use forebay::tier::shared::Owner;
use forebay::tier::store::{
    Change, Count, Described, Durability, Ends, Reply, Store, StoreError, StoreLimits, Stored, StoredValue,
    What,
};
use forebay::value::{Blob, Hash, Score, SortedSet};

/// The disk of a store: what is on it outlives the [`SimulatedStore`]s that are opened on it.
#[derive(Clone, Debug)]
pub struct SimulatedDisk(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    /// All that was taken, in order.
    taken: Vec<(Owner, Step)>,
    /// How much of it is durable.
    synced: usize,
    /// Counts the crashes: what was opened before one is of no use after it.
    life: u64,
    faults: StoreFaults,
    appends: u64,
}

/// What goes wrong with a store from now on.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreFaults {
    /// Every n-th append fails; 0 is none.
    pub failing_append: u64,
    /// The next sync fails, and the store takes nothing more.
    pub failing_sync: bool,
    /// How long a load takes.
    pub load_takes: Duration,
    /// How long an append waits for room, and a sync takes.
    pub append_takes: Duration,
}

#[derive(Clone, Debug)]
enum Step {
    Changes(Vec<(Change, Tick)>),
    Clear,
}

/// A store on a [`SimulatedDisk`].
#[derive(Clone, Debug)]
pub struct SimulatedStore {
    disk: SimulatedDisk,
    clock: Clock,
    life: u64,
    is_poisoned: Arc<Mutex<bool>>,
}

impl SimulatedDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// Opens the store on it.
    #[must_use]
    pub fn open(&self, clock: Clock) -> SimulatedStore {
        let life = self.lock().life;
        SimulatedStore { disk: self.clone(), clock, life, is_poisoned: Arc::default() }
    }

    /// Cuts the power: of what is not durable a prefix stays, `kept` of it at most, and what is open is of no use any more.
    pub fn crash(&self, kept: usize) {
        let mut disk = self.lock();
        let stays = disk.synced.saturating_add(kept).min(disk.taken.len());
        disk.taken.truncate(stays);
        disk.synced = stays;
        disk.life += 1;
    }

    /// How many appends are not durable.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        let disk = self.lock();
        disk.taken.len().saturating_sub(disk.synced)
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: StoreFaults) {
        self.lock().faults = faults;
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock()
    }

    /// What is held, made of all that was taken.
    fn held(&self, of: &Owner) -> BTreeMap<Box<[u8]>, Entry> {
        let mut held = BTreeMap::new();
        for (_, step) in self.lock().taken.iter().filter(|(owner, _)| owner == of) {
            match step {
                Step::Clear => held.clear(),
                Step::Changes(changes) => {
                    changes.iter().for_each(|(change, at)| apply(&mut held, change, *at))
                }
            }
        }
        held
    }
}

impl Default for SimulatedDisk {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Clone, Debug)]
struct Entry {
    value: Plain,
    at_most: Option<Tick>,
    unused: Option<Tick>,
}

#[derive(Clone, Debug)]
enum Plain {
    Blob(Blob),
    Counter(i64),
    Hash(BTreeMap<Bytes, Bytes>),
    Set(HashMap<Bytes, Score>),
    Encoded(u32, Bytes),
}

impl Plain {
    fn of(value: &StoredValue) -> Self {
        let copied = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
        match value {
            StoredValue::Blob(blob) => Self::Blob(blob.clone()),
            StoredValue::Counter(number) => Self::Counter(*number),
            StoredValue::Hash(hash) => {
                Self::Hash(hash.iter().map(|(field, value)| (copied(field), value.clone())).collect())
            }
            StoredValue::SortedSet(set) => {
                Self::Set(set.iter().map(|(member, score)| (copied(member), score)).collect())
            }
            StoredValue::Encoded { shape, bytes } => Self::Encoded(*shape, bytes.clone()),
        }
    }

    fn stored(self) -> StoredValue {
        match self {
            Self::Blob(blob) => StoredValue::Blob(blob),
            Self::Counter(number) => StoredValue::Counter(number),
            Self::Hash(fields) => StoredValue::Hash(Arc::new(Hash::whole(fields))),
            Self::Set(members) => {
                let mut set = SortedSet::new();
                for (member, score) in members {
                    set.upsert(&member, score);
                }
                StoredValue::SortedSet(Arc::new(set))
            }
            Self::Encoded(shape, bytes) => StoredValue::Encoded { shape, bytes },
        }
    }
}

impl Entry {
    fn is_over(&self, now: Tick) -> bool {
        [self.at_most, self.unused].into_iter().flatten().any(|end| end <= now)
    }
}

fn apply(held: &mut BTreeMap<Box<[u8]>, Entry>, change: &Change, at: Tick) {
    if held.get(&change.key).is_some_and(|entry| entry.is_over(at)) {
        held.remove(&change.key);
    }
    match &change.what {
        What::Stays => {}
        What::Delete => drop(held.remove(&change.key)),
        What::Put(value) => {
            let (at_most, unused) =
                held.get(&change.key).map_or((None, None), |old| (old.at_most, old.unused));
            held.insert(change.key.clone(), Entry { value: Plain::of(value), at_most, unused });
        }
        What::Fields(fields) => match held.get_mut(&change.key).map(|entry| &mut entry.value) {
            Some(Plain::Hash(hash)) => {
                for (field, value) in fields {
                    match value {
                        Some(value) => drop(hash.insert(field.clone(), value.clone())),
                        None => drop(hash.remove(field)),
                    }
                }
            }
            other => panic!("fields of {other:?}"),
        },
        What::Members(members) => match held.get_mut(&change.key).map(|entry| &mut entry.value) {
            Some(Plain::Set(set)) => {
                for change in members {
                    match change.score {
                        Some(score) => drop(set.insert(change.member.clone(), score)),
                        None => drop(set.remove(&change.member)),
                    }
                }
            }
            other => panic!("members of {other:?}"),
        },
    }
    let Some(entry) = held.get_mut(&change.key) else { return };
    match change.ends {
        Ends::AsBefore => {}
        Ends::Never => (entry.at_most, entry.unused) = (None, None),
        Ends::After(span) => (entry.at_most, entry.unused) = (Some(at.after(span)), None),
        Ends::Unused(idle, max) => {
            (entry.at_most, entry.unused) = (Some(at.after(max)), Some(at.after(idle)));
        }
        Ends::Used(idle) => entry.unused = entry.unused.map(|unused| unused.max(at.after(idle))),
    }
}

impl SimulatedStore {
    fn dead(&self) -> StoreError {
        StoreError::Unread { cause: Arc::new(std::io::Error::other("the power is off")) }
    }

    fn is_dead(&self) -> bool {
        self.disk.lock().life != self.life
    }

    fn poisoned(&self) -> MutexGuard<'_, bool> {
        self.is_poisoned.lock()
    }

    async fn take(&self, of: &Owner, step: Step, durability: Durability) -> Result<(), StoreError> {
        let waits = self.disk.lock().faults.append_takes;
        self.clock.sleep(waits).await;
        let taken = self.push(of, step)?;
        if durability != Durability::Always {
            return Ok(());
        }
        self.clock.sleep(waits).await;
        self.sync(taken)
    }

    /// Takes a step; how many are taken then.
    fn push(&self, of: &Owner, step: Step) -> Result<usize, StoreError> {
        if self.is_dead() {
            return Err(self.dead());
        }
        if *self.poisoned() {
            return Err(StoreError::Poisoned);
        }
        let mut disk = self.disk.lock();
        disk.appends += 1;
        let nth = disk.faults.failing_append;
        if nth > 0 && disk.appends.is_multiple_of(nth) {
            return Err(StoreError::Failed { cause: Arc::new(std::io::Error::other("no space left")) });
        }
        disk.taken.push((of.clone(), step));
        Ok(disk.taken.len())
    }

    /// Makes what was taken durable.
    fn sync(&self, taken: usize) -> Result<(), StoreError> {
        let unconfirmed = |what| StoreError::Unconfirmed { cause: Arc::new(std::io::Error::other(what)) };
        if self.is_dead() {
            return Err(unconfirmed("the power is off"));
        }
        let mut disk = self.disk.lock();
        if disk.faults.failing_sync || *self.poisoned() {
            *self.poisoned() = true;
            return Err(unconfirmed("fsync failed"));
        }
        disk.synced = disk.synced.max(taken);
        Ok(())
    }
}

impl Store for SimulatedStore {
    fn limits(&self) -> StoreLimits {
        StoreLimits { key_bytes_max: 1_024, value_bytes_max: usize::MAX, batch_max: 16 }
    }

    fn load<'a>(&'a self, of: &'a Owner, keys: &'a [&'a [u8]]) -> Reply<'a, Vec<Option<Stored>>> {
        Box::pin(async move {
            assert!(keys.len() <= self.limits().batch_max, "{} keys in one call", keys.len());
            // It is read as of some moment while the load goes on.
            let takes = self.disk.lock().faults.load_takes;
            self.clock.sleep(takes / 2).await;
            if self.is_dead() {
                return Err(self.dead());
            }
            let now = self.clock.now();
            let held = self.disk.held(of);
            let stored = |key: &&[u8]| {
                let entry = held.get(*key).filter(|entry| !entry.is_over(now))?.clone();
                let ends_in = entry.at_most.map(|end| end.since(now));
                Some(Stored { value: entry.value.stored(), ends_in })
            };
            let all = keys.iter().map(stored).collect();
            self.clock.sleep(takes / 2).await;
            Ok(all)
        })
    }

    fn describe<'a>(&'a self, of: &'a Owner, keys: &'a [&'a [u8]]) -> Reply<'a, Vec<Option<Described>>> {
        Box::pin(async move {
            let found = self.load(of, keys).await?;
            Ok(found.into_iter().map(|found| found.map(Described::from)).collect())
        })
    }

    fn list<'a>(
        &'a self,
        of: &'a Owner,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> Reply<'a, Vec<Box<[u8]>>> {
        let now = self.clock.now();
        let held = self.disk.held(of).into_iter().filter(|(key, entry)| {
            key.starts_with(prefix) && after.is_none_or(|after| **key > *after) && !entry.is_over(now)
        });
        let keys = held.map(|(key, _)| key).take(limit).collect();
        Box::pin(async move { Ok(keys) })
    }

    fn count<'a>(&'a self, of: &'a Owner) -> Reply<'a, Count> {
        let now = self.clock.now();
        let held = self.disk.held(of).into_values().filter(|entry| !entry.is_over(now));
        let count = held.fold(Count::default(), |count, entry| Count {
            keys: count.keys + 1,
            ending: count.ending + u64::from(entry.at_most.is_some() || entry.unused.is_some()),
        });
        Box::pin(async move {
            match *self.poisoned() {
                _ if self.is_dead() => Err(self.dead()),
                true => Err(StoreError::Poisoned),
                false => Ok(count),
            }
        })
    }

    fn append<'a>(&'a self, of: &'a Owner, changes: Vec<Change>, durability: Durability) -> Reply<'a, ()> {
        Box::pin(async move {
            let limit = self.limits().key_bytes_max;
            if let Some(Change { key, .. }) = changes.iter().find(|change| change.key.len() > limit) {
                let number = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
                let (bytes, limit_bytes) = (number(key.len()), number(limit));
                return Err(StoreError::TooLarge { what: "key", bytes, limit_bytes });
            }
            changes.iter().try_for_each(|change| change.what.check_complete())?;
            let at = self.clock.now();
            let changes = changes.into_iter().map(|change| (change, at)).collect();
            self.take(of, Step::Changes(changes), durability).await
        })
    }

    fn clear<'a>(&'a self, of: &'a Owner, durability: Durability) -> Reply<'a, ()> {
        Box::pin(self.take(of, Step::Clear, durability))
    }
}

//! Store namespaces on a [`Disk`]: values that are the truth, of every kind, with cheap changes to part of them.
//!
//! It keeps the contract of [`Store`]. Every append is one step of the disk's writer, which looks at what is there and changes it with no
//! other change between; many of them share a sync. A hash or a sorted set is a row for each of its fields or members, so that a
//! change of one is a write of one. What is deleted, cleared or has ended is gone at once, and its rows go in the background.
//!
//! # Time
//!
//! On disk there are times of day. The machine is asked for the time once, when the store is opened; from then on its own clock counts.
//!
//! `rows.rs` says where things lie and how they are written, `steps.rs` how they are changed, `load.rs` how they are read,
//! `counts.rs` how many there are, `sweep.rs` what is done in the background.

mod counts;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod load;
mod rows;
mod steps;
mod sweep;

use std::sync::Arc;

use forebay::rt::atomic::{AtomicBool, AtomicU64, Ordering};
use forebay::rt::{Clock, Tasks};
use forebay::tier::shared::Owner;
use forebay::tier::store::{
    Change, Count, Described, Durability, Reply, Store, StoreError, StoreLimits, Stored, StoredValue, What,
};

use crate::disk::{self, Changes, Disk, DiskError, Machine, View};

use self::counts::Counts;

/// The most keys in one call.
const BATCH_KEYS_MAX: usize = 16_384;
/// The longest key, field or member, in bytes.
const NAME_BYTES_MAX: usize = 32 * 1024;
/// The largest value of a key or field, in bytes.
const VALUE_BYTES_MAX: usize = 128 * 1024 * 1024;
/// What a change writes beside what it was given, about, in bytes.
const OVERHEAD_BYTES: usize = 128;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The clock by which values end. Default: the system's.
    pub clock: Clock,
    /// The time of day, in milliseconds since 1970; default: the machine is asked. Tests play another.
    pub unix_ms: Option<u64>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { clock: Clock::system(), unix_ms: None }
    }
}

/// The store of all namespaces of one process, on a disk. One of them may be open on a disk at a time.
#[derive(Debug)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    _tasks: Tasks,
}

/// What steps on the writer's thread share with the store.
#[derive(Debug)]
struct Shared {
    disk: Disk,
    clock: Clock,
    /// The time of day at tick zero of the clock.
    unix_ms_at_zero: u64,
    counts: Counts,
    /// Up to this second the index of ends was swept.
    swept_to: AtomicU64,
    /// About what was deleted since the files were compacted, in bytes.
    dead_bytes: AtomicU64,
    /// A write has failed, so that nothing more is taken.
    is_poisoned: AtomicBool,
}

impl EmbeddedStore {
    /// Opens the store on a disk.
    ///
    /// # Errors
    /// [`DiskError::Refused`] outside a tokio runtime.
    pub fn open(disk: Disk, options: StoreOptions) -> Result<Self, DiskError> {
        let problem = "there is no tokio runtime: open the store on one".to_owned();
        let tasks = Tasks::current().ok_or(DiskError::Refused { problem })?;
        let unix_ms = options.unix_ms.unwrap_or_else(|| Machine::ask().unix_ms);
        let now = options.clock.now();
        let shared = Arc::new(Shared {
            unix_ms_at_zero: unix_ms.saturating_sub(now.as_ms()),
            clock: options.clock,
            counts: Counts::default(),
            swept_to: AtomicU64::new(0),
            dead_bytes: AtomicU64::new(0),
            is_poisoned: AtomicBool::new(false),
            disk,
        });
        sweep::start(&tasks, &shared);
        Ok(Self { shared, _tasks: tasks })
    }

    async fn change(
        &self,
        owner: Owner,
        bytes: usize,
        durability: Durability,
        step: impl FnOnce(&Shared, &mut Changes<'_>, &Owner) -> Result<(), DiskError> + Send + 'static,
    ) -> Result<(), StoreError> {
        if self.shared.is_poisoned.load(Ordering::Acquire) {
            return Err(StoreError::Poisoned);
        }
        let durability = match durability {
            Durability::Always => disk::Durability::Always,
            Durability::Interval(span) => disk::Durability::Interval(span),
            Durability::None => disk::Durability::OsWritten,
        };
        let shared = Arc::clone(&self.shared);
        let step = move |changes: &mut Changes<'_>| {
            shared.counts.keep(Some(&owner), || step(&shared, changes, &owner))
        };
        // The engine changes the key no further before it knows, and bounds its caller's wait itself.
        let changed = self.shared.disk.change_for_sure(bytes, durability, step).await;
        changed.map_err(|error| {
            if matches!(error, DiskError::Poisoned { .. }) {
                self.shared.is_poisoned.store(true, Ordering::Release);
            }
            not_written(error)
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View<'_>, u64) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let now_ms = self.shared.now_ms();
        self.shared.disk.read(move |view| read(view, now_ms)).await.map_err(not_read)
    }
}

impl Shared {
    fn now_ms(&self) -> u64 {
        self.unix_ms_at_zero.saturating_add(self.clock.now().as_ms())
    }
}

impl Store for EmbeddedStore {
    fn limits(&self) -> StoreLimits {
        StoreLimits {
            key_bytes_max: NAME_BYTES_MAX,
            value_bytes_max: VALUE_BYTES_MAX,
            batch_max: BATCH_KEYS_MAX,
        }
    }

    fn load<'a>(&'a self, of: &'a Owner, keys: &'a [&'a [u8]]) -> Reply<'a, Vec<Option<Stored>>> {
        let (owner, keys) = (of.clone(), keys.iter().map(|key| Box::from(*key)).collect::<Vec<Box<[u8]>>>());
        Box::pin(self.read(move |view, now_ms| load::load(view, &owner, &keys, now_ms)))
    }

    fn describe<'a>(&'a self, of: &'a Owner, keys: &'a [&'a [u8]]) -> Reply<'a, Vec<Option<Described>>> {
        let (owner, keys) = (of.clone(), keys.iter().map(|key| Box::from(*key)).collect::<Vec<Box<[u8]>>>());
        Box::pin(self.read(move |view, now_ms| load::describe(view, &owner, &keys, now_ms)))
    }

    fn list<'a>(
        &'a self,
        of: &'a Owner,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> Reply<'a, Vec<Box<[u8]>>> {
        let (owner, prefix, after) = (of.clone(), Box::<[u8]>::from(prefix), after.map(Box::<[u8]>::from));
        Box::pin(
            self.read(move |view, now_ms| load::list(view, &owner, &prefix, after.as_deref(), limit, now_ms)),
        )
    }

    fn count<'a>(&'a self, of: &'a Owner) -> Reply<'a, Count> {
        Box::pin(async move {
            loop {
                let (owner, shared) = (of.clone(), Arc::clone(&self.shared));
                let step = move |changes: &mut Changes<'_>| shared.count(changes, &owner);
                let page = self.shared.disk.change(0, disk::Durability::OsWritten, step).await;
                if let Some(count) = page.map_err(not_read)? {
                    return Ok(count);
                }
            }
        })
    }

    fn append<'a>(&'a self, of: &'a Owner, changes: Vec<Change>, durability: Durability) -> Reply<'a, ()> {
        Box::pin(async move {
            let mut bytes = 0_usize;
            for change in &changes {
                bytes = bytes.saturating_add(weigh(change)?);
            }
            let step = move |shared: &Shared, rows: &mut Changes<'_>, owner: &Owner| {
                changes.iter().try_for_each(|change| shared.apply(rows, owner, change))
            };
            self.change(of.clone(), bytes, durability, step).await
        })
    }

    fn clear<'a>(&'a self, of: &'a Owner, durability: Durability) -> Reply<'a, ()> {
        let step = |shared: &Shared, rows: &mut Changes<'_>, owner: &Owner| shared.clear(rows, owner);
        Box::pin(self.change(of.clone(), OVERHEAD_BYTES, durability, step))
    }
}

/// What a change will write, about, in bytes.
///
/// # Errors
/// [`StoreError::TooLarge`], [`StoreError::Partial`].
fn weigh(change: &Change) -> Result<usize, StoreError> {
    change.what.check_complete()?;
    let name = |what, name: &[u8]| within(what, name.len(), NAME_BYTES_MAX);
    let value = |bytes: usize| within("value", bytes, VALUE_BYTES_MAX);
    let mut bytes = OVERHEAD_BYTES + name("key", &change.key)?;
    let mut add = |more: usize| bytes = bytes.saturating_add(more).saturating_add(OVERHEAD_BYTES);
    match &change.what {
        What::Stays | What::Delete => {}
        What::Put(StoredValue::Blob(blob)) => {
            add(value(blob.as_bytes().len())? + blob.metadata().map_or(0, <[u8]>::len));
        }
        What::Put(StoredValue::Encoded { bytes, .. }) => add(value(bytes.len())?),
        What::Put(StoredValue::Counter(_)) => {}
        What::Put(StoredValue::Hash(hash)) => {
            for (field, content) in hash.iter() {
                add(name("field", field)? + value(content.len())?);
            }
        }
        What::Put(StoredValue::SortedSet(set)) => {
            for (member, _) in set.iter() {
                add(name("member", member)?);
            }
        }
        What::Fields(fields) => {
            for (field, content) in fields {
                add(name("field", field)? + value(content.as_ref().map_or(0, bytes::Bytes::len))?);
            }
        }
        What::Members(members) => {
            for member in members {
                add(name("member", &member.member)?);
            }
        }
    }
    Ok(bytes)
}

fn within(what: &'static str, bytes: usize, limit: usize) -> Result<usize, StoreError> {
    if bytes <= limit {
        return Ok(bytes);
    }
    let number = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    Err(StoreError::TooLarge { what, bytes: number(bytes), limit_bytes: number(limit) })
}

fn not_written(error: DiskError) -> StoreError {
    match error {
        DiskError::Damaged { place, problem } => StoreError::Damaged { place, problem },
        error if error.unknown_outcome() => StoreError::Unconfirmed { cause: Arc::new(error) },
        error => StoreError::Failed { cause: Arc::new(error) },
    }
}

fn not_read(error: DiskError) -> StoreError {
    match error {
        // What reads in a step of the writer's, which takes none any more.
        DiskError::Poisoned { .. } => StoreError::Poisoned,
        DiskError::Damaged { place, problem } => StoreError::Damaged { place, problem },
        error => StoreError::Unread { cause: Arc::new(error) },
    }
}

//! The store in the folder: what [fjall](https://docs.rs/fjall) is asked for, and nothing else in the crate names it.
//!
//! Each space is a keyspace of one fjall database, so that a group of changes is one atomic write over all of them. A commit is
//! handed to the system before it returns; a sync is asked for by name. fjall checks its blocks and its journal; our records
//! carry checksums of their own over place and content.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};
use forebay::rt::Clock;

use super::rows::{Base, Overlay, Visit};
use super::{DiskError, Space, record};

/// Threads that flush and compact: with two, one is left for flushes while the other compacts.
const WORKERS: usize = 2;
/// The most that one space holds in memory before it is written to a table, in bytes.
const MEMTABLE_BYTES: u64 = 16 * 1024 * 1024;
/// Beyond this, spaces that are rarely written to are flushed, so that old journals can go.
const JOURNALS_BYTES: u64 = 64 * 1024 * 1024;
/// Tables that wait to be flushed, and runs that wait to be compacted, at which a commit waits first: below what makes the store
/// halt within a commit, where nobody could tell that it never goes on.
const WAITING_TABLES_MAX: usize = 3;
const WAITING_RUNS_MAX: usize = 18;
/// How long a wait rests before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// How long writes wait for room at most, before they are refused: not as long as their callers wait for them.
const ROOM_WITHIN: Duration = Duration::from_secs(3);
/// How long it may take to write to tables what is held in memory.
const FLUSH_WITHIN: Duration = Duration::from_secs(60);

/// The store of one folder. Clones are the same.
#[derive(Clone)]
pub(super) struct Store {
    database: Database,
    spaces: Arc<BTreeMap<Space, Keyspace>>,
}

impl Store {
    /// Opens it, or makes it where there is none. It may panic on a folder that is damaged.
    pub(super) fn open(folder: &Path, cache_bytes: u64) -> Result<Self, DiskError> {
        let opened = Database::builder(folder)
            .cache_size(cache_bytes)
            .worker_threads(WORKERS)
            .max_journaling_size(JOURNALS_BYTES)
            .open();
        let database = opened.map_err(|cause| damaged(folder, &cause))?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let mut spaces = BTreeMap::new();
        for space in Space::ALL {
            let keyspace =
                database.keyspace(space.name(), options).map_err(|cause| damaged(folder, &cause))?;
            spaces.insert(space, keyspace);
        }
        Ok(Self { database, spaces: Arc::new(spaces) })
    }

    fn space(&self, space: Space) -> Result<&Keyspace, DiskError> {
        self.spaces
            .get(&space)
            .ok_or_else(|| DiskError::Refused { problem: format!("no space {}", space.name()) })
    }

    /// Writes all changes or none; once it returns the system has them. Where there may be no [room](Self::wait_for_room) it can halt.
    pub(super) fn commit(&self, changes: &Overlay) -> Result<(), DiskError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        for (space, key, content) in changes.rows() {
            let keyspace = self.space(space)?;
            match content {
                Some(content) => batch.insert(keyspace, &key[..], record::seal(space, key, content)),
                None => batch.remove(keyspace, &key[..]),
            }
        }
        batch.commit().map_err(poisoned)
    }

    /// Everything committed survives a power failure once it returns.
    pub(super) fn sync(&self) -> Result<(), DiskError> {
        self.database.persist(PersistMode::SyncAll).map_err(poisoned)
    }

    /// Forgets all rows of a space at once.
    pub(super) fn clear(&self, space: Space) -> Result<(), DiskError> {
        self.space(space)?.clear().map_err(poisoned)
    }

    pub(super) fn snapshot(&self) -> Look<'_> {
        Look { store: self, snapshot: self.database.snapshot() }
    }

    /// Rewrites the tables of these spaces without what was deleted or replaced. The old ones go with the next
    /// [`flush`](Self::flush) that comes after other commits.
    pub(super) fn compact(&self, spaces: &[Space]) -> Result<(), DiskError> {
        self.flush()?;
        spaces.iter().try_for_each(|space| self.space(*space)?.major_compact().map_err(DiskError::unreadable))
    }

    /// Writes what all spaces hold in memory to tables, so that no journal is needed, and lets go of tables that were replaced
    /// before the last commits.
    pub(super) fn flush(&self) -> Result<(), DiskError> {
        for keyspace in self.spaces.values() {
            keyspace.rotate_memtable().map_err(DiskError::unreadable)?;
        }
        let is_flushed = || self.spaces.values().all(|keyspace| keyspace.sealed_memtable_count() == 0);
        let flushed = wait_until(&Clock::system(), FLUSH_WITHIN, || self.is_alive(), is_flushed);
        flushed.map_err(|waited| match waited {
            Waited::Failed(error) => error,
            Waited::TooLong => DiskError::Timeout { after: FLUSH_WITHIN },
        })
    }

    /// What its files take, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.database.disk_space().unwrap_or(0)
    }

    /// What the tables of these spaces take, in bytes.
    pub(super) fn table_bytes(&self, spaces: &[Space]) -> Result<u64, DiskError> {
        spaces.iter().map(|space| Ok(self.space(*space)?.disk_space())).sum()
    }

    /// Whether it still takes writes: a worker that failed has poisoned it.
    fn is_alive(&self) -> Result<(), DiskError> {
        self.database.persist(PersistMode::Buffer).map_err(poisoned)
    }

    /// Waits until a group of changes can be committed without a halt.
    ///
    /// # Errors
    /// [`DiskError::Refused`] where there was no room for too long; [`DiskError::Poisoned`].
    pub(super) fn wait_for_room(&self) -> Result<(), DiskError> {
        let has_room = |keyspace: &Keyspace| {
            keyspace.sealed_memtable_count() < WAITING_TABLES_MAX
                && keyspace.l0_table_count() < WAITING_RUNS_MAX
        };
        let has_room = || self.spaces.values().all(has_room);
        wait_until(&Clock::system(), ROOM_WITHIN, || self.is_alive(), has_room).map_err(|waited| match waited {
            Waited::Failed(error) => error,
            Waited::TooLong => DiskError::Refused {
                problem: format!(
                    "for {ROOM_WITHIN:?} it could not write to files what it was given before; see whether it is overloaded, and try again"
                ),
            },
        })
    }
}

/// Why what was waited for did not come.
#[derive(Debug)]
enum Waited {
    TooLong,
    Failed(DiskError),
}

/// Waits until `is_done`, for `within` at most, as long as the store is alive.
fn wait_until(
    clock: &Clock,
    within: Duration,
    is_alive: impl Fn() -> Result<(), DiskError>,
    is_done: impl Fn() -> bool,
) -> Result<(), Waited> {
    let until = clock.now().after(within);
    while !is_done() {
        is_alive().map_err(Waited::Failed)?;
        if clock.now() >= until {
            return Err(Waited::TooLong);
        }
        std::thread::park_timeout(LOOK_AGAIN);
    }
    Ok(())
}

fn poisoned(cause: fjall::Error) -> DiskError {
    DiskError::Poisoned { cause: Arc::new(cause) }
}

fn damaged(folder: &Path, cause: &fjall::Error) -> DiskError {
    DiskError::Damaged {
        place: folder.display().to_string(),
        problem: format!("it cannot be opened ({cause:?}); restore a backup, or move it away to begin anew"),
    }
}

/// Reads of the present.
impl Base for Store {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, DiskError> {
        let found = self.space(space)?.get(key).map_err(DiskError::unreadable)?;
        found.map(|sealed| record::open(space, key, &sealed)).transpose()
    }

    fn walk(&self, space: Space, from: Bound<&[u8]>, visit: Visit<'_>) -> Result<(), DiskError> {
        self.snapshot().walk(space, from, visit)
    }
}

/// Reads of one moment.
pub(super) struct Look<'a> {
    store: &'a Store,
    snapshot: Snapshot,
}

impl Look<'_> {
    /// Tells `visit` the records of `space` as they lie there, until it says false.
    pub(super) fn walk_sealed(
        &self,
        space: Space,
        from: Bound<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), DiskError> {
        let range: (Bound<&[u8]>, Bound<&[u8]>) = (from, Bound::Unbounded);
        for row in self.snapshot.range::<&[u8], _>(self.store.space(space)?, range) {
            let (key, sealed) = row.into_inner().map_err(DiskError::unreadable)?;
            if !visit(&key, &sealed) {
                break;
            }
        }
        Ok(())
    }
}

impl Base for Look<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, DiskError> {
        let found = self.snapshot.get(self.store.space(space)?, key).map_err(DiskError::unreadable)?;
        found.map(|sealed| record::open(space, key, &sealed)).transpose()
    }

    fn walk(&self, space: Space, from: Bound<&[u8]>, visit: Visit<'_>) -> Result<(), DiskError> {
        self.walk_sealed(space, from, &mut |key, sealed| visit(key, record::open(space, key, sealed)))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use forebay::rt::Clock;

    use super::{DiskError, Waited, wait_until};

    #[test]
    fn no_wait_is_without_an_end() {
        let (clock, looks) = (Clock::simulated(), Cell::new(0));
        let look = || {
            looks.set(looks.get() + 1);
            clock.advance(Duration::from_millis(100));
            false
        };
        let waited = wait_until(&clock, Duration::from_secs(1), || Ok(()), look);
        assert!(matches!(waited, Err(Waited::TooLong)) && looks.get() == 10, "{waited:?} after {looks:?}");
        let dead = || Err(DiskError::Closed);
        let waited = wait_until(&clock, Duration::from_secs(1), dead, || false);
        assert!(matches!(waited, Err(Waited::Failed(DiskError::Closed))), "{waited:?}");
        wait_until(&clock, Duration::ZERO, dead, || true).unwrap();
    }
}

//! What all namespaces of one engine share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use super::core::Core;
use super::feeds::Followed;
use super::handle::Handles;
use super::replace::Leftovers;
use super::shared::Shared;
use crate::error::{Cause, Error};
use crate::log::{Group, Groups, Limits, LocalLog, Reach, Record};
use crate::observe::{Change, Changes, Events};
use crate::rt::{Clock, Mutex, Tasks};
use crate::tier::memory::{EvictionPolicy, MemoryTier};
use crate::tier::shared::{Owner, SharedTier};
use crate::value::Position;

/// The least memory that an engine can work with, in bytes: 1 MiB.
pub(super) const MEMORY_MIN_BYTES: u64 = 1024 * 1024;
/// The least memory that a namespace can have for itself, in bytes: 64 KiB.
const OWN_MEMORY_MIN_BYTES: u64 = 64 * 1024;

/// How many group records are remembered. Where bugs can be planted, so few that the oldest are forgotten all the time.
const LIMITS: Limits =
    if cfg!(feature = "planted") { Limits { tags: 2, prefixes: 1 } } else { Limits::DEFAULT };

/// A namespace of the engine. It lives on under a load or a task of its own when its last handle is gone.
#[derive(Debug)]
struct Enrolled {
    core: Weak<Core>,
    handles: Weak<Handles>,
}

/// The parts of an engine that its namespaces share.
#[derive(Debug)]
pub(super) struct Common {
    /// What the namespaces hold that have no memory of their own.
    pub(super) memory: Arc<MemoryTier>,
    own: Mutex<Vec<Weak<MemoryTier>>>,
    /// Of all memories together.
    budget_bytes: u64,
    pub(super) clock: Clock,
    /// Loads, and whatever else ends by itself.
    pub(super) tasks: Tasks,
    /// What runs as long as the engine lives.
    pub(super) upkeep: Tasks,
    pub(super) groups: Arc<Groups>,
    log: LocalLog,
    pub(super) shared: Option<Arc<Shared>>,
    pub(super) events: Events,
    /// Whoever is told of changes.
    pub(super) changes: Arc<Changes>,
    /// The feeds that are followed.
    pub(super) feeds: Mutex<Vec<Arc<Followed>>>,
    namespaces: Mutex<Vec<Enrolled>>,
    /// What namespaces have left in memory that are no more, until upkeep drops it.
    pub(super) leftovers: Mutex<Vec<Leftovers>>,
    next_namespace: AtomicU32,
    keyspaces: Mutex<HashMap<Arc<str>, u32>>,
}

impl Common {
    pub(super) fn new(
        budget_bytes: u64,
        clock: Clock,
        tasks: Tasks,
        upkeep: Tasks,
        tier: Option<Arc<dyn SharedTier>>,
    ) -> Self {
        Self {
            memory: Arc::new(MemoryTier::new(budget_bytes, EvictionPolicy::S3Fifo)),
            own: Mutex::default(),
            budget_bytes,
            log: LocalLog::new(clock.clone()),
            shared: tier.map(|tier| Arc::new(Shared::new(tier, clock.clone()))),
            clock,
            tasks,
            upkeep,
            groups: Arc::new(Groups::new(LIMITS)),
            events: Events::default(),
            changes: Arc::default(),
            feeds: Mutex::default(),
            namespaces: Mutex::default(),
            leftovers: Mutex::default(),
            next_namespace: AtomicU32::new(0),
            keyspaces: Mutex::default(),
        }
    }

    /// A memory of `bytes` of its own, taken from the common one; what is wrong where that cannot be.
    pub(super) fn carve(&self, bytes: u64, policy: EvictionPolicy) -> Result<Arc<MemoryTier>, String> {
        if bytes < OWN_MEMORY_MIN_BYTES {
            return Err(format!(
                "a memory of {bytes} bytes is too small, give at least {OWN_MEMORY_MIN_BYTES}"
            ));
        }
        // What namespaces had that are no more comes back first.
        drop(self.memories());
        let mut own = self.own.lock();
        let left = self.memory.budget_bytes().checked_sub(bytes);
        let Some(left) = left.filter(|left| *left >= MEMORY_MIN_BYTES) else {
            return Err(format!(
                "a memory of {bytes} bytes leaves less than {MEMORY_MIN_BYTES} of the engine's to share, which has {}",
                self.memory.budget_bytes()
            ));
        };
        self.memory.set_budget_bytes(left);
        let memory = Arc::new(MemoryTier::new(bytes, policy));
        own.push(Arc::downgrade(&memory));
        Ok(memory)
    }

    /// Every memory of the engine; what a namespace that is no more had for itself goes back to all.
    pub(super) fn memories(&self) -> Vec<Arc<MemoryTier>> {
        let mut own = self.own.lock();
        own.retain(|memory| memory.strong_count() > 0);
        let own: Vec<_> = own.iter().filter_map(Weak::upgrade).collect();
        let taken: u64 = own.iter().map(|memory| memory.budget_bytes()).sum();
        let left = self.budget_bytes.saturating_sub(taken);
        if left != self.memory.budget_bytes() {
            self.memory.set_budget_bytes(left);
        }
        std::iter::once(Arc::clone(&self.memory)).chain(own).collect()
    }

    /// Takes a namespace into the engine's, in the place of `replaced` where that is given.
    ///
    /// # Errors
    /// [`Error::NameTaken`] where somebody has a handle of another of its name, or a write of such a store is under way; where it
    /// replaces one, only if another has done so.
    pub(super) fn enrol(
        &self,
        core: &Arc<Core>,
        handles: &Arc<Handles>,
        replaced: Option<&Core>,
    ) -> Result<(), Error> {
        let mut namespaces = self.namespaces.lock();
        namespaces.retain(|one| one.core.strong_count() > 0);
        let keeps_the_name = |one: &Enrolled| {
            let is_held = one.handles.strong_count() > 0;
            let Some(other) = one.core.upgrade().filter(|other| other.owner == core.owner) else {
                return false;
            };
            match replaced {
                Some(replaced) => is_held && other.id > replaced.id,
                None => is_held || core.store.is_some() && other.store.is_some(),
            }
        };
        if namespaces.iter().any(keeps_the_name) {
            let Owner { keyspace, namespace } = core.owner.clone();
            return Err(Error::NameTaken { namespace, keyspace });
        }
        if let Some(replaced) = replaced {
            replaced.had_namesakes.store(true, Ordering::Release);
        }
        namespaces.push(Enrolled { core: Arc::downgrade(core), handles: Arc::downgrade(handles) });
        Ok(())
    }

    /// The namespaces that live.
    pub(super) fn namespaces(&self) -> Vec<Arc<Core>> {
        self.namespaces.lock().iter().filter_map(|one| one.core.upgrade()).collect()
    }

    /// A number for a new namespace.
    pub(super) fn namespace(&self) -> u32 {
        self.next_namespace.fetch_add(1, Ordering::Relaxed)
    }

    /// The number of the keyspace called `name`.
    pub(super) fn keyspace(&self, name: &Arc<str>) -> u32 {
        let mut keyspaces = self.keyspaces.lock();
        let next = u32::try_from(keyspaces.len()).unwrap_or(u32::MAX);
        *keyspaces.entry(Arc::clone(name)).or_insert(next)
    }

    /// Tells the log, or the shared tier that carries it, of `record`, and applies it here. When this returns, no reader that
    /// starts gets what the record makes gone.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] when the shared tier may not know: it is told later.
    pub(super) async fn tell(&self, record: Record) -> Result<(), Error> {
        self.tell_many(&[record]).await
    }

    /// The same of several records. Once the tier does not answer it is asked no more: the rest is told later too.
    pub(super) async fn tell_many(&self, records: &[Record]) -> Result<(), Error> {
        let Some(shared) = &self.shared else {
            records.iter().for_each(|record| self.apply(record, self.log.number(1), true));
            return Ok(());
        };
        let mut left = records;
        while !left.is_empty() {
            let at_most = shared.tier.capabilities().batch_max.max(1);
            let (now, later) = left.split_at(at_most.min(left.len()));
            let told = shared.tier.invalidate(now).await;
            match told.map(|place| (place, self.groups.place(place))) {
                Ok((place, Some(at))) => {
                    for (record, own) in now.iter().zip(Shared::positions(at, now.len())) {
                        self.apply(record, at, shared.count(own));
                    }
                    shared.told(place, at, now.len());
                    left = later;
                }
                unconfirmed => {
                    for record in left {
                        self.apply_unplaced(record);
                        shared.tell_later(record.clone());
                    }
                    let cause = unconfirmed.err().map(|error| Arc::new(error) as Cause);
                    return Err(Error::Unconfirmed { cause });
                }
            }
        }
        Ok(())
    }

    /// Applies a record that stands at `at` in the log, to every namespace of the name that it tells: one that was built again may
    /// have loads of the one before it beside it. It is counted, and remembered of its key, where it `counts`: it may be applied again.
    pub(super) fn apply(&self, record: &Record, at: Position, counts: bool) {
        let Record { keyspace, reach, verb } = record;
        let keyspace_id = self.keyspaces.lock().get(keyspace).copied();
        let named = |namespace: &Arc<str>| self.named(keyspace, namespace);
        let whole = |core: &Arc<Core>| Group::Namespace { namespace: core.id };
        let cores;
        let groups: Vec<Group<'_>> = match reach {
            Reach::Key { namespace, key } => {
                named(namespace).iter().for_each(|core| core.heed_key(key, *verb, at, counts));
                Vec::new()
            }
            Reach::Field { namespace, key, field } => {
                named(namespace).iter().for_each(|core| core.heed_field(key, field, at, counts));
                Vec::new()
            }
            Reach::Tag(tag) => keyspace_id.map(|keyspace| Group::Tag { keyspace, tag }).into_iter().collect(),
            Reach::All => keyspace_id.map(|keyspace| Group::Keyspace { keyspace }).into_iter().collect(),
            Reach::Namespace(namespace) => named(namespace).iter().map(whole).collect(),
            Reach::Prefix { namespace, prefix } => {
                cores = named(namespace);
                cores.iter().filter_map(|core| core.group(prefix)).collect()
            }
        };
        if groups.is_empty() {
            return self.groups.pass(at);
        }
        let is_meant = |core: &Core| match reach {
            Reach::Namespace(namespace) | Reach::Prefix { namespace, .. } => core.name == *namespace,
            _ => true,
        };
        let all = self.namespaces();
        for core in all.iter().filter(|core| *core.owner.keyspace == **keyspace && is_meant(core)) {
            core.others_may_exist();
        }
        self.groups.remember_all(at, &groups, *verb);
        self.tell_changed(record);
    }

    /// Tells whoever listens of what a record of a group takes in. Nobody knows the tags of what has been read: a tag's record is told as
    /// one of every copy.
    fn tell_changed(&self, record: &Record) {
        let Record { keyspace, reach, .. } = record;
        match reach {
            // Told with the key.
            Reach::Key { .. } | Reach::Field { .. } => {}
            Reach::Prefix { namespace, prefix } => {
                self.changes.tell(keyspace, Change::Prefix { namespace, prefix });
            }
            Reach::Namespace(name) => {
                self.all_copies(|core| *core.owner.keyspace == **keyspace && core.name == *name)
            }
            Reach::Tag(_) | Reach::All => self.all_copies(|core| *core.owner.keyspace == **keyspace),
        }
    }

    /// Tells whoever listens that every copy of these namespaces may be another.
    fn all_copies(&self, of: impl Fn(&Core) -> bool) {
        if !self.changes.are_heard() {
            return;
        }
        for core in self.namespaces().iter().filter(|core| core.store.is_none() && of(core)) {
            core.tell_all_changed();
        }
    }

    /// Tells whoever listens that records were missed, or may have been, so that any copy may be another.
    pub(super) fn missed_records(&self) {
        self.all_copies(|_| true);
    }

    /// Applies a record that has no place in the log yet: to what is held and to the loads in flight.
    fn apply_unplaced(&self, record: &Record) {
        for core in self.namespaces() {
            if *core.owner.keyspace == *record.keyspace {
                core.heed_unplaced(&record.reach, record.verb);
            }
        }
        self.tell_changed(record);
    }

    /// Counts and notes that the shared tier refuses to be told of `record`.
    pub(super) fn note_refused(&self, record: &Record) {
        for core in self.namespaces() {
            if *core.owner.keyspace == *record.keyspace {
                core.note_refused(&record.reach);
            }
        }
    }

    /// Those that live of this name: one, or another in its place beside it.
    pub(super) fn named(&self, keyspace: &str, namespace: &str) -> Vec<Arc<Core>> {
        let is_it = |core: &Arc<Core>| *core.owner.keyspace == *keyspace && *core.name == *namespace;
        self.namespaces().into_iter().filter(is_it).collect()
    }
}

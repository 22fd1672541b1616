//! A namespace in the place of another of its name, while that one is still read; and what is left of one that is no more.
//!
//! A declaration that changes while a process runs has its changed namespaces built anew. The one before is there until the last who
//! uses it has ended, beside the new one, under one name: what is invalidated is gone in both. So that nobody is told less than
//! before, writers of a key go to the sink in one order, whichever of the two they came by; and a write that the older one has had
//! applied drops the copies of the key, since the younger one may hold an older row by then. What either holds is its own.
//!
//! Stores, and namespaces that write behind, are the truth or have it: two of a name would not know of each other's. They are
//! not replaced; who wants them otherwise drops every handle first.

use std::any::Any;
use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::common::Common;
use super::core::Core;
use super::handle::Namespace;
use super::namespace::NamespaceBuilder;
use crate::error::Error;
use crate::log::{Reach, Verb};
use crate::rt::atomic::Ordering;
use crate::rt::let_go;
use crate::tier::memory::{EvictionPolicy, MemoryTier};
use crate::writes::{Going, Order, Place};

/// How many entries of a namespace that is no more are dropped before others have their turn.
const PAGE: usize = 1024;

/// Memory that a namespace has for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OwnMemory {
    pub(super) bytes: u64,
    pub(super) policy: EvictionPolicy,
}

/// What a namespace that is no more may have left in a memory.
#[derive(Debug)]
pub(super) struct Leftovers {
    namespace: u32,
    memory: Weak<MemoryTier>,
}

impl<V: Any + Send + Sync> NamespaceBuilder<V> {
    /// Takes the place of `other`, which has the same name and keyspace and may be in use until its last handle is dropped. It begins
    /// with nothing held, but for what a shared tier has for it; where it has as much memory of its own as `other`, by the same policy,
    /// they have it together. Only one namespace can take the place of another.
    #[must_use]
    pub fn replacing(mut self, other: &Namespace<V>) -> Self {
        self.replaced = Some(Arc::clone(&other.core));
        self
    }

    /// Why it cannot take the place of the one that it is to replace.
    pub(super) fn replacing_misfit(&self) -> Option<&'static str> {
        let replaced = self.replaced.as_ref()?;
        let is_namesake = replaced.name == self.name && replaced.keyspace == self.engine.keyspace_id;
        if !is_namesake || !Arc::ptr_eq(&replaced.common, &self.engine.common) {
            return Some("it is to replace one of another name, keyspace or engine: name its namesake");
        }
        let is_truth = self.store.is_some() || replaced.store.is_some();
        let is_behind = self.behind.is_some() || replaced.behind.is_some();
        (is_truth || is_behind).then_some(
            "a store, or a namespace that writes behind, is not replaced: drop all handles of the one before, then build it",
        )
    }

    /// The memory that it holds its entries in.
    pub(super) fn memory_tier(&self) -> Result<Arc<MemoryTier>, Error> {
        let common = &self.engine.common;
        let Some(own) = self.memory else { return Ok(Arc::clone(&common.memory)) };
        match self.replaced.as_ref().filter(|replaced| replaced.own_memory == self.memory) {
            Some(replaced) => Ok(Arc::clone(&replaced.memory)),
            None => common
                .carve(own.bytes, own.policy)
                .map_err(|problem| Error::Build { namespace: Arc::clone(&self.name), problem }),
        }
    }

    /// The orders of the writes of those before it that are not over yet, the oldest first.
    pub(super) fn earlier_orders(&self) -> Vec<Weak<Order>> {
        let Some(replaced) = &self.replaced else { return Vec::new() };
        let mut before = self.engine.common.named(&replaced.owner.keyspace, &self.name);
        before.sort_by_key(|core| core.id);
        before.iter().map(|core| Arc::downgrade(&core.order)).collect()
    }
}

impl<V> Namespace<V> {
    /// Whether `other` is a handle of the same namespace, not of one in its place.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.core, &other.core)
    }
}

impl Core {
    /// Those that live beside it and have its name.
    fn namesakes(&self) -> Vec<Arc<Self>> {
        // Set before whatever takes its place loads anything: what was done by then is in what that loads.
        if !self.had_namesakes.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut namesakes = self.common.named(&self.owner.keyspace, &self.name);
        namesakes.retain(|other| other.id != self.id);
        namesakes
    }

    /// Whether one that was built later has its name.
    pub(super) fn has_successor(&self) -> bool {
        self.namesakes().iter().any(|other| other.id > self.id)
    }

    /// Has its namesakes heed what it does to `key`, or to a field of it, without telling a log.
    pub(super) fn namesakes_heed(&self, key: &[u8], field: Option<&Bytes>, verb: Verb) {
        for other in self.namesakes() {
            let (namespace, key) = (Arc::clone(&self.name), self.pattern.whole(key).into());
            let reach = match field {
                Some(field) => Reach::Field { namespace, key, field: field.clone() },
                None => Reach::Key { namespace, key },
            };
            other.heed_unplaced(&reach, verb);
        }
    }

    /// Waits for the turn of a write of `key`: after those that came by the namespaces which this one replaced, from the oldest to
    /// the youngest, and then after its own. `None` where there are too many.
    pub(super) async fn turn_at_sink(&self, place: Place, key: &[u8]) -> Option<(Vec<Going>, Going)> {
        let mut earlier = Vec::new();
        // Nobody who has a turn here waits for one of a younger namespace, so that no two wait for each other.
        for order in self.earlier.iter().filter_map(Weak::upgrade) {
            let place = order.enter(key)?;
            earlier.push(order.go(place).await?);
        }
        Some((earlier, self.order.go(place).await?))
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // Under the model checker there is no upkeep that would take it up.
        if cfg!(feature = "model") {
            return;
        }
        let memory = Arc::downgrade(&self.memory);
        self.common.leftovers.lock().push(Leftovers { namespace: self.id, memory });
    }
}

impl Common {
    /// What namespaces have left that are no more, each told once.
    pub(super) fn take_leftovers(&self) -> Vec<Leftovers> {
        std::mem::take(&mut *self.leftovers.lock())
    }
}

impl Leftovers {
    /// Drops them, and lets others have their turn in between.
    pub(super) async fn clear(self) {
        let mut cursor = 0;
        loop {
            let Some(memory) = self.memory.upgrade() else { return };
            // At the beginning of time, so that what has ended is among them.
            let (keys, next) = memory.scan(self.namespace, cursor, PAGE, crate::rt::Tick::default());
            for key in &keys {
                memory.remove(self.namespace, key);
            }
            drop(memory);
            if next == 0 {
                return;
            }
            cursor = next;
            let_go().await;
        }
    }
}

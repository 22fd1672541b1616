//! What one namespace is made of, shared by its handles and its loads; and whether what it holds is still valid.

use std::borrow::Borrow;
use std::sync::{Arc, Weak};

use super::common::Common;
use super::lease_waits::Busy;
use super::load::Departure;
use super::replace::OwnMemory;
use super::shared::Shared;
use super::store::Stored;
use super::together::Together;
use crate::feed::Rows;
use crate::loader::{Flights, Gather, Queue, Throttle};
use crate::log::{About, Groups, SUSPECT_AFTER, Verdict as Validity};
use crate::namespace::pattern::Pattern;
use crate::namespace::{Policy, TagTemplate};
use crate::observe::{Change, Counters, What};
use crate::protection::{Breaker, Filter};
use crate::rt::atomic::AtomicBool;
use crate::rt::planted::{Bug, planted};
use crate::rt::{Clock, Mutex, Tasks, Tick};
use crate::source::{Loaded, Source};
use crate::tier::memory::{Held, MemoryTier};
use crate::tier::shared::Owner;
use crate::value::{AnyCodec, Extras, Position, Tag, Value};
use crate::warming::Sketch;
use crate::writes::{Behind, Order, Sink};

/// Reads from a value what it says of itself: its TTL, tags and version.
pub(super) type Decide = dyn Fn(&mut Loaded) + Send + Sync;

/// One namespace, untyped. Keys are given without the literal that all of them begin with.
pub(super) struct Core {
    pub(super) name: Arc<str>,
    /// Its names in the shared tier.
    pub(super) owner: Owner,
    /// How its values are written for the shared tier, where they are not bytes.
    pub(super) codec: Option<AnyCodec>,
    /// Tells its entries from those of other namespaces in the same memory.
    pub(super) id: u32,
    pub(super) keyspace: u32,
    pub(super) pattern: Pattern,
    pub(super) policy: Policy,
    pub(super) tags: Vec<TagTemplate>,
    /// What its values are made of, as far as a feed tells of it.
    pub(super) rows: Vec<Rows>,
    pub(super) source: Option<Arc<dyn Source>>,
    /// Where writes go, where they go through.
    pub(super) sink: Option<Arc<dyn Sink>>,
    /// What its values are stored in, where they are the truth; then it is its source too.
    pub(super) store: Option<Stored>,
    /// What is journaled and not applied, where writes go behind.
    pub(super) behind: Option<Behind>,
    /// The writes that have not ended.
    pub(super) order: Arc<Order>,
    /// Those of the namespaces that it replaced, the oldest first, as long as these live.
    pub(super) earlier: Vec<Weak<Order>>,
    /// Another has taken its place, or it has taken another's.
    pub(super) had_namesakes: AtomicBool,
    /// The changes of several keys that are being made.
    pub(super) together: Arc<Together>,
    pub(super) decide: Option<Arc<Decide>>,
    /// Whether a value can have tags that its key does not tell.
    pub(super) gives_tags: bool,
    pub(super) memory: Arc<MemoryTier>,
    /// What of that is for itself.
    pub(super) own_memory: Option<OwnMemory>,
    pub(super) groups: Arc<Groups>,
    pub(super) flights: Arc<Flights>,
    pub(super) queue: Arc<Queue<Departure>>,
    /// What waits for the shared tier.
    pub(super) tier_queue: Arc<Queue<Departure>>,
    /// What waits for other instances.
    pub(super) busy: Busy,
    pub(super) gathering: Gather<Departure>,
    pub(super) throttle: Throttle,
    pub(super) breaker: Arc<Breaker>,
    /// Knows which keys cannot exist, where the namespace has one.
    pub(super) filter: Option<Arc<Filter>>,
    /// Counts what is read most, where that is to be warmed.
    pub(super) sketch: Option<Sketch>,
    /// How many batches are being warmed.
    pub(super) warming: Mutex<usize>,
    pub(super) counters: Counters,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
    pub(super) common: Arc<Common>,
}

impl Core {
    /// Whether a value can say itself when it ends.
    pub(super) fn gives_ends(&self) -> bool {
        self.policy.fresh_at_most.is_some() || self.source.as_ref().is_some_and(|source| source.gives_ends())
    }

    /// The tier that it shares with other instances; what is the truth is in its store.
    #[inline]
    pub(super) fn shared(&self) -> Option<&Arc<Shared>> {
        self.common.shared.as_ref().filter(|_| self.store.is_none())
    }

    /// Moves `held` to the newest log position where no record makes it invalid, marks it where one makes it stale; `false`
    /// where one makes it gone. Called under the lock of its entry.
    #[inline]
    pub(super) fn revalidate<V: Borrow<Option<Value>>>(&self, key: &[u8], held: &mut Held<V>) -> bool {
        held.position >= self.groups.newest() || self.heed_records(key, held)
    }

    #[cold]
    fn heed_records<V: Borrow<Option<Value>>>(&self, key: &[u8], held: &mut Held<V>) -> bool {
        let (validity, as_of) =
            self.validity(key, tells_absence(held.value()), held.extras.as_deref(), held.position);
        if validity == Validity::Gone {
            // It keeps its position: whoever looks next must find it gone too.
            return false;
        }
        held.position = as_of;
        held.expired |= validity == Validity::Expired;
        true
    }

    /// Whether `held` may have been invalidated elsewhere without this instance having heard of it: it is out of touch with the
    /// log, and the load is not of the last moment.
    #[inline]
    pub(super) fn suspects<V>(&self, held: &Held<V>, now: Tick) -> bool {
        let Some(shared) = self.shared() else { return false };
        !planted(Bug::SilenceTrusted) && !shared.in_touch(now) && now.since(held.began) >= SUSPECT_AFTER
    }

    /// What the records after `since` make of the value of `key`, and the position up to which that holds.
    ///
    /// Of an absence nobody knows which tags the row will have: any tag's record counts, where the source gives tags.
    pub(super) fn validity(
        &self,
        key: &[u8],
        tells_absence: bool,
        extras: Option<&Extras>,
        since: Position,
    ) -> (Validity, Position) {
        let mut tags = self.tags_of(key);
        tags.extend(extras.into_iter().flat_map(|extras| extras.tags.iter().cloned()));
        let about = About {
            keyspace: self.keyspace,
            namespace: self.id,
            key,
            tags: &tags,
            any_tag: tells_absence && self.gives_tags,
        };
        self.groups.verdict(&about, since)
    }

    /// Remembers what happened to `key`, for whoever asks why, and tells whoever listens where its value may be another by that.
    pub(super) fn note(&self, key: &[u8], what: What) {
        self.remember(key, what);
        match what {
            What::Written | What::Invalidated { .. } | What::Expired { .. } => self.tell_changed(key, 0),
            What::LoadBegan { .. }
            | What::Filled { .. }
            | What::Refused { .. }
            | What::Failed { .. }
            | What::Untold
            | What::Withheld
            | What::ServedStale { .. } => {}
        }
    }

    /// Remembers what happened to `key`, for whoever asks why; who listens is told by the caller.
    pub(super) fn remember(&self, key: &[u8], what: What) {
        self.common.events.record(self.clock.now(), self.id, key, what);
    }

    /// Tells whoever listens that `key` may have another value from now on.
    pub(super) fn tell_changed(&self, key: &[u8], by: u64) {
        let changes = &self.common.changes;
        if changes.are_heard() {
            let key = self.pattern.whole(key);
            changes.tell(&self.owner.keyspace, Change::Key { namespace: &self.name, key: &key, by });
        }
    }

    /// Tells whoever listens that every key may have another value from now on.
    pub(super) fn tell_all_changed(&self) {
        let all = Change::Prefix { namespace: &self.name, prefix: self.pattern.literal_prefix() };
        self.common.changes.tell(&self.owner.keyspace, all);
    }

    /// Tells whoever listens that a load that began at `began` brought something else for `key`.
    pub(super) fn tell_loaded(&self, key: &[u8], began: Tick) {
        let changes = &self.common.changes;
        // What a store has changes by nothing that is not told.
        if changes.are_heard() && self.store.is_none() {
            let key = self.pattern.whole(key);
            changes.tell(&self.owner.keyspace, Change::Loaded { namespace: &self.name, key: &key, began });
        }
    }

    /// What it remembers beside what it holds, in bytes.
    pub(super) fn bookkeeping_bytes(&self) -> u64 {
        let pending = self.behind.as_ref().map_or(0, |behind| behind.pending(self.clock.now()).bytes);
        pending
            + self.filter.as_ref().map_or(0, |filter| filter.weight_bytes())
            + self.sketch.as_ref().map_or(0, Sketch::weight_bytes)
    }

    /// Checks its structure once no load is left: nothing on the board, no slot taken, nothing gathered, nothing
    /// being written.
    pub(super) fn validate_idle(&self) -> Result<(), String> {
        let taken = self.queue.taken() + self.tier_queue.taken() + *self.warming.lock();
        if let Some(behind) = &self.behind {
            behind.validate().map_err(|problem| format!("namespace `{}`: {problem}", self.name))?;
        }
        let (flights, gathered) = (self.flights.len(), self.gathering.len() + self.busy.len());
        let writes = self.order.len() + self.flights.writes();
        if flights + taken + gathered + writes == 0 && self.together.is_idle() {
            return Ok(());
        }
        Err(format!(
            "namespace `{}` is idle with {flights} flights, {taken} slots taken, {gathered} loads gathered, {writes} writes noted",
            self.name
        ))
    }

    /// The declared tags of `key`.
    pub(super) fn tags_of(&self, key: &[u8]) -> Vec<Tag> {
        if self.tags.is_empty() {
            return Vec::new();
        }
        let params = self.pattern.matches_tail(key).unwrap_or_default();
        self.tags.iter().map(|template| template.tag(&params)).collect()
    }
}

/// Whether a value tells that something does not exist: an absence does, and a hash, of its fields.
pub(super) fn tells_absence(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.as_hash().is_some())
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Namespace").field("name", &self.name).field("key", &self.pattern.to_string()).finish()
    }
}

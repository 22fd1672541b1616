//! An engine, what it needs to be told, and what is done to all of a keyspace at once.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use super::common::{Common, MEMORY_MIN_BYTES};
use super::namespace::NamespaceBuilder;
use super::{shared, upkeep};
use crate::error::Error;
use crate::log::{Reach, Record, Verb};
use crate::observe::{Listener, Listening, ReachKind};
use crate::rt::{Clock, Tasks, Tick};
use crate::tier::memory::MemoryTier;
use crate::tier::shared::SharedTier;

/// The memory that an engine may use unless it is told otherwise, in bytes: 256 MiB.
const MEMORY_BUDGET_BYTES: u64 = 256 * 1024 * 1024;

/// The keyspace of an engine that was not asked for another.
const DEFAULT_KEYSPACE: &str = "default";

/// A cache engine, seen from one keyspace: tags, and what is done to everything, are the keyspace's own. Clones are the same
/// engine.
#[derive(Clone, Debug)]
pub struct Forebay {
    pub(super) common: Arc<Common>,
    keyspace: Arc<str>,
    pub(super) keyspace_id: u32,
}

/// Sets up a [`Forebay`].
pub struct Builder {
    memory_budget_bytes: u64,
    clock: Option<Clock>,
    tier: Option<Arc<dyn SharedTier>>,
}

impl Forebay {
    /// An engine with every option at its default, loading on the caller's tokio runtime.
    ///
    /// # Errors
    /// [`Error::NoRuntime`] outside a tokio runtime.
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// An engine to be set up.
    #[must_use]
    pub fn builder() -> Builder {
        Builder { memory_budget_bytes: MEMORY_BUDGET_BYTES, clock: None, tier: None }
    }

    /// A namespace to be set up, of values of type `V`; [`Blob`](crate::value::Blob) for bytes that front ends serve.
    #[must_use]
    pub fn namespace<V: Any + Send + Sync>(&self, name: &str) -> NamespaceBuilder<V> {
        NamespaceBuilder::new(self.clone(), name)
    }

    /// The same engine, seen from the keyspace called `name`. One that was not asked for is called `default`.
    #[must_use]
    pub fn keyspace(&self, name: &str) -> Self {
        let keyspace: Arc<str> = name.into();
        Self { common: Arc::clone(&self.common), keyspace_id: self.common.keyspace(&keyspace), keyspace }
    }

    /// The name of its keyspace.
    #[must_use]
    pub fn keyspace_name(&self) -> &str {
        &self.keyspace
    }

    /// Makes every value of the keyspace gone that belongs to `tag`: those that are held, and those being loaded that turn
    /// out to.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] where the shared tier could not be told; there is none without one.
    pub async fn invalidate_tag(&self, tag: &str) -> Result<(), Error> {
        self.tell(Reach::Tag(tag.into()), Verb::Invalidate).await
    }

    /// Makes every value of the keyspace stale that belongs to `tag`: served only if the source fails and the policy allows
    /// it.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] where the shared tier could not be told; there is none without one.
    pub async fn expire_tag(&self, tag: &str) -> Result<(), Error> {
        self.tell(Reach::Tag(tag.into()), Verb::Expire).await
    }

    /// Makes every value of the keyspace gone, held or being loaded.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] where the shared tier could not be told; there is none without one.
    pub async fn invalidate_everything(&self) -> Result<(), Error> {
        self.tell(Reach::All, Verb::Invalidate).await
    }

    /// Makes every value of the keyspace stale, as [`expire_tag`](Self::expire_tag) does.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] where the shared tier could not be told; there is none without one.
    pub async fn expire_everything(&self) -> Result<(), Error> {
        self.tell(Reach::All, Verb::Expire).await
    }

    async fn tell(&self, reach: Reach, verb: Verb) -> Result<(), Error> {
        let kind = if matches!(reach, Reach::Tag(_)) { ReachKind::Tag } else { ReachKind::All };
        for core in self.common.namespaces() {
            if core.keyspace == self.keyspace_id {
                core.counters.invalidated(kind);
            }
        }
        self.common.tell(Record { keyspace: Arc::clone(&self.keyspace), reach, verb }).await
    }

    /// Whether every live instance that uses the shared tier has applied all that this one has invalidated so far; waits until
    /// they have, at most for `wait`. Without a shared tier there is nobody to wait for.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] when the shared tier cannot be asked.
    pub async fn acknowledged(&self, wait: Duration) -> Result<bool, Error> {
        let Some(shared) = &self.common.shared else { return Ok(true) };
        let asked = shared.acknowledged(wait).await;
        asked.map_err(|error| Error::Unconfirmed { cause: Some(Arc::new(error)) })
    }

    /// Has `listener` told of every change of a value, in all keyspaces, until what is given is dropped. It is called by those who make the
    /// changes: it must be quick, and may not call the engine.
    pub fn listen(&self, listener: Arc<dyn Listener>) -> Listening {
        self.common.changes.listen(listener)
    }

    /// How many invalidations wait for a shared tier that could not be told.
    #[must_use]
    pub fn untold(&self) -> usize {
        self.common.shared.as_ref().map_or(0, |shared| shared.undelivered())
    }

    /// Since when the log of the shared tier has been silent for so long that what memory holds is suspect; `None` where it was heard a
    /// moment ago, and without a shared tier. A log that was never heard is silent since the clock began.
    #[must_use]
    pub fn suspect_since(&self) -> Option<Tick> {
        let shared = self.common.shared.as_ref()?;
        shared.silent_since(self.common.clock.now())
    }

    /// The memory tier of the namespaces that have none of their own.
    #[must_use]
    pub fn memory(&self) -> &MemoryTier {
        &self.common.memory
    }

    /// The engine's clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.common.clock
    }

    /// What the engine remembers beside what it holds, in bytes: records of invalidated groups, the last events, membership
    /// filters and counts of the hottest keys. Each is bounded; none counts against the memory budget.
    #[must_use]
    pub fn bookkeeping_bytes(&self) -> u64 {
        let namespaces = self.common.namespaces();
        let own = namespaces.iter().map(|core| core.bookkeeping_bytes());
        self.common.groups.weight_bytes() + self.common.events.weight_bytes() + own.sum::<u64>()
    }

    /// Checks the structure of everything in it: weights add up, queues are whole, and, with no load in flight, no flight is left
    /// on a board, no slot taken.
    ///
    /// # Errors
    /// Says the first thing that is wrong.
    pub fn validate(&self) -> Result<(), String> {
        self.common.memories().iter().try_for_each(|memory| memory.validate())?;
        self.common.events.validate()?;
        if self.common.tasks.running() > 0 {
            return Ok(());
        }
        self.common.namespaces().iter().try_for_each(|core| core.validate_idle())
    }

    /// Waits until no load is in flight. Reads that start meanwhile are waited for too.
    pub async fn idle(&self) {
        self.common.tasks.idle().await;
    }
}

impl Builder {
    /// The most memory that values, keys and bookkeeping may take together, in bytes. Default 256 MiB, at least 1 MiB.
    #[must_use]
    pub fn memory_budget_bytes(mut self, bytes: u64) -> Self {
        self.memory_budget_bytes = bytes;
        self
    }

    /// The clock that TTLs are measured by. Default: the system's monotonic clock. Tests hand in [`Clock::simulated`].
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// A tier that instances share, between memory and the sources; it carries the invalidation log. Default: none, this
    /// instance is alone.
    #[must_use]
    pub fn shared_tier(mut self, tier: Arc<dyn SharedTier>) -> Self {
        self.tier = Some(tier);
        self
    }

    /// The engine.
    ///
    /// # Errors
    /// [`Error::NoRuntime`] outside a tokio runtime, [`Error::Build`] where the budget is too small.
    pub fn build(self) -> Result<Forebay, Error> {
        if self.memory_budget_bytes < MEMORY_MIN_BYTES {
            return Err(Error::Build {
                namespace: "(memory)".into(),
                problem: format!(
                    "a memory budget of {} bytes is too small, give at least {MEMORY_MIN_BYTES}",
                    self.memory_budget_bytes
                ),
            });
        }
        let owner = || Tasks::current().ok_or(Error::NoRuntime);
        let common = Common::new(
            self.memory_budget_bytes,
            self.clock.unwrap_or_default(),
            owner()?,
            owner()?,
            self.tier,
        );
        let keyspace: Arc<str> = DEFAULT_KEYSPACE.into();
        let keyspace_id = common.keyspace(&keyspace);
        let common = Arc::new(common);
        upkeep::start(&common);
        shared::follow(&common);
        Ok(Forebay { common, keyspace, keyspace_id })
    }
}

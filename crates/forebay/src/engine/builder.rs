//! Builders: what an engine and a namespace need to be told, and the limits that are checked when they are built.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::core::Core;
use super::handle::Namespace;
use crate::error::Error;
use crate::loader::{Flights, Queue};
use crate::namespace::pattern::Pattern;
use crate::namespace::{Policy, Writes};
use crate::observe::Counters;
use crate::rt::{Clock, Tasks};
use crate::source::Source;
use crate::tier::memory::MemoryTier;

/// The memory that an engine may use unless it is told otherwise, in bytes: 256 MiB.
const MEMORY_BUDGET_BYTES: u64 = 256 * 1024 * 1024;
/// The least memory that an engine can work with, in bytes: 1 MiB.
const MEMORY_BUDGET_MIN_BYTES: u64 = 1024 * 1024;

/// A cache engine; clones are the same engine.
#[derive(Clone, Debug)]
pub struct Forebay {
    memory: Arc<MemoryTier>,
    clock: Clock,
    tasks: Tasks,
    next_id: Arc<AtomicU32>,
}

/// Sets up a [`Forebay`].
#[derive(Debug)]
pub struct Builder {
    memory_budget_bytes: u64,
    clock: Option<Clock>,
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
        Builder { memory_budget_bytes: MEMORY_BUDGET_BYTES, clock: None }
    }

    /// A namespace to be set up, of values of type `V`; [`Blob`](crate::value::Blob) for bytes that front ends serve.
    #[must_use]
    pub fn namespace<V: Any + Send + Sync>(&self, name: &str) -> NamespaceBuilder<V> {
        NamespaceBuilder {
            engine: self.clone(),
            name: name.into(),
            key: None,
            policy: None,
            source: None,
            problem: None,
            values: PhantomData,
        }
    }

    /// The memory tier that its namespaces share.
    #[must_use]
    pub fn memory(&self) -> &MemoryTier {
        &self.memory
    }

    /// The engine's clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Waits until no load is in flight. Reads that start meanwhile are waited for too.
    pub async fn idle(&self) {
        self.tasks.idle().await;
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

    /// The engine.
    ///
    /// # Errors
    /// [`Error::NoRuntime`] outside a tokio runtime, [`Error::Build`] where the budget is too small.
    pub fn build(self) -> Result<Forebay, Error> {
        if self.memory_budget_bytes < MEMORY_BUDGET_MIN_BYTES {
            return Err(Error::Build {
                namespace: "(memory)".into(),
                problem: format!(
                    "a memory budget of {} bytes is too small, give at least {MEMORY_BUDGET_MIN_BYTES}",
                    self.memory_budget_bytes
                ),
            });
        }
        Ok(Forebay {
            memory: Arc::new(MemoryTier::new(self.memory_budget_bytes)),
            clock: self.clock.unwrap_or_default(),
            tasks: Tasks::current().ok_or(Error::NoRuntime)?,
            next_id: Arc::default(),
        })
    }
}

/// Sets up a [`Namespace`]. `key` and `ttl` must be said.
pub struct NamespaceBuilder<V> {
    engine: Forebay,
    name: Arc<str>,
    key: Option<String>,
    policy: Option<Policy>,
    source: Option<Arc<dyn Source>>,
    problem: Option<String>,
    values: PhantomData<fn() -> V>,
}

impl<V: Any + Send + Sync> NamespaceBuilder<V> {
    /// The pattern of its keys, such as `price:{symbol}:{currency}` or `order:{id:integer}`.
    #[must_use]
    pub fn key(mut self, pattern: &str) -> Self {
        self.key = Some(pattern.to_owned());
        self
    }

    /// How long a value is fresh, counted from the moment its load began. More than zero.
    ///
    /// Say it before the options below; said again, it changes nothing but itself.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        match &mut self.policy {
            Some(policy) => policy.ttl = ttl,
            None => self.policy = Some(Policy::new(ttl)),
        }
        self
    }

    /// All rules at once, in place of `ttl` and the options below.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// How long an absence is believed. Default: the TTL, at most 30 s. Zero remembers none.
    #[must_use]
    pub fn absent_ttl(self, span: Duration) -> Self {
        self.rule("absent_ttl", |policy| policy.absent_ttl = span)
    }

    /// How long past its TTL a value is served while one refresh runs. Default: zero.
    #[must_use]
    pub fn stale_while_revalidate(self, span: Duration) -> Self {
        self.rule("stale_while_revalidate", |policy| policy.stale_while_revalidate = span)
    }

    /// How long past its TTL a value is served when the source fails. Default: zero.
    #[must_use]
    pub fn stale_if_error(self, span: Duration) -> Self {
        self.rule("stale_if_error", |policy| policy.stale_if_error = span)
    }

    /// The most that a TTL is shortened by chance. Default: zero; at most the TTL.
    #[must_use]
    pub fn jitter(self, span: Duration) -> Self {
        self.rule("jitter", |policy| policy.jitter = span)
    }

    /// How long one load may take. Default: 5 s; more than zero.
    #[must_use]
    pub fn load_timeout(self, span: Duration) -> Self {
        self.rule("load_timeout", |policy| policy.load_timeout = span)
    }

    /// How many loads may be asked of the source at once; what misses meanwhile goes together in the next. Default: 16; at
    /// least 1.
    #[must_use]
    pub fn concurrency(self, loads: usize) -> Self {
        self.rule("concurrency", |policy| policy.concurrency = loads)
    }

    /// How many keys may wait for the source; beyond them a read fails at once with [`Error::Overloaded`]. Default: 1,024.
    #[must_use]
    pub fn queue(self, keys: usize) -> Self {
        self.rule("queue", |policy| policy.queue = keys)
    }

    /// What a write by a client does. Default: refused where there is a source, kept where there is none.
    #[must_use]
    pub fn writes(self, writes: Writes) -> Self {
        self.rule("writes", |policy| policy.writes = writes)
    }

    /// Where missing keys are loaded from. Without one the namespace holds what is put into it until its TTL.
    #[must_use]
    pub fn source(mut self, source: impl Source) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// The namespace.
    ///
    /// # Errors
    /// [`Error::Build`] says which option is missing or out of its limits, and what to write.
    pub fn build(self) -> Result<Namespace<V>, Error> {
        let fail = |problem: String| Error::Build { namespace: Arc::clone(&self.name), problem };
        if let Some(problem) = &self.problem {
            return Err(fail(problem.clone()));
        }
        let key = self.key.as_ref().ok_or_else(|| fail("say its `key`, such as \"stock:{code}\"".into()))?;
        let pattern = Pattern::parse(key).map_err(|error| fail(format!("key \"{key}\": {error}")))?;
        let mut policy = self.policy.clone().ok_or_else(|| fail("say its `ttl`".into()))?;
        if let Some(problem) = out_of_limits(&policy) {
            return Err(fail(problem.into()));
        }
        if self.source.is_none() {
            policy.writes = Writes::Cache;
        }
        let engine = self.engine;
        Ok(Namespace::new(Core {
            flights: Arc::new(Flights::new(Arc::clone(&self.name))),
            queue: Arc::new(Queue::new(policy.concurrency, policy.queue)),
            id: engine.next_id.fetch_add(1, Ordering::Relaxed),
            name: self.name,
            pattern,
            policy,
            source: self.source,
            memory: engine.memory,
            counters: Counters::default(),
            clock: engine.clock,
            tasks: engine.tasks,
        }))
    }

    fn rule(mut self, option: &str, set: impl FnOnce(&mut Policy)) -> Self {
        match &mut self.policy {
            Some(policy) => set(policy),
            None => self.problem = Some(format!("say `ttl` before `{option}`")),
        }
        self
    }
}

fn out_of_limits(policy: &Policy) -> Option<&'static str> {
    if policy.ttl.is_zero() {
        return Some("a `ttl` of zero caches nothing: give the longest age that readers may see");
    }
    if policy.load_timeout.is_zero() {
        return Some("a `load_timeout` of zero lets no load finish: give the longest that a reader may wait");
    }
    if policy.concurrency == 0 {
        return Some("a `concurrency` of zero lets no load begin: give how many may run at once");
    }
    (policy.jitter > policy.ttl).then_some("`jitter` is longer than `ttl`: it can only take away from it")
}

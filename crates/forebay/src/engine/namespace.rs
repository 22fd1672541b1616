//! Setting up a namespace: what it needs to be told, and the limits that are checked when it is built.

use std::any::{Any, TypeId};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::builder::Forebay;
use super::core::{Core, Decide};
use super::handle::Namespace;
use super::lease_waits::Busy;
use super::load::Departure;
use super::replace::OwnMemory;
use super::rules::Asked;
use super::store::Stored;
use super::store_source::StoreSource;
use super::{behind, membership, refresh, store_uses};
use crate::error::Error;
use crate::feed::Rows;
use crate::loader::{Flights, Gather, Queue, Throttle};
use crate::namespace::pattern::Pattern;
use crate::namespace::{BreakerOptions, Policy, TagTemplate, Writes};
use crate::observe::Counters;
use crate::protection::{Breaker, Filter, FilterOptions};
use crate::rt::atomic::AtomicBool;
use crate::rt::{Mutex, Tick};
use crate::source::{Loaded, Source};
use crate::tier::memory::EvictionPolicy;
use crate::tier::shared::Owner;
use crate::tier::store::{Durability, Ends, Store};
use crate::value::{AnyCodec, Blob, Codec, Hash, Kind, SortedSet, Tag, Version};
use crate::warming::Sketch;
use crate::writes::{Behind, BehindOptions, Journal, Order, Sink};

/// Sets up a [`Namespace`]. `key` and `ttl` must be said.
pub struct NamespaceBuilder<V> {
    pub(super) engine: Forebay,
    pub(super) name: Arc<str>,
    key: Option<Keys>,
    policy: Option<Policy>,
    source: Option<Arc<dyn Source>>,
    sink: Option<Arc<dyn Sink>>,
    pub(super) behind: Option<(Arc<dyn Journal>, BehindOptions)>,
    pub(super) store: Option<(Arc<dyn Store>, Durability)>,
    tags: Vec<String>,
    rows: Vec<Rows>,
    decide: Option<Arc<Decide>>,
    pub(super) memory: Option<OwnMemory>,
    codec: Option<AnyCodec>,
    filter: Option<FilterOptions>,
    hottest: usize,
    /// The one whose place it takes.
    pub(super) replaced: Option<Arc<Core>>,
    problem: Option<String>,
    values: PhantomData<fn() -> V>,
}

/// What keys a namespace has.
enum Keys {
    /// Those of a pattern, as its text.
    Like(String),
    Any,
}

/// What a namespace is to be, checked.
struct Checked {
    pattern: Pattern,
    policy: Policy,
    /// When a stored value ends that is new.
    ends: Ends,
    tags: Vec<TagTemplate>,
}

/// What a loaded value says of itself; everything is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    /// How long it is fresh; it can only shorten the TTL. Zero: it is answered and not stored.
    pub ttl: Option<Duration>,
    /// When it stops being fresh, in place of the TTL: up to [`fresh_at_most`](NamespaceBuilder::fresh_at_most), by the engine's clock.
    pub fresh_until: Option<Tick>,
    /// Groups that it belongs to, beside those that the namespace declares.
    pub tags: Vec<String>,
    /// Its version: an older one never replaces a newer one.
    pub version: Option<i64>,
}

impl<V: Any + Send + Sync> NamespaceBuilder<V> {
    pub(super) fn new(engine: Forebay, name: &str) -> Self {
        Self {
            engine,
            name: name.into(),
            key: None,
            policy: None,
            source: None,
            sink: None,
            behind: None,
            store: None,
            tags: Vec::new(),
            rows: Vec::new(),
            decide: None,
            memory: None,
            codec: None,
            filter: None,
            hottest: 0,
            replaced: None,
            problem: None,
            values: PhantomData,
        }
    }

    /// The pattern of its keys, such as `price:{symbol}:{currency}` or `order:{id:integer}`.
    #[must_use]
    pub fn key(mut self, pattern: &str) -> Self {
        self.key = Some(Keys::Like(pattern.to_owned()));
        self
    }

    /// In place of a pattern: its keys are any bytes at all. For the namespace of a keyspace that has what belongs to none of the others
    /// ([`Keyspace::set_default`](super::Keyspace::set_default)); it has neither source nor sink, which such keys would tell nothing.
    #[must_use]
    pub fn any_key(mut self) -> Self {
        self.key = Some(Keys::Any);
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

    /// A sliding TTL in place of `ttl`: a value ends `idle` after its last use, and `max` after it was made, however much it is
    /// used. Both more than zero, `idle` no longer than `max`. Such values have no stale windows.
    #[must_use]
    pub fn sliding(self, idle: Duration, max: Duration) -> Self {
        self.ttl(max).rule("sliding", |policy| policy.idle = Some(idle))
    }

    /// All rules at once, in place of `ttl` and the options below.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// How long after its load began a value is fresh at most that says itself until when it is ([`Loaded::fresh_until`],
    /// [`Decided::fresh_until`]). Say it wherever values do: then a reader who begins after the end does not take what was asked for
    /// before it. Default: the TTL, which such a value can only shorten.
    #[must_use]
    pub fn fresh_at_most(self, span: Duration) -> Self {
        self.rule("fresh_at_most", |policy| policy.fresh_at_most = Some(span))
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

    /// A read this long before the TTL ends starts a refresh in the background, so that a key that is read all the time never
    /// misses. Default: zero, never; shorter than the TTL. Of a sliding TTL it is the end of the longest life, `max`, that
    /// counts: the read itself has put off the other.
    #[must_use]
    pub fn refresh_ahead(self, span: Duration) -> Self {
        self.rule("refresh_ahead", |policy| policy.refresh_ahead = span)
    }

    /// What is held is refreshed this often, read or not, in batches; that is no use, so that what has a sliding TTL ends all the
    /// same when nobody reads it. Default: never; at least 1 s.
    #[must_use]
    pub fn refresh_every(self, span: Duration) -> Self {
        self.rule("refresh_every", |policy| policy.refresh_every = Some(span))
    }

    /// The most that a TTL is shortened by chance. Default: zero; at most the TTL.
    #[must_use]
    pub fn jitter(self, span: Duration) -> Self {
        self.rule("jitter", |policy| policy.jitter = span)
    }

    /// The longest that a reader waits for a load, in the queue and at the source together. Default: 5 s; more than zero.
    #[must_use]
    pub fn load_timeout(self, span: Duration) -> Self {
        self.rule("load_timeout", |policy| policy.load_timeout = span)
    }

    /// After this long a reader who may have a stale value (`stale_if_error`) takes it, and the load goes on in the background.
    /// Default: 100 ms.
    #[must_use]
    pub fn soft_timeout(self, span: Duration) -> Self {
        self.rule("soft_timeout", |policy| policy.soft_timeout = span)
    }

    /// When a failing source is left alone. Default: after 5 failures in a row, for 60 s, until 2 probes have succeeded;
    /// [`BreakerOptions::never`] asks it always.
    #[must_use]
    pub fn breaker(self, options: BreakerOptions) -> Self {
        self.rule("breaker", |policy| policy.breaker = options)
    }

    /// Groups that every value belongs to and is invalidated with, such as `symbol:{symbol}`: text with parameters of the key in
    /// braces. Groups that depend on the value are given by [`decide`](Self::decide) or the source.
    #[must_use]
    pub fn tags(mut self, tags: &[&str]) -> Self {
        self.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        self
    }

    /// Rows that the values are made of: a change of one that a [feed](crate::feed) tells, or a transaction
    /// ([`rows_changed`](Forebay::rows_changed)), invalidates what it is part of. May be said for several tables. Default: none.
    #[must_use]
    pub fn depends_on(mut self, rows: Rows) -> Self {
        self.rows.push(rows);
        self
    }

    /// Lets a loaded value decide how long it is fresh, which groups it belongs to and which version it is.
    #[must_use]
    pub fn decide(mut self, decide: impl Fn(&V) -> Decided + Send + Sync + 'static) -> Self {
        self.decide = Some(Arc::new(move |loaded: &mut Loaded| {
            let Some(value) = loaded.value.clone().typed::<V>() else { return };
            let Decided { ttl, fresh_until, tags, version } = decide(&value);
            loaded.ttl = ttl.or(loaded.ttl);
            loaded.fresh_until = fresh_until.or(loaded.fresh_until);
            loaded.tags.extend(tags.into_iter().map(Tag::from));
            loaded.version = version.map(Version).or(loaded.version);
        }));
        self
    }

    /// How its values are written for the shared tier. Where the engine has one it must be given, unless the values are
    /// [`Blob`]s; without one nothing is ever encoded.
    #[must_use]
    pub fn codec(mut self, codec: impl Codec<V>) -> Self {
        self.codec = Some(AnyCodec::new(codec));
        self
    }

    /// Raised when the shape of the values changes, so that new code never meets copies of the old shape in the shared tier.
    /// Default: 0.
    #[must_use]
    pub fn shape(self, shape: u32) -> Self {
        self.rule("shape", |policy| policy.shape = shape)
    }

    /// A membership filter: keys that it knows not to exist are absent without a load. It is built from the source's own
    /// [listing](Source::list), without which every key may exist, and learns of a new row by the invalidation of its key:
    /// whoever adds a row must tell so, or nobody finds it. Default: none.
    #[must_use]
    pub fn membership(mut self, options: FilterOptions) -> Self {
        self.filter = Some(options);
        self
    }

    /// Counts which keys are read most, to tell the hottest `keys` of them, at most 100,000
    /// ([`hottest`](Namespace::hottest)). Default: none are counted.
    #[must_use]
    pub fn count_hottest(mut self, keys: usize) -> Self {
        self.hottest = keys;
        self
    }

    /// Memory of its own, taken from the engine's budget: `bytes` of it, evicting by `policy`. Default: it shares what nobody
    /// has taken, which evicts by S3-FIFO. At least 64 KiB, and at least 1 MiB must be left to share.
    #[must_use]
    pub fn memory(mut self, bytes: u64, policy: EvictionPolicy) -> Self {
        self.memory = Some(OwnMemory { bytes, policy });
        self
    }

    /// How long a copy stays in this instance's memory, counted from when it came there; the next read asks the shared tier, which
    /// the engine must have. More than zero. Default: as long as it is of use.
    #[must_use]
    pub fn memory_max_age(self, span: Duration) -> Self {
        self.rule("memory_max_age", |policy| policy.memory_max_age = Some(span))
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

    /// The kind of what clients write and this namespace keeps: in memory, or in its store. Another is refused with [`Error::Misfit`]; a number
    /// that is written as text becomes a counter where those are declared. What goes to a sink is the sink's to judge. Default: any.
    #[must_use]
    pub fn kind(self, kind: Kind) -> Self {
        self.rule("kind", |policy| policy.kind = Some(kind))
    }

    /// Where missing keys are loaded from. Without one the namespace holds what is put into it until its TTL.
    #[must_use]
    pub fn source(mut self, source: impl Source) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Where writes go, with [`writes(Writes::Through)`](Self::writes): [`set`](Namespace::set), [`delete`](Namespace::delete) and
    /// their like. As many writes as `concurrency` says go to it at once, and as many as `queue` says may wait, those of one key
    /// for each other; each waits up to `load_timeout` for its turn, and as long for the sink. Without a
    /// source what is read is what is held.
    #[must_use]
    pub fn sink(mut self, sink: impl Sink) -> Self {
        self.sink = Some(Arc::new(sink));
        self
    }

    /// Where writes are kept until the sink has applied them, with [`writes(Writes::Behind)`](Self::writes), and how they wait.
    ///
    /// The namespace claims the journal, whose writes it lays over their keys before it serves anybody, and has it for itself: one
    /// instance at a time owns a namespace that writes behind. Values that are not [`Blob`]s need a [`codec`](Self::codec). The sink is
    /// waited for as long as `load_timeout` says, and so is the journal.
    #[must_use]
    pub fn behind(mut self, journal: Arc<dyn Journal>, options: BehindOptions) -> Self {
        self.behind = Some((journal, options));
        self
    }

    /// Where its values are stored, which are the truth then: no source is behind them, nothing of them is lost that was acknowledged as
    /// `durability` says, and memory has copies that follow every write. A new value ends after `ttl`, which need not be given: then
    /// it does not end. With [`sliding`](Self::sliding) it ends unused.
    ///
    /// Values that are not [`Blob`]s, hashes, sorted sets or counters need a [`codec`](Self::codec). The store is waited for as long as
    /// `load_timeout` says. Rules about a source, and about copies that grow stale, are refused.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>, durability: Durability) -> Self {
        self.store = Some((store, durability));
        self.policy.get_or_insert_with(|| Policy::new(Duration::MAX));
        self
    }

    /// The namespace.
    ///
    /// # Errors
    /// [`Error::Build`] says which option is missing or out of its limits, and what to write. [`Error::NameTaken`] as long as
    /// somebody has a handle of a namespace of this name in this keyspace: two would hold copies of their own under one name, in
    /// memory as in a shared tier. Of a store, as long as a write of the one before is under way, too.
    pub fn build(self) -> Result<Namespace<V>, Error> {
        let Checked { pattern, policy, ends, tags } = self.checked()?;
        let keyspace: Arc<str> = self.engine.keyspace_name().into();
        let (memory, earlier) = (self.memory_tier()?, self.earlier_orders());
        let common = self.engine.common;
        let owner = Owner { keyspace, namespace: Arc::clone(&self.name) };
        let store = self.store.map(|(store, durability)| Stored::new(store, durability, ends));
        let as_source = |stored: &Stored| -> Arc<dyn Source> {
            Arc::new(StoreSource {
                store: Arc::clone(&stored.store),
                owner: owner.clone(),
                pattern: pattern.clone(),
                codec: self.codec.clone(),
                shape: policy.shape,
            })
        };
        let source = store.as_ref().map(as_source).or(self.source);
        let loads_fields = source.as_ref().is_some_and(|source| source.fields().is_some());
        let flights = Flights::new(Arc::clone(&self.name), loads_fields);
        let core = Core {
            flights: Arc::new(if self.sink.is_some() { flights.noting_writes() } else { flights }),
            order: Arc::new(Order::new(policy.concurrency, policy.concurrency.saturating_add(policy.queue))),
            earlier,
            had_namesakes: AtomicBool::new(self.replaced.is_some()),
            together: Arc::default(),
            queue: Arc::new(Queue::new(policy.concurrency, policy.queue).apart_by(Departure::is_of_field)),
            tier_queue: Arc::new(Queue::new(TIER_CONCURRENCY, policy.queue)),
            busy: Busy::default(),
            gathering: Gather::default(),
            owner,
            codec: self.codec,
            filter: self.filter.map(|options| Arc::new(Filter::new(options))),
            sketch: (self.hottest > 0).then(|| Sketch::new(self.hottest)),
            warming: Mutex::default(),
            throttle: Throttle::default(),
            breaker: Arc::new(Breaker::new(policy.breaker)),
            id: common.namespace(),
            keyspace: self.engine.keyspace_id,
            gives_tags: self.decide.is_some() || source.as_ref().is_some_and(|source| source.gives_tags()),
            name: self.name,
            pattern,
            policy,
            tags,
            rows: self.rows,
            source,
            sink: self.sink,
            store,
            behind: self.behind.map(|(journal, options)| Behind::new(journal, options)),
            decide: self.decide,
            memory,
            own_memory: self.memory,
            groups: Arc::clone(&common.groups),
            counters: Counters::default(),
            clock: common.clock.clone(),
            tasks: common.tasks.clone(),
            common,
        };
        let namespace = Namespace::new(core, self.replaced.as_deref())?;
        set_going(&namespace.core)?;
        Ok(namespace)
    }

    /// What was asked, as far as it can be kept together.
    fn checked(&self) -> Result<Checked, Error> {
        let fail = |problem: String| Error::Build { namespace: Arc::clone(&self.name), problem };
        if let Some(problem) = &self.problem {
            return Err(fail(problem.clone()));
        }
        let key = self.key.as_ref().ok_or_else(|| fail("say its `key`, such as \"stock:{code}\"".into()))?;
        let pattern = match key {
            Keys::Like(key) => {
                Pattern::parse(key).map_err(|error| fail(format!("key \"{key}\": {error}")))?
            }
            Keys::Any if self.source.is_some() || self.sink.is_some() => {
                let problem = "it has any key, which tells a source or sink nothing: give it a `key` pattern, or leave both out";
                return Err(fail(problem.into()));
            }
            Keys::Any => Pattern::any(),
        };
        let asked = Asked {
            policy: self.policy.as_ref().ok_or_else(|| fail("say its `ttl`".into()))?,
            has_source: self.source.is_some(),
            has_sink: self.sink.is_some(),
            has_filter: self.filter.is_some(),
            tells_of_source: self.decide.is_some() || !self.rows.is_empty(),
            is_shared: self.engine.common.shared.is_some(),
            behind: self.behind.as_ref().map(|(_, options)| options),
        };
        let (policy, ends) = match &self.store {
            Some(_) => asked.of_store().map_err(fail)?,
            None => (asked.of_copies().map_err(fail)?, Ends::Never),
        };
        let tags = self.tags.iter().map(|tag| TagTemplate::parse(tag, &pattern));
        let tags = tags.collect::<Result<_, _>>().map_err(|error| fail(error.to_string()))?;
        let rows = self.rows.iter().try_for_each(|rows| rows.check(&pattern));
        rows.map_err(|error| fail(error.to_string()))?;
        if let Some(problem) = self.codec_misfit().or_else(|| self.replacing_misfit()) {
            return Err(fail(problem.into()));
        }
        Ok(Checked { pattern, policy, ends, tags })
    }

    /// What values that are not bytes lack to leave this process.
    fn codec_misfit(&self) -> Option<&'static str> {
        if self.codec.is_some() || TypeId::of::<V>() == TypeId::of::<Blob>() {
            return None;
        }
        if self.store.is_some() {
            let kinds = [TypeId::of::<Hash>(), TypeId::of::<SortedSet>(), TypeId::of::<i64>()];
            let stored = "say its `codec`: its values are stored, and they are none that a store can write";
            return (!kinds.contains(&TypeId::of::<V>())).then_some(stored);
        }
        if self.engine.common.shared.is_some() {
            return Some("say its `codec`: the engine has a shared tier, and its values are not bytes");
        }
        let journaled = "say its `codec`: what is written is journaled, and its values are not bytes";
        self.behind.is_some().then_some(journaled)
    }

    fn rule(mut self, option: &str, set: impl FnOnce(&mut Policy)) -> Self {
        match &mut self.policy {
            Some(policy) => set(policy),
            None => self.problem = Some(format!("say `ttl` before `{option}`")),
        }
        self
    }
}

/// Starts what a namespace does in the background, after it has what was pending when it ended before.
fn set_going(core: &Arc<Core>) -> Result<(), Error> {
    if let Some(behind) = &core.behind {
        core.claim(behind)?;
        behind::keep_applied(core, behind);
    }
    if let (Some(_), Some(idle)) = (&core.store, core.policy.idle) {
        store_uses::keep_told(core, idle);
    }
    if core.filter.is_some() {
        membership::keep_built(core);
    }
    if let Some(every) = core.policy.refresh_every {
        refresh::keep_refreshed(core, every);
    }
    Ok(())
}

/// How many batches are asked of the shared tier at once.
const TIER_CONCURRENCY: usize = 8;

//! The engine's rules for what is declared of a namespace, all but where it loads from and writes to.

use std::hash::{Hash, Hasher};

use forebay::namespace::pattern::Pattern;
use forebay::tier::memory::EvictionPolicy;
use forebay::tier::store::Durability;
use forebay::{Blob, BreakerOptions, FilterOptions, Kind, NamespaceBuilder, Policy, Writes};

use crate::configuration::{self, Mode, Ttl};
use crate::sources::{self, is_of_key};

/// `builder` with everything that is declared of `namespace` but its source; `memory_bytes` is the budget that shares are of.
pub(super) fn ruled(
    builder: NamespaceBuilder<Blob>,
    declared: &configuration::Keyspace,
    namespace: &configuration::Namespace,
    memory_bytes: u64,
) -> NamespaceBuilder<Blob> {
    let tags = namespace.tags.iter().filter(|tag| is_of_key(tag, namespace)).map(Pattern::to_string);
    let tags: Vec<String> = tags.collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let builder = builder.key(&namespace.key.to_string()).policy(policy(declared, namespace)).tags(&tags);
    let builder = match namespace.memory.budget.bytes(memory_bytes) {
        Some(bytes) => builder.memory(bytes, eviction(namespace.memory.policy)),
        None => builder,
    };
    let builder = sources::rows(namespace).into_iter().fold(builder, NamespaceBuilder::depends_on);
    let builder = match &namespace.membership {
        Some(declared) => builder.membership(filter(declared)),
        None => builder,
    };
    match namespace.warm.as_ref().and_then(|warm| warm.hottest) {
        Some(keys) => builder.count_hottest(usize::try_from(keys).unwrap_or(usize::MAX)),
        None => builder,
    }
}

fn filter(declared: &configuration::Membership) -> FilterOptions {
    let millionths = u32::try_from(declared.false_positives_millionths).unwrap_or(u32::MAX);
    FilterOptions { keys: declared.keys, false_positives: f64::from(millionths) / 1_000_000.0 }
}

fn eviction(declared: configuration::EvictionPolicy) -> EvictionPolicy {
    match declared {
        configuration::EvictionPolicy::S3Fifo => EvictionPolicy::S3Fifo,
        configuration::EvictionPolicy::Lru => EvictionPolicy::Lru,
        configuration::EvictionPolicy::Lfu => EvictionPolicy::Lfu,
    }
}

pub(super) fn durable(declared: configuration::Durability) -> Durability {
    match declared {
        configuration::Durability::Always => Durability::Always,
        configuration::Durability::Interval(span) => Durability::Interval(span),
        configuration::Durability::None => Durability::None,
    }
}

/// How many writes of a store are at its disk at once: all of them share a sync.
pub(super) const STORE_CONCURRENCY: usize = 256;
/// How many writes of a store may wait, more than there are connections.
pub(super) const STORE_QUEUE: usize = 16_384;

/// The engine's rules for a declared namespace.
fn policy(declared: &configuration::Keyspace, namespace: &configuration::Namespace) -> Policy {
    let kind = namespace.kind.map(|kind| match kind {
        configuration::Kind::Blob => Kind::Blob,
        configuration::Kind::Hash => Kind::Hash,
        configuration::Kind::SortedSet => Kind::SortedSet,
        configuration::Kind::Counter => Kind::Counter,
    });
    let unruled = Policy { kind, ..Policy::new(namespace.ttl.longest()) };
    let idle = match namespace.ttl {
        Ttl::Sliding { idle, .. } => Some(idle),
        Ttl::Fixed(_) => None,
    };
    if namespace.mode == Mode::Store {
        // What is said of copies has no meaning there.
        let (concurrency, queue) = (STORE_CONCURRENCY, STORE_QUEUE);
        return Policy { idle, concurrency, queue, shape: namespace.shape, ..unruled };
    }
    let loader = &namespace.loader;
    let said = namespace.fresh_until.as_ref();
    Policy {
        idle,
        fresh_at_most: said.map(|of| of.at_most.unwrap_or(namespace.ttl.longest())),
        absent_ttl: namespace.absent_ttl,
        stale_while_revalidate: namespace.stale_while_revalidate,
        stale_if_error: namespace.stale_if_error,
        jitter: namespace.jitter,
        refresh_ahead: namespace.refresh_ahead.unwrap_or_default(),
        refresh_every: namespace.refresh_every,
        load_timeout: loader.timeout,
        soft_timeout: loader.soft_timeout.unwrap_or(unruled.soft_timeout),
        breaker: BreakerOptions {
            failures: loader.breaker.failures,
            successes: loader.breaker.successes,
            pause: loader.breaker.pause,
        },
        concurrency: usize::try_from(loader.concurrency).unwrap_or(usize::MAX),
        queue: usize::try_from(loader.queue).unwrap_or(usize::MAX),
        shape: shape_of_copies(declared, namespace),
        writes: match namespace.writes {
            configuration::Writes::Cache => Writes::Cache,
            configuration::Writes::Through => Writes::Through,
            configuration::Writes::Behind => Writes::Behind,
            configuration::Writes::Refuse | configuration::Writes::Store => Writes::Refuse,
        },
        ..unruled
    }
}

/// The shape of copies: another one where the declared shape is, or what they are made of. So copies on disk of the run before are not
/// taken for what a changed query, or another database, would answer. A build with another hash begins without copies, which costs
/// speed only.
fn shape_of_copies(declared: &configuration::Keyspace, namespace: &configuration::Namespace) -> u32 {
    let configuration::Namespace { shape, key, kind, field, version, tags, source, .. } = namespace;
    let kind = kind.unwrap_or(configuration::Kind::Blob);
    let mut hasher = std::hash::DefaultHasher::new();
    format!("{shape} {key} {kind:?} {field:?} {version:?} {tags:?} {source:?}").hash(&mut hasher);
    // A copy does not tell whether it says itself how long it is fresh, or the TTL did.
    namespace.fresh_until.as_ref().map(|of| format!("{of:?} {:?}", namespace.ttl)).hash(&mut hasher);
    // What is shown as stars there counts as well.
    if let Some(sql) = source.as_ref().and_then(|source| source.sql.as_ref()) {
        sql.query.text.expose().hash(&mut hasher);
        declared.databases.get(&sql.database).map(|database| database.url.text.expose()).hash(&mut hasher);
    }
    let http = source.as_ref().and_then(|source| source.http.as_ref());
    http.map(|http| http.url.expose()).hash(&mut hasher);
    let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

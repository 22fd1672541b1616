//! One engine of a world, and the source behind it: the only file of the histories that calls the engine.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use forebay::source::{Listing, Loading};
use forebay::value::{Param, Version};
use forebay::{
    BreakerOptions, Error, FilterOptions, Forebay, LoadKey, Loaded, Namespace, NamespaceBuilder, Policy,
    Read, ReadOutcome, Source, SourceError, Value, Warm, WarmProgress, Writes,
};
use tokio::task::yield_now;

use super::hashes::Hashes;
use super::record::{Answer, Commit, Ended, Failure, Got, KeyIndex, LoadEnd, Scope};
use super::wire::{Rows, Wire};
use super::world::{Bounds, FIELDS, GROUPS, KEYS_A_GROUP, TAGS, World};

/// What a value weighs, in bytes; nothing is ever evicted from a world.
pub const WEIGHT_BYTES: u64 = 64;

/// The most keys that the source lists at once.
const LISTED_MAX: usize = 3;

/// How many keys a world counts to know the hottest.
const HOTTEST: usize = 8;

/// How long a client waits for the others to acknowledge.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_millis(800);

/// The tag that every namespace declares.
pub const DECLARED: &str = "group:{group}";

/// One engine and its namespaces.
#[derive(Clone)]
pub struct Instance {
    world: World,
    engine: Forebay,
    namespaces: Arc<[Namespace<Got>]>,
    /// The namespace after them.
    hashes: Hashes,
    pub number: usize,
}

impl Instance {
    pub fn new(world: &World, number: usize) -> Self {
        let builder = Forebay::builder().clock(world.clock().clone());
        let plan = world.plan();
        let engine = match plan.instances {
            1 => builder.build().unwrap(),
            _ => builder.shared_tier(Arc::new(Wire::new(world, number))).build().unwrap(),
        };
        let source = |namespace| Scripted { world: world.clone(), instance: number, namespace };
        let hashes = Hashes::new(world, &engine, FIELDS, source(FIELDS));
        let namespaces = (0..FIELDS).map(|index| {
            let builder = engine
                .namespace(&format!("n{index}"))
                .key(&format!("n{index}:{{group}}:{{id}}"))
                .policy(policy(world, index))
                .tags(&[DECLARED])
                .codec(Rows)
                .source(source(index));
            bounded(builder, &plan.namespaces[index]).build().unwrap()
        });
        Self { world: world.clone(), namespaces: namespaces.collect(), hashes, engine, number }
    }

    fn namespace(&self, key: KeyIndex) -> &Namespace<Got> {
        &self.namespaces[self.world.plan().keys[key].namespace]
    }

    fn text(&self, key: KeyIndex) -> &[u8] {
        self.world.plan().keys[key].name.as_bytes()
    }

    /// Whether `key` is a field of a hash.
    pub fn is_field(&self, key: KeyIndex) -> bool {
        self.world.plan().keys[key].namespace == FIELDS
    }

    pub async fn get(&self, key: KeyIndex) -> Ended {
        if self.is_field(key) {
            return self.hashes.get(key).await;
        }
        ended(self.namespace(key).read(self.text(key)).await)
    }

    /// Reads `keys`, all of one namespace.
    pub async fn get_many(&self, keys: &[KeyIndex]) -> Vec<Ended> {
        if self.is_field(keys[0]) {
            return self.hashes.get_many(keys).await;
        }
        let texts: Vec<&[u8]> = keys.iter().map(|&key| self.text(key)).collect();
        self.namespace(keys[0]).read_many(&texts).await.into_iter().map(ended).collect()
    }

    pub async fn get_fresh(&self, key: KeyIndex) -> Ended {
        if self.is_field(key) {
            return self.hashes.get_fresh(key).await;
        }
        ended(self.namespace(key).read_fresh(self.text(key)).await)
    }

    pub fn put(&self, key: KeyIndex, put: u32) -> Ended {
        let value = Value::native(Got::Put { key, put }, WEIGHT_BYTES);
        done(self.namespace(key).write(self.text(key), value, None))
    }

    pub async fn invalidate(&self, scope: Scope) -> Ended {
        done(match scope {
            Scope::Key(key) if self.is_field(key) => self.hashes.invalidate_field(key).await,
            Scope::Prefix { namespace: FIELDS, group } => {
                self.hashes.namespace.invalidate(group_name(group).as_str()).await.map(drop)
            }
            Scope::Namespace(FIELDS) => self.hashes.namespace.invalidate_all().await,
            Scope::Key(key) => self.namespace(key).invalidate(self.params(key)).await.map(|_| ()),
            Scope::Tag(tag) => self.engine.invalidate_tag(&tag_name(tag)).await,
            Scope::Declared { group } => self.engine.invalidate_tag(&declared(group)).await,
            Scope::Prefix { namespace, group } => {
                self.namespaces[namespace].invalidate_prefix(&prefix(namespace, group)).await
            }
            Scope::Namespace(namespace) => self.namespaces[namespace].invalidate_all().await,
            Scope::Everything => self.engine.invalidate_everything().await,
        })
    }

    pub async fn expire(&self, scope: Scope) -> Ended {
        done(match scope {
            Scope::Prefix { namespace: FIELDS, group } => {
                self.hashes.namespace.expire(group_name(group).as_str()).await.map(drop)
            }
            Scope::Namespace(FIELDS) => self.hashes.namespace.expire_all().await,
            Scope::Key(key) => self.namespace(key).expire(self.params(key)).await.map(|_| ()),
            Scope::Tag(tag) => self.engine.expire_tag(&tag_name(tag)).await,
            Scope::Declared { group } => self.engine.expire_tag(&declared(group)).await,
            Scope::Prefix { namespace, group } => {
                self.namespaces[namespace].expire_prefix(&prefix(namespace, group)).await
            }
            Scope::Namespace(namespace) => self.namespaces[namespace].expire_all().await,
            Scope::Everything => self.engine.expire_everything().await,
        })
    }

    /// Waits until every other instance has heeded what this one has invalidated.
    pub async fn acknowledged(&self) -> Ended {
        match self.engine.acknowledged(ACKNOWLEDGED_WITHIN).await {
            Ok(true) => Ended::Done,
            Ok(false) => Ended::Failed(Failure::Unacknowledged),
            Err(error) => done(Err(error)),
        }
    }

    /// Loads the keys of a namespace before anybody asks: by lists, by heat, or as its source lists them.
    pub async fn warm(&self, namespace: usize, by: u8) -> Ended {
        let texts = |count: usize, text: fn(usize) -> String| (0..count).map(text).collect();
        let warm = match by {
            0 => Warm { hottest: HOTTEST, ..Warm::default() },
            1 if !self.world.plan().namespaces[namespace].filtered => {
                Warm { listing: true, ..Warm::default() }
            }
            _ => Warm {
                lists: vec![
                    texts(GROUPS, |group| format!("g{group}")),
                    texts(KEYS_A_GROUP, |id| id.to_string()),
                ],
                ..Warm::default()
            },
        };
        let WarmProgress { known, done, failed, absent, .. } =
            self.namespaces[namespace].warm(warm).unwrap().finished().await;
        Ended::Warmed { known, done, failed, absent }
    }

    /// The two parameters of `key`.
    fn params(&self, key: KeyIndex) -> (&str, &str) {
        let mut params = self.world.plan().keys[key].name.split(':').skip(1);
        (params.next().unwrap(), params.next().unwrap())
    }

    pub async fn idle(&self) {
        self.engine.idle().await;
    }

    pub fn flights(&self) -> usize {
        self.namespaces.iter().map(Namespace::flights).sum::<usize>() + self.hashes.namespace.flights()
    }

    /// What is wrong with its structure.
    pub fn validate(&self) -> Option<String> {
        self.engine.validate().err()
    }

    /// How many invalidations the shared tier could not be told yet.
    pub fn untold(&self) -> usize {
        self.engine.untold()
    }
}

/// The policy of a namespace.
pub fn policy(world: &World, namespace: usize) -> Policy {
    let (rules, bounds) = (&world.plan().rules[namespace], &world.plan().namespaces[namespace]);
    let ms = Duration::from_millis;
    let mut policy = Policy::new(ms(rules.ttl));
    policy.absent_ttl = ms(rules.absent_ttl);
    policy.stale_while_revalidate = ms(rules.stale_while_revalidate);
    policy.stale_if_error = ms(rules.stale_if_error);
    policy.load_timeout = ms(rules.load_timeout);
    policy.idle = rules.idle.map(ms);
    policy.soft_timeout = ms(bounds.soft_timeout);
    policy.refresh_ahead = ms(bounds.refresh_ahead);
    policy.breaker = bounds.breaker_pause.map_or(BreakerOptions::never(), |pause| BreakerOptions {
        failures: 3,
        successes: 1,
        pause: ms(pause),
    });
    policy.jitter = ms(bounds.jitter);
    policy.concurrency = bounds.concurrency;
    policy.queue = bounds.queue;
    policy.writes = if rules.kept { Writes::Cache } else { Writes::Refuse };
    policy
}

/// A namespace with its filter, and with what counts its hottest keys, where it has them.
fn bounded(builder: NamespaceBuilder<Got>, bounds: &Bounds) -> NamespaceBuilder<Got> {
    let builder = if bounds.warmed { builder.count_hottest(HOTTEST) } else { builder };
    if bounds.filtered {
        // So seldom wrong that no seed sees it: what is wrong is not drawn from the seed.
        builder.membership(FilterOptions { keys: 64, false_positives: 1e-6 })
    } else {
        builder
    }
}

fn prefix(namespace: usize, group: usize) -> String {
    format!("n{namespace}:g{group}:")
}

fn declared(group: usize) -> String {
    format!("group:g{group}")
}

fn group_name(group: usize) -> String {
    format!("g{group}")
}

pub fn tag_name(tag: u32) -> String {
    format!("t{tag}")
}

fn done(result: Result<(), Error>) -> Ended {
    match result {
        Ok(()) => Ended::Done,
        Err(Error::Unconfirmed { .. }) => Ended::Unknown,
        Err(error) => Ended::Failed(failure(&error)),
    }
}

fn ended(read: Result<Read, Error>) -> Ended {
    match read {
        Ok(Read { value, outcome }) => {
            answered(value.map_or(Got::Absent, |value| *value.typed::<Got>().unwrap()), &outcome)
        }
        Err(error) => failed(&error),
    }
}

/// A read that brought `got`.
pub fn answered(got: Got, outcome: &ReadOutcome) -> Ended {
    let age_ms = u64::try_from(outcome.age.as_millis()).unwrap();
    Ended::Read { got, tier: outcome.tier, freshness: outcome.freshness, age_ms }
}

/// An operation that ended so.
pub fn failed(error: &Error) -> Ended {
    Ended::Failed(failure(error))
}

fn failure(error: &Error) -> Failure {
    match error {
        Error::Source { .. } => Failure::Source,
        Error::Timeout { .. } => Failure::Timeout,
        Error::Overloaded { .. } => Failure::Overloaded,
        Error::BreakerOpen { .. } => Failure::BreakerOpen,
        Error::LoadLost { .. } => Failure::Lost,
        _ => Failure::Other,
    }
}

/// The source of one namespace: reads the world's truth at the start or the end of a load, and fails as the seed says.
pub struct Scripted {
    pub world: World,
    instance: usize,
    namespace: usize,
}

/// What the seed says of one load.
struct Script {
    wait_ms: u64,
    yields: usize,
    fate: Fate,
    /// One for each key: whether it is read at the start, and the time to live that it is given.
    rows: Vec<(bool, Option<u64>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answer,
    Fail,
    Panic,
    Hang,
}

#[derive(Debug, thiserror::Error)]
#[error("the script says no")]
struct ScriptedFailure;

/// What a scripted panic carries. It is thrown past the panic hook, so that nothing is printed.
struct ScriptedPanic;

impl Scripted {
    fn script(&self, keys: usize) -> Script {
        let rules = self.world.plan().rules[self.namespace];
        let (faults, slow) = (self.world.source_fails(), self.world.plan().slow);
        self.world.draw(|rng| Script {
            wait_ms: slow.draw(rng).min(rules.load_timeout - 1),
            yields: rng.usize(0..3),
            fate: match rng.u8(0..100) {
                0..12 if faults => Fate::Fail,
                12..17 if faults => Fate::Panic,
                17..20 if faults => Fate::Hang,
                _ => Fate::Answer,
            },
            // The parts of a hash have no time to live of their own.
            rows: (0..keys)
                .map(|_| (rng.u8(0..4) > 0, own_ttl(rng, rules.ttl).filter(|_| !rules.fields)))
                .collect(),
        })
    }

    async fn answer(&self, keys: &[LoadKey]) -> Result<Vec<Option<Loaded>>, SourceError> {
        let keys: Vec<KeyIndex> = keys.iter().map(|key| self.index(key)).collect();
        let (load, answers) = self.rows(&keys, true).await?;
        let versioned = self.world.plan().namespaces[self.namespace].versioned;
        let one = |(&key, answer): (&KeyIndex, &Answer)| {
            row(&self.world.committed(key, answer.version), load, answer, versioned)
        };
        Ok(keys.iter().zip(&answers).map(one).collect())
    }

    /// What one load finds for `keys`, of whole values or of single fields; its number.
    pub async fn rows(&self, keys: &[KeyIndex], whole: bool) -> Result<(usize, Vec<Answer>), SourceError> {
        let world = &self.world;
        let script = self.script(keys.len());
        let load = UnderWay { world, load: world.load_begins(self.instance, keys, whole) };
        let at_start: Vec<_> = keys.iter().map(|&key| world.truth(key)).collect();
        if script.fate == Fate::Hang {
            std::future::pending::<()>().await;
        }
        if script.wait_ms > 0 {
            world.wait(script.wait_ms).await;
        }
        for _ in 0..script.yields {
            yield_now().await;
        }
        match script.fate {
            Fate::Fail => {
                world.load_ends(load.load, LoadEnd::Failed, Vec::new());
                return Err(SourceError::passing(ScriptedFailure));
            }
            Fate::Panic => {
                world.load_ends(load.load, LoadEnd::Panicked, Vec::new());
                std::panic::resume_unwind(Box::new(ScriptedPanic));
            }
            Fate::Answer | Fate::Hang => {}
        }
        let mut answers = Vec::with_capacity(keys.len());
        for ((&key, start), (early, ttl)) in keys.iter().zip(at_start).zip(script.rows) {
            let row = if early { start } else { world.truth(key) };
            answers.push(Answer { version: row.version, present: row.present, ttl });
        }
        world.load_ends(load.load, LoadEnd::Answered, answers.clone());
        Ok((load.load, answers))
    }

    /// The next keys that exist, after `after`, as the truth is when they are told.
    async fn page(&self, after: Option<&LoadKey>, limit: usize) -> Result<Vec<LoadKey>, SourceError> {
        let world = &self.world;
        if after.is_none() {
            world.listing_begins(self.instance, self.namespace);
        }
        let fails = world.source_fails();
        let (wait_ms, fails) = world.draw(|rng| (rng.u64(0..6), fails && rng.u8(0..5) == 0));
        if wait_ms > 0 {
            world.wait(wait_ms).await;
        }
        if fails {
            return Err(SourceError::passing(ScriptedFailure));
        }
        let keys = world.plan().keys.iter().enumerate();
        let rest = keys.skip(after.map_or(0, |last| self.index(last) + 1));
        let present =
            rest.filter(|(index, key)| key.namespace == self.namespace && world.truth(*index).present);
        let page: Vec<LoadKey> = present
            .take(limit.min(LISTED_MAX))
            .map(|(_, key)| LoadKey {
                params: key.name.split(':').skip(1).map(|text| Param::Text(text.to_owned())).collect(),
            })
            .collect();
        if page.is_empty() {
            world.listing_ends(self.instance, self.namespace);
        }
        Ok(page)
    }

    /// The fields of a hash.
    pub fn fields_of(&self, key: &LoadKey) -> Vec<KeyIndex> {
        let [Param::Text(group)] = &key.params[..] else { panic!("a text names a hash") };
        let hash = format!("n{}:{group}:", self.namespace);
        let keys = self.world.plan().keys.iter().enumerate();
        keys.filter(|(_, key)| key.name.starts_with(&hash)).map(|(index, _)| index).collect()
    }

    fn index(&self, key: &LoadKey) -> KeyIndex {
        let [Param::Text(group), Param::Text(id)] = &key.params[..] else { panic!("two texts name a key") };
        let name = format!("n{}:{group}:{id}", self.namespace);
        self.world.plan().keys.iter().position(|key| key.name == name).unwrap()
    }
}

/// What the source hands over for one answer.
fn row(commit: &Commit, load: usize, answer: &Answer, versioned: bool) -> Option<Loaded> {
    let value = Got::Row { key: commit.key, version: commit.version, load };
    commit.present.then(|| Loaded {
        ttl: answer.ttl.map(Duration::from_millis),
        tags: (0..TAGS).filter(|tag| commit.tags >> tag & 1 == 1).map(|tag| tag_name(tag).into()).collect(),
        version: versioned.then(|| Version(i64::from(commit.version))),
        ..Loaded::new(Value::native(value, WEIGHT_BYTES))
    })
}

/// A time to live that the source knows, now and then; it may be longer than the namespace's, or nothing at all.
fn own_ttl(rng: &mut Rng, ttl: u64) -> Option<u64> {
    (rng.u8(0..6) == 0).then(|| rng.u64(0..=ttl * 3 / 2))
}

impl Source for Scripted {
    fn load<'a>(&'a self, _: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        Box::pin(self.answer(keys))
    }

    fn list<'a>(&'a self, _: &'a str, after: Option<&'a LoadKey>, limit: usize) -> Option<Listing<'a>> {
        Some(Box::pin(self.page(after, limit)))
    }
}

/// A load that has not ended; dropped so, it was dropped by the engine.
struct UnderWay<'a> {
    world: &'a World,
    load: usize,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.world.load_ends(self.load, LoadEnd::Dropped, Vec::new());
    }
}

/// Moves the second clock, by which only a planted bug measures.
pub fn move_wall_clock(rng: &mut Rng) {
    if rng.u8(0..50) == 0 {
        let _jump_ms = rng.i64(-400..=400);
        #[cfg(feature = "planted")]
        forebay::rt::planted::move_wall_clock(_jump_ms);
    }
}

//! The group records that an instance remembers: what was invalidated by tag, prefix, namespace, keyspace or altogether.
//!
//! An entry carries the log position that was noted before its load. It is valid as long as no record at a later position
//! matches it; a tag that became known only with the value is therefore fenced like any other. A hit asks one number,
//! [`Groups::newest`]; only an entry that is older asks for a verdict, and is then moved up, so that it asks once a record.
//!
//! It guarantees:
//!
//! - **Never too mild.** What a plain list of all records would call gone or expired is never called valid. It is called
//!   worse than that list says in three cases only: records were forgotten for their number, a prefix is longer than
//!   [`PREFIX_BYTES_MAX`], or two tags share a 64-bit hash.
//! - **Any order.** Records may come in any order and more than once. An entry is moved up only to where every record is
//!   known ([`Groups::pass`]), so that a late one still meets it.
//! - **A bound.** So many tags and prefixes ([`Limits`]). One too many, and the oldest is forgotten into a *floor*, a record
//!   that stands for all that were forgotten: of a keyspace's tags, or of a namespace's prefixes.
//!
//! Single keys are not its business (flights and removals fence those), nor is what becomes of an entry that is not valid.

#[cfg(test)]
#[cfg(feature = "model")]
mod model;
#[cfg(all(test, not(feature = "model")))]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::ops::Bound;
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::timeline::{Placed, Timeline};
use super::{Cursor, Verb};
use crate::rt::Mutex;
use crate::rt::atomic::{AtomicU64, Ordering};
use crate::rt::planted::{Bug, planted};
use crate::value::{Position, Tag, length};

/// Tags remembered unless said otherwise.
const TAGS: usize = 65_536;
/// Prefixes remembered unless said otherwise.
const PREFIXES: usize = 4_096;
/// A longer prefix is remembered by this many of its first bytes, and so makes more suspect than was asked for.
pub(crate) const PREFIX_BYTES_MAX: usize = 256;
/// What a node of a B-tree takes beside its items, in bytes.
const NODE_BYTES: usize = 16;
/// Positions remembered that came before their predecessors. More wait only where a log lags far behind what this
/// instance appended, and then come again when it is read.
const AHEAD_MAX: usize = 1_024;

/// How many records are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Tags, over all keyspaces. Each takes up to 112 bytes, however long its text is. Default: 65,536 (7 MiB).
    pub(crate) tags: usize,
    /// Prefixes, over all namespaces. Each takes up to 480 bytes. Default: 4,096 (2 MiB).
    pub(crate) prefixes: usize,
}

impl Limits {
    /// What is remembered unless said otherwise.
    pub(crate) const DEFAULT: Self = Self { tags: TAGS, prefixes: PREFIXES };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a record takes in. Numbers of keyspaces and namespaces are this engine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group<'a> {
    /// Every entry of a keyspace that carries the tag.
    Tag {
        /// The keyspace.
        keyspace: u32,
        /// The tag's text.
        tag: &'a str,
    },
    /// Every entry of a namespace whose key begins so.
    Prefix {
        /// The namespace.
        namespace: u32,
        /// The beginning, without the literal head of the namespace's pattern.
        prefix: &'a [u8],
    },
    /// Every entry of a namespace.
    Namespace {
        /// The namespace.
        namespace: u32,
    },
    /// Every entry of a keyspace.
    Keyspace {
        /// The keyspace.
        keyspace: u32,
    },
    /// Every entry.
    Everything,
}

/// What must be known of an entry to judge it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    /// Its keyspace.
    pub(crate) keyspace: u32,
    /// Its namespace.
    pub(crate) namespace: u32,
    /// Its key, without the literal head of the namespace's pattern.
    pub(crate) key: &'a [u8],
    /// Its tags.
    pub(crate) tags: &'a [Tag],
    /// Nobody knows its tags, so that it may have any: an absence of what a source would tag.
    pub(crate) any_tag: bool,
}

/// What the records say of an entry, from mild to strong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// No record concerns it.
    Valid,
    /// It is stale, and may be served only if its source fails.
    Expired,
    /// It must not be served or stored.
    Gone,
}

/// The latest records of one group, one for each verb.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Marks {
    gone: Position,
    expired: Position,
}

impl Marks {
    fn note(&mut self, at: Position, verb: Verb) {
        let mark = match verb {
            Verb::Invalidate => &mut self.gone,
            Verb::Expire => &mut self.expired,
        };
        *mark = at.max(*mark);
    }

    fn join(&mut self, other: Self) {
        self.gone = self.gone.max(other.gone);
        self.expired = self.expired.max(other.expired);
    }

    fn newest(self) -> Position {
        self.gone.max(self.expired)
    }

    fn verdict(self, since: Position) -> Verdict {
        if self.gone > since {
            Verdict::Gone
        } else if self.expired > since {
            Verdict::Expired
        } else {
            Verdict::Valid
        }
    }
}

/// A position that only grows.
#[derive(Debug, Default)]
struct Newest(AtomicU64);

impl Newest {
    fn get(&self) -> Position {
        Position::new(self.0.load(Ordering::Acquire))
    }

    fn raise(&self, to: Position) {
        self.0.fetch_max(to.number(), Ordering::AcqRel);
    }
}

/// Records of one sort. Who is as new as its newest need not enter the lock.
#[derive(Debug, Default)]
struct Part<T> {
    newest: Newest,
    records: Mutex<T>,
}

impl<T> Part<T> {
    fn remember(&self, at: Position, note: impl FnOnce(&mut T)) {
        note(&mut self.records.lock());
        // After the record: who sees the number finds the record.
        self.newest.raise(at);
    }

    fn verdict(&self, since: Position, judge: impl FnOnce(&T) -> Marks) -> Verdict {
        if self.newest.get() <= since {
            return Verdict::Valid;
        }
        judge(&self.records.lock()).verdict(since)
    }
}

/// The group records of one engine, of all its keyspaces.
#[derive(Debug)]
pub(crate) struct Groups {
    newest: Newest,
    known: Known,
    /// Entered before the locks of the parts, where both are held.
    timeline: Mutex<Timeline>,
    scopes: Part<Scopes>,
    tags: Part<Tags>,
    prefixes: Part<Prefixes>,
    hasher: RandomState,
    limits: Limits,
}

impl Groups {
    /// No records yet.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            newest: Newest::default(),
            known: Known::default(),
            timeline: Mutex::default(),
            scopes: Part::default(),
            tags: Part::default(),
            prefixes: Part::default(),
            hasher: RandomState::default(),
            limits,
        }
    }

    /// Where `place` of the log lies among this instance's positions, the only ones that the other methods and the entries
    /// know; `None` where its epoch has ended, and what was answered with it does not count any more.
    ///
    /// The first place of an epoch raises the floor to itself: a log that began anew may have lost records, so what was
    /// loaded before is suspect. A log that is never restarted, like the one of an instance alone, needs no placing.
    pub(crate) fn place(&self, place: Cursor) -> Option<Position> {
        let mut timeline = self.timeline.lock();
        match timeline.place(place) {
            Placed::At(at) => Some(at),
            Placed::Began(at) => {
                self.raise_floor(at);
                Some(at)
            }
            Placed::Ended => None,
        }
    }

    /// The position of the newest record or floor. An entry whose position is not below it is valid; a load that notes it
    /// before it asks the source is fenced from every later record.
    pub(crate) fn newest(&self) -> Position {
        self.newest.get()
    }

    /// Remembers that the record at `at` does `verb` to `group`. Once it has returned, [`newest`](Self::newest) is `at` or
    /// more.
    pub(crate) fn remember(&self, at: Position, group: Group<'_>, verb: Verb) {
        self.remember_all(at, &[group], verb);
    }

    /// The same for a record that takes in several groups: where namespaces share a name, what it says of that name.
    pub(crate) fn remember_all(&self, at: Position, groups: &[Group<'_>], verb: Verb) {
        for group in groups {
            self.note(at, group, verb);
        }
        self.newest.raise(at);
        // After the last of them: an entry that is moved up to `at` has been judged by each.
        self.known.pass(at);
    }

    fn note(&self, at: Position, group: &Group<'_>, verb: Verb) {
        match *group {
            Group::Tag { keyspace, tag } => {
                let hash = self.hash(keyspace, tag);
                self.tags.remember(at, |tags| tags.note(keyspace, hash, at, verb, self.limits.tags));
            }
            Group::Prefix { namespace, prefix } => {
                let limit = self.limits.prefixes;
                self.prefixes.remember(at, |prefixes| prefixes.note(namespace, prefix, at, verb, limit));
            }
            Group::Namespace { namespace } => self.scopes.remember(at, |scopes| {
                scopes.namespaces.entry(namespace).or_default().note(at, verb);
            }),
            Group::Keyspace { keyspace } => self.scopes.remember(at, |scopes| {
                scopes.keyspaces.entry(keyspace).or_default().note(at, verb);
            }),
            Group::Everything => self.scopes.remember(at, |scopes| scopes.everything.note(at, verb)),
        }
    }

    /// Says that the record at `at` concerns no group of this engine: a single key, or a keyspace that it does not have.
    ///
    /// Every position must be remembered, passed or below a floor, in whatever order; entries are moved up to the first
    /// that is not.
    pub(crate) fn pass(&self, at: Position) {
        self.known.pass(at);
    }

    /// The strongest verdict on an entry of the records after `since`, and the position up to which it holds: `since` or
    /// later. An entry that is valid, or was marked as expired, may be moved up to that position.
    pub(crate) fn verdict(&self, about: &About<'_>, since: Position) -> (Verdict, Position) {
        // Before the records: one that comes meanwhile lies beyond it.
        let holds_to = self.known.to().max(since);
        if self.newest() <= since {
            return (Verdict::Valid, holds_to);
        }
        let scopes = self.scopes.verdict(since, |scopes| scopes.marks(about));
        let tags = || {
            if about.any_tag {
                return self.tags.verdict(since, |tags| tags.latest(about.keyspace));
            }
            if about.tags.is_empty() {
                return Verdict::Valid;
            }
            let hashes = about.tags.iter().map(|tag| self.hash(about.keyspace, tag));
            self.tags.verdict(since, |tags| tags.marks(about.keyspace, hashes))
        };
        let prefixes = || self.prefixes.verdict(since, |prefixes| prefixes.marks(about));
        (scopes.max(tags()).max(prefixes()), holds_to)
    }

    /// Makes everything suspect whose position is before `to`: records before it were missed. It does what
    /// [`Group::Everything`] does at `to`, and vouches for all positions up to there.
    ///
    /// A load that notes `to` itself is not concerned: whatever was missed had been appended before it began.
    pub(crate) fn raise_floor(&self, to: Position) {
        if planted(Bug::GapNotSuspect) {
            return self.known.all_to(to);
        }
        self.remember(to, Group::Everything, Verb::Invalidate);
        self.known.all_to(to);
    }

    /// The position up to which every record is known.
    #[cfg(all(test, not(feature = "model")))]
    pub(crate) fn known_to(&self) -> Position {
        self.known.to()
    }

    /// How many tags and prefixes are remembered.
    #[cfg(all(test, not(feature = "model")))]
    pub(crate) fn len(&self) -> usize {
        self.tags.records.lock().by_hash.len() + self.prefixes.records.lock().order.len()
    }

    /// What the remembered tags and prefixes weigh, in bytes.
    pub(crate) fn weight_bytes(&self) -> u64 {
        self.tags.records.lock().weight_bytes() + self.prefixes.records.lock().weight_bytes()
    }

    fn hash(&self, keyspace: u32, tag: &str) -> u64 {
        self.hasher.hash_one((keyspace, tag))
    }
}

/// Up to where every record is known.
#[derive(Debug, Default)]
struct Known {
    /// What `ahead.to` says, to be read without the lock.
    to: Newest,
    ahead: Mutex<Ahead>,
}

#[derive(Debug, Default)]
struct Ahead {
    to: Position,
    /// Known positions beyond `to`; its successor is never among them.
    beyond: BTreeSet<Position>,
}

impl Known {
    fn to(&self) -> Position {
        self.to.get()
    }

    fn pass(&self, at: Position) {
        let mut ahead = self.ahead.lock();
        if at == ahead.to.next() {
            ahead.reach(at);
        } else if at > ahead.to && ahead.beyond.len() < AHEAD_MAX {
            ahead.beyond.insert(at);
        }
        self.to.raise(ahead.to);
    }

    fn all_to(&self, to: Position) {
        let mut ahead = self.ahead.lock();
        if to > ahead.to {
            ahead.beyond = ahead.beyond.split_off(&to.next());
            ahead.reach(to);
        }
        self.to.raise(ahead.to);
    }
}

impl Ahead {
    fn reach(&mut self, to: Position) {
        self.to = to;
        while self.beyond.remove(&self.to.next()) {
            self.to = self.to.next();
        }
    }
}

/// Records of whole namespaces, keyspaces and everything: as many as there are of those.
#[derive(Debug, Default)]
struct Scopes {
    everything: Marks,
    keyspaces: BTreeMap<u32, Marks>,
    namespaces: BTreeMap<u32, Marks>,
}

impl Scopes {
    fn marks(&self, about: &About<'_>) -> Marks {
        let mut marks = self.everything;
        marks.join(self.keyspaces.get(&about.keyspace).copied().unwrap_or_default());
        marks.join(self.namespaces.get(&about.namespace).copied().unwrap_or_default());
        marks
    }
}

/// A remembered tag. Its text is not kept: of two tags with one hash, each is taken for the other.
#[derive(Debug)]
struct TagRecord {
    keyspace: u32,
    marks: Marks,
}

/// Trees, not hash tables: a table in which records come and go keeps up to four times the room that they take.
#[derive(Debug, Default)]
struct Tags {
    by_hash: BTreeMap<u64, TagRecord>,
    /// The same tags, oldest first.
    order: BTreeSet<(Position, u64)>,
    /// What was forgotten, by keyspace.
    floors: BTreeMap<u32, Marks>,
    /// The latest records about any tag, by keyspace.
    latest: BTreeMap<u32, Marks>,
}

impl Tags {
    fn note(&mut self, keyspace: u32, hash: u64, at: Position, verb: Verb, limit: usize) {
        self.latest.entry(keyspace).or_default().note(at, verb);
        let new = TagRecord { keyspace, marks: Marks::default() };
        let marks = &mut self.by_hash.entry(hash).or_insert(new).marks;
        let before = marks.newest();
        marks.note(at, verb);
        let after = marks.newest();
        self.order.remove(&(before, hash));
        self.order.insert((after, hash));
        while self.order.len() > limit {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, hash)) = self.order.pop_first() else { return };
        if let Some(forgotten) = self.by_hash.remove(&hash)
            && !planted(Bug::FloorNotRaised)
        {
            self.floors.entry(forgotten.keyspace).or_default().join(forgotten.marks);
        }
    }

    fn marks(&self, keyspace: u32, hashes: impl Iterator<Item = u64>) -> Marks {
        let mut marks = self.floors.get(&keyspace).copied().unwrap_or_default();
        for record in hashes.filter_map(|hash| self.by_hash.get(&hash)) {
            marks.join(record.marks);
        }
        marks
    }

    /// What concerns one that may have any tag.
    fn latest(&self, keyspace: u32) -> Marks {
        self.latest.get(&keyspace).copied().unwrap_or_default()
    }

    fn weight_bytes(&self) -> u64 {
        tree_bytes(self.by_hash.len(), size_of::<(u64, TagRecord)>())
            + tree_bytes(self.order.len(), size_of::<(Position, u64)>())
    }
}

/// A remembered prefix, in the order of age: its newest position, its namespace, its bytes.
type Aged = (Position, u32, Arc<[u8]>);

#[derive(Debug, Default)]
struct Prefixes {
    namespaces: BTreeMap<u32, NamespacePrefixes>,
    /// The same prefixes, oldest first.
    order: BTreeSet<Aged>,
}

#[derive(Debug, Default)]
struct NamespacePrefixes {
    prefixes: BTreeMap<Arc<[u8]>, Marks>,
    /// What was forgotten.
    floor: Marks,
}

impl Prefixes {
    fn note(&mut self, namespace: u32, prefix: &[u8], at: Position, verb: Verb, limit: usize) {
        let prefix = prefix.get(..PREFIX_BYTES_MAX).unwrap_or(prefix);
        let prefixes = &mut self.namespaces.entry(namespace).or_default().prefixes;
        let text = prefixes.get_key_value(prefix).map_or_else(|| prefix.into(), |(text, _)| Arc::clone(text));
        let marks = prefixes.entry(Arc::clone(&text)).or_default();
        let before = marks.newest();
        marks.note(at, verb);
        let after = marks.newest();
        let mut aged = (before, namespace, text);
        self.order.remove(&aged);
        aged.0 = after;
        self.order.insert(aged);
        while self.order.len() > limit {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, namespace, prefix)) = self.order.pop_first() else { return };
        let Some(of) = self.namespaces.get_mut(&namespace) else { return };
        if let Some(forgotten) = of.prefixes.remove(&prefix) {
            of.floor.join(forgotten);
        }
    }

    fn marks(&self, about: &About<'_>) -> Marks {
        let Some(of) = self.namespaces.get(&about.namespace) else { return Marks::default() };
        let mut marks = of.floor;
        of.each_prefix_of(about.key, |found| marks.join(found));
        marks
    }

    fn weight_bytes(&self) -> u64 {
        // Each text stands behind two counts.
        let text = |(_, _, prefix): &Aged| length(prefix.len() + 2 * size_of::<usize>());
        let texts: u64 = self.order.iter().map(text).sum();
        let count = self.order.len();
        texts + tree_bytes(count, size_of::<Aged>()) + tree_bytes(count, size_of::<(Arc<[u8]>, Marks)>())
    }
}

impl NamespacePrefixes {
    /// Tells of every remembered prefix of `key`, in as many steps as there are of them, or bytes in `key`, at the most.
    ///
    /// Of the prefixes that sort at or below a beginning of the key, the last is a beginning of the key itself, or tells by
    /// the bytes that it shares with it how long the next candidate can be.
    fn each_prefix_of(&self, key: &[u8], mut found: impl FnMut(Marks)) {
        let mut bound = Bound::Included(key);
        while let Some((prefix, marks)) =
            self.prefixes.range::<[u8], _>((Bound::Unbounded, bound)).next_back()
        {
            let shared = prefix.iter().zip(key).take_while(|(a, b)| a == b).count();
            let beginning = key.get(..shared).unwrap_or(key);
            bound = if shared == prefix.len() {
                found(*marks);
                Bound::Excluded(beginning)
            } else {
                Bound::Included(beginning)
            };
        }
    }
}

/// What a B-tree of `count` items takes at the most, in bytes: a node has room for 11 and holds at least 5.
fn tree_bytes(count: usize, item_bytes: usize) -> u64 {
    length(count.saturating_mul(item_bytes * 11 + NODE_BYTES) / 5)
}

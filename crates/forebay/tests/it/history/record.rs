//! What happened in one world: every operation, load and commit, each with its place in one order.
//!
//! The record is plain data. It is written by the world and read by the checkers, which know nothing of the engine.

use std::fmt;

use forebay::{Freshness, Tier};
use forebay_simulated::Fired;

/// A place in the one order of all events, and the simulated time at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    pub step: u64,
    pub ms: u64,
}

/// The index of a key in [`History::keys`].
pub type KeyIndex = usize;

/// A set of tags, one bit each.
pub type Tags = u8;

/// The rules of a namespace, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    pub ttl: u64,
    pub absent_ttl: u64,
    pub stale_while_revalidate: u64,
    pub stale_if_error: u64,
    pub load_timeout: u64,
    /// The longest that a value stays fresh without a use, where the TTL slides.
    pub idle: Option<u64>,
    /// Clients may put values of their own: outside H1 and H2.
    pub kept: bool,
    /// Its keys are the fields of hashes, one hash a group.
    pub fields: bool,
}

/// One key of the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    pub namespace: usize,
    /// The first of its two parameters: what a prefix and a declared tag name.
    pub group: usize,
    pub name: String,
}

/// What an invalidation or an expiry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Key(KeyIndex),
    /// A tag that the source gives with a value.
    Tag(u32),
    /// The tag that every namespace declares for the keys of a group.
    Declared {
        group: usize,
    },
    Prefix {
        namespace: usize,
        group: usize,
    },
    Namespace(usize),
    Everything,
}

impl Scope {
    /// Whether it covers `key` whatever its value is; a tag covers values, not keys.
    pub fn covers(self, index: KeyIndex, key: &KeyFacts) -> bool {
        match self {
            Self::Key(named) => named == index,
            Self::Tag(_) => false,
            Self::Declared { group } => key.group == group,
            Self::Prefix { namespace, group } => key.namespace == namespace && key.group == group,
            Self::Namespace(namespace) => key.namespace == namespace,
            Self::Everything => true,
        }
    }
}

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Get(KeyIndex),
    /// One of the keys of a `get_many`; each key is an operation of its own.
    GetMany(KeyIndex),
    GetFresh(KeyIndex),
    Put {
        key: KeyIndex,
        put: u32,
    },
    Invalidate(Scope),
    Expire(Scope),
    /// Whether every other instance has heeded what this one has invalidated.
    Acknowledged,
    /// To load the keys of a namespace before anybody asks.
    Warm {
        namespace: usize,
    },
}

impl Asked {
    /// The key that is read.
    pub fn read(self) -> Option<KeyIndex> {
        match self {
            Self::Get(key) | Self::GetMany(key) | Self::GetFresh(key) => Some(key),
            _ => None,
        }
    }

    /// What it makes gone, or stale.
    pub fn scope(self) -> Option<Scope> {
        match self {
            Self::Invalidate(scope) | Self::Expire(scope) => Some(scope),
            _ => None,
        }
    }
}

/// What a reader got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Got {
    Absent,
    /// A row of the source: the version of the truth, and the load that read it.
    Row {
        key: KeyIndex,
        version: u32,
        load: usize,
    },
    /// What a client put.
    Put {
        key: KeyIndex,
        put: u32,
    },
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Read {
        got: Got,
        tier: Tier,
        freshness: Freshness,
        age_ms: u64,
    },
    /// It was done.
    Done,
    /// So many keys were to be warmed; so many are, could not be had, or do not exist.
    Warmed {
        known: u64,
        done: u64,
        failed: u64,
        absent: u64,
    },
    Failed(Failure),
    /// Nobody knows whether it was done.
    Unknown,
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Source,
    Timeout,
    Overloaded,
    BreakerOpen,
    Lost,
    /// Somebody has not acknowledged in time.
    Unacknowledged,
    Other,
}

/// One operation of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    pub client: usize,
    pub instance: usize,
    pub asked: Asked,
    pub inv: Stamp,
    /// `None`: it never returned.
    pub ret: Option<Stamp>,
    pub ended: Ended,
    /// The client went away before the end.
    pub cancelled: bool,
}

/// What a load answered for one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub version: u32,
    pub present: bool,
    /// The time to live that the source gave the row, in milliseconds.
    pub ttl: Option<u64>,
}

/// How a load ended at the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadEnd {
    Answered,
    Failed,
    Panicked,
    /// The engine dropped it: it took too long.
    Dropped,
}

/// One call of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    pub instance: usize,
    pub keys: Vec<KeyIndex>,
    /// Not single fields of hashes.
    pub whole: bool,
    pub start: Stamp,
    /// `None`: it is still under way.
    pub end: Option<(Stamp, LoadEnd)>,
    /// One for each of `keys`, where it answered.
    pub answers: Vec<Answer>,
}

impl Load {
    /// What it answered for `key`. A batch may name a key twice: once for a flight that was closed while it waited, once
    /// for the one after.
    pub fn answers_for(&self, key: KeyIndex) -> impl Iterator<Item = &Answer> {
        self.keys.iter().zip(&self.answers).filter(move |&(&one, _)| one == key).map(|(_, answer)| answer)
    }
}

/// One change of the truth. A key's versions count from 1; its first commit is made before the world begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    pub key: KeyIndex,
    pub version: u32,
    /// Whether the row exists from now on.
    pub present: bool,
    pub tags: Tags,
    pub at: Stamp,
}

/// One listing of the keys of a namespace's source, from its first page to the empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub instance: usize,
    pub namespace: usize,
    pub start: Stamp,
    /// `None`: it broke off, or is still under way.
    pub end: Option<Stamp>,
}

/// One exchange of an instance with the shared tier, or one thing that it learned by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    pub instance: usize,
    pub sent: Stamp,
    /// When the answer came, or was given up.
    pub at: Stamp,
    pub what: Exchanged,
}

/// What was exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchanged {
    /// It asked for a key, and for the lease on it.
    Asked { key: KeyIndex, said: Said },
    /// It stored what a load under a lease brought; whether the tier took it, where it answered.
    Filled { key: KeyIndex, stored: Option<bool> },
    /// It gave a lease back.
    Released { key: KeyIndex },
    /// It told a record; whether it knows that the tier heard.
    Told { scope: Scope, confirmed: bool },
    /// It heard a record.
    Heard { scope: Scope },
    /// It heard of a gap or a new epoch: what it holds from before is suspect.
    Floor,
}

/// What the tier said of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    Held,
    Leased,
    /// Somebody else has the lease.
    Busy,
    /// It did not answer.
    Nothing,
}

/// A time in which the log heard nothing of an instance, for so long that it may have ceased to wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub instance: usize,
    pub from: Stamp,
    pub until: Stamp,
}

/// How soon an invalidation is seen by other instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// After it has returned, in milliseconds; sooner where it was acknowledged.
    pub visible_within: u64,
    /// The longest that a fill is on its way to the tier, in milliseconds: an entry may seem younger by as much.
    pub way: u64,
    /// The longest that an answer of the tier takes, and is then waited with, in milliseconds.
    pub answer: u64,
}

/// How the engines were left when the clients had gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Instances in which some task never ended.
    pub busy: Vec<usize>,
    /// Flights still on a board.
    pub flights: usize,
    /// What the validator of an engine said.
    pub broken: Vec<String>,
    /// Invalidations that the shared tier was never told.
    pub untold: usize,
}

/// Everything that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    pub rules: Vec<Rules>,
    pub keys: Vec<KeyFacts>,
    pub ops: Vec<Op>,
    pub loads: Vec<Load>,
    /// In the order of their stamps.
    pub commits: Vec<Commit>,
    /// The times in which faults were injected: from, until.
    pub faulty: Vec<(Stamp, Stamp)>,
    /// Whether the source never fails, so that no read may.
    pub spared: bool,
    pub listed: Vec<Listed>,
    /// In the order in which they ended.
    pub exchanges: Vec<Exchange>,
    pub gaps: Vec<Gap>,
    /// `None`: instances do not hear of each other.
    pub reach: Option<Reach>,
    /// From when on every invalidation binds every instance, however it ended: all faults are over, and all is told.
    pub settled: Option<Stamp>,
    /// What happened to the exchanges.
    pub fired: Fired,
    pub left: Left,
}

impl History {
    pub fn rules_of(&self, key: KeyIndex) -> &Rules {
        &self.rules[self.keys[key].namespace]
    }

    /// What happened to `key` within the steps, one event a line.
    pub fn excerpt(&self, key: KeyIndex, from: u64, to: u64) -> String {
        let mut lines: Vec<(u64, String)> = Vec::new();
        for commit in self.commits.iter().filter(|commit| commit.key == key) {
            let what = if commit.present { "commits" } else { "deletes in" };
            lines.push((
                commit.at.step,
                format!("{}  truth {what} version {} tags {:b}", commit.at, commit.version, commit.tags),
            ));
        }
        for (number, load) in self.loads.iter().enumerate() {
            if !load.keys.contains(&key) {
                continue;
            }
            lines.push((
                load.start.step,
                format!("{}  load {number} begins on instance {}", load.start, load.instance),
            ));
            if let Some((end, how)) = load.end {
                let answers: Vec<_> = load.answers_for(key).collect();
                lines.push((end.step, format!("{end}  load {number} ends: {how:?} {answers:?}")));
            }
        }
        for op in self.ops.iter().filter(|op| self.concerns(op, key)) {
            let who = format!("client {} on instance {}", op.client, op.instance);
            lines.push((op.inv.step, format!("{}  {who} asks {:?}", op.inv, op.asked)));
            if let Some(ret) = op.ret {
                lines.push((ret.step, format!("{ret}  {who} gets {:?} for {:?}", op.ended, op.asked)));
            }
        }
        for exchange in self.exchanges.iter().filter(|exchange| self.is_about(exchange.what, key)) {
            let Exchange { instance, sent, at, what } = exchange;
            lines.push((
                at.step,
                format!("{at}  instance {instance} and the tier since {}: {what:?}", sent.ms),
            ));
        }
        lines.retain(|&(step, _)| from <= step && step <= to);
        lines.sort_unstable();
        let cut = lines.len().saturating_sub(EXCERPT_LINES);
        lines.into_iter().skip(cut).fold(String::new(), |text, (_, line)| text + "  " + &line + "\n")
    }

    fn is_about(&self, what: Exchanged, key: KeyIndex) -> bool {
        match what {
            Exchanged::Asked { key: about, .. }
            | Exchanged::Filled { key: about, .. }
            | Exchanged::Released { key: about } => about == key,
            Exchanged::Told { scope, .. } | Exchanged::Heard { scope } => {
                matches!(scope, Scope::Tag(_)) || scope.covers(key, &self.keys[key])
            }
            Exchanged::Floor => true,
        }
    }

    fn concerns(&self, op: &Op, key: KeyIndex) -> bool {
        match op.asked {
            Asked::Invalidate(Scope::Tag(_)) | Asked::Expire(Scope::Tag(_)) => true,
            Asked::Invalidate(scope) | Asked::Expire(scope) => scope.covers(key, &self.keys[key]),
            Asked::Put { key: put, .. } => put == key,
            Asked::Warm { namespace } => self.keys[key].namespace == namespace,
            asked => asked.read() == Some(key),
        }
    }
}

/// The most lines that a violation shows; the last ones stand nearest to it.
const EXCERPT_LINES: usize = 60;

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7} {:>6} ms", self.step, self.ms)
    }
}

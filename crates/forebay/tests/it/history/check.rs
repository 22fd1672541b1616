//! The checkers: pure functions from a history to what it breaks, each O(n log n).
//!
//! The names are those of the history properties: H1 no stale set, H2 bounded staleness, H5 single flight, H6 no stranded
//! waiter, H10 a gap is found, H11 tags, H12 convergence, H14 expiry. They are necessary conditions: a history of a right engine breaks none.

mod age;
mod fence;
mod leases;
mod loads;
mod members;
mod tally;
#[cfg(test)]
mod told;

pub use tally::Tally;

use super::record::{Asked, Commit, Ended, Got, History, KeyIndex, Op, Reach, Stamp};
use forebay::{Freshness, Tier};

/// A promise broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub property: &'static str,
    pub what: String,
    /// The key that shows it, and the steps between which it happened.
    pub around: Option<(KeyIndex, u64, u64)>,
}

/// What a history breaks, and what it was made of.
pub fn check(history: &History) -> (Vec<Violation>, Tally) {
    let index = Index::new(history);
    let mut tally = Tally::of(&index);
    let mut violations = fence::check(&index, &mut tally);
    violations.extend(age::check(&index));
    violations.extend(loads::check(&index));
    violations.extend(leases::check(&index, &mut tally));
    violations.extend(members::check(&index));
    (violations, tally)
}

/// A history, and where to find things in it.
pub struct Index<'a> {
    pub history: &'a History,
    /// The commits of each key, oldest first.
    commits: Vec<Vec<Commit>>,
    /// Step and version of each commit that deleted, for each key.
    deletes: Vec<Vec<(u64, u32)>>,
    /// The loads of each key, by their start.
    pub loads: Vec<Vec<usize>>,
}

/// A read that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    pub op: &'a Op,
    pub key: KeyIndex,
    pub ret: Stamp,
    pub got: Got,
    pub tier: Tier,
    pub freshness: Freshness,
    pub age_ms: u64,
}

impl Answered<'_> {
    /// Whether it is flagged stale.
    pub fn stale(&self) -> bool {
        matches!(self.freshness, Freshness::Stale(_))
    }

    /// Whether something that began at `ms` can be as old as was told, at some moment of the read; what came through the
    /// shared tier may seem younger by the way of its fill, or older by the way of the answer.
    /// Where `fields` says so, as the oldest part of a hash: then it is no older than was told.
    pub fn is_as_old_as(&self, ms: u64, fields: bool, reach: Option<Reach>) -> bool {
        if fields {
            return ms + self.age_ms + reach.map_or(0, |reach| reach.way) >= self.op.inv.ms;
        }
        let (way, answer) = reach.map_or((0, 0), |reach| (reach.way, reach.answer));
        (self.op.inv.ms..=self.ret.ms + way + answer).contains(&(ms + self.age_ms + way))
    }
}

impl<'a> Index<'a> {
    pub fn new(history: &'a History) -> Self {
        let keys = history.keys.len();
        let mut index = Self {
            history,
            commits: vec![Vec::new(); keys],
            deletes: vec![Vec::new(); keys],
            loads: vec![Vec::new(); keys],
        };
        for commit in &history.commits {
            index.commits[commit.key].push(*commit);
            if !commit.present {
                index.deletes[commit.key].push((commit.at.step, commit.version));
            }
        }
        for (number, load) in history.loads.iter().enumerate() {
            for &key in &load.keys {
                // A batch may name a key twice.
                if index.loads[key].last() != Some(&number) {
                    index.loads[key].push(number);
                }
            }
        }
        index
    }

    /// How many instances there are.
    pub fn instances(&self) -> usize {
        self.history.ops.iter().map(|op| op.instance).max().map_or(0, |last| last + 1)
    }

    /// Whether `instance` was silent while `op` was under way.
    pub fn was_silent(&self, instance: usize, op: &Op) -> bool {
        let until = op.ret.unwrap_or(op.inv);
        let mut gaps = self.history.gaps.iter().filter(|gap| gap.instance == instance);
        gaps.any(|gap| gap.from <= until && op.inv <= gap.until)
    }

    /// The reads that were answered, in the order in which they began.
    pub fn answered(&self) -> impl Iterator<Item = Answered<'a>> {
        self.history.ops.iter().filter_map(|op| match (op.asked.read(), op.ret, op.ended) {
            (Some(key), Some(ret), Ended::Read { got, tier, freshness, age_ms }) => {
                Some(Answered { op, key, ret, got, tier, freshness, age_ms })
            }
            _ => None,
        })
    }

    /// The version that was the truth of `key` at `step`; zero before the first.
    pub fn latest(&self, key: KeyIndex, step: u64) -> u32 {
        let commits = &self.commits[key];
        let until = commits.partition_point(|commit| commit.at.step <= step);
        until.checked_sub(1).map_or(0, |last| commits[last].version)
    }

    /// The version that was the truth of `key` before the millisecond `ms` began; zero before the first.
    pub fn latest_before_ms(&self, key: KeyIndex, ms: u64) -> u32 {
        let commits = &self.commits[key];
        let until = commits.partition_point(|commit| commit.at.ms < ms);
        until.checked_sub(1).map_or(0, |last| commits[last].version)
    }

    /// The commit that made `version` of `key`.
    pub fn commit(&self, key: KeyIndex, version: u32) -> Option<&Commit> {
        self.commits[key].get(usize::try_from(version).ok()?.checked_sub(1)?)
    }

    /// Whether what was got is of version `least` or newer. An absence has no version: it is as new as the last time that
    /// the key did not exist. What clients put is of no version, and outside the truth.
    pub fn is_at_least(&self, read: &Answered<'_>, least: u32) -> bool {
        match read.got {
            Got::Row { version, .. } => version >= least,
            Got::Absent => {
                let deletes = &self.deletes[read.key];
                let until = deletes.partition_point(|&(step, _)| step <= read.ret.step);
                least == 0 || until.checked_sub(1).is_some_and(|last| deletes[last].1 >= least)
            }
            Got::Put { .. } => true,
        }
    }

    /// The last load from which an absence that was read can have come.
    pub fn load_of_absence(&self, read: &Answered<'_>) -> Option<usize> {
        let loads = &self.loads[read.key];
        let end = loads.partition_point(|&load| self.history.loads[load].start.step <= read.ret.step);
        let (reach, fields) = (self.history.reach, self.history.rules_of(read.key).fields);
        let way = reach.map_or(0, |reach| reach.way);
        let earliest = (read.op.inv.ms).saturating_sub(read.age_ms + way);
        loads[..end]
            .iter()
            .rev()
            .take_while(|&&load| self.history.loads[load].start.ms >= earliest)
            .find(|&&load| {
                let load = &self.history.loads[load];
                read.is_as_old_as(load.start.ms, fields, reach)
                    && load.answers_for(read.key).any(|answer| !answer.present)
            })
            .copied()
    }

    /// The operation that put `put`.
    pub fn putting(&self) -> impl Iterator<Item = (u32, KeyIndex, &'a Op)> {
        self.history.ops.iter().filter_map(|op| match op.asked {
            Asked::Put { key, put } if op.ended == Ended::Done => Some((put, key, op)),
            _ => None,
        })
    }
}

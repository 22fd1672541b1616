//! What histories were made of: without these numbers a suite passes on a dead engine.

use std::fmt;
use std::ops::AddAssign;

use super::Index;
use crate::history::record::{Asked, Ended, Failure, Got, LoadEnd, Op, Scope, Stamp};
use forebay::{Freshness, Tier, Why};

/// Counts over any number of histories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub worlds: u64,
    pub ops: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Reads answered by memory.
    pub hits: u64,
    /// Reads that waited for a load which had begun before them.
    pub joined: u64,
    pub stale_revalidating: u64,
    pub stale_source_failed: u64,
    pub absent: u64,
    pub invalidations: u64,
    /// Invalidations during a load of something that they cover.
    pub overlapped: u64,
    /// Of those, the ones that a later read was checked against.
    pub counted: u64,
    pub loads: u64,
    pub loads_failed: u64,
    pub loads_panicked: u64,
    pub loads_dropped: u64,
    pub batches: u64,
    pub own_ttls: u64,
    pub cancelled: u64,
    pub overloaded: u64,
    pub breaker_open: u64,
    pub stale_slow: u64,
    pub expiries: u64,
    /// Invalidations of a tag, a prefix, a namespace or everything that counted.
    pub counted_groups: u64,
    pub puts: u64,
    /// Operations wholly outside the faulty phases, and those of them that ended in an error or unknown.
    pub calm: u64,
    pub calm_failed: u64,
    pub calm_unknown: u64,
}

impl Tally {
    pub(super) fn of(index: &Index<'_>) -> Self {
        let history = index.history;
        let mut tally =
            Self { worlds: 1, ops: count(&history.ops), loads: count(&history.loads), ..Self::default() };
        for read in index.answered() {
            tally.reads += 1;
            tally.hits += u64::from(read.tier == Tier::Memory);
            tally.absent += u64::from(read.got == Got::Absent);
            match read.freshness {
                Freshness::Stale(Why::Revalidating) => tally.stale_revalidating += 1,
                Freshness::Stale(Why::SlowSource) => tally.stale_slow += 1,
                Freshness::Stale(_) => tally.stale_source_failed += 1,
                Freshness::Fresh | Freshness::Absent => {}
            }
            if let (Got::Row { load, .. }, Tier::Source) = (read.got, read.tier) {
                tally.joined += u64::from(history.loads[load].start < read.op.inv);
            }
        }
        for load in &history.loads {
            tally.batches += u64::from(load.keys.len() > 1);
            tally.own_ttls += count(load.answers.iter().filter(|answer| answer.ttl.is_some()));
            match load.end {
                Some((_, LoadEnd::Failed)) => tally.loads_failed += 1,
                Some((_, LoadEnd::Panicked)) => tally.loads_panicked += 1,
                Some((_, LoadEnd::Dropped)) => tally.loads_dropped += 1,
                _ => {}
            }
        }
        for op in &history.ops {
            tally.count_op(op, &history.faulty);
        }
        tally
    }

    fn count_op(&mut self, op: &Op, faulty: &[(Stamp, Stamp)]) {
        self.cancelled += u64::from(op.cancelled);
        self.overloaded += u64::from(op.ended == Ended::Failed(Failure::Overloaded));
        self.breaker_open += u64::from(op.ended == Ended::Failed(Failure::BreakerOpen));
        self.expiries += u64::from(matches!(op.asked, Asked::Expire(_)));
        self.puts += u64::from(matches!(op.asked, Asked::Put { .. }) && op.ended == Ended::Done);
        self.invalidations += u64::from(matches!(op.asked, Asked::Invalidate(_)));
        let end = op.ret.unwrap_or(op.inv);
        if faulty.iter().any(|&(from, until)| op.inv <= until && from <= end) {
            return;
        }
        self.calm += 1;
        self.calm_failed += u64::from(matches!(op.ended, Ended::Failed(_)));
        self.calm_unknown += u64::from(op.ended == Ended::Unknown);
    }

    /// Counts the invalidations that met a load; `bound` says of each operation whether a read was checked against it.
    pub(super) fn count_invalidations(&mut self, index: &Index<'_>, bound: &[bool]) {
        for (op, bound) in index.history.ops.iter().zip(bound) {
            let Asked::Invalidate(scope) = op.asked else { continue };
            if op.ended == Ended::Done && met_a_load(index, op, scope) {
                self.overlapped += 1;
                self.counted += u64::from(*bound);
                self.counted_groups += u64::from(*bound && !matches!(scope, Scope::Key(_)));
            }
        }
    }

    /// What a run must show to say anything; the first thing that it does not.
    pub fn vacuous(&self) -> Option<String> {
        let hits = self.hits * 100 / self.reads.max(1);
        if hits <= 30 {
            return Some(format!("only {hits} % of the reads were hits, more than 30 are needed"));
        }
        if self.calm_unknown * 100 > self.calm {
            let unknown = self.calm_unknown;
            return Some(format!("{unknown} of {} operations without faults ended unknown", self.calm));
        }
        let some = [
            ("an invalidation during a load", self.overlapped),
            ("a joined flight", self.joined),
            ("a stale answer while a refresh runs", self.stale_revalidating),
            ("a stale answer after a failure", self.stale_source_failed),
            ("an absence", self.absent),
            ("a batch", self.batches),
            ("a row with a TTL of its own", self.own_ttls),
            ("a put", self.puts),
            ("a load that failed", self.loads_failed),
            ("a load that panicked", self.loads_panicked),
            ("a load that was dropped", self.loads_dropped),
            ("a reader who went away", self.cancelled),
            ("a full queue", self.overloaded),
            ("an open breaker", self.breaker_open),
            ("a stale answer while the source is slow", self.stale_slow),
            ("an expiry", self.expiries),
            ("an invalidation of a group during a load", self.counted_groups),
        ];
        some.iter().find(|(_, count)| *count == 0).map(|(what, _)| format!("{what} never happened"))
    }
}

/// Whether a load of what `scope` covers was under way when `op` began.
fn met_a_load(index: &Index<'_>, op: &Op, scope: Scope) -> bool {
    let history = index.history;
    history.keys.iter().enumerate().any(|(key, facts)| {
        let tag = if let Scope::Tag(tag) = scope { Some(tag) } else { None };
        if tag.is_none() && !scope.covers(key, facts) {
            return false;
        }
        let loads = &index.loads[key];
        let begun = loads.partition_point(|&load| history.loads[load].start < op.inv);
        let longest = history.rules_of(key).load_timeout;
        loads[..begun]
            .iter()
            .rev()
            .map(|&load| &history.loads[load])
            .take_while(|load| load.start.ms + longest >= op.inv.ms)
            .filter(|load| load.end.is_none_or(|(end, _)| end > op.inv))
            .any(|load| {
                let carries = |tag| {
                    let mut commits =
                        load.answers_for(key).filter_map(|answer| index.commit(key, answer.version));
                    commits.any(|commit| commit.present && commit.tags >> tag & 1 == 1)
                };
                tag.is_none_or(carries)
            })
    })
}

fn count(of: impl IntoIterator) -> u64 {
    u64::try_from(of.into_iter().count()).unwrap()
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.worlds += other.worlds;
        self.ops += other.ops;
        self.reads += other.reads;
        self.hits += other.hits;
        self.joined += other.joined;
        self.stale_revalidating += other.stale_revalidating;
        self.stale_source_failed += other.stale_source_failed;
        self.absent += other.absent;
        self.invalidations += other.invalidations;
        self.overlapped += other.overlapped;
        self.counted += other.counted;
        self.loads += other.loads;
        self.loads_failed += other.loads_failed;
        self.loads_panicked += other.loads_panicked;
        self.loads_dropped += other.loads_dropped;
        self.batches += other.batches;
        self.own_ttls += other.own_ttls;
        self.cancelled += other.cancelled;
        self.overloaded += other.overloaded;
        self.breaker_open += other.breaker_open;
        self.stale_slow += other.stale_slow;
        self.expiries += other.expiries;
        self.counted_groups += other.counted_groups;
        self.puts += other.puts;
        self.calm += other.calm;
        self.calm_failed += other.calm_failed;
        self.calm_unknown += other.calm_unknown;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "worlds={} ops={} reads={} hits={}% joined={} loads={} batches={} invalidations={} during_a_load={} \
             counted={} of_groups={} expiries={} failed={} panicked={} dropped={} cancelled={} overloaded={} breaker_open={} puts={} absent={} stale={}+{}+{} \
             calm={} calm_failed={} calm_unknown={}",
            self.worlds,
            self.ops,
            self.reads,
            self.hits * 100 / self.reads.max(1),
            self.joined,
            self.loads,
            self.batches,
            self.invalidations,
            self.overlapped,
            self.counted,
            self.counted_groups,
            self.expiries,
            self.loads_failed,
            self.loads_panicked,
            self.loads_dropped,
            self.cancelled,
            self.overloaded,
            self.breaker_open,
            self.puts,
            self.absent,
            self.stale_revalidating,
            self.stale_source_failed,
            self.stale_slow,
            self.calm,
            self.calm_failed,
            self.calm_unknown,
        )
    }
}

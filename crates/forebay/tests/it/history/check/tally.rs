//! What histories were made of: without these numbers a suite passes on a dead engine.

use std::fmt;
use std::ops::AddAssign;

use super::fence::By;
use super::{Answered, Index};
use crate::history::record::{
    Asked, Ended, Exchanged, Failure, Got, History, Load, LoadEnd, Op, Said, Scope, Stamp,
};
use forebay::{Freshness, Tier, Why};
use forebay_simulated::Fired;

/// After so long a load is not what a reader asked for, in milliseconds: refreshes wait for company, but not so long.
const A_MOMENT_MS: u64 = 50;

/// Declares the counts, each with what never happened where it stays zero, if a run that claims something must show it.
macro_rules! counts {
    ($($(#[$about:meta])* $count:ident $(: $what:literal)?,)+) => {
        /// Counts over any number of histories.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Tally {
            $($(#[$about])* pub $count: u64,)+
        }

        impl Tally {
            /// The first thing that a run must show and this one does not.
            fn missing(&self) -> Option<&'static str> {
                $($(if self.$count == 0 {
                    return Some($what);
                })?)+
                None
            }
        }

        impl AddAssign for Tally {
            fn add_assign(&mut self, other: Self) {
                $(self.$count += other.$count;)+
            }
        }

        impl fmt::Display for Tally {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let counts = [$((stringify!($count), self.$count),)+];
                for (place, (name, count)) in counts.into_iter().enumerate() {
                    write!(f, "{}{name}={count}", if place == 0 { "" } else { " " })?;
                }
                Ok(())
            }
        }
    };
}

counts! {
    worlds,
    ops,
    /// Reads that were answered.
    reads,
    /// Reads answered by memory.
    hits,
    /// Reads that waited for a load which had begun before them.
    joined: "a joined flight",
    loads,
    batches: "a batch",
    invalidations,
    /// Invalidations during a load of something that they cover.
    during_a_load: "an invalidation during a load",
    /// Of those, the ones that a later read was checked against.
    counted,
    /// Those that counted and were of a tag, a prefix, a namespace or everything.
    counted_groups: "an invalidation of a group during a load",
    /// Those that counted and were of a field while its whole hash was loaded.
    counted_holes: "an invalidation of a field during a load of its hash",
    expiries: "an expiry",
    puts: "a put",
    absent: "an absence",
    own_ttls: "a row with a TTL of its own",
    loads_failed: "a load that failed",
    loads_panicked: "a load that panicked",
    loads_dropped: "a load that was dropped",
    cancelled: "a reader who went away",
    overloaded: "a full queue",
    breaker_open: "an open breaker",
    stale_revalidating: "a stale answer while a refresh runs",
    stale_source_failed: "a stale answer after a failure",
    stale_slow: "a stale answer while the source is slow",
    /// Reads that the membership filter answered.
    denied: "an answer of the membership filter",
    /// Keys that a warming loaded or found.
    warmed: "a warmed key",
    /// Loads that nobody had asked for but a warming.
    loads_to_warm: "a load that only a warming had asked for",
    /// Worlds with two instances.
    shared_worlds: "a world with two instances",
    /// Of those, the ones whose source never failed.
    spared_worlds: "a world in which only the shared tier failed",
    /// Reads answered by the shared tier.
    shared_hits: "an answer of the shared tier",
    /// Checks of reads against what another instance had invalidated: by the time after which it must be seen,
    bound_in_time: "a read that another instance's invalidation had reached in time",
    /// since all had acknowledged it,
    bound_acknowledged: "a read after an acknowledged invalidation of another instance",
    /// by what the shared tier had been asked for,
    bound_in_tier: "a read of the shared tier after another instance's invalidation",
    /// while the reader's instance was not heard,
    bound_after_gap: "a read after an invalidation in a gap",
    /// when all had settled, of one that had not been confirmed.
    bound_settled: "a read after an unconfirmed invalidation was told",
    unconfirmed: "an unconfirmed invalidation",
    /// Times in which the log heard nothing of an instance for long.
    silences: "a silence",
    /// Gaps in the log and new epochs, as instances heard of them.
    floors: "a gap in the log",
    leases_refused: "a refused lease",
    fills_refused: "a fill that the tier refused",
    /// Loads of a key whose lease another instance had.
    loads_without_lease: "a load without a lease",
    refused: "a refused connection",
    requests_lost: "a lost request",
    answers_lost: "a lost answer",
    late: "a late request",
    repeated: "a record told twice",
    restarts: "a restart of the tier",
    records_lost: "a record that a restart lost",
    records_trimmed: "a trimmed record",
    /// Operations wholly outside the faulty phases, and those of them that ended in an error or unknown.
    calm,
    calm_failed,
    calm_unknown,
}

impl Tally {
    pub(super) fn of(index: &Index<'_>) -> Self {
        let history = index.history;
        let mut tally =
            Self { worlds: 1, ops: count(&history.ops), loads: count(&history.loads), ..Self::default() };
        for read in index.answered() {
            tally.reads += 1;
            tally.hits += u64::from(read.tier == Tier::Memory);
            tally.shared_hits += u64::from(read.tier == Tier::Shared);
            tally.denied += u64::from(read.tier == Tier::Nowhere);
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
        tally.loads_to_warm = count(loads_to_warm(index));
        tally.count_shared(history);
        tally
    }

    fn count_shared(&mut self, history: &History) {
        if history.reach.is_none() {
            return;
        }
        self.shared_worlds = 1;
        self.spared_worlds = u64::from(history.spared);
        // Before it is heard for the first time, nothing was to be heard of an instance.
        self.silences = count(history.gaps.iter().filter(|gap| gap.from > Stamp::default()));
        for exchange in &history.exchanges {
            match exchange.what {
                Exchanged::Asked { said: Said::Busy, .. } => self.leases_refused += 1,
                Exchanged::Filled { stored: Some(false), .. } => self.fills_refused += 1,
                Exchanged::Floor => self.floors += 1,
                _ => {}
            }
        }
        let Fired { refused, requests_lost, answers_lost, late, repeated, .. } = history.fired;
        let Fired { restarts, records_lost, records_trimmed, .. } = history.fired;
        (self.refused, self.requests_lost, self.answers_lost) = (refused, requests_lost, answers_lost);
        (self.late, self.repeated, self.restarts) = (late, repeated, restarts);
        (self.records_lost, self.records_trimmed) = (records_lost, records_trimmed);
    }

    /// Counts that `read` was checked against `op`.
    pub(super) fn count_bound(&mut self, index: &Index<'_>, op: &Op, read: &Answered<'_>, clock: By) {
        let elsewhere = op.instance != read.op.instance;
        match clock {
            _ if !elsewhere => {}
            By::Ms if op.ended == Ended::Unknown => self.bound_settled += 1,
            By::Ms => {
                self.bound_in_time += 1;
                self.bound_after_gap += u64::from(index.was_silent(read.op.instance, op));
            }
            By::Step => self.bound_acknowledged += 1,
            By::Asked => self.bound_in_tier += 1,
        }
    }

    fn count_op(&mut self, op: &Op, faulty: &[(Stamp, Stamp)]) {
        self.cancelled += u64::from(op.cancelled);
        self.overloaded += u64::from(op.ended == Ended::Failed(Failure::Overloaded));
        self.breaker_open += u64::from(op.ended == Ended::Failed(Failure::BreakerOpen));
        self.expiries += u64::from(matches!(op.asked, Asked::Expire(_)));
        self.puts += u64::from(matches!(op.asked, Asked::Put { .. }) && op.ended == Ended::Done);
        self.unconfirmed += u64::from(op.asked.scope().is_some() && op.ended == Ended::Unknown);
        if let Ended::Warmed { done, .. } = op.ended {
            self.warmed += done;
        }
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
                self.during_a_load += 1;
                self.counted += u64::from(*bound);
                self.counted_groups += u64::from(*bound && !matches!(scope, Scope::Key(_)));
                self.counted_holes += u64::from(*bound && makes_a_hole(index, op, scope));
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
        self.missing().map(|what| format!("{what} never happened"))
    }
}

/// The loads that began while a warming ran, of keys that no reader on that instance had asked for in the last moment.
fn loads_to_warm<'a>(index: &'a Index<'_>) -> impl Iterator<Item = &'a Load> + 'a {
    let history = index.history;
    let warmings = history.ops.iter().filter_map(|op| match op.asked {
        Asked::Warm { namespace } => Some((op, namespace, op.ret?)),
        _ => None,
    });
    warmings.flat_map(move |(warming, namespace, ret)| {
        history.loads.iter().filter(move |load| {
            let key = load.keys[0];
            let asked = |op: &Op| {
                let until = op.ret.map_or(u64::MAX, |ret| ret.ms + A_MOMENT_MS);
                op.asked.read() == Some(key) && op.inv <= load.start && load.start.ms <= until
            };
            load.instance == warming.instance
                && history.keys[key].namespace == namespace
                && (warming.inv..=ret).contains(&load.start)
                && !history.ops.iter().any(|op| op.instance == load.instance && asked(op))
        })
    })
}

/// Whether the whole hash was being loaded whose field `scope` is, when `op` began.
fn makes_a_hole(index: &Index<'_>, op: &Op, scope: Scope) -> bool {
    let Scope::Key(key) = scope else { return false };
    let mut loads = index.loads[key].iter().map(|&load| &index.history.loads[load]);
    let under_way = |load: &Load| load.start < op.inv && load.end.is_none_or(|(end, _)| end > op.inv);
    index.history.rules_of(key).fields && loads.any(|load| load.whole && under_way(load))
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

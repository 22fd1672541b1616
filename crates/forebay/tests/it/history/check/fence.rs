//! H1, H10, H11, H12: what an invalidation, an expiry or a put forbids to later reads.
//!
//! For an invalidation I that returned ok and a read R of a key that it covers, begun after it: version(R) is not older than
//! the truth was when I began. On another instance R counts if it begins later than I must be visible there, in touch or
//! not; or after all have acknowledged; or if the shared tier answered it, and was asked after I had returned. An
//! invalidation that could not be confirmed binds its own instance, and once all has settled the others too. An expiry
//! forbids the same to answers that are not flagged stale. A tag covers the values that carry it.

use std::collections::HashMap;

use forebay::Tier;

use super::{Answered, Index, Tally, Violation};
use crate::history::record::{Asked, Ended, Exchanged, Got, History, KeyIndex, Op, Said, Scope};

/// What a fence concerns: a key's readers on an instance, and which of their answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Concern {
    instance: usize,
    key: KeyIndex,
    /// Only values that carry this tag.
    tag: Option<u32>,
    /// Answers flagged stale are free of it.
    unflagged: bool,
    clock: By,
}

/// What orders a fence and a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum By {
    /// The one order of events: on the same instance.
    Step,
    /// Simulated time: between instances.
    Ms,
    /// The order of events, and when the shared tier was asked for what the read got.
    Asked,
}

#[derive(Clone, Copy, Debug)]
struct Fence {
    clock: By,
    /// Reads that begin later than this are bound.
    after: u64,
    /// The oldest version that they may get.
    least: u32,
    op: usize,
}

/// All fences, for each concern in the order in which they begin to bind; `least` never falls along it.
struct Fences(HashMap<Concern, Vec<Fence>>);

impl Fences {
    fn of(index: &Index<'_>) -> Self {
        let mut fences = Self(HashMap::new());
        for (number, op) in index.history.ops.iter().enumerate() {
            if let Some(scope) = op.asked.scope() {
                fences.add_op(index, number, op, scope);
            }
        }
        fences.add_acknowledged(index);
        for fences in fences.0.values_mut() {
            fences.sort_by_key(|fence| fence.after);
            let mut least = 0;
            for fence in fences {
                least = least.max(fence.least);
                fence.least = least;
            }
        }
        fences
    }

    fn add_op(&mut self, index: &Index<'_>, number: usize, op: &Op, scope: Scope) {
        let Some(ret) = op.ret else { return };
        let history = index.history;
        let confirmed = op.ended == Ended::Done;
        if confirmed || (history.reach.is_some() && op.ended == Ended::Unknown) {
            self.add(index, number, scope, op.instance, (By::Step, ret.step));
        }
        let others = (0..index.instances()).filter(|&instance| instance != op.instance);
        let Some(reach) = history.reach else { return };
        for instance in others {
            if confirmed {
                self.add(index, number, scope, instance, (By::Ms, ret.ms + reach.visible_within));
                self.add(index, number, scope, instance, (By::Asked, ret.step));
            } else if let Some(settled) = history.settled
                && op.ended == Ended::Unknown
            {
                self.add(index, number, scope, instance, (By::Ms, settled.ms));
            }
        }
    }

    /// An instance that all others acknowledged has told them of everything that it had answered for by then.
    fn add_acknowledged(&mut self, index: &Index<'_>) {
        let ops = &index.history.ops;
        for by in 0..index.instances() {
            for to in (0..index.instances()).filter(|&to| to != by) {
                let mut told: Vec<usize> = Vec::new();
                for (number, op) in ops.iter().enumerate().filter(|(_, op)| op.instance == by) {
                    let Some(ret) = op.ret else { continue };
                    if op.asked.scope().is_some() {
                        told.push(number);
                    }
                    // Nobody waited for one who was silent for long.
                    let silent =
                        index.history.gaps.iter().any(|gap| {
                            gap.instance == to && gap.from.ms <= ret.ms && op.inv.ms <= gap.until.ms
                        });
                    if op.asked != Asked::Acknowledged || op.ended != Ended::Done || silent {
                        continue;
                    }
                    let before = |&told: &usize| {
                        let known = matches!(ops[told].ended, Ended::Done | Ended::Unknown);
                        known && ops[told].ret.is_some_and(|ret| ret.step < op.inv.step)
                    };
                    for &told in told.iter().filter(|told| before(told)) {
                        let Some(scope) = ops[told].asked.scope() else { continue };
                        self.add(index, told, scope, to, (By::Step, ret.step));
                    }
                    told.retain(|told| !before(told));
                }
            }
        }
    }

    /// Lets operation `number` bind the reads of `instance` that begin after `after`.
    fn add(
        &mut self,
        index: &Index<'_>,
        number: usize,
        scope: Scope,
        instance: usize,
        (clock, after): (By, u64),
    ) {
        let (history, op) = (index.history, &index.history.ops[number]);
        let unflagged = matches!(op.asked, Asked::Expire(_));
        let tag = if let Scope::Tag(tag) = scope { Some(tag) } else { None };
        for (key, facts) in history.keys.iter().enumerate() {
            if tag.is_none() && !scope.covers(key, facts) {
                continue;
            }
            let least = index.latest(key, op.inv.step);
            let concern = Concern { instance, key, tag, unflagged, clock };
            self.0.entry(concern).or_default().push(Fence { clock, after, least, op: number });
        }
    }

    /// The fences that bind `read`, one of each kind, the last to have begun.
    fn binding<'b>(
        &'b self,
        index: &Index<'_>,
        read: &Answered<'_>,
        tier_asked: Option<u64>,
    ) -> impl Iterator<Item = Fence> + 'b {
        let carried = match read.got {
            Got::Row { version, .. } => index.commit(read.key, version).map_or(0, |commit| commit.tags),
            _ => 0,
        };
        let tags = (0..8).filter(move |tag| carried >> tag & 1 == 1).map(Some).chain([None]);
        let (instance, key, inv, stale) = (read.op.instance, read.key, read.op.inv, read.stale());
        let clocks = [(By::Step, Some(inv.step)), (By::Ms, Some(inv.ms)), (By::Asked, tier_asked)];
        tags.flat_map(move |tag| {
            let kinds = clocks.into_iter().flat_map(|(clock, at)| [(false, clock, at), (true, clock, at)]);
            kinds.filter_map(move |(unflagged, clock, at)| {
                let fences = self.0.get(&Concern { instance, key, tag, unflagged, clock })?;
                let bound = fences.partition_point(|fence| at.is_some_and(|at| fence.after < at));
                (!(unflagged && stale)).then_some(())?;
                fences.get(bound.checked_sub(1)?).copied()
            })
        })
    }
}

/// When the shared tier told a value, for each instance and key in the order of the answers.
struct Told(HashMap<(usize, KeyIndex), Vec<Answer>>);

/// An answer of the shared tier: when it came, and at which steps it was asked for and came.
#[derive(Clone, Copy, Debug)]
struct Answer {
    ms: u64,
    asked: u64,
    step: u64,
}

impl Told {
    fn of(history: &History) -> Self {
        let mut told: HashMap<_, Vec<_>> = HashMap::new();
        for exchange in &history.exchanges {
            if let Exchanged::Asked { key, said: Said::Held | Said::Leased } = exchange.what {
                let (at, asked) = (exchange.at, exchange.sent.step);
                let answer = Answer { ms: at.ms, asked, step: at.step };
                told.entry((exchange.instance, key)).or_default().push(answer);
            }
        }
        Self(told)
    }

    /// When the tier was asked at the earliest for what it answered `read` with.
    fn asked(&self, history: &History, read: &Answered<'_>) -> Option<u64> {
        let reach = history.reach.filter(|_| read.tier == Tier::Shared)?;
        let answers = self.0.get(&(read.op.instance, read.key))?;
        let from = answers.partition_point(|answer| answer.ms + reach.answer < read.op.inv.ms);
        let until = answers.partition_point(|answer| answer.step <= read.ret.step);
        answers[from.min(until)..until].iter().map(|answer| answer.asked).min()
    }
}

pub(super) fn check(index: &Index<'_>, tally: &mut Tally) -> Vec<Violation> {
    let fences = Fences::of(index);
    let puts = Puts::of(index);
    let told = Told::of(index.history);
    let mut violations = Vec::new();
    let mut bound = vec![false; index.history.ops.len()];
    for read in index.answered() {
        let tier_asked = told.asked(index.history, &read);
        for fence in fences.binding(index, &read, tier_asked) {
            bound[fence.op] = true;
            tally.count_bound(index, &index.history.ops[fence.op], &read, fence.clock);
            if !index.is_at_least(&read, fence.least) {
                violations.push(overtaken(index, &read, &fence));
            }
        }
        violations.extend(asked_afresh(index, &read));
        violations.extend(puts.check(index, &read));
    }
    tally.count_invalidations(index, &bound);
    violations
}

fn overtaken(index: &Index<'_>, read: &Answered<'_>, fence: &Fence) -> Violation {
    let op = &index.history.ops[fence.op];
    let property = match op.asked {
        Asked::Invalidate(Scope::Tag(_)) | Asked::Expire(Scope::Tag(_)) => "H11",
        _ if op.instance != read.op.instance && index.was_silent(read.op.instance, op) => "H10",
        _ => "H1",
    };
    let what = format!(
        "{:?} on instance {} got {:?} ({:?} from {:?}) at step {}, though {:?} on instance {} had returned at step {}: \
         nothing older than version {} may be read after it",
        read.op.asked,
        read.op.instance,
        read.got,
        read.freshness,
        read.tier,
        read.ret.step,
        op.asked,
        op.instance,
        op.ret.map_or(0, |ret| ret.step),
        fence.least,
    );
    // From the load that brought it, or the invalidation, whichever is older.
    let from = match read.got {
        Got::Row { load, .. } => index.history.loads[load].start.step.min(op.inv.step),
        _ => op.inv.step.saturating_sub(40),
    };
    Violation { property, what, around: Some((read.key, from, read.ret.step)) }
}

/// A read past every copy gets nothing older than the truth was when it began.
fn asked_afresh(index: &Index<'_>, read: &Answered<'_>) -> Option<Violation> {
    let least = index.latest(read.key, read.op.inv.step);
    if !matches!(read.op.asked, Asked::GetFresh(_)) || index.is_at_least(read, least) {
        return None;
    }
    let what = format!("{:?} got {:?}, but version {least} was the truth before it", read.op.asked, read.got);
    Some(Violation {
        property: "H1",
        what,
        around: Some((read.key, read.op.inv.step.saturating_sub(40), read.ret.step)),
    })
}

/// What clients put: it fences older loads, and is itself gone with the next put or invalidation.
#[derive(Default)]
struct Puts {
    /// When each put began and ended.
    puts: HashMap<u32, (u64, u64, u64)>,
    /// For each instance and key, end and start of each put, by its end; the starts never fall along it.
    over: HashMap<(usize, KeyIndex), Vec<(u64, u64)>>,
    /// The same of what invalidates.
    gone: HashMap<(usize, KeyIndex), Vec<(u64, u64)>>,
    /// The same of what expires.
    expired: HashMap<(usize, KeyIndex), Vec<(u64, u64)>>,
}

impl Puts {
    fn of(index: &Index<'_>) -> Self {
        let mut puts = Self::default();
        for (put, key, op) in index.putting() {
            let Some(ret) = op.ret else { continue };
            puts.puts.insert(put, (op.inv.ms, ret.ms, ret.step));
            puts.over.entry((op.instance, key)).or_default().push((ret.step, op.inv.step));
        }
        for op in &index.history.ops {
            let (scope, spans) = match op.asked {
                Asked::Invalidate(scope) => (scope, &mut puts.gone),
                Asked::Expire(scope) => (scope, &mut puts.expired),
                _ => continue,
            };
            let (Ended::Done, Some(ret)) = (op.ended, op.ret) else { continue };
            for (key, facts) in index.history.keys.iter().enumerate() {
                if index.history.rules_of(key).kept && scope.covers(key, facts) {
                    spans.entry((op.instance, key)).or_default().push((ret.step, op.inv.step));
                }
            }
        }
        for spans in puts.over.values_mut().chain(puts.gone.values_mut()).chain(puts.expired.values_mut()) {
            spans.sort_unstable();
            let mut latest = 0;
            for (_, start) in spans {
                latest = latest.max(*start);
                *start = latest;
            }
        }
        puts
    }

    fn check(&self, index: &Index<'_>, read: &Answered<'_>) -> Option<Violation> {
        let rules = index.history.rules_of(read.key);
        if !rules.kept {
            return None;
        }
        let at = (read.op.instance, read.key);
        let over = last_start(self.over.get(&at), read.op.inv.step);
        let overtaken = |load: usize| {
            let begun_before = &index.history.loads[load];
            // A put is its instance's own: when it has ended, the tier may give again what was loaded and stored before it.
            let stored_before = begun_before.instance != read.op.instance
                || begun_before.end.is_none_or(|(end, _)| end.step < over);
            let may_return = index.history.reach.is_some() && stored_before;
            (begun_before.start.step < over && !may_return)
                .then(|| format!("load {load} began before the put of step {over}"))
        };
        let what = match read.got {
            Got::Row { load, .. } => overtaken(load),
            // Which load brought an absence is not known for sure where more than one instance loads.
            Got::Absent if index.history.reach.is_some() => None,
            Got::Absent => overtaken(index.load_of_absence(read)?),
            Got::Put { put, .. } => {
                let gone = last_start(self.gone.get(&at), read.op.inv.step);
                let expired = last_start(self.expired.get(&at), read.op.inv.step);
                let &(_, end_ms, end) = self.puts.get(&put)?;
                let windows = rules.stale_while_revalidate.max(rules.stale_if_error);
                let until = end_ms + rules.ttl + if read.stale() { windows } else { 0 };
                if over > end {
                    Some(format!("the put of step {over} had replaced it"))
                } else if gone > end {
                    Some(format!("the invalidation of step {gone} had dropped it"))
                } else if expired > end && !read.stale() {
                    Some(format!("the expiry of step {expired} had made it stale"))
                } else {
                    (read.op.inv.ms > until).then(|| format!("it had expired at {until} ms"))
                }
            }
        }?;
        let what = format!("{:?} got {:?}, but {what}", read.op.asked, read.got);
        Some(Violation {
            property: "put",
            what,
            around: Some((read.key, read.op.inv.step.saturating_sub(60), read.ret.step)),
        })
    }
}

/// The latest start of a span that had ended before `step`.
fn last_start(spans: Option<&Vec<(u64, u64)>>, step: u64) -> u64 {
    let Some(spans) = spans else { return 0 };
    spans.partition_point(|&(end, _)| end < step).checked_sub(1).map_or(0, |last| spans[last].1)
}

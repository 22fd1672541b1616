//! H1, H10, H11: what an invalidation, an expiry or a put forbids to later reads.
//!
//! For an invalidation I that returned ok and a read R of a key that it covers, begun after it: version(R) is not older than
//! the truth was when I began. On another instance R counts from the moment at which I must be visible there, or, where that
//! instance was out of touch, at which the gap must be found. An expiry forbids the same to answers that are not flagged
//! stale. A tag covers the values that carry it.

use std::collections::HashMap;

use super::{Answered, Index, Tally, Violation};
use crate::history::record::{Asked, Ended, Got, KeyIndex, Op, Scope};

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
enum By {
    /// The one order of events: on the same instance.
    Step,
    /// Simulated time: between instances.
    Ms,
}

#[derive(Clone, Copy, Debug)]
struct Fence {
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
            match op.asked {
                Asked::Invalidate(scope) if op.ended == Ended::Done => {
                    fences.add_op(index, number, op, scope, false);
                }
                Asked::Expire(scope) if op.ended == Ended::Done => {
                    fences.add_op(index, number, op, scope, true);
                }
                _ => {}
            }
        }
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

    fn add_op(&mut self, index: &Index<'_>, number: usize, op: &Op, scope: Scope, unflagged: bool) {
        let Some(ret) = op.ret else { return };
        let history = index.history;
        let instances = history.ops.iter().map(|op| op.instance).max().map_or(0, |last| last + 1);
        let tag = if let Scope::Tag(tag) = scope { Some(tag) } else { None };
        for (key, facts) in history.keys.iter().enumerate() {
            if tag.is_none() && !scope.covers(key, facts) {
                continue;
            }
            let least = index.latest(key, op.inv.step);
            let mut add = |instance, clock, after| {
                let concern = Concern { instance, key, tag, unflagged, clock };
                self.0.entry(concern).or_default().push(Fence { after, least, op: number });
            };
            add(op.instance, By::Step, ret.step);
            let Some(reach) = history.reach else { continue };
            for instance in (0..instances).filter(|&instance| instance != op.instance) {
                let out_of_touch =
                    history.gaps.iter().filter(|gap| gap.instance == instance).filter(|gap| {
                        gap.from.ms <= ret.ms + reach.visible_within && op.inv.ms <= gap.until.ms
                    });
                let found = out_of_touch.map(|gap| gap.until.ms + reach.found_within).max();
                add(instance, By::Ms, (ret.ms + reach.visible_within).max(found.unwrap_or(0)));
            }
        }
    }

    /// The fences that bind `read`, one of each kind, the last to have begun.
    fn binding<'b>(&'b self, index: &Index<'_>, read: &Answered<'_>) -> impl Iterator<Item = Fence> + 'b {
        let carried = match read.got {
            Got::Row { version, .. } => index.commit(read.key, version).map_or(0, |commit| commit.tags),
            _ => 0,
        };
        let tags = (0..8).filter(move |tag| carried >> tag & 1 == 1).map(Some).chain([None]);
        let (instance, key, inv, stale) = (read.op.instance, read.key, read.op.inv, read.stale());
        tags.flat_map(move |tag| {
            let kinds = [(false, By::Step), (false, By::Ms), (true, By::Step), (true, By::Ms)];
            kinds.into_iter().filter_map(move |(unflagged, clock)| {
                let fences = self.0.get(&Concern { instance, key, tag, unflagged, clock })?;
                let at = if clock == By::Step { inv.step } else { inv.ms };
                let bound = fences.partition_point(|fence| fence.after < at);
                (!(unflagged && stale)).then_some(())?;
                fences.get(bound.checked_sub(1)?).copied()
            })
        })
    }
}

pub(super) fn check(index: &Index<'_>, tally: &mut Tally) -> Vec<Violation> {
    let fences = Fences::of(index);
    let puts = Puts::of(index);
    let mut violations = Vec::new();
    let mut bound = vec![false; index.history.ops.len()];
    for read in index.answered() {
        for fence in fences.binding(index, &read) {
            bound[fence.op] = true;
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
        _ if op.instance != read.op.instance && !index.history.gaps.is_empty() => "H10",
        _ => "H1",
    };
    let what = format!(
        "{:?} got {:?} ({:?} from {:?}) at step {}, though {:?} had returned at step {}: nothing older than version {} may \
         be read after it",
        read.op.asked,
        read.got,
        read.freshness,
        read.tier,
        read.ret.step,
        op.asked,
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
        let what = match read.got {
            Got::Row { load, .. } => {
                let start = index.history.loads[load].start.step;
                (start < over).then(|| format!("load {load} began before the put of step {over}"))
            }
            Got::Absent => {
                let load = index.load_of_absence(read)?;
                let start = index.history.loads[load].start.step;
                (start < over).then(|| format!("load {load} began before the put of step {over}"))
            }
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

//! H2, H14: how old an answer may be, and whether the age that it tells is true.

use std::collections::HashMap;

use super::{Answered, Index, Violation};
use crate::history::record::{Asked, Got, Op};
use forebay::{Freshness, Tier, Why};

pub(super) fn check(index: &Index<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut uses = Uses::default();
    // What the filter denies is as old as nothing.
    for read in index.answered().filter(|read| read.tier != Tier::Nowhere) {
        let idle = uses.idle(index, &read);
        let broken = [
            ("H14", idle),
            ("H2", bounded(index, &read)),
            ("H14", in_time(index, &read)),
            ("age", told(index, &read)),
        ];
        violations.extend(broken.into_iter().filter_map(|(property, what)| {
            let what = format!("{:?} got {:?} ({:?}): {}", read.op.asked, read.got, read.freshness, what?);
            let from = match read.got {
                Got::Row { load, .. } => index.history.loads.get(load).map_or(0, |load| load.start.step),
                _ => read.op.inv.step.saturating_sub(60),
            };
            Some(Violation { property, what, around: Some((read.key, from, read.ret.step)) })
        }));
    }
    violations
}

/// How much longer than its policy says a value may live that came through the shared tier, in milliseconds.
fn way_ms(index: &Index<'_>) -> u64 {
    index.history.reach.map_or(0, |reach| reach.way)
}

/// When each value was used last, as far as reads tell.
#[derive(Default)]
struct Uses(HashMap<(usize, Got), u64>);

impl Uses {
    /// H14 of a sliding TTL: what nobody used for so long has ended. A read that began before this one may have used the
    /// value at any time until it returned.
    fn idle(&mut self, index: &Index<'_>, read: &Answered<'_>) -> Option<String> {
        let idle = index.history.rules_of(read.key).idle?;
        let began = match read.got {
            Got::Row { load, .. } => index.history.loads.get(load)?.start.ms,
            _ => return None,
        };
        let last = self.0.entry((read.op.instance, read.got)).or_insert(began);
        // To be warmed is to be used.
        let warmed = warmed_ms(index, read).unwrap_or(0).max(*last);
        let until = warmed.min(read.op.inv.ms) + idle;
        *last = read.ret.ms.max(*last);
        (read.tier == Tier::Memory && read.op.inv.ms > until + way_ms(index))
            .then(|| format!("nobody had used it for {idle} ms at {until} ms, read at {} ms", read.op.inv.ms))
    }
}

/// Until when the last warming of its namespace may have used what `read` got, in milliseconds.
fn warmed_ms(index: &Index<'_>, read: &Answered<'_>) -> Option<u64> {
    let namespace = index.history.keys[read.key].namespace;
    let warming = |op: &&Op| op.instance == read.op.instance && op.asked == Asked::Warm { namespace };
    let before = index.history.ops.iter().take_while(|op| op.inv < read.op.inv);
    before.filter(warming).map(|op| op.ret.map_or(u64::MAX, |ret| ret.ms)).max()
}

/// The longest that an answer of this freshness may lag behind the truth, in milliseconds.
fn lag_ms(index: &Index<'_>, read: &Answered<'_>) -> u64 {
    let rules = index.history.rules_of(read.key);
    let window = match read.freshness {
        Freshness::Stale(Why::Revalidating) => rules.stale_while_revalidate,
        Freshness::Stale(_) => rules.stale_if_error.max(rules.stale_while_revalidate),
        Freshness::Fresh | Freshness::Absent => 0,
    };
    // What waits for the tier's answer joins what was asked before it.
    let answer = index.history.reach.map_or(0, |reach| reach.answer);
    rules.ttl + window + rules.load_timeout + answer + way_ms(index)
}

/// H2: no answer is older than its policy allows.
fn bounded(index: &Index<'_>, read: &Answered<'_>) -> Option<String> {
    let lag = lag_ms(index, read);
    let least = index.latest_before_ms(read.key, read.op.inv.ms.saturating_sub(lag));
    (!index.is_at_least(read, least))
        .then(|| format!("version {least} had been the truth for more than {lag} ms"))
}

/// H14: what is not flagged stale is within its TTL when memory hands it out.
fn in_time(index: &Index<'_>, read: &Answered<'_>) -> Option<String> {
    if read.tier != Tier::Memory || read.stale() {
        return None;
    }
    let rules = index.history.rules_of(read.key);
    let (began, ttl) = match read.got {
        Got::Put { .. } => return None,
        Got::Row { load, .. } => {
            let load = index.history.loads.get(load)?;
            let own = load.answers_for(read.key).map(|answer| answer.ttl.unwrap_or(u64::MAX)).max();
            (load.start.ms, own.unwrap_or(u64::MAX).min(rules.ttl))
        }
        Got::Absent => {
            let load = index.load_of_absence(read)?;
            // A hash tells of absent fields as long as it is fresh.
            let ttl = if rules.fields { rules.ttl } else { rules.absent_ttl };
            (index.history.loads[load].start.ms, ttl)
        }
    };
    (read.op.inv.ms > began + ttl + way_ms(index))
        .then(|| format!("it was loaded at {began} ms and fresh for {ttl} ms, read at {} ms", read.op.inv.ms))
}

/// An answer is what a load of its key gave, and as old as it says, counted from the beginning of that load.
fn told(index: &Index<'_>, read: &Answered<'_>) -> Option<String> {
    match read.got {
        Got::Row { key, version, load } => {
            if key != read.key {
                return Some("it is of another key".to_owned());
            }
            let load = index.history.loads.get(load)?;
            if !load.answers_for(key).any(|answer| answer.version == version) {
                return Some("no load answered it".to_owned());
            }
            (!read.is_as_old_as(load.start.ms, index.history.rules_of(key).fields, index.history.reach))
                .then(|| format!("it says {} ms, its load began at {} ms", read.age_ms, load.start.ms))
        }
        Got::Absent => {
            let load = index.load_of_absence(read);
            load.is_none().then(|| format!("no load of {} ms ago answered it", read.age_ms))
        }
        Got::Put { key, .. } => (key != read.key).then(|| "it is of another key".to_owned()),
    }
}

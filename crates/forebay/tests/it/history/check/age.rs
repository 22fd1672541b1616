//! H2, H14: how old an answer may be, and whether the age that it tells is true.

use std::collections::HashMap;

use super::{Answered, Index, Violation};
use crate::history::record::Got;
use forebay::{Freshness, Tier, Why};

pub(super) fn check(index: &Index<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut uses = Uses::default();
    for read in index.answered() {
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
        let until = (*last).min(read.op.inv.ms) + idle;
        *last = read.ret.ms.max(*last);
        (read.tier == Tier::Memory && read.op.inv.ms > until)
            .then(|| format!("nobody had used it for {idle} ms at {until} ms, read at {} ms", read.op.inv.ms))
    }
}

/// The longest that an answer of this freshness may lag behind the truth, in milliseconds.
fn lag_ms(index: &Index<'_>, read: &Answered<'_>) -> u64 {
    let rules = index.history.rules_of(read.key);
    let window = match read.freshness {
        Freshness::Stale(Why::Revalidating) => rules.stale_while_revalidate,
        Freshness::Stale(_) => rules.stale_if_error.max(rules.stale_while_revalidate),
        Freshness::Fresh | Freshness::Absent => 0,
    };
    rules.ttl + window + rules.load_timeout
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
            (index.history.loads[load].start.ms, rules.absent_ttl)
        }
    };
    (read.op.inv.ms > began + ttl)
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
            (!read.is_as_old_as(load.start.ms))
                .then(|| format!("it says {} ms, its load began at {} ms", read.age_ms, load.start.ms))
        }
        Got::Absent => {
            let load = index.load_of_absence(read);
            load.is_none().then(|| format!("no load of {} ms ago answered it", read.age_ms))
        }
        Got::Put { key, .. } => (key != read.key).then(|| "it is of another key".to_owned()),
    }
}

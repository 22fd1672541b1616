//! H5, H6: one load for a generation of a key, and nobody left waiting; no read fails but for its source (promise P6).

use super::{Index, Violation};
use crate::history::record::{Asked, Ended, Exchanged, KeyIndex, Load, Scope};

/// What an operation may take beyond the time-out of its load, in simulated milliseconds.
const GRACE_MS: u64 = 20;

pub(super) fn check(index: &Index<'_>) -> Vec<Violation> {
    let mut violations = stranded(index);
    violations.extend(failed(index));
    for (key, whole) in (0..index.history.keys.len()).flat_map(|key| [(key, true), (key, false)]) {
        violations.extend(twice(index, key, whole));
    }
    violations
}

/// The longest that a flight waits for a lease and what comes before, in simulated milliseconds.
const LEASE_WAIT_MS: u64 = 2_000;

/// H6: every operation returns in time, and nothing is left when all have gone.
fn stranded(index: &Index<'_>) -> Vec<Violation> {
    let history = index.history;
    let mut violations = Vec::new();
    for op in &history.ops {
        let Some(key) = op.asked.read() else { continue };
        let limit = history.rules_of(key).load_timeout + GRACE_MS;
        let took = op.ret.map(|ret| ret.ms - op.inv.ms);
        if took.is_none_or(|took| took > limit) {
            let took = took.map_or("never returned".to_owned(), |took| format!("took {took} ms"));
            violations.push(Violation {
                property: "H6",
                what: format!("{:?} of client {} {took}; {limit} ms are allowed", op.asked, op.client),
                around: Some((key, op.inv.step.saturating_sub(40), op.inv.step + 60)),
            });
        }
    }
    let left = &history.left;
    let mut left_over = left.broken.clone();
    left_over.extend(left.busy.iter().map(|instance| format!("instance {instance} never became idle")));
    if left.flights > 0 {
        left_over.push(format!("{} flights were left on their boards", left.flights));
    }
    if left.untold > 0 {
        left_over.push(format!("{} invalidations were never told", left.untold));
    }
    violations.extend(left_over.into_iter().map(|what| Violation { property: "H6", what, around: None }));
    violations
}

/// P6: where the source never fails, no read does, except one past every copy: that may wait for two flights, of which each
/// waits for the tier. A warming tells what became of every key.
fn failed(index: &Index<'_>) -> Vec<Violation> {
    let history = index.history;
    let mut violations = Vec::new();
    for op in &history.ops {
        let around = Some((
            op.asked.read().unwrap_or(0),
            op.inv.step.saturating_sub(40),
            op.ret.unwrap_or(op.inv).step,
        ));
        let mut broken = |property, what| violations.push(Violation { property, what, around });
        match (op.asked.read(), op.ended) {
            (Some(_), Ended::Failed(failure))
                if history.spared && !matches!(op.asked, Asked::GetFresh(_)) =>
            {
                broken("P6", format!("{:?} failed ({failure:?}), and the source did not", op.asked));
            }
            (_, Ended::Warmed { known, done, failed, absent }) if known != done + failed + absent => {
                broken("warm", format!("{:?} tells of {done}+{failed}+{absent} of {known} keys", op.asked));
            }
            _ => {}
        }
    }
    violations
}

/// H5: loads of `key`, of the whole value or of one field, overlap on an instance only where something closed a flight between them.
///
/// A flight may be closed while it waits for its slot, so that what closes counts from a time-out before the first of
/// the loads that overlap; each of them after the first needs one of its own.
fn twice(index: &Index<'_>, key: KeyIndex, whole: bool) -> Vec<Violation> {
    let history = index.history;
    // A flight that waits for another instance's lease may be closed then.
    let lease_ms = if history.reach.is_some() { LEASE_WAIT_MS } else { 0 };
    let timeout = history.rules_of(key).load_timeout + lease_ms;
    let instances = history.loads.iter().map(|load| load.instance).max().map_or(0, |last| last + 1);
    let mut violations = Vec::new();
    for instance in 0..instances {
        let closings = closings(index, key, instance);
        let mut under_way: Vec<usize> = Vec::new();
        let is_one = |load: &&usize| {
            let Load { instance: on, whole: of_all, .. } = &history.loads[**load];
            (*on, *of_all) == (instance, whole)
        };
        for &number in index.loads[key].iter().filter(is_one) {
            let start = history.loads[number].start;
            under_way.retain(|&other| history.loads[other].end.is_none_or(|(end, _)| end.step > start.step));
            if let Some(first) = under_way.iter().map(|&other| history.loads[other].start).min() {
                let from = closings.partition_point(|&(_, ms)| ms < first.ms.saturating_sub(timeout));
                let until = closings.partition_point(|&(step, _)| step < start.step);
                if until.saturating_sub(from) < under_way.len() {
                    violations.push(Violation {
                        property: "H5",
                        what: format!(
                            "load {number} began on instance {instance} while {under_way:?} were under way, and {} \
                             invalidations or puts came between them",
                            until.saturating_sub(from)
                        ),
                        around: Some((key, first.step.saturating_sub(20), start.step)),
                    });
                }
            }
            under_way.push(number);
        }
    }
    violations
}

/// When the flight of `key` may have been closed on `instance`: step and time, in order.
fn closings(index: &Index<'_>, key: KeyIndex, instance: usize) -> Vec<(u64, u64)> {
    let history = index.history;
    let here = history.ops.iter().filter(|op| op.instance == instance);
    let closes = here.filter(|op| match op.asked {
        // Where there is a shared tier, a record closes when it was told or heard.
        Asked::Invalidate(scope) | Asked::Expire(scope) => {
            history.reach.is_none() && takes_in(index, scope, key)
        }
        Asked::Put { key: put, .. } => put == key,
        _ => false,
    });
    let mut closings: Vec<(u64, u64)> = closes.map(|op| (op.inv.step, op.inv.ms)).collect();
    let heeded = history.exchanges.iter().filter(|exchange| exchange.instance == instance);
    let closes = heeded.filter(|exchange| match exchange.what {
        Exchanged::Told { scope, confirmed: true } | Exchanged::Heard { scope } => {
            takes_in(index, scope, key)
        }
        Exchanged::Told { scope, confirmed: false } => may_close(index, scope, key),
        Exchanged::Floor => true,
        _ => false,
    });
    closings.extend(closes.map(|exchange| (exchange.at.step, exchange.at.ms)));
    closings.sort_unstable();
    closings
}

/// Whether a record may close the flight of `key`. Where bugs can be planted, so few groups are remembered that one more makes
/// suspect what belongs to those forgotten.
fn takes_in(index: &Index<'_>, scope: Scope, key: KeyIndex) -> bool {
    let forgets = matches!(scope, Scope::Tag(_) | Scope::Declared { .. } | Scope::Prefix { .. });
    scope.covers(key, &index.history.keys[key]) || (cfg!(feature = "planted") && forgets)
}

/// Whether a record that has no place in the log closes the flight of `key`: of a group nobody knows what it takes in.
fn may_close(index: &Index<'_>, scope: Scope, key: KeyIndex) -> bool {
    match scope {
        Scope::Key(named) => named == key,
        Scope::Prefix { namespace, .. } | Scope::Namespace(namespace) => {
            namespace == index.history.keys[key].namespace
        }
        Scope::Tag(_) | Scope::Declared { .. } | Scope::Everything => true,
    }
}

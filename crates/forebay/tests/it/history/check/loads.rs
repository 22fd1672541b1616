//! H5, H6: one load for a generation of a key, and nobody left waiting.

use super::{Index, Violation};
use crate::history::record::{Asked, KeyIndex};

/// What an operation may take beyond the time-out of its load, in simulated milliseconds.
const GRACE_MS: u64 = 20;

pub(super) fn check(index: &Index<'_>) -> Vec<Violation> {
    let mut violations = stranded(index);
    for key in 0..index.history.keys.len() {
        violations.extend(twice(index, key));
    }
    violations
}

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
    violations.extend(left_over.into_iter().map(|what| Violation { property: "H6", what, around: None }));
    violations
}

/// H5: loads of `key` overlap on an instance only where something closed a flight between them.
///
/// A flight may be closed while it waits for its slot, so that what closes counts from a time-out before the first of
/// the loads that overlap; each of them after the first needs one of its own.
fn twice(index: &Index<'_>, key: KeyIndex) -> Vec<Violation> {
    let history = index.history;
    let timeout = history.rules_of(key).load_timeout;
    let instances = history.loads.iter().map(|load| load.instance).max().map_or(0, |last| last + 1);
    let mut violations = Vec::new();
    for instance in 0..instances {
        let closings = closings(index, key, instance);
        let mut under_way: Vec<usize> = Vec::new();
        for &number in index.loads[key].iter().filter(|&&load| history.loads[load].instance == instance) {
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
    let mut closings: Vec<(u64, u64)> = history
        .ops
        .iter()
        .filter(|op| match op.asked {
            Asked::Invalidate(scope) | Asked::Expire(scope) => {
                scope.covers(key, &history.keys[key]) && (op.instance == instance || history.reach.is_some())
            }
            Asked::Put { key: put, .. } => put == key && op.instance == instance,
            _ => false,
        })
        .map(|op| (op.inv.step, op.inv.ms))
        .collect();
    closings.sort_unstable();
    closings
}

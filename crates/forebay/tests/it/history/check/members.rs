//! What a membership filter may deny: nothing that it must have learned of.
//!
//! It learns of a row that a listing told, that a load of its instance found, or that a writer on its instance told of by the
//! invalidation of its key. What other instances tell is H1's business.

use std::collections::HashSet;

use super::{Answered, Index, Violation};
use crate::history::record::{Answer, Asked, Ended, KeyIndex, Op, Scope};
use forebay::Tier;

pub(super) fn check(index: &Index<'_>) -> Vec<Violation> {
    let denied: Vec<_> = index.answered().filter(|read| read.tier == Tier::Nowhere).collect();
    if denied.is_empty() {
        return Vec::new();
    }
    let learned = Learned::of(index);
    let broken = denied.into_iter().filter_map(|read| {
        let what = listed(index, &read).or_else(|| learned.before(&read))?;
        let what = format!("{:?} on instance {} was denied, but {what}", read.op.asked, read.op.instance);
        let around = Some((read.key, read.op.inv.step.saturating_sub(400), read.ret.step));
        Some(Violation { property: "member", what, around })
    });
    broken.collect()
}

/// What is wrong with a denial, as far as listings tell: a row that is there since before a whole listing began was told by it.
fn listed(index: &Index<'_>, read: &Answered<'_>) -> Option<String> {
    let namespace = index.history.keys[read.key].namespace;
    let mut of_it = index.history.listed.iter().filter(|listed| {
        let whole = listed.end.is_some_and(|end| end < read.op.inv);
        whole && (listed.instance, listed.namespace) == (read.op.instance, namespace)
    });
    let Some(last) = of_it.next_back() else { return Some("no listing was whole".to_owned()) };
    let until = index.commits[read.key].partition_point(|commit| commit.at.step <= read.ret.step);
    let since = index.commits[read.key][..until].iter().rev().take_while(|commit| commit.present).last();
    since.filter(|since| since.at < last.start).map(|since| {
        format!("it was there from step {} on, and listed after step {}", since.at.step, last.start.step)
    })
}

/// When each key was first known on each instance: key, instance, step.
struct Learned(Vec<(KeyIndex, usize, u64)>);

impl Learned {
    fn of(index: &Index<'_>) -> Self {
        let mut learned: Vec<_> = told(index).collect();
        for load in &index.history.loads {
            let Some((end, _)) = load.end else { continue };
            let found = load.keys.iter().zip(&load.answers).filter(|(_, Answer { present, .. })| *present);
            learned.extend(found.map(|(&key, _)| (key, load.instance, end.step)));
        }
        learned.sort_unstable();
        let mut seen = HashSet::new();
        learned.retain(|&(key, instance, _)| seen.insert((key, instance)));
        Self(learned)
    }

    fn before(&self, read: &Answered<'_>) -> Option<String> {
        let known =
            self.0.iter().find(|(key, instance, _)| (*key, *instance) == (read.key, read.op.instance));
        known
            .filter(|&&(.., step)| step < read.op.inv.step)
            .map(|(.., step)| format!("its instance had learned of it by step {step}"))
    }
}

/// The rows that writers told of, by when they were answered.
fn told<'a>(index: &'a Index<'_>) -> impl Iterator<Item = (KeyIndex, usize, u64)> + 'a {
    index.history.ops.iter().filter_map(|op: &Op| {
        let (Asked::Invalidate(Scope::Key(key)) | Asked::Expire(Scope::Key(key))) = op.asked else {
            return None;
        };
        let version = index.latest(key, op.inv.step);
        let added = index.commit(key, version).is_some_and(|commit| commit.present);
        let heeded = matches!(op.ended, Ended::Done | Ended::Unknown);
        (added && heeded).then_some((key, op.instance, op.ret?.step))
    })
}

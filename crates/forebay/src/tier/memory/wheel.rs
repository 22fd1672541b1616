//! When entries stop being of use: a hierarchical timing wheel (Varghese and Lauck, "Hashed and hierarchical timing
//! wheels", SOSP 1987, scheme 7).
//!
//! Five levels of 64 buckets; a bucket of the first spans 128 ms, of each further one 64 times as much, four years in
//! all. An entry lies in the lowest level that reaches its time, and moves down as that comes near. To schedule, to
//! unlink and to follow a moved slot take constant time. The wheel says which entry to look at next; whether it goes is
//! decided by its time, which may have been moved on since: the wheel is told only of times that come earlier.

use super::dense::{Index, NONE};
use super::slots::Slots;
use crate::rt::Tick;

const LEVELS: usize = 5;
const BUCKETS: usize = 64;
const BUCKETS_BITS: u32 = 6;
/// A bucket of the first level spans 2⁷ ms.
const SPAN_BITS: u32 = 7;
/// The bucket of what is due and not yet looked at.
const DUE: usize = LEVELS * BUCKETS;
/// Marks a link to the bucket itself: the entry is its first.
const FIRST: u32 = 1 << 31;

/// The wheel of a shard.
#[derive(Debug)]
pub(super) struct Wheel {
    /// The first entry of each bucket, level by level; then of what is due.
    firsts: Box<[Index; DUE + 1]>,
    /// The buckets whose time has come, a bit for each.
    due: [u64; LEVELS],
    now_ms: u64,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self { firsts: Box::new([NONE; DUE + 1]), due: [0; LEVELS], now_ms: 0 }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.firsts)
    }

    /// Has the entry looked at once `at` comes; one that lasts for ever never is.
    pub(super) fn schedule(&mut self, slots: &mut Slots, at: Index, useless_from: Tick) {
        if useless_from.as_ms() == u64::MAX {
            return;
        }
        self.link(slots, at, self.bucket(useless_from.as_ms()));
    }

    /// Takes an entry out, if it is in.
    pub(super) fn unlink(&mut self, slots: &mut Slots, at: Index) {
        let Some(cold) = slots.cold_mut(at) else { return };
        let before = std::mem::replace(&mut cold.timer_before, NONE);
        let after = std::mem::replace(&mut cold.timer_after, NONE);
        self.bridge(slots, before, after);
    }

    /// Follows a slot that moved to `to`.
    pub(super) fn moved(&mut self, slots: &mut Slots, to: Index) {
        let Some((before, after)) = slots.cold(to).map(|cold| (cold.timer_before, cold.timer_after)) else {
            return;
        };
        if before == NONE {
            return;
        }
        self.set_after(slots, before, to);
        if let Some(cold) = slots.cold_mut(after) {
            cold.timer_before = to;
        }
    }

    /// Turns to `now`: what lies between becomes due.
    pub(super) fn turn(&mut self, now: Tick) {
        let now_ms = now.as_ms();
        for (level, due) in (0_u32..).zip(&mut self.due) {
            let shift = shift(level);
            let passed = (now_ms >> shift).saturating_sub(self.now_ms >> shift);
            if passed == 0 {
                break;
            }
            // In the first level buckets are due once they are over, above once they begin.
            let from = (self.now_ms >> shift) + u64::from(level > 0);
            let bits = if passed >= 64 { u64::MAX } else { (1 << passed) - 1 };
            *due |= bits.rotate_left(u32::try_from(from % 64).unwrap_or_default());
        }
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// An entry to look at, taken out; `None` when none is due.
    pub(super) fn next(&mut self, slots: &mut Slots) -> Option<Index> {
        while self.firsts.get(DUE).is_some_and(|&first| first == NONE) {
            let level = self.due.iter().position(|&due| due != 0)?;
            let due = self.due.get_mut(level)?;
            let bit = due.trailing_zeros();
            *due &= *due - 1;
            let bucket = level * BUCKETS + usize::try_from(bit).ok()?;
            let first = std::mem::replace(self.firsts.get_mut(bucket)?, NONE);
            if let Some(cold) = slots.cold_mut(first) {
                cold.timer_before = to_bucket(DUE);
                *self.firsts.get_mut(DUE)? = first;
            }
        }
        let next = *self.firsts.get(DUE)?;
        self.unlink(slots, next);
        Some(next)
    }

    /// Checks that every entry that ends is in, once, and where it will be looked at in time.
    pub(super) fn validate(&self, slots: &Slots) -> Result<(), String> {
        let mut seen = 0;
        for (bucket, &first) in self.firsts.iter().enumerate() {
            let (mut at, mut before) = (first, to_bucket(bucket));
            while at != NONE {
                let Some(cold) = slots.cold(at).filter(|cold| cold.timer_before == before) else {
                    return Err(format!("wheel: slot {at} of bucket {bucket} does not lead back"));
                };
                seen += 1;
                if seen > slots.len() {
                    return Err(format!("wheel: bucket {bucket} is a ring"));
                }
                (before, at) = (at, cold.timer_after);
            }
        }
        let ends = (0..super::dense::index(slots.len()))
            .filter(|&at| slots.useless_from(at).is_some_and(|tick| tick.as_ms() != u64::MAX))
            .count();
        if seen < ends {
            return Err(format!("wheel: {ends} entries end, it knows {seen}"));
        }
        Ok(())
    }

    /// The bucket of the lowest level that reaches a time.
    fn bucket(&self, at_ms: u64) -> usize {
        let at_ms = at_ms.max(self.now_ms);
        for (level, base) in (0_u32..).zip((0..LEVELS).map(|level| level * BUCKETS)) {
            let (at, now) = (at_ms >> shift(level), self.now_ms >> shift(level));
            if at - now < 64 {
                return base + usize::try_from(at % 64).unwrap_or_default();
            }
        }
        // Beyond them all: looked at as late as can be, and scheduled again.
        let last = (self.now_ms >> shift(4)) + 63;
        (LEVELS - 1) * BUCKETS + usize::try_from(last % 64).unwrap_or_default()
    }

    fn link(&mut self, slots: &mut Slots, at: Index, bucket: usize) {
        let Some(first) = self.firsts.get_mut(bucket) else { return };
        let after = std::mem::replace(first, at);
        if let Some(cold) = slots.cold_mut(after) {
            cold.timer_before = at;
        }
        if let Some(cold) = slots.cold_mut(at) {
            (cold.timer_before, cold.timer_after) = (to_bucket(bucket), after);
        }
    }

    /// Joins what was on both sides of an entry.
    fn bridge(&mut self, slots: &mut Slots, before: u32, after: Index) {
        if before == NONE {
            return;
        }
        self.set_after(slots, before, after);
        if let Some(cold) = slots.cold_mut(after) {
            cold.timer_before = before;
        }
    }

    fn set_after(&mut self, slots: &mut Slots, before: u32, after: Index) {
        if before & FIRST == 0 {
            if let Some(cold) = slots.cold_mut(before) {
                cold.timer_after = after;
            }
        } else if let Some(first) =
            usize::try_from(before & !FIRST).ok().and_then(|at| self.firsts.get_mut(at))
        {
            *first = after;
        }
    }
}

fn shift(level: u32) -> u32 {
    SPAN_BITS + BUCKETS_BITS * level
}

fn to_bucket(bucket: usize) -> u32 {
    FIRST | u32::try_from(bucket).unwrap_or_default()
}

//! When entries stop being of use: a hierarchical timing wheel (Varghese and Lauck, "Hashed and hierarchical timing
//! wheels", SOSP 1987, scheme 7).
//!
//! What lies in the wheel is not an entry but a group of [`GROUP`] neighbouring slots, by the earliest end of an entry in it: that
//! takes a byte or two an entry. Five levels of 64 buckets; a bucket of the first spans 128 ms, of each further one 64 times as
//! much, four years in all. A group lies in the lowest level that reaches its time, and moves down as that comes near; to schedule
//! takes constant time. The wheel is told of every time that comes, and of none that goes: when a group's time has come its slots
//! are looked at, and it is scheduled by what is left. Entries that come together end together, so that mostly all of it goes.

use std::collections::HashSet;

use super::dense::{Dense, Index, NONE, index, position};
use super::packed::U24;
use super::slots::Slots;
use crate::rt::Tick;

/// Slots of a group.
pub(super) const GROUP: usize = 16;
/// Groups in a chunk: just under a kibibyte, which allocators have a size for.
const CHUNK: usize = 1024 / size_of::<Group>();
const LEVELS: usize = 5;
const BUCKETS: usize = 64;
const BUCKETS_BITS: u32 = 6;
/// A bucket of the first level spans 2⁷ ms.
const SPAN_BITS: u32 = 7;
/// The bucket of what is due and not yet looked at.
const DUE: usize = LEVELS * BUCKETS;
/// Marks a link to the bucket itself: the group is its first. There are fewer groups than this.
const FIRST: u32 = 1 << 23;

/// A group of slots.
#[derive(Debug)]
struct Group {
    /// Its neighbours in its bucket; the one before the first is the bucket.
    before: U24,
    after: U24,
    /// The earliest end of an entry in it, as far as is known, in milliseconds; no entry ends before it.
    ends: [u8; 5],
}

impl Default for Group {
    fn default() -> Self {
        Self { before: U24::new(NONE), after: U24::new(NONE), ends: Self::NEVER }
    }
}

impl Group {
    const NEVER: [u8; 5] = [u8::MAX; 5];

    /// A time that takes more bytes is never; packed ticks do not reach it.
    fn new(before: U24, after: Index, ends_ms: u64) -> Self {
        let ends = match ends_ms.to_le_bytes() {
            [a, b, c, d, e, 0, 0, 0] => [a, b, c, d, e],
            _ => Self::NEVER,
        };
        Self { before, after: U24::new(after), ends }
    }

    fn ends_ms(&self) -> u64 {
        let [a, b, c, d, e] = self.ends;
        if self.ends == Self::NEVER { u64::MAX } else { u64::from_le_bytes([a, b, c, d, e, 0, 0, 0]) }
    }
}

/// What came of a group that was due.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    /// It came nearer, and lies in a lower level now.
    Later,
    /// The slots from here on are to be looked at and scheduled again.
    From(Index),
}

/// The wheel of a shard.
#[derive(Debug)]
pub(super) struct Wheel {
    groups: Dense<Group, CHUNK>,
    /// The first group of each bucket, level by level; then of what is due.
    firsts: Box<[Index; DUE + 1]>,
    /// The buckets whose time has come, a bit for each.
    due: [u64; LEVELS],
    now_ms: u64,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self { groups: Dense::default(), firsts: Box::new([NONE; DUE + 1]), due: [0; LEVELS], now_ms: 0 }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.firsts) + self.groups.bytes()
    }

    /// Has the slot looked at once `useless_from` comes; one that lasts for ever never is.
    pub(super) fn schedule(&mut self, at: Index, useless_from: Tick) {
        let number = position(at) / GROUP;
        while self.groups.len() <= number {
            self.groups.push(Group::default());
        }
        let group = index(number);
        let is_earlier = |group: &Group| useless_from.as_ms() < group.ends_ms();
        if self.groups.get(group).is_some_and(is_earlier) {
            self.unlink(group);
            self.link(group, useless_from.as_ms(), self.bucket(useless_from.as_ms()));
        }
    }

    /// Follows the number of slots: groups beyond it go.
    pub(super) fn fit(&mut self, slots: usize) {
        while self.groups.len() > slots.div_ceil(GROUP) {
            self.unlink(index(self.groups.len() - 1));
            self.groups.pop();
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

    /// A group that is due, taken out; `None` when none is.
    pub(super) fn next(&mut self) -> Option<Due> {
        while self.firsts.get(DUE).is_some_and(|&first| first == NONE) {
            let level = self.due.iter().position(|&due| due != 0)?;
            let due = self.due.get_mut(level)?;
            let bit = due.trailing_zeros();
            *due &= *due - 1;
            let bucket = level * BUCKETS + usize::try_from(bit).ok()?;
            let first = std::mem::replace(self.firsts.get_mut(bucket)?, NONE);
            if let Some(group) = self.groups.get_mut(first) {
                group.before = to_bucket(DUE);
                *self.firsts.get_mut(DUE)? = first;
            }
        }
        let next = *self.firsts.get(DUE)?;
        let ends_ms = self.groups.get(next)?.ends_ms();
        self.unlink(next);
        if self.now_ms < ends_ms {
            self.link(next, ends_ms, self.bucket(ends_ms));
            return Some(Due::Later);
        }
        Some(Due::From(index(position(next) * GROUP)))
    }

    /// Checks that every group with an entry that ends is in, once, and where it will be looked at in time.
    pub(super) fn validate(&self, slots: &Slots) -> Result<(), String> {
        if self.groups.len() > slots.len().div_ceil(GROUP) {
            return Err(format!("wheel: {} groups for {} slots", self.groups.len(), slots.len()));
        }
        let mut scheduled = HashSet::new();
        for (bucket, &first) in self.firsts.iter().enumerate() {
            let (mut at, mut before) = (first, to_bucket(bucket));
            while at != NONE {
                let Some(group) = self.groups.get(at).filter(|group| group.before == before) else {
                    return Err(format!("wheel: group {at} of bucket {bucket} does not lead back"));
                };
                if !scheduled.insert(at) {
                    return Err(format!("wheel: bucket {bucket} is a ring"));
                }
                (before, at) = (U24::new(at), group.after.get());
            }
        }
        for at in 0..index(slots.len()) {
            let Some(ends) = slots.useless_from(at).filter(|ends| ends.as_ms() != u64::MAX) else { continue };
            let group = index(position(at) / GROUP);
            let known = self.groups.get(group).map_or(u64::MAX, Group::ends_ms);
            if !scheduled.contains(&group) || known > ends.as_ms() {
                return Err(format!("wheel: slot {at} ends at {}, its group at {known}", ends.as_ms()));
            }
        }
        Ok(())
    }

    /// The bucket of the lowest level that reaches a time; that of what is due where it has passed.
    fn bucket(&self, at_ms: u64) -> usize {
        if at_ms >> SPAN_BITS < self.now_ms >> SPAN_BITS {
            return DUE;
        }
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

    fn link(&mut self, at: Index, ends_ms: u64, bucket: usize) {
        let Some(first) = self.firsts.get_mut(bucket) else { return };
        let after = std::mem::replace(first, at);
        if let Some(group) = self.groups.get_mut(after) {
            group.before = U24::new(at);
        }
        if let Some(group) = self.groups.get_mut(at) {
            *group = Group::new(to_bucket(bucket), after, ends_ms);
        }
    }

    /// Takes a group out, if it is in.
    fn unlink(&mut self, at: Index) {
        let Some(group) = self.groups.get_mut(at) else { return };
        let Group { before, after, .. } = std::mem::take(group);
        let (before, after) = (before.get(), after.get());
        if before == NONE {
            return;
        }
        if before & FIRST == 0 {
            if let Some(group) = self.groups.get_mut(before) {
                group.after = U24::new(after);
            }
        } else if let Some(first) = self.firsts.get_mut(position(before & !FIRST)) {
            *first = after;
        }
        if let Some(group) = self.groups.get_mut(after) {
            group.before = U24::new(before);
        }
    }
}

fn shift(level: u32) -> u32 {
    SPAN_BITS + BUCKETS_BITS * level
}

fn to_bucket(bucket: usize) -> U24 {
    U24::new(FIRST | index(bucket))
}

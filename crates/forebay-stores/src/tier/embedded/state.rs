//! What the tier knows in memory: leases, the log, who has acknowledged what; and what it remembers of itself on disk.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use forebay::log::{BATCH_MAX, Batch, Cursor, Epoch, InstanceId, LIVE_FOR, Record};
use forebay::rt::Tick;
use forebay::tier::shared::Lease;
use forebay::value::Position;

use super::groups::Groups;

/// The most records that the log keeps for its readers; one that is further behind has a gap.
const RECORDS_MAX: usize = 16_384;
/// The form of the row that is written.
const FORM: u8 = 1;

/// What the tier remembers of itself: one row, written with everything that changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) epoch: u64,
    /// The newest position that was given to a record.
    pub(super) tail: u64,
    /// The floor of the groups.
    pub(super) floor: u64,
    /// What the entries take: their records and their rows in the index.
    pub(super) bytes: u64,
    /// When the last of the entries ends that were ever stored, in milliseconds since 1970.
    pub(super) latest_end_ms: u64,
    /// The time of day when this was written.
    pub(super) written_ms: u64,
    /// The run of the disk in which it was written.
    pub(super) run: u64,
}

impl Remembered {
    pub(super) fn encode(self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(FORM);
        let Self { epoch, tail, floor, bytes, latest_end_ms, written_ms, run } = self;
        let numbers = [epoch, tail, floor, bytes, latest_end_ms, written_ms, run];
        numbers.into_iter().for_each(|number| out.put_u64_le(number));
        out.freeze()
    }

    pub(super) fn decode(mut from: Bytes) -> Option<Self> {
        if from.try_get_u8().ok()? != FORM {
            return None;
        }
        let mut number = || from.try_get_u64_le().ok();
        let (epoch, tail, floor) = (number()?, number()?, number()?);
        let (bytes, latest_end_ms) = (number()?, number()?);
        let (written_ms, run) = (number()?, number()?);
        Some(Self { epoch, tail, floor, bytes, latest_end_ms, written_ms, run })
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Granted {
    pub(super) lease: Lease,
    pub(super) until: Tick,
    /// The position that the load under it notes.
    noted: Position,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    last: Tick,
    applied: Position,
}

/// What changes under one lock. No disk is read under it.
#[derive(Debug)]
pub(super) struct State {
    /// As it is on disk once everything is written that was begun.
    pub(super) remembered: Remembered,
    /// The position of the newest record that is told.
    tail: Position,
    /// The records that are kept, the newest last.
    records: VecDeque<Record>,
    /// What noted an earlier position was filled before this process, and is judged by `groups`.
    pub(super) restarted_at: u64,
    pub(super) groups: Groups,
    leases: HashMap<Bytes, Granted>,
    instances: BTreeMap<InstanceId, Seen>,
    /// Until when instances that it does not know of may live: those that had an earlier tier on this folder.
    strangers_until: Tick,
    /// What was deleted or replaced since the spaces were last compacted, in bytes.
    pub(super) dead_bytes: u64,
    /// Up to this second the index was swept.
    pub(super) swept_to: u64,
    /// Copies that were damaged, and dropped.
    pub(super) damaged: u64,
    pub(super) closed: bool,
}

impl State {
    pub(super) fn new(remembered: Remembered, groups: Groups, strangers_until: Tick) -> Self {
        Self {
            remembered,
            tail: Position::new(remembered.tail),
            records: VecDeque::new(),
            restarted_at: remembered.tail,
            groups,
            leases: HashMap::new(),
            instances: BTreeMap::new(),
            strangers_until,
            dead_bytes: 0,
            swept_to: 0,
            damaged: 0,
            closed: false,
        }
    }

    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.remembered.epoch)
    }

    pub(super) fn tail(&self) -> Cursor {
        Cursor { epoch: self.epoch(), position: self.tail }
    }

    /// The live lease on the key at `at`. One whose time is over is forgotten.
    pub(super) fn live(&mut self, now: Tick, at: &Bytes) -> Option<Granted> {
        let granted = *self.leases.get(at)?;
        if now < granted.until {
            return Some(granted);
        }
        self.leases.remove(at);
        None
    }

    /// Grants a lease on a key that has none.
    pub(super) fn grant(&mut self, now: Tick, at: Bytes, time: Duration) -> Lease {
        let lease = Lease(fastrand::u128(..));
        self.leases.insert(at, Granted { lease, until: now.after(time), noted: self.tail });
        lease
    }

    pub(super) fn has(&mut self, now: Tick, at: &Bytes, lease: Lease) -> bool {
        self.live(now, at).is_some_and(|granted| granted.lease == lease)
    }

    pub(super) fn renew(&mut self, now: Tick, at: &Bytes, lease: Lease, time: Duration) -> bool {
        let live = self.has(now, at, lease);
        if let Some(granted) = self.leases.get_mut(at).filter(|_| live) {
            granted.until = now.after(time);
        }
        live
    }

    /// Ends the lease on a key if it is this one, or whichever it is.
    pub(super) fn end(&mut self, at: &Bytes, lease: Option<Lease>) {
        if lease.is_none_or(|lease| self.leases.get(at).is_some_and(|granted| granted.lease == lease)) {
            self.leases.remove(at);
        }
    }

    pub(super) fn leases(&self) -> usize {
        self.leases.len()
    }

    /// Forgets leases that have ended, and instances that are silent.
    pub(super) fn forget(&mut self, now: Tick) {
        self.leases.retain(|_, granted| now < granted.until);
        self.instances.retain(|_, seen| now.since(seen.last) < LIVE_FOR);
    }

    /// The earliest position that the load under a live lease has noted.
    pub(super) fn earliest_noted(&self, now: Tick) -> Option<Position> {
        let live = self.leases.values().filter(|granted| now < granted.until);
        live.map(|granted| granted.noted).min()
    }

    /// Tells records, the last of which stands at `tail`.
    pub(super) fn tell(&mut self, records: Vec<Record>, tail: Position) {
        self.records.extend(records);
        let excess = self.records.len().saturating_sub(RECORDS_MAX);
        self.records.drain(..excess);
        self.tail = tail;
    }

    /// The position of the newest record that is not kept any more.
    fn trimmed(&self) -> Position {
        Position::new(self.tail.number().saturating_sub(length(self.records.len())))
    }

    pub(super) fn read(&self, after: Cursor) -> Batch {
        let trimmed = self.trimmed();
        let known = after.epoch == self.epoch() && after.position >= trimmed && after.position <= self.tail;
        let from = if known { after.position } else { trimmed };
        let skipped = usize::try_from(from.number() - trimmed.number()).unwrap_or(usize::MAX);
        let numbers = (from.number() + 1..).map(Position::new);
        let records: Vec<_> =
            numbers.zip(self.records.iter().skip(skipped).cloned()).take(BATCH_MAX).collect();
        let end = records.last().map_or(from, |(last, _)| *last);
        Batch { epoch: self.epoch(), records, end, tail: self.tail, gap: !known }
    }

    pub(super) fn acknowledge(&mut self, now: Tick, instance: InstanceId, applied: Cursor) {
        let applied = if applied.epoch == self.epoch() { applied.position } else { Position::START };
        let seen = self.instances.entry(instance).or_insert(Seen { last: now, applied });
        *seen = Seen { last: now, applied: applied.max(seen.applied) };
    }

    /// Whether every live instance has applied what stands up to `place`; `None` where that cannot be any more.
    pub(super) fn acknowledged(&mut self, now: Tick, place: Cursor) -> Option<bool> {
        self.instances.retain(|_, seen| now.since(seen.last) < LIVE_FOR);
        let stands = place.epoch == self.epoch() && place.position <= self.tail;
        let known = now >= self.strangers_until;
        stands.then(|| known && self.instances.values().all(|seen| seen.applied >= place.position))
    }
}

pub(super) fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

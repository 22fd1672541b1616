//! The server as a plain value: entries, leases, the log, and who has acknowledged what.
//!
//! It is asked one thing at a time and told the time with each. Nothing here waits or fails.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use forebay::log::{BATCH_MAX, Batch, Cursor, Epoch, InstanceId, LIVE_FOR, Reach, Record, Verb};
use forebay::rt::Tick;
use forebay::tier::shared::{Answer, Answers, Envelope, Fill, Filled, Lease, LeaseTerms, Owner};
use forebay::value::Position;

use crate::faults::Fired;

/// A key and whose it is.
type Address = (Owner, Box<[u8]>);

/// An entry, as of when it was stored.
#[derive(Debug)]
struct Entry {
    envelope: Envelope,
    stored: Tick,
}

impl Entry {
    /// The envelope as of `now`; `None` where it is of no use any more.
    fn at(&self, now: Tick) -> Option<Envelope> {
        let since = u64::try_from(now.since(self.stored).as_millis()).unwrap_or(u64::MAX);
        let mut envelope = self.envelope.clone();
        envelope.age_ms = envelope.age_ms.saturating_add(since);
        envelope.fresh_for_ms = envelope.fresh_for_ms.saturating_sub(since);
        envelope.useless_after_ms = envelope.useless_after_ms.saturating_sub(since);
        (envelope.useless_after_ms > 0).then_some(envelope)
    }
}

#[derive(Clone, Copy, Debug)]
struct Granted {
    lease: Lease,
    until: Tick,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    last: Tick,
    applied: Position,
}

#[derive(Debug)]
pub(crate) struct State {
    epoch: Epoch,
    entries: BTreeMap<Address, Entry>,
    leases: BTreeMap<Address, Granted>,
    leases_given: u128,
    /// The records kept, the newest last.
    records: VecDeque<Record>,
    tail: Position,
    /// Until when instances that it does not know of may live: those of the epoch before.
    strangers_until: Tick,
    /// Who has acknowledged what in this epoch.
    instances: BTreeMap<InstanceId, Seen>,
    pub(crate) value_bytes_max: usize,
    pub(crate) fired: Fired,
}

impl State {
    pub(crate) fn new(value_bytes_max: usize) -> Self {
        Self {
            epoch: Epoch(1),
            entries: BTreeMap::new(),
            leases: BTreeMap::new(),
            leases_given: 0,
            records: VecDeque::new(),
            tail: Position::START,
            strangers_until: Tick::default(),
            instances: BTreeMap::new(),
            value_bytes_max,
            fired: Fired::default(),
        }
    }

    pub(crate) fn tail(&self) -> Cursor {
        Cursor { epoch: self.epoch, position: self.tail }
    }

    /// The position of the newest record that is not kept any more.
    fn trimmed(&self) -> Position {
        Position::new(self.tail.number().saturating_sub(length(self.records.len())))
    }

    /// Begins a new epoch without the last `lost` records; entries, leases and acknowledgements are of the past.
    pub(crate) fn restart(&mut self, now: Tick, lost: usize) {
        let lost = lost.min(self.records.len());
        self.records.truncate(self.records.len() - lost);
        self.tail = Position::new(self.tail.number() - length(lost));
        self.epoch = Epoch(self.epoch.0 + 1);
        self.entries.clear();
        self.leases.clear();
        self.instances.clear();
        self.strangers_until = now.after(LIVE_FOR);
        self.fired.restarts += 1;
        self.fired.records_lost += length(lost);
    }

    /// Keeps no more than the last `keep` records.
    pub(crate) fn trim(&mut self, keep: usize) {
        let excess = self.records.len().saturating_sub(keep);
        self.records.drain(..excess);
        self.fired.records_trimmed += length(excess);
    }

    pub(crate) fn get(
        &mut self,
        now: Tick,
        of: &Owner,
        keys: &[Box<[u8]>],
        terms: Option<LeaseTerms>,
    ) -> Answers {
        let answers = keys.iter().map(|key| self.look(now, (of.clone(), key.clone()), terms)).collect();
        Answers { tail: self.tail(), answers }
    }

    fn look(&mut self, now: Tick, address: Address, terms: Option<LeaseTerms>) -> Answer {
        let held = self.entries.get(&address).and_then(|entry| entry.at(now));
        if held.is_none() {
            self.entries.remove(&address);
        }
        let Some(terms) = terms else { return held.map_or(Answer::Missing, Answer::Held) };
        match held {
            Some(held) if held.is_fresh() && !terms.even_if_fresh => Answer::Held(held),
            held => match self.live(now, &address) {
                Some(granted) => Answer::Busy { for_at_most: granted.until.since(now), held },
                None => Answer::Leased { lease: self.grant(now, address, terms.time), held },
            },
        }
    }

    fn grant(&mut self, now: Tick, address: Address, time: Duration) -> Lease {
        self.leases_given += 1;
        let lease = Lease(self.leases_given);
        self.leases.insert(address, Granted { lease, until: now.after(time) });
        lease
    }

    /// The live lease on a key. One whose time is over is forgotten.
    fn live(&mut self, now: Tick, address: &Address) -> Option<Granted> {
        let granted = *self.leases.get(address)?;
        if now < granted.until {
            return Some(granted);
        }
        self.leases.remove(address);
        self.fired.leases_ended += 1;
        None
    }

    fn has(&mut self, now: Tick, address: &Address, lease: Lease) -> bool {
        self.live(now, address).is_some_and(|granted| granted.lease == lease)
    }

    pub(crate) fn fill(&mut self, now: Tick, of: &Owner, fills: Vec<Fill>) -> Vec<Filled> {
        fills.into_iter().map(|fill| self.fill_one(now, of, fill)).collect()
    }

    fn fill_one(&mut self, now: Tick, of: &Owner, fill: Fill) -> Filled {
        let address = (of.clone(), fill.key);
        if !self.has(now, &address, fill.lease) || fill.envelope.noted.epoch != self.epoch {
            self.fired.fills_refused += 1;
            return Filled::LeaseGone;
        }
        self.leases.remove(&address);
        let bytes = fill.envelope.value.as_ref().map_or(0, forebay::tier::shared::EnvelopeValue::len);
        if bytes > self.value_bytes_max {
            return Filled::TooLarge;
        }
        let held = self.entries.get(&address).and_then(|entry| entry.at(now));
        let held_version = held.as_ref().and_then(|held| held.version);
        if held_version > fill.envelope.version && fill.envelope.version.is_some() {
            return Filled::Older;
        }
        self.entries.insert(address, Entry { envelope: fill.envelope, stored: now });
        Filled::Stored
    }

    pub(crate) fn renew(
        &mut self,
        now: Tick,
        of: &Owner,
        key: Box<[u8]>,
        lease: Lease,
        time: Duration,
    ) -> bool {
        let address = (of.clone(), key);
        let live = self.has(now, &address, lease);
        if let Some(granted) = self.leases.get_mut(&address).filter(|_| live) {
            granted.until = now.after(time);
        }
        live
    }

    pub(crate) fn release(&mut self, now: Tick, of: &Owner, key: Box<[u8]>, lease: Lease) {
        let address = (of.clone(), key);
        if self.has(now, &address, lease) {
            self.leases.remove(&address);
        }
    }

    pub(crate) fn invalidate(&mut self, now: Tick, records: Vec<Record>) -> Cursor {
        for record in &records {
            // An entry is held as a whole: what makes one field of it gone makes it gone.
            let (Reach::Key { namespace, key } | Reach::Field { namespace, key, .. }) = &record.reach else {
                continue;
            };
            let owner = Owner { keyspace: Arc::clone(&record.keyspace), namespace: Arc::clone(namespace) };
            let address = (owner, key.clone());
            if self.live(now, &address).is_some() {
                self.leases.remove(&address);
                self.fired.leases_taken += 1;
            }
            match record.verb {
                Verb::Invalidate => {
                    self.entries.remove(&address);
                }
                Verb::Expire => {
                    if let Some(entry) = self.entries.get_mut(&address) {
                        entry.envelope.expired = true;
                    }
                }
            }
        }
        self.append(records)
    }

    pub(crate) fn append(&mut self, records: Vec<Record>) -> Cursor {
        self.tail = Position::new(self.tail.number() + length(records.len()));
        self.records.extend(records);
        self.tail()
    }

    /// Whether a read from `after` has something to tell.
    pub(crate) fn has_news(&self, after: Cursor) -> bool {
        after != self.tail()
    }

    /// The records after `after`, and up to `repeat` before it.
    pub(crate) fn read(&mut self, after: Cursor, repeat: u64) -> Batch {
        let trimmed = self.trimmed();
        let known = after.epoch == self.epoch && after.position >= trimmed && after.position <= self.tail;
        let from = if known {
            let from = Position::new(after.position.number().saturating_sub(repeat)).max(trimmed);
            self.fired.repeated += u64::from(from < after.position);
            from
        } else {
            self.fired.gaps += 1;
            trimmed
        };
        let skipped = usize::try_from(from.number() - trimmed.number()).unwrap_or(usize::MAX);
        let numbers = (from.number() + 1..).map(Position::new);
        let records: Vec<_> =
            numbers.zip(self.records.iter().skip(skipped).cloned()).take(BATCH_MAX).collect();
        let end = records.last().map_or(from, |(last, _)| *last);
        Batch { epoch: self.epoch, records, end, tail: self.tail, gap: !known }
    }

    pub(crate) fn acknowledge(&mut self, now: Tick, instance: InstanceId, applied: Cursor) {
        let applied = if applied.epoch == self.epoch { applied.position } else { Position::START };
        let seen = self.instances.entry(instance).or_insert(Seen { last: now, applied });
        *seen = Seen { last: now, applied: applied.max(seen.applied) };
    }

    /// Whether every live instance has applied what stands up to `place`; `None` where that cannot be any more.
    pub(crate) fn acknowledged(&mut self, now: Tick, place: Cursor) -> Option<bool> {
        self.instances.retain(|_, seen| now.since(seen.last) < LIVE_FOR);
        let stands = place.epoch == self.epoch && place.position <= self.tail;
        let known = now >= self.strangers_until;
        stands.then(|| known && self.instances.values().all(|seen| seen.applied >= place.position))
    }

    /// How many entries are held and leases granted, of no use or ended included.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.entries.len(), self.leases.len())
    }
}

fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

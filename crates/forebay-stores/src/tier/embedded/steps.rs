//! What is done to entries: the steps that the disk's writer takes, one after the other, and how entries are judged and told.
//!
//! A step reads what is held before it takes the lock of the state, so that nobody waits at that lock for a disk.

use std::sync::Arc;

use bytes::Bytes;
use forebay::log::{Cursor, Reach, Record, Verb};
use forebay::tier::shared::{Envelope, EnvelopeValue, Fill, Filled, Owner};
use forebay::value::Position;

use crate::disk::{Changes, DiskError, KEY_BYTES_MAX, Space};

use super::entry::Entry;
use super::groups::Judgement;
use super::state::{State, length};
use super::{REMEMBERED_KEY, Shared, keys};

/// The most rows of groups that are remembered; beyond it a floor is raised.
const GROUPS_MAX: usize = 65_536;
/// What an entry takes on disk beside its keys and its content, about, in bytes.
const OVERHEAD_BYTES: u64 = 64;

/// An entry that is held, and how long it is on disk.
pub(super) struct Held {
    pub(super) entry: Entry,
    content_bytes: usize,
}

impl Shared {
    /// What a read of the entry at `at` has found; what is damaged is dropped.
    pub(super) fn found(&self, found: Result<Option<Bytes>, DiskError>) -> Result<Option<Held>, DiskError> {
        let content = match found {
            Err(DiskError::Damaged { .. } | DiskError::Unreadable { .. }) => None,
            other => match other? {
                Some(content) => Some(content),
                None => return Ok(None),
            },
        };
        let decoded = content.and_then(|content| {
            let content_bytes = content.len();
            Some(Held { entry: Entry::decode(content)?, content_bytes })
        });
        if decoded.is_none() {
            self.state.lock().damaged += 1;
        }
        Ok(decoded)
    }

    /// The envelope of an entry as it may be told now.
    pub(super) fn tell_entry(
        &self,
        state: &State,
        of: &Owner,
        key: &[u8],
        mut entry: Entry,
    ) -> Option<Envelope> {
        if entry.noted.epoch != state.epoch() {
            return None;
        }
        if entry.noted.position.number() < state.restarted_at {
            match state.groups.judge(of, key, &entry.tags, entry.noted.position.number()) {
                Judgement::Gone => return None,
                Judgement::Stale => entry.expired = true,
                Judgement::Valid => {}
            }
            entry.noted.position = Position::new(state.restarted_at);
        }
        entry.at(self.now_ms())
    }

    /// A step: stores what was loaded, each under its lease.
    pub(super) fn fill(
        self: &Arc<Self>,
        changes: &mut Changes<'_>,
        of: &Owner,
        fills: Vec<Fill>,
    ) -> Result<Vec<Filled>, DiskError> {
        let mut filled = Vec::with_capacity(fills.len());
        for mut fill in fills {
            let at = keys::entry(of, &fill.key);
            let fits = keys::fits(&at);
            let held = if fits { self.found(changes.get(Space::Entries, &at))? } else { None };
            let (now, now_ms) = (self.clock.now(), self.now_ms());
            let mut state = self.state.lock();
            let is_live = state.has(now, &at, fill.lease) && fill.envelope.noted.epoch == state.epoch();
            state.end(&at, Some(fill.lease));
            if !is_live {
                filled.push(Filled::LeaseGone);
                continue;
            }
            // A group takes no leases. What was loaded before it was invalidated would outlive the mark that tells so.
            let Fill { key, envelope, .. } = &mut fill;
            match state.groups.judge(of, key, &envelope.tags, envelope.noted.position.number()) {
                Judgement::Gone => {
                    filled.push(Filled::LeaseGone);
                    continue;
                }
                Judgement::Stale => envelope.expired = true,
                Judgement::Valid => {}
            }
            if !fits || fill.envelope.value.as_ref().map_or(0, EnvelopeValue::len) > self.value_bytes_max {
                filled.push(Filled::TooLarge);
                continue;
            }
            let is_of_use = |held: &Entry| held.noted.epoch == state.epoch() && held.useless_at_ms > now_ms;
            let held_entry = held.as_ref().map(|held| &held.entry).filter(|held| is_of_use(held));
            let held_version = held_entry.and_then(|held| held.version);
            if fill.envelope.version.is_some() && held_version > fill.envelope.version {
                filled.push(Filled::Older);
                continue;
            }
            self.replace(&mut state, changes, &at, held, Some(Entry::new(fill.envelope, now_ms)))?;
            filled.push(Filled::Stored);
        }
        // Where the index cannot be read the sweep says so.
        let _ = self.make_room(changes);
        let row = self.row(&mut self.state.lock());
        changes.put(Space::State, REMEMBERED_KEY, row)?;
        Ok(filled)
    }

    /// Puts an entry in the place of what is held there, with its row in the index; `None` removes it.
    fn replace(
        &self,
        state: &mut State,
        changes: &mut Changes<'_>,
        at: &Bytes,
        held: Option<Held>,
        entry: Option<Entry>,
    ) -> Result<(), DiskError> {
        if let Some(held) = held {
            let size = size_of(at, held.content_bytes);
            state.remembered.bytes = state.remembered.bytes.saturating_sub(size);
            state.dead_bytes = state.dead_bytes.saturating_add(size);
            changes.delete(Space::Expiry, keys::expiry(held.entry.useless_at_ms, at))?;
        }
        let Some(entry) = entry.filter(|entry| entry.useless_at_ms > self.now_ms()) else {
            return changes.delete(Space::Entries, at.clone());
        };
        let content = entry.encode();
        let size = size_of(at, content.len());
        state.remembered.bytes = state.remembered.bytes.saturating_add(size);
        state.remembered.latest_end_ms = state.remembered.latest_end_ms.max(entry.useless_at_ms);
        changes.put(Space::Expiry, keys::expiry(entry.useless_at_ms, at), size.to_le_bytes().to_vec())?;
        changes.put(Space::Entries, at.clone(), content)
    }

    /// A step: takes leases and entries of single keys, where they go with it, and appends all records.
    pub(super) fn tell(
        self: &Arc<Self>,
        changes: &mut Changes<'_>,
        records: Vec<Record>,
        with_entries: bool,
    ) -> Result<Cursor, DiskError> {
        for record in records.iter().filter(|_| with_entries) {
            // An entry is held as a whole: what makes one field of it gone makes it gone.
            let (Reach::Key { namespace, key } | Reach::Field { namespace, key, .. }) = &record.reach else {
                continue;
            };
            let owner = Owner { keyspace: Arc::clone(&record.keyspace), namespace: Arc::clone(namespace) };
            let at = keys::entry(&owner, key);
            let held = if keys::fits(&at) { self.found(changes.get(Space::Entries, &at))? } else { None };
            let mut state = self.state.lock();
            state.end(&at, None);
            let left = match record.verb {
                Verb::Invalidate => None,
                Verb::Expire => held.as_ref().map(|held| held.entry.clone().marked()),
            };
            if keys::fits(&at) {
                self.replace(&mut state, changes, &at, held, left)?;
            }
        }
        self.append(changes, records)
    }

    /// Gives records their places; they are told once the system has them.
    fn append(
        self: &Arc<Self>,
        changes: &mut Changes<'_>,
        records: Vec<Record>,
    ) -> Result<Cursor, DiskError> {
        let mut state = self.state.lock();
        for record in &records {
            state.remembered.tail += 1;
            let (position, until_ms) = (state.remembered.tail, state.remembered.latest_end_ms);
            let Some((key, marks)) = state.groups.marked(record, position, until_ms) else { continue };
            if key.len() > KEY_BYTES_MAX || state.groups.len() >= GROUPS_MAX {
                state.remembered.floor = position;
                for key in state.groups.raise_floor(position) {
                    changes.delete(Space::Groups, key)?;
                }
                continue;
            }
            changes.put(Space::Groups, key.clone(), marks.encode())?;
            state.groups.insert(key, marks);
        }
        let place = Cursor { epoch: state.epoch(), position: Position::new(state.remembered.tail) };
        changes.put(Space::State, REMEMBERED_KEY, self.row(&mut state))?;
        drop(state);
        let shared = Arc::clone(self);
        changes.then(move || {
            shared.state.lock().tell(records, place.position);
            shared.changes.notify_waiters();
        });
        Ok(place)
    }
}

/// What the entry at `at` counts for, with its row in the index.
pub(super) fn size_of(at: &[u8], content_bytes: usize) -> u64 {
    OVERHEAD_BYTES + length(2 * at.len() + content_bytes)
}

/// The size that a row of the index tells of its entry.
pub(super) fn size_of_row(row: &[u8]) -> u64 {
    row.try_into().map_or(0, u64::from_le_bytes)
}

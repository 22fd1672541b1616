//! What a journal holds by its log: which writes wait, which are dead, where they lie.
//!
//! The values themselves stay on the disk: of each write it is known in which segment it lies, so that a segment with none can go.

use std::collections::HashMap;
use std::sync::Arc;

use forebay::writes::OperationId;

use super::frame::{Dead, Payload, Record};

/// A write that is held.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its place among all appends.
    pub(super) place: u64,
    /// The number of the segment that it lies in.
    pub(super) segment: u32,
    /// What it weighs for the limit, in bytes.
    pub(super) weight_bytes: u64,
    /// What it takes in its segment, in bytes.
    pub(super) record_bytes: u64,
    /// When it was appended, or revived: milliseconds since 1970.
    pub(super) written_ms: u64,
    pub(super) dead: Option<Dead>,
}

/// Everything that is held.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) entries: HashMap<OperationId, Entry>,
    /// What it weighs, in bytes.
    pub(super) weight_bytes: u64,
    /// What it takes on the disk, in bytes.
    pub(super) record_bytes: u64,
    /// How many writes lie in each segment that has any.
    in_segments: HashMap<u32, u64>,
}

impl Held {
    /// Whether nothing that is held lies in `segment`.
    pub(super) fn is_free(&self, segment: u32) -> bool {
        !self.in_segments.contains_key(&segment)
    }

    /// Follows a frame that was written to `segment`. The place of the append after the last of it.
    pub(super) fn follow(&mut self, payload: &Payload, segment: u32) -> u64 {
        let mut place = payload.place;
        for (record, record_bytes) in &payload.records {
            place = self.record(record, *record_bytes, payload.at_ms, place, segment);
        }
        place
    }

    fn record(&mut self, record: &Record, record_bytes: u64, at_ms: u64, place: u64, segment: u32) -> u64 {
        match record {
            Record::Append(operation) => {
                let weight_bytes = operation.weight_bytes();
                let entry =
                    Entry { place, segment, weight_bytes, record_bytes, written_ms: at_ms, dead: None };
                self.put(operation.id, entry);
                return place + 1;
            }
            Record::Moved { place, written_ms, dead, operation } => {
                let (place, written_ms, dead) = (*place, *written_ms, dead.clone());
                let weight_bytes = operation.weight_bytes();
                self.put(
                    operation.id,
                    Entry { place, segment, weight_bytes, record_bytes, written_ms, dead },
                );
            }
            Record::Settle(id) => self.settle(*id),
            Record::Park { id, attempts, reason } => {
                if let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.dead.is_none()) {
                    entry.dead =
                        Some(Dead { parked_ms: at_ms, attempts: *attempts, reason: Arc::clone(reason) });
                }
            }
            Record::Revive(id) => {
                if let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.dead.is_some()) {
                    (entry.dead, entry.written_ms) = (None, at_ms);
                }
            }
            Record::Owner(_) => {}
        }
        place
    }

    fn put(&mut self, id: OperationId, entry: Entry) {
        self.settle(id);
        self.weight_bytes += entry.weight_bytes;
        self.record_bytes += entry.record_bytes;
        *self.in_segments.entry(entry.segment).or_default() += 1;
        self.entries.insert(id, entry);
    }

    fn settle(&mut self, id: OperationId) {
        let Some(entry) = self.entries.remove(&id) else { return };
        self.weight_bytes -= entry.weight_bytes;
        self.record_bytes -= entry.record_bytes;
        if let Some(many) = self.in_segments.get_mut(&entry.segment) {
            *many -= 1;
            if *many == 0 {
                self.in_segments.remove(&entry.segment);
            }
        }
    }
}

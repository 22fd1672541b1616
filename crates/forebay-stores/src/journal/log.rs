//! The log on the disk, as its one writer has it: commits, new segments, freeing the room of what was settled.
//!
//! - A commit is one frame, written whole and synced. What could not be written whole is cut off again, and that is synced too: nothing of
//!   it will be found. Where either fails nobody knows what the disk has, and the log takes nothing more.
//! - A segment that has grown past its size is followed by a new one. Before it takes anything, it is there for good.
//! - The first commit in a segment says whose the writes are, so that it is known whatever other segments go.
//! - Segments go from the oldest on, when nothing that is held lies in them: what settles a write lies after it, and so never goes
//!   before it. Where much of the disk is taken by little that is held, what the oldest still has is copied to the end.
//! - A file that is there for its room alone ([`RESERVE`]) is given up when the disk is full and writes are to be settled.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forebay::error::Cause;
use forebay::rt::planted::{Bug, planted};
use forebay::tier::shared::Owner;
use forebay::writes::{JournalEntry, JournalError};

use super::JournalOptions;
use super::frame::{Frame, HEADER, Payload, Record, SegmentHeader, TooLarge};
use super::held::{Entry, Held};
use super::io::{Io, IoFile};
use super::segment::{Next, Segment, name_of};

/// The name of a file that is being made, and counts for nothing.
pub(super) const MAKING: &str = "making";
/// The name of the file whose room is for settling writes on a full disk.
pub(super) const RESERVE: &str = "reserve";

/// A segment, as far as it matters for freeing it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) number: u32,
    pub(super) bytes: u64,
}

/// A log that is being written.
pub(super) struct Log {
    pub(super) io: Arc<dyn Io>,
    pub(super) folder: PathBuf,
    pub(super) options: JournalOptions,
    pub(super) held: Held,
    /// Whose the writes are; `None` until somebody has said so.
    pub(super) owner: Option<Owner>,
    /// Segments that take nothing more, the oldest first.
    pub(super) closed: VecDeque<Extent>,
    pub(super) active: Active,
    pub(super) next_place: u64,
    pub(super) next_sequence: u64,
    pub(super) has_reserve: bool,
    pub(super) is_poisoned: bool,
}

/// The segment that is written to.
pub(super) struct Active {
    pub(super) file: Box<dyn IoFile>,
    pub(super) header: SegmentHeader,
    /// How long it is, in bytes.
    pub(super) bytes: u64,
    /// Whose it says that it is.
    pub(super) owner: Option<Owner>,
}

/// The journal was given an entry of a kind that its format does not have.
#[derive(Debug, thiserror::Error)]
#[error("the journal's format knows no such entry")]
struct NoSuchEntry;

fn failed(cause: impl std::error::Error + Send + Sync + 'static) -> JournalError {
    JournalError::Failed { cause: Arc::new(cause) as Cause }
}

fn record(entry: &JournalEntry) -> Result<Record, JournalError> {
    Ok(match entry {
        JournalEntry::Append(operation) => Record::Append(operation.clone()),
        JournalEntry::Settle(id) => Record::Settle(*id),
        JournalEntry::Park { id, reason, attempts } => {
            Record::Park { id: *id, attempts: *attempts, reason: Arc::clone(reason) }
        }
        JournalEntry::Revive(id) => Record::Revive(*id),
        _ => return Err(failed(NoSuchEntry)),
    })
}

impl Log {
    /// Writes `entries` for `owner` and makes them durable.
    pub(super) fn commit(
        &mut self,
        entries: &[JournalEntry],
        owner: Option<&Owner>,
    ) -> Result<(), JournalError> {
        if self.is_poisoned {
            return Err(JournalError::Poisoned);
        }
        if let Some(owner) = owner.filter(|owner| self.owner.as_ref() != Some(*owner)) {
            self.owner = Some(owner.clone());
        }
        let mut records = Vec::with_capacity(entries.len() + 1);
        for entry in entries {
            records.push(record(entry)?);
        }
        let appends = self.fits(&records)?;
        self.roll(appends)?;
        self.write(records, appends)
    }

    /// Whether there is room for what is to be appended; whether anything is.
    fn fits(&self, records: &[Record]) -> Result<bool, JournalError> {
        let appended = records.iter().filter_map(|record| match record {
            Record::Append(operation) => Some(operation.weight_bytes()),
            _ => None,
        });
        let mut appended = appended.peekable();
        let appends = appended.peek().is_some();
        let (held_bytes, limit_bytes) = (self.held.weight_bytes, self.options.limit_bytes);
        let wanted = appended.fold(held_bytes, u64::saturating_add);
        if appends && wanted > limit_bytes {
            return Err(JournalError::Full { held_bytes, limit_bytes });
        }
        Ok(appends)
    }

    /// Writes one frame of `records`, and of the owner where the segment does not name it, and syncs it; what is held follows.
    fn write(&mut self, mut records: Vec<Record>, appends: bool) -> Result<(), JournalError> {
        if let Some(owner) = self.owner.as_ref().filter(|owner| self.active.owner.as_ref() != Some(*owner)) {
            records.push(Record::Owner(owner.clone()));
        }
        let at_ms = self.io.now_ms();
        let (frame, payload) = self.frame(at_ms, records).map_err(failed)?;
        let written = match self.put(&frame) {
            Err(error) if error.kind() == ErrorKind::StorageFull && !appends && self.has_reserve => {
                self.cut()?;
                self.give_up_reserve();
                self.put(&frame)
            }
            written => written,
        };
        if let Err(error) = written {
            self.cut()?;
            return Err(failed(error));
        }
        if let Err(error) = self.sync() {
            return Err(self.poison(error));
        }
        self.active.bytes += u64::try_from(frame.len()).unwrap_or(u64::MAX);
        self.next_sequence += 1;
        self.next_place = self.held.follow(&payload, self.active.header.number);
        self.active.owner.clone_from(&self.owner);
        Ok(())
    }

    fn frame(&self, at_ms: u64, records: Vec<Record>) -> Result<(Vec<u8>, Payload), TooLarge> {
        let mut frame = Frame::new(at_ms, self.next_place);
        let mut sized = Vec::with_capacity(records.len());
        for record in records {
            let bytes = frame.add(&record)?;
            sized.push((record, bytes));
        }
        let bytes = frame.bytes(self.next_sequence, self.active.header.salt, self.active.bytes)?;
        Ok((bytes, Payload { at_ms, place: self.next_place, records: sized }))
    }

    fn sync(&mut self) -> io::Result<()> {
        let file = &mut self.active.file;
        if planted(Bug::AckBeforeSync) {
            return Ok(());
        }
        match file.sync() {
            Err(_) if planted(Bug::SyncRetried) => file.sync(),
            synced => synced,
        }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        write_all(self.active.file.as_mut(), bytes)
    }

    /// Cuts off what was written and not confirmed, so that nothing of it will be found.
    fn cut(&mut self) -> Result<(), JournalError> {
        let active = &mut self.active;
        let cut = active.file.truncate(active.bytes).and_then(|()| active.file.sync());
        cut.map_err(|error| self.poison(error))
    }

    /// Nobody knows what the disk has: nothing more is taken.
    fn poison(&mut self, error: io::Error) -> JournalError {
        self.is_poisoned = true;
        JournalError::Unconfirmed { cause: Arc::new(error) }
    }

    /// Begins a new segment where this one has grown past its size. Where the disk has no room for one, what appends nothing goes on
    /// in the old.
    fn roll(&mut self, appends: bool) -> Result<(), JournalError> {
        if self.active.bytes < self.options.segment_bytes {
            return Ok(());
        }
        let number = self.active.header.number.checked_add(1).ok_or_else(|| failed(TooLarge))?;
        let header = SegmentHeader { number, sequence: self.next_sequence, salt: fastrand::u32(..) };
        match make_segment(self.io.as_ref(), &self.folder, header, &header.bytes()) {
            Ok(file) => {
                let active = Active { file, header, bytes: HEADER as u64, owner: None };
                let old = std::mem::replace(&mut self.active, active);
                self.closed.push_back(Extent { number: old.header.number, bytes: old.bytes });
                Ok(())
            }
            Err(Unmade::Before(_)) if !appends => Ok(()),
            Err(Unmade::Before(error)) => Err(failed(error)),
            // Nobody knows whether the segment is there. The commit is not: nothing was written of it.
            Err(Unmade::Maybe(_)) => {
                self.is_poisoned = true;
                Err(JournalError::Poisoned)
            }
        }
    }

    /// Frees what room it can: in steps of one segment, each of which leaves the log whole.
    pub(super) fn free(&mut self) {
        while !self.is_poisoned {
            let Some(oldest) = self.closed.front().copied() else { return };
            let is_free = self.held.is_free(oldest.number) || (self.is_sparse() && self.copy_on(oldest));
            if !is_free {
                return;
            }
            if self.io.remove(&self.folder.join(name_of(oldest.number))).is_err() {
                return;
            }
            self.closed.pop_front();
            // The next may only go when this one is gone for good: what it settled would come back.
            if self.io.sync_folder(&self.folder).is_err() {
                self.is_poisoned = true;
                return;
            }
            self.keep_reserve();
        }
    }

    /// Whether much of the disk is taken by little that is held.
    fn is_sparse(&self) -> bool {
        let closed = self.closed.iter().fold(0_u64, |sum, extent| sum.saturating_add(extent.bytes));
        let spare = self.options.segment_bytes.saturating_mul(3);
        closed.saturating_add(self.active.bytes)
            > self.held.record_bytes.saturating_mul(2).saturating_add(spare)
    }

    /// Copies what is held in the oldest segment to the end; whether it is there.
    fn copy_on(&mut self, oldest: Extent) -> bool {
        let Ok(bytes) = self.io.read(&self.folder.join(name_of(oldest.number))) else { return false };
        let Some(records) = self.lying_in(&bytes, oldest.number) else { return false };
        self.roll(true).is_ok() && self.write(records, true).is_ok()
    }

    /// What is held in a segment, as it is to be copied; `None` where not all of it can be read.
    fn lying_in(&self, bytes: &[u8], number: u32) -> Option<Vec<Record>> {
        let mut segment = Segment::open(bytes, false).ok()?;
        let mut found = Vec::new();
        while let Next::Frame(payload) = segment.next().ok()? {
            for (record, _) in payload.records {
                let (Record::Append(operation) | Record::Moved { operation, .. }) = record else { continue };
                let Some(Entry { place, segment, written_ms, dead, .. }) =
                    self.held.entries.get(&operation.id)
                else {
                    continue;
                };
                if *segment == number {
                    let (place, written_ms, dead) = (*place, *written_ms, dead.clone());
                    found.push(Record::Moved { place, written_ms, dead, operation });
                }
            }
        }
        Some(found)
    }

    fn give_up_reserve(&mut self) {
        self.has_reserve = false;
        // Where it stays, the next commit finds no more room than this one, and says so.
        let _ = self.io.remove(&self.folder.join(RESERVE));
    }

    /// Takes room for the day on which the disk is full, if there is some now.
    pub(super) fn keep_reserve(&mut self) {
        if self.has_reserve {
            return;
        }
        let path = self.folder.join(RESERVE);
        let filled = self.io.create(&path).and_then(|mut file| {
            let bytes = vec![0x5a; usize::try_from(self.options.segment_bytes).unwrap_or(1 << 20)];
            write_all(file.as_mut(), &bytes)?;
            file.sync()
        });
        self.has_reserve = filled.is_ok();
        if !self.has_reserve {
            let _ = self.io.remove(&path);
        }
    }
}

/// Why there is no new segment.
pub(super) enum Unmade {
    /// It is not there.
    Before(io::Error),
    /// It may be there, or come.
    Maybe(io::Error),
}

/// Makes the segment of `header` with this content, whole and for good, in place of one of that number.
pub(super) fn make_segment(
    io: &dyn Io,
    folder: &Path,
    header: SegmentHeader,
    bytes: &[u8],
) -> Result<Box<dyn IoFile>, Unmade> {
    let making = folder.join(MAKING);
    let made = io.create(&making).and_then(|mut file| {
        write_all(file.as_mut(), bytes)?;
        file.sync()?;
        Ok(file)
    });
    let file = made.map_err(|error| {
        // What is left of it counts for nothing, and gives its room to the next.
        let _ = io.remove(&making);
        Unmade::Before(error)
    })?;
    let named = io.rename(&making, &folder.join(name_of(header.number)));
    named.and_then(|()| io.sync_folder(folder)).map_err(Unmade::Maybe)?;
    Ok(file)
}

fn write_all(file: &mut dyn IoFile, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes)? {
            0 => return Err(ErrorKind::WriteZero.into()),
            written => bytes = bytes.get(written..).unwrap_or_default(),
        }
    }
    Ok(())
}

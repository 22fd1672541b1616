//! Format 1 of a journal on disk, byte by byte. Numbers are little-endian.
//!
//! A journal is a folder of segments, `0000000001.journal` and so on. A segment begins with a header of 32 bytes and goes on with
//! frames, one for each commit; a frame begins at a multiple of 32, and its own header takes 32 bytes, so that no header lies
//! across two sectors of a disk. Headers keep their shape in later formats, so that an older version can tell a newer format from
//! damage.
//!
//! | header of a segment | bytes |
//! |---|---|
//! | `FOREBAYJ` | 8 |
//! | format: 1 | 1 |
//! | zero | 3 |
//! | number of the segment | 4 |
//! | sequence of its first frame | 8 |
//! | salt, drawn by chance: the seed of every checksum after this one | 4 |
//! | checksum of the 28 bytes before it, seed 0 | 4 |
//!
//! | header of a frame | bytes |
//! |---|---|
//! | `FJ` | 2 |
//! | format: 1 | 1 |
//! | 1 where a whole sector of it is rightly zero, otherwise 0 | 1 |
//! | length of the payload, a multiple of 32 | 4 |
//! | sequence: the next of the frame before it, over all segments | 8 |
//! | checksum of the payload | 8 |
//! | number of records | 4 |
//! | checksum of the 28 bytes before it | 4 |
//!
//! A checksum is the low end of XXH3-128. The payload is the time of the commit (8, milliseconds since 1970), the place of the first
//! append in it (8), the records, and padding of 1 to 32 bytes of 0xff. Of lengths and texts: a length of 4 bytes, then the bytes.
//!
//! | record | bytes after its kind (1) |
//! |---|---|
//! | 1 append | operation |
//! | 2 settle | id (16) |
//! | 3 park | id (16), attempts (4), reason (text) |
//! | 4 revive | id (16) |
//! | 5 owner | keyspace (text), namespace (text) |
//! | 6 moved: an append that was copied from an older segment | place (8), time (8), 1 if dead (1): [parked at (8), attempts (4), reason (text)], operation |
//!
//! | operation | bytes |
//! |---|---|
//! | id | 16 |
//! | value: 0 none, 1 a blob, 2 encoded | 1 |
//! | 1 with a TTL of its own | 1 |
//! | TTL, where there is one: seconds, nanoseconds | 8, 4 |
//! | key | text |
//! | blob: content type, bytes; encoded: kind, shape (4), bytes | text, bytes |

#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forebay::rt::planted::{Bug, planted};
use forebay::tier::shared::{EnvelopeValue, Owner};
use forebay::writes::{Operation, OperationId};
use twox_hash::XxHash3_128;

/// The format that is written, and the newest that is read.
pub(super) const FORMAT: u8 = 1;
/// The length of a header, and what frames are aligned to, in bytes.
pub(super) const HEADER: usize = 32;
/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

const SEGMENT_MAGIC: &[u8; 8] = b"FOREBAYJ";
const FRAME_MAGIC: &[u8; 2] = b"FJ";
const PADDING: u8 = 0xff;
/// The fewest bytes that a record takes, its kind and an id, but for the owner's, of which a commit has one at most.
const RECORD_BYTES_MIN: usize = 17;
const NANOS_OF_A_SECOND: u32 = 1_000_000_000;

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) number: u32,
    /// The sequence of its first frame.
    pub(super) sequence: u64,
    pub(super) salt: u32,
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// Whether a sector of it is rightly zero, which a lost one looks like.
    pub(super) is_hollow: bool,
    /// How long the payload is, in bytes.
    pub(super) length: u32,
    pub(super) sequence: u64,
    checksum: u64,
    records: u32,
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// Written by a newer version, in this format.
    Newer(u8),
    /// Not what was written.
    Damaged,
}

/// A record of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Append(Operation),
    Settle(OperationId),
    Park { id: OperationId, attempts: u32, reason: Arc<str> },
    Revive(OperationId),
    Owner(Owner),
    Moved { place: u64, written_ms: u64, dead: Option<Dead>, operation: Operation },
}

/// That a write is a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dead {
    /// When it was parked, in milliseconds since 1970.
    pub(super) parked_ms: u64,
    pub(super) attempts: u32,
    pub(super) reason: Arc<str>,
}

/// The payload of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Payload {
    /// When it was written, in milliseconds since 1970.
    pub(super) at_ms: u64,
    /// The place of its first append among all; those after it follow one by one.
    pub(super) place: u64,
    /// Records, each with how many bytes of the payload it takes.
    pub(super) records: Vec<(Record, u64)>,
}

fn checksum(salt: u32, bytes: &[u8]) -> u64 {
    let whole = XxHash3_128::oneshot_with_seed(u64::from(salt), bytes);
    u64::try_from(whole & u128::from(u64::MAX)).unwrap_or_default()
}

fn short_checksum(salt: u32, bytes: &[u8]) -> u32 {
    u32::try_from(checksum(salt, bytes) & u64::from(u32::MAX)).unwrap_or_default()
}

impl SegmentHeader {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER);
        out.extend_from_slice(SEGMENT_MAGIC);
        out.extend_from_slice(&[FORMAT, 0, 0, 0]);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&short_checksum(0, &out).to_le_bytes());
        out
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, BadHeader> {
        Self::parsed(bytes).unwrap_or(Err(BadHeader::Damaged))
    }

    fn parsed(bytes: &[u8]) -> Option<Result<Self, BadHeader>> {
        let mut reader = Reader(bytes.get(..HEADER)?);
        let is_ours = reader.take(8)? == SEGMENT_MAGIC;
        let format = reader.byte()?;
        let zeros = reader.take(3)?;
        let (number, sequence, salt) = (reader.u32()?, reader.u64()?, reader.u32()?);
        let is_whole = reader.u32()? == short_checksum(0, bytes.get(..HEADER - 4)?);
        if !is_ours || !is_whole || format == 0 {
            return Some(Err(BadHeader::Damaged));
        }
        if format > FORMAT {
            return Some(Err(BadHeader::Newer(format)));
        }
        Some(if zeros == [0; 3] { Ok(Self { number, sequence, salt }) } else { Err(BadHeader::Damaged) })
    }
}

impl FrameHeader {
    /// The length of its frame with the header, in bytes.
    pub(super) fn frame_bytes(&self) -> u64 {
        u64::from(self.length).saturating_add(HEADER as u64)
    }

    pub(super) fn read(bytes: &[u8], salt: u32) -> Result<Self, BadHeader> {
        Self::parsed(bytes, salt).unwrap_or(Err(BadHeader::Damaged))
    }

    fn parsed(bytes: &[u8], salt: u32) -> Option<Result<Self, BadHeader>> {
        let mut reader = Reader(bytes.get(..HEADER)?);
        let is_ours = reader.take(2)? == FRAME_MAGIC;
        let (format, hollow) = (reader.byte()?, reader.byte()?);
        let (length, sequence, checksum, records) =
            (reader.u32()?, reader.u64()?, reader.u64()?, reader.u32()?);
        let is_whole = reader.u32()? == short_checksum(salt, bytes.get(..HEADER - 4)?);
        if !is_ours || !is_whole || format == 0 {
            return Some(Err(BadHeader::Damaged));
        }
        if format > FORMAT {
            return Some(Err(BadHeader::Newer(format)));
        }
        let is_sound = hollow < 2 && length > 0 && length.is_multiple_of(32);
        let header = Self { is_hollow: hollow == 1, length, sequence, checksum, records };
        Some(if is_sound { Ok(header) } else { Err(BadHeader::Damaged) })
    }

    /// Whether `payload` is what was written.
    pub(super) fn fits(&self, payload: &[u8], salt: u32) -> bool {
        checksum(salt, payload) == self.checksum || planted(Bug::ChecksumSkipped)
    }

    /// Reads a payload that [`fits`](Self::fits); `None` where it makes no sense all the same.
    pub(super) fn payload(&self, bytes: &[u8]) -> Option<Payload> {
        let mut reader = Reader(bytes);
        let (at_ms, place) = (reader.u64()?, reader.u64()?);
        // No more room than what is there can ask for, whatever the header says.
        let said = usize::try_from(self.records).ok()?;
        if said > reader.0.len() / RECORD_BYTES_MIN + 1 {
            return None;
        }
        let mut records = Vec::with_capacity(said);
        for _ in 0..self.records {
            let before = reader.0.len();
            let record = reader.record()?;
            records.push((record, length(before - reader.0.len())));
        }
        let is_padding = reader.0.iter().all(|byte| *byte == PADDING);
        (is_padding && (1..=HEADER).contains(&reader.0.len())).then_some(Payload { at_ms, place, records })
    }
}

fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// A frame being written.
pub(super) struct Frame {
    bytes: Vec<u8>,
    records: u32,
}

/// A frame cannot be so large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("one commit is larger than 4 GiB: give smaller values, or fewer at once")]
pub(super) struct TooLarge;

impl Frame {
    pub(super) fn new(at_ms: u64, place: u64) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes.extend_from_slice(&at_ms.to_le_bytes());
        bytes.extend_from_slice(&place.to_le_bytes());
        Self { bytes, records: 0 }
    }

    /// Adds a record; how many bytes it takes.
    pub(super) fn add(&mut self, record: &Record) -> Result<u64, TooLarge> {
        let before = self.bytes.len();
        self.records = self.records.checked_add(1).ok_or(TooLarge)?;
        match record {
            Record::Append(operation) => {
                self.bytes.push(1);
                self.operation(operation)?;
            }
            Record::Settle(id) => self.kind_and_id(2, *id),
            Record::Park { id, attempts, reason } => {
                self.kind_and_id(3, *id);
                self.bytes.extend_from_slice(&attempts.to_le_bytes());
                self.text(reason.as_bytes())?;
            }
            Record::Revive(id) => self.kind_and_id(4, *id),
            Record::Owner(owner) => {
                self.bytes.push(5);
                self.text(owner.keyspace.as_bytes())?;
                self.text(owner.namespace.as_bytes())?;
            }
            Record::Moved { place, written_ms, dead, operation } => {
                self.bytes.push(6);
                self.bytes.extend_from_slice(&place.to_le_bytes());
                self.bytes.extend_from_slice(&written_ms.to_le_bytes());
                self.bytes.push(u8::from(dead.is_some()));
                if let Some(Dead { parked_ms, attempts, reason }) = dead {
                    self.bytes.extend_from_slice(&parked_ms.to_le_bytes());
                    self.bytes.extend_from_slice(&attempts.to_le_bytes());
                    self.text(reason.as_bytes())?;
                }
                self.operation(operation)?;
            }
        }
        Ok(length(self.bytes.len() - before))
    }

    fn kind_and_id(&mut self, kind: u8, id: OperationId) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&id.number().to_le_bytes());
    }

    fn text(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        let length = u32::try_from(bytes.len()).map_err(|_| TooLarge)?;
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn operation(&mut self, operation: &Operation) -> Result<(), TooLarge> {
        let kind = match operation.value {
            None => 0,
            Some(EnvelopeValue::Blob { .. }) => 1,
            Some(EnvelopeValue::Encoded { .. }) => 2,
        };
        self.bytes.extend_from_slice(&operation.id.number().to_le_bytes());
        self.bytes.extend_from_slice(&[kind, u8::from(operation.ttl.is_some())]);
        if let Some(ttl) = operation.ttl {
            self.bytes.extend_from_slice(&ttl.as_secs().to_le_bytes());
            self.bytes.extend_from_slice(&ttl.subsec_nanos().to_le_bytes());
        }
        self.text(&operation.key)?;
        match &operation.value {
            None => Ok(()),
            Some(EnvelopeValue::Blob { bytes, content_type }) => {
                self.text(content_type.as_bytes())?;
                self.text(bytes)
            }
            Some(EnvelopeValue::Encoded { kind, shape, bytes }) => {
                self.text(kind.as_bytes())?;
                self.bytes.extend_from_slice(&shape.to_le_bytes());
                self.text(bytes)
            }
        }
    }

    /// Its bytes, for the place `offset` of a segment.
    pub(super) fn bytes(mut self, sequence: u64, salt: u32, offset: u64) -> Result<Vec<u8>, TooLarge> {
        let padded = (self.bytes.len() + 1).next_multiple_of(HEADER);
        self.bytes.resize(padded, PADDING);
        let payload = self.bytes.get(HEADER..).unwrap_or_default();
        let length = u32::try_from(payload.len()).map_err(|_| TooLarge)?;
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(FRAME_MAGIC);
        header.extend_from_slice(&[FORMAT, u8::from(has_zero_sector(payload, offset + HEADER as u64))]);
        header.extend_from_slice(&length.to_le_bytes());
        header.extend_from_slice(&sequence.to_le_bytes());
        header.extend_from_slice(&checksum(salt, payload).to_le_bytes());
        header.extend_from_slice(&self.records.to_le_bytes());
        header.extend_from_slice(&short_checksum(salt, &header).to_le_bytes());
        if let Some(room) = self.bytes.get_mut(..HEADER) {
            room.copy_from_slice(&header);
        }
        Ok(self.bytes)
    }
}

/// Whether some sector of a disk that holds part of `bytes`, which lie at `offset` of their file, has only zeros of them: as one does that
/// was never written.
pub(super) fn has_zero_sector(bytes: &[u8], offset: u64) -> bool {
    let into = usize::try_from(offset % SECTOR as u64).unwrap_or_default();
    let (first, rest) = bytes.split_at_checked((SECTOR - into) % SECTOR).unwrap_or((bytes, &[]));
    let is_zero = |part: &[u8]| !part.is_empty() && part.iter().all(|byte| *byte == 0);
    is_zero(first) || rest.chunks(SECTOR).any(is_zero)
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, many: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(many)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn id(&mut self) -> Option<OperationId> {
        self.array().map(|bytes| OperationId::new(u128::from_le_bytes(bytes)))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.take(length)
    }

    fn text(&mut self) -> Option<Arc<str>> {
        Some(std::str::from_utf8(self.bytes()?).ok()?.into())
    }

    fn record(&mut self) -> Option<Record> {
        Some(match self.byte()? {
            1 => Record::Append(self.operation()?),
            2 => Record::Settle(self.id()?),
            3 => Record::Park { id: self.id()?, attempts: self.u32()?, reason: self.text()? },
            4 => Record::Revive(self.id()?),
            5 => Record::Owner(Owner { keyspace: self.text()?, namespace: self.text()? }),
            6 => {
                let (place, written_ms) = (self.u64()?, self.u64()?);
                let dead = if self.flag()? {
                    Some(Dead { parked_ms: self.u64()?, attempts: self.u32()?, reason: self.text()? })
                } else {
                    None
                };
                Record::Moved { place, written_ms, dead, operation: self.operation()? }
            }
            _ => return None,
        })
    }

    fn operation(&mut self) -> Option<Operation> {
        let (id, kind) = (self.id()?, self.byte()?);
        let ttl = if self.flag()? {
            let (seconds, nanos) = (self.u64()?, self.u32()?);
            // More would be seconds, which are written as such.
            if nanos >= NANOS_OF_A_SECOND {
                return None;
            }
            Some(Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanos.into()))?)
        } else {
            None
        };
        let key = Bytes::copy_from_slice(self.bytes()?);
        let value = match kind {
            0 => None,
            1 => {
                let content_type = self.text()?;
                Some(EnvelopeValue::Blob { content_type, bytes: Bytes::copy_from_slice(self.bytes()?) })
            }
            2 => {
                let (kind, shape) = (self.text()?, self.u32()?);
                Some(EnvelopeValue::Encoded { kind, shape, bytes: Bytes::copy_from_slice(self.bytes()?) })
            }
            _ => return None,
        };
        Some(Operation { id, key, value, ttl })
    }
}

//! Segments and commits, for [`crate::fuzzing`].

use std::time::Duration;

use bytes::Bytes;
use forebay::tier::shared::{EnvelopeValue, Owner};
use forebay::writes::{Operation, OperationId};

use super::frame::{self, Dead, Frame, HEADER, Record, SegmentHeader};
use super::segment::{Next, Problem, Segment, Wrong};

/// What a segment was found to hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Commits {
    /// What each commit holds, in words.
    pub told: Vec<String>,
    /// How many bytes of the segment are sound; what is behind them was never confirmed.
    pub sound_bytes: usize,
}

/// Why a segment is refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// At which byte.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

/// A segment as the journal writes it.
#[derive(Debug)]
pub struct Written {
    /// The file.
    pub bytes: Vec<u8>,
    /// Where each commit ends in it, the header's end first.
    pub ends: Vec<usize>,
}

/// Reads a segment, the last of its journal or not.
///
/// # Errors
/// Where the journal would not open for it.
pub fn segment(bytes: &[u8], is_last: bool) -> Result<Commits, Refused> {
    let mut segment = Segment::open(bytes, is_last).map_err(refused)?;
    let mut told = Vec::new();
    while let Next::Frame(payload) = segment.next().map_err(refused)? {
        told.push(format!("{payload:?}"));
    }
    Ok(Commits { told, sound_bytes: segment.sound().len() })
}

fn refused(Problem { offset, what }: Problem) -> Refused {
    let what = match what {
        Wrong::Newer(format) => format!("it is of format {format}"),
        Wrong::Damaged(what) => what.to_owned(),
    };
    Refused { offset, what }
}

/// Whether what a commit holds, said to be `records` records, can be read.
#[must_use]
pub fn is_payload(bytes: &[u8], records: u32) -> bool {
    frame::fuzzing::is_payload(bytes, records)
}

/// Reads what a commit holds, said to be `records` records, and writes it again; `None` where it cannot be read.
#[must_use]
pub fn payload(bytes: &[u8], records: u32) -> Option<Vec<u8>> {
    let mut written = frame::fuzzing::payload(bytes, records)?;
    // Padding is the same byte however much of it there is.
    if let Some(rest) = bytes.get(written.len()..).filter(|rest| frame::fuzzing::is_padding(rest)) {
        written.extend_from_slice(rest);
    }
    Some(written)
}

/// A segment with a commit of each kind; `None` never, in a build that keeps the format.
#[must_use]
pub fn written() -> Option<Written> {
    let header = SegmentHeader { number: 1, sequence: 5, salt: 0x5eed };
    let mut bytes = header.bytes();
    let mut ends = vec![bytes.len()];
    let (mut sequence, mut place) = (header.sequence, 0);
    for records in commits() {
        let mut frame = Frame::new(1_700_000_000_000, place);
        for record in &records {
            frame.add(record).ok()?;
        }
        let offset = u64::try_from(bytes.len()).ok()?;
        bytes.extend(frame.bytes(sequence, header.salt, offset).ok()?);
        ends.push(bytes.len());
        sequence += 1;
        place += u64::try_from(records.len()).ok()?;
    }
    (ends.first() == Some(&HEADER)).then_some(Written { bytes, ends })
}

fn commits() -> Vec<Vec<Record>> {
    let operation = |id: u128, value: Option<EnvelopeValue>, ttl: Option<Duration>| Operation {
        id: OperationId::new(id),
        key: Bytes::from(format!("order:{id}")),
        value,
        ttl,
    };
    let blob = |bytes: Vec<u8>| {
        Some(EnvelopeValue::Blob { bytes: bytes.into(), content_type: "application/json".into() })
    };
    let encoded = Some(EnvelopeValue::Encoded {
        kind: "counter".into(),
        shape: 3,
        bytes: Bytes::from_static(b"\x07\0\0\0\0\0\0\0"),
    });
    let dead = Dead { parked_ms: 1_700_000_000_001, attempts: 7, reason: "refused".into() };
    let id = OperationId::new(2);
    vec![
        vec![Record::Owner(Owner { keyspace: "shop".into(), namespace: "orders".into() })],
        vec![
            Record::Append(operation(1, blob(b"{\"total\":1}".to_vec()), None)),
            Record::Append(operation(2, None, Some(Duration::from_millis(1_500)))),
        ],
        // Larger than a sector of the disk, and one whole sector of it zero.
        vec![Record::Append(operation(3, blob(vec![0; 1_500]), None))],
        vec![Record::Append(operation(4, blob(vec![b'x'; 1_100]), None))],
        vec![Record::Settle(OperationId::new(1))],
        vec![Record::Park { id, attempts: 2, reason: "no such table".into() }, Record::Revive(id)],
        vec![Record::Moved {
            place: 1,
            written_ms: 1_600_000_000_000,
            dead: Some(dead),
            operation: operation(5, encoded, None),
        }],
    ]
}

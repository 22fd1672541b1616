//! What a commit holds, read without the checksum that covers it.

use super::{Frame, FrameHeader, HEADER, PADDING, Payload};

/// Reads `payload`, said to hold `records` records, and writes them again without their padding; `None` where it cannot be read.
pub(in crate::journal) fn payload(payload: &[u8], records: u32) -> Option<Vec<u8>> {
    let read = read(payload, records)?;
    let mut frame = Frame::new(read.at_ms, read.place);
    for (record, _) in &read.records {
        frame.add(record).ok()?;
    }
    Some(frame.bytes.split_off(HEADER))
}

/// Whether `payload`, said to hold `records` records, can be read.
pub(in crate::journal) fn is_payload(payload: &[u8], records: u32) -> bool {
    read(payload, records).is_some()
}

fn read(payload: &[u8], records: u32) -> Option<Payload> {
    let header = FrameHeader { is_hollow: false, length: 0, sequence: 0, checksum: 0, records };
    header.payload(payload)
}

/// Whether `rest`, what is left of a payload behind its records, is its padding.
pub(in crate::journal) fn is_padding(rest: &[u8]) -> bool {
    (1..=HEADER).contains(&rest.len()) && rest.iter().all(|byte| *byte == PADDING)
}

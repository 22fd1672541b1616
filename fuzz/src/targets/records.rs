//! Records on the disk: what can be read is written again as the same bytes.
//!
//! An input begins with the name of its kind and a blank. A record's checksum finds accidents; what is read behind it must not take
//! two texts for one value all the same, or a copy would not be what it was copied from.

use bytes::Bytes;
use forebay_stores::disk::Space;
use forebay_stores::fuzzing::{disk, journal, store, tier};

use crate::allocation::{Bound, within};
use crate::{Fault, Large, Seen, Target};

pub(super) const TARGET: Target = Target {
    name: "records",
    attacks: "rows of tier and stores, records of the disk, commits of journals: what is read, written again, is the same bytes",
    words: &[
        b"entry ", b"marks ", b"head ", b"score ", b"number ", b"record ", b"seal ", b"payload ", b"\x01", b"\xff\xff\xff\xff", b"\0\0\0\0",
        b"\x01\0\0\0", b"\xff\xff\xff\xff\xff\xff\xff\xff", b"\x10\0\0\0application/json", b"\0\0\0\0\0\0\xf8\x7f", b"\0\0\0\0\0\0\0\x80",
        b"\x05\0\0\0shop!",
    ],
    large: &[
        // As many tags as there is room for.
        Large {
            before: b"entry \x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x40\x9c\0\0",
            unit: b"\0\0\0\0",
            times: 40_000,
            after: b"",
        },
        // As many settled writes.
        Large {
            before: b"payload \x20\x4e\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            unit: b"\x02\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            times: 20_000,
            after: b"\xff",
        },
        Large { before: b"payload \xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", unit: b"\x02", times: 4_000, after: b"\xff" },
    ],
    begin: || Ok(Box::new(attack)),
};

/// Where the record lies that is read.
const KEY: &[u8] = b"order:1";

fn attack(input: &[u8], seen: &mut Seen) -> Result<(), Fault> {
    let Some(at) = input.iter().position(|byte| *byte == b' ') else { return Ok(()) };
    let Some((kind, [_, content @ ..])) = input.split_at_checked(at) else { return Ok(()) };
    let row = Bytes::copy_from_slice(content);
    let again = match kind {
        b"record" => {
            disk::open(Space::Stores, KEY, content).ok().map(|of| disk::seal(Space::Stores, KEY, &of).into())
        }
        b"seal" => return sealed(content),
        b"payload" => {
            let Some((records, payload)) = content.split_first_chunk::<4>() else { return Ok(()) };
            let records = u32::from_le_bytes(*records);
            within(Bound::STRANGERS, payload.len(), || journal::is_payload(payload, records))?;
            let again = journal::payload(payload, records).map(Bytes::from);
            return same(kind, &Bytes::copy_from_slice(payload), again.as_ref(), seen);
        }
        b"entry" => bounded(content, || tier::entry(row.clone()))?,
        b"marks" => bounded(content, || tier::marks(row.clone()))?,
        b"head" => bounded(content, || store::head(row.clone()))?,
        b"score" => bounded(content, || store::score(content))?,
        b"number" => bounded(content, || store::number(row.clone()))?,
        _ => return Ok(()),
    };
    same(kind, &row, again.as_ref(), seen)
}

fn bounded(content: &[u8], read: impl FnOnce() -> Option<Bytes>) -> Result<Option<Bytes>, Fault> {
    within(Bound::STRANGERS, content.len(), read)
}

fn same(kind: &[u8], row: &Bytes, again: Option<&Bytes>, seen: &mut Seen) -> Result<(), Fault> {
    seen.note((kind, again.is_some()));
    if again.is_some() {
        seen.note((kind, row.get(..2)));
        seen.note_count("row", row.len());
    }
    match again {
        Some(again) if again != row => {
            Err(Fault::Broken(format!("written again it is \"{}\"", again.escape_ascii())))
        }
        _ => Ok(()),
    }
}

/// A record is read as what was sealed, and at no other place; with one bit turned it is refused.
fn sealed(content: &[u8]) -> Result<(), Fault> {
    let record = disk::seal(Space::Entries, KEY, content);
    match disk::open(Space::Entries, KEY, &record) {
        Ok(back) if back == content => {}
        other => return Err(Fault::Broken(format!("a record as it is sealed is read as {other:?}"))),
    }
    let elsewhere =
        [disk::open(Space::Stores, KEY, &record), disk::open(Space::Entries, b"order:2", &record)];
    if elsewhere.iter().any(Result::is_ok) {
        return Err(Fault::Broken("a record is read in another place".to_owned()));
    }
    let mut chance = fastrand::Rng::with_seed(crate::mutate::seed_of(content));
    let mut turned = record;
    let at = chance.usize(0..turned.len());
    if let Some(byte) = turned.get_mut(at) {
        *byte ^= 1 << chance.u32(0..8);
    }
    match disk::open(Space::Entries, KEY, &turned) {
        Ok(_) => Err(Fault::Broken(format!("a record is read with byte {at} changed"))),
        Err(_) => Ok(()),
    }
}

//! Where things lie in the disk's spaces.
//!
//! ```text
//! entries   owner, key
//! expiry    second: 8, big endian; owner, key
//! ```
//!
//! So the keys of one namespace lie side by side, in their own order, and what ends first comes first in the index.

use bytes::{BufMut, Bytes, BytesMut};
use forebay::tier::shared::Owner;

use crate::disk::KEY_BYTES_MAX;
use crate::tier::keys::put_owner;

/// The bytes of a second.
const SECOND_BYTES: usize = 8;

/// Where the entry of a key lies.
pub(super) fn entry(owner: &Owner, key: &[u8]) -> Bytes {
    let mut at = BytesMut::new();
    put_owner(&mut at, owner);
    at.put_slice(key);
    at.freeze()
}

/// Whether the entry at `at` can be on disk, with its row in the index.
pub(super) fn fits(at: &[u8]) -> bool {
    at.len() + SECOND_BYTES <= KEY_BYTES_MAX
}

/// Where the row of an entry lies in the index: it is surely of no use any more at that second.
pub(super) fn expiry(useless_at_ms: u64, at: &[u8]) -> Bytes {
    let mut row = BytesMut::with_capacity(SECOND_BYTES + at.len());
    row.put_u64(second(useless_at_ms));
    row.put_slice(at);
    row.freeze()
}

/// The second and the place of the entry that a row of the index stands for.
pub(super) fn of_expiry(row: &Bytes) -> Option<(u64, Bytes)> {
    let (second, _) = row.split_first_chunk::<SECOND_BYTES>()?;
    Some((u64::from_be_bytes(*second), row.slice(SECOND_BYTES..)))
}

/// The first whole second that is not before `ms`.
pub(super) fn second(ms: u64) -> u64 {
    ms.div_ceil(1000)
}

//! Rows of the tier, for [`crate::fuzzing`]: read, and written again.

use bytes::Bytes;

use super::entry::Entry;
use super::groups::Marks;

/// An entry; `None` where it cannot be read.
#[must_use]
pub fn entry(row: Bytes) -> Option<Bytes> {
    Entry::decode(row).map(|entry| entry.encode())
}

/// What is known of a group; `None` where it cannot be read.
#[must_use]
pub fn marks(row: Bytes) -> Option<Bytes> {
    Marks::decode(row).map(Marks::encode)
}

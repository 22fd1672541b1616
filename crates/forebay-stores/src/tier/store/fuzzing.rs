//! Rows of the store, for [`crate::fuzzing`]: read, and written again.

use bytes::Bytes;

use super::rows::{self, Head};

/// What the row of a value says; `None` where it cannot be read.
#[must_use]
pub fn head(row: Bytes) -> Option<Bytes> {
    Head::read(row, b"").ok().map(|head| head.encode())
}

/// The score of a member; `None` where it cannot be read.
#[must_use]
pub fn score(row: &[u8]) -> Option<Bytes> {
    rows::score(row, b"").ok().map(rows::of_score)
}

/// An epoch or a generation; `None` where it cannot be read.
#[must_use]
pub fn number(row: Bytes) -> Option<Bytes> {
    let number = rows::number(Some(row), b"").ok()?;
    Some(Bytes::copy_from_slice(&number.to_le_bytes()))
}

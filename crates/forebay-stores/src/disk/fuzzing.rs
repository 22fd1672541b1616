//! Records, for [`crate::fuzzing`].

use bytes::Bytes;

use super::{DiskError, Space, record};

/// The record of `content` at `key` of `space`.
#[must_use]
pub fn seal(space: Space, key: &[u8], content: &[u8]) -> Vec<u8> {
    record::seal(space, key, content)
}

/// The content of a record read at `key` of `space`.
///
/// # Errors
/// [`DiskError::Damaged`].
pub fn open(space: Space, key: &[u8], record: &[u8]) -> Result<Bytes, DiskError> {
    record::open(space, key, record)
}

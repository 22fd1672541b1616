//! The form of one record on disk: a version, a checksum over its place and its content, and the content.
//!
//! ```text
//! 0      1                    9
//! | form | XXH3-64, little e. | content …
//! ```
//!
//! The checksum covers the space, the key and the content, so that a record that turns up in another place is found out too.
//! XXH3-64 (Y. Collet, xxHash 0.8) finds accidents; it is no defence against somebody who writes to the folder.

use bytes::Bytes;
use twox_hash::XxHash3_64;

use super::{DiskError, Space};

/// The form that is written.
const FORM: u8 = 1;
/// What stands before the content.
pub(super) const HEADER_BYTES: usize = 9;

/// The record of `content` at `key` of `space`.
pub(super) fn seal(space: Space, key: &[u8], content: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER_BYTES + content.len());
    record.push(FORM);
    record.extend_from_slice(&checksum(space, key, content).to_le_bytes());
    record.extend_from_slice(content);
    record
}

/// The content of a record read at `key` of `space`.
///
/// # Errors
/// [`DiskError::Damaged`], which names the place.
pub(super) fn open(space: Space, key: &[u8], record: &[u8]) -> Result<Bytes, DiskError> {
    let Some((&[form, ref sum @ ..], content)) = record.split_first_chunk::<HEADER_BYTES>() else {
        return Err(DiskError::record(space, key, "it is cut short; restore a backup"));
    };
    if form != FORM {
        let problem =
            format!("its form {form} is unknown; restore a backup, or run the version that wrote it");
        return Err(DiskError::record(space, key, &problem));
    }
    if checksum(space, key, content).to_le_bytes() != *sum {
        return Err(DiskError::record(space, key, "its checksum does not match; restore a backup"));
    }
    Ok(Bytes::copy_from_slice(content))
}

/// The place is hashed first, and is the seed of the content's hash.
fn checksum(space: Space, key: &[u8], content: &[u8]) -> u64 {
    let place = XxHash3_64::oneshot_with_seed(u64::from(space.number()), key);
    XxHash3_64::oneshot_with_seed(place, content)
}

#[cfg(test)]
mod tests {
    use super::{open, seal};
    use crate::disk::Space;

    #[test]
    fn the_form_is_what_was_promised() {
        let record = seal(Space::Stores, b"key", b"content");
        let golden = [&[1][..], &GOLDEN_SUM, b"content"].concat();
        assert_eq!(record, golden);
        assert_eq!(open(Space::Stores, b"key", &golden).unwrap(), &b"content"[..]);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let record = seal(Space::Entries, b"key", b"content");
        for bit in 0..record.len() * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = open(Space::Entries, b"key", &flipped).unwrap_err();
            assert!(error.to_string().contains("\"key\" of entries"), "{error}");
        }
        for length in 0..record.len() {
            open(Space::Entries, b"key", &record[..length]).unwrap_err();
        }
        open(Space::Entries, b"kez", &record).unwrap_err();
        open(Space::Stores, b"key", &record).unwrap_err();
    }

    const GOLDEN_SUM: [u8; 8] = [162, 27, 62, 76, 151, 26, 228, 31];
}

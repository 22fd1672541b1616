//! Where stored values lie on the disk, and how they are written.
//!
//! ```text
//! value     0; owner; epoch: 8; key             →  | form: 1 | kind: 1 | ends at most: 8 | ends unused: 8 | content … |
//! part      1; generation: 8; field or member   →  a field's value, or a member's score: 8
//! garbage   2; generation: 8                    →  (nothing)
//! epoch     3; owner                            →  epoch: 8
//! cleared   4; owner; epoch: 8                  →  (nothing)
//! last      5                                   →  the generation that was given last: 8
//! used      6; owner; epoch: 8; key             →  ends unused: 8, in place of what the row of the value says
//!
//! end       second: 8; the key of a value       →  (nothing)          in a space of its own
//!
//! blob      | content type: 4 and its text | bytes … |
//! described | metadata: 2 and its text | content type: 4 and its text | bytes … |
//! hash      | generation: 8 |              sorted set  the same
//! counter   | number: 8 |
//! encoded   | shape: 4 | bytes … |
//! ```
//!
//! Numbers in keys are big endian, so that they are in order; in contents little endian. Times are milliseconds since 1970, the largest
//! is never. A use of a value that ends unused is a row of its own, so that it costs the same whatever the value takes. The fields of a hash lie under a generation, a number that no other collection has: a hash is deleted by one row,
//! which names its generation as garbage, and a namespace is cleared by a new epoch.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use forebay::tier::shared::Owner;
use forebay::value::{Blob, Score};

use crate::disk::{DiskError, Space};
use crate::tier::keys::put_owner;

/// The form that is written.
const FORM: u8 = 1;
const BLOB: u8 = 1;
const HASH: u8 = 2;
const SORTED_SET: u8 = 3;
const COUNTER: u8 = 4;
const ENCODED: u8 = 5;
/// A blob with metadata. One without is written as ever, so that versions that know of none read it.
const DESCRIBED: u8 = 6;

const VALUE_ROW: u8 = 0;
const PART_ROW: u8 = 1;
const GARBAGE_ROW: u8 = 2;
const EPOCH_ROW: u8 = 3;
const CLEARED_ROW: u8 = 4;
const USED_ROW: u8 = 6;
/// Where the generation lies that was given last.
pub(super) const LAST_GENERATION: &[u8] = &[5];

/// What a number takes in a key.
const NUMBER_BYTES: usize = 8;
/// What stands before the name of a part.
const PART_HEAD_BYTES: usize = 1 + NUMBER_BYTES;

/// A time that never comes.
pub(super) const NEVER_MS: u64 = u64::MAX;

/// A number that one collection has.
pub(super) type Generation = u64;

/// What the row of a value says, and that of its uses; with its content, or without where only its end is asked for.
#[derive(Clone, Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub(super) struct Head<C = Content> {
    pub(super) at_most_ms: u64,
    /// When it ends unused, unless it was used since it was written.
    pub(super) unused_ms: u64,
    /// When it ends unused since it was used.
    pub(super) used_ms: Option<u64>,
    pub(super) content: C,
}

/// A value, or where its parts lie.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Blob(Blob),
    Hash(Generation),
    SortedSet(Generation),
    Counter(i64),
    Encoded { shape: u32, bytes: Bytes },
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Blob(a), Self::Blob(b)) => a == b,
            (Self::Hash(a), Self::Hash(b)) | (Self::SortedSet(a), Self::SortedSet(b)) => a == b,
            (Self::Counter(a), Self::Counter(b)) => a == b,
            (Self::Encoded { shape: a, bytes: x }, Self::Encoded { shape: b, bytes: y }) => a == b && x == y,
            _ => false,
        }
    }
}

impl Content {
    /// Where its parts lie, if it has some.
    pub(super) fn generation(&self) -> Option<Generation> {
        match self {
            Self::Hash(generation) | Self::SortedSet(generation) => Some(*generation),
            Self::Blob(_) | Self::Counter(_) | Self::Encoded { .. } => None,
        }
    }

    /// About what lies beside its key, in bytes; of what has parts those count for themselves.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Blob(blob) => blob.as_bytes().len(),
            Self::Encoded { bytes, .. } => bytes.len(),
            Self::Hash(_) | Self::SortedSet(_) | Self::Counter(_) => 0,
        }
    }
}

impl<C> Head<C> {
    /// When it ends unless it is used.
    pub(super) fn ends_ms(&self) -> u64 {
        self.at_most_ms.min(self.ends_unused_ms())
    }

    pub(super) fn ends_unused_ms(&self) -> u64 {
        self.used_ms.unwrap_or(self.unused_ms)
    }

    pub(super) fn is_over(&self, now_ms: u64) -> bool {
        self.ends_ms() <= now_ms
    }

    /// The same without the content.
    pub(super) fn end_only(self) -> Head<()> {
        let Self { at_most_ms, unused_ms, used_ms, content: _ } = self;
        Head { at_most_ms, unused_ms, used_ms, content: () }
    }

    /// The same with the uses that `get` finds.
    ///
    /// # Errors
    /// As [`Head::find`].
    pub(super) fn used(
        mut self,
        at: &[u8],
        get: impl FnOnce(&[u8]) -> Result<Option<Bytes>, DiskError>,
    ) -> Result<Self, DiskError> {
        if self.unused_ms != NEVER_MS {
            let at = used(at);
            self.used_ms = get(&at)?.map(|row| number(Some(row), &at)).transpose()?;
        }
        Ok(self)
    }
}

impl Head {
    /// Whether its row is that of `other`, whatever the uses of the two are.
    pub(super) fn has_row_of(&self, other: &Self) -> bool {
        (self.at_most_ms, self.unused_ms) == (other.at_most_ms, other.unused_ms)
            && self.content == other.content
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(FORM);
        out.put_u8(match &self.content {
            Content::Blob(blob) if blob.metadata().is_some() => DESCRIBED,
            Content::Blob(_) => BLOB,
            Content::Hash(_) => HASH,
            Content::SortedSet(_) => SORTED_SET,
            Content::Counter(_) => COUNTER,
            Content::Encoded { .. } => ENCODED,
        });
        out.put_u64_le(self.at_most_ms);
        out.put_u64_le(self.unused_ms);
        match &self.content {
            Content::Blob(blob) => {
                if let Some(metadata) = blob.metadata() {
                    out.put_u16_le(u16::try_from(metadata.len()).unwrap_or(u16::MAX));
                    out.put_slice(metadata);
                }
                let content_type = blob.content_type();
                out.put_u32_le(u32::try_from(content_type.len()).unwrap_or(u32::MAX));
                out.put_slice(content_type.as_bytes());
                out.put_slice(blob.as_bytes());
            }
            Content::Hash(generation) | Content::SortedSet(generation) => out.put_u64_le(*generation),
            Content::Counter(number) => out.put_i64_le(*number),
            Content::Encoded { shape, bytes } => {
                out.put_u32_le(*shape);
                out.put_slice(bytes);
            }
        }
        out.freeze()
    }

    fn decode(mut from: Bytes) -> Option<Self> {
        if from.try_get_u8().ok()? != FORM {
            return None;
        }
        let kind = from.try_get_u8().ok()?;
        let (at_most_ms, unused_ms) = (from.try_get_u64_le().ok()?, from.try_get_u64_le().ok()?);
        let content = match kind {
            BLOB => Content::Blob(blob(from)?),
            DESCRIBED => {
                let length = usize::from(from.try_get_u16_le().ok()?);
                let metadata = (from.len() >= length).then(|| from.split_to(length))?;
                let blob = blob(from)?.with_metadata(&metadata);
                // None, or more than a blob's can be, was never written.
                Content::Blob((blob.metadata() == Some(&metadata[..])).then_some(blob)?)
            }
            // Nothing is behind a number.
            HASH | SORTED_SET | COUNTER if from.len() != NUMBER_BYTES => return None,
            HASH => Content::Hash(from.try_get_u64_le().ok()?),
            SORTED_SET => Content::SortedSet(from.try_get_u64_le().ok()?),
            COUNTER => Content::Counter(from.try_get_i64_le().ok()?),
            ENCODED => Content::Encoded { shape: from.try_get_u32_le().ok()?, bytes: from },
            _ => return None,
        };
        Some(Self { at_most_ms, unused_ms, used_ms: None, content })
    }

    /// The value at `at`, as `get` finds it and its uses.
    ///
    /// # Errors
    /// What `get` says; [`DiskError::Damaged`] where this version cannot read it.
    pub(super) fn find(
        at: &[u8],
        get: impl Fn(&[u8]) -> Result<Option<Bytes>, DiskError>,
    ) -> Result<Option<Self>, DiskError> {
        get(at)?.map(|row| Self::read(row, at)?.used(at, get)).transpose()
    }

    /// What the row of a value says, its uses left out.
    ///
    /// # Errors
    /// [`DiskError::Damaged`] where this version cannot read it.
    pub(super) fn read(row: Bytes, at: &[u8]) -> Result<Self, DiskError> {
        Self::decode(row).ok_or_else(|| unreadable(at))
    }
}

/// A blob without its metadata.
fn blob(mut from: Bytes) -> Option<Blob> {
    let length = usize::try_from(from.try_get_u32_le().ok()?).ok()?;
    let content_type = (from.len() >= length).then(|| from.split_to(length))?;
    let content_type = std::str::from_utf8(&content_type).ok()?;
    let blob = Blob::new(&from, content_type);
    // One that is longer than a blob's can be was never written.
    (blob.content_type() == content_type).then_some(blob)
}

/// The score in the row of a member.
///
/// # Errors
/// [`DiskError::Damaged`].
pub(super) fn score(content: &[u8], at: &[u8]) -> Result<Score, DiskError> {
    let score = content.try_into().ok().and_then(|bytes| Score::new(f64::from_le_bytes(bytes)).ok());
    // A zero with a sign is no score, and never written.
    score.filter(|score| score.get().to_le_bytes() == content).ok_or_else(|| unreadable(at))
}

/// The row of a member with this score.
pub(super) fn of_score(score: Score) -> Bytes {
    Bytes::copy_from_slice(&score.get().to_le_bytes())
}

fn unreadable(at: &[u8]) -> DiskError {
    DiskError::Damaged {
        place: format!("the record {:?} of {}", at.escape_ascii().to_string(), Space::Stores.name()),
        problem: "it cannot be read: restore a backup, or delete the key".into(),
    }
}

fn numbered(row: u8, number: u64) -> BytesMut {
    let mut at = BytesMut::new();
    at.put_u8(row);
    at.put_u64(number);
    at
}

fn owned(row: u8, owner: &Owner) -> BytesMut {
    let mut at = BytesMut::new();
    at.put_u8(row);
    put_owner(&mut at, owner);
    at
}

/// How the rows of an owner's values begin in every epoch.
pub(super) fn owned_values(owner: &Owner) -> Bytes {
    owned(VALUE_ROW, owner).freeze()
}

/// The epoch of the value at `at`, whose owner's values begin with `owned`.
pub(super) fn epoch_of_value(at: &[u8], owned: &[u8]) -> Option<u64> {
    let (epoch, _) = at.strip_prefix(owned)?.split_first_chunk::<NUMBER_BYTES>()?;
    Some(u64::from_be_bytes(*epoch))
}

/// How the rows of an owner's values begin in an epoch.
pub(super) fn values(owner: &Owner, epoch: u64) -> BytesMut {
    let mut at = owned(VALUE_ROW, owner);
    at.put_u64(epoch);
    at
}

/// Where the value of a key lies.
pub(super) fn value(owner: &Owner, epoch: u64, key: &[u8]) -> Bytes {
    let mut at = values(owner, epoch);
    at.put_slice(key);
    at.freeze()
}

/// Where the uses of the value at `at` lie.
pub(super) fn used(at: &[u8]) -> Bytes {
    let mut used = BytesMut::with_capacity(at.len());
    used.put_u8(USED_ROW);
    used.put_slice(at.get(1..).unwrap_or_default());
    used.freeze()
}

/// Where a part of a collection lies; without a name, how all of them begin.
pub(super) fn part(generation: Generation, name: &[u8]) -> Bytes {
    let mut at = numbered(PART_ROW, generation);
    at.put_slice(name);
    at.freeze()
}

/// The name of the part that lies at `at`.
pub(super) fn name_of(at: &Bytes) -> Bytes {
    at.slice(PART_HEAD_BYTES.min(at.len())..)
}

/// Where it is said that the parts of a collection are garbage.
pub(super) fn garbage(generation: Generation) -> Bytes {
    numbered(GARBAGE_ROW, generation).freeze()
}

/// How all rows begin that tell of garbage.
pub(super) const ALL_GARBAGE: &[u8] = &[GARBAGE_ROW];

/// The generation that a row tells of as garbage.
pub(super) fn of_garbage(at: &[u8]) -> Option<Generation> {
    at.get(1..)?.try_into().ok().map(u64::from_be_bytes)
}

/// Where an owner's epoch lies.
pub(super) fn epoch(owner: &Owner) -> Bytes {
    owned(EPOCH_ROW, owner).freeze()
}

/// The number that was found, of an epoch or a generation; 0 where there is none.
///
/// # Errors
/// [`DiskError::Damaged`].
pub(super) fn number(found: Option<Bytes>, at: &[u8]) -> Result<u64, DiskError> {
    found.map_or(Ok(0), |row| row[..].try_into().map(u64::from_le_bytes).map_err(|_| unreadable(at)))
}

/// Where it is said that an epoch of an owner is over.
pub(super) fn cleared(owner: &Owner, epoch: u64) -> Bytes {
    let mut at = owned(CLEARED_ROW, owner);
    at.put_u64(epoch);
    at.freeze()
}

/// How all rows begin that tell of cleared epochs.
pub(super) const ALL_CLEARED: &[u8] = &[CLEARED_ROW];

/// How the rows of the values begin that a row tells of as cleared.
pub(super) fn of_cleared(at: &[u8]) -> Bytes {
    let mut values = BytesMut::with_capacity(at.len());
    values.put_u8(VALUE_ROW);
    values.put_slice(at.get(1..).unwrap_or_default());
    values.freeze()
}

/// Where the end of a value lies; `None` where it never ends.
pub(super) fn end(ends_ms: u64, at: &[u8]) -> Option<Bytes> {
    (ends_ms != NEVER_MS).then(|| {
        let mut row = BytesMut::with_capacity(NUMBER_BYTES + at.len());
        row.put_u64(ends_ms.div_ceil(1000));
        row.put_slice(at);
        row.freeze()
    })
}

/// The second of an end, and where its value lies.
pub(super) fn of_end(row: &Bytes) -> Option<(u64, Bytes)> {
    let (second, _) = row.split_first_chunk::<NUMBER_BYTES>()?;
    Some((u64::from_be_bytes(*second), row.slice(NUMBER_BYTES..)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use forebay::tier::shared::Owner;
    use forebay::value::Blob;

    use super::{Content, Head, NEVER_MS, used, value};

    fn heads() -> Vec<Head> {
        let content = [
            Content::Blob(Blob::json("{}")),
            Content::Blob(Blob::new("x", "text/plain")),
            Content::Hash(7),
            Content::SortedSet(8),
            Content::Counter(-2),
            Content::Encoded { shape: 3, bytes: Bytes::from_static(b"native") },
            Content::Blob(Blob::new("x", "text/plain").with_metadata(b"{}")),
        ];
        content.map(|content| Head { at_most_ms: 1_000, unused_ms: NEVER_MS, used_ms: None, content }).into()
    }

    #[test]
    fn a_head_is_read_as_it_was_written_and_not_when_it_is_cut_short() {
        for head in heads() {
            let row = head.encode();
            assert_eq!(Head::read(row.clone(), b"").unwrap(), head);
            let least = match head.content {
                Content::Blob(blob) => row.len() - blob.bytes().len(),
                Content::Encoded { bytes, .. } => row.len() - bytes.len(),
                _ => row.len(),
            };
            for length in 0..least {
                assert!(Head::read(row.slice(..length), b"").is_err(), "{length}");
            }
            let mut other = row.to_vec();
            other[0] = 2;
            assert!(Head::read(other.into(), b"").is_err());
        }
    }

    #[test]
    fn uses_lie_apart_from_their_value() {
        let owner = Owner { keyspace: "shop".into(), namespace: "s".into() };
        let at = value(&owner, 3, b"k");
        assert_eq!(used(&at), b"\x06\0\0\0\x04shop\0\0\0\x01s\0\0\0\0\0\0\0\x03k"[..]);
        let row = |unused_ms| {
            Head { at_most_ms: 9_000, unused_ms, used_ms: None, content: Content::Hash(1) }.encode()
        };
        for (unused_ms, uses, ends) in [
            (1_000, None, 1_000),
            (1_000, Some(5_000), 5_000),
            (5_000, Some(1_000), 1_000),
            (1_000, Some(10_000), 9_000),
            (NEVER_MS, Some(1_000), 9_000),
        ] {
            let uses = uses.map(|uses: u64| Bytes::copy_from_slice(&uses.to_le_bytes()));
            let get = |of: &[u8]| Ok(if *of == at { Some(row(unused_ms)) } else { uses.clone() });
            assert_eq!(Head::find(&at, get).unwrap().unwrap().ends_ms(), ends);
        }
        let torn = |of: &[u8]| Ok(Some(if *of == at { row(1_000) } else { Bytes::from_static(b"torn") }));
        assert!(Head::find(&at, torn).is_err());
    }

    #[test]
    fn the_form_is_what_was_promised() {
        let found: Vec<_> =
            heads().into_iter().map(|head| head.encode().escape_ascii().to_string()).collect();
        expect_test::expect![[r#"
            \x01\x01\xe8\x03\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x10\x00\x00\x00application/json{}
            \x01\x01\xe8\x03\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\n\x00\x00\x00text/plainx
            \x01\x02\xe8\x03\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x07\x00\x00\x00\x00\x00\x00\x00
            \x01\x03\xe8\x03\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x08\x00\x00\x00\x00\x00\x00\x00
            \x01\x04\xe8\x03\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff\xff\xff\xff\xff
            \x01\x05\xe8\x03\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x03\x00\x00\x00native
            \x01\x06\xe8\x03\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x02\x00{}\n\x00\x00\x00text/plainx"#]].assert_eq(&found.join("\n"));
    }
}

//! Bytes with a content type: what every front end can serve.
//!
//! A blob is one allocation: its count of references, which is single, since nothing refers to a blob weakly; its content type, a
//! byte where it is a common one; its metadata, which takes nothing where there is none; its bytes.

use std::fmt;

use bytes::Bytes;
use triomphe::{Arc, HeaderSlice};

use super::length;

const JSON: &str = "application/json";
const OPAQUE: &str = "application/octet-stream";

/// Bytes with a content type, in one allocation; a clone is another reference to it.
#[derive(Clone)]
pub struct Blob(Arc<HeaderSlice<Head, [u8]>>);

/// What comes before the bytes.
#[derive(Clone, Copy)]
struct Head {
    media: Media,
    /// How long the text of the content type is that comes next, in bytes.
    text: u8,
}

#[derive(Clone, Copy)]
enum Media {
    Json,
    Opaque,
    /// The text says.
    Text,
    /// The text says, and metadata comes before it: its length in two bytes, then itself.
    Described,
}

/// What comes before metadata.
const LENGTH_BYTES: usize = 2;

impl Blob {
    /// `bytes`, which are copied, of a media type such as `text/html; charset=utf-8`. One of more than 255 bytes is none, and the
    /// bytes are taken for opaque.
    #[must_use]
    pub fn new(bytes: impl AsRef<[u8]>, content_type: &str) -> Self {
        let bytes = bytes.as_ref();
        match (content_type, u8::try_from(content_type.len())) {
            (JSON, _) => Self::known(bytes, Media::Json),
            (OPAQUE, _) | (_, Err(_)) => Self::known(bytes, Media::Opaque),
            (_, Ok(text)) => {
                let content = [content_type.as_bytes(), bytes].concat();
                Self(Arc::from_header_and_slice(Head { media: Media::Text, text }, &content))
            }
        }
    }

    /// The same bytes and content type with `metadata`, what their writer wants to know with them; none where it is empty. One of more
    /// than [`METADATA_BYTES_MAX`](Self::METADATA_BYTES_MAX) bytes is none.
    #[must_use]
    pub fn with_metadata(&self, metadata: &[u8]) -> Self {
        let (content_type, bytes) = (self.content_type(), self.as_bytes());
        let length =
            u16::try_from(metadata.len()).ok().filter(|_| metadata.len() <= Self::METADATA_BYTES_MAX);
        match (length, u8::try_from(content_type.len())) {
            (Some(length @ 1..), Ok(text)) => {
                let content = [&length.to_le_bytes(), metadata, content_type.as_bytes(), bytes].concat();
                Self(Arc::from_header_and_slice(Head { media: Media::Described, text }, &content))
            }
            _ => Self::new(bytes, content_type),
        }
    }

    /// The longest metadata, in bytes.
    pub const METADATA_BYTES_MAX: usize = 1024;

    /// What the writer wants to know with the bytes; `None` where there is nothing.
    #[must_use]
    pub fn metadata(&self) -> Option<&[u8]> {
        self.described().map(|(metadata, _)| metadata)
    }

    /// Compact JSON text; it is copied.
    #[must_use]
    pub fn json(bytes: impl AsRef<[u8]>) -> Self {
        Self::known(bytes.as_ref(), Media::Json)
    }

    /// Bytes of which nothing is known; they are copied.
    #[must_use]
    pub fn opaque(bytes: impl AsRef<[u8]>) -> Self {
        Self::known(bytes.as_ref(), Media::Opaque)
    }

    fn known(bytes: &[u8], media: Media) -> Self {
        Self(Arc::from_header_and_slice(Head { media, text: 0 }, bytes))
    }

    /// The bytes.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.split().1
    }

    /// The bytes, to be kept or sent: they are shared, not copied. Allocates some fifty bytes; [`as_bytes`](Self::as_bytes)
    /// nothing.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        Bytes::from_owner(self.clone())
    }

    /// The media type of the bytes, such as `application/json`.
    #[must_use]
    pub fn content_type(&self) -> &str {
        match self.0.header.media {
            Media::Json => JSON,
            Media::Opaque => OPAQUE,
            Media::Text | Media::Described => std::str::from_utf8(self.split().0).unwrap_or(OPAQUE),
        }
    }

    /// What it takes on the heap, in bytes.
    #[inline]
    pub(super) fn weight_bytes(&self) -> u64 {
        let count_bytes = size_of::<usize>();
        let bytes = self.0.slice.len().saturating_add(count_bytes + size_of::<Head>());
        length(bytes.checked_next_multiple_of(count_bytes).unwrap_or(usize::MAX))
    }

    /// The text of the content type, where it is one, and the bytes.
    #[inline]
    fn split(&self) -> (&[u8], &[u8]) {
        let HeaderSlice { header, slice } = &*self.0;
        let slice = match header.media {
            Media::Described => self.described().map_or(slice, |(_, rest)| rest),
            Media::Json | Media::Opaque | Media::Text => slice,
        };
        slice.split_at_checked(header.text.into()).unwrap_or((&[], slice))
    }

    /// The metadata, and what comes after it.
    fn described(&self) -> Option<(&[u8], &[u8])> {
        let HeaderSlice { header: Head { media: Media::Described, .. }, slice } = &*self.0 else {
            return None;
        };
        let (length, rest) = slice.split_first_chunk::<LENGTH_BYTES>()?;
        rest.split_at_checked(u16::from_le_bytes(*length).into())
    }
}

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for Blob {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
            && self.content_type() == other.content_type()
            && self.metadata() == other.metadata()
    }
}

impl Eq for Blob {}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({}, \"{}\"", self.content_type(), self.as_bytes().escape_ascii())?;
        match self.metadata() {
            Some(metadata) => write!(f, ", \"{}\")", metadata.escape_ascii()),
            None => f.write_str(")"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{Blob, Head};

    const _: () = assert!(size_of::<Head>() == 2);

    #[test]
    fn metadata_takes_nothing_where_there_is_none() {
        let plain = Blob::json("0123456789abcd");
        assert_eq!(plain.weight_bytes(), 24);
        assert_eq!(plain.with_metadata(b"").weight_bytes(), 24);
        assert_eq!(
            plain.with_metadata(b"{}").weight_bytes(),
            48,
            "its length, itself and the whole content type"
        );
        let longest = [b'1'; Blob::METADATA_BYTES_MAX];
        assert_eq!(plain.with_metadata(&longest).metadata(), Some(&longest[..]));
        assert_eq!(plain.with_metadata(&[b'1'; Blob::METADATA_BYTES_MAX + 1]).metadata(), None);
    }

    proptest! {
        #[test]
        fn a_blob_has_what_it_was_made_of(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
            metadata in proptest::collection::vec(any::<u8>(), 0..64),
            content_type in "(application/json|application/octet-stream|text/plain|)",
        ) {
            let plain = Blob::new(&bytes, &content_type);
            let described = plain.with_metadata(&metadata);
            assert_eq!(described.as_bytes(), bytes);
            assert_eq!(described.content_type(), plain.content_type());
            assert_eq!(described.metadata(), Some(&metadata[..]).filter(|metadata| !metadata.is_empty()));
            assert_eq!(described == plain, metadata.is_empty());
            assert_eq!(described.with_metadata(b""), plain);
        }
    }
}

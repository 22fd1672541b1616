//! Bytes with a content type: what every front end can serve.
//!
//! A blob is one allocation: its count of references, which is single, since nothing refers to a blob weakly; its content type, a
//! byte where it is a common one; its bytes.

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
}

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
            Media::Text => std::str::from_utf8(self.split().0).unwrap_or(OPAQUE),
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
        slice.split_at_checked(header.text.into()).unwrap_or((&[], slice))
    }
}

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for Blob {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes() && self.content_type() == other.content_type()
    }
}

impl Eq for Blob {}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({}, \"{}\")", self.content_type(), self.as_bytes().escape_ascii())
    }
}

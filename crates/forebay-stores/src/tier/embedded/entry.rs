//! An entry on disk: an envelope, with times of day in place of spans.
//!
//! ```text
//! | form: 1 | flags: 1 | epoch: 8 | noted: 8 | begun: 8 | fresh until: 8 | useless at: 8 | shape: 4 | version: 8, if any |
//! | tags: 4, each a length of 4 and its text | content type, or kind and shape: 4 | bytes … |
//! ```
//!
//! Numbers are little endian, times milliseconds since 1970. The flags: 1 marked as stale, 2 has a version, 4 a blob, 8 another
//! kind; without either of the last two, an absence, with nothing behind its tags. There is one way to write an entry, and no other
//! is read.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use forebay::log::{Cursor, Epoch};
use forebay::tier::shared::{Envelope, EnvelopeValue};
use forebay::value::{Position, Tag, Version};

/// The form that is written.
const FORM: u8 = 1;
const EXPIRED: u8 = 1;
const VERSIONED: u8 = 2;
const BLOB: u8 = 4;
const ENCODED: u8 = 8;
const FLAGS: u8 = EXPIRED | VERSIONED | BLOB | ENCODED;

/// An envelope as it lies on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) noted: Cursor,
    /// When its load began.
    begun_ms: u64,
    fresh_until_ms: u64,
    pub(super) useless_at_ms: u64,
    pub(super) expired: bool,
    pub(super) version: Option<Version>,
    shape: u32,
    pub(super) tags: Vec<Tag>,
    value: Option<EnvelopeValue>,
}

impl Entry {
    /// The entry of an envelope that arrived at `now_ms`.
    pub(super) fn new(envelope: Envelope, now_ms: u64) -> Self {
        Self {
            noted: envelope.noted,
            begun_ms: now_ms.saturating_sub(envelope.age_ms),
            fresh_until_ms: now_ms.saturating_add(envelope.fresh_for_ms),
            useless_at_ms: now_ms.saturating_add(envelope.useless_after_ms),
            expired: envelope.expired,
            version: envelope.version,
            shape: envelope.shape,
            tags: envelope.tags,
            value: envelope.value,
        }
    }

    /// The envelope as of `now_ms`; `None` where it is of no use any more.
    pub(super) fn at(self, now_ms: u64) -> Option<Envelope> {
        let useless_after_ms = self.useless_at_ms.saturating_sub(now_ms);
        (useless_after_ms > 0).then(|| Envelope {
            value: self.value,
            age_ms: now_ms.saturating_sub(self.begun_ms),
            fresh_for_ms: self.fresh_until_ms.saturating_sub(now_ms),
            useless_after_ms,
            noted: self.noted,
            tags: self.tags,
            version: self.version,
            shape: self.shape,
            expired: self.expired,
        })
    }

    /// The same, marked as stale.
    pub(super) fn marked(self) -> Self {
        Self { expired: true, ..self }
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        let mut flags = 0;
        if self.expired {
            flags |= EXPIRED;
        }
        if self.version.is_some() {
            flags |= VERSIONED;
        }
        match self.value {
            Some(EnvelopeValue::Blob { .. }) => flags |= BLOB,
            Some(EnvelopeValue::Encoded { .. }) => flags |= ENCODED,
            None => {}
        }
        out.put_u8(FORM);
        out.put_u8(flags);
        let times = [self.begun_ms, self.fresh_until_ms, self.useless_at_ms];
        let numbers = [self.noted.epoch.0, self.noted.position.number()].into_iter().chain(times);
        numbers.for_each(|number| out.put_u64_le(number));
        out.put_u32_le(self.shape);
        if let Some(Version(version)) = self.version {
            out.put_i64_le(version);
        }
        put_length(&mut out, self.tags.len());
        self.tags.iter().for_each(|tag| put_text(&mut out, tag));
        match &self.value {
            Some(EnvelopeValue::Blob { bytes, content_type }) => {
                put_text(&mut out, content_type);
                out.put_slice(bytes);
            }
            Some(EnvelopeValue::Encoded { kind, shape, bytes }) => {
                put_text(&mut out, kind);
                out.put_u32_le(*shape);
                out.put_slice(bytes);
            }
            None => {}
        }
        out.freeze()
    }

    /// The entry of what was written; `None` where its form is unknown, or it is not as it was written.
    pub(super) fn decode(mut from: Bytes) -> Option<Self> {
        if from.try_get_u8().ok()? != FORM {
            return None;
        }
        let flags = from.try_get_u8().ok()?;
        if flags & !FLAGS != 0 || flags & (BLOB | ENCODED) == BLOB | ENCODED {
            return None;
        }
        let mut number = || from.try_get_u64_le().ok();
        let noted = Cursor { epoch: Epoch(number()?), position: Position::new(number()?) };
        let (begun_ms, fresh_until_ms, useless_at_ms) = (number()?, number()?, number()?);
        let shape = from.try_get_u32_le().ok()?;
        let version = match flags & VERSIONED {
            0 => None,
            _ => Some(Version(from.try_get_i64_le().ok()?)),
        };
        let tags = from.try_get_u32_le().ok()?;
        let tags = (0..tags).map(|_| text(&mut from)).collect::<Option<_>>()?;
        let value = if flags & BLOB != 0 {
            let content_type = text(&mut from)?;
            Some(EnvelopeValue::Blob { bytes: from, content_type })
        } else if flags & ENCODED != 0 {
            let (kind, shape) = (text(&mut from)?, from.try_get_u32_le().ok()?);
            Some(EnvelopeValue::Encoded { kind, shape, bytes: from })
        } else if from.is_empty() {
            None
        } else {
            return None;
        };
        let expired = flags & EXPIRED != 0;
        Some(Self { noted, begun_ms, fresh_until_ms, useless_at_ms, expired, version, shape, tags, value })
    }
}

fn put_length(out: &mut BytesMut, length: usize) {
    out.put_u32_le(u32::try_from(length).unwrap_or(u32::MAX));
}

fn put_text(out: &mut BytesMut, text: &str) {
    put_length(out, text.len());
    out.put_slice(text.as_bytes());
}

fn text(from: &mut Bytes) -> Option<Arc<str>> {
    let length = usize::try_from(from.try_get_u32_le().ok()?).ok()?;
    (from.len() >= length)
        .then(|| from.split_to(length))
        .and_then(|text| std::str::from_utf8(&text).ok().map(Arc::from))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use forebay::log::{Cursor, Epoch};
    use forebay::tier::shared::{Envelope, EnvelopeValue};
    use forebay::value::{Position, Version};

    use super::Entry;

    fn envelopes() -> [Envelope; 3] {
        let noted = Cursor { epoch: Epoch(3), position: Position::new(4) };
        let absence = Envelope {
            value: None,
            age_ms: 5,
            fresh_for_ms: 100,
            useless_after_ms: 200,
            noted,
            tags: Vec::new(),
            version: None,
            shape: 9,
            expired: false,
        };
        let content_type = Arc::from("text/plain");
        let blob = EnvelopeValue::Blob { bytes: Bytes::from_static(b"value"), content_type };
        let (kind, bytes) = (Arc::from("hash"), Bytes::from_static(b"fields"));
        let encoded = EnvelopeValue::Encoded { kind, shape: 7, bytes };
        let tagged = Envelope { value: Some(blob), tags: vec!["a".into(), "bc".into()], ..absence.clone() };
        let versioned =
            Envelope { value: Some(encoded), version: Some(Version(-1)), expired: true, ..absence.clone() };
        [absence, tagged, versioned]
    }

    #[test]
    fn an_entry_is_told_as_it_came_but_older() {
        for envelope in envelopes() {
            let entry = Entry::new(envelope.clone(), 1_000_000);
            let read = Entry::decode(entry.encode()).unwrap();
            assert_eq!(read, entry);
            let older = Envelope { age_ms: 45, fresh_for_ms: 60, useless_after_ms: 160, ..envelope };
            assert_eq!(read.clone().at(1_000_040), Some(older));
            assert_eq!(read.clone().at(1_000_199).unwrap().fresh_for_ms, 0);
            assert_eq!(read.at(1_000_200), None);
        }
    }

    #[test]
    fn the_form_is_what_was_promised() {
        let found: Vec<_> = envelopes()
            .into_iter()
            .map(|envelope| Entry::new(envelope, 1_000).encode().escape_ascii().to_string())
            .collect();
        expect_test::expect![[r#"
            \x01\x00\x03\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\xe3\x03\x00\x00\x00\x00\x00\x00L\x04\x00\x00\x00\x00\x00\x00\xb0\x04\x00\x00\x00\x00\x00\x00\t\x00\x00\x00\x00\x00\x00\x00
            \x01\x04\x03\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\xe3\x03\x00\x00\x00\x00\x00\x00L\x04\x00\x00\x00\x00\x00\x00\xb0\x04\x00\x00\x00\x00\x00\x00\t\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00a\x02\x00\x00\x00bc\n\x00\x00\x00text/plainvalue
            \x01\x0b\x03\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\xe3\x03\x00\x00\x00\x00\x00\x00L\x04\x00\x00\x00\x00\x00\x00\xb0\x04\x00\x00\x00\x00\x00\x00\t\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x04\x00\x00\x00hash\x07\x00\x00\x00fields"#]].assert_eq(&found.join("\n"));
    }

    #[test]
    fn what_is_cut_short_or_of_another_form_is_not_read() {
        for envelope in envelopes() {
            let whole = Entry::new(envelope.clone(), 1_000).encode();
            let value = envelope.value.map_or(0, |value| value.len());
            for length in 0..whole.len() - value {
                assert_eq!(Entry::decode(whole.slice(..length)), None, "{length}");
            }
            let mut other = whole.to_vec();
            other[0] = 2;
            assert_eq!(Entry::decode(other.into()), None);
        }
    }
}

//! Negotiated compression: which form of a value a client gets, and the compressed forms that are kept.
//!
//! Only gzip (RFC 1952) is spoken: every client knows it. A value is compressed where its content type says text of some kind, from
//! [`LEAST_BYTES`] on, if that makes it smaller. Its compressed form has a tag of its own (`conditions.rs`), and parts are those of the value
//! as it is, so that a request for a part gets no compression.
//!
//! A form is made once and kept, so that a hit pays for it once: the forms kept take [`KEPT_BYTES_MAX`] at most, and those go first that
//! were not asked for since they came. [`MAKING_MAX`] forms are made at a time, large ones on threads of their own; whoever asks meanwhile
//! is sent the value as it is.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::Write as _;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use flate2::Compression;
use flate2::write::GzEncoder;
use forebay::Blob;
use forebay::rt::Mutex;

use super::conditions::Tag;
use super::hit::AT_ONCE_BYTES_MAX;
use super::media::Media;

/// Values shorter than this are sent as they are.
const LEAST_BYTES: usize = 1024;
/// What the forms that are kept take, in bytes.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What one of them takes beside its bytes, about.
const ENTRY_BYTES: usize = 128;
/// A form larger than this is made anew each time.
const ONE_BYTES_MAX: usize = KEPT_BYTES_MAX / 4;
/// How many forms are made at the same time.
const MAKING_MAX: usize = 4;

/// Whether a client that accepts it is sent the compressed form of `blob`, if that is smaller.
pub(super) fn is_worth(blob: &Blob) -> bool {
    blob.as_bytes().len() >= LEAST_BYTES && Media::of(blob.content_type()) != Media::Bytes
}

/// Whether who sends these headers is sent the compressed form of `blob`, if that is smaller: parts are those of the value as it is.
pub(super) fn is_wanted(blob: &Blob, asked: &HeaderMap) -> bool {
    is_worth(blob) && !asked.contains_key(header::RANGE) && is_accepted(asked)
}

/// Whether `Accept-Encoding` prefers gzip to the value as it is (RFC 9110 §12.5.3).
pub(super) fn is_accepted(asked: &HeaderMap) -> bool {
    let lines = asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    let (mut gzip, mut any, mut identity) = (None, None, None);
    for coding in lines.flat_map(|line| line.split(',')) {
        let (name, weight) =
            coding.split_once(';').map_or((coding, Some(1000)), |(name, q)| (name, weight(q)));
        let name = name.trim();
        let place = if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            &mut gzip
        } else if name.eq_ignore_ascii_case("identity") {
            &mut identity
        } else if name == "*" {
            &mut any
        } else {
            continue;
        };
        *place = weight.or(*place);
    }
    let gzip = gzip.or(any).unwrap_or(0);
    // What is not named is acceptable, and no more than that.
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// The thousandths of `q=0.5`; `None` where it is no weight.
fn weight(text: &str) -> Option<u16> {
    let (name, number) = text.split_once('=')?;
    let (whole, digits) = number.trim().split_once('.').unwrap_or((number.trim(), ""));
    let is_weight = name.trim().eq_ignore_ascii_case("q")
        && matches!(whole, "0" | "1")
        && digits.len() <= 3
        && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_weight.then(|| format!("{whole}{digits:0<3}").parse().unwrap_or(1000).min(1000))
}

/// The compressed forms of values, by the tags of these.
#[derive(Debug, Default)]
pub(super) struct Forms(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    forms: HashMap<Tag, Form>,
    /// In the order in which they came, or were spared.
    order: VecDeque<Tag>,
    bytes: usize,
    making: HashSet<Tag>,
}

#[derive(Debug)]
struct Form {
    /// `None` where it would not be smaller than the value.
    bytes: Option<Bytes>,
    /// Whether it was asked for since it came, or was spared.
    is_used: bool,
}

/// The place of one who makes a form; it is free again when this goes. It is where the form is made, so that a client who goes away
/// meanwhile leaves a form that is kept, and no place for one more than there may be.
struct Making {
    kept: Arc<Mutex<Kept>>,
    tag: Tag,
}

impl Making {
    /// Makes the form of `blob` and keeps it.
    fn make(self, blob: &Blob) -> Option<Bytes> {
        let bytes = smaller(blob.as_bytes());
        self.kept.lock().keep(self.tag, bytes.clone());
        bytes
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.kept.lock().making.remove(&self.tag);
    }
}

impl Forms {
    /// The compressed form of `blob`, whose tag is `tag`; `None` where it is to be sent as it is. One that takes long is made on another thread.
    pub(super) async fn of(&self, blob: &Blob, tag: Tag) -> Option<Bytes> {
        if blob.as_bytes().len() <= AT_ONCE_BYTES_MAX {
            return self.at_once(blob, tag);
        }
        let making = match self.find(tag) {
            Ok(form) => return form,
            Err(making) => making,
        };
        let blob = blob.clone();
        // One that panics leaves the value as it is.
        tokio::task::spawn_blocking(move || making.make(&blob)).await.ok().flatten()
    }

    /// The same, on this thread.
    pub(super) fn at_once(&self, blob: &Blob, tag: Tag) -> Option<Bytes> {
        self.find(tag).unwrap_or_else(|making| making.make(blob))
    }

    /// What is known of a form, or the place of who makes it.
    fn find(&self, tag: Tag) -> Result<Option<Bytes>, Making> {
        let mut kept = self.0.lock();
        if let Some(form) = kept.forms.get_mut(&tag) {
            form.is_used = true;
            return Ok(form.bytes.clone());
        }
        if kept.making.len() >= MAKING_MAX || !kept.making.insert(tag) {
            return Ok(None);
        }
        Err(Making { kept: Arc::clone(&self.0), tag })
    }
}

impl Kept {
    fn keep(&mut self, tag: Tag, bytes: Option<Bytes>) {
        if bytes.as_ref().is_some_and(|bytes| bytes.len() > ONE_BYTES_MAX) {
            return;
        }
        self.bytes += ENTRY_BYTES + bytes.as_ref().map_or(0, Bytes::len);
        self.forms.insert(tag, Form { bytes, is_used: false });
        self.order.push_back(tag);
        while self.bytes > KEPT_BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            match self.forms.get_mut(&oldest) {
                // A second chance: each is spared once for any number of uses, so that this ends.
                Some(form) if form.is_used => {
                    form.is_used = false;
                    self.order.push_back(oldest);
                }
                _ => {
                    let gone = self.forms.remove(&oldest).and_then(|form| form.bytes);
                    self.bytes -= ENTRY_BYTES + gone.as_ref().map_or(0, Bytes::len);
                }
            }
        }
    }
}

/// `bytes` compressed, where that is smaller.
fn smaller(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::default());
    encoder.write_all(bytes).ok()?;
    let mut compressed = encoder.finish().ok().filter(|compressed| compressed.len() < bytes.len())?;
    compressed.shrink_to_fit();
    Some(Bytes::from(compressed))
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use axum::http::{HeaderMap, HeaderValue, header};
    use forebay::Blob;

    use super::super::conditions::Tag;
    use super::{ENTRY_BYTES, Forms, KEPT_BYTES_MAX, Kept, MAKING_MAX, ONE_BYTES_MAX, is_accepted, is_worth};

    #[test]
    fn gzip_is_sent_to_who_prefers_it() {
        for (asked, accepted) in [
            ("gzip", true),
            ("deflate, GZIP;q=1.0, *;q=0.5", true),
            ("x-gzip", true),
            ("br;q=1, gzip; q=0.8", true),
            ("*", true),
            ("gzip;q=0.5, identity;q=0.5", true),
            ("gzip;q=0.4, identity;q=0.5", false),
            ("gzip;q=0.001", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000, *", false),
            ("*;q=0", false),
            ("identity", false),
            ("br, deflate", false),
            ("gzip;q=x", false),
            ("gzip;q=1.5555", false),
            ("", false),
        ] {
            let headers =
                HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_str(asked).unwrap())]);
            assert_eq!(is_accepted(&headers), accepted, "{asked}");
        }
        assert!(!is_accepted(&HeaderMap::new()));
    }

    #[test]
    fn text_of_some_length_is_worth_it() {
        let long = "x".repeat(1024);
        for (content_type, worth) in [
            ("application/json", true),
            ("text/html; charset=utf-8", true),
            ("Application/Problem+JSON", true),
            ("image/svg+xml", true),
            ("application/javascript", true),
            ("image/png", false),
            ("application/gzip", false),
            ("application/octet-stream", false),
        ] {
            assert_eq!(is_worth(&Blob::new(&long, content_type)), worth, "{content_type}");
            assert!(!is_worth(&Blob::new(&long.as_bytes()[1..], content_type)), "{content_type}");
        }
    }

    #[tokio::test]
    async fn a_form_is_made_once_and_only_where_it_is_smaller() {
        let forms = Forms::default();
        for length in [2_000, 200_000] {
            let blob = Blob::json("a".repeat(length));
            let tag = Tag::of(&blob);
            let first = forms.of(&blob, tag).await.unwrap();
            let second = forms.of(&blob, tag).await.unwrap();
            assert_eq!(first.as_ptr(), second.as_ptr(), "{length}");
            assert!(first.len() < length);
        }
        let mut random = fastrand::Rng::with_seed(7);
        let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(2_000).collect();
        let noise = Blob::json(noise);
        assert_eq!(forms.of(&noise, Tag::of(&noise)).await, None);
        assert!(forms.0.lock().making.is_empty());
    }

    #[tokio::test]
    async fn who_goes_away_leaves_its_form_and_its_place_until_it_is_made() {
        let forms = Forms::default();
        let blob = Blob::json("a".repeat(8 << 20));
        let tag = Tag::of(&blob);
        tokio::select! {
            biased;
            _ = forms.of(&blob, tag) => panic!("it is made on another thread"),
            () = std::future::ready(()) => {}
        }
        while forms.0.lock().making.contains(&tag) {
            tokio::task::yield_now().await;
        }
        assert!(forms.0.lock().forms.contains_key(&tag));
    }

    #[tokio::test]
    async fn who_asks_while_it_is_made_is_sent_the_value_as_it_is() {
        let forms = Forms::default();
        let blob = Blob::json("a".repeat(2_000));
        let tag = Tag::of(&blob);
        forms.0.lock().making.insert(tag);
        assert_eq!(forms.of(&blob, tag).await, None);
        forms.0.lock().making.clear();
        forms.0.lock().making.extend((0..MAKING_MAX).map(|each| Tag::of(&Blob::opaque(each.to_le_bytes()))));
        assert_eq!(forms.of(&blob, tag).await, None, "too many are made");
        forms.0.lock().making.clear();
        assert!(forms.of(&blob, tag).await.is_some());
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_asked_for_stays() {
        let mut kept = Kept::default();
        let tag = |number: usize| Tag::of(&Blob::opaque(number.to_le_bytes()));
        let bytes = Bytes::from(vec![0; ONE_BYTES_MAX / 2]);
        for number in 0..100 {
            kept.keep(tag(number), Some(bytes.clone()));
            kept.forms.get_mut(&tag(0)).unwrap().is_used = true;
            assert!(kept.bytes <= KEPT_BYTES_MAX);
            let forms = kept.forms.values().map(|form| ENTRY_BYTES + form.bytes.as_ref().unwrap().len());
            assert_eq!((kept.bytes, kept.order.len()), (forms.sum(), kept.forms.len()));
        }
        assert!(kept.forms.contains_key(&tag(0)) && !kept.forms.contains_key(&tag(1)));
        let before = kept.bytes;
        kept.keep(tag(200), Some(Bytes::from(vec![0; ONE_BYTES_MAX + 1])));
        assert_eq!(kept.bytes, before, "one that is too large is not kept");
    }
}

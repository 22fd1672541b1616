//! Entity tags, and the conditions on them that requests carry (RFC 9110 §8.8.3 and §13).
//!
//! A tag is made from a value's content type, metadata and bytes, and from nothing else, so that it is the same on every instance; nobody
//! makes two values of one tag. A compressed form has the tag of its value with the name of the coding behind it: `"1f…"` and `"1f…-gzip"`. Whoever holds either of them has seen the value; so conditions take
//! both for it. There are no conditions on times: values carry none that every instance agrees on.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use forebay::{Blob, Value};
use sha2::{Digest as _, Sha256};

use crate::problem::Problem;

/// What stands behind the tag of a value in that of its compressed form.
const COMPRESSED: &str = "-gzip";

/// The tag of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tag(u128);

/// The form of a value that a tag stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Its bytes as they are.
    Identity,
    /// The same, compressed.
    Compressed,
}

/// What the conditions of a read come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The value is to be sent.
    Send,
    /// Who asks has it already, in this form.
    Known(Form),
    /// The value is none of those that the request is for.
    Other,
}

impl Tag {
    /// The first 128 bits of the SHA-256 of all that a reader is sent, each part after its length.
    pub(super) fn of(blob: &Blob) -> Self {
        let mut hash = Sha256::new();
        for part in [blob.content_type().as_bytes(), blob.metadata().unwrap_or_default(), blob.as_bytes()] {
            // Without its length, bytes could move from one part to the next.
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        let bits: [u8; 32] = hash.finalize().into();
        Self(bits.first_chunk().copied().map_or(0, u128::from_be_bytes))
    }

    /// The tag of `form`, with its quotes.
    pub(super) fn header(self, form: Form) -> Option<HeaderValue> {
        let coding = if form == Form::Compressed { COMPRESSED } else { "" };
        HeaderValue::try_from(format!("\"{:032x}{coding}\"", self.0)).ok()
    }

    /// The form that `text` names; `None` where it names another value. Compared weakly unless `strongly`.
    fn named(self, text: &str, strongly: bool) -> Option<Form> {
        let text = if strongly { text } else { text.strip_prefix("W/").unwrap_or(text) };
        let opaque = text.strip_prefix('"')?.strip_suffix('"')?;
        let (digits, form) = match opaque.strip_suffix(COMPRESSED) {
            Some(digits) => (digits, Form::Compressed),
            None => (opaque, Form::Identity),
        };
        // Of all texts of a number only the one that is sent is the tag: 32 small hexadecimal digits.
        let is_tag =
            digits.len() == 32 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        (is_tag && u128::from_str_radix(digits, 16) == Ok(self.0)).then_some(form)
    }

    /// Whether `text` is the tag of the bytes as they are, compared strongly.
    pub(super) fn is_identity(self, text: &HeaderValue) -> bool {
        text.to_str().is_ok_and(|text| self.named(text.trim(), true) == Some(Form::Identity))
    }
}

/// The members of a header that is a list of tags.
fn tags<'h>(asked: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let lines = asked.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// Whether `If-Match` names the value, or there is none.
fn matches(asked: &HeaderMap, there: Option<Tag>) -> bool {
    !asked.contains_key(header::IF_MATCH)
        || tags(asked, &header::IF_MATCH)
            .any(|text| text == "*" || there.is_some_and(|tag| tag.named(text, true).is_some()))
}

/// The form of the value that `If-None-Match` names: `preferred` where it names more than one.
fn known(asked: &HeaderMap, there: Option<Tag>, preferred: Form) -> Option<Form> {
    let named = |text: &str| match text {
        "*" => Some(preferred),
        text => there.and_then(|tag| tag.named(text, false)),
    };
    let mut known = None;
    for form in tags(asked, &header::IF_NONE_MATCH).filter_map(named) {
        if form == preferred {
            return Some(form);
        }
        known = Some(form);
    }
    known
}

/// What a read that would send `form` of the value of this tag comes to.
pub(super) fn of_read(asked: &HeaderMap, tag: Tag, form: Form) -> Verdict {
    if !matches(asked, Some(tag)) {
        return Verdict::Other;
    }
    known(asked, Some(tag), form).map_or(Verdict::Send, Verdict::Known)
}

/// Whether a write is to be done only under conditions.
pub(super) fn are_asked(asked: &HeaderMap) -> bool {
    asked.contains_key(header::IF_MATCH) || asked.contains_key(header::IF_NONE_MATCH)
}

/// Whether a write is to be done where `there` is the value.
///
/// # Errors
/// The problem to answer with where it is not.
pub(super) fn of_write(asked: &HeaderMap, there: Option<&Value>) -> Result<(), Problem> {
    let tag = there.and_then(Value::to_blob).as_ref().map(Tag::of);
    let is_asked_for = match there {
        None => !asked.contains_key(header::IF_MATCH),
        Some(_) => matches(asked, tag) && known(asked, tag, Form::Identity).is_none(),
    };
    if is_asked_for { Ok(()) } else { Err(Problem::precondition_failed()) }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};
    use forebay::{Blob, Value};

    use super::{Form, Tag, Verdict, of_read, of_write};

    fn asked(lines: &[(header::HeaderName, &str)]) -> HeaderMap {
        lines.iter().map(|(name, text)| (name.clone(), HeaderValue::from_str(text).unwrap())).collect()
    }

    #[test]
    fn a_tag_names_one_value_in_one_form() {
        let tag = Tag::of(&Blob::opaque("value"));
        let text = |form| tag.header(form).unwrap().to_str().unwrap().to_owned();
        let (plain, gzip) = (text(Form::Identity), text(Form::Compressed));
        assert_eq!(gzip, format!("{}-gzip\"", plain.trim_end_matches('"')));
        for strongly in [true, false] {
            assert_eq!(tag.named(&plain, strongly), Some(Form::Identity));
            assert_eq!(tag.named(&gzip, strongly), Some(Form::Compressed));
            assert_eq!(Tag::of(&Blob::opaque("other")).named(&plain, strongly), None);
        }
        let weak = format!("W/{plain}");
        assert_eq!((tag.named(&weak, true), tag.named(&weak, false)), (None, Some(Form::Identity)));
        let capital = plain.to_uppercase();
        let padded = plain.replacen('"', "\"0", 1);
        for other in [&capital, &padded, plain.trim_matches('"'), "\"\"", "*", ""] {
            assert_eq!(tag.named(other, false), None, "{other}");
        }
    }

    #[test]
    fn a_tag_is_of_all_that_a_reader_is_sent() {
        let tags = [
            Tag::of(&Blob::new("value", "text/plain")),
            Tag::of(&Blob::new("value", "text/plai")),
            Tag::of(&Blob::new("nvalue", "text/plai")),
            Tag::of(&Blob::new("value", "text/plain").with_metadata(b"1")),
            Tag::of(&Blob::new("1value", "text/plain")),
            Tag::of(&Blob::new("alue", "text/plain").with_metadata(b"v")),
        ];
        for (at, tag) in tags.iter().enumerate() {
            assert!(!tags[..at].contains(tag), "{at}");
        }
        // It is told to clients, who may come back to another instance.
        let told = Tag::of(&Blob::new("value", "text/plain").with_metadata(b"1")).header(Form::Identity);
        assert_eq!(told.unwrap(), "\"574fbf3e7d70fe5adc7800f2352aba87\"");
    }

    #[test]
    fn a_read_is_answered_by_the_tag_that_was_named() {
        let tag = Tag::of(&Blob::opaque("value"));
        let text = |form| tag.header(form).unwrap().to_str().unwrap().to_owned();
        let (plain, gzip) = (text(Form::Identity), text(Form::Compressed));
        let both = format!("{plain}, {gzip}");
        for (named, sent, verdict) in [
            (plain.as_str(), Form::Identity, Verdict::Known(Form::Identity)),
            (&plain, Form::Compressed, Verdict::Known(Form::Identity)),
            (&gzip, Form::Identity, Verdict::Known(Form::Compressed)),
            (&both, Form::Identity, Verdict::Known(Form::Identity)),
            (&both, Form::Compressed, Verdict::Known(Form::Compressed)),
            ("*", Form::Compressed, Verdict::Known(Form::Compressed)),
            ("\"other\"", Form::Identity, Verdict::Send),
        ] {
            let found = of_read(&asked(&[(header::IF_NONE_MATCH, named)]), tag, sent);
            assert_eq!(found, verdict, "{named} {sent:?}");
        }
        let stale = asked(&[(header::IF_MATCH, "\"other\""), (header::IF_NONE_MATCH, &plain)]);
        assert_eq!(of_read(&stale, tag, Form::Identity), Verdict::Other, "If-Match is judged first");
        let weak = asked(&[(header::IF_MATCH, &format!("W/{plain}"))]);
        assert_eq!(of_read(&weak, tag, Form::Identity), Verdict::Other, "and strongly");
        assert_eq!(of_read(&asked(&[(header::IF_MATCH, &gzip)]), tag, Form::Identity), Verdict::Send);
    }

    #[test]
    fn a_write_is_done_where_the_value_is_the_one_it_is_for() {
        let value = Value::from(Blob::opaque("value"));
        let plain = Tag::of(&Blob::opaque("value")).header(Form::Identity).unwrap();
        let plain = plain.to_str().unwrap();
        for (name, text, over_value, over_nothing, over_counter) in [
            (header::IF_MATCH, plain, true, false, false),
            (header::IF_MATCH, "*", true, false, true),
            (header::IF_MATCH, "\"other\"", false, false, false),
            (header::IF_NONE_MATCH, plain, false, true, true),
            (header::IF_NONE_MATCH, "*", false, true, false),
            (header::IF_NONE_MATCH, "\"other\"", true, true, true),
        ] {
            let asked = asked(&[(name.clone(), text)]);
            for (there, done) in
                [(Some(&value), over_value), (None, over_nothing), (Some(&Value::Counter(1)), over_counter)]
            {
                assert_eq!(of_write(&asked, there).is_ok(), done, "{name}: {text} over {there:?}");
            }
        }
    }
}

//! Metadata: a little JSON that a writer keeps with a value, in the header `Forebay-Metadata`.
//!
//! It is any JSON of at most 1,024 bytes of UTF-8. On the way out it is put on one line, and what is not ASCII is escaped as JSON does
//! it, so that any client of HTTP can take it. On the way in such escapes become again what they stand for: what was read can be
//! written back, takes no more room than before, and is the same.

use std::fmt::Write as _;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use forebay::{Blob, Namespace, Writes};
use serde_json::value::RawValue;

use crate::problem::Problem;

/// The header that carries it, both ways.
pub(super) const FOREBAY_METADATA: HeaderName = HeaderName::from_static("forebay-metadata");

/// The metadata that a write carries, for a value of `namespace`.
///
/// # Errors
/// The problem to answer with where it is none, or would be lost.
pub(super) fn asked(headers: &HeaderMap, namespace: &Namespace<Blob>) -> Result<Option<String>, Problem> {
    let mut lines = headers.get_all(FOREBAY_METADATA).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let bad = || Problem::bad_metadata(Blob::METADATA_BYTES_MAX);
    let json = serde_json::from_slice::<&RawValue>(line.as_bytes()).map_err(|_| bad())?;
    let text = plain(json.get());
    if lines.next().is_some() {
        return Err(bad());
    }
    if text.len() > Blob::METADATA_BYTES_MAX {
        return Err(Problem::long_metadata(text.len(), Blob::METADATA_BYTES_MAX));
    }
    match namespace.policy().writes {
        Writes::Through | Writes::Behind => Err(Problem::metadata_refused(namespace.name())),
        Writes::Refuse | Writes::Cache | Writes::Store => Ok(Some(text)),
    }
}

/// JSON as it is kept: what [`header`] writes otherwise than it is kept is as it was, and all else is as it came.
fn plain(json: &str) -> String {
    let (mut text, mut rest) = (String::with_capacity(json.len()), json);
    while let Some(at) = rest.find(['\\', '\t']) {
        let (before, found) = rest.split_at(at);
        text.push_str(before);
        rest = match escaped(found) {
            Some((char, after)) => {
                text.push(char);
                after
            }
            // Outside a string it is a space, and within one it does not occur.
            None if found.starts_with('\t') => {
                text.push(' ');
                found.get(1..).unwrap_or_default()
            }
            // What is behind it may be another backslash, which begins nothing.
            None => {
                let (kept, after) = found.split_at_checked(2).unwrap_or((found, ""));
                text.push_str(kept);
                after
            }
        };
    }
    text.push_str(rest);
    text
}

/// The character that `text` begins with an escape of, and what is behind it; `None` where it is one that is kept escaped.
fn escaped(text: &str) -> Option<(char, &str)> {
    let unit = |text: &'_ str| {
        let (digits, _) = text.strip_prefix("\\u")?.split_at_checked(4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    const UNIT_BYTES: usize = 6;
    let first = unit(text)?;
    let rest = text.get(UNIT_BYTES..)?;
    let decoded = |units: &[u16]| char::decode_utf16(units.iter().copied()).next()?.ok();
    let (char, rest) = match decoded(&[first]) {
        Some(char) => (char, rest),
        None => (decoded(&[first, unit(rest)?])?, rest.get(UNIT_BYTES..)?),
    };
    (char > '~').then_some((char, rest))
}

/// The metadata of a value as a header.
pub(super) fn header(blob: &Blob) -> Option<HeaderValue> {
    let text = std::str::from_utf8(blob.metadata()?).ok()?;
    let mut line = String::with_capacity(text.len());
    for each in text.chars() {
        match each {
            // Outside a string it is a space, and within one it does not occur.
            '\n' | '\r' | '\t' => line.push(' '),
            ' '..='~' => line.push(each),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    // Writing to a string does not fail.
                    let _ = write!(line, "\\u{unit:04x}");
                }
            }
        }
    }
    HeaderValue::try_from(line).ok()
}

/// The metadata of a value as JSON.
pub(super) fn json(blob: &Blob) -> Option<&RawValue> {
    serde_json::from_slice(blob.metadata()?).ok()
}

#[cfg(test)]
mod tests {
    use forebay::Blob;

    use super::{header, json, plain};

    #[test]
    fn escapes_of_what_is_escaped_on_the_way_out_are_taken_off() {
        for (json, kept) in [
            (r#""\u00e5\u20AC""#, "\"å€\""),
            (r#""\ud83d\ude00""#, "\"😀\""),
            (r#""\u0041\u0000\n""#, r#""\u0041\u0000\n""#),
            (r#""\\u00e5""#, r#""\\u00e5""#),
            (r#""\\\u00e5""#, "\"\\\\å\""),
            (r#""\ud83d""#, r#""\ud83d""#),
            (r#""\ud83d\u0041\ude00""#, r#""\ud83d\u0041\ude00""#),
            ("{\t\"a\":\t1}", "{ \"a\": 1}"),
            (r#""\""#, r#""\""#),
        ] {
            assert_eq!(plain(json), kept, "{json}");
        }
    }

    #[test]
    fn metadata_goes_out_as_ascii_and_means_the_same() {
        let shown = |text: &str| {
            let blob = Blob::json("1").with_metadata(text.as_bytes());
            header(&blob).map(|header| header.to_str().unwrap().to_owned())
        };
        assert_eq!(shown(r#"{"by":"ann"}"#).unwrap(), r#"{"by":"ann"}"#);
        assert_eq!(shown("{\n\t\"a\": 1\r\n}").unwrap(), "{  \"a\": 1  }");
        let escaped = shown("{\"name\":\"å€😀\u{7f}\"}").unwrap();
        assert_eq!(escaped, r#"{"name":"\u00e5\u20ac\ud83d\ude00\u007f"}"#);
        let meant: serde_json::Value = serde_json::from_str(&escaped).unwrap();
        assert_eq!(meant["name"], "å€😀\u{7f}");
        assert_eq!(plain(&escaped), "{\"name\":\"å€😀\u{7f}\"}");
        assert_eq!(header(&Blob::json("1")), None);
        assert!(json(&Blob::json("1")).is_none());
        assert_eq!(json(&Blob::json("1").with_metadata(b" [1] ")).unwrap().get(), "[1]");
    }
}

//! Metadata: a little JSON that a writer keeps with a value, in the header `Forebay-Metadata`.
//!
//! It is any JSON of at most 1,024 bytes, kept as it came. On the way out it is put on one line, and what is not ASCII is escaped as JSON
//! does it, so that any client of HTTP can take it.

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
pub(super) fn asked<'h>(
    headers: &'h HeaderMap,
    namespace: &Namespace<Blob>,
) -> Result<Option<&'h [u8]>, Problem> {
    let mut lines = headers.get_all(FOREBAY_METADATA).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let text = line.as_bytes();
    let is_json = text.len() <= Blob::METADATA_BYTES_MAX && serde_json::from_slice::<&RawValue>(text).is_ok();
    if !is_json || lines.next().is_some() {
        return Err(Problem::bad_metadata(Blob::METADATA_BYTES_MAX));
    }
    match namespace.policy().writes {
        Writes::Through | Writes::Behind => Err(Problem::metadata_refused(namespace.name())),
        Writes::Refuse | Writes::Cache | Writes::Store => Ok(Some(text)),
    }
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

    use super::{header, json};

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
        assert_eq!(header(&Blob::json("1")), None);
        assert!(json(&Blob::json("1")).is_none());
        assert_eq!(json(&Blob::json("1").with_metadata(b" [1] ")).unwrap().get(), "[1]");
    }
}

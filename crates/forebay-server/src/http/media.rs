//! What a content type says of a value: the one reading of it, by which values are embedded in JSON and compressed.

/// What kind of bytes they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// JSON (RFC 8259), or a format that is written in it (`+json`, RFC 6839).
    Json,
    /// Text of another kind.
    Text,
    /// Anything else: compressed by itself, or unknown.
    Bytes,
}

impl Media {
    /// What a content type names, its parameters aside, in letters of any size (RFC 9110 §8.3.1).
    pub(super) fn of(content_type: &str) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let ends = |endings: &[&str]| endings.iter().any(|ending| essence.ends_with(ending));
        if ends(&["/json", "+json"]) {
            Self::Json
        } else if essence.starts_with("text/") || ends(&["+xml", "+text", "/xml", "/javascript", "/x-ndjson"])
        {
            Self::Text
        } else {
            Self::Bytes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Media::{self, Bytes, Json, Text};

    #[test]
    fn a_content_type_is_read_in_one_way() {
        for (content_type, media) in [
            ("application/json", Json),
            ("Application/JSON ; charset=utf-8", Json),
            ("application/problem+json", Json),
            ("text/html; charset=utf-8", Text),
            ("TEXT/plain", Text),
            ("image/svg+xml", Text),
            ("application/x-ndjson", Text),
            ("application/octet-stream", Bytes),
            ("application/jsonx", Bytes),
            ("image/png; text/plain", Bytes),
            ("", Bytes),
        ] {
            assert_eq!(Media::of(content_type), media, "{content_type}");
        }
    }
}

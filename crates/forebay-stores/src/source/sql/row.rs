//! One row as compact JSON: exact decimals, 64-bit integers, text, booleans and NULL as a reader expects them.
//!
//! Members come in the order of the columns; bytes come as base64. A number that JSON readers would lose is never written: decimals come from
//! text or integers only, with the scale that was declared for them.

use forebay::namespace::pattern::Pattern;
use forebay::rt::Tick;
use forebay::value::Tag;

use crate::time::Moment;

/// Why a row cannot be a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// A column declared as a decimal holds something else.
    #[error(
        "column `{column}` is declared as a decimal and holds {held}: store decimals as text or integers"
    )]
    NotADecimal {
        /// The column.
        column: String,
        /// What it holds.
        held: String,
    },
    /// A decimal has more digits than its declared scale.
    #[error(
        "column `{column}` holds {held}, its declared scale is {scale}: raise the scale or round what is stored"
    )]
    Scale {
        /// The column.
        column: String,
        /// What it holds.
        held: String,
        /// Digits after the point, as declared.
        scale: u8,
    },
    /// A column that orders values holds something else.
    #[error("column `{column}` is declared as the version and holds {held}: store versions as integers")]
    NotAVersion {
        /// The column.
        column: String,
        /// What it holds.
        held: String,
    },
    /// A column that names a group holds something else.
    #[error(
        "column `{column}` is part of a declared tag and holds {held}: tags are made of text and integers"
    )]
    NotATag {
        /// The column.
        column: String,
        /// What it holds.
        held: String,
    },
    /// A column that orders the members of a sorted set holds something else.
    #[error("column `{column}` is declared as the score and holds {held}: store scores as numbers")]
    NotAScore {
        /// The column.
        column: String,
        /// What it holds.
        held: String,
    },
    /// A column that says until when a row is fresh holds something else.
    #[error(
        "column `{column}` is declared as `fresh_until` and holds {held}: store times as RFC 3339, like \"2026-11-22T10:00:00.000Z\", or NULL"
    )]
    NotATime {
        /// The column.
        column: String,
        /// What it holds.
        held: String,
    },
    /// A column that names a field or a member holds bytes.
    #[error(
        "column `{column}` is part of a field or a member and holds {held}: store them as text or numbers"
    )]
    NotAName {
        /// The column.
        column: String,
        /// What it holds.
        held: String,
    },
    /// The driver could not read a column.
    #[error("column `{column}`: {problem}")]
    Unreadable {
        /// The column.
        column: String,
        /// What the driver says.
        problem: String,
    },
}

/// A row as a JSON object being written.
pub(super) struct Object(Vec<u8>);

impl Object {
    pub(super) fn new() -> Self {
        let mut out = Vec::with_capacity(128);
        out.push(b'{');
        Self(out)
    }

    /// Adds the column `name`; its JSON is to be written behind what this gives.
    pub(super) fn member(&mut self, name: &str) -> &mut Vec<u8> {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        write(&mut self.0, name);
        self.0.push(b':');
        &mut self.0
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

/// The decimal `text` of the column `name` as a JSON number with `scale` digits after the point.
pub(super) fn decimal(name: &str, text: &str, scale: u8) -> Result<String, RowError> {
    let not_a_decimal = || RowError::NotADecimal { column: name.to_owned(), held: format!("\"{text}\"") };
    let too_long = || RowError::Scale { column: name.to_owned(), held: text.to_owned(), scale };
    scaled(text, scale).ok_or_else(not_a_decimal)?.ok_or_else(too_long)
}

/// When a row ends whose column `name` holds this `text`, read at the moment `now`; `None` where that is NULL.
pub(super) fn fresh_until(name: &str, text: Option<&str>, now: Moment) -> Result<Option<Tick>, RowError> {
    let Some(text) = text else { return Ok(None) };
    let not_a_time = || RowError::NotATime { column: name.to_owned(), held: format!("\"{text}\"") };
    now.tick_of(text).map(Some).ok_or_else(not_a_time)
}

/// The tag of a row whose columns are `texts`; none where one is NULL: it belongs to no such group.
pub(super) fn tag(tag: &Pattern, texts: &[Option<impl AsRef<str>>]) -> Option<Tag> {
    let texts: Vec<&[u8]> =
        texts.iter().map(|text| Some(text.as_ref()?.as_ref().as_bytes())).collect::<Option<_>>()?;
    Some(Tag::from(String::from_utf8_lossy(&tag.fill(&texts))))
}

/// `text` with exactly `scale` digits after the point: `None` where it is no decimal, `Some(None)` where digits would be
/// lost.
#[expect(clippy::option_option, reason = "no decimal at all, and one that does not fit, are two faults")]
fn scaled(text: &str, scale: u8) -> Option<Option<String>> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) if digits(fraction) => (whole, fraction),
        Some(_) => return None,
        None => (unsigned, ""),
    };
    if !digits(whole) {
        return None;
    }
    let scale = usize::from(scale);
    let kept = fraction.trim_end_matches('0');
    if kept.len() > scale {
        return Some(None);
    }
    let sign = if unsigned.len() == text.len() { "" } else { "-" };
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        trimmed => trimmed,
    };
    Some(Some(if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{kept:0<scale$}") }))
}

/// Writes a text, a number or a boolean as JSON.
pub(super) fn write(out: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    // Memory takes whatever is written, and each of these has a form in JSON.
    let _ = serde_json::to_writer(out, value);
}

#[cfg(test)]
mod tests {
    use super::scaled;

    #[test]
    fn decimals_keep_their_declared_scale_and_lose_no_digit() {
        for (text, scale, wanted) in [
            ("11.2", 2, "11.20"),
            ("11", 2, "11.00"),
            ("-0.5", 3, "-0.500"),
            ("007.10", 1, "7.1"),
            ("12.000", 0, "12"),
            ("123456789012345678901234567890.1", 1, "123456789012345678901234567890.1"),
        ] {
            assert_eq!(scaled(text, scale), Some(Some(wanted.to_owned())), "{text} at {scale}");
        }
        assert_eq!(scaled("11.234", 2), Some(None));
        for text in ["", "-", "1.", ".5", "1e3", "+1", "1.2.3", "NaN", " 1"] {
            assert_eq!(scaled(text, 2), None, "{text:?}");
        }
    }
}

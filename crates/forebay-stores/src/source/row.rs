//! One row as compact JSON: exact decimals, 64-bit integers, text, booleans and NULL as a reader expects them.
//!
//! Members come in the order of the columns; bytes come as base64. A number that JSON readers would lose is never written: decimals come from
//! text or integers only, with the scale that was declared for them.

use std::collections::BTreeMap;

use base64::Engine as _;
use forebay::value::Param;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column, Row, TypeInfo, ValueRef};

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
    /// The driver could not read a column.
    #[error("column `{column}`: {problem}")]
    Unreadable {
        /// The column.
        column: String,
        /// What the driver says.
        problem: String,
    },
}

/// The row as a JSON object; `decimals` gives columns that hold exact decimals, with their scales.
pub(super) fn json(row: &SqliteRow, decimals: &BTreeMap<String, u8>) -> Result<Vec<u8>, RowError> {
    let mut out = Vec::with_capacity(128);
    out.push(b'{');
    for (index, column) in row.columns().iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(&mut out, column.name());
        out.push(b':');
        let cell = Cell { row, index, name: column.name(), declared: column.type_info().name() };
        match decimals.get(column.name()) {
            Some(&scale) => cell.decimal(&mut out, scale)?,
            None => cell.plain(&mut out)?,
        }
    }
    out.push(b'}');
    Ok(out)
}

/// The columns called `names` as a key's parameters; `None` where one is NULL or of another type.
pub(super) fn params(row: &SqliteRow, names: &[String], like: &[Param]) -> Option<Vec<Param>> {
    names
        .iter()
        .zip(like)
        .map(|(name, like)| match like {
            Param::Text(_) => {
                row.try_get_unchecked::<Option<String>, _>(name.as_str()).ok()?.map(Param::Text)
            }
            Param::Integer(_) => {
                row.try_get_unchecked::<Option<i64>, _>(name.as_str()).ok()?.map(Param::Integer)
            }
        })
        .collect()
}

/// The integer in the column called `name`; `None` for NULL.
pub(super) fn version(row: &SqliteRow, name: &str) -> Result<Option<i64>, RowError> {
    match cell(row, name)?.held()? {
        Held::Null => Ok(None),
        Held::Integer(number) => Ok(Some(number)),
        held => Err(RowError::NotAVersion { column: name.to_owned(), held: held.shown() }),
    }
}

/// The columns called `names` as the text of a tag; `None` where one is NULL.
pub(super) fn texts<'n>(
    row: &SqliteRow,
    names: impl Iterator<Item = &'n str>,
) -> Result<Option<Vec<String>>, RowError> {
    let text = |name: &str| match cell(row, name)?.held()? {
        Held::Null => Ok(None),
        Held::Integer(number) => Ok(Some(number.to_string())),
        Held::Text(text) => Ok(Some(text.to_owned())),
        held => Err(RowError::NotATag { column: name.to_owned(), held: held.shown() }),
    };
    names.map(text).collect()
}

/// The column called `name`.
fn cell<'r>(row: &'r SqliteRow, name: &'r str) -> Result<Cell<'r>, RowError> {
    let at = row.columns().iter().position(|column| column.name() == name);
    let index = at.ok_or_else(|| RowError::Unreadable {
        column: name.to_owned(),
        problem: "the query gives no such column".into(),
    })?;
    Ok(Cell { row, index, name, declared: "" })
}

/// One column of a row.
struct Cell<'r> {
    row: &'r SqliteRow,
    index: usize,
    name: &'r str,
    /// The type that the table declares, which SQLite does not enforce.
    declared: &'r str,
}

/// What a cell holds, by the type of the value itself.
enum Held<'r> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'r str),
    Blob(&'r [u8]),
}

impl Held<'_> {
    /// What it is, for a message.
    fn shown(&self) -> String {
        match self {
            Self::Null => "NULL".into(),
            Self::Integer(number) => number.to_string(),
            Self::Real(real) => format!("the inexact number {real}"),
            Self::Text(text) => format!("\"{text}\""),
            Self::Blob(_) => "bytes".into(),
        }
    }
}

impl<'r> Cell<'r> {
    fn held(&self) -> Result<Held<'r>, RowError> {
        let unreadable = |error: sqlx::Error| RowError::Unreadable {
            column: self.name.to_owned(),
            problem: error.to_string(),
        };
        let raw = self.row.try_get_raw(self.index).map_err(unreadable)?;
        if raw.is_null() {
            return Ok(Held::Null);
        }
        let kind = raw.type_info();
        match kind.name() {
            "INTEGER" | "BOOLEAN" => self.row.try_get_unchecked(self.index).map(Held::Integer),
            "REAL" => self.row.try_get_unchecked(self.index).map(Held::Real),
            "BLOB" => self.row.try_get_unchecked(self.index).map(Held::Blob),
            _ => self.row.try_get_unchecked(self.index).map(Held::Text),
        }
        .map_err(unreadable)
    }

    fn plain(&self, out: &mut Vec<u8>) -> Result<(), RowError> {
        match self.held()? {
            Held::Null => out.extend_from_slice(b"null"),
            Held::Integer(number) if self.declared == "BOOLEAN" => {
                out.extend_from_slice(if number == 0 { b"false" } else { b"true" });
            }
            Held::Integer(number) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
            // What is no JSON number (an infinity) is written as null, as JSON writers do.
            Held::Real(number) => {
                out.extend_from_slice(serde_json::Value::from(number).to_string().as_bytes())
            }
            Held::Text(text) => string(out, text),
            Held::Blob(bytes) => string(out, &base64::engine::general_purpose::STANDARD.encode(bytes)),
        }
        Ok(())
    }

    fn decimal(&self, out: &mut Vec<u8>, scale: u8) -> Result<(), RowError> {
        let not_a_decimal =
            |held: &str| RowError::NotADecimal { column: self.name.to_owned(), held: held.to_owned() };
        let number;
        let text = match self.held()? {
            Held::Null => {
                out.extend_from_slice(b"null");
                return Ok(());
            }
            Held::Text(text) => text,
            Held::Integer(integer) => {
                number = integer.to_string();
                &number
            }
            held @ (Held::Real(_) | Held::Blob(_)) => return Err(not_a_decimal(&held.shown())),
        };
        let scaled = scaled(text, scale).ok_or_else(|| not_a_decimal(&format!("\"{text}\"")))?;
        let held = text.to_owned();
        out.extend_from_slice(
            scaled.ok_or(RowError::Scale { column: self.name.to_owned(), held, scale })?.as_bytes(),
        );
        Ok(())
    }
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

/// Writes `text` as a JSON string.
fn string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
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

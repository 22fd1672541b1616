//! Whether a member of a value fits a column of PostgreSQL, as far as that is certain without asking the server.
//!
//! It refuses nothing that the server would take: what it is not certain of, such as times or limits on lengths, it lets through, and the
//! server has its say when the write is applied.

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};

/// Base64 as PostgreSQL reads it (RFC 2045 §6.8): padded, bits that are left over are passed over.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Bytes,
    Int2,
    Int4,
    Int8,
    Numbers,
    Truth,
    Uuids,
    Text,
    /// Something that is not judged here.
    Else,
}

impl Holds {
    /// What a column of the type `name` holds.
    pub(super) fn of(name: &str) -> Self {
        match name {
            "BYTEA" => Self::Bytes,
            "INT2" => Self::Int2,
            "INT4" => Self::Int4,
            "INT8" => Self::Int8,
            "FLOAT4" | "FLOAT8" | "NUMERIC" => Self::Numbers,
            "BOOL" => Self::Truth,
            "UUID" => Self::Uuids,
            "TEXT" | "VARCHAR" | "CHAR" | "NAME" => Self::Text,
            _ => Self::Else,
        }
    }

    /// Its values in words.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Bytes => "bytes, written as text of base64",
            Self::Int2 => "whole numbers of 16 bits",
            Self::Int4 => "whole numbers of 32 bits",
            Self::Int8 => "whole numbers of 64 bits",
            Self::Numbers => "numbers",
            Self::Truth => "true or false",
            Self::Uuids => "UUIDs",
            Self::Text => "text without the character U+0000",
            Self::Else => "values of its type",
        }
    }

    /// Whether the JSON text `cell` may be a value of it. The server reads a text's content as it would in a statement, and what is no text
    /// as it is written.
    pub(super) fn may_hold(self, cell: &str) -> bool {
        if cell == "null" || self == Self::Else {
            return true;
        }
        let content: Option<String> =
            cell.starts_with('"').then(|| serde_json::from_str(cell).unwrap_or_default());
        let is_text = content.is_some();
        let text = content.as_deref().unwrap_or(cell);
        match self {
            Self::Bytes => is_text && is_base64(text),
            Self::Int2 => is_whole::<i16>(text),
            Self::Int4 => is_whole::<i32>(text),
            Self::Int8 => is_whole::<i64>(text),
            Self::Numbers => begins_a_number(text),
            Self::Truth => is_truth(text),
            Self::Uuids => {
                let digits = text.chars().filter(|letter| !matches!(letter, '{' | '}' | '-'));
                digits.clone().count() == 32 && digits.clone().all(|digit| digit.is_ascii_hexdigit())
            }
            Self::Text => !text.contains('\0'),
            Self::Else => true,
        }
    }
}

fn is_base64(text: &str) -> bool {
    let space = [' ', '\n', '\r', '\t'];
    if text.contains(space) {
        BASE64.decode(text.replace(space, "")).is_ok()
    } else {
        BASE64.decode(text).is_ok()
    }
}

/// Whether `text` may be a number of the type; hexadecimal and the like, which later servers read, are not looked at.
fn is_whole<N: std::str::FromStr>(text: &str) -> bool {
    let text = text.trim_ascii();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_else = text.contains('_')
        || digits.get(..2).is_some_and(|start| matches!(start, "0x" | "0X" | "0o" | "0O" | "0b" | "0B"));
    is_else || text.parse::<N>().is_ok()
}

/// Whether `text` begins as numbers do, or names one: `NaN`, `Infinity`.
fn begins_a_number(text: &str) -> bool {
    let text = text.trim_ascii();
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '.' | 'i' | 'I' | 'n' | 'N'))
}

/// Whether `text` is one of the words for true and false, or the beginning of one, as PostgreSQL's manual lists them (§8.6).
fn is_truth(text: &str) -> bool {
    let text = text.trim_ascii().to_ascii_lowercase();
    let begins = |word: &str| !text.is_empty() && word.starts_with(&text);
    ["true", "false", "yes", "no", "1", "0"].into_iter().any(begins) || matches!(&*text, "on" | "of" | "off")
}

//! Writing answers: each function appends one element to a buffer.
//!
//! An aggregate is written as its header followed by its elements; the caller writes as many elements as it
//! announced (a map of `n` entries takes `2n`). What RESP2 lacks is written as Redis writes it there: a map
//! as a flat array, a set or push as an array, null as `$-1`, a double as a bulk string, a boolean as 1 or
//! 0, verbatim text and big numbers as bulk strings. Functions without a [`Version`] write the same in both.
//!
//! Nothing here can fail. Simple strings and errors cannot hold line ends; those become blanks.

use std::fmt::Write as _;

use bytes::{BufMut as _, BytesMut};

/// The version of the protocol that a connection speaks; RESP2 until `HELLO 3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// Redis before 6, and every client that does not say `HELLO 3`.
    #[default]
    Resp2,
    /// With maps, sets, doubles, booleans, null and push messages of its own.
    Resp3,
}

impl Version {
    /// The number that `HELLO` takes and shows: 2 or 3.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// `+OK`.
pub fn ok(out: &mut BytesMut) {
    out.extend_from_slice(b"+OK\r\n");
}

/// A short text without line ends, such as `PONG`.
pub fn simple(out: &mut BytesMut, text: &str) {
    line(out, b'+', text);
}

/// An error. `message` begins with its kind in capitals, such as `ERR` or `WRONGTYPE`.
pub fn error(out: &mut BytesMut, message: &str) {
    line(out, b'-', message);
}

/// An error of several lines, such as a report. RESP2 has none: there it is written as [`error`] writes it.
pub fn long_error(out: &mut BytesMut, version: Version, message: &str) {
    if version == Version::Resp2 {
        return error(out, message);
    }
    header(out, b'!', message.len());
    out.extend_from_slice(message.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A whole number.
pub fn integer(out: &mut BytesMut, value: i64) {
    out.reserve(24);
    out.put_u8(b':');
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Any bytes.
pub fn bulk(out: &mut BytesMut, bytes: &[u8]) {
    out.reserve(bytes.len().saturating_add(32));
    header(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Nothing: no such key, no such name.
pub fn null(out: &mut BytesMut, version: Version) {
    out.extend_from_slice(match version {
        Version::Resp2 => b"$-1\r\n",
        Version::Resp3 => b"_\r\n",
    });
}

/// Nothing where an array was asked for: RESP2 tells the two apart, and clients look.
pub fn null_array(out: &mut BytesMut, version: Version) {
    out.extend_from_slice(match version {
        Version::Resp2 => b"*-1\r\n",
        Version::Resp3 => b"_\r\n",
    });
}

/// The header of an array of `len` elements.
pub fn array(out: &mut BytesMut, len: usize) {
    header(out, b'*', len);
}

/// The header of a map of `len` entries, each a key element and a value element.
pub fn map(out: &mut BytesMut, version: Version, len: usize) {
    match version {
        Version::Resp2 => header(out, b'*', len.saturating_mul(2)),
        Version::Resp3 => header(out, b'%', len),
    }
}

/// The header of a set of `len` elements.
pub fn set(out: &mut BytesMut, version: Version, len: usize) {
    match version {
        Version::Resp2 => header(out, b'*', len),
        Version::Resp3 => header(out, b'~', len),
    }
}

/// The header of an out-of-band message of `len` elements, the first of them its kind.
pub fn push(out: &mut BytesMut, version: Version, len: usize) {
    match version {
        Version::Resp2 => header(out, b'*', len),
        Version::Resp3 => header(out, b'>', len),
    }
}

/// A floating-point number: the shortest digits that read back as the same number, `inf`, `-inf` or `nan`.
///
/// Redis 7.0 writes 17 digits (`0.10000000000000001`), later ones the shortest, as here.
pub fn double(out: &mut BytesMut, version: Version, value: f64) {
    let text = double_text(value);
    match version {
        Version::Resp2 => bulk(out, text.as_bytes()),
        Version::Resp3 => line(out, b',', &text),
    }
}

/// True or false.
pub fn boolean(out: &mut BytesMut, version: Version, value: bool) {
    out.extend_from_slice(match (version, value) {
        (Version::Resp2, true) => b":1\r\n",
        (Version::Resp2, false) => b":0\r\n",
        (Version::Resp3, true) => b"#t\r\n",
        (Version::Resp3, false) => b"#f\r\n",
    });
}

/// Text meant to be shown as it is; `format` is its kind in three letters, such as `txt` or `mkd`.
pub fn verbatim(out: &mut BytesMut, version: Version, format: [u8; 3], text: &[u8]) {
    if version == Version::Resp2 {
        return bulk(out, text);
    }
    header(out, b'=', text.len().saturating_add(4));
    out.extend_from_slice(&format);
    out.put_u8(b':');
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

/// A whole number of any size, given as its decimal digits with an optional `-`.
pub fn big_number(out: &mut BytesMut, version: Version, digits: &str) {
    match version {
        Version::Resp2 => bulk(out, digits.as_bytes()),
        Version::Resp3 => line(out, b'(', digits),
    }
}

fn header(out: &mut BytesMut, kind: u8, len: usize) {
    out.put_u8(kind);
    out.extend_from_slice(itoa::Buffer::new().format(len).as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn line(out: &mut BytesMut, kind: u8, text: &str) {
    out.reserve(text.len().saturating_add(3));
    out.put_u8(kind);
    for (index, part) in text.split(['\r', '\n']).enumerate() {
        if index > 0 {
            out.put_u8(b' ');
        }
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// The layout of C's `%g`: plain digits for exponents from -5 to 16, else one digit before the point and
/// an exponent of a sign and at least two digits.
fn double_text(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() { "nan".into() } else { value.to_string() };
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-5..17).contains(&exponent) {
        return value.to_string();
    }
    let mut text = String::from(digits);
    let sign = if exponent < 0 { '-' } else { '+' };
    // Writing into a String cannot fail.
    let _ = write!(text, "e{sign}{:02}", exponent.unsigned_abs());
    text
}

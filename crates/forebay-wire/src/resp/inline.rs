//! Inline commands: one line of words, as typed into `telnet` or sent by a health check.
//!
//! Words are split by the rules of `redis-server`: blanks separate; `"…"` understands `\n \r \t \b \a`,
//! `\xHH` and a backslash before anything else; `'…'` understands only `\'`; a closing quote ends its word;
//! quotes may begin inside a word. A result is never longer than its line.

use super::request::{Span, Spans};

/// Splits `line` (without its line end) into words: their bytes in one run, and where each lies in it.
///
/// `None` where a quote is not closed, or something other than a blank follows a closing quote.
pub(super) fn split(line: &[u8]) -> Option<(Vec<u8>, Spans)> {
    let mut words = Vec::with_capacity(line.len());
    let mut spans = Spans::new();
    let mut rest = line;
    loop {
        rest = skip_blanks(rest);
        if rest.is_empty() {
            return Some((words, spans));
        }
        let start = words.len();
        rest = word(rest, &mut words)?;
        spans.push(Span::new(start, words.len())?);
    }
}

/// What C's `isspace` takes for a blank.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| is_blank(**byte)).count();
    text.get(blanks..).unwrap_or_default()
}

/// Appends the first word of `text` to `words`; what follows it.
fn word<'a>(text: &'a [u8], words: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = text;
    loop {
        rest = match rest.split_first() {
            None => return Some(rest),
            // Vertical tab and form feed begin no word but do not end one either.
            Some((b' ' | b'\t' | b'\n' | b'\r', _)) => return Some(rest),
            Some((b'"', quoted)) => return double_quoted(quoted, words).and_then(closed),
            Some((b'\'', quoted)) => return single_quoted(quoted, words).and_then(closed),
            Some((byte, after)) => {
                words.push(*byte);
                after
            }
        }
    }
}

/// A closing quote must be followed by a blank or by nothing at all.
fn closed(after: &[u8]) -> Option<&[u8]> {
    after.first().is_none_or(|byte| is_blank(*byte)).then_some(after)
}

fn double_quoted<'a>(text: &'a [u8], words: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = text;
    loop {
        let (byte, after) = match rest {
            [] => return None,
            [b'"', after @ ..] => return Some(after),
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex(*high) << 4 | hex(*low), after)
            }
            [b'\\', escaped, after @ ..] => (unescape(*escaped), after),
            [byte, after @ ..] => (*byte, after),
        };
        words.push(byte);
        rest = after;
    }
}

fn single_quoted<'a>(text: &'a [u8], words: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = text;
    loop {
        let (byte, after) = match rest {
            [] => return None,
            [b'\'', after @ ..] => return Some(after),
            [b'\\', b'\'', after @ ..] => (b'\'', after),
            [byte, after @ ..] => (*byte, after),
        };
        words.push(byte);
        rest = after;
    }
}

fn unescape(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

/// The value of a byte already known to be a hexadecimal digit.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    }
}

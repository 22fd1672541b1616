//! Cutting requests out of a stream that arrives in pieces.
//!
//! Guarantees, whatever the bytes:
//! - The same stream gives the same requests however it is cut into pieces.
//! - Each byte is looked at once: [`State`] remembers where the search stopped, so that a large request
//!   arriving in small pieces costs time linear in its length.
//! - Nothing is allocated because of a length a client *announces*; only what arrived takes room, and
//!   [`Limits`] bound that.
//! - A request's arguments share the buffer they arrived in.
//!
//! Left to the caller: reading, making room in the buffer, and closing the connection after a
//! [`ProtocolError`], since the place where the next request begins is then unknown.

use bytes::{Buf as _, Bytes, BytesMut};
use thiserror::Error;

use super::inline;
use super::number;
use super::request::{Request, Span, Spans};

/// The longest value (or any one argument) an authenticated client may send: 32 MiB.
pub const VALUE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The largest argument count that is a length at all, whatever the limits: Redis' `INT_MAX`.
const COUNT_MAX: i64 = 2_147_483_647;

/// The largest argument length that is a length at all, whatever the limits: Redis' 512 MiB.
const LENGTH_MAX: i64 = 512 * 1024 * 1024;

/// What a client may send. They are checked as soon as a length is announced, before its bytes arrive; of an inline command, which announces
/// none, when its line has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most words in a request, the command's name among them.
    pub args_max: usize,
    /// The longest single argument, in bytes.
    pub arg_bytes_max: usize,
    /// The longest line, in bytes without its line end: an inline command, or the header of a length. For
    /// headers, values below 16 act as 16.
    pub line_bytes_max: usize,
    /// The longest whole request with its headers, in bytes. Values above 4 GiB act as 4 GiB.
    pub request_bytes_max: usize,
    /// Whether a refusal may say that authenticating would help (it does so when this is false).
    pub authenticated: bool,
}

impl Limits {
    /// For a client that has not shown who it is where that is asked for: 10 words of at most 16 KiB.
    /// A connection can hold no more than 192 KiB of a request that is still arriving.
    pub const UNAUTHENTICATED: Self = Self {
        args_max: 10,
        arg_bytes_max: 16 * 1024,
        line_bytes_max: 64 * 1024,
        request_bytes_max: 192 * 1024,
        authenticated: false,
    };

    /// For everyone else: 1,048,576 words, none longer than [`VALUE_BYTES_MAX`], 128 MiB in all.
    pub const AUTHENTICATED: Self = Self {
        args_max: 1_048_576,
        arg_bytes_max: VALUE_BYTES_MAX,
        line_bytes_max: 64 * 1024,
        request_bytes_max: 128 * 1024 * 1024,
        authenticated: true,
    };
}

/// Why a stream is no longer RESP. `Display` is the text of the error reply; afterwards the connection
/// must be closed. It is always the client's doing, and sending the same again gives the same.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// The count after `*` is not a number, or is more than [`Limits::args_max`].
    #[error("ERR Protocol error: invalid multibulk length")]
    InvalidCount,
    /// The count after `*`, or of the words on a line, is more than a client may send before it has authenticated.
    #[error("ERR Protocol error: unauthenticated multibulk length")]
    UnauthenticatedCount,
    /// The line after `*` does not end within [`Limits::line_bytes_max`].
    #[error("ERR Protocol error: too big mbulk count string")]
    CountLineTooLong,
    /// An argument of an array does not begin with `$`.
    #[error("ERR Protocol error: expected '$', got '{}'", printable(*.got))]
    ExpectedBulk {
        /// The byte found instead.
        got: u8,
    },
    /// The length after `$` is not a number, is negative, or is more than [`Limits::arg_bytes_max`].
    #[error("ERR Protocol error: invalid bulk length")]
    InvalidLength,
    /// The length after `$`, or of a word on a line, is more than a client may send before it has authenticated.
    #[error("ERR Protocol error: unauthenticated bulk length")]
    UnauthenticatedLength,
    /// The line after `$` does not end within [`Limits::line_bytes_max`].
    #[error("ERR Protocol error: too big bulk count string")]
    LengthLineTooLong,
    /// An argument is not followed by CR LF. Redis skips any two bytes here; we do not, because a client
    /// whose lengths are wrong would go on with requests that nobody sent.
    #[error("ERR Protocol error: expected CRLF after bulk")]
    UnterminatedBulk,
    /// The request as a whole is longer than [`Limits::request_bytes_max`].
    #[error("ERR Protocol error: too big request")]
    RequestTooLong,
    /// An inline command does not end within [`Limits::line_bytes_max`].
    #[error("ERR Protocol error: too big inline request")]
    InlineTooLong,
    /// An inline command opens a quote that it does not close, or writes on after a closing one.
    #[error("ERR Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// The line `POST …` or `Host: …` of an HTTP request: a browser was sent here, and must not reach a
    /// command hidden in a body.
    #[error("ERR Protocol error: HTTP request on a RESP port")]
    Http,
}

/// A byte as an error text shows it: a line end would break the reply in two.
fn printable(byte: u8) -> char {
    if byte == b' ' || byte.is_ascii_graphic() { char::from(byte) } else { ' ' }
}

/// Where the decoder stands in a request that has not wholly arrived. One per connection; `default()` is
/// the beginning of a stream. After an error it is of no further use.
#[derive(Debug, Default)]
pub struct State {
    /// Offset in the buffer where the next header or argument begins; everything before it is understood.
    at: usize,
    /// Offset up to which the end of the current line has been looked for; never before `at`.
    searched: usize,
    /// Arguments still to come; 0 before the header of a request.
    args_left: usize,
    /// Length of the argument at `at`, once its header is read.
    arg_len: Option<usize>,
    /// The arguments found so far.
    spans: Spans,
}

/// Takes the next request from the front of `buf`; `None` if it has not wholly arrived.
///
/// Between calls for one stream the caller only ever appends to `buf`. Empty lines and empty arrays are
/// passed over, as Redis does. `limits` may change from one call to the next, when a client authenticates.
///
/// # Errors
///
/// [`ProtocolError`] as soon as what has arrived cannot become a request within `limits`.
pub fn decode(
    buf: &mut BytesMut,
    limits: &Limits,
    state: &mut State,
) -> Result<Option<Request>, ProtocolError> {
    loop {
        if state.args_left == 0 {
            match buf.first() {
                None => return Ok(None),
                Some(b'*') => match read_count(buf, limits, state)? {
                    None => return Ok(None),
                    Some(0) => {
                        buf.advance(state.at);
                        *state = State::default();
                        continue;
                    }
                    Some(count) => state.args_left = count,
                },
                Some(_) => match read_inline(buf, limits, state)? {
                    Line::Unfinished => return Ok(None),
                    Line::Blank => continue,
                    Line::Request(request) => return Ok(Some(request)),
                },
            }
        }
        while state.args_left > 0 {
            if !read_arg(buf, limits, state)? {
                return Ok(None);
            }
        }
        let State { at, spans, .. } = std::mem::take(state);
        return Ok(Some(Request::new(buf.split_to(at).freeze(), spans)));
    }
}

/// Reads `*count\r\n`; a negative count counts as 0.
fn read_count(buf: &BytesMut, limits: &Limits, state: &mut State) -> Result<Option<usize>, ProtocolError> {
    let count = match short_header(buf, state) {
        Some(count) => count,
        None => {
            let Some(digits) = header(buf, limits, state, ProtocolError::CountLineTooLong)? else {
                return Ok(None);
            };
            let count = digits.and_then(number::integer).filter(|count| *count <= COUNT_MAX);
            usize::try_from(count.ok_or(ProtocolError::InvalidCount)?).unwrap_or(0)
        }
    };
    allow_count(count, limits).map(|()| Some(count))
}

/// Whether a request may have so many arguments.
fn allow_count(count: usize, limits: &Limits) -> Result<(), ProtocolError> {
    match count <= limits.args_max {
        true => Ok(()),
        false if limits.authenticated => Err(ProtocolError::InvalidCount),
        false => Err(ProtocolError::UnauthenticatedCount),
    }
}

/// Whether an argument may have so many bytes.
fn allow_length(len: usize, limits: &Limits) -> Result<(), ProtocolError> {
    match len <= limits.arg_bytes_max {
        true => Ok(()),
        false if limits.authenticated => Err(ProtocolError::InvalidLength),
        false => Err(ProtocolError::UnauthenticatedLength),
    }
}

/// Reads `$length\r\n` and the argument after it; false if either has not wholly arrived.
fn read_arg(buf: &BytesMut, limits: &Limits, state: &mut State) -> Result<bool, ProtocolError> {
    let len = match state.arg_len {
        Some(len) => len,
        None => match read_length(buf, limits, state)? {
            Some(len) => *state.arg_len.insert(len),
            None => return Ok(false),
        },
    };
    let end = state.at.saturating_add(len);
    let next = end.saturating_add(2);
    let Some(terminator) = buf.get(end..next) else {
        return Ok(false);
    };
    if terminator != b"\r\n" {
        return Err(ProtocolError::UnterminatedBulk);
    }
    state.spans.push(Span::new(state.at, end).ok_or(ProtocolError::RequestTooLong)?);
    state.arg_len = None;
    state.args_left -= 1;
    state.at = next;
    state.searched = next;
    Ok(true)
}

/// Reads `$length\r\n`, and refuses what `limits` do not allow before any of it has arrived.
fn read_length(buf: &BytesMut, limits: &Limits, state: &mut State) -> Result<Option<usize>, ProtocolError> {
    match buf.get(state.at) {
        None => return Ok(None),
        Some(b'$') => {}
        Some(got) => return Err(ProtocolError::ExpectedBulk { got: *got }),
    }
    let len = match short_header(buf, state) {
        Some(len) => len,
        None => {
            let Some(digits) = header(buf, limits, state, ProtocolError::LengthLineTooLong)? else {
                return Ok(None);
            };
            let len = digits.and_then(number::integer).filter(|len| *len <= LENGTH_MAX);
            len.and_then(|len| usize::try_from(len).ok()).ok_or(ProtocolError::InvalidLength)?
        }
    };
    allow_length(len, limits)?;
    if state.at.saturating_add(len).saturating_add(2) > limits.request_bytes_max {
        return Err(ProtocolError::RequestTooLong);
    }
    Ok(Some(len))
}

/// The length in the header at `state.at`, and moves past it, if it is what nearly every header is: one to
/// four digits and CR LF, all arrived. Anything else is for [`header`] to judge; what this takes, `header`
/// and [`number::integer`] would take alike.
fn short_header(buf: &BytesMut, state: &mut State) -> Option<usize> {
    let line = buf.get(state.at.checked_add(1)?..)?;
    let digit = |byte: &u8| usize::from(byte.wrapping_sub(b'0'));
    let (len, digits) = match line {
        [a @ b'0'..=b'9', b'\r', b'\n', ..] => (digit(a), 1),
        [a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', ..] => (digit(a) * 10 + digit(b), 2),
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b'\r', b'\n', ..] => {
            (digit(a) * 100 + digit(b) * 10 + digit(c), 3)
        }
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', d @ b'0'..=b'9', b'\r', b'\n', ..] => {
            (digit(a) * 1000 + digit(b) * 100 + digit(c) * 10 + digit(d), 4)
        }
        _ => return None,
    };
    state.at += digits + 3;
    state.searched = state.at;
    Some(len)
}

/// The text between the type byte at `state.at` and CR LF, and moves past them; `None` if the line has not
/// wholly arrived, `Some(None)` if its CR is not followed by LF.
fn header<'a>(
    buf: &'a BytesMut,
    limits: &Limits,
    state: &mut State,
    too_long: ProtocolError,
) -> Result<Option<Option<&'a [u8]>>, ProtocolError> {
    let line_bytes_max = limits.line_bytes_max.max(16);
    let from = state.searched.max(state.at);
    let unseen = buf.get(from..).unwrap_or_default();
    let Some(found) = memchr::memchr(b'\r', unseen) else {
        state.searched = buf.len();
        return if buf.len() - state.at > line_bytes_max { Err(too_long) } else { Ok(None) };
    };
    let cr = from + found;
    state.searched = cr;
    if cr - state.at > line_bytes_max {
        return Err(too_long);
    }
    let Some(after) = buf.get(cr + 1) else {
        return Ok(None);
    };
    let text = buf.get(state.at + 1..cr).filter(|_| *after == b'\n');
    if text.is_some() {
        state.at = cr + 2;
        state.searched = state.at;
    }
    Ok(Some(text))
}

enum Line {
    Unfinished,
    Blank,
    Request(Request),
}

/// Reads one line of words and takes it from `buf`.
fn read_inline(buf: &mut BytesMut, limits: &Limits, state: &mut State) -> Result<Line, ProtocolError> {
    let unseen = buf.get(state.searched..).unwrap_or_default();
    let Some(found) = memchr::memchr(b'\n', unseen) else {
        state.searched = buf.len();
        return match buf.len() > limits.line_bytes_max {
            true => Err(ProtocolError::InlineTooLong),
            false => Ok(Line::Unfinished),
        };
    };
    let newline = state.searched + found;
    if newline > limits.line_bytes_max {
        return Err(ProtocolError::InlineTooLong);
    }
    let line = buf.get(..newline).unwrap_or_default();
    let (words, spans) = inline::split(line).ok_or(ProtocolError::UnbalancedQuotes)?;
    allow_count(spans.len(), limits)?;
    spans.iter().try_for_each(|span| allow_length(span.len(), limits))?;
    let blank = spans.is_empty();
    let request = Request::new(Bytes::from(words), spans);
    if [&b"post"[..], b"host:"].iter().any(|name| request.name().eq_ignore_ascii_case(name)) {
        return Err(ProtocolError::Http);
    }
    buf.advance(newline + 1);
    *state = State::default();
    Ok(if blank { Line::Blank } else { Line::Request(request) })
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::{Limits, State, decode};

    /// Limits that refuse nothing, so that only what has arrived can bound memory.
    const BOUNDLESS: Limits = Limits {
        args_max: usize::MAX,
        arg_bytes_max: usize::MAX,
        line_bytes_max: usize::MAX,
        request_bytes_max: usize::MAX,
        authenticated: true,
    };

    #[test]
    fn announced_lengths_allocate_nothing() {
        for announced in ["*2147483647\r\n", "*1\r\n$536870912\r\n", "*2147483647\r\n$536870912\r\nab"] {
            let mut buf = BytesMut::from(announced);
            let capacity = buf.capacity();
            let mut state = State::default();
            assert!(decode(&mut buf, &BOUNDLESS, &mut state).unwrap().is_none());
            assert_eq!(buf.capacity(), capacity, "{announced:?}");
            assert!(!state.spans.spilled(), "{announced:?}");
        }
    }

    #[test]
    fn places_of_arguments_stay_within_the_bound_of_memory() {
        let mut buf = BytesMut::from("*2147483647\r\n");
        let mut state = State::default();
        let mut sent = buf.len();
        for _ in 0..20_000 {
            buf.extend_from_slice(b"$0\r\n\r\n");
            sent += 6;
            assert!(decode(&mut buf, &BOUNDLESS, &mut state).unwrap().is_none());
            let held = state.spans.capacity() * size_of::<super::Span>() + buf.capacity();
            assert!(held <= 16 * sent + 64 * 1024, "{held} bytes held for {sent} sent");
        }
    }

    #[test]
    fn no_byte_is_searched_twice() {
        // A line without an end, in every form that has one: the search goes on where it stopped.
        for start in ["inline ", "*", "*1\r\n$"] {
            let mut buf = BytesMut::from(start);
            let mut state = State::default();
            for _ in 0..100 {
                buf.extend_from_slice(b"1");
                assert!(decode(&mut buf, &BOUNDLESS, &mut state).unwrap().is_none());
                assert_eq!(state.searched, buf.len(), "{start:?}");
            }
        }
        // The inside of an argument is not searched at all, nor the arguments before it.
        let mut buf = BytesMut::from("*3\r\n$1\r\na\r\n$100\r\n");
        let mut state = State::default();
        assert!(decode(&mut buf, &BOUNDLESS, &mut state).unwrap().is_none());
        assert_eq!((state.at, state.searched), (buf.len(), buf.len()));
        assert_eq!((state.arg_len, state.args_left), (Some(100), 2));
        let header_end = buf.len();
        buf.extend_from_slice(&[b'\r'; 50]);
        assert!(decode(&mut buf, &BOUNDLESS, &mut state).unwrap().is_none());
        assert_eq!((state.at, state.searched), (header_end, header_end));
    }
}

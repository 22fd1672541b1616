//! Reading answers: what a client of RESP does, be it a command line, a benchmark or a test.
//!
//! A server's word is trusted no more than a client's: lengths are limited before they are believed,
//! nesting ends at [`NESTING_MAX`], nothing is allocated before the bytes it stands for have arrived, and
//! the same stream gives the same replies however it is cut. Both protocol versions are read alike; RESP3
//! attributes are read and dropped; the streamed forms (`$?`, `*?`) that no Redis sends are refused.

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use thiserror::Error;

use super::number;

/// How deep aggregates may lie in one another; attributes count too.
pub const NESTING_MAX: usize = 32;

/// The longest line of a length or a number, in bytes; simple strings and errors follow `reply_bytes_max`.
const NUMBER_LINE_BYTES_MAX: usize = 4096;

/// One reply, whole.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// `+`: a short text.
    Simple(Bytes),
    /// `-` or `!`: an error, its kind first.
    Error(Bytes),
    /// `:`: a whole number.
    Integer(i64),
    /// `$`: any bytes.
    Bulk(Bytes),
    /// `_`, `$-1` or `*-1`: nothing.
    Null,
    /// `*`: elements in order.
    Array(Vec<Reply>),
    /// `%`: entries in the order sent.
    Map(Vec<(Reply, Reply)>),
    /// `~`: elements; that they differ is not checked.
    Set(Vec<Reply>),
    /// `>`: an out-of-band message, which answers no request.
    Push(Vec<Reply>),
    /// `,`: a floating-point number.
    Double(f64),
    /// `#`: true or false.
    Boolean(bool),
    /// `=`: text to be shown as it is.
    Verbatim {
        /// Its kind, such as `txt`.
        format: [u8; 3],
        /// The text itself.
        text: Bytes,
    },
    /// `(`: a whole number of any size, as its digits.
    BigNumber(Bytes),
}

/// What a server may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyLimits {
    /// The longest whole reply, in bytes.
    pub reply_bytes_max: usize,
}

impl Default for ReplyLimits {
    /// 512 MiB.
    fn default() -> Self {
        Self { reply_bytes_max: 512 * 1024 * 1024 }
    }
}

/// Why a stream of replies cannot be read on. The connection is then useless; whether the request was
/// carried out is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReplyError {
    /// A reply begins with a byte that names no type.
    #[error("not RESP: a reply begins with byte {got:#04x}; is this port a RESP server?")]
    UnknownType {
        /// The byte found.
        got: u8,
    },
    /// A length, number or boolean is not spelt as one.
    #[error("not RESP: malformed {what}")]
    Malformed {
        /// What was to be read.
        what: &'static str,
    },
    /// Aggregates lie deeper in one another than [`NESTING_MAX`].
    #[error("reply nested deeper than {NESTING_MAX} levels")]
    TooDeep,
    /// The reply is longer than [`ReplyLimits::reply_bytes_max`].
    #[error("reply longer than {limit_bytes} bytes: ask for less, or raise the limit")]
    TooLong {
        /// The limit in force.
        limit_bytes: usize,
    },
}

/// Where the search for a reply's end stands. One per connection; `default()` is the beginning of a stream.
/// After an error it is of no further use.
#[derive(Debug, Default)]
pub struct ReplyState {
    /// Offset where the next element begins; what is before it is known to be well formed.
    at: usize,
    /// Offset up to which the end of the current line has been looked for.
    searched: usize,
    /// Elements still to come at each level, innermost last. Empty between replies.
    open: SmallVec<[usize; 8]>,
}

/// Takes the next reply from the front of `buf`; `None` if it has not wholly arrived.
///
/// Between calls for one stream the caller only ever appends to `buf`.
///
/// # Errors
///
/// [`ReplyError`] as soon as what has arrived cannot become a reply within `limits`.
pub fn decode_reply(
    buf: &mut BytesMut,
    limits: &ReplyLimits,
    state: &mut ReplyState,
) -> Result<Option<Reply>, ReplyError> {
    // Two passes: the first only measures, and can stop anywhere; the second builds from bytes that are
    // all there, so that it neither allocates ahead of them nor has to remember half a tree.
    if !measure(buf, limits, state)? {
        return Ok(None);
    }
    let frame = buf.split_to(state.at).freeze();
    *state = ReplyState::default();
    let mut reader = Reader { frame: &frame, at: 0 };
    reader.reply(NESTING_MAX).map(Some)
}

/// Moves `state` over whole elements; true when a reply ends there.
fn measure(buf: &[u8], limits: &ReplyLimits, state: &mut ReplyState) -> Result<bool, ReplyError> {
    let too_long = ReplyError::TooLong { limit_bytes: limits.reply_bytes_max };
    loop {
        let Some((head, next)) = read_head(buf, state.at, state.searched)? else {
            state.searched = buf.len();
            return if buf.len() > limits.reply_bytes_max { Err(too_long) } else { Ok(false) };
        };
        let end = match head {
            Head::Line { .. } | Head::Null => next,
            Head::Text { len, .. } => next.saturating_add(len).saturating_add(2),
            Head::Aggregate { .. } => next,
        };
        // An announced length past the limit is refused before its bytes arrive.
        if end > limits.reply_bytes_max {
            return Err(too_long);
        }
        if end > buf.len() {
            return Ok(false);
        }
        if matches!(head, Head::Text { .. }) && buf.get(end - 2..end) != Some(b"\r\n") {
            return Err(ReplyError::Malformed { what: "end of a string" });
        }
        state.at = end;
        state.searched = end;
        if let Head::Aggregate { kind, len } = head {
            if state.open.len() >= NESTING_MAX {
                return Err(ReplyError::TooDeep);
            }
            state.open.push(elements(kind, len));
        } else {
            close_one(&mut state.open);
        }
        while state.open.last() == Some(&0) {
            state.open.pop();
            close_one(&mut state.open);
        }
        if state.open.is_empty() {
            return Ok(true);
        }
    }
}

/// One element of the innermost open aggregate is complete.
fn close_one(open: &mut SmallVec<[usize; 8]>) {
    if let Some(left) = open.last_mut() {
        *left = left.saturating_sub(1);
    }
}

/// How many elements follow the header of an aggregate. An attribute is its entries and then the element
/// that it belongs to.
fn elements(kind: u8, len: usize) -> usize {
    match kind {
        b'%' => len.saturating_mul(2),
        b'|' => len.saturating_mul(2).saturating_add(1),
        _ => len,
    }
}

/// The first line of an element, understood as far as finding its end needs.
enum Head<'a> {
    /// An element that is this one line.
    Line { kind: u8, text: &'a [u8] },
    /// `$-1`, `*-1` or `_`.
    Null,
    /// `len` bytes and CR LF follow.
    Text { kind: u8, len: usize },
    /// Elements follow.
    Aggregate { kind: u8, len: usize },
}

/// The line that begins at `at`, and where the next one begins; `None` if it has not wholly arrived.
/// The bytes up to `searched` are known not to end it.
fn read_head(buf: &[u8], at: usize, searched: usize) -> Result<Option<(Head<'_>, usize)>, ReplyError> {
    let Some(kind) = buf.get(at).copied() else {
        return Ok(None);
    };
    let is_number = match kind {
        b'+' | b'-' => false,
        b':' | b',' | b'#' | b'_' | b'(' | b'$' | b'!' | b'=' | b'*' | b'%' | b'~' | b'>' | b'|' => true,
        got => return Err(ReplyError::UnknownType { got }),
    };
    let from = searched.max(at);
    let found = memchr::memchr(b'\n', buf.get(from..).unwrap_or_default());
    let line_end = found.map_or(buf.len(), |found| from + found);
    if is_number && line_end - at > NUMBER_LINE_BYTES_MAX {
        return Err(ReplyError::Malformed { what: "number" });
    }
    if found.is_none() {
        return Ok(None);
    }
    let line = buf.get(at + 1..line_end).unwrap_or_default();
    let text = line.strip_suffix(b"\r").ok_or(ReplyError::Malformed { what: "line end" })?;
    Ok(Some((head(kind, text)?, line_end + 1)))
}

fn head(kind: u8, text: &[u8]) -> Result<Head<'_>, ReplyError> {
    match kind {
        b'$' | b'*' if text == b"-1" => Ok(Head::Null),
        b'$' | b'!' | b'=' => Ok(Head::Text { kind, len: length(text)? }),
        b'*' | b'%' | b'~' | b'>' | b'|' => Ok(Head::Aggregate { kind, len: length(text)? }),
        b'_' if text.is_empty() => Ok(Head::Null),
        b'_' => Err(ReplyError::Malformed { what: "null" }),
        _ => Ok(Head::Line { kind, text }),
    }
}

fn length(text: &[u8]) -> Result<usize, ReplyError> {
    let len = number::integer(text).and_then(|len| usize::try_from(len).ok());
    len.ok_or(ReplyError::Malformed { what: "length" })
}

/// Builds a reply from bytes that [`measure`] has found to hold a whole one.
struct Reader<'a> {
    frame: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    /// The element at hand, in which `depth_left` levels may still open.
    fn reply(&mut self, depth_left: usize) -> Result<Reply, ReplyError> {
        let truncated = ReplyError::Malformed { what: "reply" };
        let (head, next) = read_head(self.frame, self.at, self.at)?.ok_or(truncated)?;
        self.at = next;
        match head {
            Head::Null => Ok(Reply::Null),
            Head::Line { kind, text } => self.line(kind, text),
            Head::Text { kind, len } => self.text(kind, len),
            Head::Aggregate { kind, len } => {
                self.aggregate(kind, len, depth_left.checked_sub(1).ok_or(ReplyError::TooDeep)?)
            }
        }
    }

    fn line(&self, kind: u8, text: &[u8]) -> Result<Reply, ReplyError> {
        match kind {
            b'+' => Ok(Reply::Simple(self.frame.slice_ref(text))),
            b'-' => Ok(Reply::Error(self.frame.slice_ref(text))),
            b':' => {
                number::integer(text).map(Reply::Integer).ok_or(ReplyError::Malformed { what: "integer" })
            }
            b',' => double(text).map(Reply::Double),
            b'(' => match digits_only(text) {
                true => Ok(Reply::BigNumber(self.frame.slice_ref(text))),
                false => Err(ReplyError::Malformed { what: "big number" }),
            },
            _ => match text {
                b"t" => Ok(Reply::Boolean(true)),
                b"f" => Ok(Reply::Boolean(false)),
                _ => Err(ReplyError::Malformed { what: "boolean" }),
            },
        }
    }

    fn text(&mut self, kind: u8, len: usize) -> Result<Reply, ReplyError> {
        let end = self.at.saturating_add(len);
        let bytes = self.frame.get(self.at..end).ok_or(ReplyError::Malformed { what: "string" })?;
        self.at = end.saturating_add(2);
        match (kind, bytes) {
            (b'$', _) => Ok(Reply::Bulk(self.frame.slice_ref(bytes))),
            (b'!', _) => Ok(Reply::Error(self.frame.slice_ref(bytes))),
            (_, [a, b, c, b':', text @ ..]) => {
                Ok(Reply::Verbatim { format: [*a, *b, *c], text: self.frame.slice_ref(text) })
            }
            _ => Err(ReplyError::Malformed { what: "verbatim string" }),
        }
    }

    fn aggregate(&mut self, kind: u8, len: usize, depth_left: usize) -> Result<Reply, ReplyError> {
        match kind {
            b'%' => Ok(Reply::Map(self.entries(len, depth_left)?)),
            b'~' => Ok(Reply::Set(self.list(len, depth_left)?)),
            b'>' => Ok(Reply::Push(self.list(len, depth_left)?)),
            b'|' => {
                self.entries(len, depth_left)?;
                self.reply(depth_left)
            }
            _ => Ok(Reply::Array(self.list(len, depth_left)?)),
        }
    }

    fn list(&mut self, len: usize, depth_left: usize) -> Result<Vec<Reply>, ReplyError> {
        // Measured before: each of the `len` elements is there, in at least three bytes.
        let mut list = Vec::with_capacity(len);
        for _ in 0..len {
            list.push(self.reply(depth_left)?);
        }
        Ok(list)
    }

    fn entries(&mut self, len: usize, depth_left: usize) -> Result<Vec<(Reply, Reply)>, ReplyError> {
        let mut entries = Vec::with_capacity(len);
        for _ in 0..len {
            entries.push((self.reply(depth_left)?, self.reply(depth_left)?));
        }
        Ok(entries)
    }
}

fn digits_only(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

fn double(text: &[u8]) -> Result<f64, ReplyError> {
    // Rust also reads spellings such as "infinity" that the protocol does not have.
    let known = match text {
        b"inf" | b"-inf" | b"nan" => true,
        _ => text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')),
    };
    let number = str::from_utf8(text).ok().filter(|_| known).and_then(|text| text.parse().ok());
    number.ok_or(ReplyError::Malformed { what: "double" })
}

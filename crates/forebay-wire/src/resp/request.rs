//! A request as it stands between the wire and its meaning: a name and arguments, all of them bytes.
//!
//! A request owns the bytes it arrived in, once; its arguments are places in them. Looking at an argument
//! costs nothing, taking one ([`Request::bytes`]) shares those bytes without copying.

use std::fmt;

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

/// Where one argument lies in the bytes of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

/// The places of a request's arguments; the four of a `SET key value NX` need no allocation.
pub(super) type Spans = SmallVec<[Span; 4]>;

impl Span {
    /// `None` past 4 GiB, which no set of limits lets a request reach.
    pub(super) fn new(start: usize, end: usize) -> Option<Self> {
        Some(Self { start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? })
    }

    pub(super) fn len(self) -> usize {
        usize::try_from(self.end.saturating_sub(self.start)).unwrap_or(usize::MAX)
    }

    fn range(self) -> Option<std::ops::Range<usize>> {
        Some(usize::try_from(self.start).ok()?..usize::try_from(self.end).ok()?)
    }
}

/// One request: the command's name and its arguments, never empty.
///
/// Every [`Bytes`] taken from it keeps the whole buffer alive that the request arrived in. Whoever stores a
/// key or a value for long copies it, so that a budget counts what is really held.
#[derive(Clone)]
pub struct Request {
    frame: Bytes,
    spans: Spans,
}

impl Request {
    pub(super) fn new(frame: Bytes, spans: Spans) -> Self {
        Self { frame, spans }
    }

    /// A request made of `args`, the command's name first; `None` if there is none, or beyond 4 GiB.
    pub fn from_args<A: AsRef<[u8]>>(args: impl IntoIterator<Item = A>) -> Option<Self> {
        let mut frame = BytesMut::new();
        let mut spans = Spans::new();
        for arg in args {
            let start = frame.len();
            frame.extend_from_slice(arg.as_ref());
            spans.push(Span::new(start, frame.len())?);
        }
        (!spans.is_empty()).then(|| Self::new(frame.freeze(), spans))
    }

    /// How many words the request has, the command's name among them: at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a request is never empty")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// The command's name as the client wrote it.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.get(0).unwrap_or_default()
    }

    /// The word at `index`; 0 is the command's name.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.frame.get(self.spans.get(index)?.range()?)
    }

    /// The word at `index`, sharing the bytes of the request.
    #[must_use]
    pub fn bytes(&self, index: usize) -> Option<Bytes> {
        let range = self.spans.get(index)?.range()?;
        (range.end <= self.frame.len()).then(|| self.frame.slice(range))
    }

    /// All words in order, the command's name first.
    pub fn args(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index).unwrap_or_default())
    }
}

/// Tells the command and the lengths, never the contents: arguments can be passwords.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({}", self.name().escape_ascii())?;
        for arg in self.args().skip(1) {
            write!(f, ", {} bytes", arg.len())?;
        }
        f.write_str(")")
    }
}

/// Writes a request onto `out` as a client sends it: an array of bulk strings, the command's name first.
pub fn encode_request<A: AsRef<[u8]>>(
    out: &mut BytesMut,
    args: impl IntoIterator<Item = A, IntoIter: ExactSizeIterator>,
) {
    let args = args.into_iter();
    super::reply::array(out, args.len());
    for arg in args {
        super::reply::bulk(out, arg.as_ref());
    }
}

//! Reading a segment: its frames one by one, and what its end means.
//!
//! A commit is written only when the one before it is synced, or cut off and synced. So only the last frame of the last segment may be
//! unfinished: one that the file ends within, or of which the disk never got a sector, which reads as zeros. It was confirmed to nobody,
//! and is cut. Whatever else is not as it was written is damage, and told with its place.

use super::frame::{BadHeader, FrameHeader, HEADER, Payload, SegmentHeader, has_zero_sector};

/// What ends the name of a segment.
const EXTENSION: &str = ".journal";

/// The name of the segment `number`.
pub(super) fn name_of(number: u32) -> String {
    format!("{number:010}{EXTENSION}")
}

/// The number of the segment called `name`.
pub(super) fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(EXTENSION)?;
    digits.parse().ok().filter(|number| name_of(*number) == name)
}

/// What is wrong in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// At which byte.
    pub(super) offset: u64,
    pub(super) what: Wrong,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Written by a newer version, in this format.
    Newer(u8),
    /// It is not what was written; in words.
    Damaged(&'static str),
}

/// A segment as it was read.
pub(super) struct Segment<'a> {
    pub(super) header: SegmentHeader,
    bytes: &'a [u8],
    /// Where the next frame begins.
    offset: usize,
    /// Which one that must be.
    sequence: u64,
    is_last: bool,
}

/// The next of a segment.
pub(super) enum Next {
    /// A frame.
    Frame(Payload),
    /// It ends here, and what comes after is no part of it.
    End,
}

impl<'a> Segment<'a> {
    /// The segment in `bytes`, which is the last of its journal or not.
    pub(super) fn open(bytes: &'a [u8], is_last: bool) -> Result<Self, Problem> {
        let header = SegmentHeader::read(bytes).map_err(|bad| Problem {
            offset: 0,
            what: match bad {
                BadHeader::Newer(format) => Wrong::Newer(format),
                BadHeader::Damaged => Wrong::Damaged("this is no header of a segment"),
            },
        })?;
        Ok(Self { header, bytes, offset: HEADER, sequence: header.sequence, is_last })
    }

    /// How many bytes of it were read, all of them sound.
    pub(super) fn sound(&self) -> &'a [u8] {
        self.bytes.get(..self.offset).unwrap_or(self.bytes)
    }

    /// The sequence of the frame after the last that was read.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    fn problem(&self, what: &'static str) -> Problem {
        Problem { offset: u64::try_from(self.offset).unwrap_or(u64::MAX), what: Wrong::Damaged(what) }
    }

    /// Reads the next frame.
    pub(super) fn next(&mut self) -> Result<Next, Problem> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(Next::End);
        }
        let Some((head, _)) = rest.split_at_checked(HEADER) else {
            return self.torn("the file ends within the header of a commit");
        };
        let header = match FrameHeader::read(head, self.header.salt) {
            Ok(header) => header,
            Err(BadHeader::Newer(format)) => {
                return Err(Problem { what: Wrong::Newer(format), ..self.problem("") });
            }
            // A frame's header begins with no zero: this sector was never written.
            Err(BadHeader::Damaged) if head.iter().all(|byte| *byte == 0) && !self.has_header(rest) => {
                return self.torn("the header of a commit is lost");
            }
            Err(BadHeader::Damaged) => return Err(self.problem("this is no header of a commit")),
        };
        let end = usize::try_from(header.frame_bytes()).unwrap_or(usize::MAX);
        let Some(bytes) = rest.get(HEADER..end) else {
            return self.torn("the file ends within a commit");
        };
        if !header.fits(bytes, self.header.salt) {
            let offset = u64::try_from(self.offset + HEADER).unwrap_or(u64::MAX);
            if rest.len() == end && !header.is_hollow && has_zero_sector(bytes, offset) {
                return self.torn("part of a commit is lost");
            }
            return Err(self.problem("the checksum of a commit is not that of what it holds"));
        }
        if header.sequence != self.sequence {
            return Err(self.problem("this is not the commit that comes next"));
        }
        let payload = header.payload(bytes);
        let payload = payload.ok_or_else(|| self.problem("what a commit holds cannot be read"))?;
        self.offset += end;
        self.sequence += 1;
        Ok(Next::Frame(payload))
    }

    /// The last commit was not finished, which can only be at the end of all.
    fn torn(&self, what: &'static str) -> Result<Next, Problem> {
        if self.is_last { Ok(Next::End) } else { Err(self.problem(what)) }
    }

    /// Whether the header of a frame lies anywhere in `rest`.
    fn has_header(&self, rest: &[u8]) -> bool {
        rest.chunks(HEADER).any(|bytes| FrameHeader::read(bytes, self.header.salt).is_ok())
    }
}

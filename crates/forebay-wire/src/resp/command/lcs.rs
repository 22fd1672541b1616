//! LCS: what two strings have in common.

use bytes::Bytes;

use super::string::asked;
use super::{Call, CommandError, StringCommand};
use crate::resp::spec::{Access, CommandSpec, Flag, Group, KeyUse, Keys};

/// The arguments of `LCS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lcs {
    /// The key of one value.
    pub first: Bytes,
    /// The key of the other.
    pub second: Bytes,
    /// What is answered. A fault in the words that say so comes after one in the kinds of the values, as with Redis.
    pub answer: Result<LcsAnswer, CommandError>,
}

/// What `LCS` answers about the longest common subsequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LcsAnswer {
    /// The subsequence.
    Text,
    /// `LEN`: its length.
    Len,
    /// `IDX`: where its parts lie in both, the last first, and its length.
    Matches {
        /// `MINMATCHLEN`: parts shorter than this are left out.
        min_len: u64,
        /// `WITHMATCHLEN`: the length of each part is told.
        with_len: bool,
    },
}

pub(in crate::resp) static LCS: CommandSpec =
    CommandSpec::row(Group::String, "LCS", -3, Access::Read, |call| {
        asked(StringCommand::Lcs(Lcs { first: call.bytes(1)?, second: call.bytes(2)?, answer: answer(call) }))
    })
    .keys(Keys::two(KeyUse::Read))
    .flags(&[Flag::ReadOnly])
    .since("7.0.0")
    .words("key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]")
    .does("Answers the longest common subsequence of two values")
    .costs("O(N*M) for values of N and M bytes");

fn answer(call: &Call<'_>) -> Result<LcsAnswer, CommandError> {
    let (mut len, mut matches, mut with_len, mut min_len) = (false, false, false, 0);
    let mut at = 3;
    while at < call.len() {
        match () {
            () if call.is(at, "IDX") => matches = true,
            () if call.is(at, "LEN") => len = true,
            () if call.is(at, "WITHMATCHLEN") => with_len = true,
            () if call.is(at, "MINMATCHLEN") && at + 1 < call.len() => {
                min_len = u64::try_from(call.integer(at + 1)?).unwrap_or(0);
                at += 1;
            }
            () => return Err(CommandError::Syntax),
        }
        at += 1;
    }
    match (matches, len) {
        (true, true) => Err(CommandError::LcsLenAndIdx),
        (true, false) => Ok(LcsAnswer::Matches { min_len, with_len }),
        (false, true) => Ok(LcsAnswer::Len),
        (false, false) => Ok(LcsAnswer::Text),
    }
}

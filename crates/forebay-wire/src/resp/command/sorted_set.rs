//! Commands on sorted sets: ZSCORE, ZCARD.

use bytes::Bytes;

use super::{Command, CommandError, Data, Parse};
use crate::resp::spec::{Access, CommandSpec, Flag, Group, KeyUse, Keys};

/// A command on sorted sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortedSetCommand {
    /// `ZSCORE`: the score of a member.
    Score {
        /// The key.
        key: Bytes,
        /// The member.
        member: Bytes,
    },
    /// `ZCARD`: how many members there are.
    Card {
        /// The key.
        key: Bytes,
    },
}

/// The row of a command on sorted sets that reads.
const fn reads(name: &'static str, arity: i32, parse: Parse) -> CommandSpec {
    CommandSpec::row(Group::SortedSet, name, arity, Access::Read, parse)
        .keys(Keys::one(KeyUse::Read))
        .flags(&[Flag::ReadOnly, Flag::Fast])
}

pub(in crate::resp) static ZSCORE: CommandSpec =
    reads("ZSCORE", 3, |call| asked(SortedSetCommand::Score { key: call.bytes(1)?, member: call.bytes(2)? }))
        .since("1.2.0")
        .words("key member")
        .does("Answers the score of a member");

pub(in crate::resp) static ZCARD: CommandSpec =
    reads("ZCARD", 2, |call| asked(SortedSetCommand::Card { key: call.bytes(1)? }))
        .since("1.2.0")
        .words("key")
        .does("Counts the members");

fn asked(command: SortedSetCommand) -> Result<Command, CommandError> {
    Ok(Command::Data(Data::SortedSet(command)))
}

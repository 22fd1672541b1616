//! Commands on all the keys that there are: SCAN, KEYS, RANDOMKEY, DBSIZE, FLUSHDB, FLUSHALL, SWAPDB.

use bytes::Bytes;

use super::{Call, Command, CommandError, Parse};
use crate::resp::number;
use crate::resp::spec::{Access, CommandSpec, Flag, Group};

/// A command on all the keys of a keyspace, or of all keyspaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyspaceCommand {
    /// `SCAN`: the keys, some at a time.
    Scan(Scan),
    /// `KEYS`: the keys that match.
    Keys {
        /// A [glob](crate::resp::glob).
        pattern: Bytes,
    },
    /// `RANDOMKEY`: any key.
    RandomKey,
    /// `DBSIZE`: how many keys there are.
    DbSize,
    /// `FLUSHDB`: delete what the keyspace has.
    FlushDb,
    /// `FLUSHALL`: delete what all keyspaces have.
    FlushAll,
    /// `SWAPDB`: let two keyspaces have each other's values.
    SwapDb,
}

/// The arguments of `SCAN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// Where to go on; 0 is the start.
    pub cursor: u64,
    /// `MATCH`: only keys that match this [glob](crate::resp::glob).
    pub pattern: Option<Bytes>,
    /// `COUNT`: about how many keys to look at, at least 1.
    pub count: u64,
    /// `TYPE`: only keys whose value is of this type, as `TYPE` tells it, in letters of any size.
    pub kind: Option<Bytes>,
}

/// How many keys are looked at where nothing is said.
const COUNT: u64 = 10;

/// The row of a command on all keys.
const fn all(
    name: &'static str,
    arity: i32,
    access: Access,
    flags: &'static [Flag],
    parse: Parse,
) -> CommandSpec {
    CommandSpec::row(Group::Generic, name, arity, access, parse).flags(flags).costs("O(N) for N keys")
}

pub(in crate::resp) static SCAN: CommandSpec = all("SCAN", -2, Access::Read, &[Flag::ReadOnly], scan)
    .since("6.0.0")
    .words("cursor [MATCH pattern] [COUNT count] [TYPE type]")
    .does("Answers some of the keys, and where to go on: what is there throughout is answered at least once")
    .costs("O(N) for the N keys looked at");

pub(in crate::resp) static KEYS: CommandSpec = all("KEYS", 2, Access::Read, &[Flag::ReadOnly], |call| {
    asked(KeyspaceCommand::Keys { pattern: call.bytes(1)? })
})
.since("1.0.0")
.words("pattern")
.does("Answers the keys that match a pattern; where they are many it is refused, and SCAN is the way");

pub(in crate::resp) static RANDOMKEY: CommandSpec =
    all("RANDOMKEY", 1, Access::Read, &[Flag::ReadOnly], |_| asked(KeyspaceCommand::RandomKey))
        .since("1.0.0")
        .does("Answers one of the keys, by chance");

pub(in crate::resp) static DBSIZE: CommandSpec =
    all("DBSIZE", 1, Access::Read, &[Flag::ReadOnly], |_| asked(KeyspaceCommand::DbSize))
        .since("1.0.0")
        .does("Counts the keys, in stores and held as copies");

pub(in crate::resp) static FLUSHDB: CommandSpec =
    all("FLUSHDB", -1, Access::Write, &[Flag::Write], |call| flush(call, KeyspaceCommand::FlushDb))
        .since("6.2.0")
        .words("[ASYNC | SYNC]")
        .does("Deletes what the stores of the keyspace have, and drops all copies that it holds");

pub(in crate::resp) static FLUSHALL: CommandSpec =
    all("FLUSHALL", -1, Access::Operate, &[Flag::Write], |call| flush(call, KeyspaceCommand::FlushAll))
        .since("6.2.0")
        .words("[ASYNC | SYNC]")
        .does("Does what FLUSHDB does, to every keyspace");

pub(in crate::resp) static SWAPDB: CommandSpec =
    all("SWAPDB", 3, Access::Write, &[Flag::Write, Flag::Fast], |call| {
        small(call, 1).ok_or(CommandError::InvalidFirstIndex)?;
        small(call, 2).ok_or(CommandError::InvalidSecondIndex)?;
        asked(KeyspaceCommand::SwapDb)
    })
    .since("4.0.0")
    .words("index1 index2")
    .does("Is refused: what a keyspace has belongs to its declaration")
    .costs("O(1)");

fn asked(command: KeyspaceCommand) -> Result<Command, CommandError> {
    Ok(Command::Keyspace(command))
}

fn small(call: &Call<'_>, index: usize) -> Option<i32> {
    number::integer(call.word(index).ok()?).and_then(|number| i32::try_from(number).ok())
}

/// As Redis does: the cursor first, then the options, of which the last of a name counts.
fn scan(call: &Call<'_>) -> Result<Command, CommandError> {
    let cursor = std::str::from_utf8(call.word(1)?).ok().filter(|text| !text.starts_with('+'));
    let cursor = cursor.and_then(|text| text.parse().ok()).ok_or(CommandError::InvalidCursor)?;
    let mut scan = Scan { cursor, pattern: None, count: COUNT, kind: None };
    for at in (2..call.len()).step_by(2) {
        if at + 1 >= call.len() {
            return Err(CommandError::Syntax);
        } else if call.is(at, "MATCH") {
            scan.pattern = Some(call.bytes(at + 1)?);
        } else if call.is(at, "TYPE") {
            scan.kind = Some(call.bytes(at + 1)?);
        } else if call.is(at, "COUNT") {
            let count = u64::try_from(call.integer(at + 1)?).ok().filter(|count| *count > 0);
            scan.count = count.ok_or(CommandError::Syntax)?;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    asked(KeyspaceCommand::Scan(scan))
}

/// Whether it is done while the client waits makes no difference: it always is.
fn flush(call: &Call<'_>, command: KeyspaceCommand) -> Result<Command, CommandError> {
    match call.len() {
        1 => asked(command),
        2 if call.is(1, "ASYNC") || call.is(1, "SYNC") => asked(command),
        _ => Err(CommandError::Syntax),
    }
}

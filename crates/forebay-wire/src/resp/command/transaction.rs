//! Commands on transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH.

use bytes::Bytes;

use super::{Command, CommandError, Parse};
use crate::resp::spec::{Access, CommandSpec, Flag, Group, KeyUse, Keys};

/// A command on the connection's transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionCommand {
    /// `MULTI`: commands from now on wait for `EXEC`.
    Multi,
    /// `EXEC`: carry out those that wait.
    Exec,
    /// `DISCARD`: forget those that wait.
    Discard,
    /// `WATCH`: the next `EXEC` does nothing if one of these keys has changed by then.
    Watch {
        /// The keys, at least one.
        keys: Vec<Bytes>,
    },
    /// `UNWATCH`: no key is watched any more.
    Unwatch,
}

/// The row of a command on transactions.
const fn row(name: &'static str, arity: i32, access: Access, parse: Parse) -> CommandSpec {
    CommandSpec::row(Group::Transactions, name, arity, access, parse).flags(&[
        Flag::NoScript,
        Flag::Loading,
        Flag::Stale,
        Flag::Fast,
        Flag::AllowBusy,
    ])
}

pub(in crate::resp) static MULTI: CommandSpec =
    row("MULTI", 1, Access::Connection, |_| asked(TransactionCommand::Multi))
        .since("1.2.0")
        .does("Lets the commands that follow wait for EXEC");

pub(in crate::resp) static EXEC: CommandSpec =
    row("EXEC", 1, Access::Connection, |_| asked(TransactionCommand::Exec))
        .flags(&[Flag::NoScript, Flag::Loading, Flag::Stale])
        .since("1.2.0")
        .does("Carries out the commands that wait: on stores all at once or not at all, and what they read of caches is loaded first")
        .costs("Depends on the commands");

pub(in crate::resp) static DISCARD: CommandSpec =
    row("DISCARD", 1, Access::Connection, |_| asked(TransactionCommand::Discard))
        .since("2.0.0")
        .does("Forgets the commands that wait")
        .costs("O(N) for N commands");

pub(in crate::resp) static WATCH: CommandSpec =
    row("WATCH", -2, Access::Read, |call| asked(TransactionCommand::Watch { keys: call.rest(1) }))
        .keys(Keys::all(KeyUse::Inspect))
        .since("2.2.0")
        .words("key [key ...]")
        .does("Lets the next EXEC do nothing if one of the keys has changed by then")
        .costs("O(N) for N keys");

pub(in crate::resp) static UNWATCH: CommandSpec =
    row("UNWATCH", 1, Access::Connection, |_| asked(TransactionCommand::Unwatch))
        .since("2.2.0")
        .does("Watches no key any more");

fn asked(command: TransactionCommand) -> Result<Command, CommandError> {
    Ok(Command::Transaction(command))
}

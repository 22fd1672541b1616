//! Commands about the server: COMMAND, INFO.

use super::{Call, Command, CommandError, Describe, Parse};
use crate::resp::spec::{Access, CommandSpec, Flag, Group};

pub(in crate::resp) static INFO: CommandSpec =
    CommandSpec::row(Group::Server, "INFO", -1, Access::Observe, |call| {
        Ok(Command::Info { sections: call.rest(1) })
    })
    .flags(&[Flag::Loading, Flag::Stale])
    .since("7.0.0")
    .words("[section [section ...]]")
    .does("Describes the server and what it has done");

pub(in crate::resp) static COMMAND: CommandSpec =
    CommandSpec::row(Group::Server, "COMMAND", -1, Access::Connection, |_| {
        Ok(Command::Describe(Describe::All))
    })
    .flags(&[Flag::Loading, Flag::Stale])
    .since("2.8.13")
    .does("Answers every row of the command table")
    .costs("O(N) for N commands")
    .holds(&[
        command("COMMAND|COUNT", 2, "2.8.13", "", "O(1)", "Counts the commands", |_| {
            Ok(Command::Describe(Describe::Count))
        }),
        command(
            "COMMAND|LIST",
            -2,
            "7.0.0",
            "",
            "O(N) for N commands",
            "Answers the names of all commands",
            list,
        ),
        command(
            "COMMAND|INFO",
            -2,
            "7.0.0",
            "[command-name [command-name ...]]",
            "O(N) for N names",
            "Answers rows of the command table",
            |call| Ok(Command::Describe(Describe::Info { names: call.rest(2) })),
        ),
        command(
            "COMMAND|DOCS",
            -2,
            "7.0.0",
            "[command-name [command-name ...]]",
            "O(N) for N names",
            "Describes commands for people",
            |call| Ok(Command::Describe(Describe::Docs { names: call.rest(2) })),
        ),
        command(
            "COMMAND|GETKEYS",
            -4,
            "2.8.13",
            "command [arg [arg ...]]",
            "O(N) for N arguments",
            "Answers which words of a whole command are keys",
            |call| Ok(Command::Describe(Describe::GetKeys { words: call.rest(2) })),
        ),
        command("COMMAND|HELP", 2, "5.0.0", "", "O(1)", "Lists the sub-commands of COMMAND", |_| {
            Ok(Command::Describe(Describe::Help))
        }),
    ]);

/// A row for a sub-command of COMMAND; they differ in nothing but these.
const fn command(
    name: &'static str,
    arity: i32,
    since: &'static str,
    arguments: &'static str,
    complexity: &'static str,
    summary: &'static str,
    parse: Parse,
) -> CommandSpec {
    CommandSpec::row(Group::Server, name, arity, Access::Connection, parse)
        .flags(&[Flag::Loading, Flag::Stale])
        .since(since)
        .words(arguments)
        .does(summary)
        .costs(complexity)
}

/// The filters that Redis has here select among modules and access rules, of which there are none.
fn list(call: &Call<'_>) -> Result<Command, CommandError> {
    match call.len() {
        2 => Ok(Command::Describe(Describe::List)),
        _ => Err(CommandError::Syntax),
    }
}

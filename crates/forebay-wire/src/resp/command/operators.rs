//! Forebay's own commands for operators: FB.BACKUP, FB.DEADLETTERS.

use super::{Call, Command, CommandError, DeadLetters, Parse};
use crate::resp::spec::{Access, CommandSpec, Flag, Group};

pub(in crate::resp) static FB_BACKUP: CommandSpec = CommandSpec::row(Group::Server, "FB.BACKUP", -2, Access::Operate, |call| match call.len() {
        2 => Ok(Command::FbBackup { to: call.bytes(1)?, of: None }),
        3 => Ok(Command::FbBackup { to: call.bytes(1)?, of: Some(call.bytes(2)?) }),
        _ => Err(call.wrong_arity()),
    }).flags(&[Flag::NoScript]).since("0.1.0").words("folder [data-folder]").does("Writes what the keyspace's stores hold, as of one moment, to a folder of the server's machine, if they lie in that data folder").costs("O(N) for N values of all stores with the same data folder");

pub(in crate::resp) static FB_DEADLETTERS: CommandSpec =
    CommandSpec::row(Group::Server, "FB.DEADLETTERS", -2, Access::Operate, |call| Err(call.wrong_arity()))
        .since("0.1.0")
        .does("Holds the commands about writes that could not be applied")
        .costs("Depends on the sub-command")
        .holds(&[
            row(
                "FB.DEADLETTERS|LIST",
                -2,
                "[namespace]",
                "Lists the dead letters of the keyspace, or of one namespace",
                list,
            ),
            row(
                "FB.DEADLETTERS|SHOW",
                3,
                "id",
                "Answers a dead letter and the value that it would write",
                |call| Ok(Command::FbDeadLetters(DeadLetters::Show { id: call.bytes(2)? })),
            ),
            row(
                "FB.DEADLETTERS|REPLAY",
                -3,
                "id [id ...]",
                "Gives dead letters to the sink again; answers how many that were",
                |call| Ok(Command::FbDeadLetters(DeadLetters::Replay { ids: call.rest(2) })),
            ),
            row(
                "FB.DEADLETTERS|DROP",
                -3,
                "id [id ...]",
                "Gives dead letters up for good; answers how many that were",
                |call| Ok(Command::FbDeadLetters(DeadLetters::Drop { ids: call.rest(2) })),
            ),
            row("FB.DEADLETTERS|HELP", 2, "", "Lists the sub-commands of FB.DEADLETTERS", |_| {
                Ok(Command::FbDeadLetters(DeadLetters::Help))
            }),
        ]);

/// A row for a sub-command of FB.DEADLETTERS; they differ in nothing but these.
const fn row(
    name: &'static str,
    arity: i32,
    arguments: &'static str,
    summary: &'static str,
    parse: Parse,
) -> CommandSpec {
    CommandSpec::row(Group::Server, name, arity, Access::Operate, parse)
        .flags(&[Flag::NoScript])
        .since("0.1.0")
        .words(arguments)
        .does(summary)
        .costs("O(N) for N dead letters of the keyspace")
}

fn list(call: &Call<'_>) -> Result<Command, CommandError> {
    let namespace = match call.len() {
        2 => None,
        3 => Some(call.bytes(2)?),
        _ => return Err(call.wrong_arity()),
    };
    Ok(Command::FbDeadLetters(DeadLetters::List { namespace }))
}

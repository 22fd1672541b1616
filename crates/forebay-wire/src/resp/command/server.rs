//! Commands about the server: COMMAND, INFO, TIME, CONFIG, MONITOR, SLOWLOG, DEBUG, FUNCTION.

use std::time::Duration;

use bytes::Bytes;

use super::{Call, Command, CommandError, CommandFilter, Describe, Parse};
use crate::resp::number;
use crate::resp::spec::{Access, CommandSpec, Flag, Group};

/// A command about the log of slow requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slowlog {
    /// `SLOWLOG GET`: what was slow.
    Get {
        /// The newest, at most so many.
        count: usize,
    },
    /// `SLOWLOG LEN`: how many are kept.
    Len,
    /// `SLOWLOG RESET`: forget them.
    Reset,
}

/// A command about the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerCommand {
    /// `INFO`: what it has done.
    Info {
        /// The sections asked for; none means the usual ones.
        sections: Vec<Bytes>,
    },
    /// `TIME`: what time it is.
    Time,
    /// `CONFIG GET`: how it is set up.
    ConfigGet {
        /// Patterns of the settings' names, at least one.
        patterns: Vec<Bytes>,
    },
    /// `CONFIG SET`: set it up otherwise.
    ConfigSet {
        /// Names of settings, and what they are to be.
        settings: Vec<(Bytes, Bytes)>,
    },
    /// `CONFIG RESETSTAT`: count from zero.
    ConfigResetStat,
    /// `CONFIG REWRITE`: write the declaration.
    ConfigRewrite,
    /// `MONITOR`: be sent what others ask for.
    Monitor,
    /// `SLOWLOG`: what took long.
    Slowlog(Slowlog),
    /// `DEBUG SLEEP`: let this connection wait.
    DebugSleep {
        /// For so long.
        span: Duration,
    },
    /// A sub-command of `DEBUG` that has nothing to do here.
    DebugNothing,
    /// `FUNCTION FLUSH`: forget functions, of which there are none.
    FunctionFlush,
    /// What a command with sub-commands can do; [`describe::help`](crate::resp::describe::help) answers it.
    Help {
        /// That command's name.
        container: &'static str,
    },
}

pub(in crate::resp) static INFO: CommandSpec =
    CommandSpec::row(Group::Server, "INFO", -1, Access::Observe, |call| {
        asked(ServerCommand::Info { sections: call.rest(1) })
    })
    .flags(&[Flag::Loading, Flag::Stale])
    .since("7.0.0")
    .words("[section [section ...]]")
    .does("Describes the server and what it has done");

pub(in crate::resp) static TIME: CommandSpec =
    CommandSpec::row(Group::Server, "TIME", 1, Access::Connection, |_| asked(ServerCommand::Time))
        .flags(&[Flag::Loading, Flag::Stale, Flag::Fast])
        .since("2.6.0")
        .does("Answers the server's time: seconds since 1970-01-01 UTC, and microseconds");

/// The row of a command, or of a sub-command, that only operators are to use.
const fn operates(name: &'static str, arity: i32, parse: Parse) -> CommandSpec {
    CommandSpec::row(Group::Server, name, arity, Access::Operate, parse).flags(&[
        Flag::Admin,
        Flag::NoScript,
        Flag::Loading,
        Flag::Stale,
    ])
}

/// The row of a sub-command that lists those beside it.
const fn helps(name: &'static str, since: &'static str, summary: &'static str, parse: Parse) -> CommandSpec {
    CommandSpec::row(Group::Server, name, 2, Access::Connection, parse)
        .flags(&[Flag::Loading, Flag::Stale])
        .since(since)
        .does(summary)
}

pub(in crate::resp) static CONFIG: CommandSpec =
    CommandSpec::row(Group::Server, "CONFIG", -2, Access::Connection, |call| Err(call.wrong_arity()))
        .since("2.0.0")
        .does("Holds the commands about how the server is set up")
        .costs("Depends on the sub-command")
        .holds(&[
            operates("CONFIG|GET", -3, |call| asked(ServerCommand::ConfigGet { patterns: call.rest(2) }))
                .since("7.0.0")
                .words("parameter [parameter ...]")
                .does("Answers the settings whose names match, under the names that Redis has for them")
                .costs("O(N) for N settings"),
            operates("CONFIG|SET", -4, config_set)
                .since("7.0.0")
                .words("parameter value [parameter value ...]")
                .does("Takes a setting that is as asked; others are changed in the declaration")
                .costs("O(N) for N settings"),
            operates("CONFIG|RESETSTAT", 2, |_| asked(ServerCommand::ConfigResetStat))
                .since("2.0.0")
                .does("Lets INFO count from zero"),
            operates("CONFIG|REWRITE", 2, |_| asked(ServerCommand::ConfigRewrite))
                .since("2.8.0")
                .does("Is refused: the declaration is written by those whose it is"),
            helps("CONFIG|HELP", "5.0.0", "Lists the sub-commands of CONFIG", |_| {
                asked(ServerCommand::Help { container: "CONFIG" })
            }),
        ]);

pub(in crate::resp) static MONITOR: CommandSpec =
    operates("MONITOR", 1, |_| asked(ServerCommand::Monitor))
        .since("1.0.0")
        .does("Has the connection sent every command on its keyspace from now on, without the words that are secret");

/// How many entries `SLOWLOG GET` answers where nothing is said.
const SLOW_COUNT: usize = 10;

pub(in crate::resp) static SLOWLOG: CommandSpec =
    CommandSpec::row(Group::Server, "SLOWLOG", -2, Access::Connection, |call| Err(call.wrong_arity()))
        .since("2.2.12")
        .does("Holds the commands about the log of slow requests")
        .costs("Depends on the sub-command")
        .holds(&[
            operates("SLOWLOG|GET", -2, slowlog_get)
                .since("2.2.12")
                .words("[count]")
                .does("Answers the newest requests that were slow, also those over HTTP: ten, or as many as asked for; all for -1")
                .costs("O(N) for N entries"),
            operates("SLOWLOG|LEN", 2, |_| asked(ServerCommand::Slowlog(Slowlog::Len)))
                .since("2.2.12")
                .does("Answers how many slow requests are kept"),
            operates("SLOWLOG|RESET", 2, |_| asked(ServerCommand::Slowlog(Slowlog::Reset)))
                .since("2.2.12")
                .does("Forgets the slow requests")
                .costs("O(N) for N entries"),
            helps("SLOWLOG|HELP", "6.2.0", "Lists the sub-commands of SLOWLOG", |_| {
                asked(ServerCommand::Help { container: "SLOWLOG" })
            }),
        ]);

fn slowlog_get(call: &Call<'_>) -> Result<Command, CommandError> {
    let count = match call.len() {
        2 => SLOW_COUNT,
        3 => match number::integer(call.word(2)?) {
            Some(-1) => usize::MAX,
            Some(count) => usize::try_from(count).map_err(|_| CommandError::SlowlogCount)?,
            None => return Err(CommandError::SlowlogCount),
        },
        _ => return Err(call.wrong_arity()),
    };
    asked(ServerCommand::Slowlog(Slowlog::Get { count }))
}

pub(in crate::resp) static DEBUG: CommandSpec = operates("DEBUG", -2, |call| Err(call.wrong_arity()))
    .since("1.0.0")
    .does("Holds commands that test suites make")
    .costs("Depends on the sub-command")
    .holds(&[
        operates("DEBUG|SLEEP", 3, debug_sleep)
            .since("1.0.0")
            .words("seconds")
            .does("Lets this connection wait, and no other"),
        operates("DEBUG|JMAP", 2, |_| asked(ServerCommand::DebugNothing))
            .since("1.0.0")
            .does("Answers OK: there is nothing to do"),
        operates("DEBUG|SET-ACTIVE-EXPIRE", 3, |_| asked(ServerCommand::DebugNothing))
            .since("3.2.0")
            .words("0 | 1")
            .does("Answers OK: what has ended is never answered, whenever its memory is given back"),
        helps("DEBUG|HELP", "5.0.0", "Lists the sub-commands of DEBUG", |_| {
            asked(ServerCommand::Help { container: "DEBUG" })
        }),
    ]);

pub(in crate::resp) static FUNCTION: CommandSpec =
    CommandSpec::row(Group::Server, "FUNCTION", -2, Access::Connection, |call| Err(call.wrong_arity()))
        .since("7.0.0")
        .does("Holds the commands about functions, of which there are none")
        .costs("Depends on the sub-command")
        .holds(&[
            operates("FUNCTION|FLUSH", -2, function_flush)
                .since("7.0.0")
                .words("[ASYNC | SYNC]")
                .does("Answers OK: there is no function to forget"),
            helps("FUNCTION|HELP", "7.0.0", "Lists the sub-commands of FUNCTION", |_| {
                asked(ServerCommand::Help { container: "FUNCTION" })
            }),
        ]);

fn asked(command: ServerCommand) -> Result<Command, CommandError> {
    Ok(Command::Server(command))
}

fn config_set(call: &Call<'_>) -> Result<Command, CommandError> {
    asked(ServerCommand::ConfigSet { settings: call.pairs(2).map_err(|_| CommandError::Syntax)? })
}

/// The longest that `DEBUG SLEEP` lets a connection wait.
const SLEEP_MAX: f64 = 3600.0;

fn debug_sleep(call: &Call<'_>) -> Result<Command, CommandError> {
    let seconds = str::from_utf8(call.word(2)?).ok().and_then(|text| text.parse::<f64>().ok());
    let seconds =
        seconds.filter(|seconds| (0.0..=SLEEP_MAX).contains(seconds)).ok_or(CommandError::NotAFloat)?;
    asked(ServerCommand::DebugSleep { span: Duration::from_secs_f64(seconds) })
}

fn function_flush(call: &Call<'_>) -> Result<Command, CommandError> {
    match call.len() {
        2 => {}
        3 if call.is(2, "ASYNC") || call.is(2, "SYNC") => {}
        _ => return Err(CommandError::FunctionFlush),
    }
    asked(ServerCommand::FunctionFlush)
}

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
            "[FILTERBY MODULE module-name | ACLCAT category | PATTERN pattern]",
            "O(N) for N commands",
            "Answers the names of commands and sub-commands, of all or of those that the filter names",
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
        command(
            "COMMAND|GETKEYSANDFLAGS",
            -4,
            "7.0.0",
            "command [arg [arg ...]]",
            "O(N) for N arguments",
            "Answers which words of a whole command are keys, and what it does with each",
            |call| Ok(Command::Describe(Describe::GetKeysAndFlags { words: call.rest(2) })),
        ),
        command("COMMAND|HELP", 2, "5.0.0", "", "O(1)", "Lists the sub-commands of COMMAND", |_| {
            Ok(Command::Describe(Describe::Help { of: "COMMAND" }))
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

fn list(call: &Call<'_>) -> Result<Command, CommandError> {
    let filter = match call.len() {
        2 => None,
        5 if call.is(2, "FILTERBY") && call.is(3, "MODULE") => Some(CommandFilter::Module(call.bytes(4)?)),
        5 if call.is(2, "FILTERBY") && call.is(3, "ACLCAT") => Some(CommandFilter::Category(call.bytes(4)?)),
        5 if call.is(2, "FILTERBY") && call.is(3, "PATTERN") => Some(CommandFilter::Pattern(call.bytes(4)?)),
        _ => return Err(CommandError::Syntax),
    };
    Ok(Command::Describe(Describe::List { filter }))
}

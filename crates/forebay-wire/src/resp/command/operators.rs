//! Forebay's own commands for operators: FB.STATS, FB.EXPLAIN, FB.RELOAD, FB.WARM, FB.BACKUP, FB.DEADLETTERS, FB.JOBS.

use bytes::Bytes;

use super::{Call, Command, CommandError, Parse};
use crate::resp::spec::{Access, CommandSpec, Flag, Group};

/// What operators ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorsCommand {
    /// `FB.STATS`: what has been counted of the keyspace's namespaces.
    Stats {
        /// Of this one alone.
        namespace: Option<Bytes>,
    },
    /// `FB.EXPLAIN`: what a namespace will do.
    Explain {
        /// Its name.
        namespace: Bytes,
    },
    /// `FB.RELOAD`: read the declarations again.
    Reload,
    /// `FB.WARM …`: about loading what is declared to be warm.
    Warm(WarmCommand),
    /// `FB.BACKUP`: a copy of what stores hold.
    Backup {
        /// The folder to write it to, as the client wrote it.
        to: Bytes,
        /// The data folder that the stores must lie in.
        of: Option<Bytes>,
    },
    /// `FB.DEADLETTERS …`: about writes that could not be applied.
    DeadLetters(DeadLetters),
    /// `FB.JOBS …`: about work that is done by the clock.
    Jobs(Jobs),
}

/// `FB.WARM` and its sub-command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WarmCommand {
    /// Begin.
    Start {
        /// This namespace alone.
        namespace: Option<Bytes>,
    },
    /// How far it is.
    Status {
        /// Of this namespace alone.
        namespace: Option<Bytes>,
    },
    /// Load no more.
    Stop {
        /// Of this namespace alone.
        namespace: Option<Bytes>,
    },
    /// What `FB.WARM` can do; [`describe::help`](crate::resp::describe::help) answers it.
    Help,
}

/// `FB.DEADLETTERS` and its sub-command. Ids are as clients wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadLetters {
    /// Which there are.
    List {
        /// Of this namespace alone.
        namespace: Option<Bytes>,
    },
    /// One of them, and its value.
    Show {
        /// Its id.
        id: Bytes,
    },
    /// To be applied again.
    Replay {
        /// Their ids, at least one.
        ids: Vec<Bytes>,
    },
    /// To be given up.
    Drop {
        /// Their ids, at least one.
        ids: Vec<Bytes>,
    },
    /// What `FB.DEADLETTERS` can do; [`describe::help`](crate::resp::describe::help) answers it.
    Help,
}

/// `FB.JOBS` and its sub-command. Names are as clients wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Jobs {
    /// Which there are, and how they stand.
    List,
    /// Begins a run.
    Run {
        /// The job's name.
        name: Bytes,
    },
    /// The last runs.
    History {
        /// The job's name.
        name: Bytes,
        /// The most runs that are told; ten if `None`.
        count: Option<u64>,
    },
    /// What `FB.JOBS` can do; [`describe::help`](crate::resp::describe::help) answers it.
    Help,
}

/// What commands about warmings cost.
const OF_WARMINGS: &str = "O(N) for N namespaces that are warmed; the loads are in the background";
/// What commands about dead letters cost.
const OF_LETTERS: &str = "O(N) for N dead letters of the keyspace";

pub(in crate::resp) static FB_STATS: CommandSpec =
    CommandSpec::row(Group::Server, "FB.STATS", -1, Access::Observe, |call| {
        Ok(Command::Operators(OperatorsCommand::Stats { namespace: at_most_one(call, 1)? }))
    })
    .flags(&[Flag::ReadOnly])
    .since("0.1.0")
    .words("[namespace]")
    .does("Tells what has been counted since the start of the keyspace's namespaces, or of one of them")
    .costs("O(N) for N namespaces");

pub(in crate::resp) static FB_EXPLAIN: CommandSpec =
    CommandSpec::row(Group::Server, "FB.EXPLAIN", 2, Access::Observe, |call| {
        Ok(Command::Operators(OperatorsCommand::Explain { namespace: call.bytes(1)? }))
    })
    .flags(&[Flag::ReadOnly])
    .since("0.1.0")
    .words("namespace")
    .does("Tells in words what a namespace will do: its source, its ages, what makes its copies stale")
    .costs("O(1)");

pub(in crate::resp) static FB_RELOAD: CommandSpec =
    CommandSpec::row(Group::Server, "FB.RELOAD", 1, Access::Operate, |_| {
        Ok(Command::Operators(OperatorsCommand::Reload))
    })
    .flags(&[Flag::NoScript])
    .since("0.1.0")
    .does("Reads the declarations again and puts them in service; answers what is different then, or what keeps them from it")
    .costs("O(N) for N namespaces, and the time to prepare the queries of those that are new");

pub(in crate::resp) static FB_WARM: CommandSpec =
    CommandSpec::row(Group::Server, "FB.WARM", -2, Access::Operate, |call| Err(call.wrong_arity()))
        .since("0.1.0")
        .does("Holds the commands about loading what is declared to be warm")
        .costs("Depends on the sub-command")
        .holds(&[
            row(
                "FB.WARM|START",
                -2,
                "[namespace]",
                "Begins to load what the keyspace declares to be warm, or one namespace of it; answers how far that is",
                |call| warm(WarmCommand::Start { namespace: at_most_one(call, 2)? }),
            ).costs(OF_WARMINGS),
            row(
                "FB.WARM|STATUS",
                -2,
                "[namespace]",
                "Tells how far the warmings are that were asked for",
                |call| warm(WarmCommand::Status { namespace: at_most_one(call, 2)? }),
            ).costs(OF_WARMINGS),
            row(
                "FB.WARM|STOP",
                -2,
                "[namespace]",
                "Has warmings that were asked for load no more; answers how far they are",
                |call| warm(WarmCommand::Stop { namespace: at_most_one(call, 2)? }),
            ).costs(OF_WARMINGS),
            row("FB.WARM|HELP", 2, "", "Lists the sub-commands of FB.WARM", |_| warm(WarmCommand::Help)).costs(OF_WARMINGS),
        ]);

fn warm(asked: WarmCommand) -> Result<Command, CommandError> {
    Ok(Command::Operators(OperatorsCommand::Warm(asked)))
}

pub(in crate::resp) static FB_BACKUP: CommandSpec = CommandSpec::row(Group::Server, "FB.BACKUP", -2, Access::Operate, |call| {
        Ok(Command::Operators(OperatorsCommand::Backup { to: call.bytes(1)?, of: at_most_one(call, 2)? }))
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
            )
            .costs(OF_LETTERS),
            row(
                "FB.DEADLETTERS|SHOW",
                3,
                "id",
                "Answers a dead letter and the value that it would write",
                |call| about_letters(DeadLetters::Show { id: call.bytes(2)? }),
            )
            .costs(OF_LETTERS),
            row(
                "FB.DEADLETTERS|REPLAY",
                -3,
                "id [id ...]",
                "Gives dead letters to the sink again; answers how many that were",
                |call| about_letters(DeadLetters::Replay { ids: call.rest(2) }),
            )
            .costs(OF_LETTERS),
            row(
                "FB.DEADLETTERS|DROP",
                -3,
                "id [id ...]",
                "Gives dead letters up for good; answers how many that were",
                |call| about_letters(DeadLetters::Drop { ids: call.rest(2) }),
            )
            .costs(OF_LETTERS),
            row("FB.DEADLETTERS|HELP", 2, "", "Lists the sub-commands of FB.DEADLETTERS", |_| {
                about_letters(DeadLetters::Help)
            })
            .costs(OF_LETTERS),
        ]);

/// A row for a sub-command, without what it costs.
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
}

fn list(call: &Call<'_>) -> Result<Command, CommandError> {
    about_letters(DeadLetters::List { namespace: at_most_one(call, 2)? })
}

fn about_letters(asked: DeadLetters) -> Result<Command, CommandError> {
    Ok(Command::Operators(OperatorsCommand::DeadLetters(asked)))
}

/// The last argument, at `at`, where it is given; none may follow it.
fn at_most_one(call: &Call<'_>, at: usize) -> Result<Option<Bytes>, CommandError> {
    if call.len() <= at {
        return Ok(None);
    }
    if call.len() == at + 1 { call.bytes(at).map(Some) } else { Err(call.wrong_arity()) }
}

pub(in crate::resp) static FB_JOBS: CommandSpec =
    CommandSpec::row(Group::Server, "FB.JOBS", -2, Access::Operate, |call| Err(call.wrong_arity()))
        .since("0.1.0")
        .does("Holds the commands about work that is done by the clock")
        .costs("Depends on the sub-command")
        .holds(&[
            row("FB.JOBS|LIST", 2, "", "Lists the jobs of the keyspace, and how they stand", |_| {
                jobs_asked(Jobs::List)
            })
            .costs("O(N) for N jobs of the keyspace"),
            row(
                "FB.JOBS|RUN",
                3,
                "name",
                "Begins a run now, unless one is under way; answers how it ended, or after five seconds that it began",
                |call| jobs_asked(Jobs::Run { name: call.bytes(2)? }),
            )
            .costs("What the job does"),
            row(
                "FB.JOBS|HISTORY",
                -3,
                "name [count]",
                "Answers the last runs of a job, the newest first; ten, or as many as are asked for",
                history,
            )
            .costs("O(N) for N runs"),
            row("FB.JOBS|HELP", 2, "", "Lists the sub-commands of FB.JOBS", |_| {
                jobs_asked(Jobs::Help)
            })
            .costs("O(1)"),
        ]);

fn history(call: &Call<'_>) -> Result<Command, CommandError> {
    let count = match call.len() {
        3 => None,
        4 => Some(u64::try_from(call.integer(3)?).map_err(|_| CommandError::Negative)?),
        _ => return Err(call.wrong_arity()),
    };
    jobs_asked(Jobs::History { name: call.bytes(2)?, count })
}

fn jobs_asked(asked: Jobs) -> Result<Command, CommandError> {
    Ok(Command::Operators(OperatorsCommand::Jobs(asked)))
}

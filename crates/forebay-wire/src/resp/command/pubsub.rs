//! Commands on channels: SUBSCRIBE, UNSUBSCRIBE, PSUBSCRIBE, PUNSUBSCRIBE, PUBLISH, PUBSUB.

use bytes::Bytes;

use super::{Call, Command, CommandError, Parse};
use crate::resp::spec::{Access, CommandSpec, Flag, Group};

/// A command on channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PubSubCommand {
    /// `SUBSCRIBE`: be sent what is published to these channels.
    Subscribe {
        /// The channels, at least one.
        channels: Vec<Bytes>,
    },
    /// `UNSUBSCRIBE`: no more.
    Unsubscribe {
        /// The channels; none means all.
        channels: Vec<Bytes>,
    },
    /// `PSUBSCRIBE`: be sent what is published to channels that match.
    PSubscribe {
        /// The patterns, at least one.
        patterns: Vec<Bytes>,
    },
    /// `PUNSUBSCRIBE`: no more.
    PUnsubscribe {
        /// The patterns; none means all.
        patterns: Vec<Bytes>,
    },
    /// `PUBLISH`: send to those who are subscribed.
    Publish {
        /// The channel.
        channel: Bytes,
        /// What to send.
        message: Bytes,
    },
    /// `PUBSUB CHANNELS`: which channels have subscribers.
    Channels {
        /// Of those that match.
        pattern: Option<Bytes>,
    },
    /// `PUBSUB NUMSUB`: how many subscribers channels have.
    NumSub {
        /// The channels.
        channels: Vec<Bytes>,
    },
    /// `PUBSUB NUMPAT`: how many patterns are subscribed to.
    NumPat,
    /// What `PUBSUB` can do; [`describe::help`](crate::resp::describe::help) answers it.
    Help,
}

/// The row of a command on channels.
const fn row(name: &'static str, arity: i32, access: Access, parse: Parse) -> CommandSpec {
    CommandSpec::row(Group::PubSub, name, arity, access, parse)
        .flags(&[Flag::PubSub, Flag::NoScript, Flag::Loading, Flag::Stale])
        .since("2.0.0")
}

pub(in crate::resp) static SUBSCRIBE: CommandSpec = row("SUBSCRIBE", -2, Access::Subscribe, |call| {
    asked(PubSubCommand::Subscribe { channels: call.rest(1) })
})
.words("channel [channel ...]")
.does("Has the connection sent what is published to the channels")
.costs("O(N) for N channels");

pub(in crate::resp) static UNSUBSCRIBE: CommandSpec = row("UNSUBSCRIBE", -1, Access::Connection, |call| {
    asked(PubSubCommand::Unsubscribe { channels: call.rest(1) })
})
.words("[channel [channel ...]]")
.does("Has the connection sent no more of the channels, or of any")
.costs("O(N) for N channels");

pub(in crate::resp) static PSUBSCRIBE: CommandSpec = row("PSUBSCRIBE", -2, Access::Subscribe, |call| {
    asked(PubSubCommand::PSubscribe { patterns: call.rest(1) })
})
.words("pattern [pattern ...]")
.does("Has the connection sent what is published to channels that match")
.costs("O(N) for N patterns");

pub(in crate::resp) static PUNSUBSCRIBE: CommandSpec = row("PUNSUBSCRIBE", -1, Access::Connection, |call| {
    asked(PubSubCommand::PUnsubscribe { patterns: call.rest(1) })
})
.words("[pattern [pattern ...]]")
.does("Has the connection sent no more of channels that match the patterns, or any")
.costs("O(N) for N patterns");

pub(in crate::resp) static PUBLISH: CommandSpec = row("PUBLISH", 3, Access::Publish, |call| {
    asked(PubSubCommand::Publish { channel: call.bytes(1)?, message: call.bytes(2)? })
})
.flags(&[Flag::PubSub, Flag::Loading, Flag::Stale, Flag::Fast])
.words("channel message")
.does("Sends a message to those subscribed to the channel on this instance; answers how many they are")
.costs("O(N+M) for N subscribers of the channel and M patterns of all connections");

pub(in crate::resp) static PUBSUB: CommandSpec =
    row("PUBSUB", -2, Access::Connection, |call| Err(call.wrong_arity()))
        .flags(&[])
        .since("2.8.0")
        .does("Holds the commands about who is subscribed")
        .costs("Depends on the sub-command")
        .holds(&[
            about("PUBSUB|CHANNELS", -2, channels)
                .words("[pattern]")
                .does("Lists the channels that have subscribers")
                .costs("O(N) for N channels"),
            about("PUBSUB|NUMSUB", -2, |call| asked(PubSubCommand::NumSub { channels: call.rest(2) }))
                .words("[channel [channel ...]]")
                .does("Counts the subscribers of the channels, those of patterns not among them")
                .costs("O(N) for N channels"),
            about("PUBSUB|NUMPAT", 2, |_| asked(PubSubCommand::NumPat))
                .does("Counts the patterns that somebody is subscribed to"),
            about("PUBSUB|HELP", 2, |_| asked(PubSubCommand::Help))
                .flags(&[Flag::Loading, Flag::Stale])
                .since("6.2.0")
                .does("Lists the sub-commands of PUBSUB"),
        ]);

/// The row of a sub-command of PUBSUB.
const fn about(name: &'static str, arity: i32, parse: Parse) -> CommandSpec {
    row(name, arity, Access::Subscribe, parse)
        .flags(&[Flag::PubSub, Flag::Loading, Flag::Stale])
        .since("2.8.0")
}

fn channels(call: &Call<'_>) -> Result<Command, CommandError> {
    match call.len() {
        2 => asked(PubSubCommand::Channels { pattern: None }),
        3 => asked(PubSubCommand::Channels { pattern: Some(call.bytes(2)?) }),
        _ => Err(call.wrong_arity()),
    }
}

fn asked(command: PubSubCommand) -> Result<Command, CommandError> {
    Ok(Command::PubSub(command))
}

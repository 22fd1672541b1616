//! `CLIENT` and its sub-commands: about this connection, and about those of others.

use bytes::Bytes;

use super::{Call, Command, CommandError, Parse, Tracking, is_plain, shown, tracking};
use crate::resp::number;
use crate::resp::spec::{Access, CommandSpec, Flag, Group};

/// `CLIENT` and its sub-command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientCommand {
    /// The connection's number.
    Id,
    /// The connection's name.
    GetName,
    /// Names the connection.
    SetName {
        /// Printable ASCII without blanks; empty takes the name away.
        name: Bytes,
    },
    /// Notes what library the client uses.
    SetInfo {
        /// Which fact.
        attribute: ClientAttribute,
        /// Printable ASCII without blanks.
        value: Bytes,
    },
    /// One line about the connection.
    Info,
    /// One line about each connection.
    List {
        /// Of this kind alone.
        kind: Option<ClientKind>,
        /// Of these numbers alone; none means all.
        ids: Vec<i64>,
    },
    /// Ends connections, and answers how many.
    Kill {
        /// Those that match all of these.
        filters: Vec<ClientFilter>,
        /// Not this one, whatever it matches.
        skip_me: bool,
    },
    /// Ends the connection from this address, or says that there is none.
    KillAddress {
        /// Host and port.
        address: Bytes,
    },
    /// Lets commands wait.
    Pause {
        /// For so many milliseconds.
        ms: u64,
        /// Those alone that write.
        writes_only: bool,
    },
    /// Lets them go on.
    Unpause,
    /// Which commands are answered from now on.
    Reply {
        /// All, none, or all but the next.
        replying: Replying,
    },
    /// Ends the wait of a client who is blocked by a command.
    Unblock {
        /// Its number.
        id: i64,
    },
    /// Whether the connection may be ended for want of memory.
    NoEvict,
    /// Whether what the connection reads counts as used.
    NoTouch,
    /// Whether the connection is told of changes of what it has read: yes.
    Track(Tracking),
    /// The same: no.
    TrackNothing,
    /// Whether what the next command reads is kept, where that is to be said.
    Caching {
        /// Whether it is; a word that says neither is refused after what else there is to refuse.
        keeps: Result<bool, CommandError>,
    },
    /// The number of the connection that is told of changes instead of this one.
    GetRedirection,
    /// What the connection is told of.
    TrackingInfo,
    /// What `CLIENT` can do; [`describe::help`](crate::resp::describe::help) answers it.
    Help,
}

/// A fact about a client, set by `CLIENT SETINFO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAttribute {
    /// `LIB-NAME`.
    LibName,
    /// `LIB-VER`.
    LibVersion,
}

/// What a client is to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// Neither of the others.
    Normal,
    /// Subscribed to some channel.
    PubSub,
    /// A server that this one follows, or that follows it: there are none.
    Replica,
}

/// Which clients are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFilter {
    /// The one of this number.
    Id(i64),
    /// Those from this address, host and port.
    Address(Bytes),
    /// Those to this address of the server.
    LocalAddress(Bytes),
    /// Those of this kind.
    Kind(ClientKind),
    /// Those authenticated as this user.
    User(Bytes),
}

/// Which commands of a connection are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Replying {
    /// All.
    #[default]
    On,
    /// None.
    Off,
    /// All but the next.
    Skip,
}

/// The row of a sub-command about the connection itself.
const fn own(name: &'static str, arity: i32, parse: Parse) -> CommandSpec {
    CommandSpec::row(Group::Connection, name, arity, Access::Connection, parse).flags(&[
        Flag::NoScript,
        Flag::Loading,
        Flag::Stale,
    ])
}

/// The row of a sub-command about any connection.
const fn any(name: &'static str, arity: i32, parse: Parse) -> CommandSpec {
    CommandSpec::row(Group::Connection, name, arity, Access::Operate, parse)
        .flags(&[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale])
        .costs("O(N) for N connections")
}

pub(in crate::resp) static CLIENT: CommandSpec =
    CommandSpec::row(Group::Connection, "CLIENT", -2, Access::Connection, |call| Err(call.wrong_arity()))
        .since("2.4.0")
        .does("Holds the commands about this connection, and about all")
        .costs("Depends on the sub-command")
        .holds(&[
            own("CLIENT|ID", 2, |_| asked(ClientCommand::Id))
                .since("5.0.0")
                .does("Answers the number of this connection"),
            own("CLIENT|GETNAME", 2, |_| asked(ClientCommand::GetName))
                .since("2.6.9")
                .does("Answers the name of this connection"),
            own("CLIENT|SETNAME", 3, |call| asked(ClientCommand::SetName { name: client_name(call, 2)? }))
                .since("2.6.9")
                .words("connection-name")
                .does("Names this connection"),
            own("CLIENT|SETINFO", 4, set_info)
                .since("7.2.0")
                .words("LIB-NAME libname | LIB-VER libver")
                .does("Notes which library the client uses, and its version"),
            own("CLIENT|INFO", 2, |_| asked(ClientCommand::Info))
                .since("6.2.0")
                .does("Describes this connection in one line"),
            own("CLIENT|REPLY", 3, replying)
                .since("3.2.0")
                .words("ON | OFF | SKIP")
                .does("Chooses whether commands are answered: all, none, or all but the next"),
            own("CLIENT|NO-EVICT", 3, |call| on_or_off(call).map(|()| Command::Client(ClientCommand::NoEvict)))
                .since("7.0.0")
                .words("ON | OFF")
                .does("Is taken for what it is: no connection is ended for want of memory"),
            own("CLIENT|NO-TOUCH", 3, |call| on_or_off(call).map(|()| Command::Client(ClientCommand::NoTouch)))
                .since("7.2.0")
                .words("ON | OFF")
                .does("Is taken, and changes nothing: what is read counts as used"),
            own("CLIENT|TRACKING", -3, tracking::tracking)
                .since("6.0.0")
                .words("ON | OFF [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]")
                .does("Has this connection, or another, told when what it has read is of no use any more")
                .costs("O(N) for N prefixes"),
            own("CLIENT|CACHING", 3, tracking::caching)
                .since("6.0.0")
                .words("YES | NO")
                .does("Says whether what the next command reads is kept by the client"),
            own("CLIENT|GETREDIR", 2, |_| asked(ClientCommand::GetRedirection))
                .since("6.0.0")
                .does("Answers the number of the connection that is told instead of this one: 0 for none, -1 without tracking"),
            own("CLIENT|TRACKINGINFO", 2, |_| asked(ClientCommand::TrackingInfo))
                .since("6.2.0")
                .does("Answers what this connection is told of"),
            any("CLIENT|LIST", -2, list)
                .since("2.4.0")
                .words("[TYPE NORMAL | MASTER | REPLICA | PUBSUB] [ID client-id [client-id ...]]")
                .does("Describes connections, each in one line"),
            any("CLIENT|KILL", -3, kill)
                .since("2.4.0")
                .words("ip:port | [[ID client-id] [ADDR ip:port] [LADDR ip:port] [TYPE type] [USER username] [SKIPME YES | NO]]")
                .does("Ends connections"),
            any("CLIENT|PAUSE", -3, pause)
                .since("2.9.50")
                .words("timeout [WRITE | ALL]")
                .does("Lets the commands of all connections wait, or those alone that write"),
            any("CLIENT|UNPAUSE", 2, |_| asked(ClientCommand::Unpause))
                .since("6.2.0")
                .does("Lets commands that wait go on"),
            any("CLIENT|UNBLOCK", -3, unblock)
                .since("5.0.0")
                .words("client-id [TIMEOUT | ERROR]")
                .does("Answers 0: no command blocks its client"),
            own("CLIENT|HELP", 2, |_| asked(ClientCommand::Help))
                .since("5.0.0")
                .does("Lists the sub-commands of CLIENT"),
        ]);

fn asked(command: ClientCommand) -> Result<Command, CommandError> {
    Ok(Command::Client(command))
}

/// The name of a connection that stands at `index`.
pub(super) fn client_name(call: &Call<'_>, index: usize) -> Result<Bytes, CommandError> {
    let name = call.bytes(index)?;
    match is_plain(&name) {
        true => short(name),
        false => Err(CommandError::ClientName),
    }
}

/// The longest that a client calls itself, or its library, in bytes: it is kept while the client is connected, and in the slow log.
const NAME_BYTES_MAX: usize = 1024;

fn short(name: Bytes) -> Result<Bytes, CommandError> {
    if name.len() <= NAME_BYTES_MAX {
        Ok(name)
    } else {
        Err(CommandError::NameTooLong { max: NAME_BYTES_MAX })
    }
}

fn set_info(call: &Call<'_>) -> Result<Command, CommandError> {
    let (attribute, name) = match () {
        () if call.is(2, "LIB-NAME") => (ClientAttribute::LibName, "lib-name"),
        () if call.is(2, "LIB-VER") => (ClientAttribute::LibVersion, "lib-ver"),
        () => return Err(CommandError::UnknownAttribute { option: shown(call.word(2)?, 128) }),
    };
    let value = call.bytes(3)?;
    if !is_plain(&value) {
        return Err(CommandError::AttributeValue { attribute: name });
    }
    asked(ClientCommand::SetInfo { attribute, value: short(value)? })
}

fn on_or_off(call: &Call<'_>) -> Result<(), CommandError> {
    if call.is(2, "ON") || call.is(2, "OFF") { Ok(()) } else { Err(CommandError::Syntax) }
}

fn replying(call: &Call<'_>) -> Result<Command, CommandError> {
    let replying = match () {
        () if call.is(2, "ON") => Replying::On,
        () if call.is(2, "OFF") => Replying::Off,
        () if call.is(2, "SKIP") => Replying::Skip,
        () => return Err(CommandError::Syntax),
    };
    asked(ClientCommand::Reply { replying })
}

fn kind(call: &Call<'_>, index: usize) -> Result<ClientKind, CommandError> {
    Ok(match () {
        () if call.is(index, "NORMAL") => ClientKind::Normal,
        () if call.is(index, "PUBSUB") => ClientKind::PubSub,
        () if ["MASTER", "REPLICA", "SLAVE"].iter().any(|name| call.is(index, name)) => ClientKind::Replica,
        () => return Err(CommandError::ClientType { name: shown(call.word(index)?, 128) }),
    })
}

fn list(call: &Call<'_>) -> Result<Command, CommandError> {
    let (kind, ids) = match call.len() {
        2 => (None, Vec::new()),
        4 if call.is(2, "TYPE") => (Some(kind(call, 3)?), Vec::new()),
        4.. if call.is(2, "ID") => {
            let id = |index| number::integer(call.word(index)?).ok_or(CommandError::InvalidClientId);
            (None, (3..call.len()).map(id).collect::<Result<_, _>>()?)
        }
        _ => return Err(CommandError::Syntax),
    };
    asked(ClientCommand::List { kind, ids })
}

fn kill(call: &Call<'_>) -> Result<Command, CommandError> {
    if call.len() == 3 {
        return asked(ClientCommand::KillAddress { address: call.bytes(2)? });
    }
    let (mut filters, mut skip_me) = (Vec::new(), true);
    for at in (2..call.len()).step_by(2) {
        if at + 1 >= call.len() {
            return Err(CommandError::Syntax);
        }
        match () {
            () if call.is(at, "ID") => {
                let id = number::integer(call.word(at + 1)?).filter(|id| *id > 0);
                filters.push(ClientFilter::Id(id.ok_or(CommandError::ClientId)?));
            }
            () if call.is(at, "ADDR") => filters.push(ClientFilter::Address(call.bytes(at + 1)?)),
            () if call.is(at, "LADDR") => filters.push(ClientFilter::LocalAddress(call.bytes(at + 1)?)),
            () if call.is(at, "TYPE") => filters.push(ClientFilter::Kind(kind(call, at + 1)?)),
            () if call.is(at, "USER") => filters.push(ClientFilter::User(call.bytes(at + 1)?)),
            () if call.is(at, "SKIPME") && call.is(at + 1, "YES") => skip_me = true,
            () if call.is(at, "SKIPME") && call.is(at + 1, "NO") => skip_me = false,
            () => return Err(CommandError::Syntax),
        }
    }
    asked(ClientCommand::Kill { filters, skip_me })
}

fn pause(call: &Call<'_>) -> Result<Command, CommandError> {
    let writes_only = match call.len() {
        3 => false,
        4 if call.is(3, "WRITE") => true,
        4 if call.is(3, "ALL") => false,
        4 => return Err(CommandError::PauseMode),
        _ => return Err(call.wrong_arity()),
    };
    let ms = number::integer(call.word(2)?).ok_or(CommandError::PauseTime)?;
    let ms = u64::try_from(ms).map_err(|_| CommandError::PauseNegative)?;
    asked(ClientCommand::Pause { ms, writes_only })
}

fn unblock(call: &Call<'_>) -> Result<Command, CommandError> {
    match call.len() {
        3 => {}
        4 if call.is(3, "TIMEOUT") || call.is(3, "ERROR") => {}
        4 => return Err(CommandError::UnblockReason),
        _ => return Err(call.wrong_arity()),
    }
    asked(ClientCommand::Unblock { id: call.integer(2)? })
}

//! Commands about the connection: PING, ECHO, AUTH, HELLO, SELECT, QUIT, RESET, ACL.

use super::client::client_name;
use super::{AclCommand, Call, Command, CommandError, Credentials, Hello, Parse, shown};
use crate::resp::number;
use crate::resp::reply::Version;
use crate::resp::spec::{Access, CommandSpec, Flag, Group};

pub(in crate::resp) static PING: CommandSpec =
    CommandSpec::row(Group::Connection, "PING", -1, Access::Connection, |call| match call.len() {
        1 => Ok(Command::Ping { message: None }),
        2 => Ok(Command::Ping { message: Some(call.bytes(1)?) }),
        _ => Err(call.wrong_arity()),
    })
    .flags(&[Flag::Fast])
    .since("1.0.0")
    .words("[message]")
    .does("Answers PONG, or the message");

pub(in crate::resp) static ECHO: CommandSpec =
    CommandSpec::row(Group::Connection, "ECHO", 2, Access::Connection, |call| {
        Ok(Command::Echo { message: call.bytes(1)? })
    })
    .flags(&[Flag::Loading, Flag::Stale, Flag::Fast])
    .since("1.0.0")
    .words("message")
    .does("Answers the message");

pub(in crate::resp) static AUTH: CommandSpec =
    CommandSpec::row(Group::Connection, "AUTH", -2, Access::Connection, auth)
        .flags(&[Flag::NoScript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::NoAuth, Flag::AllowBusy])
        .since("6.0.0")
        .words("[username] password")
        .does("Shows a token, whose rights the connection has from now on");

pub(in crate::resp) static HELLO: CommandSpec =
    CommandSpec::row(Group::Connection, "HELLO", -1, Access::Connection, hello)
        .flags(&[Flag::NoScript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::NoAuth, Flag::AllowBusy])
        .since("6.2.0")
        .words("[protover [AUTH username password] [SETNAME clientname]]")
        .does("Chooses the protocol version, authenticates, and describes the server");

pub(in crate::resp) static SELECT: CommandSpec =
    CommandSpec::row(Group::Connection, "SELECT", 2, Access::Connection, select)
        .flags(&[Flag::Loading, Flag::Stale, Flag::Fast])
        .since("1.0.0")
        .words("index")
        .does("Chooses the keyspace for the commands that follow");

pub(in crate::resp) static QUIT: CommandSpec =
    CommandSpec::row(Group::Connection, "QUIT", -1, Access::Connection, |_| Ok(Command::Quit))
        .flags(&[Flag::NoScript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::NoAuth, Flag::AllowBusy])
        .since("1.0.0")
        .does("Closes the connection after the answer");

pub(in crate::resp) static RESET: CommandSpec =
    CommandSpec::row(Group::Connection, "RESET", 1, Access::Connection, |_| Ok(Command::Reset))
        .flags(&[Flag::NoScript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::NoAuth, Flag::AllowBusy])
        .since("6.2.0")
        .does("Brings the connection back to the state of a new one");

pub(in crate::resp) static ACL: CommandSpec =
    CommandSpec::row(Group::Connection, "ACL", -2, Access::Connection, |call| Err(call.wrong_arity()))
        .since("6.0.0")
        .does("Holds the commands about who the client is")
        .costs("Depends on the sub-command")
        .holds(&[
            acl("ACL|WHOAMI", |_| Ok(Command::Acl(AclCommand::WhoAmI)))
                .flags(&[Flag::NoScript, Flag::Loading, Flag::Stale])
                .does("Answers the name of the token that the connection has shown"),
            acl("ACL|HELP", |_| Ok(Command::Acl(AclCommand::Help)))
                .flags(&[Flag::Loading, Flag::Stale])
                .does("Lists the sub-commands of ACL"),
        ]);

/// The row of a sub-command of ACL.
const fn acl(name: &'static str, parse: Parse) -> CommandSpec {
    CommandSpec::row(Group::Connection, name, 2, Access::Connection, parse).since("6.0.0")
}

fn auth(call: &Call<'_>) -> Result<Command, CommandError> {
    let (user, password) = match call.len() {
        2 => (None, call.bytes(1)?),
        3 => (Some(call.bytes(1)?), call.bytes(2)?),
        _ => return Err(CommandError::Syntax),
    };
    Ok(Command::Auth(Credentials { user, password }))
}

fn hello(call: &Call<'_>) -> Result<Command, CommandError> {
    let mut hello = Hello::default();
    if call.len() == 1 {
        return Ok(Command::Hello(hello));
    }
    hello.version = match number::integer(call.word(1)?) {
        None => return Err(CommandError::VersionNotAnInteger),
        Some(2) => Some(Version::Resp2),
        Some(3) => Some(Version::Resp3),
        Some(_) => return Err(CommandError::UnsupportedVersion),
    };
    let mut at = 2;
    while at < call.len() {
        let words_after = call.len() - at - 1;
        if call.is(at, "AUTH") && words_after >= 2 {
            hello.auth = Some(Credentials { user: Some(call.bytes(at + 1)?), password: call.bytes(at + 2)? });
            at += 3;
        } else if call.is(at, "SETNAME") && words_after >= 1 {
            hello.name = Some(client_name(call, at + 1)?);
            at += 2;
        } else {
            return Err(CommandError::HelloOption { option: shown(call.word(at)?, 128) });
        }
    }
    Ok(Command::Hello(hello))
}

fn select(call: &Call<'_>) -> Result<Command, CommandError> {
    let (min, max) = (i64::from(i32::MIN), i64::from(i32::MAX));
    let index = call.integer(1)?;
    if !(min..=max).contains(&index) {
        return Err(CommandError::OutOfRange { min, max });
    }
    let index = u32::try_from(index).map_err(|_| CommandError::NoSuchIndex)?;
    Ok(Command::Select { index })
}

//! What a client asks for that keeps copies of what it has read: `CLIENT TRACKING`, `CLIENT CACHING`.

use bytes::Bytes;

use super::{Call, ClientCommand, Command, CommandError};
use crate::resp::number;

/// How a client wants to be told that its copies are of no use any more. What fits together, and what was asked before, is for the
/// server to check, in Redis' order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tracking {
    /// The number of the connection that is told instead; 0 for this one.
    pub redirect: i64,
    /// `PREFIX`, in the order given: with `BCAST`, what the keys begin with.
    pub prefixes: Vec<Bytes>,
    /// `BCAST`: it is told of all keys, whether it has read them or not.
    pub broadcast: bool,
    /// `OPTIN`: it keeps only what it reads after `CLIENT CACHING YES`.
    pub opt_in: bool,
    /// `OPTOUT`: it keeps all but what it reads after `CLIENT CACHING NO`.
    pub opt_out: bool,
    /// `NOLOOP`: it is not told of what it changes itself.
    pub no_loop: bool,
}

pub(super) fn tracking(call: &Call<'_>) -> Result<Command, CommandError> {
    let (mut asked, mut at) = (Tracking::default(), 3);
    while at < call.len() {
        let has_more = at + 1 < call.len();
        match () {
            () if call.is(at, "REDIRECT") && has_more => {
                if asked.redirect != 0 {
                    return Err(CommandError::RedirectTwice);
                }
                at += 1;
                asked.redirect = number::integer(call.word(at)?).ok_or(CommandError::NotAnInteger)?;
            }
            () if call.is(at, "PREFIX") && has_more => {
                at += 1;
                asked.prefixes.push(call.bytes(at)?);
            }
            () if call.is(at, "BCAST") => asked.broadcast = true,
            () if call.is(at, "OPTIN") => asked.opt_in = true,
            () if call.is(at, "OPTOUT") => asked.opt_out = true,
            () if call.is(at, "NOLOOP") => asked.no_loop = true,
            () => return Err(CommandError::Syntax),
        }
        at += 1;
    }
    Ok(Command::Client(match () {
        () if call.is(2, "ON") => ClientCommand::Track(asked),
        () if call.is(2, "OFF") => ClientCommand::TrackNothing,
        () => return Err(CommandError::Syntax),
    }))
}

pub(super) fn caching(call: &Call<'_>) -> Result<Command, CommandError> {
    let keeps = match () {
        () if call.is(2, "YES") => Ok(true),
        () if call.is(2, "NO") => Ok(false),
        () => Err(CommandError::Syntax),
    };
    Ok(Command::Client(ClientCommand::Caching { keeps }))
}

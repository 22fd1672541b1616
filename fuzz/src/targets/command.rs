//! Commands: words that the table knows, in places where they make no sense.
//!
//! An input is the words of one request with blanks between them. What the table says of a command and what its function makes of the
//! words must agree, since access to keys is judged by the table.

use std::collections::BTreeSet;

use forebay_wire::resp::{Command, CommandError, CommandSpec, Request, encode_request, parse, resolve};

use super::named::named;
use crate::allocation::{Bound, within};
use crate::{Fault, Seen, Target};

pub(super) const TARGET: Target = Target {
    name: "command",
    attacks: "commands: the table and the functions agree on names, numbers of words and keys; keys are words of the request",
    words: &[
        b" ",
        b"GET",
        b"SET",
        b"MSET",
        b"MSETNX",
        b"DEL",
        b"GETEX",
        b"GETDEL",
        b"SETRANGE",
        b"INCRBYFLOAT",
        b"HSET",
        b"HGETALL",
        b"HSCAN",
        b"HRANDFIELD",
        b"HINCRBYFLOAT",
        b"ZADD",
        b"ZRANGE",
        b"ZRANGESTORE",
        b"ZUNIONSTORE",
        b"ZINTER",
        b"ZDIFF",
        b"ZINTERCARD",
        b"ZPOPMIN",
        b"ZRANGEBYSCORE",
        b"ZRANGEBYLEX",
        b"ZREVRANGEBYLEX",
        b"ZRANDMEMBER",
        b"ZSCAN",
        b"ZMPOP",
        b"SCAN",
        b"KEYS",
        b"EXPIRE",
        b"EXPIREAT",
        b"PEXPIREAT",
        b"COPY",
        b"RENAME",
        b"OBJECT",
        b"MULTI",
        b"EXEC",
        b"WATCH",
        b"SUBSCRIBE",
        b"PSUBSCRIBE",
        b"PUBLISH",
        b"CLIENT",
        b"KILL",
        b"TRACKING",
        b"SETINFO",
        b"LIST",
        b"PAUSE",
        b"CONFIG",
        b"COMMAND",
        b"GETKEYS",
        b"DOCS",
        b"INFO",
        b"HELLO",
        b"AUTH",
        b"SETNAME",
        b"SELECT",
        b"SWAPDB",
        b"FLUSHALL",
        b"ASYNC",
        b"SYNC",
        b"MEMORY",
        b"USAGE",
        b"SAMPLES",
        b"RESET",
        b"LCS",
        b"IDX",
        b"MINMATCHLEN",
        b"WITHMATCHLEN",
        b"LEN",
        b"FB.INVALIDATE",
        b"FB.EXPIRE",
        b"FB.TAG",
        b"FB.FRESH",
        b"FB.WHY",
        b"FB.BACKUP",
        b"FB.DEADLETTERS",
        b"FB.JOBS",
        b"NX",
        b"XX",
        b"GT",
        b"LT",
        b"CH",
        b"INCR",
        b"EX",
        b"PX",
        b"EXAT",
        b"PXAT",
        b"KEEPTTL",
        b"PERSIST",
        b"WITHSCORES",
        b"LIMIT",
        b"BYSCORE",
        b"BYLEX",
        b"REV",
        b"WEIGHTS",
        b"AGGREGATE",
        b"SUM",
        b"MIN",
        b"MAX",
        b"MATCH",
        b"COUNT",
        b"TYPE",
        b"NOVALUES",
        b"STORE",
        b"DB",
        b"REPLACE",
        b"HELP",
        b"-inf",
        b"+inf",
        b"(1",
        b"[a",
        b"(a",
        b"-",
        b"+",
        b"2",
        b"0",
    ],
    large: &[],
    begin: || Ok(Box::new(attack)),
};

fn attack(input: &[u8], seen: &mut Seen) -> Result<(), Fault> {
    let words: Vec<&[u8]> = input.split(|byte| *byte == b' ').collect();
    let Some(request) = Request::from_args(&words) else {
        return Err(Fault::Broken("words are no request".to_owned()));
    };
    let mut sent = bytes::BytesMut::new();
    encode_request(&mut sent, &words);
    let parsed = within(Bound::STRANGERS, sent.len(), || parse(&request))?;
    let spec = match resolve(&request) {
        Ok(spec) => spec,
        Err(refusal) => return refused(&parsed, &refusal),
    };
    seen.note((spec.name, std::mem::discriminant(&parsed), request.len().min(8)));
    if let Err(refusal) = &parsed {
        seen.note((spec.name, std::mem::discriminant(refusal)));
    }
    if !spec.takes(request.len()) {
        return Err(Fault::Broken(format!(
            "{} does not take {} words, and is found",
            spec.name,
            request.len()
        )));
    }
    keys_agree(spec, &request, &parsed)
}

/// What is not found cannot be parsed, for the same reason.
fn refused(parsed: &Result<Command, CommandError>, refusal: &CommandError) -> Result<(), Fault> {
    match parsed {
        Err(other) if other == refusal => Ok(()),
        other => Err(Fault::Broken(format!("it is not found ({refusal}), and parsed as {other:?}"))),
    }
}

fn keys_agree(
    spec: &CommandSpec,
    request: &Request,
    parsed: &Result<Command, CommandError>,
) -> Result<(), Fault> {
    let keys: Vec<usize> = spec.key_indexes(request).collect();
    let broken = |what: &str| {
        Err(Fault::Broken(format!("{}: {what}: {keys:?} of {} words", spec.name, request.len())))
    };
    if keys.iter().any(|at| *at == 0 || *at >= request.len()) {
        return broken("a key that is no word behind the name");
    }
    if !keys.is_empty() && !spec.keys.are_there() {
        return broken("keys of a command that has none");
    }
    let Ok(command) = parsed else { return Ok(()) };
    if let Command::Data(data) = command {
        if keys.is_empty() {
            return broken("a command on values without keys");
        }
        let by_place: BTreeSet<&[u8]> = keys.iter().filter_map(|at| request.get(*at)).collect();
        let by_meaning = named(data);
        if by_place != by_meaning {
            return broken(&format!(
                "the table finds the keys [{}], and it works on [{}]",
                shown(&by_place),
                shown(&by_meaning)
            ));
        }
    }
    Ok(())
}

fn shown(keys: &BTreeSet<&[u8]>) -> String {
    keys.iter().map(|key| key.escape_ascii().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::{Request, keys_agree, parse, resolve};

    #[test]
    fn a_key_that_the_table_does_not_find_is_a_fault() {
        let of = |name: &str| Request::from_args([name, "a", "b"]).unwrap();
        let request = of("RENAME");
        let parsed = parse(&request);
        for (name, agrees) in [("RENAME", true), ("APPEND", false), ("MGET", true)] {
            let spec = resolve(&of(name)).unwrap();
            assert_eq!(keys_agree(spec, &request, &parsed).is_ok(), agrees, "by the row of {name}");
        }
    }
}

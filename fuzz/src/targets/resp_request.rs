//! Requests as clients send them, before and after they have shown who they are.

use bytes::BytesMut;
use forebay_wire::resp::{Limits, ProtocolError, Request, State, decode, encode_request, parse};

use crate::allocation::{Bound, within};
use crate::split::same_however_cut;
use crate::{Fault, Large, Seen, Target};

pub(super) const TARGET: Target = Target {
    name: "resp_request",
    attacks: "requests of RESP: the same however cut, nothing allocated because it is announced, limits kept, each one parsed",
    words: &[
        b"*",
        b"$",
        b"\r\n",
        b"\n",
        b"\r",
        b"*1\r\n",
        b"*2\r\n$3\r\nGET\r\n",
        b"$-1\r\n",
        b"$0\r\n\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"PING\r\n",
        b"SET",
        b"EVAL",
        b"MULTI",
        b"EXEC",
        b"SUBSCRIBE",
        b"HELLO 3 AUTH ",
        b"\"\\x00\"",
        b"'",
        b"\"",
        b" ",
        b"\0",
        b"\\x",
        b"POST / HTTP/1.1\r\n",
        b"Host: x\r\n",
    ],
    large: &[
        Large { before: b"*1\r\n$", unit: b"0", times: 70_000, after: b"1\r\n" },
        Large { before: b"*", unit: b"1", times: 70_000, after: b"" },
        Large { before: b"", unit: b"*1\r\n", times: 10_000, after: b"" },
        Large { before: b"", unit: b"a ", times: 32_000, after: b"\r\n" },
        Large { before: b"DEL ", unit: b"a ", times: 32_000, after: b"\r\n" },
        Large { before: b"MSET ", unit: b"a b ", times: 16_000, after: b"\r\n" },
        Large { before: b"ZADD k ", unit: b"1 b ", times: 16_000, after: b"\r\n" },
        Large { before: b"*1048576\r\n", unit: b"$0\r\n\r\n", times: 20_000, after: b"" },
        Large { before: b"*20000\r\n", unit: b"$1\r\na\r\n", times: 20_000, after: b"" },
        Large { before: b"", unit: b"\r\n", times: 40_000, after: b"PING\r\n" },
        Large { before: b"SET k \"", unit: b"\\x41", times: 16_000, after: b"\"\r\n" },
        Large { before: b"", unit: b"PING\r\n", times: 10_000, after: b"" },
    ],
    begin: || Ok(Box::new(attack)),
};

fn attack(input: &[u8], seen: &mut Seen) -> Result<(), Fault> {
    for limits in [Limits::UNAUTHENTICATED, Limits::AUTHENTICATED] {
        let said = same_however_cut(input, |pieces| read(pieces, &limits))?;
        let mut arrived = BytesMut::from(input);
        within(Bound::STRANGERS, input.len(), || {
            let mut state = State::default();
            while let Ok(Some(_)) = decode(&mut arrived, &limits, &mut state) {}
        })?;
        seen.note_count("requests", said.requests.len());
        if let Some(error) = &said.error {
            seen.note_message(&error.to_string());
        }
        for words in &said.requests {
            kept(words, &limits)?;
            meaning(words, seen)?;
        }
    }
    Ok(())
}

/// What a stream was read as.
#[derive(Debug, PartialEq)]
struct Said {
    requests: Vec<Vec<Vec<u8>>>,
    error: Option<ProtocolError>,
    /// Bytes that are no whole request; not told after an error, when nobody looks at them.
    left: usize,
}

fn read(pieces: &[&[u8]], limits: &Limits) -> Said {
    let (mut arrived, mut state) = (BytesMut::new(), State::default());
    let mut requests = Vec::new();
    for piece in pieces {
        arrived.extend_from_slice(piece);
        loop {
            match decode(&mut arrived, limits, &mut state) {
                Ok(Some(request)) => requests.push(request.args().map(<[u8]>::to_vec).collect()),
                Ok(None) => break,
                Err(error) => return Said { requests, error: Some(error), left: 0 },
            }
        }
    }
    Said { requests, error: None, left: arrived.len() }
}

/// The limits are kept: those of arrays, or what the longest line can hold.
fn kept(words: &[Vec<u8>], limits: &Limits) -> Result<(), Fault> {
    let longest = words.iter().map(Vec::len).max().unwrap_or_default();
    let most = limits.args_max.max(limits.line_bytes_max);
    if words.is_empty() || words.len() > most || longest > limits.arg_bytes_max.max(limits.line_bytes_max) {
        return Err(Fault::Broken(format!(
            "a request of {} words, the longest of {longest} bytes",
            words.len()
        )));
    }
    Ok(())
}

/// What a request asks for costs no more than what it takes as an array of words, the form in which clients send them.
fn meaning(words: &[Vec<u8>], seen: &mut Seen) -> Result<(), Fault> {
    let Some(request) = Request::from_args(words) else {
        return Err(Fault::Broken("a request without words".to_owned()));
    };
    let mut sent = BytesMut::new();
    encode_request(&mut sent, words);
    let (mut again, mut state) = (sent.clone(), State::default());
    let limits = Limits { request_bytes_max: usize::MAX, arg_bytes_max: usize::MAX, ..Limits::AUTHENTICATED };
    match decode(&mut again, &limits, &mut state) {
        Ok(Some(back)) if back.args().eq(request.args()) && again.is_empty() => {}
        other => return Err(Fault::Broken(format!("sent again, it is read as {other:?}"))),
    }
    match within(Bound::STRANGERS, sent.len(), || parse(&request))? {
        Ok(command) => seen.note((request.name().to_ascii_uppercase(), std::mem::discriminant(&command))),
        Err(refusal) => {
            let text = refusal.to_string();
            seen.note_message(text.split('\'').next().unwrap_or_default());
        }
    }
    Ok(())
}

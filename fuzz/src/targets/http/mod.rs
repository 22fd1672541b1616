//! HTTP from outside: a process that serves, on a socket of its own, and raw bytes sent to it.
//!
//! Whatever is sent, the connection comes to an end in good time, what comes back is HTTP, and no answer says 500: that would be a
//! fault of ours. `answer.rs` reads what came back, strictly.

mod answer;
mod requests;
mod stage;

use self::answer::{Answer, read};
use self::requests::requests;
use self::stage::{Exchange, Stage};
use crate::mutate::seed_of;
use crate::{Fault, Large, Seen, Target};

/// Words of HTTP, of requests that mean two things, and of our paths.
const WORDS: &[&[u8]] = &[
    b"GET ",
    b"HEAD ",
    b"PUT ",
    b"POST ",
    b"DELETE ",
    b"PATCH ",
    b"OPTIONS * ",
    b"CONNECT ",
    b"TRACE ",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b" HTTP/0.9\r\n",
    b" HTTP/2.0\r\n",
    b"Host: localhost\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length : 5\r\n",
    b"Content-Length: 18446744073709551616\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding:\tchunked\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"ffffffffffffffff\r\n",
    b";ext=1\r\n",
    b" folded\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Accept-Encoding: gzip, br;q=0\r\n",
    b"Range: bytes=0-0\r\n",
    b"Range: bytes=-1,5-,2-1\r\n",
    b"If-None-Match: *\r\n",
    b"If-None-Match: W/\"a\", \"b\"\r\n",
    b"If-Match: \"\"\r\n",
    b"Cache-Control: no-cache\r\n",
    b"Content-Type: application/json\r\n",
    b"/v1/shop/scratch/scratch:a",
    b"/v1/shop/kept/kept:a",
    b"/v1/shop/count/count:7",
    b"/health",
    b"%00",
    b"%2f",
    b"%2F..%2f",
    b"%",
    b"%zz",
    b"%ff",
    b"%c3%28",
    b"..",
    b"//",
    b"?",
    b"?prefix=",
    b"&limit=",
    b"&cursor=",
    b"#",
    b"http://a/",
    b"@",
    b"\\",
    b"\0",
    b"\xff",
    b"{\"keys\":[",
    b"]}",
    b"\"a\"",
    b",",
];

pub(super) const REQUEST: Target = Target {
    name: "http_request",
    attacks: "HTTP as raw bytes: every connection is answered or closed in good time, in HTTP, never with 500, never more answers than requests",
    words: WORDS,
    large: &[
        Large { before: b"GET /", unit: b"a", times: 70_000, after: b" HTTP/1.1\r\nHost: localhost\r\n\r\n" },
        Large {
            before: b"GET /health HTTP/1.1\r\nHost: localhost\r\n",
            unit: b"a: b\r\n",
            times: 1_000,
            after: b"\r\n",
        },
        Large {
            before: b"GET /health HTTP/1.1\r\nHost: localhost\r\na: ",
            unit: b"b",
            times: 500_000,
            after: b"\r\n\r\n",
        },
        Large { before: b"", unit: b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", times: 200, after: b"" },
        Large {
            before:
                b"PUT /v1/shop/scratch/scratch:a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
            unit: b"1\r\na\r\n",
            times: 5_000,
            after: b"0\r\n\r\n",
        },
        Large {
            before:
                b"PUT /v1/shop/scratch/scratch:a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;",
            unit: b"e",
            times: 100_000,
            after: b"\r\na\r\n0\r\n\r\n",
        },
        Large {
            before: b"",
            unit: b"\r\n",
            times: 10_000,
            after: b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
        },
    ],
    begin: || begin(request),
};

pub(super) const PATH: Target = Target {
    name: "http_path",
    attacks: "paths and query strings, a method before them where it is not GET: one answer each, never 500",
    words: WORDS,
    large: &[
        Large { before: b"/v1/shop/scratch/scratch:", unit: b"a", times: 40_000, after: b"" },
        Large { before: b"/v1/shop/scratch/scratch:", unit: b"%41", times: 10_000, after: b"" },
        Large { before: b"/v1/shop/scratch", unit: b"/", times: 10_000, after: b"" },
        Large { before: b"/v1/shop/scratch?", unit: b"limit=1&", times: 5_000, after: b"" },
    ],
    begin: || begin(path),
};

pub(super) const BODY: Target = Target {
    name: "http_body",
    attacks: "bodies, headers before them where there is an empty line: what was taken is given back byte by byte",
    words: WORDS,
    large: &[
        Large { before: b"\n\n", unit: b"a", times: 1 << 20, after: b"" },
        Large { before: b"Content-Type: application/json\n\n", unit: b"[", times: 100_000, after: b"" },
        Large { before: b"Content-Type: ", unit: b"a", times: 20_000, after: b"\n\na" },
    ],
    begin: || begin(body),
};

/// The longest text of an answer that a fault shows, in characters.
const SHOWN: usize = 600;
/// The last request on every connection.
const CLOSE: &[u8] = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

type Play = fn(&Stage, &[u8], &mut Seen) -> Result<(), Fault>;

fn begin(play: Play) -> Result<Box<dyn crate::Attack>, Fault> {
    let stage = Stage::open()?;
    Ok(Box::new(move |input: &[u8], seen: &mut Seen| play(&stage, input, seen)))
}

fn request(stage: &Stage, input: &[u8], seen: &mut Seen) -> Result<(), Fault> {
    let sent = [input, CLOSE].concat();
    let exchange = stage.exchange(&sent)?;
    let answers = told(&sent, &exchange, seen)?;
    let (requests, is_all) = requests(&sent);
    // One more: what comes behind them is refused.
    let most = if is_all { requests } else { requests + 1 };
    // One of them may end the connection, where it is refused.
    let ends = answers.last().is_some_and(|last| last.status >= 400) || exchange.was_cut;
    if answers.len() > most || is_all && answers.len() < most && !ends {
        return Err(Fault::Broken(format!("{} answers to {most} requests at most", answers.len())));
    }
    Ok(())
}

fn path(stage: &Stage, input: &[u8], seen: &mut Seen) -> Result<(), Fault> {
    let method: &[u8] = if input.starts_with(b"/") { b"GET " } else { b"" };
    let rest = b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let sent = [method, input, rest].concat();
    let exchange = stage.exchange(&sent)?;
    let answers = told(&sent, &exchange, seen)?;
    let is_one_line = !input.iter().any(|byte| b"\r\n".contains(byte));
    if is_one_line && answers.len() != 1 && !exchange.was_cut {
        return Err(Fault::Broken(format!("{} answers to one request", answers.len())));
    }
    Ok(())
}

fn body(stage: &Stage, input: &[u8], seen: &mut Seen) -> Result<(), Fault> {
    let blank = input.windows(2).position(|window| window == b"\n\n");
    let (head, body) = match blank.and_then(|at| input.split_at_checked(at)) {
        Some((head, [_, _, body @ ..])) => (head, body),
        _ => (&b""[..], input),
    };
    let place = if seed_of(body).is_multiple_of(2) { "scratch/scratch:body" } else { "kept/kept:body" };
    let mut sent =
        format!("PUT /v1/shop/{place} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n", body.len())
            .into_bytes();
    for line in head.split(|byte| *byte == b'\n').filter(|line| may_stand(line)) {
        sent.extend_from_slice(line);
        sent.extend_from_slice(b"\r\n");
    }
    sent.extend_from_slice(b"\r\n");
    sent.extend_from_slice(body);
    sent.extend_from_slice(
        format!("GET /v1/shop/{place} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes(),
    );
    let exchange = stage.exchange(&sent)?;
    given_back(body, &told(&sent, &exchange, seen)?, exchange.was_cut)
}

/// What was taken is there when it is asked for next, and is what was sent.
fn given_back(body: &[u8], answers: &[Answer], was_cut: bool) -> Result<(), Fault> {
    let broken = |what: String| Err(Fault::Broken(format!("{} bytes were taken, and {what}", body.len())));
    match answers {
        [put, ..] if !(200..300).contains(&put.status) => Ok(()),
        [_, got] if got.status != 200 => broken(format!("{} is answered who asks for them", got.status)),
        [_, got] if got.body != body => broken(format!("{} others are given back", got.body.len())),
        [_, _] => Ok(()),
        _ if was_cut => Ok(()),
        answers => broken(format!("{} answers come to two requests", answers.len())),
    }
}

/// Whether a line of a head may be sent: it is a header, and none that says how long the body is or what becomes of the connection.
fn may_stand(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
    let name = line.get(..colon).unwrap_or_default().to_ascii_lowercase();
    let framing: &[&[u8]] =
        &[b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade", b"te", b"host"];
    !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        && !framing.contains(&name.as_slice())
        && !line.iter().any(|byte| *byte == b'\r' || *byte == 0)
}

/// The answers that came back.
fn told(sent: &[u8], exchange: &Exchange, seen: &mut Seen) -> Result<Vec<Answer>, Fault> {
    // Whoever asks for heads alone gets lengths of bodies that do not come; which answers those are is not known here.
    let asks_for_heads = sent.windows(4).any(|window| window == b"HEAD");
    let mut answers = read(&exchange.came, exchange.was_cut, false);
    if answers.is_err() && asks_for_heads {
        answers = read(&exchange.came, exchange.was_cut, true);
    }
    let answers = answers.map_err(|what| {
        let shown = exchange.came.escape_ascii().to_string();
        let shown: String = shown.chars().take(SHOWN).collect();
        Fault::Broken(format!("what came back is no HTTP: {what}: {shown}"))
    })?;
    seen.note_count("answers", answers.len());
    for answer in &answers {
        seen.note(("status", answer.status));
        seen.note(answer.names.join(" "));
        if answer.status == 500 {
            let said = answer.body.escape_ascii().to_string();
            return Err(Fault::Broken(format!("an answer says 500: {said}")));
        }
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::{given_back, read};

    #[test]
    fn what_is_taken_and_not_given_back_is_a_fault() {
        let answers = |text: &str| read(text.as_bytes(), false, false).unwrap();
        let (taken, got) =
            ("HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab");
        let refused = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        let none = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        for (came, is_right) in [
            ([taken, got], true),
            ([refused, got], true),
            ([taken, none], false),
            ([taken, refused], false),
            ([taken, ""], false),
        ] {
            let given = given_back(b"ab", &answers(&came.concat()), false);
            assert_eq!(given.is_ok(), is_right, "{came:?}");
        }
        assert!(given_back(b"other", &answers(&[taken, got].concat()), false).is_err());
        assert!(given_back(b"ab", &answers(taken), true).is_ok());
    }
}

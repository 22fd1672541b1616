//! The corpus: files of `input => expected`, one case a line, and the stream feeder that replays them.
//!
//! Inputs are written with `\r`, `\n`, `\t`, `\\` and `\xHH`; `{text*count}` repeats a text.

use bytes::BytesMut;
use forebay_wire::resp::{self, Limits, Reply, ReplyLimits, ReplyState, Request, State};

pub struct Case {
    pub line: usize,
    pub input: Vec<u8>,
    pub expected: String,
}

/// The cases of a corpus file; blank lines and those that begin with `#` are comments.
pub fn cases(file: &str) -> Vec<Case> {
    let cases: Vec<_> = file
        .lines()
        .enumerate()
        .filter(|(_, text)| !text.trim().is_empty() && !text.starts_with('#'))
        .map(|(index, text)| {
            let (input, expected) = text.split_once(" => ").unwrap_or((text, ""));
            Case { line: index + 1, input: unescape(input), expected: expected.to_owned() }
        })
        .collect();
    assert!(!cases.is_empty());
    cases
}

pub fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '\\' => {
                let kind = rest.chars().next().expect("a letter after a backslash");
                rest = &rest[1..];
                bytes.push(match kind {
                    'r' => b'\r',
                    'n' => b'\n',
                    't' => b'\t',
                    '\\' => b'\\',
                    'x' => {
                        let digits;
                        (digits, rest) = rest.split_at(2);
                        u8::from_str_radix(digits, 16).unwrap()
                    }
                    other => panic!("no escape: {other}"),
                });
            }
            '{' if rest.split_once('}').is_some_and(|(inside, _)| inside.contains('*')) => {
                let (inside, after) = rest.split_once('}').unwrap();
                let (text, count) = inside.rsplit_once('*').unwrap();
                bytes.extend(unescape(text).repeat(count.parse().unwrap()));
                rest = after;
            }
            other => bytes.extend(other.to_string().as_bytes()),
        }
    }
    bytes
}

/// What `pieces`, arriving one after the other, are understood as: requests as
/// `word "another word" | next request`, then the refusal if there was one, or `…` if bytes are left over.
pub fn requests(pieces: &[&[u8]], limits: &Limits) -> String {
    let mut buf = BytesMut::new();
    let mut state = State::default();
    let mut seen = Vec::new();
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match resp::decode(&mut buf, limits, &mut state) {
                Ok(Some(request)) => seen.push(shown(&request)),
                Ok(None) => break,
                Err(refusal) => {
                    seen.push(refusal.to_string());
                    return seen.join(" | ");
                }
            }
        }
    }
    if !buf.is_empty() {
        seen.push("…".into());
    }
    seen.join(" | ")
}

fn shown(request: &Request) -> String {
    let words = request.args().map(|word| match word {
        [] => "\"\"".to_owned(),
        _ if word.contains(&b' ') => format!("\"{}\"", word.escape_ascii()),
        _ => word.escape_ascii().to_string(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// As [`requests`], for replies.
pub fn replies(pieces: &[&[u8]], limits: &ReplyLimits) -> (Vec<Reply>, String) {
    let mut buf = BytesMut::new();
    let mut state = ReplyState::default();
    let mut seen = Vec::new();
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match resp::decode_reply(&mut buf, limits, &mut state) {
                Ok(Some(reply)) => seen.push(reply),
                Ok(None) => break,
                Err(refusal) => return (seen, refusal.to_string()),
            }
        }
    }
    let end = if buf.is_empty() { "" } else { "…" };
    (seen, end.into())
}

/// Every way to cut `input` in two, and it in single bytes; long inputs are cut at their ends and at steps
/// in between.
pub fn cuts(input: &[u8]) -> Vec<Vec<&[u8]>> {
    let len = input.len();
    let at_all = (0..=len).filter(|at| len <= 512 || *at < 40 || len - at < 40 || at % 4093 == 0);
    let mut cuts: Vec<Vec<&[u8]>> = at_all.map(|at| vec![&input[..at], &input[at..]]).collect();
    cuts.push(input.chunks(1).collect());
    if len <= 48 {
        for first in 0..len {
            cuts.extend(
                (first..len).map(|second| vec![&input[..first], &input[first..second], &input[second..]]),
            );
        }
    }
    cuts
}

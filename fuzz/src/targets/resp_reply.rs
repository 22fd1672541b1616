//! Replies as a server, or a shared tier, sends them: trusted no more than a client.

use bytes::BytesMut;
use forebay_wire::resp::{NESTING_MAX, Reply, ReplyLimits, ReplyState, decode_reply};

use crate::allocation::{Bound, within};
use crate::split::same_however_cut;
use crate::{Fault, Large, Seen, Target};

/// The replies of most clients are shorter than this, and an announced length beyond it is refused.
const LIMITS: ReplyLimits = ReplyLimits { reply_bytes_max: 1 << 20 };

pub(super) const TARGET: Target = Target {
    name: "resp_reply",
    attacks: "replies of RESP: the same however cut, nothing allocated because it is announced, never nested deeper than the limit",
    words: &[
        b"\r\n",
        b"\n",
        b"+",
        b"-",
        b":",
        b"$",
        b"*",
        b"_\r\n",
        b"#t\r\n",
        b",",
        b"(",
        b"!",
        b"=",
        b"%",
        b"~",
        b">",
        b"|",
        b"*1\r\n",
        b"%1\r\n",
        b"|1\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"$0\r\n\r\n",
        b"*0\r\n",
        b"=8\r\ntxt:text\r\n",
        b",inf\r\n",
        b",nan\r\n",
        b"$?\r\n",
        b"*?\r\n",
        b"+OK\r\n",
        b":0\r\n",
        b";4\r\n",
        b".\r\n",
    ],
    large: &[
        Large { before: b"", unit: b"*1\r\n", times: 10_000, after: b":1\r\n" },
        Large { before: b"", unit: b"|1\r\n+a\r\n", times: 10_000, after: b":1\r\n" },
        Large { before: b"*20000\r\n", unit: b"_\r\n", times: 20_000, after: b"" },
        Large { before: b"%10000\r\n", unit: b"_\r\n", times: 20_000, after: b"" },
        Large { before: b"|10000\r\n", unit: b"_\r\n", times: 20_001, after: b"" },
        Large { before: b"*20000\r\n", unit: b"*0\r\n", times: 20_000, after: b"" },
        Large { before: b"*2\r\n*20000\r\n", unit: b"+\r\n", times: 20_000, after: b"*2147483647\r\n" },
        Large { before: b":", unit: b"1", times: 70_000, after: b"\r\n" },
        Large { before: b"(", unit: b"1", times: 4_000, after: b"\r\n" },
        Large { before: b"+", unit: b"a", times: 70_000, after: b"\r\n" },
        Large { before: b"", unit: b"+\r\n", times: 20_000, after: b"" },
    ],
    begin: || Ok(Box::new(attack)),
};

fn attack(input: &[u8], seen: &mut Seen) -> Result<(), Fault> {
    // As text: there are numbers that are not equal to themselves.
    let said = same_however_cut(input, |pieces| read(pieces, seen))?;
    seen.note_count("text", said.len());
    let mut arrived = BytesMut::from(input);
    within(Bound::STRANGERS, input.len(), || {
        let mut state = ReplyState::default();
        while let Ok(Some(_)) = decode_reply(&mut arrived, &LIMITS, &mut state) {}
    })?;
    let (mut arrived, mut state) = (BytesMut::from(input), ReplyState::default());
    while let Ok(Some(reply)) = decode_reply(&mut arrived, &LIMITS, &mut state) {
        let depth = depth(&reply);
        seen.note(("depth", depth));
        if depth > NESTING_MAX {
            return Err(Fault::Broken(format!("a reply of {depth} levels")));
        }
    }
    Ok(())
}

fn read(pieces: &[&[u8]], seen: &mut Seen) -> String {
    let (mut arrived, mut state) = (BytesMut::new(), ReplyState::default());
    let mut said = String::new();
    for piece in pieces {
        arrived.extend_from_slice(piece);
        loop {
            match decode_reply(&mut arrived, &LIMITS, &mut state) {
                Ok(Some(reply)) => {
                    seen.note(std::mem::discriminant(&reply));
                    said.push_str(&format!("{reply:?};"));
                }
                Ok(None) => break,
                Err(error) => {
                    seen.note_message(&error.to_string());
                    return said + &error.to_string();
                }
            }
        }
    }
    format!("{said}{} left", arrived.len())
}

/// How many levels of aggregates there are.
fn depth(reply: &Reply) -> usize {
    let deepest = |replies: &[Reply]| replies.iter().map(depth).max().unwrap_or_default() + 1;
    match reply {
        Reply::Array(replies) | Reply::Set(replies) | Reply::Push(replies) => deepest(replies),
        Reply::Map(entries) => {
            entries.iter().map(|(key, value)| depth(key).max(depth(value))).max().unwrap_or_default() + 1
        }
        _ => 0,
    }
}

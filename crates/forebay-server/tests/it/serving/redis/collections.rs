//! Hashes and sorted sets, by random calls of theirs.

use bytes::Bytes;
use forebay_wire::resp;

use super::choose::{Choose, Words};
use super::streams::{self, Alike, are_alike};
use super::{Group, Makers, Said, Verdict};

pub(super) const HASHES: Group = Group {
    name: "hash",
    of: Some(resp::Group::Hash),
    db: 11,
    first: &["SET s0 text"],
    makers: Makers::Any(streams::hash::COMMANDS.len(), hash),
    may_wait: true,
    compare: |command, theirs, ours| alike(streams::hash::alike, command, theirs, ours),
};

pub(super) const SORTED_SETS: Group = Group {
    name: "sorted-set",
    of: Some(resp::Group::SortedSet),
    db: 12,
    first: &["SET s0 text"],
    makers: Makers::Any(streams::sorted_set::COMMANDS.len(), sorted_set),
    may_wait: true,
    compare: |command, theirs, ours| alike(streams::sorted_set::alike, command, theirs, ours),
};

/// A call on a hash; some of its values are of any bytes, but for those of numbers.
fn hash(choose: &mut Choose) -> Words {
    let call = choose.call(streams::hash::call);
    let word = |word: String| match word.as_str() {
        "value" => choose.bytes(),
        _ => Bytes::from(word),
    };
    call.into_iter().map(word).collect()
}

/// A call on sorted sets that Redis 7.0 knows: a rank with its score came with 7.2.
fn sorted_set(choose: &mut Choose) -> Words {
    loop {
        let call = choose.call(streams::sorted_set::call);
        if !(matches!(call[0].as_str(), "zrank" | "zrevrank") && call.len() > 3) {
            return call.into_iter().map(Bytes::from).collect();
        }
    }
}

/// Whether two replies are as alike as a call allows.
pub(super) fn alike(how: fn(&[String]) -> Alike, command: &Words, theirs: &Said, ours: &Said) -> Verdict {
    let call: Vec<String> = command.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    if are_alike(how(&call), &ours.reply, &theirs.reply) { Verdict::Same } else { Verdict::Different }
}

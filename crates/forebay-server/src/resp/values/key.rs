//! Commands on values of any kind.

use std::time::Duration;

use forebay::Value;
use forebay::value::{Hash, SortedSet, counter};
use forebay_wire::resp::{Expire, ExpireIf, KeyCommand, Moment};

use super::{Answer, Refusal, View, kind_name};
use crate::resp::time::now;

pub(super) fn run(command: &KeyCommand, view: &mut View, answer: &mut Answer<'_>) -> Result<(), Refusal> {
    match command {
        KeyCommand::Del { keys } | KeyCommand::Unlink { keys } => {
            let mut deleted = 0;
            for key in keys {
                deleted += usize::from(view.take(key)?.is_some());
            }
            answer.count(deleted);
        }
        KeyCommand::Exists { keys } | KeyCommand::Touch { keys } => {
            answer.count(keys.iter().filter(|key| view.kind(key).is_some()).count());
        }
        KeyCommand::Expire(asked) => expire(asked, view, answer)?,
        KeyCommand::Persist { key } => {
            let ends = view.left(key).is_some();
            if ends {
                view.never_ends(key)?;
            }
            answer.count(usize::from(ends));
        }
        KeyCommand::Ttl { key } => time_of(key, seconds, view, answer),
        KeyCommand::PTtl { key } => time_of(key, |left| left.as_millis(), view, answer),
        KeyCommand::ExpireTime { key } => time_of(key, |left| seconds(now() + left), view, answer),
        KeyCommand::PExpireTime { key } => time_of(key, |left| (now() + left).as_millis(), view, answer),
        KeyCommand::Type { key } => answer.simple(view.kind(key).map_or("none", kind_name)),
        KeyCommand::Rename { from, to } => {
            rename(from, to, view)?;
            answer.ok();
        }
        KeyCommand::RenameNx { from, to } => {
            let is_there = view.kind(to).is_some();
            if is_there && view.kind(from).is_none() {
                return Err(Refusal::NoSuchKey);
            }
            if !is_there {
                rename(from, to, view)?;
            }
            answer.count(usize::from(!is_there));
        }
        KeyCommand::Copy { from, to, replace } => {
            let writes = view.kind(from).is_some() && (*replace || view.kind(to).is_none());
            if writes {
                view.copy(from, to)?;
            }
            answer.count(usize::from(writes));
        }
        KeyCommand::Encoding { key } => answer.maybe(view.value(key).map(|value| encoding(value).as_bytes())),
        KeyCommand::Frequency { key } => match view.kind(key) {
            Some(_) => return Err(Refusal::NoFrequency),
            None => answer.null(),
        },
        KeyCommand::IdleTime { key } => number_of(key, 0, view, answer),
        KeyCommand::RefCount { key } => number_of(key, 1, view, answer),
        KeyCommand::Weight { key } => match view.value(key) {
            Some(value) => {
                let bytes = value.weight_bytes().saturating_add(u64::try_from(key.len()).unwrap_or_default());
                answer.integer(i64::try_from(bytes).unwrap_or(i64::MAX));
            }
            None => answer.null(),
        },
    }
    Ok(())
}

/// Answers `number` of a value that is there.
fn number_of(key: &[u8], number: i64, view: &View, answer: &mut Answer<'_>) {
    match view.kind(key) {
        Some(_) => answer.integer(number),
        None => answer.null(),
    }
}

/// Whole seconds, rounded as Redis does, so that a TTL just set reads as it was given.
fn seconds(time: Duration) -> u128 {
    time.saturating_add(Duration::from_millis(500)).as_secs().into()
}

/// Answers what `shown` makes of how long the value of `key` has left, −1 where it does not end, −2 where there is none.
fn time_of(key: &[u8], shown: impl Fn(Duration) -> u128, view: &View, answer: &mut Answer<'_>) {
    answer.integer(match (view.kind(key), view.left(key)) {
        (None, _) => -2,
        (Some(_), None) => -1,
        (Some(_), Some(left)) => i64::try_from(shown(left)).unwrap_or(i64::MAX),
    });
}

fn expire(asked: &Expire, view: &mut View, answer: &mut Answer<'_>) -> Result<(), Refusal> {
    let ttl = view.kind(&asked.key).and_then(|_| ttl_asked(asked, view.left(&asked.key)));
    if let Some(ttl) = ttl {
        view.ends_after(&asked.key, ttl)?;
    }
    answer.count(usize::from(ttl.is_some()));
    Ok(())
}

/// How long a value is to live from now that has `left`; zero where that moment has passed, `None` where the command has no effect.
pub(in crate::resp) fn ttl_asked(asked: &Expire, left: Option<Duration>) -> Option<Duration> {
    let millis = |time: Duration| i128::try_from(time.as_millis()).unwrap_or(i128::MAX);
    let ttl_ms = match asked.at {
        Moment::In(ms) => i128::from(ms),
        Moment::At(ms) => i128::from(ms).saturating_sub(millis(now())),
    };
    let left_ms = left.map(millis);
    let has_effect = match asked.condition {
        ExpireIf::Always => true,
        ExpireIf::Endless => left_ms.is_none(),
        ExpireIf::Ending => left_ms.is_some(),
        ExpireIf::Later => left_ms.is_some_and(|left_ms| ttl_ms > left_ms),
        ExpireIf::Earlier => left_ms.is_none_or(|left_ms| ttl_ms < left_ms),
        ExpireIf::EndingEarlier => left_ms.is_some_and(|left_ms| ttl_ms < left_ms),
    };
    has_effect.then(|| Duration::from_millis(u64::try_from(ttl_ms.max(0)).unwrap_or(u64::MAX)))
}

fn rename(from: &[u8], to: &[u8], view: &mut View) -> Result<(), Refusal> {
    if view.kind(from).is_none() {
        return Err(Refusal::NoSuchKey);
    }
    if from != to {
        view.copy(from, to)?;
        view.take(from)?;
    }
    Ok(())
}

/// The longest string that Redis holds within its object, in bytes.
const EMBEDDED_BYTES: usize = 44;
/// Redis holds a collection of so many entries, each of so many bytes, in one piece.
const PACKED_ENTRIES: usize = 128;
const PACKED_BYTES: usize = 64;

/// How Redis would hold such a value, with its options as they are at first. It may differ for a value that was larger once.
fn encoding(value: &Value) -> &'static str {
    let is_short = |bytes: &[u8]| bytes.len() <= PACKED_BYTES;
    match value {
        Value::Counter(_) => "int",
        Value::Blob(blob) if counter::parse(blob.as_bytes()).is_ok() => "int",
        Value::Blob(blob) if blob.as_bytes().len() <= EMBEDDED_BYTES => "embstr",
        Value::Blob(_) | Value::Native { .. } => "raw",
        Value::Hash(hash) => {
            let is_packed = Hash::known_len(hash) <= PACKED_ENTRIES
                && hash.iter().all(|(field, value)| is_short(field) && is_short(value));
            if is_packed { "listpack" } else { "hashtable" }
        }
        Value::SortedSet(set) => {
            let is_packed =
                SortedSet::len(set) <= PACKED_ENTRIES && set.iter().all(|(member, _)| is_short(member));
            if is_packed { "listpack" } else { "skiplist" }
        }
    }
}

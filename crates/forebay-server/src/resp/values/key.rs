//! Commands on values of any kind.

use std::time::Duration;

use forebay_wire::resp::KeyCommand;

use super::{Answer, Refusal, View, kind_name};

pub(super) fn run(command: &KeyCommand, view: &mut View, answer: &mut Answer<'_>) -> Result<(), Refusal> {
    match command {
        KeyCommand::Del { keys } | KeyCommand::Unlink { keys } => {
            let mut deleted = 0;
            for key in keys {
                deleted += usize::from(view.take(key)?.is_some());
            }
            answer.count(deleted);
        }
        KeyCommand::Exists { keys } => {
            answer.count(keys.iter().filter(|key| view.kind(key).is_some()).count());
        }
        KeyCommand::Expire { key, ttl_ms } => {
            let is_there = view.kind(key).is_some();
            if is_there {
                view.ends_after(key, Duration::from_millis(u64::try_from(*ttl_ms).unwrap_or_default()))?;
            }
            answer.count(usize::from(is_there));
        }
        KeyCommand::Persist { key } => {
            let ends = view.left(key).is_some();
            if ends {
                view.never_ends(key)?;
            }
            answer.count(usize::from(ends));
        }
        KeyCommand::Ttl { key } => {
            // Rounded as Redis does, so that a TTL just set reads as it was given.
            let seconds = |left: Duration| left.saturating_add(Duration::from_millis(500)).as_secs();
            ttl(key, |left| i64::try_from(seconds(left)).unwrap_or(i64::MAX), view, answer);
        }
        KeyCommand::PTtl { key } => {
            ttl(key, |left| i64::try_from(left.as_millis()).unwrap_or(i64::MAX), view, answer);
        }
        KeyCommand::Type { key } => answer.simple(view.kind(key).map_or("none", kind_name)),
    }
    Ok(())
}

/// Answers how long the value of `key` has left in the unit of `shown`, −1 where it does not end, −2 where there is none.
fn ttl(key: &[u8], shown: impl Fn(Duration) -> i64, view: &View, answer: &mut Answer<'_>) {
    answer.integer(match (view.kind(key), view.left(key)) {
        (None, _) => -2,
        (Some(_), None) => -1,
        (Some(_), Some(left)) => shown(left),
    });
}

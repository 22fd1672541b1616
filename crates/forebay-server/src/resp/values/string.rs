//! Commands on strings.

use std::time::Duration;

use forebay::{Blob, Value};
use forebay_wire::resp::{Condition, Expiry, Set, StringCommand};

use super::{Answer, Refusal, View};
use crate::resp::time::until;

pub(super) fn run(command: &StringCommand, view: &mut View, answer: &mut Answer<'_>) -> Result<(), Refusal> {
    match command {
        StringCommand::Get { key } => answer.maybe(view.string(key)?.as_deref()),
        StringCommand::MGet { keys } => {
            answer.array(keys.len());
            for key in keys {
                // Another kind is no string, and here no fault.
                answer.maybe(view.string(key).unwrap_or_default().as_deref());
            }
        }
        StringCommand::Set(set) => self::set(set, view, answer)?,
    }
    Ok(())
}

fn set(set: &Set, view: &mut View, answer: &mut Answer<'_>) -> Result<(), Refusal> {
    let Set { key, value, expiry, condition, answer_previous } = set;
    let before = match answer_previous {
        true => view.string(key)?.map(|before| before.into_owned()),
        false => None,
    };
    let is_there = view.kind(key).is_some();
    let writes = match condition {
        Condition::Always => true,
        Condition::IfAbsent => !is_there,
        Condition::IfPresent => is_there,
    };
    if writes {
        let value = Value::from(Blob::opaque(value));
        match expiry {
            Expiry::Unsaid => view.replace(key, value)?,
            Expiry::Keep => view.change(key, value)?,
            Expiry::In { ttl_ms } => {
                view.replace(key, value)?;
                view.ends_after(key, Duration::from_millis(*ttl_ms))?;
            }
            Expiry::At { unix_ms } => {
                view.replace(key, value)?;
                view.ends_after(key, until(*unix_ms))?;
            }
        }
    }
    match (answer_previous, writes) {
        (true, _) => answer.maybe(before.as_deref()),
        (false, true) => answer.ok(),
        (false, false) => answer.null(),
    }
    Ok(())
}

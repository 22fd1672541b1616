//! Commands on strings. LCS is in `lcs.rs`.

use std::time::Duration;

use bytes::Bytes;
use forebay::value::counter::{self, CounterError};
use forebay::{Blob, Value};
use forebay_wire::resp::{CommandError, Condition, Expiry, Set, StringCommand};

use super::{Answer, Refusal, View, lcs};
use crate::limits::VALUE_BYTES_MAX;
use crate::resp::time::until;

pub(super) async fn run(
    command: &StringCommand,
    view: &mut View,
    answer: &mut Answer<'_>,
) -> Result<(), Refusal> {
    match command {
        StringCommand::Get { key } => answer.maybe(view.string(key)?.as_deref()),
        StringCommand::MGet { keys } => {
            answer.array(keys.len());
            for key in keys {
                // Another kind is no string, and here no fault.
                answer.maybe(view.string(key).unwrap_or_default().as_deref());
            }
        }
        StringCommand::StrLen { key } => answer.count(view.string(key)?.map_or(0, |text| text.len())),
        StringCommand::GetRange { key, start, end } => {
            let text = view.string(key)?.unwrap_or_default();
            answer.bulk(part(&text, *start, *end));
        }
        StringCommand::Lcs(asked) => Box::pin(lcs::run(asked, view, answer)).await?,
        StringCommand::Set(set) => self::set(set, view, answer)?,
        StringCommand::SetNx { key, value } => {
            let writes = view.kind(key).is_none();
            if writes {
                view.replace(key, Blob::opaque(value).into())?;
            }
            answer.count(usize::from(writes));
        }
        StringCommand::MSet { pairs } => {
            set_all(pairs, view)?;
            answer.ok();
        }
        StringCommand::MSetNx { pairs } => {
            let writes = pairs.iter().all(|(key, _)| view.kind(key).is_none());
            if writes {
                set_all(pairs, view)?;
            }
            answer.count(usize::from(writes));
        }
        StringCommand::GetEx { key, expiry } => get_and_end(key, expiry, view, answer)?,
        StringCommand::GetDel { key } => {
            answer.maybe(view.string(key)?.as_deref());
            view.take(key)?;
        }
        StringCommand::Append { key, value } => append(key, value, view, answer)?,
        StringCommand::SetRange { key, offset, value } => set_range(key, *offset, value, view, answer)?,
        StringCommand::Increment { key, by } => increment(key, *by, view, answer)?,
        StringCommand::IncrementFloat { key, by } => {
            let sum = {
                let number = view.string(key)?.unwrap_or_else(|| b"0".into());
                counter::add_decimal(&number, by).map_err(refused)?
            };
            view.change(key, Blob::opaque(&sum).into())?;
            answer.bulk(sum.as_bytes());
        }
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
            Expiry::Keep => view.change(key, value)?,
            expiry => {
                view.replace(key, value)?;
                end(key, *expiry, view)?;
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

/// Lets the value of `key` end as was said.
fn end(key: &[u8], expiry: Expiry, view: &mut View) -> Result<(), Refusal> {
    match expiry {
        Expiry::Unsaid | Expiry::Keep => Ok(()),
        Expiry::Never => view.never_ends(key),
        Expiry::In { ttl_ms } => view.ends_after(key, Duration::from_millis(ttl_ms)),
        Expiry::At { unix_ms } => view.ends_after(key, until(unix_ms)),
    }
}

fn set_all(pairs: &[(Bytes, Bytes)], view: &mut View) -> Result<(), Refusal> {
    pairs.iter().try_for_each(|(key, value)| view.replace(key, Blob::opaque(value).into()))
}

fn get_and_end(
    key: &[u8],
    expiry: &Result<Expiry, CommandError>,
    view: &mut View,
    answer: &mut Answer<'_>,
) -> Result<(), Refusal> {
    let Some(text) = view.string(key)? else {
        answer.null();
        return Ok(());
    };
    let expiry = expiry.clone()?;
    answer.bulk(&text);
    match expiry {
        // To take away what is not there is no change.
        Expiry::Never if view.left(key).is_none() => Ok(()),
        expiry => end(key, expiry, view),
    }
}

/// The bytes of `text` from `start` to `end`, both included; negative ones count from its end.
fn part(text: &[u8], start: i64, end: i64) -> &[u8] {
    if start < 0 && end < 0 && start > end {
        return &[];
    }
    let len = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let place = |index: i64| if index < 0 { index.saturating_add(len).max(0) } else { index };
    let (start, end) = (place(start), place(end).min(len.saturating_sub(1)));
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    range.and_then(|(start, end)| text.get(start..=end)).unwrap_or_default()
}

fn append(key: &[u8], value: &[u8], view: &mut View, answer: &mut Answer<'_>) -> Result<(), Refusal> {
    let mut text = view.string(key)?.unwrap_or_default().into_owned();
    if text.len().saturating_add(value.len()) > VALUE_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    text.extend_from_slice(value);
    answer.count(text.len());
    rewrite(key, &text, view)
}

fn set_range(
    key: &[u8],
    offset: u64,
    value: &[u8],
    view: &mut View,
    answer: &mut Answer<'_>,
) -> Result<(), Refusal> {
    let before = view.string(key)?;
    if value.is_empty() {
        answer.count(before.map_or(0, |text| text.len()));
        return Ok(());
    }
    let start = usize::try_from(offset).ok();
    let places = start.and_then(|start| Some(start..start.checked_add(value.len())?));
    let places = places.filter(|places| places.end <= VALUE_BYTES_MAX).ok_or(Refusal::TooLong)?;
    let mut text = before.unwrap_or_default().into_owned();
    text.resize(text.len().max(places.end), 0);
    if let Some(place) = text.get_mut(places) {
        place.copy_from_slice(value);
    }
    answer.count(text.len());
    rewrite(key, &text, view)
}

/// Writes a string that ends when the one before did, and is of its content type.
fn rewrite(key: &[u8], text: &[u8], view: &mut View) -> Result<(), Refusal> {
    let blob = match view.value(key).and_then(Value::as_blob) {
        Some(before) => Blob::new(text, before.content_type()),
        None => Blob::opaque(text),
    };
    view.change(key, blob.into())
}

fn increment(key: &[u8], by: i64, view: &mut View, answer: &mut Answer<'_>) -> Result<(), Refusal> {
    let before = view.value(key);
    let is_counter = matches!(before, Some(Value::Counter(_)));
    let number = match before {
        None => 0,
        Some(Value::Counter(number)) => *number,
        Some(_) => counter::parse(&view.string(key)?.unwrap_or_default()).map_err(refused)?,
    };
    let sum = counter::add(number, by).map_err(refused)?;
    let value = if is_counter { Value::Counter(sum) } else { Blob::opaque(counter::print(sum)).into() };
    view.change(key, value)?;
    answer.integer(sum);
    Ok(())
}

fn refused(error: CounterError) -> Refusal {
    match error {
        CounterError::NotInteger => CommandError::NotAnInteger.into(),
        CounterError::Overflow { .. } => Refusal::Overflow,
        CounterError::NotFinite => Refusal::NotFinite,
        _ => Refusal::NotFloat,
    }
}

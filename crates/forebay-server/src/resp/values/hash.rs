//! Commands on hashes.

use bytes::Bytes;
use forebay::value::counter::{self, CounterError};
use forebay::value::{FieldState, Hash};
use forebay_wire::resp::{HashCommand, ScanOptions};

use super::{Answer, Refusal, View, draw, scan};

pub(super) fn run(command: &HashCommand, view: &mut View, answer: &mut Answer<'_>) -> Result<(), Refusal> {
    match command {
        HashCommand::Get { key, field } => answer.maybe(value_of(view.hash(key)?, field)),
        HashCommand::MGet { key, fields } => {
            let hash = view.hash(key)?;
            answer.array(fields.len());
            fields.iter().for_each(|field| answer.maybe(value_of(hash, field)));
        }
        HashCommand::GetAll { key } => {
            let hash = view.hash(key)?;
            answer.map(hash.map_or(0, Hash::known_len));
            all(hash).flat_map(|(field, value)| [field, value]).for_each(|part| answer.bulk(part));
        }
        HashCommand::Keys { key } => {
            let hash = view.hash(key)?;
            answer.array(hash.map_or(0, Hash::known_len));
            all(hash).for_each(|(field, _)| answer.bulk(field));
        }
        HashCommand::Vals { key } => {
            let hash = view.hash(key)?;
            answer.array(hash.map_or(0, Hash::known_len));
            all(hash).for_each(|(_, value)| answer.bulk(value));
        }
        HashCommand::Len { key } => answer.count(view.hash(key)?.map_or(0, Hash::known_len)),
        HashCommand::Exists { key, field } => {
            answer.count(usize::from(value_of(view.hash(key)?, field).is_some()));
        }
        HashCommand::StrLen { key, field } => {
            answer.count(value_of(view.hash(key)?, field).map_or(0, <[u8]>::len));
        }
        HashCommand::RandField { key, count, with_values } => {
            let hash = view.hash(key)?;
            let nth = |place| hash?.nth(place);
            let tell = |answer: &mut Answer<'_>, value: &Bytes| answer.bulk(value);
            draw::answer(*count, hash.map_or(0, Hash::known_len), nth, with_values.then_some(tell), answer);
        }
        HashCommand::Scan { key, cursor, options } => match view.hash(key)? {
            None => scan::nothing(answer),
            Some(hash) => step(hash, *cursor, options.as_ref().map_err(Clone::clone)?, answer),
        },
        HashCommand::Set { key, fields } => answer.count(set(key, fields, view)?),
        HashCommand::MSet { key, fields } => {
            set(key, fields, view)?;
            answer.ok();
        }
        HashCommand::SetNx { key, field, value } => {
            let is_new = value_of(view.hash(key)?, field).is_none();
            if is_new {
                view.hash_mut(key)?.set(field, Bytes::copy_from_slice(value));
            }
            answer.count(usize::from(is_new));
        }
        HashCommand::IncrBy { key, field, by } => answer.integer(add(key, field, *by, view)?),
        HashCommand::IncrByFloat { key, field, by } => {
            let before = value_of(view.hash(key)?, field).unwrap_or(b"0");
            let after = counter::add_decimal(before, by.as_bytes()).map_err(|error| match error {
                CounterError::NotFinite => Refusal::NotFinite,
                _ => Refusal::FieldNotAFloat,
            })?;
            answer.bulk(after.as_bytes());
            view.hash_mut(key)?.set(field, after.into());
        }
        HashCommand::Del { key, fields } => answer.count(delete(key, fields, view)?),
    }
    Ok(())
}

/// What a field has after `by` is added to it.
fn add(key: &[u8], field: &[u8], by: i64, view: &mut View) -> Result<i64, Refusal> {
    let before = value_of(view.hash(key)?, field).unwrap_or(b"0");
    let before = counter::parse(before).map_err(|_| Refusal::FieldNotAnInteger)?;
    let after = counter::add(before, by).map_err(|_| Refusal::Overflow)?;
    view.hash_mut(key)?.set(field, Bytes::copy_from_slice(&counter::print(after)));
    Ok(after)
}

fn value_of<'h>(hash: Option<&'h Hash>, field: &[u8]) -> Option<&'h [u8]> {
    hash?.state(field).known().map(AsRef::as_ref)
}

fn all(hash: Option<&Hash>) -> impl Iterator<Item = (&[u8], &Bytes)> {
    hash.into_iter().flat_map(Hash::iter_scan)
}

/// Writes fields; tells how many are new.
fn set(key: &[u8], fields: &[(Bytes, Bytes)], view: &mut View) -> Result<usize, Refusal> {
    view.hash(key)?;
    let hash = view.hash_mut(key)?;
    let set = |(field, value): &(Bytes, Bytes)| hash.set(field, Bytes::copy_from_slice(value)).known();
    Ok(fields.iter().map(set).filter(Option::is_none).count())
}

/// Removes fields; tells how many there were.
fn delete(key: &[u8], fields: &[Bytes], view: &mut View) -> Result<usize, Refusal> {
    let hash = view.hash(key)?;
    if !fields.iter().any(|field| value_of(hash, field).is_some()) {
        return Ok(0);
    }
    let Some(hash) = view.hash_to_shrink(key)? else { return Ok(0) };
    Ok(fields.iter().filter(|field| matches!(hash.remove(field), FieldState::Known(_))).count())
}

fn step(hash: &Hash, cursor: u64, options: &ScanOptions, answer: &mut Answer<'_>) {
    let page = hash.scan(cursor, options.count);
    scan::step(page, options, answer, |answer, value| answer.bulk(value));
}

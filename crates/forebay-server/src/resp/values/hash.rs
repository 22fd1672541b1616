//! Commands on hashes.

use bytes::Bytes;
use forebay::value::{FieldState, Hash};
use forebay_wire::resp::HashCommand;

use super::{Answer, Refusal, View};

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
            for (field, value) in hash.into_iter().flat_map(Hash::iter_scan) {
                answer.bulk(field);
                answer.bulk(value);
            }
        }
        HashCommand::Len { key } => answer.count(view.hash(key)?.map_or(0, Hash::known_len)),
        HashCommand::Set { key, fields } => {
            let hash = view.hash_mut(key)?;
            let set =
                |(field, value): &(Bytes, Bytes)| hash.set(field, Bytes::copy_from_slice(value)).known();
            answer.count(fields.iter().map(set).filter(Option::is_none).count());
        }
        HashCommand::Del { key, fields } => {
            if view.hash(key)?.is_none() {
                answer.count(0);
                return Ok(());
            }
            let hash = view.hash_mut(key)?;
            let removed = fields.iter().filter(|field| matches!(hash.remove(field), FieldState::Known(_)));
            answer.count(removed.count());
        }
    }
    Ok(())
}

fn value_of<'h>(hash: Option<&'h Hash>, field: &[u8]) -> Option<&'h [u8]> {
    hash?.state(field).known().map(AsRef::as_ref)
}

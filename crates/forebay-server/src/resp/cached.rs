//! What commands that write do where a source or a sink has the truth, and what is held is a copy of it.
//!
//! Whole values and fields go where the namespace's writes go. What depends on what was there (`INCR`, `APPEND`, `SET … NX`) is
//! refused: of a copy that can be lost at any time it would be lost, or done twice.

use std::time::Duration;

use bytes::Bytes;
use forebay::{Blob, Error, Keyspace, Namespace, Value, Writes};
use forebay_wire::resp::{Condition, Data, Expiry, HashCommand, KeyCommand, Set, StringCommand};

use super::data::Failed;
use super::time::until;
use super::values::{Answer, Refusal};

/// Does what `data` asks of copies, or says why not.
pub(super) async fn write(data: &Data, keyspace: &Keyspace, answer: &mut Answer<'_>) -> Result<(), Failed> {
    let find = |key: &Bytes| keyspace.find(key).ok_or(Refusal::NoNamespace);
    match data {
        Data::String(StringCommand::Set(asked)) => {
            set(asked, find(&asked.key)?).await?;
            answer.ok();
        }
        Data::Key(KeyCommand::Del { keys } | KeyCommand::Unlink { keys }) => {
            delete(keys, keyspace, answer).await?;
        }
        Data::Key(KeyCommand::Expire { key, ttl_ms }) if *ttl_ms <= 0 => {
            delete(std::slice::from_ref(key), keyspace, answer).await?;
        }
        Data::Key(KeyCommand::Expire { key, ttl_ms }) => {
            let ttl = Duration::from_millis(u64::try_from(*ttl_ms).unwrap_or_default());
            answer.count(usize::from(find(key)?.live_key_for(key, Some(ttl)).await?));
        }
        Data::Key(KeyCommand::Persist { key }) => {
            answer.count(usize::from(find(key)?.live_key_for(key, None).await?));
        }
        Data::Hash(HashCommand::Set { key, fields } | HashCommand::MSet { key, fields }) => {
            let written =
                |(field, value): &(Bytes, Bytes)| (field.clone(), Some(Bytes::copy_from_slice(value)));
            find(key)?.change_fields(key, fields.iter().map(written).collect()).await?;
            match data {
                Data::Hash(HashCommand::MSet { .. }) => answer.ok(),
                _ => answer.count(fields.len()),
            }
        }
        Data::Hash(HashCommand::Del { key, fields }) => {
            find(key)?.change_fields(key, fields.iter().map(|field| (field.clone(), None)).collect()).await?;
            answer.count(fields.len());
        }
        _ => return Err(Refusal::OnACopy.into()),
    }
    Ok(())
}

async fn set(set: &Set, namespace: &Namespace<Blob>) -> Result<(), Failed> {
    let writes = namespace.policy().writes;
    if writes == Writes::Refuse {
        return Err(Error::WritesRefused { namespace: namespace.name().into() }.into());
    }
    if set.condition != Condition::Always || set.answer_previous {
        return Err(Refusal::OnACopy.into());
    }
    let ttl = match set.expiry {
        Expiry::Unsaid => None,
        // A stale copy has no time left to keep: the new value gets its own.
        Expiry::Keep => {
            let held = namespace.peek(&set.key).filter(|held| !held.absent);
            held.map(|held| held.fresh_for).filter(|left| !left.is_zero())
        }
        Expiry::In { ttl_ms } => Some(Duration::from_millis(ttl_ms)),
        Expiry::At { unix_ms } => Some(until(unix_ms)),
    };
    match ttl {
        // A time that has passed: what was there is gone, as with Redis.
        Some(ttl) if ttl.is_zero() => deleted(namespace, &set.key).await.map(drop)?,
        ttl => namespace.set_key(&set.key, written(namespace, &set.value), ttl).await?,
    }
    Ok(())
}

/// What a client has written, as a value. A sink takes rows, which are JSON objects; elsewhere bytes are bytes.
fn written(namespace: &Namespace<Blob>, bytes: &Bytes) -> Value {
    Value::from(match namespace.policy().writes {
        Writes::Through | Writes::Behind => Blob::json(bytes),
        Writes::Refuse | Writes::Cache | Writes::Store => Blob::opaque(bytes),
    })
}

/// Deletes `keys`, each where its namespace's writes go, or drops the copies of them; answers how many values that were. One that fails
/// keeps none of the others from it.
async fn delete(keys: &[Bytes], keyspace: &Keyspace, answer: &mut Answer<'_>) -> Result<(), Error> {
    let (mut there, mut failed) = (0, None);
    for key in keys {
        let Some(namespace) = keyspace.find(key) else { continue };
        match deleted(namespace, key).await {
            Ok(was_there) => there += usize::from(was_there),
            Err(error) => failed = Some(error),
        }
    }
    answer.count(there);
    failed.map_or(Ok(()), Err)
}

/// Deletes `key`; whether there was a value, as far as that is known.
async fn deleted(namespace: &Namespace<Blob>, key: &[u8]) -> Result<bool, Error> {
    match namespace.policy().writes {
        Writes::Store => namespace.update_key(key, |value| value.take().is_some()).await,
        Writes::Through | Writes::Behind => {
            let is_absent = namespace.peek(key).is_some_and(|held| held.absent);
            namespace.delete_key(key).await.map(|()| !is_absent)
        }
        // A remembered absence is dropped too, but it is no value that was deleted.
        Writes::Refuse | Writes::Cache => {
            let is_value = namespace.peek(key).is_some_and(|held| !held.absent);
            namespace.invalidate_key(key).await.map(|held| held && is_value)
        }
    }
}

//! What commands that write do where a source or a sink has the truth, and what is held is a copy of it.
//!
//! Whole values and fields go where the namespace's writes go. What depends on what was there (`INCR`, `APPEND`, `SET … NX`) is
//! refused: of a copy that can be lost at any time it would be lost, or done twice. What was there can be answered (`GETSET`, `GETDEL`),
//! or written elsewhere (`RENAME`, `COPY`): that is a read and a write, which others may come between. So may they between the keys of
//! an `MSET`.

use std::time::Duration;

use bytes::Bytes;
use forebay::namespace::kind;
use forebay::value::counter;
use forebay::{Blob, Error, Keyspace, Namespace, Read, Value, Writes};
use forebay_wire::resp::{
    CommandError, Condition, Data, Expire, Expiry, HashCommand, KeyCommand, Set, StringCommand,
};

use super::data::{Failed, ending};
use super::time::until;
use super::values::{Answer, Refusal, ttl_asked};

/// Does what `data` asks of copies, or says why not.
pub(super) async fn write(data: &Data, keyspace: &Keyspace, answer: &mut Answer<'_>) -> Result<(), Failed> {
    let find = |key: &Bytes| keyspace.find(key).ok_or(Refusal::NoNamespace);
    match data {
        Data::String(StringCommand::Set(asked)) => {
            let namespace = find(&asked.key)?;
            let before = match asked.answer_previous {
                true => Some(text_before(&asked.key, namespace).await?),
                false => None,
            };
            set(asked, namespace).await?;
            match before {
                Some(before) => answer.maybe(before.as_deref()),
                None => answer.ok(),
            }
        }
        Data::String(StringCommand::MSet { pairs }) => {
            set_all(pairs, keyspace).await?;
            answer.ok();
        }
        Data::String(StringCommand::GetDel { key }) => {
            let namespace = find(key)?;
            let before = text_before(key, namespace).await?;
            deleted(namespace, key).await?;
            answer.maybe(before.as_deref());
        }
        Data::String(StringCommand::GetEx { key, expiry }) => {
            get_and_end(key, expiry, find(key)?, answer).await?;
        }
        Data::Key(KeyCommand::Rename { from, to }) => {
            takes_writes(find(from)?)?;
            if !copy(from, to, keyspace).await? {
                return Err(Refusal::NoSuchKey.into());
            }
            if from != to {
                deleted(find(from)?, from).await?;
            }
            answer.ok();
        }
        Data::Key(KeyCommand::Copy { from, to, replace: true }) => {
            answer.count(usize::from(copy(from, to, keyspace).await?));
        }
        Data::Key(KeyCommand::Del { keys } | KeyCommand::Unlink { keys }) => {
            delete(keys, keyspace, answer).await?;
        }
        Data::Key(KeyCommand::Expire(asked)) => expire(asked, find(&asked.key)?, answer).await?,
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
    takes_writes(namespace)?;
    if set.condition != Condition::Always {
        return Err(Refusal::OnACopy.into());
    }
    let ttl = match set.expiry {
        Expiry::Unsaid | Expiry::Never => None,
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

fn takes_writes(namespace: &Namespace<Blob>) -> Result<(), Error> {
    match namespace.policy().writes {
        Writes::Refuse => Err(Error::WritesRefused { namespace: namespace.name().into() }),
        Writes::Cache | Writes::Through | Writes::Behind | Writes::Store => Ok(()),
    }
}

/// Writes each of `pairs` where its namespace's writes go; none where one of them is refused.
async fn set_all(pairs: &[(Bytes, Bytes)], keyspace: &Keyspace) -> Result<(), Failed> {
    let mut writes = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let namespace = keyspace.find(key).ok_or(Refusal::NoNamespace)?;
        takes_writes(namespace)?;
        writes.push((key, kept(namespace, written(namespace, value))?, namespace));
    }
    for (key, value, namespace) in writes {
        namespace.set_key(key, value, None).await?;
    }
    Ok(())
}

/// The string that is read before it is written over or deleted, where that is allowed.
async fn text_before(key: &[u8], namespace: &Namespace<Blob>) -> Result<Option<Bytes>, Failed> {
    takes_writes(namespace)?;
    text(key, namespace).await
}

async fn text(key: &[u8], namespace: &Namespace<Blob>) -> Result<Option<Bytes>, Failed> {
    match namespace.read(key).await?.value {
        None => Ok(None),
        Some(Value::Blob(blob)) => Ok(Some(blob.bytes())),
        Some(Value::Counter(number)) => Ok(Some(Bytes::copy_from_slice(&counter::print(number)))),
        Some(_) => Err(Refusal::WrongKind.into()),
    }
}

/// Answers a string, and moves the end of its copy.
async fn get_and_end(
    key: &[u8],
    expiry: &Result<Expiry, CommandError>,
    namespace: &Namespace<Blob>,
    answer: &mut Answer<'_>,
) -> Result<(), Failed> {
    let Some(text) = text(key, namespace).await? else {
        answer.null();
        return Ok(());
    };
    let ttl = match expiry.clone().map_err(Refusal::from)? {
        Expiry::Unsaid | Expiry::Keep => None,
        Expiry::Never => Some(None),
        Expiry::In { ttl_ms } => Some(Some(Duration::from_millis(ttl_ms))),
        Expiry::At { unix_ms } => Some(Some(until(unix_ms))),
    };
    match ttl {
        None => {}
        Some(Some(ttl)) if ttl.is_zero() => drop(deleted(namespace, key).await?),
        Some(ttl) => drop(namespace.live_key_for(key, ttl).await?),
    }
    answer.bulk(&text);
    Ok(())
}

/// Writes the value of one key under another too, where that one's writes go; whether there was one.
async fn copy(from: &[u8], to: &[u8], keyspace: &Keyspace) -> Result<bool, Failed> {
    let find = |key| keyspace.find(key).ok_or(Refusal::NoNamespace);
    let (source, target) = (find(from)?, find(to)?);
    takes_writes(target)?;
    let Read { value, outcome } = source.read(from).await?;
    let Some(value) = value else { return Ok(false) };
    if from != to {
        // A sink is given the bytes alone; elsewhere the whole is judged, and kept: its metadata would be lost in a counter.
        let value = match (target.policy().writes, value.as_blob()) {
            (Writes::Through | Writes::Behind, Some(blob)) => written(target, &blob.bytes()),
            _ => kept(target, value)?,
        };
        target.set_key(to, value, ending(Some(outcome.fresh_for))).await?;
    }
    Ok(true)
}

/// Moves the end of a copy; where that moment has passed, the value is deleted.
async fn expire(asked: &Expire, namespace: &Namespace<Blob>, answer: &mut Answer<'_>) -> Result<(), Failed> {
    let seen = namespace.inspect(&asked.key).await?;
    let has_effect = match seen.and_then(|seen| ttl_asked(asked, ending(seen.left))) {
        None => false,
        Some(ttl) if ttl.is_zero() => deleted(namespace, &asked.key).await?,
        Some(ttl) => namespace.live_key_for(&asked.key, Some(ttl)).await?,
    };
    answer.count(usize::from(has_effect));
    Ok(())
}

/// What a client has written, as a value. A sink is told what is JSON, as its rows are: a client of Redis cannot say so. Elsewhere
/// bytes are bytes.
fn written(namespace: &Namespace<Blob>, bytes: &Bytes) -> Value {
    let is_json = || serde_json::from_slice::<&serde_json::value::RawValue>(bytes).is_ok();
    Value::from(match namespace.policy().writes {
        Writes::Through | Writes::Behind if is_json() => Blob::json(bytes),
        _ => Blob::opaque(bytes),
    })
}

/// `value` as it is kept: of the declared kind, unless a sink judges it.
fn kept(namespace: &Namespace<Blob>, value: Value) -> Result<Value, Refusal> {
    match namespace.policy().writes {
        Writes::Through | Writes::Behind => Ok(value),
        Writes::Refuse | Writes::Cache | Writes::Store => Ok(kind::fit(namespace.policy().kind, value)?),
    }
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

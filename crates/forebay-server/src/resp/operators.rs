//! What operators ask for: a backup of the stores, and what becomes of writes that could not be applied.

use std::io;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use forebay::{Blob, DeadLetter, Namespace, Value};
use forebay_wire::resp::{DeadLetters, describe, reply};

use super::connection::Replies;
use super::execute::{no_keyspace, whole};
use super::freshness::Told;
use super::session::Session;
use crate::disks::StoresOf;

/// Writes what the stores of the connection's keyspace hold to a folder of this machine, if they lie in the data folder `of`. Writes go on
/// meanwhile.
pub(super) async fn backup(to: &Bytes, of: Option<&[u8]>, session: &Session, out: &mut BytesMut) {
    let Some(StoresOf { data, disk }) = session.served.now().stores(session.db) else {
        return reply::error(out, "ERR this keyspace has no stores: there is nothing to back up");
    };
    if of.is_some_and(|of| !is_folder(data, of)) {
        let data = data.display();
        return reply::error(
            out,
            &format!("FBBACKUPFAILED this keyspace keeps its stores in {data}: pick the one that you mean"),
        );
    }
    let to = str::from_utf8(to).ok().map(Path::new).filter(|to| to.is_absolute());
    let Some(to) = to else {
        return reply::error(out, "ERR name the folder by its whole path, from the root");
    };
    match disk.backup(to).await {
        Ok(done) => {
            reply::map(out, session.version, 2);
            for (name, number) in [("rows", done.rows), ("bytes", done.bytes)] {
                reply::bulk(out, name.as_bytes());
                reply::integer(out, whole(number));
            }
        }
        Err(error) => reply::error(out, &format!("FBBACKUPFAILED {error}")),
    }
}

/// Whether `asked` is another name of `data`.
fn is_folder(data: &Path, asked: &[u8]) -> bool {
    let asked = str::from_utf8(asked).ok().and_then(|asked| Path::new(asked).canonicalize().ok());
    asked.is_some_and(|asked| data.canonicalize().is_ok_and(|data| data == asked))
}

/// Lists dead letters of the connection's keyspace, or decides what becomes of them.
pub(super) async fn dead_letters(
    asked: DeadLetters,
    session: &Session,
    replies: &mut Replies<'_>,
) -> io::Result<()> {
    let out = &mut replies.out;
    let Some(keyspace) = &session.keyspace else {
        no_keyspace(session, out);
        return Ok(());
    };
    let namespaces = keyspace.namespaces();
    match asked {
        DeadLetters::List { namespace: Some(unknown) } if !has_namespace(namespaces, &unknown) => {
            let name = String::from_utf8_lossy(&unknown);
            reply::error(out, &format!("ERR no namespace of this keyspace is called '{name}'"));
        }
        DeadLetters::List { namespace } => {
            let named = |one: &&Namespace<Blob>| {
                namespace.as_ref().is_none_or(|named| one.name().as_bytes() == named.as_ref())
            };
            let letters = namespaces.iter().filter(named).flat_map(|namespace| {
                namespace.dead_letters().into_iter().map(move |letter| (namespace, letter))
            });
            let letters: Vec<_> = letters.collect();
            reply::array(out, letters.len());
            for (namespace, letter) in &letters {
                reply::map(&mut replies.out, session.version, HEAD_FIELDS);
                head(namespace, letter, &mut replies.out);
                replies.send_if_many().await?;
            }
        }
        DeadLetters::Show { id } => match found(namespaces, &id) {
            Some((namespace, letter)) => {
                reply::map(out, session.version, HEAD_FIELDS + 1);
                head(namespace, &letter, out);
                reply::bulk(out, b"value");
                match letter.value.as_ref().and_then(Value::as_blob) {
                    Some(blob) => reply::bulk(out, blob.as_bytes()),
                    None => reply::null(out, session.version),
                }
            }
            None => reply::null(out, session.version),
        },
        DeadLetters::Replay { ids } => {
            let mut told = Told::default();
            for (namespace, letter) in ids.iter().filter_map(|id| found(namespaces, id)) {
                told.add(namespace.replay_dead_letter(letter.id).await);
            }
            told.answer(out);
        }
        DeadLetters::Drop { ids } => {
            let mut told = Told::default();
            for (namespace, letter) in ids.iter().filter_map(|id| found(namespaces, id)) {
                told.add(namespace.drop_dead_letter(letter.id).await);
            }
            told.answer(out);
        }
        DeadLetters::Help => describe::help(out, "FB.DEADLETTERS"),
    }
    Ok(())
}

fn has_namespace(namespaces: &[Namespace<Blob>], name: &[u8]) -> bool {
    namespaces.iter().any(|one| one.name().as_bytes() == name)
}

/// The dead letter of this id.
fn found<'n>(namespaces: &'n [Namespace<Blob>], id: &[u8]) -> Option<(&'n Namespace<Blob>, DeadLetter)> {
    let id = str::from_utf8(id).ok()?.parse().ok()?;
    namespaces.iter().find_map(|namespace| Some((namespace, namespace.dead_letter(id)?)))
}

/// How many fields [`head`] writes.
const HEAD_FIELDS: usize = 7;

/// What is told of every dead letter.
fn head(namespace: &Namespace<Blob>, letter: &DeadLetter, out: &mut BytesMut) {
    let change: &[u8] = if letter.value.is_some() { b"put" } else { b"delete" };
    for (name, text) in [
        ("id", letter.id.to_string().as_bytes()),
        ("namespace", namespace.name().as_bytes()),
        ("key", &letter.key),
        ("change", change),
        ("reason", letter.reason.as_bytes()),
    ] {
        reply::bulk(out, name.as_bytes());
        reply::bulk(out, text);
    }
    for (name, number) in [
        ("attempts", i64::from(letter.attempts)),
        ("age_ms", i64::try_from(letter.age.as_millis()).unwrap_or(i64::MAX)),
    ] {
        reply::bulk(out, name.as_bytes());
        reply::integer(out, number);
    }
}

//! Forebay's own commands on how fresh values are: FB.INVALIDATE, FB.EXPIRE, FB.TAG, FB.WHY, FB.FRESH.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use forebay::Error;
use forebay_wire::resp::{FreshnessCommand, reply};

use super::data::{ending, string};
use super::execute::whole;
use super::refuse::refuse;
use super::session::Session;

/// Carries out one of these commands.
pub(super) async fn carry_out(asked: FreshnessCommand, session: &Session, out: &mut BytesMut) {
    match asked {
        FreshnessCommand::Invalidate { keys } => drop_copies(&keys, session, out).await,
        FreshnessCommand::Expire { keys } => expire_copies(&keys, session, out).await,
        FreshnessCommand::Tag { key, tags } => tag(&key, &tags, session, out),
        FreshnessCommand::Why { key } => why(&key, session, out),
        FreshnessCommand::Fresh { key } => match session.namespace(&key) {
            Some(namespace) => {
                let read = namespace.read_fresh(&key).await;
                read.iter().for_each(|read| session.saw(&key, &read.outcome));
                string(read, session.version, out);
            }
            None => reply::null(out, session.version),
        },
    }
}

/// Drops every copy of `keys`, here and in a shared tier; answers how many were held here, remembered absences too.
async fn drop_copies(keys: &[Bytes], session: &Session, out: &mut BytesMut) {
    let mut told = Told::default();
    for key in keys {
        let Some(namespace) = session.namespace(key) else { continue };
        told.add(namespace.invalidate_key(key).await);
    }
    told.answer(out);
}

/// Makes every copy of `keys` stale, here and in a shared tier; answers how many were held here.
async fn expire_copies(keys: &[Bytes], session: &Session, out: &mut BytesMut) {
    let mut told = Told::default();
    for key in keys {
        let Some(namespace) = session.namespace(key) else { continue };
        told.add(namespace.expire_key(key).await);
    }
    told.answer(out);
}

/// How it went with the keys of one command. One that fails keeps none of the others from it.
#[derive(Default)]
pub(super) struct Told {
    held: usize,
    failed: Option<Error>,
}

impl Told {
    pub(super) fn add(&mut self, told: Result<bool, Error>) {
        match told {
            Ok(held) => self.held += usize::from(held),
            Err(error) => self.failed = Some(error),
        }
    }

    pub(super) fn answer(self, out: &mut BytesMut) {
        match self.failed {
            None => reply::integer(out, i64::try_from(self.held).unwrap_or(i64::MAX)),
            Some(error) => refuse(&error.into(), out),
        }
    }
}

/// The most tags that one command adds, and the longest of them in bytes.
const TAGS_MAX: usize = 64;
const TAG_BYTES_MAX: usize = 1024;

fn tag(key: &[u8], tags: &[Bytes], session: &Session, out: &mut BytesMut) {
    let texts = tags.iter().map(|tag| std::str::from_utf8(tag).ok().filter(|tag| tag.len() <= TAG_BYTES_MAX));
    let Some(tags) = texts.collect::<Option<Vec<&str>>>().filter(|tags| tags.len() <= TAGS_MAX) else {
        let limits =
            format!("ERR tags are UTF-8, of at most {TAG_BYTES_MAX} bytes, at most {TAGS_MAX} at once");
        return reply::error(out, &limits);
    };
    let held = session.namespace(key).is_some_and(|namespace| namespace.tag(key, &tags));
    reply::integer(out, i64::from(held));
}

/// What is known of the copy of a key.
fn why(key: &[u8], session: &Session, out: &mut BytesMut) {
    let Some(namespace) = session.namespace(key) else { return reply::null(out, session.version) };
    let held = namespace.peek(key);
    let fields = if held.is_some() { 5 } else { 2 };
    reply::map(out, session.version, fields);
    reply::bulk(out, b"namespace");
    reply::bulk(out, namespace.name().as_bytes());
    reply::bulk(out, b"held");
    let Some(held) = held else { return reply::bulk(out, b"nothing") };
    reply::bulk(out, if held.absent { b"absence" } else { b"value" });
    for (name, number) in [
        ("age_ms", millis(held.age)),
        // −1 for what does not end, as `PTTL` tells it.
        ("fresh_for_ms", ending(Some(held.fresh_for)).map_or(-1, millis)),
        ("weight_bytes", whole(held.weight_bytes)),
    ] {
        reply::bulk(out, name.as_bytes());
        reply::integer(out, number);
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

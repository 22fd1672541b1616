//! Commands on all keys of a keyspace: SCAN, KEYS, RANDOMKEY, DBSIZE, FLUSHDB, FLUSHALL, SWAPDB.
//!
//! The keys are those that stores have and those of which a copy is held; nothing is loaded. What goes through keys costs as
//! much as there are, or are asked for, and lets others in; how many there are is `counted.rs`'s.

use bytes::BytesMut;
use forebay::Keyspace;
use forebay_wire::resp::{KeyspaceCommand, Scan, glob, reply};

use super::data::Failed;
use super::execute::whole;
use super::refuse::refuse;
use super::session::Session;
use super::values::{Refusal, kind_name};
use super::walk::Walk;
use super::{Service, counted};

/// The most keys that one `SCAN` looks at; `COUNT` may ask for more and gets less.
const SCAN_MAX: u64 = 1_000;
/// Keys taken at a time where all are gone through.
const PAGE: usize = 1_000;
/// The most bytes of keys that one `KEYS` answers.
const KEYS_BYTES_MAX: usize = 64 << 20;

/// Carries out one of these commands.
pub(super) async fn carry_out(
    asked: KeyspaceCommand,
    service: &Service,
    session: &Session,
    out: &mut BytesMut,
) {
    let Some(keyspace) = &session.keyspace else { return };
    let done = match asked {
        KeyspaceCommand::Scan(asked) => scan(&asked, service, keyspace, out).await,
        KeyspaceCommand::Keys { pattern } => keys(&pattern, keyspace, out).await,
        KeyspaceCommand::RandomKey => random_key(keyspace, session, out).await,
        KeyspaceCommand::DbSize => match counted::exactly(keyspace).await {
            Ok(count) => {
                reply::integer(out, whole(count.keys));
                Ok(())
            }
            Err(error) => Err(error.into()),
        },
        KeyspaceCommand::FlushDb => flush([keyspace.as_ref()], service, out).await,
        KeyspaceCommand::FlushAll => {
            let all: Vec<&Keyspace> = session.served.now().all().map(|(_, keyspace)| &**keyspace).collect();
            flush(all, service, out).await
        }
        KeyspaceCommand::SwapDb => Err(Refusal::Swap.into()),
    };
    if let Err(failed) = done {
        refuse(&failed, out);
    }
}

async fn scan(
    asked: &Scan,
    service: &Service,
    keyspace: &Keyspace,
    out: &mut BytesMut,
) -> Result<(), Failed> {
    let Scan { cursor, pattern, count, kind } = asked;
    let mut walk = service.walks.resume(*cursor, keyspace).ok_or(Refusal::ForgottenCursor)?;
    let prefix = literal_prefix(pattern.as_deref().unwrap_or(b"*"));
    let limit = usize::try_from((*count).min(SCAN_MAX)).unwrap_or(PAGE);
    let mut keys = Vec::new();
    // Through namespaces with few keys or none, so that as many are looked at as was asked for; one page of a memory that many share is
    // work enough, also where it brings nothing.
    let mut looks = limit;
    while looks > 0 && !walk.is_over(keyspace) {
        let page = walk.page(keyspace, prefix, looks).await?;
        looks = looks.saturating_sub(page.len().max(1));
        keys.extend(page);
    }
    if let Some(pattern) = pattern {
        keys.retain(|key| glob::matches(pattern, key));
    }
    if let Some(kind) = kind {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            if is_of_kind(&key, kind, keyspace).await? {
                found.push(key);
            }
        }
        keys = found;
    }
    reply::array(out, 2);
    reply::bulk(out, service.walks.pause(walk, keyspace).to_string().as_bytes());
    list(&keys, out);
    Ok(())
}

async fn is_of_kind(key: &[u8], kind: &[u8], keyspace: &Keyspace) -> Result<bool, Failed> {
    let Some(namespace) = keyspace.find(key) else { return Ok(false) };
    let seen = namespace.inspect(key).await?;
    Ok(seen.is_some_and(|seen| kind_name(seen.kind).as_bytes().eq_ignore_ascii_case(kind)))
}

fn list(keys: &[Vec<u8>], out: &mut BytesMut) {
    reply::array(out, keys.len());
    keys.iter().for_each(|key| reply::bulk(out, key));
}

async fn keys(pattern: &[u8], keyspace: &Keyspace, out: &mut BytesMut) -> Result<(), Failed> {
    let prefix = literal_prefix(pattern);
    let (mut walk, mut found, mut bytes) = (Walk::default(), Vec::new(), 0_usize);
    while !walk.is_over(keyspace) {
        for key in walk.page(keyspace, prefix, PAGE).await? {
            if glob::matches(pattern, &key) {
                bytes = bytes.saturating_add(key.len()).saturating_add(size_of::<Vec<u8>>());
                found.push(key);
            }
        }
        if bytes > KEYS_BYTES_MAX {
            return Err(Refusal::TooManyKeys.into());
        }
        // Memory is gone through without waiting for anything: others are let in between its pages.
        tokio::task::yield_now().await;
    }
    list(&found, out);
    Ok(())
}

/// What every text begins with that matches `pattern`: a store looks at nothing else.
fn literal_prefix(pattern: &[u8]) -> &[u8] {
    let end = pattern.iter().position(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'));
    pattern.get(..end.unwrap_or(pattern.len())).unwrap_or_default()
}

/// Any key of one of the namespaces, which are asked in an order of chance.
async fn random_key(keyspace: &Keyspace, session: &Session, out: &mut BytesMut) -> Result<(), Failed> {
    let mut namespaces: Vec<_> = keyspace.namespaces().iter().collect();
    fastrand::shuffle(&mut namespaces);
    for namespace in namespaces {
        if let Some(key) = namespace.random_key().await? {
            reply::bulk(out, &key);
            return Ok(());
        }
    }
    reply::null(out, session.version);
    Ok(())
}

/// Deletes what stores have, and drops copies. Where a namespace fails the others are emptied all the same.
async fn flush(
    keyspaces: impl IntoIterator<Item = &Keyspace>,
    service: &Service,
    out: &mut BytesMut,
) -> Result<(), Failed> {
    let mut failed = Ok(());
    for keyspace in keyspaces {
        let _told = service.tracking.flush(keyspace.name());
        for namespace in keyspace.namespaces() {
            if let Err(error) = namespace.clear().await {
                failed = Err(error.into());
            }
        }
    }
    if failed.is_ok() {
        reply::ok(out);
    }
    failed
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use forebay::{Blob, Forebay, secs};

    use super::*;

    /// How often `work` lets others in before it is done.
    fn pauses<T>(work: impl Future<Output = T>) -> usize {
        let (mut work, mut context, mut pauses) = (pin!(work), Context::from_waker(Waker::noop()), 0);
        while work.as_mut().poll(&mut context).is_pending() {
            pauses += 1;
        }
        pauses
    }

    #[tokio::test]
    async fn what_goes_through_many_keys_lets_others_in() {
        let engine = Forebay::new().unwrap();
        let namespace = |name: &str| {
            let namespace = engine.namespace::<Blob>(name).key(&format!("{name}:{{number}}"));
            namespace.ttl(secs(600)).build().unwrap()
        };
        let (held, none) = (namespace("held"), namespace("none"));
        for number in 0..10_000 {
            held.write(format!("held:{number}").as_bytes(), Blob::opaque("x").into(), None).unwrap();
        }
        let mut keyspace = Keyspace::new("default");
        keyspace.add(held).unwrap();
        let mut out = BytesMut::new();
        assert!(pauses(keys(b"*", &keyspace, &mut out)) >= 9, "KEYS");
        assert!(pauses(counted::exactly(&keyspace)) >= 9, "DBSIZE");
        // A namespace without keys in a memory with many of another's.
        assert!(pauses(none.random_key()) >= 1, "RANDOMKEY");
    }
}

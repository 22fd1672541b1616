//! What operators ask for: counts, what a namespace will do, a reload, warming, a backup of the stores, and what becomes of writes that could not
//! be applied.

use std::io;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use forebay::{Blob, DeadLetter, Namespace, Value, WarmProgress};
use forebay_wire::resp::{DeadLetters, OperatorsCommand, Version, WarmCommand, describe, reply};

use super::Service;
use super::execute::{no_keyspace, whole};
use super::freshness::Told as HowItWent;
use super::jobs;
use super::refuse::refuse;
use super::replies::Replies;
use super::session::Session;
use crate::configuration::{self, Quota};
use crate::disks::StoresOf;
use crate::limits::Usage;
use crate::warming::Told;

/// Carries out one of these commands.
///
/// # Errors
/// When the client no longer takes replies.
pub(super) async fn carry_out(
    asked: OperatorsCommand,
    service: &Service,
    session: &mut Session,
    replies: &mut Replies<'_>,
) -> io::Result<()> {
    let out = &mut replies.out;
    match asked {
        OperatorsCommand::Stats { namespace } => stats(namespace.as_deref(), session, out),
        OperatorsCommand::Explain { namespace } => explain(&namespace, session, out),
        OperatorsCommand::Reload => reload(service, session, out).await,
        OperatorsCommand::Warm(asked) => warm(&asked, service, session, out),
        OperatorsCommand::Backup { to, of } => backup(&to, of.as_deref(), session, out).await,
        OperatorsCommand::DeadLetters(asked) => return dead_letters(asked, session, replies).await,
        OperatorsCommand::Jobs(asked) => return jobs::carry_out(asked, service, session, replies).await,
    }
    Ok(())
}

/// Tells every counter of the namespaces of the connection's keyspace, or of the one called `named`.
fn stats(named: Option<&[u8]>, session: &Session, out: &mut BytesMut) {
    let Some(keyspace) = &session.keyspace else { return no_keyspace(session, out) };
    let namespaces = keyspace.namespaces();
    if let Some(unknown) = named.filter(|named| !has_namespace(namespaces, named)) {
        return no_namespace(unknown, out);
    }
    let is_meant = |one: &&Namespace<Blob>| named.is_none_or(|named| one.name().as_bytes() == named);
    let told: Vec<_> = namespaces.iter().filter(is_meant).collect();
    reply::map(out, session.version, told.len());
    for namespace in told {
        reply::bulk(out, namespace.name().as_bytes());
        let counts = namespace.counts();
        let counts = counts.each().map(|count| (count.name, count.count));
        let quota = session.served.now().limits.quota(keyspace.name(), namespace.name());
        let numbers: Vec<_> = counts.chain(of_membership(namespace)).chain(of_quota(quota)).collect();
        reply::map(out, session.version, numbers.len());
        for (name, number) in numbers {
            reply::bulk(out, name.as_bytes());
            reply::integer(out, whole(number));
        }
    }
}

/// What is told of the membership filter of a namespace that has one.
fn of_membership(namespace: &Namespace<Blob>) -> impl Iterator<Item = (&'static str, u64)> + use<> {
    let told = namespace.membership().map(|membership| {
        [
            ("membership_ready", u64::from(membership.is_ready)),
            ("membership_keys", membership.keys),
            ("membership_bytes", membership.bytes),
            ("membership_full", u64::from(membership.is_over_full)),
            ("membership_builds", membership.builds),
        ]
    });
    told.into_iter().flatten()
}

/// What is told of a day's quota, where there is one.
fn of_quota(quota: Option<(Quota, Usage)>) -> impl Iterator<Item = (&'static str, u64)> {
    quota.into_iter().flat_map(|(quota, used)| {
        let limits = [("quota_reads", quota.reads), ("quota_writes", quota.writes)];
        let used =
            [("used_reads", used.reads), ("used_writes", used.writes), ("quota_refusals", used.refused)];
        limits.into_iter().filter_map(|(name, limit)| Some((name, limit?))).chain(used)
    })
}

/// Tells what a namespace of the connection's keyspace will do.
fn explain(namespace: &[u8], session: &Session, out: &mut BytesMut) {
    if session.keyspace.is_none() {
        return no_keyspace(session, out);
    }
    let declared = session.served.now().declaration(session.db);
    let explained = declared.zip(str::from_utf8(namespace).ok());
    match explained.and_then(|(declared, name)| configuration::explain(declared, name)) {
        Some(text) => reply::verbatim(out, session.version, *b"txt", text.as_bytes()),
        None => no_namespace(namespace, out),
    }
}

/// Has the declarations read again and put in service; answers what is different then.
async fn reload(service: &Service, session: &mut Session, out: &mut BytesMut) {
    session.connected.note(session);
    let reloaded = tokio::select! {
        reloaded = service.reloads.ask(&service.clock) => reloaded,
        () = session.stop.asked() => {
            session.closing = true;
            return reply::error(out, "FBRELOADFAILED the server ends");
        }
    };
    match reloaded {
        Ok(Ok(reloaded)) => {
            let parts =
                [("added", reloaded.added), ("changed", reloaded.changed), ("removed", reloaded.removed)];
            reply::map(out, session.version, parts.len());
            for (what, names) in parts {
                reply::bulk(out, what.as_bytes());
                reply::array(out, names.len());
                names.iter().for_each(|name| reply::bulk(out, name.as_bytes()));
            }
        }
        Ok(Err(report)) => {
            let kept = "what was declared before stays in service";
            let told = format!("FBRELOADFAILED {kept}: {}", report.trim_end());
            reply::long_error(out, session.version, &told);
        }
        Err(none) => reply::error(out, &format!("FBRELOADFAILED {none}")),
    }
}

/// Begins, stops or tells of the warming of what the connection's keyspace declares to be warm.
fn warm(asked: &WarmCommand, service: &Service, session: &Session, out: &mut BytesMut) {
    let (WarmCommand::Start { namespace }
    | WarmCommand::Status { namespace }
    | WarmCommand::Stop { namespace }) = asked
    else {
        return describe::help(out, "FB.WARM");
    };
    let declared = session.served.now().declaration(session.db);
    let Some((keyspace, declared)) = session.keyspace.as_ref().zip(declared) else {
        return no_keyspace(session, out);
    };
    if let Some(unknown) = namespace.as_ref().filter(|named| !has_namespace(keyspace.namespaces(), named)) {
        return no_namespace(unknown, out);
    }
    let named = namespace.as_ref().and_then(|named| str::from_utf8(named).ok());
    let told = match asked {
        WarmCommand::Start { .. } => match service.warmings.start(keyspace, declared, named) {
            Ok(told) if told.is_empty() => {
                let mend = "say `warm` in the namespace's declaration";
                return reply::error(out, &format!("ERR nothing is declared to be warm: {mend}"));
            }
            Ok(told) => told,
            Err(error) => return refuse(&error.into(), out),
        },
        WarmCommand::Stop { .. } => service.warmings.stop(keyspace, named),
        _ => service.warmings.status(keyspace, named),
    };
    reply::array(out, told.len());
    told.iter().for_each(|told| warmed(told, session.version, out));
}

/// How far one warming is.
fn warmed(told: &Told, version: Version, out: &mut BytesMut) {
    let WarmProgress { done, failed, absent, is_over, is_stopped, .. } = told.progress;
    let state: &[u8] = match (is_stopped, is_over) {
        (true, _) => b"stopped",
        (false, true) => b"done",
        (false, false) => b"running",
    };
    let numbers = [("keys", told.keys), ("done", done), ("absent", absent), ("failed", failed)];
    reply::map(out, version, 2 + numbers.len());
    for (name, text) in [("namespace", told.namespace.as_bytes()), ("state", state)] {
        reply::bulk(out, name.as_bytes());
        reply::bulk(out, text);
    }
    for (name, number) in numbers {
        reply::bulk(out, name.as_bytes());
        reply::integer(out, whole(number));
    }
}

fn no_namespace(name: &[u8], out: &mut BytesMut) {
    let name = String::from_utf8_lossy(name);
    reply::error(out, &format!("ERR no namespace of this keyspace is called '{name}'"));
}

/// Writes what the stores of the connection's keyspace hold to a folder of this machine, if they lie in the data folder `of`. Writes go on
/// meanwhile.
async fn backup(to: &Bytes, of: Option<&[u8]>, session: &Session, out: &mut BytesMut) {
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
async fn dead_letters(asked: DeadLetters, session: &Session, replies: &mut Replies<'_>) -> io::Result<()> {
    let out = &mut replies.out;
    let Some(keyspace) = &session.keyspace else {
        no_keyspace(session, out);
        return Ok(());
    };
    let namespaces = keyspace.namespaces();
    match asked {
        DeadLetters::List { namespace: Some(unknown) } if !has_namespace(namespaces, &unknown) => {
            no_namespace(&unknown, out);
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
            let mut told = HowItWent::default();
            for (namespace, letter) in ids.iter().filter_map(|id| found(namespaces, id)) {
                told.add(namespace.replay_dead_letter(letter.id).await);
            }
            told.answer(out);
        }
        DeadLetters::Drop { ids } => {
            let mut told = HowItWent::default();
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

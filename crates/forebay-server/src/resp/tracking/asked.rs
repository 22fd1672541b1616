//! What one connection has asked for: CLIENT TRACKING, CACHING, GETREDIR, TRACKINGINFO.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use forebay::Keyspace;
use forebay_wire::resp::{self, CommandError, CommandSpec, Flag, Request, reply};

use super::table::Place;
use super::{Instead, Reading, Tracker, Tracking};
use crate::resp::Service;
use crate::resp::clients::Client;
use crate::resp::session::Session;

/// The most beginnings of keys that one connection names.
const PREFIXES_MAX: usize = 1_000;
/// The longest of them, in bytes.
const PREFIX_BYTES_MAX: usize = 1024;

/// That a connection tracks, until it is dropped.
#[derive(Debug)]
pub(in crate::resp) struct Tracked {
    tracking: Arc<Tracking>,
    id: i64,
    redirect: i64,
    prefixes: Option<BTreeSet<Bytes>>,
    choice: Choice,
    no_loop: bool,
    broken: Arc<AtomicBool>,
    /// What `CLIENT CACHING` has said of the next command.
    said: bool,
}

/// Which reads are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    All,
    /// Those of which it is said.
    OptIn,
    /// Those of which it is not said.
    OptOut,
}

/// Why what was asked is not done.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("ERR The client ID you want redirect to does not exist")]
    NoSuchClient,
    #[error("ERR PREFIX option requires BCAST mode to be enabled")]
    PrefixAlone,
    #[error(
        "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode."
    )]
    SwitchesBroadcast,
    #[error("ERR OPTIN and OPTOUT are not compatible with BCAST")]
    ChoiceOfBroadcast,
    #[error("ERR You can't specify both OPTIN mode and OPTOUT mode")]
    BothChoices,
    #[error(
        "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode."
    )]
    SwitchesChoice,
    #[error(
        "ERR Prefix '{0}' overlaps with an existing prefix '{1}'. Prefixes for a single client must not overlap."
    )]
    OverlapsOwn(String, String),
    #[error(
        "ERR Prefix '{0}' overlaps with another provided prefix '{1}'. Prefixes for a single client must not overlap."
    )]
    OverlapsOther(String, String),
    #[error("ERR a connection names at most {PREFIXES_MAX} prefixes")]
    TooManyPrefixes,
    #[error("ERR a prefix has at most {PREFIX_BYTES_MAX} bytes")]
    LongPrefix,
    #[error(
        "NOPERM this user may not be told of every key: leave out BCAST, to be told of those that are read"
    )]
    NotEveryKey,
    #[error("ERR no keyspace is picked: SELECT one before CLIENT TRACKING")]
    NoKeyspace,
    #[error(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled"
    )]
    NoChoice,
    #[error("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")]
    NotOptIn,
    #[error("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")]
    NotOptOut,
    #[error(transparent)]
    Words(#[from] CommandError),
}

/// What is asked.
pub(in crate::resp) enum Asked {
    /// To be told.
    Track(resp::Tracking),
    /// What to do with the next read.
    Caching(Result<bool, CommandError>),
}

/// Does what was asked, and answers.
pub(in crate::resp) fn carry_out(asked: Asked, service: &Service, session: &mut Session, out: &mut BytesMut) {
    let done = match asked {
        Asked::Track(asked) => track(asked, service, session),
        Asked::Caching(keeps) => caching(keeps, session),
    };
    match done {
        Ok(()) => reply::ok(out),
        Err(refused) => reply::error(out, &refused.to_string()),
    }
}

fn track(asked: resp::Tracking, service: &Service, session: &mut Session) -> Result<(), Refused> {
    let redirect = instead(asked.redirect, service, session)?;
    let before = session.tracked.as_ref();
    if !asked.broadcast && !asked.prefixes.is_empty() {
        return Err(Refused::PrefixAlone);
    }
    if before.is_some_and(|before| before.prefixes.is_some() != asked.broadcast) {
        return Err(Refused::SwitchesBroadcast);
    }
    let choice = match (asked.opt_in, asked.opt_out) {
        (false, false) => Choice::All,
        _ if asked.broadcast => return Err(Refused::ChoiceOfBroadcast),
        (true, true) => return Err(Refused::BothChoices),
        (true, false) => Choice::OptIn,
        (false, true) => Choice::OptOut,
    };
    match before.map(|before| before.choice) {
        None | Some(Choice::All) => {}
        Some(other) if choice == other || choice == Choice::All => {}
        Some(_) => return Err(Refused::SwitchesChoice),
    }
    let prefixes = match asked.broadcast {
        true => Some(together(&asked.prefixes, before.and_then(|before| before.prefixes.as_ref()))?),
        false => None,
    };
    let keyspace = session.keyspace.as_ref().ok_or(Refused::NoKeyspace)?;
    if asked.broadcast && !session.rights.read_all_of(keyspace.name()) {
        return Err(Refused::NotEveryKey);
    }
    let mut had: BTreeSet<Box<str>> = service.tracking.had(session.id);
    had.insert(keyspace.name().into());
    let broken = Arc::new(AtomicBool::new(false));
    let tracking = Arc::clone(&service.tracking);
    tracking.enter(Tracker {
        id: session.id,
        own: session.inbox.sender(),
        redirect,
        broken: Arc::clone(&broken),
        prefixes: prefixes.clone(),
        no_loop: asked.no_loop,
        keyspace: keyspace.name().into(),
        had,
    });
    let (id, redirect, no_loop) = (session.id, asked.redirect, asked.no_loop);
    match &mut session.tracked {
        // The one before is not dropped: it would take the new one's place away.
        Some(tracked) => {
            (tracked.redirect, tracked.prefixes, tracked.choice) = (redirect, prefixes, choice);
            (tracked.no_loop, tracked.broken) = (no_loop, broken);
        }
        none => {
            *none = Some(Tracked { tracking, id, redirect, prefixes, choice, no_loop, broken, said: false })
        }
    }
    Ok(())
}

/// The connection that is told instead, where one is named. Of those of other tokens nobody hears, not even that they are there.
fn instead(id: i64, service: &Service, session: &Session) -> Result<Option<Instead>, Refused> {
    if id == 0 {
        return Ok(None);
    }
    let only = (!session.rights.are_all()).then(|| session.rights.name().clone());
    let is_own = |to: &Arc<Client>| only.as_ref().is_none_or(|name| to.is_of(name));
    let to = service.clients.find(id).filter(is_own).ok_or(Refused::NoSuchClient)?;
    Ok(Some(Instead { id, to: Arc::downgrade(&to), only }))
}

/// The beginnings asked for beside those there are; one is of no use that begins with another.
fn together(asked: &[Bytes], own: Option<&BTreeSet<Bytes>>) -> Result<BTreeSet<Bytes>, Refused> {
    if asked.iter().any(|prefix| prefix.len() > PREFIX_BYTES_MAX) {
        return Err(Refused::LongPrefix);
    }
    let overlap = |a: &Bytes, b: &Bytes| a.starts_with(b) || b.starts_with(a);
    let shown = |prefix: &Bytes| String::from_utf8_lossy(prefix).into_owned();
    let mut all = own.cloned().unwrap_or_default();
    for (place, prefix) in asked.iter().enumerate() {
        if let Some(other) = own.into_iter().flatten().find(|other| overlap(prefix, other)) {
            return Err(Refused::OverlapsOwn(shown(prefix), shown(other)));
        }
        if let Some(other) = asked.iter().skip(place + 1).find(|other| overlap(prefix, other)) {
            return Err(Refused::OverlapsOther(shown(prefix), shown(other)));
        }
        all.insert(Bytes::copy_from_slice(prefix));
    }
    if asked.is_empty() {
        all.insert(Bytes::new());
    }
    if all.len() > PREFIXES_MAX {
        return Err(Refused::TooManyPrefixes);
    }
    Ok(all)
}

fn caching(keeps: Result<bool, CommandError>, session: &mut Session) -> Result<(), Refused> {
    let choosing = session.tracked.as_mut().filter(|tracked| tracked.choice != Choice::All);
    let tracked = choosing.ok_or(Refused::NoChoice)?;
    match (keeps?, tracked.choice) {
        (true, Choice::OptIn) | (false, Choice::OptOut) => tracked.said = true,
        (true, _) => return Err(Refused::NotOptIn),
        (false, _) => return Err(Refused::NotOptOut),
    }
    Ok(())
}

impl Tracked {
    /// Its letters among the flags of `CLIENT LIST`.
    pub(in crate::resp) fn flags(&self) -> String {
        let broken = if self.is_broken() { "R" } else { "" };
        let broadcast = if self.prefixes.is_some() { "B" } else { "" };
        format!("t{broken}{broadcast}")
    }

    /// The number of the connection that is told instead; 0 for none.
    pub(in crate::resp) fn redirect(&self) -> i64 {
        self.redirect
    }

    /// Whether it is not told of what it changes itself.
    pub(in crate::resp) fn is_without_loop(&self) -> bool {
        self.no_loop
    }

    /// Tells of another keyspace from now on.
    pub(in crate::resp) fn select(&self, keyspace: &str) {
        self.tracking.select(self.id, keyspace);
    }

    /// What was said of a command is over with it.
    pub(in crate::resp) fn command_ended(&mut self) {
        self.said = false;
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    fn remembers(&self) -> bool {
        match self.choice {
            Choice::All => self.prefixes.is_none(),
            Choice::OptIn => self.said,
            Choice::OptOut => !self.said,
        }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.tracking.leave(self.id);
    }
}

/// Remembers the keys that a connection that tracks reads by a command on a keyspace, before it does.
pub(in crate::resp) fn reading(
    session: &Session,
    keyspace: &Keyspace,
    spec: &CommandSpec,
    request: &Request,
) -> Option<Reading> {
    let tracked = session.tracked.as_ref()?;
    if !tracked.remembers() || !spec.flags.contains(&Flag::ReadOnly) {
        return None;
    }
    let name: Arc<str> = keyspace.name().into();
    let place = |key: &[u8]| {
        let namespace = keyspace.find(key)?.name().into();
        // A copy of its own: the request's buffer is not kept.
        Some(Place { keyspace: Arc::clone(&name), namespace, key: Bytes::copy_from_slice(key) })
    };
    let keys = spec.key_indexes(request).filter_map(|at| request.get(at));
    let places: Vec<Place> = keys.filter_map(place).collect();
    (!places.is_empty()).then(|| tracked.tracking.begin(session.id, places))
}

/// What the connection is told of: `CLIENT TRACKINGINFO`.
pub(in crate::resp) fn info(session: &Session, out: &mut BytesMut) {
    let version = session.version;
    let (mut flags, mut redirect, mut prefixes) = (vec!["off"], -1, BTreeSet::new());
    if let Some(tracked) = &session.tracked {
        flags = vec!["on"];
        flags.extend(tracked.prefixes.is_some().then_some("bcast"));
        let (choice, said) = match tracked.choice {
            Choice::All => (None, ""),
            Choice::OptIn => (Some("optin"), "caching-yes"),
            Choice::OptOut => (Some("optout"), "caching-no"),
        };
        flags.extend(choice);
        flags.extend(tracked.said.then_some(said));
        flags.extend(tracked.no_loop.then_some("noloop"));
        flags.extend(tracked.is_broken().then_some("broken_redirect"));
        redirect = tracked.redirect;
        prefixes = tracked.prefixes.clone().unwrap_or_default();
    }
    reply::map(out, version, 3);
    reply::bulk(out, b"flags");
    reply::set(out, version, flags.len());
    flags.iter().for_each(|flag| reply::bulk(out, flag.as_bytes()));
    reply::bulk(out, b"redirect");
    reply::integer(out, redirect);
    reply::bulk(out, b"prefixes");
    reply::array(out, prefixes.len());
    prefixes.iter().for_each(|prefix| reply::bulk(out, prefix));
}

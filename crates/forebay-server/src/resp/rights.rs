//! Which right a request needs, and whether the connection has it.
//!
//! What a command needs is in its row of the table: the right, and the places of its keys. Every key is judged by the namespace that it
//! belongs to; a command that names none needs the right to all that it works on. It is asked before a command is queued, shown to who
//! monitors, or parsed, so that what is not allowed leaves no trace. Where everything is allowed, and nothing has changed, that costs a
//! load of an atomic.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use forebay_wire::resp::{
    Access as Needs, Command, CommandSpec, Credentials, Flag, Hello, Limits, Request, reply,
};

use super::Service;
use super::inbox::{Message, Sender};
use super::session::Session;
use super::transaction::Queue;
use crate::access::{Access, DEFAULT_NAME, Door, Right, Watch};

/// What a connection may do.
#[derive(Debug)]
pub(super) struct Rights {
    /// Nothing before it has shown a token, where one is asked for.
    access: Option<Arc<Access>>,
    /// It may everything: so said once, and not asked of each request.
    everything: bool,
    /// The token's name.
    name: Bytes,
    watch: Watch,
}

impl Rights {
    /// Of who has shown nothing.
    pub(super) fn new(door: &Door) -> Self {
        let name = Bytes::from_static(DEFAULT_NAME.as_bytes());
        // Seen from before the first look, so that no change is missed.
        let watch = door.watch();
        let mut rights = Self { access: None, everything: false, name, watch };
        rights.become_those_of(door.open());
        rights
    }

    fn become_those_of(&mut self, access: Option<Arc<Access>>) {
        self.everything = access.as_ref().is_some_and(|access| access.allows_everything());
        self.name = match &access {
            Some(access) if access.name() != DEFAULT_NAME => Bytes::copy_from_slice(access.name().as_bytes()),
            _ => Bytes::from_static(DEFAULT_NAME.as_bytes()),
        };
        self.access = access;
    }

    /// The token's name; `default` where there is none.
    pub(super) fn name(&self) -> &Bytes {
        &self.name
    }

    /// Whether they are those of the token of this name.
    pub(super) fn are_of(&self, name: &[u8]) -> bool {
        self.access.is_some() && self.name == name
    }

    /// Whether it may everything.
    pub(super) fn are_all(&self) -> bool {
        self.everything
    }

    /// Whether it may read every key of the keyspace of this name.
    pub(super) fn read_all_of(&self, keyspace: &str) -> bool {
        let allows = |access: &Arc<Access>| access.allows_keyspace(keyspace, Right::Read);
        self.everything || self.access.as_ref().is_some_and(allows)
    }

    /// What it may send.
    pub(super) fn limits(&self) -> &'static Limits {
        if self.access.is_some() { &Limits::AUTHENTICATED } else { &Limits::UNAUTHENTICATED }
    }

    /// Whether nobody knows who it is, where that is asked.
    pub(super) fn is_unknown(&self) -> bool {
        self.access.is_none()
    }

    /// Whether they may have become others.
    pub(super) fn have_changed(&self) -> bool {
        self.watch.has_changed()
    }
}

/// Why a request is refused. The texts are Redis'.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Denied {
    #[error("NOAUTH Authentication required.")]
    Unknown,
    #[error(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time"
    )]
    UnknownHello,
    #[error("NOPERM this user has no permissions to run the '{}' command", .0.display_name())]
    Command(&'static CommandSpec),
    #[error("NOPERM this user has no permissions to access one of the keys used as arguments")]
    Key,
    #[error("NOPERM this user has no permissions to access one of the channels used as arguments")]
    Channel,
    #[error("NOPERM this user has no permissions to access database '{0}'")]
    Keyspace(u32),
}

/// Whether `request` may be carried out; answers it where it may not.
pub(super) fn allow(
    spec: &'static CommandSpec,
    request: &Request,
    session: &mut Session,
    out: &mut BytesMut,
) -> bool {
    if session.rights.have_changed() {
        judge_again(session);
    }
    if session.rights.everything {
        return true;
    }
    let Err(denied) = judge(spec, request, session) else { return true };
    session.queue.iter_mut().for_each(Queue::spoil);
    reply::error(out, &denied.to_string());
    false
}

fn judge(spec: &'static CommandSpec, request: &Request, session: &Session) -> Result<(), Denied> {
    let Some(access) = &session.rights.access else {
        return if spec.flags.contains(&Flag::NoAuth) { Ok(()) } else { Err(Denied::Unknown) };
    };
    let keyspace = session.keyspace.as_ref();
    let of_keyspace = |right| keyspace.is_some_and(|keyspace| access.allows_keyspace(keyspace.name(), right));
    // Channels are the process's own: who may not all of it could hear, or reach, other keyspaces.
    let of_all = |right| {
        session.served.now().all().all(|(_, keyspace)| access.allows_keyspace(keyspace.name(), right))
    };
    let allowed = match (spec.access, spec.keys.are_there()) {
        (Needs::Connection, _) => true,
        (Needs::Read | Needs::Observe, true) => return keys(access, Right::Read, spec, request, session),
        (Needs::Write | Needs::Invalidate, true) => {
            return keys(access, Right::Write, spec, request, session);
        }
        (Needs::Read, false) => of_keyspace(Right::Read),
        (Needs::Write | Needs::Invalidate, false) => of_keyspace(Right::Write),
        (Needs::Subscribe, _) => return of_all(Right::Read).then_some(()).ok_or(Denied::Channel),
        (Needs::Publish, _) => return of_all(Right::Write).then_some(()).ok_or(Denied::Channel),
        // Those who may everything are not asked.
        (Needs::Observe, false) | (Needs::Operate, _) => false,
    };
    allowed.then_some(()).ok_or(Denied::Command(spec))
}

/// What refuses a request that has waited for EXEC, by the rights and in the keyspace that it is carried out in.
pub(super) fn refusal(spec: &'static CommandSpec, request: &Request, session: &Session) -> Option<String> {
    if session.rights.everything {
        return None;
    }
    judge(spec, request, session).err().map(|denied| denied.to_string())
}

/// Judges every key that the request names. Where no keyspace is picked, a key means nothing, and is told so later.
fn keys(
    access: &Access,
    right: Right,
    spec: &CommandSpec,
    request: &Request,
    session: &Session,
) -> Result<(), Denied> {
    let Some(keyspace) = &session.keyspace else {
        // A transaction may pick one before this is carried out, and then it is judged again.
        return Ok(());
    };
    if access.allows_keyspace(keyspace.name(), right) {
        return Ok(());
    }
    let may = |key: &[u8]| {
        keyspace.find(key).is_some_and(|namespace| access.allows(keyspace.name(), namespace.name(), right))
    };
    match spec.key_indexes(request).all(|at| request.get(at).is_some_and(may)) {
        true => Ok(()),
        false => Err(Denied::Key),
    }
}

/// Whether the connection may pick the keyspace of this number. Who is kept to one is not told which others there are.
pub(super) fn may_select(db: u32, session: &Session) -> Result<(), String> {
    let Some(access) = session.rights.access.as_ref().filter(|_| !session.rights.everything) else {
        return Ok(());
    };
    let is = |name: &str| session.served.now().numbered(db).is_some_and(|keyspace| keyspace.name() == name);
    if access.keyspace().is_none_or(is) { Ok(()) } else { Err(Denied::Keyspace(db).to_string()) }
}

/// Whether a command may wait for EXEC. What waits was judged when it came, so that the rights must be the same until then, and the
/// keyspace too where they are not to all.
pub(super) fn may_wait(asked: &Command, session: &Session) -> Result<(), &'static str> {
    match asked {
        Command::Auth(_) | Command::Hello(Hello { auth: Some(_), .. }) => {
            Err("ERR AUTH inside MULTI is not allowed")
        }
        Command::Select { .. }
            if session.rights.access.as_ref().is_some_and(|access| access.is_of_some()) =>
        {
            Err("NOPERM this user has no permissions to run the 'select' command inside MULTI")
        }
        _ => Ok(()),
    }
}

/// Gives the connection the rights of a token; whether there is such a one.
fn enter(shown: &Credentials, service: &Service, session: &mut Session) -> bool {
    let name = shown.user.as_deref().filter(|name| *name != DEFAULT_NAME.as_bytes());
    let Some(access) = service.door.show(name, &shown.password) else { return false };
    if session.rights.access.as_ref().is_some_and(|before| *before != access) {
        // What the connection was let hear as somebody else is not this one's to hear.
        session.hear_no_more();
    }
    session.rights.become_those_of(Some(Arc::clone(&access)));
    enter_own(&access, session);
    // Others are to see it from now on: who is told something for them, above all.
    session.connected.note(session);
    true
}

/// No token is the one that was shown.
const WRONG: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// Answers `AUTH`.
pub(super) fn auth(shown: &Credentials, service: &Service, session: &mut Session, out: &mut BytesMut) {
    if service.door.open().is_some() && shown.user.is_none() {
        return reply::error(
            out,
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
        );
    }
    match is_let_in(shown, service, session) {
        true => reply::ok(out),
        false => reply::error(out, WRONG),
    }
}

/// Whether who shows this comes in: by a token, or where none is asked for as everybody, whatever the password.
fn is_let_in(shown: &Credentials, service: &Service, session: &mut Session) -> bool {
    match service.door.open() {
        Some(_) => shown.user.as_ref().is_some_and(|name| name == DEFAULT_NAME),
        None => enter(shown, service, session),
    }
}

/// Judges what `HELLO` says of who the client is; why it goes no further where it does not.
pub(super) fn hello(
    shown: Option<&Credentials>,
    service: &Service,
    session: &mut Session,
) -> Result<(), String> {
    match shown {
        Some(shown) => is_let_in(shown, service, session).then_some(()).ok_or_else(|| WRONG.to_owned()),
        None if session.rights.is_unknown() => Err(Denied::UnknownHello.to_string()),
        None => Ok(()),
    }
}

/// Gives the connection what its token allows by the present table. What waits for EXEC was judged by the one before, and is not carried
/// out. A connection ends that heard something by those rights, that is nobody now, or whose keyspace is no longer its own.
pub(super) fn judge_again(session: &mut Session) {
    session.is_as_noted = false;
    let before = session.rights.access.clone();
    let now = session.rights.watch.again(before.as_deref());
    if now == before {
        return;
    }
    let is_own = |own: &str| session.keyspace.as_ref().is_some_and(|keyspace| keyspace.name() == own);
    let stays = now.as_ref().is_some_and(|now| now.keyspace().is_none_or(is_own));
    session.rights.become_those_of(now);
    session.queue.iter_mut().for_each(Queue::spoil);
    if session.hear_no_more() || before.is_some() && !stays {
        session.closing = true;
    }
}

/// Keeps the connection within its rights where other keyspaces are in service than before: in the keyspace of its token, whatever number
/// that has now; and out of channels, where there is a keyspace now that it may not read.
pub(super) fn follow(session: &mut Session) {
    let Some(access) = session.rights.access.clone().filter(|_| !session.rights.everything) else { return };
    enter_own(&access, session);
    let served = session.served.now();
    let may_hear = served.all().all(|(_, keyspace)| access.allows_keyspace(keyspace.name(), Right::Read));
    if !may_hear && session.subscriptions.len() > 0 {
        session.hear_no_more();
        session.closing = true;
    }
}

/// Picks the keyspace that a token is for, if it is for one.
fn enter_own(access: &Access, session: &mut Session) {
    let Some(own) = access.keyspace() else { return };
    let db = session.served.now().all().find(|(_, known)| known.name() == own).map(|(db, _)| db);
    if db.is_none_or(|db| !session.select(db)) {
        session.keyspace = None;
    }
}

/// Wakes a connection that waits for its client whenever rights may have changed: who only listens asks nothing.
pub(super) async fn wake(mut changes: Watch, to: Sender) -> Infallible {
    loop {
        changes.changed().await;
        to.send(Message::Rights);
    }
}

//! What a command may ask before it is carried out: the sizes of its keys and values, what Workers KV would refuse where a namespace keeps
//! to that, quotas, and logs of operations.
//!
//! Each key that a command names counts once, as a write where the command may change it, else as a read. A command within a transaction
//! counts when it is queued. What goes over many keys without naming them, and invalidations, count as nothing.

use std::time::Duration;

use forebay::Keyspace;
use forebay_wire::resp::{
    Access, Command, CommandSpec, Data, Expiry, KeyCommand, KeyUse, Moment, Request, StringCommand, reply,
};
use smallvec::SmallVec;

use super::refuse;
use super::replies::Replies;
use super::session::Session;
use super::transaction::Queue;
use crate::limits::workers_kv::Life;
use crate::limits::{self, Asked, KEY_BYTES_MAX, Operation, Outcome, Refused, Use, VALUE_BYTES_MAX};

/// The operations that a command is, one for each namespace that has to be told of it.
#[derive(Debug, Default)]
pub(super) struct Operations {
    begun: SmallVec<[Operation; 1]>,
    /// Where its reply begins.
    at: usize,
}

/// `command` begins, if there is one; `None` where it may not. It is refused then, and a transaction that it would be part of is
/// discarded at its EXEC.
pub(super) fn begin(
    command: Option<&Command>,
    spec: &'static CommandSpec,
    request: &Request,
    session: &mut Session,
    replies: &mut Replies<'_>,
) -> Option<Operations> {
    let Some(command) = command else { return Some(Operations::default()) };
    match Operations::begin(command, spec, request, session, replies) {
        Ok(operations) => Some(operations),
        Err(refused) => {
            session.queue.iter_mut().for_each(Queue::spoil);
            reply::error(&mut replies.out, &format!("{} {refused}", refuse::code_of_refused(&refused)));
            None
        }
    }
}

impl Operations {
    /// `command` begins, whose answer follows what is in `replies`.
    ///
    /// # Errors
    /// [`Refused`] where a key or value is too long, or any of its namespaces does not take it; nothing is used of the others' quotas then.
    fn begin(
        command: &Command,
        spec: &'static CommandSpec,
        request: &Request,
        session: &Session,
        replies: &Replies<'_>,
    ) -> Result<Self, Refused> {
        let at = replies.out.len();
        let (Some(keyspace), Some(what)) = (&session.keyspace, counted(command, spec)) else {
            return Ok(Self::default());
        };
        judge_sizes(spec, what, request, keyspace)?;
        let limits = &session.served.now().limits;
        if !limits.is_any(keyspace.name()) {
            return Ok(Self::default());
        }
        let mut parts: SmallVec<[(&str, Asked<'_>); 1]> = SmallVec::new();
        for key in spec.key_indexes(request).filter_map(|at| request.get(at)) {
            // It is one of no pattern: a program that writes it did not mean the default store.
            if key.is_empty()
                && let Some(strict) = limits.of_workers_kv(keyspace.name())
            {
                return Err(strict.no_key());
            }
            let Some(namespace) = keyspace.find(key) else { continue };
            let put = SmallVec::from_iter(is_put(command, what, key).then_some(key));
            match parts.iter_mut().find(|(name, _)| *name == namespace.name()) {
                Some((_, asked)) => {
                    asked.keys.push(key);
                    asked.put.extend(put);
                }
                None => {
                    let keys = SmallVec::from_slice(&[key]);
                    let (life, is_of_parts) = (life(command), is_of_parts(command));
                    let asked = Asked { verb: spec.name, what, keys, put, life, is_of_parts };
                    parts.push((namespace.name(), asked));
                }
            }
        }
        let mut begun = SmallVec::new();
        for (name, asked) in parts {
            match limits.begin((keyspace.name(), name), &asked) {
                Ok(operation) => begun.extend(operation),
                Err(refused) => {
                    begun.into_iter().for_each(Operation::undone);
                    return Err(refused);
                }
            }
        }
        Ok(Self { begun, at })
    }

    /// It was answered, or waits for EXEC.
    pub(super) fn ended(self, replies: &Replies<'_>, is_queued: bool) {
        let is_error = replies.out.get(self.at) == Some(&b'-');
        let outcome = match (is_queued, is_error) {
            (true, _) => Outcome::Queued,
            (false, true) => Outcome::Error,
            (false, false) => Outcome::Ok,
        };
        self.begun.into_iter().for_each(|operation| operation.ended(outcome));
    }
}

/// Whether what may be a key or a value is short enough. Keys of no declared namespace are a Redis program's own, and may be longer.
fn judge_sizes(spec: &CommandSpec, what: Use, request: &Request, keyspace: &Keyspace) -> Result<(), Refused> {
    let mut keys = spec.key_indexes(request).filter_map(|at| request.get(at));
    let is_long = |key: &&[u8]| {
        key.len() > KEY_BYTES_MAX && keyspace.find(key).is_some_and(|found| limits::is_long(found, key))
    };
    if let Some(key) = keys.find(is_long) {
        return Err(Refused::LongKey { length: key.len() });
    }
    let longest = || (1..request.len()).filter_map(|at| request.get(at)).map(<[u8]>::len).max();
    match longest().filter(|length| what == Use::Write && *length > VALUE_BYTES_MAX) {
        Some(length) => Err(Refused::LongValue { length }),
        None => Ok(()),
    }
}

/// As what a command's keys count.
fn counted(command: &Command, spec: &CommandSpec) -> Option<Use> {
    match (command, spec.keys.usage) {
        (Command::Data(_), KeyUse::Inspect | KeyUse::Read) => Some(Use::Read),
        (Command::Data(_), KeyUse::Write | KeyUse::Mark | KeyUse::Remove) => Some(Use::Write),
        // The source's own answer.
        (Command::Freshness(_), _) if spec.access == Access::Read => Some(Use::Read),
        _ => None,
    }
}

/// Whether a command that counts as `what` gives `key` a value, or its value another end. Who deletes does neither.
fn is_put(command: &Command, what: Use, key: &[u8]) -> bool {
    let Command::Data(data) = command else { return false };
    match data {
        Data::Key(KeyCommand::Del { .. } | KeyCommand::Unlink { .. })
        | Data::String(
            StringCommand::GetDel { .. } | StringCommand::GetEx { expiry: Ok(Expiry::Unsaid), .. },
        ) => false,
        Data::Key(
            KeyCommand::Rename { to, .. } | KeyCommand::RenameNx { to, .. } | KeyCommand::Copy { to, .. },
        ) => to == key,
        _ => what == Use::Write,
    }
}

/// When a command says that what it writes ends.
fn life(command: &Command) -> Option<Life> {
    let Command::Data(data) = command else { return None };
    let expiry = match data {
        Data::String(StringCommand::Set(set)) => set.expiry,
        Data::String(StringCommand::GetEx { expiry: Ok(expiry), .. }) => *expiry,
        Data::Key(KeyCommand::Expire(asked)) => {
            let ms = |ms: i64| u64::try_from(ms).unwrap_or_default();
            return Some(match asked.at {
                Moment::In(span_ms) => Life::For(Duration::from_millis(ms(span_ms))),
                Moment::At(unix_ms) => Life::Until(ms(unix_ms)),
            });
        }
        _ => return None,
    };
    match expiry {
        Expiry::In { ttl_ms } => Some(Life::For(Duration::from_millis(ttl_ms))),
        Expiry::At { unix_ms } => Some(Life::Until(unix_ms)),
        Expiry::Unsaid | Expiry::Keep | Expiry::Never => None,
    }
}

/// Whether a command is one on fields or members.
fn is_of_parts(command: &Command) -> bool {
    matches!(command, Command::Data(Data::Hash(_) | Data::SortedSet(_)))
}

//! Commands on namespaces that have a quota or a log of their operations.
//!
//! Each key that a command names counts once, as a write where the command may change it, else as a read. A command within a transaction
//! counts when it is queued. What goes over many keys without naming them, and invalidations, count as nothing.

use forebay_wire::resp::{Access, Command, CommandSpec, KeyUse, Request, reply};
use smallvec::SmallVec;

use super::replies::Replies;
use super::session::Session;
use super::transaction::Queue;
use crate::limits::{Operation, Spent, Use};

/// The operations that a command is, one for each namespace that has a quota or a log.
#[derive(Debug, Default)]
pub(super) struct Operations {
    begun: SmallVec<[Operation; 1]>,
    /// Where its reply begins.
    at: usize,
}

/// `command` begins, if there is one; `None` where its quota is spent. It is refused then, and a transaction that it would be part of is
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
        Err(spent) => {
            session.queue.iter_mut().for_each(Queue::spoil);
            reply::error(&mut replies.out, &format!("FBQUOTA {spent}"));
            None
        }
    }
}

impl Operations {
    /// `command` begins, whose answer follows what is in `replies`.
    ///
    /// # Errors
    /// [`Spent`] where the quota of any of its namespaces does not hold its keys; nothing is used of the others then.
    fn begin(
        command: &Command,
        spec: &'static CommandSpec,
        request: &Request,
        session: &Session,
        replies: &Replies<'_>,
    ) -> Result<Self, Spent> {
        let at = replies.out.len();
        let limits = &session.served.now().limits;
        let keyspace = session.keyspace.as_ref().filter(|keyspace| limits.is_any(keyspace.name()));
        let (Some(keyspace), Some(asked)) = (keyspace, counted(command, spec)) else {
            return Ok(Self::default());
        };
        let mut counts: SmallVec<[(&str, &[u8], usize); 1]> = SmallVec::new();
        for key in spec.key_indexes(request).filter_map(|at| request.get(at)) {
            let Some(namespace) = keyspace.find(key) else { continue };
            match counts.iter_mut().find(|(name, ..)| *name == namespace.name()) {
                Some((.., count)) => *count += 1,
                None => counts.push((namespace.name(), key, 1)),
            }
        }
        let mut begun = SmallVec::new();
        for (name, first, count) in counts {
            match limits.begin((keyspace.name(), name), spec.name, asked, (first, count)) {
                Ok(operation) => begun.extend(operation),
                Err(spent) => {
                    begun.into_iter().for_each(|other: Operation| other.undone(asked));
                    return Err(spent);
                }
            }
        }
        Ok(Self { begun, at })
    }

    /// It was answered, or waits for EXEC.
    pub(super) fn ended(self, replies: &Replies<'_>, is_queued: bool) {
        let is_error = replies.out.get(self.at) == Some(&b'-');
        let outcome = match (is_queued, is_error) {
            (true, _) => "queued",
            (false, true) => "error",
            (false, false) => "ok",
        };
        self.begun.into_iter().for_each(|operation| operation.ended(outcome));
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

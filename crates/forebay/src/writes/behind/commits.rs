//! What waits for the journal: entries go in the order in which they came, as many as there are in one commit, one commit at a
//! time. So a sync is shared by all who wrote while the one before it was under way.
//!
//! Entries that somebody waits for begin a commit. Settlements do not: they go with the next one, unless there are many of them
//! or something is held up by them. Where the journal has no room for what was to be appended, one commit without appends
//! comes next, however many want to: what was settled makes room.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::super::journal::{JournalEntry, JournalError};
use super::super::sink::OperationId;
use super::job::Job;
use crate::rt::Tick;

/// The most entries of one commit.
const COMMIT_MAX: usize = 1_024;
/// So many settlements begin a commit by themselves.
const SETTLED_MAX: usize = 1_024;

/// How a commit ended, for one who waits for an entry of it.
pub(crate) type Told = Result<(), JournalError>;

/// The entries that wait; bounded by who adds them.
#[derive(Debug, Default)]
pub(super) struct Commits {
    waiting: VecDeque<Waiting>,
    /// How many of them somebody waits for.
    waited_for: usize,
    /// Settlements go now, too.
    hurries: bool,
    /// The number of the newest entry.
    newest: u64,
    /// Whatever became of the entries up to here, it is known.
    done: u64,
    /// How many appends have not ended.
    appending: usize,
    /// Who waits until everything up to a number is done.
    barriers: Vec<(u64, oneshot::Sender<Told>)>,
    is_running: bool,
    /// The journal takes nothing any more.
    is_poisoned: bool,
    /// When to ask a journal again that failed.
    retry_at: Option<Tick>,
    /// The journal had no room for what was to be appended.
    is_full: bool,
}

/// An entry that waits, and what follows from it.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) number: u64,
    pub(crate) entry: JournalEntry,
    pub(crate) then: Then,
}

impl Waiting {
    pub(super) fn appends(&self) -> bool {
        matches!(self.entry, JournalEntry::Append(_))
    }

    /// The key that its write is laid over, if it is one.
    pub(crate) fn lays(&self) -> Option<Arc<[u8]>> {
        match &self.then {
            Then::Lay { key, .. } => Some(Arc::clone(key)),
            Then::Nothing | Then::Tell(_) => None,
        }
    }

    /// Whether somebody waits for it.
    fn is_waited_for(&self) -> bool {
        !matches!(self.then, Then::Nothing)
    }
}

/// What follows once an entry is durable.
#[derive(Debug)]
pub(crate) enum Then {
    Nothing,
    /// Its writer is told, after its write is laid over its key.
    Lay {
        key: Arc<[u8]>,
        job: Box<Job>,
        tell: oneshot::Sender<Told>,
    },
    /// Somebody is told.
    Tell(oneshot::Sender<Told>),
}

impl Commits {
    /// Adds an entry; its number.
    pub(super) fn add(&mut self, entry: JournalEntry, then: Then) -> u64 {
        self.newest += 1;
        self.appending += usize::from(matches!(then, Then::Lay { .. }));
        if !matches!(then, Then::Nothing) {
            self.waited_for += 1;
        } else if self.is_poisoned {
            return self.newest;
        }
        self.waiting.push_back(Waiting { number: self.newest, entry, then });
        self.newest
    }

    /// Adds a settlement; its number.
    pub(super) fn settle(&mut self, id: OperationId) -> u64 {
        self.add(JournalEntry::Settle(id), Then::Nothing)
    }

    /// Lets whatever waits go now.
    pub(super) fn hurry(&mut self) {
        self.hurries = true;
    }

    /// How many entries wait that nobody waits for.
    pub(super) fn settling(&self) -> usize {
        self.waiting.len().saturating_sub(self.waited_for)
    }

    /// How many appends have not ended.
    pub(super) fn appending(&self) -> usize {
        self.appending
    }

    /// Waits until it is known what became of every entry so far; `None` where it is.
    pub(super) fn barrier(&mut self) -> Option<oneshot::Receiver<Told>> {
        if self.done >= self.newest || self.is_poisoned {
            return None;
        }
        let (tell, told) = oneshot::channel();
        self.barriers.retain(|(_, tell)| !tell.is_closed());
        self.barriers.push((self.newest, tell));
        Some(told)
    }

    /// It is known what became of the entries up to `number`, or they are appends that a full journal has let wait.
    fn done(&mut self, number: u64) {
        self.done = self.done.max(number);
        for (_, tell) in self.barriers.extract_if(.., |(until, _)| *until <= number) {
            drop(tell.send(Ok(())));
        }
    }

    /// An append has ended, whatever became of it.
    pub(super) fn append_ended(&mut self) {
        self.appending -= 1;
    }

    /// Whether a commit is to begin now, which nobody else has begun: whoever is told so calls [`take`](Self::take) until that gives
    /// nothing.
    pub(super) fn begin(&mut self) -> bool {
        let begins = !self.is_running && self.is_due();
        self.is_running |= begins;
        begins
    }

    fn is_due(&self) -> bool {
        let settles = self.hurries || self.settling() >= SETTLED_MAX;
        self.waited_for > 0 || (settles && self.retry_at.is_none() && !self.waiting.is_empty())
    }

    /// The entries of the next commit; none when it is not time for another.
    pub(super) fn take(&mut self) -> Vec<Waiting> {
        if !self.is_due() {
            self.is_running = false;
            return Vec::new();
        }
        if std::mem::take(&mut self.is_full) && !self.waiting.iter().all(Waiting::appends) {
            let (appends, others) = self.waiting.drain(..).partition::<VecDeque<_>, _>(Waiting::appends);
            let rest = others.len().saturating_sub(COMMIT_MAX);
            self.waiting = others;
            let taken = self.waiting.drain(..self.waiting.len() - rest).collect();
            self.waiting.extend(appends);
            return self.taken(taken);
        }
        let many = self.waiting.len().min(COMMIT_MAX);
        let taken = self.waiting.drain(..many).collect();
        self.taken(taken)
    }

    fn taken(&mut self, taken: Vec<Waiting>) -> Vec<Waiting> {
        self.waited_for -= taken.iter().filter(|one| one.is_waited_for()).count();
        if self.waiting.is_empty() {
            self.hurries = false;
        }
        taken
    }

    /// The commit of the entries up to `number` succeeded: the journal works.
    pub(super) fn succeeded(&mut self, number: u64) {
        self.retry_at = None;
        self.done(number);
    }

    /// The commit of the entries up to `number` was not carried out. Those of which nobody was told wait on, before all that came
    /// after them; `retry_at` is when to ask again, at once where the journal had only no room for what was to be appended.
    pub(super) fn put_back(&mut self, number: u64, undone: Vec<Waiting>, retry_at: Option<Tick>) {
        self.retry_at = retry_at;
        self.is_full = retry_at.is_none();
        if undone.is_empty() {
            return self.done(number);
        }
        self.hurries = true;
        self.waited_for += undone.iter().filter(|one| one.is_waited_for()).count();
        for one in undone.into_iter().rev() {
            self.waiting.push_front(one);
        }
    }

    /// The journal takes nothing any more: what nobody waits for is forgotten.
    pub(super) fn poison(&mut self) {
        self.is_poisoned = true;
        self.waiting.retain(|one| !matches!(one.then, Then::Nothing));
        for (_, tell) in self.barriers.drain(..) {
            drop(tell.send(Err(JournalError::Poisoned)));
        }
    }

    /// When to ask a journal again that failed; past that it is asked at the next [`begin`](Self::begin).
    pub(super) fn retry_at(&mut self, now: Tick) -> Option<Tick> {
        self.retry_at = self.retry_at.filter(|at| *at > now);
        self.retry_at
    }
}

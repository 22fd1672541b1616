//! The story of a write that goes behind.
//!
//! 1. The sink is asked whether it takes such a write, since later nobody is there to be told.
//! 2. It is journaled. When the journal has it, it is laid over its key, and its writer is told ([`Core::write_behind`]).
//! 3. Readers of this instance see it from then on, whatever memory, the shared tier and the source have (`read.rs`).
//! 4. It goes to the sink, with others, after the earlier ones of its key ([`Core::apply`]).
//! 5. The sink has applied it: copies follow, fenced, as those of a write that goes through (`through.rs`). Only after that ends
//!    what was laid over the key: a load that began before the sink's answer is closed by then and stores nothing, and one
//!    that begins later reads what the sink has applied. Then the journal is told.
//! 6. The sink failed: it is tried again later, by the same id, or is a dead letter, which stays laid over its key.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::asking::Asking;
use super::core::Core;
use super::outcome::freshness_of;
use crate::error::{Cause, Error};
use crate::namespace::Life;
use crate::observe::{BehindEnd, Freshness, Tier, WriteOutcome};
use crate::rt::planted::{Bug, planted};
use crate::rt::{Tick, let_go};
use crate::tier::memory::{Held, Seen};
use crate::tier::shared::EnvelopeValue;
use crate::value::{Value, length};
use crate::writes::{
    Behind, Call, Change, Job, JournalError, Kept, KeptDead, Laid, Next, Operation, OperationId, Parked,
    Recovered, Since, SinkError, SinkWrite, Turned, weight_bytes,
};

/// The most turns that a commit leaves to those who may have something to add.
const TURNS_MAX: u32 = 8;

impl Core {
    /// What a pending write has laid over `key`, as memory would hold it. Its TTL counts from the write; past it, it is served all the
    /// same, since the source has nothing newer.
    #[inline]
    pub(super) fn laid_over(&self, key: &[u8], now: Tick) -> Option<Held> {
        let behind = self.behind.as_ref()?;
        let Laid { value, written, ttl, .. } = behind.overlay.look(key)?;
        let began = now.before(written.age(now));
        let Life { fresh_until, useless_from } = match &value {
            Some(_) => self.policy.written(began, ttl),
            None => self.policy.loaded(began, true, None, None),
        };
        let position = self.groups.newest();
        Some(Held { value, began, fresh_until, useless_from, position, expired: false, extras: None })
    }

    /// Answers a reader with what is laid over a key, and counts the read.
    pub(super) fn answer_laid<A>(
        &self,
        laid: &Held,
        answer: impl FnOnce(&Seen<'_>, Freshness) -> Option<A>,
    ) -> Option<A> {
        let Held { value, began, fresh_until, useless_from, position, expired, extras } = laid;
        let (began, fresh_until, useless_from) = (*began, *fresh_until, *useless_from);
        let (position, expired, extras) = (*position, *expired, extras.clone());
        let seen = Seen { value, began, fresh_until, useless_from, position, expired, extras };
        let freshness = freshness_of(laid);
        let answer = answer(&seen, freshness)?;
        self.counters.read_from(Tier::Memory, freshness, || Duration::ZERO);
        Some(answer)
    }

    /// Journals a write of the whole `value`, or of the end of `key`, for the sink to apply later.
    pub(super) async fn write_behind(
        self: &Arc<Self>,
        key: &[u8],
        value: Option<Value>,
        ttl: Option<Duration>,
    ) -> Result<(), Error> {
        let journaled = self.journal(key, value, ttl).await;
        self.counters.wrote(match &journaled {
            Ok(()) => WriteOutcome::Journaled,
            Err(error) => error.into(),
        });
        journaled
    }

    async fn journal(
        self: &Arc<Self>,
        key: &[u8],
        value: Option<Value>,
        ttl: Option<Duration>,
    ) -> Result<(), Error> {
        let Some(behind) = &self.behind else {
            return Err(Error::WritesRefused { namespace: Arc::clone(&self.name) });
        };
        let params = self.key_of(key).ok_or_else(|| self.not_canonical())?;
        let change = value.clone().map_or(Change::Delete, Change::Put);
        self.taken_by_sink(&params, &change)?;
        drop(change);
        let encoded = match &value {
            Some(value) => Some(self.envelope_of(value).ok_or_else(|| self.unwritable())?),
            None => None,
        };
        let id = OperationId::next();
        let operation = Operation { id, key: self.pattern.whole(key).into(), value: encoded, ttl };
        let weight_bytes = pending_bytes(&operation, value.as_ref());
        let since = Since::ago(self.clock.now(), Duration::ZERO);
        let told = behind.append(key, operation, Job::new(id, value, ttl, weight_bytes, since));
        let told = told.map_err(|turned| self.turned(turned, weight_bytes));
        self.commit();
        let told = told?;
        match self.clock.timeout(self.policy.load_timeout, told).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(self.not_journaled(error)),
            Ok(Err(_)) | Err(_) => Err(self.journal_silent()),
        }
    }

    /// Begins a commit, where one is due and none is under way.
    pub(super) fn commit(self: &Arc<Self>) {
        let Some(behind) = &self.behind else { return };
        if !behind.begin_commit() {
            return;
        }
        let core = Arc::clone(self);
        self.tasks.start(async move { core.commit_all().await });
    }

    /// Commits as long as something waits for the journal.
    ///
    /// Writers who were told of one commit mostly write again at once, and share the next if it waits for as long as more of them
    /// come. Otherwise those who wrote while it was synced would go alone, and each sync would serve half of all. One who was
    /// alone is not waited for.
    async fn commit_all(&self) {
        let Some(behind) = &self.behind else { return };
        loop {
            let batch = behind.take_commit();
            if batch.is_empty() {
                return;
            }
            let turns = if batch.len() == 1 { 0 } else { TURNS_MAX };
            let heard = self.common.changes.are_heard();
            let written = batch.iter().filter(|_| heard);
            let changed: Vec<Arc<[u8]>> = written.filter_map(|waiting| waiting.lays()).collect();
            let overtaken = behind.commit(batch, || self.clock.now()).await;
            changed.iter().for_each(|key| self.tell_changed(key, 0));
            self.counters.behind(BehindEnd::Overtaken, overtaken);
            let mut came = 0;
            for _ in 0..turns {
                let_go().await;
                if behind.appending() <= came {
                    break;
                }
                came = behind.appending();
            }
        }
    }

    /// Asks the sink for whatever may go to it now. When there may be more to do, if that can be told.
    fn work_behind(self: &Arc<Self>) -> Option<Tick> {
        let behind = self.behind.as_ref()?;
        loop {
            let (next, commits) = behind.next(self.clock.now());
            if commits {
                let core = Arc::clone(self);
                self.tasks.spawn(async move { core.commit_all().await });
            }
            match next {
                Next::Ask(call) => {
                    let core = Arc::clone(self);
                    self.tasks.spawn(async move { core.apply(call).await });
                }
                Next::Wait(until) => return Some(until),
                Next::Rest => return None,
            }
        }
    }

    /// Has the sink apply a call's writes; what is held follows each that it has applied, and then what was laid over its key ends.
    async fn apply(&self, call: Call) {
        let Some(behind) = &self.behind else { return };
        let call = Arc::new(call);
        let mut asking = Asking::new(self, behind, Arc::clone(&call));
        let mut asked = Vec::with_capacity(call.writes.len());
        let mut writes = Vec::with_capacity(call.writes.len());
        for (place, (key, job)) in call.writes.iter().enumerate() {
            if planted(Bug::OverlayEndedEarly) {
                behind.overlay.end(key, job.id);
            }
            let Some(params) = self.key_of(key) else {
                asking.failed(place, &SinkError::refused(self.not_canonical()));
                continue;
            };
            let change = job.value.clone().map_or(Change::Delete, Change::Put);
            asked.push((place, self.before(key, &change, job.ttl_left(self.clock.now()))));
            writes.push(SinkWrite { id: job.id, key: params, change });
        }
        let outcomes = self.ask_sink(&writes).await;
        asking.answered(&outcomes);
        let mut untold = Vec::new();
        for (((place, before), write), outcome) in asked.into_iter().zip(writes).zip(outcomes) {
            let Some((key, _)) = call.writes.get(place) else { continue };
            match outcome {
                Ok(told) => {
                    if self.is_followed(key, write.change, told, before) {
                        asking.applied(place);
                    } else {
                        untold.push((place, &**key));
                    }
                }
                Err(error) => {
                    drop(before);
                    asking.failed(place, &error);
                }
            }
        }
        let (places, keys): (Vec<usize>, Vec<&[u8]>) = untold.into_iter().unzip();
        if !keys.is_empty() {
            // A shared tier that could not be told is not asked before it was.
            let _ = self.make_gone(&keys).await;
        }
        places.into_iter().for_each(|place| asking.applied(place));
    }

    /// Claims the journal, and lays what it holds over its keys, before anybody reads.
    ///
    /// # Errors
    /// [`Error::Build`] where somebody else has it, it cannot be read, or it holds a write that is none of the namespace's.
    pub(super) fn claim(&self, behind: &Behind) -> Result<(), Error> {
        let fail = |problem: String| Error::Build { namespace: Arc::clone(&self.name), problem };
        let recovered = behind.claim(&self.owner).map_err(|error| fail(error.to_string()))?;
        self.recover(behind, recovered).map_err(fail)
    }

    fn recover(&self, behind: &Behind, recovered: Recovered) -> Result<(), String> {
        let now = self.clock.now();
        for KeptDead { operation, age, reason, attempts } in recovered.dead {
            let since = Since::ago(now, age);
            let (key, job) = self.job_of(&operation, since)?;
            behind.recover_dead(Parked { key: key.into(), job, reason, attempts, since });
        }
        for Kept { operation, age } in recovered.pending {
            let (key, job) = self.job_of(&operation, Since::ago(now, age))?;
            behind.recover(&key, job, now);
        }
        Ok(())
    }

    /// A write of the journal, and its key without the literal that all of them begin with.
    fn job_of(&self, operation: &Operation, since: Since) -> Result<(Vec<u8>, Job), String> {
        let unreadable = || {
            format!(
                "its journal holds a write of the key \"{}\" that this declaration cannot read: start the one that wrote it once more \
                 and let it apply what is pending",
                String::from_utf8_lossy(&operation.key)
            )
        };
        let key = self.pattern.tail(&operation.key).filter(|key| self.key_of(key).is_some());
        let key = key.ok_or_else(unreadable)?;
        let value = match &operation.value {
            Some(value) => Some(self.value_of(value).ok_or_else(unreadable)?),
            None => None,
        };
        let weight_bytes = pending_bytes(operation, value.as_ref());
        Ok((key.to_vec(), Job::new(operation.id, value, operation.ttl, weight_bytes, since)))
    }

    fn turned(&self, turned: Turned, weight_bytes: u64) -> Error {
        let namespace = Arc::clone(&self.name);
        match turned {
            Turned::Full => Error::QueueFull { namespace, retry_after: self.policy.load_timeout },
            Turned::Parked(id) => Error::Parked { namespace, dead_letter: id.to_string().into() },
            Turned::TooLarge { limit_bytes } => Error::TooLarge { namespace, weight_bytes, limit_bytes },
        }
    }

    /// What whoever waited for the journal is told, when it has not answered in time.
    pub(super) fn journal_silent(&self) -> Error {
        Error::JournalUnconfirmed { namespace: Arc::clone(&self.name), cause: None }
    }

    pub(super) fn not_journaled(&self, error: JournalError) -> Error {
        let (namespace, retry) = (Arc::clone(&self.name), error.may_retry());
        match error {
            JournalError::Full { .. } => {
                Error::QueueFull { namespace, retry_after: self.policy.load_timeout }
            }
            JournalError::Unconfirmed { cause } => {
                Error::JournalUnconfirmed { namespace, cause: Some(cause) }
            }
            JournalError::Failed { cause } => Error::JournalFailed { namespace, cause, retry },
            error => Error::JournalFailed { namespace, cause: Arc::new(error) as Cause, retry },
        }
    }

    fn unwritable(&self) -> Error {
        let problem = "its value cannot be written by the namespace's codec, and so not be journaled";
        Error::Key { namespace: Arc::clone(&self.name), problem: problem.into() }
    }
}

/// What a write weighs while it waits: the larger of its value and what a journal is given of it counts, as often they share their
/// bytes.
fn pending_bytes(operation: &Operation, value: Option<&Value>) -> u64 {
    let encoded = operation.value.as_ref().map_or(0, EnvelopeValue::len);
    weight_bytes(&operation.key, length(encoded).max(value.map_or(0, Value::weight_bytes)))
}

/// Applies what is pending in the background, as long as the namespace lives.
pub(super) fn keep_applied(core: &Arc<Core>, behind: &Behind) {
    if cfg!(feature = "model") {
        return;
    }
    let (clock, stirred) = (core.clock.clone(), behind.stirred());
    let namespace = Arc::downgrade(core);
    core.common.upkeep.spawn(async move {
        loop {
            let Some(core) = Weak::upgrade(&namespace) else { return };
            let next = core.work_behind();
            drop(core);
            match next {
                Some(until) => {
                    let _ = clock.timeout(until.since(clock.now()), stirred.notified()).await;
                }
                None => stirred.notified().await,
            }
        }
    });
}

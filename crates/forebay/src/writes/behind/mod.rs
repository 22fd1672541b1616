//! Writes that go behind: journaled, acknowledged, laid over the base, applied later.
//!
//! It guarantees that a write is acknowledged only when it is durable and every reader of this instance sees it; that the writes of
//! one key go to the sink one after the other, in the order in which they became durable; that a write leaves the journal only when
//! it is applied, overtaken by a later one of its key, or dropped by somebody; and that what waits is bounded. When the sink
//! is asked and what becomes of copies is told by the engine (`engine/behind.rs`).

mod commits;
mod dead;
mod job;
mod lines;
mod options;
mod overlay;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

pub(crate) use commits::{Told, Waiting};
pub(crate) use dead::Parked;
pub(crate) use job::{Job, Since};
pub(crate) use lines::{Call, Failed, Next, Turned, weight_bytes};
pub use options::BehindOptions;
pub(crate) use overlay::{Laid, Overlay};

use super::journal::{Journal, JournalEntry, JournalError, Operation, Recovered};
use super::sink::{Effect, OperationId};
use crate::rt::planted::{Bug, planted};
use crate::rt::{Mutex, Tick};
use crate::tier::shared::Owner;
use commits::{Commits, Then};
use lines::Lines;

/// How long a journal that failed is left alone before it is asked again, unless somebody writes.
const JOURNAL_RETRY: Duration = Duration::from_secs(1);

/// What a namespace has that writes behind.
pub(crate) struct Behind {
    journal: Arc<dyn Journal>,
    pub(crate) overlay: Overlay,
    state: Mutex<State>,
    /// Told whenever there may be something to do at the sink.
    stirred: Arc<Notify>,
    /// Told whenever less waits than before.
    drained: Notify,
}

/// Entries that wait for the journal, and writes that wait for the sink.
struct State {
    commits: Commits,
    lines: Lines,
}

/// What waits behind a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PendingWrites {
    /// Writes that are to be applied.
    pub writes: usize,
    /// What they and the dead letters weigh in memory, in bytes: keys, values, and what goes with them.
    pub bytes: u64,
    /// How long ago the oldest of them was acknowledged.
    pub oldest: Duration,
    /// Writes that are parked.
    pub dead_letters: usize,
    /// Writes that wait until the journal has durably forgotten an earlier one of their key. Where the journal works that is soon; after
    /// a failed sync of it they wait for a restart.
    pub held_up: usize,
}

impl Behind {
    pub(crate) fn new(journal: Arc<dyn Journal>, options: BehindOptions) -> Self {
        Self {
            journal,
            overlay: Overlay::default(),
            state: Mutex::new(State { commits: Commits::default(), lines: Lines::new(options) }),
            stirred: Arc::default(),
            drained: Notify::new(),
        }
    }

    /// Takes the journal into the possession of `owner`; what it holds.
    pub(crate) fn claim(&self, owner: &Owner) -> Result<Recovered, JournalError> {
        self.journal.claim(owner)
    }

    /// Told whenever [`next`](Self::next) may have an answer other than before.
    pub(crate) fn stirred(&self) -> Arc<Notify> {
        Arc::clone(&self.stirred)
    }

    /// Takes a write, to be durable soon; whoever asked is told. Somebody must then [commit](Self::begin_commit).
    pub(crate) fn append(
        &self,
        key: &[u8],
        operation: Operation,
        job: Job,
    ) -> Result<oneshot::Receiver<Told>, Turned> {
        let mut state = self.state.lock();
        let State { commits, lines } = &mut *state;
        if let Err(turned) = lines.admit(key, job.weight_bytes, commits.settling()) {
            // There may be room once what was settled has left the journal.
            commits.hurry();
            return Err(turned);
        }
        let (tell, told) = oneshot::channel();
        let then = Then::Lay { key: key.into(), job: Box::new(job), tell };
        commits.add(JournalEntry::Append(operation), then);
        Ok(told)
    }

    /// Adds an entry about a dead letter; whoever asked is told once it is durable.
    pub(crate) fn add(&self, entry: JournalEntry) -> oneshot::Receiver<Told> {
        let (tell, told) = oneshot::channel();
        self.state.lock().commits.add(entry, Then::Tell(tell));
        told
    }

    /// Whether a commit is to begin: then [`commit`](Self::commit) is to be called.
    pub(crate) fn begin_commit(&self) -> bool {
        self.state.lock().commits.begin()
    }

    /// How many writes wait for the journal, those of a commit under way included.
    pub(crate) fn appending(&self) -> usize {
        self.state.lock().commits.appending()
    }

    /// The entries of the next commit; none when there is no more to commit.
    pub(crate) fn take_commit(&self) -> Vec<Waiting> {
        self.state.lock().commits.take()
    }

    /// Asks the journal. Whoever waits is told, and writes that are durable are laid over their keys; how many earlier ones they
    /// overtook.
    pub(crate) async fn commit(&self, batch: Vec<Waiting>, now: impl Fn() -> Tick + Send) -> u64 {
        let entries: Vec<JournalEntry> = batch.iter().map(|one| one.entry.clone()).collect();
        if planted(Bug::AckBeforeDurable) {
            let overtaken = self.committed(batch, Ok(()), now());
            self.stirred.notify_one();
            drop(self.journal.commit(&entries).await);
            return overtaken;
        }
        let committed = crate::loader::catching_panic(async { self.journal.commit(&entries).await }).await;
        let committed =
            committed.unwrap_or_else(|| Err(JournalError::Unconfirmed { cause: Arc::new(JournalPanicked) }));
        let overtaken = self.committed(batch, committed, now());
        self.stirred.notify_one();
        overtaken
    }

    fn committed(&self, batch: Vec<Waiting>, committed: Told, now: Tick) -> u64 {
        let mut state = self.state.lock();
        let State { commits, lines } = &mut *state;
        // Appends that a full journal has let wait may come after entries that are younger.
        let Some(number) = batch.iter().map(|one| one.number).max() else { return 0 };
        let error = match committed {
            Ok(()) => {
                lines.durable(number);
                let laid = batch.into_iter().map(|one| self.carry_out(one.then, lines, commits, now)).sum();
                commits.succeeded(number);
                return laid;
            }
            Err(error) => error,
        };
        // Full is full for what is appended: the rest goes at once, without it.
        let is_full = matches!(error, JournalError::Full { .. }) && batch.iter().any(Waiting::appends);
        let mut undone = Vec::new();
        for one in batch {
            match one.then {
                Then::Nothing => undone.push(one),
                Then::Tell(_) if is_full => undone.push(one),
                Then::Tell(tell) => drop(tell.send(Err(error.clone()))),
                Then::Lay { job, tell, .. } => {
                    commits.append_ended();
                    lines.release(job.weight_bytes);
                    drop(tell.send(Err(error.clone())));
                }
            }
        }
        if error.is_final() {
            commits.poison();
        } else {
            commits.put_back(number, undone, (!is_full).then(|| now.after(JOURNAL_RETRY)));
        }
        0
    }

    /// What follows from an entry that is durable.
    fn carry_out(&self, then: Then, lines: &mut Lines, commits: &mut Commits, now: Tick) -> u64 {
        match then {
            Then::Nothing => 0,
            Then::Tell(tell) => {
                drop(tell.send(Ok(())));
                0
            }
            Then::Lay { key, job, tell } => {
                commits.append_ended();
                self.overlay.lay(&key, &job);
                let overtaken = lines.lay(&key, *job, now, commits);
                // A writer who has gone away is told nothing.
                drop(tell.send(Ok(())));
                overtaken
            }
        }
    }

    /// Lays a write over its key that the journal held when it was claimed.
    pub(crate) fn recover(&self, key: &[u8], job: Job, now: Tick) {
        let mut state = self.state.lock();
        let State { commits, lines } = &mut *state;
        lines.hold(job.weight_bytes);
        self.overlay.lay(key, &job);
        lines.lay(&key.into(), job.maybe_sent(), now, commits);
    }

    /// Lays a dead letter over its key that the journal held when it was claimed.
    pub(crate) fn recover_dead(&self, parked: Parked) {
        let lines = &mut self.state.lock().lines;
        lines.hold(parked.job.weight_bytes);
        self.overlay.lay(&parked.key, &parked.job);
        lines.lay_dead(parked);
    }

    /// What is to be done at the sink, and whether a commit is to begin.
    pub(crate) fn next(&self, now: Tick) -> (Next, bool) {
        let mut state = self.state.lock();
        let State { commits, lines } = &mut *state;
        if lines.is_empty() {
            // Nothing is coming that the settlements could go with.
            commits.hurry();
        }
        let next = lines.next(now, commits);
        let next = match (next, commits.retry_at(now)) {
            (Next::Rest, Some(at)) => Next::Wait(at),
            (Next::Wait(until), Some(at)) => Next::Wait(until.min(at)),
            (next, _) => next,
        };
        (next, commits.begin())
    }

    /// The sink has applied a write: what it laid over its key ends, which the copies must be ready for.
    pub(crate) fn applied(&self, key: &Arc<[u8]>, id: OperationId, now: Tick) {
        self.overlay.end(key, id);
        let mut state = self.state.lock();
        let State { commits, lines } = &mut *state;
        lines.applied(key, id, now, commits);
    }

    /// The sink has not confirmed a write.
    pub(crate) fn failed(
        &self,
        key: &Arc<[u8]>,
        effect: Effect,
        reason: Arc<str>,
        fails_alone: bool,
        now: Tick,
    ) -> Failed {
        let mut state = self.state.lock();
        let State { commits, lines } = &mut *state;
        lines.failed(key, effect, reason, fails_alone, now, commits)
    }

    /// A call at the sink is over; `answers` tells whether the sink has applied or refused any of it.
    pub(crate) fn call_over(&self, call: &Call, answers: bool, now: Tick) {
        self.state.lock().lines.call_over(call, answers, now);
        self.stirred.notify_one();
        self.drained.notify_waiters();
    }

    /// The dead letters, those that were parked first before the others.
    pub(crate) fn parked(&self, now: Tick) -> Vec<Parked> {
        self.state.lock().lines.parked(now)
    }

    /// How long ago the dead letter was parked that was parked first.
    pub(crate) fn oldest_parked(&self, now: Tick) -> Option<Duration> {
        self.state.lock().lines.oldest_dead(now)
    }

    /// Takes up a dead letter, to replay or drop it; `None` where it is none, or somebody else does.
    pub(crate) fn take_up(&self, id: OperationId) -> Option<TakenUp<'_>> {
        let key = self.state.lock().lines.take_up(id)?;
        Some(TakenUp { behind: self, key, id })
    }

    /// Waits until every write that is acknowledged now is applied or a dead letter, and the journal knows it.
    pub(crate) async fn drain(&self) {
        let turn = {
            let mut state = self.state.lock();
            state.lines.drains += 1;
            state.lines.newest_turn()
        };
        let _draining = Draining(self);
        self.stirred.notify_one();
        loop {
            let drained = self.drained.notified();
            if self.state.lock().lines.is_drained(turn) {
                break;
            }
            drained.await;
        }
        // Whatever is told now is told after all that was settled.
        if let Some(told) = self.add_barrier() {
            self.stirred.notify_one();
            drop(told.await);
        }
    }

    /// Waits for the entries that wait for the journal; `None` where there are none.
    fn add_barrier(&self) -> Option<oneshot::Receiver<Told>> {
        let commits = &mut self.state.lock().commits;
        commits.hurry();
        commits.barrier()
    }

    /// What waits now.
    pub(crate) fn pending(&self, now: Tick) -> PendingWrites {
        self.state.lock().lines.gauges(now)
    }

    /// Checks that everything adds up.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let state = self.state.lock();
        let (lines, laid) = (state.lines.by_key.len(), self.overlay.len());
        if crate::value::length(lines) != laid {
            return Err(format!("{laid} keys have something laid over them, where {lines} have writes"));
        }
        state.lines.validate(state.commits.appending())
    }
}

/// The journal's code panicked.
#[derive(Debug, thiserror::Error)]
#[error("the journal panicked")]
struct JournalPanicked;

/// A dead letter that somebody is about to replay or drop; laid down when dropped itself.
pub(crate) struct TakenUp<'a> {
    behind: &'a Behind,
    pub(crate) key: Arc<[u8]>,
    id: OperationId,
}

impl TakenUp<'_> {
    /// Its revival is durable: it is to be applied again. Whether it was still there.
    pub(crate) fn revive(&self, now: Tick) -> bool {
        let revived = self.behind.state.lock().lines.revive(self.id, now);
        self.behind.stirred.notify_one();
        revived
    }

    /// Its settlement is durable, and the copies are ready for it: it is gone, and what it laid over its key ends. Whether it was still
    /// there.
    pub(crate) fn end(&self) -> bool {
        self.behind.overlay.end(&self.key, self.id);
        self.behind.state.lock().lines.drop_dead(self.id)
    }
}

impl Drop for TakenUp<'_> {
    fn drop(&mut self) {
        self.behind.state.lock().lines.lay_down(self.id);
    }
}

/// Somebody waits for all of it to be applied.
struct Draining<'a>(&'a Behind);

impl Drop for Draining<'_> {
    fn drop(&mut self) {
        self.0.state.lock().lines.drains -= 1;
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        // Whoever waits to be stirred finds that there is nothing to do any more.
        self.stirred.notify_one();
    }
}

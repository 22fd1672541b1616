//! What waits behind a namespace, and what its operators do about it: how much there is, to wait until it is applied, and to replay
//! or drop the writes that could not be.
//!
//! A dead letter is replayed or dropped by a task of the engine's: an operator who goes away, or is told that nobody knows
//! yet, leaves nothing half-done. Until the journal has answered, nobody else can take the letter up.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;

use super::builder::Forebay;
use super::core::Core;
use super::handle::Namespace;
use crate::error::Error;
use crate::observe::BehindEnd;
use crate::value::Value;
use crate::writes::{JournalEntry, OperationId, PendingWrites};

/// A journaled write that could not be applied. It stays laid over its key, and holds up the key, until it is replayed or dropped.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Its operation id.
    pub id: OperationId,
    /// The key's text.
    pub key: Vec<u8>,
    /// The value that the key was to have; `None` where it was not to exist any more.
    pub value: Option<Value>,
    /// What the sink said last, for the operator.
    pub reason: Arc<str>,
    /// How often it was tried.
    pub attempts: u32,
    /// How long ago it was parked.
    pub age: Duration,
}

impl<V> Namespace<V> {
    /// What waits to be applied, where writes go behind; nothing elsewhere.
    #[must_use]
    pub fn pending_writes(&self) -> PendingWrites {
        let now = self.core.clock.now();
        self.core.behind.as_ref().map(|behind| behind.pending(now)).unwrap_or_default()
    }

    /// Waits until every write that is acknowledged by now is applied, or is a dead letter, for at most `wait`; whether that is so.
    /// Writes go at once meanwhile, without waiting for company. Where writes do not go behind there is nothing to wait for.
    pub async fn flush_writes(&self, wait: Duration) -> bool {
        self.core.flush_writes(wait).await
    }

    /// The writes that could not be applied, those that were parked first before the others.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        let now = self.core.clock.now();
        let parked = self.core.behind.as_ref().map(|behind| behind.parked(now)).unwrap_or_default();
        let told = parked.into_iter().map(|one| DeadLetter {
            id: one.job.id,
            key: self.core.pattern.whole(&one.key),
            value: one.job.value,
            reason: one.reason,
            attempts: one.attempts,
            age: one.since.age(now),
        });
        told.collect()
    }

    /// How long ago the oldest dead letter was parked; `None` where there is none. Unlike [`dead_letters`](Self::dead_letters) it copies
    /// none of them.
    #[must_use]
    pub fn oldest_dead_letter(&self) -> Option<Duration> {
        self.core.behind.as_ref()?.oldest_parked(self.core.clock.now())
    }

    /// The dead letter of this operation id; `None` where it is none.
    #[must_use]
    pub fn dead_letter(&self, id: OperationId) -> Option<DeadLetter> {
        self.dead_letters().into_iter().find(|one| one.id == id)
    }

    /// Has the sink apply a dead letter again, by the same operation id, with all its retries; its key takes writes again. Whether there
    /// was one of this id that nobody else was about to replay or drop.
    ///
    /// # Errors
    /// [`Error::JournalFailed`]: nothing was done. [`Error::JournalUnconfirmed`]: with a cause, it may be found replayed after a restart;
    /// without one it is under way, and `false` is told to others until it ends.
    pub async fn replay_dead_letter(&self, id: OperationId) -> Result<bool, Error> {
        self.core.care(id, Care::Replay).await
    }

    /// Gives up a dead letter for good: its key takes writes again, and its next read loads. Whether there was one of this id that nobody
    /// else was about to replay or drop.
    ///
    /// # Errors
    /// [`Error::JournalFailed`]: nothing was done. [`Error::JournalUnconfirmed`]: with a cause, it may be found gone after a restart;
    /// without one it is under way, and `false` is told to others until it ends.
    pub async fn drop_dead_letter(&self, id: OperationId) -> Result<bool, Error> {
        self.core.care(id, Care::Drop).await
    }
}

impl Forebay {
    /// Waits until every write of any namespace that is acknowledged by now is applied, or is a dead letter, for at most `wait`; whether
    /// that is so. As [`Namespace::flush_writes`], of all of them at once, before an orderly end.
    pub async fn flush_writes(&self, wait: Duration) -> bool {
        let namespaces = self.common.namespaces();
        let flush = |core: Arc<Core>| Box::pin(async move { core.flush_writes(wait).await });
        let mut flushes: Vec<_> = namespaces.into_iter().map(flush).collect();
        let mut all = true;
        std::future::poll_fn(move |context| {
            flushes.retain_mut(|flush| match flush.as_mut().poll(context) {
                Poll::Ready(is_flushed) => {
                    all &= is_flushed;
                    false
                }
                Poll::Pending => true,
            });
            if flushes.is_empty() { Poll::Ready(all) } else { Poll::Pending }
        })
        .await
    }
}

/// What is done about a dead letter.
#[derive(Clone, Copy, Debug)]
enum Care {
    Replay,
    Drop,
}

impl Core {
    async fn flush_writes(&self, wait: Duration) -> bool {
        match &self.behind {
            Some(behind) => self.clock.timeout(wait, behind.drain()).await.is_ok(),
            None => true,
        }
    }

    /// Replays or drops a dead letter; whether it was there, and nobody else was about to.
    async fn care(self: &Arc<Self>, id: OperationId, care: Care) -> Result<bool, Error> {
        let (tell, told) = oneshot::channel();
        let core = Arc::clone(self);
        self.tasks.start(async move {
            // An operator who has gone away is told nothing.
            let _ = tell.send(core.take_care(id, care).await);
        });
        match self.clock.timeout(self.policy.load_timeout, told).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(_)) | Err(_) => Err(self.journal_silent()),
        }
    }

    async fn take_care(self: &Arc<Self>, id: OperationId, care: Care) -> Result<bool, Error> {
        let Some(behind) = &self.behind else { return Ok(false) };
        let Some(letter) = behind.take_up(id) else { return Ok(false) };
        let told = behind.add(match care {
            Care::Replay => JournalEntry::Revive(id),
            Care::Drop => JournalEntry::Settle(id),
        });
        self.commit();
        // However long it takes: until then nobody knows what the journal has.
        match told.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(self.not_journaled(error)),
            Err(_) => return Err(self.journal_silent()),
        }
        let (was_there, end) = match care {
            Care::Replay => (letter.revive(self.clock.now()), BehindEnd::Revived),
            Care::Drop => {
                // A shared tier that could not be told is not asked before it was.
                let _ = self.make_gone(&[&letter.key]).await;
                let key = Arc::clone(&letter.key);
                let ended = letter.end();
                self.tell_changed(&key, 0);
                (ended, BehindEnd::Dropped)
            }
        };
        self.counters.behind(end, u64::from(was_there));
        Ok(was_there)
    }
}

//! What waits behind a namespace, as its users see it: how much, until when, and the writes that could not be applied.

use std::sync::Arc;
use std::time::Duration;

use super::builder::Forebay;
use super::core::Core;
use super::handle::Namespace;
use crate::error::Error;
use crate::value::Value;
use crate::writes::{OperationId, PendingWrites};

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

    /// The dead letter of this operation id; `None` where it is none.
    #[must_use]
    pub fn dead_letter(&self, id: OperationId) -> Option<DeadLetter> {
        self.dead_letters().into_iter().find(|one| one.id == id)
    }

    /// Has the sink apply a dead letter again, by the same operation id, with all its retries; its key takes writes again. Whether there
    /// was one of this id.
    ///
    /// # Errors
    /// [`Error::JournalFailed`]: nothing was done. [`Error::JournalUnconfirmed`]: it may be applied after a restart.
    pub async fn replay_dead_letter(&self, id: OperationId) -> Result<bool, Error> {
        self.core.revive(id).await
    }

    /// Gives up a dead letter for good: its key takes writes again, and its next read loads. Whether there was one of this id.
    ///
    /// # Errors
    /// [`Error::JournalFailed`]: nothing was done. [`Error::JournalUnconfirmed`]: it may be gone after a restart.
    pub async fn drop_dead_letter(&self, id: OperationId) -> Result<bool, Error> {
        self.core.drop_dead(id).await
    }
}

impl Forebay {
    /// Waits until every write of any namespace that is acknowledged by now is applied, or is a dead letter, for at most `wait`; whether
    /// that is so. As [`Namespace::flush_writes`], before an orderly end.
    pub async fn flush_writes(&self, wait: Duration) -> bool {
        let until = self.common.clock.now().after(wait);
        let mut all = true;
        for core in self.common.namespaces() {
            all &= core.flush_writes(until.since(self.common.clock.now())).await;
        }
        all
    }
}

impl Core {
    async fn flush_writes(&self, wait: Duration) -> bool {
        match &self.behind {
            Some(behind) => self.clock.timeout(wait, behind.drain()).await.is_ok(),
            None => true,
        }
    }
}

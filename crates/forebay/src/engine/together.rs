//! Changes of several keys, which readers see as one.
//!
//! While such a change is made its keys are *marked*: who begins to read one of them waits until the change is over
//! ([`Core::changes_over`]). The marks are set before the store is told, or the first entry of memory is changed, and go when the last
//! entry has followed. So nobody gets the new value of one key and the old value of another after it: as long as a new value can be had
//! and an old one is still held, the marks are set, and the second read began under them. A read that began before them is beside the change
//! and may end either way.
//!
//! Where nothing marks, a reader loads one number and no more.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::core::Core;
use super::read::Since;
use crate::error::Error;
use crate::rt::atomic::{AtomicU64, Ordering};
use crate::rt::planted::{Bug, planted};
use crate::rt::{Mutex, MutexGuard};

/// What changes of several keys of one namespace share.
#[derive(Debug, Default)]
pub(super) struct Together {
    /// How many changes have set marks.
    changes: AtomicU64,
    /// The marked keys, each with what ends when its change is over. A key is part of one change at a time.
    marked: Mutex<HashMap<Box<[u8]>, watch::Receiver<()>>>,
    /// Who makes a change of what memory alone has; such a change waits for nothing while it is made.
    making: Mutex<()>,
}

/// The marks of one change; they go when it is dropped.
#[derive(Debug)]
pub(super) struct Marks {
    together: Arc<Together>,
    keys: Vec<Box<[u8]>>,
    _over: watch::Sender<()>,
}

impl Together {
    /// Whether `key` is being changed together with others.
    #[inline]
    pub(super) fn marks(&self, key: &[u8]) -> bool {
        // Who has seen a new value, in whatever way, has seen this number grow before it.
        self.changes.load(Ordering::Acquire) > 0 && self.marked.lock().contains_key(key)
    }

    /// Marks `keys`.
    pub(super) fn mark(self: &Arc<Self>, keys: Vec<Box<[u8]>>) -> Marks {
        let (over, is_over) = watch::channel(());
        let keys = if planted(Bug::ChangeInParts) { Vec::new() } else { keys };
        let mut marked = self.marked.lock();
        marked.extend(keys.iter().map(|key| (key.clone(), is_over.clone())));
        self.changes.fetch_add(1, Ordering::Release);
        drop(marked);
        Marks { together: Arc::clone(self), keys, _over: over }
    }

    /// Enters a change of what memory alone has.
    pub(super) fn make(&self) -> MutexGuard<'_, ()> {
        self.making.lock()
    }

    /// Waits until the change is over that memory makes just now.
    pub(super) fn wait_made(&self) {
        drop(self.making.lock());
    }

    /// Whether no change is being made.
    pub(super) fn is_idle(&self) -> bool {
        self.changes.load(Ordering::Acquire) == 0 && self.marked.lock().is_empty()
    }
}

impl Drop for Marks {
    fn drop(&mut self) {
        let mut marked = self.together.marked.lock();
        for key in &self.keys {
            marked.remove(key);
        }
        self.together.changes.fetch_sub(1, Ordering::Release);
    }
}

impl Core {
    /// Keeps changes of several keys off while one key is changed relative to what it was, where memory has the only copy.
    pub(super) fn apart(&self) -> Option<MutexGuard<'_, ()>> {
        self.source.is_none().then(|| self.together.make())
    }

    /// Waits until no change of several keys that was being made has one of `keys`; called once, when a read begins.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the reader's time is over before.
    pub(super) async fn changes_over(&self, keys: &[&[u8]], since: Since) -> Result<(), Error> {
        for key in keys.iter().filter(|key| self.together.marks(key)) {
            // Boxed, so that a read that waits for nothing does not carry it.
            Box::pin(self.change_over(key, since)).await?;
        }
        Ok(())
    }

    async fn change_over(&self, key: &[u8], since: Since) -> Result<(), Error> {
        let Some(mut over) = self.together.marked.lock().get(key).cloned() else { return Ok(()) };
        let patience = self.until(since).since(self.clock.now());
        // Nothing is ever sent: it ends.
        let ended = self.clock.timeout(patience, async move { while over.changed().await.is_ok() {} }).await;
        ended.map_err(|_| self.late())
    }
}

//! Changes of values, told to whoever listens: that a key may have another value than a reader was given, whatever the reason.
//!
//! It guarantees that a listener is told once the change can be seen, and before whoever made it is answered: a reader that begins
//! after the listener was told sees the change, and one who began before is known to the listener if it said so before it looked. A
//! listener is told too much rather than too little. Where nobody listens a change costs one relaxed load. What a listener does with it
//! is its own business; it is called by the task that makes the change, so it must be quick, and may not call the engine.

use std::fmt::Debug;
use std::sync::Arc;

use crate::rt::atomic::{AtomicU64, Ordering};
use crate::rt::{Mutex, Tick};

/// What may have another value than before. Names are those of the declaration, keys and prefixes whole texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// A key was written, deleted, given another end, or invalidated.
    Key {
        /// Its namespace.
        namespace: &'a str,
        /// The key.
        key: &'a [u8],
        /// Who made the change, as it has said ([`KeysChange::by`](crate::KeysChange::by)); 0 for anybody.
        by: u64,
    },
    /// A load brought a key something else than was held, or nobody knows what was held before.
    Loaded {
        /// Its namespace.
        namespace: &'a str,
        /// The key.
        key: &'a [u8],
        /// When the load began: what others began to load no earlier is as new.
        began: Tick,
    },
    /// Every key of a namespace that begins so.
    Prefix {
        /// The namespace.
        namespace: &'a str,
        /// The beginning of the keys; of all of them, what all begin with.
        prefix: &'a [u8],
    },
}

/// Is told of changes.
pub trait Listener: Debug + Send + Sync + 'static {
    /// Something of the keyspace of this name has changed.
    fn changed(&self, keyspace: &str, change: Change<'_>);
}

/// The listeners of an engine.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// How many listen.
    count: AtomicU64,
    listeners: Mutex<Vec<Arc<dyn Listener>>>,
}

/// Somebody listens, until this is dropped.
#[derive(Debug)]
#[must_use = "who drops it listens no more"]
pub struct Listening {
    changes: Arc<Changes>,
    listener: Arc<dyn Listener>,
}

impl Changes {
    /// Has `listener` told of every change from now on.
    pub(crate) fn listen(self: &Arc<Self>, listener: Arc<dyn Listener>) -> Listening {
        let mut listeners = self.listeners.lock();
        listeners.push(Arc::clone(&listener));
        // Who has read a value did so before a lock that its next writer enters: that writer sees this.
        self.count.fetch_add(1, Ordering::Relaxed);
        Listening { changes: Arc::clone(self), listener }
    }

    /// Whether anybody listens.
    #[inline]
    pub(crate) fn are_heard(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Tells all who listen.
    pub(crate) fn tell(&self, keyspace: &str, change: Change<'_>) {
        if !self.are_heard() {
            return;
        }
        let listeners = self.listeners.lock().clone();
        listeners.iter().for_each(|listener| listener.changed(keyspace, change));
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut listeners = self.changes.listeners.lock();
        if let Some(own) = listeners.iter().position(|other| Arc::ptr_eq(other, &self.listener)) {
            listeners.swap_remove(own);
            self.changes.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

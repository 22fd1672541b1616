//! Spawning: every task has an owner, and ends with it.

use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::Mutex;

/// Owns the tasks spawned through it; they are aborted when its last clone is dropped.
#[derive(Clone, Debug)]
pub struct Tasks {
    handle: Handle,
    set: Arc<Mutex<JoinSet<()>>>,
}

impl Tasks {
    /// An owner whose tasks run on the runtime of the caller.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn current() -> Self {
        Self::on(Handle::current())
    }

    /// An owner whose tasks run on `handle`.
    #[must_use]
    pub fn on(handle: Handle) -> Self {
        Self { handle, set: Arc::default() }
    }

    /// Starts `task`; it ends with its owner at the latest.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.set.lock();
        while set.try_join_next().is_some() {}
        set.spawn_on(task, &self.handle);
    }

    /// How many tasks have not ended.
    #[must_use]
    pub fn running(&self) -> usize {
        let mut set = self.set.lock();
        while set.try_join_next().is_some() {}
        set.len()
    }
}

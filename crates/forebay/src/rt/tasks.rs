//! Spawning: every task has an owner, and ends with it.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;

use super::Mutex;

#[cfg(feature = "model")]
use model::{Home, Running};
#[cfg(not(feature = "model"))]
use product::{Home, Running};

/// Owns the tasks spawned through it; they are ended when its last clone is dropped.
///
/// A task that holds a clone of its own owner keeps it, and itself, until it is done.
#[derive(Clone, Debug)]
pub struct Tasks {
    home: Home,
    running: Arc<Mutex<Running>>,
    count: Arc<watch::Sender<usize>>,
}

impl Tasks {
    /// An owner whose tasks run on the runtime of the caller; `None` outside a runtime.
    #[must_use]
    pub fn current() -> Option<Self> {
        let home = Home::current()?;
        Some(Self { home, running: Arc::default(), count: Arc::new(watch::Sender::new(0)) })
    }

    /// Starts `task`; it ends with its owner at the latest.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let counted = Counted::new(&self.count);
        let task = async move {
            let _counted = counted;
            task.await;
        };
        self.running.lock().spawn(&self.home, task);
    }

    /// How many tasks have not ended.
    #[must_use]
    pub fn running(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits until no task is left, with any number of others who wait.
    pub async fn idle(&self) {
        // The sender lives in `self`, so the wait ends only by reaching zero.
        let _ = self.count.subscribe().wait_for(|&count| count == 0).await;
    }
}

/// One task in the count, however it ends.
#[derive(Debug)]
struct Counted(Arc<watch::Sender<usize>>);

impl Counted {
    fn new(count: &Arc<watch::Sender<usize>>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Tasks on tokio.
#[cfg(not(feature = "model"))]
mod product {
    use std::future::Future;

    use tokio::runtime::Handle;
    use tokio::task::JoinSet;

    #[derive(Clone, Debug)]
    pub(super) struct Home(Handle);

    impl Home {
        pub(super) fn current() -> Option<Self> {
            Handle::try_current().ok().map(Self)
        }
    }

    #[derive(Debug, Default)]
    pub(super) struct Running(JoinSet<()>);

    impl Running {
        pub(super) fn spawn(&mut self, home: &Home, task: impl Future<Output = ()> + Send + 'static) {
            // What has ended is forgotten, so that the set holds what runs.
            while self.0.try_join_next().is_some() {}
            self.0.spawn_on(task, &home.0);
        }
    }
}

/// Tasks under the model checker, which runs every one of them to its end.
#[cfg(feature = "model")]
mod model {
    use std::future::Future;

    #[derive(Clone, Debug)]
    pub(super) struct Home;

    impl Home {
        #[expect(clippy::unnecessary_wraps, reason = "the same face as outside the model checker")]
        pub(super) fn current() -> Option<Self> {
            Some(Self)
        }
    }

    #[derive(Debug, Default)]
    pub(super) struct Running;

    impl Running {
        #[expect(clippy::unused_self, reason = "the same face as outside the model checker")]
        pub(super) fn spawn(&mut self, _: &Home, task: impl Future<Output = ()> + Send + 'static) {
            // The model checker joins it at the end of the schedule.
            drop(shuttle::future::spawn(task));
        }
    }
}

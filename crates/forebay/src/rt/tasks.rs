//! Spawning: every task has an owner, and ends with it.

use std::future::Future;
use std::sync::Arc;

use super::Mutex;

#[cfg(feature = "model")]
use model::{Home, Running};
#[cfg(not(feature = "model"))]
use product::{Home, Running};

/// Owns the tasks spawned through it; they are ended when its last clone is dropped.
#[derive(Clone, Debug)]
pub struct Tasks {
    home: Home,
    running: Arc<Mutex<Running>>,
}

impl Tasks {
    /// An owner whose tasks run on the runtime of the caller; `None` outside a runtime.
    #[must_use]
    pub fn current() -> Option<Self> {
        Home::current().map(|home| Self { home, running: Arc::default() })
    }

    /// Starts `task`; it ends with its owner at the latest.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.running.lock().spawn(&self.home, task);
    }

    /// How many tasks have not ended.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.lock().count()
    }

    /// Waits until every task has ended.
    pub async fn idle(&self) {
        std::future::poll_fn(|context| self.running.lock().poll_idle(context)).await;
    }
}

/// Tasks on tokio.
#[cfg(not(feature = "model"))]
mod product {
    use std::future::Future;
    use std::task::{Context, Poll};

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
            self.reap();
            self.0.spawn_on(task, &home.0);
        }

        pub(super) fn count(&mut self) -> usize {
            self.reap();
            self.0.len()
        }

        pub(super) fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
            loop {
                match self.0.poll_join_next(context) {
                    Poll::Ready(Some(_)) => {}
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        }

        fn reap(&mut self) {
            while self.0.try_join_next().is_some() {}
        }
    }
}

/// Tasks under the model checker, which runs every one of them to its end.
#[cfg(feature = "model")]
mod model {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use shuttle::future::JoinHandle;

    #[derive(Clone, Debug)]
    pub(super) struct Home;

    impl Home {
        #[expect(clippy::unnecessary_wraps, reason = "the same face as outside the model checker")]
        pub(super) fn current() -> Option<Self> {
            Some(Self)
        }
    }

    #[derive(Debug, Default)]
    pub(super) struct Running(Vec<JoinHandle<()>>);

    impl Running {
        pub(super) fn spawn(&mut self, _: &Home, task: impl Future<Output = ()> + Send + 'static) {
            self.reap();
            self.0.push(shuttle::future::spawn(task));
        }

        pub(super) fn count(&mut self) -> usize {
            self.reap();
            self.0.len()
        }

        pub(super) fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
            self.0.retain_mut(|task| Pin::new(task).poll(context).is_pending());
            if self.0.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        }

        fn reap(&mut self) {
            self.0.retain(|task| !task.is_finished());
        }
    }
}

//! Spawning: every task has an owner, and ends with it.

use std::cell::Cell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use super::Mutex;
use super::atomic::{AtomicU64, Ordering};

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
    count: Arc<Count>,
}

impl Tasks {
    /// An owner whose tasks run on the runtime of the caller; `None` outside a runtime.
    #[must_use]
    pub fn current() -> Option<Self> {
        let home = Home::current()?;
        Some(Self { home, running: Arc::default(), count: Arc::default() })
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

    /// Starts `task` on the spot, for a caller who waits for what it does: it is polled once, as on the runtime of the owner, and
    /// becomes a task only where it is not done by then. So what is done at once costs no task, and whoever called may go away
    /// without taking the rest along. A panic ends it and nothing else, as that of a task does.
    ///
    /// What is started within that poll becomes a task without one of its own, so that the stack of the caller stays shallow.
    pub fn start(&self, task: impl Future<Output = ()> + Send + 'static) {
        let Some(polling) = Polling::begin() else { return self.spawn(task) };
        let counted = Counted::new(&self.count);
        let mut task = Box::pin(task);
        let mut context = Context::from_waker(Waker::noop());
        let poll = AssertUnwindSafe(|| self.home.within(|| task.as_mut().poll(&mut context)));
        let polled = std::panic::catch_unwind(poll);
        drop(polling);
        if matches!(polled, Ok(Poll::Pending)) {
            // The task polls it anew before it waits, so that no wake-up of the first poll is missed.
            self.spawn(task);
        }
        drop(counted);
    }

    /// How many tasks have not ended.
    #[must_use]
    pub fn running(&self) -> u64 {
        self.count.running.load(Ordering::Acquire)
    }

    /// Waits until no task is left, with any number of others who wait.
    pub async fn idle(&self) {
        loop {
            // Before the look at the number: it is told of every zero from here on.
            let idle = self.count.idle.notified();
            if self.running() == 0 {
                return;
            }
            idle.await;
        }
    }
}

/// Lets whoever polls the task finish what it does, and every other task go on that is ready to, as far as the runtime takes turns, before
/// this one goes on: as a task of its own where [`Tasks::start`] polls it.
pub(crate) async fn let_go() {
    let mut has_gone = false;
    std::future::poll_fn(|context| {
        if has_gone {
            return Poll::Ready(());
        }
        has_gone = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// How many tasks have not ended.
#[derive(Debug, Default)]
struct Count {
    running: AtomicU64,
    /// Told whenever none is left.
    idle: Notify,
}

/// One task in the count, however it ends.
#[derive(Debug)]
struct Counted(Arc<Count>);

impl Counted {
    fn new(count: &Arc<Count>) -> Self {
        count.running.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

thread_local! {
    /// Whether this thread polls what was started on the spot.
    static POLLING: Cell<bool> = const { Cell::new(false) };
}

/// The one poll on the spot of a thread, until it is dropped.
struct Polling;

impl Polling {
    fn begin() -> Option<Self> {
        (!POLLING.replace(true)).then_some(Self)
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        POLLING.set(false);
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

        /// Does `work` as if it were on the runtime: it finds the runtime's clock and I/O.
        pub(super) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
            let _entered = self.0.enter();
            work()
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

        #[expect(clippy::unused_self, reason = "the same face as outside the model checker")]
        pub(super) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
            work()
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

#[cfg(test)]
#[cfg(not(feature = "model"))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use tokio::sync::Notify;

    use super::{Tasks, let_go};
    use crate::rt::Clock;

    #[tokio::test]
    async fn what_is_done_at_once_needs_no_task() {
        let tasks = Tasks::current().unwrap();
        let (done, seen) = (Arc::new(AtomicU64::new(0)), tasks.clone());
        let work = {
            let done = Arc::clone(&done);
            async move { done.store(1 + seen.running(), Ordering::SeqCst) }
        };
        tasks.start(work);
        assert_eq!(done.load(Ordering::SeqCst), 2, "not done, or not counted while it was polled");
        assert_eq!(tasks.running(), 0);
    }

    #[tokio::test]
    async fn what_takes_longer_goes_on_as_a_task() {
        let tasks = Tasks::current().unwrap();
        let (go, done) = (Arc::new(Notify::new()), Arc::new(AtomicU64::new(0)));
        let work = {
            let (go, done) = (Arc::clone(&go), Arc::clone(&done));
            async move {
                go.notified().await;
                // The runtime's clock is there at the first poll and after it.
                Clock::system().sleep(Duration::ZERO).await;
                done.store(1, Ordering::SeqCst);
            }
        };
        tasks.start(work);
        assert_eq!((tasks.running(), done.load(Ordering::SeqCst)), (1, 0));
        go.notify_one();
        tasks.idle().await;
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn it_is_polled_as_on_the_owners_runtime() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let tasks = runtime.block_on(async { Tasks::current().unwrap() });
        let done = Arc::new(AtomicU64::new(0));
        let work = {
            let done = Arc::clone(&done);
            async move {
                Clock::system().sleep(Duration::ZERO).await;
                done.store(1, Ordering::SeqCst);
            }
        };
        tasks.start(work);
        runtime.block_on(tasks.idle());
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_is_started_within_is_a_task_of_its_own() {
        let tasks = Tasks::current().unwrap();
        let (within, order) = (tasks.clone(), Arc::new(AtomicU64::new(0)));
        let outer = {
            let order = Arc::clone(&order);
            async move {
                let inner = Arc::clone(&order);
                within.start(async move {
                    _ = inner.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| Some(n * 10 + 2))
                });
                _ = order.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| Some(n * 10 + 1));
            }
        };
        tasks.start(outer);
        tasks.idle().await;
        assert_eq!(order.load(Ordering::SeqCst), 12, "polled on the stack of the other");
    }

    #[tokio::test]
    async fn a_panic_ends_what_was_started_and_nothing_else() {
        let tasks = Tasks::current().unwrap();
        tasks.start(async { panic!("a panic that is meant to be") });
        assert_eq!(tasks.running(), 0);
        let done = Arc::new(AtomicU64::new(0));
        let next = Arc::clone(&done);
        tasks.start(async move { next.store(1, Ordering::SeqCst) });
        assert_eq!(done.load(Ordering::SeqCst), 1, "the thread was left as if it still polled");
    }

    #[tokio::test]
    async fn letting_go_makes_a_task_of_the_rest() {
        let tasks = Tasks::current().unwrap();
        let done = Arc::new(AtomicU64::new(0));
        let work = {
            let done = Arc::clone(&done);
            async move {
                done.store(1, Ordering::SeqCst);
                let_go().await;
                done.store(2, Ordering::SeqCst);
            }
        };
        tasks.start(work);
        assert_eq!(done.load(Ordering::SeqCst), 1);
        tasks.idle().await;
        assert_eq!(done.load(Ordering::SeqCst), 2);
    }
}

//! What is seldom ready, beside what often is.
//!
//! A task that waits for several things is woken for one of them and asks all. [`seldom`] spares it that: what it waits for is asked only
//! after it has itself called for that, so that between calls it costs a load of an atomic.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use forebay::rt::Mutex;

/// Wakes the task, and remembers for whom.
#[derive(Debug)]
struct Bell {
    has_rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the task looks.
        self.has_rung.store(true, Ordering::Release);
        let task = self.task.lock().clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

/// What `work` comes to; it is polled when it was woken, and not because its task was.
pub(crate) async fn seldom<T>(work: impl Future<Output = T>) -> T {
    let bell = Arc::new(Bell { has_rung: AtomicBool::new(true), task: Mutex::default() });
    let waker = Waker::from(Arc::clone(&bell));
    let mut work = pin!(work);
    let mut task: Option<Waker> = None;
    poll_fn(|context| {
        if !task.as_ref().is_some_and(|task| task.will_wake(context.waker())) {
            task = Some(context.waker().clone());
            bell.task.lock().clone_from(&task);
            // It may have rung for the task before, which is no longer asked.
            bell.has_rung.store(true, Ordering::Relaxed);
        }
        if !bell.has_rung.load(Ordering::Acquire) || !bell.has_rung.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        work.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use forebay::rt::Tasks;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn it_is_asked_when_it_calls_and_not_before() {
        let (called, asked) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let mut inner = Box::pin({
            let called = Arc::clone(&called);
            async move { called.notified().await }
        });
        let counted = Arc::clone(&asked);
        let work = poll_fn(move |context| {
            counted.fetch_add(1, Ordering::Relaxed);
            inner.as_mut().poll(context)
        });
        let mut waiting = pin!(seldom(work));
        for _ in 0..3 {
            assert!(once(waiting.as_mut()).await.is_pending());
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        called.notify_one();
        assert!(once(waiting.as_mut()).await.is_ready());
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    /// A call that comes while another task waits is heard by it.
    #[tokio::test]
    async fn it_follows_its_task() {
        let called = Arc::new(Notify::new());
        let mut waiting = Box::pin(seldom({
            let called = Arc::clone(&called);
            async move { called.notified().await }
        }));
        assert!(once(waiting.as_mut()).await.is_pending());
        let tasks = Tasks::current().unwrap();
        tasks.spawn(waiting);
        tokio::task::yield_now().await;
        called.notify_one();
        tasks.idle().await;
    }

    /// Polls once, with the waker of this task.
    async fn once<F: Future + ?Sized>(mut work: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await
    }
}

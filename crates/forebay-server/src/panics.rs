//! A panic costs the request in which it happens, and nothing else.
//!
//! What panicked is dropped as it is. It may hold a part of what it was to change: the engine's own state is changed under locks that
//! are not held across anything that can panic, and a connection's ends with it.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// It panicked. Where, and why, was told when it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

/// What `work` comes to.
///
/// # Errors
/// When it panics.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut work = pin!(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

/// What `work` comes to that waits for nothing.
///
/// # Errors
/// When it panics.
pub(crate) fn caught_now<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)
}

/// Panics where a test asks for a command of this name: nothing that clients can ask for is known to.
#[cfg(test)]
pub(crate) fn planted(command: &[u8]) {
    assert!(command != b"PANIC", "of this test");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        assert_eq!(caught(async { 1 }).await, Ok(1));
        let late = async {
            tokio::task::yield_now().await;
            panic!("of this test");
        };
        assert_eq!(caught::<()>(late).await, Err(Panicked));
    }
}

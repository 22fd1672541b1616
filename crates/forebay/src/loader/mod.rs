//! Loads: one at a time for a key, on a task of its own, with every way to end accounted for.
//!
//! It guarantees promise P2 (whoever misses a key that is being loaded joins that flight) and that every waiter is
//! released whatever happens to the load: an answer, an error, a time-out, a panic, a task that is ended. A cancelled
//! reader does not cancel the load. How many loads run at once, and which go
//! together, is `queue.rs`; how refreshes wait for company, `gather.rs`; when a failing source is left alone for a key,
//! `throttle.rs`. What may be stored is decided by the fence (`flight.rs`) under the lock of the insert.

mod flight;
mod gather;
mod queue;
mod throttle;
mod writing;

pub(crate) use flight::{Flight, Flights, Landing, Lead, Seat};
pub(crate) use gather::{GATHER, Gather, Gathered};
pub(crate) use queue::{Entered, Queue, Slot};
pub(crate) use throttle::Throttle;
pub(crate) use writing::Crossed;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use crate::error::{Error, Lost};
use crate::source::SourceError;

/// Waits for what a source loads for `asked` keys or fields; one answer each. A panic of the source is an error like any other.
///
/// # Errors
/// What the source said, or a panic.
pub(crate) async fn ask<T>(
    namespace: &Arc<str>,
    asked: usize,
    loading: impl Future<Output = Result<Vec<T>, SourceError>>,
) -> Result<Vec<T>, Error> {
    let Some(answers) = catching_panic(loading).await else {
        return Err(Error::LoadLost { namespace: Arc::clone(namespace), how: Lost::Panicked });
    };
    let fault = match answers {
        Ok(answers) if answers.len() == asked => return Ok(answers),
        Ok(answers) => SourceError::lasting(WrongCount { asked, answered: answers.len() }),
        Err(fault) => fault,
    };
    Err(Error::Source { namespace: Arc::clone(namespace), retry: fault.retry, cause: fault.cause })
}

/// A source broke its contract: which answer belongs to which key cannot be told.
#[derive(Debug, thiserror::Error)]
#[error(
    "the source was asked for {asked} keys or fields and gave {answered} answers: it must give one each, in order"
)]
struct WrongCount {
    asked: usize,
    answered: usize,
}

/// Polls `work` to its end; `None` where it panicked.
pub(crate) async fn catching_panic<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| {
        // The future is not polled again after a panic, so that it does not matter in what state it was left.
        match std::panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(poll) => poll.map(Some),
            Err(_) => std::task::Poll::Ready(None),
        }
    })
    .await
}

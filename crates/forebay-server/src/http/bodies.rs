//! Bodies of requests while they come: what may be asked of each piece, and the bytes that all of them may have together.
//!
//! It guarantees that a handler never gets the whole of a body that was refused on its way, whoever reads it, apps' routes among them,
//! and that the answer says why it was. What a request has sent counts until it is answered. How fast a body must come is
//! `listener.rs`'s, how long one may be is said beside its route.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use forebay::rt::Mutex;
use hyper::body::{Body as _, Frame, SizeHint};

use crate::problem::Problem;

/// Answers a request whose body is asked about while it comes: `check` is given the length of each piece, and zero at the end, and what
/// it refuses with is the answer.
pub(crate) async fn checked(
    request: Request,
    next: Next,
    check: impl FnMut(usize) -> Result<(), Response> + Send + Unpin + 'static,
) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let refused = Arc::new(Mutex::new(None));
    let of_body = Arc::clone(&refused);
    let request = request.map(|body| Body::new(Checked { body, check, refused: of_body }));
    let answer = next.run(request).await;
    let refused = refused.lock().take();
    refused.unwrap_or(answer)
}

/// A body whose pieces are asked about.
struct Checked<C> {
    body: Body,
    check: C,
    /// What is answered because of it.
    refused: Arc<Mutex<Option<Response>>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the body was refused on its way")]
struct Refused;

impl<C: FnMut(usize) -> Result<(), Response> + Unpin> hyper::body::Body for Checked<C> {
    type Data = bytes::Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, axum::BoxError>>> {
        let Self { body, check, refused } = &mut *self;
        let frame = ready!(Pin::new(body).poll_frame(context));
        if let Some(Err(error)) = &frame
            && is_late(error)
        {
            let mut answer = Problem::body_late().into_response();
            // What is left of the body is waited for no more.
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            *refused.lock() = Some(answer);
        }
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        if let Err(answer) = check(data.map_or(0, bytes::Bytes::len)) {
            *refused.lock() = Some(answer);
            return Poll::Ready(Some(Err(Refused.into())));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    /// Never before its end was asked about.
    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whether a body failed because it did not come in time.
fn is_late(error: &(dyn Error + 'static)) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    kind == Some(io::ErrorKind::TimedOut) || error.source().is_some_and(is_late)
}

/// The bytes that bodies of requests on their way have, all together.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    taken_bytes: Arc<AtomicU64>,
    limit_bytes: u64,
}

impl Budget {
    /// Of so many bytes.
    pub(crate) fn new(limit_bytes: u64) -> Self {
        Self { taken_bytes: Arc::default(), limit_bytes }
    }

    /// Takes so many more; whether there were as many.
    fn take(&self, bytes: u64) -> bool {
        let more = |taken: u64| taken.checked_add(bytes).filter(|taken| *taken <= self.limit_bytes);
        self.taken_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

/// What one request has taken of a budget, until it is dropped.
struct Share {
    budget: Budget,
    bytes: AtomicU64,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.taken_bytes.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

/// Answers a request whose body fits beside those of all others, and refuses it as soon as it does not.
pub(crate) async fn within(State(budget): State<Budget>, request: Request, next: Next) -> Response {
    let share = Arc::new(Share { budget, bytes: AtomicU64::new(0) });
    let of_body = Arc::clone(&share);
    let check = move |bytes| {
        let Share { budget, bytes: taken } = &*of_body;
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if !budget.take(bytes) {
            return Err(Problem::bodies_full(budget.limit_bytes).into_response());
        }
        taken.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    };
    let answer = checked(request, next, check).await;
    drop(share);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_taken_and_given_back() {
        let budget = Budget::new(10);
        let share = Share { budget: budget.clone(), bytes: AtomicU64::new(6) };
        assert!(budget.take(6) && !budget.take(5) && budget.take(0));
        drop(share);
        assert!(budget.take(10) && !budget.take(1) && !budget.take(u64::MAX));
    }
}

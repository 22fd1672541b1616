//! Reloads that clients ask for: carried to whoever reads the declarations, and his answer back.
//!
//! It guarantees that few wait at once, that who asks where nobody listens is told so, and that nobody is waited for without end. What a
//! reload is, and when one may run, is the process' matter (`process/reload.rs`).

use std::sync::Arc;
use std::time::Duration;

use forebay::rt::{Clock, Mutex};
use tokio::sync::{mpsc, oneshot};

use crate::process::Reloaded;

/// How many reloads wait for the one that runs.
const WAITING_MAX: usize = 4;
/// The longest that one is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a reload ended: what is different then, or what keeps it from being served, for a person to read.
pub type Answer = Result<Reloaded, String>;

/// Where clients ask for reloads. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reloads(Arc<Mutex<Option<mpsc::Sender<AskedReload>>>>);

/// The reloads that clients ask for, in their order.
#[derive(Debug)]
pub struct AskedReloads(mpsc::Receiver<AskedReload>);

/// A reload that a client waits for.
#[derive(Debug)]
pub struct AskedReload(oneshot::Sender<Answer>);

/// Why a reload has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoReload {
    #[error("this server takes no reloads: restart it with its new declaration")]
    NobodyListens,
    #[error("others wait for theirs already: ask again when these have ended")]
    TooMany,
    #[error("the server ended before it was done")]
    Ended,
    #[error("it has not ended for two minutes, and may still do so: the server prints how it ended")]
    Late,
}

impl Reloads {
    /// Where they are carried from now on. Who listened before hears no more.
    pub(crate) fn listen(&self) -> AskedReloads {
        let (asking, asked) = mpsc::channel(WAITING_MAX);
        *self.0.lock() = Some(asking);
        AskedReloads(asked)
    }

    /// Asks for one and waits until it has ended.
    pub(crate) async fn ask(&self, clock: &Clock) -> Result<Answer, NoReload> {
        let asking = self.0.lock().clone().ok_or(NoReload::NobodyListens)?;
        let (answer, answered) = oneshot::channel();
        asking.try_send(AskedReload(answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NoReload::TooMany,
            mpsc::error::TrySendError::Closed(_) => NoReload::NobodyListens,
        })?;
        match clock.timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(NoReload::Ended),
            Err(_) => Err(NoReload::Late),
        }
    }
}

impl AskedReloads {
    /// Waits until a client asks for one; for ever where nobody can any more. It may be given up at any point.
    pub async fn next(&mut self) -> AskedReload {
        match self.0.recv().await {
            Some(asked) => asked,
            None => std::future::pending().await,
        }
    }
}

impl AskedReload {
    /// Tells the client how it ended.
    pub fn answer(self, answer: Answer) {
        // Who has gone away meanwhile needs no answer.
        let _ = self.0.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn who_asks_is_answered_or_told_why_not() {
        let (reloads, clock) = (Reloads::default(), Clock::system());
        assert_eq!(reloads.ask(&clock).await, Err(NoReload::NobodyListens));

        let mut asked = reloads.listen();
        let answers = async {
            asked.next().await.answer(Err("no".into()));
            // Given up without an answer.
            drop(asked.next().await);
        };
        let asks = async {
            assert_eq!(reloads.ask(&clock).await, Ok(Err("no".into())));
            assert_eq!(reloads.ask(&clock).await, Err(NoReload::Ended));
        };
        tokio::join!(answers, asks);

        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(reloads.ask(&clock))).collect();
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.iter_mut().all(|one| one.as_mut().poll(&mut context).is_pending()));
        assert_eq!(reloads.ask(&clock).await, Err(NoReload::TooMany));
        drop(asked);
        assert_eq!(reloads.ask(&clock).await, Err(NoReload::NobodyListens));
    }
}

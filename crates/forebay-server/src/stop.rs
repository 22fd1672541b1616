//! The word that the process is to end, heard by every listener and connection.

use tokio::sync::watch;

/// Says that the process is to end.
#[derive(Debug)]
pub(crate) struct StopSender(watch::Sender<bool>);

/// Hears that the process is to end.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

/// A sender and what hears it.
pub(crate) fn channel() -> (StopSender, Stop) {
    let (sender, receiver) = watch::channel(false);
    (StopSender(sender), Stop(receiver))
}

impl StopSender {
    pub(crate) fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether the process is to end.
    pub(crate) fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the process is to end; the sender going away means the same.
    pub(crate) async fn asked(&mut self) {
        let _ = self.0.wait_for(|&stop| stop).await;
    }
}

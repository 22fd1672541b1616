//! The log of an instance that is alone: it numbers what is appended, and tells nobody.
//!
//! Whoever appends applies the records itself, so there is nothing to read back, and all that was appended counts as
//! acknowledged. It never fails, and has one epoch for its life.

use std::time::Duration;

use super::{Batch, Cursor, Epoch, InstanceId, Log, Record, Reply, WAIT_MAX};
use crate::rt::Clock;
use crate::rt::atomic::{AtomicU64, Ordering};
use crate::value::{Position, length};

/// The log of an instance that is alone.
#[derive(Debug)]
pub struct LocalLog {
    tail: AtomicU64,
    clock: Clock,
}

impl LocalLog {
    /// Its only epoch.
    pub const EPOCH: Epoch = Epoch(1);

    /// A log without records, whose heartbeats keep the time of `clock`.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { tail: AtomicU64::new(0), clock }
    }

    /// Takes positions for `records` records, side by side; the last. This is what [`append`](Log::append) does, without a
    /// future.
    pub fn number(&self, records: usize) -> Position {
        let records = length(records);
        // Whoever sees a position sees what was done before any earlier one was taken.
        let before = self.tail.fetch_add(records, Ordering::AcqRel);
        Position::new(before.saturating_add(records))
    }

    /// The newest position.
    #[must_use]
    pub fn tail(&self) -> Position {
        Position::new(self.tail.load(Ordering::Acquire))
    }
}

impl Log for LocalLog {
    fn append<'a>(&'a self, records: &'a [Record]) -> Reply<'a, Cursor> {
        Box::pin(async move { Ok(Cursor { epoch: Self::EPOCH, position: self.number(records.len()) }) })
    }

    fn read(&self, _after: Cursor, wait: Duration) -> Reply<'_, Batch> {
        Box::pin(async move {
            self.clock.sleep(wait.min(WAIT_MAX)).await;
            let tail = self.tail();
            Ok(Batch { epoch: Self::EPOCH, records: Vec::new(), end: tail, tail, gap: false })
        })
    }

    fn acknowledge(&self, _instance: InstanceId, _applied: Cursor) -> Reply<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn acknowledged(&self, place: Cursor, _wait: Duration) -> Reply<'_, bool> {
        Box::pin(async move { Ok(place.epoch == Self::EPOCH && place.position <= self.tail()) })
    }
}

#[cfg(all(test, not(feature = "model")))]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::LocalLog;
    use crate::log::{Cursor, InstanceId, Log, Reach, Record, Verb};
    use crate::rt::Clock;
    use crate::value::Position;

    fn record() -> Record {
        Record { keyspace: Arc::from("shop"), reach: Reach::All, verb: Verb::Invalidate }
    }

    #[tokio::test]
    async fn positions_are_dense_and_all_is_acknowledged() {
        let log = LocalLog::new(Clock::simulated());
        assert_eq!(log.append(&[record()]).await.unwrap().position, Position::new(1));
        let last = log.append(&[record(), record()]).await.unwrap();
        assert_eq!(last, Cursor { epoch: LocalLog::EPOCH, position: Position::new(3) });
        assert_eq!(log.append(&[]).await.unwrap(), last);
        log.acknowledge(InstanceId::random(), Cursor::NOWHERE).await.unwrap();
        assert!(log.acknowledged(last, Duration::ZERO).await.unwrap());
        let later = Cursor { position: Position::new(4), ..last };
        assert!(!log.acknowledged(later, Duration::ZERO).await.unwrap(), "nothing stands there yet");
    }

    #[tokio::test]
    async fn a_heartbeat_comes_in_its_time_and_never_tells_of_a_gap() {
        let clock = Clock::simulated();
        let log = LocalLog::new(clock.clone());
        log.append(&[record()]).await.unwrap();
        let mut beat = log.read(Cursor::NOWHERE, Duration::from_millis(250));
        let early = clock.timeout(Duration::ZERO, &mut beat).await;
        assert!(early.is_err(), "it did not wait");
        clock.advance(Duration::from_millis(250));
        let batch = beat.await.unwrap();
        assert!(batch.records.is_empty() && !batch.gap && batch.caught_up());
        assert_eq!(batch.cursor().position, log.tail());
    }
}

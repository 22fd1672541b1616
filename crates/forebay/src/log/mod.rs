//! The invalidation log: what one instance makes invalid, every instance applies, in one order.
//!
//! A shared tier carries a log for all who use it; an instance that is alone has one of its own ([`LocalLog`]). Loads and
//! invalidations are ordered by its positions and never by clocks. Three things rest on it:
//!
//! - **Groups** (tags, prefixes, namespaces, keyspaces): a load notes the position before it asks the source; what it
//!   brought is valid as long as no later record matches it.
//! - **Other instances**: they read the log and apply what it tells. An empty batch is its heartbeat.
//! - **`acked` invalidations**, which are answered once every live instance has applied them.
//!
//! # What a log promises
//!
//! - **One order.** Records have positions from 1 up, without gaps, in the order in which they were appended. Whoever has
//!   seen a position knows that every record at or before it was appended earlier.
//! - **At least once.** A record that was appended is told to every reader who reads on from an earlier place; again to one
//!   who reads from there again. To apply a record twice is to apply it once.
//! - **Nothing is skipped silently.** Where a reader's place was trimmed away, or belongs to another epoch, the batch says
//!   [`gap`](Batch::gap), and everything loaded before its end is suspect (promise P7).
//! - **Epochs.** A log that may have lost records (a restart, a fail-over) begins a new epoch. Epochs are numbered upwards;
//!   positions of different epochs are not to be compared, and may come again.
//!
//! It does not promise that an append whose answer was lost did not happen: [`LogError::unknown_outcome`].
//!
//! # Who is live
//!
//! An instance is live for [`LIVE_FOR`] after the log received its latest [`acknowledge`](Log::acknowledge). It must treat
//! all it holds as suspect once it has not heard from the log for [`SUSPECT_AFTER`], counted from when it *sent* the last
//! request that was answered: so it has turned suspect before the log stops waiting for it. To become trusted, at its start
//! and after a silence, it first acknowledges some place, and after that answer reads to the log's tail: whatever was
//! confirmed without it is before that tail. In the first [`LIVE_FOR`] of a new epoch the log knows nobody of the one before,
//! who may still trust what they hold, and confirms nothing.
//!
//! The records are remembered in `groups.rs`; what they do to flights and entries is the engine's business.

mod groups;
mod local;
mod record;
mod timeline;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::error::Cause;
use crate::value::Position;

pub(crate) use groups::{About, Group, Groups, Limits, Verdict};
pub use local::LocalLog;
pub use record::{Reach, Record, Verb};

/// The most records that one [`read`](Log::read) tells.
pub const BATCH_MAX: usize = 1_024;
/// The longest that a [`read`](Log::read) or [`acknowledged`](Log::acknowledged) waits, whatever it was asked for.
pub const WAIT_MAX: Duration = Duration::from_secs(5);
/// Silence of the log after which an instance holds only suspects.
pub const SUSPECT_AFTER: Duration = Duration::from_secs(1);
/// How long the log waits for an instance that is silent.
pub const LIVE_FOR: Duration = Duration::from_secs(2);

/// One uninterrupted life of a log. A later one has a greater number; none is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// A place in a log: a position, and the epoch that it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The epoch.
    pub epoch: Epoch,
    /// The position within it.
    pub position: Position,
}

impl Cursor {
    /// The place of one who has read nothing: of no epoch, so that reading on from it is a gap, and tells all that is kept.
    /// An instance that starts reads from here to the tail before it asks the tier for entries: then it knows of as many of
    /// them as can be known whether they are valid.
    pub const NOWHERE: Self = Self { epoch: Epoch(0), position: Position::START };
}

/// One run of one process that uses the log: drawn at its start, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u64);

impl InstanceId {
    /// An id drawn by chance.
    #[must_use]
    pub fn random() -> Self {
        Self(fastrand::u64(..))
    }
}

/// What a log tells a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The epoch of every position in it.
    pub epoch: Epoch,
    /// The next records, in order and without a hole, at most [`BATCH_MAX`]; the first ones may have been told before. After
    /// a gap they begin with the oldest that is kept.
    pub records: Vec<(Position, Record)>,
    /// Where to read on: the last record's position; without records, the place read from or, after a gap, the tail.
    pub end: Position,
    /// The position of the newest record when this was answered. A reader has caught up when it is at `end`.
    pub tail: Position,
    /// Records before these were missed: everything loaded before [`begin`](Self::begin) is suspect.
    pub gap: bool,
}

impl Batch {
    /// The place to read on from.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, position: self.end }
    }

    /// The position before its first record; without records, its end. After a gap, what noted an earlier position is
    /// suspect, and what noted this one or a later is judged by the records that follow.
    #[must_use]
    pub fn begin(&self) -> Position {
        let first = self.records.first().map(|(first, _)| Position::new(first.number().saturating_sub(1)));
        first.unwrap_or(self.end)
    }

    /// Whether nothing was left to tell.
    #[must_use]
    pub fn caught_up(&self) -> bool {
        self.end >= self.tail
    }
}

/// Why a log did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// It cannot be reached, or the connection was lost.
    #[error("the log cannot be reached: see that its server runs and that the network lets us through")]
    Unreachable {
        /// What the connection said; for the operator.
        #[source]
        cause: Cause,
        /// Whether the request had left, so that it may have been carried out, or may yet be.
        sent: bool,
    },
    /// It did not answer in time; the request may have been carried out, or may yet be.
    #[error("the log did not answer within {after:?}")]
    Timeout {
        /// How long was waited.
        after: Duration,
    },
    /// It answered that it will not; nothing was done.
    #[error("the log refused: {problem}")]
    Refused {
        /// What it refused, and what to do.
        problem: String,
    },
}

impl LogError {
    /// Whether what was asked for may have been done, or may yet be. To ask again is safe: records may come twice.
    #[must_use]
    pub fn unknown_outcome(&self) -> bool {
        match self {
            Self::Unreachable { sent, .. } => *sent,
            Self::Timeout { .. } => true,
            Self::Refused { .. } => false,
        }
    }

    /// Whether the same request can succeed later without a change.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }
}

/// An answer of a log that is under way.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, LogError>> + Send + 'a>>;

/// An invalidation log.
///
/// A dropped future has an unknown outcome, like a lost answer. Time-outs on what does not answer are the implementation's:
/// no method takes longer than the wait it was given and the bound that the implementation states for one exchange.
pub trait Log: Send + Sync + 'static {
    /// Appends `records`, all or none, side by side; the place of the last. Of no records, the tail.
    ///
    /// Once it has answered, every [`read`](Self::read) that begins tells them, and every position handed out is at or after
    /// theirs.
    ///
    /// # Errors
    /// [`LogError::unknown_outcome`] tells whether they may have been appended.
    fn append<'a>(&'a self, records: &'a [Record]) -> Reply<'a, Cursor>;

    /// The records after `after`. Where there are none it waits for one, at most for `wait` ([`WAIT_MAX`]), and then answers
    /// with an empty batch: the heartbeat.
    ///
    /// # Errors
    /// When the log is out of reach. Nothing is lost by that: read on from the same place.
    fn read(&self, after: Cursor, wait: Duration) -> Reply<'_, Batch>;

    /// Says that `instance` has applied every record up to `applied`, and lives. A place of an earlier epoch, or before one
    /// that was acknowledged, says no more than that it lives.
    ///
    /// # Errors
    /// When the log is out of reach: the instance may not be waited for any more.
    fn acknowledge(&self, instance: InstanceId, applied: Cursor) -> Reply<'_, ()>;

    /// Whether every live instance has applied the records up to `place`; where not, it waits until they have, at most for
    /// `wait` ([`WAIT_MAX`]). An instance that falls silent is waited for as long as it is [live](self#who-is-live).
    ///
    /// `false` also where `place` belongs to an earlier epoch: what was appended there may be lost, append it again.
    ///
    /// # Errors
    /// When the log is out of reach.
    fn acknowledged(&self, place: Cursor, wait: Duration) -> Reply<'_, bool>;
}

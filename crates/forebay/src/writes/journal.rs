//! The contract of a journal: where writes are kept that were acknowledged and are not applied yet.
//!
//! A journal is a log of [`JournalEntry`]s, written by one namespace. Writes are appended, and settled once they need no more doing;
//! a write that cannot be applied is parked as a dead letter, in the same log, until somebody revives or settles it. What a
//! journal holds is what was appended and not settled. Three rules keep promise P4, and every implementation must keep them:
//!
//! - **Ok means durable.** When a commit has answered ok, all of its entries survive the loss of power.
//! - **A prefix survives.** Entries take effect in the order in which they were given, over all commits. Of those that no commit
//!   has confirmed, what is found at the next opening is a prefix: never a later entry without the earlier ones.
//! - **A failed sync is final.** After it nobody knows what the disk has: the journal answers [`JournalError::Unconfirmed`], and
//!   takes nothing until it is opened anew. A second sync of the same file that succeeds proves nothing.
//!
//! What is written first, when it is applied, how often that is tried and what readers see meanwhile is the engine's business.
//!
//! There are no instants here, for the engine knows no wall clock: a journal stamps what it appends and parks by its own, and
//! tells ages when it is claimed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::sink::OperationId;
use crate::error::{Cause, Fault};
use crate::tier::shared::{EnvelopeValue, Owner};
use crate::value::length;

/// What an operation weighs in a journal beside its key and value, in bytes, as bounds count it.
const OPERATION_BYTES: u64 = 64;

/// One write as a journal keeps it: a whole value for a key, or its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its name for good: the sink is given the same with every attempt, over restarts too.
    pub id: OperationId,
    /// The key's whole text.
    pub key: Bytes,
    /// The value; `None` where the key is not to exist any more.
    pub value: Option<EnvelopeValue>,
    /// The TTL that its writer asked for, from when it is appended; `None` for that of the namespace. The age that a journal tells
    /// is taken off it.
    pub ttl: Option<Duration>,
}

impl Operation {
    /// What it weighs for the bounds on a journal, in bytes: key, value and what goes with them.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        let value = self.value.as_ref().map_or(0, EnvelopeValue::len);
        OPERATION_BYTES.saturating_add(length(self.key.len())).saturating_add(length(value))
    }
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalEntry {
    /// A write to be applied.
    Append(Operation),
    /// The write of this id needs no more doing: it was applied, a later write of its key took its place, or somebody dropped it.
    Settle(OperationId),
    /// The write of this id is a dead letter from now on.
    Park {
        /// Whose it is.
        id: OperationId,
        /// What the sink said last, for the operator: little more than 1 KiB at most.
        reason: Arc<str>,
        /// How often it was tried.
        attempts: u32,
    },
    /// The dead letter of this id is to be applied again, in its old place among those that were appended: a later write of its key
    /// may be there already.
    Revive(OperationId),
}

/// A write that a journal held when it was claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The write.
    pub operation: Operation,
    /// How long ago it was appended, or revived.
    pub age: Duration,
}

/// A dead letter that a journal held when it was claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptDead {
    /// The write.
    pub operation: Operation,
    /// How long ago it was parked.
    pub age: Duration,
    /// What the sink said last.
    pub reason: Arc<str>,
    /// How often it was tried.
    pub attempts: u32,
}

/// What a journal held when it was claimed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Writes that are to be applied, in the order in which they were appended.
    pub pending: Vec<Kept>,
    /// Dead letters, the oldest first.
    pub dead: Vec<KeptDead>,
}

/// Why a journal did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// It has no room for what was to be appended; nothing was done. It keeps room for every other entry.
    #[error(
        "the journal is full: {held_bytes} of {limit_bytes} bytes are taken by writes that are not applied yet"
    )]
    Full {
        /// What it holds, in bytes.
        held_bytes: u64,
        /// The most that it holds, in bytes.
        limit_bytes: u64,
    },
    /// It could not write; nothing was done, and nothing of it will be found later. The same commit can succeed later.
    #[error("the journal could not be written, nothing was done: see that its disk has room and works")]
    Failed {
        /// What the disk said; for the operator.
        #[source]
        cause: Cause,
    },
    /// A sync failed. Any prefix of the commit may be found at the next opening; until then the journal takes nothing.
    #[error("the journal could not be synced: it takes nothing more until it is opened anew")]
    Unconfirmed {
        /// What the disk said; for the operator.
        #[source]
        cause: Cause,
    },
    /// A sync failed before; nothing was done.
    #[error("the journal takes nothing since a sync of it failed: see to its disk, then start anew")]
    Poisoned,
    /// It has an owner already; nothing was done.
    #[error("the journal belongs to {by}: one instance at a time owns a namespace that writes behind")]
    InUse {
        /// Who has it.
        by: String,
    },
    /// What was found in it is damaged. It is not opened, so that nothing is lost silently.
    #[error("the journal is damaged at {place}: {problem}")]
    Damaged {
        /// Where: a file, an offset.
        place: String,
        /// What is wrong there, and what to do.
        problem: String,
    },
}

impl JournalError {
    /// Whether what was asked for may be found done at the next opening all the same.
    #[must_use]
    pub fn unknown_outcome(&self) -> bool {
        matches!(self, Self::Unconfirmed { .. })
    }

    /// Whether the same request can succeed later without anybody's doing.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Failed { .. })
    }

    /// Whether it takes nothing until it is opened anew.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !self.may_retry()
    }

    /// Whose fault it is: of who asked for what another has, otherwise of this process and its disk.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::InUse { .. } => Fault::Caller,
            _ => Fault::Forebay,
        }
    }
}

/// A commit under way.
pub type Committing<'a> = Pin<Box<dyn Future<Output = Result<(), JournalError>> + Send + 'a>>;

/// A log of writes on stable storage.
///
/// Opening one, checking it and finding its end is the implementation's; so is freeing the room of what was settled.
pub trait Journal: Send + Sync + 'static {
    /// Takes it into the possession of one namespace, and tells what it holds. Whoever opened it keeps others from opening it, in
    /// any process; it can be claimed once for each opening.
    ///
    /// # Errors
    /// [`JournalError::InUse`] where it was claimed before; [`JournalError::Damaged`] where what it holds cannot be told.
    fn claim(&self, owner: &Owner) -> Result<Recovered, JournalError>;

    /// Writes `entries` and makes them durable together, with one sync. The next commit comes after this one has answered. Dropped,
    /// it counts as unknown.
    ///
    /// An entry about an id that it does not hold changes nothing.
    ///
    /// # Errors
    /// [`JournalError::Full`] only where something is to be appended. With every error but
    /// [`JournalError::Unconfirmed`] nothing was done.
    fn commit<'a>(&'a self, entries: &'a [JournalEntry]) -> Committing<'a>;
}

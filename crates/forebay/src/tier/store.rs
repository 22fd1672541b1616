//! The contract of a store: where the values of a namespace are that are themselves the truth.
//!
//! A store belongs to one process. The engine holds copies of what is stored in its memory, which follow every change, and orders the
//! changes of one key; the store keeps them, in the order in which it took them. Four rules keep promise P8, and every
//! implementation must keep them:
//!
//! - **All of them, or none.** Changes that are appended together take effect together, at one moment before the append answers ok:
//!   every load and listing that begins after that sees all of them. Where it answers with an error, none took effect and none
//!   will, but for [`StoreError::Unconfirmed`]. The engine waits for the answer, however long that takes, and changes the key no
//!   further before.
//! - **A prefix survives.** After a crash a store holds what was appended up to some moment, and nothing of what came after it.
//! - **Durable as asked.** What was appended with [`Durability::Always`] survives the loss of power once it is answered, and so does all
//!   that was appended before it. What was appended otherwise survives the end of the process, and the loss of power
//!   after the span it was given.
//! - **A failed sync is final.** The store takes nothing more until it is opened anew; what it holds can still be read.
//!
//! Hashes and sorted sets are told by what changed in them, so that a change of one field costs no more for a large hash than for a
//! small one.
//!
//! # Time
//!
//! There are no instants here: a store keeps the ends of values by a clock of its own, which goes on while the process does not. A
//! value whose time is over is not there any more.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::shared::Owner;
use crate::error::Cause;
use crate::value::{Blob, Hash, Kind, MemberChange, SortedSet, Value, length};

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Once it is on the disk: no acknowledged write is lost with the power.
    Always,
    /// Once the system has it: the end of the process takes nothing of it. The loss of power takes what was written within this span
    /// before it, at most.
    Interval(Duration),
    /// Once the system has it, which brings it to the disk when it sees fit.
    None,
}

/// A value as a store keeps it.
#[derive(Clone, Debug)]
pub enum StoredValue {
    /// Bytes with a content type.
    Blob(Blob),
    /// Fields and their values; complete ([`StoreError::Partial`] otherwise).
    Hash(Arc<Hash>),
    /// Members with scores.
    SortedSet(Arc<SortedSet>),
    /// A number.
    Counter(i64),
    /// A Rust value, as its codec wrote it.
    Encoded {
        /// The declared shape of what wrote it.
        shape: u32,
        /// Its bytes.
        bytes: Bytes,
    },
}

/// What a store holds for a key.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The value.
    pub value: StoredValue,
    /// After how long it ends, however much it is used; `None` where it does not.
    pub ends_in: Option<Duration>,
}

/// What a store tells of a key without handing out what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// What the value is.
    pub kind: Kind,
    /// What the value weighs, in bytes; of a Rust value its bytes as its codec wrote them.
    pub weight_bytes: u64,
    /// What the writer of a blob keeps with it, where there is something.
    pub metadata: Option<Box<[u8]>>,
    /// After how long it ends, however much it is used; `None` where it does not.
    pub ends_in: Option<Duration>,
}

impl From<Stored> for Described {
    fn from(Stored { value, ends_in }: Stored) -> Self {
        let metadata = match &value {
            StoredValue::Blob(blob) => blob.metadata().map(Box::from),
            _ => None,
        };
        Self { kind: value.kind(), weight_bytes: value.weight_bytes(), metadata, ends_in }
    }
}

/// What becomes of a key.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its whole text.
    pub key: Box<[u8]>,
    /// What becomes of its value.
    pub what: What,
    /// When the value ends.
    pub ends: Ends,
}

/// What becomes of a value.
#[derive(Clone, Debug)]
pub enum What {
    /// Nothing.
    Stays,
    /// It is this from now on.
    Put(StoredValue),
    /// Fields of the hash that is there have these values, or are not there any more.
    Fields(Vec<(Bytes, Option<Bytes>)>),
    /// Members of the sorted set that is there have these scores, or are not there any more.
    Members(Vec<MemberChange>),
    /// It is not there any more.
    Delete,
}

/// When a value ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// As before the change.
    AsBefore,
    /// Never by itself.
    Never,
    /// After so long.
    After(Duration),
    /// After the first span without a use, and after the second one however much it is used.
    Unused(Duration, Duration),
    /// It was used: no sooner than after so long, within what it was given, where it ends unused; otherwise as before the change.
    Used(Duration),
}

/// How many values there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All of them.
    pub keys: u64,
    /// Those among them that end by themselves.
    pub ending: u64,
}

/// What a store takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// The longest key, in bytes.
    pub key_bytes_max: usize,
    /// The largest blob, field with its value, or member, in bytes.
    pub value_bytes_max: usize,
    /// The most keys that one call loads or changes.
    pub batch_max: usize,
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk did not give what it holds.
    #[error("the store could not be read: see that its disk works")]
    Unread {
        /// What the disk said; for the operator.
        #[source]
        cause: Cause,
    },
    /// What was found of a value is damaged. It stays as it is, and no other value is touched by it.
    #[error("the store is damaged at {place}: {problem}")]
    Damaged {
        /// Where.
        place: String,
        /// What is wrong there, and what to do.
        problem: String,
    },
    /// It is beyond what the store takes; nothing was done.
    #[error("the store takes no {what} of {bytes} bytes: the limit is {limit_bytes}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is, in bytes.
        bytes: u64,
        /// The most that it may be, in bytes.
        limit_bytes: u64,
    },
    /// It is a hash of which only some fields are known; nothing was done. Put as it is, it would be taken for the whole.
    #[error(
        "the store takes no hash of which only a part is known: write the whole, or the fields that change"
    )]
    Partial,
    /// It could not write; nothing was done, and nothing of it will be found later. The same change can succeed later.
    #[error("the store could not be written, nothing was done: see that its disk has room and works")]
    Failed {
        /// What the disk said; for the operator.
        #[source]
        cause: Cause,
    },
    /// A sync failed, or nobody knows what became of a write. It may be there or not, also when the store is opened anew.
    #[error("the store could not be synced: it takes nothing more until it is opened anew")]
    Unconfirmed {
        /// What the disk said; for the operator.
        #[source]
        cause: Cause,
    },
    /// A sync failed before; nothing was done.
    #[error("the store takes nothing since a sync of it failed: see to its disk, then start anew")]
    Poisoned,
}

impl StoreError {
    /// Whether the same can succeed later without anybody's doing.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        matches!(self, Self::Unread { .. } | Self::Failed { .. })
    }

    /// Whether what was asked for may have been done all the same.
    #[must_use]
    pub fn unknown_outcome(&self) -> bool {
        matches!(self, Self::Unconfirmed { .. })
    }
}

/// An answer of a store that is under way.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Values on stable storage.
pub trait Store: Send + Sync + 'static {
    /// What it takes.
    fn limits(&self) -> StoreLimits;

    /// What is stored of `keys` (whole texts), in their order.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged. A dropped load leaves nothing behind.
    fn load<'a>(&'a self, of: &'a Owner, keys: &'a [&'a [u8]]) -> Reply<'a, Vec<Option<Stored>>>;

    /// What is told of `keys` (whole texts), in their order. However many they are and whatever they hold, no more than one of their
    /// values is in memory at a time.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    fn describe<'a>(&'a self, of: &'a Owner, keys: &'a [&'a [u8]]) -> Reply<'a, Vec<Option<Described>>>;

    /// Up to `limit` keys (whole texts) that come after `after` and begin with `prefix`, in the order of their bytes; fewer only where
    /// there are no more.
    ///
    /// # Errors
    /// When it cannot be read.
    fn list<'a>(
        &'a self,
        of: &'a Owner,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> Reply<'a, Vec<Box<[u8]>>>;

    /// How many values there are, without a look at each where that can be: who asks again and again is told by what has come and gone
    /// since. Of very many that have ended at once some may be counted for a while.
    ///
    /// # Errors
    /// When it cannot be read, or keeps no count any more, since a write of it failed.
    fn count<'a>(&'a self, of: &'a Owner) -> Reply<'a, Count>;

    /// Takes `changes`, all of them at once; waits where it has no room for them yet, and until they are as durable as asked.
    ///
    /// A change of part of a value names one that is there, of its kind: the engine has seen it in its order.
    ///
    /// # Errors
    /// Nothing was done, but for [`StoreError::Unconfirmed`].
    fn append<'a>(&'a self, of: &'a Owner, changes: Vec<Change>, durability: Durability) -> Reply<'a, ()>;

    /// Deletes all that `of` has, as one append.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    fn clear<'a>(&'a self, of: &'a Owner, durability: Durability) -> Reply<'a, ()>;
}

impl StoredValue {
    /// `value` as a store keeps it; `None` of a Rust value, which only its codec can write.
    #[must_use]
    pub fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Blob(blob) => Self::Blob(blob.clone()),
            Value::Hash(hash) => Self::Hash(Arc::clone(hash)),
            Value::SortedSet(set) => Self::SortedSet(Arc::clone(set)),
            Value::Counter(number) => Self::Counter(*number),
            Value::Native { .. } => return None,
        })
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Blob(_) => Kind::Blob,
            Self::Hash(_) => Kind::Hash,
            Self::SortedSet(_) => Kind::SortedSet,
            Self::Counter(_) => Kind::Counter,
            Self::Encoded { .. } => Kind::Native,
        }
    }

    /// What it weighs in memory, in bytes; of a Rust value its bytes as its codec wrote them.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        match self {
            Self::Blob(blob) => Value::Blob(blob.clone()).weight_bytes(),
            Self::Hash(hash) => Value::Hash(Arc::clone(hash)).weight_bytes(),
            Self::SortedSet(set) => Value::SortedSet(Arc::clone(set)).weight_bytes(),
            Self::Counter(number) => Value::Counter(*number).weight_bytes(),
            Self::Encoded { bytes, .. } => length(bytes.len()),
        }
    }
}

impl What {
    /// Refuses a hash that is to be put and of which only a part is known.
    ///
    /// # Errors
    /// [`StoreError::Partial`].
    pub fn check_complete(&self) -> Result<(), StoreError> {
        match self {
            Self::Put(StoredValue::Hash(hash)) if hash.len().is_none() => Err(StoreError::Partial),
            _ => Ok(()),
        }
    }

    /// What makes `before` become `after`, as far as that is one collection that was changed; `None` where it must be put whole.
    #[must_use]
    pub fn between(before: &Value, after: &Value) -> Option<Self> {
        match (before, after) {
            (Value::Hash(before), Value::Hash(after)) => {
                let changes = after.changes_since(before);
                // Most of it is new: what was there is not worth keeping.
                (changes.len() <= after.known_len()).then_some(Self::Fields(changes))
            }
            (Value::SortedSet(before), Value::SortedSet(after)) => {
                let changes = after.changes_since(before);
                (changes.len() <= after.len()).then_some(Self::Members(changes))
            }
            _ => None,
        }
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        match self {
            Self::Stays => true,
            Self::Fields(fields) => fields.is_empty(),
            Self::Members(members) => members.is_empty(),
            Self::Put(_) | Self::Delete => false,
        }
    }
}

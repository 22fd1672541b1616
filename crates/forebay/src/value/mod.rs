//! What is cached, and how much it weighs.
//!
//! A value is a blob of bytes with a content type, any Rust value held as it is, a hash, a sorted set or a counter. Values
//! lie behind an `Arc`: a hit hands out another reference and copies nothing. Blobs and Rust values are immutable; the
//! collections are persistent, so that a writer changes its own in O(log n) while readers keep what they took.

mod blob;
mod codec;
pub mod counter;
mod hash;
mod key;
mod name;
mod origin;
mod overtaken;
mod sorted_set;
mod tree;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::rt::Tick;

pub use blob::Blob;
pub(crate) use codec::AnyCodec;
pub use codec::Codec;
pub(crate) use hash::Past;
pub use hash::{Field, FieldState, Fields, Hash};
pub use key::{FromParam, FromParams, Key, KeyBuf, KeyPart, Param, TakeParts};
pub use name::Page;
pub use origin::{Extras, Position, Tag, Version};
pub(crate) use overtaken::{Overtaken, apply_changes};
pub use sorted_set::{
    Aggregate, Direction, MemberChange, Members, Score, ScoreError, SortedSet, Taken, Upsert,
};

/// What processors fetch at once, in bytes; and how much of a blob is fetched ahead of its reader.
const CACHE_LINE_BYTES: usize = 64;
const LINES_AHEAD: usize = 4;

/// A cached value.
#[derive(Clone)]
pub enum Value {
    /// Bytes with a content type: what every front end can serve.
    Blob(Blob),
    /// A Rust value, for readers in this process.
    Native {
        /// The value.
        value: Arc<dyn Any + Send + Sync>,
        /// What it weighs with its heap, in bytes.
        weight_bytes: u32,
    },
    /// Fields and their values.
    Hash(Arc<Hash>),
    /// Members with scores.
    SortedSet(Arc<SortedSet>),
    /// A 64-bit number.
    Counter(i64),
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Bytes with a content type.
    Blob,
    /// A Rust value that only this process can read.
    Native,
    /// Fields and their values.
    Hash,
    /// Members with scores.
    SortedSet,
    /// A 64-bit number.
    Counter,
}

impl Kind {
    /// Its word in declarations, metrics and messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Native => "native",
            Self::Hash => "hash",
            Self::SortedSet => "sorted_set",
            Self::Counter => "counter",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Value {
    /// A Rust value that weighs `weight_bytes`, its heap included; beyond 4 GiB no more is counted. A [`Blob`], [`struct@Hash`], [`SortedSet`] or `i64` becomes
    /// the variant made for it, and weighs what it weighs.
    pub fn native<V: Any + Send + Sync>(value: V, weight_bytes: u64) -> Self {
        let any = &value as &dyn Any;
        if let Some(blob) = any.downcast_ref::<Blob>() {
            return Self::from(blob.clone());
        }
        if let Some(hash) = any.downcast_ref::<Hash>() {
            return Self::from(hash.clone());
        }
        if let Some(set) = any.downcast_ref::<SortedSet>() {
            return Self::from(set.clone());
        }
        if let Some(number) = any.downcast_ref::<i64>() {
            return Self::Counter(*number);
        }
        Self::Native { value: Arc::new(value), weight_bytes: u32::try_from(weight_bytes).unwrap_or(u32::MAX) }
    }

    /// What front ends serve as bytes: a blob as it is, a counter as the text of its number; `None` of every other kind.
    #[must_use]
    pub fn to_blob(&self) -> Option<Blob> {
        match self {
            Self::Blob(blob) => Some(blob.clone()),
            Self::Counter(number) => Some(Blob::new(counter::print(*number), "text/plain")),
            Self::Native { .. } | Self::Hash(_) | Self::SortedSet(_) => None,
        }
    }

    /// Loads what a reader of the whole, or of a field, needs first of what the value refers to; something of it.
    #[inline]
    pub(crate) fn touch(&self, field: Option<&[u8]>) -> usize {
        let bytes = |bytes: &[u8]| {
            bytes.iter().step_by(CACHE_LINE_BYTES).take(LINES_AHEAD).map(|byte| usize::from(*byte)).sum()
        };
        match self {
            Self::Blob(blob) => bytes(blob.as_bytes()),
            Self::Hash(hash) => match field.map(|field| hash.state(field)) {
                Some(FieldState::Known(value)) => bytes(value),
                Some(FieldState::Absent | FieldState::Unknown) => 0,
                None => hash.known_len(),
            },
            Self::SortedSet(set) => set.len(),
            Self::Native { .. } | Self::Counter(_) => 0,
        }
    }

    /// The value as a `V`; `None` where it is something else. A [`Blob`] and a number are put behind a pointer for it, which
    /// allocates; [`as_blob`](Self::as_blob) and [`as_counter`](Self::as_counter) do not.
    #[must_use]
    pub fn typed<V: Any + Send + Sync>(self) -> Option<Arc<V>> {
        let any: Arc<dyn Any + Send + Sync> = match self {
            Self::Blob(blob) => Arc::new(blob),
            Self::Native { value, .. } => value,
            Self::Hash(hash) => hash,
            Self::SortedSet(set) => set,
            Self::Counter(number) => Arc::new(number),
        };
        any.downcast().ok()
    }

    /// Another reference to the value as a `V`; `None` where it is something else.
    #[inline]
    #[must_use]
    pub fn as_typed<V: Any + Send + Sync>(&self) -> Option<Arc<V>> {
        match self {
            // The type is asked for first, so that no more than the one reference is made.
            Self::Native { value, .. } if value.is::<V>() => Arc::clone(value).downcast().ok(),
            Self::Native { .. } => None,
            other => other.clone().typed(),
        }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Blob(_) => Kind::Blob,
            Self::Native { .. } => Kind::Native,
            Self::Hash(_) => Kind::Hash,
            Self::SortedSet(_) => Kind::SortedSet,
            Self::Counter(_) => Kind::Counter,
        }
    }

    /// The bytes, where it is a blob.
    #[must_use]
    pub fn as_blob(&self) -> Option<&Blob> {
        match self {
            Self::Blob(blob) => Some(blob),
            _ => None,
        }
    }

    /// Whether it is a blob with the same bytes, content type and metadata; of other values nobody knows.
    #[must_use]
    pub fn same_bytes(&self, other: &Self) -> bool {
        self.as_blob().is_some_and(|blob| other.as_blob() == Some(blob))
    }

    /// The hash, where it is one.
    #[must_use]
    pub fn as_hash(&self) -> Option<&Arc<Hash>> {
        match self {
            Self::Hash(hash) => Some(hash),
            _ => None,
        }
    }

    /// The hash to change, where it is one. Whoever holds it too keeps what it took; that costs O(1).
    pub fn hash_mut(&mut self) -> Option<&mut Hash> {
        match self {
            Self::Hash(hash) => Some(Arc::make_mut(hash)),
            _ => None,
        }
    }

    /// The sorted set, where it is one.
    #[must_use]
    pub fn as_sorted_set(&self) -> Option<&Arc<SortedSet>> {
        match self {
            Self::SortedSet(set) => Some(set),
            _ => None,
        }
    }

    /// The sorted set to change, where it is one. Whoever holds it too keeps what it took; that costs O(1).
    pub fn sorted_set_mut(&mut self) -> Option<&mut SortedSet> {
        match self {
            Self::SortedSet(set) => Some(Arc::make_mut(set)),
            _ => None,
        }
    }

    /// The number, where it is a counter.
    #[must_use]
    pub fn as_counter(&self) -> Option<i64> {
        match self {
            Self::Counter(number) => Some(*number),
            _ => None,
        }
    }

    /// Whether all of it is known, ended or not: a hash that is partial or has holes is not.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match self {
            Self::Hash(hash) => hash.len().is_some(),
            Self::Blob(_) | Self::Native { .. } | Self::SortedSet(_) | Self::Counter(_) => true,
        }
    }

    /// Whether all of it is known at `now`: a hash of which a field has ended is not, either.
    #[inline]
    #[must_use]
    pub fn is_complete_at(&self, now: Tick) -> bool {
        match self {
            Self::Hash(hash) => hash.is_complete_at(now),
            Self::Blob(_) | Self::Native { .. } | Self::SortedSet(_) | Self::Counter(_) => true,
        }
    }

    /// When the first part of it ends that says so itself.
    #[inline]
    #[must_use]
    pub fn earliest_end(&self) -> Option<Tick> {
        self.as_hash().and_then(|hash| hash.earliest_end())
    }

    /// Itself, with parts that end with the whole: what a client writes has no other ends.
    #[must_use]
    pub fn without_ends(mut self) -> Self {
        if self.earliest_end().is_some()
            && let Some(hash) = self.hash_mut()
        {
            hash.forget_ends();
        }
        self
    }

    /// Whether it is not a part only: every hash but a partial one is whole, holes or not.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.as_hash().is_none_or(|hash| hash.is_whole())
    }

    /// What it weighs, in bytes, without its key and the cache's bookkeeping: what it takes on the heap, and of a Rust value
    /// what its maker said. A counter lies in the value itself and weighs nothing beside it.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        match self {
            Self::Blob(blob) => blob.weight_bytes(),
            Self::Native { weight_bytes, .. } => u64::from(*weight_bytes),
            Self::Hash(hash) => hash.weight_bytes().saturating_add(COUNTS_BYTES),
            Self::SortedSet(set) => set.weight_bytes().saturating_add(COUNTS_BYTES),
            Self::Counter(_) => 0,
        }
    }

    /// Checks the structure of a collection.
    ///
    /// # Errors
    /// What does not hold.
    pub fn validate(&self) -> Result<(), String> {
        match self {
            Self::Hash(hash) => hash.validate(),
            Self::SortedSet(set) => set.validate(),
            Self::Blob(_) | Self::Native { .. } | Self::Counter(_) => Ok(()),
        }
    }
}

/// Every entry of memory has room for one.
const _: () = assert!(size_of::<Option<Value>>() == 24);

/// The counts of references before what lies behind an `Arc`.
const COUNTS_BYTES: u64 = 16;

impl From<Hash> for Value {
    fn from(hash: Hash) -> Self {
        Self::Hash(Arc::new(hash))
    }
}

impl From<SortedSet> for Value {
    fn from(set: SortedSet) -> Self {
        Self::SortedSet(Arc::new(set))
    }
}

impl From<Blob> for Value {
    fn from(blob: Blob) -> Self {
        Self::Blob(blob)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob(blob) => blob.fmt(f),
            Self::Native { weight_bytes, .. } => write!(f, "Native({weight_bytes} bytes)"),
            Self::Hash(hash) => hash.fmt(f),
            Self::SortedSet(set) => set.fmt(f),
            Self::Counter(number) => write!(f, "Counter({number})"),
        }
    }
}

/// A length in memory as the 64-bit number that weights are counted in.
pub(crate) fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

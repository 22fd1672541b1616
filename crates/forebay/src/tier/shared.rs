//! The contract of a shared tier: what instances hold in common between their memories and the source.
//!
//! A shared tier holds entries, hands out *leases*, and carries the invalidation log. Three rules keep P1 and P2 across
//! instances, and every implementation must keep them under any loss of messages:
//!
//! - **A fill needs its live lease.** A miss hands out a lease on its key, to one asker at a time. An invalidation of the key
//!   takes it away; so does its end, its release, a fill, and a new epoch. A lease that is gone never comes back.
//! - **An invalidation takes before it tells.** The lease goes with the entry, in one step; the record is appended in that
//!   step or after it, and the answer comes last. What is half done has an unknown outcome, and is asked for again.
//! - **Every answer tells the log's tail** of the moment it was read, so that a load notes its position without another
//!   round trip.
//!
//! Groups (tags, prefixes, namespaces, keyspaces) are only recorded: the tier does not look for what they take in. It is for
//! the instance to judge what it is handed: an envelope tells the position noted before its load, and is valid if no record
//! between that and the answer's `tail` matches it. An instance that does not know the log up to `tail` reads it first, or
//! loads. An envelope of another epoch is not valid.
//!
//! # Time
//!
//! There are no instants here, for clocks of two machines do not agree. A tier keeps its own; what it tells are spans as of
//! its answer, and its reader counts them from when it *sent* the question: that can only make an entry older. A fill's age is
//! counted from when it arrives, so that an entry may seem younger by the fill's way, at the most by the life of its lease.
//! Where its clock runs backwards a tier begins a new epoch.
//!
//! What to do with an answer, when to wait for somebody else's lease and when to go without a tier is the engine's business.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::Cause;
use crate::log::{Cursor, Log, Record};
use crate::value::{Tag, Version};

/// Whose entries: the names of a namespace and its keyspace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// The keyspace.
    pub keyspace: Arc<str>,
    /// The namespace.
    pub namespace: Arc<str>,
}

/// A value in the form that every instance reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvelopeValue {
    /// A blob.
    Blob {
        /// Its bytes.
        bytes: Bytes,
        /// Their media type.
        content_type: Arc<str>,
    },
    /// Another kind, or a Rust value, as its codec wrote it.
    Encoded {
        /// Its kind, such as `hash`.
        kind: Arc<str>,
        /// The declared shape of what its codec wrote: a codec of another shape cannot read it.
        shape: u32,
        /// Its bytes.
        bytes: Bytes,
    },
}

impl EnvelopeValue {
    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Blob { bytes, .. } | Self::Encoded { bytes, .. } => bytes.len(),
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An entry on its way to or from the tier. Spans are in milliseconds, as of the fill or the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The value; `None` is a remembered absence.
    pub value: Option<EnvelopeValue>,
    /// How long ago its load began.
    pub age_ms: u64,
    /// How long it is still fresh; 0 where it is stale.
    pub fresh_for_ms: u64,
    /// How long it is still of use, if only in place of a source that fails; shorter than it is fresh where it ends unused. With 0
    /// it is not told or kept at all.
    pub useless_after_ms: u64,
    /// The log's tail noted before its load.
    pub noted: Cursor,
    /// The groups that it belongs to, its namespace's own included.
    pub tags: Vec<Tag>,
    /// Its version, where it has one.
    pub version: Option<Version>,
    /// The declared shape of the namespace that loaded it; for one of another shape it is missing, so that new code does not meet old
    /// rows, nor new queries what old ones answered.
    pub shape: u32,
    /// A record marked it as stale: it may be served only if its source fails.
    pub expired: bool,
}

impl Envelope {
    /// Whether it may be served without a load, as far as time goes.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.fresh_for_ms > 0 && !self.expired
    }
}

/// The right to fill one key, drawn by the tier and never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lease(pub u128);

/// When a lease is asked for, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    /// How long it lives unless it is renewed: the load's time-out and a second.
    pub time: Duration,
    /// Asks for it also where what is held is fresh, for a refresh ahead of time or a read of the truth itself.
    pub even_if_fresh: bool,
}

/// What a tier says of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It holds this, and no lease goes with it: it is fresh, or none was asked for.
    Held(Envelope),
    /// The asker has the lease: it loads, and fills.
    Leased {
        /// The lease.
        lease: Lease,
        /// What is held nevertheless, stale or about to be replaced.
        held: Option<Envelope>,
    },
    /// Somebody else has the lease.
    Busy {
        /// When that ends, unless it is renewed. A fill, a release or an invalidation ends it earlier.
        for_at_most: Duration,
        /// What is held nevertheless.
        held: Option<Envelope>,
    },
    /// Nothing is held, and no lease was asked for.
    Missing,
}

/// What a tier says of several keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// The log's tail, as of the same moment as the answers: what a load for one of these leases notes.
    pub tail: Cursor,
    /// One answer a key, in the order of the keys.
    pub answers: Vec<Answer>,
}

/// A value for a key whose lease the caller has.
#[derive(Clone, Debug)]
pub struct Fill {
    /// The key's whole text.
    pub key: Box<[u8]>,
    /// The lease.
    pub lease: Lease,
    /// What to hold. Its `noted` is the `tail` that came with the lease.
    pub envelope: Envelope,
}

/// How a fill ended. Whatever it is, the lease is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// It is held.
    Stored,
    /// The lease was gone, or the tier knows that a group of the entry was invalidated since it was granted: nothing is stored.
    LeaseGone,
    /// What is held has a newer version.
    Older,
    /// It is larger than [`Capabilities::value_bytes_max`].
    TooLarge,
}

/// What a tier can do. What it cannot is declared here and never found out by a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Entries outlive a restart of the tier, in the same epoch where nothing was lost.
    pub survives_restart: bool,
    /// The most keys that one call takes; [`TierError::Refused`] beyond it.
    pub batch_max: usize,
    /// The largest value, in bytes.
    pub value_bytes_max: usize,
}

/// Why a tier did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TierError {
    /// It cannot be reached, or the connection was lost.
    #[error(
        "the shared tier cannot be reached: see that its server runs and that the network lets us through"
    )]
    Unreachable {
        /// What the connection said; for the operator.
        #[source]
        cause: Cause,
        /// Whether the request had left, so that it may have been carried out, or may yet be.
        sent: bool,
    },
    /// It did not answer in time; the request may have been carried out, or may yet be.
    #[error("the shared tier did not answer within {after:?}")]
    Timeout {
        /// How long was waited.
        after: Duration,
    },
    /// It answered that it will not; nothing was done.
    #[error("the shared tier refused: {problem}")]
    Refused {
        /// What it refused, and what to do.
        problem: String,
    },
}

impl TierError {
    /// Whether what was asked for may have been done, or may yet be.
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

/// An answer of a tier that is under way.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, TierError>> + Send + 'a>>;

/// A tier that instances share.
///
/// Each method is one exchange and takes effect at one moment between its call and its answer, or not at all; where the
/// answer is lost or the future dropped it may have taken effect, or may yet. Time-outs on what does not answer are the
/// implementation's, and short: whoever waits has a source to go to. Of what one exchange says, only [`get`](Self::get) and
/// [`fill`](Self::fill) go key by key: their moment may be another for each key, with the tail of `get` not after the first.
pub trait SharedTier: Log {
    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// What is held of `keys` (whole texts), and a lease on each that has to be loaded where `lease` asks for one.
    ///
    /// Look and lease are one step for each key: of those who ask at once, one gets the lease. A lease is live from that step
    /// on, so an answer that is lost leaves the key [`Busy`](Answer::Busy) until the lease ends. An entry that is of no use
    /// any more, or was filled in an earlier epoch, is not held.
    ///
    /// # Errors
    /// When the tier is out of reach, or more than [`Capabilities::batch_max`] keys are asked for.
    fn get<'a>(
        &'a self,
        of: &'a Owner,
        keys: &'a [&'a [u8]],
        lease: Option<LeaseTerms>,
    ) -> Reply<'a, Answers>;

    /// Stores what was loaded; how each ended, in order.
    ///
    /// For each key one step: if its lease is live and of this epoch, it ends, and the envelope replaces what is held unless
    /// that is [older](Filled::Older). This is what P1 rests on in the tier: an invalidation before that step has taken the
    /// lease, one after it removes the entry. An answer that was lost needs nothing: the lease ends by itself.
    ///
    /// # Errors
    /// When the tier is out of reach.
    fn fill<'a>(&'a self, of: &'a Owner, fills: &'a [Fill]) -> Reply<'a, Vec<Filled>>;

    /// Lets a live lease live for `time` from now; whether it was live.
    ///
    /// # Errors
    /// When the tier is out of reach: the lease may end.
    fn renew<'a>(&'a self, of: &'a Owner, key: &'a [u8], lease: Lease, time: Duration) -> Reply<'a, bool>;

    /// Ends a lease whose load brought nothing, so that the next asker gets one at once. One that is gone stays so.
    ///
    /// # Errors
    /// When the tier is out of reach: the lease ends by itself.
    fn release<'a>(&'a self, of: &'a Owner, key: &'a [u8], lease: Lease) -> Reply<'a, ()>;

    /// Carries out `records`: of single keys the leases go, and with them the entries are removed
    /// ([`Invalidate`](crate::log::Verb::Invalidate)) or marked ([`Expire`](crate::log::Verb::Expire)); then, or in the same
    /// step, all records are appended to the log, side by side. The place of the last; of none, the tail.
    ///
    /// A tier holds hashes whole: a record of a field ([`Reach::Field`](crate::log::Reach::Field)) does to its key's lease and
    /// entry what a record of that key does, and is appended as it is, so that instances lose no more than the field.
    ///
    /// Once it has answered, no `get` that begins tells what was removed, and no `fill` stores what was loaded under a lease
    /// that it took.
    ///
    /// # Errors
    /// When the tier is out of reach. With an [unknown outcome](TierError::unknown_outcome) ask again until it is confirmed: to
    /// carry out a record twice costs a load and breaks nothing.
    fn invalidate<'a>(&'a self, records: &'a [Record]) -> Reply<'a, Cursor>;
}

//! Where a write goes: the contract of a sink, and its words.
//!
//! A sink is given one write or many in one call and tells of each how it ended. It knows nothing of caching: time-outs, the
//! order of writes of one key, retries and what becomes of copies are the business of whoever calls it.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::num::ParseIntError;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Cause;
use crate::source::LoadKey;
use crate::value::{Value, Version};

/// Names one write for good: every attempt at it carries the same, so that a sink that remembers the operations it has applied
/// applies none twice. Its text is 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(u128);

impl OperationId {
    /// The next id of this thread: 64 bits by chance, drawn once for each thread, and a count. Two are never the same in practice, and those
    /// of one thread follow each other, so that a table of ids grows at few places: a page of it takes many of them, where each by chance takes a page of its own.
    #[must_use]
    pub fn next() -> Self {
        thread_local! {
            static NEWEST: Cell<u128> =
                Cell::new(u128::from(RandomState::new().build_hasher().finish()) << u64::BITS);
        }
        let number = NEWEST.get().wrapping_add(1);
        NEWEST.set(number);
        Self(number)
    }

    /// The id of this number, as a journal has kept it.
    #[must_use]
    pub const fn new(number: u128) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u128 {
        self.0
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for OperationId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

/// What a write does to its key. Applied twice it does what it did once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// The key has this whole value from now on, new or not.
    Put(Value),
    /// The key does not exist any more; that it did not is no fault.
    Delete,
    /// Fields of its hash have these values from now on, `None` for one that does not exist any more; all of them or none. Other
    /// fields stay as they are, and a hash that was not there is made.
    Fields(Vec<(Bytes, Option<Bytes>)>),
}

/// One write that a sink is to apply.
#[derive(Clone, Debug)]
pub struct SinkWrite {
    /// The same for every attempt at this write, and for no other.
    pub id: OperationId,
    /// The key.
    pub key: LoadKey,
    /// What is done to it.
    pub change: Change,
}

/// A write that a sink has applied, and what it knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// Whether a load would give just what was written, so that a copy of it may be held. Otherwise the copy that was held goes, and
    /// the next read loads.
    pub as_written: bool,
    /// The version that the key has by this write, where the sink knows; an older one that a load brings does not replace it.
    pub version: Option<Version>,
}

impl Applied {
    /// A load would give just what was written.
    #[must_use]
    pub const fn as_written() -> Self {
        Self { as_written: true, version: None }
    }

    /// A load gives something else, such as a row with defaults filled in.
    #[must_use]
    pub const fn otherwise() -> Self {
        Self { as_written: false, version: None }
    }

    /// Itself, of `version`.
    #[must_use]
    pub const fn of_version(self, version: Version) -> Self {
        Self { version: Some(version), ..self }
    }
}

/// What a sink tells of the writes that it was given, in their order.
pub type Outcomes = Vec<Result<Applied, SinkError>>;

/// Writes under way.
pub type Applying<'a> = Pin<Box<dyn Future<Output = Outcomes> + Send + 'a>>;

/// Where writes go.
pub trait Sink: Send + Sync + 'static {
    /// Whether `change` of `key` is a write that it takes, as far as that can be told without asking anybody. What is told here is told
    /// to the writer, before anything is acknowledged, journaled or written; a write that is let through and refused by
    /// [`apply`](Self::apply) is a dead letter where writes go behind. It is asked by the writer's task, so it does not take long.
    ///
    /// Unless it says otherwise a sink takes every write.
    ///
    /// # Errors
    /// What is wrong with the write, and what to write instead.
    fn check(&self, namespace: &str, key: &LoadKey, change: &Change) -> Result<(), Unfit> {
        let _ = (namespace, key, change);
        Ok(())
    }

    /// Applies `writes`, of which no two are of one key; one outcome each, in the same order. They need not be applied together:
    /// one that fails does not keep the others from being applied.
    ///
    /// The next write of a key comes after this one's outcome is told. A call that is dropped was not waited for any longer, and
    /// counts as unknown: whatever it has under way must end soon, applied or not, since it may not come after the next write. A
    /// sink that refuses a write of which an earlier attempt may still be under way says that this one is not applied either.
    fn apply<'a>(&'a self, namespace: &'a str, writes: &'a [SinkWrite]) -> Applying<'a>;
}

impl<S: Sink + ?Sized> Sink for Arc<S> {
    fn check(&self, namespace: &str, key: &LoadKey, change: &Change) -> Result<(), Unfit> {
        (**self).check(namespace, key, change)
    }

    fn apply<'a>(&'a self, namespace: &'a str, writes: &'a [SinkWrite]) -> Applying<'a> {
        (**self).apply(namespace, writes)
    }
}

/// Why a sink takes no such write: what is wrong with it, and what to write instead. Whoever wrote is told, so it names no secret.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(Cause);

impl Unfit {
    /// For what `cause` says.
    #[must_use]
    pub fn new(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(cause))
    }
}

/// What is known of a write that a sink does not confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing was done, by the sink's rules: the same write is refused again.
    Refused,
    /// Nothing was done; the same write can succeed later.
    Failed,
    /// It may have been applied, or may yet be: a time-out, a lost connection.
    Unknown,
}

/// Why a sink does not confirm a write.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{cause}")]
pub struct SinkError {
    /// What went wrong, for the operator.
    pub cause: Arc<dyn std::error::Error + Send + Sync>,
    /// What is known of the write.
    pub effect: Effect,
}

impl SinkError {
    /// The sink's rules forbid it: a constraint, a value that does not fit. It fails again until somebody changes something.
    #[must_use]
    pub fn refused(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { cause: Arc::new(cause), effect: Effect::Refused }
    }

    /// A failure before anything was done: no connection, an overloaded server, a transaction that was rolled back.
    #[must_use]
    pub fn failed(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { cause: Arc::new(cause), effect: Effect::Failed }
    }

    /// Nobody knows whether it was applied: the answer was lost. Where in doubt, this.
    #[must_use]
    pub fn unknown(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { cause: Arc::new(cause), effect: Effect::Unknown }
    }

    /// What it says, cut at [`REASON_BYTES_MAX`].
    pub(crate) fn reason(&self) -> Arc<str> {
        let mut reason = Reason(String::new());
        // It stops where nothing more fits.
        let _ = fmt::write(&mut reason, format_args!("{}", self.cause));
        reason.0.into()
    }
}

/// The most that is kept of what an error says, in bytes.
const REASON_BYTES_MAX: usize = 1_024;

/// The beginning of what an error says.
struct Reason(String);

impl fmt::Write for Reason {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = REASON_BYTES_MAX - self.0.len();
        let fits = text.floor_char_boundary(room);
        self.0.push_str(text.get(..fits).unwrap_or_default());
        if fits == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// A sink broke its contract: which outcome belongs to which write cannot be told.
#[derive(Debug, thiserror::Error)]
#[error("the sink was given {given} writes and told {told} outcomes: it must tell one each, in order")]
pub(crate) struct WrongCount {
    pub(crate) given: usize,
    pub(crate) told: usize,
}

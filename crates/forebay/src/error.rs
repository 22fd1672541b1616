//! What can go wrong: one error type, which says whose fault it is and whether to try again.
//!
//! Every waiter of a failed load gets the same error, so errors are cheap to clone. What a source said is kept for the
//! operator (`source()`); the message is fit for the caller's eyes.

use std::sync::Arc;
use std::time::Duration;

/// Whatever a source's own error was.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why a read, write or set-up failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key cannot be written with the namespace's pattern.
    #[error("namespace `{namespace}`: {problem}")]
    Key {
        /// The namespace asked.
        namespace: Arc<str>,
        /// What is wrong with the key.
        problem: String,
    },
    /// The namespace takes no writes by this door.
    #[error(
        "namespace `{namespace}` refuses writes: its values come from its source; declare `writes` as \
             \"cache\", \"through\" or \"behind\" to allow them"
    )]
    WritesRefused {
        /// The namespace asked.
        namespace: Arc<str>,
    },
    /// The namespace writes to its sink or store, which has to be waited for; this door does not.
    #[error(
        "namespace `{namespace}` writes to its sink or store: use `set`, `delete` and their like, which wait for it"
    )]
    SinkFirst {
        /// The namespace asked.
        namespace: Arc<str>,
    },
    /// The sink takes no such write, whatever the time: nothing was done, and what is held stays.
    #[error("namespace `{namespace}`: its sink does not take this write: {problem}")]
    Unfit {
        /// The namespace asked.
        namespace: Arc<str>,
        /// What is wrong with it and what to write instead, as the sink says.
        problem: Cause,
    },
    /// The sink refused the write, and would again: nothing was done, and what is held stays.
    #[error("namespace `{namespace}`: the sink refused the write")]
    SinkRefused {
        /// The namespace asked.
        namespace: Arc<str>,
        /// What the sink said; for the operator, not for the caller.
        #[source]
        cause: Cause,
    },
    /// The sink failed before it did anything, and what is held stays: the same write can succeed later.
    #[error("namespace `{namespace}`: the sink failed, nothing was written, try again")]
    SinkFailed {
        /// The namespace asked.
        namespace: Arc<str>,
        /// What the sink said; for the operator, not for the caller.
        #[source]
        cause: Cause,
    },
    /// Nobody knows whether the sink applied the write: it did not answer in time, or its answer was lost. What was held of the key is
    /// gone, so that the next read asks the source; until that has the write, a read may still find what was before.
    #[error(
        "namespace `{namespace}`: the sink did not confirm the write, which may have been applied: read the key, or write again"
    )]
    WriteUnconfirmed {
        /// The namespace asked.
        namespace: Arc<str>,
        /// What the sink said; for the operator, not for the caller. `None` where the engine was shut down under it.
        #[source]
        cause: Option<Cause>,
    },
    /// As many writes wait to be applied as may, or as much; nothing was done. The sink is slow or fails.
    #[error(
        "namespace `{namespace}`: its queue of writes is full, since the sink does not keep up: try again after {retry_after:?}"
    )]
    QueueFull {
        /// The namespace asked.
        namespace: Arc<str>,
        /// When to try again.
        retry_after: Duration,
    },
    /// An earlier write of the key could not be applied, and holds up the key until somebody replays or drops it; nothing was done.
    #[error(
        "namespace `{namespace}`: the key is parked by a write that could not be applied: replay or drop the dead letter \
             {dead_letter} first"
    )]
    Parked {
        /// The namespace asked.
        namespace: Arc<str>,
        /// The operation id of the dead letter, as its text.
        dead_letter: Arc<str>,
    },
    /// The journal did not take the write; nothing was done.
    #[error("namespace `{namespace}`: the write could not be journaled, nothing was written")]
    JournalFailed {
        /// The namespace asked.
        namespace: Arc<str>,
        /// What the journal said; for the operator, not for the caller.
        #[source]
        cause: Cause,
        /// Whether the same write can succeed later without anybody's doing.
        retry: bool,
    },
    /// Nobody knows whether the journal has the write. Where there is a cause it is not applied before the next start, and may be
    /// after it; where there is none the journal has not answered yet, and the write may be applied at any time.
    #[error("namespace `{namespace}`: {}", unconfirmed(.cause.as_ref()))]
    JournalUnconfirmed {
        /// The namespace asked.
        namespace: Arc<str>,
        /// What the journal said; for the operator, not for the caller. `None` where it did not answer in time, or the engine was shut
        /// down under it.
        #[source]
        cause: Option<Cause>,
    },
    /// The store did not do what it was asked; nothing was written.
    #[error("namespace `{namespace}`: the store failed, nothing was written")]
    StoreFailed {
        /// The namespace asked.
        namespace: Arc<str>,
        /// What the store said; for the operator, not for the caller.
        #[source]
        cause: Cause,
        /// Whether the same can succeed later without anybody's doing.
        retry: bool,
    },
    /// Nobody knows whether the store has the write, or whether that outlives the loss of power.
    #[error(
        "namespace `{namespace}`: the store did not confirm the write, which may have been made: read the key, or write again"
    )]
    StoreUnconfirmed {
        /// The namespace asked.
        namespace: Arc<str>,
        /// What the store said; for the operator, not for the caller. `None` where it did not answer in time.
        #[source]
        cause: Option<Cause>,
    },
    /// The namespace journals whole values and deletes, and no changes to part of a value.
    #[error(
        "namespace `{namespace}` takes whole values only, since its writes go behind: write the whole value"
    )]
    WholeOnly {
        /// The namespace asked.
        namespace: Arc<str>,
    },
    /// The value is of another kind than the verb is for.
    #[error(
        "namespace `{namespace}` holds a {found} under this key, not a {wanted}: use the verbs of its kind"
    )]
    WrongKind {
        /// The namespace asked.
        namespace: Arc<str>,
        /// What the verb is for.
        wanted: &'static str,
        /// What the key holds.
        found: &'static str,
    },
    /// The value is none of the kind that the namespace declares; nothing was done.
    #[error("namespace `{namespace}`: {problem}")]
    Misfit {
        /// The namespace asked.
        namespace: Arc<str>,
        /// What is declared, what was to be written and what to write instead: a [`Misfit`](crate::namespace::kind::Misfit).
        problem: Cause,
    },
    /// A change relative to a copy would be lost when the copy is, or made twice.
    #[error(
        "namespace `{namespace}` takes no changes relative to what it holds, which is a copy: change the source, then \
             invalidate the key"
    )]
    RelativeRefused {
        /// The namespace asked.
        namespace: Arc<str>,
    },
    /// What is held may have been invalidated by another instance, whose record is not heard, and no source is behind it: it is
    /// neither shown nor changed in part. Nothing was done.
    #[error(
        "namespace `{namespace}`: the shared tier is not heard, and what is held may have been invalidated elsewhere: try again, or \
             write the whole value"
    )]
    Suspect {
        /// The namespace asked.
        namespace: Arc<str>,
    },
    /// What a change of several keys began with was changed, dropped or ended by somebody else before it was committed, in a namespace
    /// that has neither store nor source; nothing was done.
    #[error(
        "namespace `{namespace}`: another client changed one of the keys meanwhile, nothing was done: begin again"
    )]
    ChangedMeanwhile {
        /// The namespace asked.
        namespace: Arc<str>,
    },
    /// The change is of more keys than the store changes at once; nothing was done.
    #[error(
        "namespace `{namespace}`: {keys} keys cannot be changed at once, the limit is {keys_max}: change fewer"
    )]
    TooManyKeys {
        /// The namespace asked.
        namespace: Arc<str>,
        /// How many there were.
        keys: usize,
        /// The most that the store takes.
        keys_max: usize,
    },
    /// The value can never be kept: it is larger than the memory's share for one value.
    #[error(
        "namespace `{namespace}`: a value of {weight_bytes} bytes cannot be kept, the limit is {limit_bytes}"
    )]
    TooLarge {
        /// The namespace asked.
        namespace: Arc<str>,
        /// What key, value and bookkeeping weigh, in bytes.
        weight_bytes: u64,
        /// The most one entry may weigh, in bytes.
        limit_bytes: u64,
    },
    /// The source answered with an error.
    #[error("namespace `{namespace}`: the source failed")]
    Source {
        /// The namespace asked.
        namespace: Arc<str>,
        /// What the source said; for the operator, not for the caller.
        #[source]
        cause: Cause,
        /// Whether the same request can succeed later.
        retry: bool,
    },
    /// The source did not answer in time.
    #[error("namespace `{namespace}`: the source did not answer within {after:?}")]
    Timeout {
        /// The namespace asked.
        namespace: Arc<str>,
        /// The declared time-out of the loader.
        after: Duration,
    },
    /// More keys miss than the source can be asked for and its queue holds, or more writes wait for the sink; or a write has waited
    /// too long for those of its key before it. Nothing was done.
    #[error("namespace `{namespace}`: the source or sink is overloaded, try again after {retry_after:?}")]
    Overloaded {
        /// The namespace asked.
        namespace: Arc<str>,
        /// When to try again.
        retry_after: Duration,
    },
    /// The source has failed so often that it is left alone for a while.
    #[error(
        "namespace `{namespace}`: the source keeps failing and is left alone, try again after {retry_after:?}"
    )]
    BreakerOpen {
        /// The namespace asked.
        namespace: Arc<str>,
        /// When it is asked again.
        retry_after: Duration,
    },
    /// The shared tier may not know of an invalidation. It was done here, and is told to the tier later; until then other
    /// instances may serve what was to be gone.
    #[error("the shared tier did not confirm the invalidation; it is told again until it does")]
    Unconfirmed {
        /// What the tier said; for the operator.
        cause: Option<Cause>,
    },
    /// The load ended without an answer: its source panicked, or the engine was shut down under it.
    #[error("namespace `{namespace}`: the load ended without an answer ({how})")]
    LoadLost {
        /// The namespace asked.
        namespace: Arc<str>,
        /// How it ended.
        how: Lost,
    },
    /// A namespace or keyspace cannot be built as asked.
    #[error("namespace `{namespace}`: {problem}")]
    Build {
        /// The namespace being built.
        namespace: Arc<str>,
        /// What is wrong and what to write instead.
        problem: String,
    },
    /// Somebody has a handle of a namespace of that name.
    #[error(
        "namespace `{namespace}` is there already in keyspace `{keyspace}`: clone its handle, drop all of its handles before it is \
             built anew, or take another name"
    )]
    NameTaken {
        /// The namespace being built.
        namespace: Arc<str>,
        /// The keyspace that it was to be part of.
        keyspace: Arc<str>,
    },
    /// The engine needs a tokio runtime to load on.
    #[error("no tokio runtime here: build the engine inside one, or hand one to the builder")]
    NoRuntime,
}

/// How a load ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The source panicked.
    Panicked,
    /// The load's task was ended from outside.
    Ended,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Panicked => "the source panicked",
            Self::Ended => "its task was ended",
        })
    }
}

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The one who asked: asking again the same way fails again.
    Caller,
    /// The source or sink behind the namespace.
    Source,
    /// This process.
    Forebay,
}

/// What is to be said of a write that a journal did not confirm.
fn unconfirmed(cause: Option<&Cause>) -> &'static str {
    match cause {
        Some(_) => "the journal did not confirm the write, which may be applied after a restart",
        None => {
            "the journal has not answered yet, the write may be applied at any time: read before you write again"
        }
    }
}

impl Error {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Key { .. }
            | Self::WritesRefused { .. }
            | Self::TooLarge { .. }
            | Self::TooManyKeys { .. }
            | Self::SinkFirst { .. }
            | Self::Unfit { .. }
            | Self::SinkRefused { .. }
            | Self::WholeOnly { .. }
            | Self::WrongKind { .. }
            | Self::Misfit { .. }
            | Self::RelativeRefused { .. }
            | Self::Build { .. }
            | Self::NameTaken { .. }
            | Self::NoRuntime => Fault::Caller,
            Self::Source { .. }
            | Self::Timeout { .. }
            | Self::Overloaded { .. }
            | Self::BreakerOpen { .. }
            | Self::SinkFailed { .. }
            | Self::QueueFull { .. }
            | Self::Parked { .. }
            | Self::WriteUnconfirmed { cause: Some(_), .. }
            | Self::LoadLost { how: Lost::Panicked, .. } => Fault::Source,
            Self::WriteUnconfirmed { cause: None, .. }
            | Self::LoadLost { how: Lost::Ended, .. }
            | Self::Suspect { .. }
            | Self::ChangedMeanwhile { .. }
            | Self::JournalFailed { .. }
            | Self::StoreFailed { .. }
            | Self::StoreUnconfirmed { .. }
            | Self::JournalUnconfirmed { .. }
            | Self::Unconfirmed { .. } => Fault::Forebay,
        }
    }

    /// Whether the same request can succeed later without a change.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        match self {
            Self::Source { retry, .. }
            | Self::JournalFailed { retry, .. }
            | Self::StoreFailed { retry, .. } => *retry,
            Self::Timeout { .. }
            | Self::Overloaded { .. }
            | Self::BreakerOpen { .. }
            | Self::SinkFailed { .. }
            | Self::QueueFull { .. }
            | Self::WriteUnconfirmed { .. }
            | Self::Suspect { .. }
            | Self::ChangedMeanwhile { .. }
            | Self::JournalUnconfirmed { cause: None, .. }
            | Self::Unconfirmed { .. }
            | Self::LoadLost { .. } => true,
            _ => false,
        }
    }
}

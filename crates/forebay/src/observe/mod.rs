//! How reads and writes ended, said once: replies, headers, counters, metrics and tests are all made from it.
//!
//! It guarantees that an outcome is one value of a closed set, each with one word that never changes, and that counting
//! it costs a hit one uncontended addition ([`Counters`]). Distributions are kept in fixed memory ([`Histogram`]), the last
//! events of each key in a bounded ring ([`Events`]). When an outcome is reached, and which event happens, is told by
//! those who reach it: this room decides nothing and knows neither tier nor source.

mod changes;
mod counters;
mod events;
mod histogram;

use std::time::Duration;

use crate::error::{Error, Fault};
use crate::rt::Tick;

pub(crate) use changes::Changes;
pub use changes::{Change, Listener, Listening};
pub use counters::{AGE_SAMPLED_ONE_IN, Count, Counters, Counts, Histograms};
pub use events::{EVENTS_MAX, EVENTS_OF_KEY_MAX, Event, EventKey, Events, What};
pub use histogram::{Bucket, Distribution, Histogram};

/// Declares a closed set with a word for each member: in headers, metrics, logs and on pages.
macro_rules! words {
    ($(#[$about:meta])* pub enum $name:ident { $($(#[$meant:meta])* $member:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$meant])* $member,)+
        }

        impl $name {
            /// Every member, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$member,)+];

            /// Its word in headers, metrics and logs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$member => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// Which tier an answer came from.
    pub enum Tier {
        /// This process's memory.
        Memory = "memory",
        /// The tier that instances share.
        Shared = "shared",
        /// The source behind the namespace.
        Source = "source",
        /// None was asked: the key cannot exist (text that is not canonical for its parameter's type).
        Nowhere = "nowhere",
    }
}

/// How good an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// Within its TTL.
    Fresh,
    /// Past its TTL and served all the same.
    Stale(Why),
    /// Known not to exist.
    Absent,
}

impl Freshness {
    /// Its word in headers, metrics and logs; why a stale answer was served has a word of its own.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale(_) => "stale",
            Self::Absent => "absent",
        }
    }
}

words! {
    /// Why a stale value was served.
    pub enum Why {
        /// One refresh runs; the policy lets readers have the old value meanwhile.
        Revalidating = "revalidating",
        /// The source failed, or gave an older version than is held; the policy lets readers have the old value.
        SourceFailed = "source_failed",
        /// The load takes longer than the soft time-out; it goes on in the background.
        SlowSource = "slow_source",
        /// More keys miss than the source can be asked for, and this one was shed.
        Overloaded = "overloaded",
        /// The source has failed so often that it is left alone.
        BreakerOpen = "breaker_open",
    }
}

/// How a read ended that brought an answer; one that brought none ended in a [`ReadFailure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOutcome {
    /// Where the answer came from.
    pub tier: Tier,
    /// How good it is.
    pub freshness: Freshness,
    /// When the load that brought it began, on the engine's clock.
    pub began: Tick,
    /// How long ago that was.
    pub age: Duration,
    /// How long it stays fresh; zero for a stale one.
    pub fresh_for: Duration,
    /// How long ago it stopped being fresh; zero for a fresh one.
    pub stale_for: Duration,
}

words! {
    /// How a read ended that brought no answer.
    pub enum ReadFailure {
        /// The source answered with an error, or broke its contract.
        Source = "source",
        /// The source did not answer in time.
        Timeout = "timeout",
        /// The queue before the source was full.
        Overloaded = "overloaded",
        /// The source has failed so often that it is left alone.
        BreakerOpen = "breaker_open",
        /// The load ended without an answer: a panic, or a shutdown under it.
        Lost = "lost",
        /// What was asked for cannot be read: a key that is none of the namespace's, a type that is not its values'.
        Key = "key",
    }
}

impl From<&Error> for ReadFailure {
    /// The failure behind an error of a read. An error without an arm of its own is told by whose fault it is.
    fn from(error: &Error) -> Self {
        match error {
            Error::Source { .. } => Self::Source,
            Error::Timeout { .. } => Self::Timeout,
            Error::Overloaded { .. } => Self::Overloaded,
            Error::BreakerOpen { .. } => Self::BreakerOpen,
            Error::LoadLost { .. } => Self::Lost,
            _ => match error.fault() {
                Fault::Caller => Self::Key,
                Fault::Source => Self::Source,
                Fault::Forebay => Self::Lost,
            },
        }
    }
}

words! {
    /// How a write ended: a value written, a copy dropped, an invalidation.
    pub enum WriteOutcome {
        /// The value is held.
        Kept = "kept",
        /// The sink applied it; what is held followed.
        Applied = "applied",
        /// The store took it, which is the truth; what is held followed.
        Stored = "stored",
        /// It is journaled, and readers see it; the sink applies it later.
        Journaled = "journaled",
        /// The copy was dropped, and nothing else: the next read loads.
        Dropped = "dropped",
        /// What was held is gone, and loads that began before are fenced off.
        Invalidated = "invalidated",
        /// What was held is stale: served only where the source fails and the policy allows it.
        Expired = "expired",
        /// Nothing was done: the namespace or its sink takes no such write, or the key is none of its.
        Refused = "refused",
        /// Nothing was done: the sink or journal failed, too many writes wait for it, or what was to be changed is suspect.
        Failed = "failed",
        /// Nothing is held: the value weighs more than one entry may.
        TooLarge = "too_large",
        /// Done here, and not known to be done everywhere: a tier or sink did not confirm it.
        Unconfirmed = "unconfirmed",
    }
}

impl From<&Error> for WriteOutcome {
    /// The outcome behind an error of a write. What is not the caller's fault may have been done all the same.
    fn from(error: &Error) -> Self {
        match error {
            Error::TooLarge { .. } => Self::TooLarge,
            Error::Parked { .. } => Self::Refused,
            Error::SinkFailed { .. }
            | Error::QueueFull { .. }
            | Error::JournalFailed { .. }
            | Error::StoreFailed { .. }
            | Error::Overloaded { .. }
            | Error::BreakerOpen { .. }
            | Error::Suspect { .. }
            | Error::ChangedMeanwhile { .. } => Self::Failed,
            _ => match error.fault() {
                Fault::Caller => Self::Refused,
                Fault::Source | Fault::Forebay => Self::Unconfirmed,
            },
        }
    }
}

words! {
    /// What came of a journaled write.
    pub enum BehindEnd {
        /// The sink has applied it.
        Applied = "applied",
        /// It is without effect, since a later write of its key is to be applied.
        Overtaken = "overtaken",
        /// The sink failed; it is tried again.
        Retried = "retried",
        /// It is a dead letter.
        Parked = "parked",
        /// It was a dead letter, and is to be applied again.
        Revived = "revived",
        /// It was a dead letter, and was dropped.
        Dropped = "dropped",
    }
}

words! {
    /// Why what a load brought was not stored.
    pub enum Refusal {
        /// An invalidation came after the load began.
        Fenced = "fenced",
        /// What is held has a newer version.
        Older = "older",
        /// It had expired when it arrived.
        Expired = "expired",
        /// It weighs more than one entry may.
        TooLarge = "too_large",
    }
}

words! {
    /// What kind of group an invalidation took in.
    pub enum ReachKind {
        /// One key.
        Key = "key",
        /// What carries a tag.
        Tag = "tag",
        /// The keys of a namespace that begin alike.
        Prefix = "prefix",
        /// A namespace.
        Namespace = "namespace",
        /// A keyspace.
        All = "all",
    }
}

words! {
    /// What a refresh was good for: loading a value anew while the old one was still served.
    pub enum RefreshEnd {
        /// It brought a value other than the one it replaced.
        Changed = "changed",
        /// It brought the same value, or nobody read what it brought.
        Wasted = "wasted",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;
    use std::time::Duration;

    use super::{ReachKind, ReadFailure, RefreshEnd, Refusal, Tier, Why, WriteOutcome};
    use crate::error::{Error, Lost};

    #[test]
    fn no_two_members_of_a_set_share_a_word() {
        fn check(words: Vec<&str>) {
            assert!(
                words.iter().all(|word| word.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()))
            );
            assert_eq!(words.iter().collect::<HashSet<_>>().len(), words.len(), "{words:?}");
        }
        check(Tier::ALL.iter().map(|one| one.as_str()).collect());
        check(Why::ALL.iter().map(|one| one.as_str()).collect());
        check(ReadFailure::ALL.iter().map(|one| one.as_str()).collect());
        check(WriteOutcome::ALL.iter().map(|one| one.as_str()).collect());
        check(Refusal::ALL.iter().map(|one| one.as_str()).collect());
        check(ReachKind::ALL.iter().map(|one| one.as_str()).collect());
        check(RefreshEnd::ALL.iter().map(|one| one.as_str()).collect());
    }

    #[test]
    fn every_error_ends_a_read_and_a_write_in_one_way() {
        let name = || Arc::<str>::from("n");
        let after = Duration::from_secs(1);
        let errors = [
            (Error::Key { namespace: name(), problem: String::new() }, "key", "refused"),
            (Error::WritesRefused { namespace: name() }, "key", "refused"),
            (Error::TooLarge { namespace: name(), weight_bytes: 2, limit_bytes: 1 }, "key", "too_large"),
            (
                Error::Source { namespace: name(), cause: Arc::new(Error::NoRuntime), retry: true },
                "source",
                "unconfirmed",
            ),
            (Error::Timeout { namespace: name(), after }, "timeout", "unconfirmed"),
            (Error::Overloaded { namespace: name(), retry_after: after }, "overloaded", "failed"),
            (Error::BreakerOpen { namespace: name(), retry_after: after }, "breaker_open", "failed"),
            (Error::SinkFirst { namespace: name() }, "key", "refused"),
            (Error::SinkRefused { namespace: name(), cause: Arc::new(Error::NoRuntime) }, "key", "refused"),
            (Error::Unfit { namespace: name(), problem: Arc::new(Error::NoRuntime) }, "key", "refused"),
            (Error::SinkFailed { namespace: name(), cause: Arc::new(Error::NoRuntime) }, "source", "failed"),
            (Error::WriteUnconfirmed { namespace: name(), cause: None }, "lost", "unconfirmed"),
            (Error::QueueFull { namespace: name(), retry_after: after }, "source", "failed"),
            (Error::Parked { namespace: name(), dead_letter: name() }, "source", "refused"),
            (
                Error::JournalFailed { namespace: name(), cause: Arc::new(Error::NoRuntime), retry: true },
                "lost",
                "failed",
            ),
            (Error::JournalUnconfirmed { namespace: name(), cause: None }, "lost", "unconfirmed"),
            (Error::WholeOnly { namespace: name() }, "key", "refused"),
            (Error::LoadLost { namespace: name(), how: Lost::Panicked }, "lost", "unconfirmed"),
            (Error::LoadLost { namespace: name(), how: Lost::Ended }, "lost", "unconfirmed"),
            (Error::Build { namespace: name(), problem: String::new() }, "key", "refused"),
            (Error::NameTaken { namespace: name(), keyspace: name() }, "key", "refused"),
            (Error::Suspect { namespace: name() }, "lost", "failed"),
            (Error::NoRuntime, "key", "refused"),
        ];
        for (error, read, write) in errors {
            let words = (ReadFailure::from(&error).as_str(), WriteOutcome::from(&error).as_str());
            assert_eq!(words, (read, write), "{error}");
        }
    }
}

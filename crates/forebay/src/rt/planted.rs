//! Bugs that a test can plant in the shipped code, to prove that it would be found.
//!
//! Each [`Bug`] is asked for at one place in the engine. With feature `planted` a test switches one on for its own thread;
//! without the feature [`planted`] is a constant `false`, and the places compile to nothing.

use super::Tick;

/// A bug that can be planted, one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bug {
    /// A closed flight stores what it brings.
    NoFence,
    /// An invalidation leaves the flight that it closes on the board, and later readers join it.
    JoinOldFlight,
    /// An invalidation drops the copy and does not close the flight.
    FlightNotClosed,
    /// The fence is not asked when what comes is an absence.
    AbsenceNotFenced,
    /// A put does not close the flight that it overtakes.
    PutNotFencing,
    /// A read past every copy takes the flight that it finds in the air.
    FreshReadJoins,
    /// Every reader who misses leads a load of its own.
    NoSingleFlight,
    /// Whoever waits for a load whose source panics is never told.
    WaiterNotWokenOnPanic,
    /// A slot of the source is not given back.
    SlotKept,
    /// Age counts from the end of the load.
    AgeFromTheEnd,
    /// Expiry is judged by a clock that people set.
    ExpiryOnWallClock,
    /// The expiry of a key does not close its flight.
    ExpiryNotFencing,
    /// The log position is noted when the load has ended, not before it.
    PositionReadTooLate,
    /// A reader takes what lands without asking whether its group was invalidated meanwhile.
    LandingNotJudged,
    /// A load of a whole hash stores a field that was invalidated since it began.
    HoleForgotten,
    /// A tag's record that is forgotten for the bound leaves no floor.
    FloorNotRaised,
    /// A load does not wait for the instance that has the lease.
    LeaseIgnored,
    /// What the shared tier hands out is taken without asking whether its group was invalidated.
    EnvelopeNotJudged,
    /// An instance out of touch with the log trusts what it holds.
    SilenceTrusted,
    /// What was held before a gap in the log, or a new epoch, is trusted.
    GapNotSuspect,
    /// What the tier could not be told it is never told.
    UntoldForgotten,
    /// A write behind is acknowledged before the journal has it.
    AckBeforeDurable,
    /// What a write behind laid over its key ends when the sink is asked, not when the copies know of it.
    OverlayEndedEarly,
    /// A change of several keys is read while it is made.
    ChangeInParts,
    /// A journal on the disk answers before the commit is synced.
    AckBeforeSync,
    /// A journal tries a sync that failed once more, and goes on where that says that all is well.
    SyncRetried,
    /// A journal takes what it reads for what was written.
    ChecksumSkipped,
}

impl Bug {
    /// Every bug of the engine that the general suites find.
    pub const ALL: [Self; 23] = [
        Self::NoFence,
        Self::JoinOldFlight,
        Self::FlightNotClosed,
        Self::AbsenceNotFenced,
        Self::PutNotFencing,
        Self::FreshReadJoins,
        Self::NoSingleFlight,
        Self::WaiterNotWokenOnPanic,
        Self::SlotKept,
        Self::AgeFromTheEnd,
        Self::ExpiryOnWallClock,
        Self::ExpiryNotFencing,
        Self::PositionReadTooLate,
        Self::LandingNotJudged,
        Self::HoleForgotten,
        Self::FloorNotRaised,
        Self::LeaseIgnored,
        Self::EnvelopeNotJudged,
        Self::SilenceTrusted,
        Self::GapNotSuspect,
        Self::UntoldForgotten,
        Self::AckBeforeDurable,
        Self::OverlayEndedEarly,
    ];

    /// Every bug of changes of several keys.
    pub const OF_CHANGES: [Self; 1] = [Self::ChangeInParts];

    /// Every bug of journals, which are in another crate.
    pub const OF_JOURNALS: [Self; 3] = [Self::AckBeforeSync, Self::SyncRetried, Self::ChecksumSkipped];
}

/// Whether `bug` is planted in this thread.
#[cfg(not(feature = "planted"))]
#[must_use]
pub const fn planted(_: Bug) -> bool {
    false
}

/// What is planted in a thread, on its way to one that the thread starts.
#[cfg(not(feature = "planted"))]
#[derive(Clone, Copy, Debug)]
pub struct Seedling;

#[cfg(not(feature = "planted"))]
impl Seedling {
    /// What is planted in this thread: nothing.
    #[must_use]
    pub const fn of_this_thread() -> Self {
        Self
    }

    /// Plants it in this thread.
    pub const fn plant(self) {}
}

/// The present by which expiry is judged: `now`, unless a bug is planted.
#[cfg(not(feature = "planted"))]
#[must_use]
pub const fn judged_at(now: Tick) -> Tick {
    now
}

#[cfg(feature = "planted")]
pub use switch::{Planted, Seedling, judged_at, move_wall_clock, plant, planted};

#[cfg(feature = "planted")]
mod switch {
    use std::cell::Cell;
    use std::marker::PhantomData;

    use super::{Bug, Tick};

    thread_local! {
        static BUG: Cell<Option<Bug>> = const { Cell::new(None) };
        /// What the clock that people set is ahead of the monotonic one, in milliseconds.
        static WALL_AHEAD_MS: Cell<i64> = const { Cell::new(0) };
    }

    /// A planted bug; gone when dropped.
    #[derive(Debug)]
    pub struct Planted(PhantomData<*const ()>);

    impl Drop for Planted {
        fn drop(&mut self) {
            BUG.set(None);
            WALL_AHEAD_MS.set(0);
        }
    }

    /// Plants `bug` in this thread, in place of any other.
    #[must_use]
    pub fn plant(bug: Bug) -> Planted {
        BUG.set(Some(bug));
        WALL_AHEAD_MS.set(0);
        Planted(PhantomData)
    }

    /// Whether `bug` is planted in this thread.
    #[must_use]
    pub fn planted(bug: Bug) -> bool {
        BUG.get() == Some(bug)
    }

    /// What is planted in a thread, on its way to one that the thread starts.
    #[derive(Clone, Copy, Debug)]
    pub struct Seedling(Option<Bug>);

    impl Seedling {
        /// What is planted in this thread.
        #[must_use]
        pub fn of_this_thread() -> Self {
            Self(BUG.get())
        }

        /// Plants it in this thread, for as long as that lives.
        pub fn plant(self) {
            BUG.set(self.0);
        }
    }

    /// Somebody sets the clock `by_ms` milliseconds forward, or back.
    pub fn move_wall_clock(by_ms: i64) {
        WALL_AHEAD_MS.set(WALL_AHEAD_MS.get().saturating_add(by_ms));
    }

    /// The present by which expiry is judged: `now`, or what the clock that people set shows.
    #[must_use]
    pub fn judged_at(now: Tick) -> Tick {
        if planted(Bug::ExpiryOnWallClock) {
            Tick::from_ms(now.as_ms().saturating_add_signed(WALL_AHEAD_MS.get()))
        } else {
            now
        }
    }
}

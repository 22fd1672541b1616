//! Flights: the one load in progress for a key, those who wait for it, and the fence that an invalidation puts before it.
//!
//! A flight is a key's *generation*: an invalidation closes it and takes it off the board, so that a later reader leads a
//! new one and never joins the old; what the closed flight brings is handed to those who were aboard already and stored by
//! nobody. Keys without a flight need no generation, so the board holds nothing but what is in the air.

use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use tokio::sync::Notify;

use crate::error::{Error, Lost};
use crate::observe::Tier;
use crate::rt::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::rt::planted::{Bug, planted};
use crate::rt::{Mutex, Tick};
use crate::tier::memory::Held;
use crate::value::{Extras, Position, Value};

/// What a flight brought.
#[derive(Clone, Debug)]
pub(crate) struct Landing {
    /// The value; `None` where the key does not exist.
    pub(crate) value: Option<Value>,
    /// Where it came from: the source, or memory that was filled just before the flight began.
    pub(crate) tier: Tier,
    /// When the load began.
    pub(crate) began: Tick,
    /// When the value stops being fresh.
    pub(crate) fresh_until: Tick,
    /// The log position noted before the load: no record up to it makes the value invalid.
    pub(crate) position: Position,
    /// Its tags and version, where it has any.
    pub(crate) extras: Option<Arc<Extras>>,
}

impl Landing {
    /// What is held, or about to be, as a landing from `tier`.
    pub(crate) fn of(held: Held, tier: Tier) -> Self {
        let Held { value, began, fresh_until, position, extras, .. } = held;
        Self { value, tier, began, fresh_until, position, extras }
    }
}

/// One load in progress.
#[derive(Debug)]
pub(crate) struct Flight {
    hash: u64,
    key: Box<[u8]>,
    /// The log position noted before its load, as a number.
    noted: AtomicU64,
    closed: AtomicBool,
    landed: OnceLock<Result<Landing, Error>>,
    landing: Notify,
}

impl Flight {
    /// Whether what it brings may be stored. Ask under the lock of the insert: an invalidation closes the flight first and
    /// removes the entry after, under the same lock, so that one of the two sees the other.
    #[must_use]
    pub(crate) fn admits(&self) -> bool {
        !self.closed.load(Ordering::Acquire) || planted(Bug::NoFence)
    }

    /// The log position noted before its load: records up to it were there before it began.
    #[must_use]
    pub(crate) fn noted(&self) -> Position {
        Position::new(self.noted.load(Ordering::Acquire))
    }

    /// Notes a later position, before the source is asked.
    pub(crate) fn note(&self, position: Position) {
        self.noted.fetch_max(position.number(), Ordering::AcqRel);
    }

    /// Waits until it has landed, however it ends.
    ///
    /// # Errors
    /// The load's own, the same for every waiter.
    pub(crate) async fn wait(&self) -> Result<Landing, Error> {
        loop {
            let landing = self.landing.notified();
            if let Some(landed) = self.landed.get() {
                return landed.clone();
            }
            landing.await;
        }
    }

    fn land(&self, landed: Result<Landing, Error>) {
        // A second landing is the seat's drop after a proper one: the first stands.
        let _ = self.landed.set(landed);
        self.landing.notify_waiters();
    }
}

/// The board of flights of one namespace.
#[derive(Debug)]
pub(crate) struct Flights {
    namespace: Arc<str>,
    hasher: RandomState,
    board: Mutex<HashTable<Arc<Flight>>>,
}

/// A reader's place on a flight.
#[derive(Debug)]
pub(crate) enum Seat {
    /// The reader leads: it must load, and land the flight.
    Lead(Lead),
    /// Somebody else loads: wait for the landing.
    Follow(Arc<Flight>),
}

/// The duty to land a flight. Dropped without landing it, it lands with [`Error::LoadLost`], so that nobody waits for ever.
#[derive(Debug)]
pub(crate) struct Lead {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
}

impl Flights {
    /// An empty board.
    #[must_use]
    pub(crate) fn new(namespace: Arc<str>) -> Self {
        Self { namespace, hasher: RandomState::default(), board: Mutex::default() }
    }

    /// Joins the flight of `key`, or leads a new one, which notes `position`.
    #[must_use]
    pub(crate) fn board(self: &Arc<Self>, key: &[u8], position: Position) -> Seat {
        let hash = self.hasher.hash_one(key);
        let mut board = self.board.lock();
        let joined = board.find(hash, |flight| *flight.key == *key).filter(|_| !planted(Bug::NoSingleFlight));
        if let Some(flight) = joined {
            return Seat::Follow(Arc::clone(flight));
        }
        let flight = Arc::new(Flight {
            hash,
            key: key.into(),
            noted: AtomicU64::new(position.number()),
            closed: AtomicBool::new(false),
            landed: OnceLock::new(),
            landing: Notify::new(),
        });
        board.insert_unique(hash, Arc::clone(&flight), |flight| flight.hash);
        Seat::Lead(Lead { flights: Arc::clone(self), flight })
    }

    /// Closes the flight of `key`: nobody joins it any more, and what it brings is not stored. Whether there was one.
    pub(crate) fn close(&self, key: &[u8]) -> bool {
        let hash = self.hasher.hash_one(key);
        if planted(Bug::JoinOldFlight) {
            let board = self.board.lock();
            let found = board.find(hash, |flight| *flight.key == *key);
            return found.is_some_and(|flight| !flight.closed.swap(true, Ordering::AcqRel));
        }
        self.close_where(hash, |flight| *flight.key == *key)
    }

    /// Closes the flight of `key` if it noted a position before `at`.
    pub(crate) fn close_before(&self, key: &[u8], at: Position) {
        self.close_where(self.hasher.hash_one(key), |flight| *flight.key == *key && flight.noted() < at);
    }

    /// Closes every flight.
    pub(crate) fn close_all(&self) {
        let flights = std::mem::take(&mut *self.board.lock());
        for flight in &flights {
            flight.closed.store(true, Ordering::Release);
        }
    }

    /// Closes this very flight, if it is still on the board.
    pub(crate) fn close_this(&self, flight: &Arc<Flight>) {
        self.close_where(flight.hash, |other| Arc::ptr_eq(other, flight));
    }

    fn close_where(&self, hash: u64, is_it: impl FnMut(&Arc<Flight>) -> bool) -> bool {
        let mut board = self.board.lock();
        let Ok(found) = board.find_entry(hash, is_it) else { return false };
        let (flight, _) = found.remove();
        flight.closed.store(true, Ordering::Release);
        true
    }

    /// How many flights are in the air and can be joined.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.board.lock().len()
    }

    fn take_off_board(&self, flight: &Arc<Flight>) {
        let mut board = self.board.lock();
        if let Ok(found) = board.find_entry(flight.hash, |other| Arc::ptr_eq(other, flight)) {
            found.remove();
        }
    }
}

impl Lead {
    /// The flight that this leads.
    #[must_use]
    pub(crate) fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// Ends the flight: it leaves the board, then its waiters are told. What is to be stored must be stored before.
    pub(crate) fn land(self, landed: Result<Landing, Error>) {
        self.flights.take_off_board(&self.flight);
        self.flight.land(landed);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if self.flight.landed.get().is_some() {
            return;
        }
        self.flights.take_off_board(&self.flight);
        let how = if std::thread::panicking() { Lost::Panicked } else { Lost::Ended };
        self.flight.land(Err(Error::LoadLost { namespace: Arc::clone(&self.flights.namespace), how }));
    }
}

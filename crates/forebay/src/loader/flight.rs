//! Flights: the one load in progress for a key, those who wait for it, and the fence that an invalidation puts before it.
//!
//! A flight is a key's *generation*: an invalidation closes it and takes it off the board, so that a later reader leads a
//! new one and never joins the old; what the closed flight brings is handed to those who were aboard already and stored by
//! nobody. Keys without a flight need no generation, so the board holds nothing but what is in the air.
//!
//! What changes *part* of a value, a field of a hash or a member of a sorted set, does not close the flight of the whole: the
//! flight notes it, and the fill gives that part what was made of it meanwhile. A load of a single field is a flight of its
//! own, closed by whatever touches the field or its key.

#[cfg(test)]
#[cfg(feature = "model")]
mod model;

use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use tokio::sync::Notify;

use super::writing::{Crossed, Writing};
use crate::error::{Error, Lost};
use crate::observe::{Freshness, Tier};
use crate::rt::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::rt::planted::{Bug, planted};
use crate::rt::{Mutex, Tick};
use crate::tier::memory::Held;
use crate::value::{Extras, MemberChange, Overtaken, Position, Value, Version};

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
    /// How good it is, where it is a copy that is newer than what the source gave.
    pub(crate) newer: Option<Freshness>,
    /// The log position noted before the load: no record up to it makes the value invalid.
    pub(crate) position: Position,
    /// Its tags and version, where it has any.
    pub(crate) extras: Option<Arc<Extras>>,
}

impl Landing {
    /// What is held, or about to be, as a landing from `tier`.
    pub(crate) fn of(held: Held, tier: Tier) -> Self {
        let fresh_until = held.served_fresh_until();
        let Held { value, began, position, extras, .. } = held;
        Self { value, tier, began, fresh_until, newer: None, position, extras }
    }
}

/// One load in progress.
#[derive(Debug)]
pub(crate) struct Flight {
    hash: u64,
    key: Box<[u8]>,
    /// The field that it loads; `None` for the whole value.
    field: Option<Bytes>,
    /// What was done to parts of the value since it began.
    overtaken: Arc<Mutex<Overtaken>>,
    /// The log position noted before its load, as a number.
    noted: AtomicU64,
    closed: AtomicBool,
    /// Its load was under way when it was boarded: it took over from one whose waiters could wait no longer.
    continues: bool,
    landed: OnceLock<Result<Landing, Error>>,
    landing: Notify,
}

impl Flight {
    fn new(hash: u64, key: &[u8], field: Option<&Bytes>, noted: Position) -> Self {
        Self {
            hash,
            key: key.into(),
            field: field.cloned(),
            overtaken: Arc::default(),
            noted: AtomicU64::new(noted.number()),
            closed: AtomicBool::new(false),
            continues: false,
            landed: OnceLock::new(),
            landing: Notify::new(),
        }
    }

    /// Whether its load began before anybody boarded it.
    #[must_use]
    pub(crate) fn continues(&self) -> bool {
        self.continues
    }

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

    /// Whether part of the value was changed since it began: what it brings is old for a reader who begins now.
    #[must_use]
    pub(crate) fn is_overtaken(&self) -> bool {
        !self.overtaken.lock().is_empty()
    }

    /// What was done to parts of the value since it began. Ask under the lock of the insert: whoever changes a part notes it here
    /// first, and changes what is held after, under that lock.
    pub(crate) fn overtaken(&self) -> Overtaken {
        self.overtaken.lock().clone()
    }

    /// What it brought, once it has landed.
    pub(crate) fn landed(&self) -> Option<Result<Landing, Error>> {
        self.landed.get().cloned()
    }

    /// Waits until it has landed, however it ends.
    ///
    /// # Errors
    /// The load's own, the same for every waiter.
    pub(crate) async fn wait(&self) -> Result<Landing, Error> {
        if let Some(landed) = self.landed.get() {
            return landed.clone();
        }
        loop {
            let landing = self.landing.notified();
            if let Some(landed) = self.landed() {
                return landed;
            }
            landing.await;
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
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
    board: Board,
    /// Loads of single fields, where the source can do that.
    fields: Option<Board>,
    /// What is being written meanwhile, where the namespace has a sink.
    writing: Option<Arc<Writing>>,
}

type Board = Mutex<HashTable<Arc<Flight>>>;

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
    /// An empty board; `with_fields` where single fields are loaded too.
    #[must_use]
    pub(crate) fn new(namespace: Arc<str>, with_fields: bool) -> Self {
        let fields = with_fields.then(Board::default);
        Self { namespace, hasher: RandomState::default(), board: Board::default(), fields, writing: None }
    }

    /// Itself, for a namespace that writes to a sink.
    #[must_use]
    pub(crate) fn noting_writes(self) -> Self {
        Self { writing: Some(Arc::default()), ..self }
    }

    /// Notes that `key` is about to be written at the sink, and what comes across it; `None` where there is no sink.
    #[must_use]
    pub(crate) fn begin_write(&self, key: &[u8]) -> Option<Crossed> {
        self.writing.as_ref().map(|writing| writing.begin(key))
    }

    /// How many keys are being written at the sink.
    #[must_use]
    pub(crate) fn writes(&self) -> usize {
        self.writing.as_ref().map_or(0, |writing| writing.len())
    }

    fn cross(&self, key: &[u8]) {
        if let Some(writing) = &self.writing {
            writing.cross(key);
        }
    }

    /// Joins the flight of `key`, or leads a new one, which notes `position`.
    #[must_use]
    pub(crate) fn board(self: &Arc<Self>, key: &[u8], position: Position) -> Seat {
        self.join_or_lead(&self.board, key, None, position)
    }

    /// Joins the flight of a field of `key`, or leads a new one, which notes `position`; `None` where fields are not loaded singly.
    #[must_use]
    pub(crate) fn board_field(
        self: &Arc<Self>,
        key: &[u8],
        field: &Bytes,
        position: Position,
    ) -> Option<Seat> {
        self.fields.as_ref().map(|board| self.join_or_lead(board, key, Some(field), position))
    }

    fn join_or_lead(
        self: &Arc<Self>,
        board: &Board,
        key: &[u8],
        field: Option<&Bytes>,
        position: Position,
    ) -> Seat {
        let hash = self.hash(key, field);
        let mut board = board.lock();
        let is_it = |flight: &Arc<Flight>| *flight.key == *key && flight.field.as_ref() == field;
        let joined = board.find(hash, is_it).filter(|_| !planted(Bug::NoSingleFlight));
        if let Some(flight) = joined {
            return Seat::Follow(Arc::clone(flight));
        }
        let flight = Arc::new(Flight::new(hash, key, field, position));
        board.insert_unique(hash, Arc::clone(&flight), |flight| flight.hash);
        Seat::Lead(Lead { flights: Arc::clone(self), flight })
    }

    fn hash(&self, key: &[u8], field: Option<&Bytes>) -> u64 {
        match field {
            None => self.hasher.hash_one(key),
            Some(field) => self.hasher.hash_one((key, field)),
        }
    }

    /// Closes the flight of `key`, and those of its fields: nobody joins them any more, and what they bring is not stored.
    pub(crate) fn close(&self, key: &[u8]) {
        self.cross(key);
        self.close_fields(|flight| *flight.key == *key);
        let hash = self.hash(key, None);
        if planted(Bug::JoinOldFlight) {
            let board = self.board.lock();
            if let Some(flight) = board.find(hash, |flight| *flight.key == *key) {
                flight.close();
            }
            return;
        }
        close_where(&self.board, hash, |flight| *flight.key == *key);
    }

    /// Closes the flights of `key` and its fields that noted a position before `at`.
    pub(crate) fn close_before(&self, key: &[u8], at: Position) {
        self.cross(key);
        let is_it = |flight: &Flight| *flight.key == *key && flight.noted() < at;
        self.close_fields(is_it);
        close_where(&self.board, self.hash(key, None), is_it);
    }

    /// Notes that a field of `key` was changed or invalidated: a load of the field alone is closed, one of the whole leaves the
    /// field as it finds it.
    pub(crate) fn touch(&self, key: &[u8], field: &Bytes) {
        self.touch_where(key, field, |_| true);
    }

    /// Notes that a field of `key` was invalidated at `at` in the log, on the flights that noted a position before it.
    pub(crate) fn touch_before(&self, key: &[u8], field: &Bytes, at: Position) {
        self.touch_where(key, field, |flight| flight.noted() < at);
    }

    fn touch_where(&self, key: &[u8], field: &Bytes, concerns: impl Fn(&Flight) -> bool) {
        self.close_fields(|flight| {
            *flight.key == *key && flight.field.as_ref() == Some(field) && concerns(flight)
        });
        self.overtake(key, concerns, |overtaken| overtaken.touch(field.clone()));
    }

    /// Notes that members of the sorted set `key` were changed, as of `version`: a load of it takes the changes that its answer
    /// does not know.
    pub(crate) fn upsert(&self, key: &[u8], version: Version, changes: &[MemberChange]) {
        self.overtake(key, |_| true, |overtaken| overtaken.upsert(version, changes));
    }

    /// Lets the flight of the whole of `key` note a change; one that cannot note more is closed.
    fn overtake(
        &self,
        key: &[u8],
        concerns: impl Fn(&Flight) -> bool,
        note: impl FnOnce(&mut Overtaken) -> bool,
    ) {
        self.cross(key);
        let hash = self.hash(key, None);
        let flight = {
            let board = self.board.lock();
            board.find(hash, |flight| *flight.key == *key && concerns(flight)).cloned()
        };
        let Some(flight) = flight else { return };
        let noted = note(&mut flight.overtaken.lock());
        if !noted {
            // Whatever has taken its place on the board loads the same.
            close_where(&self.board, hash, |flight| *flight.key == *key);
        }
    }

    /// Closes every flight.
    pub(crate) fn close_all(&self) {
        if let Some(writing) = &self.writing {
            writing.cross_all();
        }
        for board in std::iter::once(&self.board).chain(&self.fields) {
            let flights = std::mem::take(&mut *board.lock());
            for flight in &flights {
                flight.close();
            }
        }
    }

    /// Closes this very flight, if it is still on the board.
    pub(crate) fn close_this(&self, flight: &Arc<Flight>) {
        if let Some(board) = self.board_of(flight) {
            close_where(board, flight.hash, |other| std::ptr::eq(other, Arc::as_ptr(flight)));
        }
    }

    /// Closes the flights of single fields that `is_it` names. There are no more of them than wait for the source.
    fn close_fields(&self, is_it: impl Fn(&Flight) -> bool) {
        let Some(fields) = &self.fields else { return };
        fields.lock().retain(|flight| {
            let closes = is_it(flight);
            if closes {
                flight.close();
            }
            !closes
        });
    }

    fn board_of(&self, flight: &Flight) -> Option<&Board> {
        if flight.field.is_some() { self.fields.as_ref() } else { Some(&self.board) }
    }

    /// How many flights are in the air and can be joined.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.board.lock().len() + self.fields.as_ref().map_or(0, |fields| fields.lock().len())
    }

    /// Puts a flight in the place of `flight`, for the same load; `None` where that is on the board no more.
    fn take_over(&self, flight: &Flight) -> Option<Arc<Flight>> {
        let mut board = self.board_of(flight)?.lock();
        let place = board.find_mut(flight.hash, |other| std::ptr::eq(&**other, flight))?;
        // What is noted on the one, by whoever found it on the board just now, is noted on the other.
        let overtaken = Arc::clone(&flight.overtaken);
        let next = Flight::new(flight.hash, &flight.key, flight.field.as_ref(), flight.noted());
        let next = Arc::new(Flight { continues: true, overtaken, ..next });
        *place = Arc::clone(&next);
        Some(next)
    }

    fn take_off_board(&self, flight: &Arc<Flight>) {
        let Some(board) = self.board_of(flight) else { return };
        let mut board = board.lock();
        if let Ok(found) = board.find_entry(flight.hash, |other| Arc::ptr_eq(other, flight)) {
            found.remove();
        }
    }
}

/// Takes the flight that `is_it` names off the board, and closes it.
fn close_where(board: &Board, hash: u64, is_it: impl Fn(&Flight) -> bool) {
    let mut board = board.lock();
    if let Ok(found) = board.find_entry(hash, |flight| is_it(flight)) {
        let (flight, _) = found.remove();
        flight.close();
    }
}

impl Lead {
    /// The flight that this leads.
    #[must_use]
    pub(crate) fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// Releases those aboard with `error`, and goes on loading for whoever comes from now on: a second load of the key does not
    /// begin beside this one, and what it brings is still stored.
    pub(crate) fn release(&mut self, error: Error) {
        let next = self.flights.take_over(&self.flight);
        let released = Arc::clone(&self.flight);
        // Once closed it leads nobody: what its load brings is nobody's.
        self.flight = next.unwrap_or_else(|| Arc::clone(&released));
        released.land(Err(error));
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

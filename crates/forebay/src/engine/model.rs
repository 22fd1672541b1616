//! Reads beside loads, invalidations and writes under the model checker, on the shipped code: every schedule of two threads.
//!
//! A whole load has too many steps for that, so that a thread does of it what the race is about: it stores and lands what the
//! source gave ([`Stage::land`]), reads its key to the flight ([`Stage::read`]), or invalidates. Whole engines run under
//! every schedule of few preemptions in `tests/it/model.rs`.

#![allow(clippy::print_stdout, reason = "each scenario says how many schedules it took")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use shuttle::future::block_on;
use shuttle::thread;

use super::core::Core;
use super::fill::Beginning;
use super::load::Departure;
use super::read::Verdict;
use super::{Forebay, Namespace};
use crate::error::Error;
use crate::loader::{Flight, Lead, Seat};
use crate::log::{Reach, Verb};
use crate::namespace::BreakerOptions;
use crate::protection::Verdict as Pass;
use crate::rt::model::every_schedule;
use crate::rt::{Clock, Tick};
use crate::source::{Loaded, load_one};
use crate::tier::memory::Held;
use crate::value::{FieldState, Hash, MemberChange, Position, Score, SortedSet, Value, Version};
use crate::{invalidation, writes};

const KEY: &[u8] = b"x";
const TTL: Duration = Duration::from_secs(60);
/// What the source gives. A load that began before was given 1.
const TRUTH: u64 = 2;

/// A namespace of an engine.
struct Stage {
    engine: Forebay,
    namespace: Namespace<u64>,
}

impl Stage {
    fn new() -> Arc<Self> {
        let engine =
            Forebay::builder().memory_budget_bytes(1 << 20).clock(Clock::simulated()).build().unwrap();
        let source = load_one(async |_: String| Ok::<_, Infallible>(Some(TRUTH)));
        let breaker = BreakerOptions { failures: 1, ..BreakerOptions::default() };
        let builder = engine.namespace("n").key("{id}").ttl(TTL).breaker(breaker);
        let namespace = builder.source(source).build().unwrap();
        Arc::new(Self { engine, namespace })
    }

    fn core(&self) -> &Arc<Core> {
        &self.namespace.core
    }

    /// From now on a load that begins fails at once.
    fn open_breaker(&self) {
        let core = self.core();
        let Pass::Pass(permit) = core.breaker.ask(core.clock.now()) else { panic!("it is open") };
        permit.failed(core.clock.now());
    }

    /// A flight, in the air.
    fn take_off(&self) -> Departure {
        let Seat::Lead(lead) = self.core().flights.board(KEY, Position::START) else {
            panic!("a flight is there")
        };
        self.departure(lead)
    }

    fn departure(&self, lead: Lead) -> Departure {
        let core = self.core();
        core.departure(lead, KEY, core.load_of(KEY).unwrap())
    }

    /// The end of a load that the source gave `loaded`: stored, and landed.
    fn land(&self, departure: Departure, loaded: Option<u64>) {
        self.land_value(departure, loaded.map(|number| Loaded::new(Value::native(number, 8))));
    }

    fn land_value(&self, departure: Departure, loaded: Option<Loaded>) {
        let beginning = Beginning { began: self.core().clock.now(), position: Position::START };
        let landing = self.core().fill(&departure, beginning, loaded, &mut Vec::new());
        departure.land(Ok(landing));
    }

    /// How a reader goes on who looked at memory in vain: [`Core::place`] from the board on.
    fn board(&self) -> Boarded {
        let core = self.core();
        match core.flights.board(KEY, core.groups.newest()) {
            Seat::Follow(flight) => Boarded::Joined(flight),
            Seat::Lead(lead) => match core.land_from_memory(lead, KEY) {
                Ok(landing) => Boarded::Known(number(landing.value)),
                Err(lead) => Boarded::Led(Box::new(self.departure(lead))),
            },
        }
    }

    /// What memory answers at once.
    fn look(&self) -> Option<Option<u64>> {
        match self.core().judge(KEY, self.core().clock.now()) {
            Verdict::Fresh(held) | Verdict::Absent(held) => Some(number(held.value)),
            Verdict::Stale(_) | Verdict::Incomplete(_) | Verdict::Missing(_) => None,
        }
    }
}

#[allow(clippy::large_enum_variant, reason = "a reader of a test has one")]
/// How far a reader came without a load.
enum Boarded {
    /// To its answer.
    Known(Option<u64>),
    /// It leads.
    Led(Box<Departure>),
    /// It waits for another one's load.
    Joined(Arc<Flight>),
}

fn number(value: Option<Value>) -> Option<u64> {
    value.map(|value| *value.typed::<u64>().unwrap())
}

/// Runs the end of a load, which was given `loaded`, beside `other` under every schedule; then `end`.
fn beside_a_load<T>(
    name: &str,
    loaded: Option<u64>,
    other: impl Fn(&Stage) -> T + Send + Sync + Copy + 'static,
    end: impl Fn(&Stage, T) + Send + Sync + Copy + 'static,
) {
    let schedules = every_schedule(move || {
        let stage = Stage::new();
        stage.open_breaker();
        let departure = stage.take_off();
        let load = {
            let stage = Arc::clone(&stage);
            thread::spawn(move || stage.land(departure, loaded))
        };
        let seen = other(&stage);
        load.join().unwrap();
        block_on(stage.engine.idle());
        end(&stage, seen);
        stage.engine.validate().unwrap();
    });
    println!("{name}: {schedules} schedules");
}

fn invalidate(stage: &Stage) {
    let core = stage.core();
    invalidation::key(&core.memory, &core.flights, core.id, KEY);
}

fn overtaken(loaded: Option<u64>) {
    beside_a_load(
        "a load ends beside an invalidation",
        loaded,
        |stage| {
            invalidate(stage);
            assert_eq!(stage.look(), None, "read after the invalidation");
        },
        |stage, ()| assert_eq!(stage.look(), None, "stored after the invalidation"),
    );
}

fn expired() {
    beside_a_load(
        "a load ends beside an expiry",
        Some(1),
        |stage| {
            let core = stage.core();
            invalidation::expire_key(&core.memory, &core.flights, core.id, KEY, core.clock.now());
            assert_eq!(stage.look(), None, "fresh after the expiry");
        },
        |stage, ()| assert_eq!(stage.look(), None, "stored after the expiry"),
    );
}

fn written() {
    beside_a_load(
        "a load ends beside a write",
        Some(1),
        |stage| {
            let core = stage.core();
            let until = core.clock.now().after(TTL);
            let held = Held {
                value: Some(Value::native(7_u64, 8)),
                began: core.clock.now(),
                fresh_until: until,
                useless_from: until,
                position: Position::START,
                expired: false,
                extras: None,
            };
            writes::keep(&core.memory, &core.flights, core.id, KEY, held);
            assert_eq!(stage.look(), Some(Some(7)), "another value after the write");
        },
        |stage, ()| assert_eq!(stage.look(), Some(Some(7)), "overwritten by a load that began before"),
    );
}

fn joined_late() {
    beside_a_load(
        "a load ends beside an invalidation and a reader after it",
        Some(1),
        |stage| {
            invalidate(stage);
            assert!(
                matches!(stage.board(), Boarded::Led(_)),
                "aboard a flight that began before the invalidation"
            );
        },
        |_, ()| {},
    );
}

fn fresh() {
    beside_a_load(
        "a load ends beside a read of the truth itself",
        Some(1),
        |stage| {
            // Where it leads it fails at once: a load has too many steps to go through every schedule with.
            let read = block_on(stage.core().read_fresh(KEY));
            assert!(matches!(read, Err(Error::BreakerOpen { .. })), "a fresh read took an older answer");
        },
        |_, ()| {},
    );
}

fn shared() {
    let schedules = every_schedule(|| {
        let stage = Stage::new();
        // Of std: the checker need not see it.
        let loads = Arc::new(AtomicU64::new(0));
        let read = |stage: &Stage, loads: &AtomicU64| match stage.board() {
            Boarded::Known(value) => value,
            Boarded::Led(departure) => {
                loads.fetch_add(1, Ordering::SeqCst);
                stage.land(*departure, Some(TRUTH));
                Some(TRUTH)
            }
            Boarded::Joined(flight) => number(block_on(flight.wait()).unwrap().value),
        };
        let beside = {
            let (stage, loads) = (Arc::clone(&stage), Arc::clone(&loads));
            thread::spawn(move || read(&stage, &loads))
        };
        assert_eq!(read(&stage, &loads), Some(TRUTH));
        assert_eq!(beside.join().unwrap(), Some(TRUTH));
        assert_eq!(loads.load(Ordering::SeqCst), 1, "a key was loaded twice");
        stage.engine.validate().unwrap();
    });
    println!("two readers who miss a key: {schedules} schedules");
}

fn heed(stage: &Stage, expired_at: Option<Tick>) {
    let core = stage.core();
    let at = Position::new(1);
    invalidation::heed_key(&core.memory, &core.flights, core.id, KEY, at, expired_at);
}

/// A reader who looked at memory in vain goes on while what it missed is there by now, and `tell` makes it gone or stale;
/// then another reader comes.
fn overtaking(name: &str, tell: fn(&Stage)) {
    let schedules = every_schedule(move || {
        let stage = Stage::new();
        stage.land(stage.take_off(), Some(1));
        let reader = {
            let stage = Arc::clone(&stage);
            // Where it leads, its load is lost.
            thread::spawn(move || drop(stage.board()))
        };
        tell(&stage);
        let seen = match stage.core().flights.board(KEY, Position::START) {
            Seat::Lead(_) => None,
            Seat::Follow(flight) => block_on(flight.wait()).ok().and_then(|landing| number(landing.value)),
        };
        assert_eq!(seen, None, "aboard with one who saw what was there before");
        reader.join().unwrap();
        stage.engine.validate().unwrap();
    });
    println!("{name} beside a reader who saw nothing: {schedules} schedules");
}

#[test]
fn nobody_joins_a_reader_who_saw_what_is_gone() {
    overtaking("an invalidation", invalidate);
    overtaking("an expiry", |stage| {
        let core = stage.core();
        invalidation::expire_key(&core.memory, &core.flights, core.id, KEY, core.clock.now());
    });
    overtaking("a record of the key", |stage| heed(stage, None));
    overtaking("a record that the key expires", |stage| heed(stage, Some(Tick::default())));
    overtaking("a record without a place", |stage| stage.core().heed_unplaced(&Reach::All, Verb::Invalidate));
    overtaking("an expiry without a place", |stage| stage.core().heed_unplaced(&Reach::All, Verb::Expire));
}

/// As [`overtaking`], where `change` changes a part of what is there.
fn overtaking_part(name: &str, loaded: fn() -> Loaded, change: fn(&Stage), is_old: fn(Value) -> bool) {
    let schedules = every_schedule(move || {
        let stage = Stage::new();
        stage.land_value(stage.take_off(), Some(loaded()));
        let reader = {
            let stage = Arc::clone(&stage);
            thread::spawn(move || {
                if let Seat::Lead(lead) = stage.core().flights.board(KEY, Position::START) {
                    drop(stage.core().land_from_memory(lead, KEY));
                }
            })
        };
        change(&stage);
        if let Seat::Follow(flight) = stage.core().flights.board(KEY, Position::START) {
            // A flight that was overtaken sends on whoever boards it then.
            let sends_on = flight.is_overtaken();
            let landed = block_on(flight.wait()).ok().and_then(|landing| landing.value);
            let old = landed.is_some_and(is_old);
            assert!(sends_on || !old, "aboard with one who saw what was there before");
        }
        reader.join().unwrap();
        stage.engine.validate().unwrap();
    });
    println!("{name} beside a reader who saw nothing: {schedules} schedules");
}

fn a_hash() -> Loaded {
    Loaded::new(Hash::whole([("f", Bytes::from_static(b"1"))]))
}

fn knows_its_field(value: Value) -> bool {
    value.as_hash().is_some_and(|hash| matches!(hash.state(b"f"), FieldState::Known(_)))
}

fn a_set() -> Loaded {
    let mut set = SortedSet::new();
    set.upsert(b"m", Score::new(1.0).unwrap());
    Loaded { version: Some(Version(1)), ..Loaded::new(set) }
}

fn has_its_member(value: Value) -> bool {
    value.as_sorted_set().is_some_and(|set| !set.is_empty())
}

#[test]
fn nobody_joins_a_reader_who_saw_a_part_that_is_gone() {
    const FIELD: Bytes = Bytes::from_static(b"f");
    let drop_field = |stage: &Stage| stage.core().drop_field(KEY, &FIELD);
    overtaking_part("a field's invalidation", a_hash, drop_field, knows_its_field);
    let heed_field = |stage: &Stage| stage.core().heed_field(KEY, &FIELD, Position::new(1), true);
    overtaking_part("a record of a field", a_hash, heed_field, knows_its_field);
    let upsert = |stage: &Stage| {
        let change = MemberChange { member: Bytes::from_static(b"m"), score: None };
        block_on(stage.core().upsert_members(KEY, Version(2), &[change])).unwrap();
    };
    overtaking_part("a change of a set's member", a_set, upsert, has_its_member);
}

#[test]
fn no_value_or_absence_is_read_or_stored_after_an_invalidation() {
    overtaken(Some(1));
    overtaken(None);
}

#[test]
fn nothing_is_fresh_after_an_expiry() {
    expired();
}

#[test]
fn a_write_stands_against_a_load_that_began_before() {
    written();
}

#[test]
fn a_reader_after_an_invalidation_leads_a_flight_of_its_own() {
    joined_late();
}

#[test]
fn a_fresh_read_takes_no_flight_that_it_finds() {
    fresh();
}

#[test]
fn two_readers_of_a_key_share_one_load() {
    shared();
}

/// Each of the above fails where the bug is planted that it is there for.
#[cfg(feature = "planted")]
mod planted {
    use super::{expired, fresh, joined_late, overtaken, shared, written};
    use crate::rt::planted::{Bug, plant};

    #[test]
    #[should_panic(expected = "after the invalidation")]
    fn no_fence() {
        let _planted = plant(Bug::NoFence);
        overtaken(Some(1));
    }

    #[test]
    #[should_panic(expected = "after the invalidation")]
    fn flight_not_closed() {
        let _planted = plant(Bug::FlightNotClosed);
        overtaken(Some(1));
    }

    #[test]
    #[should_panic(expected = "after the invalidation")]
    fn absence_not_fenced() {
        let _planted = plant(Bug::AbsenceNotFenced);
        overtaken(None);
    }

    #[test]
    #[should_panic(expected = "after the expiry")]
    fn expiry_not_fencing() {
        let _planted = plant(Bug::ExpiryNotFencing);
        expired();
    }

    #[test]
    #[should_panic(expected = "overwritten by a load")]
    fn put_not_fencing() {
        let _planted = plant(Bug::PutNotFencing);
        written();
    }

    #[test]
    #[should_panic(expected = "aboard a flight that began before")]
    fn join_old_flight() {
        let _planted = plant(Bug::JoinOldFlight);
        joined_late();
    }

    #[test]
    #[should_panic(expected = "took an older answer")]
    fn fresh_read_joins() {
        let _planted = plant(Bug::FreshReadJoins);
        fresh();
    }

    #[test]
    #[should_panic(expected = "loaded twice")]
    fn no_single_flight() {
        let _planted = plant(Bug::NoSingleFlight);
        shared();
    }
}

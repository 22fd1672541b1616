//! The story of reading fields of a hash, as `read.rs` tells that of a whole value.
//!
//! 1. Memory. A hash that is fresh answers what it knows: a field's value, or that there is none.
//! 2. A field of which nothing is known, since it was invalidated, has ended by its own word, or the hash is partial, is loaded alone, where the source
//!    can do that; fields that miss together are loaded together. What comes is stored in the hash that is held, or in a
//!    partial one, fenced (`fill.rs`).
//! 3. A whole hash that is past its TTL is loaded whole again, and so is every hash whose source loads only whole values:
//!    that is a read of the key.
//! 4. The load failed, or takes longer than the soft time-out: the field as an old hash has it, where `stale_if_error` allows it
//!    and that hash knows it, whatever holes it has. A partial hash that began by a client's write in the place of an old one
//!    remembers that for this.

use std::sync::Arc;

use bytes::Bytes;

use super::core::Core;
use super::load::Departure;
use super::outcome::{freshness_of, outcome, why_stale};
use super::read::{Read, Since, Standing};
use crate::error::Error;
use crate::loader::{Flight, Landing, Seat};
use crate::observe::{Freshness, ReadOutcome, Tier, What, Why};
use crate::rt::Tick;
use crate::source::LoadKey;
use crate::tier::memory::Held;
use crate::value::{Field, FieldState, Hash, Kind, Past, Value};

/// What a read of one field brought, and how.
#[derive(Clone, Debug)]
pub struct FieldRead {
    /// The field's value; `None` where it does not exist.
    pub value: Option<Bytes>,
    /// How the read ended.
    pub outcome: ReadOutcome,
}

/// Where a reader of a field is after its look at memory.
enum Place {
    /// It has its answer, and was counted.
    Known(FieldRead),
    /// It waits for a landing; where there is an old value for it, until then with patience.
    Aboard(Arc<Flight>, Option<Tick>),
    /// The key is to be read, as patiently.
    Whole(Option<Tick>),
}

/// What memory says of a hash.
enum Looked {
    /// It answers for what it knows, as far as it is fresh.
    Answers(Held, Freshness),
    /// It may answer if the source fails.
    Past(Held),
    Nothing,
}

/// What memory says of a field.
enum Sought {
    /// Its value, or that there is none; counted.
    Known(FieldRead),
    /// Not that; what it says of the hash.
    Missing(Looked),
}

impl Core {
    /// Answers from memory where that needs no wait; counts the read.
    ///
    /// # Errors
    /// [`Error::WrongKind`] where the key holds no hash.
    pub(super) fn field_now(self: &Arc<Self>, key: &[u8], field: &[u8]) -> Result<Option<FieldRead>, Error> {
        if self.together.marks(key) {
            return Ok(None);
        }
        Ok(match self.look_for_field(key, field, self.clock.now())? {
            Sought::Known(read) => Some(read),
            Sought::Missing(_) => None,
        })
    }

    /// Answers from memory and counts, or tells what it has of the hash.
    fn look_for_field(self: &Arc<Self>, key: &[u8], field: &[u8], now: Tick) -> Result<Sought, Error> {
        let looked = self.look_for_fields(key, now);
        let Looked::Answers(held, freshness) = &looked else { return Ok(Sought::Missing(looked)) };
        let known = self.known_field(held.value.as_ref(), field, Some(now))?;
        let Some(value) = known else { return Ok(Sought::Missing(looked)) };
        let read = from_hash((field, value), held, now, *freshness);
        self.counters.read(&read.outcome);
        if let Some(sketch) = &self.sketch {
            sketch.touch(key);
        }
        Ok(Sought::Known(read))
    }

    /// Reads fields of `key`, through the source where it must; one answer each, in their order.
    ///
    /// # Errors
    /// [`Error::WrongKind`] where the key holds no hash; otherwise that of the first field that cannot be had.
    pub(super) async fn read_fields(
        self: &Arc<Self>,
        key: &[u8],
        fields: &[&[u8]],
    ) -> Result<Vec<FieldRead>, Error> {
        let since = self.since();
        self.changes_over(&[key], since).await.or_else(|late| self.failed(late))?;
        let mut departures = Vec::new();
        let place = |field: &&[u8]| self.place_field(key, field, since, &mut departures);
        let places = fields.iter().map(place).collect::<Result<Vec<_>, _>>();
        // What this reader leads others may have joined: it departs, whatever this reader gets.
        self.depart(departures);
        let places = places?;
        let mut whole = None;
        let mut reads = Vec::with_capacity(fields.len());
        for (field, place) in fields.iter().zip(places) {
            reads.push(match place {
                Place::Known(read) => read,
                Place::Aboard(flight, patient) => {
                    match self.arrive_with_field(key, field, &flight, since, patient).await? {
                        Some(read) => read,
                        None => self.read_field_again(key, field, since).await?,
                    }
                }
                Place::Whole(patient) => self.field_of_key(key, field, since, patient, &mut whole).await?,
            });
        }
        Ok(reads)
    }

    /// Reads one field, as [`read_fields`](Self::read_fields).
    pub(super) async fn read_field(self: &Arc<Self>, key: &[u8], field: &[u8]) -> Result<FieldRead, Error> {
        let since = self.since();
        self.changes_over(&[key], since).await.or_else(|late| self.failed(late))?;
        self.read_field_again(key, field, since).await
    }

    /// Reads one field for a reader who may have waited already, until its time is over.
    async fn read_field_again(
        self: &Arc<Self>,
        key: &[u8],
        field: &[u8],
        since: Since,
    ) -> Result<FieldRead, Error> {
        loop {
            let mut departures = Vec::new();
            match self.place_field(key, field, since, &mut departures)? {
                Place::Known(read) => return Ok(read),
                Place::Aboard(flight, patient) => {
                    self.depart(departures);
                    if let Some(read) = self.arrive_with_field(key, field, &flight, since, patient).await? {
                        return Ok(read);
                    }
                }
                Place::Whole(patient) => {
                    return self.field_of_key(key, field, since, patient, &mut None).await;
                }
            }
        }
    }

    /// The field of what a read of the key brings, which is made once for `whole`.
    async fn field_of_key(
        self: &Arc<Self>,
        key: &[u8],
        field: &[u8],
        since: Since,
        patient_until: Option<Tick>,
        whole: &mut Option<Result<Read, Error>>,
    ) -> Result<FieldRead, Error> {
        let read = match (whole.take(), patient_until) {
            (Some(read), _) => read,
            (None, None) => Box::pin(self.read_again(key, since, true)).await,
            (None, Some(until)) => {
                let mut reading = Box::pin(self.read_again(key, since, true));
                match self.clock.timeout(until.since(self.clock.now()), &mut reading).await {
                    Ok(read) => read,
                    Err(_) => match self.field_instead(key, field, Why::SlowSource)? {
                        Some(read) => return Ok(read),
                        None => reading.await,
                    },
                }
            }
        };
        match whole.insert(read) {
            Ok(read) => self.field_of(read, field),
            Err(error) => match self.field_instead(key, field, why_stale(error))? {
                Some(read) => Ok(read),
                None => self.failed(error.clone()),
            },
        }
    }

    /// Answers a reader of a field from memory, or finds it a place on a flight; one that it must lead is added to `departures`.
    fn place_field(
        self: &Arc<Self>,
        key: &[u8],
        field: &[u8],
        since: Since,
        departures: &mut Vec<Departure>,
    ) -> Result<Place, Error> {
        let now = self.clock.now();
        let looked = match self.look_for_field(key, field, now)? {
            Sought::Known(read) => return Ok(Place::Known(read)),
            Sought::Missing(looked) => looked,
        };
        let past = self.past_field(&looked, field, now, Why::SourceFailed)?;
        if let Some(read) = past.as_ref().filter(|_| self.throttle.holds(key, now)) {
            self.counters.read(&read.outcome);
            return Ok(Place::Known(read.clone()));
        }
        let patient =
            past.map(|_| now.after(self.policy.soft_timeout)).filter(|until| *until < self.until(since));
        match looked {
            Looked::Past(held) | Looked::Answers(held, Freshness::Stale(_)) if is_whole(&held) => {
                return Ok(Place::Whole(patient));
            }
            _ => {}
        }
        let load = self.load_of(key).filter(|_| self.loads_fields() && !self.cannot_exist(key));
        let field = Bytes::copy_from_slice(field);
        let aboard = load.and_then(|load| self.board_field(key, &load, &field, since, departures));
        Ok(aboard.map_or(Place::Whole(patient), |flight| Place::Aboard(flight, patient)))
    }

    /// Whether the source can be asked for single fields.
    pub(super) fn loads_fields(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.fields().is_some())
    }

    /// Joins the flight of a field, or leads one, which is added to `departures` unless memory knows the field by now. `None` where
    /// fields are not loaded alone.
    pub(super) fn board_field(
        self: &Arc<Self>,
        key: &[u8],
        load: &LoadKey,
        field: &Bytes,
        since: Since,
        departures: &mut Vec<Departure>,
    ) -> Option<Arc<Flight>> {
        loop {
            match self.flights.board_field(key, field, self.groups.newest())? {
                Seat::Follow(flight) if self.left_behind(key, &flight, since.position) => {
                    self.flights.close_this(&flight);
                }
                Seat::Follow(flight) => {
                    self.counters.joined();
                    return Some(flight);
                }
                Seat::Lead(lead) => {
                    let flight = Arc::clone(lead.flight());
                    // The flight that brought it may have left the board since the look at memory.
                    match self.look_for_fields(key, self.clock.now()) {
                        Looked::Answers(held, Freshness::Fresh | Freshness::Absent)
                            if knows(held.value.as_ref(), field, self.clock.now()) =>
                        {
                            lead.land(Ok(Landing::of(held, Tier::Memory)));
                        }
                        _ => departures.push(self.departure(lead, key, load.clone()).of_field(field)),
                    }
                    return Some(flight);
                }
            }
        }
    }

    /// Waits for a landing, and gives what a reader of the field gets from it; `None` where it must ask again.
    async fn arrive_with_field(
        self: &Arc<Self>,
        key: &[u8],
        field: &[u8],
        flight: &Flight,
        since: Since,
        patient_until: Option<Tick>,
    ) -> Result<Option<FieldRead>, Error> {
        let until = self.until(since);
        let mut landed = self.landed(flight, patient_until.unwrap_or(until)).await;
        if landed.is_none() && patient_until.is_some() {
            if let Some(read) = self.field_instead(key, field, Why::SlowSource)? {
                return Ok(Some(read));
            }
            landed = self.landed(flight, until).await;
        }
        match landed.unwrap_or_else(|| Err(self.late())) {
            Ok(landing) if self.overtaken(key, &landing, since) => Ok(None),
            Ok(Landing { value: hash, tier, began, fresh_until, .. }) => {
                // What has ended on its way is its waiters' all the same.
                let Some(value) = self.known_field(hash.as_ref(), field, None)? else { return Ok(None) };
                let fresh_until = field_end(hash.as_ref(), field, fresh_until);
                let read = read_of(value, tier, began, fresh_until, self.clock.now(), Freshness::Fresh);
                self.counters.read(&read.outcome);
                Ok(Some(read))
            }
            Err(error) => match self.field_instead(key, field, why_stale(&error))? {
                Some(read) => Ok(Some(read)),
                None => self.failed(error),
            },
        }
    }

    /// The field as memory has it by now, or as an old hash has it that may be served for the reason `why`; counted.
    fn field_instead(
        self: &Arc<Self>,
        key: &[u8],
        field: &[u8],
        why: Why,
    ) -> Result<Option<FieldRead>, Error> {
        let now = self.clock.now();
        // A write, or another load, may have brought it meanwhile.
        let looked = match self.look_for_field(key, field, now)? {
            Sought::Known(read) => return Ok(Some(read)),
            Sought::Missing(looked) => looked,
        };
        let past = self.past_field(&looked, field, now, why)?;
        if let Some(read) = &past {
            self.note(key, What::ServedStale { why });
            self.counters.read(&read.outcome);
        }
        Ok(past)
    }

    /// What memory says of a hash; starts the refresh that a whole one needs.
    fn look_for_fields(self: &Arc<Self>, key: &[u8], now: Tick) -> Looked {
        if let Some(laid) = self.laid_over(key, now) {
            let freshness = freshness_of(&laid);
            return Looked::Answers(laid, freshness);
        }
        let Some(held) = self.held_now(key, now) else { return Looked::Nothing };
        match self.standing(&held, now) {
            Standing::Fresh if held.value.is_none() => Looked::Answers(held, Freshness::Absent),
            Standing::Fresh => {
                if is_whole(&held) {
                    self.refresh_if_due(key, held.began, held.fresh_until, now);
                }
                Looked::Answers(held, Freshness::Fresh)
            }
            // Nobody asked for the whole of a partial one: its fields are loaded again as they are read.
            Standing::Stale if is_whole(&held) => {
                self.refresh(key, held.began, now);
                Looked::Answers(held, Freshness::Stale(Why::Revalidating))
            }
            Standing::Stale | Standing::Past if self.serves_on_error(&held, now) => Looked::Past(held),
            Standing::Stale | Standing::Past => Looked::Nothing,
        }
    }

    /// What `value` says of a field, where a tick is given as of then; `None` where it does not know.
    fn known_field(
        &self,
        value: Option<&Value>,
        field: &[u8],
        now: Option<Tick>,
    ) -> Result<Option<Option<Bytes>>, Error> {
        let Some(value) = value else { return Ok(Some(None)) };
        let hash = value.as_hash().ok_or_else(|| self.wrong_kind(Kind::Hash, value))?;
        let state = now.map_or_else(|| hash.state(field), |now| hash.state_at(field, now));
        Ok(match state.cloned() {
            FieldState::Known(value) => Some(Some(value)),
            FieldState::Absent => Some(None),
            FieldState::Unknown => None,
        })
    }

    /// The field as an old hash has it that may be served for the reason `why`: the one that is held, or the one before it.
    fn past_field(
        &self,
        looked: &Looked,
        field: &[u8],
        now: Tick,
        why: Why,
    ) -> Result<Option<FieldRead>, Error> {
        let (held, is_past) = match looked {
            Looked::Past(held) => (held, true),
            Looked::Answers(held, _) => (held, false),
            Looked::Nothing => return Ok(None),
        };
        let before = self.past_of(held, now);
        for held in Some(held).filter(|_| is_past).into_iter().chain(&before) {
            if let Some(value) = self.known_field(held.value.as_ref(), field, Some(now))? {
                return Ok(Some(from_hash((field, value), held, now, Freshness::Stale(why))));
            }
        }
        Ok(None)
    }

    /// The hash that a partial one took the place of, as far as it may be served since the source fails.
    fn past_of(&self, held: &Held, now: Tick) -> Option<Held> {
        let Past { hash, began, fresh_until } = held.value.as_ref()?.as_hash()?.past()?;
        let value = Some(Value::from(hash.clone()));
        let past = Held { value, began: *began, fresh_until: *fresh_until, ..held.clone() };
        self.serves_on_error(&past, now).then_some(past)
    }

    /// The same, whole, with what is known by now laid over it.
    pub(super) fn past_whole(&self, held: &Held, now: Tick) -> Option<Held> {
        let past = self.past_of(held, now)?;
        let mut hash = Hash::clone(past.value.as_ref()?.as_hash()?);
        let known = held.value.as_ref()?.as_hash()?;
        for (field, value) in known.iter_scan() {
            hash.set_until(field, Field { value: value.clone(), fresh_until: known.end(field) });
        }
        hash.is_complete_at(now).then(|| Held { value: Some(Value::from(hash)), ..past })
    }

    /// The field of what a read of the key brought.
    fn field_of(&self, read: &Read, field: &[u8]) -> Result<FieldRead, Error> {
        let value = self.known_field(read.value.as_ref(), field, None)?.flatten();
        let absent = value.is_none() && read.outcome.freshness == Freshness::Fresh;
        let freshness = if absent { Freshness::Absent } else { read.outcome.freshness };
        Ok(FieldRead { value, outcome: ReadOutcome { freshness, ..read.outcome } })
    }

    /// The answer for a field of a text that is no key of the namespace; counted.
    pub(super) fn nobodys_field(&self) -> FieldRead {
        FieldRead { value: None, outcome: self.nobodys().outcome }
    }

    pub(super) fn wrong_kind(&self, wanted: Kind, found: &Value) -> Error {
        let (wanted, found) = (wanted.word(), found.kind().word());
        Error::WrongKind { namespace: Arc::clone(&self.name), wanted, found }
    }
}

fn is_whole(held: &Held) -> bool {
    held.value.as_ref().is_none_or(Value::is_whole)
}

fn knows(value: Option<&Value>, field: &[u8], now: Tick) -> bool {
    let state = |hash: &Arc<Hash>| hash.state_at(field, now) != FieldState::Unknown;
    value.is_none_or(|value| value.as_hash().is_none_or(state))
}

fn from_hash(
    (field, value): (&[u8], Option<Bytes>),
    held: &Held,
    now: Tick,
    freshness: Freshness,
) -> FieldRead {
    let fresh_until = field_end(held.value.as_ref(), field, held.fresh_until);
    read_of(value, Tier::Memory, held.began, fresh_until, now, freshness)
}

/// When a field ends of a hash that ends at `fresh_until`.
fn field_end(hash: Option<&Value>, field: &[u8], fresh_until: Tick) -> Tick {
    let end = hash.and_then(Value::as_hash).and_then(|hash| hash.end(field));
    end.map_or(fresh_until, |end| end.min(fresh_until))
}

fn read_of(
    value: Option<Bytes>,
    tier: Tier,
    began: Tick,
    fresh_until: Tick,
    now: Tick,
    freshness: Freshness,
) -> FieldRead {
    let absent = value.is_none() && freshness == Freshness::Fresh;
    let freshness = if absent { Freshness::Absent } else { freshness };
    FieldRead { value, outcome: outcome(tier, freshness, now, began, fresh_until) }
}

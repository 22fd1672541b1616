//! The story of a GET: every branch that a read can take is in this file, but for reads of single fields (`fields.rs`).
//!
//! 1. A change of several keys is waited for (`together.rs`); a write of this instance that is not applied yet (`behind.rs`), then memory.
//!    Fresh, or an absence still believed: answer, at once and without a future ([`Core::look`]).
//! 2. Stale and allowed: answer, and start one refresh.
//! 3. The membership filter may know that the key does not exist; without a source nothing can be loaded (`nowhere.rs`).
//! 4. A fresh hash with holes, or of which fields have ended: these fields alone are loaded where the source can do that, once, and then again from 1.
//! 5. Otherwise a flight is joined or led; its load (from the shared tier by `lease.rs`, or `load.rs`) fills memory, fenced (`fill.rs`).
//! 6. The load failed, or takes longer than the soft time-out: the old value where `stale_if_error` allows it.
//! 7. The landing was overtaken by an invalidation of a group that the reader must see: once more from 1.

use std::borrow::Borrow;
use std::sync::Arc;

use bytes::Bytes;

use super::core::{Core, tells_absence};
use super::load::Departure;
use super::outcome::{freshness_of, from_landing, from_memory, why_stale};
use crate::error::Error;
use crate::loader::{Flight, Landing, Lead, Seat};
use crate::log::{SUSPECT_AFTER, Verdict as Validity};
use crate::namespace::Life;
use crate::observe::{Freshness, ReadOutcome, Tier, What, Why};
use crate::rt::Tick;
use crate::rt::planted::{Bug, judged_at, planted};
use crate::source::LoadKey;
use crate::tier::memory::{Held, Seen};
use crate::value::{Hash, Position, Value};

/// What a read brought, and how.
#[derive(Clone, Debug)]
pub struct Read {
    /// The value; `None` where the key does not exist.
    pub value: Option<Value>,
    /// How the read ended.
    pub outcome: ReadOutcome,
}

/// What memory says of a key, with what it holds: a copy, or a reference under the lock of the entry.
pub(super) enum Verdict<H = Held> {
    Fresh(H),
    /// Within `stale_while_revalidate`.
    Stale(H),
    Absent(H),
    /// A hash that is fresh and not complete: it is partial, has holes, or a field has ended.
    Incomplete(H),
    /// Nothing to serve, unless the source fails.
    Missing(Option<H>),
}

/// What a look at memory took of an entry: the answer, and no more than what follows from it needs.
struct Taken<A> {
    answer: A,
    freshness: Freshness,
    began: Tick,
    fresh_until: Tick,
}

/// How what is held stands to its TTL.
#[derive(Clone, Copy)]
pub(super) enum Standing {
    /// Within it.
    Fresh,
    /// Within `stale_while_revalidate`.
    Stale,
    /// Past both, or not to be trusted.
    Past,
}

/// What memory has for a reader whom it cannot answer.
pub(super) enum Lack {
    /// Nothing.
    All,
    /// All but what may be served if the source fails.
    Freshness,
    /// The fields that are the holes of this hash, or have ended.
    Fields(Arc<Hash>),
}

/// Where a reader is after its look at memory.
enum Place {
    /// It has its answer, and was counted.
    Known(Read),
    /// It waits for a landing.
    Aboard(Wait),
    /// It waits for the fields that were the holes of a hash, and looks again.
    Holed(Vec<Arc<Flight>>),
}

/// What a reader must see, as of when the read began.
#[derive(Clone, Copy)]
pub(super) struct Since {
    /// When it began.
    pub(super) began: Tick,
    /// Every record up to here.
    pub(super) position: Position,
    /// Every record of an earlier time, heard or not, where the engine was out of touch with its log: a load that began by then
    /// may have missed one.
    unheard: Option<Tick>,
}

/// A reader who waits for a landing.
struct Wait {
    flight: Arc<Flight>,
    since: Since,
    /// Part of the value was changed after the flight began and before this reader did.
    overtaken: bool,
    /// When it takes a stale value instead, if it may have one.
    patient_until: Option<Tick>,
}

impl Core {
    /// Answers from memory where that needs no wait; counts the read.
    pub(super) fn read_now(self: &Arc<Self>, key: &[u8]) -> Option<Read> {
        self.read_now_if(key, |_| true)
    }

    /// The same where what there is `fits`.
    pub(super) fn read_now_if(
        self: &Arc<Self>,
        key: &[u8],
        fits: impl FnOnce(Option<&Value>) -> bool,
    ) -> Option<Read> {
        let now = self.clock.now();
        self.answer_now(key, now, |held, freshness| {
            fits(held.value()).then(|| from_memory(held, now, freshness))
        })
    }

    /// What `answer` makes of what memory has, where that is an answer and needs no wait; counts the read.
    #[inline]
    pub(super) fn answer_now<A>(
        self: &Arc<Self>,
        key: &[u8],
        now: Tick,
        answer: impl FnOnce(&Seen<'_>, Freshness) -> Option<A>,
    ) -> Option<A> {
        if self.together.marks(key) { None } else { self.look(key, now, answer).ok() }
    }

    /// Reads `key`, through the source where it must.
    pub(super) async fn read(self: &Arc<Self>, key: &[u8]) -> Result<Read, Error> {
        let since = self.since();
        self.changes_over(&[key], since).await.or_else(|late| self.failed(late))?;
        self.read_again(key, since, true).await.or_else(|error| self.failed(error))
    }

    /// Reads `key` for a reader who may have waited in vain already, until its time is over. An error is the caller's to count.
    pub(super) async fn read_again(
        self: &Arc<Self>,
        key: &[u8],
        since: Since,
        mut fills_holes: bool,
    ) -> Result<Read, Error> {
        loop {
            let mut departures = Vec::new();
            match self.place(key, since, fills_holes, &mut departures) {
                Place::Known(read) => return Ok(read),
                Place::Aboard(wait) => {
                    self.depart(departures);
                    if let Some(read) = self.arrive(key, wait).await {
                        return read;
                    }
                }
                Place::Holed(fields) => {
                    self.depart(departures);
                    self.all_land(fields, since).await;
                    // What still has holes then is loaded whole.
                    fills_holes = false;
                }
            }
        }
    }

    /// Reads many keys: those that miss are loaded together. One result each, in the order of `keys`.
    pub(super) async fn read_many(self: &Arc<Self>, keys: &[&[u8]]) -> Vec<Result<Read, Error>> {
        let since = self.since();
        if let Err(late) = self.changes_over(keys, since).await {
            return keys.iter().map(|_| self.failed(late.clone())).collect();
        }
        let mut departures = Vec::new();
        let places: Vec<Place> =
            keys.iter().map(|key| self.place(key, since, true, &mut departures)).collect();
        self.depart(departures);
        let mut reads = Vec::with_capacity(places.len());
        for (key, place) in keys.iter().zip(places) {
            let read = match place {
                Place::Known(read) => Ok(read),
                Place::Aboard(wait) => match self.arrive(key, wait).await {
                    Some(read) => read,
                    None => self.read_again(key, since, true).await,
                },
                Place::Holed(fields) => {
                    self.all_land(fields, since).await;
                    self.read_again(key, since, false).await
                }
            };
            reads.push(read.or_else(|error| self.failed(error)));
        }
        reads
    }

    /// Reads `key` from the source itself, past every copy and every load that began before; refreshes the copies.
    pub(super) async fn read_fresh(self: &Arc<Self>, key: &[u8]) -> Result<Read, Error> {
        let Some(load) = self.load_of(key) else { return Ok(self.counted(Self::nowhere())) };
        if let Some(laid) = self.laid_over(key, self.clock.now()) {
            return Ok(self.counted(from_memory(&laid, self.clock.now(), freshness_of(&laid))));
        }
        match self.land_after_now(key, load).await {
            Ok(landing) => Ok(self.counted(from_landing(landing, self.clock.now()))),
            Err(error) => self.failed(error),
        }
    }

    /// Waits for a load of `key` that begins after this call. However many ask, one load runs and one waits its turn.
    async fn land_after_now(self: &Arc<Self>, key: &[u8], load: LoadKey) -> Result<Landing, Error> {
        // A flight found at the first look may have asked the source before this call, and so may one that took over from it.
        let mut began_after = planted(Bug::FreshReadJoins);
        let until = self.clock.now().after(self.policy.load_timeout);
        loop {
            match self.flights.board(key, self.groups.newest()) {
                Seat::Lead(lead) => {
                    let flight = Arc::clone(lead.flight());
                    let departure = self.departure(lead, key, load).past_copies();
                    self.depart(vec![departure.in_time_for(until)]);
                    return self.landed(&flight, until).await.unwrap_or_else(|| Err(self.late()));
                }
                Seat::Follow(flight) => {
                    self.depart(self.gathering.take());
                    let Some(landed) = self.landed(&flight, until).await else {
                        return Err(self.late());
                    };
                    let is_copy = |landing: &Landing| landing.tier != Tier::Source && landing.newer.is_none();
                    let copy = landed.as_ref().is_ok_and(is_copy);
                    if began_after && !copy && !flight.continues() {
                        return landed;
                    }
                    began_after = true;
                }
            }
        }
    }

    /// Answers from memory and counts, or tells what it lacks. `answer` is made under the lock of the entry, so that a hit
    /// copies nothing that its reader does not ask for; where it makes none, memory is of no use to this reader.
    #[inline]
    pub(super) fn look<A>(
        self: &Arc<Self>,
        key: &[u8],
        now: Tick,
        answer: impl FnOnce(&Seen<'_>, Freshness) -> Option<A>,
    ) -> Result<A, Lack> {
        if let Some(laid) = self.laid_over(key, now) {
            return self.answer_laid(&laid, answer).ok_or(Lack::All);
        }
        let take = |held: &Seen<'_>, freshness| {
            let answer = answer(held, freshness).ok_or(Lack::All)?;
            Ok(Taken { answer, freshness, began: held.began, fresh_until: held.fresh_until })
        };
        let seen = self.see(key, now, |verdict| match verdict {
            Verdict::Fresh(held) => take(held, Freshness::Fresh),
            Verdict::Absent(held) => take(held, Freshness::Absent),
            Verdict::Stale(held) => take(held, Freshness::Stale(Why::Revalidating)),
            Verdict::Missing(Some(held)) if self.serves_on_error(held, now) => {
                if !self.throttle.holds(key, now) {
                    return Err(Lack::Freshness);
                }
                take(held, Freshness::Stale(Why::SourceFailed))
            }
            Verdict::Incomplete(held) => match held.value {
                Some(Value::Hash(hash)) if hash.is_whole() => Err(Lack::Fields(Arc::clone(hash))),
                _ => Err(Lack::All),
            },
            Verdict::Missing(_) => Err(Lack::All),
        });
        let Taken { answer, freshness, began, fresh_until } = seen.unwrap_or(Err(Lack::All))?;
        match freshness {
            Freshness::Fresh => self.refresh_if_due(key, began, fresh_until, now),
            Freshness::Stale(Why::Revalidating) => self.refresh(key, began, now),
            Freshness::Stale(_) | Freshness::Absent => {}
        }
        self.counters.read_from(Tier::Memory, freshness, || now.since(began));
        if let Some(sketch) = &self.sketch {
            sketch.touch(key);
        }
        Ok(answer)
    }

    /// Answers a reader of `key` from memory, or finds it a place on a flight; one that it must lead is added to
    /// `departures`, with what has gathered if it waits for that.
    fn place(
        self: &Arc<Self>,
        key: &[u8],
        since: Since,
        fills_holes: bool,
        departures: &mut Vec<Departure>,
    ) -> Place {
        let now = self.clock.now();
        let lack = match self.look(key, now, |held, freshness| Some(from_memory(held, now, freshness))) {
            Ok(read) => return Place::Known(read),
            Err(lack) => lack,
        };
        if self.cannot_exist(key) {
            self.counters.membership_refused();
            return self.known(Self::nowhere());
        }
        let Some(load) = self.load_of(key) else { return self.known(self.not_loaded(key, now)) };
        if let Lack::Fields(hash) = &lack
            && fills_holes
            && self.loads_fields()
        {
            let holes = hash.holes_at(now).into_iter().map(Bytes::copy_from_slice);
            let aboard = |field| self.board_field(key, &load, &field, since, departures);
            let aboard: Vec<_> = holes.filter_map(aboard).collect();
            // Of too many there are none: it is cheaper to load the whole.
            if !aboard.is_empty() {
                return Place::Holed(aboard);
            }
        }
        let patient_until = matches!(lack, Lack::Freshness).then(|| now.after(self.policy.soft_timeout));
        loop {
            let mut overtaken = false;
            let flight = match self.flights.board(key, self.groups.newest()) {
                Seat::Follow(flight) if self.left_behind(key, &flight, since.position) => {
                    self.flights.close_this(&flight);
                    continue;
                }
                Seat::Follow(flight) => {
                    self.counters.joined();
                    overtaken = flight.is_overtaken();
                    departures.append(&mut self.gathering.take());
                    flight
                }
                Seat::Lead(lead) => match self.land_from_memory(lead, key) {
                    Ok(landing) => return self.known(from_landing(landing, self.clock.now())),
                    Err(lead) => {
                        let flight = Arc::clone(lead.flight());
                        departures.push(self.departure(lead, key, load).in_time_for(self.until(since)));
                        flight
                    }
                },
            };
            return Place::Aboard(Wait { flight, since, overtaken, patient_until });
        }
    }

    fn known(&self, read: Read) -> Place {
        self.counters.read(&read.outcome);
        Place::Known(read)
    }

    /// Waits for a landing, and gives what a reader of `key` gets from it; `None` where it must ask again.
    async fn arrive(&self, key: &[u8], wait: Wait) -> Option<Result<Read, Error>> {
        let until = self.until(wait.since);
        let patient_until = wait.patient_until.filter(|patient| *patient < until);
        let landed = match self.landed(&wait.flight, patient_until.unwrap_or(until)).await {
            None if patient_until.is_some() => match self.instead_of_waiting(key) {
                Some(read) => return Some(Ok(self.counted(read))),
                None => self.landed(&wait.flight, until).await,
            },
            landed => landed,
        };
        let landed = landed.unwrap_or_else(|| Err(self.late()));
        let now = self.clock.now();
        match landed {
            Ok(landing) if wait.overtaken || self.overtaken(key, &landing, wait.since) => None,
            Ok(landing) => Some(Ok(self.counted(from_landing(landing, now)))),
            Err(error) => Some(self.after_failure(key, now, error).map(|read| self.counted(read))),
        }
    }

    /// Waits for a landing, until `until`.
    pub(super) async fn landed(&self, flight: &Flight, until: Tick) -> Option<Result<Landing, Error>> {
        // What has landed needs no timer, and its reader does not carry one.
        match flight.landed() {
            Some(landed) => Some(landed),
            None => Box::pin(self.clock.timeout(until.since(self.clock.now()), flight.wait())).await.ok(),
        }
    }

    /// Waits until all of these have landed, however they end, or the reader's time is over.
    async fn all_land(&self, flights: Vec<Arc<Flight>>, since: Since) {
        for flight in flights {
            // Who looks again finds what it brought, or loads.
            drop(self.landed(&flight, self.until(since)).await);
        }
    }

    /// When a reader's time is over: its flight may wait for the source longer than it.
    pub(super) fn until(&self, since: Since) -> Tick {
        since.began.after(self.policy.load_timeout)
    }

    /// What a reader who begins now must see.
    pub(super) fn since(&self) -> Since {
        let now = self.clock.now();
        let silent = self.shared().is_some_and(|shared| !shared.in_touch(now));
        Since {
            began: now,
            position: self.groups.newest(),
            unheard: silent.then(|| now.before(SUSPECT_AFTER)),
        }
    }

    /// What memory says of `key` now, with a copy of what it holds.
    pub(super) fn judge(&self, key: &[u8], now: Tick) -> Verdict {
        let copy = |verdict: Verdict<&Seen<'_>>| match verdict {
            Verdict::Fresh(held) => Verdict::Fresh(held.to_held()),
            Verdict::Stale(held) => Verdict::Stale(held.to_held()),
            Verdict::Absent(held) => Verdict::Absent(held.to_held()),
            Verdict::Incomplete(held) => Verdict::Incomplete(held.to_held()),
            Verdict::Missing(held) => Verdict::Missing(held.map(Seen::to_held)),
        };
        self.see(key, now, copy).unwrap_or(Verdict::Missing(None))
    }

    /// What memory says of `key` now, told to `take` under the lock of the entry; `None` where nothing is held.
    #[inline]
    fn see<T>(&self, key: &[u8], now: Tick, take: impl FnOnce(Verdict<&Seen<'_>>) -> T) -> Option<T> {
        let now = judged_at(now);
        self.take_now(key, now, |held| {
            let standing = self.standing(held, now);
            let is_complete = held.value().is_none_or(|value| value.is_complete_at(now));
            take(match standing {
                Standing::Fresh if !is_complete => Verdict::Incomplete(held),
                Standing::Fresh if held.value.is_none() => Verdict::Absent(held),
                Standing::Fresh => Verdict::Fresh(held),
                Standing::Stale | Standing::Past if !is_complete => Verdict::Missing(None),
                Standing::Stale => Verdict::Stale(held),
                Standing::Past => Verdict::Missing(Some(held)),
            })
        })
    }

    /// What memory holds for `key`, made valid as of now, and used.
    pub(super) fn held_now(&self, key: &[u8], now: Tick) -> Option<Held> {
        self.take_now(key, now, |held| held.to_held())
    }

    /// What `take` takes of what memory holds for `key`, made valid as of now, and used.
    #[inline]
    fn take_now<T>(&self, key: &[u8], now: Tick, take: impl FnOnce(&Seen<'_>) -> T) -> Option<T> {
        self.memory.get(self.id, key, now, |held| {
            if !self.revalidate(key, held) {
                return None;
            }
            // What is not served is not used either.
            if let Some(idle) = self.policy.idle
                && matches!(self.standing(held, now), Standing::Fresh)
            {
                let Seen { fresh_until, useless_from, .. } = *held;
                if let Some(stored) = &self.store {
                    stored.uses.note(key, held, idle, now);
                }
                held.useless_from = self.policy.used(now, Life { fresh_until, useless_from });
            }
            Some(take(held))
        })
    }

    /// How what is held stands to its TTL.
    #[inline]
    pub(super) fn standing<V>(&self, held: &Held<V>, now: Tick) -> Standing {
        if held.expired || self.suspects(held, now) {
            return Standing::Past;
        }
        if now < held.fresh_until {
            Standing::Fresh
        } else if now < held.fresh_until.after(self.policy.stale_while_revalidate) {
            Standing::Stale
        } else {
            Standing::Past
        }
    }

    /// Lands with what memory holds by now: the flight that filled it may have left the board, or a write may have come,
    /// between the look at memory and this lead. Gives the lead back where there is nothing.
    pub(super) fn land_from_memory(&self, lead: Lead, key: &[u8]) -> Result<Landing, Lead> {
        let (Verdict::Fresh(held) | Verdict::Absent(held)) = self.judge(key, self.clock.now()) else {
            return Err(lead);
        };
        let landing = Landing::of(held, Tier::Memory);
        lead.land(Ok(landing.clone()));
        Ok(landing)
    }

    /// Whether what a flight brings is of no use to a reader who must see every record up to `since`, as far as its key tells.
    pub(super) fn left_behind(&self, key: &[u8], flight: &Flight, since: Position) -> bool {
        flight.noted() < since && self.validity(key, false, None, flight.noted()).0 != Validity::Valid
    }

    /// Whether a group that the value belongs to was invalidated after its load began and before this reader did, as far as that
    /// can be known.
    pub(super) fn overtaken(&self, key: &[u8], landing: &Landing, since: Since) -> bool {
        let Landing { value, extras, position, .. } = landing;
        if self.had_ended(landing, since) {
            return true;
        }
        // What the tier gave it gave a moment ago.
        let unheard = since.unheard.filter(|_| landing.tier == Tier::Source);
        if unheard.is_some_and(|until| landing.began <= until) {
            return true;
        }
        !planted(Bug::LandingNotJudged)
            && *position < since.position
            && self.validity(key, tells_absence(value.as_ref()), extras.as_deref(), *position).0
                != Validity::Valid
    }

    /// Whether what a load brought had ended by its own word when a reader began who joined that load: who began before may have it.
    fn had_ended(&self, landing: &Landing, since: Since) -> bool {
        if landing.began >= since.began || landing.newer.is_some() {
            return false;
        }
        let part = landing.value.as_ref().and_then(Value::earliest_end);
        let whole = self.gives_ends().then_some(landing.fresh_until);
        part.into_iter().chain(whole).any(|end| end <= since.began)
    }

    /// A load takes longer than the soft time-out: the old value, where the policy still lets readers have it.
    fn instead_of_waiting(&self, key: &[u8]) -> Option<Read> {
        let now = self.clock.now();
        match self.judge(key, now) {
            Verdict::Fresh(held) => Some(from_memory(&held, now, Freshness::Fresh)),
            Verdict::Missing(Some(held)) if self.serves_on_error(&held, now) => {
                Some(self.stale_instead(key, held, now, Why::SlowSource))
            }
            _ => None,
        }
    }

    /// The source failed: the old value, where the policy still lets readers have it.
    fn after_failure(&self, key: &[u8], now: Tick, error: Error) -> Result<Read, Error> {
        match self.judge(key, now) {
            Verdict::Fresh(held) => Ok(from_memory(&held, now, Freshness::Fresh)),
            Verdict::Stale(held) => Ok(self.stale_instead(key, held, now, why_stale(&error))),
            Verdict::Missing(Some(held)) if self.serves_on_error(&held, now) => {
                Ok(self.stale_instead(key, held, now, why_stale(&error)))
            }
            Verdict::Incomplete(held) => match self.past_whole(&held, now) {
                Some(held) => Ok(self.stale_instead(key, held, now, why_stale(&error))),
                None => Err(error),
            },
            _ => Err(error),
        }
    }

    /// The source gave an older version than memory has: what memory has, where the policy still lets readers have it.
    pub(super) fn instead_of_older(&self, key: &[u8]) -> Option<Landing> {
        let now = self.clock.now();
        let (held, freshness) = match self.judge(key, now) {
            Verdict::Fresh(held) => (held, Freshness::Fresh),
            Verdict::Stale(held) => (held, Freshness::Stale(Why::Revalidating)),
            Verdict::Missing(Some(held)) if self.serves_on_error(&held, now) => {
                (held, Freshness::Stale(Why::SourceFailed))
            }
            Verdict::Absent(_) | Verdict::Incomplete(_) | Verdict::Missing(_) => return None,
        };
        let mut landing = Landing { newer: Some(freshness), ..Landing::of(held, Tier::Memory) };
        if freshness != Freshness::Fresh {
            // What was made stale has no fresh time left.
            landing.fresh_until = landing.fresh_until.min(now);
        }
        Some(landing)
    }

    fn stale_instead(&self, key: &[u8], held: Held, now: Tick, why: Why) -> Read {
        self.note(key, What::ServedStale { why });
        from_memory(&held, now, Freshness::Stale(why))
    }

    /// Whether `held` may be served at `now` if the source fails. A suspect may not: nobody can tell whether it was invalidated.
    pub(super) fn serves_on_error<V: Borrow<Option<Value>>>(&self, held: &Held<V>, now: Tick) -> bool {
        self.in_error_window(held, now) && !self.suspects(held, now)
    }

    /// Whether `stale_if_error` lets readers have `held` at `now`.
    pub(super) fn in_error_window<V: Borrow<Option<Value>>>(&self, held: &Held<V>, now: Tick) -> bool {
        let window = self.policy.stale_if_error;
        held.value().is_some() && !window.is_zero() && now < held.fresh_until.after(window)
    }

    fn counted(&self, read: Read) -> Read {
        self.counters.read(&read.outcome);
        read
    }

    /// The end of a read that brought no answer; counted.
    pub(super) fn failed<T>(&self, error: Error) -> Result<T, Error> {
        self.counters.read_failed((&error).into());
        Err(error)
    }
}

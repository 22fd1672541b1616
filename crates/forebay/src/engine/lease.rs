//! The shared tier's part in a load: what it holds is taken, what it lacks is loaded under its lease.
//!
//! A flight asks the tier before the source. The tier hands out a value, or a lease to load under, or says that another
//! instance loads: that one is waited for (`lease_waits.rs`), and after a while gone without. Without a lease nothing is stored in the tier.
//! Whatever the tier does not answer costs speed only (promise P6).

use std::sync::Arc;
use std::time::Duration;

use super::core::{Core, tells_absence};
use super::load::Departure;
use super::shared::Shared;
use crate::loader::{Entered, Landing, Slot};
use crate::log::{Cursor, Verdict as Validity};
use crate::namespace::Life;
use crate::observe::{Refusal, Tier};
use crate::rt::Tick;
use crate::rt::planted::{Bug, planted};
use crate::tier::memory::Held;
use crate::tier::shared::{Answer, Envelope, EnvelopeValue, Fill, Lease, LeaseTerms};
use crate::value::{Blob, Extras, Position, Tag, Value};

/// How long an answer of the tier may wait until the log is applied as far as the tier knew it.
const CATCH_UP: Duration = Duration::from_millis(100);
/// What a lease lives longer than its load may take.
const LEASE_MARGIN: Duration = Duration::from_secs(1);
/// The right to fill one key of the tier, and what was noted with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted {
    pub(super) lease: Lease,
    pub(super) noted: Cursor,
    /// `noted` among this instance's positions.
    pub(super) position: Position,
}

/// What the tier said of a flight.
pub(super) enum Said {
    /// It is landed.
    Landed,
    /// It must be loaded, under a lease where there is one.
    Load(Departure),
    /// Another instance loads it.
    Busy(Departure),
    /// The tier holds what is not to be trusted or read, and gave no lease to replace it.
    Useless(Departure),
    /// Nothing yet: the time of another one in its call was over, and its own is not.
    CutShort(Departure),
}

/// A question that the tier has answered.
struct Asked {
    /// When it was sent.
    sent: Tick,
    /// The log's tail as of the answer.
    noted: Cursor,
    /// `noted` among this instance's positions.
    position: Position,
}

impl Core {
    /// Asks the shared tier for flights, batch after batch, and sends on to the source what it lacks.
    pub(super) fn depart_to_tier(self: &Arc<Self>, shared: &Arc<Shared>, departures: Vec<Departure>) {
        let Entered { start, refused } = self.tier_queue.enter(departures);
        // The tier is asked for speed only: who finds no place before it goes to the source.
        self.depart_to_source(refused);
        for (slot, batch) in start {
            let (core, shared) = (Arc::clone(self), Arc::clone(shared));
            self.tasks.spawn(async move { core.run_tier(&shared, slot, batch).await });
        }
    }

    async fn run_tier(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        mut slot: Slot<Departure>,
        first: Vec<Departure>,
    ) {
        let mut next = Some(first);
        while let Some(batch) = next {
            let (mut load, mut busy) = (Vec::new(), Vec::new());
            for said in self.ask_tier(shared, batch).await {
                match said {
                    Said::Landed => {}
                    // What is of no use was asked for a lease too: there is none to be had. What was cut short goes without:
                    // the tier is slow.
                    Said::Load(departure) | Said::Useless(departure) | Said::CutShort(departure) => {
                        load.push(departure);
                    }
                    Said::Busy(departure) => busy.push(departure),
                }
            }
            self.depart_to_source(load);
            self.wait_for_leases(shared, busy);
            next = slot.next();
        }
    }

    /// What the tier says of each. What it holds and is of no use is asked for once more, for the lease to replace it.
    pub(super) async fn ask_tier(self: &Arc<Self>, shared: &Arc<Shared>, batch: Vec<Departure>) -> Vec<Said> {
        let (mut lease, copies): (Vec<_>, Vec<_>) = batch.into_iter().partition(Departure::passes_copies);
        let mut all = Vec::new();
        for said in self.ask_in_calls(shared, copies, false).await {
            match said {
                Said::Useless(departure) => lease.push(departure),
                said => all.push(said),
            }
        }
        all.append(&mut self.ask_in_calls(shared, lease, true).await);
        all
    }

    /// Asks for as many keys at once as one call takes.
    async fn ask_in_calls(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        departures: Vec<Departure>,
        even_if_fresh: bool,
    ) -> Vec<Said> {
        let at_most = shared.tier.capabilities().batch_max.max(1);
        let mut said = Vec::with_capacity(departures.len());
        let mut departures = departures.into_iter();
        loop {
            let call: Vec<Departure> = departures.by_ref().take(at_most).collect();
            if call.is_empty() {
                return said;
            }
            said.append(&mut self.ask(shared, call, even_if_fresh).await);
        }
    }

    async fn ask(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        call: Vec<Departure>,
        even_if_fresh: bool,
    ) -> Vec<Said> {
        let keys: Vec<Vec<u8>> = call.iter().map(|departure| self.pattern.whole(departure.key())).collect();
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let terms = LeaseTerms { time: self.policy.load_timeout.saturating_add(LEASE_MARGIN), even_if_fresh };
        // It is asked for speed only: a load that waits for it for too long would fail for its sake (promise P6).
        let until = call.iter().map(Departure::asks_tier_until).min().unwrap_or_default();
        let left = || until.since(self.clock.now());
        if !shared.joined(CATCH_UP.min(left())).await || !shared.serves() {
            return call.into_iter().map(Said::Load).collect();
        }
        let sent = self.clock.now();
        // A lease that is granted too late ends by itself.
        let asked = self.clock.timeout(left(), shared.tier.get(&self.owner, &keys, Some(terms))).await;
        let Ok(answers) = asked else {
            let now = self.clock.now();
            let cut = |one: Departure| {
                if now < one.asks_tier_until() { Said::CutShort(one) } else { Said::Load(one) }
            };
            return call.into_iter().map(cut).collect();
        };
        let placed = answers.ok().and_then(|answers| Some((self.groups.place(answers.tail)?, answers)));
        let Some((position, answers)) = placed else { return call.into_iter().map(Said::Load).collect() };
        let asked = Asked { sent, noted: answers.tail, position };
        for departure in &call {
            // At once: a record up to there that is heeded from now on does not concern what these load.
            departure.flight().note(position);
        }
        let known = shared.catch_up(position, CATCH_UP.min(left())).await;
        let said = call.into_iter().zip(answers.answers);
        said.map(|(departure, answer)| self.heed_answer(departure, answer, &asked, known)).collect()
    }

    /// What an answer means for its flight; `known` says whether the log is applied as far as the tier knew it.
    fn heed_answer(
        self: &Arc<Self>,
        departure: Departure,
        answer: Answer,
        asked: &Asked,
        known: bool,
    ) -> Said {
        let Asked { sent, noted, position } = *asked;
        match answer {
            Answer::Held(envelope) if known => match self.take_over(&departure, &envelope, sent) {
                Some(landing) => {
                    departure.land(Ok(landing));
                    Said::Landed
                }
                None => Said::Useless(departure),
            },
            Answer::Leased { lease, held } => {
                let departure = departure.under(Granted { lease, noted, position });
                // Another instance may have replaced what was of no use, between the look at it and this lease.
                let copy = held.filter(|_| known && !departure.passes_copies());
                match copy.and_then(|envelope| self.take_over(&departure, &envelope, sent)) {
                    Some(landing) => {
                        self.give_back(&departure);
                        departure.land(Ok(landing));
                        Said::Landed
                    }
                    None => Said::Load(departure),
                }
            }
            Answer::Busy { .. } if !planted(Bug::LeaseIgnored) => Said::Busy(departure),
            Answer::Held(_) | Answer::Missing | Answer::Busy { .. } => Said::Load(departure),
        }
    }

    /// Takes a value over from the tier into memory, fenced; what those aboard get. `None` where it is not to be trusted.
    fn take_over(&self, departure: &Departure, envelope: &Envelope, sent: Tick) -> Option<Landing> {
        let mut held = self.unpack(departure.key(), envelope, sent)?;
        self.keep_written(departure, &mut held);
        let landing = Landing::of(held.clone(), Tier::Shared);
        // Whether memory keeps it or not, it is what those aboard get, unless memory has what is newer.
        match self.store(departure, held, Tier::Shared) {
            Err(Refusal::Older) => Some(self.instead_of_older(departure.key()).unwrap_or(landing)),
            _ => Some(landing),
        }
    }

    /// An envelope as memory holds it, counted from when the tier was asked; `None` where it is stale, of another shape, of an
    /// epoch that has ended, made invalid by a record, or not readable.
    fn unpack(&self, key: &[u8], envelope: &Envelope, sent: Tick) -> Option<Held> {
        if !envelope.is_fresh() || envelope.shape != self.policy.shape {
            return None;
        }
        let noted = self.groups.place(envelope.noted)?;
        let extras = Extras { tags: envelope.tags.clone(), version: envelope.version };
        let value = match &envelope.value {
            Some(value) => Some(self.value_of(value)?),
            None => None,
        };
        let absence = tells_absence(value.as_ref());
        let (validity, position) = self.validity(key, absence, Some(&extras), noted);
        if validity != Validity::Valid && !planted(Bug::EnvelopeNotJudged) {
            return None;
        }
        let ms = Duration::from_millis;
        let began = sent.before(ms(envelope.age_ms));
        let life = Life {
            fresh_until: sent.after(ms(envelope.fresh_for_ms)),
            useless_from: sent.after(ms(envelope.useless_after_ms)),
        };
        // Another process may have been declared otherwise, such as the run before of what lies on disk.
        let Life { fresh_until, useless_from } = self.policy.taken_over(began, value.is_none(), life);
        if fresh_until <= self.clock.now() {
            return None;
        }
        Some(Held {
            value,
            began,
            fresh_until,
            useless_from,
            position,
            expired: false,
            extras: extras.kept(),
        })
    }

    /// Has leases live as long as the load of `batch` may take, which begins now. Granted after its flight was boarded, a lease
    /// outlives the time that this is waited for, but not always that of the youngest, as long as which they are all loaded.
    pub(super) fn renew_leases(self: &Arc<Self>, batch: &[Departure]) {
        let Some(shared) = self.shared().cloned() else { return };
        let last = batch.iter().map(Departure::due).max().unwrap_or_default();
        let ends_early = |departure: &&Departure| departure.due().after(LEASE_MARGIN / 2) <= last;
        let lease =
            |departure: &Departure| Some((self.pattern.whole(departure.key()), departure.granted()?.lease));
        let leases: Vec<_> = batch.iter().filter(ends_early).filter_map(lease).collect();
        if leases.is_empty() {
            return;
        }
        let (core, time) = (Arc::clone(self), last.since(self.clock.now()).saturating_add(LEASE_MARGIN));
        self.tasks.spawn(async move {
            for (key, lease) in leases {
                // What is not renewed ends: its load is answered, and not stored in the tier.
                drop(shared.tier.renew(&core.owner, &key, lease, time).await);
            }
        });
    }

    /// Stores in the tier what loads under leases brought.
    pub(super) fn fill_tier(self: &Arc<Self>, fills: Vec<Fill>) {
        let Some(shared) = self.shared().cloned().filter(|_| !fills.is_empty()) else { return };
        let core = Arc::clone(self);
        self.tasks.spawn(async move {
            for call in fills.chunks(shared.tier.capabilities().batch_max.max(1)) {
                // What is not stored, or of which nobody knows, is loaded again by another instance; the lease ends by itself.
                drop(shared.tier.fill(&core.owner, call).await);
            }
        });
    }

    /// What is to be stored in the tier of a load that brought `held` under `granted`; `None` where it cannot be written. A codec does
    /// not write when parts of a value end: the copy ends with the first of them, and has no stale windows.
    pub(super) fn fill_of(&self, key: &[u8], granted: Granted, held: &Held) -> Option<Fill> {
        let now = self.clock.now();
        let Held { mut fresh_until, mut useless_from, .. } = *held;
        if let Some(end) = held.value.as_ref().and_then(Value::earliest_end) {
            (fresh_until, useless_from) = (fresh_until.min(end), useless_from.min(end));
            if fresh_until <= now {
                return None;
            }
        }
        let value = match &held.value {
            Some(value) => Some(self.envelope_of(value)?),
            None => None,
        };
        let mut tags: Vec<Tag> = self.tags_of(key);
        tags.extend(held.extras.iter().flat_map(|extras| extras.tags.iter().cloned()));
        let envelope = Envelope {
            value,
            age_ms: ms(now.since(held.began)),
            fresh_for_ms: ms(fresh_until.since(now)),
            useless_after_ms: ms(useless_from.since(now)),
            noted: granted.noted,
            tags,
            version: held.extras.as_ref().and_then(|extras| extras.version),
            shape: self.policy.shape,
            expired: false,
        };
        Some(Fill { key: self.pattern.whole(key).into(), lease: granted.lease, envelope })
    }

    /// Gives back the lease of a load that brought nothing to store.
    pub(super) fn give_back(self: &Arc<Self>, departure: &Departure) {
        let Some((shared, granted)) = self.shared().cloned().zip(departure.granted()) else { return };
        let (core, key) = (Arc::clone(self), self.pattern.whole(departure.key()));
        // A lease that cannot be given back ends by itself.
        self.tasks.spawn(async move { drop(shared.tier.release(&core.owner, &key, granted.lease).await) });
    }

    /// `value` in the form that every instance reads; `None` where nobody knows how to write it.
    pub(super) fn envelope_of(&self, value: &Value) -> Option<EnvelopeValue> {
        if let Value::Blob(blob) = value {
            return Some(EnvelopeValue::Blob {
                bytes: blob.bytes(),
                content_type: blob.content_type().into(),
            });
        }
        let bytes = self.codec.as_ref()?.encode(value)?;
        Some(EnvelopeValue::Encoded { kind: NATIVE.into(), shape: self.policy.shape, bytes })
    }

    /// The value of what another instance wrote; `None` where it cannot be read here.
    pub(super) fn value_of(&self, value: &EnvelopeValue) -> Option<Value> {
        match value {
            EnvelopeValue::Blob { bytes, content_type } => Some(Value::from(Blob::new(bytes, content_type))),
            EnvelopeValue::Encoded { kind, shape, bytes } => {
                let readable = **kind == *NATIVE && *shape == self.policy.shape;
                self.codec.as_ref().filter(|_| readable)?.decode(bytes)
            }
        }
    }
}

/// The kind of Rust values that a codec wrote.
const NATIVE: &str = "native";

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

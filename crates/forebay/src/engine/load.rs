//! The story of a load: from a boarded flight through the queue to the source, into memory, to the landing.
//!
//! A load is begun on the spot: what the source answers at once costs no task. What it does not goes on as a task of the
//! engine's, so that a reader who goes away does not take it along. Loads that wait for a slot go as one batch; a batch that
//! fails is tried key by key, once, so that one bad row does not fail its neighbours.
//!
//! A flight has its time-out from when it was boarded, in the queue and at the source together. A batch is loaded as long as the
//! youngest flight in it has time; older ones are released before, and what the load brings for them is stored all the same.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use super::core::Core;
use super::fill::Beginning;
use super::lease::Granted;
use super::lease_waits::Patience;
use super::store_source;
use crate::error::Error;
use crate::loader::{self, Entered, Flight, Landing, Lead, Slot};
use crate::namespace::pattern::ParamKind;
use crate::observe::What;
use crate::protection::{Permit, Phase, Verdict};
use crate::rt::planted::{Bug, planted};
use crate::rt::{Tick, let_go};
use crate::source::{Answers, FieldKey, LoadKey, Loaded, Source};
use crate::value::{Field, Hash, Param, Value, length};

/// A flight that is to be loaded.
#[derive(Debug)]
pub(super) struct Departure {
    lead: Lead,
    key: Box<[u8]>,
    load: LoadKey,
    /// The field of a hash that it loads; `None` for the whole value.
    field: Option<Bytes>,
    boarded: Tick,
    /// Until when it is waited for.
    due: Tick,
    asks_tier_until: Tick,
    /// The value that a refresh is to replace.
    replaces: Option<Value>,
    /// No reader asked for it.
    unasked: bool,
    /// Copies will not do, however fresh: it is a refresh, or a read of the truth itself.
    past_copies: bool,
    /// The lease of the shared tier that it loads under.
    granted: Option<Granted>,
    /// How it waits for an instance that loads the same.
    patience: Option<Patience>,
}

impl Departure {
    /// The flight.
    pub(super) fn flight(&self) -> &Arc<Flight> {
        self.lead.flight()
    }

    /// The key that it loads.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// The field of a hash that it loads; `None` for the whole value.
    pub(super) fn field(&self) -> Option<&Bytes> {
        self.field.as_ref()
    }

    /// Whether it loads one field of a hash.
    pub(super) fn is_of_field(&self) -> bool {
        self.field.is_some()
    }

    /// Until when the shared tier is waited for.
    pub(super) fn asks_tier_until(&self) -> Tick {
        self.asks_tier_until
    }

    /// Itself, for a reader who gives up at `until`: half of the time is left to the source.
    pub(super) fn in_time_for(self, until: Tick) -> Self {
        let half = self.boarded.after(until.since(self.boarded) / 2);
        Self { asks_tier_until: self.asks_tier_until.min(half), ..self }
    }

    /// The lease of the shared tier that it loads under.
    pub(super) fn granted(&self) -> Option<Granted> {
        self.granted
    }

    /// The value that it is the refresh of.
    pub(super) fn replaces(&self) -> Option<&Value> {
        self.replaces.as_ref()
    }

    /// Until when it is waited for.
    pub(super) fn due(&self) -> Tick {
        self.due
    }

    /// Whether copies will not do, however fresh.
    pub(super) fn passes_copies(&self) -> bool {
        self.past_copies
    }

    /// Itself, as a load that no copy will do for.
    pub(super) fn past_copies(self) -> Self {
        Self { past_copies: true, ..self }
    }

    /// Itself, as the refresh of `value`.
    pub(super) fn replacing(self, value: Option<Value>) -> Self {
        Self { replaces: value, ..self.past_copies() }
    }

    /// Itself, as the load of one field.
    pub(super) fn of_field(self, field: &Bytes) -> Self {
        Self { field: Some(field.clone()), ..self }
    }

    /// Itself, as a load that no reader asked for.
    pub(super) fn unasked(self) -> Self {
        Self { unasked: true, ..self }
    }

    /// Whether no reader asked for it.
    pub(super) fn is_unasked(&self) -> bool {
        self.unasked
    }

    /// How it waits for an instance that loads the same; `None` where it does not yet.
    pub(super) fn patience(&self) -> Option<Patience> {
        self.patience
    }

    /// Itself, as one that waits so.
    pub(super) fn patient(self, patience: Patience) -> Self {
        Self { patience: Some(patience), ..self }
    }

    /// Itself, under a lease.
    pub(super) fn under(self, granted: Granted) -> Self {
        Self { granted: Some(granted), ..self }
    }

    /// Ends the flight.
    pub(super) fn land(self, landed: Result<Landing, Error>) {
        self.lead.land(landed);
    }
}

impl Core {
    /// The departure of a flight that `lead` leads to `key`.
    pub(super) fn departure(&self, lead: Lead, key: &[u8], load: LoadKey) -> Departure {
        let boarded = self.clock.now();
        Departure {
            lead,
            key: key.into(),
            load,
            field: None,
            boarded,
            due: boarded.after(self.policy.load_timeout),
            asks_tier_until: boarded.after(self.policy.load_timeout / 2),
            replaces: None,
            unasked: false,
            past_copies: false,
            granted: None,
            patience: None,
        }
    }

    /// What to ask the source for `key`; `None` where the key cannot exist: there is no source that could have it, or its
    /// text is not canonical for its parameters' types.
    pub(super) fn load_of(&self, key: &[u8]) -> Option<LoadKey> {
        self.source.as_ref()?;
        self.key_of(key)
    }

    /// `key` as a source or sink is given it; `None` where its text is not canonical for its parameters' types.
    pub(super) fn key_of(&self, key: &[u8]) -> Option<LoadKey> {
        if self.pattern.is_any() {
            return Some(LoadKey { params: vec![store_source::any_key(key)] });
        }
        let texts = self.pattern.matches_tail(key)?;
        let kinds: SmallVec<[ParamKind; 4]> = self.pattern.kinds().collect();
        let params = texts.iter().zip(kinds).map(|(text, kind)| param(text, kind)).collect::<Option<_>>()?;
        Some(LoadKey { params })
    }

    /// Sends flights off: to the shared tier where there is one, else to the source. The tier holds whole values: a single field is
    /// asked of the source.
    pub(super) fn depart(self: &Arc<Self>, departures: Vec<Departure>) {
        match self.shared() {
            Some(shared) if !departures.is_empty() => {
                let (fields, wholes) = apart(departures);
                self.depart_to_source(fields);
                self.depart_to_tier(shared, wholes);
            }
            _ => self.depart_to_source(departures),
        }
    }

    /// Sends flights to the source: at once where it has a free slot, else as part of a later batch. A full queue lands them
    /// as overloaded, and nothing is asked of a source whose breaker is open.
    pub(super) fn depart_to_source(self: &Arc<Self>, departures: Vec<Departure>) {
        if departures.is_empty() {
            return;
        }
        let now = self.clock.now();
        let breaker = self.breaker.state(now);
        if breaker.phase == Phase::Open {
            let retry_after = breaker.since.after(self.policy.breaker.pause).since(now);
            self.counters.breaker_refused(length(departures.len()));
            return self.turn_away(departures, &self.breaker_open(retry_after));
        }
        let Entered { start, refused } = self.queue.enter(departures);
        let overloaded =
            || Error::Overloaded { namespace: Arc::clone(&self.name), retry_after: self.policy.load_timeout };
        if !refused.is_empty() {
            self.counters.shed(length(refused.len()));
            self.turn_away(refused, &overloaded());
        }
        let is_one = start.len() == 1;
        for (slot, batch) in start {
            let core = Arc::clone(self);
            let run = async move { core.run(slot, batch).await };
            // Several are to run beside each other, whatever the source does when it is first asked.
            if is_one { self.tasks.start(run) } else { self.tasks.spawn(run) }
        }
    }

    /// Loads batch after batch, as long as something waits.
    async fn run(self: &Arc<Self>, mut slot: Slot<Departure>, first: Vec<Departure>) {
        let mut next = Some(first);
        while let Some(batch) = next {
            self.load(&slot, batch).await;
            next = slot.next();
            if next.is_some() {
                // What came meanwhile is not for the reader to load who began this.
                let_go().await;
            }
        }
    }

    async fn load(self: &Arc<Self>, slot: &Slot<Departure>, mut batch: Vec<Departure>) {
        let began = self.clock.now();
        let late: Vec<Departure> = batch.extract_if(.., |one| began >= one.due).collect();
        // The source was not asked for them: the next reader does not wait for its sake.
        self.turn_away(late, &self.late());
        let Some(source) = self.source.as_ref().filter(|_| !batch.is_empty()) else { return };
        let permit = match self.breaker.ask(began) {
            Verdict::Pass(permit) => permit,
            Verdict::Open { retry_after } => {
                self.counters.breaker_refused(length(batch.len()));
                return self.turn_away(batch, &self.breaker_open(retry_after));
            }
        };
        let position = self.groups.newest();
        self.counters.asked(batch.len());
        for departure in &batch {
            self.counters.waited(began.since(departure.boarded));
            self.note(&departure.key, What::LoadBegan { position });
        }
        let question = Question::of(&batch);
        self.renew_leases(&batch);
        let asked = self.ask_while_due(self.ask_source(source, &question), &mut batch).await;
        let began = if planted(Bug::AgeFromTheEnd) { self.clock.now() } else { began };
        let position = if planted(Bug::PositionReadTooLate) { self.groups.newest() } else { position };
        self.counters.load_took(self.clock.now().since(began));
        match asked {
            Ok(answers) => {
                permit.succeeded(self.clock.now());
                let mut fills = Vec::new();
                for (departure, answer) in batch.into_iter().zip(answers) {
                    let landing = self.fill(&departure, Beginning { began, position }, answer, &mut fills);
                    self.throttle.succeeded(&departure.key);
                    self.count_refresh(&departure, &landing);
                    departure.land(Ok(landing));
                }
                self.fill_tier(fills);
            }
            Err(error) => self.not_answered(slot, batch, &error, permit),
        }
    }

    /// The source did not answer for `batch`: each is asked for once more, alone, as far as it has time.
    fn not_answered(
        self: &Arc<Self>,
        slot: &Slot<Departure>,
        batch: Vec<Departure>,
        error: &Error,
        permit: Permit,
    ) {
        let now = self.clock.now();
        // Late is late for each of them; any other fault may be one key's alone.
        let alone = batch.len() > 1 && !matches!(error, Error::Timeout { .. });
        let (again, batch): (Vec<_>, Vec<_>) = batch.into_iter().partition(|one| alone && now < one.due);
        if !again.is_empty() {
            // The breaker hears of this ask by its retries, of which the first may be a probe in its place.
            drop(permit);
            slot.again_alone(again);
        } else if error.may_retry() {
            permit.failed(now);
        }
        self.fail(batch, error);
    }

    /// Waits for `asked` as long as one of `batch` is due; those whose time is over before that are released.
    async fn ask_while_due(
        &self,
        asked: impl Future<Output = Result<Answers, Error>>,
        batch: &mut [Departure],
    ) -> Result<Answers, Error> {
        let mut asked = std::pin::pin!(asked);
        let last = batch.iter().map(|departure| departure.due).max().unwrap_or_default();
        while let Some(next) = batch.iter().map(|departure| departure.due).min() {
            let left = next.since(self.clock.now());
            if let Ok(answered) = self.clock.timeout(left, asked.as_mut()).await {
                return answered;
            }
            let now = self.clock.now();
            if now >= last {
                break;
            }
            for departure in batch.iter_mut().filter(|departure| departure.due <= now) {
                departure.lead.release(self.late());
                departure.due = last;
            }
        }
        Err(self.late())
    }

    /// A reader, or a flight, has waited for as long as the policy lets it.
    pub(super) fn late(&self) -> Error {
        Error::Timeout { namespace: Arc::clone(&self.name), after: self.policy.load_timeout }
    }

    /// Asks the source; a field's answer is a hash that knows of this field only.
    async fn ask_source(&self, source: &Arc<dyn Source>, question: &Question) -> Result<Answers, Error> {
        let name = &self.name;
        let fields = match question {
            Question::Wholes(keys) => return loader::ask(name, keys.len(), source.load(name, keys)).await,
            Question::Fields(fields) => fields,
        };
        // Fields are boarded only where the source loads them.
        let Some(source) = source.fields() else { return Ok(Vec::new()) };
        let answers = loader::ask(name, fields.len(), source.load_fields(name, fields)).await?;
        let one = |(asked, answer): (&FieldKey, Option<Field>)| {
            let mut hash = Hash::partial();
            hash.fill_holes(self.clock.now(), [(&asked.field, answer)]);
            Some(Loaded::new(hash))
        };
        Ok(fields.iter().zip(answers).map(one).collect())
    }

    /// Lands flights that the source has failed: for a while it is left alone for their keys.
    fn fail(self: &Arc<Self>, batch: Vec<Departure>, error: &Error) {
        let now = self.clock.now();
        for departure in &batch {
            self.throttle.failed(&departure.key, now);
        }
        self.turn_away(batch, error);
    }

    /// Lands flights without an answer.
    fn turn_away(self: &Arc<Self>, batch: Vec<Departure>, error: &Error) {
        for departure in batch {
            self.note(&departure.key, What::Failed { kind: error.into() });
            self.give_back(&departure);
            if planted(Bug::WaiterNotWokenOnPanic) && matches!(error, Error::LoadLost { .. }) {
                std::mem::forget(departure);
                continue;
            }
            departure.land(Err(error.clone()));
        }
    }

    fn breaker_open(&self, retry_after: Duration) -> Error {
        Error::BreakerOpen { namespace: Arc::clone(&self.name), retry_after }
    }
}

/// What a batch asks of its source.
enum Question {
    Wholes(Vec<LoadKey>),
    Fields(Vec<FieldKey>),
}

impl Question {
    /// That of a batch of loads of one sort, as the queue hands them out.
    fn of(batch: &[Departure]) -> Self {
        let field = |departure: &Departure| {
            let field = departure.field.clone()?;
            Some(FieldKey { key: departure.load.clone(), field })
        };
        match batch.iter().map(field).collect() {
            Some(fields) => Self::Fields(fields),
            None => Self::Wholes(batch.iter().map(|departure| departure.load.clone()).collect()),
        }
    }
}

/// Loads of single fields, and loads of whole values.
fn apart(departures: Vec<Departure>) -> (Vec<Departure>, Vec<Departure>) {
    departures.into_iter().partition(Departure::is_of_field)
}

fn param(text: &[u8], kind: ParamKind) -> Option<Param> {
    if !kind.canonical(text) {
        return None;
    }
    kind.param(std::str::from_utf8(text).ok()?)
}

//! Alarms: what an operator wants to be told of, raised by the declaration's bounds or by an app, each until it is over.
//!
//! An alarm is told three times over from one place: by a metric, by `/health/ready`, and by one line of the log when it is raised and one
//! when it is over. It guarantees that an episode has just these two lines, however often it is raised again meanwhile. What is out of its
//! bounds is found by `bounds.rs`, looked for by `watch.rs`; what an app finds is its own matter. Names of apps' alarms and events are of
//! the code, so that there are no more of them than it has.

mod bounds;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay::rt::{Clock, Mutex, Tick};

pub(crate) use self::watch::{AlarmOf, of, watch};

/// The longest reason that is kept, in bytes.
const REASON_BYTES_MAX: usize = 256;

/// Whose an alarm is: of one name, that of the declaration and that of the app are apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum By {
    Declaration,
    App,
}

/// What an alarm is known by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) keyspace: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) by: By,
}

/// An alarm that is raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Raised {
    pub(super) since: Tick,
    pub(super) reason: String,
    /// Whether it takes the process out of service.
    pub(super) is_unready: bool,
}

/// What an app counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Event {
    pub(super) keyspace: Arc<str>,
    pub(super) app: &'static str,
    pub(super) name: &'static str,
}

/// The alarms of a process, and what its apps count. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Board(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    /// Those that are watched or were raised once; nothing where they are not raised now.
    alarms: Mutex<BTreeMap<Id, Option<Raised>>>,
    events: Mutex<BTreeMap<Event, u64>>,
}

impl Board {
    /// A board without any.
    pub(crate) fn new(clock: Clock) -> Self {
        Self(Arc::new(Inner { clock, alarms: Mutex::default(), events: Mutex::default() }))
    }

    /// What an app of a keyspace is given of it.
    pub(crate) fn of(&self, app: &'static str, keyspace: &str) -> Alarms {
        Alarms { board: self.clone(), app, keyspace: keyspace.into() }
    }

    /// Raises an alarm, or says why it still is.
    fn raise(&self, id: Id, reason: &str, is_unready: bool) {
        let reason =
            reason.get(..reason.floor_char_boundary(REASON_BYTES_MAX)).unwrap_or_default().to_owned();
        let (keyspace, alarm) = (Arc::clone(&id.keyspace), Arc::clone(&id.name));
        let now = self.0.clock.now();
        let mut alarms = self.0.alarms.lock();
        let raised = alarms.entry(id).or_default();
        let since = raised.as_ref().map(|raised| raised.since);
        *raised = Some(Raised { since: since.unwrap_or(now), reason: reason.clone(), is_unready });
        drop(alarms);
        if since.is_none() {
            tracing::warn!(%keyspace, %alarm, %reason, "an alarm is raised");
        }
    }

    /// Says that an alarm is over; it is known from now on.
    fn clear(&self, id: &Id) {
        let before = self.0.alarms.lock().entry(id.clone()).or_default().take();
        self.over(id, before);
    }

    /// Forgets an alarm, which is over with that.
    fn forget(&self, id: &Id) {
        let before = self.0.alarms.lock().remove(id).flatten();
        self.over(id, before);
    }

    fn over(&self, id: &Id, before: Option<Raised>) {
        let Some(before) = before else { return };
        let (keyspace, alarm, lasted) = (&id.keyspace, &id.name, self.0.clock.now().since(before.since));
        tracing::info!(%keyspace, %alarm, ?lasted, "an alarm is over");
    }

    /// Those that are raised.
    pub(super) fn raised(&self) -> Vec<(Id, Raised)> {
        let alarms = self.0.alarms.lock();
        alarms.iter().filter_map(|(id, raised)| Some((id.clone(), raised.clone()?))).collect()
    }

    /// Keyspace and name of all that are known, and whether one of that name is raised.
    pub(super) fn known(&self) -> BTreeMap<(Arc<str>, Arc<str>), bool> {
        let mut known = BTreeMap::new();
        for (id, raised) in self.0.alarms.lock().iter() {
            let is_raised = known.entry((Arc::clone(&id.keyspace), Arc::clone(&id.name))).or_default();
            *is_raised |= raised.is_some();
        }
        known
    }

    /// What apps have counted.
    pub(super) fn events(&self) -> BTreeMap<Event, u64> {
        self.0.events.lock().clone()
    }
}

/// How an app raises alarms, and counts what happens to it. Clones are the same.
///
/// ```
/// use forebay_server::app::Alarms;
///
/// /// Whether a price is within the limits of its day.
/// fn judge(alarms: &Alarms, code: &str, price: u64, highest: u64) -> bool {
///     if price <= highest {
///         alarms.clear("prices_refused");
///         return true;
///     }
///     alarms.count("price_refused", 1);
///     alarms.raise("prices_refused", &format!("{code}: {price} is above the day's limit of {highest}"));
///     false
/// }
///
/// let alarms = Alarms::default();
/// assert!(!judge(&alarms, "600000", 112_300, 1_235));
/// assert_eq!(alarms.reason("prices_refused").unwrap(), "600000: 112300 is above the day's limit of 1235");
/// assert_eq!(alarms.counted("price_refused"), 1);
/// assert!(judge(&alarms, "600000", 1_123, 1_235));
/// assert_eq!(alarms.reason("prices_refused"), None);
/// ```
#[derive(Clone, Debug)]
pub struct Alarms {
    board: Board,
    app: &'static str,
    keyspace: Arc<str>,
}

impl Default for Alarms {
    /// Alarms of no process, that nobody else hears of.
    fn default() -> Self {
        Board::new(Clock::system()).of("", "")
    }
}

impl Alarms {
    /// Raises the alarm `name`, or says why it still is raised: `forebay_alarm` is 1, `/health/ready` tells the reason, and the log has one
    /// line for each episode. It takes nothing out of service. Of the reason 256 bytes are kept.
    pub fn raise(&self, name: &'static str, reason: &str) {
        self.board.raise(self.id(name), reason, false);
    }

    /// Says that the alarm `name` is over; of one that is not raised it says nothing.
    pub fn clear(&self, name: &'static str) {
        self.board.clear(&self.id(name));
    }

    /// Why the alarm `name` is raised; nothing where it is not.
    #[must_use]
    pub fn reason(&self, name: &'static str) -> Option<String> {
        Some(self.board.0.alarms.lock().get(&self.id(name))?.as_ref()?.reason.clone())
    }

    /// Counts that `event` happened `times` times: `forebay_app_events_total`.
    pub fn count(&self, event: &'static str, times: u64) {
        let mut events = self.board.0.events.lock();
        let count = events.entry(self.event(event)).or_default();
        *count = count.saturating_add(times);
    }

    /// How often `event` was counted.
    #[must_use]
    pub fn counted(&self, event: &'static str) -> u64 {
        self.board.0.events.lock().get(&self.event(event)).copied().unwrap_or_default()
    }

    fn id(&self, name: &'static str) -> Id {
        Id { keyspace: Arc::clone(&self.keyspace), name: name.into(), by: By::App }
    }

    fn event(&self, name: &'static str) -> Event {
        Event { keyspace: Arc::clone(&self.keyspace), app: self.app, name }
    }
}

//! The app's clock: what time it is on the market.
//!
//! In production it is the wall clock. In the demonstration it replays recorded sessions: it has a start, a speed and a
//! pause, and it runs over trading time only. At lunch and at a session's end it continues at the next opening, so that
//! quotes move at any hour; at the end of the last session it starts over at the first. Whatever asks for trading hours
//! asks this clock; ages and expiry are the engine's and go by its own monotonic clock.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::{Clock, Mutex, Tick};
use forebay_server::time::WallClock;
use jiff::{SignedDuration, Timestamp};

use crate::calendar::{CalendarError, SHANGHAI, TRADING_MS, TradingCalendar, TradingSession};
use crate::money::Milli;

/// How many seconds of trading pass in a real second, in thousandths: 0.1 to 10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Speed(i64);

/// Why a clock cannot be set so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// There is nothing to replay.
    #[error("there is no recorded session to replay")]
    NoSession,
    /// The start lies outside the recorded sessions.
    #[error("{at} is not recorded; write a time from {from} and before {until}")]
    NotRecorded {
        /// The time asked for.
        at: String,
        /// The first opening.
        from: String,
        /// The last close.
        until: String,
    },
    /// The speed is no number, or outside its limits.
    #[error(
        "the speed `{0}` cannot be run; write a number from 0.1 to 10000 with at most three decimal places"
    )]
    Speed(String),
    /// The wall clock cannot be set.
    #[error(
        "this clock is the wall clock, which cannot be set; write `replay = {{ … }}` in [app.stocks] for one that can"
    )]
    Wall,
}

/// What to change about a replay; `None` leaves it as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Go on from this time; out of hours from the next opening.
    pub at: Option<Timestamp>,
    /// Run at this speed.
    pub speed: Option<Speed>,
    /// Stand still, or run on.
    pub paused: Option<bool>,
}

/// A replay, as a pure function of the real time that has passed since it was set.
#[derive(Clone, Debug)]
pub struct ReplayClock {
    sessions: Arc<[TradingSession]>,
    /// Trading time from the first opening to where it was set.
    set_at_ms: i64,
    speed: Speed,
    paused: bool,
}

/// The app's clock; clones of an `Arc` of it show the same time.
#[derive(Debug)]
pub struct MarketClock {
    calendar: TradingCalendar,
    face: Face,
}

#[derive(Debug)]
enum Face {
    Wall(WallClock),
    Replay { real: Clock, replay: Mutex<(ReplayClock, Tick)> },
}

/// What the clock shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// Whether it is the wall clock.
    pub wall: bool,
    /// The time.
    pub at: Timestamp,
    /// Its speed; 1 for the wall clock.
    pub speed: Speed,
    /// Whether it stands still.
    pub paused: bool,
}

impl Speed {
    /// As fast as real time.
    pub const REAL_TIME: Self = Self(1_000);
    /// Twenty times as fast: a minute of trading in three seconds.
    pub const DEFAULT: Self = Self(20_000);
}

/// A decimal number from 0.1 to 10000.
impl FromStr for Speed {
    type Err = ClockError;

    fn from_str(text: &str) -> Result<Self, ClockError> {
        let speed = text.parse::<Milli>().ok().map(Milli::thousandths);
        let speed = speed.filter(|thousandths| (100..=10_000_000).contains(thousandths));
        speed.map(Self).ok_or_else(|| ClockError::Speed(text.to_owned()))
    }
}

/// The shortest decimal: `20`, `0.5`.
impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 1_000, self.0 % 1_000);
        let places = format!("{part:03}");
        match places.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            places => write!(f, "{whole}.{places}"),
        }
    }
}

impl ReplayClock {
    /// A replay of `sessions` from `start`; a start out of hours moves to the next opening.
    ///
    /// # Errors
    /// [`ClockError::NoSession`], or [`ClockError::NotRecorded`] for a start before the first opening or from the last
    /// close on.
    pub fn new(
        sessions: Arc<[TradingSession]>,
        start: Timestamp,
        speed: Speed,
        paused: bool,
    ) -> Result<Self, ClockError> {
        let set_at_ms = trading_ms(&sessions, start)?;
        Ok(Self { sessions, set_at_ms, speed, paused })
    }

    /// The time that it shows when `elapsed` of real time has passed since it was set.
    #[must_use]
    pub fn now(&self, elapsed: Duration) -> Timestamp {
        let position = self.position_ms(elapsed);
        let session = usize::try_from(position / TRADING_MS).ok().and_then(|index| self.sessions.get(index));
        session.map_or(Timestamp::UNIX_EPOCH, |session| session.after(position % TRADING_MS))
    }

    /// The replay as it goes on after `change`, made when `elapsed` of real time has passed; the real time of the new one
    /// starts at zero.
    ///
    /// # Errors
    /// [`ClockError::NotRecorded`] for a time outside the sessions.
    pub fn changed(&self, elapsed: Duration, change: Change) -> Result<Self, ClockError> {
        Ok(Self {
            sessions: Arc::clone(&self.sessions),
            set_at_ms: match change.at {
                Some(at) => trading_ms(&self.sessions, at)?,
                None => self.position_ms(elapsed),
            },
            speed: change.speed.unwrap_or(self.speed),
            paused: change.paused.unwrap_or(self.paused),
        })
    }

    /// Trading time from the first opening, within the recorded sessions.
    fn position_ms(&self, elapsed: Duration) -> i64 {
        let run = if self.paused { 0 } else { elapsed.as_millis() };
        let run = run.saturating_mul(u128::from(self.speed.0.unsigned_abs())) / 1_000;
        let total = u128::try_from(self.sessions.len()).unwrap_or(0) * u128::from(TRADING_MS.unsigned_abs());
        let position = run.saturating_add(u128::from(self.set_at_ms.unsigned_abs())).checked_rem(total);
        position.and_then(|position| i64::try_from(position).ok()).unwrap_or(0)
    }
}

/// Trading time from the first opening to `at`.
fn trading_ms(sessions: &[TradingSession], at: Timestamp) -> Result<i64, ClockError> {
    let (Some(first), Some(last)) = (sessions.first(), sessions.last()) else {
        return Err(ClockError::NoSession);
    };
    if at < first.opens() || at >= last.closes() {
        return Err(ClockError::NotRecorded {
            at: local(at),
            from: local(first.opens()),
            until: local(last.closes()),
        });
    }
    Ok(sessions.iter().map(|session| session.traded_ms(at)).sum())
}

/// The time as the exchange writes it: `2019-01-28T09:30:00+08:00`.
#[must_use]
pub fn local(at: Timestamp) -> String {
    at.display_with_offset(SHANGHAI).to_string()
}

/// What the wall clock shows.
#[must_use]
pub fn moment(wall: &WallClock) -> Timestamp {
    let since = SignedDuration::try_from(wall.now()).unwrap_or(SignedDuration::MAX);
    Timestamp::UNIX_EPOCH.saturating_add(since).unwrap_or(Timestamp::MAX)
}

impl MarketClock {
    /// The wall clock.
    #[must_use]
    pub fn wall(calendar: TradingCalendar, wall: WallClock) -> Self {
        Self { calendar, face: Face::Wall(wall) }
    }

    /// A replay that runs by `real` from this moment on.
    #[must_use]
    pub fn replay(calendar: TradingCalendar, replay: ReplayClock, real: Clock) -> Self {
        let since = real.now();
        Self { calendar, face: Face::Replay { real, replay: Mutex::new((replay, since)) } }
    }

    /// What time it is on the market.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.read().at
    }

    /// What it shows, all of the same instant.
    #[must_use]
    pub fn read(&self) -> ClockReading {
        match &self.face {
            Face::Wall(wall) => {
                ClockReading { wall: true, at: moment(wall), speed: Speed::REAL_TIME, paused: false }
            }
            Face::Replay { real, replay } => {
                let replay = replay.lock();
                let (clock, since) = &*replay;
                let at = clock.now(real.now().since(*since));
                ClockReading { wall: false, at, speed: clock.speed, paused: clock.paused }
            }
        }
    }

    /// Whether the exchanges trade now.
    ///
    /// # Errors
    /// [`CalendarError::OutOfRange`].
    pub fn market_is_open(&self) -> Result<bool, CalendarError> {
        self.calendar.is_open(self.now())
    }

    /// The trading calendar that it goes by.
    #[must_use]
    pub fn calendar(&self) -> &TradingCalendar {
        &self.calendar
    }

    /// Sets a replay, all of `change` or nothing, and gives what it shows then.
    ///
    /// # Errors
    /// [`ClockError::Wall`] for the wall clock, [`ClockError::NotRecorded`] for a time outside the sessions.
    pub fn set(&self, change: Change) -> Result<ClockReading, ClockError> {
        let Face::Replay { real, replay } = &self.face else { return Err(ClockError::Wall) };
        {
            let mut replay = replay.lock();
            let now = real.now();
            let (clock, since) = &*replay;
            *replay = (clock.changed(now.since(*since), change)?, now);
        }
        Ok(self.read())
    }
}

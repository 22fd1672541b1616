//! When the Shanghai and Shenzhen exchanges trade.
//!
//! A session is a trading day: 09:30–11:30 and 13:00–15:00 in Asia/Shanghai, which keeps UTC+8 all through the calendar's
//! range. The lunch break, holidays on weekdays and make-up Saturdays, on which people work and the exchanges do not, are
//! closed. The range is that of the shipped days, 2018-01-01 to 2026-12-31; a question outside it is answered by an error,
//! never by a guess. What each does who asks is theirs to say: beyond it quotes are as fresh as in trading hours ([`hours`](crate::hours), which
//! raises an alarm before), and no share is without a band ([`limits`](crate::limits)).

use jiff::civil::{Date, date};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

/// The offset of Asia/Shanghai, which has had no daylight saving time since 1991.
pub const SHANGHAI: Offset = Offset::constant(8);

/// Minutes in which shares change hands in one session.
pub const MINUTES: u16 = 240;

/// Trading time of one session, in milliseconds.
pub const TRADING_MS: i64 = 4 * 60 * 60_000;

const HALF_MS: i64 = TRADING_MS / 2;
const LUNCH_MS: i64 = 90 * 60_000;
const FIRST: Date = date(2018, 1, 1);
const LAST: Date = date(2026, 12, 31);
const DAYS: &str = include_str!("../data/calendar.csv");

/// One trading day's hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradingSession {
    day: Date,
    opens: Timestamp,
}

/// Why the calendar has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// The time lies outside the range of the calendar.
    #[error("{at} is outside the trading calendar, which knows {first} to {last}; extend data/calendar.csv")]
    OutOfRange {
        /// The time asked about.
        at: Timestamp,
        /// The first local day known.
        first: Date,
        /// The last local day known.
        last: Date,
    },
    /// A line of the list of days is no day, out of order, or outside the range.
    #[error(
        "line {line} of the trading calendar is `{text}`; write trading days as YYYYMMDD, in order, one a line"
    )]
    Damaged {
        /// The line, counted from 1.
        line: usize,
        /// What it says.
        text: String,
    },
}

impl TradingSession {
    /// The session of `day`; the caller knows that it is a trading day.
    ///
    /// # Errors
    /// When the day cannot be told as a point in time (the last day of the year 9999).
    pub fn on(day: Date) -> Result<Self, jiff::Error> {
        Ok(Self { day, opens: SHANGHAI.to_timestamp(day.at(9, 30, 0, 0))? })
    }

    /// Its day, in Shanghai.
    #[must_use]
    pub const fn day(&self) -> Date {
        self.day
    }

    /// 09:30.
    #[must_use]
    pub const fn opens(&self) -> Timestamp {
        self.opens
    }

    /// 11:30.
    #[must_use]
    pub fn lunch_begins(&self) -> Timestamp {
        self.opens + SignedDuration::from_millis(HALF_MS)
    }

    /// 13:00.
    #[must_use]
    pub fn lunch_ends(&self) -> Timestamp {
        self.opens + SignedDuration::from_millis(HALF_MS + LUNCH_MS)
    }

    /// 15:00.
    #[must_use]
    pub fn closes(&self) -> Timestamp {
        self.opens + SignedDuration::from_millis(TRADING_MS + LUNCH_MS)
    }

    /// Whether shares change hands at `at`; openings belong to it, closings do not.
    #[must_use]
    pub fn is_open(&self, at: Timestamp) -> bool {
        (self.opens..self.lunch_begins()).contains(&at) || (self.lunch_ends()..self.closes()).contains(&at)
    }

    /// The instant at which `trading_ms` milliseconds of it have been traded; clamped to the session.
    #[must_use]
    pub fn after(&self, trading_ms: i64) -> Timestamp {
        let traded = trading_ms.clamp(0, TRADING_MS);
        let lunch = if traded < HALF_MS { 0 } else { LUNCH_MS };
        self.opens + SignedDuration::from_millis(traded + lunch)
    }

    /// How many milliseconds of it have been traded by `at`: 0 before it opens, all of them after it closes.
    #[must_use]
    pub fn traded_ms(&self, at: Timestamp) -> i64 {
        let since_open = at.as_millisecond().saturating_sub(self.opens.as_millisecond());
        let lunch = (since_open - HALF_MS).clamp(0, LUNCH_MS);
        (since_open - lunch).clamp(0, TRADING_MS)
    }
}

/// The exchanges' trading days.
#[derive(Clone, Debug)]
pub struct TradingCalendar {
    days: Vec<Date>,
}

impl TradingCalendar {
    /// The shipped calendar.
    ///
    /// # Errors
    /// [`CalendarError::Damaged`] when the shipped list is.
    pub fn shipped() -> Result<Self, CalendarError> {
        Self::parse(DAYS)
    }

    /// A calendar from a header line and one `YYYYMMDD` a line, ascending, within the range.
    ///
    /// # Errors
    /// [`CalendarError::Damaged`] with the line.
    pub fn parse(text: &str) -> Result<Self, CalendarError> {
        let mut days: Vec<Date> = Vec::new();
        for (index, line) in text.lines().enumerate().skip(1) {
            let day = parse_day(line).filter(|day| (FIRST..=LAST).contains(day));
            match day.filter(|day| days.last().is_none_or(|last| last < day)) {
                Some(day) => days.push(day),
                None => return Err(CalendarError::Damaged { line: index + 1, text: line.to_owned() }),
            }
        }
        Ok(Self { days })
    }

    /// Whether the exchanges trade at `at`.
    ///
    /// # Errors
    /// [`CalendarError::OutOfRange`].
    pub fn is_open(&self, at: Timestamp) -> Result<bool, CalendarError> {
        Ok(self.session(at)?.is_some_and(|session| session.is_open(at)))
    }

    /// The session of the local day of `at`, also before it opens and after it closes; none on a day without trading.
    ///
    /// # Errors
    /// [`CalendarError::OutOfRange`].
    pub fn session(&self, at: Timestamp) -> Result<Option<TradingSession>, CalendarError> {
        let day = local_day(at)?;
        match self.days.binary_search(&day) {
            Ok(_) => TradingSession::on(day).map(Some).map_err(|_| out_of_range(at)),
            Err(_) => Ok(None),
        }
    }

    /// The last day that it knows.
    #[must_use]
    pub fn last(&self) -> Date {
        LAST
    }

    /// Whether it knows `day`: whether that is one of trading or not.
    #[must_use]
    pub fn knows(&self, day: Date) -> bool {
        (FIRST..=LAST).contains(&day)
    }

    /// The trading days from `first` to `last`, both included, as far as the calendar knows them.
    pub fn trading_days(&self, first: Date, last: Date) -> impl Iterator<Item = Date> {
        let from = self.days.partition_point(|day| *day < first);
        self.days.iter().skip(from).copied().take_while(move |day| *day <= last)
    }

    /// The next opening after `at`, of a morning or of an afternoon; while the market is open, the opening after this one.
    ///
    /// # Errors
    /// [`CalendarError::OutOfRange`], also when the calendar ends before the next opening.
    pub fn next_open(&self, at: Timestamp) -> Result<Timestamp, CalendarError> {
        let today = local_day(at)?;
        let from = self.days.partition_point(|day| *day < today);
        for day in self.days.iter().skip(from).take(2) {
            let session = TradingSession::on(*day).map_err(|_| out_of_range(at))?;
            if let Some(open) = [session.opens(), session.lunch_ends()].into_iter().find(|open| at < *open) {
                return Ok(open);
            }
        }
        Err(out_of_range(at))
    }
}

/// A day written `YYYYMMDD`.
pub(crate) fn parse_day(text: &str) -> Option<Date> {
    let number: i32 = text.parse().ok().filter(|_| text.len() == 8)?;
    let part = |value: i32| i8::try_from(value).ok();
    Date::new(i16::try_from(number / 10_000).ok()?, part(number / 100 % 100)?, part(number % 100)?).ok()
}

/// The day that it is in Shanghai.
#[must_use]
pub fn day_of(at: Timestamp) -> Date {
    SHANGHAI.to_datetime(at).date()
}

/// When a day begins in Shanghai; the end of time for one that cannot be told as a point in time.
#[must_use]
pub fn begins(day: Date) -> Timestamp {
    SHANGHAI.to_timestamp(day.at(0, 0, 0, 0)).unwrap_or(Timestamp::MAX)
}

fn local_day(at: Timestamp) -> Result<Date, CalendarError> {
    let day = day_of(at);
    if (FIRST..=LAST).contains(&day) { Ok(day) } else { Err(out_of_range(at)) }
}

fn out_of_range(at: Timestamp) -> CalendarError {
    CalendarError::OutOfRange { at, first: FIRST, last: LAST }
}

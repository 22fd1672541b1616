//! How far a price may be from the previous close on one day.
//!
//! The exchanges' rules, as a table by kind of instrument and date: 10 % on the main boards, 5 % for names under special treatment (ST), 20 % on
//! STAR, and on ChiNext from 2020-08-24 on, also for ST. A share that was listed under the registration system has no band on its first five
//! trading days, which are counted by the trading calendar: of a day that the calendar does not know, or before the share's first, nobody can say that
//! it is one of them, and the ordinary band holds. An index has none either, and cannot leave the widest that its shares may have.
//!
//! Limits are the previous close times the percentage, rounded to a whole hundredth, halves up, in decimals: 10.05 × 1.1 is 11.06.

use jiff::civil::{Date, date};

use crate::calendar::TradingCalendar;
use crate::market::Kind;
use crate::money::Milli;

/// ChiNext has wider bands, and listings by registration, from this day on.
const CHINEXT_REFORM: Date = date(2020, 8, 24);
/// The main boards have listings by registration from this day on.
const MAIN_BOARD_REGISTRATION: Date = date(2023, 4, 10);
/// So many trading days a newly registered share has no band.
const FREE_DAYS: usize = 5;
/// How many times the issue price nobody believes, up or down, where there is no band.
const BELIEVED: i64 = 50;

/// What a price is judged by, beside the previous close.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// What the instrument is.
    pub kind: Kind,
    /// Its name, which tells of special treatment.
    pub name: &'a str,
    /// Its first day of trading, where it is known.
    pub listed_on: Option<Date>,
}

/// The lowest and the highest price that can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The lowest.
    pub low: Milli,
    /// The highest.
    pub high: Milli,
}

impl Limits {
    /// Those of a band so many hundredths of the previous close wide, to either side.
    #[must_use]
    pub fn within(percent: i64, previous_close: Milli) -> Self {
        let limit = |parts| previous_close.scaled(parts, 100).to_hundredth();
        Self { low: limit(100 - percent), high: limit(100 + percent) }
    }

    /// Whether `price` is one of them or between.
    #[must_use]
    pub fn hold(self, price: Milli) -> bool {
        (self.low..=self.high).contains(&price)
    }
}

impl Rules<'_> {
    /// Whether its name says that it is under special treatment.
    #[must_use]
    pub fn is_special(self) -> bool {
        self.name.contains("ST")
    }

    /// The limits on `day` after `previous_close`.
    #[must_use]
    pub fn limits(self, previous_close: Milli, day: Date, calendar: &TradingCalendar) -> Limits {
        if self.has_no_band(day, calendar) {
            let low = previous_close.scaled(1, BELIEVED);
            return Limits { low, high: previous_close.scaled(BELIEVED, 1) };
        }
        Limits::within(self.band_percent(day), previous_close)
    }

    /// Width of the band in hundredths of the previous close.
    #[must_use]
    pub fn band_percent(self, day: Date) -> i64 {
        match self.kind {
            Kind::Star => 20,
            Kind::ChiNext | Kind::Index if day >= CHINEXT_REFORM => 20,
            Kind::AShare | Kind::ChiNext if self.is_special() => 5,
            Kind::AShare | Kind::ChiNext | Kind::Index => 10,
        }
    }

    fn has_no_band(self, day: Date, calendar: &TradingCalendar) -> bool {
        let Some(listed_on) = self.listed_on else { return false };
        let is_registered = match self.kind {
            Kind::Star => true,
            Kind::ChiNext => listed_on >= CHINEXT_REFORM,
            Kind::AShare => listed_on >= MAIN_BOARD_REGISTRATION,
            Kind::Index => false,
        };
        let days = calendar.trading_days(listed_on, day).take(FREE_DAYS + 1).count();
        is_registered && calendar.knows(day) && (1..=FREE_DAYS).contains(&days)
    }
}

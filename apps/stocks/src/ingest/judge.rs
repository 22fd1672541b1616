//! Whether an update is believed, and whether it is news.
//!
//! The verdict depends on the update, on what is known of the instrument's day (its previous close), on the update that is shown, and on the clock,
//! which nothing is ahead of; never on which came first. Of all that are believed the greatest by [`Rank`] is shown in the end, whatever the order
//! in which they arrive.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::Reference;
use crate::calendar::{TradingCalendar, begins, day_of};
use crate::clock::local;
use crate::limits::{Limits, Rules};
use crate::market::Kind;
use crate::money::Milli;

/// An instrument: its market, and its code there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// `SH` or `SZ`.
    pub market: String,
    /// Six digits.
    pub code: String,
}

/// What is told of an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It trades.
    Trading {
        /// The last price, in whole hundredths.
        price: Milli,
        /// Shares traded since the session opened.
        volume: i64,
    },
    /// It does not trade today: it has no price.
    Suspended,
    /// Nobody has traded it yet today: it has no price.
    NotTraded,
}

impl Told {
    /// The word in the tables and on the wire.
    #[must_use]
    pub const fn status(self) -> &'static str {
        match self {
            Self::Trading { .. } => "trading",
            Self::Suspended => "suspended",
            Self::NotTraded => "not_traded",
        }
    }

    /// The price, of what trades.
    #[must_use]
    pub const fn price(self) -> Option<Milli> {
        match self {
            Self::Trading { price, .. } => Some(price),
            Self::Suspended | Self::NotTraded => None,
        }
    }

    /// Shares traded since the session opened.
    #[must_use]
    pub const fn volume(self) -> i64 {
        match self {
            Self::Trading { volume, .. } => volume,
            Self::Suspended | Self::NotTraded => 0,
        }
    }
}

/// One update, as a source tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Of which instrument.
    pub id: Id,
    /// The source's own time.
    pub at: Timestamp,
    /// What orders updates of one time.
    pub sequence: i64,
    /// What it tells.
    pub told: Told,
}

/// What orders the updates of a day: the source's time, then its sequence. Two that have both in common and differ all the same are a fault of the
/// source; of these the same one wins in every order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    source_us: i64,
    sequence: i64,
    status: &'static str,
    price: Option<Milli>,
    volume: i64,
}

impl Rank {
    /// That of what was told at `source_us` with `sequence`.
    #[must_use]
    pub fn of(source_us: i64, sequence: i64, told: Told) -> Self {
        Self { source_us, sequence, status: told.status(), price: told.price(), volume: told.volume() }
    }

    /// The source's time, in microseconds since 1970, and its sequence.
    pub(super) const fn of_source(self) -> (i64, i64) {
        (self.source_us, self.sequence)
    }

    /// The price that was told, of what trades.
    pub(super) const fn price(self) -> Option<Milli> {
        self.price
    }
}

impl Update {
    /// Its rank.
    #[must_use]
    pub fn rank(&self) -> Rank {
        Rank::of(self.at.as_microsecond(), self.sequence, self.told)
    }
}

/// What is known of an instrument on its day.
#[derive(Clone, Debug)]
pub struct Known {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its first day of trading, where it is known.
    pub listed_on: Option<Date>,
    /// The day that is open.
    pub day: Date,
    /// What the session before closed at.
    pub previous_close: Milli,
    /// The update that is shown; nothing where the day has none yet.
    pub shown: Option<Rank>,
}

/// What becomes of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is shown from now on.
    Taken,
    /// It is what is shown already.
    Same,
    /// What is shown is newer.
    Older,
    /// It is not believed.
    Refused(Reason),
}

/// Why an update is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Nothing trades at 0 or below: what does not trade has no price.
    #[error("{price} is no price: of what does not trade tell its status, and no price")]
    NotAPrice {
        /// What was told.
        price: Milli,
    },
    /// The price cannot be on that day.
    #[error("the price {price} is outside of {} to {}, which the previous close allows", limits.low, limits.high)]
    OutOfBand {
        /// The price.
        price: Milli,
        /// What can be.
        limits: Limits,
    },
    /// Nobody has told the previous close of its day.
    #[error("its day {day} is not open: tell the previous closes of that day first")]
    DayNotOpen {
        /// The day.
        day: Date,
    },
    /// It is of a time that has not come, and would be shown, or keep its day open, until then.
    #[error(
        "it is of {}, and the clock shows {}: what is more than {ahead:#} ahead is not believed; set the clock of the source right",
        local(*at),
        local(*now)
    )]
    InTheFuture {
        /// Of when it is.
        at: Timestamp,
        /// What the clock shows.
        now: Timestamp,
        /// What would be believed.
        ahead: SignedDuration,
    },
}

/// Up to when something may be stamped that is judged now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// What the market's clock shows.
    pub now: Timestamp,
    /// By how much a source's clock may be ahead of it.
    pub ahead: SignedDuration,
}

impl Horizon {
    /// Why what is of `at` is not believed yet, where it is not.
    #[must_use]
    pub fn hides(self, at: Timestamp) -> Option<Reason> {
        let Self { now, ahead } = self;
        (at.duration_since(now) > ahead).then_some(Reason::InTheFuture { at, now, ahead })
    }

    /// Why a day cannot be opened yet, where it cannot: it has not begun.
    #[must_use]
    pub fn hides_day(self, day: Date) -> Option<Reason> {
        self.hides(begins(day))
    }
}

impl Reason {
    /// Stable, for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotAPrice { .. } => "not_a_price",
            Self::OutOfBand { .. } => "out_of_band",
            Self::DayNotOpen { .. } => "day_not_open",
            Self::InTheFuture { .. } => "in_the_future",
        }
    }
}

impl Known {
    /// What becomes of `update`.
    #[must_use]
    pub fn judge(&self, update: &Update, calendar: &TradingCalendar, horizon: Horizon) -> Verdict {
        if let Some(reason) = horizon.hides(update.at) {
            return Verdict::Refused(reason);
        }
        let day = day_of(update.at);
        if day < self.day {
            return Verdict::Older;
        }
        if day > self.day {
            return Verdict::Refused(Reason::DayNotOpen { day });
        }
        if let Some(price) = update.told.price() {
            if price <= Milli::default() {
                return Verdict::Refused(Reason::NotAPrice { price });
            }
            let rules = Rules { kind: self.kind, name: &self.name, listed_on: self.listed_on };
            let limits = rules.limits(self.previous_close, day, calendar);
            if !limits.hold(price) {
                return Verdict::Refused(Reason::OutOfBand { price, limits });
            }
        }
        match self.shown.map(|shown| update.rank().cmp(&shown)) {
            None | Some(std::cmp::Ordering::Greater) => Verdict::Taken,
            Some(std::cmp::Ordering::Equal) => Verdict::Same,
            Some(std::cmp::Ordering::Less) => Verdict::Older,
        }
    }

    /// Opens the day of `reference`, or corrects the previous close of the day that is open: what is shown of it stays shown. Where `anew`, the day
    /// begins again, also one from before. Whether it did: a day that is over stays so.
    pub fn open(&mut self, reference: &Reference, anew: bool) -> bool {
        let Reference { day, previous_close, .. } = *reference;
        if day < self.day && !anew {
            return false;
        }
        if day != self.day || anew {
            self.shown = None;
        }
        (self.day, self.previous_close) = (day, previous_close);
        true
    }

    /// How far `price` is from the previous close, and the same in percent of that.
    pub(super) fn change(&self, price: Milli) -> (Milli, String) {
        let change = price - self.previous_close;
        (change, change.percent_of(self.previous_close))
    }
}

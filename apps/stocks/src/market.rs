//! The sample market: instruments, recorded minutes, and the quote of any of them at any replayed minute.
//!
//! A quote is a pure function of its instrument and a [`Moment`]. A minute's recorded price is shown from the minute's
//! beginning on, rounded to a whole hundredth. The previous close is the price of the session before in its last minute;
//! corporate actions are not known, so a day on which a share goes ex right would show as a move. What is generated is
//! labelled so.

use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Timestamp};

use crate::calendar::{MINUTES, SHANGHAI, TradingSession, day_of, parse_day};
use crate::generate::{self, Character, Seed};
use crate::limits::Rules;
use crate::money::Milli;

const INSTRUMENTS: &str = include_str!("../data/instruments.csv");
const MINUTE_BARS: &str = include_str!("../data/minutes.csv");
const DAILY_BARS: &str = include_str!("../data/daily.csv");

/// Prices that two well-known shares are generated near, in yuan: about what they cost in the replayed weeks.
const KNOWN_LEVELS: [(&str, &str, Milli); 2] =
    [("SH", "600519", Milli::new(690_000)), ("SZ", "000858", Milli::new(58_000))];

/// Shares in a lot.
const LOT: i64 = 100;

/// A row of the shipped data cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of data/{file} cannot be read: `{text}`")]
pub struct DamagedData {
    /// The file under `data/`.
    pub file: &'static str,
    /// The line, counted from 1.
    pub line: usize,
    /// What it says.
    pub text: String,
}

/// What an instrument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A share of the main or the small and medium board.
    AShare,
    /// A share of ChiNext.
    ChiNext,
    /// A share of STAR, of which the sample has none.
    Star,
    /// An index.
    Index,
}

/// Where prices come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// Recorded trades of the exchange.
    Recorded,
    /// The seeded generator.
    Generated,
    /// What was told at the door.
    Ingested,
}

/// A share or an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// `SH` or `SZ`.
    pub market: &'static str,
    /// The code; unique among shares, and among indices.
    pub code: &'static str,
    /// The Chinese name, as of 2011.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Where its prices come from.
    pub provenance: Provenance,
}

/// A recorded minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// `SH` or `SZ`.
    pub market: &'static str,
    /// The code.
    pub code: &'static str,
    /// When the minute began.
    pub minute: Timestamp,
    /// The price.
    pub price: Milli,
    /// Shares traded in it.
    pub volume: i64,
}

/// A recorded day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyBar {
    /// `SH` or `SZ`.
    pub market: &'static str,
    /// The code.
    pub code: &'static str,
    /// The day.
    pub day: Date,
    /// Open, high, low and close, as recorded: three places.
    pub prices: [&'static str; 4],
    /// Shares traded.
    pub volume: i64,
    /// Yuan paid.
    pub amount: i64,
}

/// A minute of the replayed sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The session, counted from 0.
    pub session: usize,
    /// The minute of trading, 0 to 239.
    pub minute: u16,
}

/// What is shown of an instrument at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The price, in whole hundredths.
    pub price: Milli,
    /// What the session before closed at, in whole hundredths.
    pub previous_close: Milli,
    /// Price less previous close, in whole hundredths.
    pub change: Milli,
    /// The change in percent of the previous close, two places.
    pub change_percent: String,
    /// Shares traded since the session opened.
    pub volume: i64,
    /// When the shown minute began.
    pub at: Timestamp,
}

/// One recorded series: the price before the first session, then every minute of every session.
#[derive(Clone, Debug)]
struct Series {
    before: Milli,
    bars: Vec<Bar>,
}

/// The sample market.
#[derive(Debug)]
pub struct SampleMarket {
    instruments: Vec<Instrument>,
    sessions: Vec<TradingSession>,
    series: BTreeMap<(&'static str, &'static str), Series>,
    daily: Vec<DailyBar>,
    bases: BTreeMap<(&'static str, &'static str), Milli>,
}

impl Kind {
    /// The word in the data and in the tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AShare => "a_share",
            Self::ChiNext => "chinext",
            Self::Star => "star",
            Self::Index => "index",
        }
    }

    /// The kind that is written so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::AShare, Self::ChiNext, Self::Star, Self::Index].into_iter().find(|kind| kind.as_str() == name)
    }
}

impl Provenance {
    /// The word in the tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Generated => "generated",
            Self::Ingested => "ingested",
        }
    }
}

impl SampleMarket {
    /// Reads the shipped data.
    ///
    /// # Errors
    /// [`DamagedData`] when a row cannot be read, or a recorded series misses a minute.
    pub fn shipped() -> Result<Self, DamagedData> {
        let daily = rows("daily.csv", DAILY_BARS, daily_bar)?;
        let mut bases: BTreeMap<_, _> = daily
            .iter()
            .filter_map(|bar| Some(((bar.market, bar.code), bar.prices.last()?.parse().ok()?)))
            .collect();
        bases.extend(KNOWN_LEVELS.map(|(market, code, level)| ((market, code), level)));
        let (sessions, series) = recorded()?;
        let mut instruments = rows("instruments.csv", INSTRUMENTS, instrument)?;
        for instrument in &mut instruments {
            if series.contains_key(&(instrument.market, instrument.code)) {
                instrument.provenance = Provenance::Recorded;
            }
        }
        Ok(Self { instruments, sessions, series, daily, bases })
    }

    /// Every share and index, ordered by market and code.
    #[must_use]
    pub fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    /// The replayed sessions, in order; there is at least one.
    #[must_use]
    pub fn sessions(&self) -> &[TradingSession] {
        &self.sessions
    }

    /// The recorded daily bars.
    #[must_use]
    pub fn daily(&self) -> &[DailyBar] {
        &self.daily
    }

    /// The recorded minutes of the replayed sessions, series by series.
    pub fn bars(&self) -> impl Iterator<Item = &Bar> {
        self.series.values().flat_map(|series| &series.bars)
    }

    /// Whether its quote is moved at every minute: the recorded ones and the well-known ones.
    #[must_use]
    pub fn is_followed(&self, instrument: &Instrument) -> bool {
        let known = |(market, code, _)| (market, code) == (instrument.market, instrument.code);
        instrument.provenance == Provenance::Recorded || KNOWN_LEVELS.into_iter().any(known)
    }

    /// The last minute that has begun at `at`; none before the first session opens.
    #[must_use]
    pub fn moment(&self, at: Timestamp) -> Option<Moment> {
        let session = self.sessions.partition_point(|session| session.opens() <= at).checked_sub(1)?;
        let minute = self.sessions.get(session)?.traded_ms(at) / 60_000;
        Some(Moment { session, minute: u16::try_from(minute).ok()?.min(MINUTES - 1) })
    }

    /// The quote of one of its instruments; none where the moment lies outside the replayed sessions.
    #[must_use]
    pub fn quote(&self, instrument: &Instrument, moment: Moment) -> Option<Quote> {
        let at = self.sessions.get(moment.session)?.after(i64::from(moment.minute) * 60_000);
        let (price, previous_close, volume) = match self.series.get(&(instrument.market, instrument.code)) {
            Some(series) => series.at(moment)?,
            None => {
                let seed = self.seed(instrument, day_of(at));
                let made = generate::at(seed, i64::try_from(moment.session).ok()?, moment.minute);
                (made.price, made.previous_close, made.volume)
            }
        };
        let change = price - previous_close;
        let change_percent = change.percent_of(previous_close);
        Some(Quote { price, previous_close, change, change_percent, volume, at })
    }

    fn seed(&self, instrument: &Instrument, day: Date) -> Seed<'static> {
        let Instrument { market, code, name, kind, .. } = *instrument;
        let rules = Rules { kind, name, listed_on: None };
        let character = match kind {
            Kind::Index => Character::Index,
            Kind::AShare | Kind::ChiNext | Kind::Star if rules.is_special() => Character::SpecialTreatment,
            Kind::AShare | Kind::ChiNext | Kind::Star => Character::Share,
        };
        let base = self.bases.get(&(market, code)).copied();
        Seed { market, code, base, character, band_percent: rules.band_percent(day) }
    }
}

impl Series {
    /// Price, previous close and the session's volume.
    fn at(&self, moment: Moment) -> Option<(Milli, Milli, i64)> {
        let minutes = usize::from(MINUTES);
        let opening = moment.session.checked_mul(minutes)?;
        let index = opening.checked_add(usize::from(moment.minute))?;
        let so_far = self.bars.get(opening..=index)?;
        let previous = opening.checked_sub(1).and_then(|last| self.bars.get(last)).map(|bar| bar.price);
        let price = so_far.last()?.price.to_hundredth();
        let volume = so_far.iter().map(|bar| bar.volume).sum();
        Some((price, previous.unwrap_or(self.before).to_hundredth(), volume))
    }
}

type Recorded = (Vec<TradingSession>, BTreeMap<(&'static str, &'static str), Series>);

/// The recorded series; each has one row before the first session, then each minute of each session, and all have the
/// same sessions.
fn recorded() -> Result<Recorded, DamagedData> {
    let file = "minutes.csv";
    let damaged = |text: String| DamagedData { file, line: 0, text };
    let mut by_code: BTreeMap<_, Vec<Bar>> = BTreeMap::new();
    for bar in rows(file, MINUTE_BARS, bar)? {
        by_code.entry((bar.market, bar.code)).or_default().push(bar);
    }
    let mut sessions: Option<Vec<TradingSession>> = None;
    let mut series = BTreeMap::new();
    for (key, mut bars) in by_code {
        let first = bars.remove(0);
        let found = bars
            .chunks(usize::from(MINUTES))
            .map(|minutes| whole_session(minutes).ok_or_else(|| damaged(format!("{} {}", key.0, key.1))))
            .collect::<Result<Vec<_>, _>>()?;
        if sessions.get_or_insert_with(|| found.clone()) != &found {
            return Err(damaged(format!("{} {} has other sessions than the rest", key.0, key.1)));
        }
        series.insert(key, Series { before: first.price, bars });
    }
    let sessions = sessions.filter(|sessions| !sessions.is_empty());
    Ok((sessions.ok_or_else(|| damaged("no session".to_owned()))?, series))
}

/// The session whose minutes these are, each of them once and in order.
fn whole_session(minutes: &[Bar]) -> Option<TradingSession> {
    let session = TradingSession::on(SHANGHAI.to_datetime(minutes.first()?.minute).date()).ok()?;
    let in_order = (0..).zip(minutes).all(|(index, bar)| bar.minute == session.after(index * 60_000));
    (in_order && minutes.len() == usize::from(MINUTES)).then_some(session)
}

fn rows<T>(
    file: &'static str,
    text: &'static str,
    read: fn(&mut std::str::Split<'static, char>) -> Option<T>,
) -> Result<Vec<T>, DamagedData> {
    let read_line = |(index, line): (usize, &'static str)| {
        let mut cells = line.split(',');
        let row = read(&mut cells).filter(|_| cells.next().is_none());
        row.ok_or_else(|| DamagedData { file, line: index + 1, text: line.to_owned() })
    };
    text.lines().enumerate().skip(1).map(read_line).collect()
}

fn instrument(cells: &mut std::str::Split<'static, char>) -> Option<Instrument> {
    Some(Instrument {
        market: cells.next()?,
        code: cells.next()?,
        name: cells.next()?,
        kind: match cells.next()? {
            "a_share" => Kind::AShare,
            "chinext" => Kind::ChiNext,
            "index" => Kind::Index,
            _ => return None,
        },
        provenance: Provenance::Generated,
    })
}

fn bar(cells: &mut std::str::Split<'static, char>) -> Option<Bar> {
    let (market, code) = (cells.next()?, cells.next()?);
    let (day, time) = cells.next()?.split_at_checked(8)?;
    let time: i64 = time.parse().ok()?;
    let midnight = SHANGHAI.to_timestamp(DateTime::from(parse_day(day)?)).ok()?;
    let minute = midnight + SignedDuration::from_mins(time / 100 * 60 + time % 100);
    let price = cells.next()?.parse().ok()?;
    Some(Bar { market, code, minute, price, volume: lots(cells)? })
}

fn daily_bar(cells: &mut std::str::Split<'static, char>) -> Option<DailyBar> {
    let (market, code, day) = (cells.next()?, cells.next()?, parse_day(cells.next()?)?);
    let prices = [cells.next()?, cells.next()?, cells.next()?, cells.next()?];
    let amount = cells.next()?.parse::<i64>().ok()?.checked_mul(1_000)?;
    Some(DailyBar { market, code, day, prices, volume: lots(cells)?, amount })
}

fn lots(cells: &mut std::str::Split<'static, char>) -> Option<i64> {
    cells.next()?.parse::<i64>().ok().filter(|lots| *lots >= 0)?.checked_mul(LOT)
}

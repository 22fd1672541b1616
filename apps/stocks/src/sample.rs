//! Fills the tables with the sample market, once.
//!
//! It loads part by part, in transactions of a bounded number of rows, and notes a part as loaded in the transaction of
//! its last rows. A start that finds a part noted leaves it alone; one that was killed in the middle is completed by the
//! next, and rows that are already there are not touched.

use forebay_server::app::Progress;
use forebay_stores::database::transaction::TransactionError;
use forebay_stores::database::{Database, DatabaseError, Statement};
use serde_json::{Value, json};

use crate::calendar::day_of;
use crate::market::{Bar, DailyBar, Instrument, Kind, Moment, Provenance, Quote, SampleMarket};
use crate::of_rows;
use crate::rows::Words;

/// Rows written in one transaction.
const BATCH: usize = 1_000;
const WHAT: &str = "loading the sample market";

/// Why it was not loaded.
pub type Unfilled = TransactionError<DatabaseError>;

const INSTRUMENTS: Words = of_rows!(
    "insert into instruments (market, code, name, kind, provenance) \
     select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 from",
    "where true on conflict do nothing"
);
const QUOTES: Words = of_rows!(
    "insert into quotes (market, code, name, provenance, status, price, change, change_pct, timestamp, volume, day, previous_close, \
     source_us, sequence) \
     select value ->> 0, value ->> 1, value ->> 2, value ->> 3, 'trading', value ->> 4, value ->> 5, value ->> 6, value ->> 7, \
     cast(value ->> 8 as bigint), value ->> 9, value ->> 10, cast(value ->> 11 as bigint), 0 from",
    "where true on conflict do nothing"
);
const INDICES: Words = of_rows!(
    "insert into indices (market, code, name, provenance, status, price, change, change_pct, timestamp, volume, day, previous_close, \
     source_us, sequence) \
     select value ->> 0, value ->> 1, value ->> 2, value ->> 3, 'trading', value ->> 4, value ->> 5, value ->> 6, value ->> 7, \
     cast(value ->> 8 as bigint), value ->> 9, value ->> 10, cast(value ->> 11 as bigint), 0 from",
    "where true on conflict do nothing"
);
const BARS: Words = of_rows!(
    "insert into bars (market, code, minute, price, volume, provenance) \
     select value ->> 0, value ->> 1, value ->> 2, value ->> 3, cast(value ->> 4 as bigint), value ->> 5 from",
    "where true on conflict do nothing"
);
const DAILY_BARS: Words = of_rows!(
    "insert into daily_bars (market, code, day, open, high, low, close, volume, amount, provenance) \
     select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, cast(value ->> 7 as bigint), \
     cast(value ->> 8 as bigint), value ->> 9 from",
    "where true on conflict do nothing"
);

/// Loads what is not loaded yet, quotes as of `moment`, and returns how many rows it went through: 0 where all was there.
///
/// # Errors
/// When the database refuses something; what was loaded until then stays.
pub async fn fill(
    database: &Database,
    market: &SampleMarket,
    moment: Moment,
    progress: &dyn Progress,
) -> Result<u64, Unfilled> {
    let instruments: Vec<Value> = market.instruments().iter().map(instrument).collect();
    let quoted = |is_index: bool| -> Vec<Value> {
        let of_kind = market.instruments().iter().filter(|one| (one.kind == Kind::Index) == is_index);
        of_kind.filter_map(|one| Some(quote(one, &market.quote(one, moment)?))).collect()
    };
    let parts = [
        (Part::Instruments, INSTRUMENTS, instruments),
        (Part::Quotes, QUOTES, quoted(false)),
        (Part::Indices, INDICES, quoted(true)),
        (Part::Bars, BARS, market.bars().map(bar).collect()),
        (Part::DailyBars, DAILY_BARS, market.daily().iter().map(daily_bar).collect()),
    ];
    let missing = missing_parts(database).await.map_err(TransactionError::Work)?;
    let parts: Vec<_> = parts.into_iter().filter(|(part, ..)| missing.contains(part)).collect();
    let total = parts.iter().map(|(_, _, rows)| count(rows.len())).sum();
    let mut load = Load { database, progress, done: 0, total };
    for (part, insert, rows) in parts {
        load.part(part, insert, rows).await?;
    }
    Ok(load.done)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Instruments,
    Quotes,
    Indices,
    Bars,
    DailyBars,
}

impl Part {
    const ALL: [Self; 5] = [Self::Instruments, Self::Quotes, Self::Indices, Self::Bars, Self::DailyBars];

    const fn name(self) -> &'static str {
        match self {
            Self::Instruments => "instruments",
            Self::Quotes => "quotes",
            Self::Indices => "indices",
            Self::Bars => "bars",
            Self::DailyBars => "daily_bars",
        }
    }
}

async fn missing_parts(database: &Database) -> Result<Vec<Part>, DatabaseError> {
    let mut missing = Part::ALL.to_vec();
    for row in database.rows(Statement::new("select part from sample_parts")).await? {
        let loaded: String = row.get("part")?;
        missing.retain(|part| part.name() != loaded);
    }
    Ok(missing)
}

struct Load<'a> {
    database: &'a Database,
    progress: &'a dyn Progress,
    done: u64,
    total: u64,
}

impl Load<'_> {
    async fn part(&mut self, part: Part, insert: Words, rows: Vec<Value>) -> Result<(), Unfilled> {
        const LOADED: &str = "insert into sample_parts (part, rows) values ($1, $2)";
        let all = rows.len();
        let mut batches = rows.chunks(BATCH).peekable();
        while let Some(batch) = batches.next() {
            let is_last = batches.peek().is_none();
            self.database
                .transaction(async |tx| -> Result<(), DatabaseError> {
                    tx.execute(insert.of(tx.dialect(), batch.to_vec())).await?;
                    if is_last {
                        let loaded = Statement::new(LOADED).bind(part.name());
                        tx.execute(loaded.bind(i64::try_from(all).unwrap_or(i64::MAX))).await?;
                    }
                    Ok(())
                })
                .await?;
            self.done += count(batch.len());
            self.progress.step(WHAT, self.done, self.total);
        }
        Ok(())
    }
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

fn instrument(instrument: &Instrument) -> Value {
    let Instrument { market, code, name, kind, provenance } = instrument;
    json!([market, code, name, kind.as_str(), provenance.as_str()])
}

fn quote(instrument: &Instrument, quote: &Quote) -> Value {
    json!([
        instrument.market,
        instrument.code,
        instrument.name,
        instrument.provenance.as_str(),
        quote.price.to_string(),
        quote.change.to_string(),
        quote.change_percent,
        quote.at.to_string(),
        quote.volume,
        day_of(quote.at).to_string(),
        quote.previous_close.to_string(),
        quote.at.as_microsecond(),
    ])
}

fn bar(bar: &Bar) -> Value {
    let (minute, price) = (bar.minute.to_string(), bar.price.to_string());
    json!([bar.market, bar.code, minute, price, bar.volume, Provenance::Recorded.as_str()])
}

fn daily_bar(bar: &DailyBar) -> Value {
    let [open, high, low, close] = bar.prices;
    let (day, provenance) = (bar.day.to_string(), Provenance::Recorded.as_str());
    json!([bar.market, bar.code, day, open, high, low, close, bar.volume, bar.amount, provenance])
}

//! Fills the tables with the sample market, once.
//!
//! It loads part by part, in transactions of a bounded number of rows, and notes a part as loaded in the transaction of
//! its last rows. A start that finds a part noted leaves it alone; one that was killed in the middle is completed by the
//! next, and rows that are already there are not touched.

use forebay_server::app::Progress;
use forebay_stores::database::{Database, DatabaseError};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};

use crate::market::{Bar, DailyBar, Instrument, Kind, Moment, Provenance, Quote, SampleMarket};

/// Rows written in one transaction.
const BATCH: usize = 500;
const WHAT: &str = "loading the sample market";

type Insert<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Loads what is not loaded yet, quotes as of `moment`, and returns how many rows it went through: 0 where all was there.
///
/// # Errors
/// When the database refuses something; what was loaded until then stays.
pub async fn fill(
    database: &Database,
    market: &SampleMarket,
    moment: Moment,
    progress: &dyn Progress,
) -> Result<u64, DatabaseError> {
    let instruments = market.instruments();
    let bars: Vec<&Bar> = market.bars().collect();
    let quotes: Vec<(&Instrument, Quote)> = instruments
        .iter()
        .filter_map(|instrument| Some((instrument, market.quote(instrument, moment)?)))
        .collect();
    let missing = missing_parts(database).await?;
    let is_missing = |part| missing.contains(&part);
    let parts = [
        (Part::Instruments, instruments.len()),
        (Part::Quotes, quotes.len()),
        (Part::Bars, bars.len()),
        (Part::DailyBars, market.daily().len()),
    ];
    let total = parts.iter().filter(|(part, _)| is_missing(*part)).map(|(_, rows)| count(*rows)).sum();
    let mut load = Load { database, progress, done: 0, total };
    if is_missing(Part::Instruments) {
        load.part(Part::Instruments, instruments, insert_instrument).await?;
    }
    if is_missing(Part::Quotes) {
        load.part(Part::Quotes, &quotes, insert_quote).await?;
    }
    if is_missing(Part::Bars) {
        load.part(Part::Bars, &bars, |bar| insert_bar(bar)).await?;
    }
    if is_missing(Part::DailyBars) {
        load.part(Part::DailyBars, market.daily(), insert_daily_bar).await?;
    }
    Ok(load.done)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Instruments,
    Quotes,
    Bars,
    DailyBars,
}

impl Part {
    const ALL: [Self; 4] = [Self::Instruments, Self::Quotes, Self::Bars, Self::DailyBars];

    const fn name(self) -> &'static str {
        match self {
            Self::Instruments => "instruments",
            Self::Quotes => "quotes",
            Self::Bars => "bars",
            Self::DailyBars => "daily_bars",
        }
    }
}

async fn missing_parts(database: &Database) -> Result<Vec<Part>, DatabaseError> {
    let loaded: Vec<String> =
        sqlx::query_scalar("select part from sample_parts").fetch_all(database.sqlite()?).await?;
    Ok(Part::ALL.into_iter().filter(|part| !loaded.iter().any(|name| name == part.name())).collect())
}

struct Load<'a> {
    database: &'a Database,
    progress: &'a dyn Progress,
    done: u64,
    total: u64,
}

impl Load<'_> {
    async fn part<'q, T>(
        &mut self,
        part: Part,
        rows: &'q [T],
        insert: impl Fn(&'q T) -> Insert<'q>,
    ) -> Result<(), DatabaseError> {
        let mut batches = rows.chunks(BATCH).peekable();
        while let Some(batch) = batches.next() {
            let mut transaction = self.database.sqlite()?.begin_with("begin immediate").await?;
            for row in batch {
                insert(row).execute(&mut *transaction).await?;
            }
            if batches.peek().is_none() {
                sqlx::query("insert into sample_parts (part, rows) values (?, ?)")
                    .bind(part.name())
                    .bind(i64::try_from(rows.len()).unwrap_or(i64::MAX))
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            self.done += count(batch.len());
            self.progress.step(WHAT, self.done, self.total);
        }
        Ok(())
    }
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

fn insert_instrument(instrument: &Instrument) -> Insert<'_> {
    sqlx::query(
        "insert into instruments (market, code, name, kind, provenance) values (?, ?, ?, ?, ?) on conflict do nothing",
    )
    .bind(instrument.market)
    .bind(instrument.code)
    .bind(instrument.name)
    .bind(instrument.kind.as_str())
    .bind(instrument.provenance.as_str())
}

fn insert_quote<'q>((instrument, quote): &'q (&Instrument, Quote)) -> Insert<'q> {
    let insert = match instrument.kind {
        Kind::AShare | Kind::ChiNext => sqlx::query(
            "insert into quotes (market, code, name, provenance, price, change, change_pct, timestamp, volume) \
             values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
        ),
        Kind::Index => sqlx::query(
            "insert into indices (market, code, name, provenance, price, change, change_pct, timestamp) \
             values (?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
        ),
    };
    let insert = insert
        .bind(instrument.market)
        .bind(instrument.code)
        .bind(instrument.name)
        .bind(instrument.provenance.as_str())
        .bind(quote.price.to_string())
        .bind(quote.change.to_string())
        .bind(&quote.change_percent)
        .bind(quote.at.to_string());
    if instrument.kind == Kind::Index { insert } else { insert.bind(quote.volume) }
}

fn insert_bar(bar: &Bar) -> Insert<'_> {
    sqlx::query(
        "insert into bars (market, code, minute, price, volume, provenance) values (?, ?, ?, ?, ?, ?) \
         on conflict do nothing",
    )
    .bind(bar.market)
    .bind(bar.code)
    .bind(bar.minute.to_string())
    .bind(bar.price.to_string())
    .bind(bar.volume)
    .bind(Provenance::Recorded.as_str())
}

fn insert_daily_bar(bar: &DailyBar) -> Insert<'_> {
    let insert = sqlx::query(
        "insert into daily_bars (market, code, day, open, high, low, close, volume, amount, provenance) \
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
    );
    let insert = insert.bind(bar.market).bind(bar.code).bind(bar.day.to_string());
    let insert = bar.prices.into_iter().fold(insert, Query::bind);
    insert.bind(bar.volume).bind(bar.amount).bind(Provenance::Recorded.as_str())
}

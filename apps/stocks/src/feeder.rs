//! Moves the quotes.
//!
//! Once a real second it asks the market clock and writes the quotes whose minute has changed since they were written, in
//! one transaction: all that are followed (recorded or well known), and a bounded number of the generated ones, in
//! rotation. A row that somebody deleted stays deleted.
//!
//! A database that refuses is asked again a second later; an episode of refusals is logged once when it begins and once
//! when it ends. Quotes of a failed second are written by the next one that succeeds.

use std::sync::Arc;
use std::time::Duration;

use forebay::rt::Clock;
use forebay_stores::database::{Database, DatabaseError};

use crate::clock::MarketClock;
use crate::market::{Instrument, Kind, Moment, Quote, SampleMarket};

/// Real time between two rounds.
pub const PERIOD: Duration = Duration::from_secs(1);

/// Most generated instruments that are not followed whose quotes one round writes.
pub const ROTATION: usize = 150;

/// Writes quotes as the market clock goes on.
#[derive(Debug)]
pub struct Feeder {
    market: Arc<SampleMarket>,
    clock: Arc<MarketClock>,
    database: Database,
    /// The moment last written of each instrument.
    shown: Vec<Option<Moment>>,
    /// Where the rotation goes on.
    next: usize,
    failing: bool,
}

struct Due {
    index: usize,
    instrument: Instrument,
    quote: Quote,
}

impl Feeder {
    /// A feeder that has written nothing yet.
    #[must_use]
    pub fn new(market: Arc<SampleMarket>, clock: Arc<MarketClock>, database: Database) -> Self {
        let shown = vec![None; market.instruments().len()];
        Self { market, clock, database, shown, next: 0, failing: false }
    }

    /// One round a second of `real`, for ever.
    pub async fn run(mut self, real: Clock) {
        loop {
            let outcome = self.round().await;
            self.tell(outcome);
            real.sleep(PERIOD).await;
        }
    }

    /// Writes what is due and returns how many quotes that were.
    ///
    /// # Errors
    /// When the database refuses; nothing is written then, and it all stays due.
    pub async fn round(&mut self) -> Result<usize, DatabaseError> {
        let Some(moment) = self.market.moment(self.clock.now()) else { return Ok(0) };
        let (due, next) = self.due(moment);
        if due.is_empty() {
            return Ok(0);
        }
        let mut transaction = self.database.sqlite()?.begin_with("begin immediate").await?;
        for Due { instrument, quote, .. } in &due {
            update(instrument, quote).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        for Due { index, .. } in &due {
            if let Some(shown) = self.shown.get_mut(*index) {
                *shown = Some(moment);
            }
        }
        self.next = next;
        Ok(due.len())
    }

    /// What to write at `moment`, and where the rotation goes on after it.
    fn due(&self, moment: Moment) -> (Vec<Due>, usize) {
        let instruments = self.market.instruments();
        let mut due = Vec::new();
        let mut rotated = 0;
        let mut next = self.next;
        let from_next = (0..instruments.len()).cycle().skip(self.next).take(instruments.len());
        for (index, instrument) in from_next.filter_map(|index| Some((index, instruments.get(index)?))) {
            if self.shown.get(index).is_some_and(|shown| *shown == Some(moment)) {
                continue;
            }
            let followed = self.market.is_followed(instrument);
            if !followed && rotated == ROTATION {
                continue;
            }
            if let Some(quote) = self.market.quote(instrument, moment) {
                due.push(Due { index, instrument: instrument.clone(), quote });
            }
            if !followed {
                rotated += 1;
                next = index + 1;
            }
        }
        (due, next)
    }

    fn tell(&mut self, outcome: Result<usize, DatabaseError>) {
        match outcome {
            Ok(_) if self.failing => {
                self.failing = false;
                tracing::info!("quotes move again");
            }
            Ok(_) => {}
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(%error, "quotes stand still: the database refuses them; trying again every second");
            }
            Err(_) => {}
        }
    }
}

fn update<'q>(
    instrument: &'q Instrument,
    quote: &'q Quote,
) -> sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
    let update = match instrument.kind {
        Kind::AShare | Kind::ChiNext => sqlx::query(
            "update quotes set price = ?, change = ?, change_pct = ?, timestamp = ?, volume = ? \
             where market = ? and code = ?",
        ),
        Kind::Index => sqlx::query(
            "update indices set price = ?, change = ?, change_pct = ?, timestamp = ? where market = ? and code = ?",
        ),
    };
    let update = update
        .bind(quote.price.to_string())
        .bind(quote.change.to_string())
        .bind(&quote.change_percent)
        .bind(quote.at.to_string());
    let update = if instrument.kind == Kind::Index { update } else { update.bind(quote.volume) };
    update.bind(instrument.market).bind(instrument.code)
}

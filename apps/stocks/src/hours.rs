//! Tells the tables when the market opens next, so that what is read outside of trading hours stays fresh until then.
//!
//! Once a real second it looks at the market clock. Where trading begins or ends, the row of each market in `market_hours` is written: the next opening
//! while it is closed, nothing while it is open. The declared queries join that row; its change invalidates every quote. A row that is late makes
//! no quote too fresh: an opening that has passed says nothing.

use std::sync::Arc;
use std::time::Duration;

use forebay::feed::{Changed, Columns};
use forebay::rt::Clock;
use forebay::value::Param;
use forebay_stores::database::transaction::TransactionError;
use forebay_stores::database::{Database, DatabaseError, Statement};

use crate::clock::MarketClock;

/// Real time between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// The markets, which have the same hours.
const MARKETS: [&str; 2] = ["SH", "SZ"];

/// Why the row could not be written.
pub type Failed = TransactionError<DatabaseError>;

/// Writes the hours of the market.
#[derive(Debug)]
pub struct Hours {
    clock: Arc<MarketClock>,
    database: Database,
    /// What was written last.
    written: Option<Option<String>>,
    failing: bool,
}

impl Hours {
    /// Hours that were not written yet.
    #[must_use]
    pub fn new(clock: Arc<MarketClock>, database: Database) -> Self {
        Self { clock, database, written: None, failing: false }
    }

    /// One look a second of `real`, for ever.
    pub async fn run(mut self, real: Clock) {
        loop {
            real.sleep(PERIOD).await;
            match self.look().await {
                Ok(()) => self.failing = false,
                Err(error) if !self.failing => {
                    self.failing = true;
                    tracing::error!(%error, "the market's hours cannot be written; trying again every second");
                }
                Err(_) => {}
            }
        }
    }

    /// Writes the next opening, where it is another than was written last. Where the calendar ends nobody knows it, and quotes are as fresh as they are
    /// in trading hours.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn look(&mut self) -> Result<(), Failed> {
        let at = self.clock.now();
        let calendar = self.clock.calendar();
        let opens = match calendar.is_open(at) {
            Ok(false) => calendar.next_open(at).ok().map(|opens| format!("{opens:.3}")),
            Ok(true) | Err(_) => None,
        };
        if self.written.as_ref() == Some(&opens) {
            return Ok(());
        }
        const WRITE: &str = "insert into market_hours (market, opens_at) values ($1, $2) \
             on conflict (market) do update set opens_at = excluded.opens_at";
        let written = self.database.transaction(async |tx| -> Result<(), DatabaseError> {
            for market in MARKETS {
                tx.execute(Statement::new(WRITE).bind(market).bind(opens.clone())).await?;
                tx.changed(Changed::updated("market_hours", row(market), row(market)));
            }
            Ok(())
        });
        written.await?;
        self.written = Some(opens);
        Ok(())
    }
}

fn row(market: &str) -> Columns {
    vec![("market".into(), Some(Param::Text(market.to_owned())))]
}

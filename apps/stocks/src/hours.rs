//! Tells the tables when the market opens next, so that what is read outside of trading hours stays fresh until then.
//!
//! Once a real second it looks at the market clock. Where trading begins or ends, the row of each market in `market_hours` is written: the next opening
//! while it is closed, nothing while it is open. The declared queries join that row; its change invalidates every quote. A row that is late makes
//! no quote too fresh: an opening that has passed says nothing.
//!
//! The trading calendar ends. From [`NOTICE_DAYS`] before that on an alarm says so, and what follows where nobody extends it.

use std::sync::Arc;
use std::time::Duration;

use forebay::feed::{Changed, Columns};
use forebay::rt::Clock;
use forebay::value::Param;
use forebay_server::app::Alarms;
use forebay_stores::database::transaction::TransactionError;
use forebay_stores::database::{Database, DatabaseError, Statement};

use jiff::civil::Date;

use crate::calendar::day_of;
use crate::clock::MarketClock;

/// Real time between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// The alarm that the trading calendar is about to end, or has.
pub const ENDS: &str = "calendar_ends";
/// So many days before the calendar's last one the alarm is raised.
pub const NOTICE_DAYS: i32 = 30;
/// The markets, which have the same hours.
const MARKETS: [&str; 2] = ["SH", "SZ"];

/// Why the row could not be written.
pub type Failed = TransactionError<DatabaseError>;

/// Writes the hours of the market.
#[derive(Debug)]
pub struct Hours {
    clock: Arc<MarketClock>,
    database: Database,
    alarms: Alarms,
    /// What was written last.
    written: Option<Option<String>>,
    failing: bool,
}

impl Hours {
    /// Hours that were not written yet.
    #[must_use]
    pub fn new(clock: Arc<MarketClock>, database: Database, alarms: Alarms) -> Self {
        Self { clock, database, alarms, written: None, failing: false }
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

    /// Raises the alarm where the calendar's `last` day is near on the day `today`, or past.
    fn warn(&self, today: Date, last: Date) {
        let left = today.until(last).map_or(0, |span| span.get_days());
        if left > NOTICE_DAYS {
            self.alarms.clear(ENDS);
            return;
        }
        self.alarms.raise(
            ENDS,
            &format!(
                "the trading calendar ends on {last}: update, or extend data/calendar.csv; after it every hour counts as one of trading, and new shares have \
                 the ordinary band"
            ),
        );
    }

    /// Writes the next opening, where it is another than was written last. Where the calendar ends nobody knows it, and quotes are as fresh as they are
    /// in trading hours.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn look(&mut self) -> Result<(), Failed> {
        let at = self.clock.now();
        let calendar = self.clock.calendar();
        self.warn(day_of(at), calendar.last());
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

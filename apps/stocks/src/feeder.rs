//! Moves the quotes of the demonstration.
//!
//! Once a real second it asks the market clock and tells the [door](crate::ingest) the quotes whose minute has changed since they were told, as a
//! vendor would: all that are followed (recorded or well known), and a bounded number of the generated ones, in rotation. When the clock comes to
//! another session, or goes back, it opens that day first. A row that somebody deleted stays deleted.
//!
//! A database that refuses is asked again a second later; an episode of refusals is logged once when it begins and once
//! when it ends. Quotes of a failed second are told by the next one that succeeds.

use std::sync::Arc;
use std::time::Duration;

use forebay::rt::Clock;
use forebay_stores::database::transaction::TransactionError;
use jiff::Timestamp;

use crate::calendar::day_of;
use crate::clock::MarketClock;
use crate::ingest::{BATCH_MAX, Id, Ingest, Reference, Told, Update};
use crate::market::{Instrument, Moment, Quote, SampleMarket};
use crate::refusal::Refusal;

/// Real time between two rounds.
pub const PERIOD: Duration = Duration::from_secs(1);

/// Most generated instruments that are not followed whose quotes one round tells.
pub const ROTATION: usize = 150;

/// Why a round was not done.
pub type Failed = TransactionError<Refusal>;

/// Tells quotes as the market clock goes on.
#[derive(Debug)]
pub struct Feeder {
    market: Arc<SampleMarket>,
    clock: Arc<MarketClock>,
    door: Ingest,
    /// The moment last told of each instrument.
    shown: Vec<Option<Moment>>,
    /// The moment of the last round; its day is open.
    last: Option<Moment>,
    /// Where the rotation goes on.
    next: usize,
    failing: bool,
}

struct Due {
    index: usize,
    update: Update,
}

impl Feeder {
    /// A feeder that has told nothing yet.
    #[must_use]
    pub fn new(market: Arc<SampleMarket>, clock: Arc<MarketClock>, door: Ingest) -> Self {
        let shown = vec![None; market.instruments().len()];
        Self { market, clock, door, shown, last: None, next: 0, failing: false }
    }

    /// One round a second of `real`, for ever.
    pub async fn run(mut self, real: Clock) {
        loop {
            let outcome = self.round().await;
            self.tell(outcome);
            real.sleep(PERIOD).await;
        }
    }

    /// Tells what is due and returns how many quotes that were.
    ///
    /// # Errors
    /// When the database refuses; what was not told stays due.
    pub async fn round(&mut self) -> Result<usize, Failed> {
        let now = self.clock.now();
        let Some(moment) = self.market.moment(now) else { return Ok(0) };
        self.open(moment, now).await?;
        let (due, next) = self.due(moment);
        for batch in due.chunks(BATCH_MAX) {
            let updates: Vec<Update> = batch.iter().map(|due| due.update.clone()).collect();
            self.door.quotes(&updates, now).await?;
        }
        for Due { index, .. } in &due {
            if let Some(shown) = self.shown.get_mut(*index) {
                *shown = Some(moment);
            }
        }
        self.next = next;
        Ok(due.len())
    }

    /// Opens the day of `moment` where the clock came to it since the last round, from wherever.
    async fn open(&mut self, moment: Moment, now: Timestamp) -> Result<(), Failed> {
        let goes_back = self.last.is_none_or(|last| moment < last);
        if goes_back || self.last.is_some_and(|last| last.session != moment.session) {
            let reference = |instrument: &Instrument| {
                let quote = self.market.quote(instrument, moment)?;
                Some(Reference {
                    id: id(instrument),
                    day: day_of(quote.at),
                    previous_close: quote.previous_close,
                })
            };
            let references: Vec<_> = self.market.instruments().iter().filter_map(reference).collect();
            for batch in references.chunks(BATCH_MAX) {
                self.door.open(batch, goes_back, now).await?;
            }
            if goes_back {
                self.shown.fill(None);
            }
        }
        self.last = Some(moment);
        Ok(())
    }

    /// What to tell at `moment`, and where the rotation goes on after it.
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
            if let Some(Quote { price, volume, at, .. }) = self.market.quote(instrument, moment) {
                let told = Told::Trading { price, volume };
                due.push(Due { index, update: Update { id: id(instrument), at, sequence: 0, told } });
            }
            if !followed {
                rotated += 1;
                next = index + 1;
            }
        }
        (due, next)
    }

    fn tell(&mut self, outcome: Result<usize, Failed>) {
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

fn id(instrument: &Instrument) -> Id {
    Id { market: instrument.market.to_owned(), code: instrument.code.to_owned() }
}

//! The door: whatever changes what is shown of an instrument comes through here, from the replay as from a vendor's feed over HTTP.
//!
//! A batch is one transaction. Each update is judged ([`Verdict`]): one that is older than what is shown changes nothing, one that nobody believes
//! is kept aside with its reason and told, the rest is shown. Change and percentage are computed here, from the previous close. What is loaded
//! from the rows that change is invalidated before a batch is answered, and nothing else is.
//!
//! An update is judged by the previous close of its day, which is told beforehand ([`Ingest::open`]): a source that tells every price a hundredfold
//! would tell a hundredfold previous close too. Neither an update nor a day is believed that is ahead of the market's clock ([`Horizon`]): the one would
//! be shown, the other keep its instrument from every honest update, until its time has come.

mod episode;
mod judge;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use forebay_server::app::Alarms;
use forebay_server::time::WallClock;
use forebay_stores::database::Database;
use forebay_stores::database::transaction::{Committed, Transaction, TransactionError};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use self::episode::Episode;
pub use self::episode::{COUNTED, REFUSED};
pub use self::judge::{Horizon, Id, Known, Rank, Reason, Told, Update, Verdict};
use self::tables::Table;
use crate::calendar::{TradingCalendar, begins};
use crate::clock::moment;
use crate::market::Kind;
use crate::money::Milli;
use crate::refusal::Refusal;

/// The most updates, and the most previous closes, of one batch.
pub const BATCH_MAX: usize = 1_000;

/// What a batch comes to.
pub type Done<T> = Result<Committed<T>, TransactionError<Refusal>>;

/// The previous close of an instrument, by which the updates of a day are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Of which instrument.
    pub id: Id,
    /// Of which day.
    pub day: Date,
    /// What the session before closed at, with what went ex right since taken off.
    pub previous_close: Milli,
}

/// An instrument that is to be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Its market and code, and the issue price, or what the session before closed at, with the day that it is for.
    pub reference: Reference,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its first day of trading, where it is known.
    pub listed_on: Option<Date>,
    /// When it is listed.
    pub at: Timestamp,
}

/// What was told and is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Of which instrument.
    pub id: Id,
    /// Of when it is.
    pub at: Timestamp,
    /// The source's sequence; 0 of a previous close.
    pub sequence: i64,
    /// The price, where one was told.
    pub price: Option<Milli>,
    /// Why not.
    pub reason: Reason,
}

/// What became of the updates of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// So many are news, and shown where none in the batch was newer still.
    pub taken: usize,
    /// So many were shown already.
    pub same: usize,
    /// So many are older than what is shown.
    pub older: usize,
    /// So many are of instruments that are not listed.
    pub unlisted: usize,
    /// These are not believed.
    pub refused: Vec<Refused>,
}

/// What became of previous closes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// So many are of listed instruments whose day is not a later one.
    pub opened: usize,
    /// These are not believed.
    pub refused: Vec<Refused>,
}

/// What became of listings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listings {
    /// So many are new.
    pub listed: usize,
    /// So many were listed as something else: by another name, kind, first day or previous close.
    pub changed: usize,
}

/// The door to one database. Clones are the same.
#[derive(Clone, Debug)]
pub struct Ingest {
    database: Database,
    calendar: Arc<TradingCalendar>,
    ahead: SignedDuration,
    wall: WallClock,
    episode: Arc<Episode>,
}

impl Ingest {
    /// The door to `database`, which believes nothing that is more than `ahead` ahead of the market's clock, and tells `alarms` of what it refuses.
    #[must_use]
    pub fn new(
        database: Database,
        calendar: Arc<TradingCalendar>,
        ahead: Duration,
        wall: WallClock,
        alarms: Alarms,
    ) -> Self {
        let ahead = SignedDuration::try_from(ahead).unwrap_or(SignedDuration::MAX);
        Self { database, calendar, ahead, wall, episode: Arc::new(Episode::new(alarms)) }
    }

    /// Judges `updates`, at most [`BATCH_MAX`], when the market's clock shows `now`, and shows those that are news.
    ///
    /// # Errors
    /// What the database says against it; nothing is done then.
    pub async fn quotes(&self, updates: &[Update], now: Timestamp) -> Done<Outcome> {
        let (received, horizon) = (moment(&self.wall), self.horizon(now));
        let done = self.database.transaction(async |tx| {
            let mut known = tables::known(tx, updates.iter().map(|update| &update.id)).await?;
            let (outcome, newest) = self.judged(updates, &mut known, horizon);
            for table in Table::ALL {
                let of_table = newest.iter().filter(|(of, _, _)| *of == table);
                let shown: Vec<_> = of_table.map(|(_, update, known)| (*update, *known)).collect();
                tables::show(tx, table, &shown).await?;
            }
            tables::keep_aside(tx, &outcome.refused, received).await?;
            Ok(outcome)
        });
        let done = done.await?;
        let Outcome { taken, same, refused, .. } = &done.value;
        self.episode.judged(refused, taken + same, received);
        Ok(done)
    }

    fn horizon(&self, now: Timestamp) -> Horizon {
        Horizon { now, ahead: self.ahead }
    }

    /// What becomes of each update, in their order, and the newest that was taken of each instrument.
    fn judged<'a>(
        &self,
        updates: &'a [Update],
        known: &'a mut BTreeMap<Id, (Table, Known)>,
        horizon: Horizon,
    ) -> (Outcome, Vec<(Table, &'a Update, &'a Known)>) {
        let mut outcome = Outcome::default();
        let mut newest: BTreeMap<&Id, &Update> = BTreeMap::new();
        for update in updates {
            let Some((_, known)) = known.get_mut(&update.id) else {
                outcome.unlisted += 1;
                continue;
            };
            match known.judge(update, &self.calendar, horizon) {
                Verdict::Taken => {
                    known.shown = Some(update.rank());
                    newest.insert(&update.id, update);
                    outcome.taken += 1;
                }
                Verdict::Same => outcome.same += 1,
                Verdict::Older => outcome.older += 1,
                Verdict::Refused(reason) => outcome.refused.push(Refused {
                    id: update.id.clone(),
                    at: update.at,
                    sequence: update.sequence,
                    price: update.told.price(),
                    reason,
                }),
            }
        }
        let known = &*known;
        let with_known = |(id, update)| known.get(id).map(|(table, known)| (*table, update, known));
        (outcome, newest.into_iter().filter_map(with_known).collect())
    }

    /// Opens the day of `references`, at most [`BATCH_MAX`], which has begun when the market's clock shows `now`. Of a day that is open it corrects the
    /// previous close, and with it the change that is shown. `anew` begins a day again, also one from before: what came so far is no newer than what
    /// comes.
    ///
    /// # Errors
    /// What the database says against it; nothing is done then.
    pub async fn open(&self, references: &[Reference], anew: bool, now: Timestamp) -> Done<Opened> {
        let (received, horizon) = (moment(&self.wall), self.horizon(now));
        let done = self.database.transaction(async |tx| {
            let mut known = tables::known(tx, references.iter().map(|reference| &reference.id)).await?;
            let (mut done, mut changed) = (Opened::default(), BTreeSet::new());
            for reference in references {
                let Reference { id, day, previous_close } = reference;
                if let Some(reason) = horizon.hides_day(*day) {
                    let (at, price) = (begins(*day), Some(*previous_close));
                    done.refused.push(Refused { id: id.clone(), at, sequence: 0, price, reason });
                } else if known.get_mut(id).is_some_and(|(_, known)| known.open(reference, anew)) {
                    done.opened += 1;
                    changed.insert(id);
                }
            }
            open_days(tx, &known, &changed).await?;
            tables::keep_aside(tx, &done.refused, received).await?;
            Ok(done)
        });
        let done = done.await?;
        self.episode.judged(&done.value.refused, 0, received);
        Ok(done)
    }

    /// Lists instruments, at most [`BATCH_MAX`], which are found from then on. One that is listed already gets the name, the kind and the first day that
    /// are told, and its previous close as [`open`](Self::open) takes it.
    ///
    /// # Errors
    /// [`Refusal::CodeTaken`], [`Refusal::KindFixed`], [`Refusal::InTheFuture`], and what the database says against it; nothing is done then.
    pub async fn list(&self, listings: &[Listing], now: Timestamp) -> Done<Listings> {
        let horizon = self.horizon(now);
        // Everybody writes them in one order, so that of two who list the same none waits for the other for ever.
        let mut listings: Vec<&Listing> = listings.iter().collect();
        listings.sort_by_key(|listing| &listing.reference.id);
        self.database
            .transaction(async |tx| {
                let (mut done, mut again) = (Listings::default(), Vec::new());
                for listing in &listings {
                    if let Some(reason) = horizon.hides_day(listing.reference.day) {
                        return Err(Refusal::InTheFuture(reason));
                    }
                    match tables::list(tx, listing).await? {
                        true => done.listed += 1,
                        false => again.push(*listing),
                    }
                }
                done.changed = list_again(tx, &again).await?;
                Ok(done)
            })
            .await
    }
}

/// Writes what differs of instruments that are listed already; of how many something does.
async fn list_again(tx: &mut Transaction, listings: &[&Listing]) -> Result<usize, Refusal> {
    let mut known = tables::known(tx, listings.iter().map(|listing| &listing.reference.id)).await?;
    let (mut changed, mut opened) = (BTreeSet::new(), BTreeSet::new());
    for listing in listings {
        let Listing { reference, name, kind, listed_on, .. } = listing;
        let id = &reference.id;
        let Some((table, known)) = known.get_mut(id) else { continue };
        if Table::of(*kind) != *table {
            let (market, code, is) = (id.market.clone(), id.code.clone(), known.kind.as_str());
            return Err(Refusal::KindFixed { market, code, is });
        }
        let first_day = listed_on.or(known.listed_on);
        if (name, *kind, first_day) != (&known.name, known.kind, known.listed_on) {
            tables::describe(tx, *table, listing).await?;
            (known.name, known.kind, known.listed_on) = (name.clone(), *kind, first_day);
            changed.insert(id);
        }
        let was = (known.day, known.previous_close);
        if known.open(reference, false) && (known.day, known.previous_close) != was {
            opened.insert(id);
        }
    }
    open_days(tx, &known, &opened).await?;
    changed.extend(opened);
    Ok(changed.len())
}

/// Writes the days of `opened`, as they are `known` now.
async fn open_days(
    tx: &mut Transaction,
    known: &BTreeMap<Id, (Table, Known)>,
    opened: &BTreeSet<&Id>,
) -> Result<(), Refusal> {
    for table in Table::ALL {
        let known_of = |id: &&Id| known.get_key_value(*id).filter(|(_, (of, _))| *of == table);
        let of_table: Vec<_> =
            opened.iter().filter_map(known_of).map(|(id, (_, known))| (id, known)).collect();
        tables::open(tx, table, &of_table).await?;
    }
    Ok(())
}

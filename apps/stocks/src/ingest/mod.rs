//! The door: whatever changes what is shown of an instrument comes through here, from the replay as from a vendor's feed over HTTP.
//!
//! A batch is one transaction. Each update is judged ([`Verdict`]): one that is older than what is shown changes nothing, one that nobody believes
//! is kept aside with its reason and told, the rest is shown. Change and percentage are computed here, from the previous close. What is loaded
//! from the rows that change is invalidated before a batch is answered, and nothing else is.
//!
//! An update is judged by the previous close of its day, which is told beforehand ([`Ingest::open`]): a source that tells every price a hundredfold
//! would tell a hundredfold previous close too.

mod episode;
mod judge;
mod tables;

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay_server::app::Alarms;
use forebay_server::time::WallClock;
use forebay_stores::database::Database;
use forebay_stores::database::transaction::{Committed, TransactionError};
use jiff::Timestamp;
use jiff::civil::Date;

use self::episode::Episode;
pub use self::episode::{COUNTED, REFUSED};
pub use self::judge::{Id, Known, Rank, Reason, Told, Update, Verdict};
use self::tables::Table;
use crate::calendar::TradingCalendar;
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
    /// Its market and code.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its first day of trading, where it is known.
    pub listed_on: Option<Date>,
    /// The day that `previous_close` is for.
    pub reference_day: Date,
    /// The issue price, or what the session before closed at.
    pub previous_close: Milli,
    /// When it is listed.
    pub at: Timestamp,
}

/// An update that is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The update.
    pub update: Update,
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

/// The door to one database. Clones are the same.
#[derive(Clone, Debug)]
pub struct Ingest {
    database: Database,
    calendar: Arc<TradingCalendar>,
    wall: WallClock,
    episode: Arc<Episode>,
}

impl Ingest {
    /// The door to `database`, which tells `alarms` of what it refuses.
    #[must_use]
    pub fn new(database: Database, calendar: Arc<TradingCalendar>, wall: WallClock, alarms: Alarms) -> Self {
        Self { database, calendar, wall, episode: Arc::new(Episode::new(alarms)) }
    }

    /// Judges `updates`, at most [`BATCH_MAX`], and shows those that are news.
    ///
    /// # Errors
    /// What the database says against it; nothing is done then.
    pub async fn quotes(&self, updates: &[Update]) -> Done<Outcome> {
        let now = moment(&self.wall);
        let done = self.database.transaction(async |tx| {
            let mut known = tables::known(tx, updates).await?;
            let (outcome, newest) = self.judged(updates, &mut known);
            for table in Table::ALL {
                let of_table = newest.iter().filter(|(of, _, _)| *of == table);
                let shown: Vec<_> = of_table.map(|(_, update, known)| (*update, *known)).collect();
                tables::show(tx, table, &shown).await?;
            }
            tables::keep_aside(tx, &outcome.refused, now).await?;
            Ok(outcome)
        });
        let done = done.await?;
        self.episode.judged(&done.value, now);
        Ok(done)
    }

    /// What becomes of each update, in their order, and the newest that was taken of each instrument.
    fn judged<'a>(
        &self,
        updates: &'a [Update],
        known: &'a mut BTreeMap<Id, (Table, Known)>,
    ) -> (Outcome, Vec<(Table, &'a Update, &'a Known)>) {
        let mut outcome = Outcome::default();
        let mut newest: BTreeMap<&Id, &Update> = BTreeMap::new();
        for update in updates {
            let Some((_, known)) = known.get_mut(&update.id) else {
                outcome.unlisted += 1;
                continue;
            };
            match known.judge(update, &self.calendar) {
                Verdict::Taken => {
                    known.shown = Some(update.rank());
                    newest.insert(&update.id, update);
                    outcome.taken += 1;
                }
                Verdict::Same => outcome.same += 1,
                Verdict::Older => outcome.older += 1,
                Verdict::Refused(reason) => outcome.refused.push(Refused { update: update.clone(), reason }),
            }
        }
        let known = &*known;
        let with_known = |(id, update)| known.get(id).map(|(table, known)| (*table, update, known));
        (outcome, newest.into_iter().filter_map(with_known).collect())
    }

    /// Opens the day of `references`, at most [`BATCH_MAX`]; how many of them are of listed instruments whose day is not a later one. `anew` begins a
    /// day again, also one from before: what came so far is no newer than what comes.
    ///
    /// # Errors
    /// What the database says against it; nothing is done then.
    pub async fn open(&self, references: &[Reference], anew: bool) -> Done<usize> {
        self.database
            .transaction(async |tx| {
                let shown = tables::tables_of(tx, references.iter().map(|reference| &reference.id)).await?;
                let mut opened = 0;
                for table in Table::ALL {
                    let of_table = references.iter().filter(|one| shown.get(&one.id) == Some(&table));
                    opened += tables::open(tx, table, &of_table.collect::<Vec<_>>(), anew).await?;
                }
                Ok(opened)
            })
            .await
    }

    /// Lists instruments, at most [`BATCH_MAX`], which are found from then on; how many of them are new.
    ///
    /// # Errors
    /// [`Refusal::CodeTaken`], and what the database says against it; nothing is done then.
    pub async fn list(&self, listings: &[Listing]) -> Done<usize> {
        self.database
            .transaction(async |tx| {
                let mut new = 0;
                for listing in listings {
                    new += usize::from(tables::list(tx, listing).await?);
                }
                Ok(new)
            })
            .await
    }
}

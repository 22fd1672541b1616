//! What tells that rows behind the namespaces have changed: the contract of a feed, and which keys a changed row concerns.
//!
//! A feed is read like a log, from a place on, and tells changes of rows in the order of their commits. The engine turns each
//! into the invalidations of the namespaces that [depend](Rows) on the row's table, and confirms a place once everybody who
//! must know of it does. What a feed cannot tell it says: a [`gap`](Batch::gap) makes all that was loaded from its database
//! gone (promise P7).
//!
//! A feed knows nothing of namespaces and keys. How a place is kept over restarts, and what a database must allow, is the
//! business of whoever implements it.

mod rows;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Cause;
use crate::value::Param;

pub use rows::Rows;

/// The most changes that one [`read`](Feed::read) tells.
pub const BATCH_MAX: usize = 1_024;

/// A place in a feed, in the order of commits: PostgreSQL's log sequence number, the number of an entry in a table of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u64);

/// Columns of a row by name, as far as the feed knows them: those that keys are made of at least. `None` is NULL.
pub type Columns = Vec<(Arc<str>, Option<Param>)>;

/// What was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// One row.
    Row {
        /// Its table, by the name that namespaces depend on it by.
        table: Arc<str>,
        /// What it was; `None` of a row that is new.
        old: Option<Columns>,
        /// What it is; `None` of a row that was deleted.
        new: Option<Columns>,
    },
    /// Any row of this table: it was truncated or altered, or nobody knows which.
    Table(Arc<str>),
    /// Rows of a table that is not named, because no namespace depends on it by its name: they concern those that depend on
    /// [any table](Rows::of_any).
    Elsewhere,
}

impl Changed {
    /// A row that came.
    #[must_use]
    pub fn inserted(table: &str, new: Columns) -> Self {
        Self::Row { table: table.into(), old: None, new: Some(new) }
    }

    /// A row that changed.
    #[must_use]
    pub fn updated(table: &str, old: Columns, new: Columns) -> Self {
        Self::Row { table: table.into(), old: Some(old), new: Some(new) }
    }

    /// A row that went.
    #[must_use]
    pub fn deleted(table: &str, old: Columns) -> Self {
        Self::Row { table: table.into(), old: Some(old), new: None }
    }

    /// The table, if it is named.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        match self {
            Self::Row { table, .. } | Self::Table(table) => Some(table),
            Self::Elsewhere => None,
        }
    }
}

/// A table whose rows values are made of, with the columns that tell of which: a change that knows these knows the keys that it concerns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Watched {
    /// The table, by the name that namespaces depend on it by.
    pub table: Arc<str>,
    /// The columns, each once; some may not be there.
    pub columns: Vec<Arc<str>>,
}

/// What a feed tells a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The next changes, in the order of their commits and without a hole, at most [`BATCH_MAX`]; the first ones may have been
    /// told before.
    pub changes: Vec<Changed>,
    /// Where to read on: after the last of them.
    pub end: Place,
    /// Nothing more was committed when this was answered.
    pub caught_up: bool,
    /// Changes before these were missed: the feed is new, its place was lost, or it fell too far behind.
    pub gap: bool,
}

/// Why a feed did not answer. Nothing is lost by that: it is read again from the same place.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the feed did not answer: see that its database runs and lets us read its changes")]
pub struct FeedError {
    /// What went wrong, for the operator.
    #[source]
    pub cause: Cause,
}

/// An answer of a feed that is under way.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, FeedError>> + Send + 'a>>;

/// Tells which rows of a database have changed.
///
/// To apply a change twice is to apply it once, so a feed may tell again what it is not sure to have told; it may never skip in
/// silence. One engine reads it at a time.
pub trait Feed: Send + Sync + 'static {
    /// The changes after `after`; `None` is where it was confirmed last, which it remembers over restarts. Where there are none
    /// it waits for one, at most for `wait`, and then answers with an empty batch: the heartbeat.
    ///
    /// # Errors
    /// When its database cannot be reached.
    fn read(&self, after: Option<Place>, wait: Duration) -> Reply<'_, Batch>;

    /// Everything up to `applied` has been applied wherever it had to be, and need not be told again.
    ///
    /// # Errors
    /// When its database cannot be reached: more is told again than must be.
    fn confirm(&self, applied: Place) -> Reply<'_, ()>;
}

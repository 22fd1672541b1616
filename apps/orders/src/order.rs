//! An order: what it is made of, on the wire and in its row, and which way it may go.

use std::fmt;
use std::time::Duration;

use forebay_stores::database::{DatabaseError, Row};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::money::Money;

/// The columns of an order, for statements that give whole orders.
macro_rules! order_columns {
    () => {
        "order_no, uid, period_number, amount, profit_amount, like_count, share_count, follow_count, \
         favorite_count, status, expire_time, created_at, updated_at"
    };
}

pub(crate) use order_columns;

/// Where an order is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Made, and not paid yet.
    Pending,
    /// Paid.
    Confirmed,
    /// Delivered.
    Completed,
    /// Given up by somebody.
    Cancelled,
    /// Not paid in time.
    Expired,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Confirmed, Self::Completed, Self::Cancelled, Self::Expired];

    /// As it is written, on the wire and in the row.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// The status that is written so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A moment as it is written: RFC 3339 in UTC with three places, so that the order of moments is that of their texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Moment(String);

impl Moment {
    /// The moment so long after 1970-01-01 UTC.
    #[must_use]
    pub fn at(since_1970: Duration) -> Self {
        let since = SignedDuration::try_from(since_1970).unwrap_or(SignedDuration::MAX);
        Self::of(Timestamp::UNIX_EPOCH.saturating_add(since).unwrap_or(Timestamp::MAX))
    }

    /// The moment of `timestamp`, cut to milliseconds.
    #[must_use]
    pub fn of(timestamp: Timestamp) -> Self {
        Self(format!("{timestamp:.3}"))
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// One order, as its row has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Order {
    /// Its number, unlike any other's.
    pub order_no: String,
    /// Whose it is.
    pub uid: String,
    /// The period that it is in.
    pub period_number: String,
    /// What it costs.
    pub amount: Money,
    /// What it brought.
    pub profit_amount: Money,
    /// How often it was liked.
    pub like_count: i64,
    /// How often it was shared.
    pub share_count: i64,
    /// How many follow it.
    pub follow_count: i64,
    /// How many marked it.
    pub favorite_count: i64,
    /// Where it is in its life.
    pub status: Status,
    /// Until when it must be paid.
    pub expire_time: Moment,
    /// When it was made.
    pub created_at: Moment,
    /// When it changed last.
    pub updated_at: Moment,
}

/// A row that is no order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the row of order `{order_no}` is damaged: {what}")]
pub struct Damaged {
    /// The order's number.
    pub order_no: String,
    /// What is wrong.
    pub what: String,
}

/// Why a row could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// What it has is no order.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The database did not give it.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Order {
    /// The order of a row that has all its columns.
    ///
    /// # Errors
    /// When a column is missing, or has what no order has.
    pub fn of(row: &Row) -> Result<Self, RowError> {
        let order_no: String = row.get("order_no")?;
        let damaged = |what: String| Damaged { order_no: order_no.clone(), what };
        let money = |column| -> Result<Money, RowError> {
            let text: String = row.get(column)?;
            Ok(text.parse::<Money>().map_err(|error| damaged(format!("{column}: {error}")))?)
        };
        let moment = |column| -> Result<Moment, RowError> { Ok(Moment(row.get(column)?)) };
        let status: String = row.get("status")?;
        let status = Status::named(&status).ok_or_else(|| damaged(format!("`{status}` is not a status")))?;
        Ok(Self {
            uid: row.get("uid")?,
            period_number: row.get("period_number")?,
            amount: money("amount")?,
            profit_amount: money("profit_amount")?,
            like_count: row.get("like_count")?,
            share_count: row.get("share_count")?,
            follow_count: row.get("follow_count")?,
            favorite_count: row.get("favorite_count")?,
            status,
            expire_time: moment("expire_time")?,
            created_at: moment("created_at")?,
            updated_at: moment("updated_at")?,
            order_no,
        })
    }

    /// The order as it is `now`: one that was not paid in time has expired, whether or not its row says so yet.
    #[must_use]
    pub fn seen(mut self, now: &Moment) -> Self {
        if self.status == Status::Pending && self.expire_time <= *now {
            self.status = Status::Expired;
        }
        self
    }

    /// As it is written on the wire.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Text, numbers and digits: there is nothing in it that JSON has no form for.
        serde_json::to_string(self).unwrap_or_default()
    }
}

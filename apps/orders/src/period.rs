//! A period: orders are made while it is open, and its life goes one way.

use std::fmt;

use forebay_stores::database::{DatabaseError, Row};
use serde::{Deserialize, Serialize};

/// Where a period is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Orders can be made.
    Open,
    /// None can be made any more.
    Closed,
    /// Its result stands.
    Drawn,
    /// Everybody was paid.
    Settled,
    /// Nobody asks for it any more.
    Archived,
}

impl State {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [Self::Open, Self::Closed, Self::Drawn, Self::Settled, Self::Archived];

    /// As it is written, on the wire and in the row.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Drawn => "drawn",
            Self::Settled => "settled",
            Self::Archived => "archived",
        }
    }

    /// The state that is written so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// The one before it; a period begins open.
    #[must_use]
    pub fn before(self) -> Option<Self> {
        match self {
            Self::Open => None,
            Self::Closed => Some(Self::Open),
            Self::Drawn => Some(Self::Closed),
            Self::Settled => Some(Self::Drawn),
            Self::Archived => Some(Self::Settled),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One period, as its row has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Period {
    /// Its number.
    pub period_number: String,
    /// Where it is in its life; one of [`State`]'s names.
    pub state: String,
    /// When it was opened.
    pub opened_at: String,
    /// When its state changed last.
    pub updated_at: String,
}

impl Period {
    /// The period of a row that has all its columns.
    ///
    /// # Errors
    /// When a column is missing.
    pub fn of(row: &Row) -> Result<Self, DatabaseError> {
        Ok(Self {
            period_number: row.get("period_number")?,
            state: row.get("state")?,
            opened_at: row.get("opened_at")?,
            updated_at: row.get("updated_at")?,
        })
    }
}

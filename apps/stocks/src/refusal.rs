//! What a request is refused for: one list, of which each has a status, a code for programs, and words that say what to do.

use axum::http::StatusCode;
use forebay_server::problem::Problem;
use forebay_stores::database::DatabaseError;
use forebay_stores::database::transaction::TransactionError;

use crate::ingest::Reason;

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// What stands for an instrument is no code.
    #[error("`{0}` is no code: write six digits, as 600000")]
    BadCode(String),
    /// Nothing of that code is listed.
    #[error("there is no {what} `{code}`")]
    Unknown {
        /// `stock` or `index`.
        what: &'static str,
        /// The code.
        code: String,
    },
    /// Another instrument of the same kind has the code on the other market.
    #[error("the code `{0}` is another instrument's, on the other market")]
    CodeTaken(String),
    /// A listing is of a day that has not begun.
    #[error("{0}")]
    InTheFuture(Reason),
    /// A share cannot become an index, nor an index a share.
    #[error(
        "kind: {market} {code} is listed, and {is}; a share stays one, and so does an index: list the other by a code of its own"
    )]
    KindFixed {
        /// The market.
        market: String,
        /// The code.
        code: String,
        /// What it is.
        is: &'static str,
    },
    /// Nobody has told of the user.
    #[error("there is no user `{0}`: write them first")]
    NoUser(String),
    /// The user has not logged in, or their session has ended.
    #[error("there is no session of `{0}`: log in")]
    NoSession(String),
    /// A row cannot be read.
    #[error("the column `{column}` of a row holds what it cannot: mend the row")]
    Damaged {
        /// The column.
        column: &'static str,
    },
    /// The keyspace did not do its part.
    #[error(transparent)]
    Engine(#[from] forebay::Error),
    /// The database did not do its part.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Every code that an answer of the app can have, beside those of the server itself.
pub const CODES: [&str; 13] = [
    "bad_request",
    "bad_code",
    "bad_clock",
    "wall_clock",
    "stock_unknown",
    "index_unknown",
    "code_taken",
    "kind_fixed",
    "in_the_future",
    "user_unknown",
    "session_unknown",
    "row_damaged",
    "not_in_service",
];

impl Refusal {
    /// That the column of a row cannot be read.
    pub(crate) const fn damaged(column: &'static str) -> Self {
        Self::Damaged { column }
    }

    fn answer(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadCode(_) => (StatusCode::BAD_REQUEST, "bad_code"),
            Self::Unknown { what: "index", .. } => (StatusCode::NOT_FOUND, "index_unknown"),
            Self::Unknown { .. } => (StatusCode::NOT_FOUND, "stock_unknown"),
            Self::CodeTaken(_) => (StatusCode::CONFLICT, "code_taken"),
            Self::KindFixed { .. } => (StatusCode::CONFLICT, "kind_fixed"),
            Self::InTheFuture(_) => (StatusCode::BAD_REQUEST, "in_the_future"),
            Self::NoUser(_) => (StatusCode::NOT_FOUND, "user_unknown"),
            Self::NoSession(_) => (StatusCode::NOT_FOUND, "session_unknown"),
            Self::Damaged { .. } | Self::Database(_) | Self::Engine(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "row_damaged")
            }
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = refusal.answer();
        match &refusal {
            Refusal::Database(error) => Self::database(error),
            Refusal::Engine(error) => Self::engine(error),
            refused => Self::new(status, code, refused.to_string()),
        }
    }
}

/// The problem that a transaction's failure is.
pub(crate) fn of_transaction(error: TransactionError<Refusal>) -> Problem {
    Problem::transaction(error, Problem::from)
}

/// The keyspace is being taken out of service, or has not been put in it yet.
pub(crate) fn not_in_service() -> Problem {
    let detail = "quotes are not in service just now: try again in a moment".to_owned();
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_in_service", detail)
}

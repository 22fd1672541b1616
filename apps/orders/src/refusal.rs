//! What a request is refused for: one list, of which each has a status, a code for programs, and words that say what to do.

use axum::http::StatusCode;
use forebay_server::problem::Problem;
use forebay_stores::database::DatabaseError;
use forebay_stores::database::transaction::TransactionError;

use crate::order::{Damaged, RowError, Status};
use crate::period::State;

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request says something that cannot be meant.
    #[error("{0}")]
    BadRequest(String),
    /// Nobody has made the order.
    #[error("there is no order `{0}`")]
    NoOrder(String),
    /// Nobody has opened the period.
    #[error("there is no period `{0}`: open it first, or correct its number")]
    NoPeriod(String),
    /// The period takes no orders any more.
    #[error("the period `{period}` is {state}: it takes no more orders")]
    PeriodClosed {
        /// Its number.
        period: String,
        /// Where it is in its life.
        state: String,
    },
    /// Another order has the number.
    #[error("there is another order `{0}` already: give this one a number of its own")]
    OrderExists(String),
    /// The order may not go there from where it is.
    #[error("the order `{order_no}` is {state}: it cannot become {wanted} from there")]
    IllegalTransition {
        /// Its number.
        order_no: String,
        /// What it is.
        state: Status,
        /// What it was to become.
        wanted: Status,
    },
    /// The period may not go there from where it is.
    #[error("the period `{period}` is {state}: it cannot become {wanted} from there")]
    IllegalStep {
        /// Its number.
        period: String,
        /// What it is.
        state: String,
        /// What it was to become.
        wanted: State,
    },
    /// The key was used for another request.
    #[error("the Idempotency-Key was used for another request: give each request a key of its own")]
    KeyReused,
    /// What the key was used for is gone.
    #[error("the order `{0}` that was made with this Idempotency-Key has been deleted")]
    KeySpent(String),
    /// A row cannot be shown.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// Sums cannot be shown.
    #[error("the sums of the period cannot be read: {0}")]
    Sums(String),
    /// The database did not do its part.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Every code that an answer of the app can have, beside those of the server itself.
pub const CODES: [&str; 11] = [
    "bad_request",
    "order_unknown",
    "period_unknown",
    "period_closed",
    "order_exists",
    "illegal_transition",
    "illegal_step",
    "idempotency_key_reused",
    "idempotency_key_spent",
    "order_damaged",
    "not_in_service",
];

impl Refusal {
    fn answer(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::NoOrder(_) => (StatusCode::NOT_FOUND, "order_unknown"),
            Self::NoPeriod(_) => (StatusCode::NOT_FOUND, "period_unknown"),
            Self::PeriodClosed { .. } => (StatusCode::CONFLICT, "period_closed"),
            Self::OrderExists(_) => (StatusCode::CONFLICT, "order_exists"),
            Self::IllegalTransition { .. } => (StatusCode::CONFLICT, "illegal_transition"),
            Self::IllegalStep { .. } => (StatusCode::CONFLICT, "illegal_step"),
            Self::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
            Self::KeySpent(_) => (StatusCode::CONFLICT, "idempotency_key_spent"),
            Self::Damaged(_) | Self::Sums(_) | Self::Database(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "order_damaged")
            }
        }
    }
}

impl From<RowError> for Refusal {
    fn from(error: RowError) -> Self {
        match error {
            RowError::Damaged(damaged) => Self::Damaged(damaged),
            RowError::Database(error) => Self::Database(error),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        if let Refusal::Database(error) = &refusal {
            return Self::database(error);
        }
        let (status, code) = refusal.answer();
        let problem = Self::new(status, code, refusal.to_string());
        match refusal {
            Refusal::IllegalTransition { state, .. } => problem.with("state", state.name()),
            Refusal::PeriodClosed { state, .. } | Refusal::IllegalStep { state, .. } => {
                problem.with("state", state)
            }
            _ => problem,
        }
    }
}

/// The problem that a transaction's failure is.
pub(crate) fn of_transaction(error: TransactionError<Refusal>) -> Problem {
    Problem::transaction(error, Problem::from)
}

/// The keyspace is being taken out of service, or has not been put in it yet.
pub(crate) fn not_in_service() -> Problem {
    let detail = "orders are not in service just now: try again in a moment".to_owned();
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_in_service", detail)
}

//! Why a transaction did not commit, or may have, and which failures of a database may pass.

use crate::database::DatabaseError;

/// Why a transaction did not end in a commit. `E` is what its work fails with.
#[derive(Debug, thiserror::Error)]
pub enum TransactionError<E> {
    /// The task that asked for it is in the work of another one.
    #[error("a transaction is open here already: do this in its work, or after it")]
    Nested,
    /// Nobody is known who has loaded from the database.
    #[error(
        "nobody is known whom this database feeds: say so by `Database::feeding`, then ask what it gives"
    )]
    Unfed,
    /// Its work failed; nothing was changed, unless the work had committed by itself and then lost the connection.
    #[error("{0}")]
    Work(E),
    /// The database did not begin it, or rolled it back; nothing was changed, with the exception of [`Work`](Self::Work).
    #[error("the database did not commit the transaction, nothing was changed: {0}")]
    RolledBack(#[source] sqlx::Error),
    /// Nobody knows whether it was committed: the connection was lost meanwhile, or its work ended it. What the changed rows feed was
    /// invalidated; until the database has decided, a read may still find what was before.
    #[error(
        "nobody knows whether the transaction was committed: look at the rows it was to change before you do it again"
    )]
    Unknown {
        /// What was said last; `None` where the process was ending.
        #[source]
        cause: Option<sqlx::Error>,
        /// The shared tier did not confirm the invalidation; it is told again until it does.
        unconfirmed: Option<forebay::Error>,
    },
}

impl<E> TransactionError<E> {
    /// Whether it may have been committed. Otherwise nothing was changed, as long as its work leaves the commit to this crate.
    #[must_use]
    pub fn unknown_outcome(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }

    /// Whether the same transaction can succeed later without anybody's doing, and did nothing now: others stood in its way, or the
    /// database was out of reach. Of its work's own failure nothing is known.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        match self {
            Self::RolledBack(error) => may_pass(error),
            _ => false,
        }
    }
}

/// How a transaction ended that was to be committed.
#[derive(Debug)]
pub(super) enum Ended {
    RolledBack(sqlx::Error),
    Unknown { cause: Option<sqlx::Error>, unconfirmed: Option<forebay::Error> },
}

impl<E> From<Ended> for TransactionError<E> {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::RolledBack(error) => Self::RolledBack(error),
            Ended::Unknown { cause, unconfirmed } => Self::Unknown { cause, unconfirmed },
        }
    }
}

impl DatabaseError {
    /// Whether the same can succeed later without anybody's doing: others stood in its way, or the database was out of reach.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        matches!(self, Self::Driver(error) if may_pass(error))
    }
}

fn may_pass(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(told) = error else {
        return is_lost(error) || matches!(error, sqlx::Error::PoolTimedOut);
    };
    let Some(code) = told.code() else { return false };
    if told.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
        // Connection, transaction rollback, resources, locks, operator intervention, system.
        return ["08", "40", "53", "55P03", "57", "58"].iter().any(|class| code.starts_with(class));
    }
    // SQLITE_BUSY, SQLITE_LOCKED.
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6))
}

/// Whether the connection was lost, so that nobody knows what became of what was asked.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_))
}

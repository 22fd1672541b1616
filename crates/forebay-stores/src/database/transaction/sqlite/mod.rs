//! A transaction on SQLite: temporary triggers, which only its connection has, note which rows change, before and after.
//!
//! What they cannot note makes whole tables gone: rows that `replace` takes away where the file has triggers of its own
//! (`recursive_triggers` would tell of them, and change what those do), views, virtual tables, and all tables where the schema changed,
//! or what is temporary. A commit hook refuses every commit but the last.

mod noted;
mod writer;

use std::sync::Arc;

use forebay::feed::{Changed, Watched};
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use tokio::sync::OwnedSemaphorePermit;

use super::told::{Told, Written};
use super::{ROWS_MAX, Unfinished};
pub(in crate::database) use writer::Writers;
use writer::{Done, State, Writer};

/// An open transaction.
#[derive(Debug)]
pub(super) struct Open {
    writer: Writer,
    began: State,
    writers: Arc<Writers>,
    _turn: OwnedSemaphorePermit,
}

impl Open {
    /// Begins one whose commit is on the disk when it is told, not to be lost when the power is.
    pub(super) async fn begin(
        pool: &SqlitePool,
        writers: &Arc<Writers>,
        watched: &[Watched],
    ) -> Result<Self, sqlx::Error> {
        let turn = writers.turn(pool).await?;
        let (writer, began) = writers.begin(pool, watched).await?;
        Ok(Self { writer, began, writers: Arc::clone(writers), _turn: turn })
    }

    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.writer.connection
    }

    /// What has changed, and what the work has told.
    pub(super) async fn written(
        &mut self,
        told: &mut Told,
        watched: &[Watched],
    ) -> Result<Written, sqlx::Error> {
        let Done { state, has_temporaries, rows, tables } = self.writer.done().await?;
        let is_new_schema = has_temporaries || state.basis.schema != self.began.basis.schema;
        let anything = is_new_schema || state.total_changes != self.began.total_changes;
        let is_exact =
            self.writer.is_exact && state.basis.recursive_triggers == self.began.basis.recursive_triggers;
        let is_full = rows.len() >= ROWS_MAX;
        let whole = |table: &Arc<str>| Changed::Table(Arc::clone(table));
        for (place, adds) in tables {
            let Some(noted) = self.writer.noted.iter().find(|noted| noted.is_at(place)) else { continue };
            if is_full || (adds && !is_exact && !told.is_of(&noted.table)) {
                told.add(whole(&noted.table));
            }
        }
        for (place, old, new) in rows {
            let Some(noted) = self.writer.noted.iter().find(|noted| noted.is_at(place)) else { continue };
            told.add(noted.change(old.as_deref(), new.as_deref()));
        }
        for (place, watched) in (0..).zip(watched) {
            let is_noted = self.writer.noted.iter().any(|noted| noted.is_at(place));
            if is_new_schema || (anything && !is_noted && !told.is_of(&watched.table)) {
                told.add(whole(&watched.table));
            }
        }
        Ok(Written { changes: told.changes(), anything })
    }

    /// Commits, however long the disk takes: given up, the commit would go on all the same, and end after what it changed was invalidated.
    pub(super) async fn commit(mut self) -> Result<(), Unfinished> {
        match self.writer.commit().await {
            Ok(()) => {
                self.writers.keep(self.writer);
                Ok(())
            }
            Err(error) if is_undone(&error) => Err(Unfinished::Undone(error)),
            Err(error) => Err(Unfinished::Unknown(error, None)),
        }
    }

    pub(super) async fn roll_back(mut self) -> Result<(), sqlx::Error> {
        // Where it has ended before, another may be open: that ends with the connection.
        if !self.writer.was_rolled_back() {
            self.writer.roll_back().await?;
            self.writers.keep(self.writer);
        }
        Ok(())
    }
}

/// Whether nothing of a transaction was done whose commit has ended so: it is still open, and ends with the connection; or there was none.
fn is_undone(error: &sqlx::Error) -> bool {
    // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_CONSTRAINT.
    is_code(error, &[5, 6, 19])
}

/// Whether SQLite gave one of `codes`, whatever more it said in the extended code.
fn is_code(error: &sqlx::Error, codes: &[u32]) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    let code = error.code().and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| codes.contains(&(code & 0xff)))
}

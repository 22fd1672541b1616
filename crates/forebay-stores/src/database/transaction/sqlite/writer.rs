//! The connection by which the transactions of a SQLite file write, one after the other: it keeps its triggers and its prepared statements
//! from one to the next, since to make them anew costs more than most transactions do. It is none of the pool's, and lives as long as one of
//! these may.
//!
//! It serves as long as the schema is the one, and the namespaces watch the tables, that its triggers were made for, and what is temporary is as it
//! was made; then it is closed and another opened. A transaction that is dropped before its end takes its connection along: the statement under way
//! is given up, and the transaction ends with the connection.

use std::sync::Arc;
use std::time::Duration;

use forebay::feed::Watched;
use forebay::rt::atomic::{AtomicBool, Ordering};
use forebay::rt::{Clock, Mutex, Tick};
use serde::de::DeserializeOwned;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::is_code;
use super::noted::{self, Noted};
use crate::database::cancel::GivenUp;
use crate::database::transaction::{ended_by_work, within};

/// Where the connection stands, and more: one row, since the thread that takes rows is woken for each of them.
macro_rules! state {
    ($more:literal) => {
        concat!(
            "select schema_version, recursive_triggers, total_changes()",
            $more,
            " from pragma_schema_version, pragma_recursive_triggers;"
        )
    };
}
/// The version of what is temporary.
macro_rules! temporary {
    () => {
        "pragma temp.schema_version;"
    };
}
const STATE: &str = state!("");
const TEMPORARY: &str = temporary!();
const BEGIN: &str = concat!("begin immediate;", state!(""));
/// A row of the version of what is temporary; one of where the connection stands, the changes and the tables. Only then makes room for what the
/// next transaction changes: what is deleted counts among all changes.
const END: &str = concat!(
    temporary!(),
    state!(
        ", (select json_group_array(json_array(place, old, new) order by id) from temp.forebay_changes) as changes,
        (select json_group_array(json_array(place, adds)) from temp.forebay_tables) as tables"
    ),
    "delete from temp.forebay_changes;
    delete from temp.forebay_tables;"
);
/// How many triggers the file has.
const TRIGGERS: &str = "select count(*) from main.sqlite_schema where type = 'trigger'";
/// `SQLITE_BUSY` and `SQLITE_LOCKED`: somebody else writes to the file.
const TAKEN: [u32; 2] = [5, 6];

/// Who writes to a SQLite file by a transaction: one at a time.
#[derive(Debug)]
pub(in crate::database) struct Writers {
    clock: Clock,
    turn: Arc<Semaphore>,
    /// The connection of the last transaction, for the next.
    kept: Mutex<Option<Writer>>,
}

/// A connection whose triggers note what changes.
#[derive(Debug)]
pub(super) struct Writer {
    /// Dropped first: the statement under way is given up before the connection is closed.
    _given_up: GivenUp,
    pub(super) connection: SqliteConnection,
    hooked: Arc<Hooked>,
    /// When it has lived for long enough.
    due: Tick,
    watched: Vec<Watched>,
    /// The tables that it notes the rows of.
    pub(super) noted: Vec<Noted>,
    /// What its triggers were made for.
    made_for: Basis,
    /// The version of what is temporary once they were made.
    temporary_schema: i64,
    /// Whether it is for no other transaction: what is temporary is not as it was made, or not known to be.
    is_spent: bool,
    /// Whether they tell of every row: also of one that `replace` takes away.
    pub(super) is_exact: bool,
}

/// What the hooks of a connection ask and tell.
#[derive(Debug, Default)]
struct Hooked {
    /// A commit is let through.
    lets_commit: AtomicBool,
    was_rolled_back: AtomicBool,
}

/// What triggers depend on: the version of the file's schema, and whether triggers fire triggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Basis {
    pub(super) schema: i64,
    pub(super) recursive_triggers: i64,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) basis: Basis,
    /// All rows that it has written.
    pub(super) total_changes: i64,
}

/// What a transaction has done.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) state: State,
    /// Whether it has changed what is temporary, where the triggers are and what they note.
    pub(super) has_temporaries: bool,
    /// Rows of the table at a place, as they were and as they are.
    pub(super) rows: Vec<(i64, Option<String>, Option<String>)>,
    /// Tables, and whether rows came to them.
    pub(super) tables: Vec<(i64, bool)>,
}

impl Default for Writers {
    fn default() -> Self {
        Self { clock: Clock::default(), turn: Arc::new(Semaphore::new(1)), kept: Mutex::new(None) }
    }
}

impl Writers {
    /// Waits for the turn to write, as long as for a connection of `pool`.
    pub(super) async fn turn(&self, pool: &SqlitePool) -> Result<OwnedSemaphorePermit, sqlx::Error> {
        let turn =
            async { Arc::clone(&self.turn).acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed) };
        within(pool.options().get_acquire_timeout(), turn).await
    }

    /// A connection with an open transaction that notes the rows of `watched`. For who has the turn.
    pub(super) async fn begin(
        &self,
        pool: &SqlitePool,
        watched: &[Watched],
    ) -> Result<(Writer, State), sqlx::Error> {
        // Who else writes to the file is waited for as long; a connection that is closed for another, once more.
        let limit = pool.options().get_acquire_timeout().saturating_mul(2);
        within(limit, self.begin_until(pool, watched)).await
    }

    async fn begin_until(
        &self,
        pool: &SqlitePool,
        watched: &[Watched],
    ) -> Result<(Writer, State), sqlx::Error> {
        let kept = self.kept.lock().take();
        let mut kept = kept.filter(|kept| kept.watched == watched && self.clock.now() < kept.due);
        loop {
            let mut writer = match kept.take() {
                Some(writer) => writer,
                None => {
                    let life = pool.options().get_max_lifetime().unwrap_or(Duration::MAX);
                    Writer::connect(pool, watched, self.clock.now().after(life)).await?
                }
            };
            match writer.begin().await {
                Ok(state) if state.basis == writer.made_for => return Ok((writer, state)),
                // Closed before another is opened, which has to wait for its transaction; how that ends does not matter.
                Ok(_) => drop(writer.connection.close().await),
                Err(error) => {
                    if is_code(&error, &TAKEN) {
                        self.keep(writer);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Keeps `writer`, whose transaction has ended, for the next one.
    pub(super) fn keep(&self, writer: Writer) {
        *self.kept.lock() = Some(writer).filter(|writer| !writer.is_spent);
    }
}

impl Writer {
    /// Opens one whose commits are on the disk when they are told, and which notes the rows of `watched`.
    async fn connect(pool: &SqlitePool, watched: &[Watched], due: Tick) -> Result<Self, sqlx::Error> {
        let options = (*pool.connect_options()).clone().synchronous(SqliteSynchronous::Full);
        let mut connection = options.connect().await?;
        let given_up = GivenUp::on(&mut connection, || true).await?;
        let triggers: i64 = sqlx::query_scalar(TRIGGERS).fetch_one(&mut connection).await?;
        let is_exact = triggers == 0;
        if is_exact {
            // It would change what triggers of the file do, where there are some.
            sqlx::raw_sql("pragma recursive_triggers = on").execute(&mut connection).await?;
        }
        // In a transaction, so that all of it is of one schema.
        sqlx::raw_sql("begin").execute(&mut connection).await?;
        let noted = noted::of(&mut connection, watched).await?;
        let made = noted::triggers(&noted);
        sqlx::raw_sql(AssertSqlSafe(made)).execute(&mut connection).await?;
        let made_for = State::of(&sqlx::query(STATE).fetch_one(&mut connection).await?)?.basis;
        let temporary_schema = sqlx::query_scalar(TEMPORARY).fetch_one(&mut connection).await?;
        sqlx::raw_sql("commit").execute(&mut connection).await?;
        let hooked = Hooked::on(&mut connection).await?;
        Ok(Self {
            _given_up: given_up,
            connection,
            hooked,
            due,
            watched: watched.to_vec(),
            noted,
            made_for,
            temporary_schema,
            is_spent: false,
            is_exact,
        })
    }

    async fn begin(&mut self) -> Result<State, sqlx::Error> {
        self.hooked.was_rolled_back.store(false, Ordering::SeqCst);
        State::of(&sqlx::query(BEGIN).fetch_one(&mut self.connection).await?)
    }

    /// What the open transaction has done.
    ///
    /// # Errors
    /// Also where it is another than the one that was begun.
    pub(super) async fn done(&mut self) -> Result<Done, sqlx::Error> {
        if self.was_rolled_back() {
            return Err(ended_by_work());
        }
        self.is_spent = true;
        let told = sqlx::query(END).fetch_all(&mut self.connection).await?;
        let [temporary_schema, end, ..] = &*told else { return Err(sqlx::Error::RowNotFound) };
        let has_temporaries = temporary_schema.try_get::<i64, _>(0)? != self.temporary_schema;
        let (state, rows) = (State::of(end)?, json(end, "changes")?);
        let tables: Vec<(i64, i64)> = json(end, "tables")?;
        let tables = tables.into_iter().map(|(place, adds)| (place, adds > 0)).collect();
        self.is_spent = has_temporaries;
        Ok(Done { state, has_temporaries, rows, tables })
    }

    /// Commits; no other commit is let through.
    pub(super) async fn commit(&mut self) -> Result<(), sqlx::Error> {
        self.hooked.lets_commit.store(true, Ordering::SeqCst);
        sqlx::query("commit").execute(&mut self.connection).await?;
        self.hooked.lets_commit.store(false, Ordering::SeqCst);
        Ok(())
    }

    pub(super) async fn roll_back(&mut self) -> Result<(), sqlx::Error> {
        sqlx::query("rollback").execute(&mut self.connection).await.map(drop)
    }

    /// Whether the transaction that was begun has ended by a rollback: that of the work, or of SQLite.
    pub(super) fn was_rolled_back(&self) -> bool {
        self.hooked.was_rolled_back.load(Ordering::SeqCst)
    }
}

impl Hooked {
    /// Has `connection` ask and tell it.
    async fn on(connection: &mut SqliteConnection) -> Result<Arc<Self>, sqlx::Error> {
        let hooked = Arc::new(Self::default());
        let (commits, rolls_back) = (Arc::clone(&hooked), Arc::clone(&hooked));
        let mut handle = connection.lock_handle().await?;
        handle.set_commit_hook(move || commits.lets_commit.load(Ordering::SeqCst));
        handle.set_rollback_hook(move || rolls_back.was_rolled_back.store(true, Ordering::SeqCst));
        drop(handle);
        Ok(hooked)
    }
}

impl State {
    fn of(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let basis = Basis { schema: row.try_get(0)?, recursive_triggers: row.try_get(1)? };
        Ok(Self { basis, total_changes: row.try_get(2)? })
    }
}

/// What the JSON in a column says.
fn json<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(row.try_get(column)?).map_err(|error| sqlx::Error::Decode(error.into()))
}

//! A transaction on SQLite: triggers that live as long as it does note which rows change, before and after.
//!
//! They are temporary: only this connection has them, and they are gone before the commit. What they cannot note makes whole tables
//! gone: rows that `replace` takes away where the file has triggers of its own (`recursive_triggers` would tell of them, and change what
//! those do), views, virtual tables, and all tables where the schema changed. A commit hook refuses every commit but the last.

use std::fmt::Write as _;
use std::sync::Arc;

use forebay::feed::{Changed, Columns, Watched};
use forebay::rt::atomic::{AtomicBool, Ordering};
use forebay::value::Param;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use tokio::sync::OwnedSemaphorePermit;

use super::told::{Told, Written};
use super::{ROWS_MAX, Unfinished};
use crate::database::cancel::Interrupting;
use crate::database::quoted;

const MADE: &str =
    "create temp table forebay_changes (id integer primary key, place integer, old text, new text);
create temp table forebay_tables (place integer primary key, adds integer);";
const DROPPED: &str = "drop table temp.forebay_changes; drop table temp.forebay_tables;";
/// The schema of the file, all rows that the connection has written, how many triggers the file has, and whether triggers tell of replaced rows.
const STATE: &str = "select (select schema_version from pragma_schema_version), total_changes(),
    (select count(*) from main.sqlite_schema where type = 'trigger'),
    (select recursive_triggers from pragma_recursive_triggers)";
/// The tables called as one of the names, with their columns.
const TABLES: &str = "select watched.key, tables.name, columns.name from json_each(?1) watched
    join main.sqlite_schema tables on tables.type = 'table' and lower(tables.name) = lower(watched.value)
        and lower(tables.sql) not like 'create virtual%'
    join pragma_table_xinfo(tables.name, 'main') columns";
const DURABLE: &str = "pragma synchronous = full";
const USUAL: &str = "pragma synchronous = normal";

/// An open transaction.
#[derive(Debug)]
pub(super) struct Open {
    /// Dropped before its end, it gives up the statement under way: nobody waits for the file until that has ended.
    held: Interrupting,
    /// Whether a commit is let through.
    is_ending: Arc<AtomicBool>,
    schema: i64,
    total_changes: i64,
    /// Whether the triggers tell of every row: also of one that `replace` takes away.
    is_exact: bool,
    /// Whether the connection is another than it was: triggers fire triggers.
    is_recursive: bool,
    noted: Vec<Noted>,
    _turn: OwnedSemaphorePermit,
}

/// A table whose changed rows are noted.
#[derive(Debug)]
struct Noted {
    /// Its place among the watched.
    place: usize,
    /// Its name in the file, and that by which it is watched.
    name: String,
    table: Arc<str>,
    /// The columns that it has, as they are watched.
    columns: Vec<Arc<str>>,
}

impl Open {
    /// Begins one that is committed to the disk, not to be lost when the power is.
    pub(super) async fn begin(
        pool: &SqlitePool,
        turn: OwnedSemaphorePermit,
        watched: &[Watched],
    ) -> Result<Self, sqlx::Error> {
        let mut held = Interrupting::acquire_unlimited(pool).await?;
        let is_ending = Arc::new(AtomicBool::new(false));
        let connection = held.connection()?;
        sqlx::raw_sql(DURABLE).execute(&mut *connection).await?;
        sqlx::raw_sql("begin immediate").execute(&mut *connection).await?;
        let lets = Arc::clone(&is_ending);
        connection.lock_handle().await?.set_commit_hook(move || lets.load(Ordering::SeqCst));
        let (schema, total_changes, triggers, recursive): (i64, i64, i64, i64) =
            sqlx::query_as(STATE).fetch_one(&mut *connection).await?;
        let noted = noted(connection, watched).await?;
        let is_recursive = triggers == 0 && recursive == 0;
        if is_recursive {
            sqlx::raw_sql("pragma recursive_triggers = on").execute(&mut *connection).await?;
        }
        let made: String = noted.iter().fold(MADE.to_owned(), |made, noted| made + &noted.triggers());
        sqlx::raw_sql(AssertSqlSafe(made)).execute(&mut *connection).await?;
        Ok(Self {
            held,
            is_ending,
            schema,
            total_changes,
            is_exact: triggers == 0 || recursive != 0,
            is_recursive,
            noted,
            _turn: turn,
        })
    }

    pub(super) fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        self.held.connection()
    }

    /// What has changed, and what the work has told.
    pub(super) async fn written(
        &mut self,
        told: &mut Told,
        watched: &[Watched],
    ) -> Result<Written, sqlx::Error> {
        let connection = self.held.connection()?;
        // Before anything else is done: what is noted counts too.
        let (schema, total, _, _): (i64, i64, i64, i64) =
            sqlx::query_as(STATE).fetch_one(&mut *connection).await?;
        let rows: Vec<(i64, Option<String>, Option<String>)> =
            sqlx::query_as("select place, old, new from temp.forebay_changes order by id")
                .fetch_all(&mut *connection)
                .await?;
        let tables: Vec<(i64, bool)> =
            sqlx::query_as("select place, adds from temp.forebay_tables").fetch_all(&mut *connection).await?;
        let mut dropped = DROPPED.to_owned();
        for noted in &self.noted {
            noted.drop_triggers(&mut dropped);
        }
        sqlx::raw_sql(AssertSqlSafe(dropped)).execute(&mut *connection).await?;

        let is_new_schema = schema != self.schema;
        let anything = is_new_schema || total != self.total_changes;
        let is_full = rows.len() >= ROWS_MAX;
        let whole = |table: &Arc<str>| Changed::Table(Arc::clone(table));
        for (place, adds) in tables {
            let Some(noted) = self.noted.iter().find(|noted| noted.is_at(place)) else { continue };
            if is_full || (adds && !self.is_exact && !told.is_of(&noted.table)) {
                told.add(whole(&noted.table));
            }
        }
        for (place, old, new) in rows {
            let Some(noted) = self.noted.iter().find(|noted| noted.is_at(place)) else { continue };
            told.add(noted.change(old.as_deref(), new.as_deref()));
        }
        for (place, watched) in watched.iter().enumerate() {
            let is_noted = self.noted.iter().any(|noted| noted.place == place);
            if is_new_schema || (anything && !is_noted && !told.is_of(&watched.table)) {
                told.add(whole(&watched.table));
            }
        }
        Ok(Written { changes: told.changes(), anything })
    }

    /// Commits, however long the disk takes: given up, the commit would go on all the same, and end after what it changed was invalidated.
    pub(super) async fn commit(mut self) -> Result<(), Unfinished> {
        self.is_ending.store(true, Ordering::SeqCst);
        let committed = async { sqlx::raw_sql("commit").execute(self.held.connection()?).await.map(drop) };
        match committed.await {
            Ok(()) => {
                self.done().await;
                Ok(())
            }
            Err(error) if is_undone(&error) => Err(Unfinished::Undone(error)),
            Err(error) => Err(Unfinished::Unknown(error, None)),
        }
    }

    pub(super) async fn roll_back(mut self) -> Result<(), sqlx::Error> {
        match sqlx::raw_sql("rollback").execute(self.held.connection()?).await {
            Err(sqlx::Error::Database(error)) if error.message().contains("no transaction is active") => {}
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        self.done().await;
        Ok(())
    }

    /// Gives the connection back as it was.
    async fn done(mut self) {
        let restored = async {
            let connection = self.held.connection()?;
            connection.lock_handle().await?.remove_commit_hook();
            sqlx::raw_sql(USUAL).execute(&mut *connection).await?;
            if self.is_recursive {
                sqlx::raw_sql("pragma recursive_triggers = off").execute(&mut *connection).await?;
            }
            Ok::<_, sqlx::Error>(())
        };
        if restored.await.is_ok() {
            self.held.done();
        }
    }
}

/// Whether nothing of a transaction was done whose commit has ended so: it is still open, and ends with the connection; or there was none.
fn is_undone(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_CONSTRAINT.
    let code = error.code().and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, 5 | 6 | 19))
}

/// The tables of `watched` that triggers can be on.
async fn noted(connection: &mut SqliteConnection, watched: &[Watched]) -> Result<Vec<Noted>, sqlx::Error> {
    let names: Vec<&str> = watched.iter().map(|watched| &*watched.table).collect();
    let names = serde_json::Value::from(names).to_string();
    let rows: Vec<(i64, String, String)> =
        sqlx::query_as(TABLES).bind(names).fetch_all(&mut *connection).await?;
    let mut all: Vec<Noted> = Vec::new();
    for (place, name, column) in rows {
        let Ok(place) = usize::try_from(place) else { continue };
        let Some(watched) = watched.get(place) else { continue };
        let columns = watched.columns.iter().filter(|watched| watched.eq_ignore_ascii_case(&column));
        let columns = columns.map(Arc::clone);
        match all.iter_mut().find(|noted| noted.place == place) {
            Some(noted) => noted.columns.extend(columns),
            None => {
                let columns = columns.collect();
                all.push(Noted { place, name, table: Arc::clone(&watched.table), columns });
            }
        }
    }
    Ok(all)
}

impl Noted {
    fn is_at(&self, place: i64) -> bool {
        usize::try_from(place).is_ok_and(|place| place == self.place)
    }

    /// The triggers that note what changes in it. They leave the conflict clause to the statement that fires them, as all triggers must.
    fn triggers(&self) -> String {
        let Self { place, name, .. } = self;
        let table = quoted(name);
        let (old, new) = (self.row("old"), self.row("new"));
        let mut sql = String::new();
        for (verb, old, new, adds) in
            [("insert", "null", &*new, 1), ("update", &*old, &*new, 1), ("delete", &*old, "null", 0)]
        {
            let _ = write!(
                sql,
                "create temp trigger forebay_{place}_{verb} after {verb} on main.{table} begin
    insert into forebay_changes (place, old, new) select {place}, {old}, {new}
        where coalesce((select max(id) from forebay_changes), 0) < {ROWS_MAX};
    insert into forebay_tables (place, adds) select {place}, 0
        where not exists (select 1 from forebay_tables where place = {place});
    update forebay_tables set adds = max(adds, {adds}) where place = {place};
end;\n"
            );
        }
        sql
    }

    fn drop_triggers(&self, sql: &mut String) {
        for verb in ["insert", "update", "delete"] {
            let _ = write!(sql, "drop trigger if exists temp.forebay_{}_{verb};", self.place);
        }
    }

    /// The row `side` of a trigger: an array of integers, of texts with an `s` before them, of null, and of `x` for what is in no key.
    fn row(&self, side: &str) -> String {
        let cell = |column: &Arc<str>| {
            let cell = format!("{side}.{}", quoted(column));
            format!(
                "case typeof({cell}) when 'integer' then {cell} when 'text' then 's' || {cell} when 'null' then null else 'x' end"
            )
        };
        format!("json_array({})", self.columns.iter().map(cell).collect::<Vec<_>>().join(", "))
    }

    fn change(&self, old: Option<&str>, new: Option<&str>) -> Changed {
        let (old, new) = (old.map(|row| self.read(row)), new.map(|row| self.read(row)));
        match (old, new) {
            (Some(None), _) | (_, Some(None)) => Changed::Table(Arc::clone(&self.table)),
            (old, new) => {
                Changed::Row { table: Arc::clone(&self.table), old: old.flatten(), new: new.flatten() }
            }
        }
    }

    /// A row as it was noted; a column that holds what is in no key is left out, as one that is not known.
    fn read(&self, row: &str) -> Option<Columns> {
        let cells: Vec<serde_json::Value> = serde_json::from_str(row).ok()?;
        let mut columns = Columns::new();
        for (name, cell) in self.columns.iter().zip(cells) {
            let param = match cell {
                serde_json::Value::Null => None,
                serde_json::Value::Number(number) => Some(Param::Integer(number.as_i64()?)),
                serde_json::Value::String(text) => match text.strip_prefix('s') {
                    Some(text) => Some(Param::Text(text.to_owned())),
                    None => continue,
                },
                _ => return None,
            };
            columns.push((Arc::clone(name), param));
        }
        Some(columns)
    }
}

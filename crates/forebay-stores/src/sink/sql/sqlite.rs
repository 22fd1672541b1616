//! Declared statements on SQLite: rows and keys are bound as one JSON array each.
//!
//! One transaction at a time writes to a file, so one waits here for its turn and not in the busy loop of the library. It is
//! committed with a full sync: what the sink has applied is forgotten by the journal.

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine as _;
use forebay::value::{Param, Value};
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqlitePool};
use sqlx::{Arguments, AssertSqlSafe, Executor, Row as _, SqlSafeStr, SqlStr};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::row::{self, RowError};
use super::statement::{Column, Insert, name_of};
use super::{FORGET_MAX, OpenError, Session, SqlStatements, make_table};
use crate::database::Dialect;
use crate::database::cancel::Cancelling;
use crate::source::sql::{self, KeyColumn};

const TABLE: &str =
    "create table forebay_operations (id text primary key, applied_at integer not null) without rowid;
create index forebay_operations_applied_at on forebay_operations (applied_at);";
const REMEMBER: &str =
    "insert into forebay_operations (id, applied_at) select value, unixepoch() from json_each(?1) where true
    on conflict (id) do nothing returning id";
const FORGET: &str = "delete from forebay_operations where id in
    (select id from forebay_operations where applied_at < unixepoch() - ?1 order by applied_at limit ?2)";

/// Declared statements as they are asked.
#[derive(Debug)]
pub(super) struct Asked {
    pool: SqlitePool,
    write: SqlStr,
    delete: Option<SqlStr>,
    columns: Vec<Written>,
    turn: Semaphore,
}

/// A column that is written.
#[derive(Debug)]
struct Written {
    column: Column,
    holds_bytes: bool,
}

impl Asked {
    /// Prepares `statements`.
    pub(super) async fn open(pool: &SqlitePool, statements: &SqlStatements) -> Result<Self, OpenError> {
        let insert = Insert::of(statements)?;
        let mut held = Cancelling::acquire(pool).await?;
        let connection = held.connection()?;
        let of_bytes = columns_of_bytes(connection, &insert.table).await?;
        let columns: Vec<Written> = insert
            .columns
            .iter()
            .map(|column| {
                let holds_bytes = of_bytes.contains(&column.name.to_ascii_lowercase());
                Written { column: column.clone(), holds_bytes }
            })
            .collect();
        let write = AssertSqlSafe(rewritten(&insert, &columns)).into_sql_str();
        let refused = |statement, cause| OpenError::Statement { statement, cause };
        (&mut *connection).prepare(write.clone()).await.map_err(|cause| refused("write", cause))?;
        let kinds: Vec<_> = statements.params.iter().map(|param| param.kind).collect();
        let delete = statements.delete.as_ref().map(|text| sql::bound(Dialect::Sqlite, text, &kinds));
        let delete = delete.map(|text| AssertSqlSafe(text).into_sql_str());
        if let Some(delete) = &delete {
            (&mut *connection).prepare(delete.clone()).await.map_err(|cause| refused("delete", cause))?;
        }
        make_table::<Sqlite>(connection, REMEMBER, TABLE).await?;
        let asked = Self { pool: pool.clone(), write, delete, columns, turn: Semaphore::new(1) };
        forget(connection, statements.remember, FORGET_MAX).await.map_err(OpenError::Table)?;
        held.done();
        Ok(asked)
    }

    /// The JSON of a row: an array in the order of the columns. Numbers that are no 64-bit integers are bound as text, which the column
    /// turns into what it holds: a column of text keeps every digit.
    pub(super) fn row(&self, params: &[KeyColumn], key: &[Param], value: &Value) -> Result<String, RowError> {
        let columns = self.columns.iter().map(|written| &written.column);
        let cells = row::cells(columns, params, key, value)?;
        let mut json = String::from("[");
        for (cell, Written { column, holds_bytes }) in cells.into_iter().zip(&self.columns) {
            if json.len() > 1 {
                json.push(',');
            }
            match cell.as_bytes().first() {
                Some(b'"') | Some(b'n') if *holds_bytes => {
                    json.push_str(&hexadecimal(&cell).ok_or_else(|| not_bytes(column))?);
                }
                _ if *holds_bytes => return Err(not_bytes(column)),
                Some(b'{' | b'[') => json.push_str(&quoted(&cell)),
                Some(b'-' | b'0'..=b'9') if cell.parse::<i64>().is_err() => json.push_str(&quoted(&cell)),
                _ => json.push_str(&cell),
            }
        }
        json.push(']');
        Ok(json)
    }

    /// A connection, when it is this one's turn.
    pub(super) async fn session(&self) -> Result<Connected<'_>, sqlx::Error> {
        let turn = self.turn.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        Ok(Connected { held: Cancelling::acquire(&self.pool).await?, asked: self, _turn: turn })
    }
}

fn not_bytes(column: &Column) -> RowError {
    RowError::NotBytes { column: column.name.clone() }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The bytes that the JSON text `cell` has in base64, as JSON text of hexadecimal digits; null as null.
fn hexadecimal(cell: &str) -> Option<String> {
    let text: Option<String> = serde_json::from_str(cell).ok()?;
    let Some(text) = text else { return Some("null".into()) };
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(quoted(&digits))
}

/// The columns of `table` that are declared as bytes, in lower case.
async fn columns_of_bytes(
    connection: &mut SqliteConnection,
    table: &str,
) -> Result<HashSet<String>, sqlx::Error> {
    let name = table.rsplit_once('.').map_or(table, |(_, name)| name);
    let name = name_of(name).unwrap_or_else(|| name.to_owned());
    let rows = sqlx::query("select lower(name) from pragma_table_info(?1) where upper(type) = 'BLOB'");
    let rows = rows.bind(name).fetch_all(connection).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// The statement that binds all rows as one JSON array of arrays.
fn rewritten(insert: &Insert, columns: &[Written]) -> String {
    let cell = |(at, written): (usize, &Written)| {
        let cell = format!("json_extract(value, '$[{at}]')");
        if written.holds_bytes { format!("unhex({cell})") } else { cell }
    };
    let cells: Vec<String> = columns.iter().enumerate().map(cell).collect();
    // `where true` keeps `on conflict` from being read as part of a join.
    format!("{} select {} from json_each(?1) where true {}", insert.before, cells.join(", "), insert.after)
}

async fn forget(connection: &mut SqliteConnection, older: Duration, most: u64) -> Result<u64, sqlx::Error> {
    let bound = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let done = sqlx::query(FORGET).bind(bound(older.as_secs())).bind(bound(most)).execute(connection).await?;
    Ok(done.rows_affected())
}

/// A connection in use.
pub(super) struct Connected<'a> {
    held: Cancelling<Sqlite>,
    asked: &'a Asked,
    _turn: SemaphorePermit<'a>,
}

impl Connected<'_> {
    async fn bound(&mut self, statement: Option<SqlStr>, json: String) -> Result<(), sqlx::Error> {
        let Some(statement) = statement else { return Ok(()) };
        let mut arguments = SqliteArguments::default();
        arguments.add(json).map_err(sqlx::Error::Encode)?;
        sqlx::query_with(statement, arguments).execute(self.held.connection()?).await.map(drop)
    }

    async fn raw(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(sql).execute(self.held.connection()?).await.map(drop)
    }
}

impl Session for Connected<'_> {
    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        self.raw("pragma synchronous = full; begin immediate").await
    }

    async fn remember(&mut self, ids: Vec<String>) -> Result<HashSet<String>, sqlx::Error> {
        let json = serde_json::Value::from(ids).to_string();
        let new = sqlx::query_scalar(REMEMBER).bind(json).fetch_all(self.held.connection()?).await?;
        Ok(new.into_iter().collect())
    }

    async fn write(&mut self, rows: &[&str]) -> Result<(), sqlx::Error> {
        let json = format!("[{}]", rows.join(","));
        self.bound(Some(self.asked.write.clone()), json).await
    }

    async fn delete(&mut self, keys: &[&[Param]]) -> Result<(), sqlx::Error> {
        let key = |key: &&[Param]| match key {
            [one] => row::json_of(one),
            many => format!("[{}]", many.iter().map(row::json_of).collect::<Vec<_>>().join(",")),
        };
        let json = format!("[{}]", keys.iter().map(key).collect::<Vec<_>>().join(","));
        self.bound(self.asked.delete.clone(), json).await
    }

    async fn run(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        self.raw(sql).await
    }

    async fn forget(&mut self, older: Duration, most: u64) -> Result<u64, sqlx::Error> {
        forget(self.held.connection()?, older, most).await
    }

    async fn undo(&mut self) -> Result<(), sqlx::Error> {
        // A statement may end the transaction by itself, and then there is none.
        match self.raw("rollback").await {
            Err(sqlx::Error::Database(error)) if error.message().contains("no transaction is active") => {
                Ok(())
            }
            undone => undone,
        }
    }

    fn is_undone_at_commit(error: &sqlx::Error) -> bool {
        // SQLITE_BUSY, SQLITE_LOCKED: the transaction is still open, and ends with the connection.
        let sqlx::Error::Database(error) = error else { return false };
        let code = error.code().and_then(|code| code.parse::<u32>().ok());
        code.is_some_and(|code| matches!(code & 0xff, 5 | 6))
    }

    async fn done(mut self) {
        if self.raw("pragma synchronous = normal").await.is_ok() {
            self.held.done();
        }
    }
}

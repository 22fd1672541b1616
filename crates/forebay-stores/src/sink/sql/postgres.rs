//! Declared statements on PostgreSQL: rows are bound as one JSON array, and the server reads each member as its column is declared.
//!
//! So numbers keep their digits, and times, arrays and JSON are what the same text is in a statement. Keys are bound as one array for
//! each parameter, as sources bind them.

use std::collections::HashSet;
use std::time::Duration;

use forebay::namespace::pattern::ParamKind;
use forebay::value::{Param, Value};
use sqlx::postgres::{PgArguments, PgConnection, PgPool, Postgres};
use sqlx::{Arguments, AssertSqlSafe, Column as _, Executor, SqlSafeStr, SqlStr, Statement, TypeInfo};

use super::fit::Holds;
use super::row::{self, RowError};
use super::statement::{Column, Insert};
use super::{FORGET_MAX, OpenError, Session, SqlStatements, make_table};
use crate::database::Dialect;
use crate::database::cancel::Cancelling;
use crate::source::sql::{self, KeyColumn};

const TABLE: &str =
    "create table forebay_operations (id uuid primary key, applied_at timestamptz not null default now());
create index forebay_operations_applied_at on forebay_operations (applied_at);";
const REMEMBER: &str = "insert into forebay_operations (id) select unnest($1::text[])::uuid
    on conflict (id) do nothing returning replace(id::text, '-', '')";
const FORGET: &str = "delete from forebay_operations where id in
    (select id from forebay_operations where applied_at < now() - make_interval(secs => $1)
        order by applied_at limit $2 for update skip locked)";
/// Rules that wait for the commit are looked at with each statement, so that it is known who broke them; and what is committed is on
/// the disk, whatever the server is set to.
const BEGIN: &str = "begin read write; set constraints all immediate;
    select set_config('synchronous_commit', 'on', true) where current_setting('synchronous_commit') = 'off'";

/// Declared statements as they are asked.
#[derive(Debug)]
pub(super) struct Asked {
    pool: PgPool,
    write: SqlStr,
    delete: Option<SqlStr>,
    columns: Vec<(Column, Holds)>,
    kinds: Vec<ParamKind>,
}

impl Asked {
    /// Prepares `statements`.
    pub(super) async fn open(pool: &PgPool, statements: &SqlStatements) -> Result<Self, OpenError> {
        let insert = Insert::of(statements)?;
        let mut held = Cancelling::acquire(pool).await?;
        let connection = held.connection()?;
        let refused = |statement, cause| OpenError::Statement { statement, cause };
        let rewritten = rewritten(connection, &insert).await;
        let (write, holds) = rewritten.map_err(|cause| refused("write", cause))?;
        let kinds: Vec<_> = statements.params.iter().map(|param| param.kind).collect();
        let delete = match &statements.delete {
            Some(text) => {
                Some(deleting(connection, text, &kinds).await.map_err(|cause| refused("delete", cause))?)
            }
            None => None,
        };
        make_table::<Postgres>(connection, REMEMBER, TABLE).await?;
        forget(connection, statements.remember, FORGET_MAX).await.map_err(OpenError::Table)?;
        held.done();
        let columns = insert.columns.into_iter().zip(holds).collect();
        Ok(Self { pool: pool.clone(), write, delete, columns, kinds })
    }

    /// The JSON of a row: an object.
    pub(super) fn row(&self, params: &[KeyColumn], key: &[Param], value: &Value) -> Result<String, RowError> {
        let cells = row::cells(self.columns.iter().map(|(column, _)| column), params, key, value)?;
        let member = |(cell, (column, holds)): (String, &(Column, Holds))| {
            if !holds.may_hold(&cell) {
                return Err(RowError::WrongType { column: column.name.clone(), holds: holds.words() });
            }
            Ok(format!("{}:{cell}", serde_json::Value::from(column.name.as_str())))
        };
        let members: Result<Vec<String>, _> = cells.into_iter().zip(&self.columns).map(member).collect();
        Ok(format!("{{{}}}", members?.join(",")))
    }

    /// A connection.
    pub(super) async fn session(&self) -> Result<Connected<'_>, sqlx::Error> {
        Ok(Connected { held: Cancelling::acquire(&self.pool).await?, asked: self })
    }
}

/// The statement that binds all rows as one JSON array of objects, which is prepared, and what its columns hold.
async fn rewritten(
    connection: &mut PgConnection,
    insert: &Insert,
) -> Result<(SqlStr, Vec<Holds>), sqlx::Error> {
    let names: Vec<&str> = insert.columns.iter().map(|column| column.written.as_str()).collect();
    let columns = format!("select {} from {} limit 0", names.join(", "), insert.table);
    let columns = (&mut *connection).prepare(AssertSqlSafe(columns).into_sql_str()).await?;
    let holds: Vec<Holds> =
        columns.columns().iter().map(|column| Holds::of(column.type_info().name())).collect();
    let cell = |(column, holds): (&Column, &Holds)| {
        if *holds == Holds::Bytes {
            format!("decode(forebay_json ->> '{}', 'base64')", column.name.replace('\'', "''"))
        } else {
            format!("forebay_row.{}", column.written)
        }
    };
    let cells: Vec<String> = insert.columns.iter().zip(&holds).map(cell).collect();
    let statement = format!(
        "{} select {} from json_array_elements($1::text::json) as forebay_json
            cross join lateral json_populate_record(null::{}, forebay_json) as forebay_row where true {}",
        insert.before,
        cells.join(", "),
        insert.table,
        insert.after
    );
    let mut arguments = PgArguments::default();
    arguments.add("[]").map_err(sqlx::Error::Encode)?;
    Ok((planned(connection, statement, arguments).await?, holds))
}

/// Has `statement` planned and not run: that also finds what preparing does not, such as a privilege that is missing.
async fn planned(
    connection: &mut PgConnection,
    statement: String,
    arguments: PgArguments,
) -> Result<SqlStr, sqlx::Error> {
    let explain = AssertSqlSafe(format!("explain {statement}"));
    sqlx::query_with(explain, arguments).persistent(false).execute(connection).await?;
    Ok(AssertSqlSafe(statement).into_sql_str())
}

/// The statement that deletes keys; it is prepared. A `uuid` in a key may be one in its table, or text that looks like one.
async fn deleting(
    connection: &mut PgConnection,
    text: &str,
    kinds: &[ParamKind],
) -> Result<SqlStr, sqlx::Error> {
    let bound = |kinds: &[ParamKind]| sql::bound(Dialect::Postgres, text, kinds);
    let none = || keys_of(kinds, &[]);
    match planned(connection, bound(kinds), none()?).await {
        Err(_) if kinds.contains(&ParamKind::Uuid) => {
            let as_text = |kind: &ParamKind| if *kind == ParamKind::Uuid { ParamKind::Text } else { *kind };
            let kinds: Vec<ParamKind> = kinds.iter().map(as_text).collect();
            planned(connection, bound(&kinds), none()?).await
        }
        planned => planned,
    }
}

/// Keys as they are bound: one array for each parameter.
fn keys_of(kinds: &[ParamKind], keys: &[&[Param]]) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    for (at, kind) in kinds.iter().enumerate() {
        let held = keys.iter().map(|key| key.get(at));
        let added = if *kind == ParamKind::Integer {
            let number = |param: Option<&Param>| match param {
                Some(Param::Integer(number)) => Some(*number),
                _ => None,
            };
            arguments.add(held.map(number).collect::<Vec<Option<i64>>>())
        } else {
            let text = |param: Option<&Param>| match param {
                Some(Param::Text(text)) => Some(text.clone()),
                Some(Param::Integer(number)) => Some(number.to_string()),
                None => None,
            };
            arguments.add(held.map(text).collect::<Vec<Option<String>>>())
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

async fn forget(connection: &mut PgConnection, older: Duration, most: u64) -> Result<u64, sqlx::Error> {
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let done = sqlx::query(FORGET).bind(older.as_secs_f64()).bind(limit).execute(connection).await?;
    Ok(done.rows_affected())
}

/// A connection in use.
pub(super) struct Connected<'a> {
    held: Cancelling<Postgres>,
    asked: &'a Asked,
}

impl Session for Connected<'_> {
    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        self.run(BEGIN).await
    }

    async fn remember(&mut self, ids: Vec<String>) -> Result<HashSet<String>, sqlx::Error> {
        let new = sqlx::query_scalar(REMEMBER).bind(ids).fetch_all(self.held.connection()?).await?;
        Ok(new.into_iter().collect())
    }

    async fn write(&mut self, rows: &[&str]) -> Result<(), sqlx::Error> {
        let json = format!("[{}]", rows.join(","));
        let statement = sqlx::query(self.asked.write.clone()).bind(json);
        statement.execute(self.held.connection()?).await.map(drop)
    }

    async fn delete(&mut self, keys: &[&[Param]]) -> Result<(), sqlx::Error> {
        let Some(statement) = self.asked.delete.clone() else { return Ok(()) };
        let arguments = keys_of(&self.asked.kinds, keys)?;
        sqlx::query_with(statement, arguments).execute(self.held.connection()?).await.map(drop)
    }

    async fn run(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(sql).execute(self.held.connection()?).await.map(drop)
    }

    async fn forget(&mut self, older: Duration, most: u64) -> Result<u64, sqlx::Error> {
        forget(self.held.connection()?, older, most).await
    }

    async fn undo(&mut self) -> Result<(), sqlx::Error> {
        self.run("rollback").await
    }

    fn is_undone_at_commit(error: &sqlx::Error) -> bool {
        // Transaction rollback: the server says that it was given up.
        let sqlx::Error::Database(error) = error else { return false };
        error.code().is_some_and(|code| code.starts_with("40"))
    }

    async fn done(self) {
        self.held.done();
    }
}

//! The schema of a SQLite database: its tables, their columns, and by what a row is found.

use forebay_stores::database::{Database, DatabaseError, DatabaseOptions};
use sqlx::sqlite::SqlitePool;
use sqlx::{AssertSqlSafe, Row as _};

/// The most tables that are proposed for, and the most columns of one.
const TABLES_MAX: i64 = 1_000;
const COLUMNS_MAX: usize = 1_000;

/// Why a schema could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemaError {
    #[error("cannot read the schema: {0}")]
    Database(#[from] DatabaseError),
    #[error("cannot read the schema: {0}")]
    Query(#[from] sqlx::Error),
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: Name,
    /// In the order of the table.
    pub(super) columns: Vec<Column>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: Name,
    pub(super) affinity: Affinity,
    /// Whether it is declared as an exact number.
    pub(super) is_decimal: bool,
    /// Its place in the primary key, from 1; 0 where it has none.
    pub(super) in_key: i64,
}

/// A name as it is, and as a query writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) plain: String,
    pub(super) in_sql: String,
}

/// What SQLite makes of values of a column, by its rules for declared types (<https://sqlite.org/datatype3.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

impl Affinity {
    fn of(declared: &str) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        if has(&["INT"]) {
            Self::Integer
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            Self::Text
        } else if declared.is_empty() || has(&["BLOB"]) {
            Self::Blob
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Self::Real
        } else {
            Self::Numeric
        }
    }
}

/// The tables of the database at `path`, by their names; those of SQLite and of migrations left out.
pub(super) async fn read(path: &str) -> Result<Vec<Table>, SchemaError> {
    let options = DatabaseOptions { create: false, ..DatabaseOptions::sqlite(path, 1) };
    let database = Database::open_to_read(&options).await?;
    let pool = database.sqlite()?;
    let named = sqlx::query(
        "select name from sqlite_schema where type = 'table' and name not like 'sqlite\\_%' escape '\\' \
         and name not like '\\_%' escape '\\' order by name limit ?",
    );
    let mut tables = Vec::new();
    for row in named.bind(TABLES_MAX).fetch_all(pool).await? {
        let name: String = row.try_get("name")?;
        let columns = columns(pool, &name).await?;
        tables.push(Table { name: Name::of(pool, name).await?, columns });
    }
    Ok(tables)
}

async fn columns(pool: &SqlitePool, table: &str) -> Result<Vec<Column>, SchemaError> {
    let rows = sqlx::query("select name, type, pk from pragma_table_info(?) order by cid").bind(table);
    let mut columns = Vec::new();
    for row in rows.fetch_all(pool).await?.into_iter().take(COLUMNS_MAX) {
        let declared: String = row.try_get("type")?;
        let upper = declared.to_ascii_uppercase();
        columns.push(Column {
            name: Name::of(pool, row.try_get("name")?).await?,
            affinity: Affinity::of(&declared),
            is_decimal: upper.contains("DEC") || upper.contains("NUMERIC") || upper.contains("MONEY"),
            in_key: row.try_get("pk")?,
        });
    }
    Ok(columns)
}

impl Name {
    /// A name in quotes, where the database does not take it without.
    async fn of(pool: &SqlitePool, plain: String) -> Result<Self, SchemaError> {
        let quoted = format!("\"{}\"", plain.replace('"', "\"\""));
        let first = |each: char| each.is_ascii_lowercase() || each == '_';
        let is_word =
            plain.starts_with(first) && plain.chars().all(|each| first(each) || each.is_ascii_digit());
        // Its keywords are known to the database alone. A word of letters, digits and `_` can do nothing else there.
        let is_taken = is_word && {
            let asked = format!("select {plain} from (select 7 as {plain}) {plain}");
            let told = sqlx::query_scalar::<_, i64>(AssertSqlSafe(asked)).fetch_one(pool).await;
            matches!(told, Ok(7))
        };
        let in_sql = if is_taken { plain.clone() } else { quoted };
        Ok(Self { plain, in_sql })
    }
}

//! The schema of a SQLite database.

use forebay_stores::database::{Database, DatabaseOptions};
use sqlx::sqlite::SqlitePool;
use sqlx::{AssertSqlSafe, Row as _};

use super::{COLUMNS_MAX, Column, Name, Part, SchemaError, TABLES_MAX, Table};

/// What SQLite makes of values of a column, by its rules for declared types (<https://sqlite.org/datatype3.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Affinity {
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

    fn part(self) -> Option<Part> {
        match self {
            Self::Integer => Some(Part::Integer),
            Self::Text | Self::Numeric => Some(Part::Text),
            Self::Blob | Self::Real => None,
        }
    }
}

/// The tables of the database at `path`, by their names; those of SQLite and of migrations left out.
pub(in crate::init) async fn read(path: &str) -> Result<Vec<Table>, SchemaError> {
    let options = DatabaseOptions { create: false, ..DatabaseOptions::sqlite(path, 1) };
    let database = Database::open_to_read(&options).await?;
    let pool = database.sqlite()?;
    let named = sqlx::query(
        "select name from sqlite_schema where type = 'table' and name not like 'sqlite\\_%' escape '\\' \
         and name not like '\\_%' escape '\\' order by name limit ?",
    );
    let mut tables = Vec::new();
    for row in named.bind(i64::try_from(TABLES_MAX).unwrap_or(i64::MAX)).fetch_all(pool).await? {
        let name: String = row.try_get("name")?;
        let columns = columns(pool, &name).await?;
        tables.push(Table { name: self::name(pool, name).await, columns });
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
            name: name(pool, row.try_get("name")?).await,
            part: Affinity::of(&declared).part(),
            is_decimal: upper.contains("DEC") || upper.contains("NUMERIC") || upper.contains("MONEY"),
            in_key: row.try_get("pk")?,
        });
    }
    Ok(columns)
}

/// A name in quotes, where the database does not take it without.
async fn name(pool: &SqlitePool, plain: String) -> Name {
    let quoted = format!("\"{}\"", plain.replace('"', "\"\""));
    let first = |each: char| each.is_ascii_lowercase() || each == '_';
    let is_word = plain.starts_with(first) && plain.chars().all(|each| first(each) || each.is_ascii_digit());
    // Its keywords are known to the database alone. A word of letters, digits and `_` can do nothing else there.
    let is_taken = is_word && {
        let asked = format!("select {plain} from (select 7 as {plain}) {plain}");
        let told = sqlx::query_scalar::<_, i64>(AssertSqlSafe(asked)).fetch_one(pool).await;
        matches!(told, Ok(7))
    };
    let in_sql = if is_taken { plain.clone() } else { quoted };
    Name { plain, in_sql }
}

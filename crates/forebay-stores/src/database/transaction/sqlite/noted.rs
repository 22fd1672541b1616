//! The triggers that note which rows of a table change, and what they have noted.

use std::fmt::Write as _;
use std::sync::Arc;

use forebay::feed::{Changed, Columns, Watched};
use forebay::value::Param;
use sqlx::sqlite::SqliteConnection;

use crate::database::quoted;
use crate::database::transaction::ROWS_MAX;

/// Where they note it.
const MADE: &str =
    "create temp table forebay_changes (id integer primary key, place integer, old text, new text);
create temp table forebay_tables (place integer primary key, adds integer);\n";
/// The tables called as one of the names, with their columns.
const TABLES: &str = "select watched.key, tables.name, columns.name from json_each(?1) watched
    join main.sqlite_schema tables on tables.type = 'table' and lower(tables.name) = lower(watched.value)
        and lower(tables.sql) not like 'create virtual%'
    join pragma_table_xinfo(tables.name, 'main') columns";

/// A table whose changed rows are noted.
#[derive(Debug)]
pub(super) struct Noted {
    /// Its place among the watched.
    place: usize,
    /// Its name in the file, and that by which it is watched.
    name: String,
    pub(super) table: Arc<str>,
    /// The columns that it has, as they are watched.
    columns: Vec<Arc<str>>,
}

/// The tables of `watched` that triggers can be on.
pub(super) async fn of(
    connection: &mut SqliteConnection,
    watched: &[Watched],
) -> Result<Vec<Noted>, sqlx::Error> {
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

/// What makes the triggers of `noted`, and where they note: the rows with what they were and what they are, and of each table whether rows came to it.
pub(super) fn triggers(noted: &[Noted]) -> String {
    noted.iter().fold(MADE.to_owned(), |made, noted| made + &noted.triggers())
}

impl Noted {
    pub(super) fn is_at(&self, place: i64) -> bool {
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

    pub(super) fn change(&self, old: Option<&str>, new: Option<&str>) -> Changed {
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

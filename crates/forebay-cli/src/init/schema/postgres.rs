//! The schema of a PostgreSQL database.

use forebay_stores::database::{Database, DatabaseOptions, Url};
use sqlx::Row as _;

use super::{COLUMNS_MAX, Column, Name, Part, SchemaError, TABLES_MAX, Table};

/// Every column of the tables that may be read in the schemas `$1`, or the one that names without a schema mean; of partitioned tables those
/// of the whole. Domains count as what they are made of.
const COLUMNS: &str = r"
select n.nspname::text as schema, n.nspname = current_schema() as is_current, c.relname::text as name,
    quote_ident(n.nspname) as schema_in_sql, quote_ident(c.relname) as name_in_sql,
    a.attname::text as column_name, quote_ident(a.attname) as column_in_sql,
    coalesce(b.typname, t.typname)::text as type,
    coalesce((select k.place from pg_index i, unnest(i.indkey) with ordinality as k(attnum, place)
        where i.indrelid = c.oid and i.indisprimary and k.attnum = a.attnum), 0) as in_key
from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    join pg_type t on t.oid = a.atttypid
    left join pg_type b on b.oid = t.typbasetype
where c.relkind in ('r', 'p') and not c.relispartition and c.relname not like '\_%'
    and has_table_privilege(c.oid, 'select')
    and case when cardinality($1::text[]) = 0 then n.nspname = current_schema() else n.nspname = any($1) end
order by n.nspname, c.relname, a.attnum";

/// The tables of the `schemas` of the database at `url`, or of the one that names without a schema mean, by their names; those of
/// migrations left out.
pub(in crate::init) async fn read(url: Url, schemas: &[String]) -> Result<Vec<Table>, SchemaError> {
    let database = Database::open_to_read(&DatabaseOptions::postgres(url, 1)).await?;
    let rows = sqlx::query(COLUMNS).bind(schemas).fetch_all(database.postgres()?).await?;
    let mut tables: Vec<Table> = Vec::new();
    for row in rows {
        let (schema, name): (String, String) = (row.try_get("schema")?, row.try_get("name")?);
        let (schema_in_sql, in_sql): (String, String) =
            (row.try_get("schema_in_sql")?, row.try_get("name_in_sql")?);
        let name = if row.try_get("is_current")? {
            Name { plain: name, in_sql }
        } else {
            Name { plain: format!("{schema}.{name}"), in_sql: format!("{schema_in_sql}.{in_sql}") }
        };
        if tables.last().is_none_or(|last| last.name != name) {
            if tables.len() == TABLES_MAX {
                break;
            }
            tables.push(Table { name, columns: Vec::new() });
        }
        let Some(table) = tables.last_mut().filter(|table| table.columns.len() < COLUMNS_MAX) else {
            continue;
        };
        table.columns.push(Column {
            name: Name { plain: row.try_get("column_name")?, in_sql: row.try_get("column_in_sql")? },
            part: part(row.try_get("type")?),
            is_decimal: false,
            in_key: row.try_get("in_key")?,
        });
    }
    if tables.is_empty() {
        let named = if schemas.is_empty() { "of its own".into() } else { schemas.join(", ") };
        return Err(SchemaError::Nothing(named));
    }
    Ok(tables)
}

/// What a column of a type is in a key. Types whose values are found under another spelling than that which is read are no part of one.
fn part(type_name: &str) -> Option<Part> {
    match type_name {
        "int2" | "int4" | "int8" => Some(Part::Integer),
        "text" | "varchar" => Some(Part::Text),
        "uuid" => Some(Part::Uuid),
        _ => None,
    }
}

//! A value as the row that a statement writes: its members by name, as JSON text, so that no digit is lost.

use std::collections::HashMap;

use forebay::value::{Param, Value};
use serde_json::value::RawValue;

use super::statement::Column;
use crate::source::sql::KeyColumn;

/// Why a write cannot be a row: it is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The value is of another kind, or not text of JSON.
    #[error("the value is no JSON object: a SQL sink writes its members to columns")]
    NotAnObject,
    /// The statement names a column that the value does not have.
    #[error(
        "the value has no member `{column}`, which the statement writes: give it, as null where it is to be NULL"
    )]
    NoMember {
        /// The column.
        column: String,
    },
    /// A column of bytes got something else than base64.
    #[error("the member `{column}` goes to a column of bytes and is no text of base64")]
    NotBytes {
        /// The column.
        column: String,
    },
    /// A column cannot hold what goes to it.
    #[error("what is written to the column `{column}` does not fit it: it holds {holds}")]
    WrongType {
        /// The column.
        column: String,
        /// What it holds, in words.
        holds: &'static str,
    },
    /// There is no statement for deletes.
    #[error("the sink declares no `delete`: add the statement that deletes keys")]
    NoDelete,
    /// Only whole values and deletes are written.
    #[error("a SQL sink writes whole values and deletes: a change to fields cannot be written")]
    NotWhole,
}

/// JSON text of each column, in the order of the columns. The parameters of the key stand above members of their names.
pub(super) fn cells<'a>(
    columns: impl Iterator<Item = &'a Column>,
    params: &[KeyColumn],
    key: &[Param],
    value: &Value,
) -> Result<Vec<String>, RowError> {
    let blob = value.as_blob().ok_or(RowError::NotAnObject)?;
    let members: HashMap<String, &RawValue> =
        serde_json::from_slice(blob.as_bytes()).map_err(|_| RowError::NotAnObject)?;
    let cell = |column: &Column| {
        let of_key = params.iter().zip(key).find(|(param, _)| param.name == column.name);
        if let Some((_, param)) = of_key {
            return Ok(json_of(param));
        }
        let member = members.get(&column.name);
        let member = member.ok_or_else(|| RowError::NoMember { column: column.name.clone() })?;
        Ok(member.get().to_owned())
    };
    columns.map(cell).collect()
}

/// A parameter of a key as JSON.
pub(super) fn json_of(param: &Param) -> String {
    match param {
        Param::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
        Param::Integer(number) => number.to_string(),
    }
}

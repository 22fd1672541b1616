//! Many rows in one statement: they are bound as one JSON array of arrays, which the database takes apart.
//!
//! `value ->> 0` is the first cell of a row; a number is `cast(value ->> 0 as bigint)`. The two databases differ in the name of the function alone, so
//! [`of_rows!`](crate::of_rows) makes both statements of one text.

use forebay_stores::database::{Dialect, Statement};
use serde_json::Value;

/// A statement in the words of each database.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// SQLite's.
    pub sqlite: &'static str,
    /// PostgreSQL's.
    pub postgres: &'static str,
}

/// A [`Words`] of the texts before and after the rows that are bound as `$1`.
#[macro_export]
#[doc(hidden)]
macro_rules! of_rows {
    ($before:expr, $after:expr) => {
        $crate::rows::Words {
            sqlite: concat!($before, " json_each($1) ", $after),
            postgres: concat!($before, " json_array_elements(cast($1 as json)) ", $after),
        }
    };
}

impl Words {
    /// The statement in the words of `dialect`.
    #[must_use]
    pub fn statement(self, dialect: Dialect) -> Statement {
        Statement::new(match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
        })
    }

    /// The same with `rows` bound, an array of cells each.
    #[must_use]
    pub fn of(self, dialect: Dialect, rows: Vec<Value>) -> Statement {
        self.statement(dialect).bind(Value::Array(rows).to_string())
    }
}

//! Declared queries, read lightly: enough to bind `{keys}` and `{now}`, to match rows to keys, and to see what a simple query depends
//! on.
//!
//! This is no SQL parser. It knows strings, quoted names, comments and parentheses in the manner of SQLite and PostgreSQL,
//! finds the select list and the `in {keys}`, and says so where it cannot tell; what it cannot tell is seen when the query
//! is prepared against its database.

mod functions;
mod keys;
mod select;
mod tokens;

pub(crate) use keys::{check_keys, check_list};

use super::secrets::Text;

/// A declared query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The query as written, with `{keys}` and `{now}`; shown as `***` where it holds something from outside the declaration.
    pub text: Text,
    /// The columns it gives, in order; nothing where they cannot be told without its database (a star, or a query that is
    /// not a plain `select`).
    pub columns: Option<Vec<String>>,
    /// The tables it reads, each with the columns that its keys are looked up by; nothing where they cannot be told without its
    /// database: subqueries, set operations, functions that give rows, and on a server those that are not its own. A name may be a
    /// view's.
    pub reads: Option<Vec<Lookup>>,
}

/// A table that a query reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The table.
    pub table: String,
    /// The columns that carry the key's parameters, in their order; none where any of its rows may concern any key.
    pub columns: Vec<String>,
}

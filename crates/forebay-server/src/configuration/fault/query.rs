//! Faults of declared queries.

use super::{Advice, advice};

#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryFault {
    #[error("the query has no `{{keys}}`, so it does not know which rows are asked for")]
    NoKeys { mend: String },
    #[error("`{{keys}}` stands inside a string, where nothing is bound")]
    KeysInString { mend: String },
    #[error("`{{now}}` stands inside a string, where nothing is bound")]
    NowInString,
    #[error("`{{keys}}` must stand right after `in`")]
    KeysNotAfterIn { mend: String },
    #[error("`not in {{keys}}` asks for all other rows")]
    NotIn,
    #[error("`{{keys}}` brings its own parentheses")]
    KeysInParentheses,
    #[error("`{{{name}}}` is not bound in a query")]
    UnknownPlaceholder { name: String, mend: String },
    #[error("`{{keys}}` brings {wanted} values a row, but there is room for {given} before `in`")]
    Arity { given: usize, wanted: usize, tuple: String },
    #[error("the key has no parameters, so `{{keys}}` brings nothing")]
    KeysOfNothing,
    #[error("the columns before `in` stand in another order than the key's parameters")]
    Order { tuple: String },
    #[error("the query does not select `{column}`, so its rows cannot be matched to keys")]
    ColumnMissing { column: String, mend: String },
    #[error("`decimals` names `{column}`, which the query does not select")]
    DecimalMissing { column: String },
    #[error("`version` names `{column}`, which the query does not select")]
    VersionMissing { column: String },
    #[error("`{option}` names `{column}`, which the query does not select")]
    ShapeMissing { option: &'static str, column: String },
    #[error("`{word}` cuts what all keys of a batch have together, not what each has")]
    Cut { word: String },
    #[error("nothing is bound in a query that gives the keys themselves")]
    BoundInList,
    #[error("`{word}` cuts the keys short, and those that it leaves out would not exist")]
    ListCut { word: String },
    #[error("the key has no parameters: there is one key, and nothing to list")]
    NothingToList,
    #[error("a source reads: its query must be a `select`")]
    NotASelect,
    #[error("a query is one statement")]
    SeveralStatements,
    #[error("this is opened and never closed")]
    Unclosed,
    #[error("`{statement}` must contain `{placeholder}`")]
    NoPlaceholder { statement: &'static str, placeholder: &'static str, mend: &'static str },
}

impl QueryFault {
    fn advice(&self) -> Advice {
        match self {
            Self::NoKeys { mend } => advice("no `{keys}` in it", mend),
            Self::KeysInString { mend } => advice("inside a string", mend),
            Self::NowInString => {
                advice("inside a string", "write `{now}` without quotes: it is text already")
            }
            Self::KeysNotAfterIn { mend } => advice("not after `in`", mend),
            Self::Cut { .. } => advice(
                "for all keys at once",
                "leave it out, and bound each key: by `row_number() over (partition by …)` in a subquery, or by `rows_max`",
            ),
            Self::NotIn => advice("leave `not` out", "select the rows of the keys: `… in {keys}`"),
            Self::KeysInParentheses => advice("in parentheses", "write `in {keys}`"),
            Self::UnknownPlaceholder { mend, .. } => advice("not bound", mend),
            Self::Arity { tuple, .. } => advice("another number", format!("write `{tuple} in {{keys}}`")),
            Self::KeysOfNothing => {
                advice("nothing to bind", "leave the condition out: the query gives the one value")
            }
            Self::Order { tuple } => advice("another order", format!("write `{tuple} in {{keys}}`")),
            Self::ColumnMissing { mend, .. } => advice("not selected", mend),
            Self::DecimalMissing { .. } | Self::VersionMissing { .. } | Self::ShapeMissing { .. } => {
                advice("not selected", "add it to the columns of the query, or correct the name")
            }
            Self::BoundInList => {
                advice("not bound", "leave the condition out: select the parameters of every key that exists")
            }
            Self::ListCut { .. } => {
                advice("cut short", "leave it out: the listing is read in pages by itself")
            }
            Self::NothingToList => advice("nothing to list", "leave it out"),
            Self::NotASelect => advice(
                "not a select",
                "write `select …` (or `with … select …`); what changes data belongs in `sink.sql` or in a transaction",
            ),
            Self::SeveralStatements => advice("another one begins", "keep the first one alone"),
            Self::Unclosed => advice("opened here", "close it"),
            Self::NoPlaceholder { mend, .. } => advice("missing in it", *mend),
        }
    }
}

super::fault_by_advice!(QueryFault);

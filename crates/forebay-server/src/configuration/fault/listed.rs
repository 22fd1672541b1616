//! Faults of what lives on the source's own list of keys: warming, and the membership filter.

use super::{Advice, advice};

#[derive(Debug, thiserror::Error)]
pub(crate) enum ListedFault {
    #[error("`warm` asks for all keys, and nothing lists them")]
    WarmAll,
    #[error("`warm.query` is asked of the database of `source.sql`, and there is none")]
    WarmQuery,
    #[error("a key exists where either source has it: what one lists is not all")]
    Merged,
    #[error("`membership` needs a listing of all keys that exist")]
    Unlisted,
    #[error("nobody would tell `membership` of new rows: the database has no feed")]
    Untold,
    #[error("it cannot be told which tables its rows come from, so that every commit might add a key")]
    UnknownRows,
    #[error(
        "`sole_writer` says that nobody else adds rows, and the sink of `{namespace}` writes to `{table}`"
    )]
    OtherWriter { namespace: String, table: String },
}

impl ListedFault {
    fn advice(&self) -> Advice {
        match self {
            Self::WarmAll => advice("not listed", "declare `source.sql.list`, or give a `query` to `warm`"),
            Self::WarmQuery => advice("no database", "list values of a parameter, or say `hottest = N`"),
            Self::Merged => advice("not all", "leave it out, or load by the query alone"),
            Self::Unlisted => advice(
                "not listed",
                "declare `source.sql.list`: `list = \"select … from …\"` gives the parameters of every key",
            ),
            Self::Untold => advice(
                "who tells of new rows?",
                "say `sole_writer = true` where the app's own transactions are all that ever adds a row, else leave `membership` out",
            ),
            Self::UnknownRows => advice(
                "rows of any table",
                "declare `depends_on`: the tables, each with the columns that carry the key",
            ),
            Self::OtherWriter { .. } => advice(
                "another writer",
                "write those rows in transactions of the app, or leave `membership` out",
            ),
        }
    }
}

super::fault_by_advice!(ListedFault);

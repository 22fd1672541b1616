//! Faults of what a value is said to be made of.

use super::{Advice, advice};

#[derive(Debug, thiserror::Error)]
pub(crate) enum RowsFault {
    #[error("`field` belongs to a hash")]
    FieldWithoutHash,
    #[error("`fields` belongs to a hash")]
    FieldsWithoutHash,
    #[error("`fields` needs `field`: without it one row is the whole hash")]
    FieldsWithoutField,
    #[error("`{option}` belongs to `kind = \"{kind}\"`")]
    OfAnotherKind { option: &'static str, kind: &'static str },
    #[error("`rows_max` belongs to a key of many rows")]
    RowsOfOne,
    #[error("many rows are an array, which nothing can be merged with")]
    ManyMerged,
    #[error("`fresh_until` names a column of rows, and a request gives none")]
    FreshUntilWithoutRows,
    #[error("a source gives no counters")]
    CounterWithSource,
    #[error("a request gives blobs, not a {kind}")]
    KindOfRequest { kind: &'static str },
}

impl RowsFault {
    fn advice(&self) -> Advice {
        match self {
            Self::FieldWithoutHash | Self::FieldsWithoutHash => {
                advice("not a hash", "write `kind = \"hash\"`, or leave it out")
            }
            Self::FieldsWithoutField => advice(
                "no `field`",
                "say how fields are named, like `field = \"{order_no}\"`, or leave it out",
            ),
            Self::OfAnotherKind { option, kind } => {
                advice("of another kind", format!("leave `{option}` out, or write `kind = \"{kind}\"`"))
            }
            Self::RowsOfOne => advice("one row", "leave `rows_max` out, or write `rows = \"many\"`"),
            Self::ManyMerged => advice("an array", "leave `rows` out, or keep one of the sources"),
            Self::FreshUntilWithoutRows => advice(
                "no rows",
                "leave it out, and write `cache_control = true` if the answers say how long they are fresh",
            ),
            Self::CounterWithSource => {
                advice("a counter", "leave `kind` out: a number is a blob, or leave the source out")
            }
            Self::KindOfRequest { .. } => {
                advice("a request", "load it by `source.sql` alone, or leave `kind` out")
            }
        }
    }
}

super::fault_by_advice!(RowsFault);

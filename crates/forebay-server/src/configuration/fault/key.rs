//! Faults of key patterns and of what uses their parameters.

use super::{Advice, advice};

#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFault {
    #[error("the keys of `{one}` and `{other}` overlap: both match `{witness}`")]
    Overlap { one: String, other: String, witness: String },
    #[error("`{name}` is a parameter of the key and of the field")]
    SharedParameter { name: String },
    #[error("the key has no parameter `{name}`")]
    UnknownWarmParameter { name: String, parameters: String },
    #[error("`warm` lists values for {given}, but the key needs {wanted}")]
    WarmIncomplete { given: String, wanted: String },
    #[error("no key has \"{value}\" for `{name}`: {why}")]
    WarmValue { name: String, value: String, why: String },
    #[error("the lists of `warm` make {count} keys, at most {most} are loaded")]
    WarmTooMany { count: String, most: u64 },
    #[error("`{{{name}}}` is neither a parameter of the key nor a column of the query")]
    UnknownTagParameter { name: String },
    #[error("`depends_on` gives {given} of the columns of `{table}` for a key of {parameters}")]
    DependencyColumns { table: String, given: usize, parameters: String },
    #[error("aliases need a key of one parameter; this one has {count}")]
    AliasArity { count: usize },
    #[error("the alias `{name}` is the key's own parameter")]
    AliasIsParameter { name: String },
    #[error("the url uses `{{{name}}}`, which the key does not have")]
    UnknownUrlParameter { name: String, parameters: String },
}

impl KeyFault {
    fn advice(&self) -> Advice {
        match self {
            Self::Overlap { .. } => advice(
                "also matches it",
                "give one of them a literal beginning of its own: every key must belong to one namespace",
            ),
            Self::SharedParameter { .. } => {
                advice("named in the key already", "give the field's parameter another name")
            }
            Self::UnknownWarmParameter { parameters, .. } => advice(
                "not a parameter",
                format!("the key has {parameters}; `hottest = N` takes the keys most read"),
            ),
            Self::WarmIncomplete { wanted, .. } => advice(
                "not enough to make keys",
                format!("list values for {wanted}: every combination is loaded"),
            ),
            Self::WarmValue { .. } => advice("never a key", "write it as keys have it, or leave it out"),
            Self::WarmTooMany { .. } => advice(
                "too many",
                "shorten the lists: every combination is loaded; `hottest = N` takes the keys most read",
            ),
            Self::UnknownTagParameter { .. } => {
                advice("unknown", "use a parameter of the key, or select the column in `source.sql.query`")
            }
            Self::DependencyColumns { parameters, .. } => advice(
                "another number of columns",
                format!(
                    "name the columns that carry {parameters} in this order, or `[]` for any change of the table"
                ),
            ),
            Self::AliasArity { .. } => advice("here", "leave `aliases` out, or make the key one parameter"),
            Self::AliasIsParameter { .. } => advice("not another name", "name the other column, like `slug`"),
            Self::UnknownUrlParameter { parameters, .. } => {
                advice("unknown", format!("the key has {parameters}"))
            }
        }
    }
}

super::fault_by_advice!(KeyFault);

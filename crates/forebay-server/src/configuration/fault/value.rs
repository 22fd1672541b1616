//! Faults of a single option, seen without the others.

use super::{Advice, advice};

#[derive(Debug, thiserror::Error)]
pub(crate) enum ValueFault {
    #[error("this is not TOML: {message}")]
    Syntax { message: String },
    #[error("there is no option `{name}` {place}")]
    UnknownOption { name: String, place: String, mend: String },
    #[error("`{name}` must be {wanted}, not {found}")]
    WrongType { name: String, wanted: String, found: &'static str, mend: String },
    #[error("`{name}` must be {choices}")]
    NotAChoice { name: String, choices: String, mend: String },
    #[error("`{name}` must be between {min} and {max}")]
    OutOfRange { name: String, min: String, max: String },
    #[error("`{name}` of zero would hold nothing")]
    Zero { name: String },
    #[error("`{name}` must be given {place}")]
    Missing { name: &'static str, place: String, mend: &'static str },
    #[error("{what} cannot be called this")]
    BadName { what: String },
    #[error("the namespace `{name}` is there already: it has every key that no declared namespace has")]
    ReservedName { name: &'static str },
    #[error("`{name}` must not be empty")]
    EmptyText { name: String },
    #[error("a {what} is shown wherever it is used, so it cannot hold a secret")]
    SecretInName { what: &'static str },
    #[error("`{name}` is shown at every start, so it cannot come from a secret file or a ciphertext")]
    SealedInTheOpen { name: String },
    #[error("`{name}` is not an address and a port")]
    BadAddress { name: String },
    #[error("`http` and `resp` cannot share one port")]
    SamePort,
    #[error("durability is `\"always\"`, `\"none\"` or `\"interval DURATION\"`")]
    BadDurability,
}

impl ValueFault {
    fn advice(&self) -> Advice {
        match self {
            Self::Syntax { message } if message.contains("duplicate") => {
                advice("here again", "say each option and each table once")
            }
            Self::Syntax { .. } => {
                advice("here", "correct the TOML; strings need quotes, tables stand in `[brackets]`")
            }
            Self::UnknownOption { mend, .. } => advice("not an option here", mend),
            Self::WrongType { found, mend, .. } => advice(format!("this is {found}"), mend),
            Self::NotAChoice { mend, .. } => advice("not one of them", mend),
            Self::OutOfRange { min, max, .. } => {
                advice("out of range", format!("write a value from {min} to {max}"))
            }
            Self::Zero { .. } => advice(
                "zero",
                "write how long a value is fresh, like \"3s\"; what must not be kept needs no namespace",
            ),
            Self::Missing { mend, .. } => advice("missing here", *mend),
            Self::BadName { .. } => advice(
                "not a name",
                "use 1 to 64 letters, digits, `_`, `-` or `.`, beginning with a letter, a digit or `_`",
            ),
            Self::ReservedName { .. } => advice("taken", "give the namespace another name"),
            Self::EmptyText { .. } => advice("empty", "write it, or leave the option out"),
            Self::SecretInName { .. } => advice("held here", "write it out without `${…}`"),
            Self::SealedInTheOpen { .. } => {
                advice("held here", "write it out, or take it from a variable: `${NAME}`")
            }
            Self::BadAddress { .. } => {
                advice("not an address", "write address and port, like \"127.0.0.1:8080\" or \"[::1]:8080\"")
            }
            Self::SamePort => {
                advice("the same as `http`", "give `resp` a port of its own, like \"127.0.0.1:6380\"")
            }
            Self::BadDurability => {
                advice("neither", "write `durability = \"interval 1s\"`, or leave it out for that")
            }
        }
    }
}

super::fault_by_advice!(ValueFault);

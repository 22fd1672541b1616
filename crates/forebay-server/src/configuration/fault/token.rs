//! Faults of tokens, and of what may not be without them.

use super::{Advice, advice};

#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenFault {
    #[error("`{name}` would listen beyond this machine, and there are no tokens")]
    Exposed { name: &'static str },
    #[error("this is no hash of a token")]
    BadHash,
    #[error("a token may `read`, `write` or `admin`")]
    UnknownRight,
    #[error("`may` is empty, so the token would allow nothing")]
    NoRight,
    #[error("`write` without `read`: many commands that write answer what was there before")]
    WriteAlone,
    #[error("`admin` is everything, so it cannot be kept to some keyspaces or namespaces")]
    AdminOfSome,
    #[error("`namespaces` is empty, so the token would be for nothing")]
    NoNamespaces,
    #[error("there is no keyspace `{name}`")]
    UnknownKeyspace { name: String, mend: String },
    #[error("there is no namespace `{name}`{place}")]
    UnknownNamespace { name: String, place: String, mend: String },
    #[error("the token `{name}` is declared twice")]
    Taken { name: String },
    #[error("the token `{name}` is the same as `{other}`, so nobody could tell whose rights it has")]
    Same { name: String, other: String },
}

impl TokenFault {
    fn advice(&self) -> Advice {
        match self {
            Self::Exposed { .. } => advice(
                "not a loopback address",
                "declare who may come: `forebay token new` makes a token and its lines; or write \"127.0.0.1:PORT\"",
            ),
            Self::BadHash => {
                advice("not a hash", "write what `forebay token new` prints: `sha256:` and 64 digits")
            }
            Self::UnknownRight => advice(
                "no right",
                "write `may = [\"read\"]`, `may = [\"read\", \"write\"]` or `may = [\"admin\"]`",
            ),
            Self::NoRight => advice("empty", "write `may = [\"read\"]`"),
            Self::WriteAlone => advice("no `read`", "write `may = [\"read\", \"write\"]`"),
            Self::AdminOfSome => {
                advice("not with `admin`", "leave it out, or write `may = [\"read\", \"write\"]`")
            }
            Self::NoNamespaces => advice("empty", "name one, or leave it out for all"),
            Self::UnknownKeyspace { mend, .. } | Self::UnknownNamespace { mend, .. } => {
                advice("not declared", mend)
            }
            Self::Taken { .. } => advice("the same name", "rename one of them"),
            Self::Same { .. } => {
                advice("the same token", "make one of its own for each: `forebay token new`")
            }
        }
    }
}

super::fault_by_advice!(TokenFault);

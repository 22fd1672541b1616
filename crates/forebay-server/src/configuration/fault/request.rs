//! Faults of requests.

use super::{Advice, advice};

#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestFault {
    #[error("{what}")]
    Url { what: String, mend: &'static str },
    #[error("the url has no `{{keys}}`, so every key has a request of its own: `keys` has no meaning")]
    KeysWithoutPlace,
    #[error("a write goes to the url of its one key")]
    ManyInSink,
    #[error("{what}")]
    Header { what: String },
    #[error("this is no JSON pointer")]
    Pointer,
    #[error("this is no status that an answer can have")]
    Status,
    #[error("this is neither an address nor a network")]
    Network,
    #[error("a probe asks for a path")]
    HealthPath,
}

impl RequestFault {
    fn advice(&self) -> Advice {
        match self {
            Self::Url { mend, .. } => advice("here", *mend),
            Self::KeysWithoutPlace => advice(
                "no `{keys}`",
                "write the url with `{keys}`, like `?codes={keys}`, or leave `keys` out",
            ),
            Self::ManyInSink => advice(
                "for many keys",
                "name the key's parameters, like `https://HOST/users/{id}`, in place of `{keys}`",
            ),
            Self::Header { .. } => advice("cannot be sent", "leave it out, or write another name or value"),
            Self::Pointer => {
                advice("not a pointer", "write one like \"/data/price\", with `~1` for a `/` in a name")
            }
            Self::Status => advice("not a status", "write one like \"410\""),
            Self::Network => advice("not a network", "write one like \"10.1.0.0/16\" or \"fd00::/8\""),
            Self::HealthPath => advice("not a path", "write one like \"/health\""),
        }
    }
}

super::fault_by_advice!(RequestFault);

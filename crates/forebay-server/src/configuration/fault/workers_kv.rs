//! Faults of what Workers KV could not hold, in a namespace that is to refuse it.

use super::{Advice, advice};

#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkersKvFault {
    #[error("a value can end after {least}, and Workers KV keeps none for less than 60s")]
    ShortLife { least: String },
    #[error("Workers KV holds values of bytes alone")]
    OtherKind,
}

impl WorkersKvFault {
    fn advice(&self) -> Advice {
        match self {
            Self::ShortLife { .. } => advice(
                "too short",
                "write a `ttl` of at least 60s (what `jitter` takes away not counted), or leave `workers_kv_limits` out",
            ),
            Self::OtherKind => {
                advice("not bytes", "write `kind = \"blob\"`, or leave `workers_kv_limits` out")
            }
        }
    }
}

super::fault_by_advice!(WorkersKvFault);

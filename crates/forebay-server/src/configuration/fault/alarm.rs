//! Faults of alarms: of what they watch.

use super::{Advice, advice};

#[derive(Debug, thiserror::Error)]
pub(crate) enum AlarmFault {
    #[error("the alarm watches nothing")]
    NothingWatched,
    #[error("the alarm names a namespace and no bounds of it")]
    NoBounds,
    #[error("`{option}` is of a namespace, and none is named")]
    BoundsOfNothing { option: &'static str },
    #[error("there is no `[namespace.{name}]`")]
    UnknownNamespace { name: String, mend: String },
    #[error(
        "`[namespace.{name}]` has no source: nothing of it is a hit or a miss, and nobody waits for a load"
    )]
    NoSource { name: String },
    #[error("`/health/ready` tells of no trouble `{word}`")]
    UnknownTrouble { word: String, mend: String },
}

impl AlarmFault {
    fn advice(&self) -> Advice {
        match self {
            Self::NothingWatched => advice(
                "nothing to watch",
                "say `namespace` with `hit_rate_min = \"80 %\"` or `latency_max = \"50ms\"`, or `troubles = [\"database_unreachable\"]`",
            ),
            Self::NoBounds => {
                advice("bounds of it?", "add `hit_rate_min = \"80 %\"` or `latency_max = \"50ms\"`")
            }
            Self::BoundsOfNothing { .. } => advice("of what?", "add `namespace = \"NAME\"`"),
            Self::UnknownNamespace { mend, .. } => advice("not declared", mend),
            Self::NoSource { .. } => advice("no source", "name a namespace that loads"),
            Self::UnknownTrouble { mend, .. } => advice("no such trouble", mend),
        }
    }
}

super::fault_by_advice!(AlarmFault);

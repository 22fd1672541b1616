//! Faults of what namespaces take of the memory tier.

use super::{Advice, advice};

#[derive(Debug, thiserror::Error)]
pub(crate) enum MemoryFault {
    #[error("`budget` and `share` say the same thing twice")]
    BudgetAndShare,
    #[error("its own budget of {own} is more than all of `[memory] budget`, {all}")]
    BudgetOverAll { own: String, all: String },
    #[error("the namespaces' own budgets are together {own} of `[memory] budget`, {all}")]
    BudgetsOverAll { own: String, all: String },
    #[error(
        "the namespaces' own budgets are together {own} of `[memory] budget`, {all}, and leave the others less than {least}"
    )]
    BudgetsLeaveNothing { own: String, all: String, least: String },
    #[error("a share of {share} % of `[memory] budget`, {all}, is {own}, which is too small to work with")]
    ShareTooSmall { share: u8, own: String, all: String },
    #[error("the common budget evicts by S3-FIFO: `policy = \"{policy}\"` needs a budget of its own")]
    PolicyWithoutBudget { policy: &'static str },
}

impl MemoryFault {
    fn advice(&self) -> Advice {
        match self {
            Self::BudgetAndShare => advice("said twice", "keep one of them"),
            Self::BudgetOverAll { all, .. } | Self::BudgetsOverAll { all, .. } => {
                advice("too much", format!("write less than {all}, or raise `[memory] budget`"))
            }
            Self::BudgetsLeaveNothing { least, .. } => advice(
                "too much",
                format!("leave at least {least} to share: write less here, or raise `[memory] budget`"),
            ),
            Self::ShareTooSmall { .. } => {
                advice("too small", "write a share that is at least 64 KiB, or raise `[memory] budget`")
            }
            Self::PolicyWithoutBudget { .. } => advice(
                "of the common budget",
                "say its own `share = \"10 %\"` or `budget = \"16 MiB\"` beside it, or leave `policy` out",
            ),
        }
    }
}

super::fault_by_advice!(MemoryFault);

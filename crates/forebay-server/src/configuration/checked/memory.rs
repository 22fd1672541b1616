//! `[namespace.NAME.memory]`: a namespace's part of the memory tier.

use std::time::Duration;

use super::super::fault::MemoryFault;
use super::super::raw::Table;
use super::super::report::Findings;
use super::super::units::show_size;

/// A namespace's part of the memory tier.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct NamespaceMemory {
    /// Which values make room for others. Default: S3-FIFO.
    pub policy: EvictionPolicy,
    /// Where its bytes come from. Default: the common budget.
    pub budget: Budget,
    /// How long a value is answered from memory before the next tier is asked; nothing: its TTL, or, in a store on a shared
    /// tier, not at all.
    pub max_age: Option<Duration>,
}

/// Which values make room for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EvictionPolicy {
    /// Three queues (Yang et al., SOSP 2023).
    #[default]
    S3Fifo,
    /// The least recently used goes.
    Lru,
    /// The least frequently used goes.
    Lfu,
}

/// Where a namespace's bytes in memory come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Budget {
    /// The common budget.
    #[default]
    Common,
    /// So many bytes of its own.
    Bytes(u64),
    /// So many hundredths of `[memory] budget`, 1 to 100.
    Share(u8),
}

impl Budget {
    /// Its bytes, of a memory tier of `all_bytes`; nothing for the common budget.
    #[must_use]
    pub fn bytes(self, all_bytes: u64) -> Option<u64> {
        match self {
            Self::Common => None,
            Self::Bytes(bytes) => Some(bytes),
            Self::Share(share) => u64::try_from(u128::from(all_bytes) * u128::from(share) / 100).ok(),
        }
    }
}

/// The least that a namespace can have for itself, in bytes: the engine's own limit.
pub(crate) const OWN_BYTES_MIN: u64 = 64 << 10;
/// The least that must be left to share, in bytes: the engine's own limit.
pub(crate) const COMMON_BYTES_MIN: u64 = 1 << 20;

/// `all_bytes`: the budget of the whole tier, if the file says it.
pub(super) fn memory(
    table: Option<&Table>,
    all_bytes: Option<u64>,
    findings: &mut Findings,
) -> NamespaceMemory {
    let Some(table) = table else { return NamespaceMemory::default() };
    let (bytes, share) = (table.size("budget"), table.percent("share"));
    if table.has("budget") && table.has("share") {
        findings.add_with(
            table.key_span("share"),
            MemoryFault::BudgetAndShare,
            table.key_span("budget"),
            "and here",
        );
    }
    if let (Some(own), Some(all)) = (bytes, all_bytes)
        && own > all
    {
        let fault = MemoryFault::BudgetOverAll { own: show_size(own), all: show_size(all) };
        findings.add(table.span("budget"), fault);
    }
    if let Some(policy) = table.choice("policy").filter(|policy| *policy != "s3-fifo")
        && !table.has("budget")
        && !table.has("share")
    {
        findings.add(table.span("policy"), MemoryFault::PolicyWithoutBudget { policy });
    }
    NamespaceMemory {
        policy: match table.choice("policy") {
            Some("lru") => EvictionPolicy::Lru,
            Some("lfu") => EvictionPolicy::Lfu,
            _ => EvictionPolicy::S3Fifo,
        },
        budget: match (bytes, share) {
            (Some(bytes), _) => Budget::Bytes(bytes),
            (None, Some(share)) => Budget::Share(share),
            (None, None) => Budget::Common,
        },
        max_age: table.duration("max_age"),
    }
}

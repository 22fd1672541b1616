//! What one namespace is made of, shared by its handles and its loads.

use std::sync::Arc;

use super::load::Departure;
use crate::loader::{Flights, Queue};
use crate::namespace::Policy;
use crate::namespace::pattern::Pattern;
use crate::observe::Counters;
use crate::rt::{Clock, Tasks};
use crate::source::Source;
use crate::tier::memory::MemoryTier;

/// One namespace, untyped.
pub(super) struct Core {
    pub(super) name: Arc<str>,
    /// Tells its entries from those of other namespaces in the same memory.
    pub(super) id: u32,
    pub(super) pattern: Pattern,
    pub(super) policy: Policy,
    pub(super) source: Option<Arc<dyn Source>>,
    pub(super) memory: Arc<MemoryTier>,
    pub(super) flights: Arc<Flights>,
    pub(super) queue: Arc<Queue<Departure>>,
    pub(super) counters: Counters,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Namespace").field("name", &self.name).field("key", &self.pattern.to_string()).finish()
    }
}

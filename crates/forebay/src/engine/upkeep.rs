//! What runs in the background as long as an engine lives: entries that are of no use leave memory, and so do those of namespaces that
//! are no more.
//!
//! Upkeep holds no engine: it ends when the last handle is dropped. It does nothing that a read relies on; expiry is decided
//! by readers, to the millisecond.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::common::Common;

/// How often memory is swept.
const SWEEP_EVERY: Duration = Duration::from_millis(100);
/// How many entries one sweep looks at, at most.
const SWEEP_ENTRIES: usize = 32_768;

/// Starts the upkeep of an engine. Under the model checker, which waits for every task to end, there is none.
pub(super) fn start(common: &Arc<Common>) {
    if cfg!(feature = "model") {
        return;
    }
    let clock = common.clock.clone();
    let engine = Arc::downgrade(common);
    common.upkeep.spawn(async move {
        loop {
            clock.sleep(SWEEP_EVERY).await;
            let Some(common) = Weak::upgrade(&engine) else { return };
            let now = common.clock.now();
            for memory in common.memories() {
                memory.sweep(now, SWEEP_ENTRIES);
            }
            let leftovers = common.take_leftovers();
            drop(common);
            for left in leftovers {
                left.clear().await;
            }
        }
    });
}

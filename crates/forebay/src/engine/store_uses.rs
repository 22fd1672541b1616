//! Uses of stored values that end when they are not used: the store is told of them from time to time.
//!
//! In memory a use counts at once. In the store a value is given a [`SLACK`] beyond its idle span, and only the first use in each
//! [`BEAT`] is told, in batches. So a value that memory has lost, or that a restart finds, has not ended early, and ends late by
//! a quarter of its idle span at most.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use crate::rt::{Mutex, Tick};
use crate::tier::memory::Seen;
use crate::tier::store::{Change, Ends, What};

/// The part of an idle span that a stored value is given beyond it.
const SLACK: u32 = 4;
/// The part of an idle span in which one use is told.
const BEAT: u32 = 8;
/// How often the store is told, as a part of the idle span, and at most and at least how long that is apart.
const TELL: u32 = 16;
const TELL_WITHIN: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(10));
/// The most uses that wait to be told; more are not, until these are.
const USES_MAX: usize = 65_536;

/// The idle span of what is stored, for values that memory ends after `idle`.
pub(super) fn stored_idle(idle: Duration) -> Duration {
    idle.saturating_add(idle / SLACK)
}

/// The keys that were used and of which the store is to be told.
#[derive(Debug, Default)]
pub(super) struct Uses(Mutex<HashSet<Box<[u8]>>>);

impl Uses {
    /// Notes that `held` is used at `now`; called before that prolongs it.
    pub(super) fn note(&self, key: &[u8], held: &Seen<'_>, idle: Duration, now: Tick) {
        let last = held.useless_from.before(idle);
        let beat = |at: Tick| at.since(Tick::default()).as_millis() / (idle / BEAT).as_millis().max(1);
        if held.value().is_some() && beat(last) != beat(now) {
            self.add(key);
        }
    }

    /// Notes that `key` is used, of which memory had nothing.
    pub(super) fn add(&self, key: &[u8]) {
        let mut uses = self.0.lock();
        if uses.len() < USES_MAX && !uses.contains(key) {
            uses.insert(key.into());
        }
    }

    fn take(&self) -> Vec<Box<[u8]>> {
        std::mem::take(&mut *self.0.lock()).into_iter().collect()
    }
}

/// Tells the store of uses, as long as the namespace is there.
pub(super) fn keep_told(core: &Arc<Core>, idle: Duration) {
    let every = (idle / TELL).clamp(TELL_WITHIN.0, TELL_WITHIN.1);
    let clock = core.clock.clone();
    let namespace = Arc::downgrade(core);
    core.common.upkeep.spawn(async move {
        loop {
            clock.sleep(every).await;
            let Some(core) = namespace.upgrade() else { return };
            core.tell_uses(idle).await;
        }
    });
}

impl Core {
    async fn tell_uses(&self, idle: Duration) {
        let Some(stored) = &self.store else { return };
        let used = stored.uses.take();
        for keys in used.chunks(stored.store.limits().batch_max.max(1)) {
            let change = |key: &[u8]| Change {
                key: self.pattern.whole(key).into(),
                what: What::Stays,
                ends: Ends::Used(stored_idle(idle)),
            };
            let told = stored.append(&self.owner, keys.iter().map(|key| change(key)).collect()).await;
            if told.is_err() {
                // Once more later; until then it is the slack that counts.
                keys.iter().for_each(|key| stored.uses.add(key));
            }
        }
    }
}

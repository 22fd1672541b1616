//! The membership filter of a namespace: what it is fed with, and how it is built from the source's own listing.
//!
//! Fed are all keys that the source lists, that a load finds, and that an invalidation names. So it never denies a key whose
//! writer told of it; that every new row is told of is the namespace's promise when it asks for a filter. What an invalidation
//! of a group may have brought nobody can tell: until the source has been listed again, every key may exist.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::core::Core;
use super::handle::Namespace;
use super::listing::Listing;
use crate::protection::{Answer, Filter};
use crate::source::SourceError;

/// How many keys are listed at once.
const PAGE: usize = 1_000;
/// How often it is looked whether the filter has to be built again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is known of a membership filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Whether it denies what it does not hold: a listing of the source is whole, and nothing may have been missed since it began.
    pub is_ready: bool,
    /// How many keys it holds, up to its rate of false answers.
    pub keys: u64,
    /// The memory that it takes, in bytes.
    pub bytes: u64,
    /// How often it was built of a whole listing.
    pub builds: u64,
    /// Whether it holds more keys than it can at the rate that was stated: state more of them.
    pub is_over_full: bool,
}

impl<V> Namespace<V> {
    /// What is known of its membership filter; `None` where it has none.
    #[must_use]
    pub fn membership(&self) -> Option<Membership> {
        let filter = self.core.filter.as_ref()?;
        Some(Membership {
            is_ready: filter.is_built() && self.core.hears_all(),
            keys: filter.len(),
            bytes: filter.weight_bytes(),
            builds: filter.builds(),
            is_over_full: filter.is_over_full(),
        })
    }
}

impl Core {
    /// Whether whoever adds a key is heard.
    fn hears_all(&self) -> bool {
        let now = self.clock.now();
        self.shared().is_none_or(|shared| shared.in_touch(now)) && self.hears_feeds(now)
    }

    /// Whether the filter knows that `key` does not exist. Out of touch with the log nobody knows what others have added.
    pub(super) fn cannot_exist(&self, key: &[u8]) -> bool {
        let Some(filter) = &self.filter else { return false };
        // Asked in this order: who hears all again, and has missed something, has told the filter.
        self.hears_all() && filter.answer(key) == Answer::Absent
    }

    /// `key` exists, or may from now on.
    pub(super) fn may_exist(&self, key: &[u8]) {
        if let Some(filter) = &self.filter {
            filter.insert(key);
        }
    }

    /// Keys may have come to exist that nobody names.
    pub(super) fn others_may_exist(&self) {
        if let Some(filter) = &self.filter {
            filter.found_gap();
        }
    }
}

/// Feeds `filter` with all that the source lists.
async fn build(filter: &Filter, mut listing: Listing) -> Result<(), SourceError> {
    if !listing.is_possible() {
        return Ok(());
    }
    let build = filter.build();
    loop {
        let keys = listing.next().await?;
        keys.iter().for_each(|key| filter.insert(key));
        if keys.is_empty() {
            build.finish();
            filter.trusted(true);
            return Ok(());
        }
    }
}

/// Builds the filter of `core`, again whenever that is due, as long as it lives. Where the source cannot be listed, every key
/// may exist meanwhile.
pub(super) fn keep_built(core: &Arc<Core>) {
    let clock = core.clock.clone();
    let namespace = Arc::downgrade(core);
    core.common.upkeep.spawn(async move {
        loop {
            let Some(core) = Weak::upgrade(&namespace) else { return };
            let filter = core.filter.clone().filter(|filter| !filter.is_built());
            let due = filter.map(|filter| (filter, Listing::of(&core, PAGE)));
            drop(core);
            if let Some((filter, listing)) = due {
                // What was not listed is listed again.
                let _ = build(&filter, listing).await;
            }
            clock.sleep(LOOK_EVERY).await;
        }
    });
}

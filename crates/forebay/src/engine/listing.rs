//! The keys that a source lists, page by page, as memory knows them.
//!
//! A listing keeps no engine: while the source is at a page, what asked for it can be dropped, and the listing ends with that. A
//! page that does not come is given up.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::core::Core;
use crate::rt::Clock;
use crate::source::{LoadKey, Source, SourceError};
use crate::value::{Key, KeyBuf};

/// The longest that a page is waited for.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// A listing under way.
pub(super) struct Listing {
    core: Weak<Core>,
    name: Arc<str>,
    source: Option<Arc<dyn Source>>,
    clock: Clock,
    page: usize,
    last: Option<LoadKey>,
}

impl Listing {
    /// The listing of a namespace's source in pages of `page` keys.
    pub(super) fn of(core: &Arc<Core>, page: usize) -> Self {
        Self {
            core: Arc::downgrade(core),
            name: Arc::clone(&core.name),
            source: core.source.clone(),
            clock: core.clock.clone(),
            page,
            last: None,
        }
    }

    /// Whether the source can list its keys at all.
    pub(super) fn is_possible(&self) -> bool {
        let source = self.source.as_ref();
        source.is_some_and(|source| source.list(&self.name, None, self.page).is_some())
    }

    /// As many keys as a page has at most that the source prefers, as [`next`](Self::next) gives them.
    ///
    /// # Errors
    /// As those of [`next`](Self::next).
    pub(super) async fn preferred(&self) -> Result<Vec<KeyBuf>, SourceError> {
        let keys = self.source.as_ref().and_then(|source| source.preferred(&self.name, self.page));
        let Some(keys) = keys else { return Ok(Vec::new()) };
        let keys =
            self.clock.timeout(PAGE_TIMEOUT, keys).await.map_err(|_| SourceError::passing(TooSlow))??;
        let Some(core) = self.core.upgrade() else { return Ok(Vec::new()) };
        Ok(keys.iter().filter_map(|key| core.tail_of(key.params.as_slice())).collect())
    }

    /// The next keys, without the literal that all of them begin with; none when there are no more, or the namespace is gone.
    ///
    /// # Errors
    /// What the source said, or that it takes too long.
    pub(super) async fn next(&mut self) -> Result<Vec<KeyBuf>, SourceError> {
        let Some(source) = &self.source else { return Ok(Vec::new()) };
        loop {
            let Some(page) = source.list(&self.name, self.last.as_ref(), self.page) else {
                return Ok(Vec::new());
            };
            let keys =
                self.clock.timeout(PAGE_TIMEOUT, page).await.map_err(|_| SourceError::passing(TooSlow))??;
            let Some(core) = self.core.upgrade() else { return Ok(Vec::new()) };
            let tails: Vec<_> = keys.iter().filter_map(|key| core.tail_of(key.params.as_slice())).collect();
            let is_last = keys.is_empty();
            self.last = keys.into_iter().next_back();
            if is_last || !tails.is_empty() {
                return Ok(tails);
            }
        }
    }
}

/// A page did not come.
#[derive(Debug, thiserror::Error)]
#[error("the source did not list its keys within {PAGE_TIMEOUT:?} a page")]
struct TooSlow;

impl Core {
    /// The text of `key` without the literal that all keys begin with; `None` where it is no key of the namespace.
    pub(super) fn tail_of(&self, key: &(impl Key + ?Sized)) -> Option<KeyBuf> {
        let mut tail = KeyBuf::new();
        self.pattern.render_tail(key, &mut tail).is_ok().then_some(tail)
    }
}

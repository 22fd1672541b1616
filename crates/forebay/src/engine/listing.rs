//! The keys that a source lists, page by page, as memory knows them.

use std::sync::Arc;

use super::core::Core;
use crate::source::{LoadKey, SourceError};
use crate::value::{Key, KeyBuf};

/// A listing under way.
pub(super) struct Listing {
    core: Arc<Core>,
    page: usize,
    last: Option<LoadKey>,
}

impl Listing {
    /// The listing of a namespace's source in pages of `page` keys.
    pub(super) fn of(core: &Arc<Core>, page: usize) -> Self {
        Self { core: Arc::clone(core), page, last: None }
    }

    /// Whether the source can list its keys at all.
    pub(super) fn is_possible(&self) -> bool {
        let source = self.core.source.as_ref();
        source.is_some_and(|source| source.list(&self.core.name, None, self.page).is_some())
    }

    /// The next keys, without the literal that all of them begin with; none when there are no more.
    ///
    /// # Errors
    /// What the source said.
    pub(super) async fn next(&mut self) -> Result<Vec<KeyBuf>, SourceError> {
        let Some(source) = self.core.source.clone() else { return Ok(Vec::new()) };
        loop {
            let Some(page) = source.list(&self.core.name, self.last.as_ref(), self.page) else {
                return Ok(Vec::new());
            };
            let keys = page.await?;
            let tails: Vec<_> =
                keys.iter().filter_map(|key| self.core.tail_of(key.params.as_slice())).collect();
            let is_last = keys.is_empty();
            self.last = keys.into_iter().next_back();
            if is_last || !tails.is_empty() {
                return Ok(tails);
            }
        }
    }
}

impl Core {
    /// The text of `key` without the literal that all keys begin with; `None` where it is no key of the namespace.
    pub(super) fn tail_of(&self, key: &(impl Key + ?Sized)) -> Option<KeyBuf> {
        let mut tail = KeyBuf::new();
        self.pattern.render_tail(key, &mut tail).is_ok().then_some(tail)
    }
}

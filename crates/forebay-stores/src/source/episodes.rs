//! A source that fails says so once: one line when an episode of failures begins, one when it is over.
//!
//! A load that was dropped, as the loader does with one that takes too long, is a failure too. One key that keeps failing among others
//! that do not is told once.

use std::sync::Arc;

use forebay::rt::{Clock, Tick};
use forebay::source::{FieldSource, Listing, Loading};
use forebay::{LoadKey, Source};

use crate::episode::Episode;

/// A source whose episodes of failures are told to the log.
pub struct Episodes {
    source: Arc<dyn Source>,
    episode: Arc<Episode>,
    listing: Episode,
}

/// What is to be seen of a source's episodes, apart from the source.
#[derive(Clone, Debug)]
pub struct Failing(Arc<Episode>);

impl Failing {
    /// Since when the source has been failing, by the clock that measures its episodes; `None` while it does not.
    #[must_use]
    pub fn since(&self) -> Option<Tick> {
        self.0.failing_since()
    }
}

impl Episodes {
    /// `source`, whose episodes are measured by `clock`.
    #[must_use]
    pub fn new(source: Arc<dyn Source>, clock: Clock) -> Self {
        let listing = Episode::new("the source's listing of its keys", clock.clone());
        Self { source, episode: Arc::new(Episode::new("the source", clock)), listing }
    }

    /// Its episodes, to be seen wherever the source goes.
    #[must_use]
    pub fn failing(&self) -> Failing {
        Failing(Arc::clone(&self.episode))
    }

    /// `listing`, whose failure is told.
    fn told<'a>(&'a self, namespace: &'a str, listing: Listing<'a>) -> Listing<'a> {
        Box::pin(async move {
            // All listings are one and the same matter.
            let all = [LoadKey { params: Vec::new() }];
            let watch = self.listing.watch(namespace, &all);
            let listed = listing.await;
            watch.ended(listed.as_ref().err());
            listed
        })
    }
}

impl Source for Episodes {
    fn load<'a>(&'a self, namespace: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        Box::pin(async move {
            let watch = self.episode.watch(namespace, keys);
            let loaded = self.source.load(namespace, keys).await;
            watch.ended(loaded.as_ref().err());
            loaded
        })
    }

    fn gives_tags(&self) -> bool {
        self.source.gives_tags()
    }

    fn gives_ends(&self) -> bool {
        self.source.gives_ends()
    }

    fn list<'a>(
        &'a self,
        namespace: &'a str,
        after: Option<&'a LoadKey>,
        limit: usize,
    ) -> Option<Listing<'a>> {
        let list = self.source.list(namespace, after, limit)?;
        Some(self.told(namespace, list))
    }

    fn preferred<'a>(&'a self, namespace: &'a str, limit: usize) -> Option<Listing<'a>> {
        let preferred = self.source.preferred(namespace, limit)?;
        Some(self.told(namespace, preferred))
    }

    fn fields(&self) -> Option<&dyn FieldSource> {
        self.source.fields()
    }
}

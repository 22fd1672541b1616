//! A source that fails says so once: one line when an episode of failures begins, one when it is over.
//!
//! A load that was dropped, as the loader does with one that takes too long, is a failure too.

use std::sync::Arc;
use std::time::Duration;

use forebay::rt::{Clock, Mutex, Tick};
use forebay::source::{FieldSource, Listing, Loading};
use forebay::{LoadKey, Source};

/// A source whose episodes of failures are told to the log.
pub struct Episodes {
    source: Arc<dyn Source>,
    clock: Clock,
    episode: Mutex<Option<Episode>>,
}

#[derive(Clone, Copy, Debug)]
struct Episode {
    began: Tick,
    failures: u64,
}

impl Episodes {
    /// `source`, whose episodes are measured by `clock`.
    #[must_use]
    pub fn new(source: Arc<dyn Source>, clock: Clock) -> Self {
        Self { source, clock, episode: Mutex::default() }
    }

    fn failed(&self, namespace: &str, cause: &dyn std::fmt::Display) {
        let mut episode = self.episode.lock();
        if let Some(episode) = &mut *episode {
            episode.failures = episode.failures.saturating_add(1);
            return;
        }
        *episode = Some(Episode { began: self.clock.now(), failures: 1 });
        drop(episode);
        tracing::warn!(namespace, %cause, "the source fails; the next line comes when it answers again");
    }

    fn answered(&self, namespace: &str) {
        let Some(Episode { began, failures }) = self.episode.lock().take() else { return };
        let lasted: Duration = self.clock.now().since(began);
        tracing::info!(namespace, failures, ?lasted, "the source answers again");
    }
}

impl Source for Episodes {
    fn load<'a>(&'a self, namespace: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        Box::pin(async move {
            let mut watch = Watch { episodes: self, namespace, ended: false };
            let loaded = self.source.load(namespace, keys).await;
            watch.ended = true;
            match &loaded {
                Ok(_) => self.answered(namespace),
                Err(error) => self.failed(namespace, error),
            }
            loaded
        })
    }

    fn gives_tags(&self) -> bool {
        self.source.gives_tags()
    }

    fn list<'a>(
        &'a self,
        namespace: &'a str,
        after: Option<&'a LoadKey>,
        limit: usize,
    ) -> Option<Listing<'a>> {
        self.source.list(namespace, after, limit)
    }

    fn fields(&self) -> Option<&dyn FieldSource> {
        self.source.fields()
    }
}

/// A load under way.
struct Watch<'a> {
    episodes: &'a Episodes,
    namespace: &'a str,
    ended: bool,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.episodes.failed(self.namespace, &"a load did not end in time");
        }
    }
}

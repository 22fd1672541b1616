//! Two sources as one: what they say of a key, one laid over the other.
//!
//! Both are asked at once. A key exists where either has it; it is absent only where both say that it is. Where one alone has it, that is
//! the value; where both have it, both are JSON objects, and the members of the later are laid over those of the earlier. Where either
//! fails the load fails: half a value is never stored.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use forebay::source::{Answers, Loading};
use forebay::{Blob, LoadKey, Loaded, Source, SourceError};

use super::json;

/// Two sources, the later laid over the earlier.
pub struct Merged {
    earlier: Arc<dyn Source>,
    later: Arc<dyn Source>,
}

/// Why two answers cannot be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// One is no JSON object.
    #[error("what is merged must be JSON objects: {0}; lead to one with `pointer`, or use one source")]
    NotAnObject(#[from] serde_json::Error),
    /// One is no JSON at all.
    #[error("what is merged must be JSON objects, and a source gave another kind of value: use one source")]
    NotJson,
    /// A source answered another number of keys than it was asked for.
    #[error("a source answered {given} of {wanted} keys")]
    Count {
        /// How many answers it gave.
        given: usize,
        /// How many keys it was given.
        wanted: usize,
    },
}

impl Merged {
    /// What `earlier` gives, with what `later` gives laid over it.
    #[must_use]
    pub fn new(earlier: Arc<dyn Source>, later: Arc<dyn Source>) -> Self {
        Self { earlier, later }
    }

    async fn answers(&self, namespace: &str, keys: &[LoadKey]) -> Result<Answers, SourceError> {
        let (earlier, later) =
            both(self.earlier.load(namespace, keys), self.later.load(namespace, keys)).await?;
        for given in [earlier.len(), later.len()] {
            if given != keys.len() {
                return Err(SourceError::lasting(MergeError::Count { given, wanted: keys.len() }));
            }
        }
        earlier.into_iter().zip(later).map(merged).collect::<Result<_, _>>().map_err(SourceError::lasting)
    }
}

impl Source for Merged {
    fn gives_tags(&self) -> bool {
        self.earlier.gives_tags() || self.later.gives_tags()
    }

    fn gives_ends(&self) -> bool {
        self.earlier.gives_ends() || self.later.gives_ends()
    }

    fn load<'a>(&'a self, namespace: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        Box::pin(self.answers(namespace, keys))
    }
}

/// What both loads give; the first failure ends the other.
async fn both(earlier: Loading<'_>, later: Loading<'_>) -> Result<(Answers, Answers), SourceError> {
    let (mut earlier, mut later) = (pin!(earlier), pin!(later));
    let (mut one, mut other) = (None, None);
    std::future::poll_fn(|context| {
        for (load, answers) in [(&mut earlier, &mut one), (&mut later, &mut other)] {
            if answers.is_none()
                && let Poll::Ready(loaded) = load.as_mut().poll(context)
            {
                *answers = Some(loaded?);
            }
        }
        match (one.take(), other.take()) {
            (Some(one), Some(other)) => Poll::Ready(Ok((one, other))),
            (first, second) => {
                (one, other) = (first, second);
                Poll::Pending
            }
        }
    })
    .await
}

fn merged((earlier, later): (Option<Loaded>, Option<Loaded>)) -> Result<Option<Loaded>, MergeError> {
    let (earlier, later) = match (earlier, later) {
        (Some(earlier), Some(later)) => (earlier, later),
        (alone, other) => return Ok(alone.or(other)),
    };
    let bytes = |loaded: &Loaded| loaded.value.as_blob().cloned().ok_or(MergeError::NotJson);
    let laid = json::laid_over(bytes(&earlier)?.as_bytes(), bytes(&later)?.as_bytes())?;
    let mut tags = earlier.tags;
    tags.extend(later.tags);
    Ok(Some(Loaded {
        // Stale as soon as either part is.
        ttl: [earlier.ttl, later.ttl].into_iter().flatten().min(),
        fresh_until: [earlier.fresh_until, later.fresh_until].into_iter().flatten().min(),
        version: later.version.or(earlier.version),
        tags,
        ..Loaded::new(Blob::json(laid))
    }))
}

//! Where a missing key is loaded from: the contract of a source, and sources made of Rust functions.
//!
//! A source is asked for one key or many in one call and answers each. It knows nothing of caching: time-outs, batching,
//! fences and stale answers are the loader's business.

mod function;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::value::{Param, Value};

pub use function::{LoadMany, LoadOne, load_many, load_one};

/// One key that a source is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadKey {
    /// Its parameters, in the order of the namespace's pattern.
    pub params: Vec<Param>,
}

/// What a source gives for one key that exists.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The value.
    pub value: Value,
    /// How long it is fresh, where the source knows; it can only shorten the namespace's TTL.
    pub ttl: Option<Duration>,
}

impl Loaded {
    /// `value`, fresh for as long as its namespace says.
    #[must_use]
    pub fn new(value: impl Into<Value>) -> Self {
        Self { value: value.into(), ttl: None }
    }
}

/// A source's answers, in the order of the keys it was given; `None` where a key does not exist.
pub type Answers = Vec<Option<Loaded>>;

/// A load under way.
pub type Loading<'a> = Pin<Box<dyn Future<Output = Result<Answers, SourceError>> + Send + 'a>>;

/// Where missing keys are loaded from.
pub trait Source: Send + Sync + 'static {
    /// Loads `keys`; one answer each, in the same order.
    ///
    /// A dropped load must leave nothing behind: the loader drops what takes longer than its time-out.
    fn load<'a>(&'a self, namespace: &'a str, keys: &'a [LoadKey]) -> Loading<'a>;
}

/// Why a source did not answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{cause}")]
pub struct SourceError {
    /// What went wrong, for the operator.
    pub cause: Arc<dyn std::error::Error + Send + Sync>,
    /// Whether the same load can succeed later.
    pub retry: bool,
}

impl SourceError {
    /// A failure that may pass by itself: a lost connection, an overloaded server.
    #[must_use]
    pub fn passing(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { cause: Arc::new(cause), retry: true }
    }

    /// A failure that stays until somebody changes something: a query that cannot work.
    #[must_use]
    pub fn lasting(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { cause: Arc::new(cause), retry: false }
    }
}

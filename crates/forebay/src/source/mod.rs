//! Where a missing key is loaded from: the contract of a source, and sources made of Rust functions.
//!
//! A source is asked for one key or many in one call and answers each. It knows nothing of caching: time-outs, batching,
//! fences and stale answers are the loader's business.

mod fields;
mod function;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::rt::Tick;
use crate::value::{Param, Tag, Value, Version};

pub use fields::{FieldAnswers, FieldKey, FieldSource, LoadFields, LoadingFields, WithFields, load_fields};
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
    /// How long it is fresh, where the source knows; it can only shorten the namespace's TTL. Zero: it is answered to whoever
    /// waits for it and not stored.
    pub ttl: Option<Duration>,
    /// When it stops being fresh, where it says so itself: then, and not when the namespace's TTL is over. It counts up to the
    /// namespace's [`fresh_at_most`](crate::Policy::fresh_at_most), and `ttl` shortens it. Parts of a hash have theirs in the hash
    /// ([`Field`](crate::value::Field)).
    pub fresh_until: Option<Tick>,
    /// The groups that it belongs to, beside those that its namespace declares.
    pub tags: Vec<Tag>,
    /// Its version: an older one never replaces a newer one.
    pub version: Option<Version>,
}

impl Loaded {
    /// `value`, fresh for as long as its namespace says.
    #[must_use]
    pub fn new(value: impl Into<Value>) -> Self {
        Self { value: value.into(), ttl: None, fresh_until: None, tags: Vec::new(), version: None }
    }
}

/// A source's answers, in the order of the keys it was given; `None` where a key does not exist.
pub type Answers = Vec<Option<Loaded>>;

/// A load under way.
pub type Loading<'a> = Pin<Box<dyn Future<Output = Result<Answers, SourceError>> + Send + 'a>>;

/// A page of keys under way.
pub type Listing<'a> = Pin<Box<dyn Future<Output = Result<Vec<LoadKey>, SourceError>> + Send + 'a>>;

/// Where missing keys are loaded from.
pub trait Source: Send + Sync + 'static {
    /// Loads `keys`; one answer each, in the same order.
    ///
    /// A dropped load must leave nothing behind: the loader drops what takes longer than its time-out.
    fn load<'a>(&'a self, namespace: &'a str, keys: &'a [LoadKey]) -> Loading<'a>;

    /// Whether its answers can have tags of their own. Where they can, a remembered absence ends with any tag's invalidation,
    /// since nobody knows the tags of a row that is yet to be.
    fn gives_tags(&self) -> bool {
        true
    }

    /// Whether its answers can say themselves when they end. Where they can, what a client has written is not held after the sink
    /// took it, but loaded: nobody else knows when it ends.
    fn gives_ends(&self) -> bool {
        false
    }

    /// Up to `limit` keys that exist, in an order of the source's own, after `after`; none when there are no more. `None`
    /// where the source cannot list them. A page that takes longer than 30 s is dropped.
    fn list<'a>(
        &'a self,
        _namespace: &'a str,
        _after: Option<&'a LoadKey>,
        _limit: usize,
    ) -> Option<Listing<'a>> {
        None
    }

    /// Up to `limit` keys that are worth loading before anybody asks for them, the most worth first. `None` where the source has no
    /// opinion. What takes longer than 30 s is dropped.
    fn preferred<'a>(&'a self, _namespace: &'a str, _limit: usize) -> Option<Listing<'a>> {
        None
    }

    /// Loads single fields of hashes, where the source can: then a field is loaded alone, and of a hash of which fields were
    /// invalidated only those. `None` where it loads whole values only.
    fn fields(&self) -> Option<&dyn FieldSource> {
        None
    }

    /// This source, with `fields` for what is asked of single fields.
    fn with_fields<F: FieldSource>(self, fields: F) -> WithFields<Self, F>
    where
        Self: Sized,
    {
        WithFields::new(self, fields)
    }
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

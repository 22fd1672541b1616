//! Single fields of hashes: the contract of a source that can load them, and one made of an async Rust function.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::marker::PhantomData;
use std::pin::Pin;

use bytes::Bytes;

use super::{Listing, LoadKey, Loading, Source, SourceError};
use crate::value::{Field, FromParams};

/// One field that a source is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldKey {
    /// The key of its hash.
    pub key: LoadKey,
    /// Its name.
    pub field: Bytes,
}

/// A source's answers, in the order of the fields it was given; `None` where a field does not exist.
pub type FieldAnswers = Vec<Option<Field>>;

/// A load of fields under way.
pub type LoadingFields<'a> = Pin<Box<dyn Future<Output = Result<FieldAnswers, SourceError>> + Send + 'a>>;

/// Where single fields of hashes are loaded from.
pub trait FieldSource: Send + Sync + 'static {
    /// Loads `fields`, which may be of several keys; one answer each, in the same order.
    ///
    /// A dropped load must leave nothing behind, as with [`Source::load`].
    fn load_fields<'a>(&'a self, namespace: &'a str, fields: &'a [FieldKey]) -> LoadingFields<'a>;
}

/// A source that loads single fields too. Made by [`Source::with_fields`].
pub struct WithFields<S, F> {
    whole: S,
    fields: F,
}

impl<S, F> WithFields<S, F> {
    pub(super) fn new(whole: S, fields: F) -> Self {
        Self { whole, fields }
    }
}

impl<S: Source, F: FieldSource> Source for WithFields<S, F> {
    fn load<'a>(&'a self, namespace: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        self.whole.load(namespace, keys)
    }

    fn gives_tags(&self) -> bool {
        self.whole.gives_tags()
    }

    fn gives_ends(&self) -> bool {
        self.whole.gives_ends()
    }

    fn list<'a>(
        &'a self,
        namespace: &'a str,
        after: Option<&'a LoadKey>,
        limit: usize,
    ) -> Option<Listing<'a>> {
        self.whole.list(namespace, after, limit)
    }

    fn preferred<'a>(&'a self, namespace: &'a str, limit: usize) -> Option<Listing<'a>> {
        self.whole.preferred(namespace, limit)
    }

    fn fields(&self) -> Option<&dyn FieldSource> {
        Some(&self.fields)
    }
}

/// A source of fields made of a function. Made by [`load_fields`].
pub struct LoadFields<K, F> {
    function: F,
    keys: PhantomData<fn(K)>,
}

/// A source of fields made of a function from keys and field names to those that exist: `async fn(Vec<(K, Bytes)>) ->
/// Result<impl IntoIterator<Item = ((K, Bytes), V)>, E>`, where `V` is `Bytes`, or a [`Field`] with an end of its own.
///
/// A field that is missing from the answer does not exist. `K` is `String`, `i64`, or a tuple of them in the order of the
/// namespace's pattern. Every error of `E` counts as passing: the same load may be tried later.
pub fn load_fields<K, F, Fut, C, V, E>(function: F) -> LoadFields<K, F>
where
    F: Fn(Vec<(K, Bytes)>) -> Fut,
    Fut: Future<Output = Result<C, E>>,
    C: IntoIterator<Item = ((K, Bytes), V)>,
    V: Into<Field>,
{
    LoadFields { function, keys: PhantomData }
}

impl<K, F, Fut, C, V, E> FieldSource for LoadFields<K, F>
where
    K: FromParams + Clone + Eq + Hash + Send + 'static,
    F: Fn(Vec<(K, Bytes)>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<C, E>> + Send + 'static,
    C: IntoIterator<Item = ((K, Bytes), V)> + Send,
    V: Into<Field>,
    E: std::error::Error + Send + Sync + 'static,
{
    fn load_fields<'a>(&'a self, namespace: &'a str, fields: &'a [FieldKey]) -> LoadingFields<'a> {
        Box::pin(async move {
            let mut asked = Vec::with_capacity(fields.len());
            for FieldKey { key, field } in fields {
                let key = K::from_params(namespace, &key.params).map_err(SourceError::lasting)?;
                asked.push((key, field.clone()));
            }
            let pairs = (self.function)(asked.clone()).await.map_err(SourceError::passing)?;
            let mut found: HashMap<(K, Bytes), Field> =
                pairs.into_iter().map(|(name, field)| (name, field.into())).collect();
            Ok(asked.iter().map(|one| found.remove(one)).collect())
        })
    }
}

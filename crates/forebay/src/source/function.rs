//! Sources made of async Rust functions: [`load_many`] for one that takes many keys, [`load_one`] for one that takes one.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::marker::PhantomData;

use super::{LoadKey, Loaded, Loading, Source, SourceError};
use crate::value::{FromParams, Value, length};

/// Weighs a Rust value, its heap included, in bytes.
type Weigh<V> = fn(&V) -> u64;

fn shallow<V>(_: &V) -> u64 {
    length(size_of::<V>())
}

/// A source made of a function from many keys to the pairs that exist. Made by [`load_many`].
pub struct LoadMany<K, V, F> {
    function: F,
    weigh: Weigh<V>,
    keys: PhantomData<fn(K)>,
}

/// A source made of a function from keys to whatever of them exists: `async fn(Vec<K>) -> Result<impl IntoIterator<Item
/// = (K, V)>, E>`.
///
/// A key that is missing from the answer does not exist. `K` is `String`, `i64`, or a tuple of them in the order of the
/// namespace's pattern. Every error of `E` counts as passing: the same load may be tried later.
pub fn load_many<K, V, F, Fut, C, E>(function: F) -> LoadMany<K, V, F>
where
    F: Fn(Vec<K>) -> Fut,
    Fut: Future<Output = Result<C, E>>,
    C: IntoIterator<Item = (K, V)>,
{
    LoadMany { function, weigh: shallow, keys: PhantomData }
}

impl<K, V, F> LoadMany<K, V, F> {
    /// Weighs values by `weigh`, in bytes, heap included. Default: the size of the type, without its heap.
    #[must_use]
    pub fn weighing(mut self, weigh: fn(&V) -> u64) -> Self {
        self.weigh = weigh;
        self
    }
}

impl<K, V, F, Fut, C, E> Source for LoadMany<K, V, F>
where
    K: FromParams + Clone + Eq + Hash + Send + 'static,
    V: Send + Sync + 'static,
    F: Fn(Vec<K>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<C, E>> + Send + 'static,
    C: IntoIterator<Item = (K, V)> + Send,
    E: std::error::Error + Send + Sync + 'static,
{
    fn gives_tags(&self) -> bool {
        false
    }

    fn load<'a>(&'a self, namespace: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        Box::pin(async move {
            let keys: Vec<K> = keys
                .iter()
                .map(|key| K::from_params(namespace, &key.params))
                .collect::<Result<_, _>>()
                .map_err(SourceError::lasting)?;
            let pairs = (self.function)(keys.clone()).await.map_err(SourceError::passing)?;
            let mut found: HashMap<K, V> = pairs.into_iter().collect();
            Ok(keys.iter().map(|key| found.remove(key).map(|value| native(value, self.weigh))).collect())
        })
    }
}

/// A source made of a function from one key to its value. Made by [`load_one`].
pub struct LoadOne<K, V, F> {
    function: F,
    weigh: Weigh<V>,
    keys: PhantomData<fn(K)>,
}

/// A source made of a function that loads one key: `async fn(K) -> Result<Option<V>, E>`.
///
/// Several keys are loaded one after the other; where the back end can answer many at once, [`load_many`] is better.
pub fn load_one<K, V, F, Fut, E>(function: F) -> LoadOne<K, V, F>
where
    F: Fn(K) -> Fut,
    Fut: Future<Output = Result<Option<V>, E>>,
{
    LoadOne { function, weigh: shallow, keys: PhantomData }
}

impl<K, V, F> LoadOne<K, V, F> {
    /// Weighs values by `weigh`, in bytes, heap included. Default: the size of the type, without its heap.
    #[must_use]
    pub fn weighing(mut self, weigh: fn(&V) -> u64) -> Self {
        self.weigh = weigh;
        self
    }
}

impl<K, V, F, Fut, E> Source for LoadOne<K, V, F>
where
    K: FromParams + Send + 'static,
    V: Send + Sync + 'static,
    F: Fn(K) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<V>, E>> + Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    fn gives_tags(&self) -> bool {
        false
    }

    fn load<'a>(&'a self, namespace: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        Box::pin(async move {
            let mut answers = Vec::with_capacity(keys.len());
            for key in keys {
                let key = K::from_params(namespace, &key.params).map_err(SourceError::lasting)?;
                let value = (self.function)(key).await.map_err(SourceError::passing)?;
                answers.push(value.map(|value| native(value, self.weigh)));
            }
            Ok(answers)
        })
    }
}

fn native<V: Send + Sync + 'static>(value: V, weigh: Weigh<V>) -> Loaded {
    let weight_bytes = weigh(&value);
    Loaded::new(Value::native(value, weight_bytes))
}

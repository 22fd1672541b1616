//! Sinks made of async Rust functions: [`write_many`] for one that takes many writes, [`write_one`] for one that takes one.

use std::any::Any;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use super::sink::{Applied, Applying, Change, Outcomes, Sink, SinkError, SinkWrite, Unfit};
use crate::error::Error;
use crate::source::LoadKey;
use crate::value::FromParams;

/// A sink made of a function that applies many writes. Made by [`write_many`].
pub struct WriteMany<K, V, F> {
    function: F,
    writes: PhantomData<fn(K, V)>,
}

/// A sink made of a function from keys and their new values to an outcome each, in the same order: `async fn(Vec<(K,
/// Option<Arc<V>>)>) -> Vec<Result<(), SinkError>>`.
///
/// A value of `None` deletes its key. `K` is `String`, `i64`, or a tuple of them in the order of the namespace's pattern, `V` the
/// type of its values. A load must give just what was written, since a copy of it is held; own types that implement [`Sink`] can
/// say otherwise. Writes of single fields are refused.
pub fn write_many<K, V, F, Fut>(function: F) -> WriteMany<K, V, F>
where
    F: Fn(Vec<(K, Option<Arc<V>>)>) -> Fut,
    Fut: Future<Output = Vec<Result<(), SinkError>>>,
{
    WriteMany { function, writes: PhantomData }
}

impl<K, V, F, Fut> Sink for WriteMany<K, V, F>
where
    K: FromParams + Send + 'static,
    V: Any + Send + Sync,
    F: Fn(Vec<(K, Option<Arc<V>>)>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Vec<Result<(), SinkError>>> + Send + 'static,
{
    fn check(&self, namespace: &str, key: &LoadKey, change: &Change) -> Result<(), Unfit> {
        read::<K, V>(namespace, key, change).map(drop).map_err(Unfit::new)
    }

    fn apply<'a>(&'a self, namespace: &'a str, writes: &'a [SinkWrite]) -> Applying<'a> {
        Box::pin(async move {
            let mut given = Vec::with_capacity(writes.len());
            let mut unfit = Vec::with_capacity(writes.len());
            for write in writes {
                let read = read::<K, V>(namespace, &write.key, &write.change);
                unfit.push(read.map(|pair| given.push(pair)).err().map(SinkError::refused));
            }
            if given.is_empty() {
                return unfit.into_iter().flatten().map(Err).collect();
            }
            let asked = given.len();
            let told = (self.function)(given).await;
            if told.len() != asked {
                // Whoever asked finds the number wrong, and counts all of them as unknown.
                return told.into_iter().map(applied).collect();
            }
            let mut told = told.into_iter();
            let outcome = |unfit: Option<SinkError>| unfit.map(Err).or_else(|| told.next().map(applied));
            unfit.into_iter().filter_map(outcome).collect()
        })
    }
}

/// A sink made of a function that applies one write. Made by [`write_one`].
pub struct WriteOne<K, V, F> {
    function: F,
    writes: PhantomData<fn(K, V)>,
}

/// A sink made of a function that applies one write: `async fn(K, Option<Arc<V>>) -> Result<(), SinkError>`.
///
/// What it is given and must hold to is as with [`write_many`]. Several writes are applied one after the other.
///
/// ```
/// use std::collections::HashMap;
/// use std::convert::Infallible;
/// use std::sync::{Arc, Mutex};
/// use forebay::{Forebay, Writes, load_one, secs, write_one};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), forebay::Error> {
/// let rows: Arc<Mutex<HashMap<i64, String>>> = Arc::default();
/// let (read, written) = (Arc::clone(&rows), Arc::clone(&rows));
/// let notes = Forebay::new()?
///     .namespace::<String>("notes")
///     .key("note:{id:integer}")
///     .ttl(secs(60))
///     .source(load_one(move |id: i64| {
///         let row = read.lock().unwrap().get(&id).cloned();
///         async { Ok::<_, Infallible>(row) }
///     }))
///     .writes(Writes::Through)
///     .sink(write_one(move |id: i64, note: Option<Arc<String>>| {
///         match note {
///             Some(note) => drop(written.lock().unwrap().insert(id, note.to_string())),
///             None => drop(written.lock().unwrap().remove(&id)),
///         }
///         async { Ok(()) }
///     }))
///     .build()?;
/// notes.set(1, "milk".to_owned(), 28).await?;
/// assert_eq!(rows.lock().unwrap().get(&1).map(String::as_str), Some("milk"));
/// assert_eq!(notes.get(1).await?.as_deref().map(String::as_str), Some("milk"));
/// notes.delete(1).await?;
/// assert_eq!(notes.get(1).await?, None);
/// # Ok(()) }
/// ```
pub fn write_one<K, V, F, Fut>(function: F) -> WriteOne<K, V, F>
where
    F: Fn(K, Option<Arc<V>>) -> Fut,
    Fut: Future<Output = Result<(), SinkError>>,
{
    WriteOne { function, writes: PhantomData }
}

impl<K, V, F, Fut> Sink for WriteOne<K, V, F>
where
    K: FromParams + Send + 'static,
    V: Any + Send + Sync,
    F: Fn(K, Option<Arc<V>>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), SinkError>> + Send + 'static,
{
    fn check(&self, namespace: &str, key: &LoadKey, change: &Change) -> Result<(), Unfit> {
        read::<K, V>(namespace, key, change).map(drop).map_err(Unfit::new)
    }

    fn apply<'a>(&'a self, namespace: &'a str, writes: &'a [SinkWrite]) -> Applying<'a> {
        Box::pin(async move {
            let mut outcomes: Outcomes = Vec::with_capacity(writes.len());
            for write in writes {
                outcomes.push(match read::<K, V>(namespace, &write.key, &write.change) {
                    Ok((key, value)) => applied((self.function)(key, value).await),
                    Err(misfit) => Err(SinkError::refused(misfit)),
                });
            }
            outcomes
        })
    }
}

fn applied(told: Result<(), SinkError>) -> Result<Applied, SinkError> {
    told.map(|()| Applied::as_written())
}

/// The key and new value of a write, as a function takes them.
fn read<K: FromParams, V: Any + Send + Sync>(
    namespace: &str,
    key: &LoadKey,
    change: &Change,
) -> Result<(K, Option<Arc<V>>), Misfit> {
    let key = K::from_params(namespace, &key.params)?;
    let value = match change {
        Change::Put(value) => match value.as_typed::<V>() {
            Some(value) => Some(value),
            None => return Err(Misfit::OtherType(std::any::type_name::<V>())),
        },
        Change::Delete => None,
        Change::Fields(_) => return Err(Misfit::Fields),
    };
    Ok((key, value))
}

/// A write that a function cannot take.
#[derive(Debug, thiserror::Error)]
enum Misfit {
    #[error(transparent)]
    Key(#[from] Error),
    #[error("the sink's function takes values of type {0}: write one, or change the function")]
    OtherType(&'static str),
    #[error("the sink's function takes whole values: write the whole hash, or implement `Sink`")]
    Fields,
}

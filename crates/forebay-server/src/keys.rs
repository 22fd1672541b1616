//! Going through the keys of one namespace, page by page.
//!
//! A store's keys come in the order of their bytes, what memory holds by its place there. So what is there from the beginning to the end
//! is seen at least once, whatever is written meanwhile; of memory some may be seen twice.

use forebay::{Blob, Error, Namespace};

/// Where one is within a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    #[default]
    Start,
    /// At a cursor of memory, which is not 0.
    Memory(u64),
    /// After a key of a store.
    After(Box<[u8]>),
}

/// Up to `limit` keys from `place` on that begin with `prefix`, of memory some that do not among them, and where to go on; `None` at the end.
/// No keys do not mean that there are no more.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn page(
    namespace: &Namespace<Blob>,
    place: &Place,
    prefix: &[u8],
    limit: usize,
) -> Result<(Vec<Vec<u8>>, Option<Place>), Error> {
    if namespace.is_store() {
        let after = match place {
            Place::After(key) => Some(key.as_ref()),
            Place::Start | Place::Memory(_) => None,
        };
        let keys = namespace.stored_keys(prefix, after, limit).await?;
        let next = keys.last().filter(|_| keys.len() >= limit).cloned().map(Place::After);
        return Ok((keys.into_iter().map(Vec::from).collect(), next));
    }
    let cursor = if let Place::Memory(cursor) = place { *cursor } else { 0 };
    let (mut keys, cursor) = namespace.scan(cursor, limit);
    // A remembered absence is no key.
    keys.retain(|key| namespace.peek(key).is_some_and(|held| !held.absent));
    Ok((keys, (cursor != 0).then_some(Place::Memory(cursor))))
}

//! How stored values are read and listed, each as of one moment.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forebay::tier::shared::Owner;
use forebay::tier::store::{Described, Stored, StoredValue};
use forebay::value::{Hash, SortedSet};

use crate::disk::{DiskError, Scan, Space, View};

use super::rows::{self, Content, Generation, Head, NEVER_MS};

/// How many rows are read at once.
const PAGE_ROWS: usize = 4096;

/// What is stored of `keys`.
pub(super) fn load(
    view: &View<'_>,
    owner: &Owner,
    keys: &[Box<[u8]>],
    now_ms: u64,
) -> Result<Vec<Option<Stored>>, DiskError> {
    each(view, owner, keys, now_ms, |stored| stored)
}

/// What is told of `keys`. A row is read whole, whatever of it is wanted, and let go before the next one.
pub(super) fn describe(
    view: &View<'_>,
    owner: &Owner,
    keys: &[Box<[u8]>],
    now_ms: u64,
) -> Result<Vec<Option<Described>>, DiskError> {
    each(view, owner, keys, now_ms, Described::from)
}

/// What `take` makes of each value that is stored of `keys`.
fn each<T>(
    view: &View<'_>,
    owner: &Owner,
    keys: &[Box<[u8]>],
    now_ms: u64,
    take: impl Fn(Stored) -> T,
) -> Result<Vec<Option<T>>, DiskError> {
    let epoch = current_epoch(view, owner)?;
    let mut all = Vec::with_capacity(keys.len());
    for key in keys {
        let at = rows::value(owner, epoch, key);
        let head = Head::find(&at, |at| view.get(Space::Stores, at))?.filter(|head| !head.is_over(now_ms));
        all.push(head.map(|head| stored(view, head, now_ms).map(&take)).transpose()?);
    }
    Ok(all)
}

/// The keys that come after `after` and begin with `prefix`.
pub(super) fn list(
    view: &View<'_>,
    owner: &Owner,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
    now_ms: u64,
) -> Result<Vec<Box<[u8]>>, DiskError> {
    let epoch = current_epoch(view, owner)?;
    let head_bytes = rows::values(owner, epoch).len();
    let mut keys = Vec::new();
    let mut scan = Scan {
        space: Space::Stores,
        prefix: rows::value(owner, epoch, prefix),
        after: after.map(|after| rows::value(owner, epoch, after)),
        limit: PAGE_ROWS.min(limit),
    };
    while keys.len() < limit {
        let page = view.scan(&scan)?;
        for (at, row) in &page.rows {
            if keys.len() == limit {
                break;
            }
            let head = Head::read(row.clone(), at)?.used(at, |at| view.get(Space::Stores, at))?;
            if !head.is_over(now_ms) {
                keys.push(at.get(head_bytes..).unwrap_or_default().into());
            }
        }
        if !page.more {
            break;
        }
        scan.after = page.rows.last().map(|(at, _)| at.clone());
    }
    Ok(keys)
}

fn current_epoch(view: &View<'_>, owner: &Owner) -> Result<u64, DiskError> {
    let at = rows::epoch(owner);
    rows::number(view.get(Space::Stores, &at)?, &at)
}

fn stored(view: &View<'_>, head: Head, now_ms: u64) -> Result<Stored, DiskError> {
    let left = || Duration::from_millis(head.at_most_ms.saturating_sub(now_ms));
    let ends_in = (head.at_most_ms != NEVER_MS).then(left);
    let value = match head.content {
        Content::Blob(blob) => StoredValue::Blob(blob),
        Content::Counter(number) => StoredValue::Counter(number),
        Content::Encoded { shape, bytes } => StoredValue::Encoded { shape, bytes },
        Content::Hash(generation) => {
            let mut fields = Vec::new();
            parts(view, generation, |at, value| {
                fields.push((rows::name_of(at), value));
                Ok(())
            })?;
            StoredValue::Hash(Arc::new(Hash::whole(fields)))
        }
        Content::SortedSet(generation) => {
            let mut members = Vec::new();
            parts(view, generation, |at, score| {
                members.push((rows::name_of(at), rows::score(&score, at)?));
                Ok(())
            })?;
            StoredValue::SortedSet(Arc::new(members.into_iter().collect::<SortedSet>()))
        }
    };
    Ok(Stored { value, ends_in })
}

/// Tells `take` the parts of a collection.
fn parts(
    view: &View<'_>,
    generation: Generation,
    mut take: impl FnMut(&Bytes, Bytes) -> Result<(), DiskError>,
) -> Result<(), DiskError> {
    let prefix = rows::part(generation, b"");
    let mut scan = Scan { space: Space::Stores, prefix, after: None, limit: PAGE_ROWS };
    loop {
        let page = view.scan(&scan)?;
        scan.after = page.rows.last().map(|(at, _)| at.clone());
        for (at, content) in page.rows {
            take(&at, content)?;
        }
        if !page.more {
            return Ok(());
        }
    }
}

//! What is done to stored values: the steps that the disk's writer takes, one after the other.

use bytes::Bytes;
use forebay::tier::shared::Owner;
use forebay::tier::store::{Change, Ends, StoredValue, What};

use crate::disk::{Changes, DiskError, Space};

use super::Shared;
use super::counts::Counted;
use super::rows::{self, Content, Generation, Head, NEVER_MS};

impl Shared {
    /// A step: makes one change.
    pub(super) fn apply(
        &self,
        rows: &mut Changes<'_>,
        owner: &Owner,
        change: &Change,
    ) -> Result<(), DiskError> {
        let now_ms = self.now_ms();
        let epoch = current_epoch(rows, owner)?;
        let at = rows::value(owner, epoch, &change.key);
        let found = Head::find(&at, |at| rows.get(Space::Stores, at));
        let is_damaged = matches!(found, Err(DiskError::Damaged { .. }));
        let replaces = matches!(change.what, What::Put(_) | What::Delete);
        let old = match found {
            // What cannot be read may be replaced, and not changed.
            Err(DiskError::Damaged { .. }) if replaces => None,
            found => found?,
        };
        let there = old.as_ref().filter(|old| !old.is_over(now_ms));
        let content = match &change.what {
            What::Delete => None,
            What::Stays => there.map(|there| there.content.clone()),
            What::Put(value) => Some(put(rows, value)?),
            What::Fields(fields) => {
                let content = there.map(|there| there.content.clone());
                let Some(Content::Hash(generation)) = content else { return Err(other_kind(&change.key)) };
                for (field, value) in fields {
                    set_part(rows, generation, field, value.clone())?;
                }
                content
            }
            What::Members(members) => {
                let content = there.map(|there| there.content.clone());
                let Some(Content::SortedSet(generation)) = content else {
                    return Err(other_kind(&change.key));
                };
                for member in members {
                    set_part(rows, generation, &member.member, member.score.map(rows::of_score))?;
                }
                content
            }
        };
        let head = content.map(|content| ended(change, there, content, now_ms));
        if is_damaged {
            rows.delete(Space::Stores, rows::used(&at))?;
            self.counts.changed(&at, Counted::Lasting, Counted::Nothing);
            if head.is_none() {
                return rows.delete(Space::Stores, at);
            }
        }
        self.replace(rows, &at, old.as_ref(), head.as_ref())
    }

    /// As [`replace`], and counts what came and went.
    pub(super) fn replace(
        &self,
        rows: &mut Changes<'_>,
        at: &Bytes,
        old: Option<&Head>,
        new: Option<&Head>,
    ) -> Result<(), DiskError> {
        replace(rows, at, old, new)?;
        if let (Some(old), None) = (old, new) {
            self.has_died(at.len().saturating_add(old.content.bytes()));
        }
        self.counts.changed(at, Counted::of(old), Counted::of(new));
        Ok(())
    }

    /// A step: deletes all that `owner` has.
    pub(super) fn clear(&self, rows: &mut Changes<'_>, owner: &Owner) -> Result<(), DiskError> {
        let epoch = current_epoch(rows, owner)?;
        rows.put(Space::Stores, rows::cleared(owner, epoch), Bytes::new())?;
        let next = epoch.saturating_add(1);
        rows.put(Space::Stores, rows::epoch(owner), Bytes::copy_from_slice(&next.to_le_bytes()))?;
        self.counts.cleared(owner, next);
        Ok(())
    }
}

/// Writes the parts of a value that is put whole, under a generation of its own.
fn put(rows: &mut Changes<'_>, value: &StoredValue) -> Result<Content, DiskError> {
    Ok(match value {
        StoredValue::Blob(blob) => Content::Blob(blob.clone()),
        StoredValue::Counter(number) => Content::Counter(*number),
        StoredValue::Encoded { shape, bytes } => Content::Encoded { shape: *shape, bytes: bytes.clone() },
        StoredValue::Hash(hash) => {
            let generation = next_generation(rows)?;
            for (field, value) in hash.iter() {
                set_part(rows, generation, field, Some(value.clone()))?;
            }
            Content::Hash(generation)
        }
        StoredValue::SortedSet(set) => {
            let generation = next_generation(rows)?;
            for (member, score) in set.iter() {
                set_part(rows, generation, member, Some(rows::of_score(score)))?;
            }
            Content::SortedSet(generation)
        }
    })
}

/// A number that no collection has had. The last one lies among the values, so that a backup has it too.
fn next_generation(rows: &mut Changes<'_>) -> Result<Generation, DiskError> {
    let last = rows::number(rows.get(Space::Stores, rows::LAST_GENERATION)?, rows::LAST_GENERATION)?;
    let next = last.saturating_add(1);
    let row = Bytes::copy_from_slice(&next.to_le_bytes());
    rows.put(Space::Stores, Bytes::from_static(rows::LAST_GENERATION), row)?;
    Ok(next)
}

/// The epoch that an owner's values are of.
pub(super) fn current_epoch(rows: &Changes<'_>, owner: &Owner) -> Result<u64, DiskError> {
    let at = rows::epoch(owner);
    rows::number(rows.get(Space::Stores, &at)?, &at)
}

fn set_part(
    rows: &mut Changes<'_>,
    generation: Generation,
    name: &[u8],
    content: Option<Bytes>,
) -> Result<(), DiskError> {
    let at = rows::part(generation, name);
    match content {
        Some(content) => rows.put(Space::Stores, at, content),
        None => rows.delete(Space::Stores, at),
    }
}

/// Puts `new` in the place of `old`, with its rows of uses and in the index of ends; what `old` had parts of is garbage where `new` has not.
fn replace(
    rows: &mut Changes<'_>,
    at: &Bytes,
    old: Option<&Head>,
    new: Option<&Head>,
) -> Result<(), DiskError> {
    let generation = |head: Option<&Head>| head.and_then(|head| head.content.generation());
    if let Some(gone) = generation(old).filter(|gone| generation(new) != Some(*gone)) {
        rows.put(Space::Stores, rows::garbage(gone), Bytes::new())?;
    }
    let end = |head: Option<&Head>| head.and_then(|head| rows::end(head.ends_ms(), at));
    let (ended, ends) = (end(old), end(new));
    if ended != ends {
        if let Some(ended) = ended {
            rows.delete(Space::StoreExpiry, ended)?;
        }
        if let Some(ends) = ends {
            rows.put(Space::StoreExpiry, ends, Bytes::new())?;
        }
    }
    let used = |head: Option<&Head>| head.and_then(|head| head.used_ms);
    match (used(old), used(new)) {
        (before, Some(after)) if before != Some(after) => {
            let row = Bytes::copy_from_slice(&after.to_le_bytes());
            rows.put(Space::Stores, rows::used(at), row)?;
        }
        (Some(_), None) => rows.delete(Space::Stores, rows::used(at))?,
        _ => {}
    }
    match new {
        Some(new) if old.is_some_and(|old| old.has_row_of(new)) => Ok(()),
        Some(new) => rows.put(Space::Stores, at.clone(), new.encode()),
        None if old.is_none() => Ok(()),
        None => rows.delete(Space::Stores, at.clone()),
    }
}

/// What a change makes of a value, and of what was there.
fn ended(change: &Change, there: Option<&Head>, content: Content, now_ms: u64) -> Head {
    let before = there.map(|there| (there.at_most_ms, there.ends_unused_ms()));
    let (at_most_ms, unused_ms) = ends(change.ends, before, now_ms);
    match there {
        // Its row stays as it is: a use costs no more where the value is large.
        Some(there) if matches!(change.ends, Ends::Used(_)) && !matches!(change.what, What::Put(_)) => {
            let used_ms = (unused_ms != there.unused_ms).then_some(unused_ms);
            Head { at_most_ms, unused_ms: there.unused_ms, used_ms, content }
        }
        _ => Head { at_most_ms, unused_ms, used_ms: None, content },
    }
}

/// When a value ends, at most and unused, of one that ended so before, if it was there.
fn ends(ends: Ends, before: Option<(u64, u64)>, now_ms: u64) -> (u64, u64) {
    let after = |span: std::time::Duration| {
        now_ms.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    };
    let (at_most, unused) = before.unwrap_or((NEVER_MS, NEVER_MS));
    match ends {
        Ends::AsBefore => (at_most, unused),
        Ends::Never => (NEVER_MS, NEVER_MS),
        Ends::After(span) => (after(span), NEVER_MS),
        Ends::Unused(idle, max) => (after(max), after(idle)),
        Ends::Used(_) if unused == NEVER_MS => (at_most, unused),
        Ends::Used(idle) => (at_most, after(idle).max(unused)),
    }
}

/// A change of part of what is not there, or of another kind: memory and disk do not agree.
fn other_kind(key: &[u8]) -> DiskError {
    DiskError::Damaged {
        place: format!("the value of {:?}", key.escape_ascii().to_string()),
        problem: "it is not what was to be changed in part: write it whole, or delete it".into(),
    }
}

//! What is done in the background: what has ended goes, and what was deleted or cleared in one row goes row by row.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use forebay::rt::Tasks;

use crate::disk::{Changes, DiskError, Durability, Page, Scan, Space};

use super::Shared;
use super::rows::{self, Head};
use super::steps::replace;

/// How often it looks what there is to do.
const EVERY: Duration = Duration::from_secs(1);
/// The most rows that one step reads or deletes.
const STEP_ROWS: usize = 256;
/// The most steps of each kind at a time: other work comes between.
const STEPS_MAX: usize = 64;

type Step = fn(&Shared, &mut Changes<'_>) -> Result<bool, DiskError>;

/// Starts the work; it ends with the store.
pub(super) fn start(tasks: &Tasks, shared: &Arc<Shared>) {
    let (weak, clock) = (Arc::downgrade(shared), shared.clock.clone());
    tasks.spawn(async move {
        loop {
            clock.sleep(EVERY).await;
            if weak.upgrade().is_none() {
                return;
            }
            for step in [Shared::end, Shared::empty, Shared::collect] as [Step; 3] {
                // What cannot be done now is tried again at the next look; whoever writes is told why.
                let _ = repeat(&weak, step).await;
            }
        }
    });
}

async fn repeat(weak: &Weak<Shared>, step: Step) -> Result<(), DiskError> {
    for _ in 0..STEPS_MAX {
        let Some(shared) = weak.upgrade() else { return Ok(()) };
        let of = Arc::clone(&shared);
        let step = move |changes: &mut Changes<'_>| step(&of, changes);
        if !shared.disk.change(STEP_ROWS * 128, Durability::OsWritten, step).await? {
            return Ok(());
        }
    }
    Ok(())
}

impl Shared {
    /// A step: removes values that have ended; whether there may be more.
    fn end(&self, changes: &mut Changes<'_>) -> Result<bool, DiskError> {
        let now_ms = self.now_ms();
        let page = first(changes, Space::StoreExpiry, Bytes::new())?;
        let mut ended = 0;
        for (row, _) in &page.rows {
            let Some((_, at)) = rows::of_end(row).filter(|(second, _)| *second <= now_ms / 1000) else {
                break;
            };
            ended += 1;
            let head = match changes.get(Space::Stores, &at).and_then(|found| Head::read(found, &at)) {
                // It stays for whoever restores it.
                Err(DiskError::Damaged { .. }) => None,
                head => head?,
            };
            if let Some(head) = head.filter(|head| head.is_over(now_ms)) {
                replace(changes, &at, Some(&head), None)?;
            }
            changes.delete(Space::StoreExpiry, row.clone())?;
        }
        Ok(page.more && ended == page.rows.len())
    }

    /// A step: deletes values of epochs that are over; whether there is more to do.
    fn empty(&self, changes: &mut Changes<'_>) -> Result<bool, DiskError> {
        let cleared = first(changes, Space::Stores, Bytes::from_static(rows::ALL_CLEARED))?;
        let Some((row, _)) = cleared.rows.first() else { return Ok(false) };
        let page = first(changes, Space::Stores, rows::of_cleared(row))?;
        for (at, found) in &page.rows {
            let head = Head::read(Some(found.clone()), at).unwrap_or(None);
            replace(changes, at, head.as_ref(), None)?;
            changes.delete(Space::Stores, at.clone())?;
        }
        if !page.more {
            changes.delete(Space::Stores, row.clone())?;
        }
        Ok(page.more || cleared.rows.len() > 1)
    }

    /// A step: deletes parts of collections that are garbage; whether there is more to do.
    fn collect(&self, changes: &mut Changes<'_>) -> Result<bool, DiskError> {
        let garbage = first(changes, Space::Stores, Bytes::from_static(rows::ALL_GARBAGE))?;
        let mut left = STEP_ROWS;
        for (row, _) in &garbage.rows {
            let parts = rows::of_garbage(row).map(|generation| rows::part(generation, b""));
            let page = match parts {
                Some(parts) => {
                    changes.scan(&Scan { space: Space::Stores, prefix: parts, after: None, limit: left })?
                }
                None => Page::default(),
            };
            for (at, _) in &page.rows {
                changes.delete(Space::Stores, at.clone())?;
            }
            left = left.saturating_sub(page.rows.len());
            if page.more || left == 0 {
                return Ok(true);
            }
            changes.delete(Space::Stores, row.clone())?;
        }
        Ok(garbage.more)
    }
}

/// The first rows that begin with `prefix`.
fn first(changes: &Changes<'_>, space: Space, prefix: Bytes) -> Result<Page, DiskError> {
    changes.scan(&Scan { space, prefix, after: None, limit: STEP_ROWS })
}

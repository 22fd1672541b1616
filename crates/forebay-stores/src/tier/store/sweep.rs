//! What is done in the background: what has ended goes, what was deleted or cleared in one row goes row by row, and files shrink again.
//!
//! A record that is damaged is named in the log and holds up no other.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use forebay::rt::atomic::Ordering;
use forebay::rt::{Clock, Tasks};

use crate::disk::{Changes, DiskError, Durability, Page, Scan, Space};

use super::Shared;
use super::rows::{self, Head, NEVER_MS};
use crate::tier::{DEAD_BYTES_MIN, Upkeep};

/// How often it looks what there is to do.
const EVERY: Duration = Duration::from_secs(1);
/// The most rows that one step reads or deletes.
const STEP_ROWS: usize = 256;
/// The most steps of each kind at a time: other work comes between.
const STEPS_MAX: usize = 64;

/// Where it all lies.
const SPACES: [Space; 2] = [Space::Stores, Space::StoreExpiry];

type Step = fn(&Shared, &mut Changes<'_>) -> Result<bool, DiskError>;

/// Starts the work; it ends with the store.
pub(super) fn start(tasks: &Tasks, shared: &Arc<Shared>) {
    let (weak, clock) = (Arc::downgrade(shared), shared.clock.clone());
    tasks.spawn(async move {
        let mut steps =
            [Shared::end as Step, Shared::empty, Shared::collect].map(|step| (step, Upkeep::default()));
        while let Some(weak) = looked(&clock, &weak).await {
            for (step, upkeep) in &mut steps {
                // What cannot be done now is tried again at the next look.
                upkeep.ended(repeat(weak, *step).await);
            }
        }
    });
    // Beside the others: it may take minutes, and what ends goes meanwhile.
    let (weak, clock) = (Arc::downgrade(shared), shared.clock.clone());
    tasks.spawn(async move {
        let mut upkeep = Upkeep::default();
        while let Some(weak) = looked(&clock, &weak).await {
            upkeep.ended(compact(weak).await);
        }
    });
}

/// The store at the next look; nothing where it is gone.
async fn looked<'w>(clock: &Clock, weak: &'w Weak<Shared>) -> Option<&'w Weak<Shared>> {
    clock.sleep(EVERY).await;
    (weak.strong_count() > 0).then_some(weak)
}

async fn repeat(weak: &Weak<Shared>, step: Step) -> Result<(), DiskError> {
    for _ in 0..STEPS_MAX {
        let Some(shared) = weak.upgrade() else { return Ok(()) };
        let of = Arc::clone(&shared);
        let step = move |changes: &mut Changes<'_>| of.counts.keep(None, || step(&of, changes));
        if !shared.disk.change(STEP_ROWS * 128, Durability::OsWritten, step).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Gives the room of what was deleted back, where that is much: a third of what the tables take, of which it is not known how far they are compressed.
/// What was replaced goes as files grow.
async fn compact(weak: &Weak<Shared>) -> Result<(), DiskError> {
    let Some(shared) = weak.upgrade() else { return Ok(()) };
    let dead = shared.dead_bytes.load(Ordering::Acquire);
    if dead < DEAD_BYTES_MIN || dead < shared.disk.table_bytes(&SPACES).await? / 3 {
        return Ok(());
    }
    // Also where it fails: it would take as long again, and is worth that once as much more was deleted.
    shared.dead_bytes.fetch_sub(dead, Ordering::AcqRel);
    shared.disk.compact(&SPACES).await
}

impl Shared {
    /// Notes that so many bytes were deleted.
    pub(super) fn has_died(&self, bytes: usize) {
        self.dead_bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::AcqRel);
    }

    /// A step: removes values that have ended; whether there may be more.
    fn end(&self, changes: &mut Changes<'_>) -> Result<bool, DiskError> {
        let now_ms = self.now_ms();
        let now = now_ms / 1000;
        let from = self.swept_to.load(Ordering::Acquire);
        let after = (from > 0).then(|| Bytes::copy_from_slice(&from.to_be_bytes()));
        let page = page(changes, Space::StoreExpiry, Bytes::new(), after, STEP_ROWS)?;
        let mut ended = 0;
        for (row, _) in &page.rows {
            let Some((second, at)) = rows::of_end(row).filter(|(second, _)| *second <= now) else {
                break;
            };
            ended += 1;
            // One that is damaged stays for whoever restores it.
            let head = Head::find(&at, |at| changes.get(Space::Stores, at));
            let head = match head {
                Err(error @ DiskError::Damaged { .. }) => skipped(&error),
                head => head?,
            };
            if let Some(head) = head.filter(|head| head.is_over(now_ms)) {
                self.replace(changes, &at, Some(&head), None)?;
            }
            changes.delete(Space::StoreExpiry, row.clone())?;
            self.swept_to.store(second, Ordering::Release);
        }
        let is_full = page.more && ended == page.rows.len();
        if !is_full {
            self.swept_to.store(now, Ordering::Release);
        }
        Ok(is_full)
    }

    /// A step: deletes values of epochs that are over; whether there is more to do.
    fn empty(&self, changes: &mut Changes<'_>) -> Result<bool, DiskError> {
        let cleared = page(changes, Space::Stores, Bytes::from_static(rows::ALL_CLEARED), None, 2)?;
        let Some((row, _)) = cleared.rows.first() else { return Ok(false) };
        let page = page(changes, Space::Stores, rows::of_cleared(row), None, STEP_ROWS)?;
        for (at, found) in &page.rows {
            let head = found.clone().and_then(|found| Head::read(found, at));
            let head = head.map_or_else(|error| skipped(&error), Some);
            self.replace(changes, at, head.as_ref(), None)?;
            changes.delete(Space::Stores, at.clone())?;
            if head.is_none_or(|head| head.unused_ms != NEVER_MS) {
                changes.delete(Space::Stores, rows::used(at))?;
            }
        }
        if !page.more {
            changes.delete(Space::Stores, row.clone())?;
        }
        Ok(page.more || cleared.rows.len() > 1)
    }

    /// A step: deletes parts of collections that are garbage; whether there is more to do.
    fn collect(&self, changes: &mut Changes<'_>) -> Result<bool, DiskError> {
        let garbage = page(changes, Space::Stores, Bytes::from_static(rows::ALL_GARBAGE), None, STEP_ROWS)?;
        let mut left = STEP_ROWS;
        for (row, _) in &garbage.rows {
            if let Some(generation) = rows::of_garbage(row) {
                let parts = page(changes, Space::Stores, rows::part(generation, b""), None, left)?;
                for (at, part) in &parts.rows {
                    changes.delete(Space::Stores, at.clone())?;
                    self.has_died(at.len().saturating_add(part.as_ref().map_or(0, Bytes::len)));
                }
                left = left.saturating_sub(parts.rows.len());
                if parts.more || left == 0 {
                    return Ok(true);
                }
            }
            changes.delete(Space::Stores, row.clone())?;
        }
        Ok(garbage.more)
    }
}

/// Names what cannot be read, and goes on without it.
fn skipped<T>(error: &DiskError) -> Option<T> {
    tracing::warn!(%error, "what has ended is removed without it");
    None
}

/// The first rows after `after` that begin with `prefix`, those that are damaged among them: what a sweep needs to know of most is
/// in their keys.
fn page(
    changes: &Changes<'_>,
    space: Space,
    prefix: Bytes,
    after: Option<Bytes>,
    limit: usize,
) -> Result<Page<Result<Bytes, DiskError>>, DiskError> {
    changes.scan_past_damage(&Scan { space, prefix, after, limit })
}

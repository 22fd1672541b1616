//! What is done in the background: what has ended goes, the budget is kept, files shrink again.
//!
//! The index of ends is read from its beginning, some rows a step; nothing that is still of use is looked at.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use forebay::rt::Tasks;
use forebay::value::Position;

use crate::disk::{Changes, DiskError, Durability, Scan, Space};

use super::state::State;
use super::steps::size_of_row;
use super::{REMEMBERED_KEY, Shared, keys};

/// How often it looks what has ended.
const EVERY: Duration = Duration::from_secs(1);
/// The most rows of the index that one step reads.
const STEP_ROWS: usize = 256;
/// The most steps at a time: other work comes between.
const STEPS_MAX: usize = 64;
/// The most rows that go to make room within the step of a fill.
const ROOM_ROWS: usize = 64;
/// Every so many looks the groups are looked at, and the time is noted.
const LONG_EVERY: u64 = 10;
/// The most rows of groups that go at a time.
const GROUPS_STEP: usize = 1024;
/// Files are compacted once so much of them was deleted or replaced, and half as much as is held.
const DEAD_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// Starts the work; it ends with the tier, or with `tasks`.
pub(super) fn start(tasks: &Tasks, shared: &Arc<Shared>) {
    let (weak, clock) = (Arc::downgrade(shared), shared.clock.clone());
    tasks.spawn(async move {
        let mut look = 0_u64;
        loop {
            clock.sleep(EVERY).await;
            look = look.wrapping_add(1);
            // What cannot be done now is tried again at the next look; whoever writes is told why.
            let _ = sweep(&weak, look.is_multiple_of(LONG_EVERY)).await;
            if weak.upgrade().is_none_or(|shared| shared.state.lock().closed) {
                return;
            }
        }
    });
}

async fn sweep(weak: &Weak<Shared>, is_long: bool) -> Result<(), DiskError> {
    for _ in 0..STEPS_MAX {
        let Some(shared) = weak.upgrade() else { return Ok(()) };
        let step = Arc::clone(&shared);
        let step = move |changes: &mut Changes<'_>| step.sweep(changes);
        if !shared.disk.change(STEP_ROWS * 128, Durability::OsWritten, step).await? {
            break;
        }
    }
    let Some(shared) = weak.upgrade() else { return Ok(()) };
    shared.state.lock().forget(shared.clock.now());
    if is_long {
        let step = Arc::clone(&shared);
        let step = move |changes: &mut Changes<'_>| step.forget_groups(changes);
        shared.disk.change(GROUPS_STEP * 64, Durability::OsWritten, step).await?;
        shared.note_time(Durability::OsWritten).await?;
    }
    let dead = {
        let state = shared.state.lock();
        let enough = DEAD_BYTES_MIN.max(state.remembered.bytes / 2);
        (state.dead_bytes >= enough).then_some(state.dead_bytes)
    };
    if let Some(dead) = dead {
        shared.disk.compact(&[Space::Entries, Space::Expiry]).await?;
        let mut state = shared.state.lock();
        state.dead_bytes = state.dead_bytes.saturating_sub(dead);
    }
    Ok(())
}

impl Shared {
    /// A step: removes what has ended; whether there may be more.
    fn sweep(&self, changes: &mut Changes<'_>) -> Result<bool, DiskError> {
        let (now, from) = (self.now_ms() / 1000, self.state.lock().swept_to);
        let page = changes.scan(&first_rows(from, STEP_ROWS))?;
        let ended = page.rows.iter().map_while(|(row, size)| {
            let (second, at) = keys::of_expiry(row)?;
            (second <= now).then_some((second, at, row, size))
        });
        let ended: Vec<_> = ended.collect();
        let is_full = ended.len() == page.rows.len() && page.more;
        let mut state = self.state.lock();
        for (second, at, row, size) in &ended {
            remove(&mut state, changes, at, row, size)?;
            state.swept_to = *second;
        }
        if !is_full {
            state.swept_to = now;
        }
        drop(state);
        self.make_room(changes)?;
        let mut state = self.state.lock();
        let is_over = state.remembered.bytes > self.budget_bytes;
        if is_over || !ended.is_empty() {
            changes.put(Space::State, REMEMBERED_KEY, self.row(&mut state))?;
        }
        Ok(is_full || is_over)
    }

    /// Within a step: what ends first goes until the budget is kept, or enough was done for one step.
    pub(super) fn make_room(&self, changes: &mut Changes<'_>) -> Result<(), DiskError> {
        let from = {
            let state = self.state.lock();
            if state.remembered.bytes <= self.budget_bytes {
                return Ok(());
            }
            state.swept_to
        };
        let page = changes.scan(&first_rows(from, ROOM_ROWS))?;
        let mut state = self.state.lock();
        for (row, size) in &page.rows {
            let Some((_, at)) = keys::of_expiry(row) else { continue };
            if state.remembered.bytes <= self.budget_bytes {
                break;
            }
            remove(&mut state, changes, &at, row, size)?;
        }
        Ok(())
    }

    /// A step: forgets groups whose entries have all ended.
    fn forget_groups(&self, changes: &mut Changes<'_>) -> Result<(), DiskError> {
        let (now, now_ms) = (self.clock.now(), self.now_ms());
        let mut state = self.state.lock();
        let earliest = state.earliest_noted(now).map(Position::number);
        for key in state.groups.useless(now_ms, earliest, GROUPS_STEP) {
            state.groups.remove(&key);
            changes.delete(Space::Groups, key)?;
        }
        Ok(())
    }
}

fn remove(
    state: &mut State,
    changes: &mut Changes<'_>,
    at: &Bytes,
    row: &Bytes,
    size: &[u8],
) -> Result<(), DiskError> {
    let size = size_of_row(size);
    state.remembered.bytes = state.remembered.bytes.saturating_sub(size);
    state.dead_bytes = state.dead_bytes.saturating_add(size);
    changes.delete(Space::Expiry, row.clone())?;
    changes.delete(Space::Entries, at.clone())
}

/// The first rows of the index that were not swept.
fn first_rows(from_second: u64, limit: usize) -> Scan {
    let after = (from_second > 0).then(|| Bytes::copy_from_slice(&from_second.to_be_bytes()));
    Scan { space: Space::Expiry, prefix: Bytes::new(), after, limit }
}

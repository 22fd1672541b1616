//! What is done in the background: what has ended goes, the budget is kept, files shrink again.
//!
//! The index of ends is read from its beginning, some rows a step; nothing that is still of use is looked at. A row of it that is
//! damaged goes with its entry, and is named in the log.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use forebay::rt::Tasks;
use forebay::value::Position;

use crate::disk::{Changes, DiskError, Durability, Page, Scan, Space};
use crate::tier::{DEAD_BYTES_MIN, Upkeep};

use super::state::State;
use super::steps::{size_of, size_of_row};
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

/// Starts the work; it ends with the tier, or with `tasks`.
pub(super) fn start(tasks: &Tasks, shared: &Arc<Shared>) {
    let (weak, clock) = (Arc::downgrade(shared), shared.clock.clone());
    tasks.spawn(async move {
        let (mut look, mut upkeep) = (0_u64, Upkeep::default());
        loop {
            clock.sleep(EVERY).await;
            look = look.wrapping_add(1);
            // What cannot be done now is tried again at the next look.
            upkeep.ended(sweep(&weak, look.is_multiple_of(LONG_EVERY)).await);
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
    let is_worth_it = {
        let mut state = shared.state.lock();
        let is_worth_it = state.dead_bytes >= DEAD_BYTES_MIN.max(state.remembered.bytes / 2);
        if is_worth_it {
            // Also where it fails: it would take as long again, and is worth that once as much more was deleted.
            state.dead_bytes = 0;
        }
        is_worth_it
    };
    if is_worth_it {
        shared.disk.compact(&[Space::Entries, Space::Expiry]).await?;
    }
    Ok(())
}

/// A row of the index.
struct End {
    second: u64,
    /// Where its entry lies.
    at: Bytes,
    row: Bytes,
    /// What the two take, in bytes.
    size: u64,
    damage: Option<DiskError>,
}

impl Shared {
    /// A step: removes what has ended; whether there may be more.
    fn sweep(&self, changes: &mut Changes<'_>) -> Result<bool, DiskError> {
        let (now, from) = (self.now_ms() / 1000, self.state.lock().swept_to);
        let (ends, more) = self.first_ends(changes, from, STEP_ROWS)?;
        let ended: Vec<&End> = ends.iter().take_while(|end| end.second <= now).collect();
        let is_full = ended.len() == ends.len() && more;
        let mut state = self.state.lock();
        for end in &ended {
            remove(&mut state, changes, end)?;
            state.swept_to = end.second;
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
        let (ends, _) = self.first_ends(changes, from, ROOM_ROWS)?;
        let mut state = self.state.lock();
        for end in &ends {
            if state.remembered.bytes <= self.budget_bytes {
                break;
            }
            remove(&mut state, changes, end)?;
        }
        Ok(())
    }

    /// The first rows of the index that were not swept, and whether there are more. What one that is damaged does not tell is
    /// looked for in its entry.
    fn first_ends(
        &self,
        changes: &Changes<'_>,
        from: u64,
        limit: usize,
    ) -> Result<(Vec<End>, bool), DiskError> {
        let after = (from > 0).then(|| Bytes::copy_from_slice(&from.to_be_bytes()));
        let scan = Scan { space: Space::Expiry, prefix: Bytes::new(), after, limit };
        let Page { rows, more } = changes.scan_past_damage(&scan)?;
        let end = |(row, size): (Bytes, Result<Bytes, DiskError>)| {
            let (second, at) = keys::of_expiry(&row).unwrap_or_default();
            let (size, damage) = match size {
                Ok(size) => (size_of_row(&size), None),
                Err(damage) => {
                    let entry = changes.get(Space::Entries, &at).ok().flatten();
                    (entry.map_or(0, |entry| size_of(&at, entry.len())), Some(damage))
                }
            };
            End { second, at, row, size, damage }
        };
        Ok((rows.into_iter().map(end).collect(), more))
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

fn remove(state: &mut State, changes: &mut Changes<'_>, end: &End) -> Result<(), DiskError> {
    if let Some(error) = &end.damage {
        tracing::warn!(%error, "the copy whose end it tells is dropped");
        state.damaged += 1;
    }
    state.remembered.bytes = state.remembered.bytes.saturating_sub(end.size);
    state.dead_bytes = state.dead_bytes.saturating_add(end.size);
    changes.delete(Space::Expiry, end.row.clone())?;
    changes.delete(Space::Entries, end.at.clone())
}

//! How many values each owner has, kept as they come and go once somebody has asked.
//!
//! Nobody asks, and nothing is kept. Who asks first has the owner's values looked through, a page in a step of the disk's writer: what
//! changes up to where that has come is added or taken away, what changes behind it is met there. So no page has to be read twice, and
//! from the end of it on the count is exact: one number for each step that the writer takes. A count is never written. Within the step that
//! fails it is forgotten, since what that had told of does not come to be, and with the process; the next who asks has it made anew.
//!
//! What has ended is not counted, but for what is beyond [`ENDED_MAX`] values that wait to be swept away.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use bytes::Bytes;
use forebay::rt::Mutex;
use forebay::rt::atomic::{AtomicBool, Ordering};
use forebay::tier::shared::Owner;
use forebay::tier::store::Count;

use crate::disk::{Changes, DiskError, Page, Scan, Space};

use super::Shared;
use super::rows::{self, Head, NEVER_MS};
use super::steps::current_epoch;

/// The most rows that one step looks at, and about the most bytes of them. One row may have more.
const STEP_ROWS: usize = 1_024;
const STEP_BYTES: usize = 4 * 1024 * 1024;

/// The most values that have ended, and are not swept away yet, which a count leaves out.
const ENDED_MAX: usize = 4_096;
/// How many ends are read at a time.
const ENDS: usize = 64;

/// The counts of a store.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Whether any is kept: who changes values looks no further otherwise.
    are_kept: AtomicBool,
    /// By how the rows of the owner's values begin, of whatever epoch. Only steps enter, of which there is one at a time.
    by_owner: Mutex<BTreeMap<Bytes, Counting>>,
}

/// The count of one owner, as far as it has come.
#[derive(Debug)]
struct Counting {
    epoch: u64,
    count: Count,
    /// The last row that was looked at; `None` once it is the count of all.
    to: Option<Bytes>,
}

/// What is at the place of a value, as far as counts go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Nothing,
    /// A value that never ends, or one that is damaged.
    Lasting,
    Ending,
}

impl Counted {
    pub(super) fn of<C>(head: Option<&Head<C>>) -> Self {
        match head.map(Head::ends_ms) {
            None => Self::Nothing,
            Some(NEVER_MS) => Self::Lasting,
            Some(_) => Self::Ending,
        }
    }

    fn add_to(self, count: &mut Count) {
        count.keys += u64::from(self != Self::Nothing);
        count.ending += u64::from(self == Self::Ending);
    }

    fn take_from(self, count: &mut Count) {
        count.keys = count.keys.saturating_sub(u64::from(self != Self::Nothing));
        count.ending = count.ending.saturating_sub(u64::from(self == Self::Ending));
    }
}

impl Counts {
    /// Within a step: at `at` there is `is` from now on, where `was` was.
    pub(super) fn changed(&self, at: &[u8], was: Counted, is: Counted) {
        if was == is || !self.are_kept.load(Ordering::Acquire) {
            return;
        }
        let mut by_owner = self.by_owner.lock();
        // No owner's rows begin like those of another: the last that is not behind `at` is the one, or none is.
        let before = by_owner.range_mut::<[u8], _>((Bound::Unbounded, Bound::Included(at))).next_back();
        let Some((owner, counting)) = before.filter(|(owner, _)| at.starts_with(owner)) else { return };
        let is_of_epoch = rows::epoch_of_value(at, owner) == Some(counting.epoch);
        if is_of_epoch && counting.to.as_ref().is_none_or(|to| at <= &to[..]) {
            was.take_from(&mut counting.count);
            is.add_to(&mut counting.count);
        }
    }

    /// Within a step: all that `owner` had is gone, and `epoch` begins.
    pub(super) fn cleared(&self, owner: &Owner, epoch: u64) {
        if let Some(counting) = self.by_owner.lock().get_mut(&rows::owned_values(owner)) {
            *counting = Counting { epoch, count: Count::default(), to: None };
        }
    }

    /// Takes a step that changes values of `owner`, or of any. Where it fails or panics, the counts of those are forgotten before the
    /// next step: they may have what it told of, and none of it is done.
    pub(super) fn keep<T>(
        &self,
        owner: Option<&Owner>,
        step: impl FnOnce() -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        let done = catch_unwind(AssertUnwindSafe(step));
        if !matches!(done, Ok(Ok(_))) {
            self.forget(owner);
        }
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Keeps nothing of `owner`, or of any, until somebody asks again.
    fn forget(&self, owner: Option<&Owner>) {
        if !self.are_kept.load(Ordering::Acquire) {
            return;
        }
        let mut by_owner = self.by_owner.lock();
        match owner {
            Some(owner) => drop(by_owner.remove(&rows::owned_values(owner))),
            None => by_owner.clear(),
        }
        self.are_kept.store(!by_owner.is_empty(), Ordering::Release);
    }
}

impl Shared {
    /// A step: looks at a page of what `owner` has; the count of what has not ended, once that was the last.
    pub(super) fn count(&self, changes: &Changes<'_>, owner: &Owner) -> Result<Option<Count>, DiskError> {
        let Some(Count { keys, ending }) = self.count_page(changes, owner)? else { return Ok(None) };
        let ended = self.unswept(changes, owner)?;
        Ok(Some(Count { keys: keys.saturating_sub(ended), ending: ending.saturating_sub(ended) }))
    }

    /// How many values of `owner` have ended and are there still.
    fn unswept(&self, changes: &Changes<'_>, owner: &Owner) -> Result<u64, DiskError> {
        let (of, epoch, now_ms) = (rows::owned_values(owner), current_epoch(changes, owner)?, self.now_ms());
        let from = self.swept_to.load(Ordering::Acquire);
        let mut after = (from > 0).then(|| Bytes::copy_from_slice(&from.to_be_bytes()));
        let mut ended = 0;
        for _ in 0..ENDED_MAX / ENDS {
            let scan = Scan { space: Space::StoreExpiry, prefix: Bytes::new(), after, limit: ENDS };
            let Page { rows, more } = changes.scan_past_damage(&scan)?;
            for (row, _) in &rows {
                let Some((second, at)) = rows::of_end(row) else { continue };
                if second > now_ms / 1000 + 1 {
                    return Ok(ended);
                }
                if rows::epoch_of_value(&at, &of) != Some(epoch) {
                    continue;
                }
                match Head::find(&at, |at| changes.get(Space::Stores, at)) {
                    Ok(head) => {
                        // The end of one that was damaged when it was replaced is there still, beside that of the new one.
                        let is_its = |head: &Head| rows::end(head.ends_ms(), &at).as_ref() == Some(row);
                        ended += u64::from(head.is_some_and(|head| is_its(&head) && head.is_over(now_ms)));
                    }
                    // It is taken for one that does not end.
                    Err(DiskError::Damaged { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            if !more {
                break;
            }
            after = rows.into_iter().next_back().map(|(row, _)| row);
        }
        Ok(ended)
    }

    fn count_page(&self, changes: &Changes<'_>, owner: &Owner) -> Result<Option<Count>, DiskError> {
        let (key, epoch) = (rows::owned_values(owner), current_epoch(changes, owner)?);
        let prefix = rows::values(owner, epoch).freeze();
        let mut by_owner = self.counts.by_owner.lock();
        let (mut count, after) = match by_owner.get(&key).filter(|it| it.epoch == epoch) {
            Some(Counting { count, to: None, .. }) => return Ok(Some(*count)),
            Some(Counting { count, to, .. }) => (*count, to.clone()),
            None => (Count::default(), None),
        };
        let scan = Scan { space: Space::Stores, prefix, after, limit: STEP_ROWS };
        let read = |at: &[u8], row: Result<Bytes, DiskError>| Ok(Head::read(row?, at)?.end_only());
        let Page { rows, more } = changes.scan_as(&scan, STEP_BYTES, read)?;
        let to = rows.last().filter(|_| more).map(|(at, _)| at.clone());
        for (at, head) in rows {
            let counted = match head.and_then(|head| head.used(&at, |at| changes.get(Space::Stores, at))) {
                Ok(head) => Counted::of(Some(&head)),
                Err(DiskError::Damaged { .. }) => Counted::Lasting,
                Err(error) => return Err(error),
            };
            counted.add_to(&mut count);
        }
        by_owner.insert(key, Counting { epoch, count, to: to.clone() });
        self.counts.are_kept.store(true, Ordering::Release);
        Ok(to.is_none().then_some(count))
    }
}

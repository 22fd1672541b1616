//! The embedded tier: copies and their log on a [`Disk`], for the engines of one process.
//!
//! It keeps the contract of [`SharedTier`]: leases and the log live in memory, entries on disk. Every change of entries is a step of the
//! disk's writer: it looks at what is held and at the leases, and changes both, with no other change between. An invalidation
//! takes the lease and the entry in such a step and is told by the log once the system has it; then it is answered. So no
//! end of the process brings back what an answered invalidation took (promise P1).
//!
//! # Restarts
//!
//! The epoch goes on, and entries stay valid, where everything is there that was answered: the disk was closed, or the machine has run on
//! since, and the tier was in use in the disk's last run. Groups that were invalidated are remembered with the entries they
//! judge (`groups.rs`). Otherwise, or where the time of day is behind what it was, a new epoch begins without entries.
//!
//! # Time
//!
//! On disk there are times of day. The machine is asked for the time once, when the tier is opened; from then on its own clock
//! counts, so that a change of the time of day changes nothing while the process lives.
//!
//! `keys.rs` says where things lie, `entry.rs` how an entry is written, `state.rs` what is in memory, `steps.rs` what is done to
//! entries, `sweep.rs` what is done in the background.

mod entry;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod groups;
mod keys;
mod state;
mod steps;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forebay::log::{Batch, Cursor, InstanceId, LIVE_FOR, Log, LogError, Record, Reply as LogReply, WAIT_MAX};
use forebay::rt::{Clock, Mutex, Tasks, Tick};
use forebay::tier::shared::{
    Answer, Answers, Capabilities, EnvelopeValue, Fill, Filled, Lease, LeaseTerms, Owner, Reply, SharedTier,
    TierError,
};
use tokio::sync::Notify;

use crate::disk::{Changes, Disk, DiskError, Durability, Machine, Scan, Space};

use groups::{Groups, Marks};
use state::{Remembered, State};
use steps::Held;

/// The most keys in one call.
const BATCH_KEYS_MAX: usize = 1024;
/// The most leases that live at once; beyond it a `get` with a lease is refused.
const LEASES_MAX: usize = 1 << 20;
/// The row that the tier remembers itself by.
const REMEMBERED_KEY: &[u8] = b"cache";
/// How many rows are read at once when it is opened.
const PAGE_ROWS: usize = 4096;

/// How the tier is opened.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// What entries may take on disk, about, in bytes; beyond it those go that end first. Default 1 GiB. Files take more than
    /// that for a time: what was deleted or replaced goes when they are compacted, and journals are kept up to some 128 MiB.
    pub budget_bytes: u64,
    /// The largest value, in bytes. Default 16 MiB.
    pub value_bytes_max: usize,
    /// The clock of leases, of expiry and of the log's waits. Default: the system's.
    pub clock: Clock,
    /// The time of day, in milliseconds since 1970; default: the machine is asked. Tests play another.
    pub unix_ms: Option<u64>,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            budget_bytes: 1024 * 1024 * 1024,
            value_bytes_max: 16 * 1024 * 1024,
            clock: Clock::system(),
            unix_ms: None,
        }
    }
}

/// What the tier holds, and what it has met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmbeddedStats {
    /// What entries take, about, in bytes.
    pub bytes: u64,
    /// Leases that were not seen to have ended.
    pub leases: usize,
    /// Groups that are remembered as invalidated.
    pub groups: usize,
    /// Copies that were damaged, and dropped, since it was opened.
    pub damaged: u64,
}

/// The shared tier of the engines of one process, on a disk. One of them may be open on a disk at a time.
///
/// Its background work ends with it, or with [`close`](Self::close).
#[derive(Debug)]
pub struct EmbeddedTier {
    shared: Arc<Shared>,
    _tasks: Tasks,
}

/// What steps on the writer's thread share with the tier.
#[derive(Debug)]
struct Shared {
    disk: Disk,
    state: Mutex<State>,
    clock: Clock,
    /// The time of day at tick zero of the clock.
    unix_ms_at_zero: u64,
    run: u64,
    budget_bytes: u64,
    value_bytes_max: usize,
    /// Told whenever the log has news or an instance has acknowledged: who waits is woken in the order in which they began to.
    changes: Notify,
}

/// The lease that an asker may get, until it is seen that there is need for it.
struct Tentative<'a> {
    shared: &'a Shared,
    at: Bytes,
    lease: Option<Lease>,
}

impl Drop for Tentative<'_> {
    fn drop(&mut self) {
        if let Some(lease) = self.lease {
            self.shared.state.lock().end(&self.at, Some(lease));
        }
    }
}

impl EmbeddedTier {
    /// Opens the tier on a disk.
    ///
    /// # Errors
    /// [`DiskError::Refused`] outside a tokio runtime; otherwise what the disk says. Damaged copies are no error: they are dropped.
    pub async fn open(disk: Disk, options: EmbeddedOptions) -> Result<Self, DiskError> {
        let problem = "there is no tokio runtime: open the tier on one".to_owned();
        let tasks = Tasks::current().ok_or(DiskError::Refused { problem })?;
        let unix_ms = options.unix_ms.unwrap_or_else(|| Machine::ask().unix_ms);
        let (remembered, groups) = remember(&disk, unix_ms).await?;
        let now = options.clock.now();
        // Nobody can live who used it when there was nothing.
        let strangers_until = if disk.opened().is_new { Tick::default() } else { now.after(LIVE_FOR) };
        let shared = Arc::new(Shared {
            run: disk.opened().run,
            state: Mutex::new(State::new(remembered, groups, strangers_until)),
            unix_ms_at_zero: unix_ms.saturating_sub(now.as_ms()),
            clock: options.clock,
            budget_bytes: options.budget_bytes,
            value_bytes_max: options.value_bytes_max,
            changes: Notify::new(),
            disk,
        });
        shared.note_time(Durability::Always).await?;
        sweep::start(&tasks, &shared);
        Ok(Self { shared, _tasks: tasks })
    }

    /// Ends the tier; the disk stays open. Later calls find it unreachable.
    ///
    /// # Errors
    /// What the disk says; the tier has ended all the same.
    pub async fn close(&self) -> Result<(), DiskError> {
        self.shared.state.lock().closed = true;
        self.shared.changes.notify_waiters();
        self.shared.note_time(Durability::OsWritten).await
    }

    /// What it holds, and what it has met.
    #[must_use]
    pub fn stats(&self) -> EmbeddedStats {
        let state = self.shared.state.lock();
        EmbeddedStats {
            bytes: state.remembered.bytes,
            leases: state.leases(),
            groups: state.groups.len(),
            damaged: state.damaged,
        }
    }

    async fn change<T: Send + 'static>(
        &self,
        bytes: usize,
        step: impl FnOnce(&Arc<Shared>, &mut Changes<'_>) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, DiskError> {
        self.shared.is_open()?;
        let shared = Arc::clone(&self.shared);
        let step = move |changes: &mut Changes<'_>| step(&shared, changes);
        self.shared.disk.change(bytes, Durability::OsWritten, step).await
    }

    async fn tell(&self, records: &[Record], with_entries: bool) -> Result<Cursor, DiskError> {
        let records = records.to_vec();
        self.change(records.len() * 256, move |shared, changes| shared.tell(changes, records, with_entries))
            .await
    }

    /// Waits until `ready` says so, at most until `until`, and looks again whenever something has changed.
    async fn watch(&self, until: Tick, ready: impl Fn(&mut State, Tick) -> bool) {
        let Shared { clock, changes, state, .. } = &*self.shared;
        loop {
            let changed = changes.notified();
            let now = clock.now();
            let done = {
                let mut state = state.lock();
                state.closed || ready(&mut state, now)
            };
            if done || now >= until {
                return;
            }
            // Late or not, the loop looks again: also for instances that fall silent.
            let _ = clock.timeout(until.since(now).min(LOOK_AGAIN), changed).await;
        }
    }

    fn until(&self, wait: Duration) -> Tick {
        self.shared.clock.now().after(wait.min(WAIT_MAX))
    }
}

/// How long a wait for the log lasts before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What was remembered, where it is of use; else the beginning of a new epoch, without entries.
async fn remember(disk: &Disk, unix_ms: u64) -> Result<(Remembered, Groups), DiskError> {
    let row = match disk.get(Space::State, REMEMBERED_KEY).await {
        // It cannot be known which epoch it was: the time of day is later than any number of epochs.
        Err(DiskError::Damaged { .. }) => Some(None),
        other => other?.map(Remembered::decode),
    };
    let opened = disk.opened();
    let before = match row {
        None => Remembered::default(),
        Some(None) => Remembered { epoch: unix_ms, ..Remembered::default() },
        Some(Some(before)) => {
            let in_use = before.run == opened.run || before.run + 1 == opened.run;
            if opened.kept_all
                && in_use
                && before.written_ms <= unix_ms
                && let Some(groups) = read_groups(disk, before.floor).await?
            {
                return Ok((before, groups));
            }
            before
        }
    };
    disk.clear(&[Space::Entries, Space::Expiry, Space::Groups]).await?;
    Ok((Remembered { epoch: before.epoch + 1, ..Remembered::default() }, Groups::default()))
}

/// The groups that were invalidated; `None` where one of them cannot be read.
async fn read_groups(disk: &Disk, floor: u64) -> Result<Option<Groups>, DiskError> {
    let mut groups = Groups::after(floor);
    let mut scan = Scan { space: Space::Groups, prefix: Bytes::new(), after: None, limit: PAGE_ROWS };
    loop {
        let page = match disk.scan(scan.clone()).await {
            Err(DiskError::Damaged { .. }) => return Ok(None),
            other => other?,
        };
        scan.after = page.rows.last().map(|(key, _)| key.clone());
        for (key, row) in page.rows {
            let Some(marks) = Marks::decode(row) else { return Ok(None) };
            groups.insert(key, marks);
        }
        if !page.more {
            return Ok(Some(groups));
        }
    }
}

impl Shared {
    fn now_ms(&self) -> u64 {
        self.unix_ms_at_zero.saturating_add(self.clock.now().as_ms())
    }

    fn is_open(&self) -> Result<(), DiskError> {
        if self.state.lock().closed { Err(DiskError::Closed) } else { Ok(()) }
    }

    /// Writes what it remembers, so that the time of day is known.
    async fn note_time(self: &Arc<Self>, durability: Durability) -> Result<(), DiskError> {
        let shared = Arc::clone(self);
        let step = move |changes: &mut Changes<'_>| {
            let row = shared.row(&mut shared.state.lock());
            changes.put(Space::State, REMEMBERED_KEY, row)
        };
        self.disk.change(64, durability, step).await
    }

    fn row(&self, state: &mut State) -> Bytes {
        state.remembered.written_ms = state.remembered.written_ms.max(self.now_ms());
        state.remembered.run = self.run;
        state.remembered.encode()
    }
}

fn in_bounds(count: usize) -> Result<(), TierError> {
    if count <= BATCH_KEYS_MAX {
        return Ok(());
    }
    let problem = format!("{count} keys in one call, ask for at most {BATCH_KEYS_MAX} at once");
    Err(TierError::Refused { problem })
}

fn tier_error(error: DiskError) -> TierError {
    match error {
        DiskError::Refused { problem } => TierError::Refused { problem },
        DiskError::Timeout { after } => TierError::Timeout { after },
        other => TierError::Unreachable { sent: other.unknown_outcome(), cause: Arc::new(other) },
    }
}

fn log_error(error: DiskError) -> LogError {
    match error {
        DiskError::Refused { problem } => LogError::Refused { problem },
        DiskError::Timeout { after } => LogError::Timeout { after },
        other => LogError::Unreachable { sent: other.unknown_outcome(), cause: Arc::new(other) },
    }
}

/// What an asker may get of a key, before it is known what is held.
enum Turn<'a> {
    /// No lease was asked for.
    Looks,
    /// It has the lease, if there is need for one.
    Leads(Tentative<'a>),
    /// Somebody else has it until then.
    Waits(Tick),
}

impl EmbeddedTier {
    fn turn(&self, state: &mut State, now: Tick, at: &Bytes, terms: Option<LeaseTerms>) -> Turn<'_> {
        let Some(terms) = terms else { return Turn::Looks };
        match state.live(now, at) {
            Some(granted) => Turn::Waits(granted.until),
            None => {
                let lease = state.grant(now, at.clone(), terms.time);
                Turn::Leads(Tentative { shared: &self.shared, at: at.clone(), lease: Some(lease) })
            }
        }
    }

    async fn get_all(
        &self,
        of: &Owner,
        keys: &[&[u8]],
        terms: Option<LeaseTerms>,
    ) -> Result<Answers, TierError> {
        in_bounds(keys.len())?;
        self.shared.is_open().map_err(tier_error)?;
        let places: Vec<Bytes> = keys.iter().map(|key| keys::entry(of, key)).collect();
        // The turns first, then what is held: an entry that was filled before a lease was granted is seen, and none is loaded
        // a second time.
        let (tail, turns) = {
            let now = self.shared.clock.now();
            let mut state = self.shared.state.lock();
            if terms.is_some() && state.leases() + keys.len() > LEASES_MAX {
                let problem = format!("{LEASES_MAX} leases are live: ask again when some have ended");
                return Err(TierError::Refused { problem });
            }
            let turns: Vec<_> = places.iter().map(|at| self.turn(&mut state, now, at, terms)).collect();
            (state.tail(), turns)
        };
        let shared = Arc::clone(&self.shared);
        let read = self.shared.disk.read(move |view| {
            let look = |at: &Bytes| match keys::fits(at) {
                true => shared.found(view.get(Space::Entries, at)),
                false => Ok(None),
            };
            places.iter().map(look).collect::<Result<Vec<_>, _>>()
        });
        let found = read.await.map_err(tier_error)?;
        let held: Vec<_> = {
            let state = self.shared.state.lock();
            let told =
                |(key, held): (&&[u8], Option<Held>)| self.shared.tell_entry(&state, of, key, held?.entry);
            keys.iter().zip(found).map(told).collect()
        };
        let even_if_fresh = terms.is_some_and(|terms| terms.even_if_fresh);
        let now = self.shared.clock.now();
        let answers = turns.into_iter().zip(held).map(|(turn, held)| match (turn, held) {
            (Turn::Looks, held) => held.map_or(Answer::Missing, Answer::Held),
            (_, Some(held)) if held.is_fresh() && !even_if_fresh => Answer::Held(held),
            (Turn::Waits(until), held) => Answer::Busy { for_at_most: until.since(now), held },
            (Turn::Leads(mut tentative), held) => match tentative.lease.take() {
                Some(lease) => Answer::Leased { lease, held },
                None => Answer::Busy { for_at_most: Duration::ZERO, held },
            },
        });
        Ok(Answers { tail, answers: answers.collect() })
    }
}

impl SharedTier for EmbeddedTier {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            survives_restart: !self.shared.disk.is_memory(),
            batch_max: BATCH_KEYS_MAX,
            value_bytes_max: self.shared.value_bytes_max,
        }
    }

    fn get<'a>(
        &'a self,
        of: &'a Owner,
        keys: &'a [&'a [u8]],
        lease: Option<LeaseTerms>,
    ) -> Reply<'a, Answers> {
        Box::pin(self.get_all(of, keys, lease))
    }

    fn fill<'a>(&'a self, of: &'a Owner, fills: &'a [Fill]) -> Reply<'a, Vec<Filled>> {
        Box::pin(async move {
            in_bounds(fills.len())?;
            let (of, fills) = (of.clone(), fills.to_vec());
            let value = |fill: &Fill| fill.envelope.value.as_ref().map_or(0, EnvelopeValue::len);
            let bytes = fills.iter().map(|fill| fill.key.len() + value(fill)).sum();
            self.change(bytes, move |shared, changes| shared.fill(changes, &of, fills))
                .await
                .map_err(tier_error)
        })
    }

    fn renew<'a>(&'a self, of: &'a Owner, key: &'a [u8], lease: Lease, time: Duration) -> Reply<'a, bool> {
        Box::pin(async move {
            self.shared.is_open().map_err(tier_error)?;
            let now = self.shared.clock.now();
            Ok(self.shared.state.lock().renew(now, &keys::entry(of, key), lease, time))
        })
    }

    fn release<'a>(&'a self, of: &'a Owner, key: &'a [u8], lease: Lease) -> Reply<'a, ()> {
        Box::pin(async move {
            self.shared.is_open().map_err(tier_error)?;
            self.shared.state.lock().end(&keys::entry(of, key), Some(lease));
            Ok(())
        })
    }

    fn invalidate<'a>(&'a self, records: &'a [Record]) -> Reply<'a, Cursor> {
        Box::pin(async move { self.tell(records, true).await.map_err(tier_error) })
    }
}

impl Log for EmbeddedTier {
    fn append<'a>(&'a self, records: &'a [Record]) -> LogReply<'a, Cursor> {
        Box::pin(async move { self.tell(records, false).await.map_err(log_error) })
    }

    fn read(&self, after: Cursor, wait: Duration) -> LogReply<'_, Batch> {
        let until = self.until(wait);
        Box::pin(async move {
            self.watch(until, move |state, _| after != state.tail()).await;
            self.shared.is_open().map_err(log_error)?;
            Ok(self.shared.state.lock().read(after))
        })
    }

    fn acknowledge(&self, instance: InstanceId, applied: Cursor) -> LogReply<'_, ()> {
        Box::pin(async move {
            self.shared.is_open().map_err(log_error)?;
            let now = self.shared.clock.now();
            self.shared.state.lock().acknowledge(now, instance, applied);
            self.shared.changes.notify_waiters();
            Ok(())
        })
    }

    fn acknowledged(&self, place: Cursor, wait: Duration) -> LogReply<'_, bool> {
        let until = self.until(wait);
        Box::pin(async move {
            self.watch(until, move |state, now| state.acknowledged(now, place) != Some(false)).await;
            self.shared.is_open().map_err(log_error)?;
            let now = self.shared.clock.now();
            Ok(self.shared.state.lock().acknowledged(now, place) == Some(true))
        })
    }
}

//! The network before the server: every exchange meets its fate here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use forebay::log::{Batch, Cursor, InstanceId, Log, LogError, Record, Reply as LogReply, WAIT_MAX};
use forebay::rt::{Clock, Mutex, Tick};
use forebay::tier::shared::{
    Answers, Capabilities, Fill, Filled, Lease, LeaseTerms, Owner, Reply, SharedTier, TierError,
};
use tokio::sync::Notify;

use crate::faults::{End, Fate, Faults, Fired, Partition};
use crate::state::State;

/// How long an instance waits for an answer before it gives up.
pub const ANSWER_WITHIN: Duration = Duration::from_millis(250);
/// The most keys in one call.
const BATCH_KEYS_MAX: usize = 256;
/// The largest value unless a test says otherwise, in bytes.
const VALUE_BYTES_MAX: usize = 1024 * 1024;
/// How often one who waits for others to acknowledge looks again without being woken: they may have ceased to live.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A request that arrives after its sender has given up.
type Late = Box<dyn FnOnce(&mut State, Tick) + Send>;

struct Server {
    state: State,
    faults: Faults,
    chance: fastrand::Rng,
    partitions: BTreeMap<u64, Partition>,
    /// What is still on its way, with the time and the order of its arrival.
    late: BTreeMap<(Tick, u64), Late>,
}

impl Server {
    /// Carries out what has arrived by `now`.
    fn arrive(&mut self, now: Tick) {
        while let Some(due) = self.late.first_entry().filter(|due| due.key().0 <= now) {
            let (at, _) = *due.key();
            let request = due.remove();
            request(&mut self.state, at);
            self.state.fired.late += 1;
        }
    }
}

/// A shared tier and its log, in memory. Clones are the same server.
#[derive(Clone)]
pub struct SimulatedTier {
    server: Arc<Mutex<Server>>,
    clock: Clock,
    /// Told of every change: who waits for the log waits here, and is woken in the order in which they began to.
    changes: Arc<Notify>,
}

impl std::fmt::Debug for SimulatedTier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.server.lock().state.fmt(f)
    }
}

impl SimulatedTier {
    /// An empty tier in its first epoch, without faults, that keeps the time of `clock` and draws chance from `seed`.
    #[must_use]
    pub fn new(clock: Clock, seed: u64) -> Self {
        let server = Server {
            state: State::new(VALUE_BYTES_MAX),
            faults: Faults::default(),
            chance: fastrand::Rng::with_seed(seed),
            partitions: BTreeMap::new(),
            late: BTreeMap::new(),
        };
        Self { server: Arc::new(Mutex::new(server)), clock, changes: Arc::default() }
    }

    /// The way of the instance numbered `instance` to it: its contracts.
    #[must_use]
    pub fn link(&self, instance: u64) -> Link {
        Link { tier: self.clone(), instance }
    }

    /// What happens by chance from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.server.lock().faults = faults;
    }

    /// The largest value from now on, in bytes.
    pub fn set_value_bytes_max(&self, bytes: usize) {
        self.server.lock().state.value_bytes_max = bytes;
    }

    /// Cuts an instance off, or with `None` lets it through again. What is on its way meets it when it arrives.
    pub fn partition(&self, instance: u64, partition: Option<Partition>) {
        let mut server = self.server.lock();
        match partition {
            Some(partition) => server.partitions.insert(instance, partition),
            None => server.partitions.remove(&instance),
        };
    }

    /// It fails over to a copy that lacks the last `lost` records: a new epoch, in which their positions come again. What is
    /// on its way arrives there.
    pub fn restart(&self, lost: usize) {
        let now = self.clock.now();
        let mut server = self.server.lock();
        server.arrive(now);
        server.state.restart(now, lost);
        drop(server);
        self.changed();
    }

    /// Keeps no more than the last `keep` records of the log.
    pub fn trim(&self, keep: usize) {
        self.server.lock().state.trim(keep);
    }

    /// The log's tail.
    #[must_use]
    pub fn tail(&self) -> Cursor {
        self.server.lock().state.tail()
    }

    /// What has happened so far.
    #[must_use]
    pub fn fired(&self) -> Fired {
        self.server.lock().state.fired
    }

    /// How many entries are held and leases granted, those included that are of no use any more and were not met since.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        self.server.lock().state.counts()
    }

    fn changed(&self) {
        self.changes.notify_waiters();
    }
}

/// One instance's way to a [`SimulatedTier`].
#[derive(Clone, Debug)]
pub struct Link {
    tier: SimulatedTier,
    instance: u64,
}

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Lost {
    #[error("connection refused")]
    Refused,
    #[error("no answer")]
    NoAnswer,
}

impl From<Lost> for TierError {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Refused => Self::Unreachable { cause: Arc::new(lost), sent: false },
            Lost::NoAnswer => Self::Timeout { after: ANSWER_WITHIN },
        }
    }
}

impl From<Lost> for LogError {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Refused => Self::Unreachable { cause: Arc::new(lost), sent: false },
            Lost::NoAnswer => Self::Timeout { after: ANSWER_WITHIN },
        }
    }
}

impl Link {
    /// One exchange: `carry_out` is done on the server at most once, and its answer comes back, or not.
    async fn exchange<T: Send + 'static>(
        &self,
        carry_out: impl FnOnce(&mut State, Tick, Fate) -> T + Send + 'static,
    ) -> Result<T, Lost> {
        let clock = &self.tier.clock;
        let (sent, fate) = (clock.now(), self.depart());
        if fate.end == End::Refused {
            return Err(Lost::Refused);
        }
        on_its_way(clock, fate.there_ms).await;
        let answer = self.arrive(fate, carry_out);
        on_its_way(clock, fate.back_ms).await;
        if let Some(answer) = answer.filter(|_| self.comes_back(fate)) {
            return Ok(answer);
        }
        clock.sleep(ANSWER_WITHIN.saturating_sub(clock.now().since(sent))).await;
        Err(Lost::NoAnswer)
    }

    /// What will become of the next exchange.
    fn depart(&self) -> Fate {
        let mut server = self.tier.server.lock();
        let Server { faults, chance, .. } = &mut *server;
        let mut fate = faults.fate(chance);
        if server.partitions.get(&self.instance) == Some(&Partition::Refused) {
            fate.end = End::Refused;
        }
        let fired = &mut server.state.fired;
        fired.exchanges += 1;
        fired.delayed += u64::from(fate.there_ms > 0) + u64::from(fate.back_ms > 0);
        fired.refused += u64::from(fate.end == End::Refused);
        fate
    }

    /// The request arrives, if it does: carried out now, or kept until its sender has given up.
    fn arrive<T: 'static>(
        &self,
        fate: Fate,
        carry_out: impl FnOnce(&mut State, Tick, Fate) -> T + Send + 'static,
    ) -> Option<T> {
        let now = self.tier.clock.now();
        let mut server = self.tier.server.lock();
        server.arrive(now);
        let cut_off = server.partitions.get(&self.instance).is_some_and(|cut| *cut != Partition::Answers);
        if cut_off || fate.end == End::RequestLost {
            server.state.fired.requests_lost += 1;
            return None;
        }
        if fate.end == End::Late {
            let order = server.state.fired.exchanges;
            let due = now.after(ANSWER_WITHIN + Duration::from_millis(1 + fate.there_ms));
            let request = move |state: &mut State, at: Tick| drop(carry_out(state, at, fate));
            server.late.insert((due, order), Box::new(request));
            return None;
        }
        let answer = carry_out(&mut server.state, now, fate);
        drop(server);
        self.tier.changed();
        Some(answer)
    }

    fn comes_back(&self, fate: Fate) -> bool {
        let mut server = self.tier.server.lock();
        let lost = fate.end == End::AnswerLost || server.partitions.contains_key(&self.instance);
        server.state.fired.answers_lost += u64::from(lost);
        !lost
    }

    /// Waits until `ready` says so, at most until `until`, and looks again whenever something has changed.
    async fn watch(&self, until: Tick, ready: impl Fn(&mut State, Tick) -> bool) {
        loop {
            let changed = self.tier.changes.notified();
            let now = self.tier.clock.now();
            if now >= until || self.look(now, &ready) {
                return;
            }
            let wait = until.since(now).min(LOOK_AGAIN);
            // Late or not, the loop looks again.
            let _ = self.tier.clock.timeout(wait, changed).await;
        }
    }

    fn look(&self, now: Tick, ready: impl Fn(&mut State, Tick) -> bool) -> bool {
        let mut server = self.tier.server.lock();
        server.arrive(now);
        ready(&mut server.state, now)
    }

    fn until(&self, wait: Duration) -> Tick {
        self.tier.clock.now().after(wait.min(WAIT_MAX))
    }
}

async fn on_its_way(clock: &Clock, ms: u64) {
    if ms > 0 {
        clock.sleep(Duration::from_millis(ms)).await;
    }
}

fn in_bounds(count: usize) -> Result<(), TierError> {
    if count <= BATCH_KEYS_MAX {
        return Ok(());
    }
    let problem = format!("{count} keys in one call, ask for at most {BATCH_KEYS_MAX} at once");
    Err(TierError::Refused { problem })
}

impl SharedTier for Link {
    fn capabilities(&self) -> Capabilities {
        let value_bytes_max = self.tier.server.lock().state.value_bytes_max;
        Capabilities { survives_restart: false, batch_max: BATCH_KEYS_MAX, value_bytes_max }
    }

    fn get<'a>(
        &'a self,
        of: &'a Owner,
        keys: &'a [&'a [u8]],
        lease: Option<LeaseTerms>,
    ) -> Reply<'a, Answers> {
        Box::pin(async move {
            in_bounds(keys.len())?;
            let (of, keys) = (of.clone(), keys.iter().map(|key| (*key).into()).collect::<Vec<_>>());
            Ok(self.exchange(move |state, now, _| state.get(now, &of, &keys, lease)).await?)
        })
    }

    fn fill<'a>(&'a self, of: &'a Owner, fills: &'a [Fill]) -> Reply<'a, Vec<Filled>> {
        Box::pin(async move {
            in_bounds(fills.len())?;
            let (of, fills) = (of.clone(), fills.to_vec());
            Ok(self.exchange(move |state, now, _| state.fill(now, &of, fills)).await?)
        })
    }

    fn renew<'a>(&'a self, of: &'a Owner, key: &'a [u8], lease: Lease, time: Duration) -> Reply<'a, bool> {
        let (of, key) = (of.clone(), key.into());
        Box::pin(async move {
            Ok(self.exchange(move |state, now, _| state.renew(now, &of, key, lease, time)).await?)
        })
    }

    fn release<'a>(&'a self, of: &'a Owner, key: &'a [u8], lease: Lease) -> Reply<'a, ()> {
        let (of, key) = (of.clone(), key.into());
        Box::pin(
            async move { Ok(self.exchange(move |state, now, _| state.release(now, &of, key, lease)).await?) },
        )
    }

    fn invalidate<'a>(&'a self, records: &'a [Record]) -> Reply<'a, Cursor> {
        let records = records.to_vec();
        Box::pin(async move { Ok(self.exchange(move |state, now, _| state.invalidate(now, records)).await?) })
    }
}

impl Log for Link {
    fn append<'a>(&'a self, records: &'a [Record]) -> LogReply<'a, Cursor> {
        let records = records.to_vec();
        Box::pin(async move { Ok(self.exchange(move |state, _, _| state.append(records)).await?) })
    }

    fn read(&self, after: Cursor, wait: Duration) -> LogReply<'_, Batch> {
        let until = self.until(wait);
        Box::pin(async move {
            self.watch(until, move |state, _| state.has_news(after)).await;
            Ok(self.exchange(move |state, _, fate| state.read(after, fate.repeat)).await?)
        })
    }

    fn acknowledge(&self, instance: InstanceId, applied: Cursor) -> LogReply<'_, ()> {
        Box::pin(async move {
            Ok(self.exchange(move |state, now, _| state.acknowledge(now, instance, applied)).await?)
        })
    }

    fn acknowledged(&self, place: Cursor, wait: Duration) -> LogReply<'_, bool> {
        let until = self.until(wait);
        Box::pin(async move {
            self.watch(until, move |state, now| state.acknowledged(now, place) != Some(false)).await;
            let said = self.exchange(move |state, now, _| state.acknowledged(now, place)).await?;
            Ok(said == Some(true))
        })
    }
}

//! A world of one seed: engines over a scripted source, a clock that only the world moves, and the record of it all.
//!
//! Every wait in a world is granted by its driver in a fixed order, and every random choice is drawn from the seed, so
//! that one seed is one history. The runtime has one thread; what can run always runs until it waits.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fastrand::Rng;
use forebay::rt::Clock;
use tokio::task::yield_now;

use super::instance::Instance;
use super::record::{
    Commit, Ended, Gap, History, KeyFacts, KeyIndex, Left, Load, LoadEnd, Op, Reach, Rules, Stamp, Tags,
};
use super::workload;

/// Tags that versions carry, drawn for each commit.
pub const TAGS: u32 = 3;

/// How long a world waits for what never comes, in simulated milliseconds.
const PATIENCE_MS: u64 = 3_000;

/// What is drawn once for a world.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub instances: usize,
    pub clients: usize,
    /// Operations of each client.
    pub ops: usize,
    pub rules: Vec<Rules>,
    pub namespaces: Vec<Bounds>,
    pub keys: Vec<KeyFacts>,
    pub reach: Option<Reach>,
}

/// What a namespace is told beside its rules.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub jitter: u64,
    pub concurrency: usize,
    pub queue: usize,
    pub soft_timeout: u64,
    pub refresh_ahead: u64,
    /// How long the source is left alone after three failures; `None`: it never is.
    pub breaker_pause: Option<u64>,
    /// Whether the source tells versions.
    pub versioned: bool,
}

/// Groups of keys within a namespace, and keys in each.
const GROUPS: usize = 2;
const KEYS_A_GROUP: usize = 2;

impl Plan {
    /// The plan that `seed` draws.
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut plan = Self {
            seed,
            instances: 1,
            clients: rng.usize(4..=8),
            ops: 150,
            rules: Vec::new(),
            namespaces: Vec::new(),
            keys: Vec::new(),
            reach: None,
        };
        for namespace in 0..4 {
            let ttl = rng.u64(20..=300);
            let slides = namespace == 3;
            let stale = |rng: &mut Rng| {
                if namespace > 0 && !slides && rng.u8(0..3) > 0 { rng.u64(1..=200) } else { 0 }
            };
            plan.rules.push(Rules {
                ttl,
                absent_ttl: rng.u64(0..=ttl),
                stale_while_revalidate: stale(&mut rng),
                stale_if_error: stale(&mut rng),
                load_timeout: rng.u64(40..=120),
                idle: slides.then(|| rng.u64(1..=ttl)),
                kept: namespace == 2,
            });
            plan.namespaces.push(Bounds {
                jitter: if rng.bool() { rng.u64(0..=ttl) } else { 0 },
                concurrency: rng.usize(1..=8),
                queue: if rng.u8(0..8) == 0 { rng.usize(0..=4) } else { 1024 },
                soft_timeout: rng.u64(1..=30),
                refresh_ahead: if rng.u8(0..3) == 0 { rng.u64(0..ttl) } else { 0 },
                breaker_pause: rng.bool().then(|| rng.u64(5..=40)),
                versioned: rng.bool(),
            });
            for (group, id) in (0..GROUPS).flat_map(|group| (0..KEYS_A_GROUP).map(move |id| (group, id))) {
                plan.keys.push(KeyFacts { namespace, group, name: key_name(namespace, group, id) });
            }
        }
        plan
    }
}

fn key_name(namespace: usize, group: usize, id: usize) -> String {
    format!("n{namespace}:g{group}:{id}")
}

/// What everybody in a world shares.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    clock: Clock,
    plan: Plan,
    state: Mutex<State>,
}

struct State {
    history: History,
    step: u64,
    /// Draws for the source.
    rng: Rng,
    timers: BTreeMap<(u64, u64), Waker>,
    timers_made: u64,
    /// The last commit of each key.
    truth: Vec<Commit>,
    /// How many loads of each key are under way.
    under_way: Vec<usize>,
    faults: bool,
    /// When the engine will have dropped the last load that hangs, for each time at which one may begin.
    hangs: Vec<u64>,
    clients: usize,
    puts: u32,
}

impl World {
    /// Lives through the world of `plan` and hands back its record.
    pub fn run(plan: Plan) -> History {
        fastrand::seed(plan.seed);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async move {
            let world = Self::new(plan);
            let instances: Vec<Instance> =
                (0..world.plan().instances).map(|instance| Instance::new(&world, instance)).collect();
            for client in 0..world.plan().clients {
                let on = instances[client % instances.len()].clone();
                tokio::spawn(workload::client(world.clone(), client, on));
            }
            world.drive().await;
            let left = world.wind_down(&instances).await;
            world.finish(left)
        })
    }

    fn new(plan: Plan) -> Self {
        let mut rng = Rng::with_seed(plan.seed ^ 0x5eed_50c2);
        let history = History {
            rules: plan.rules.clone(),
            keys: plan.keys.clone(),
            reach: plan.reach,
            ..History::default()
        };
        let mut state = State {
            history,
            step: 0,
            timers: BTreeMap::new(),
            timers_made: 0,
            truth: Vec::new(),
            under_way: vec![0; plan.keys.len()],
            faults: false,
            hangs: Vec::new(),
            clients: plan.clients,
            puts: 0,
            rng: rng.fork(),
        };
        for key in 0..plan.keys.len() {
            let first = Commit {
                key,
                version: 1,
                present: rng.u8(0..5) > 0,
                tags: rng.u8(0..1 << TAGS),
                at: Stamp::default(),
            };
            state.truth.push(first);
            state.history.commits.push(first);
        }
        Self(Arc::new(Inner { clock: Clock::simulated(), plan, state: Mutex::new(state) }))
    }

    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// The keys of namespaces into which clients may put.
    pub fn kept(&self) -> impl Iterator<Item = KeyIndex> {
        let plan = self.plan();
        (0..plan.keys.len()).filter(|&key| plan.rules[plan.keys[key].namespace].kept)
    }

    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    fn now_ms(&self) -> u64 {
        self.0.clock.now().as_ms()
    }

    fn stamp(&self, state: &mut State) -> Stamp {
        state.step += 1;
        Stamp { step: state.step, ms: self.now_ms() }
    }

    /// Waits until the driver grants it, `ms` from now at the earliest.
    pub fn wait(&self, ms: u64) -> Wait {
        Wait { world: self.clone(), due: self.now_ms() + ms, timer: None }
    }

    /// Begins an operation; its number.
    pub fn begin(&self, client: usize, instance: usize, asked: super::record::Asked) -> usize {
        let mut state = self.state();
        let inv = self.stamp(&mut state);
        let op = Op { client, instance, asked, inv, ret: None, ended: Ended::Unknown, cancelled: false };
        state.history.ops.push(op);
        state.history.ops.len() - 1
    }

    /// Ends an operation.
    pub fn end(&self, op: usize, ended: Ended) {
        let mut state = self.state();
        let ret = self.stamp(&mut state);
        let op = &mut state.history.ops[op];
        op.ret = Some(ret);
        op.ended = ended;
    }

    /// The client of an operation went away: nobody hears how it ends.
    pub fn cancel(&self, op: usize) {
        let mut state = self.state();
        let ret = self.stamp(&mut state);
        let op = &mut state.history.ops[op];
        op.ret = Some(ret);
        op.cancelled = true;
    }

    /// Changes the truth of `key`.
    pub fn commit(&self, key: KeyIndex, present: bool, tags: Tags) {
        let mut state = self.state();
        let at = self.stamp(&mut state);
        let commit = Commit { key, version: state.truth[key].version + 1, present, tags, at };
        state.truth[key] = commit;
        state.history.commits.push(commit);
    }

    /// The truth of `key` now.
    pub fn truth(&self, key: KeyIndex) -> Commit {
        self.state().truth[key]
    }

    /// The commit that made `version` of `key`.
    pub fn committed(&self, key: KeyIndex, version: u32) -> Commit {
        let state = self.state();
        let made = |commit: &&Commit| commit.key == key && commit.version == version;
        *state.history.commits.iter().rev().find(made).unwrap()
    }

    /// A number for the next value that a client puts.
    pub fn next_put(&self) -> u32 {
        let mut state = self.state();
        state.puts += 1;
        state.puts
    }

    /// Whether faults are being injected.
    pub fn faults(&self) -> bool {
        self.state().faults
    }

    /// A key with a load under way, the `nth` of them.
    pub fn loading(&self, nth: usize) -> Option<KeyIndex> {
        let state = self.state();
        let loading: Vec<KeyIndex> =
            (0..state.under_way.len()).filter(|&key| state.under_way[key] > 0).collect();
        (!loading.is_empty()).then(|| loading[nth % loading.len()])
    }

    /// A client has done everything it wanted.
    pub fn leave(&self) {
        self.state().clients -= 1;
    }

    /// Draws for the source.
    pub fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.state().rng)
    }

    /// A load begins; its number.
    pub fn load_begins(&self, instance: usize, keys: &[KeyIndex]) -> usize {
        let mut state = self.state();
        let start = self.stamp(&mut state);
        for &key in keys {
            state.under_way[key] += 1;
        }
        state.history.loads.push(Load {
            instance,
            keys: keys.to_vec(),
            start,
            end: None,
            answers: Vec::new(),
        });
        state.history.loads.len() - 1
    }

    /// A load ends; only the first end of it counts.
    pub fn load_ends(&self, load: usize, how: LoadEnd, answers: Vec<super::record::Answer>) {
        let mut state = self.state();
        if state.history.loads[load].end.is_some() {
            return;
        }
        let end = self.stamp(&mut state);
        let keys = state.history.loads[load].keys.clone();
        for key in keys {
            state.under_way[key] -= 1;
        }
        let load = &mut state.history.loads[load];
        load.end = Some((end, how));
        load.answers = answers;
    }

    /// Whether a load that begins now and is dropped after `timeout` ends alone: two that end within one tick would be
    /// woken in an order that no seed decides.
    pub fn may_hang(&self, timeout_ms: u64) -> bool {
        let until = self.now_ms() + timeout_ms;
        let mut state = self.state();
        let alone = !state.hangs.contains(&until);
        if alone {
            state.hangs.push(until);
        }
        alone
    }

    /// Grants waits and moves the clock until every client has left, or nothing comes any more.
    async fn drive(&self) {
        let mut rng = Rng::with_seed(self.plan().seed ^ 0xd21_7e2);
        let mut faults_change_at = rng.u64(50..200);
        let mut faulty_since = None;
        let mut nothing_since = self.now_ms();
        loop {
            yield_now().await;
            let now = self.now_ms();
            if self.state().clients == 0 {
                break;
            }
            if self.grant(now, rng.usize(1..=4)) {
                nothing_since = now;
                continue;
            }
            if now > nothing_since + PATIENCE_MS {
                break;
            }
            super::instance::move_wall_clock(&mut rng);
            if now >= faults_change_at {
                self.change_faults(&mut faulty_since);
                faults_change_at = now + rng.u64(50..200);
            }
            self.clock().advance(Duration::from_millis(1));
            // Whoever waits for the clock looks at it before the next wait is granted, so that the order in which the
            // clock wakes them changes nothing.
            yield_now().await;
        }
        if faulty_since.is_some() {
            self.change_faults(&mut faulty_since);
        }
    }

    fn change_faults(&self, since: &mut Option<Stamp>) {
        let mut state = self.state();
        state.faults = since.is_none();
        let now = self.stamp(&mut state);
        match since.take() {
            Some(from) => state.history.faulty.push((from, now)),
            None => *since = Some(now),
        }
    }

    /// Wakes at most `most` of those whose time has come; whether there were any.
    fn grant(&self, now: u64, most: usize) -> bool {
        let mut woken = 0;
        while woken < most {
            let mut state = self.state();
            let Some(first) = state.timers.first_entry().filter(|first| first.key().0 <= now) else { break };
            let waker = first.remove();
            drop(state);
            waker.wake();
            woken += 1;
        }
        woken > 0
    }

    /// Lets the engines finish what they began, and looks at how they are left.
    async fn wind_down(&self, instances: &[Instance]) -> Left {
        let mut left = Left::default();
        for (number, instance) in instances.iter().enumerate() {
            let idle = tokio::spawn({
                let instance = instance.clone();
                async move { instance.idle().await }
            });
            let patience = self.now_ms() + PATIENCE_MS;
            while !idle.is_finished() && self.now_ms() < patience {
                yield_now().await;
                if !self.grant(self.now_ms(), 1) {
                    self.clock().advance(Duration::from_millis(1));
                    yield_now().await;
                }
            }
            if !idle.is_finished() {
                left.busy.push(number);
            }
            idle.abort();
            left.flights += instance.flights();
            left.broken.extend(instance.validate());
        }
        left
    }

    fn finish(&self, left: Left) -> History {
        let mut state = self.state();
        let mut history = std::mem::take(&mut state.history);
        history.left = left;
        history
    }

    /// An instance did not hear of the others from then until now.
    #[expect(dead_code, reason = "instances that hear of each other are not there yet")]
    pub fn gap(&self, instance: usize, from: Stamp) {
        let mut state = self.state();
        let until = self.stamp(&mut state);
        state.history.gaps.push(Gap { instance, from, until });
    }
}

/// A wait in simulated time that the driver grants.
pub struct Wait {
    world: World,
    due: u64,
    timer: Option<(u64, u64)>,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let world = self.world.clone();
        let mut state = world.state();
        match self.timer {
            None => {
                state.timers_made += 1;
                let timer = (self.due, state.timers_made);
                state.timers.insert(timer, context.waker().clone());
                self.timer = Some(timer);
                Poll::Pending
            }
            Some(timer) => match state.timers.get_mut(&timer) {
                Some(waker) => {
                    waker.clone_from(context.waker());
                    Poll::Pending
                }
                None => Poll::Ready(()),
            },
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.world.state().timers.remove(&timer);
        }
    }
}

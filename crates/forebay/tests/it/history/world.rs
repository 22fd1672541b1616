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
use forebay::log::SUSPECT_AFTER;
use forebay::rt::Clock;
use forebay_simulated::SimulatedTier;
use tokio::task::yield_now;

use super::instance::Instance;
use super::record::{
    Commit, Ended, Exchange, Exchanged, Gap, History, KeyFacts, KeyIndex, Left, Listed, Load, LoadEnd, Op,
    Rules, Stamp, Tags,
};
use super::trouble::Trouble;
use super::workload;

/// Tags that versions carry, drawn for each commit.
pub const TAGS: u32 = 3;

/// How long a world waits for what never comes, in simulated milliseconds.
const PATIENCE_MS: u64 = 3_000;

/// Of so many worlds one has two instances.
const SHARED_ONE_IN: u64 = 3;

/// How much longer values live where there are two instances, so that they outlive the time within which an invalidation
/// must be seen; and how much longer all other waits are.
const SHARED_LIVES: u64 = 12;
const SHARED_WAITS: u64 = 4;

/// After so long without a word the log may have ceased to wait for an instance, in simulated milliseconds: the time that
/// it waits, without the time that an answer takes.
const SILENCE_MS: u64 = 1_500;

/// How long nobody changes anything after an instance was cut off, in simulated milliseconds: until it must have seen what
/// it missed, and a while longer.
const QUIET_MS: u64 = 1_400;

/// How long a world waits for all to settle, in simulated milliseconds: until a tier is heard again that was out of reach,
/// and then until every instance must have seen what it was told.
const SETTLED_AFTER_MS: u64 = 1_500;

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
    /// The longest pause that a client makes now and then, in milliseconds; zero: it makes none.
    pub pause: u64,
    pub slow: Slow,
    /// Whether the source never fails.
    pub spared: bool,
    /// What happens to the shared tier, where there is one.
    pub trouble: Option<Trouble>,
}

/// How long loads take.
#[derive(Clone, Copy, Debug)]
pub struct Slow {
    /// The longest that a load takes now and then, in milliseconds; zero: none takes long.
    seldom: u64,
}

impl Slow {
    /// How long the next load takes.
    pub fn draw(self, rng: &mut Rng) -> u64 {
        if self.seldom > 0 && rng.u8(0..6) == 0 { rng.u64(0..=self.seldom) } else { rng.u64(0..=20) }
    }
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
    /// Whether a filter knows which keys cannot exist.
    pub filtered: bool,
    /// Whether it is warmed now and then.
    pub warmed: bool,
}

/// The namespace whose keys are the fields of hashes, the last.
pub const FIELDS: usize = 4;

/// Groups of keys within a namespace, and keys in each.
pub const GROUPS: usize = 2;
pub const KEYS_A_GROUP: usize = 2;

/// Keys beside them in a group of a namespace with a filter, which do not exist at first.
const KEYS_TO_COME: usize = 3;

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
            pause: 0,
            slow: Slow { seldom: 0 },
            spared: false,
            trouble: None,
        };
        for namespace in 0..5 {
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
                fields: namespace == FIELDS,
            });
            plan.namespaces.push(Bounds {
                jitter: if rng.bool() { rng.u64(0..=ttl) } else { 0 },
                concurrency: rng.usize(1..=8),
                queue: if rng.u8(0..8) == 0 { rng.usize(0..=4) } else { 1024 },
                soft_timeout: rng.u64(1..=30),
                refresh_ahead: if rng.u8(0..3) == 0 { rng.u64(0..ttl) } else { 0 },
                breaker_pause: rng.bool().then(|| rng.u64(5..=40)),
                versioned: rng.bool(),
                filtered: false,
                warmed: false,
            });
            for (group, id) in (0..GROUPS).flat_map(|group| (0..KEYS_A_GROUP).map(move |id| (group, id))) {
                plan.keys.push(KeyFacts { namespace, group, name: key_name(namespace, group, id) });
            }
        }
        plan.draw_extras(&mut rng);
        if seed.is_multiple_of(SHARED_ONE_IN) {
            plan.share(&mut rng);
        }
        plan
    }

    /// A filter in some worlds, a warming in others.
    fn draw_extras(&mut self, rng: &mut Rng) {
        if rng.u8(0..3) == 0 {
            self.namespaces[0].filtered = true;
            let to_come = (0..GROUPS)
                .flat_map(|group| (KEYS_A_GROUP..KEYS_A_GROUP + KEYS_TO_COME).map(move |id| (group, id)));
            self.keys.extend(to_come.map(|(group, id)| KeyFacts {
                namespace: 0,
                group,
                name: key_name(0, group, id),
            }));
        }
        if rng.u8(0..3) == 0 {
            self.namespaces[rng.usize(0..FIELDS)].warmed = true;
        }
    }

    /// Two instances over a shared tier.
    fn share(&mut self, rng: &mut Rng) {
        self.instances = 2;
        for (rules, bounds) in self.rules.iter_mut().zip(&mut self.namespaces) {
            for life in [&mut rules.ttl, &mut rules.absent_ttl, &mut bounds.jitter, &mut bounds.refresh_ahead]
            {
                *life *= SHARED_LIVES;
            }
            rules.idle = rules.idle.map(|idle| idle * SHARED_LIVES);
            let waits =
                [&mut rules.stale_while_revalidate, &mut rules.stale_if_error, &mut rules.load_timeout];
            for wait in waits {
                *wait *= SHARED_WAITS;
            }
            // Where no key finds a place before the tier it goes without a lease, and nothing is to be said of that.
            bounds.queue = 1024;
        }
        self.pause = rng.u64(50..600);
        self.spared = rng.bool();
        if !self.spared {
            self.slow.seldom = rng.u64(20..400);
        }
        self.trouble = Some(Trouble::draw(rng));
    }

    /// Whether `key` is one of those that do not exist at first.
    fn is_to_come(&self, key: KeyIndex) -> bool {
        key >= self.namespaces.len() * GROUPS * KEYS_A_GROUP
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
    tier: SimulatedTier,
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
    clients: usize,
    puts: u32,
    /// The instance whose clients only read, while it is cut off and until the next trouble: what it holds lives long enough
    /// to be wrong.
    reading: Option<usize>,
    /// Until when nobody changes anything after an instance was cut off, in milliseconds: what it has missed shows then.
    quiet_until: u64,
    /// When the log last heard each instance.
    alive: Vec<Option<Stamp>>,
}

/// What the driver of a world decides.
struct Driver {
    rng: Rng,
    faults_change_at: u64,
    faulty_since: Option<Stamp>,
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
            let mut driver = Driver::new(world.plan());
            world.drive(&mut driver, true).await;
            world.settle(&mut driver, &instances).await;
            let left = world.wind_down(&instances).await;
            world.finish(left)
        })
    }

    fn new(plan: Plan) -> Self {
        let mut rng = Rng::with_seed(plan.seed ^ 0x5eed_50c2);
        let history = History {
            rules: plan.rules.clone(),
            keys: plan.keys.clone(),
            spared: plan.spared,
            reach: plan.trouble.map(|trouble| trouble.reach(ms_of(SUSPECT_AFTER))),
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
            clients: plan.clients,
            puts: 0,
            reading: None,
            quiet_until: 0,
            alive: vec![None; plan.instances],
            rng: rng.fork(),
        };
        for key in 0..plan.keys.len() {
            let first = Commit {
                key,
                version: 1,
                present: rng.u8(0..5) > 0 && !plan.is_to_come(key),
                tags: rng.u8(0..1 << TAGS),
                at: Stamp::default(),
            };
            state.truth.push(first);
            state.history.commits.push(first);
        }
        let clock = Clock::simulated();
        let tier = SimulatedTier::new(clock.clone(), plan.seed);
        if let Some(trouble) = plan.trouble {
            trouble.ends(&tier, plan.instances);
        }
        Self(Arc::new(Inner { clock, tier, plan, state: Mutex::new(state) }))
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

    pub fn tier(&self) -> &SimulatedTier {
        &self.0.tier
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

    /// A stamp of this moment.
    pub fn moment(&self) -> Stamp {
        self.stamp(&mut self.state())
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

    /// Whether the source may fail.
    pub fn source_fails(&self) -> bool {
        self.faults() && !self.plan().spared
    }

    /// Whether the clients of `instance` change nothing.
    pub fn only_reads(&self, instance: usize) -> bool {
        let (now, state) = (self.now_ms(), self.state());
        state.reading == Some(instance) || now < state.quiet_until
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
    pub fn load_begins(&self, instance: usize, keys: &[KeyIndex], whole: bool) -> usize {
        let mut state = self.state();
        let start = self.stamp(&mut state);
        for &key in keys {
            state.under_way[key] += 1;
        }
        state.history.loads.push(Load {
            instance,
            keys: keys.to_vec(),
            whole,
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

    /// A listing of the keys of a namespace begins.
    pub fn listing_begins(&self, instance: usize, namespace: usize) {
        let mut state = self.state();
        let start = self.stamp(&mut state);
        state.history.listed.push(Listed { instance, namespace, start, end: None });
    }

    /// The listing that began last has told all keys.
    pub fn listing_ends(&self, instance: usize, namespace: usize) {
        let mut state = self.state();
        let end = self.stamp(&mut state);
        let listed = state.history.listed.iter_mut().rev();
        let mut of_it = listed.filter(|listed| (listed.instance, listed.namespace) == (instance, namespace));
        of_it.next().unwrap().end = Some(end);
    }

    /// An exchange with the shared tier has ended.
    pub fn exchanged(&self, instance: usize, sent: Stamp, what: Exchanged) {
        let mut state = self.state();
        let at = self.stamp(&mut state);
        state.history.exchanges.push(Exchange { instance, sent, at, what });
    }

    /// The log has heard `instance`.
    pub fn is_alive(&self, instance: usize) {
        let mut state = self.state();
        let until = self.stamp(&mut state);
        let last = state.alive[instance].replace(until);
        if last.is_none_or(|last| until.ms > last.ms + SILENCE_MS) {
            let from = last.unwrap_or_default();
            state.history.gaps.push(Gap { instance, from, until });
        }
    }

    /// Grants waits and moves the clock until every client has left, or nothing comes any more.
    async fn drive(&self, driver: &mut Driver, with_faults: bool) {
        let mut nothing_since = self.now_ms();
        loop {
            yield_now().await;
            let now = self.now_ms();
            if self.state().clients == 0 {
                return;
            }
            if self.grant(now, driver.rng.usize(1..=4)) {
                nothing_since = now;
                continue;
            }
            if now > nothing_since + PATIENCE_MS {
                return;
            }
            super::instance::move_wall_clock(&mut driver.rng);
            if with_faults && now >= driver.faults_change_at {
                self.change_faults(driver);
                driver.faults_change_at = now + driver.phase_ms(self.plan());
            }
            self.pass_a_millisecond().await;
        }
    }

    /// Whoever waits for the clock looks at it before the next wait is granted.
    async fn pass_a_millisecond(&self) {
        self.clock().advance(Duration::from_millis(1));
        yield_now().await;
    }

    /// Ends all faults. Where there are two instances, waits until each must have seen what it was told, and lets each read
    /// every key once more.
    async fn settle(&self, driver: &mut Driver, instances: &[Instance]) {
        if driver.faulty_since.is_some() {
            self.change_faults(driver);
        }
        if instances.len() == 1 {
            return;
        }
        let now = self.now_ms();
        let untold = || instances.iter().any(|instance| instance.untold() > 0);
        while self.now_ms() < now + SETTLED_AFTER_MS || (untold() && self.now_ms() < now + PATIENCE_MS) {
            yield_now().await;
            if !self.grant(self.now_ms(), 1) {
                self.pass_a_millisecond().await;
            }
        }
        {
            let mut state = self.state();
            let settled = self.stamp(&mut state);
            state.history.settled = Some(settled);
            state.clients += instances.len();
        }
        self.pass_a_millisecond().await;
        for (number, instance) in instances.iter().enumerate() {
            let client = self.plan().clients + number;
            tokio::spawn(workload::last_reader(self.clone(), client, instance.clone()));
        }
        self.drive(driver, false).await;
    }

    fn change_faults(&self, driver: &mut Driver) {
        let (since, plan) = (&mut driver.faulty_since, self.plan());
        let mut state = self.state();
        state.faults = since.is_none();
        let now = self.stamp(&mut state);
        match since.take() {
            Some(from) => state.history.faulty.push((from, now)),
            None => *since = Some(now),
        }
        drop(state);
        let Some(trouble) = plan.trouble else { return };
        let (tier, rng) = (self.tier(), &mut driver.rng);
        if driver.faulty_since.is_some() {
            let cut_off = trouble.begins(tier, plan.instances, rng);
            self.state().reading = cut_off.filter(|_| rng.u8(0..4) > 0);
        } else {
            trouble.is_ending(tier, rng);
            trouble.ends(tier, plan.instances);
            let mut state = self.state();
            if state.reading.is_some() {
                state.quiet_until = now.ms + QUIET_MS;
            }
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
                    self.pass_a_millisecond().await;
                }
            }
            if !idle.is_finished() {
                left.busy.push(number);
            }
            idle.abort();
            left.flights += instance.flights();
            left.broken.extend(instance.validate());
            left.untold += instance.untold();
        }
        left
    }

    fn finish(&self, left: Left) -> History {
        let mut state = self.state();
        let until = self.stamp(&mut state);
        for (instance, last) in state.alive.clone().into_iter().enumerate() {
            let from = last.unwrap_or_default();
            if self.plan().instances > 1 && until.ms > from.ms + SILENCE_MS {
                state.history.gaps.push(Gap { instance, from, until });
            }
        }
        let mut history = std::mem::take(&mut state.history);
        history.left = left;
        history.fired = self.tier().fired();
        history
    }
}

impl Driver {
    fn new(plan: &Plan) -> Self {
        let mut rng = Rng::with_seed(plan.seed ^ 0xd21_7e2);
        Self { faults_change_at: rng.u64(50..200), faulty_since: None, rng }
    }

    /// How long it stays as it is now, with faults or without.
    fn phase_ms(&mut self, plan: &Plan) -> u64 {
        match (plan.instances, self.faulty_since) {
            (1, _) => self.rng.u64(50..200),
            (_, Some(_)) => self.rng.u64(100..3_500),
            (_, None) => self.rng.u64(200..3_500),
        }
    }
}

fn ms_of(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap()
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

//! Random worlds: writers and readers of a namespace that writes behind, through crashes, failing disks and a failing sink.
//!
//! The versions of a key are written one after the other by one writer at a time; those divisible by five are deletions. A model
//! notes which were acknowledged. Every read is checked against what was acknowledged when it began; in the end, when
//! everything works, the table must have the last version of each key, and must have got there without ever going back.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::rt::Clock;
use forebay::{BehindOptions, Blob, Error, Forebay, Namespace, Writes};

use super::bank::{Act, Bank, GONE};
use super::disk::{Disk, Fault};
use crate::scripted::text;

/// What one world is made of.
#[derive(Clone, Debug)]
struct Plan {
    seed: u64,
    keys: u64,
    lives: u64,
    steps: u64,
    options: BehindOptions,
    ttl: Duration,
    /// Calls that nobody waits for may still be applied. Then no write runs out of retries.
    ghosts: bool,
    /// The table applies what it is given twice twice.
    forgets_ids: bool,
    poison_in_100: u64,
    weather_in_100: u64,
    faults_in_100: u64,
    limit_bytes: Option<u64>,
}

/// What was seen of all that a world can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub acknowledged: u64,
    pub applied: u64,
    pub overtaken: u64,
    pub retried: u64,
    pub parked: u64,
    pub dropped: u64,
    pub revived: u64,
    pub crashes_with_pending: u64,
    pub full: u64,
    pub unconfirmed: u64,
    pub failed: u64,
    pub reads_of_pending: u64,
}

impl Tally {
    fn each(&mut self) -> [&mut u64; 12] {
        let Self { acknowledged, applied, overtaken, retried, parked, dropped, .. } = self;
        let Self { revived, crashes_with_pending, full, unconfirmed, failed, reads_of_pending, .. } = self;
        [
            acknowledged,
            applied,
            overtaken,
            retried,
            parked,
            dropped,
            revived,
            crashes_with_pending,
            full,
            unconfirmed,
            failed,
            reads_of_pending,
        ]
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, mut other: Self) {
        for (sum, more) in self.each().into_iter().zip(other.each()) {
            *sum += *more;
        }
    }
}

/// What is known of one key.
#[derive(Debug, Default)]
struct Known {
    issued: u64,
    /// No read that begins may see less.
    floor: u64,
    /// Versions that were refused: nothing was done.
    refused: HashSet<u64>,
    is_writing: bool,
}

#[derive(Debug, Default)]
struct Model {
    keys: BTreeMap<String, Known>,
    violations: Vec<String>,
    tally: Tally,
}

fn is_deletion(version: u64) -> bool {
    version.is_multiple_of(5)
}

fn value_of(key: &str, version: u64) -> String {
    format!("{key}:{version}")
}

fn version_of(key: &str, value: &str) -> Option<u64> {
    value.strip_prefix(key)?.strip_prefix(':')?.parse().ok()
}

impl Model {
    /// Checks what a reader got who began when `floor` was acknowledged.
    fn read(&mut self, key: &str, floor: u64, got: Option<&str>) {
        let known = &self.keys[key];
        let seen = match got {
            // Some deletion from the floor on, or nothing was written yet.
            None => (floor..=known.issued)
                .find(|version| is_deletion(*version) && !known.refused.contains(version)),
            Some(value) => version_of(key, value),
        };
        match seen {
            None => self.violations.push(format!(
                "H3: a read of {key} got {got:?} when version {floor} of {} was acknowledged",
                known.issued
            )),
            Some(version)
                if version < floor || version > known.issued || known.refused.contains(&version) =>
            {
                self.violations.push(format!(
                    "H3: a read of {key} got version {version} when version {floor} of {} was acknowledged (refused: {:?})",
                    known.issued, known.refused
                ));
            }
            Some(_) => {}
        }
    }

    /// Checks that the table never went back, and got nothing that was refused.
    fn effects(&mut self, key: &str, effects: &[String]) {
        let Known { refused, .. } = &self.keys[key];
        let mut last = 0;
        for value in effects {
            let next = match value.strip_prefix(GONE) {
                Some(_) => (last + 1..).find(|version| is_deletion(*version) && !refused.contains(version)),
                None => version_of(key, value),
            };
            let next = next.unwrap();
            if next <= last || refused.contains(&next) {
                self.violations.push(format!("H8: the table had of {key}, in this order: {effects:?}"));
                return;
            }
            last = next;
        }
    }
}

/// One process on the disk.
struct Life {
    engine: Forebay,
    things: Namespace<Blob>,
}

struct World {
    plan: Plan,
    clock: Clock,
    disk: Disk,
    bank: Bank,
    model: Arc<Mutex<Model>>,
    random: fastrand::Rng,
}

impl Plan {
    fn draw(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let pick = |random: &mut fastrand::Rng, of: &[u64]| of[random.usize(..of.len())];
        let ghosts = random.bool();
        let ms = Duration::from_millis;
        let pause_first = ms(random.u64(1..=50));
        let options = BehindOptions {
            batch_max: random.choice([1, 2, 8, 64]).unwrap(),
            linger: ms(pick(&mut random, &[0, 0, 5, 50])),
            calls: random.usize(1..=3),
            writes_max: random.choice([4, 1_000, 1_000]).unwrap(),
            bytes_max: 64 * 1024,
            retries: if ghosts { 1_000_000 } else { random.u32(1..6) },
            pause_first,
            pause_max: pause_first * random.u32(1..=8),
        };
        Self {
            seed,
            keys: pick(&mut random, &[1, 2, 6]),
            lives: random.u64(1..=4),
            steps: random.u64(20..=150),
            options,
            ttl: ms(pick(&mut random, &[20, 100, 2_000])),
            ghosts,
            forgets_ids: !ghosts && random.bool(),
            poison_in_100: pick(&mut random, &[0, 0, 5, 20]),
            weather_in_100: pick(&mut random, &[0, 5, 30]),
            faults_in_100: pick(&mut random, &[0, 0, 3, 10]),
            limit_bytes: if random.u8(..5) == 0 { Some(400) } else { None },
        }
    }
}

/// Lets every task run until it waits for the clock.
async fn settle() {
    for _ in 0..40 {
        tokio::task::yield_now().await;
    }
}

impl World {
    fn new(plan: Plan) -> Self {
        let clock = Clock::simulated();
        let (disk, bank) = (Disk::new(&clock), Bank::new(&clock));
        let mut random = fastrand::Rng::with_seed(plan.seed ^ 0x5eed);
        disk.latency(Duration::from_millis(random.u64(0..5)));
        disk.limit_bytes(plan.limit_bytes);
        bank.latency(Duration::from_millis(random.u64(0..30)), Duration::from_millis(random.u64(0..30)));
        if plan.ghosts {
            bank.keep_ghosts();
        }
        if plan.forgets_ids {
            bank.forget_ids();
        }
        let keys = (0..plan.keys).map(|key| (format!("k{key}"), Known::default())).collect();
        let model = Arc::new(Mutex::new(Model { keys, ..Model::default() }));
        Self { plan, clock, disk, bank, model, random }
    }

    fn begin(&self) -> Life {
        let engine =
            Forebay::builder().clock(self.clock.clone()).memory_budget_bytes(1 << 20).build().unwrap();
        let things = engine
            .namespace("things")
            .key("{id}")
            .ttl(self.plan.ttl)
            .load_timeout(Duration::from_millis(200))
            .source(self.bank.clone())
            .writes(Writes::Behind)
            .sink(self.bank.clone())
            .behind(self.disk.open(), self.plan.options)
            .build()
            .unwrap();
        Life { engine, things }
    }

    fn a_key(&mut self) -> String {
        format!("k{}", self.random.u64(..self.plan.keys))
    }

    fn chance(&mut self, in_100: u64) -> bool {
        self.random.u64(..100) < in_100
    }

    /// Somebody writes the next version of a key, unless somebody does already.
    fn write(&mut self, life: &Life) {
        let key = self.a_key();
        let (things, model) = (life.things.clone(), Arc::clone(&self.model));
        let version = {
            let mut model = self.model.lock().unwrap();
            let known = model.keys.get_mut(&key).unwrap();
            if known.is_writing {
                return;
            }
            known.is_writing = true;
            known.issued += 1;
            known.issued
        };
        let value = value_of(&key, version);
        if self.chance(self.plan.poison_in_100) {
            self.bank.poison(&value);
        }
        tokio::spawn(async move {
            let written = if is_deletion(version) {
                things.delete(&key).await
            } else {
                things.set(&key, Blob::opaque(value), 0).await
            };
            let mut model = model.lock().unwrap();
            let Model { keys, tally, .. } = &mut *model;
            let known = keys.get_mut(&key).unwrap();
            known.is_writing = false;
            match written {
                Ok(()) => {
                    tally.acknowledged += 1;
                    known.floor = known.floor.max(version);
                }
                Err(Error::JournalUnconfirmed { .. }) => tally.unconfirmed += 1,
                Err(error) => {
                    match error {
                        Error::QueueFull { .. } => tally.full += 1,
                        Error::Parked { .. } | Error::JournalFailed { .. } => tally.failed += 1,
                        error => panic!("a write ended in: {error}"),
                    }
                    known.refused.insert(version);
                }
            }
        });
    }

    fn read(&mut self, life: &Life) {
        let key = self.a_key();
        let (things, model) = (life.things.clone(), Arc::clone(&self.model));
        let floor = self.model.lock().unwrap().keys[&key].floor;
        let way = self.random.u8(..4);
        tokio::spawn(async move {
            if things.pending_writes().writes > 0 {
                model.lock().unwrap().tally.reads_of_pending += 1;
            }
            let read = match way {
                0 => things.get_many([&key]).await.map(|mut values| values.remove(0)),
                1 => things.get_fresh(&key).await,
                _ => things.get(&key).await,
            };
            // Without a source that answers there is nothing to check.
            let Ok(value) = read else { return };
            model.lock().unwrap().read(&key, floor, value.map(|blob| text(&blob)).as_deref());
        });
    }

    async fn forget(&mut self, life: &Life) {
        let key = self.a_key();
        match self.random.u8(..4) {
            0 => drop(life.things.invalidate(&key).await.unwrap()),
            1 => drop(life.things.expire(&key).await.unwrap()),
            2 => drop(life.things.drop_copy(key.as_bytes())),
            _ => life.things.invalidate_all().await.unwrap(),
        }
    }

    fn weather(&mut self) {
        let acts = [Act::Fail, Act::LoseAnswer, Act::LoseCall, Act::Hang, Act::Panic, Act::First];
        let act = *self.random.choice(&acts).unwrap();
        if self.random.bool() {
            self.bank.next(act);
        } else {
            let act = self.random.bool().then_some(act);
            self.bank.weather(act);
        }
    }

    fn fault(&mut self) {
        // The last ends the journal's life.
        let fault = if self.chance(20) { Fault::SyncFails } else { Fault::Fail };
        self.disk.next(fault);
    }

    /// Somebody looks after a dead letter.
    fn care(&mut self, life: &Life) {
        let dead = life.things.dead_letters();
        let Some(letter) = self.random.choice(&dead) else { return };
        let key = String::from_utf8(letter.key.clone()).unwrap();
        let (things, id) = (life.things.clone(), letter.id);
        if self.random.bool() {
            tokio::spawn(async move { drop(things.replay_dead_letter(id).await) });
            return;
        }
        let (model, bank) = (Arc::clone(&self.model), self.bank.clone());
        {
            // What was acknowledged is given up: readers may have what the table has.
            let mut model = model.lock().unwrap();
            let known = model.keys.get_mut(&key).unwrap();
            let had = bank.row(&key).map_or(0, |value| version_of(&key, &value).unwrap());
            known.floor = known.floor.min(had);
        }
        tokio::spawn(async move { drop(things.drop_dead_letter(id).await) });
    }

    async fn step(&mut self, life: &Life) {
        match self.random.u8(..20) {
            0..=7 => self.write(life),
            8..=14 => self.read(life),
            15..=16 => self.forget(life).await,
            17 => self.care(life),
            _ => {}
        }
        if self.chance(self.plan.weather_in_100) {
            self.weather();
        }
        if self.chance(self.plan.faults_in_100) {
            self.fault();
        }
        if self.chance(20) {
            self.bank.haunt(self.random.usize(..8));
        }
        for _ in 0..self.random.u32(..3) {
            tokio::task::yield_now().await;
        }
        if self.chance(50) {
            self.clock.advance(Duration::from_millis(self.random.u64(1..30)));
        }
        if self.chance(30) {
            settle().await;
        }
    }

    fn note(&self, life: &Life) {
        let counts = life.things.counts();
        let tally = &mut self.model.lock().unwrap().tally;
        tally.applied += counts.behind_applied;
        tally.overtaken += counts.behind_overtaken;
        tally.retried += counts.behind_retried;
        tally.parked += counts.behind_parked;
        tally.dropped += counts.behind_dropped;
        tally.revived += counts.behind_revived;
    }

    /// One life of the process, which a crash ends.
    fn live(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let life = self.begin();
            for _ in 0..self.plan.steps {
                self.step(&life).await;
            }
            self.note(&life);
            if life.things.pending_writes().writes > 0 {
                self.model.lock().unwrap().tally.crashes_with_pending += 1;
            }
        });
        drop(runtime);
        self.disk.crash(self.random.usize(..6));
        for known in self.model.lock().unwrap().keys.values_mut() {
            known.is_writing = false;
        }
    }

    /// The last life, in which everything works: whatever is held is applied.
    fn end(&mut self) {
        self.disk.heal();
        self.bank.heal();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let life = self.begin();
            for letter in life.things.dead_letters() {
                let replay = life.things.replay_dead_letter(letter.id);
                assert!(self.in_time(replay).await.expect("a replay in time").unwrap());
            }
            let flush = life.things.flush_writes(Duration::from_secs(100));
            let flushed = self.in_time(flush).await;
            if flushed != Some(true) {
                let pending = life.things.pending_writes();
                self.model
                    .lock()
                    .unwrap()
                    .violations
                    .push(format!("liveness: not applied in the end: {pending:?}"));
            }
            let keys: Vec<String> = self.model.lock().unwrap().keys.keys().cloned().collect();
            for key in &keys {
                let floor = self.model.lock().unwrap().keys[key].floor;
                let read = self.in_time(life.things.get(key)).await.expect("a read in time").unwrap();
                let mut model = self.model.lock().unwrap();
                model.read(key, floor, read.map(|blob| text(&blob)).as_deref());
            }
            self.in_time(life.engine.idle()).await.expect("idle in time");
            if let Err(problem) = life.engine.validate() {
                self.model.lock().unwrap().violations.push(format!("structure: {problem}"));
            }
            self.note(&life);
        });
        drop(runtime);
        self.disk.crash(0);
        let mut model = self.model.lock().unwrap();
        let left = self.disk.holds();
        if !left.pending.is_empty() || !left.dead.is_empty() {
            model.violations.push(format!("H8: the journal still holds {left:?}"));
        }
        let keys: Vec<(String, u64)> =
            model.keys.iter().map(|(key, known)| (key.clone(), known.floor)).collect();
        for (key, floor) in keys {
            if !self.plan.forgets_ids {
                model.effects(&key, &self.bank.effects(&key));
            }
            model.read(&key, floor, self.bank.row(&key).as_deref());
        }
    }

    /// Waits for `work`, moving the clock; `None` where it does not end.
    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        for _ in 0..20_000 {
            let polled = std::future::poll_fn(|context| {
                std::task::Poll::Ready(match work.as_mut().poll(context) {
                    std::task::Poll::Ready(done) => Some(done),
                    std::task::Poll::Pending => None,
                })
            });
            if let Some(done) = polled.await {
                return Some(done);
            }
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
            self.clock.advance(Duration::from_millis(5));
        }
        None
    }
}

/// The world of `seed`: what broke in it, what was seen.
pub fn live(seed: u64) -> (Vec<String>, Tally) {
    fastrand::seed(seed);
    let plan = Plan::draw(seed);
    let lives = plan.lives;
    let mut world = World::new(plan);
    for _ in 0..lives {
        world.live();
    }
    world.end();
    let model = world.model.lock().unwrap();
    let told = model.violations.iter().map(|what| format!("{what}\nin the world {:?}", world.plan));
    (told.collect(), model.tally)
}

/// Worlds of the run beside the other tests.
const SEEDS: u64 = 400;

fn asked_for(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect(variable))
}

#[test]
fn no_acknowledged_write_is_lost_and_no_key_goes_back() {
    let first = asked_for("FOREBAY_BEHIND_SEED", 1);
    let count = asked_for("FOREBAY_BEHIND_COUNT", SEEDS);
    let mut sum = Tally::default();
    for seed in first..first + count {
        let (violations, tally) = live(seed);
        assert!(violations.is_empty(), "seed {seed}: {}", violations[0]);
        sum += tally;
    }
    println!("{sum:?}");
    if count >= SEEDS {
        assert!(sum.each().iter().all(|seen| **seen > 20), "the worlds show too little: {sum:?}");
    }
}

//! Random clients on two instances, random faults: whatever happens, no read gets what was made gone (H1), no read fails for
//! its cache, and in the end both instances agree with the source (H12).

use std::sync::{Arc, Mutex};

use forebay::log::{SUSPECT_AFTER, Verb};
use forebay::rt::{Clock, Tick};
use forebay::{Blob, Error, Tier};
use forebay_simulated::{Faults, Partition, SimulatedTier};

use super::{Cluster, Instance, Origin, SCOPES, Scope, ms, tagged, tell};
use crate::scripted::text;

/// Keys of the random test, all of group `g`.
const KEYS: usize = 3;
const SEEDS: u64 = 200;

/// What the clients of the random test did, and what readers may therefore rely on. A row's text is its version.
#[derive(Default)]
struct Ledger {
    /// Committed at the source.
    latest: [u64; KEYS],
    /// What a reader on an instance gets at least.
    at_least: [[u64; KEYS]; 2],
    /// What a reader on any instance gets at least who begins after that time.
    elsewhere: Vec<(Tick, [u64; KEYS])>,
    tally: Tally,
}

/// How often there was something to check.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    reads: usize,
    bound: usize,
    shared: usize,
    confirmed: usize,
    unconfirmed: usize,
    acknowledged: usize,
}

impl Ledger {
    fn floor(&mut self, instance: usize, key: usize, now: Tick) -> u64 {
        let told = self.elsewhere.iter().filter(|(due, _)| now > *due).map(|(_, versions)| versions[key]);
        let floor = told.max().unwrap_or(0).max(self.at_least[instance][key]);
        self.tally.bound += usize::from(floor > 0);
        floor
    }

    fn promise(&mut self, instance: usize, versions: [u64; KEYS]) {
        for (floor, version) in self.at_least[instance].iter_mut().zip(versions) {
            *floor = version.max(*floor);
        }
    }
}

/// One client of the random test.
struct Client {
    seed: u64,
    /// The instance that it talks to, and its place in the ledger.
    instance: Instance,
    index: usize,
    origin: Origin,
    clock: Clock,
    ledger: Arc<Mutex<Ledger>>,
    /// Whether nobody is ever out of touch for so long that the log does not wait for it.
    strict: bool,
    chance: fastrand::Rng,
}

impl Client {
    async fn live(mut self) {
        for _ in 0..40 {
            match self.chance.u8(0..10) {
                0..4 => self.read().await,
                4 => self.read_many().await,
                5 => self.read_fresh().await,
                6 | 7 => self.change().await,
                _ => {
                    let a_while = ms(self.chance.u64(0..400));
                    self.clock.sleep(a_while).await;
                }
            }
        }
    }

    fn floors(&self) -> [u64; KEYS] {
        let now = self.clock.now();
        let mut ledger = self.ledger.lock().unwrap();
        std::array::from_fn(|key| ledger.floor(self.index, key, now))
    }

    fn check(&self, what: &str, key: usize, value: Option<&Blob>, floor: u64) {
        let got: u64 = value.map_or(0, |blob| text(blob).parse().unwrap());
        let (seed, index, now) = (self.seed, self.index, self.clock.now());
        assert!(got >= floor, "seed {seed}: {what} of {key} on {index} at {now:?} gave {got}, not {floor}");
    }

    async fn read(&mut self) {
        let (key, floors) = (self.chance.usize(0..KEYS), self.floors());
        let read = self.instance.rows.get_with_outcome(("g", key.to_string().as_str())).await;
        let (value, outcome) = read.expect("a read failed for its cache");
        self.check("a read", key, value.as_deref(), floors[key]);
        let tally = &mut self.ledger.lock().unwrap().tally;
        tally.reads += 1;
        tally.shared += usize::from(outcome.tier == Tier::Shared);
    }

    async fn read_many(&mut self) {
        let floors = self.floors();
        let ids: [String; KEYS] = std::array::from_fn(|key| key.to_string());
        let values = self.instance.rows.get_many(ids.iter().map(|id| ("g", id.as_str()))).await.unwrap();
        for (key, value) in values.iter().enumerate() {
            self.check("one of many", key, value.as_deref(), floors[key]);
        }
    }

    async fn read_fresh(&mut self) {
        let key = self.chance.usize(0..KEYS);
        let latest = self.ledger.lock().unwrap().latest[key];
        let value = self.instance.rows.get_fresh(("g", key.to_string().as_str())).await.unwrap();
        self.check("a fresh read", key, value.as_deref(), latest);
    }

    /// Commits a new version of some keys and tells of it.
    async fn change(&mut self) {
        let (scope, one) = (SCOPES[self.chance.usize(0..SCOPES.len())], self.chance.usize(0..KEYS));
        let mut covered = [0; KEYS];
        {
            let mut ledger = self.ledger.lock().unwrap();
            for (key, (latest, covered)) in ledger.latest.iter_mut().zip(&mut covered).enumerate() {
                if key == one || !matches!(scope, Scope::Key) {
                    *latest += 1;
                    *covered = *latest;
                    self.origin.row(&key.to_string(), tagged(&latest.to_string()));
                }
            }
        }
        let verb = if self.chance.bool() { Verb::Invalidate } else { Verb::Expire };
        let told = match (scope, verb) {
            (Scope::Key, Verb::Invalidate) => self.instance.invalidate(&one.to_string()).await.map(drop),
            (Scope::Key, Verb::Expire) => {
                self.instance.rows.expire(("g", one.to_string().as_str())).await.map(drop)
            }
            _ => tell(&self.instance, scope, verb).await,
        };
        {
            let mut ledger = self.ledger.lock().unwrap();
            ledger.promise(self.index, covered);
            match told {
                Ok(()) => {
                    ledger.tally.confirmed += 1;
                    ledger.elsewhere.push((self.clock.now().after(SUSPECT_AFTER), covered));
                }
                Err(Error::Unconfirmed { .. }) => {
                    ledger.tally.unconfirmed += 1;
                    return;
                }
                Err(other) => panic!("{other}"),
            }
        }
        if self.strict
            && self.chance.bool()
            && self.instance.engine.acknowledged(ms(800)).await.is_ok_and(|all| all)
        {
            let mut ledger = self.ledger.lock().unwrap();
            ledger.tally.acknowledged += 1;
            ledger.promise(1 - self.index, covered);
        }
    }
}

/// Cuts instances off, restarts and trims the tier, by chance.
async fn trouble(clock: Clock, tier: SimulatedTier, mut chance: fastrand::Rng, cut_off: bool) {
    loop {
        let a_while = ms(chance.u64(100..1_500));
        clock.sleep(a_while).await;
        match chance.u8(0..6) {
            0..=3 if cut_off => {
                let how = [Partition::Refused, Partition::Requests, Partition::Answers][chance.usize(0..3)];
                let instance = chance.u64(1..=2);
                tier.partition(instance, Some(how));
                let a_while = ms(chance.u64(100..3_000));
                clock.sleep(a_while).await;
                tier.partition(instance, None);
            }
            4 => tier.restart(chance.usize(0..3)),
            5 => tier.trim(chance.usize(0..3)),
            _ => {}
        }
    }
}

/// One life of two instances with two clients each; what there was to check.
async fn random_life(seed: u64) -> (Tally, forebay_simulated::Fired) {
    let cluster = Cluster::new(seed);
    let mut chance = fastrand::Rng::with_seed(seed);
    let strict = chance.bool();
    let most = if strict { 20 } else { 100 };
    let mut per_mille = || chance.u16(0..most);
    let (refuse, lose_request, lose_answer) = (per_mille(), per_mille(), per_mille());
    let (late, repeat) = (per_mille(), 10 * per_mille());
    let delay_ms_max = chance.u64(0..30);
    let faults = Faults { delay_ms_max, refuse, lose_request, lose_answer, late, repeat };
    cluster.origin.takes(ms(chance.u64(0..200)));
    let ledger = Arc::<Mutex<Ledger>>::default();
    let instances = [cluster.instance(1), cluster.instance(2)];
    // Who has never been in touch is not waited for by those who want to be acknowledged.
    cluster.run(cluster.pass(ms(500))).await;
    cluster.tier.set_faults(faults);
    let troubles = trouble(cluster.clock.clone(), cluster.tier.clone(), chance.fork(), !strict);
    let troubles = tokio::spawn(troubles);
    let clients: Vec<_> = (0..4)
        .map(|client| Client {
            seed,
            instance: instances[client % 2].clone(),
            index: client % 2,
            origin: cluster.origin.clone(),
            clock: cluster.clock.clone(),
            ledger: Arc::clone(&ledger),
            strict,
            chance: chance.fork(),
        })
        .map(|client| tokio::spawn(client.live()))
        .collect();
    cluster
        .run(async {
            for client in clients {
                client.await.unwrap();
            }
            troubles.abort();
            cluster.tier.set_faults(Faults::default());
            cluster.tier.partition(1, None);
            cluster.tier.partition(2, None);
            cluster.pass(ms(1_500)).await;
            let latest = ledger.lock().unwrap().latest;
            for instance in &instances {
                assert_eq!(instance.engine.untold(), 0, "seed {seed}: not told after all");
                for (key, latest) in latest.iter().enumerate() {
                    let got = instance.get(&key.to_string()).await.map_or(0, |text| text.parse().unwrap());
                    assert_eq!(got, *latest, "seed {seed}: {key} did not converge");
                }
            }
        })
        .await;
    let tally = ledger.lock().unwrap().tally;
    (tally, cluster.tier.fired())
}

#[tokio::test]
async fn random_clients_of_two_instances_never_get_what_was_made_gone() {
    let (mut all, mut faults) = (Tally::default(), [0; 6]);
    for seed in 0..SEEDS {
        let (tally, fired) = random_life(seed).await;
        all.reads += tally.reads;
        all.bound += tally.bound;
        all.shared += tally.shared;
        all.confirmed += tally.confirmed;
        all.unconfirmed += tally.unconfirmed;
        all.acknowledged += tally.acknowledged;
        let counts = [fired.refused, fired.requests_lost, fired.answers_lost, fired.late, fired.gaps];
        for (sum, count) in faults.iter_mut().zip(counts.into_iter().chain([fired.restarts])) {
            *sum += count;
        }
    }
    assert!(all.bound > 10_000 && all.shared > 300, "{all:?}");
    assert!(all.confirmed > 2_000 && all.unconfirmed > 200 && all.acknowledged > 200, "{all:?}");
    assert!(faults.iter().all(|count| *count > 100), "a fault did not happen: {faults:?}");
}

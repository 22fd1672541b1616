//! The circuit breaker: a source that keeps failing is left alone for a while, then tried with care.
//!
//! Three states (Nygard, "Release It!", 2nd edition, 2018, §5.2). *Closed*: every load passes; so many failures in a row
//! open it. *Open*: no load passes, and the answer comes at once. *Half-open*, once the pause is over: one load at a time
//! passes as a probe; so many good ones in a row close it, a single failure opens it for another full pause.
//!
//! It guarantees that at most one probe is out at a time, that only probes close it, and that a load which was let
//! pass before a change of state has no say after it. It is asked once for a load, never for a hit, so that one small lock
//! is enough. What counts as a failure is left to the loader, and so is the time after which a load has failed: a probe is
//! out until its permit is resolved or dropped.

use std::sync::Arc;
use std::time::Duration;

use crate::namespace::BreakerOptions;
use crate::rt::{Mutex, Tick};

/// The longest that a caller is told to wait for the end of a probe, which may close the breaker at any moment.
const PROBE_WAIT_MAX: Duration = Duration::from_secs(1);

/// A breaker before one source.
#[derive(Debug)]
pub(crate) struct Breaker {
    options: BreakerOptions,
    gate: Mutex<Gate>,
}

/// What a breaker says to a load.
#[derive(Debug)]
#[must_use]
pub(crate) enum Verdict {
    /// Ask the source, and tell the permit how it went.
    Pass(Permit),
    /// Leave the source alone.
    Open {
        /// When a load may pass again: at the end of the pause, or about when the probe that is out has ended.
        retry_after: Duration,
    },
}

/// The right of one load to ask the source. Dropped unresolved (the load was cancelled), it counts for nothing, and frees
/// the place of the probe where it was one.
#[derive(Debug)]
#[must_use]
pub(crate) struct Permit {
    breaker: Arc<Breaker>,
    /// The epoch that it was given in.
    epoch: u64,
    resolved: bool,
}

/// Which of its three states a breaker is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Every load passes.
    Closed,
    /// No load passes.
    Open,
    /// One load at a time passes.
    HalfOpen,
}

impl Phase {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// Its word in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// What is to be seen of a breaker, from one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerState {
    /// The state; an open breaker whose pause is over is half-open, asked or not.
    pub phase: Phase,
    /// Since when it is in it.
    pub since: Tick,
    /// How often it was opened; a failed probe opens it anew.
    pub opened: u64,
}

#[derive(Debug)]
struct Gate {
    state: State,
    /// Grows with every change of state, so that older permits are known by theirs.
    epoch: u64,
    since: Tick,
    opened: u64,
}

#[derive(Debug)]
enum State {
    /// `failures` in a row so far; fewer than the options allow.
    Closed {
        failures: u32,
    },
    Open {
        until: Tick,
    },
    /// `successes` in a row so far; fewer than the options ask for.
    HalfOpen {
        successes: u32,
        is_probing: bool,
    },
}

impl Breaker {
    /// A closed breaker.
    pub(crate) fn new(options: BreakerOptions) -> Self {
        let options = BreakerOptions {
            failures: options.failures.max(1),
            successes: options.successes.max(1),
            pause: options.pause,
        };
        let state = State::Closed { failures: 0 };
        Self { options, gate: Mutex::new(Gate { state, epoch: 0, since: Tick::default(), opened: 0 }) }
    }

    /// Whether a load may ask the source now.
    pub(crate) fn ask(self: &Arc<Self>, now: Tick) -> Verdict {
        let mut gate = self.gate.lock();
        if let State::Open { until } = gate.state {
            if now < until {
                return Verdict::Open { retry_after: until.since(now) };
            }
            gate.enter(State::HalfOpen { successes: 0, is_probing: false }, until);
        }
        if let State::HalfOpen { is_probing, .. } = &mut gate.state {
            if *is_probing {
                return Verdict::Open { retry_after: self.options.pause.min(PROBE_WAIT_MAX) };
            }
            *is_probing = true;
        }
        Verdict::Pass(Permit { breaker: Arc::clone(self), epoch: gate.epoch, resolved: false })
    }

    /// Its state at `now`.
    pub(crate) fn state(&self, now: Tick) -> BreakerState {
        let gate = self.gate.lock();
        let (phase, since) = match gate.state {
            State::Closed { .. } => (Phase::Closed, gate.since),
            State::Open { until } if now >= until => (Phase::HalfOpen, until),
            State::Open { .. } => (Phase::Open, gate.since),
            State::HalfOpen { .. } => (Phase::HalfOpen, gate.since),
        };
        BreakerState { phase, since, opened: gate.opened }
    }

    /// A load that passed in `epoch` had an answer.
    fn succeeded(&self, epoch: u64, now: Tick) {
        let mut gate = self.gate.lock();
        if gate.epoch != epoch {
            return;
        }
        match &mut gate.state {
            State::Closed { failures } => *failures = 0,
            State::HalfOpen { successes, is_probing } => {
                *is_probing = false;
                *successes += 1;
                if *successes >= self.options.successes {
                    gate.enter(State::Closed { failures: 0 }, now);
                }
            }
            State::Open { .. } => {}
        }
    }

    /// A load that passed in `epoch` had none.
    fn failed(&self, epoch: u64, now: Tick) {
        let mut gate = self.gate.lock();
        if gate.epoch != epoch {
            return;
        }
        match &mut gate.state {
            // Never: without it a source that always fails would open the breaker after 2³² loads.
            State::Closed { .. } if self.options.failures == u32::MAX => {}
            State::Closed { failures } => {
                *failures += 1;
                if *failures >= self.options.failures {
                    gate.open(now, self.options.pause);
                }
            }
            State::HalfOpen { .. } => gate.open(now, self.options.pause),
            State::Open { .. } => {}
        }
    }

    /// A load that passed in `epoch` ended with no word of the source.
    fn dropped(&self, epoch: u64) {
        let mut gate = self.gate.lock();
        if gate.epoch == epoch
            && let State::HalfOpen { is_probing, .. } = &mut gate.state
        {
            *is_probing = false;
        }
    }
}

impl Gate {
    fn open(&mut self, now: Tick, pause: Duration) {
        self.opened += 1;
        self.enter(State::Open { until: now.after(pause) }, now);
    }

    fn enter(&mut self, state: State, since: Tick) {
        self.state = state;
        self.epoch += 1;
        self.since = since;
    }
}

impl Permit {
    /// The source answered.
    pub(crate) fn succeeded(mut self, now: Tick) {
        self.resolved = true;
        self.breaker.succeeded(self.epoch, now);
    }

    /// The source failed: an error of its own, no answer in time, a panic.
    pub(crate) fn failed(mut self, now: Tick) {
        self.resolved = true;
        self.breaker.failed(self.epoch, now);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.resolved {
            self.breaker.dropped(self.epoch);
        }
    }
}

#[cfg(test)]
#[cfg(not(feature = "model"))]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{Breaker, PROBE_WAIT_MAX, Permit, Phase, Verdict};
    use crate::namespace::BreakerOptions;
    use crate::rt::{Clock, Tick};

    const PAUSE: Duration = Duration::from_secs(60);

    fn permit(breaker: &Arc<Breaker>, now: Tick) -> Option<Permit> {
        match breaker.ask(now) {
            Verdict::Pass(permit) => Some(permit),
            Verdict::Open { .. } => None,
        }
    }

    fn retry_after(breaker: &Arc<Breaker>, now: Tick) -> Option<Duration> {
        match breaker.ask(now) {
            Verdict::Pass(_) => None,
            Verdict::Open { retry_after } => Some(retry_after),
        }
    }

    /// A default breaker that was opened at `now`.
    fn opened(now: Tick) -> Arc<Breaker> {
        let breaker = Arc::new(Breaker::new(BreakerOptions::default()));
        (0..5).for_each(|_| permit(&breaker, now).unwrap().failed(now));
        assert_eq!(breaker.state(now).phase, Phase::Open);
        breaker
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_two_probes_close_it() {
        let clock = Clock::simulated();
        let breaker = Arc::new(Breaker::new(BreakerOptions::default()));
        let now = clock.now();
        (0..4).for_each(|_| permit(&breaker, now).unwrap().failed(now));
        permit(&breaker, now).unwrap().succeeded(now);
        (0..4).for_each(|_| permit(&breaker, now).unwrap().failed(now));
        assert_eq!(breaker.state(now).phase, Phase::Closed, "the success did not end the row");
        permit(&breaker, now).unwrap().failed(now);
        assert_eq!(retry_after(&breaker, now), Some(PAUSE));

        clock.advance(PAUSE - Duration::from_millis(1));
        assert_eq!(retry_after(&breaker, clock.now()), Some(Duration::from_millis(1)));
        clock.advance(Duration::from_millis(1));
        let now = clock.now();
        assert_eq!(breaker.state(now).phase, Phase::HalfOpen);
        let probe = permit(&breaker, now).unwrap();
        assert_eq!(retry_after(&breaker, now), Some(PROBE_WAIT_MAX), "a second probe beside the first");
        probe.succeeded(now);
        assert_eq!(breaker.state(now).phase, Phase::HalfOpen, "one probe closed it");
        permit(&breaker, now).unwrap().succeeded(now);
        let state = breaker.state(now);
        assert_eq!((state.phase, state.since, state.opened), (Phase::Closed, now, 1));
    }

    #[test]
    fn one_failed_probe_opens_it_for_a_full_pause() {
        let breaker = opened(Tick::default());
        let now = Tick::default().after(PAUSE * 3);
        permit(&breaker, now).unwrap().succeeded(now);
        permit(&breaker, now).unwrap().failed(now);
        assert_eq!(retry_after(&breaker, now), Some(PAUSE));
        let state = breaker.state(now);
        assert_eq!((state.phase, state.since, state.opened), (Phase::Open, now, 2));
        // The good probe of before does not count.
        let now = now.after(PAUSE);
        permit(&breaker, now).unwrap().succeeded(now);
        assert_eq!(breaker.state(now).phase, Phase::HalfOpen);
    }

    #[test]
    fn a_cancelled_probe_makes_room_for_the_next() {
        let breaker = opened(Tick::default());
        let now = Tick::default().after(PAUSE);
        drop(permit(&breaker, now).unwrap());
        let next = permit(&breaker, now).expect("the place of the dropped probe was lost");
        assert_eq!(breaker.state(now).phase, Phase::HalfOpen, "it counted");
        next.succeeded(now);
        permit(&breaker, now).unwrap().succeeded(now);
        assert_eq!(breaker.state(now).phase, Phase::Closed);
    }

    #[test]
    fn a_load_from_before_a_change_has_no_say_after_it() {
        let breaker = Arc::new(Breaker::new(BreakerOptions { successes: 1, ..BreakerOptions::default() }));
        let start = Tick::default();
        let [old, late, last] = [0; 3].map(|_| permit(&breaker, start).unwrap());
        (0..5).for_each(|_| permit(&breaker, start).unwrap().failed(start));
        old.succeeded(start);
        assert_eq!(breaker.state(start).phase, Phase::Open, "an old success closed it");
        let now = start.after(PAUSE);
        let probe = permit(&breaker, now).unwrap();
        drop(late);
        assert!(permit(&breaker, now).is_none(), "an old permit freed the probe's place");
        last.failed(now);
        assert_eq!(breaker.state(now).phase, Phase::HalfOpen, "an old failure opened it");
        probe.succeeded(now);
        assert_eq!(breaker.state(now).phase, Phase::Closed);
    }

    #[test]
    fn never_is_never_open() {
        let breaker = Arc::new(Breaker::new(BreakerOptions::never()));
        let now = Tick::default();
        (0..10_000).for_each(|_| permit(&breaker, now).unwrap().failed(now));
        assert_eq!(breaker.state(now).phase, Phase::Closed);
    }

    /// The machine as it is told, with whole lists instead of counters.
    struct Plain {
        options: BreakerOptions,
        phase: Phase,
        /// Outcomes since the phase began.
        outcomes: Vec<bool>,
        until_ms: u64,
        /// Which permit is the probe that is out.
        probe: Option<usize>,
        /// The number of changes so far.
        changes: usize,
        opened: u64,
    }

    impl Plain {
        fn change(&mut self, phase: Phase) {
            self.phase = phase;
            self.outcomes.clear();
            self.probe = None;
            self.changes += 1;
        }

        fn pass(&mut self, now_ms: u64, number: usize) -> bool {
            if self.phase == Phase::Open && now_ms >= self.until_ms {
                self.change(Phase::HalfOpen);
            }
            let passes = match self.phase {
                Phase::Closed => true,
                Phase::Open => false,
                Phase::HalfOpen => self.probe.is_none(),
            };
            if passes && self.phase == Phase::HalfOpen {
                self.probe = Some(number);
            }
            passes
        }

        fn resolve(&mut self, now_ms: u64, given_at: usize, outcome: Option<bool>) {
            if given_at != self.changes {
                return;
            }
            self.probe = None;
            let Some(outcome) = outcome else { return };
            self.outcomes.push(outcome);
            let row = self.outcomes.iter().rev().take_while(|&&other| other == outcome).count();
            match (self.phase, outcome) {
                (Phase::Closed, false) if row >= self.options.failures as usize => self.open(now_ms),
                (Phase::HalfOpen, false) => self.open(now_ms),
                (Phase::HalfOpen, true) if row >= self.options.successes as usize => {
                    self.change(Phase::Closed)
                }
                _ => {}
            }
        }

        fn open(&mut self, now_ms: u64) {
            self.change(Phase::Open);
            self.opened += 1;
            self.until_ms = now_ms + u64::try_from(self.options.pause.as_millis()).unwrap();
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Ask,
        /// Resolves one of the permits that are out; `None` drops it.
        Resolve(usize, Option<bool>),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Ask),
            4 => (any::<usize>(), prop::option::weighted(0.85, any::<bool>()))
                .prop_map(|(which, outcome)| Step::Resolve(which, outcome)),
            1 => (0..60_u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn it_is_the_plain_machine(
            (failures, successes, pause_ms) in (1..4_u32, 1..4_u32, 0..100_u64),
            steps in prop::collection::vec(step(), 1..120),
        ) {
            let options = BreakerOptions { failures, successes, pause: Duration::from_millis(pause_ms) };
            let clock = Clock::simulated();
            let breaker = Arc::new(Breaker::new(options));
            let mut plain = Plain {
                options, phase: Phase::Closed, outcomes: Vec::new(), until_ms: 0, probe: None, changes: 0, opened: 0,
            };
            let mut out: Vec<(Permit, usize)> = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                let now = clock.now();
                match step {
                    Step::Wait(ms) => clock.advance(Duration::from_millis(ms)),
                    Step::Ask => {
                        let permit = permit(&breaker, now);
                        prop_assert_eq!(permit.is_some(), plain.pass(now.as_ms(), number));
                        out.extend(permit.map(|permit| (permit, plain.changes)));
                    }
                    Step::Resolve(..) if out.is_empty() => {}
                    Step::Resolve(which, outcome) => {
                        let (permit, given_at) = out.swap_remove(which % out.len());
                        plain.resolve(now.as_ms(), given_at, outcome);
                        match outcome {
                            Some(true) => permit.succeeded(now),
                            Some(false) => permit.failed(now),
                            None => drop(permit),
                        }
                    }
                }
                let (now, state) = (clock.now(), breaker.state(clock.now()));
                let due = plain.phase == Phase::Open && now.as_ms() >= plain.until_ms;
                prop_assert_eq!(state.phase, if due { Phase::HalfOpen } else { plain.phase });
                prop_assert_eq!(state.opened, plain.opened);
            }
        }
    }
}

/// Every interleaving of two threads, on the shipped code.
#[cfg(test)]
#[cfg(feature = "model")]
mod model {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::{Breaker, Permit, Phase, Verdict};
    use crate::namespace::BreakerOptions;
    use crate::rt::{Mutex, Tick};

    const PAUSE: Duration = Duration::from_millis(10);

    fn options() -> BreakerOptions {
        BreakerOptions { failures: 1, successes: 2, pause: PAUSE }
    }

    fn permit(breaker: &Arc<Breaker>, now: Tick) -> Option<Permit> {
        match breaker.ask(now) {
            Verdict::Pass(permit) => Some(permit),
            Verdict::Open { .. } => None,
        }
    }

    /// A breaker whose pause is over, and the time.
    fn half_open() -> (Arc<Breaker>, Tick) {
        let breaker = Arc::new(Breaker::new(options()));
        if let Some(permit) = permit(&breaker, Tick::default()) {
            permit.failed(Tick::default());
        }
        (breaker, Tick::default().after(PAUSE))
    }

    /// Runs `thread` twice side by side, in every order that there is.
    fn both<S: Send + Sync + 'static>(
        stage: impl Fn() -> S + Send + Sync + 'static,
        thread: fn(&S, usize),
        end: fn(&S),
    ) {
        let scenario = move || {
            let stage = Arc::new(stage());
            let threads = [0, 1].map(|number| {
                let stage = Arc::clone(&stage);
                shuttle::thread::spawn(move || thread(&stage, number))
            });
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            end(&stage);
        };
        shuttle::check_dfs(scenario, None);
    }

    /// Probes and what became of them. The counters are std's, which the checker does not see: they add no schedules.
    struct Probes {
        breaker: Arc<Breaker>,
        now: Tick,
        out: AtomicU64,
        good: AtomicU64,
        failed: AtomicU64,
    }

    fn probes() -> Probes {
        let (breaker, now) = half_open();
        let [out, good, failed] = [0; 3].map(AtomicU64::new);
        Probes { breaker, now, out, good, failed }
    }

    /// Has a permit out for a moment; another one beside it is right only if two good probes have closed the breaker.
    fn probe(stage: &Probes) -> Option<Permit> {
        let permit = permit(&stage.breaker, stage.now)?;
        let others = stage.out.fetch_add(1, Ordering::SeqCst);
        assert!(others == 0 || stage.good.load(Ordering::SeqCst) >= 2, "two probes at a time");
        shuttle::thread::yield_now();
        stage.out.fetch_sub(1, Ordering::SeqCst);
        Some(permit)
    }

    fn succeed(stage: &Probes) {
        if let Some(permit) = probe(stage) {
            stage.good.fetch_add(1, Ordering::SeqCst);
            permit.succeeded(stage.now);
        }
    }

    #[test]
    fn one_probe_at_a_time_and_never_closed_without_two_good_ones() {
        let thread = |stage: &Probes, _: usize| (0..2).for_each(|_| succeed(stage));
        both(probes, thread, |stage| {
            let is_due = stage.good.load(Ordering::SeqCst) >= 2;
            let phase = stage.breaker.state(stage.now).phase;
            assert_eq!(phase, if is_due { Phase::Closed } else { Phase::HalfOpen });
        });
    }

    #[test]
    fn a_cancelled_probe_makes_room_and_is_no_success() {
        let thread = |stage: &Probes, number: usize| match number {
            0 => drop(probe(stage)),
            _ => (0..2).for_each(|_| succeed(stage)),
        };
        both(probes, thread, |stage| {
            let is_due = stage.good.load(Ordering::SeqCst) == 2;
            let phase = stage.breaker.state(stage.now).phase;
            assert_eq!(phase, if is_due { Phase::Closed } else { Phase::HalfOpen });
            assert!(permit(&stage.breaker, stage.now).is_some(), "the place of the probe was lost");
        });
    }

    #[test]
    fn a_failed_probe_opens_it_whatever_another_does() {
        let thread = |stage: &Probes, number: usize| match probe(stage) {
            Some(permit) if number == 0 => {
                permit.failed(stage.now);
                stage.failed.store(1, Ordering::SeqCst);
            }
            Some(permit) => permit.succeeded(stage.now),
            None => {}
        };
        both(probes, thread, |stage| {
            let failed = stage.failed.load(Ordering::SeqCst);
            let state = stage.breaker.state(stage.now);
            assert_eq!(state.phase, if failed == 1 { Phase::Open } else { Phase::HalfOpen });
            assert_eq!(state.opened, 1 + failed);
        });
    }

    #[test]
    fn loads_that_fail_together_open_it_once() {
        let stage = || {
            let breaker = Arc::new(Breaker::new(options()));
            let permits = [0; 2].map(|_| Mutex::new(permit(&breaker, Tick::default())));
            (breaker, permits)
        };
        let thread = |(breaker, permits): &(Arc<Breaker>, [Mutex<Option<Permit>>; 2]), number: usize| {
            let mine = permits[number].lock().take();
            mine.unwrap().failed(Tick::default());
            // The other one may fail late, beside a probe.
            drop(permit(breaker, Tick::default().after(PAUSE)));
        };
        both(stage, thread, |(breaker, _)| {
            let state = breaker.state(Tick::default().after(PAUSE));
            assert_eq!((state.phase, state.opened), (Phase::HalfOpen, 1));
        });
    }
}

//! A hunt: a target, and inputs made for it one after the other until one breaks an invariant.
//!
//! By the same seed, target and corpus the same inputs are made, as long as their outcomes are the same. Inputs whose outcome shows
//! something new ([`Seen`]) are kept and changed further, a bounded number of them.

use std::time::Duration;

use fastrand::Rng;
use forebay::rt::Clock;

use crate::mutate::{self, INPUT_BYTES_MAX};
use crate::target::judge;
use crate::{Attack, Fault, Seen, Target};

/// The most inputs that are kept to be changed further.
const KEPT_MAX: usize = 4096;
/// How often a smaller input is tried.
const SMALLER_TRIES: usize = 2000;
/// The longest that one input may take. A machine that has much else to do takes its time.
pub const SLOW: Duration = Duration::from_secs(5);

/// An input that breaks an invariant.
#[derive(Debug)]
pub struct Finding {
    /// The input.
    pub input: Vec<u8>,
    /// What it does.
    pub fault: Fault,
}

/// Told of each input before it is tried, since the program may not live to tell.
pub trait Watch {
    /// This input is tried now.
    fn tried(&mut self, input: &[u8]);
}

/// Nobody is told.
#[derive(Clone, Copy, Debug)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn tried(&mut self, _: &[u8]) {}
}

/// A hunt that is under way.
pub struct Hunt<'t> {
    target: &'t Target,
    attack: Box<dyn Attack>,
    watch: Box<dyn Watch>,
    clock: Clock,
    chance: Rng,
    /// Inputs that are changed further.
    kept: Vec<Vec<u8>>,
    seen: Seen,
    runs: u64,
}

impl<'t> Hunt<'t> {
    /// Begins one from the inputs `corpus`, by `seed`.
    ///
    /// # Errors
    /// Where the attack cannot be made ready.
    pub fn begin(
        target: &'t Target,
        corpus: Vec<Vec<u8>>,
        seed: u64,
        watch: Box<dyn Watch>,
    ) -> Result<Self, Fault> {
        let (attack, clock, chance) = ((target.begin)()?, Clock::system(), Rng::with_seed(seed));
        Ok(Self { target, attack, watch, clock, chance, kept: corpus, seen: Seen::default(), runs: 0 })
    }

    /// How many inputs were tried.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// How many different things were seen to happen.
    #[must_use]
    pub fn seen(&self) -> usize {
        self.seen.len()
    }

    /// Tries the empty input, the corpus, and the large inputs of the target.
    ///
    /// # Errors
    /// The first that breaks an invariant.
    pub fn replay(&mut self) -> Result<(), Box<Finding>> {
        let large = self.target.large.iter().map(|large| large.bytes());
        for input in [Vec::new()].into_iter().chain(self.kept.clone()).chain(large) {
            self.input(&input).map_err(|fault| Box::new(Finding { input, fault }))?;
        }
        Ok(())
    }

    /// Makes a new input and tries it.
    ///
    /// # Errors
    /// The input, made as small as it can, where it breaks an invariant.
    pub fn step(&mut self) -> Result<(), Box<Finding>> {
        let input = mutate::mutated(&mut self.chance, &self.kept, self.target.words);
        match self.input(&input) {
            Ok(0) => Ok(()),
            Ok(_) => {
                self.keep(input);
                Ok(())
            }
            Err(fault) => Err(Box::new(self.smallest(Finding { input, fault }))),
        }
    }

    fn keep(&mut self, input: Vec<u8>) {
        if self.kept.len() < KEPT_MAX {
            self.kept.push(input);
        } else if let Some(old) = self.chance.choice(&mut self.kept) {
            *old = input;
        }
    }

    /// Tries `input`; how much of what happened is new.
    fn input(&mut self, input: &[u8]) -> Result<usize, Fault> {
        self.runs += 1;
        self.watch.tried(input);
        let mut seen = Seen::default();
        let begun = self.clock.now();
        judge(self.attack.as_mut(), input, &mut seen)?;
        let took = self.clock.now().since(begun);
        if took > SLOW {
            return Err(Fault::Slow { took_ms: took.as_millis(), limit_ms: SLOW.as_millis() });
        }
        Ok(self.seen.take_in(&seen))
    }

    /// The smallest input that is found to break the same kind of invariant.
    fn smallest(&mut self, mut found: Finding) -> Finding {
        if matches!(found.fault, Fault::Slow { .. } | Fault::Stage(_)) || found.input.len() > INPUT_BYTES_MAX
        {
            return found;
        }
        let mut tries = 0;
        let mut size = found.input.len() / 2;
        while size > 0 && tries < SMALLER_TRIES {
            let mut at = 0;
            while at < found.input.len() && tries < SMALLER_TRIES {
                tries += 1;
                let mut smaller = found.input.clone();
                smaller.drain(at..at.saturating_add(size).min(found.input.len()));
                match self.input(&smaller) {
                    Err(fault) if fault.is_like(&found.fault) => found = Finding { input: smaller, fault },
                    _ => at += size,
                }
            }
            size /= 2;
        }
        found
    }
}

impl std::fmt::Debug for Hunt<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Hunt")
            .field("target", &self.target.name)
            .field("runs", &self.runs)
            .finish_non_exhaustive()
    }
}

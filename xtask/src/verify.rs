//! Recorded histories in great number: the engine's own suite, built for release and asked for more worlds.
//!
//! The suite is `crates/forebay/tests/it/history`; it runs beside the other tests too, where it counts fewer. What it
//! finds it prints with the seed that shows it again.

use std::path::Path;
use std::thread;

use crate::Error;
use crate::cargo;
use crate::process::{Runner, say};

/// The test that lives through the worlds.
const TEST: &str = "history::no_history_breaks_a_promise";

/// Invalidations that a whole run counts.
const WHOLE: u64 = 10_000_000;
/// Invalidations that a quick run counts.
const QUICK: u64 = 1_000_000;

/// How much to run.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// The seed of the first world; the others follow it.
    pub seed: u64,
    /// Invalidations to count, during a load and with a later read that was checked.
    pub count: u64,
}

impl Extent {
    /// From seed `seed`, `count` invalidations; left out, they are what the whole or a quick run counts.
    #[must_use]
    pub fn new(quick: bool, seed: Option<u64>, count: Option<u64>) -> Self {
        let usual = if quick { QUICK } else { WHOLE };
        Self { seed: seed.unwrap_or(1), count: count.unwrap_or(usual) }
    }

    /// Worlds to run side by side: one where there is one history to see again, else one for each core.
    fn threads(self) -> usize {
        if self.count == 1 { 1 } else { thread::available_parallelism().map_or(1, usize::from) }
    }
}

/// Runs the histories of `extent`.
///
/// # Errors
/// When they do not build, break a promise, or show too little to prove anything.
pub fn run(root: &Path, runner: &Runner, extent: Extent) -> Result<(), Error> {
    say(format!("counting {} invalidations from seed {} on", extent.count, extent.seed));
    let mut command = cargo::command(root);
    command
        .args(["test", "--release", "--package", "forebay", "--test", "it", "--locked", "--"])
        .args(["--exact", TEST, "--nocapture"])
        .env("FOREBAY_HISTORIES_SEED", extent.seed.to_string())
        .env("FOREBAY_HISTORIES_COUNT", extent.count.to_string())
        .env("FOREBAY_HISTORIES_THREADS", extent.threads().to_string());
    let mut ran = false;
    let ended = runner.run(command, |line| ran |= line.starts_with("worlds="))?;
    if ended.status.success() && ran {
        return Ok(());
    }
    Err(Error::Failed(
        "no proof: a promise was broken, or the run showed too little; the lines above say which".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::{Extent, QUICK, WHOLE};

    #[test]
    fn what_is_said_goes_before_what_is_usual() {
        assert_eq!(Extent::new(false, None, None).count, WHOLE);
        assert_eq!(Extent::new(true, None, None).count, QUICK);
        let replay = Extent::new(true, Some(7), Some(1));
        assert_eq!((replay.seed, replay.count, replay.threads()), (7, 1, 1));
    }
}

//! Parsers under attack for longer than beside the tests; the work is done by the crate in `fuzz/`.
//!
//! It is built as the tests are, with assertions and overflow checks on: what a release would wrap or skip is found.

use std::path::Path;

use crate::process::{Runner, say};
use crate::{Error, cargo};

/// Minutes in all, unless it is said.
const MINUTES: u64 = 60;
/// Where findings are written, from the root.
const FINDINGS: &str = "target/fuzz";
/// What the line of a target begins with.
const LINE: &str = "fuzz=";

/// What to attack, and for how long.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Which target; none means all.
    pub target: Option<String>,
    /// A minute in all.
    pub quick: bool,
    /// Minutes in all.
    pub minutes: Option<u64>,
    /// What the inputs are made by.
    pub seed: Option<u64>,
}

impl Choice {
    /// How long, in seconds.
    fn seconds(&self) -> u64 {
        let minutes = self.minutes.unwrap_or(if self.quick { 1 } else { MINUTES });
        minutes.saturating_mul(60)
    }
}

/// Attacks what `choice` says.
///
/// # Errors
/// When it does not build, or something was found; the lines printed say what, and the line to add to the corpus.
pub fn run(root: &Path, runner: &Runner, choice: &Choice) -> Result<(), Error> {
    let seconds = choice.seconds();
    let mut command = cargo::command(root);
    command.args(["run", "--quiet", "--locked", "--package", "forebay-fuzz", "--", "--to", FINDINGS]);
    command.arg("--seconds").arg(seconds.to_string());
    if let Some(seed) = choice.seed {
        command.arg("--seed").arg(seed.to_string());
    }
    if let Some(target) = &choice.target {
        command.arg(target);
    }
    say(format!("attacking for {seconds} seconds in all"));
    let mut attacked = 0_u32;
    let ended = runner.run(command, |line| attacked += u32::from(line.starts_with(LINE)))?;
    if ended.status.success() && attacked > 0 {
        return Ok(());
    }
    // Without a word of its own, the process was ended by an input: that one is left behind.
    Err(Error::Failed(format!(
        "something was found: the lines above say what; an input that ended the process is in {FINDINGS}/current"
    )))
}

#[cfg(test)]
mod tests {
    use super::Choice;

    #[test]
    fn what_is_said_goes_before_what_is_usual() {
        assert_eq!(Choice::default().seconds(), 3_600);
        assert_eq!(Choice { quick: true, ..Choice::default() }.seconds(), 60);
        assert_eq!(Choice { quick: true, minutes: Some(5), ..Choice::default() }.seconds(), 300);
    }
}

//! How many tests passed and failed, read from what cargo's test binaries print.

use std::fmt;

/// Tests counted so far; prints as `N passed, N failed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed, and runs that ended badly without naming one.
    pub failed: u64,
}

impl Tally {
    /// Takes a line of output into account.
    pub fn see(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else { return };
        let count = |what: &str| {
            let words = counts.split([';', '.']).map(str::trim).find_map(|part| part.strip_suffix(what));
            words.and_then(|words| words.trim().parse().ok()).unwrap_or(0)
        };
        self.passed += count("passed");
        self.failed += count("failed");
    }

    /// Ends a run of cargo; one that ended badly and named no test counts as a failure.
    pub fn close(&mut self, well: bool) {
        if !well && self.failed == 0 {
            self.failed = 1;
        }
    }

    /// Adds another run's.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn results_are_summed_over_binaries_and_runs() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests\n",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.02s\n",
            "test said: test result: ok. 99 passed\n",
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n",
        ] {
            tally.see(line);
        }
        tally.close(false);
        let mut all = Tally { passed: 1, failed: 0 };
        all.add(tally);
        assert_eq!(all.to_string(), "8 passed, 2 failed");
    }

    #[test]
    fn a_run_that_did_not_build_counts_as_a_failure() {
        let mut tally = Tally::default();
        tally.close(false);
        assert_eq!(tally.to_string(), "0 passed, 1 failed");
    }
}

//! What a namespace that writes behind may be told, its defaults and limits.

use std::time::Duration;

/// How writes wait, go together and are tried again. [`Default`] is every option at its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BehindOptions {
    /// The most writes, of different keys, that the sink is given in one call. Default 256; 1 to 65,536.
    pub batch_max: usize,
    /// How long a write waits for others to go with it, and to be overtaken by a later one of its key; a full batch goes at once.
    /// Default 10 ms; zero waits for nothing; at most 1 h.
    pub linger: Duration,
    /// How many calls are at the sink at once. Default 4; at least 1.
    pub calls: usize,
    /// The most writes that are held until they are settled, dead letters included; beyond it a write is refused
    /// ([`Error::QueueFull`](crate::Error::QueueFull)). Default 100,000; at least 1.
    pub writes_max: usize,
    /// The most that they may weigh together in memory, in bytes: values, keys three times, and about 1 KiB each. They lie there beside
    /// its budget. Default 64 MiB; at least 64 KiB.
    pub bytes_max: u64,
    /// How often a write that failed is tried again before it becomes a dead letter; one that the sink refuses becomes one at once.
    /// Counted anew after a restart. Default 5,000, which with the pauses below takes more than 41 hours.
    pub retries: u32,
    /// The pause after the first failure of a write; it doubles with each. Default 100 ms; at least 1 ms.
    pub pause_first: Duration,
    /// The longest pause. What chance makes of a pause lies between half of it and all of it. Default 60 s; at least the first
    /// pause, at most a day.
    pub pause_max: Duration,
}

impl Default for BehindOptions {
    fn default() -> Self {
        Self {
            batch_max: 256,
            linger: Duration::from_millis(10),
            calls: 4,
            writes_max: 100_000,
            bytes_max: 64 * 1024 * 1024,
            retries: 5_000,
            pause_first: Duration::from_millis(100),
            pause_max: Duration::from_secs(60),
        }
    }
}

/// The most writes in one call.
const BATCH_MAX: usize = 65_536;
/// The longest that a write waits for company.
const LINGER_MAX: Duration = Duration::from_secs(60 * 60);
/// The least room for writes that wait, in bytes.
const BYTES_MAX_MIN: u64 = 64 * 1024;
/// The shortest first pause.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl BehindOptions {
    /// What is out of its limits, and what to write instead.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        if !(1..=BATCH_MAX).contains(&self.batch_max) {
            return Some("`batch_max` must be 1 to 65,536: it is how many writes the sink is given at once");
        }
        if self.linger > LINGER_MAX {
            return Some("a `linger` of more than 1 h leaves the sink behind for nothing: give 1 h or less");
        }
        if self.calls == 0 {
            return Some(
                "with `calls` of zero the sink is never asked: give how many may be under way at once",
            );
        }
        if self.writes_max == 0 {
            return Some("with `writes_max` of zero every write is refused: give how many may wait");
        }
        if self.bytes_max < BYTES_MAX_MIN {
            return Some("`bytes_max` is too small: give at least 64 KiB for the writes that wait");
        }
        if self.pause_first < PAUSE_MIN || self.pause_first > self.pause_max {
            return Some("`pause_first` must be at least 1 ms and no longer than `pause_max`");
        }
        if self.pause_max > PAUSE_MAX {
            return Some("a `pause_max` of more than a day is no retry: give a day or less");
        }
        None
    }

    /// The pause after so many failures in a row: doubled with each, then shortened by chance to no less than half.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let full = self.pause_first.saturating_mul(doubled).min(self.pause_max);
        full.mul_f64(0.5 + 0.5 * fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::BehindOptions;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_shortened_by_at_most_half() {
        let options = BehindOptions::default();
        for (failures, full_ms) in
            [(1, 100), (2, 200), (3, 400), (9, 25_600), (10, 51_200), (11, 60_000), (5_000, 60_000)]
        {
            for _ in 0..100 {
                let ms = options.pause(failures).as_millis();
                assert!((full_ms / 2..=full_ms).contains(&ms), "{ms} ms after {failures} failures");
            }
        }
    }

    #[test]
    fn the_retries_outlast_a_day() {
        let options = BehindOptions::default();
        let least: Duration = (11..=options.retries).map(|_| options.pause_max / 2).sum();
        assert!(least > Duration::from_secs(41 * 60 * 60));
    }
}

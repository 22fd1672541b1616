//! The lines that a benchmark prints. Their format is documented in `--help` and read by programs.

use std::fmt;

/// One measured cost of ours beside a peer's. Costs only: less is better.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison {
    /// The benchmark, as lines name it.
    pub(crate) bench: &'static str,
    /// Our cost, in `unit`.
    pub(crate) ours: f64,
    /// The peer's name.
    pub(crate) peer: &'static str,
    /// The peer's cost, in `unit`.
    pub(crate) theirs: f64,
    /// The unit of both costs.
    pub(crate) unit: &'static str,
    /// The least ratio that is good enough.
    pub(crate) goal: f64,
}

impl Comparison {
    /// How many times better ours is, to two places; rounded down, so that no goal is reached by rounding.
    fn ratio(&self) -> f64 {
        (self.theirs / self.ours * 100.0).floor() / 100.0
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bench, ours, peer, theirs, unit, goal } = self;
        let (ratio, verdict) = (self.ratio(), verdict(self.ratio() >= *goal));
        write!(
            f,
            "bench={bench} ours={ours:.1} peer={peer} theirs={theirs:.1} unit={unit} ratio={ratio:.2} goal={goal} {verdict}"
        )
    }
}

/// The last word of a line.
pub(crate) fn verdict(reached: bool) -> &'static str {
    if reached { "ok" } else { "short" }
}

/// How a line says whether something happened.
pub(crate) fn yes_no(happened: bool) -> &'static str {
    if happened { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::Comparison;

    fn line(ours: f64, theirs: f64) -> String {
        Comparison { bench: "hit", ours, peer: "moka", theirs, unit: "ns", goal: 2.0 }.to_string()
    }

    #[test]
    fn the_ratio_says_how_many_times_better_ours_is() {
        assert_eq!(
            line(100.0, 250.0),
            "bench=hit ours=100.0 peer=moka theirs=250.0 unit=ns ratio=2.50 goal=2 ok"
        );
        assert_eq!(
            line(250.0, 100.0),
            "bench=hit ours=250.0 peer=moka theirs=100.0 unit=ns ratio=0.40 goal=2 short"
        );
    }

    #[test]
    fn no_goal_is_reached_by_rounding() {
        assert!(line(100.0, 199.9).ends_with("ratio=1.99 goal=2 short"), "{}", line(100.0, 199.9));
    }
}

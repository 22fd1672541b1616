//! The lines that a benchmark prints. Their format is documented in `--help` and read by programs.

use std::fmt;

/// Which figures are the better ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    /// Costs: time, bytes, queries.
    Less,
    /// Yields: hit ratios, operations a second.
    More,
}

/// One measured figure of ours beside a peer's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison {
    /// The benchmark, as lines name it.
    pub(crate) bench: &'static str,
    /// Our figure, in `unit`.
    pub(crate) ours: f64,
    /// The peer's name.
    pub(crate) peer: &'static str,
    /// The peer's figure, in `unit`.
    pub(crate) theirs: f64,
    /// The unit of both.
    pub(crate) unit: &'static str,
    /// Which of them would be the better one.
    pub(crate) better: Better,
    /// The least ratio that is good enough.
    pub(crate) goal: f64,
}

impl Comparison {
    /// How many times better ours is, to two places; rounded down, so that no goal is reached by rounding.
    fn ratio(&self) -> f64 {
        let times = match self.better {
            Better::Less => self.theirs / self.ours,
            Better::More => self.ours / self.theirs,
        };
        (times * 100.0).floor() / 100.0
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bench, ours, peer, theirs, unit, better: _, goal } = self;
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
    use super::{Better, Comparison};

    fn line(ours: f64, theirs: f64) -> String {
        let (better, goal) = (Better::Less, 2.0);
        Comparison { bench: "hit", ours, peer: "moka", theirs, unit: "ns", better, goal }.to_string()
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
    fn where_more_is_better_the_ratio_turns_round() {
        let (better, goal) = (Better::More, 1.0);
        let more =
            Comparison { bench: "mean", ours: 60.0, peer: "moka", theirs: 50.0, unit: "%", better, goal };
        assert_eq!(
            more.to_string(),
            "bench=mean ours=60.0 peer=moka theirs=50.0 unit=% ratio=1.20 goal=1 ok"
        );
    }

    #[test]
    fn no_goal_is_reached_by_rounding() {
        assert!(line(100.0, 199.9).ends_with("ratio=1.99 goal=2 short"), "{}", line(100.0, 199.9));
    }
}

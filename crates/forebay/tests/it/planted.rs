//! Each planted bug is found by the general suite of histories, or by that of writes behind, within a stated number of seeds.
//!
//! No world and no checker knows of the bugs: what finds them is what would find the next one.

use crate::behind;
use crate::changes;
use crate::history::{live, report};
use forebay::rt::planted::{Bug, plant};

/// Seeds within which every bug must show itself.
const SEEDS: u64 = 20;
/// The same for bugs that show only where an instance is cut off: one world in six.
const SEEDS_WITH_CUTS: u64 = 150;

fn seeds(bug: Bug) -> u64 {
    match bug {
        Bug::SilenceTrusted | Bug::GapNotSuspect | Bug::UntoldForgotten => SEEDS_WITH_CUTS,
        _ => SEEDS,
    }
}

/// The first seed that shows `bug`, and what it breaks.
fn found(bug: Bug) -> Option<(u64, String)> {
    let _planted = plant(bug);
    if matches!(bug, Bug::AckBeforeDurable | Bug::OverlayEndedEarly) {
        return (1..=seeds(bug))
            .find_map(|seed| Some((seed, behind::world::live(seed).0.into_iter().next()?)));
    }
    (1..=seeds(bug)).find_map(|seed| {
        let (history, violations, _) = live(seed);
        Some((seed, report(seed, &history, violations.first()?)))
    })
}

#[test]
fn every_planted_bug_is_found_within_its_seeds() {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        match found(bug) {
            Some((seed, report)) => {
                let property = report.split(':').next().unwrap_or_default();
                println!("bug={bug:?} seeds={seed} by={property}");
            }
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found within their seeds: {missed:?}");
}

#[test]
fn a_change_that_is_seen_in_parts_is_found() {
    for bug in Bug::OF_CHANGES {
        let _planted = plant(bug);
        let found = changes::seen_in_parts(SEEDS);
        println!("bug={bug:?} by={}", found.expect("not found within its seeds"));
    }
}

#[test]
fn nothing_is_found_where_nothing_is_planted() {
    for seed in 1..=SEEDS_WITH_CUTS {
        let (history, violations, _) = live(seed);
        assert!(violations.is_empty(), "{}", report(seed, &history, &violations[0]));
    }
}

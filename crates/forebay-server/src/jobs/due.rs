//! What is to be done about a job that is looked at: a pure function of its schedule and of what is known.
//!
//! It guarantees that no moment is given out twice, that what is given out is later than all that was before, and that a look takes a
//! bounded time however long nobody has looked.

use std::time::Duration;

use super::schedule::Schedule;
use crate::configuration::Missed;

/// A run that begins later than so after it was due was missed.
pub(super) const LATE: Duration = Duration::from_secs(10);
/// The most runs that wait to be made up.
pub(super) const WAITING_MAX: usize = 100;
/// The most missed runs that are counted by one look.
const COUNTED_MAX: usize = 1000;

/// What is known of a job when it is looked at. Moments are times since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// All that was due until then has been seen to.
    pub(super) seen: Duration,
    pub(super) now: Duration,
    /// Whether a run is under way, or waits.
    pub(super) is_busy: bool,
    /// How many runs wait.
    pub(super) waiting: usize,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// What was due last; all until then is seen to. `None` where nothing was due.
    pub(super) seen: Option<Duration>,
    /// Runs to be made up, the earliest first.
    pub(super) missed: Vec<Duration>,
    /// The run that is to begin now.
    pub(super) on_time: Option<Duration>,
    /// How many more there were, which are skipped, and when the last of them was due.
    pub(super) skipped: Option<(usize, Duration)>,
    /// Whether the runs that wait give way to those that are here.
    pub(super) in_place: bool,
}

/// What is to be done about a job now.
pub(super) fn due(schedule: &Schedule, missed: Missed, known: Known) -> Due {
    let moments = newest_first(schedule, known.seen, known.now);
    let Some(&last) = moments.first() else { return Due::default() };
    let is_on_time = !known.is_busy && known.now.saturating_sub(last) <= LATE;
    let on_time = is_on_time.then_some(last);
    let rest = moments.get(usize::from(is_on_time)..).unwrap_or_default();
    let made_up = match missed {
        Missed::Skip => 0,
        // A run that begins now makes up for those before it.
        Missed::Once => usize::from(!is_on_time),
        Missed::All => WAITING_MAX.saturating_sub(known.waiting + usize::from(is_on_time)),
    };
    let (made_up, skipped) = rest.split_at_checked(made_up).unwrap_or((rest, &[]));
    Due {
        seen: Some(last),
        missed: made_up.iter().rev().copied().collect(),
        on_time,
        skipped: skipped.first().map(|newest| (skipped.len(), *newest)),
        in_place: missed == Missed::Once,
    }
}

/// When it was due after `seen`, until `now`, the latest first.
fn newest_first(schedule: &Schedule, seen: Duration, now: Duration) -> Vec<Duration> {
    let mut moments = Vec::new();
    let mut until = now;
    while let Some(moment) = schedule.last(until).filter(|moment| *moment > seen) {
        moments.push(moment);
        let Some(before) = moment.checked_sub(Duration::from_secs(1)) else { break };
        until = before;
        if moments.len() >= COUNTED_MAX {
            break;
        }
    }
    moments
}

/// How much later than it is due a run begins: the same for the same run and seed, and nothing without jitter.
pub(super) fn later(jitter: Duration, seed: u64, name: &str, due: Duration) -> Duration {
    let most = u64::try_from(jitter.as_millis()).unwrap_or(u64::MAX);
    let text = format!("{seed} {name} {}", due.as_secs());
    let drawn = twox_hash::XxHash3_128::oneshot(text.as_bytes()) % (u128::from(most) + 1);
    Duration::from_millis(u64::try_from(drawn).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_700_000_000 - 1_700_000_000 % 86_400 + 43_200;

    fn at(second: u64) -> Duration {
        Duration::from_secs(NOON + second)
    }

    fn looked(missed: Missed, seen: u64, now: u64, waiting: usize, is_busy: bool) -> Due {
        let schedule = Schedule::parse("0 * * * * *", "UTC").unwrap();
        due(&schedule, missed, Known { seen: at(seen), now: at(now), is_busy, waiting })
    }

    #[test]
    fn what_is_due_now_begins_and_what_was_missed_follows_the_policy() {
        let all = [Missed::Skip, Missed::Once, Missed::All];
        for missed in all {
            assert_eq!(looked(missed, 0, 59, 0, false), Due::default(), "nothing is due");
            let due = looked(missed, 0, 70, 0, false);
            assert_eq!((due.on_time, due.missed.len(), due.skipped), (Some(at(60)), 0, None), "ten seconds");
            assert_eq!(due.seen, Some(at(60)));
        }
        for (missed, made_up, skipped) in [
            (Missed::Skip, vec![], Some((3, at(180)))),
            (Missed::Once, vec![at(180)], Some((2, at(120)))),
            (Missed::All, vec![at(60), at(120), at(180)], None),
        ] {
            let due = looked(missed, 0, 191, 0, false);
            assert_eq!((due.on_time, due.missed, due.skipped), (None, made_up, skipped), "{missed:?}");
        }
        for (missed, made_up, skipped) in [
            (Missed::Skip, vec![], Some((2, at(120)))),
            (Missed::Once, vec![], Some((2, at(120)))),
            (Missed::All, vec![at(60), at(120)], None),
        ] {
            let due = looked(missed, 0, 181, 0, false);
            assert_eq!((due.on_time, due.missed, due.skipped), (Some(at(180)), made_up, skipped));
        }
    }

    #[test]
    fn what_is_due_while_a_run_is_under_way_is_missed() {
        for (missed, made_up, skipped) in [
            (Missed::Skip, vec![], Some((1, at(60)))),
            (Missed::Once, vec![at(60)], None),
            (Missed::All, vec![at(60)], None),
        ] {
            let due = looked(missed, 0, 60, 0, true);
            assert_eq!((due.on_time, due.missed, due.skipped), (None, made_up, skipped));
            assert_eq!(due.in_place, missed == Missed::Once);
        }
    }

    #[test]
    fn what_is_made_up_is_bounded_and_a_look_too() {
        let due = looked(Missed::All, 0, 60 * 150, 30, true);
        assert_eq!((due.missed.len(), due.skipped), (70, Some((80, at(60 * 80)))), "the newest are made up");
        assert_eq!(looked(Missed::All, 0, 6000, 100, true).missed.len(), 0);
        let due = looked(Missed::Skip, 0, 60 * 5000, 0, true);
        assert_eq!(due.skipped, Some((COUNTED_MAX, at(60 * 5000))));
        assert_eq!(due.seen, Some(at(60 * 5000)));
    }

    /// A clock that goes back finds nothing due that has been seen to.
    #[test]
    fn nothing_is_due_twice() {
        for missed in [Missed::Skip, Missed::Once, Missed::All] {
            assert_eq!(looked(missed, 60, 60, 0, false), Due::default());
            assert_eq!(looked(missed, 120, 60, 0, false), Due::default());
        }
    }

    #[test]
    fn jitter_only_delays_and_is_the_same_for_the_same_run() {
        let most = Duration::from_secs(5);
        let drawn = |due| later(most, 7, "shop/nightly", at(due));
        let all: Vec<Duration> = (0..200).map(drawn).collect();
        assert!(all.iter().all(|delay| *delay <= most));
        assert!(all.iter().any(|delay| *delay < most / 4) && all.iter().any(|delay| *delay > most * 3 / 4));
        assert_eq!(drawn(3), drawn(3));
        assert_ne!(drawn(3), later(most, 8, "shop/nightly", at(3)), "processes differ");
        assert_eq!(later(Duration::ZERO, 7, "shop/nightly", at(3)), Duration::ZERO);
    }
}

//! The groups under the model checker, on the shipped code.

#![allow(clippy::print_stdout, reason = "each scenario says how many schedules it took")]

use std::sync::Arc;

use shuttle::thread::spawn;

use super::{About, Group, Groups, Limits, Verdict};
use crate::log::Verb;
use crate::rt::model::every_schedule;
use crate::value::{Position, Tag};

const SCHEDULES: usize = 20_000;

/// An entry with tag `a`, looked at and moved up as the engine does.
fn look(groups: &Groups, position: Position) -> (Verdict, Position) {
    let tags: [Tag; 1] = [Arc::from("a")];
    let about = About { keyspace: 0, namespace: 0, key: b"x", tags: &tags, any_tag: false };
    if position < groups.newest() { groups.verdict(&about, position) } else { (Verdict::Valid, position) }
}

fn told(groups: &Arc<Groups>, at: u64, tag: &'static str) -> shuttle::thread::JoinHandle<()> {
    let groups = Arc::clone(groups);
    spawn(move || groups.remember(Position::new(at), Group::Tag { keyspace: 0, tag }, Verb::Invalidate))
}

#[test]
fn once_told_a_record_is_met_at_the_next_look() {
    let scenario = || {
        let groups = Arc::new(Groups::new(Limits::default()));
        // What was told before has the entry looked at in full.
        told(&groups, 1, "b").join().unwrap();
        let teller = told(&groups, 2, "a");
        let (verdict, position) = look(&groups, Position::START);
        teller.join().unwrap();
        let (after, _) = look(&groups, position);
        assert_eq!(verdict.max(after), Verdict::Gone, "moved past a record without meeting it");
    };
    println!("a record is told beside a look: {} schedules", every_schedule(scenario));
}

/// One record is all that is remembered: the next one forgets it into the floor.
fn forgotten() {
    let schedules = every_schedule(|| {
        let groups = Arc::new(Groups::new(Limits { tags: 1, prefixes: 1 }));
        told(&groups, 1, "a").join().unwrap();
        let teller = told(&groups, 2, "b");
        let (verdict, _) = look(&groups, Position::START);
        teller.join().unwrap();
        assert_eq!(verdict, Verdict::Gone, "missed a record that is being forgotten");
        let (after, _) = look(&groups, Position::START);
        assert_eq!(after, Verdict::Gone, "missed a record that was forgotten");
    });
    println!("a record is forgotten beside a look: {schedules} schedules");
}

#[test]
fn a_record_that_is_forgotten_is_met_in_the_floor() {
    forgotten();
}

#[test]
fn once_raised_the_floor_is_met_at_the_next_look() {
    let schedules = every_schedule(|| {
        let groups = Arc::new(Groups::new(Limits::default()));
        told(&groups, 1, "b").join().unwrap();
        let raiser = {
            let groups = Arc::clone(&groups);
            spawn(move || groups.raise_floor(Position::new(3)))
        };
        let (verdict, position) = look(&groups, Position::START);
        raiser.join().unwrap();
        let (after, position) = look(&groups, position);
        assert_eq!(verdict.max(after), Verdict::Gone, "moved past the floor without meeting it");
        assert_eq!(position, Position::new(3), "all is known up to the floor");
    });
    println!("the floor is raised beside a look: {schedules} schedules");
}

/// It fails where the bug is planted that it is there for.
#[cfg(feature = "planted")]
mod planted {
    use crate::rt::planted::{Bug, plant};

    #[test]
    #[should_panic(expected = "a record that")]
    fn floor_not_raised() {
        let _planted = plant(Bug::FloorNotRaised);
        super::forgotten();
    }
}

#[test]
fn two_who_tell_out_of_turn_do_not_hide_each_other() {
    let scenario = || {
        let groups = Arc::new(Groups::new(Limits { tags: 1, prefixes: 1 }));
        let tellers = [told(&groups, 1, "a"), told(&groups, 2, "b")];
        let (first, position) = look(&groups, Position::START);
        let (second, position) = look(&groups, position);
        for teller in tellers {
            teller.join().unwrap();
        }
        let (after, position) = look(&groups, position);
        assert_eq!(first.max(second).max(after), Verdict::Gone, "moved past a record without meeting it");
        assert_eq!(position, Position::new(2), "all is known, and it was not moved up");
    };
    shuttle::check_random(scenario, SCHEDULES);
    shuttle::check_pct(scenario, SCHEDULES, 3);
}

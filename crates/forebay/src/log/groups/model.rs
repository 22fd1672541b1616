//! The groups under the model checker, on the shipped code.

use std::sync::Arc;

use shuttle::thread::spawn;

use super::{About, Group, Groups, Limits, Verdict};
use crate::log::Verb;
use crate::value::{Position, Tag};

const SCHEDULES: usize = 20_000;

/// An entry with tag `a`, looked at twice and moved up as the engine does; the worst that was said of it.
fn look(groups: &Groups, mut position: Position) -> (Verdict, Position) {
    let tags: [Tag; 1] = [Arc::from("a")];
    let about = About { keyspace: 0, namespace: 0, key: b"x", tags: &tags, any_tag: false };
    let mut worst = Verdict::Valid;
    for _ in 0..2 {
        if position < groups.newest() {
            let (verdict, holds_to) = groups.verdict(&about, position);
            worst = worst.max(verdict);
            position = holds_to;
        }
    }
    (worst, position)
}

fn told(groups: &Arc<Groups>, at: u64, tag: &'static str) -> shuttle::thread::JoinHandle<()> {
    let groups = Arc::clone(groups);
    spawn(move || groups.remember(Position::new(at), Group::Tag { keyspace: 0, tag }, Verb::Invalidate))
}

#[test]
fn once_told_a_record_is_met_at_the_next_look() {
    let scenario = || {
        let groups = Arc::new(Groups::new(Limits::default()));
        let teller = told(&groups, 1, "a");
        let (verdict, position) = look(&groups, Position::START);
        teller.join().unwrap();
        let (after, _) = look(&groups, position);
        assert_eq!(verdict.max(after), Verdict::Gone, "moved past a record without meeting it");
    };
    shuttle::check_dfs(scenario, None);
}

#[test]
fn two_who_tell_out_of_turn_do_not_hide_each_other() {
    let scenario = || {
        let groups = Arc::new(Groups::new(Limits { tags: 1, prefixes: 1 }));
        let tellers = [told(&groups, 1, "a"), told(&groups, 2, "b")];
        let (verdict, position) = look(&groups, Position::START);
        for teller in tellers {
            teller.join().unwrap();
        }
        let (after, position) = look(&groups, position);
        assert_eq!(verdict.max(after), Verdict::Gone, "moved past a record without meeting it");
        assert_eq!(position, Position::new(2), "all is known, and it was not moved up");
    };
    shuttle::check_random(scenario, SCHEDULES);
    shuttle::check_pct(scenario, SCHEDULES, 3);
}

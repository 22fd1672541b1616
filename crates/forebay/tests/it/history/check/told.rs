//! Histories told by hand: good ones that every checker passes, bad ones that each is caught.

use super::{Tally, check};
use crate::history::record::{
    Answer, Asked, Commit, Ended, Exchange, Exchanged, Failure, Gap, Got, History, KeyFacts, Listed, Load,
    LoadEnd, Op, Reach, Rules, Said, Scope, Stamp,
};
use forebay::{Freshness, Tier, Why};

const RULES: Rules = Rules {
    ttl: 100,
    absent_ttl: 50,
    stale_while_revalidate: 20,
    stale_if_error: 30,
    load_timeout: 10,
    idle: None,
    kept: false,
    fields: false,
};

/// Tells a history event by event; keys 0 and 1 are of one group, key 2 of another, key 3 of a namespace with puts.
struct Told {
    history: History,
    now: Stamp,
}

impl Told {
    fn new() -> Self {
        let mut told = Self { history: History::default(), now: Stamp::default() };
        told.history.rules = vec![RULES, Rules { kept: true, ..RULES }];
        for (namespace, group, name) in [(0, 0, "a"), (0, 0, "b"), (0, 1, "c"), (1, 0, "kept")] {
            told.history.keys.push(KeyFacts { namespace, group, name: name.to_owned() });
            let key = told.history.keys.len() - 1;
            let at = Stamp::default();
            told.history.commits.push(Commit { key, version: 1, present: true, tags: 0b01, at });
        }
        told
    }

    fn step(&mut self) -> Stamp {
        self.now.step += 1;
        self.now
    }

    fn at(&mut self, ms: u64) -> &mut Self {
        self.now.ms = ms;
        self
    }

    fn commit_as(&mut self, key: usize, present: bool, tags: u8) -> &mut Self {
        let at = self.step();
        let before = self.history.commits.iter().filter(|commit| commit.key == key).count();
        let version = u32::try_from(before).unwrap() + 1;
        self.history.commits.push(Commit { key, version, present, tags, at });
        self
    }

    fn commit(&mut self, key: usize) -> &mut Self {
        self.commit_as(key, true, 0b01)
    }

    fn load_on(&mut self, instance: usize, key: usize) -> usize {
        let start = self.step();
        self.history.loads.push(Load {
            instance,
            keys: vec![key],
            whole: true,
            start,
            end: None,
            answers: Vec::new(),
        });
        self.history.loads.len() - 1
    }

    fn load(&mut self, key: usize) -> usize {
        self.load_on(0, key)
    }

    fn answers(&mut self, load: usize, version: u32) {
        let present = self.history.commits.iter().any(|commit| {
            commit.key == self.history.loads[load].keys[0] && commit.version == version && commit.present
        });
        let end = self.step();
        self.history.loads[load].end = Some((end, LoadEnd::Answered));
        self.history.loads[load].answers = vec![Answer { version, present, ttl: None }];
    }

    /// A load that begins and ends now.
    fn loaded(&mut self, key: usize, version: u32) -> usize {
        let load = self.load(key);
        self.answers(load, version);
        load
    }

    fn begin_on(&mut self, instance: usize, asked: Asked) -> usize {
        let inv = self.step();
        let ended = Ended::Unknown;
        self.history.ops.push(Op { client: 0, instance, asked, inv, ret: None, ended, cancelled: false });
        self.history.ops.len() - 1
    }

    fn end(&mut self, op: usize, ended: Ended) {
        let ret = self.step();
        self.history.ops[op].ret = Some(ret);
        self.history.ops[op].ended = ended;
    }

    fn op_on(&mut self, instance: usize, asked: Asked, ended: Ended) -> &mut Self {
        let op = self.begin_on(instance, asked);
        self.end(op, ended);
        self
    }

    fn done(&mut self, asked: Asked) -> &mut Self {
        self.op_on(0, asked, Ended::Done)
    }

    /// A read on `instance` that memory answers at once with what `load` gave.
    fn hit_on(&mut self, instance: usize, load: usize, freshness: Freshness) -> &mut Self {
        let Load { keys, answers, start, .. } = &self.history.loads[load];
        let (key, answer) = (keys[0], answers[0]);
        let got = if answer.present { Got::Row { key, version: answer.version, load } } else { Got::Absent };
        let age_ms = self.now.ms - start.ms;
        self.op_on(instance, Asked::Get(key), Ended::Read { got, tier: Tier::Memory, freshness, age_ms })
    }

    fn hit(&mut self, load: usize) -> &mut Self {
        let freshness =
            if self.history.loads[load].answers[0].present { Freshness::Fresh } else { Freshness::Absent };
        self.hit_on(0, load, freshness)
    }

    fn got(&mut self, key: usize, got: Got, tier: Tier, age_ms: u64) -> &mut Self {
        let freshness = if got == Got::Absent { Freshness::Absent } else { Freshness::Fresh };
        self.op_on(0, Asked::Get(key), Ended::Read { got, tier, freshness, age_ms })
    }

    /// Two instances, of which neither is ever out of reach.
    fn shared() -> Self {
        let mut told = Self::new();
        told.history.reach = Some(Reach { visible_within: 40, way: 0, answer: 0 });
        told
    }

    /// An exchange that is sent and answered now.
    fn exchanged(&mut self, instance: usize, what: Exchanged) -> &mut Self {
        let (sent, at) = (self.step(), self.step());
        self.history.exchanges.push(Exchange { instance, sent, at, what });
        self
    }

    fn said(&mut self, instance: usize, said: Said) -> &mut Self {
        self.exchanged(instance, Exchanged::Asked { key: 0, said })
    }

    /// A read of key 0 that the membership filter denies.
    fn denied(&mut self) -> &mut Self {
        self.got(0, Got::Absent, Tier::Nowhere, 0)
    }

    fn broken(&self) -> Vec<&'static str> {
        let mut broken: Vec<_> = check(&self.history).0.iter().map(|violation| violation.property).collect();
        broken.dedup();
        broken
    }

    #[track_caller]
    fn is_good(&self) -> Tally {
        let (violations, tally) = check(&self.history);
        assert_eq!(violations, [], "a good history was refused");
        tally
    }

    #[track_caller]
    fn breaks(&self, property: &str) {
        assert!(self.broken().contains(&property), "{property} was not found: {:?}", self.broken());
    }
}

const DROP_A: Asked = Asked::Invalidate(Scope::Key(0));

#[test]
fn a_fresh_load_after_an_invalidation_is_good_and_counts() {
    let mut told = Told::new();
    let old = told.load(0);
    told.commit(0).done(DROP_A);
    told.answers(old, 1);
    let new = told.loaded(0, 2);
    told.hit(new);
    let tally = told.is_good();
    assert_eq!((tally.during_a_load, tally.counted), (1, 1));
}

#[test]
fn an_invalidation_counts_only_during_a_load_and_with_a_read_after_it() {
    let mut told = Told::new();
    told.commit(0).done(DROP_A);
    let new = told.loaded(0, 2);
    told.hit(new);
    let under_way = told.load(0);
    told.commit(0).done(DROP_A);
    told.answers(under_way, 2);
    let tally = told.is_good();
    assert_eq!((tally.invalidations, tally.during_a_load, tally.counted), (2, 1, 0));
}

#[test]
fn a_value_of_before_an_invalidation_breaks_h1() {
    let mut told = Told::new();
    let old = told.load(0);
    told.commit(0).done(DROP_A);
    told.answers(old, 1);
    told.hit(old).breaks("H1");
}

#[test]
fn who_asked_before_the_invalidation_returned_may_have_the_old_value() {
    let mut told = Told::new();
    let old = told.loaded(0, 1);
    told.commit(0);
    let invalidation = told.begin_on(0, DROP_A);
    let read = told.begin_on(0, Asked::Get(0));
    told.end(invalidation, Ended::Done);
    let got = Got::Row { key: 0, version: 1, load: old };
    told.end(read, Ended::Read { got, tier: Tier::Memory, freshness: Freshness::Fresh, age_ms: 0 });
    told.is_good();
}

#[test]
fn an_absence_of_before_an_invalidation_breaks_h1() {
    let mut told = Told::new();
    told.commit_as(0, false, 0);
    let absent = told.loaded(0, 2);
    told.hit(absent).commit(0).done(DROP_A).hit(absent).breaks("H1");
}

#[test]
fn an_absence_that_came_back_is_good() {
    let mut told = Told::new();
    told.commit(0).done(DROP_A).commit_as(0, false, 0);
    let absent = told.loaded(0, 3);
    told.hit(absent).is_good();
}

#[test]
fn an_invalidation_of_unknown_end_binds_nobody() {
    let mut told = Told::new();
    let old = told.loaded(0, 1);
    told.commit(0).op_on(0, DROP_A, Ended::Unknown).hit(old).is_good();
}

#[test]
fn groups_cover_their_keys_and_no_others() {
    let prefix = Scope::Prefix { namespace: 0, group: 0 };
    for (scope, covered) in [
        (prefix, [true, true, false, false]),
        (Scope::Declared { group: 0 }, [true, true, false, true]),
        (Scope::Namespace(0), [true, true, true, false]),
        (Scope::Everything, [true; 4]),
    ] {
        for (key, covered) in covered.into_iter().enumerate() {
            let mut told = Told::new();
            let old = told.loaded(key, 1);
            told.commit(key).done(Asked::Invalidate(scope)).hit(old);
            assert_eq!(told.broken().contains(&"H1"), covered, "{scope:?} and key {key}");
        }
    }
}

#[test]
fn a_value_with_an_invalidated_tag_breaks_h11() {
    let mut told = Told::new();
    let old = told.load(0);
    told.commit_as(0, true, 0b10).done(Asked::Invalidate(Scope::Tag(0)));
    told.answers(old, 1);
    told.hit(old).breaks("H11");
}

#[test]
fn a_tag_leaves_values_without_it() {
    let mut told = Told::new();
    let old = told.loaded(0, 1);
    told.commit(0).done(Asked::Invalidate(Scope::Tag(1))).hit(old).is_good();
}

#[test]
fn after_an_expiry_an_old_value_comes_only_flagged() {
    let mut told = Told::new();
    let old = told.loaded(0, 1);
    told.commit(0).done(Asked::Expire(Scope::Key(0)));
    told.hit_on(0, old, Freshness::Stale(Why::SourceFailed)).is_good();
    told.hit(old).breaks("H1");
}

#[test]
fn a_read_past_every_copy_gets_the_truth() {
    let mut told = Told::new();
    let old = told.loaded(0, 1);
    told.commit(0);
    let got = Got::Row { key: 0, version: 1, load: old };
    let ended = Ended::Read { got, tier: Tier::Source, freshness: Freshness::Fresh, age_ms: 0 };
    told.op_on(0, Asked::GetFresh(0), ended).breaks("H1");
}

#[test]
fn another_instance_has_until_the_bound() {
    let mut told = Told::shared();
    let old = told.load_on(1, 0);
    told.answers(old, 1);
    told.commit(0).done(DROP_A);
    told.at(40).hit_on(1, old, Freshness::Fresh).is_good();
    told.at(41).hit_on(1, old, Freshness::Fresh).breaks("H1");
}

#[test]
fn instances_out_of_reach_do_not_bind_each_other() {
    let mut told = Told::new();
    let old = told.load_on(1, 0);
    told.answers(old, 1);
    told.commit(0).done(DROP_A);
    told.at(90).hit_on(1, old, Freshness::Fresh).is_good();
}

#[test]
fn an_instance_that_was_not_heard_is_bound_as_soon_and_that_is_h10() {
    let mut told = Told::shared();
    let old = told.load_on(1, 0);
    told.answers(old, 1);
    let from = told.step();
    told.commit(0).done(DROP_A);
    let until = told.at(50).step();
    told.history.gaps.push(Gap { instance: 1, from, until });
    told.at(40).hit_on(1, old, Freshness::Fresh).is_good();
    told.at(60).hit_on(1, old, Freshness::Fresh).breaks("H10");
}

#[test]
fn what_all_have_acknowledged_binds_the_others_at_once_but_the_silent() {
    let told = |silent: bool, ended| {
        let mut told = Told::shared();
        let old = told.load_on(1, 0);
        told.answers(old, 1);
        let from = told.step();
        told.commit(0).done(DROP_A).hit_on(1, old, Freshness::Fresh);
        told.op_on(0, Asked::Acknowledged, ended);
        if silent {
            let until = told.step();
            told.history.gaps.push(Gap { instance: 1, from, until });
        }
        told.hit_on(1, old, Freshness::Fresh);
        told
    };
    told(false, Ended::Done).breaks("H1");
    told(true, Ended::Done).is_good();
    told(false, Ended::Failed(Failure::Unacknowledged)).is_good();
}

#[test]
fn what_was_not_confirmed_binds_its_own_instance_and_all_when_settled() {
    let mut told = Told::shared();
    let [here, there] = [0, 1].map(|instance| told.load_on(instance, 0));
    told.answers(here, 1);
    told.answers(there, 1);
    told.commit(0).op_on(0, DROP_A, Ended::Unknown);
    told.at(60).hit_on(1, there, Freshness::Fresh).is_good();
    told.history.settled = Some(told.step());
    told.at(61).hit_on(1, there, Freshness::Fresh).breaks("H1");
    let mut told = Told::shared();
    let here = told.loaded(0, 1);
    told.commit(0).op_on(0, DROP_A, Ended::Unknown).hit(here).breaks("H1");
}

#[test]
fn the_tier_gives_nothing_that_was_gone_when_it_was_asked() {
    let told = |asked_before: bool| {
        let mut told = Told::shared();
        let load = told.loaded(0, 1);
        if asked_before {
            told.said(1, Said::Held).commit(0).done(DROP_A);
        } else {
            told.commit(0).done(DROP_A).said(1, Said::Held);
        }
        let got = Got::Row { key: 0, version: 1, load };
        let ended = Ended::Read { got, tier: Tier::Shared, freshness: Freshness::Fresh, age_ms: 0 };
        told.op_on(1, Asked::Get(0), ended);
        told
    };
    told(true).is_good();
    told(false).breaks("H1");
}

#[test]
fn who_does_not_wait_for_the_lease_of_another_breaks_p2() {
    let loads_after = |wait_ms: u64, said: Said| {
        let mut told = Told::shared();
        told.at(2_000).said(0, Said::Leased);
        let first = told.load_on(0, 0);
        told.said(1, said);
        told.at(2_000 + wait_ms).load_on(1, 0);
        told.at(2_009).answers(first, 1);
        told
    };
    assert_eq!(loads_after(2, Said::Busy).is_good().loads_without_lease, 1);
    loads_after(1, Said::Busy).breaks("P2");
    loads_after(1, Said::Nothing).is_good();
    let mut faulty = loads_after(1, Said::Busy);
    faulty.history.faulty.push((Stamp::default(), Stamp { step: 0, ms: 600 }));
    faulty.is_good();
    let mut ended = Told::shared();
    ended.at(2_000).said(0, Said::Leased);
    let first = ended.load_on(0, 0);
    ended.said(1, Said::Busy).exchanged(1, Exchanged::Told { scope: Scope::Key(0), confirmed: true });
    ended.load_on(1, 0);
    ended.answers(first, 1);
    ended.is_good();
}

#[test]
fn a_filter_denies_only_what_it_cannot_have_learned() {
    let listed = |told: &mut Told| {
        let (start, end) = (told.step(), Some(told.step()));
        told.history.listed.push(Listed { instance: 0, namespace: 0, start, end });
    };
    let mut told = Told::new();
    told.commit_as(0, false, 0).denied().breaks("member");
    let mut told = Told::new();
    listed(&mut told);
    told.denied().breaks("member");
    let gone = || {
        let mut told = Told::new();
        told.commit_as(0, false, 0);
        listed(&mut told);
        told
    };
    gone().denied().is_good();
    // Nobody has told of it yet.
    gone().commit(0).denied().is_good();
    gone().commit(0).done(DROP_A).denied().breaks("member");
    gone().commit(0).done(DROP_A).commit_as(0, false, 0).denied().breaks("member");
    let mut found = gone();
    found.commit(0);
    found.loaded(0, 3);
    found.commit_as(0, false, 0).denied().breaks("member");
}

#[test]
fn a_read_that_fails_without_its_source_breaks_p6() {
    let mut told = Told::new();
    told.op_on(0, Asked::Get(0), Ended::Failed(Failure::Timeout)).is_good();
    told.history.spared = true;
    told.breaks("P6");
}

#[test]
fn a_warming_tells_what_became_of_every_key() {
    let warmed = |done| Ended::Warmed { known: 3, done, failed: 1, absent: 0 };
    let warm = Asked::Warm { namespace: 0 };
    let mut told = Told::new();
    assert_eq!(told.op_on(0, warm, warmed(2)).is_good().warmed, 2);
    told.op_on(0, warm, warmed(1)).breaks("warm");
}

#[test]
fn a_value_older_than_its_policy_breaks_h2() {
    let mut told = Told::new();
    told.at(1).commit(0);
    told.at(112);
    let load = told.loaded(0, 1);
    told.hit(load).breaks("H2");
}

#[test]
fn a_stale_value_within_its_window_is_good() {
    let mut told = Told::new();
    let old = told.loaded(0, 1);
    told.at(1).commit(0);
    told.at(119).hit_on(0, old, Freshness::Stale(Why::Revalidating));
    told.at(129).hit_on(0, old, Freshness::Stale(Why::SourceFailed)).is_good();
    told.at(132).hit_on(0, old, Freshness::Stale(Why::Revalidating)).breaks("H2");
}

#[test]
fn an_unflagged_value_past_its_ttl_breaks_h14() {
    let mut told = Told::new();
    let old = told.loaded(0, 1);
    told.at(100).hit(old).is_good();
    told.at(101).hit(old).breaks("H14");
}

#[test]
fn a_sliding_value_that_nobody_used_breaks_h14() {
    let mut told = Told::new();
    told.history.rules[0].idle = Some(10);
    let load = told.loaded(0, 1);
    told.at(10).hit(load).at(20).hit(load).is_good();
    told.at(31).hit(load).breaks("H14");
}

#[test]
fn a_ttl_of_its_own_is_kept() {
    let mut told = Told::new();
    let old = told.loaded(0, 1);
    told.history.loads[old].answers[0].ttl = Some(7);
    told.at(8).hit(old).breaks("H14");
}

#[test]
fn an_absence_past_its_ttl_breaks_h14() {
    let mut told = Told::new();
    told.commit_as(0, false, 0);
    let absent = told.loaded(0, 2);
    told.at(50).hit(absent).is_good();
    told.at(51).hit(absent).breaks("H14");
}

#[test]
fn a_wrong_age_is_found() {
    let mut told = Told::new();
    let load = told.loaded(0, 1);
    told.at(9).got(0, Got::Row { key: 0, version: 1, load }, Tier::Memory, 3).breaks("age");
}

#[test]
fn an_answer_that_no_load_gave_is_found() {
    let mut told = Told::new();
    told.got(0, Got::Absent, Tier::Memory, 0).breaks("age");
    let mut told = Told::new();
    let load = told.loaded(1, 1);
    told.got(0, Got::Row { key: 1, version: 1, load }, Tier::Memory, 0).breaks("age");
    let mut told = Told::new();
    let load = told.loaded(0, 1);
    told.commit(0).got(0, Got::Row { key: 0, version: 2, load }, Tier::Memory, 0).breaks("age");
}

#[test]
fn two_loads_of_one_generation_break_h5() {
    let mut told = Told::new();
    told.load(0);
    told.load(0);
    told.breaks("H5");
}

#[test]
fn loads_of_two_generations_may_overlap_but_not_three() {
    let mut told = Told::new();
    told.load(0);
    told.done(DROP_A);
    told.load(0);
    told.is_good();
    told.load(0);
    told.breaks("H5");
}

#[test]
fn loads_of_two_keys_or_two_instances_may_overlap() {
    let mut told = Told::new();
    told.load_on(0, 0);
    told.load_on(0, 1);
    told.load_on(1, 0);
    told.is_good();
}

#[test]
fn a_slow_or_stranded_reader_breaks_h6() {
    let mut told = Told::new();
    let read = told.begin_on(0, Asked::Get(0));
    told.breaks("H6");
    told.at(30).end(read, Ended::Failed(Failure::Timeout));
    told.is_good();
    told.history.ops[read].ret = Some(Stamp { ms: 31, ..told.now });
    told.breaks("H6");
}

#[test]
fn what_is_left_behind_breaks_h6() {
    let mut told = Told::new();
    told.history.left.flights = 1;
    told.breaks("H6");
    let mut told = Told::new();
    told.history.left.busy.push(0);
    told.breaks("H6");
    let mut told = Told::new();
    told.history.left.broken.push("weights do not add up".to_owned());
    told.breaks("H6");
    let mut told = Told::new();
    told.history.left.untold = 1;
    told.breaks("H6");
}

const KEPT: usize = 3;

fn put(put: u32) -> Asked {
    Asked::Put { key: KEPT, put }
}

fn kept(put: u32) -> Got {
    Got::Put { key: KEPT, put }
}

#[test]
fn a_put_fences_older_loads() {
    let mut told = Told::new();
    let old = told.load(KEPT);
    told.done(put(1));
    told.answers(old, 1);
    told.got(KEPT, kept(1), Tier::Memory, 0).is_good();
    told.hit(old).breaks("put");
}

#[test]
fn a_put_fences_older_absences() {
    let mut told = Told::new();
    told.commit_as(KEPT, false, 0);
    let old = told.load(KEPT);
    told.done(put(1));
    told.answers(old, 2);
    told.hit(old).breaks("put");
}

#[test]
fn a_put_ends_with_the_next_put_invalidation_expiry_and_its_ttl() {
    let mut told = Told::new();
    told.done(put(1)).done(put(2)).got(KEPT, kept(2), Tier::Memory, 0).is_good();
    told.got(KEPT, kept(1), Tier::Memory, 0).breaks("put");
    let mut told = Told::new();
    told.done(put(1)).done(Asked::Invalidate(Scope::Key(KEPT)));
    told.got(KEPT, kept(1), Tier::Memory, 0).breaks("put");
    let mut told = Told::new();
    told.done(put(1)).done(Asked::Expire(Scope::Key(KEPT)));
    told.got(KEPT, kept(1), Tier::Memory, 0).breaks("put");
    let mut told = Told::new();
    told.done(put(1)).at(100).got(KEPT, kept(1), Tier::Memory, 100).is_good();
    told.at(101).got(KEPT, kept(1), Tier::Memory, 101).breaks("put");
}

#[test]
fn a_run_that_shows_nothing_is_vacuous() {
    assert!(Tally::default().vacuous().is_some());
    let told = Tally { reads: 100, hits: 31, calm: 100, calm_unknown: 2, ..Tally::default() };
    assert!(told.vacuous().is_some_and(|what| what.contains("unknown")));
}

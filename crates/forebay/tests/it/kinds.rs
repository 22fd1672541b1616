//! Kinds of values against plain models: hashes, sorted sets, counters.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, Range};
use std::sync::Arc;

use bytes::Bytes;
use forebay::rt::Tick;
use forebay::value::counter::{self, CounterError};
use forebay::value::{
    Aggregate, Direction, Field, FieldState, Hash, Kind, Score, ScoreError, SortedSet, Upsert,
};
use forebay::{Blob, Forebay, Value, Writes, secs};
use proptest::prelude::{
    Just, Strategy, TestCaseError, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

// ---- hashes

/// What a hash should know, told plainly.
#[derive(Clone, Debug, Default)]
struct Facts {
    whole: bool,
    known: BTreeMap<u8, Bytes>,
    holes: BTreeSet<u8>,
    absent: BTreeSet<u8>,
    /// What a load of the whole leaves as it is.
    kept: BTreeSet<u8>,
    /// When fields end that say so.
    ends: BTreeMap<u8, Tick>,
}

impl Facts {
    fn state(&self, field: u8) -> FieldState {
        let absent = if self.whole { !self.holes.contains(&field) } else { self.absent.contains(&field) };
        match self.known.get(&field) {
            Some(value) => FieldState::Known(value.clone()),
            None if absent => FieldState::Absent,
            None => FieldState::Unknown,
        }
    }

    fn state_at(&self, field: u8, now: Tick) -> FieldState {
        match self.ends.get(&field) {
            Some(end) if *end <= now => FieldState::Unknown,
            _ => self.state(field),
        }
    }

    fn set(&mut self, field: u8, value: Bytes) -> FieldState {
        self.set_until(field, Field::from(value))
    }

    fn set_until(&mut self, field: u8, Field { value, fresh_until }: Field) -> FieldState {
        let before = self.state(field);
        self.known.insert(field, value);
        self.holes.remove(&field);
        self.absent.remove(&field);
        self.ends.remove(&field);
        self.ends.extend(fresh_until.map(|end| (field, end)));
        before
    }

    fn keep(&mut self, field: u8, value: Bytes) -> FieldState {
        if !self.whole {
            self.kept.insert(field);
        }
        self.set(field, value)
    }

    fn remove(&mut self, field: u8) -> FieldState {
        let before = self.state(field);
        self.known.remove(&field);
        self.ends.remove(&field);
        self.kept.remove(&field);
        self.holes.remove(&field);
        self.absent.insert(field);
        before
    }

    fn forget(&mut self, field: u8) -> FieldState {
        let before = self.state(field);
        self.known.remove(&field);
        self.ends.remove(&field);
        self.kept.remove(&field);
        self.absent.remove(&field);
        self.holes.insert(field);
        before
    }

    fn make_whole(&mut self, loaded: &BTreeMap<u8, Field>, touched: &BTreeSet<u8>) {
        let is_ours = |field: &u8| touched.contains(field) || self.kept.contains(field);
        let known = (0..=FIELD_MAX).filter_map(|field| {
            let loaded = loaded.get(&field).map(|loaded| &loaded.value);
            let value = if is_ours(&field) { self.known.get(&field) } else { loaded };
            Some((field, value?.clone()))
        });
        let end = |field: u8| match is_ours(&field) {
            true => self.ends.get(&field).copied(),
            false => loaded.get(&field)?.fresh_until,
        };
        let ends = (0..=FIELD_MAX).filter_map(|field| Some((field, end(field)?))).collect();
        let holes = touched.iter().filter(|&&field| self.state(field) == FieldState::Unknown);
        *self = Self {
            whole: true,
            known: known.collect(),
            holes: holes.copied().collect(),
            absent: BTreeSet::new(),
            kept: BTreeSet::new(),
            ends,
        };
    }
}

/// The last tick at which a field of the model ends.
const END_MAX: u64 = 6;

fn some_end() -> impl Strategy<Value = Option<Tick>> {
    proptest::option::of((0..=END_MAX).prop_map(Tick::from_ms))
}

fn field() -> impl Strategy<Value = Field> {
    (text(), some_end()).prop_map(|(value, fresh_until)| Field { value, fresh_until })
}

const FIELD_MAX: u8 = 40;

fn named(field: u8) -> Vec<u8> {
    // Names of different lengths, with common beginnings, the empty one among them.
    vec![b'f' + field % 2; usize::from(field.div_ceil(2))]
}

fn text() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..12).prop_map(Bytes::from)
}

fn fields() -> impl Strategy<Value = BTreeMap<u8, Field>> {
    proptest::collection::btree_map(0..=FIELD_MAX, field(), 0..30)
}

fn whole(fields: &BTreeMap<u8, Field>) -> Hash {
    Hash::whole_until(fields.iter().map(|(&name, field)| (named(name), field.clone())))
}

fn some_fields() -> impl Strategy<Value = BTreeSet<u8>> {
    proptest::collection::btree_set(0..=FIELD_MAX, 0..8)
}

#[derive(Clone, Debug)]
enum HashChange {
    Set(u8, Bytes),
    SetUntil(u8, Field),
    Keep(u8, Bytes),
    Remove(u8),
    Forget(u8),
    Fill(Tick, BTreeMap<u8, Option<Field>>),
    MakeWhole(BTreeMap<u8, Field>, BTreeSet<u8>),
    ForgetEnds,
    Snapshot,
}

fn hash_change() -> impl Strategy<Value = HashChange> {
    let answers = proptest::collection::btree_map(0..=FIELD_MAX, proptest::option::of(field()), 0..12);
    let now = (0..=END_MAX).prop_map(Tick::from_ms);
    prop_oneof![
        8 => (0..=FIELD_MAX, text()).prop_map(|(field, value)| HashChange::Set(field, value)),
        6 => (0..=FIELD_MAX).prop_map(HashChange::Remove),
        6 => (0..=FIELD_MAX).prop_map(HashChange::Forget),
        8 => (0..=FIELD_MAX, field()).prop_map(|(name, field)| HashChange::SetUntil(name, field)),
        3 => (now, answers).prop_map(|(now, answers)| HashChange::Fill(now, answers)),
        1 => Just(HashChange::ForgetEnds),
        3 => (0..=FIELD_MAX, text()).prop_map(|(field, value)| HashChange::Keep(field, value)),
        1 => (fields(), some_fields()).prop_map(|(loaded, touched)| HashChange::MakeWhole(loaded, touched)),
        2 => Just(HashChange::Snapshot),
    ]
}

fn names(fields: &BTreeSet<u8>) -> BTreeSet<Bytes> {
    fields.iter().map(|&field| Bytes::from(named(field))).collect()
}

fn assert_hash(hash: &Hash, facts: &Facts) -> Result<(), TestCaseError> {
    prop_assert_eq!(hash.validate(), Ok(()));
    prop_assert_eq!(hash.is_whole(), facts.whole);
    prop_assert_eq!(hash.known_len(), facts.known.len());
    let complete = facts.whole && facts.holes.is_empty();
    prop_assert_eq!(hash.len(), complete.then_some(facts.known.len()));
    prop_assert_eq!(hash.is_empty(), complete.then_some(facts.known.is_empty()));
    for field in 0..=FIELD_MAX {
        prop_assert_eq!(hash.state(&named(field)).cloned(), facts.state(field));
    }
    let holes: BTreeSet<_> = hash.holes().map(Bytes::copy_from_slice).collect();
    prop_assert_eq!(holes, if facts.whole { names(&facts.holes) } else { BTreeSet::new() });
    prop_assert_eq!(hash.earliest_end(), facts.ends.values().min().copied());
    for now in (0..=END_MAX + 1).map(Tick::from_ms) {
        let ended: BTreeSet<u8> =
            facts.ends.iter().filter(|(_, end)| **end <= now).map(|(&field, _)| field).collect();
        for field in 0..=FIELD_MAX {
            prop_assert_eq!(hash.state_at(&named(field), now).cloned(), facts.state_at(field, now));
        }
        prop_assert_eq!(hash.is_complete_at(now), complete && ended.is_empty());
        let asked: BTreeSet<_> = hash.holes_at(now).into_iter().map(Bytes::copy_from_slice).collect();
        let lacking = names(&facts.holes.union(&ended).copied().collect());
        prop_assert_eq!(asked, if facts.whole { lacking } else { BTreeSet::new() });
    }
    let sorted: BTreeMap<_, _> = facts.known.iter().map(|(&field, value)| (named(field), value)).collect();
    let ours = || hash.iter().map(|(field, value)| (field.to_vec(), value));
    prop_assert!(ours().eq(sorted.clone()));
    prop_assert!(ours().rev().eq(sorted.into_iter().rev()));
    for (index, field) in hash.iter_scan().enumerate() {
        prop_assert_eq!(hash.nth(index), Some(field));
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_hash_knows_what_it_was_told_and_nothing_else(
        start in proptest::option::of(fields()),
        changes in proptest::collection::vec(hash_change(), 0..60),
    ) {
        let (mut hash, mut facts) = match start {
            None => (Hash::partial(), Facts::default()),
            Some(fields) => {
                let mut facts = Facts::default();
                facts.make_whole(&fields, &BTreeSet::new());
                (whole(&fields), facts)
            }
        };
        let mut snapshots = Vec::new();
        for change in changes {
            match change {
                HashChange::Set(field, value) => {
                    prop_assert_eq!(hash.set(&named(field), value.clone()), facts.set(field, value));
                }
                HashChange::SetUntil(name, field) => {
                    let before = hash.set_until(&named(name), field.clone());
                    prop_assert_eq!(before, facts.set_until(name, field));
                }
                HashChange::ForgetEnds => {
                    hash.forget_ends();
                    facts.ends.clear();
                }
                HashChange::Remove(field) => {
                    prop_assert_eq!(hash.remove(&named(field)), facts.remove(field));
                }
                HashChange::Forget(field) => {
                    prop_assert_eq!(hash.forget(&named(field)), facts.forget(field));
                }
                HashChange::Keep(field, value) => {
                    prop_assert_eq!(hash.keep(&named(field), value.clone()), facts.keep(field, value));
                }
                HashChange::Fill(now, answers) => {
                    let told = answers.iter().map(|(&field, answer)| (named(field), answer.clone()));
                    hash.fill_holes(now, told);
                    for (field, answer) in answers {
                        if facts.state_at(field, now) != FieldState::Unknown {
                            continue;
                        }
                        match answer {
                            Some(answer) => facts.set_until(field, answer),
                            None => facts.remove(field),
                        };
                    }
                }
                HashChange::MakeWhole(loaded, touched) => {
                    hash.make_whole(&whole(&loaded), &names(&touched));
                    facts.make_whole(&loaded, &touched);
                }
                HashChange::Snapshot => snapshots.push((hash.clone(), facts.clone())),
            }
            assert_hash(&hash, &facts)?;
        }
        for (hash, facts) in &snapshots {
            assert_hash(hash, facts)?;
        }
    }

    #[test]
    fn a_scan_sees_once_what_is_there_throughout(
        start in proptest::collection::btree_set(0..2_000u32, 0..300),
        count in 0..40usize,
        changes in proptest::collection::vec((any::<bool>(), 0..2_000u32), 0..200),
    ) {
        let name = |number: u32| format!("order_{number:08}");
        let value = Bytes::from_static(b"v");
        let mut hash = Hash::whole(start.iter().map(|&number| (name(number), value.clone())));
        let mut throughout = start;
        let (mut cursor, mut seen, mut changes) = (0, Vec::new(), changes.into_iter());
        loop {
            let page = hash.scan(cursor, count);
            prop_assert!(page.entries.len() <= count.max(1), "{} for {count}", page.entries.len());
            seen.extend(page.entries.iter().map(|(field, _)| field.to_vec()));
            cursor = page.cursor;
            if cursor == 0 {
                break;
            }
            for (set, number) in changes.by_ref().take(7) {
                if set {
                    hash.set(name(number).as_bytes(), value.clone());
                } else {
                    hash.remove(name(number).as_bytes());
                    throughout.remove(&number);
                }
            }
            // As a reload would.
            hash = Hash::whole(hash.iter().map(|(field, value)| (field.to_vec(), value.clone())));
        }
        for number in throughout {
            let times = seen.iter().filter(|field| **field == name(number).as_bytes()).count();
            prop_assert_eq!(times, 1, "{} seen {} times", name(number), times);
        }
    }
}

#[test]
fn a_hash_with_too_many_holes_is_not_whole_any_more() {
    let value = Bytes::from_static(b"v");
    let mut hash = Hash::whole([("kept", value.clone())]);
    let name = |number: usize| number.to_string().into_bytes();
    for number in 0..Hash::HOLES_MAX {
        assert_eq!(hash.forget(&name(number)), FieldState::Absent);
        // Again is not more.
        assert_eq!(hash.forget(&name(number)), FieldState::Unknown);
    }
    assert!(hash.is_whole());
    assert_eq!(hash.holes().count(), Hash::HOLES_MAX);
    hash.forget(b"one more");
    assert!(!hash.is_whole());
    assert_eq!(hash.validate(), Ok(()));
    assert_eq!(hash.holes().count(), 0);
    assert_eq!(hash.state(b"kept"), FieldState::Known(&value));
    for field in [&name(0)[..], b"one more", b"never heard of"] {
        assert_eq!(hash.state(field), FieldState::Unknown);
    }
    // The same bound holds for a load that was overtaken too often.
    let touched = (0..=Hash::HOLES_MAX).map(|number| name(number).into()).collect();
    hash.make_whole(&Hash::whole([("kept", value.clone())]), &touched);
    assert!(!hash.is_whole());
    assert_eq!(hash.state(b"kept"), FieldState::Known(&value));
}

#[test]
fn a_partial_hash_forgets_its_oldest_absence() {
    let mut hash = Hash::partial();
    let name = |number: usize| number.to_string().into_bytes();
    for number in 0..Hash::ABSENCES_MAX {
        assert_eq!(hash.remove(&name(number)), FieldState::Unknown);
    }
    // Told again, an absence is not remembered twice.
    assert_eq!(hash.remove(&name(1)), FieldState::Absent);
    hash.remove(b"one more");
    assert_eq!(hash.state(&name(0)), FieldState::Unknown);
    assert_eq!(hash.state(&name(1)), FieldState::Absent);
    assert_eq!(hash.state(b"one more"), FieldState::Absent);
    assert_eq!(hash.validate(), Ok(()));
}

#[test]
fn of_a_field_told_twice_the_later_value_counts() {
    let hash = Hash::whole([("a", "1".into()), ("b", "2".into()), ("a", "3".into())]);
    assert_eq!(hash.state(b"a"), FieldState::Known(&Bytes::from("3")));
    assert_eq!(hash.len(), Some(2));
    assert_eq!(hash.validate(), Ok(()));
}

// ---- sorted sets

type Plain = Vec<(Vec<u8>, f64)>;

/// The order of a sorted set, told plainly.
fn sort(members: &mut Plain) {
    members.sort_by(|(a, x), (b, y)| match x.partial_cmp(y).unwrap() {
        Ordering::Equal => a.cmp(b),
        unequal => unequal,
    });
}

fn score(number: f64) -> Score {
    Score::new(number).unwrap()
}

fn number() -> impl Strategy<Value = f64> {
    // Few values, so that ties are common.
    prop_oneof![
        6 => (-3..4i32).prop_map(f64::from),
        1 => Just(-0.0),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
        1 => -1e3..1e3,
    ]
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![(0..60u8).prop_map(named), proptest::collection::vec(any::<u8>(), 0..3)]
}

fn members() -> impl Strategy<Value = BTreeMap<Vec<u8>, f64>> {
    proptest::collection::btree_map(member(), number(), 0..40)
}

fn set_of(members: &BTreeMap<Vec<u8>, f64>) -> SortedSet {
    members.iter().map(|(member, &number)| (member, score(number))).collect()
}

#[derive(Clone, Debug)]
enum SetChange {
    Upsert(Vec<u8>, f64),
    Increment(Vec<u8>, f64),
    Remove(Vec<u8>),
    PopMin(usize),
    PopMax(usize),
    RemoveRanks(usize, usize),
    Snapshot,
}

fn set_change() -> impl Strategy<Value = SetChange> {
    prop_oneof![
        8 => (member(), number()).prop_map(|(member, number)| SetChange::Upsert(member, number)),
        4 => (member(), number()).prop_map(|(member, number)| SetChange::Increment(member, number)),
        4 => member().prop_map(SetChange::Remove),
        1 => (0..4usize).prop_map(SetChange::PopMin),
        1 => (0..4usize).prop_map(SetChange::PopMax),
        1 => (0..30usize, 0..30usize).prop_map(|(start, end)| SetChange::RemoveRanks(start, end)),
        2 => Just(SetChange::Snapshot),
    ]
}

/// With the bits of the score, so that the sign of a zero would show.
fn told(entry: (&[u8], Score)) -> (Vec<u8>, u64) {
    (entry.0.to_vec(), entry.1.get().to_bits())
}

fn plainly(entry: &(Vec<u8>, f64)) -> (Vec<u8>, u64) {
    (entry.0.clone(), bits(entry.1))
}

/// The bits of `number`, 0 having no sign.
fn bits(number: f64) -> u64 {
    (if number == 0.0 { 0.0 } else { number }).to_bits()
}

fn assert_set(set: &SortedSet, plain: &Plain) -> Result<(), TestCaseError> {
    prop_assert_eq!(set.validate(), Ok(()));
    prop_assert_eq!(set.len(), plain.len());
    prop_assert_eq!(set.is_empty(), plain.is_empty());
    prop_assert_eq!(set.iter().map(told).collect::<Vec<_>>(), plain.iter().map(plainly).collect::<Vec<_>>());
    for (rank, (member, number)) in plain.iter().enumerate() {
        prop_assert_eq!(set.rank(member), Some(rank));
        prop_assert_eq!(set.rev_rank(member), Some(plain.len() - 1 - rank));
        prop_assert_eq!(set.score(member).map(|it| it.get().to_bits()), Some(bits(*number)));
        prop_assert_eq!(set.nth(rank).map(told), Some(plainly(&plain[rank])));
    }
    prop_assert_eq!(set.nth(plain.len()), None);
    prop_assert_eq!((set.rank(b"not there"), set.score(b"not there")), (None, None));
    Ok(())
}

fn change_set(set: &mut SortedSet, plain: &mut Plain, change: SetChange) -> Result<(), TestCaseError> {
    let at = |plain: &Plain, member: &[u8]| plain.iter().position(|(it, _)| it == member);
    match change {
        SetChange::Upsert(member, number) => {
            let wanted = match at(plain, &member) {
                None => {
                    plain.push((member.clone(), number));
                    Upsert::Added
                }
                Some(at) if plain[at].1 == number => Upsert::Same,
                Some(at) => {
                    let from = std::mem::replace(&mut plain[at].1, number);
                    Upsert::Changed { from: score(from) }
                }
            };
            prop_assert_eq!(set.upsert(&member, score(number)), wanted);
        }
        SetChange::Increment(member, number) => {
            let old = at(plain, &member).map(|at| plain[at].1);
            let sum = old.map_or(number, |old| old + number);
            let result = set.increment(&member, score(number));
            if sum.is_nan() {
                prop_assert_eq!(result, Err(ScoreError::Sum { score: old.unwrap(), by: number }));
            } else {
                prop_assert_eq!(result, Ok(score(sum)));
                match at(plain, &member) {
                    None => plain.push((member, sum)),
                    Some(at) if plain[at].1 != sum => plain[at].1 = sum,
                    Some(_) => {}
                }
            }
        }
        SetChange::Remove(member) => {
            let gone = at(plain, &member).map(|at| plain.remove(at));
            prop_assert_eq!(set.remove(&member), gone.map(|(_, number)| score(number)));
        }
        SetChange::PopMin(count) => {
            let wanted: Vec<_> = plain.drain(..count.min(plain.len())).map(|it| plainly(&it)).collect();
            let popped = set.pop_min(count);
            prop_assert_eq!(popped.iter().map(|(it, at)| told((it, *at))).collect::<Vec<_>>(), wanted);
        }
        SetChange::PopMax(count) => {
            let from = plain.len().saturating_sub(count);
            let wanted: Vec<_> = plain.drain(from..).rev().map(|it| plainly(&it)).collect();
            let popped = set.pop_max(count);
            prop_assert_eq!(popped.iter().map(|(it, at)| told((it, *at))).collect::<Vec<_>>(), wanted);
        }
        SetChange::RemoveRanks(start, end) => {
            let (from, to) = (start.min(plain.len()), end.min(plain.len()));
            let count = if from < to { plain.drain(from..to).count() } else { 0 };
            prop_assert_eq!(set.remove_ranks(start..end), count);
        }
        SetChange::Snapshot => {}
    }
    sort(plain);
    Ok(())
}

fn bound() -> impl Strategy<Value = Bound<f64>> {
    prop_oneof![
        number().prop_map(Bound::Included),
        number().prop_map(Bound::Excluded),
        Just(Bound::Unbounded),
    ]
}

fn within<T: PartialOrd>(it: &T, bounds: (&Bound<T>, &Bound<T>)) -> bool {
    let above = match bounds.0 {
        Bound::Included(min) => it >= min,
        Bound::Excluded(min) => it > min,
        Bound::Unbounded => true,
    };
    let below = match bounds.1 {
        Bound::Included(max) => it <= max,
        Bound::Excluded(max) => it < max,
        Bound::Unbounded => true,
    };
    above && below
}

fn ranked(set: &SortedSet, ranks: Range<usize>) -> Vec<Vec<u8>> {
    set.range(ranks).map(|(member, _)| member.to_vec()).collect()
}

fn aggregate() -> impl Strategy<Value = Aggregate> {
    prop_oneof![Just(Aggregate::Sum), Just(Aggregate::Min), Just(Aggregate::Max)]
}

/// The products of one member in the sets that have it, from the smallest set, put together as Redis does.
fn put_together(aggregate: Aggregate, products: impl Iterator<Item = f64>, union: bool) -> Option<f64> {
    let zeroed = |number: f64| if number.is_nan() { 0.0 } else { number };
    products.enumerate().map(|(at, number)| if union || at == 0 { zeroed(number) } else { number }).reduce(
        |a, b| match aggregate {
            Aggregate::Sum => zeroed(a + b),
            Aggregate::Min => [a, b][usize::from(b < a)],
            Aggregate::Max => [a, b][usize::from(b > a)],
        },
    )
}

proptest! {
    #[test]
    fn a_sorted_set_is_a_sorted_list(changes in proptest::collection::vec(set_change(), 0..80)) {
        let (mut set, mut plain) = (SortedSet::new(), Plain::new());
        let mut snapshots = Vec::new();
        for change in changes {
            if matches!(change, SetChange::Snapshot) {
                snapshots.push((set.clone(), plain.clone()));
            }
            change_set(&mut set, &mut plain, change)?;
            assert_set(&set, &plain)?;
        }
        for (set, plain) in &snapshots {
            assert_set(set, plain)?;
        }
    }

    #[test]
    fn ranges_by_score_and_index_are_those_of_the_list(
        members in members(),
        (min, max) in (bound(), bound()),
        (start, stop) in (-50..50i64, -50..50i64),
        (offset, limit) in (0..50usize, proptest::option::of(0..50usize)),
    ) {
        let set = set_of(&members);
        let mut plain: Plain = members.into_iter().collect();
        sort(&mut plain);
        assert_set(&set, &plain)?;
        let all: Vec<Vec<u8>> = plain.iter().map(|(member, _)| member.clone()).collect();
        let ranks = set.score_ranks((min.map(score), max.map(score)));
        let wanted: Vec<_> = plain
            .iter()
            .filter(|(_, number)| within(number, (&min, &max)))
            .map(|(member, _)| member.clone())
            .collect();
        prop_assert_eq!(ranks.len(), wanted.len());
        prop_assert_eq!(ranked(&set, ranks.clone()), &wanted[..]);

        let up = set.page(ranks.clone(), Direction::Up, offset, limit);
        let taken = limit.unwrap_or(usize::MAX);
        prop_assert_eq!(ranked(&set, up), wanted.iter().skip(offset).take(taken).cloned().collect::<Vec<_>>());
        let down = set.page(ranks, Direction::Down, offset, limit);
        let reversed: Vec<_> = set.range(down).rev().map(|(member, _)| member.to_vec()).collect();
        prop_assert_eq!(reversed, wanted.iter().rev().skip(offset).take(taken).cloned().collect::<Vec<_>>());

        // As Redis tells it: negative from the end, clamped, empty where the start is behind the stop.
        let count = i64::try_from(all.len()).unwrap();
        let real = |index: i64| if index < 0 { index + count } else { index };
        let chosen = |from_end: bool| -> Vec<Vec<u8>> {
            let mut all = all.clone();
            if from_end {
                all.reverse();
            }
            let indexes = 0..count;
            indexes
                .filter(|index| (real(start)..=real(stop)).contains(index))
                .map(|index| all[usize::try_from(index).unwrap()].clone())
                .collect()
        };
        prop_assert_eq!(ranked(&set, set.index_ranks(start, stop, Direction::Up)), chosen(false));
        let down = set.range(set.index_ranks(start, stop, Direction::Down)).rev();
        prop_assert_eq!(down.map(|(member, _)| member.to_vec()).collect::<Vec<_>>(), chosen(true));
    }

    #[test]
    fn ranges_by_member_are_those_of_the_list(
        members in proptest::collection::btree_set(member(), 0..40),
        (min, max) in (member(), member()),
        (open_min, open_max) in (0..3usize, 0..3usize),
    ) {
        let set: SortedSet = members.iter().map(|member| (member, 7)).collect();
        let bound = |text: &Vec<u8>, open| match open {
            0 => Bound::Included(text.clone()),
            1 => Bound::Excluded(text.clone()),
            _ => Bound::Unbounded,
        };
        let (min, max) = (bound(&min, open_min), bound(&max, open_max));
        let ranks = set.member_ranks((min.as_ref().map(Vec::as_slice), max.as_ref().map(Vec::as_slice)));
        let wanted: Vec<_> = members.into_iter().filter(|it| within(it, (&min, &max))).collect();
        prop_assert_eq!(ranks.len(), wanted.len());
        prop_assert_eq!(ranked(&set, ranks), wanted);
    }

    #[test]
    fn unions_and_intersections_put_scores_together(
        inputs in proptest::collection::vec((members(), number()), 0..4),
        aggregate in aggregate(),
    ) {
        let sets: Vec<_> = inputs.iter().map(|(members, weight)| (set_of(members), score(*weight))).collect();
        let borrowed: Vec<_> = sets.iter().map(|(set, weight)| (set, *weight)).collect();
        let mut inputs = inputs;
        inputs.sort_by_key(|(members, _)| members.len());
        let everyone: BTreeSet<_> = inputs.iter().flat_map(|(members, _)| members.keys().cloned()).collect();
        let of = |member: &Vec<u8>| {
            let member = member.clone();
            inputs.iter().filter_map(move |(members, weight)| Some(members.get(&member)? * weight))
        };
        let all = |union| {
            let told = everyone.iter().filter_map(|it| Some((it.clone(), put_together(aggregate, of(it), union)?)));
            let mut all: Plain = told.collect();
            sort(&mut all);
            all
        };
        assert_set(&SortedSet::union(&borrowed, aggregate), &all(true))?;
        let mut common = all(false);
        common.retain(|(member, _)| of(member).count() == inputs.len());
        assert_set(&SortedSet::intersection(&borrowed, aggregate), &common)?;
        let borrowed: Vec<_> = sets.iter().map(|(set, _)| set).collect();
        assert_eq!(SortedSet::common_len(&borrowed, usize::MAX), common.len());
        assert_eq!(SortedSet::common_len(&borrowed, 1), common.len().min(1));
    }

    #[test]
    fn a_difference_is_what_the_first_set_has_alone(inputs in proptest::collection::vec(members(), 0..4)) {
        let sets: Vec<_> = inputs.iter().map(set_of).collect();
        let alone = inputs.split_first().map(|(first, others)| {
            let is_alone = |member: &Vec<u8>| !others.iter().any(|other| other.contains_key(member));
            let mut alone: Plain = first.iter().filter(|(member, _)| is_alone(member)).map(|(member, score)| (member.clone(), *score)).collect();
            sort(&mut alone);
            alone
        });
        assert_set(&SortedSet::difference(&sets.iter().collect::<Vec<_>>()), &alone.unwrap_or_default())?;
    }
}

#[test]
fn zero_has_no_sign_and_nan_is_no_score() {
    let mut set = SortedSet::new();
    set.upsert(b"a", score(-0.0));
    assert!(set.score(b"a").unwrap().get().is_sign_positive());
    assert_eq!(set.upsert(b"a", score(0.0)), Upsert::Same);
    assert_eq!(set.increment(b"b", score(-0.0)).unwrap().get().to_bits(), 0);
    assert_eq!(Score::new(f64::NAN), Err(ScoreError::NotANumber));
}

/// What Redis 7.0.15 answers to `ZINTER 2 a b WEIGHTS 0 1` and `ZUNION`, with `inf` for `m` in `a`.
#[test]
fn a_product_that_is_no_number_counts_as_in_redis() {
    let mut large: SortedSet = [("n", 2), ("w", 4), ("x", 3), ("y", 5)].into_iter().collect();
    large.upsert(b"m", score(f64::INFINITY));
    let small: SortedSet = [("m", 1), ("n", 2), ("o", 3)].into_iter().collect();
    let sets = [(&large, Score::ZERO), (&small, Score::ONE)];
    for (aggregate, common, all) in [(Aggregate::Min, 1, 0), (Aggregate::Max, 1, 1), (Aggregate::Sum, 0, 1)] {
        let intersection = SortedSet::intersection(&sets, aggregate);
        assert_eq!(intersection.score(b"m"), Some(Score::from(common)), "{aggregate:?}");
        assert_eq!(SortedSet::union(&sets, aggregate).score(b"m"), Some(Score::from(all)), "{aggregate:?}");
    }
}

#[test]
fn a_scan_of_a_sorted_set_sees_all() {
    let set: SortedSet = (0..1_000).map(|number| (format!("m{number}"), number)).collect();
    let (mut cursor, mut seen) = (0, BTreeSet::new());
    loop {
        let page = set.scan(cursor, 10);
        for (member, at) in page.entries {
            assert_eq!(set.score(member), Some(at));
            assert!(seen.insert(member.to_vec()));
        }
        cursor = page.cursor;
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen.len(), 1_000);
}

// ---- weights

#[test]
fn weights_come_and_go_with_what_is_in() {
    let mut hash = Hash::whole::<&str>([]);
    let empty = hash.weight_bytes();
    hash.set(b"field", Bytes::from(vec![b'x'; 100]));
    let one = hash.weight_bytes();
    assert!((205..280).contains(&(one - empty)), "one field weighs {}", one - empty);
    hash.set(b"field", Bytes::from(vec![b'x'; 150]));
    assert_eq!(hash.weight_bytes(), one + 50);
    hash.forget(b"field");
    assert!(hash.weight_bytes() > empty, "a hole weighs nothing");
    hash.remove(b"field");
    assert_eq!(hash.weight_bytes(), empty);
    hash.set(b"field", Bytes::from(vec![b'x'; 100]));
    let until = |end| Field { value: Bytes::from(vec![b'x'; 100]), fresh_until: end };
    hash.set_until(b"field", until(Some(Tick::from_ms(1))));
    let ends = hash.weight_bytes() - one;
    assert!((100..250).contains(&ends), "one end weighs {ends}");
    hash.set_until(b"field", until(None));
    assert_eq!(hash.weight_bytes(), one, "an end that is gone weighs something");
    let mut set = SortedSet::new();
    let empty = set.weight_bytes();
    set.upsert(b"member", score(1.0));
    let one = set.weight_bytes();
    assert!((100..200).contains(&(one - empty)), "one member weighs {}", one - empty);
    set.upsert(b"member", score(2.0));
    assert_eq!(set.weight_bytes(), one);
    set.pop_min(1);
    assert_eq!(set.weight_bytes(), empty);
}

// ---- counters

#[test]
fn integers_are_read_in_their_shortest_form_only() {
    for (text, number) in [
        ("0", 0),
        ("-1", -1),
        ("10", 10),
        ("-9223372036854775808", i64::MIN),
        ("9223372036854775807", i64::MAX),
    ] {
        assert_eq!(counter::parse(text.as_bytes()), Ok(number));
        assert_eq!(counter::print(number).as_slice(), text.as_bytes());
    }
    for text in [
        "",
        "-",
        "+1",
        "01",
        "-0",
        "-01",
        " 1",
        "1 ",
        "1.0",
        "1e3",
        "9223372036854775808",
        "-9223372036854775809",
        "٣",
    ] {
        assert_eq!(counter::parse(text.as_bytes()), Err(CounterError::NotInteger), "{text}");
    }
    assert_eq!(counter::add(i64::MAX - 1, 1), Ok(i64::MAX));
    assert_eq!(counter::add(i64::MAX, 1), Err(CounterError::Overflow { number: i64::MAX, by: 1 }));
    assert_eq!(counter::add(i64::MIN, -1), Err(CounterError::Overflow { number: i64::MIN, by: -1 }));
}

#[test]
fn decimals_add_up_as_a_person_adds_them() {
    for (number, by, sum) in [
        ("10.50", "0.1", "10.6"),
        ("5.0e3", "2.0e2", "5200"),
        ("0.1", "0.2", "0.3"),
        ("0", "0.1", "0.1"),
        ("1234567.1", "0.1", "1234567.2"),
        ("1", "-1.1", "-0.1"),
        ("1.5", "-1.5", "0"),
        ("-0", "-0.0", "0"),
        ("17179869184", "1.5", "17179869185.5"),
        ("3", "-0.00000000000000001", "2.99999999999999999"),
        ("0", "0.000000000000000005", "0.00000000000000001"),
        ("0", "0.000000000000000004", "0"),
        ("0", "-5e-18", "-0.00000000000000001"),
        ("1", "1e-400", "1"),
        ("1", "1e-99999999999999999999", "1"),
        ("1", "00000000000000000000000000000000000000000000000001", "2"),
        ("1", "0e999", "1"),
        (".5", "+5.", "5.5"),
        ("99999999999999999999", "0.5", "99999999999999999999.5"),
        ("1e30", "1", "1000000000000000000000000000000"),
        ("-1e300", "1e300", "0"),
    ] {
        assert_eq!(
            counter::add_decimal(number.as_bytes(), by.as_bytes()).as_deref(),
            Ok(sum),
            "{number} + {by}"
        );
    }
    for text in ["", " 1", "1 ", "abc", "nan", "1_000", "--1", "1e", ".", "0x10", "1\0"] {
        assert_eq!(counter::add_decimal(b"1", text.as_bytes()), Err(CounterError::NotDecimal), "{text}");
        assert_eq!(counter::add_decimal(text.as_bytes(), b"1"), Err(CounterError::NotDecimal), "{text}");
    }
    for (number, by) in [("1", "inf"), ("-inf", "inf"), ("1.7e308", "1.7e308"), ("1e999", "1")] {
        let sum = counter::add_decimal(number.as_bytes(), by.as_bytes());
        assert_eq!(sum, Err(CounterError::NotFinite), "{number} + {by}");
    }
}

proptest! {
    #[test]
    fn integers_survive_print_and_parse(number in any::<i64>()) {
        prop_assert_eq!(counter::print(number).to_vec(), number.to_string().into_bytes());
        prop_assert_eq!(counter::parse(&counter::print(number)), Ok(number));
    }

    #[test]
    fn decimals_add_up_to_the_last_digit(a in -1_000_000_000_000i64..1_000_000_000_000, b in -1_000_000_000_000i64..1_000_000_000_000) {
        // Millionths, written with a point and with an exponent.
        let point = format!("{}{}.{:06}", if a < 0 { "-" } else { "" }, a.abs() / 1_000_000, a.abs() % 1_000_000);
        let sum = counter::add_decimal(point.as_bytes(), format!("{b}e-6").as_bytes()).unwrap();
        let total = a + b;
        let wanted = format!("{}{}.{:06}", if total < 0 { "-" } else { "" }, total.abs() / 1_000_000, total.abs() % 1_000_000);
        prop_assert_eq!(sum, wanted.trim_end_matches('0').trim_end_matches('.'));
    }
}

// ---- values

#[test]
fn a_value_has_the_kind_of_what_it_was_made_of() {
    let hash = Hash::whole([("a", Bytes::from("1"))]);
    let set: SortedSet = [("a", 1)].into_iter().collect();
    let weights = [hash.weight_bytes(), set.weight_bytes()];
    for (value, kind, word) in [
        (Value::native(Blob::opaque("x"), 1), Kind::Blob, "blob"),
        (Value::native("text", 9), Kind::Native, "native"),
        (Value::native(hash, 1), Kind::Hash, "hash"),
        (Value::native(set, 1), Kind::SortedSet, "sorted_set"),
        (Value::native(7i64, 1), Kind::Counter, "counter"),
    ] {
        assert_eq!((value.kind(), value.kind().word(), &*value.kind().to_string()), (kind, word, word));
        assert_eq!(value.as_blob().is_some(), kind == Kind::Blob);
        assert_eq!(value.as_hash().is_some(), kind == Kind::Hash);
        assert_eq!(value.as_sorted_set().is_some(), kind == Kind::SortedSet);
        assert_eq!(value.as_counter(), (kind == Kind::Counter).then_some(7));
        assert_eq!(value.validate(), Ok(()));
        match kind {
            Kind::Hash => assert!(value.weight_bytes() > weights[0]),
            Kind::SortedSet => assert!(value.weight_bytes() > weights[1]),
            Kind::Native => assert_eq!(value.weight_bytes(), 9),
            Kind::Blob | Kind::Counter => {}
        }
        assert_eq!(value.clone().typed::<Hash>().is_some(), kind == Kind::Hash);
        assert_eq!(value.clone().typed::<SortedSet>().is_some(), kind == Kind::SortedSet);
        assert_eq!(value.typed::<i64>(), (kind == Kind::Counter).then(|| Arc::new(7)));
    }
}

#[test]
fn a_blob_keeps_its_bytes_and_its_content_type_apart() {
    let longest = "x".repeat(255);
    let longer = "x".repeat(256);
    for (blob, bytes, content_type) in [
        (Blob::json("{}"), "{}", "application/json"),
        (Blob::opaque("{}"), "{}", "application/octet-stream"),
        (Blob::new("{}", "application/json"), "{}", "application/json"),
        (Blob::new("<p>", "text/html; charset=utf-8"), "<p>", "text/html; charset=utf-8"),
        (Blob::new("", "text/plain"), "", "text/plain"),
        (Blob::new("x", ""), "x", ""),
        (Blob::new("x", &longest), "x", &longest),
        (Blob::new("x", &longer), "x", "application/octet-stream"),
    ] {
        assert_eq!((blob.as_bytes(), blob.content_type()), (bytes.as_bytes(), content_type));
        assert_eq!(blob.bytes(), bytes);
        assert_eq!(blob, Blob::new(bytes, content_type));
    }
    assert_eq!(Blob::json("1"), Blob::new("1", "application/json"));
    assert_ne!(Blob::json("1"), Blob::opaque("1"));
    assert_ne!(Blob::new("1", "text/plain"), Blob::new("1", "text/html"));
    assert_ne!(Blob::new("n1", "text/plai"), Blob::new("1", "text/plain"), "the same allocation");
}

#[test]
fn a_blob_hands_its_bytes_out_without_a_copy() {
    let blob = Blob::opaque([7; 1000]);
    let (bytes, clone) = (blob.bytes(), blob.clone());
    assert_eq!(bytes.as_ptr(), clone.as_bytes().as_ptr());
    drop((blob, clone));
    assert_eq!(bytes, [7; 1000].as_slice(), "whoever took them keeps them");
}

#[test]
fn a_reader_keeps_what_it_took() {
    let mut value = Value::from(Hash::whole([("a", Bytes::from("1"))]));
    let reader = value.clone();
    value.hash_mut().unwrap().set(b"a", Bytes::from("2"));
    assert_eq!(reader.as_hash().unwrap().state(b"a"), FieldState::Known(&Bytes::from("1")));
    assert_eq!(value.as_hash().unwrap().state(b"a"), FieldState::Known(&Bytes::from("2")));
    assert!(value.sorted_set_mut().is_none());
    let mut value = Value::from(SortedSet::new());
    value.sorted_set_mut().unwrap().upsert(b"a", Score::ONE);
    assert_eq!(value.typed::<SortedSet>().unwrap().len(), 1);
}

// ---- what is held

#[tokio::test]
async fn what_is_held_tells_its_kind() {
    let engine = Forebay::new().unwrap();
    let things = engine.namespace::<Blob>("things").key("{id}").ttl(secs(60)).writes(Writes::Cache);
    let things = things
        .source(forebay::load_one(async |_: String| Ok::<Option<Blob>, std::convert::Infallible>(None)));
    let things = things.build().unwrap();
    let values = [
        Value::from(Blob::json("{}")),
        Value::from(Hash::whole([("f", Bytes::from("v"))])),
        Value::from(SortedSet::new()),
        Value::Counter(7),
        Value::native("text".to_owned(), 8),
    ];
    for value in values {
        let kind = value.kind();
        things.set_key(b"a", value, None).await.unwrap();
        let held = things.peek(b"a").unwrap();
        assert_eq!((held.kind, held.absent), (Some(kind), false));
    }
    assert!(things.get("b").await.unwrap().is_none());
    let held = things.peek(b"b").unwrap();
    assert_eq!((held.kind, held.absent), (None, true));
}

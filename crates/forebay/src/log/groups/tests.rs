//! The groups against a plain list of all records, and their bounds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may stop at the first surprise")]

use std::sync::Arc;

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::{collection, prop_assert, prop_assert_eq};

use super::{AHEAD_MAX, About, Group, Groups, Limits, PREFIX_BYTES_MAX, Verdict};
use crate::log::{Cursor, Epoch, Verb};
use crate::value::{Position, Tag};

const fn at(number: u64) -> Position {
    Position::new(number)
}

fn tags(texts: &[&str]) -> Vec<Tag> {
    texts.iter().map(|text| Arc::from(*text)).collect()
}

fn about<'a>(namespace: u32, key: &'a [u8], tags: &'a [Tag]) -> About<'a> {
    // Two namespaces a keyspace.
    About { keyspace: namespace / 2, namespace, key, tags, any_tag: false }
}

fn judge(groups: &Groups, about: &About<'_>, since: u64) -> Verdict {
    groups.verdict(about, at(since)).0
}

/// A group that owns its texts.
#[derive(Clone, Debug)]
enum Owned {
    Tag(u32, Tag),
    Prefix(u32, Vec<u8>),
    Namespace(u32),
    Keyspace(u32),
    Everything,
    /// A single key, which is nothing to the groups.
    Key,
}

impl Owned {
    fn group(&self) -> Option<Group<'_>> {
        Some(match self {
            Self::Tag(keyspace, tag) => Group::Tag { keyspace: *keyspace, tag },
            Self::Prefix(namespace, prefix) => Group::Prefix { namespace: *namespace, prefix },
            Self::Namespace(namespace) => Group::Namespace { namespace: *namespace },
            Self::Keyspace(keyspace) => Group::Keyspace { keyspace: *keyspace },
            Self::Everything => Group::Everything,
            Self::Key => return None,
        })
    }

    fn takes_in(&self, about: &About<'_>) -> bool {
        match self {
            Self::Tag(keyspace, tag) => {
                *keyspace == about.keyspace && (about.any_tag || about.tags.contains(tag))
            }
            Self::Prefix(namespace, prefix) => *namespace == about.namespace && about.key.starts_with(prefix),
            Self::Namespace(namespace) => *namespace == about.namespace,
            Self::Keyspace(keyspace) => *keyspace == about.keyspace,
            Self::Everything => true,
            Self::Key => false,
        }
    }
}

/// The record at each position from 1 up, in a plain list.
type Records = Vec<(Owned, Verb)>;

fn plain(records: &Records, about: &About<'_>, since: Position) -> Verdict {
    let later = records.iter().zip(1..).filter(|(_, position)| at(*position) > since);
    let matching = later.filter(|((group, _), _)| group.takes_in(about));
    let verdict = |verb: Verb| if verb == Verb::Invalidate { Verdict::Gone } else { Verdict::Expired };
    matching.map(|((_, verb), _)| verdict(*verb)).max().unwrap_or(Verdict::Valid)
}

fn tell(groups: &Groups, records: &Records, position: usize) {
    let (group, verb) = &records[position - 1];
    let here = at(position.try_into().unwrap());
    match group.group() {
        Some(group) => groups.remember(here, group, *verb),
        None => groups.pass(here),
    }
}

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![Just(Verb::Invalidate), Just(Verb::Expire)]
}

fn tag() -> impl Strategy<Value = Tag> {
    (0..8_u8).prop_map(|tag| Arc::from(format!("t{tag}")))
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    collection::vec(0..3_u8, 0..6)
}

fn record() -> impl Strategy<Value = (Owned, Verb)> {
    let group = prop_oneof![
        8 => (0..2_u32, tag()).prop_map(|(keyspace, tag)| Owned::Tag(keyspace, tag)),
        8 => (0..4_u32, key()).prop_map(|(namespace, prefix)| Owned::Prefix(namespace, prefix)),
        2 => (0..4_u32).prop_map(Owned::Namespace),
        1 => (0..2_u32).prop_map(Owned::Keyspace),
        1 => Just(Owned::Everything),
        4 => Just(Owned::Key),
    ];
    (group, verb())
}

/// Records, and the order in which their positions are told: each at least once, some twice.
fn told() -> impl Strategy<Value = (Records, Vec<usize>)> {
    collection::vec(record(), 1..40).prop_flat_map(|records| {
        let again = collection::vec(1..=records.len(), 0..8);
        let positions: Vec<usize> = (1..=records.len()).collect();
        let order = again.prop_map(move |again| [positions.clone(), again].concat()).prop_shuffle();
        (Just(records), order)
    })
}

fn entry() -> impl Strategy<Value = (u32, Vec<u8>, Vec<Tag>, u64)> {
    (0..4_u32, key(), collection::vec(tag(), 0..3), 0..40_u64)
}

proptest! {
    #[test]
    fn it_says_what_a_plain_list_says((records, order) in told(), entries in collection::vec(entry(), 1..8)) {
        let groups = Groups::new(Limits::default());
        for position in &order {
            tell(&groups, &records, *position);
        }
        prop_assert_eq!(groups.known_to(), at(records.len() as u64));
        for (namespace, key, tags, since) in &entries {
            let about = about(*namespace, key, tags);
            let of_any_tag = About { any_tag: true, ..about };
            for about in [about, of_any_tag] {
                prop_assert_eq!(judge(&groups, &about, *since), plain(&records, &about, at(*since)));
            }
        }
    }

    #[test]
    fn what_is_forgotten_makes_it_stricter_and_never_milder(
        (records, order) in told(),
        entries in collection::vec(entry(), 1..8),
        limits in (0..4_usize, 0..4_usize),
    ) {
        let groups = Groups::new(Limits { tags: limits.0, prefixes: limits.1 });
        for position in &order {
            tell(&groups, &records, *position);
            prop_assert!(groups.len() <= limits.0 + limits.1);
        }
        for (namespace, key, tags, since) in &entries {
            let about = about(*namespace, key, tags);
            let of_any_tag = About { any_tag: true, ..about };
            for about in [about, of_any_tag] {
                prop_assert!(judge(&groups, &about, *since) >= plain(&records, &about, at(*since)));
            }
        }
    }

    /// Entries are looked at between the records, and moved up to where each verdict holds, as the engine does.
    #[test]
    fn an_entry_that_was_moved_up_still_meets_the_late_ones(
        (records, order) in told(),
        (namespace, key, tags, since) in entry(),
        looks in collection::vec(any::<bool>(), 48),
    ) {
        let groups = Groups::new(Limits::default());
        let about = about(namespace, &key, &tags);
        let (mut position, mut worst) = (at(since), Verdict::Valid);
        for (told, look) in order.iter().zip(looks.iter().chain(std::iter::repeat(&true))) {
            tell(&groups, &records, *told);
            if *look && position < groups.newest() {
                let (verdict, holds_to) = groups.verdict(&about, position);
                worst = worst.max(verdict);
                prop_assert!(holds_to >= position);
                position = holds_to;
            }
        }
        worst = worst.max(groups.verdict(&about, position).0);
        prop_assert_eq!(worst, plain(&records, &about, at(since)));
    }
}

#[test]
fn a_record_is_not_jumped_over_by_a_later_one() {
    let groups = Groups::new(Limits::default());
    let (of_a, of_b) = (tags(&["a"]), tags(&["b"]));
    groups.remember(at(2), Group::Tag { keyspace: 0, tag: "b" }, Verb::Invalidate);
    let (verdict, holds_to) = groups.verdict(&about(0, b"x", &of_a), at(0));
    assert_eq!((verdict, holds_to), (Verdict::Valid, at(0)), "moved up past a record that was not told yet");
    groups.remember(at(1), Group::Tag { keyspace: 0, tag: "a" }, Verb::Invalidate);
    assert_eq!(judge(&groups, &about(0, b"x", &of_a), 0), Verdict::Gone);
    assert_eq!(groups.verdict(&about(0, b"x", &[]), at(0)), (Verdict::Valid, at(2)));
    assert_eq!(judge(&groups, &about(0, b"x", &of_b), 1), Verdict::Gone);
    assert_eq!(judge(&groups, &about(0, b"x", &of_b), 2), Verdict::Valid);
}

#[test]
fn what_came_too_far_ahead_is_waited_for_again() {
    let groups = Groups::new(Limits::default());
    let ahead = u64::try_from(AHEAD_MAX).unwrap();
    for position in 2..ahead + 10 {
        groups.pass(at(position));
    }
    groups.pass(at(1));
    assert_eq!(groups.known_to(), at(ahead + 1), "as many as are remembered");
    groups.pass(at(ahead + 2));
    assert_eq!(groups.known_to(), at(ahead + 2));
}

#[test]
fn a_gap_makes_suspect_what_was_loaded_before_its_end() {
    let groups = Groups::new(Limits::default());
    groups.pass(at(12));
    groups.raise_floor(at(10));
    assert_eq!((groups.newest(), groups.known_to()), (at(10), at(10)));
    assert_eq!(groups.verdict(&about(0, b"x", &[]), at(9)), (Verdict::Gone, at(10)));
    assert_eq!(groups.verdict(&about(0, b"x", &[]), at(10)), (Verdict::Valid, at(10)));
    groups.pass(at(11));
    assert_eq!(groups.known_to(), at(12), "what came ahead of the gap counts");
    groups.raise_floor(at(5));
    assert_eq!((groups.newest(), groups.known_to()), (at(10), at(12)), "a floor does not sink");
}

#[test]
fn a_log_that_begins_anew_makes_all_suspect() {
    let groups = Groups::new(Limits::default());
    let place = |epoch, position| groups.place(Cursor { epoch: Epoch(epoch), position: at(position) });
    let first = place(1, 100).unwrap();
    assert_eq!(judge(&groups, &about(0, b"x", &[]), first.number()), Verdict::Valid);
    // Records 91 to 100 are lost, and their numbers are given out again.
    let anew = place(2, 90).unwrap();
    assert_eq!(judge(&groups, &about(0, b"x", &[]), first.number()), Verdict::Gone);
    assert_eq!(judge(&groups, &about(0, b"x", &[]), anew.number()), Verdict::Valid);
    groups.remember(place(2, 91).unwrap(), Group::Namespace { namespace: 0 }, Verb::Expire);
    assert_eq!(judge(&groups, &about(0, b"x", &[]), anew.number()), Verdict::Expired);
    assert_eq!(place(1, 101), None, "an answer of the lost past counts");
}

#[test]
fn a_million_tags_take_no_more_than_was_said() {
    let limits = Limits::default();
    let groups = Groups::new(limits);
    let count = 1_000_000;
    for number in 1..=count {
        let tag = format!("a tag of some length, of which none is kept: {number}");
        groups.remember(at(number), Group::Tag { keyspace: 0, tag: &tag }, Verb::Invalidate);
    }
    assert_eq!(groups.len(), limits.tags);
    let bytes = groups.weight_bytes();
    assert!(bytes <= 112 * limits.tags as u64, "{bytes} bytes");
    // Forgotten: one of the keyspace with any tag is suspect, if it is older than what was forgotten.
    let forgotten = count - limits.tags as u64;
    let of_none = tags(&["never told"]);
    assert_eq!(judge(&groups, &about(0, b"x", &of_none), forgotten - 1), Verdict::Gone);
    assert_eq!(judge(&groups, &about(0, b"x", &of_none), forgotten), Verdict::Valid);
    assert_eq!(judge(&groups, &about(0, b"x", &[]), 0), Verdict::Valid, "it has no tag");
    assert_eq!(judge(&groups, &about(2, b"x", &of_none), 0), Verdict::Valid, "of another keyspace");
}

#[test]
fn what_is_told_again_and_again_takes_one_place() {
    let groups = Groups::new(Limits { tags: 2, prefixes: 2 });
    for number in 1..=10 {
        let (tag, prefix) = if number == 1 { ("rare", &b"rare"[..]) } else { ("often", &b"often"[..]) };
        groups.remember(at(2 * number), Group::Tag { keyspace: 0, tag }, Verb::Invalidate);
        groups.remember(at(2 * number + 1), Group::Prefix { namespace: 0, prefix }, Verb::Invalidate);
    }
    assert_eq!(groups.len(), 4);
    let other = tags(&["other"]);
    assert_eq!(judge(&groups, &about(0, b"x", &other), 0), Verdict::Valid, "one was forgotten");
    assert_eq!(judge(&groups, &about(0, b"rarely", &[]), 0), Verdict::Gone);
    assert_eq!(judge(&groups, &about(0, b"often", &[]), 20), Verdict::Gone);
}

#[test]
fn prefixes_beyond_their_number_concern_their_own_namespace() {
    let groups = Groups::new(Limits { tags: 1, prefixes: 2 });
    for (number, prefix) in (1..).zip(["a:", "b:", "c:"]) {
        let prefix = prefix.as_bytes();
        groups.remember(at(number), Group::Prefix { namespace: 0, prefix }, Verb::Expire);
    }
    assert_eq!(judge(&groups, &about(0, b"d:1", &[]), 0), Verdict::Expired, "it could be the forgotten one");
    assert_eq!(judge(&groups, &about(0, b"d:1", &[]), 1), Verdict::Valid);
    assert_eq!(judge(&groups, &about(0, b"c:1", &[]), 1), Verdict::Expired);
    assert_eq!(judge(&groups, &about(1, b"a:1", &[]), 0), Verdict::Valid, "of another namespace");
}

#[test]
fn prefixes_take_no_more_than_was_said() {
    let limits = Limits::default();
    let groups = Groups::new(limits);
    let count = 2 * limits.prefixes as u64;
    let long = vec![b'x'; PREFIX_BYTES_MAX];
    for number in 1..=count {
        let prefix = [number.to_string().as_bytes(), &long].concat();
        groups.remember(at(number), Group::Prefix { namespace: 0, prefix: &prefix }, Verb::Invalidate);
    }
    assert_eq!(groups.len(), limits.prefixes);
    let bytes = groups.weight_bytes();
    assert!(bytes <= 480 * limits.prefixes as u64, "{bytes} bytes");
    // What lies beyond the remembered bytes is not told apart.
    let longer = [count.to_string().as_bytes(), &long, b"and on"].concat();
    assert_eq!(judge(&groups, &about(0, &longer, &[]), count - 1), Verdict::Gone);
}

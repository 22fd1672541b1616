//! Random calls, a file for each group of commands, for comparison with another server: what is called, and how alike replies must be.
//!
//! Most calls are right, some are nearly so: keys of another kind, words that are missing, too many or no numbers.

pub(super) mod hash;
pub(super) mod sorted_set;

use fastrand::Rng;
use forebay_wire::resp::Reply;

/// One of `choices`.
pub(super) fn one<'c>(random: &mut Rng, choices: &[&'c str]) -> &'c str {
    choices[random.usize(..choices.len())]
}

/// Whether something that is one in `times` comes to pass.
pub(super) fn rarely(random: &mut Rng, times: usize) -> bool {
    random.usize(..times) == 0
}

/// The words of a text that has nothing but blanks between them; `""` is the empty one.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split(' ').filter(|word| !word.is_empty()).map(|word| word.replace("\"\"", "")).collect()
}

/// Takes a word away, doubles it or puts another one in, now and then.
pub(super) fn misspelt(random: &mut Rng, mut words: Vec<String>) -> Vec<String> {
    if rarely(random, 20) {
        let at = random.usize(1..words.len());
        match random.u8(..3) {
            0 => drop(words.remove(at)),
            1 => words.insert(at, words[at].clone()),
            _ => words[at] = one(random, &["", "x", "0", "-1", "1.5", "nan", "withscores", "limit"]).into(),
        }
    }
    words
}

/// How alike two replies must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alike {
    /// In all, numbers being the same however they are spelt.
    Wholly,
    /// The same elements in any order.
    InAnyOrder,
    /// The same names and what stands with each, in any order of the names.
    InAnyOrderOfPairs,
    /// A cursor, and pairs as above.
    Page,
    /// As many elements, drawn by chance.
    Drawn,
}

/// Whether `ours` is `theirs`.
pub(super) fn are_alike(alike: Alike, ours: &Reply, theirs: &Reply) -> bool {
    match (ours, theirs) {
        (Reply::Array(ours), Reply::Array(theirs)) => match alike {
            Alike::Wholly => texts(ours) == texts(theirs),
            Alike::InAnyOrder => sorted(texts(ours)) == sorted(texts(theirs)),
            Alike::InAnyOrderOfPairs => sorted(pairs(ours)) == sorted(pairs(theirs)),
            Alike::Drawn => ours.len() == theirs.len() && ours.iter().map(shape).eq(theirs.iter().map(shape)),
            Alike::Page => match (&ours[..], &theirs[..]) {
                ([ours, Reply::Array(our_pairs)], [theirs, Reply::Array(their_pairs)]) => {
                    text(ours) == text(theirs) && sorted(pairs(our_pairs)) == sorted(pairs(their_pairs))
                }
                _ => false,
            },
        },
        (Reply::Bulk(_), Reply::Bulk(_)) if alike == Alike::Drawn => true,
        _ => text(ours) == text(theirs),
    }
}

fn shape(reply: &Reply) -> Option<usize> {
    if let Reply::Array(elements) = reply { Some(elements.len()) } else { None }
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list
}

fn texts(list: &[Reply]) -> Vec<String> {
    list.iter().map(text).collect()
}

fn pairs(list: &[Reply]) -> Vec<Vec<String>> {
    list.chunks(2).map(texts).collect()
}

/// A reply as text in which a number has one spelling.
fn text(reply: &Reply) -> String {
    let number = |number: f64| format!("{:?}", number + 0.0);
    match reply {
        Reply::Bulk(bytes) => {
            let parsed = str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
            format!("${}", parsed.map_or_else(|| bytes.escape_ascii().to_string(), number))
        }
        Reply::Double(value) => format!(",{}", number(*value)),
        Reply::Array(list) => format!("[{}]", texts(list).join(" ")),
        Reply::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}:{}", text(key), text(value)));
            format!("{{{}}}", sorted(entries.collect()).join(" "))
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn every_command_of_a_group_is_called() {
    let mut random = Rng::with_seed(1);
    for (group, call) in [
        ("hash", hash::call as fn(&mut Rng) -> Vec<String>),
        ("sorted-set", sorted_set::call as fn(&mut Rng) -> Vec<String>),
    ] {
        let calls: Vec<_> = (0..20_000).map(|_| call(&mut random)).collect();
        for spec in forebay_wire::resp::commands().filter(|spec| spec.group.word() == group) {
            let times = calls.iter().filter(|words| words[0].eq_ignore_ascii_case(spec.name)).count();
            assert!(times > 100, "{} is called {times} times", spec.name);
        }
    }
}

#[test]
fn replies_are_as_alike_as_calls_allow() {
    let bulk = |text: &'static str| Reply::Bulk(text.into());
    let list = |text: &'static str| Reply::Array(text.split(' ').map(bulk).collect());
    let how = |text: &str| {
        let words = words(text);
        if text.starts_with('h') { hash::alike(&words) } else { sorted_set::alike(&words) }
    };
    for (call, ours, theirs, alike) in [
        ("zscore z a", bulk("0.1"), bulk("0.10000000000000001"), true),
        ("zscore z a", bulk("0.1"), Reply::Double(0.1), false),
        ("zscore z a", bulk("1"), Reply::Null, false),
        ("zrange z 0 1", list("a b"), list("b a"), false),
        ("hkeys h", list("a b"), list("b a"), true),
        ("hkeys h", list("a b"), list("a a"), false),
        ("hgetall h", list("a 1 b 2"), list("b 2 a 1"), true),
        ("hgetall h", list("a 1 b 2"), list("a 2 b 1"), false),
        ("hrandfield h 2", list("a b"), list("c d"), true),
        ("hrandfield h 2", list("a b"), list("c"), false),
        ("zrandmember z", bulk("a"), bulk("b"), true),
        ("zrandmember z", bulk("a"), Reply::Null, false),
        (
            "hscan h 0",
            Reply::Array(vec![bulk("0"), list("a 1 b 2")]),
            Reply::Array(vec![bulk("0"), list("b 2 a 1")]),
            true,
        ),
        (
            "hscan h 0",
            Reply::Array(vec![bulk("7"), list("a 1")]),
            Reply::Array(vec![bulk("0"), list("a 1")]),
            false,
        ),
    ] {
        assert_eq!(are_alike(how(call), &ours, &theirs), alike, "{call}: {ours:?} and {theirs:?}");
    }
}

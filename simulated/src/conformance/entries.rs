//! Entries and leases.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use forebay::log::{Reach, Verb};
use forebay::tier::shared::{Answer, EnvelopeValue, Filled, LeaseTerms, Owner, TierError};
use forebay::value::{Position, Version};
use tokio::task::JoinSet;

use super::{
    AGAIN, Subject, TERMS, ask, assert_about, envelope, fill, fill_one, held, lease, load, ms, of_key,
    of_tag, owner, record,
};

pub(super) async fn check<M: Future<Output = Subject>>(make: &impl Fn() -> M) {
    one_asker_gets_the_lease(make().await).await;
    of_many_who_ask_at_once_one_leads(make().await).await;
    entries_age_and_end(make().await).await;
    leases_end_by_time_and_by_release(make().await).await;
    an_invalidation_takes_lease_and_entry(make().await).await;
    groups_take_nothing(make().await).await;
    what_is_filled_is_told(make().await).await;
    versions_and_sizes(make().await).await;
    batches(make().await).await;
    owners_are_apart(make().await).await;
}

async fn one_asker_gets_the_lease(subject: Subject) {
    let Subject { tier, other, pass, .. } = &subject;
    assert_eq!(held(tier, "k").await, None);
    let (tail, Answer::Leased { lease: mine, held: None }) = ask(tier, "k", Some(TERMS)).await else {
        panic!("a miss hands out a lease")
    };
    pass(ms(1_000)).await;
    let (_, Answer::Busy { for_at_most, held: None }) = ask(other, "k", Some(TERMS)).await else {
        panic!("the lease was handed out twice")
    };
    assert!(for_at_most > ms(4_000) && for_at_most <= ms(5_000), "{for_at_most:?}");
    assert_eq!(held(other, "k").await, None, "a look needs no lease");
    assert_eq!(fill_one(tier, "k", mine, envelope("v", tail)).await, Filled::Stored);
    assert_eq!(fill_one(tier, "k", mine, envelope("w", tail)).await, Filled::LeaseGone, "a lease fills once");
    let (_, Answer::Held(found)) = ask(other, "k", Some(TERMS)).await else { panic!("it was filled") };
    assert_eq!(found.value, envelope("v", tail).value);
    // Asked for also where it is fresh, for one asker; the others go on with what is held.
    let (_, Answer::Leased { held: Some(_), .. }) = ask(tier, "k", Some(AGAIN)).await else {
        panic!("a lease was asked for")
    };
    let (_, Answer::Busy { held: Some(_), .. }) = ask(other, "k", Some(AGAIN)).await else {
        panic!("somebody else has the lease")
    };
    assert!(matches!(ask(other, "k", Some(TERMS)).await.1, Answer::Held(_)));
}

async fn of_many_who_ask_at_once_one_leads(subject: Subject) {
    let mut asking = JoinSet::new();
    for number in 0..32 {
        let tier = if number % 2 == 0 { Arc::clone(&subject.tier) } else { Arc::clone(&subject.other) };
        asking.spawn(async move { ask(&tier, "k", Some(TERMS)).await.1 });
    }
    let answers = asking.join_all().await;
    let leads = |answer: &&Answer| matches!(answer, Answer::Leased { held: None, .. });
    assert_eq!(answers.iter().filter(leads).count(), 1, "{answers:?}");
    let waits = |answer: &&Answer| matches!(answer, Answer::Busy { held: None, .. });
    assert_eq!(answers.iter().filter(waits).count(), 31, "{answers:?}");
}

async fn entries_age_and_end(subject: Subject) {
    let Subject { tier, other, pass, .. } = &subject;
    load(tier, "k", |envelope| envelope.age_ms = 300).await;
    pass(ms(4_000)).await;
    let found = held(other, "k").await.expect("it is of use");
    assert_about(found.age_ms, 4_300, "its age");
    assert_about(10_000 - found.fresh_for_ms, 4_000, "what is gone of its freshness");
    assert_about(20_000 - found.useless_after_ms, 4_000, "what is gone of its use");
    pass(ms(6_000)).await;
    let (tail, Answer::Leased { lease, held: Some(stale) }) = ask(other, "k", Some(TERMS)).await else {
        panic!("a stale entry is told, with a lease")
    };
    assert!(!stale.is_fresh() && stale.fresh_for_ms == 0 && !stale.expired);
    pass(ms(10_000)).await;
    assert_eq!(held(tier, "k").await, None, "it is of no use any more");
    assert_eq!(fill_one(other, "k", lease, envelope("late", tail)).await, Filled::LeaseGone);

    // What is useless before it is stale ends unused; what is of no use at all is not kept, nor what it replaces.
    load(tier, "short", |envelope| envelope.useless_after_ms = 2_000).await;
    assert!(held(tier, "short").await.is_some());
    pass(ms(2_000)).await;
    assert_eq!(held(tier, "short").await, None);
    load(tier, "none", |_| {}).await;
    load(tier, "none", |envelope| envelope.useless_after_ms = 0).await;
    assert_eq!(held(tier, "none").await, None);
}

async fn leases_end_by_time_and_by_release(subject: Subject) {
    let Subject { tier, other, pass, .. } = &subject;
    let (tail, first) = lease(tier, "k").await;
    pass(TERMS.time).await;
    let (_, second) = lease(other, "k").await;
    assert_ne!(first, second, "a lease is never drawn twice");
    assert_eq!(fill_one(tier, "k", first, envelope("old", tail)).await, Filled::LeaseGone, "it had ended");
    assert!(!tier.renew(&owner(), b"k", first, TERMS.time).await.unwrap());
    tier.release(&owner(), b"k", first).await.unwrap();
    pass(ms(5_000)).await;
    assert!(other.renew(&owner(), b"k", second, TERMS.time).await.unwrap(), "another's release ended it");
    pass(ms(5_000)).await;
    assert!(matches!(ask(tier, "k", Some(TERMS)).await.1, Answer::Busy { .. }), "it was renewed");
    assert_eq!(fill_one(other, "k", second, envelope("new", tail)).await, Filled::Stored);
    assert!(!other.renew(&owner(), b"k", second, TERMS.time).await.unwrap(), "it was spent");

    let (_, mine) = lease(tier, "other").await;
    tier.release(&owner(), b"other", mine).await.unwrap();
    let (_, theirs) = lease(other, "other").await;
    tier.release(&owner(), b"other", mine).await.unwrap();
    assert_eq!(fill_one(other, "other", theirs, envelope("v", tail)).await, Filled::Stored);
    assert_eq!(
        fill_one(other, "none", theirs, envelope("v", tail)).await,
        Filled::LeaseGone,
        "it is of a key"
    );
}

async fn an_invalidation_takes_lease_and_entry(subject: Subject) {
    let Subject { tier, other, .. } = &subject;
    let namespace: Arc<str> = Arc::from("price");
    let field = |key: &str| Reach::Field {
        namespace: Arc::clone(&namespace),
        key: key.as_bytes().into(),
        field: "f".into(),
    };
    for (key, reach, verb) in [
        ("a", of_key("a", Verb::Invalidate).reach, Verb::Invalidate),
        ("b", of_key("b", Verb::Expire).reach, Verb::Expire),
        ("c", field("c"), Verb::Invalidate),
        ("d", field("d"), Verb::Expire),
    ] {
        load(tier, key, |_| {}).await;
        load(tier, "beside", |_| {}).await;
        let (before, overtaken) = lease(tier, key).await;
        let (_, free) = lease(tier, "free").await;
        let place = other.invalidate(&[of_tag("t"), record(reach, verb)]).await.unwrap();
        assert_eq!(place.epoch, before.epoch);
        assert_eq!(place.position, before.position.next().next(), "records stand side by side");
        assert!(!tier.renew(&owner(), key.as_bytes(), overtaken, TERMS.time).await.unwrap());
        let late = fill_one(tier, key, overtaken, envelope("old", before)).await;
        assert_eq!(late, Filled::LeaseGone, "of {key}: it was loaded before");
        let (tail, answer) = ask(tier, key, Some(TERMS)).await;
        assert_eq!(tail, place, "every answer tells the tail");
        match (verb, answer) {
            (Verb::Invalidate, Answer::Leased { held: None, .. }) => {}
            (Verb::Expire, Answer::Leased { held: Some(held), .. }) => {
                assert!(held.expired && !held.is_fresh(), "{held:?}");
            }
            (_, other) => panic!("of {key}: {other:?}"),
        }
        assert!(held(tier, "beside").await.is_some(), "its neighbour went too");
        assert_eq!(fill_one(tier, "free", free, envelope("v", before)).await, Filled::Stored);
    }
    // What was loaded again is fresh.
    tier.invalidate(&[of_key("b", Verb::Expire)]).await.unwrap();
    load(tier, "b", |_| {}).await;
    assert!(held(tier, "b").await.is_some_and(|held| held.is_fresh()));
}

async fn groups_take_nothing(subject: Subject) {
    let Subject { tier, other, .. } = &subject;
    load(tier, "k", |envelope| envelope.tags = vec!["t".into()]).await;
    let (tail, mine) = lease(tier, "free").await;
    let namespace: Arc<str> = Arc::from("price");
    let prefix = Reach::Prefix { namespace: Arc::clone(&namespace), prefix: b"".as_slice().into() };
    let groups = [Reach::Tag("t".into()), prefix, Reach::Namespace(namespace), Reach::All];
    let groups = groups.map(|reach| record(reach, Verb::Invalidate));
    let place = other.invalidate(&groups).await.unwrap();
    assert_eq!(place.position.number(), tail.position.number() + 4);
    // It is for the instance to judge what it is handed, by the positions.
    if let Some(held) = held(tier, "k").await {
        assert!(held.noted.epoch == place.epoch && held.noted.position < place.position);
    }
    // A tier that remembers groups may also judge what it is handed.
    let late = fill_one(tier, "free", mine, envelope("v", tail)).await;
    assert!(matches!(late, Filled::Stored | Filled::LeaseGone), "{late:?}");
}

async fn what_is_filled_is_told(subject: Subject) {
    let Subject { tier, other, .. } = &subject;
    tier.append(&[of_tag("x"), of_tag("y")]).await.unwrap();
    let kind = Arc::from("hash");
    let encoded = EnvelopeValue::Encoded { kind, shape: 7, bytes: Bytes::from_static(&[0, 255, 10]) };
    let (content_type, bytes) = (Arc::from(""), Bytes::new());
    let empty = EnvelopeValue::Blob { bytes, content_type };
    for (key, value) in
        [("absent", None), ("encoded", Some(encoded)), ("empty", Some(empty)), ("\0\u{7f}", None)]
    {
        let (tail, lease) = lease(tier, key).await;
        let mut filled = envelope("", tail);
        filled.value = value;
        filled.tags = vec!["symbol:BTC".into(), "".into()];
        filled.version = Some(Version(i64::MIN));
        assert_eq!(fill_one(tier, key, lease, filled.clone()).await, Filled::Stored);
        let found = held(other, key).await.expect("it was filled");
        assert_eq!(found.noted, tail);
        assert_eq!((found.value, found.tags, found.version), (filled.value, filled.tags, filled.version));
    }
}

async fn versions_and_sizes(subject: Subject) {
    let Subject { tier, pass, .. } = &subject;
    let mut ends = Vec::new();
    for version in [Some(3), Some(2), Some(3), None, Some(1)] {
        let (tail, lease) = lease(tier, "k").await;
        let mut filled = envelope(&format!("{version:?}"), tail);
        filled.version = version.map(Version);
        ends.push(fill_one(tier, "k", lease, filled).await);
    }
    let expected = [Filled::Stored, Filled::Older, Filled::Stored, Filled::Stored, Filled::Stored];
    assert_eq!(ends, expected, "an older version never replaces a newer one");
    // What is of no use any more has no version either.
    load(tier, "k", |envelope| envelope.version = Some(Version(9))).await;
    pass(ms(20_000)).await;
    load(tier, "k", |envelope| envelope.version = Some(Version(8))).await;

    let max = tier.capabilities().value_bytes_max;
    if max <= 64 * 1024 * 1024 {
        for (length, end) in [(max, Filled::Stored), (max + 1, Filled::TooLarge)] {
            let (tail, lease) = lease(tier, "large").await;
            let mut filled = envelope("", tail);
            let bytes = Bytes::from(vec![b'x'; length]);
            filled.value = Some(EnvelopeValue::Blob { bytes, content_type: "".into() });
            assert_eq!(fill_one(tier, "large", lease, filled.clone()).await, end, "{length} bytes");
            assert_eq!(fill_one(tier, "large", lease, filled).await, Filled::LeaseGone, "whatever it was");
        }
        assert_eq!(held(tier, "large").await.and_then(|held| held.value).map(|value| value.len()), Some(max));
    }
}

async fn batches(subject: Subject) {
    let Subject { tier, .. } = &subject;
    let max = tier.capabilities().batch_max;
    let names: Vec<String> = (0..=max).map(|number| format!("k{number}")).collect();
    let keys: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
    let refused = tier.get(&owner(), &keys, Some(TERMS)).await;
    assert!(matches!(refused, Err(TierError::Refused { .. })), "{refused:?}");
    let answers = tier.get(&owner(), &keys[..max], Some(TERMS)).await.unwrap();
    let leased = answers.answers.iter().zip(&names).step_by(2);
    let fills = leased.map(|(answer, name)| {
        let Answer::Leased { lease, held: None } = answer else { panic!("of {name}: {answer:?}") };
        fill(name, *lease, envelope(name, answers.tail))
    });
    let fills: Vec<_> = fills.collect();
    let filled = tier.fill(&owner(), &fills).await.unwrap();
    assert_eq!(filled, vec![Filled::Stored; fills.len()]);
    let looked = tier.get(&owner(), &keys[..max], None).await.unwrap().answers;
    for (at, (answer, name)) in looked.into_iter().zip(&names).enumerate() {
        match answer {
            Answer::Held(held) if at % 2 == 0 => assert_eq!(held.value, envelope(name, held.noted).value),
            Answer::Missing if at % 2 == 1 => {}
            other => panic!("of {name}: {other:?}"),
        }
    }
    // Of a fill some may be stored and others not, each by its own lease.
    let records: Vec<_> = names[..max].iter().take(8).map(|name| of_key(name, Verb::Invalidate)).collect();
    let place = tier.invalidate(&records).await.unwrap();
    assert_eq!(place.position, Position::new(answers.tail.position.number() + 8.min(max as u64)));
    let nothing = tier.get(&owner(), &[], Some(TERMS)).await.unwrap();
    assert!(nothing.answers.is_empty() && nothing.tail == place);
    assert!(tier.fill(&owner(), &[]).await.unwrap().is_empty());
    assert_eq!(tier.invalidate(&[]).await.unwrap(), place);
    // The same key twice: one of them leads.
    let twice = tier.get(&owner(), &[b"twice", b"twice"], Some(TERMS)).await.unwrap().answers;
    assert!(matches!(twice[..], [Answer::Leased { .. }, Answer::Busy { .. }]), "{twice:?}");
}

async fn owners_are_apart(subject: Subject) {
    let Subject { tier, .. } = &subject;
    load(tier, "k", |_| {}).await;
    let others =
        [("shop", "pric"), ("shop", "pricek"), ("shopp", "rice"), ("sho", "pprice"), ("", "shopprice")];
    for (keyspace, namespace) in others {
        let of = Owner { keyspace: keyspace.into(), namespace: namespace.into() };
        let answers = tier.get(&of, &[b"k", b"", b"ek"], None).await.unwrap().answers;
        assert_eq!(answers, [Answer::Missing, Answer::Missing, Answer::Missing], "{of:?}");
        let terms = LeaseTerms { time: ms(1_000), ..TERMS };
        let leased = tier.get(&of, &[b"k"], Some(terms)).await.unwrap().answers;
        assert!(matches!(leased[..], [Answer::Leased { .. }]), "{of:?}: {leased:?}");
        let reach = Reach::Key { namespace: namespace.into(), key: b"k".as_slice().into() };
        let mut of_other = record(reach, Verb::Invalidate);
        of_other.keyspace = keyspace.into();
        tier.invalidate(&[of_other]).await.unwrap();
    }
    assert!(held(tier, "k").await.is_some());
}

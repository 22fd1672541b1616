//! Leases are exclusive, and what takes one away keeps its fill out.

use forebay::log::{Log, Verb};
use forebay::tier::shared::{Answer, Envelope, Filled, LeaseTerms, SharedTier, TierError};
use forebay::value::Version;

use super::{TERMS, envelope, fill, get, lease, load, ms, of_key, of_tag, owner, stage};

#[tokio::test]
async fn one_asker_gets_the_lease_and_the_other_its_value() {
    let (_, clock, a, b) = stage(1);
    let (tail, mine) = lease(&a, "k").await;
    clock.advance(ms(1_000));
    assert_eq!(get(&b, "k").await.1, Answer::Busy { for_at_most: ms(5_000), held: None });
    let filled = a.fill(&owner(), &[fill("k", mine, envelope("v", tail))]).await.unwrap();
    assert_eq!(filled, [Filled::Stored]);
    clock.advance(ms(400));
    let aged = Envelope { age_ms: 400, fresh_for_ms: 600, useless_after_ms: 1_600, ..envelope("v", tail) };
    assert_eq!(get(&b, "k").await.1, Answer::Held(aged));
    // Stale: a lease goes with it. Of no use: it is not told.
    clock.advance(ms(600));
    assert!(matches!(get(&b, "k").await.1, Answer::Leased { held: Some(held), .. } if !held.is_fresh()));
    clock.advance(ms(1_000));
    assert!(matches!(get(&a, "k").await.1, Answer::Busy { held: None, .. }));
}

#[tokio::test]
async fn a_lease_fills_once_and_only_while_it_lives() {
    let (tier, clock, a, b) = stage(1);
    let (tail, first) = lease(&a, "k").await;
    clock.advance(TERMS.time);
    let (_, second) = lease(&b, "k").await;
    let late = a.fill(&owner(), &[fill("k", first, envelope("old", tail))]).await.unwrap();
    assert_eq!(late, [Filled::LeaseGone], "it had ended");
    assert!(!a.renew(&owner(), b"k", first, TERMS.time).await.unwrap());
    a.release(&owner(), b"k", first).await.unwrap();

    // Renewed, it outlives its first time; filled, it is spent.
    clock.advance(ms(5_999));
    assert!(b.renew(&owner(), b"k", second, TERMS.time).await.unwrap(), "somebody else's release ended it");
    clock.advance(ms(5_999));
    let of_second = || [fill("k", second, envelope("new", tail))];
    assert_eq!(b.fill(&owner(), &of_second()).await.unwrap(), [Filled::Stored]);
    assert_eq!(b.fill(&owner(), &of_second()).await.unwrap(), [Filled::LeaseGone]);
    assert_eq!((tier.fired().leases_ended, tier.fired().fills_refused), (1, 2));

    // Released, the next asker has one at once.
    let (_, mine) = lease(&a, "other").await;
    a.release(&owner(), b"other", mine).await.unwrap();
    lease(&b, "other").await;
}

#[tokio::test]
async fn an_invalidation_takes_the_lease_and_the_entry() {
    for verb in [Verb::Invalidate, Verb::Expire] {
        let (tier, _, a, b) = stage(1);
        load(&a, "k", "old").await;
        let again = LeaseTerms { even_if_fresh: true, ..TERMS };
        let answers = a.get(&owner(), &[b"k"], Some(again)).await.unwrap();
        let Answer::Leased { lease: overtaken, held: Some(held) } = &answers.answers[0] else {
            panic!("{answers:?}")
        };
        assert!(held.is_fresh());
        let place = b.invalidate(&[of_tag("t"), of_key("k", verb)]).await.unwrap();
        assert_eq!(place.position.number(), answers.tail.position.number() + 2);
        let overtaken = fill("k", *overtaken, envelope("old", answers.tail));
        assert_eq!(a.fill(&owner(), &[overtaken]).await.unwrap(), [Filled::LeaseGone]);
        assert_eq!(tier.fired().leases_taken, 1);
        let (tail, answer) = get(&b, "k").await;
        assert_eq!(tail, place);
        match (verb, answer) {
            (Verb::Invalidate, Answer::Leased { held: None, .. }) => {}
            (Verb::Expire, Answer::Leased { held: Some(held), .. }) => assert!(held.expired),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_older_version_and_a_value_too_large_are_not_stored() {
    let (tier, _, a, _) = stage(1);
    let again = LeaseTerms { even_if_fresh: true, ..TERMS };
    let mut stored = Vec::new();
    for version in [Some(3), Some(2), Some(3), None] {
        let answers = a.get(&owner(), &[b"k"], Some(again)).await.unwrap();
        let Answer::Leased { lease, .. } = answers.answers[0] else { panic!("{answers:?}") };
        let envelope = Envelope { version: version.map(Version), ..envelope("v", answers.tail) };
        stored.extend(a.fill(&owner(), &[fill("k", lease, envelope)]).await.unwrap());
    }
    assert_eq!(stored, [Filled::Stored, Filled::Older, Filled::Stored, Filled::Stored]);
    tier.set_value_bytes_max(3);
    let (tail, lease) = lease(&a, "large").await;
    let filled = a.fill(&owner(), &[fill("large", lease, envelope("1234", tail))]).await.unwrap();
    assert_eq!(filled, [Filled::TooLarge]);
    let keys = vec![&b"k"[..]; a.capabilities().batch_max + 1];
    assert!(matches!(a.get(&owner(), &keys, None).await, Err(TierError::Refused { .. })));
    let held = a.get(&owner(), &[b"none"], None).await.unwrap();
    assert_eq!((held.answers, held.tail), (vec![Answer::Missing], a.append(&[]).await.unwrap()));
}

//! What outlives the end of a tier, and what a new epoch forgets.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use forebay::log::{Cursor, InstanceId, LIVE_FOR, Reach, Verb};
use forebay::tier::shared::{Envelope, Filled, SharedTier};

use super::{Subject, driven, envelope, fill_one, held, lease, load, ms, of_key, of_tag, record};

pub(super) async fn check<M: Future<Output = Subject>>(make: &impl Fn() -> M) {
    a_restart_keeps_what_was_answered(make().await).await;
    a_new_epoch_begins_with_nothing(make().await).await;
}

/// Whether an instance that has just joined may serve an entry, as far as the log tells.
async fn is_valid(tier: &Arc<dyn SharedTier>, envelope: &Envelope) -> bool {
    let batch = tier.read(Cursor::NOWHERE, Duration::ZERO).await.unwrap();
    assert!(batch.gap && batch.caught_up());
    let noted = envelope.noted;
    let takes = |reach: &Reach| match reach {
        Reach::Tag(tag) => envelope.tags.contains(tag),
        Reach::All => true,
        _ => false,
    };
    let overtaken = batch.records.iter().any(|(at, record)| *at > noted.position && takes(&record.reach));
    noted.epoch == batch.epoch && noted.position >= batch.begin() && !overtaken
}

async fn a_restart_keeps_what_was_answered(subject: Subject) {
    let Subject { tier, restart, pass, .. } = &subject;
    let survives = tier.capabilities().survives_restart;
    assert_eq!(survives, restart.is_some(), "what it can do is told truly");
    let Some(restart) = restart else { return };
    let tagged = |tag: &'static str| move |envelope: &mut Envelope| envelope.tags = vec![tag.into()];
    load(tier, "early", tagged("late")).await;
    for key in ["kept", "gone", "stale"] {
        load(tier, key, |_| {}).await;
    }
    load(tier, "tagged", tagged("t")).await;
    load(tier, "other", tagged("u")).await;
    let (before, mine) = lease(tier, "leased").await;
    tier.invalidate(&[of_key("gone", Verb::Invalidate), of_key("stale", Verb::Expire)]).await.unwrap();
    let place = tier.invalidate(&[of_tag("t"), of_tag("v")]).await.unwrap();
    load(tier, "again", tagged("t")).await;
    pass(ms(1_000)).await;

    let mut tier = restart().await;
    for round in 0..2 {
        let tail = tier.append(&[]).await.unwrap();
        assert_eq!(tail.epoch, before.epoch, "nothing was lost");
        assert!(tail.position >= place.position, "positions go on");
        for key in ["kept", "other", "again"] {
            let found = held(&tier, key).await.unwrap_or_else(|| panic!("{key} was lost"));
            assert!(is_valid(&tier, &found).await && found.is_fresh(), "{key} is suspect: {found:?}");
            assert!(found.age_ms >= 1_000, "{key} was made young");
        }
        assert_eq!(held(&tier, "gone").await, None, "what was invalidated came back");
        assert!(held(&tier, "stale").await.is_none_or(|held| held.expired));
        if let Some(found) = held(&tier, "tagged").await {
            assert!(!is_valid(&tier, &found).await, "its group was invalidated");
        }
        if round == 1
            && let Some(found) = held(&tier, "early").await
        {
            assert!(!is_valid(&tier, &found).await, "its group was invalidated later");
        }
        assert_eq!(fill_one(&tier, "leased", mine, envelope("v", before)).await, Filled::LeaseGone);
        // What it is told from now on holds in the next round too.
        tier.invalidate(&[of_tag("late")]).await.unwrap();
        tier = restart().await;
    }
}

async fn a_new_epoch_begins_with_nothing(subject: Subject) {
    let Subject { tier, fail_over, pass, .. } = &subject;
    let Some(fail_over) = fail_over else { return };
    load(tier, "k", |_| {}).await;
    let (before, mine) = lease(tier, "leased").await;
    let place = tier.invalidate(&[of_tag("t")]).await.unwrap();
    tier.acknowledge(InstanceId(1), place).await.unwrap();
    let tier = fail_over().await;
    let tail = tier.append(&[]).await.unwrap();
    assert!(tail.epoch > before.epoch, "{tail:?} after {before:?}");
    assert_eq!(held(&tier, "k").await, None, "it was filled in an earlier epoch");
    assert_eq!(fill_one(&tier, "leased", mine, envelope("v", before)).await, Filled::LeaseGone);
    let (_, new) = lease(&tier, "k").await;
    assert_eq!(
        fill_one(&tier, "k", new, envelope("v", before)).await,
        Filled::LeaseGone,
        "its load is of the past"
    );
    assert!(tier.read(place, ms(100)).await.unwrap().gap);
    assert!(!tier.acknowledged(place, Duration::ZERO).await.unwrap(), "it may be lost: append it again");
    let again = tier.append(&[record(Reach::All, Verb::Invalidate)]).await.unwrap();
    let subject = Subject {
        pass: Box::new(|_| Box::pin(async {})),
        tier: Arc::clone(&tier),
        other: Arc::clone(&tier),
        restart: None,
        fail_over: None,
    };
    assert!(
        !driven(&subject, tier.acknowledged(again, Duration::ZERO)).await.unwrap(),
        "who may live is not known yet"
    );
    pass(LIVE_FOR).await;
    assert!(tier.acknowledged(again, Duration::ZERO).await.unwrap());
    load(&tier, "new", |_| {}).await;
    assert!(held(&tier, "new").await.is_some());
}

//! Invalidations that the tier could not be told of yet.

use forebay::{Error, Tier};
use forebay_simulated::{Faults, Partition};

use super::{Cluster, ms, tagged, tell, tellings};

#[tokio::test]
async fn an_invalidation_that_the_tier_cannot_be_told_is_done_here_and_told_later() {
    for partition in [Partition::Refused, Partition::Requests, Partition::Answers] {
        for (scope, verb) in tellings() {
            let cluster = Cluster::new(13);
            let (a, b) = (cluster.instance(1), cluster.instance(2));
            cluster.origin.row("x", tagged("old"));
            let at = format!("{partition:?} {scope:?} {verb:?}");
            cluster
                .run(async {
                    cluster.warm(&a, &b).await;
                    cluster.origin.set("x", "new");
                    cluster.tier.partition(1, Some(partition));
                    let told = tell(&a, scope, verb).await;
                    assert!(matches!(told, Err(Error::Unconfirmed { .. })), "{at}");
                    assert_eq!(a.engine.untold(), 1);
                    assert!(!a.acknowledged().await, "{at}: nobody can have heard");
                    assert_eq!(a.get("x").await.as_deref(), Some("new"), "{at}: not done here");
                    cluster.tier.partition(1, None);
                    assert_eq!(a.get("x").await.as_deref(), Some("new"), "{at}: from the tier");
                    cluster.pass(ms(700)).await;
                    assert_eq!(a.engine.untold(), 0, "{at}");
                    assert!(a.acknowledged().await, "{at}");
                    assert_eq!(b.get("x").await.as_deref(), Some("new"), "{at}: not told later");
                    assert_eq!(a.get("x").await.as_deref(), Some("new"), "{at}");
                })
                .await;
        }
    }
}

#[tokio::test]
async fn who_reads_after_an_unconfirmed_invalidation_does_not_get_the_old_value_from_the_tier() {
    let cluster = Cluster::new(14);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster
        .run(async {
            cluster.warm(&a, &b).await;
            cluster.origin.set("x", "new");
            cluster.tier.partition(1, Some(Partition::Refused));
            a.invalidate("x").await.unwrap_err();
            cluster.tier.partition(1, None);
            // At once: the tier is in reach and was not told yet.
            assert_eq!(a.get("x").await.as_deref(), Some("new"));
        })
        .await;
}

#[tokio::test]
async fn what_becomes_untold_while_the_like_of_it_is_being_told_is_told_again() {
    let cluster = Cluster::new(15);
    let a = cluster.instance(1);
    cluster
        .run(async {
            cluster.pass(ms(300)).await;
            cluster.tier.partition(1, Some(Partition::Refused));
            a.invalidate("x").await.unwrap_err();
            cluster.tier.set_faults(Faults { delay_ms_max: 120, ..Faults::default() });
            cluster.tier.partition(1, None);
            while cluster.tier.tail().position.number() == 0 {
                cluster.pass(ms(1)).await;
            }
            assert_eq!(a.engine.untold(), 1, "the answer is under way");
            cluster.tier.partition(1, Some(Partition::Refused));
            a.invalidate("x").await.unwrap_err();
            cluster.tier.partition(1, None);
            cluster.pass(ms(2_000)).await;
            assert_eq!(a.engine.untold(), 0);
            assert_eq!(cluster.tier.tail().position.number(), 2, "the second one was never told");
        })
        .await;
}

#[tokio::test]
async fn more_untold_invalidations_than_are_kept_become_one_about_all() {
    let cluster = Cluster::new(16);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster
        .run(async {
            cluster.warm(&a, &b).await;
            cluster.origin.set("x", "new");
            cluster.tier.partition(1, Some(Partition::Refused));
            a.invalidate("x").await.unwrap_err();
            for other in 1..4_096 {
                a.invalidate(&other.to_string()).await.unwrap_err();
            }
            assert_eq!(a.engine.untold(), 4_096);
            a.invalidate("one more").await.unwrap_err();
            assert_eq!(a.engine.untold(), 1);
            cluster.tier.partition(1, None);
            cluster.pass(ms(700)).await;
            assert_eq!(a.engine.untold(), 0);
            assert_eq!(b.get("x").await.as_deref(), Some("new"));
        })
        .await;
}

#[tokio::test]
async fn very_many_untold_invalidations_are_told_each() {
    let cluster = Cluster::new(17);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster
        .run(async {
            cluster.warm(&a, &b).await;
            cluster.tier.partition(1, Some(Partition::Refused));
            for other in 0..1_000 {
                a.invalidate(&other.to_string()).await.unwrap_err();
            }
            cluster.tier.partition(1, None);
            cluster.pass(ms(700)).await;
            assert_eq!((a.engine.untold(), cluster.tier.tail().position.number()), (0, 1_000));
            assert_eq!(b.read("x").await.1, Tier::Memory, "it was none of them");
        })
        .await;
}

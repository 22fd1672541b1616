//! Loads that an invalidation of another instance overtakes.

use forebay_simulated::Partition;

use super::{Cluster, ms, tagged, tell, tellings};

#[tokio::test]
async fn a_load_that_another_instance_overtakes_is_stored_nowhere() {
    for (scope, verb) in tellings() {
        let cluster = Cluster::new(7);
        let (a, b) = (cluster.instance(1), cluster.instance(2));
        cluster.origin.row("x", tagged("old"));
        let at = format!("{scope:?} {verb:?}");
        cluster
            .run(async {
                cluster.pass(ms(10)).await;
                cluster.origin.takes(ms(300));
                let before = tokio::spawn({
                    let a = a.clone();
                    async move { a.get("x").await }
                });
                cluster.pass(ms(50)).await;
                cluster.origin.takes(ms(0));
                cluster.origin.set("x", "new");
                tell(&b, scope, verb).await.unwrap();
                assert_eq!(b.get("x").await.as_deref(), Some("new"), "{at}");
                assert_eq!(before.await.unwrap().as_deref(), Some("old"), "{at}: it asked before");
                assert!(a.rows.peek(b"k:g:x").is_none(), "{at}: stored in memory");
                cluster.pass(ms(50)).await;
                let c = cluster.instance(3);
                assert_eq!(c.get("x").await.as_deref(), Some("new"), "{at}: stored in the tier");
            })
            .await;
    }
}

#[tokio::test]
async fn a_load_that_an_unheard_invalidation_overtakes_serves_for_a_second_at_most() {
    for (scope, verb) in tellings() {
        let cluster = Cluster::new(8);
        let (a, b) = (cluster.instance(1), cluster.instance(2));
        cluster.origin.row("x", tagged("old"));
        let at = format!("{scope:?} {verb:?}");
        cluster
            .run(async {
                cluster.pass(ms(10)).await;
                cluster.origin.takes(ms(300));
                let before = tokio::spawn({
                    let a = a.clone();
                    async move { a.get("x").await }
                });
                cluster.pass(ms(50)).await;
                cluster.tier.partition(1, Some(Partition::Requests));
                cluster.origin.takes(ms(0));
                cluster.origin.set("x", "new");
                tell(&b, scope, verb).await.unwrap();
                cluster.pass(ms(1_001)).await;
                assert_eq!(a.get("x").await.as_deref(), Some("new"), "{at}: served for too long");
                assert_eq!(before.await.unwrap().as_deref(), Some("old"), "{at}");
            })
            .await;
    }
}

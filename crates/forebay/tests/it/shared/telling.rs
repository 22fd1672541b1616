//! Invalidations that the tier is told of: seen everywhere in time, in calls that it takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::log::{Batch, Cursor, InstanceId, Log, LogError, Reach, Record};
use forebay::observe::What;
use forebay::rt::Clock;
use forebay::tier::shared::{
    Answers, Capabilities, Fill, Filled, Lease, LeaseTerms, Owner, SharedTier, TierError,
};
use forebay::{Error, Tier};
use forebay_simulated::{Faults, Link, Partition};

use super::{Cluster, Instance, ms, tagged, tell, tellings};

#[tokio::test]
async fn an_invalidation_is_seen_here_and_in_the_tier_at_once_and_elsewhere_within_a_second() {
    for (scope, verb) in tellings() {
        let cluster = Cluster::new(5);
        let (a, b, c) = (cluster.instance(1), cluster.instance(2), cluster.instance(3));
        cluster.origin.row("x", tagged("old"));
        let at = format!("{scope:?} {verb:?}");
        cluster
            .run(async {
                cluster.warm(&a, &b).await;
                cluster.origin.set("x", "new");
                tell(&a, scope, verb).await.unwrap();
                assert_eq!(c.get("x").await.as_deref(), Some("new"), "{at}: the tier gave the old value");
                assert_eq!(a.get("x").await.as_deref(), Some("new"), "{at}");
                cluster.pass(ms(1_001)).await;
                assert_eq!(b.get("x").await.as_deref(), Some("new"), "{at}: not seen in time");
                let late = cluster.instance(4);
                let read = late.read("x").await;
                assert_eq!(read, (Some("new".into()), Tier::Shared), "{at}: the new value was not shared");
            })
            .await;
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_seen_elsewhere_at_once() {
    for (scope, verb) in tellings() {
        let cluster = Cluster::new(6);
        let (a, b) = (cluster.instance(1), cluster.instance(2));
        cluster.origin.row("x", tagged("old"));
        cluster.tier.set_faults(Faults { delay_ms_max: 20, ..Faults::default() });
        cluster
            .run(async {
                cluster.pass(ms(300)).await;
                cluster.origin.set("x", "old");
                assert_eq!(a.get("x").await.as_deref(), Some("old"));
                cluster.pass(ms(50)).await;
                assert_eq!(b.get("x").await.as_deref(), Some("old"));
                cluster.origin.set("x", "new");
                tell(&a, scope, verb).await.unwrap();
                assert!(a.acknowledged().await);
                assert_eq!(b.get("x").await.as_deref(), Some("new"), "{scope:?} {verb:?}");
            })
            .await;
    }
}

/// A way to the tier that is worse than most.
struct Way {
    link: Link,
    clock: Clock,
    /// How long answers of the log are on their way.
    slow: Duration,
    /// Whether acknowledgements are lost.
    losing: AtomicBool,
    /// How many keys or records one call takes, as it declares; it takes one at least.
    batch_max: usize,
    /// Refuses whatever tells of this key, whole.
    refuses: Mutex<Option<&'static [u8]>>,
}

impl Way {
    fn new(cluster: &Cluster, number: u64, slow: Duration, batch_max: usize) -> Arc<Self> {
        let (link, clock) = (cluster.tier.link(number), cluster.clock.clone());
        let (losing, refuses) = (AtomicBool::new(false), Mutex::default());
        Arc::new(Self { link, clock, slow, losing, batch_max, refuses })
    }

    fn instance(self: &Arc<Self>, cluster: &Cluster) -> Instance {
        cluster.instance_of(cluster.engine_over(Arc::clone(self) as Arc<dyn SharedTier>), |builder| builder)
    }

    fn bounded<'a, T: 'a>(&self, count: usize, reply: TierReply<'a, T>) -> TierReply<'a, T> {
        if count <= self.batch_max.max(1) {
            return reply;
        }
        Box::pin(async { Err(TierError::Refused { problem: "too many at once".into() }) })
    }
}

type LogReply<'a, T> = forebay::log::Reply<'a, T>;
type TierReply<'a, T> = forebay::tier::shared::Reply<'a, T>;

impl Log for Way {
    fn append<'a>(&'a self, records: &'a [Record]) -> LogReply<'a, Cursor> {
        self.link.append(records)
    }

    fn read(&self, after: Cursor, wait: Duration) -> LogReply<'_, Batch> {
        Box::pin(async move {
            let batch = self.link.read(after, wait).await?;
            self.clock.sleep(self.slow).await;
            Ok(batch)
        })
    }

    fn acknowledge(&self, instance: InstanceId, applied: Cursor) -> LogReply<'_, ()> {
        if self.losing.load(Ordering::SeqCst) {
            return Box::pin(async { Err(LogError::Timeout { after: ms(250) }) });
        }
        self.link.acknowledge(instance, applied)
    }

    fn acknowledged(&self, place: Cursor, wait: Duration) -> LogReply<'_, bool> {
        self.link.acknowledged(place, wait)
    }
}

impl SharedTier for Way {
    fn capabilities(&self) -> Capabilities {
        Capabilities { batch_max: self.batch_max, ..self.link.capabilities() }
    }

    fn get<'a>(
        &'a self,
        of: &'a Owner,
        keys: &'a [&'a [u8]],
        lease: Option<LeaseTerms>,
    ) -> TierReply<'a, Answers> {
        self.bounded(keys.len(), self.link.get(of, keys, lease))
    }

    fn fill<'a>(&'a self, of: &'a Owner, fills: &'a [Fill]) -> TierReply<'a, Vec<Filled>> {
        self.bounded(fills.len(), self.link.fill(of, fills))
    }

    fn renew<'a>(
        &'a self,
        of: &'a Owner,
        key: &'a [u8],
        lease: Lease,
        time: Duration,
    ) -> TierReply<'a, bool> {
        self.link.renew(of, key, lease, time)
    }

    fn release<'a>(&'a self, of: &'a Owner, key: &'a [u8], lease: Lease) -> TierReply<'a, ()> {
        self.link.release(of, key, lease)
    }

    fn invalidate<'a>(&'a self, records: &'a [Record]) -> TierReply<'a, Cursor> {
        let refused = *self.refuses.lock().unwrap();
        let is_it =
            |record: &Record| matches!(&record.reach, Reach::Key { key, .. } if Some(&**key) == refused);
        if records.iter().any(is_it) {
            return Box::pin(async { Err(TierError::Refused { problem: "this one is not for me".into() }) });
        }
        self.bounded(records.len(), self.link.invalidate(records))
    }
}

#[tokio::test]
async fn who_cannot_acknowledge_does_not_trust_what_it_holds() {
    let cluster = Cluster::new(29);
    let way = Way::new(&cluster, 2, ms(200), 256);
    let (a, b) = (cluster.instance(1), way.instance(&cluster));
    cluster
        .run(async {
            cluster.pass(ms(500)).await;
            cluster.warm(&a, &b).await;
            way.losing.store(true, Ordering::SeqCst);
            cluster.pass(ms(4_000)).await;
            cluster.origin.set("x", "new");
            a.invalidate("x").await.unwrap();
            assert!(a.acknowledged().await, "the log does not wait for it any more");
            assert_eq!(b.get("x").await.as_deref(), Some("new"));
        })
        .await;
}

#[tokio::test]
async fn what_the_tier_holds_is_judged_by_the_whole_log() {
    for (scope, verb) in tellings() {
        let cluster = Cluster::new(30);
        let (a, b) = (cluster.instance(1), cluster.instance(2));
        let late = Way::new(&cluster, 3, ms(200), 256).instance(&cluster);
        cluster.origin.row("x", tagged("old"));
        cluster
            .run(async {
                cluster.pass(ms(500)).await;
                cluster.warm(&a, &b).await;
                cluster.origin.set("x", "new");
                tell(&a, scope, verb).await.unwrap();
                assert_eq!(late.get("x").await.as_deref(), Some("new"), "{scope:?} {verb:?}");
            })
            .await;
    }
}

#[tokio::test]
async fn no_call_is_larger_than_the_tier_takes() {
    let cluster = Cluster::new(31);
    let narrow = |number| Way::new(&cluster, number, ms(0), 7).instance(&cluster);
    let (a, b) = (narrow(1), narrow(2));
    let ids: Vec<String> = (0..40).map(|id| id.to_string()).collect();
    for id in &ids {
        cluster.origin.set(id, id);
    }
    cluster
        .run(async {
            cluster.pass(ms(500)).await;
            for instance in [&a, &b] {
                instance.rows.get_many(ids.iter().map(|id| ("g", id.as_str()))).await.unwrap();
                cluster.pass(ms(50)).await;
            }
            assert_eq!(cluster.origin.queries(), ids.len());
            cluster.tier.partition(1, Some(Partition::Refused));
            for id in &ids {
                a.invalidate(id).await.unwrap_err();
            }
            cluster.tier.partition(1, None);
            cluster.pass(ms(700)).await;
            assert_eq!((a.engine.untold(), cluster.tier.tail().position.number()), (0, 40));
        })
        .await;
}

#[tokio::test]
async fn a_record_that_the_tier_refuses_holds_up_nothing_else() {
    for batch_max in [256, 0] {
        let cluster = Cluster::new(41);
        let way = Way::new(&cluster, 1, ms(0), batch_max);
        let (a, b) = (way.instance(&cluster), cluster.instance(2));
        *way.refuses.lock().unwrap() = Some(b"k:g:poison");
        cluster
            .run(async {
                cluster.warm(&a, &b).await;
                cluster.tier.partition(1, Some(Partition::Refused));
                for id in ["1", "poison", "2"] {
                    a.invalidate(id).await.unwrap_err();
                }
                cluster.tier.partition(1, None);
                cluster.pass(ms(3_000)).await;
                assert_eq!((a.engine.untold(), cluster.tier.tail().position.number()), (1, 2), "{batch_max}");
                assert_eq!(a.read("x").await.1, Tier::Memory, "{batch_max}: it reads the log no more");
                cluster.origin.set("x", "new");
                b.invalidate("x").await.unwrap();
                cluster.pass(ms(1_001)).await;
                assert_eq!(a.get("x").await.as_deref(), Some("new"), "{batch_max}");
                // What comes after it is told at once, and what the tier refuses is told of.
                assert!(matches!(a.invalidate("poison").await, Err(Error::Unconfirmed { .. })));
                a.invalidate("3").await.unwrap();
                assert!(!a.acknowledged().await, "{batch_max}: it cannot be");
                cluster.pass(ms(2_000)).await;
                assert_eq!((a.engine.untold(), a.rows.counts().records_refused), (2, 2));
                let events = a.rows.events(b"k:g:poison");
                assert!(events.iter().any(|event| event.what == What::Untold), "{events:?}");

                *way.refuses.lock().unwrap() = None;
                cluster.pass(ms(1_500)).await;
                assert_eq!(a.engine.untold(), 0, "{batch_max}: it is not told again");
                assert!(a.acknowledged().await);
            })
            .await;
    }
}

#[tokio::test]
async fn records_that_the_tier_refuses_are_bounded() {
    let cluster = Cluster::new(42);
    let way = Way::new(&cluster, 1, ms(0), 256);
    let a = way.instance(&cluster);
    *way.refuses.lock().unwrap() = Some(b"k:g:poison");
    cluster
        .run(async {
            cluster.pass(ms(500)).await;
            for _ in 0..5_000 {
                a.invalidate("poison").await.unwrap_err();
                assert!(a.engine.untold() <= 4_096);
                if a.engine.untold().is_multiple_of(64) {
                    cluster.pass(ms(1)).await;
                }
            }
            cluster.pass(ms(3_000)).await;
            assert!(a.engine.untold() < 1_024, "they became one about all, which the tier takes");
        })
        .await;
}

/// The follower may read a record of the instance's own before the answer comes that says where it stands.
#[tokio::test]
async fn an_invalidation_counts_once_whoever_comes_to_its_record_first() {
    for seed in 0..20 {
        let cluster = Cluster::new(seed);
        let (a, b) = (cluster.instance(1), cluster.instance(2));
        cluster
            .run(async {
                cluster.pass(ms(10)).await;
                for _ in 0..20 {
                    a.invalidate("x").await.unwrap();
                    a.rows.expire(("g", "x")).await.unwrap();
                }
                cluster.pass(ms(1_000)).await;
                for instance in [&a, &b] {
                    assert_eq!(instance.rows.counts().invalidations_key, 40, "seed {seed}");
                }
            })
            .await;
    }
}

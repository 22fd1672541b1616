//! Who loads: one instance for all by its lease, and how long the others wait for it.

use std::time::Duration;

use forebay::{Blob, Error, NamespaceBuilder, Tier};
use forebay_simulated::Partition;

use super::{Cluster, Instance, ms};
use crate::scripted::text;

#[tokio::test]
async fn what_one_instance_loaded_the_other_takes_from_the_tier() {
    let cluster = Cluster::new(1);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster
        .run(async {
            cluster.warm(&a, &b).await;
            assert_eq!(cluster.origin.queries(), 1);
            assert_eq!(cluster.tier.fired().fills_refused, 0);
        })
        .await;
}

#[tokio::test]
async fn a_herd_on_both_instances_makes_one_query() {
    let cluster = Cluster::new(2);
    let instances = [cluster.instance(1), cluster.instance(2)];
    cluster.origin.set("x", "1");
    cluster.origin.takes(ms(300));
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            let herd: Vec<_> = (0..100)
                .map(|reader| {
                    let instance = instances[reader % 2].clone();
                    tokio::spawn(async move { instance.get("x").await })
                })
                .collect();
            for reader in herd {
                assert_eq!(reader.await.unwrap().as_deref(), Some("1"));
            }
        })
        .await;
    assert_eq!(cluster.origin.queries(), 1, "the lease did not keep the other instance from loading");
}

#[tokio::test]
async fn more_keys_than_one_call_takes_go_through_the_tier_too() {
    let cluster = Cluster::new(3);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    let ids: Vec<String> = (0..700).map(|id| id.to_string()).collect();
    for id in &ids {
        cluster.origin.set(id, id);
    }
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            for instance in [&a, &b] {
                let values = instance.rows.get_many(ids.iter().map(|id| ("g", id.as_str()))).await.unwrap();
                assert!(values.iter().zip(&ids).all(|(value, id)| text(value.as_ref().unwrap()) == *id));
                cluster.pass(ms(20)).await;
            }
        })
        .await;
    assert_eq!(cluster.origin.queries(), ids.len());
}

#[tokio::test]
async fn who_waits_for_a_dead_lease_holder_goes_without_and_stores_nothing_in_the_tier() {
    let cluster = Cluster::new(4);
    let (a, b) = (cluster.instance(1), cluster.instance(2));
    cluster.origin.set("x", "1");
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            cluster.origin.takes(ms(3_000));
            let dying = tokio::spawn(async move { a.get("x").await });
            cluster.pass(ms(50)).await;
            cluster.tier.partition(1, Some(Partition::Requests));
            cluster.origin.takes(ms(0));
            let asked = cluster.clock.now();
            assert_eq!(b.read("x").await, (Some("1".into()), Tier::Source));
            let waited = cluster.clock.now().since(asked);
            assert!(waited >= ms(900) && waited <= ms(1_200), "{waited:?}");
            cluster.pass(ms(50)).await;
            assert_eq!(cluster.tier.counts().0, 0, "a load without a lease was stored in the tier");
            assert_eq!(b.read("x").await.1, Tier::Memory, "memory may have it");
            dying.await.unwrap();
        })
        .await;
}

/// Two instances of which the other loads `keys` already, and slowly; with their readers.
async fn both_load(cluster: &Cluster, keys: usize) -> (Instance, [tokio::task::JoinHandle<usize>; 2]) {
    let wide = |builder: NamespaceBuilder<Blob>| builder.queue(2 * keys);
    let (a, b) = (cluster.instance_with(1, wide), cluster.instance_with(2, wide));
    let ids: Vec<String> = (0..keys).map(|id| id.to_string()).collect();
    for id in &ids {
        cluster.origin.set(id, id);
    }
    cluster.pass(ms(10)).await;
    cluster.origin.takes(ms(600));
    let all = |instance: &Instance| {
        let (rows, ids) = (instance.rows.clone(), ids.clone());
        tokio::spawn(async move {
            let values = rows.get_many(ids.iter().map(|id| ("g", id.as_str()))).await.unwrap();
            values.iter().zip(&ids).filter(|(value, id)| text(value.as_ref().unwrap()) == **id).count()
        })
    };
    let first = all(&a);
    cluster.pass(ms(50)).await;
    let second = all(&b);
    cluster.pass(ms(200)).await;
    (b, [first, second])
}

#[tokio::test]
async fn keys_that_another_instance_loads_are_waited_for_by_few_tasks() {
    let cluster = Cluster::new(43);
    let keys = 2_000;
    cluster
        .run(async {
            let (_b, readers) = both_load(&cluster, keys).await;
            let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
            assert!(tasks < 100, "{tasks} tasks");
            for reader in readers {
                assert_eq!(reader.await.unwrap(), keys);
            }
        })
        .await;
    assert_eq!(cluster.origin.queries(), keys, "they were not waited for");
}

#[tokio::test]
async fn no_more_keys_than_are_declared_wait_for_another_instance() {
    let cluster = Cluster::new(44);
    let keys = 4_500;
    cluster
        .run(async {
            let (b, readers) = both_load(&cluster, keys).await;
            let counts = b.rows.counts();
            assert_eq!((counts.lease_waits, counts.lease_waits_refused), (4_096, 404));
            for reader in readers {
                assert_eq!(reader.await.unwrap(), keys);
            }
        })
        .await;
}

/// One key and, so much later, 50 others are asked of an instance while another one loads them; so much later again, whatever is asked
/// of the tier is lost. Until half of 400 ms is over, each waits for the other instance. How long the one did, and the shortest and
/// the longest of the others.
async fn waits_past_lost_answers(seed: u64, later_by: Duration, lost_after: Duration) -> [Duration; 3] {
    let cluster = Cluster::new(seed);
    let a = cluster.instance_with(1, |builder| builder.load_timeout(ms(4_000)));
    let b = cluster.instance_with(2, |builder| builder.load_timeout(ms(400)));
    let others: Vec<String> = (0..50).map(|id| id.to_string()).collect();
    for id in others.iter().map(String::as_str).chain(["x"]) {
        cluster.origin.set(id, id);
    }
    let read = |id: &str| {
        let (own, clock, id) = (b.clone(), cluster.clock.clone(), id.to_owned());
        tokio::spawn(async move {
            let asked = clock.now();
            assert_eq!(own.read(&id).await, (Some(id), Tier::Source));
            clock.now().since(asked)
        })
    };
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            cluster.origin.takes(ms(3_000));
            let (rows, ids) = (a.rows.clone(), others.clone());
            let keys = move || ids.clone().into_iter().chain(["x".into()]).map(|id| ("g".to_owned(), id));
            let first = tokio::spawn(async move { rows.get_many(keys()).await.map(|rows| rows.len()) });
            cluster.pass(ms(50)).await;
            cluster.origin.takes(ms(0));
            let early = read("x");
            cluster.pass(later_by).await;
            let late: Vec<_> = others.iter().map(|id| read(id)).collect();
            cluster.pass(lost_after).await;
            cluster.tier.partition(2, Some(Partition::Answers));
            let mut waits = Vec::new();
            for reader in late {
                waits.push(reader.await.unwrap());
            }
            assert_eq!(first.await.unwrap().unwrap(), others.len() + 1);
            waits.sort_unstable();
            [early.await.unwrap(), waits[0], waits[others.len() - 1]]
        })
        .await
}

#[tokio::test]
async fn no_key_waits_for_a_lost_answer_about_others() {
    // Shortly before the one key's time is over; the others have time.
    let [one, ..] = waits_past_lost_answers(45, ms(100), ms(80)).await;
    assert!(one <= ms(220), "it left after {one:?}");
}

#[tokio::test]
async fn no_key_is_loaded_early_because_the_time_of_another_is_over() {
    for seed in 46..50 {
        let [_, shortest, longest] = waits_past_lost_answers(seed, ms(30), ms(120)).await;
        assert!(shortest >= ms(195), "with seed {seed} one left after {shortest:?}");
        assert!(longest <= ms(220), "with seed {seed} one left after {longest:?}");
    }
}

#[tokio::test]
async fn a_lease_lives_as_long_as_a_load_that_goes_on_for_others() {
    let cluster = Cluster::new(27);
    let slow = |builder: NamespaceBuilder<Blob>| builder.concurrency(1).load_timeout(ms(4_000));
    let (a, b) = (cluster.instance_with(1, slow), cluster.instance_with(2, slow));
    for id in ["w", "x", "z"] {
        cluster.origin.set(id, id);
    }
    cluster
        .run(async {
            cluster.pass(ms(10)).await;
            cluster.origin.takes(ms(3_500));
            let reader = |id: &'static str| {
                let a = a.clone();
                tokio::spawn(async move { a.rows.get(("g", id)).await.map(|value| value.is_some()) })
            };
            let first = reader("w");
            cluster.pass(ms(50)).await;
            let began = cluster.clock.now();
            let x = reader("x");
            cluster.pass(ms(3_300)).await;
            let z = reader("z");
            assert!(first.await.unwrap().unwrap());
            // `x` and `z` are loaded by one query from now on, for 3.5 s more.
            assert!(matches!(x.await.unwrap(), Err(Error::Timeout { .. })));
            let waited = cluster.clock.now().since(began);
            assert!(waited <= ms(4_010), "{waited:?}");
            assert!(z.await.unwrap().unwrap());
            assert!(
                cluster.clock.now().since(began) > ms(5_100),
                "the lease of `x` would still live by itself"
            );
            cluster.pass(ms(50)).await;
            assert_eq!(b.read("x").await, (Some("x".into()), Tier::Shared), "it was not stored in the tier");
        })
        .await;
    assert_eq!(cluster.origin.queries(), 3);
}

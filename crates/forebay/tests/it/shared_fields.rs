//! Fields of hashes where instances share a tier, which holds hashes whole.

use std::time::Duration;

use bytes::Bytes;
use forebay::value::{Codec, Hash};
use forebay::{Error, Namespace, NamespaceBuilder, Tier, Writes};
use forebay_simulated::Partition;

use crate::fields::{Orders, owned, rows};
use crate::shared::{Cluster, ms};

const TTL: Duration = Duration::from_secs(60);

/// Writes a whole hash as lines of a field and its value.
struct Lines;

impl Codec<Hash> for Lines {
    fn encode(&self, hash: &Hash) -> Option<Bytes> {
        hash.len()?;
        let line = |(field, value): (&[u8], &Bytes)| [field, b"=", value, b"\n"].concat();
        Some(hash.iter().flat_map(line).collect::<Vec<u8>>().into())
    }

    fn decode(&self, bytes: &[u8]) -> Option<(Hash, u64)> {
        let line = |line: &str| {
            let (field, value) = line.split_once('=')?;
            Some((field.to_owned(), Bytes::from(value.to_owned())))
        };
        let fields: Option<Vec<_>> = std::str::from_utf8(bytes).ok()?.lines().map(line).collect();
        let hash = Hash::whole(fields?);
        let weight_bytes = hash.weight_bytes();
        Some((hash, weight_bytes))
    }
}

/// An instance with hashes of `orders`.
fn instance(
    cluster: &Cluster,
    number: u64,
    orders: &Orders,
    set_up: impl FnOnce(NamespaceBuilder<Hash>) -> NamespaceBuilder<Hash>,
) -> Namespace<Hash> {
    let builder = cluster.engine(number).namespace("orders").key("p:{period}").ttl(TTL);
    set_up(builder.codec(Lines).source(orders.clone())).build().unwrap()
}

async fn field(orders: &Namespace<Hash>, field: &str) -> Option<String> {
    let value = orders.get_field("1", field).await.unwrap();
    value.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

async fn whole(orders: &Namespace<Hash>) -> (Option<Vec<(String, String)>>, Tier) {
    let (hash, outcome) = orders.get_with_outcome("1").await.unwrap();
    (hash.as_deref().map(rows), outcome.tier)
}

#[tokio::test]
async fn an_instances_own_record_does_not_come_back_to_what_it_loaded_after() {
    for of_key in [false, true] {
        let cluster = Cluster::new(50);
        let orders = Orders::default();
        orders.set("1", &[("a", "A"), ("b", "B")]);
        let [a, b] = [1, 2].map(|number| instance(&cluster, number, &orders, |builder| builder));
        let tell = async |orders: &Namespace<Hash>| {
            if of_key {
                orders.invalidate("1").await.unwrap();
            } else {
                orders.invalidate_field("1", "a").await.unwrap();
            }
        };
        cluster
            .run(async {
                cluster.pass(ms(300)).await;
                assert_eq!(field(&a, "a").await.as_deref(), Some("A"));
                assert_eq!(field(&b, "a").await.as_deref(), Some("A"));
                orders.set("1", &[("a", "A2")]);
                tell(&a).await;
                assert_eq!(field(&a, "a").await.as_deref(), Some("A2"));
                assert_eq!(orders.fields().len(), 3);
                cluster.pass(ms(1_001)).await;
                assert_eq!(field(&a, "a").await.as_deref(), Some("A2"));
                assert_eq!(orders.fields().len(), 3, "of_key: {of_key}: its own record made it load again");
                assert_eq!(field(&b, "a").await.as_deref(), Some("A2"), "the other heard it");
                // What another tells is heeded as ever, at the side of what is told here.
                orders.set("1", &[("a", "A3")]);
                tell(&b).await;
                a.invalidate("other").await.unwrap();
                cluster.pass(ms(1_001)).await;
                assert_eq!(field(&a, "a").await.as_deref(), Some("A3"));
            })
            .await;
    }
}

#[tokio::test]
async fn what_a_client_put_after_an_invalidation_does_not_go_with_it() {
    let cluster = Cluster::new(51);
    let orders = Orders::default();
    orders.set("1", &[("a", "A"), ("b", "B")]);
    let a = instance(&cluster, 1, &orders, |builder| builder.writes(Writes::Cache));
    cluster
        .run(async {
            cluster.pass(ms(300)).await;
            a.invalidate_field("1", "a").await.unwrap();
            a.put_field("1", "a", "mine").unwrap();
            a.invalidate("2").await.unwrap();
            a.put("2", Hash::whole([("x", Bytes::from("mine"))]), 64).unwrap();
            cluster.pass(ms(1_001)).await;
            assert_eq!(field(&a, "a").await.as_deref(), Some("mine"));
            assert_eq!(a.get("2").await.unwrap().as_deref().map(rows), owned(&[("x", "mine")]));
        })
        .await;
}

#[tokio::test]
async fn a_clients_field_lies_over_the_tiers_copy_here_and_never_enters_it() {
    let cluster = Cluster::new(52);
    let orders = Orders::default();
    orders.set("1", &[("a", "A"), ("b", "B")]);
    let instance = |number| instance(&cluster, number, &orders, |builder| builder.writes(Writes::Cache));
    let (a, b, c) = (instance(1), instance(2), instance(3));
    let (theirs, mine) = (owned(&[("a", "A"), ("b", "B")]), owned(&[("a", "mine"), ("b", "B")]));
    cluster
        .run(async {
            cluster.pass(ms(300)).await;
            // Before there is a copy in the tier: the load takes the field over, and gives the tier what the source gave.
            a.put_field("1", "a", "mine").unwrap();
            assert_eq!(whole(&a).await, (mine.clone(), Tier::Source));
            cluster.pass(ms(50)).await;
            // Beside a copy in the tier: that takes the field over too.
            b.put_field("1", "a", "mine").unwrap();
            assert_eq!(whole(&b).await, (mine.clone(), Tier::Shared));
            assert_eq!(whole(&b).await, (mine.clone(), Tier::Memory));
            assert_eq!(whole(&c).await, (theirs, Tier::Shared), "it went into the tier");
            assert_eq!(orders.wholes(), 1);
            // An invalidation from elsewhere ends it.
            c.invalidate_field("1", "a").await.unwrap();
            cluster.pass(ms(1_001)).await;
            assert_eq!(field(&a, "a").await.as_deref(), Some("A"));
            assert_eq!(field(&b, "a").await.as_deref(), Some("A"));
        })
        .await;
}

#[tokio::test]
async fn a_field_that_is_put_out_of_touch_is_taken_where_a_source_has_the_rest() {
    let cluster = Cluster::new(53);
    let orders = Orders::default();
    orders.set("1", &[("a", "A"), ("b", "B")]);
    let a = instance(&cluster, 1, &orders, |builder| builder.writes(Writes::Cache));
    let carts = cluster.engine(2).namespace::<Hash>("carts").key("c:{id}").ttl(TTL).codec(Lines);
    let carts = carts.build().unwrap();
    cluster
        .run(async {
            carts.put_field("1", "a", "A").unwrap();
            assert_eq!(whole(&a).await.0, owned(&[("a", "A"), ("b", "B")]));
            for number in [1, 2] {
                cluster.tier.partition(number, Some(Partition::Requests));
            }
            cluster.pass(ms(2_500)).await;
            // A copy that is suspect is loaded again; what a client puts into its place is not that copy.
            a.put_field("1", "a", "mine").unwrap();
            orders.set("1", &[("b", "B2")]);
            assert_eq!(field(&a, "a").await.as_deref(), Some("mine"));
            assert_eq!(field(&a, "b").await.as_deref(), Some("B2"), "a suspect was served");
            // With nothing behind it, what is suspect stays as it is.
            let refused = carts.put_field("1", "b", "B");
            assert!(matches!(refused, Err(Error::Suspect { .. })), "{refused:?}");
            assert_eq!(carts.get_field("1", "a").await.unwrap(), None);
            assert_eq!((carts.counts().writes_kept, carts.counts().writes_failed), (1, 1));
            for number in [1, 2] {
                cluster.tier.partition(number, None);
            }
            cluster.pass(ms(1_000)).await;
            carts.put_field("1", "b", "B").unwrap();
            let kept = carts.get("1").await.unwrap();
            assert_eq!(kept.as_deref().map(rows), owned(&[("a", "A"), ("b", "B")]), "nothing was lost");
        })
        .await;
}

#[tokio::test]
async fn a_copy_in_the_tier_does_not_outlive_the_first_field_that_ends() {
    let cluster = Cluster::new(54);
    let orders = Orders::default();
    orders.set("1", &[("a", "A"), ("b", "B")]);
    let [a, b] = [1, 2].map(|number| {
        instance(&cluster, number, &orders, |builder| builder.stale_if_error(Duration::from_secs(600)))
    });
    cluster
        .run(async {
            cluster.pass(ms(300)).await;
            orders.ends("a", Some(cluster.clock.now().after(ms(1_000))));
            assert_eq!(whole(&a).await, (owned(&[("a", "A"), ("b", "B")]), Tier::Source));
            cluster.pass(ms(50)).await;
            assert_eq!(whole(&b).await, (owned(&[("a", "A"), ("b", "B")]), Tier::Shared));
            orders.set("1", &[("a", "A2")]);
            orders.ends("a", None);
            cluster.pass(ms(800)).await;
            assert_eq!(whole(&b).await, (owned(&[("a", "A"), ("b", "B")]), Tier::Memory));
            cluster.pass(ms(200)).await;
            assert_eq!(field(&a, "b").await.as_deref(), Some("B"), "here the others stay");
            assert_eq!(orders.wholes(), 1);
            let now = owned(&[("a", "A2"), ("b", "B")]);
            assert_eq!(whole(&b).await.0, now);
            assert_eq!(whole(&a).await.0, now);
        })
        .await;
}

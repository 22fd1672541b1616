//! What memory says it weighs against what a counting allocator saw, and hits that allocate nothing.
//!
//! The allocator counts by thread: whatever is measured here runs on the thread of its test.

use std::convert::Infallible;
use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use forebay::rt::{Clock, Tick};
use forebay::tier::memory::{Admit, EvictionPolicy, Filled, Held, MemoryTier};
use forebay::value::Position;
use forebay::{Blob, Forebay, Namespace, Value, load_one};

const MIB: u64 = 1024 * 1024;
const POLICIES: [EvictionPolicy; 3] = [EvictionPolicy::S3Fifo, EvictionPolicy::Lru, EvictionPolicy::Lfu];

/// Keys of 16 bytes with blobs of `size` bytes.
fn put(tier: &MemoryTier, number: u32, size: usize) -> Filled {
    let key = format!("{number:016}");
    tier.insert(0, key.as_bytes(), held(Value::from(Blob::opaque(vec![7; size]))), |_| Admit::Yes)
}

fn held(value: Value) -> Held {
    Held {
        value: Some(value),
        began: Tick::default(),
        fresh_until: Tick::from_ms(60_000),
        useless_from: Tick::from_ms(60_000),
        position: Position::START,
        expired: false,
        extras: None,
    }
}

/// A tier filled under the counting allocator.
fn filled(
    policy: EvictionPolicy,
    budget_bytes: u64,
    fill: impl FnOnce(&MemoryTier),
) -> (MemoryTier, AllocationInfo) {
    let mut tier = None;
    let counted = measure(|| {
        let made = MemoryTier::new(budget_bytes, policy);
        fill(&made);
        tier = Some(made);
    });
    (tier.unwrap(), counted)
}

/// Checks what a tier says against what was counted, and against its budget.
fn check(case: &str, tier: &MemoryTier, counted: AllocationInfo) {
    tier.validate().unwrap_or_else(|wrong| panic!("{case}: {wrong}"));
    let counted_bytes = u64::try_from(counted.bytes_current).unwrap();
    let (says, budget) = (tier.weight_bytes(), tier.budget_bytes());
    assert!(
        counted_bytes * 100 >= says * 95 && counted_bytes * 100 <= says * 105,
        "{case}: it says {says} bytes, {counted_bytes} were allocated"
    );
    assert!(counted_bytes * 100 <= budget * 105, "{case}: {counted_bytes} bytes of a budget of {budget}");
    assert!(
        counted.bytes_max * 100 <= budget * 105,
        "{case}: at its peak {} bytes of {budget}",
        counted.bytes_max
    );
}

/// A spread of sizes that is the same in every run.
fn mixed_size(number: u32) -> usize {
    [10, 100, 100, 300, 1_000, 20_000][usize::try_from(number % 6).unwrap()]
}

#[test]
fn memory_weighs_what_the_allocator_counts() {
    for policy in POLICIES {
        let small =
            filled(policy, 64 * MIB, |tier| (0..20_000).for_each(|number| _ = put(tier, number, 100)));
        check("small, not full", &small.0, small.1);
        let small =
            filled(policy, 16 * MIB, |tier| (0..200_000).for_each(|number| _ = put(tier, number, 100)));
        check("small, churned", &small.0, small.1);
        let mixed = filled(policy, 16 * MIB, |tier| {
            (0..30_000).for_each(|number| _ = put(tier, number, mixed_size(number)));
        });
        check("mixed", &mixed.0, mixed.1);
        let large =
            filled(policy, 32 * MIB, |tier| (0..200).for_each(|number| _ = put(tier, number, 900_000)));
        check("large", &large.0, large.1);
        let long = filled(policy, 8 * MIB, |tier| {
            for number in 0..50_000_u32 {
                let key = format!("{number:040}");
                tier.insert(u32::MAX, key.as_bytes(), held(Value::native([0_u8; 100], 100)), |_| Admit::Yes);
            }
        });
        check("long keys of a far namespace", &long.0, long.1);
    }
}

#[test]
fn memory_gives_back_what_it_no_longer_needs() {
    for policy in POLICIES {
        let (tier, counted) = filled(policy, 32 * MIB, |tier| {
            (0..100_000).for_each(|number| _ = put(tier, number, 100));
            (0..100).for_each(|number| _ = put(tier, 1_000_000 + number, 500_000));
        });
        check("from small to large", &tier, counted);
        drop(tier);
        let (tier, counted) = filled(policy, 32 * MIB, |tier| {
            (0..100_000).for_each(|number| _ = put(tier, number, 100));
            for number in 0..99_000_u32 {
                tier.remove(0, format!("{number:016}").as_bytes());
            }
        });
        check("emptied", &tier, counted);
        let left = tier.weight_bytes();
        assert!(left < 2 * MIB, "{} entries are left, and {left} bytes", tier.len());
        drop(tier);
        let mut shrunk = None;
        let counted = measure(|| {
            let tier = MemoryTier::new(32 * MIB, policy);
            (0..100_000).for_each(|number| _ = put(&tier, number, 100));
            tier.set_budget_bytes(4 * MIB);
            shrunk = Some(tier);
        });
        let tier = shrunk.unwrap();
        check("shrunk", &tier, AllocationInfo { bytes_max: 0, ..counted });
        assert!(tier.len() > 5_000, "{} entries in 4 MiB", tier.len());
    }
}

#[test]
fn a_small_entry_costs_little_beside_its_value() {
    let entries = 100_000_u32;
    // A blob of 100 bytes takes 112 with its count, a Rust value 120.
    let values = [|| Value::from(Blob::opaque([7_u8; 100])), || Value::native([7_u8; 100], 100)];
    for (value, most) in values.into_iter().zip([200, 208]) {
        let (tier, counted) = filled(EvictionPolicy::S3Fifo, 256 * MIB, |tier| {
            for number in 0..entries {
                let key = format!("{number:016}");
                tier.insert(0, key.as_bytes(), held(value()), |_| Admit::Yes);
            }
        });
        assert_eq!(tier.len(), 100_000);
        let each = u64::try_from(counted.bytes_current).unwrap() / u64::from(entries);
        assert!(each <= most, "{each} bytes for a 16-byte key with a value of 100 bytes");
    }
}

#[test]
fn a_blob_is_one_allocation_and_weighs_it() {
    for blob in [|| Blob::json([b'1'; 100]), || Blob::new([b'1'; 101], "text/plain")] {
        let mut value = None;
        let counted = measure(|| value = Some(Value::from(blob())));
        let weight_bytes = i64::try_from(value.unwrap().weight_bytes()).unwrap();
        assert_eq!((counted.count_current, counted.bytes_current), (1, weight_bytes));
    }
}

/// A namespace with a hundred values, all of them in memory.
async fn warmed<V: Send + Sync + 'static>(
    value: impl Fn() -> V + Send + Sync + 'static,
) -> (Forebay, Namespace<V>) {
    let forebay = Forebay::builder().clock(Clock::simulated()).build().unwrap();
    let value = std::sync::Arc::new(value);
    let source = load_one(move |_: String| {
        let value = std::sync::Arc::clone(&value);
        async move { Ok::<_, Infallible>(Some(value())) }
    });
    let namespace = forebay
        .namespace::<V>("items")
        .key("item:{id}")
        .ttl(Duration::from_secs(60))
        .stale_while_revalidate(Duration::from_secs(60))
        .jitter(Duration::from_secs(1))
        .source(source)
        .build()
        .unwrap();
    for id in 0..100 {
        namespace.get(format!("{id}").as_str()).await.unwrap();
    }
    (forebay, namespace)
}

#[tokio::test]
async fn a_million_hits_of_bytes_allocate_nothing() {
    let (_forebay, namespace) = warmed(|| Blob::opaque(vec![7; 100])).await;
    let keys: Vec<String> = (0..100).map(|id| format!("item:{id}")).collect();
    let mut hits = 0_u64;
    let counted = measure(|| {
        for _ in 0..10_000 {
            hits += keys.iter().filter(|key| namespace.read_now(key.as_bytes()).is_some()).count() as u64;
        }
    });
    assert_eq!((hits, counted.count_total), (1_000_000, 0), "hits, and allocations");
}

/// Reads a hundred warmed values a million times, and checks that every read is a hit and none allocates.
fn million_hits<V: Send + Sync + 'static>(
    value: impl Fn() -> V + Send + Sync + 'static,
    is_hit: impl AsyncFn(&Namespace<V>, &str) -> bool,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (_forebay, namespace) = runtime.block_on(warmed(value));
    let ids: Vec<String> = (0..100).map(|id| format!("{id}")).collect();
    let mut hits = 0_u64;
    let mut counted = AllocationInfo::default();
    runtime.block_on(async {
        // Polled here, so that only the reads are counted.
        let mut all = std::pin::pin!(async {
            for _ in 0..10_000 {
                for id in &ids {
                    hits += u64::from(is_hit(&namespace, id).await);
                }
            }
        });
        std::future::poll_fn(|context| {
            let mut polled = std::task::Poll::Pending;
            counted += measure(|| polled = all.as_mut().poll(context));
            polled
        })
        .await;
    });
    assert_eq!((hits, counted.count_total), (1_000_000, 0), "hits, and allocations");
}

#[test]
fn a_million_typed_hits_allocate_nothing() {
    million_hits(|| [7_u8; 100], async |namespace, id| namespace.get(id).await.unwrap().is_some());
    million_hits(
        || Blob::json("7"),
        async |namespace, id| {
            namespace.get_blob(id).await.unwrap().is_some_and(|blob| blob.as_bytes() == b"7")
        },
    );
}

/// A journal that keeps nothing.
struct Forgets;

impl forebay::Journal for Forgets {
    fn claim(
        &self,
        _: &forebay::tier::shared::Owner,
    ) -> Result<forebay::writes::Recovered, forebay::writes::JournalError> {
        Ok(forebay::writes::Recovered::default())
    }

    fn commit<'a>(&'a self, _: &'a [forebay::writes::JournalEntry]) -> forebay::writes::Committing<'a> {
        Box::pin(async { Ok(()) })
    }
}

#[test]
fn writes_that_wait_weigh_what_they_take() {
    for (writes, key_bytes) in [(3_000, 4), (4_000, 100), (7_000, 16), (14_000, 16)] {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let engine = Forebay::builder().clock(Clock::simulated()).build().unwrap();
            let sink = forebay::write_one(|_: String, _: Option<std::sync::Arc<Blob>>| async {
                Err(forebay::SinkError::failed(forebay::Error::NoRuntime))
            });
            let options = forebay::BehindOptions {
                linger: Duration::from_secs(3_600),
                batch_max: 65_536,
                ..Default::default()
            };
            let builder = engine.namespace::<Blob>("things").key("{id}").ttl(Duration::from_secs(60));
            let builder = builder.writes(forebay::Writes::Behind).sink(sink);
            let things = builder.behind(std::sync::Arc::new(Forgets), options).build().unwrap();
            let mut bytes = 0;
            for number in 0..writes {
                let key = format!("{number:0key_bytes$}");
                let mut writing = Box::pin(things.set(&key, Blob::opaque("x"), 0));
                let counted = measure(|| {
                    let polled = std::future::Future::poll(
                        writing.as_mut(),
                        &mut std::task::Context::from_waker(std::task::Waker::noop()),
                    );
                    assert!(polled.is_ready());
                });
                bytes += counted.bytes_current;
                if number % 100 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            let (says, counted) = (things.pending_writes().bytes, u64::try_from(bytes).unwrap());
            assert!(counted <= says && says <= counted * 2, "it says {says} bytes, {counted} were allocated");
        });
    }
}

//! Readers beside writers, at random: no read that begins after a transaction has returned sees what was before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use forebay::feed::Changed;
use forebay::rt::Clock;
use forebay_stores::database::{DatabaseError, Dialect};

use super::{SCHEMA, World, on_both, raw, row, run, task};

const CODES: [&str; 3] = ["a", "b", "c"];
const WRITERS: u64 = 3;
const READERS: usize = 3;
const TRANSACTIONS: u64 = 60;
/// Between two reads of a reader.
const PAUSE: Duration = Duration::from_micros(200);

on_both! {
    no_read_sees_what_was_before
}

/// What is known to be committed of each code.
#[derive(Default)]
struct Known {
    floor: [AtomicI64; 3],
    running: AtomicU64,
    reads: AtomicU64,
}

async fn no_read_sees_what_was_before(dialect: Dialect) {
    let world = Arc::new(World::on(dialect, SCHEMA).await);
    let known = Arc::new(Known::default());
    known.running.store(WRITERS, Ordering::SeqCst);
    let writers: Vec<_> =
        (0..WRITERS).map(|seed| task(write(Arc::clone(&world), Arc::clone(&known), seed))).collect();
    let readers: Vec<_> = (0..READERS).map(|_| task(read(Arc::clone(&world), Arc::clone(&known)))).collect();
    for (_tasks, done) in writers.into_iter().chain(readers) {
        done.await.expect("a task failed");
    }
    assert!(known.reads.load(Ordering::SeqCst) > TRANSACTIONS, "hardly anything was read");
    // Those that were given up are through once nobody writes, and the next one.
    raw(&world.database, "update other set id = 1").await;
    world.change("update prices set price = price + 1").await;
    for code in CODES {
        let held = world.get(code).await;
        world.prices.invalidate(code).await.unwrap();
        assert_eq!(held, world.get(code).await, "{code}");
    }
}

async fn write(world: Arc<World>, known: Arc<Known>, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let clock = Clock::default();
    for _ in 0..TRANSACTIONS {
        let at = random.usize(..CODES.len());
        let code = CODES[at];
        let (tells, fails) = (random.bool(), random.u8(..8) == 0);
        let patience = (random.u8(..6) == 0).then(|| Duration::from_micros(random.u64(..8_000)));
        let work = world.database.transaction(async |tx| {
            run(tx, &format!("update prices set price = price + 1 where code = '{code}'")).await?;
            if tells {
                tx.changed(Changed::updated("prices", row(code), row(code)));
            }
            let asked = format!("select price from prices where code = '{code}'");
            let asked = sqlx::AssertSqlSafe(asked);
            let price: i64 = match tx.sqlite() {
                Ok(connection) => sqlx::query_scalar(asked).fetch_one(connection).await?,
                Err(_) => sqlx::query_scalar(asked).fetch_one(tx.postgres()?).await?,
            };
            if fails { Err(DatabaseError::Driver(sqlx::Error::RowNotFound)) } else { Ok(price) }
        });
        let done = match patience {
            Some(patience) => clock.timeout(patience, work).await.ok(),
            None => Some(work.await),
        };
        if let Some(Ok(done)) = done {
            known.floor[at].fetch_max(done.value, Ordering::SeqCst);
            assert!(world.get(code).await >= Some(done.value), "one's own write");
        }
    }
    known.running.fetch_sub(1, Ordering::SeqCst);
}

async fn read(world: Arc<World>, known: Arc<Known>) {
    let (mut random, clock) = (fastrand::Rng::new(), Clock::default());
    while known.running.load(Ordering::SeqCst) > 0 {
        let at = random.usize(..CODES.len());
        let floor = known.floor[at].load(Ordering::SeqCst);
        let price = world.get(CODES[at]).await.expect("there is a price");
        assert!(price >= floor, "{}: {price} is older than {floor}", CODES[at]);
        known.reads.fetch_add(1, Ordering::SeqCst);
        // The writers, and the other tests, need the processor too.
        clock.sleep(PAUSE).await;
    }
}

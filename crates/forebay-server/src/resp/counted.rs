//! How many keys there are, as `DBSIZE` and `INFO` tell it.
//!
//! A store keeps its count. What memory holds is counted by a look at each copy, since records of the log make copies invalid that lie
//! there still: `DBSIZE` looks when it is asked, with others let in between. `INFO`, which monitors ask every second, tells what was
//! counted a while ago, of all keyspaces at once: a second, or twenty times as long as the counting took. One counts at a time, and who
//! asks meanwhile gets what he finds. So no more than a twentieth of a thread's time goes into it, however much there is and however
//! many ask (`docs/decisions/0034-stores-keep-their-count.md`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::{Clock, Mutex, Tick};
use forebay::tier::store::Count;
use forebay::{Blob, Error, Keyspace, Namespace};
use tokio::sync::Semaphore;

use super::Service;

/// How long counts of copies are told again at least.
const KEPT_MIN: Duration = Duration::from_secs(1);
/// How many times as long as the counting took.
const KEPT_TIMES: u32 = 20;

/// What was counted of the copies of each keyspace.
#[derive(Debug)]
pub(super) struct CopyCounts {
    kept: Mutex<Kept>,
    /// The turn to count.
    turn: Semaphore,
}

#[derive(Debug, Default)]
struct Kept {
    by_number: Arc<BTreeMap<u32, Count>>,
    until: Tick,
}

impl Default for CopyCounts {
    fn default() -> Self {
        Self { kept: Mutex::default(), turn: Semaphore::new(1) }
    }
}

impl CopyCounts {
    /// How many copies each of these keyspaces has, by their numbers, as of a while ago; those that were never counted as of now.
    async fn lately(&self, all: &[(u32, Arc<Keyspace>)], clock: &Clock) -> Arc<BTreeMap<u32, Count>> {
        if let Some(kept) = self.kept(all, clock.now()) {
            return kept;
        }
        let _turn = self.turn.acquire().await;
        let began = clock.now();
        // Somebody may have counted while this one waited.
        if let Some(kept) = self.kept(all, began) {
            return kept;
        }
        let mut by_number = BTreeMap::new();
        for (db, keyspace) in all {
            // What memory holds can be looked at always.
            by_number.insert(*db, of(keyspace, |namespace| !namespace.is_store()).await.unwrap_or_default());
        }
        let (by_number, now) = (Arc::new(by_number), clock.now());
        let until = now.after(KEPT_MIN.max(now.since(began).saturating_mul(KEPT_TIMES)));
        *self.kept.lock() = Kept { by_number: Arc::clone(&by_number), until };
        by_number
    }

    fn kept(&self, all: &[(u32, Arc<Keyspace>)], now: Tick) -> Option<Arc<BTreeMap<u32, Count>>> {
        let kept = self.kept.lock();
        let has_all = all.iter().all(|(db, _)| kept.by_number.contains_key(db));
        (has_all && now < kept.until).then(|| Arc::clone(&kept.by_number))
    }
}

/// How many keys a keyspace has, exactly.
pub(super) async fn exactly(keyspace: &Keyspace) -> Result<Count, Error> {
    of(keyspace, |_| true).await
}

/// The lines of `INFO keyspace`, as Redis has them: of each keyspace that has keys, of stores as of now, of copies as of a while ago. One
/// whose store cannot be counted has none.
pub(super) async fn lines(service: &Service) -> String {
    let served = service.keyspaces.now();
    let all: Vec<(u32, Arc<Keyspace>)> =
        served.all().map(|(db, keyspace)| (db, Arc::clone(keyspace))).collect();
    drop(served);
    let copies = service.copy_counts.lately(&all, &service.clock).await;
    let mut lines = String::new();
    for (db, keyspace) in all {
        let Ok(stored) = of(&keyspace, Namespace::is_store).await else { continue };
        let held = copies.get(&db).copied().unwrap_or_default();
        if let Count { keys: keys @ 1.., ending } = added(stored, held) {
            lines.push_str(&format!("db{db}:keys={keys},expires={ending},avg_ttl=0\r\n"));
        }
    }
    lines
}

/// How many keys those namespaces of a keyspace have that `are_asked`.
async fn of(keyspace: &Keyspace, are_asked: fn(&Namespace<Blob>) -> bool) -> Result<Count, Error> {
    let mut count = Count::default();
    for namespace in keyspace.namespaces().iter().filter(|namespace| are_asked(namespace)) {
        count = added(count, namespace.count_keys().await?);
    }
    Ok(count)
}

fn added(one: Count, other: Count) -> Count {
    Count { keys: one.keys.saturating_add(other.keys), ending: one.ending.saturating_add(other.ending) }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use forebay::tier::store::Durability;
    use forebay::{Forebay, Writes, secs};
    use forebay_simulated::SimulatedDisk;

    use super::*;
    use crate::resp::served::{Served, in_service};

    fn held(engine: &Forebay) -> Namespace<Blob> {
        let held = engine.namespace("held").key("held:{name}").ttl(secs(600));
        held.writes(Writes::Cache).build().unwrap()
    }

    fn write(namespace: &Namespace<Blob>, name: usize) {
        namespace.write(format!("held:{name}").as_bytes(), Blob::opaque("x").into(), None).unwrap();
    }

    #[tokio::test]
    async fn of_many_who_ask_at_once_one_counts_and_what_he_found_is_told_for_a_while() {
        let clock = Clock::simulated();
        let engine = Forebay::builder().clock(clock.clone()).build().unwrap();
        let namespace = held(&engine);
        (0..10_000).for_each(|name| write(&namespace, name));
        let mut keyspace = Keyspace::new("default");
        keyspace.add(namespace.clone()).unwrap();
        let (counts, all) = (CopyCounts::default(), [(0, Arc::new(keyspace))]);
        let keys = |counted: Arc<BTreeMap<u32, Count>>| counted[&0].keys;
        let mut context = Context::from_waker(Waker::noop());
        let mut first = pin!(counts.lately(&all, &clock));
        let mut second = pin!(counts.lately(&all, &clock));
        let mut looks = 0;
        while first.as_mut().poll(&mut context).is_pending() {
            assert!(second.as_mut().poll(&mut context).is_pending());
            looks += 1;
            clock.advance(Duration::from_millis(100));
        }
        assert!(looks >= 9, "it lets nobody in");
        write(&namespace, 10_000);
        let Poll::Ready(counted) = second.as_mut().poll(&mut context) else { panic!("it counts too") };
        assert_eq!(keys(counted), 10_000);
        clock.advance(Duration::from_millis(looks * 100 * 20 - 1));
        assert_eq!(keys(counts.lately(&all, &clock).await), 10_000, "too soon");
        clock.advance(Duration::from_millis(1));
        assert_eq!(keys(counts.lately(&all, &clock).await), 10_001);
    }

    #[tokio::test]
    async fn a_store_that_cannot_be_counted_is_left_out_of_info_and_named_to_who_asks_for_it() {
        let clock = Clock::simulated();
        let (engine, disk) = (Forebay::builder().clock(clock.clone()).build().unwrap(), SimulatedDisk::new());
        let kept = engine.namespace("kept").key("kept:{name}");
        let kept = kept.store(Arc::new(disk.open(clock)), Durability::Always).build().unwrap();
        let (mut first, mut second) = (Keyspace::new("first"), Keyspace::new("second"));
        first.add(kept).unwrap();
        second.add(held(&engine)).unwrap();
        let served = Served::new(engine, in_service([(0, Arc::new(first)), (1, Arc::new(second))])).await;
        let mut client = served.client().await;
        for (line, reply) in
            [("SET kept:a 1", "OK"), ("DBSIZE", "1"), ("SELECT 1", "OK"), ("SET held:a 1", "OK")]
        {
            assert_eq!(client.say(line).await, reply, "{line}");
        }
        let ends = "db1:keys=1,expires=1,avg_ttl=0\r\n";
        let lasts = "db0:keys=1,expires=0,avg_ttl=0\r\n";
        assert_eq!(client.say("INFO keyspace").await, format!("# Keyspace\r\n{lasts}{ends}"));
        disk.crash(0);
        assert_eq!(client.say("INFO keyspace").await, format!("# Keyspace\r\n{ends}"));
        assert_eq!(client.say("DBSIZE").await, "1");
        client.say("SELECT 0").await;
        let refused = client.say("DBSIZE").await;
        assert!(refused.contains("kept") && refused.contains("store"), "{refused}");
    }
}

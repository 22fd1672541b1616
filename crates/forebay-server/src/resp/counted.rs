//! How many keys there are, as `DBSIZE` and `INFO` tell it.
//!
//! A store keeps its count. What memory holds is counted by a look at each copy, since records of the log make copies invalid that lie
//! there still: `DBSIZE` looks when it is asked, with others let in between. `INFO`, which monitors ask every second, tells what was
//! counted a while ago: a second, or twenty times as long as the counting took, so that no more than a twentieth of a thread's time goes
//! into it however much there is (`docs/decisions/0034-stores-keep-their-count.md`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::{Mutex, Tick};
use forebay::tier::store::Count;
use forebay::{Error, Keyspace};

use super::Service;

/// How long a count of copies is told again at least.
const KEPT_MIN: Duration = Duration::from_secs(1);
/// How many times as long as the counting took.
const KEPT_TIMES: u32 = 20;

/// What was counted of the copies of each keyspace, by its number.
#[derive(Debug, Default)]
pub(super) struct CopyCounts(Mutex<BTreeMap<u32, Kept>>);

#[derive(Clone, Copy, Debug)]
struct Kept {
    count: Count,
    until: Tick,
}

/// How many keys a keyspace has, exactly.
pub(super) async fn exactly(keyspace: &Keyspace) -> Result<Count, Error> {
    Ok(added(of_stores(keyspace).await?, of_copies(keyspace).await?))
}

/// How many keys the keyspace with the number `db` has: of stores exactly, of copies a while ago.
pub(super) async fn lately(db: u32, keyspace: &Keyspace, service: &Service) -> Result<Count, Error> {
    let stored = of_stores(keyspace).await?;
    let began = service.clock.now();
    let kept = service.copy_counts.0.lock().get(&db).filter(|kept| began < kept.until).copied();
    let held = match kept {
        Some(kept) => kept.count,
        None => {
            let count = of_copies(keyspace).await?;
            let now = service.clock.now();
            let until = now.after(KEPT_MIN.max(now.since(began).saturating_mul(KEPT_TIMES)));
            service.copy_counts.0.lock().insert(db, Kept { count, until });
            count
        }
    };
    Ok(added(stored, held))
}

/// The lines of `INFO keyspace`, as Redis has them: of each keyspace that has keys. One whose store cannot be counted has none.
pub(super) async fn lines(service: &Service) -> String {
    let served = service.keyspaces.now();
    let all: Vec<(u32, Arc<Keyspace>)> =
        served.all().map(|(db, keyspace)| (db, Arc::clone(keyspace))).collect();
    drop(served);
    let mut lines = String::new();
    for (db, keyspace) in all {
        if let Ok(Count { keys: keys @ 1.., ending }) = lately(db, &keyspace, service).await {
            lines.push_str(&format!("db{db}:keys={keys},expires={ending},avg_ttl=0\r\n"));
        }
    }
    lines
}

async fn of_stores(keyspace: &Keyspace) -> Result<Count, Error> {
    let mut count = Count::default();
    for namespace in keyspace.namespaces() {
        if namespace.is_store() {
            count = added(count, namespace.count_keys().await?);
        }
    }
    Ok(count)
}

async fn of_copies(keyspace: &Keyspace) -> Result<Count, Error> {
    let mut count = Count::default();
    for namespace in keyspace.namespaces() {
        if !namespace.is_store() {
            count = added(count, namespace.count_keys().await?);
        }
    }
    Ok(count)
}

fn added(one: Count, other: Count) -> Count {
    Count { keys: one.keys.saturating_add(other.keys), ending: one.ending.saturating_add(other.ending) }
}

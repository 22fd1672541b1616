//! What the app does by the clock: orders that were not paid in time expire, and what is held is compared with the rows.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use forebay::feed::Changed;
use forebay::value::{FieldState, Hash, Param, Value};
use forebay::{Blob, Namespace};
use forebay_server::app::{AppJob, JobError, JobRun};
use forebay_stores::database::{Database, Statement};
use serde_json::value::RawValue;

use crate::order::{Moment, Order, order_columns};
use crate::shop::{ORDERS, period_of};
use crate::table::Tables;

/// The functions that the jobs of the declaration call.
pub(crate) const JOBS: &[AppJob] = &[
    AppJob { name: "expire", run: |run| Box::pin(expire(run)) },
    AppJob { name: "reconcile", run: |run| Box::pin(reconcile(run)) },
];

/// How many orders expire in one transaction, so that others come between.
const TOGETHER: i64 = 500;
/// How long the meaning of an `Idempotency-Key` is remembered.
const KEYS_FOR: Duration = Duration::from_secs(24 * 3600);
/// How many keys are looked at before the next are looked for.
const PAGE: usize = 256;
/// How many rows are read at a time.
const ROWS: i64 = 1_000;
/// Who commits a change has invalidated what it changed well before so long: what differs after that was changed by somebody else.
const SETTLES: Duration = Duration::from_secs(1);

fn main(run: &JobRun) -> Result<&Database, JobError> {
    Ok(run.databases.get("main").ok_or("it needs a database `main`: declare [database.main] with a url")?)
}

/// Makes the rows of orders that were not paid in time say so. What is read does not wait for it: it is told by the time.
async fn expire(run: JobRun) -> Result<String, JobError> {
    let tables = Tables::new(main(&run)?.clone(), run.wall.clone());
    let (mut expired, mut forgotten) = (0, 0);
    while !run.is_stopping() {
        let some = tables.expire(TOGETHER).await?.value;
        run.alarms.count("expired", u64::try_from(some).unwrap_or(u64::MAX));
        expired += some;
        if some == 0 {
            break;
        }
    }
    while !run.is_stopping() {
        let some = tables.forget_keys(KEYS_FOR, TOGETHER).await?.value;
        forgotten += some;
        if some == 0 {
            break;
        }
    }
    Ok(format!("{expired} orders expired, {forgotten} idempotency keys forgotten"))
}

/// How what is held of an order differs from its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    /// There is a row, and the period is held as if there were none.
    Missing,
    /// The row says otherwise.
    Stale,
    /// There is no row.
    Orphan,
}

impl Difference {
    /// What it is counted as.
    fn event(self) -> &'static str {
        match self {
            Self::Missing => "repaired_missing",
            Self::Stale => "repaired_stale",
            Self::Orphan => "repaired_orphan",
        }
    }
}

/// An order of which something else is held than its row says.
#[derive(Debug)]
struct Different {
    order_no: String,
    /// What is held; nothing where the order is missing.
    held: Option<Bytes>,
    difference: Difference,
}

/// Compares what is held of each period with its rows, and makes gone what differs: the next who reads it loads it.
async fn reconcile(run: JobRun) -> Result<String, JobError> {
    let orders = run.keyspace.namespace(ORDERS).ok_or("the namespace `orders` is not in service")?;
    let tables = Tables::new(main(&run)?.clone(), run.wall.clone());
    let (mut periods, mut compared, mut cursor) = (0_u64, 0_usize, 0);
    let mut repaired: BTreeMap<Difference, u64> = BTreeMap::new();
    loop {
        let (keys, next) = orders.scan(cursor, PAGE);
        for key in keys {
            let (Some(period), false) = (period_of(&key), run.is_stopping()) else { continue };
            let now = Moment::at(run.wall.now());
            let (different, looked_at) = differences(orders, &key, &rows(&tables, period, &now).await?);
            periods += 1;
            compared += looked_at;
            if different.is_empty() {
                continue;
            }
            run.engine.clock().sleep(SETTLES).await;
            for (difference, count) in repair(&run, orders, &key, period, &tables, different).await? {
                *repaired.entry(difference).or_default() += count;
            }
        }
        if next == 0 {
            break;
        }
        cursor = next;
    }
    let count = |difference| repaired.get(&difference).copied().unwrap_or(0);
    Ok(format!(
        "{periods} periods, {compared} orders compared; repaired: {} missing, {} stale, {} orphans",
        count(Difference::Missing),
        count(Difference::Stale),
        count(Difference::Orphan),
    ))
}

/// The rows of a period, as they are written on the wire.
async fn rows(tables: &Tables, period: &str, now: &Moment) -> Result<HashMap<String, Order>, JobError> {
    const ROWS_OF: &str = concat!(
        "select ",
        order_columns!(),
        " from orders where period_number = $1 and order_no > $2 order by order_no limit $3"
    );
    let (mut all, mut after) = (HashMap::new(), String::new());
    loop {
        let page = tables.rows(Statement::new(ROWS_OF).bind(period).bind(after).bind(ROWS)).await?;
        let Some(last) = page.last() else { return Ok(all) };
        after = last.get("order_no")?;
        for row in &page {
            // A row that is damaged is held by nobody, and told to whoever asks for it.
            if let Ok(order) = Order::of(row) {
                all.insert(order.order_no.clone(), order.seen(now));
            }
        }
    }
}

fn held(orders: &Namespace<Blob>, key: &[u8]) -> Option<std::sync::Arc<Hash>> {
    orders.peek_value(key).as_ref().and_then(Value::as_hash).cloned()
}

/// What is held at `key` and differs from `rows`, and how many orders are held.
fn differences(
    orders: &Namespace<Blob>,
    key: &[u8],
    rows: &HashMap<String, Order>,
) -> (Vec<Different>, usize) {
    let Some(hash) = held(orders, key) else { return (Vec::new(), 0) };
    let mut different = Vec::new();
    for (field, json) in hash.iter_scan() {
        let Ok(order_no) = std::str::from_utf8(field) else { continue };
        let difference = match rows.get(order_no) {
            None => Difference::Orphan,
            Some(order) if !says(json, order) => Difference::Stale,
            Some(_) => continue,
        };
        let (order_no, held) = (order_no.to_owned(), Some(json.clone()));
        different.push(Different { order_no, held, difference });
    }
    let missing = rows.keys().filter(|order_no| hash.state(order_no.as_bytes()) == FieldState::Absent);
    different.extend(missing.map(|order_no| Different {
        order_no: order_no.clone(),
        held: None,
        difference: Difference::Missing,
    }));
    (different, hash.known_len())
}

/// Whether `json` says of an order what its row says.
fn says(json: &[u8], order: &Order) -> bool {
    let told = order.to_json();
    let members = |json: &[u8]| -> Option<BTreeMap<String, String>> {
        let members: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(json).ok()?;
        Some(members.into_iter().map(|(name, value)| (name, value.get().to_owned())).collect())
    };
    json == told.as_bytes() || members(json).is_some_and(|held| members(told.as_bytes()) == Some(held))
}

/// Makes gone what was held a while ago, is held still, and differs from its row still; how many of each kind.
async fn repair(
    run: &JobRun,
    orders: &Namespace<Blob>,
    key: &[u8],
    period: &str,
    tables: &Tables,
    different: Vec<Different>,
) -> Result<BTreeMap<Difference, u64>, JobError> {
    let rows = rows(tables, period, &Moment::at(run.wall.now())).await?;
    let mut repaired = BTreeMap::new();
    let (again, _) = differences(orders, key, &rows);
    let again: HashMap<String, Option<Bytes>> =
        again.into_iter().map(|different| (different.order_no, different.held)).collect();
    for Different { order_no, held, difference } in different {
        if again.get(&order_no) != Some(&held) {
            continue;
        }
        tracing::warn!(period, order_no, ?difference, "what was held of an order was not what its row says");
        let column = |name: &str, text: &str| (name.into(), Some(Param::Text(text.to_owned())));
        let mut row = vec![column("order_no", &order_no), column("period_number", period)];
        row.extend(rows.get(&order_no).map(|order| column("uid", &order.uid)));
        run.engine.rows_changed("main", &[Changed::updated("orders", row.clone(), row)]).await?;
        run.alarms.count(difference.event(), 1);
        *repaired.entry(difference).or_default() += 1;
    }
    Ok(repaired)
}

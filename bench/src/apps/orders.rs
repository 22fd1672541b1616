//! `app-orders`: 10,000 orders in one period made by 64 clients, while 16 others read the list, the count and single orders, and one drops
//! what is cached every now and then.
//!
//! An order whose making was answered before a read began must be in what is read: else the answer is stale. At the end each must be there
//! once.
//!
//! That a write does not grow with the period is told by 2,000 that are made in an empty one and as many in that of the 10,000, where the whole
//! list is cached when they begin and readers ask as often. In the load itself the writes also wait for readers who ask as fast as they are answered for
//! a list that grows, and for the loads after each drop: what its last tenth took beside its first is told too.

use std::io::Write;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use forebay::rt::{Clock, Mutex};
use forebay_wire::resp::Reply;
use tokio::task::JoinSet;

use super::at;
use super::by_hand::{Orders, Table};
use super::client::{Http, Resp};
use crate::error::Error;
use crate::report::{Better, Comparison, verdict};
use crate::server::process::Server;
use crate::stores::{now, runtime};
use crate::{Extent, Settings};

pub(crate) const MEASURES: &str = "orders made by 64 clients in one period while others read it, against cache-aside by hand over redis-server";
pub(crate) const GOAL: &str = "nothing lost, doubled or stale; a write does not grow with the period";

const WRITERS: usize = 64;
const READERS: usize = 16;
/// What is cached is dropped so often.
const DROPS_EVERY: Duration = Duration::from_millis(200);
/// So often asks each reader while writes are compared.
const PACE: Duration = Duration::from_millis(20);
/// A write may take so many times what it took at first.
const GROWTH_MAX: f64 = 2.0;

/// The key of the orders of a period.
pub(super) fn period_key(period: &str) -> String {
    format!("fataMorgana_{period}")
}

/// A client of either side.
enum Client {
    Ours { http: Http, resp: Resp, period: &'static str, key: String },
    ByHand(Orders),
}

/// Where clients of a side are connected to.
#[derive(Clone)]
enum Side {
    Ours { http: SocketAddr, resp: SocketAddr },
    ByHand { redis: SocketAddr, table: Table },
}

impl Side {
    /// A client that makes and reads the orders of `period`.
    async fn client(&self, period: &'static str) -> Result<Client, Error> {
        Ok(match self {
            Self::Ours { http, resp } => {
                let mut resp = Resp::connect(*resp).await?;
                resp.ask(&["SELECT", "1"]).await?;
                Client::Ours { http: Http::connect(*http).await?, resp, period, key: period_key(period) }
            }
            Self::ByHand { redis, table } => {
                Client::ByHand(Orders::new(table.clone(), Resp::connect(*redis).await?, period))
            }
        })
    }
}

impl Client {
    async fn create(&mut self, order_no: &str) -> Result<(), Error> {
        match self {
            Self::Ours { http, period, .. } => {
                let body = format!(
                    r#"{{"order_no":"{order_no}","uid":"u","period_number":"{period}","amount":1.00}}"#
                );
                match http.post("/api/v1/orders/create", &body).await? {
                    201 => Ok(()),
                    status => Err(Error::Server { problem: format!("an order was answered {status}") }),
                }
            }
            Self::ByHand(orders) => orders.create(order_no).await,
        }
    }

    async fn has(&mut self, order_no: &str) -> Result<bool, Error> {
        match self {
            Self::Ours { resp, key, .. } => {
                Ok(matches!(resp.ask(&["HGET", key, order_no]).await?, Reply::Bulk(_)))
            }
            Self::ByHand(orders) => orders.has(order_no).await,
        }
    }

    async fn count(&mut self) -> Result<usize, Error> {
        match self {
            Self::Ours { resp, key, .. } => match resp.ask(&["HLEN", key]).await? {
                Reply::Integer(count) => Ok(usize::try_from(count).unwrap_or_default()),
                _ => Ok(0),
            },
            Self::ByHand(orders) => orders.count().await,
        }
    }

    async fn all(&mut self) -> Result<usize, Error> {
        match self {
            Self::Ours { resp, key, .. } => match resp.ask(&["HGETALL", key]).await? {
                Reply::Array(fields) => Ok(fields.len() / 2),
                _ => Ok(0),
            },
            Self::ByHand(orders) => orders.all().await,
        }
    }

    async fn forget(&mut self) -> Result<(), Error> {
        match self {
            Self::Ours { resp, key, .. } => resp.ask(&["DEL", key]).await.map(drop),
            Self::ByHand(orders) => orders.forget().await,
        }
    }
}

/// Orders that are made while others read.
struct Load {
    period: &'static str,
    /// The orders by their numbers; those before are there already.
    orders: Range<usize>,
    /// How often each reader asks; without it as soon as it is answered.
    pace: Option<Duration>,
    /// Whether somebody drops what is cached.
    has_drops: bool,
}

impl Load {
    /// Orders whose writes are compared with others'.
    fn paced(period: &'static str, orders: Range<usize>) -> Self {
        Self { period, orders, pace: Some(PACE), has_drops: false }
    }
}

/// What the clients of a side have seen.
struct Seen {
    /// How many orders were there before.
    before: usize,
    /// Orders whose making was answered, in that order, and what it took.
    made: Mutex<Vec<(String, Duration)>>,
    reads: Mutex<Vec<Duration>>,
    /// How many of them were of the list.
    lists: AtomicUsize,
    stale: Mutex<u64>,
    is_over: AtomicBool,
}

/// What came of a load.
struct Loaded {
    took: Duration,
    /// What each order took, in the order of their making.
    writes: Vec<Duration>,
    reads: Vec<Duration>,
    stale: u64,
    /// How many orders there are too few or too many after it, by the count and by the list.
    wrong: usize,
}

/// What a side came to.
struct Figures {
    /// What an order takes in the period of all, in the middle, as times of what it takes in an empty one.
    write_growth: f64,
    /// What the last tenth of the writes of the load took, in the middle, as times of the first tenth.
    mixed_growth: f64,
    /// Orders a second of the load.
    writes: f64,
    /// Reads a second, of 16 clients who ask as fast as they are answered.
    reads: f64,
    read_p50_us: f64,
    read_p99_us: f64,
    stale: u64,
    wrong: usize,
}

pub(crate) fn run(out: &mut dyn Write, settings: &Settings) -> Result<(), Error> {
    let orders = match settings.extent {
        Extent::Full => 10_000,
        Extent::Quick => 2_000,
    };
    let runtime = runtime()?;
    let (ours, redis) = (Server::app(&settings.programs, "orders")?, Server::redis(&settings.programs)?);
    let folder = tempfile::tempdir()?;
    let table = runtime.block_on(Table::new(folder.path()))?;
    let ours = runtime.block_on(measured(Side::Ours { http: ours.http, resp: ours.address }, orders))?;
    let theirs = runtime.block_on(measured(Side::ByHand { redis: redis.address, table }, orders))?;
    let peer = "by-hand";
    for (bench, ours, theirs, goal) in [
        ("app-orders-stale", ours.stale, theirs.stale, 0),
        (
            "app-orders-wrong",
            u64::try_from(ours.wrong).unwrap_or(u64::MAX),
            u64::try_from(theirs.wrong).unwrap_or(u64::MAX),
            0,
        ),
    ] {
        let verdict = verdict(ours == goal);
        writeln!(
            out,
            "bench={bench} ours={ours} peer={peer} theirs={theirs} unit=answers goal={goal} {verdict}"
        )?;
    }
    for (bench, ours, theirs) in [
        ("app-orders-write-growth", ours.write_growth, theirs.write_growth),
        ("app-orders-mixed-growth", ours.mixed_growth, theirs.mixed_growth),
    ] {
        let verdict = verdict(ours <= GROWTH_MAX);
        writeln!(
            out,
            "bench={bench} ours={ours:.2} peer={peer} theirs={theirs:.2} unit=times goal={GROWTH_MAX} {verdict}"
        )?;
    }
    for (bench, ours, theirs, unit, better) in [
        ("app-orders-writes", ours.writes, theirs.writes, "orders/s", Better::More),
        ("app-orders-reads", ours.reads, theirs.reads, "reads/s", Better::More),
        ("app-orders-read-p50", ours.read_p50_us, theirs.read_p50_us, "us", Better::Less),
        ("app-orders-read-p99", ours.read_p99_us, theirs.read_p99_us, "us", Better::Less),
    ] {
        writeln!(out, "{}", Comparison { bench, ours, peer, theirs, unit, better, goal: 1.0 })?;
    }
    Ok(())
}

/// Makes `orders` in one period under load, and a fifth as many in an empty period before and in that one after.
async fn measured(side: Side, orders: usize) -> Result<Figures, Error> {
    let (tenth, fifth) = (orders / 10, orders / 5);
    // The database's connections and statements are not new when it counts.
    let new = load(&side, Load::paced("new", 0..fifth)).await?;
    let empty = load(&side, Load::paced("empty", 0..fifth)).await?;
    let all = Load { period: "all", orders: 0..orders, pace: None, has_drops: true };
    let mut mixed = load(&side, all).await?;
    let full = load(&side, Load::paced("all", orders..orders + fifth)).await?;
    #[expect(clippy::cast_precision_loss, reason = "there are not that many orders and reads")]
    let a_second = |count: usize| count as f64 / mixed.took.as_secs_f64();
    let first = mixed.writes.get(..tenth).unwrap_or_default();
    let last = mixed.writes.get(mixed.writes.len() - tenth..).unwrap_or_default();
    let loads = [&new, &empty, &mixed, &full];
    Ok(Figures {
        write_growth: middle(&full.writes) / middle(&empty.writes),
        mixed_growth: middle(last) / middle(first),
        writes: a_second(mixed.writes.len()),
        reads: a_second(mixed.reads.len()),
        stale: loads.iter().map(|load| load.stale).sum(),
        wrong: loads.iter().map(|load| load.wrong).sum(),
        read_p50_us: at(&mut mixed.reads, 0.5),
        read_p99_us: at(&mut mixed.reads, 0.99),
    })
}

/// The one in the middle, in microseconds.
fn middle(took: &[Duration]) -> f64 {
    at(&mut took.to_vec(), 0.5)
}

async fn load(side: &Side, load: Load) -> Result<Loaded, Error> {
    let Load { period, orders, pace, has_drops } = load;
    let seen = Arc::new(Seen {
        before: orders.start,
        made: Mutex::default(),
        reads: Mutex::default(),
        lists: AtomicUsize::new(0),
        stale: Mutex::default(),
        is_over: AtomicBool::new(false),
    });
    // The whole list is cached, whatever was before.
    let mut client = side.client(period).await?;
    client.forget().await?;
    client.all().await?;
    let mut clients = Vec::with_capacity(WRITERS);
    for _ in 0..WRITERS {
        clients.push(side.client(period).await?);
    }
    let mut readers = JoinSet::new();
    for number in 0..READERS {
        readers.spawn(read(side.client(period).await?, Arc::clone(&seen), number, pace));
    }
    if has_drops {
        readers.spawn(drop_now_and_then(side.client(period).await?, Arc::clone(&seen)));
    }
    let begun = now();
    let mut writers = JoinSet::new();
    for (number, client) in clients.into_iter().enumerate() {
        let numbers = orders.clone().skip(number).step_by(WRITERS);
        let names = numbers.map(|order| format!("{period}_{order:06}")).collect();
        writers.spawn(write(client, Arc::clone(&seen), names));
    }
    while let Some(ended) = writers.join_next().await {
        ended.map_err(|error| Error::Server { problem: error.to_string() })??;
    }
    let took = begun.elapsed();
    seen.is_over.store(true, Ordering::Release);
    while let Some(ended) = readers.join_next().await {
        ended.map_err(|error| Error::Server { problem: error.to_string() })??;
    }
    let writes = seen.made.lock().iter().map(|(_, took)| *took).collect();
    let reads = std::mem::take(&mut *seen.reads.lock());
    if seen.lists.load(Ordering::Acquire) == 0 {
        return Err(Error::Server { problem: format!("nobody read the list beside {orders:?}") });
    }
    let wrong = client.count().await?.abs_diff(orders.end) + client.all().await?.abs_diff(orders.end);
    let stale = *seen.stale.lock();
    Ok(Loaded { took, writes, reads, stale, wrong })
}

async fn write(mut client: Client, seen: Arc<Seen>, names: Vec<String>) -> Result<(), Error> {
    for name in names {
        let begun = now();
        client.create(&name).await?;
        seen.made.lock().push((name, begun.elapsed()));
    }
    Ok(())
}

/// Reads until all is written, as reader `number`: of a hundred reads two are of the list, eight of the count, and the others of an order that
/// was made. Each reader begins elsewhere in the hundred, the first with the list.
async fn read(
    mut client: Client,
    seen: Arc<Seen>,
    number: usize,
    pace: Option<Duration>,
) -> Result<(), Error> {
    let clock = Clock::system();
    let mut random = fastrand::Rng::with_seed(u64::try_from(number).unwrap_or_default());
    let mut turns = (number * 100 / READERS..100).chain((0..100).cycle());
    // Not all at once.
    let mut next = clock.now().after(pace.unwrap_or_default().mul_f64(random.f64()));
    while !seen.is_over.load(Ordering::Acquire) {
        if let Some(pace) = pace {
            clock.sleep(next.since(clock.now())).await;
            next = next.after(pace);
        }
        let (made, some) = {
            let made = seen.made.lock();
            let some = if made.is_empty() { None } else { made.get(random.usize(..made.len())).cloned() };
            (seen.before + made.len(), some)
        };
        let Some((order_no, _)) = some else {
            tokio::task::yield_now().await;
            continue;
        };
        let begun = now();
        let is_stale = match turns.next() {
            Some(0..2) => {
                seen.lists.fetch_add(1, Ordering::AcqRel);
                client.all().await? < made
            }
            Some(2..10) => client.count().await? < made,
            _ => !client.has(&order_no).await?,
        };
        seen.reads.lock().push(begun.elapsed());
        *seen.stale.lock() += u64::from(is_stale);
    }
    Ok(())
}

/// Somebody drops what is cached, as operators and evictions do.
async fn drop_now_and_then(mut client: Client, seen: Arc<Seen>) -> Result<(), Error> {
    let clock = Clock::system();
    loop {
        clock.sleep(DROPS_EVERY).await;
        if seen.is_over.load(Ordering::Acquire) {
            return Ok(());
        }
        client.forget().await?;
    }
}

//! `app-quotes`: 3-second quotes for 4,000 codes, read by 64 clients by Zipf's law, from a table on SQLite.
//!
//! A quote tells when its row was read, so that an answer that is older than its TTL, and the time that an answer is on its way, is stale.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use forebay_stores::database::{Database, DatabaseOptions, Statement};
use forebay_wire::resp::Reply;
use sqlx::Executor as _;
use tokio::task::JoinSet;

use super::at;
use super::client::Resp;
use crate::error::Error;
use crate::report::{Better, Comparison, verdict};
use crate::server::process::Server;
use crate::stores::{now, runtime, store};
use crate::zipf::Zipf;
use crate::{Extent, Settings};

pub(crate) const MEASURES: &str =
    "3-second quotes for 4,000 codes read by 64 clients, against cache-aside by hand over redis-server";
pub(crate) const GOAL: &str = "nothing stale; ratio >= 1";

const CODES: u32 = 4_000;
const READERS: u64 = 64;
const TTL_MS: u64 = 3_000;
/// What an answer may be on its way, beside its TTL.
const GRACE_MS: u64 = 50;

/// Codes are those of an exchange; the prices are of no matter here.
const QUOTES: &str =
    "create table quotes (code text primary key, name text not null, price text not null) without rowid;
    insert into quotes with recursive n (i) as (select 0 union all select i + 1 from n where i < 3999)
    select printf('%06d', 600000 + i), 'share ' || i, '11.23' from n";

/// A quote and when it was read, in milliseconds since 1970.
const QUERY: &str = "select code, name, price, cast((julianday('now') - 2440587.5) * 86400000 as integer) as read_ms from quotes";

fn declaration(database: &Path) -> String {
    format!(
        "keyspace = \"bench\"\n[shared]\nurl = \"memory\"\n[database.main]\nurl = \"sqlite:{}\"\n[namespace.quotes]\nkey = \"stock:{{code}}\"\nttl = \"3s\"\n\
         source.sql = {{ database = \"main\", query = \"{QUERY} where code in {{keys}}\" }}\n",
        database.display()
    )
}

/// Where quotes are read.
#[derive(Clone)]
enum Side {
    Ours(SocketAddr),
    ByHand { redis: SocketAddr, database: Database, queries: Arc<AtomicU64> },
}

struct Client {
    resp: Resp,
    by_hand: Option<(Database, Arc<AtomicU64>)>,
}

impl Side {
    async fn client(&self) -> Result<Client, Error> {
        Ok(match self {
            Self::Ours(address) => Client { resp: Resp::connect(*address).await?, by_hand: None },
            Self::ByHand { redis, database, queries } => {
                let by_hand = Some((database.clone(), Arc::clone(queries)));
                Client { resp: Resp::connect(*redis).await?, by_hand }
            }
        })
    }

    /// Queries that the database was asked, since its beginning.
    async fn queries(&self) -> Result<u64, Error> {
        match self {
            Self::Ours(address) => {
                let stats = Resp::connect(*address).await?.ask(&["FB.STATS", "quotes"]).await?;
                counted(&stats, b"loads").ok_or_else(|| store("FB.STATS tells no loads"))
            }
            Self::ByHand { queries, .. } => Ok(queries.load(Ordering::Relaxed)),
        }
    }
}

/// The number behind `name` in a reply.
fn counted(reply: &Reply, name: &[u8]) -> Option<u64> {
    let Reply::Array(parts) = reply else { return None };
    let named = parts.windows(2).find_map(|pair| match pair {
        [Reply::Bulk(text), Reply::Integer(count)] if &text[..] == name => u64::try_from(*count).ok(),
        _ => None,
    });
    named.or_else(|| parts.iter().find_map(|part| counted(part, name)))
}

impl Client {
    /// When the quote was read that is answered for `code`.
    async fn read_ms(&mut self, code: &str) -> Result<u64, Error> {
        let key = format!("stock:{code}");
        let held = self.resp.ask(&["GET", &key]).await?;
        let quote = match (held, &self.by_hand) {
            (Reply::Bulk(quote), _) => String::from_utf8_lossy(&quote).into_owned(),
            (_, Some((database, queries))) => {
                queries.fetch_add(1, Ordering::Relaxed);
                let quote = loaded(database, code).await?;
                self.resp.ask(&["SET", &key, &quote, "PX", &TTL_MS.to_string()]).await?;
                quote
            }
            (other, None) => return Err(store(format!("{key}: {other:?}"))),
        };
        let read = quote.split_once("\"read_ms\":").map(|(_, rest)| rest.trim_end_matches('}'));
        read.and_then(|ms| ms.parse().ok()).ok_or_else(|| store(format!("a quote without a time: {quote}")))
    }
}

async fn loaded(database: &Database, code: &str) -> Result<String, Error> {
    const ONE: &str = "select code, name, price, cast((julianday('now') - 2440587.5) * 86400000 as integer) as read_ms from quotes where code = $1";
    let rows = database.rows(Statement::new(ONE).bind(code)).await.map_err(store)?;
    let row = rows.first().ok_or_else(|| store(format!("no quote of {code}")))?;
    let (name, price): (String, String) = (row.get("name").map_err(store)?, row.get("price").map_err(store)?);
    let read_ms: i64 = row.get("read_ms").map_err(store)?;
    Ok(format!(r#"{{"code":"{code}","name":"{name}","price":"{price}","read_ms":{read_ms}}}"#))
}

/// What the readers of a side came to.
struct Figures {
    reads: f64,
    /// Of a hundred reads, those that no query was made for.
    hit_rate: f64,
    p50_us: f64,
    p99_us: f64,
    queries_per_second: f64,
    stale: u64,
}

pub(crate) fn run(out: &mut dyn Write, settings: &Settings) -> Result<(), Error> {
    let span = match settings.extent {
        Extent::Full => Duration::from_secs(20),
        Extent::Quick => Duration::from_secs(5),
    };
    let runtime = runtime()?;
    let folder = tempfile::tempdir()?;
    let file: PathBuf = folder.path().join("quotes.db");
    let database = runtime.block_on(async {
        let database = Database::open(&DatabaseOptions::sqlite(&file, 16)).await.map_err(store)?;
        database.sqlite().map_err(store)?.execute(QUOTES).await.map_err(store)?;
        Ok::<_, Error>(database)
    })?;
    let ours = Server::declared(&settings.programs, &declaration(&file))?;
    let redis = Server::redis(&settings.programs)?;
    let ours = runtime.block_on(load(Side::Ours(ours.address), span))?;
    let by_hand = Side::ByHand { redis: redis.address, database, queries: Arc::default() };
    let theirs = runtime.block_on(load(by_hand, span))?;
    let peer = "by-hand";
    let verdict = verdict(ours.stale == 0);
    writeln!(
        out,
        "bench=app-quotes-stale ours={} peer={peer} theirs={} unit=answers goal=0 {verdict}",
        ours.stale, theirs.stale
    )?;
    for (bench, ours, theirs, unit, better) in [
        ("app-quotes-hits", ours.hit_rate, theirs.hit_rate, "%", Better::More),
        ("app-quotes-queries", ours.queries_per_second, theirs.queries_per_second, "queries/s", Better::Less),
        ("app-quotes-p50", ours.p50_us, theirs.p50_us, "us", Better::Less),
        ("app-quotes-p99", ours.p99_us, theirs.p99_us, "us", Better::Less),
        ("app-quotes-reads", ours.reads, theirs.reads, "reads/s", Better::More),
    ] {
        writeln!(out, "{}", Comparison { bench, ours, peer, theirs, unit, better, goal: 1.0 })?;
    }
    Ok(())
}

async fn load(side: Side, span: Duration) -> Result<Figures, Error> {
    let mut readers = JoinSet::new();
    for seed in 0..READERS {
        readers.spawn(read(side.client().await?, seed, span));
    }
    let (mut reads, mut stale) = (Vec::new(), 0);
    while let Some(ended) = readers.join_next().await {
        let (took, old) = ended.map_err(store)??;
        reads.extend(took);
        stale += old;
    }
    let queries = side.queries().await?;
    #[expect(clippy::cast_precision_loss, reason = "there are not that many")]
    let (count, queries) = (reads.len() as f64, queries as f64);
    Ok(Figures {
        reads: count / span.as_secs_f64(),
        hit_rate: 100.0 * (1.0 - queries / count),
        p50_us: at(&mut reads, 0.5),
        p99_us: at(&mut reads, 0.99),
        queries_per_second: queries / span.as_secs_f64(),
        stale,
    })
}

/// Reads for `span`; what each read took, and how many were answered with what is too old.
async fn read(mut client: Client, seed: u64, span: Duration) -> Result<(Vec<Duration>, u64), Error> {
    let (mut codes, begun) = (Zipf::new(CODES, 0.99, seed), now());
    let (mut took, mut stale) = (Vec::new(), 0);
    while begun.elapsed() < span {
        let code = format!("{:06}", 600_000 + codes.draw());
        let asked = now();
        let read_ms = client.read_ms(&code).await?;
        took.push(asked.elapsed());
        stale += u64::from(unix_ms().saturating_sub(read_ms) > TTL_MS + GRACE_MS);
    }
    Ok((took, stale))
}

#[expect(clippy::disallowed_methods, reason = "a row tells the wall clock's time")]
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

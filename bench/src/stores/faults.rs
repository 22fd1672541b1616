//! `faults`: what a read takes whose source is broken, and when the breaker opens.
//!
//! The proxy of the tests stands before an HTTP origin, and before PostgreSQL where there is one. Under each of its faults cold keys are
//! read one after the other until the breaker is open: the slowest of those reads counts, beside the deadline of a read.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use forebay::namespace::pattern::Pattern;
use forebay::rt::{Clock, Tasks};
use forebay::{Blob, BreakerOptions, Error as EngineError, Forebay, Namespace, Policy, Source};
use forebay_simulated::proxy::{Fault, Proxy};
use forebay_stores::database::{Database, DatabaseOptions};
use forebay_stores::source::http::address::AddressPolicy;
use forebay_stores::source::http::{HttpOptions, HttpSource, Many, UrlTemplate};
use forebay_stores::source::sql::{KeyColumn, SqlQuery, SqlSource};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{now, runtime, store};
use crate::Settings;
use crate::error::Error;
use crate::report::{Better, Comparison};

pub(crate) const MEASURES: &str =
    "the slowest read of a source under each fault, and the time until its breaker opens";
pub(crate) const GOAL: &str = "each read within its deadline and 20 ms, each breaker open within 1 s";

/// The time-out of a load.
const LOAD: Duration = Duration::from_millis(150);
/// What a read may take beside.
const GRACE: Duration = Duration::from_millis(20);
const OPEN: Duration = Duration::from_secs(1);

/// Lines for each of [`Fault::DEADLY`]: for the origin, and for PostgreSQL.
const NAMES: [[&str; 2]; 6] = [
    ["http-delay", "postgresql-delay"],
    ["http-refuse", "postgresql-refuse"],
    ["http-black-hole", "postgresql-black-hole"],
    ["http-reset", "postgresql-reset"],
    ["http-cut", "postgresql-cut"],
    ["http-drip", "postgresql-drip"],
];

pub(crate) fn run(out: &mut dyn Write, settings: &Settings) -> Result<(), Error> {
    runtime()?.block_on(async {
        let tasks = Tasks::current().ok_or_else(|| store("there is no runtime"))?;
        let proxy = Proxy::before(origin(&tasks).await?).await;
        let source = http(&proxy)?;
        withstand(out, &proxy, source, NAMES.map(|[http, _]| http), "breaker-http").await?;
        let Some(address) = &settings.postgres else {
            return Ok(writeln!(out, "# no PostgreSQL to break: give --postgres URL")?);
        };
        let (login, rest) = address.split_once('@').ok_or_else(|| store("the URL has no user"))?;
        let (server, name) = rest.split_once('/').ok_or_else(|| store("the URL has no database"))?;
        let server = tokio::net::lookup_host(server).await?.next();
        let proxy = Proxy::before(server.ok_or_else(|| store("the server is not known"))?).await;
        let source = sql(&format!("{login}@{}/{name}", proxy.address)).await?;
        withstand(out, &proxy, source, NAMES.map(|[_, sql]| sql), "breaker-postgresql").await
    })
}

/// An origin that answers everything alike.
async fn origin(tasks: &Tasks) -> Result<SocketAddr, Error> {
    const ANSWER: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n{\"a\":1}";
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tasks.spawn(async move {
        let own = Tasks::current();
        while let (Ok((mut stream, _)), Some(own)) = (listener.accept().await, &own) {
            own.spawn(async move {
                let mut asked = [0; 4096];
                while stream.read(&mut asked).await.is_ok_and(|many| many > 0) {
                    if stream.write_all(ANSWER).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    Ok(address)
}

fn http(proxy: &Proxy) -> Result<HttpSource, Error> {
    let url = format!("http://{}/{{code}}", proxy.address);
    let template = UrlTemplate::parse(&url, &["code"], Many::Joined).map_err(store)?;
    let options = HttpOptions {
        addresses: AddressPolicy { allow_private: true, allowed: Vec::new() },
        ..HttpOptions::new(template)
    };
    HttpSource::open(options, &["code"], Clock::default()).map_err(store)
}

async fn sql(address: &str) -> Result<SqlSource, Error> {
    let options = DatabaseOptions::postgres(address.parse().map_err(store)?, 4);
    let database = Database::open(&options).await.map_err(store)?;
    let text = "select code, 1 as a from unnest(array['a']) as code where code in {keys}".into();
    let params = KeyColumn::all_of(&Pattern::parse("{code}").map_err(store)?);
    let query = SqlQuery { text, params, ..SqlQuery::default() };
    SqlSource::open(&database, query).await.map_err(store)
}

async fn withstand(
    out: &mut dyn Write,
    proxy: &Proxy,
    source: impl Source,
    names: [&'static str; 6],
    breaker: &'static str,
) -> Result<(), Error> {
    let policy = Policy {
        absent_ttl: Duration::ZERO,
        load_timeout: LOAD,
        breaker: BreakerOptions { pause: Duration::from_millis(100), ..BreakerOptions::default() },
        ..Policy::new(Duration::from_millis(1))
    };
    let engine = Forebay::new()?;
    let held = engine.namespace::<Blob>("held").key("{code}").policy(policy).source(source).build()?;
    let mut slowest_open = Duration::ZERO;
    for (bench, fault) in names.into_iter().zip(Fault::DEADLY) {
        proxy.set(Fault::None);
        recovers(&held).await?;
        proxy.set(fault);
        let (slowest, opened) = breaks(&held).await?;
        slowest_open = slowest_open.max(opened);
        compare(out, bench, slowest, "deadline", LOAD + GRACE)?;
    }
    compare(out, breaker, slowest_open, "1s", OPEN)
}

fn compare(
    out: &mut dyn Write,
    bench: &'static str,
    ours: Duration,
    peer: &'static str,
    theirs: Duration,
) -> Result<(), Error> {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let (ours, theirs, unit, better, goal) = (ms(ours), ms(theirs), "ms", Better::Less, 1.0);
    Ok(writeln!(out, "{}", Comparison { bench, ours, peer, theirs, unit, better, goal })?)
}

/// Reads cold keys until the breaker is open: the slowest read, and when it was open.
async fn breaks(namespace: &Namespace<Blob>) -> Result<(Duration, Duration), Error> {
    let began = now();
    let mut slowest = Duration::ZERO;
    for number in 0..100 {
        let asked = now();
        let read = namespace.get(format!("n{number}")).await;
        slowest = slowest.max(asked.elapsed());
        match read {
            Err(EngineError::BreakerOpen { .. }) => return Ok((slowest, began.elapsed())),
            Err(_) => {}
            Ok(_) => return Err(store("a broken source answered")),
        }
    }
    Err(Error::NotRefused)
}

/// Reads until the source is used again.
async fn recovers(namespace: &Namespace<Blob>) -> Result<(), Error> {
    let began = now();
    while !matches!(namespace.get("a").await, Ok(Some(_))) {
        if began.elapsed() > Duration::from_secs(30) {
            return Err(store("a source that works again was not used within 30 s"));
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

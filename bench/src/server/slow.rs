//! `slow`: how long a GET takes while 2,000 clients are slow, beside how long it takes without them, and what they take of memory.
//!
//! Half of them never finish the head of an HTTP request or a RESP request, half send a body; each drips a byte a second. The GETs come
//! at half of the rate that the server can do, in an open loop. Alone and among slow clients take turns, so that whatever else the machine
//! does meets both alike; slow clients are new each time, have been accepted before it is measured, and none may have been let go meanwhile.

use std::cell::Cell;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::time::Duration;

use forebay::rt::Clock;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::latency::at;
use super::process::Server;
use super::{KEYS, load, median};
use crate::error::Error;
use crate::report::{Better, Comparison};
use crate::{Extent, Settings};

pub(crate) const MEASURES: &str = "GET over RESP among 2,000 slow clients against without them, p99, open loop; resident memory that they take";
pub(crate) const GOAL: &str = "ratio >= 0.5; <= 64 MiB";

/// How many clients are slow.
const SLOW: usize = 2_000;
/// The most that they may take of memory, in bytes.
const GROWN_BYTES_MAX: f64 = 64.0 * MIB;
const MIB: f64 = 1024.0 * 1024.0;
/// Once each has dripped, all of them have been accepted: it is slow clients that are measured, not how they come.
const SETTLING: Duration = Duration::from_secs(1);
/// A byte a second each.
const BETWEEN_DRIPS: Duration = Duration::from_millis(1);
/// How many drip at each of these moments.
const DRIP_TOGETHER: usize = SLOW / 1_000;

pub(crate) fn run(out: &mut dyn Write, settings: &Settings) -> Result<(), Error> {
    let (counted, span) = match settings.extent {
        Extent::Full => (5, Duration::from_secs(3)),
        Extent::Quick => (1, Duration::from_secs(1)),
    };
    let server = Server::forebay(&settings.programs)?;
    load::pin()?;
    load::on_this_thread(load::fill(server.address, KEYS, false))?;
    let all =
        load::on_this_thread(load::closed_loop(server.address, load::Ask::Get, 1, Duration::from_secs(1)))?;
    let rate = all.rate() / 2.0;
    // The first round warms up.
    p99(load::on_this_thread(load::open_loop(server.address, rate, span))?);
    let before = server.resident_bytes()?;
    let (mut alone, mut among, mut most) = (Vec::new(), Vec::new(), before);
    for _ in 0..counted {
        alone.push(p99(load::on_this_thread(load::open_loop(server.address, rate, span))?));
        let resident = Cell::new(before);
        let took = load::on_this_thread(async {
            let slow = clients(&server).await?;
            let measured = async {
                Clock::system().sleep(SETTLING).await;
                let took = load::open_loop(server.address, rate, span).await?;
                resident.set(server.resident_bytes()?);
                Ok(took)
            };
            tokio::select! {
                took = measured => took.and_then(|took| all_are_there(&slow).map(|()| took)),
                never = drip(&slow) => match never {},
            }
        })?;
        most = resident.get().max(most);
        among.push(p99(took));
    }
    let (ours, theirs) = (median(among), median(alone));
    writeln!(out, "# {rate:.0} GETs/s; {SLOW} slow clients, a byte a second each; median of {counted}")?;
    let (bench, peer, unit, better, goal) = ("slow-p99", "without", "us", Better::Less, 0.5);
    writeln!(out, "{}", Comparison { bench, ours, peer, theirs, unit, better, goal })?;
    let (bench, peer, unit, goal) = ("slow-resident", "limit", "MiB", 1.0);
    let (ours, theirs) = ((most - before) / MIB, GROWN_BYTES_MAX / MIB);
    writeln!(out, "{}", Comparison { bench, ours, peer, theirs, unit, better, goal })?;
    Ok(())
}

fn p99(mut took: Vec<Duration>) -> f64 {
    took.sort_unstable();
    at(&took, 0.99)
}

/// What each kind of slow client begins with: a head, a request, a body over HTTP, one over RESP.
const BEGINNINGS: [&str; 4] = [
    "GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    "*100\r\n$3\r\nDEL\r\n$1000\r\nkey:",
    "PUT /v1/bench/entries/key:slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nx",
    "*3\r\n$3\r\nSET\r\n$8\r\nkey:slow\r\n$1000000\r\nx",
];

async fn clients(server: &Server) -> Result<Vec<TcpStream>, Error> {
    let mut clients = Vec::with_capacity(SLOW);
    for (begin, is_http) in BEGINNINGS.into_iter().zip([true, false].repeat(2)).cycle().take(SLOW) {
        let address = if is_http { server.http } else { server.address };
        let mut client = connect(address).await?;
        client.write_all(begin.as_bytes()).await?;
        clients.push(client);
    }
    Ok(clients)
}

async fn connect(address: SocketAddr) -> Result<TcpStream, Error> {
    TcpStream::connect(address).await.map_err(|error| {
        let problem =
            format!("{SLOW} slow clients need as many connections ({error}): allow that by `ulimit -n 8192`");
        Error::Server { problem }
    })
}

/// Has each of them send a byte a second, few at a time, so that the load has no bursts of its own.
async fn drip(clients: &[TcpStream]) -> std::convert::Infallible {
    let clock = Clock::system();
    for client in clients.chunks(DRIP_TOGETHER.max(1)).cycle() {
        for client in client {
            // One that was let go is found when all is measured.
            let _ = client.try_write(b"1");
        }
        clock.sleep(BETWEEN_DRIPS).await;
    }
    std::future::pending().await
}

/// None of them was answered, or let go.
fn all_are_there(clients: &[TcpStream]) -> Result<(), Error> {
    let waits = |client: &&TcpStream| {
        client.try_read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    let there = clients.iter().filter(waits).count();
    if there == clients.len() {
        return Ok(());
    }
    let problem =
        format!("{} of {SLOW} slow clients were let go while it was measured", clients.len() - there);
    Err(Error::Server { problem })
}

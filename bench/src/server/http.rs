//! `http`: a hit over HTTP, 64 connections that are kept, beside a hit of nginx's `proxy_cache`. wrk is the load.

use std::io::{Read as _, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::process::Server;
use super::{LOAD_CORE, VALUE, program, side_by_side};
use crate::Settings;
use crate::error::Error;
use crate::report::{Better, Comparison};

pub(crate) const MEASURES: &str =
    "a hit over HTTP, 64 connections, against nginx's proxy_cache; one core each";
pub(crate) const GOAL: &str = "ratio >= 1.2";

const GOAL_RATIO: f64 = 1.2;
const PATH: &str = "/v1/bench/entries/key:000000000001";

pub(crate) fn run(out: &mut dyn Write, settings: &Settings) -> Result<(), Error> {
    let wrk = program(settings.programs.wrk.as_ref(), "--wrk")?;
    let body = String::from_utf8_lossy(&VALUE).into_owned();
    let ours = Server::forebay(&settings.programs)?;
    let theirs = Server::nginx(&settings.programs, &body)?;
    let put = format!(
        "PUT {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    ask(ours.http, &put, "204")?;
    let get = format!("GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for address in [ours.http, theirs.address] {
        // The first may be a miss.
        ask(address, &get, &body)?;
        ask(address, &get, "HIT")?;
    }
    let servers = [ours, theirs];
    let [ours, theirs] = side_by_side(&servers, settings.extent, |server, span| {
        let before = server.used()?;
        let (rate, requests) = load(wrk, server.http, span)?;
        Ok([rate, server.used()?.since(before).all_s() * 1e6 / requests])
    })?;
    let ([ours, our_us], [theirs, their_us]) = (ours, theirs);
    writeln!(out, "# processor a request: ours {our_us:.2} us, nginx {their_us:.2} us")?;
    let (bench, peer, unit, better, goal) = ("http-hit", "nginx", "requests/s", Better::More, GOAL_RATIO);
    writeln!(out, "{}", Comparison { bench, ours, peer, theirs, unit, better, goal })?;
    Ok(())
}

/// Sends `request` on a connection of its own; its answer must hold `part`.
fn ask(address: SocketAddr, request: &str, part: &str) -> Result<(), Error> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let request = request.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.contains(part) {
        return Ok(());
    }
    Err(Error::Server { problem: format!("{address} answered without {part}: {answer}") })
}

/// How many requests a second are answered under wrk's load, and how many in all.
fn load(wrk: &Path, address: SocketAddr, span: Duration) -> Result<(f64, f64), Error> {
    let mut command = Command::new("taskset");
    command.args(["-c", LOAD_CORE]).arg(wrk).args(["--threads", "1", "--connections", "64"]);
    command.args(["--duration", &format!("{}s", span.as_secs()), &format!("http://{address}{PATH}")]);
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = said.contains("Non-2xx") || said.contains("Socket errors");
    let rate = said.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:")?.trim().parse().ok());
    let all = said.lines().find_map(|line| line.trim().split_once(" requests in")?.0.parse().ok());
    match (rate, all) {
        (Some(rate), Some(all)) if !failed => Ok((rate, all)),
        _ => {
            Err(Error::Server { problem: format!("wrk: {said}{}", String::from_utf8_lossy(&output.stderr)) })
        }
    }
}

//! A client of what a serving process tells over HTTP alone: one request a connection, its answer read whole.
//!
//! It speaks HTTP/1.0, to which a body is answered in one piece that ends with the connection.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use crate::Failure;
use crate::connect::{Address, Limits, Place};

const LIMITS: Limits = Limits { connect: Duration::from_secs(5), answer: Duration::from_secs(30) };
/// The longest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Where a process serves HTTP, and by which token.
pub(crate) struct Http<'a> {
    pub(crate) address: Option<&'a Address>,
    /// The authorities to trust.
    pub(crate) ca: Option<&'a Path>,
    pub(crate) token: Option<&'a str>,
}

impl Http<'_> {
    /// The body that a request is answered with; an answer that tells a problem is a failure.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Result<String, Failure> {
        let place = Place::find(self.address, self.ca, |server| server.http)?;
        let address = &place.address;
        if self.token.is_some_and(|token| token.contains(['\r', '\n'])) {
            return Err(Failure("a token has one line: see what --token or FOREBAY_TOKEN has".into()));
        }
        let authorization =
            self.token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {address}\r\n{authorization}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = exchanged(&place, request.as_bytes())?;
        let Some((head, body)) = answer.split_once("\r\n\r\n") else {
            return Err(Failure(format!("{address} does not speak HTTP: name its address by --http")));
        };
        let status = head.split(' ').nth(1).unwrap_or_default();
        if status.starts_with('2') { Ok(body.to_owned()) } else { Err(refused(status, body)) }
    }
}

/// Why a request was refused, by the problem details that it was answered with.
fn refused(status: &str, body: &str) -> Failure {
    let problem: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    match problem.get("detail").and_then(|detail| detail.as_str()) {
        Some(detail) => Failure(format!("{status}: {detail}")),
        None => Failure(format!(
            "the answer is {status}: see that the address by --http is that of a Forebay server"
        )),
    }
}

fn exchanged(place: &Place, request: &[u8]) -> Result<String, Failure> {
    let mut stream = place.connect(LIMITS, "--http")?;
    let mut answer = Vec::new();
    let sent = stream.write_all(request).and_then(|()| stream.flush());
    let read = sent.and_then(|()| stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer));
    read.map_err(|error| {
        Failure(format!("{} has not answered, and may still do it: {error}", place.address))
    })?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// `segment` as a path has it.
pub(crate) fn escaped(segment: &str) -> String {
    let mut path = String::new();
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

//! A process that serves, and connections to it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::Clock;
use forebay_server::app::Progress;
use forebay_server::configuration::{Declaration, Deployment, ProcessEnvironment};
use forebay_server::process::{self, Process};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::Fault;

/// After so long without a byte, nothing more is sent on a connection: what it waits for will not come.
const QUIET: Duration = Duration::from_millis(20);
/// Then the other side must end it within this time.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// The most that may come back, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

const NAMESPACES: &str = r#"
[shared]
url = "memory"
[namespace.scratch]
key = "scratch:{name}"
mode = "cache"
ttl = "60s"
[namespace.kept]
key = "kept:{name}"
mode = "store"
ttl = "60s"
durability = "none"
[namespace.count]
key = "count:{id:integer}"
mode = "cache"
ttl = "60s"
"#;

/// A process that serves some namespaces without a source.
pub(super) struct Stage {
    runtime: Runtime,
    /// `None` once it is being stopped.
    process: Option<Process>,
    address: SocketAddr,
    /// Goes last: what is served lies in it.
    _folder: TempDir,
}

/// What came back on a connection.
pub(super) struct Exchange {
    pub(super) came: Vec<u8>,
    /// Whether it was ended from here, in the middle of a request.
    pub(super) was_cut: bool,
}

/// Nobody looks.
struct Unseen;

impl Progress for Unseen {
    fn step(&self, _: &str, _: u64, _: u64) {}
}

impl Stage {
    pub(super) fn open() -> Result<Self, Fault> {
        let stage = |error: String| Fault::Stage(error);
        let folder = tempfile::tempdir().map_err(Fault::stage("a temporary folder"))?;
        let text = format!(
            "keyspace = 'shop'\n[server]\nhttp = '127.0.0.1:0'\nresp = '127.0.0.1:0'\ndata = '{}'\n{NAMESPACES}",
            folder.path().display()
        );
        let declaration = Declaration::parse("forebay.toml", &text, &ProcessEnvironment);
        let declaration = declaration.map_err(|report| stage(report.to_string()))?;
        let deployment =
            Deployment::assemble(vec![declaration]).map_err(|report| stage(report.to_string()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(Fault::stage("a runtime"))?;
        let process = runtime.block_on(process::start(&deployment, &[], Arc::new(Unseen)));
        let process = process.map_err(|error| stage(error.to_string()))?;
        let address = process.http;
        Ok(Self { runtime, process: Some(process), address, _folder: folder })
    }

    /// Sends `sent` on a new connection; what comes back until the other side ends it.
    pub(super) fn exchange(&self, sent: &[u8]) -> Result<Exchange, Fault> {
        let mut stream = TcpStream::connect(self.address).map_err(Fault::stage("a connection"))?;
        let ready = stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(QUIET)));
        ready
            .and_then(|()| stream.set_write_timeout(Some(ENDS_WITHIN)))
            .map_err(Fault::stage("a connection"))?;
        // What is refused is not read to its end.
        let _ = stream.write_all(sent);
        let clock = Clock::system();
        let mut exchange = Exchange { came: Vec::new(), was_cut: false };
        let mut until = None;
        let mut piece = vec![0; 16 * 1024];
        loop {
            match stream.read(&mut piece) {
                Ok(0) => return Ok(exchange),
                Ok(read) => exchange.came.extend_from_slice(piece.get(..read).unwrap_or_default()),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if until.is_none() {
                        exchange.was_cut = true;
                        let _ = stream.shutdown(Shutdown::Write);
                    }
                    let until = *until.get_or_insert_with(|| clock.now().after(ENDS_WITHIN));
                    if clock.now() >= until {
                        let limit_ms = ENDS_WITHIN.as_millis();
                        return Err(Fault::Slow { took_ms: limit_ms, limit_ms });
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It was reset: what was sent and not read is lost, and perhaps some of the answer.
                Err(_) => {
                    exchange.was_cut = true;
                    return Ok(exchange);
                }
            }
            if exchange.came.len() > ANSWER_BYTES_MAX {
                return Err(Fault::Broken(format!("more than {ANSWER_BYTES_MAX} bytes came back")));
            }
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            self.runtime.block_on(process.stop());
        }
    }
}

//! `[server]`, `[memory]` and `[shared]`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::super::fault::{DatabaseFault, ValueFault};
use super::super::raw::Table;
use super::super::report::Findings;
use super::super::secrets::Text;
use super::{number, required};

const HTTP_PORT: u16 = 8080;
const RESP_PORT: u16 = 6380;
const CONNECTIONS: usize = 10_000;
const BODIES_BYTES: u64 = 64 << 20;
/// What is slow where nothing is said.
const SLOW: Duration = Duration::from_millis(10);
const MEMORY_BUDGET_BYTES: u64 = 256 << 20;

/// Where the process listens and keeps its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Address of the HTTP listener; loopback where there are no tokens. Default: 127.0.0.1:8080.
    pub http: SocketAddr,
    /// Address of the RESP listener; loopback where there are no tokens. Default: 127.0.0.1:6380.
    pub resp: SocketAddr,
    /// Folder of the embedded tier, journals and what apps keep. Default: `data`.
    pub data: PathBuf,
    /// The most connections at one time, over both listeners. Default: 10,000.
    pub connections: usize,
    /// The most of them from one address. Default: half of them.
    pub connections_per_address: usize,
    /// The most bytes that bodies of HTTP requests on their way have, all together. Default: 64 MiB.
    pub bodies_bytes: u64,
    /// What takes as long or longer is slow. Default: 10 ms.
    pub slow: Duration,
    /// How both listeners speak TLS; nothing where they do not.
    pub tls: Option<Tls>,
}

/// The files with which a server shows who it is. They are read at the start, and again at each reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM: its own certificate, and behind it those up to its authority.
    pub certificate: PathBuf,
    /// PEM: the key of that certificate, not encrypted.
    pub key: PathBuf,
}

impl Server {
    /// The options of listeners that others than this machine reach.
    pub(crate) fn exposed(&self) -> impl Iterator<Item = &'static str> {
        let listeners = [("http", self.http), ("resp", self.resp)];
        listeners.into_iter().filter(|(_, address)| !address.ip().is_loopback()).map(|(name, _)| name)
    }
}

impl Default for Server {
    fn default() -> Self {
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self {
            http: loopback(HTTP_PORT),
            resp: loopback(RESP_PORT),
            data: PathBuf::from("data"),
            connections: CONNECTIONS,
            connections_per_address: CONNECTIONS / 2,
            bodies_bytes: BODIES_BYTES,
            slow: SLOW,
            tls: None,
        }
    }
}

/// The memory tier of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Most bytes held, over all keyspaces. Default: 256 MiB.
    pub budget_bytes: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Self { budget_bytes: MEMORY_BUDGET_BYTES }
    }
}

/// A tier of copies between memory and the sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Where it is: `embedded`, `memory`, `redis://`, `rediss://` or `redis-cluster://`.
    pub url: Text,
    /// Begins every key written there. Default: `fb:`.
    pub prefix: Text,
}

/// The address of the tier that is on disk, for one process.
const EMBEDDED: &str = "embedded";
/// The address that says that there is none: copies are in memory only.
const MEMORY: &str = "memory";

impl Default for Shared {
    fn default() -> Self {
        Self { url: Text::plain(EMBEDDED), prefix: Text::plain("") }
    }
}

impl Shared {
    /// Whether it is on disk, for one process alone.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.url.expose() == EMBEDDED
    }

    /// Whether other processes have a part in it.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        !matches!(self.url.expose(), EMBEDDED | MEMORY)
    }
}

pub(super) fn server(table: &Table, findings: &mut Findings) -> Option<Server> {
    let default = Server::default();
    let http = address(table, "http", default.http, findings);
    let resp = address(table, "resp", default.resp, findings);
    if let (Some(http), Some(resp)) = (http, resp)
        && http == resp
        && http.port() != 0
    {
        findings.add(table.span("resp"), ValueFault::SamePort);
    }
    let data = table.text("data").map_or(default.data, |data| PathBuf::from(data.expose()));
    let connections = number(table, "connections").unwrap_or(CONNECTIONS);
    let connections_per_address = number(table, "connections_per_address").unwrap_or(connections.div_ceil(2));
    let bodies_bytes = table.size("bodies").unwrap_or(default.bodies_bytes);
    let slow = table.duration("slow").unwrap_or(default.slow);
    let tls = match table.table("tls") {
        Some(table) => Some(tls(table, findings)?),
        None => None,
    };
    let (http, resp) = (http?, resp?);
    Some(Server { http, resp, data, connections, connections_per_address, bodies_bytes, slow, tls })
}

fn tls(table: &Table, findings: &mut Findings) -> Option<Tls> {
    let certificate = required(table, "certificate", "write `certificate = \"server.pem\"`", findings);
    let key = required(table, "key", "write `key = \"server-key.pem\"`", findings);
    let (_, _) = (certificate?, key?);
    let path = |name| Some(PathBuf::from(table.text(name)?.expose()));
    Some(Tls { certificate: path("certificate")?, key: path("key")? })
}

/// A listener's address; `localhost` is taken for 127.0.0.1 without asking anyone.
fn address(table: &Table, name: &str, default: SocketAddr, findings: &mut Findings) -> Option<SocketAddr> {
    let Some(entry) = table.get(name) else { return Some(default) };
    let text = entry.text()?.expose();
    let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let Ok(address) = local.as_deref().unwrap_or(text).parse::<SocketAddr>() else {
        findings.add(entry.span.clone(), ValueFault::BadAddress { name: name.into() });
        return None;
    };
    Some(address)
}

pub(super) fn memory(table: &Table) -> Memory {
    Memory { budget_bytes: table.size("budget").unwrap_or(MEMORY_BUDGET_BYTES) }
}

pub(super) fn shared(table: &Table, findings: &mut Findings) -> Option<Shared> {
    required(table, "url", "write `url = \"embedded\"` or `url = \"redis://127.0.0.1:6379\"`", findings)?;
    let url = table.text("url")?.clone();
    let shared = Shared { url, prefix: table.text("prefix").cloned().unwrap_or_else(|| Text::plain("fb:")) };
    if !shared.is_remote() {
        if table.has("prefix") {
            findings.add(table.key_span("prefix"), DatabaseFault::PrefixLocal);
        }
        return Some(Shared { prefix: Text::plain(""), ..shared });
    }
    let schemes = ["redis://", "rediss://", "redis-cluster://"];
    if !schemes.iter().any(|scheme| shared.url.expose().starts_with(scheme)) {
        let schemes = "`embedded` (on disk), `memory`, `redis://HOST:PORT`, `rediss://HOST:PORT` (TLS) or `redis-cluster://HOST:PORT`";
        findings.add(table.span("url"), DatabaseFault::BadScheme { place: "a shared tier", schemes });
        return None;
    }
    Some(shared)
}

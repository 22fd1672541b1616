//! What a request is declared as: its url and headers, its limits, whom it may reach.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue, USER_AGENT};

use super::address::AddressPolicy;
use super::connect::{Resolve, SystemResolver, TlsError};
use super::template::{Origin, UrlTemplate};
use crate::source::json::Pointer;

/// Headers that belong to the connection, the conditions or the body, which are not declared.
const OWN: [&str; 13] = [
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// How a source of requests asks.
#[derive(Clone)]
pub struct HttpOptions {
    /// The url, with parameters of the key, or `{keys}`.
    pub url: UrlTemplate,
    /// Origins that are asked with the same path and query when the first fails, in this order. Default: none.
    pub failover: Vec<Origin>,
    /// Sent with each request; never shown. Default: none.
    pub headers: Vec<(String, String)>,
    /// The part of an answer that is the value, or that holds the elements of many keys. Default: all of it.
    pub pointer: Option<Pointer>,
    /// Statuses beside 404 that say that there is no value. Default: none.
    pub absent: Vec<u16>,
    /// The member of a value that orders the values of a key: integers, the newest the greatest. Default: none.
    pub version: Option<String>,
    /// Whether `Cache-Control`, `Expires` and `Age` of an answer may shorten its TTL. Default: no.
    pub cache_control: bool,
    /// Most keys in one request, where it takes many. Default: 100.
    pub keys_max: usize,
    /// Most redirects that are followed, within the origin. Default: 3.
    pub redirects: u8,
    /// How often a request is made again at most. Default: 2.
    pub retries: u32,
    /// Retries in percent of the requests; three a second may always be made. Default: 10.
    pub retry_budget_percent: u8,
    /// The longest for name, TCP and TLS together. Default: 1 s.
    pub connect_timeout: Duration,
    /// The longest for one request, its connection included. Default: 2 s.
    pub timeout: Duration,
    /// The longest for a load, its retries included. Default: 5 s, the loader's own.
    pub deadline: Duration,
    /// The largest answer, in bytes. Default: 1 MiB.
    pub size_max_bytes: u64,
    /// What is remembered at most of answers that an origin may confirm, in bytes; zero: nothing. Default: 1 MiB.
    pub remember_bytes: usize,
    /// Most requests in flight, and most idle connections to an origin. Default: 16.
    pub connections: usize,
    /// How long an idle connection is kept. Default: 30 s.
    pub idle_timeout: Duration,
    /// Which addresses may be reached. Default: public ones.
    pub addresses: AddressPolicy,
    /// A file of authorities to trust beside those that browsers trust (PEM). Default: none.
    pub ca_file: Option<PathBuf>,
    /// How origins are probed. Default: not at all.
    pub health: Option<HealthOptions>,
    /// What names are resolved by. Default: the system's.
    pub resolver: Arc<dyn Resolve>,
}

impl fmt::Debug for HttpOptions {
    /// Shows what cannot hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("HttpOptions")
            .field("url", &self.url)
            .field("failover", &self.failover)
            .field("headers", &headers)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// How origins are probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthOptions {
    /// A path that an origin answers with success while it is well.
    pub path: String,
    /// How often it is asked, give or take a fifth.
    pub every: Duration,
}

/// Why a source or a sink of requests cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A header that cannot be sent, or that is not to be declared.
    #[error("the header `{name}` cannot be declared: {problem}")]
    Header {
        /// Its name.
        name: String,
        /// Why not.
        problem: &'static str,
    },
    /// The authorities to trust cannot be had.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is nothing for its connections to run on.
    #[error("no tokio runtime here: open it inside one")]
    NoRuntime,
    /// A sink's url has a place for many keys.
    #[error(
        "a write goes to the url of its one key: name the key's parameters there, in place of `{{keys}}`"
    )]
    ManyKeys,
}

impl HttpOptions {
    /// Requests for `url`, with the defaults for all else.
    #[must_use]
    pub fn new(url: UrlTemplate) -> Self {
        Self {
            url,
            failover: Vec::new(),
            headers: Vec::new(),
            pointer: None,
            absent: Vec::new(),
            version: None,
            cache_control: false,
            keys_max: 100,
            redirects: 3,
            retries: 2,
            retry_budget_percent: 10,
            connect_timeout: Duration::from_secs(1),
            timeout: Duration::from_secs(2),
            deadline: Duration::from_secs(5),
            size_max_bytes: 1024 * 1024,
            remember_bytes: 1024 * 1024,
            connections: 16,
            idle_timeout: Duration::from_secs(30),
            addresses: AddressPolicy::default(),
            ca_file: None,
            health: None,
            resolver: Arc::new(SystemResolver),
        }
    }

    /// Whether a header may be declared.
    ///
    /// # Errors
    /// When it is no header, or belongs to the connection.
    pub fn check_header(name: &str, value: &str) -> Result<(), OpenError> {
        header(name, value).map(|_| ())
    }

    /// The headers of each request.
    pub(super) fn header_map(&self) -> Result<HeaderMap, OpenError> {
        let mut map = HeaderMap::new();
        let accepted =
            if self.pointer.is_some() || self.url.takes_many() { "application/json" } else { "*/*" };
        map.insert(ACCEPT, HeaderValue::from_static(accepted));
        map.insert(USER_AGENT, HeaderValue::from_static(concat!("forebay/", env!("CARGO_PKG_VERSION"))));
        for (name, value) in &self.headers {
            let (name, mut value) = header(name, value)?;
            value.set_sensitive(true);
            map.insert(name, value);
        }
        map.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Ok(map)
    }

    /// The statuses that say that there is no value.
    pub(super) fn absent_statuses(&self) -> Vec<StatusCode> {
        let declared = self.absent.iter().filter_map(|status| StatusCode::from_u16(*status).ok());
        std::iter::once(StatusCode::NOT_FOUND).chain(declared).collect()
    }
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), OpenError> {
    let failed = |problem| OpenError::Header { name: name.to_owned(), problem };
    let known = HeaderName::try_from(name).map_err(|_| failed("its name is not one of HTTP"))?;
    if OWN.contains(&known.as_str()) {
        return Err(failed("it is set by the request itself"));
    }
    let value = HeaderValue::from_str(value).map_err(|_| failed("its value holds what no header can"))?;
    Ok((known, value))
}

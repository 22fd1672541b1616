//! Declared requests as sinks: `PUT` with the value, `DELETE` without, each write by itself, several beside one another.
//!
//! A write whose outcome was lost is made again by whoever calls. Where the other side honours `Idempotency-Key`
//! (draft-ietf-httpapi-idempotency-key-header) each write carries its operation id there, and takes effect once; otherwise at least once,
//! which a whole value stands. No redirect is followed: a write goes where it was declared to go, or nowhere.
//!
//! What an answer means: any success is one but 202, which promises nothing (RFC 9110 §15.3.3) and counts as one only where that is
//! declared; 404 or 410 to a `DELETE` is one too, since there is nothing to delete. 202, and 409 to a write with its id, say that the write may
//! be under way there: that is unknown, and a refusal where it is said of one write again and again. 408, 425 and 429
//! did nothing and may pass; server errors leave it unknown, since a gateway on the way may have told them, and so does a connection that breaks;
//! everything else is a refusal. What was not sent when the time of a call is over has failed; what was sent is told as far as it is known.
//! A sink that fails says so in one line of the log, and in one when it answers again.
//!
//! ```
//! use forebay::rt::Clock;
//! use forebay::{Blob, Forebay, Writes, secs};
//! use forebay_stores::sink::http::{HttpSink, HttpSinkOptions};
//! use forebay_stores::source::http::{HttpOptions, HttpSource, Many, UrlTemplate};
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let url = || UrlTemplate::parse("https://profiles.example/v1/users/{id}", &["id"], Many::Joined);
//! let sink = HttpSinkOptions { idempotency_key: true, ..HttpSinkOptions::new(url()?) };
//! let users = Forebay::new()?
//!     .namespace::<Blob>("users")
//!     .key("user:{id}")
//!     .ttl(secs(60))
//!     .source(HttpSource::open(HttpOptions::new(url()?), &["id"], Clock::default())?)
//!     .writes(Writes::Through)
//!     .sink(HttpSink::open(sink, Clock::default())?)
//!     .build()?;
//! # drop(users);
//! # Ok(()) }
//! ```

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forebay::rt::{Clock, Mutex, Tasks, Tick};
use forebay::value::Kind;
use forebay::writes::{Applied, Applying, Change, Effect, OperationId, SinkWrite, Unfit};
use forebay::{Blob, LoadKey, Sink, SinkError, Value};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use serde::de::IgnoredAny;
use tokio::sync::Semaphore;

use crate::episode::Episode;
use crate::source::http::address::AddressPolicy;
use crate::source::http::{
    Exchange, HttpError, HttpOptions, OpenError, Resolve, UrlTemplate, exchange_of, together,
};

/// How often it may be said of one write that it is under way there, before it counts as refused.
pub const UNDER_WAY_MAX: u32 = 20;
/// The most writes of which it is known how often; of more, all are counted anew.
const COUNTED_MAX: usize = 4_096;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// How a sink of requests asks.
#[derive(Clone)]
pub struct HttpSinkOptions {
    /// The url of a key's value, with parameters of the key.
    pub url: UrlTemplate,
    /// Sent with each request, in place of what it would say itself; never shown. Default: none.
    pub headers: Vec<(String, String)>,
    /// Whether the other side honours `Idempotency-Key`. Default: no.
    pub idempotency_key: bool,
    /// Whether 202 counts as applied: the other side keeps what it accepts, and applies it in order. Default: no.
    pub accepted: bool,
    /// The longest for name, TCP and TLS together. Default: 1 s.
    pub connect_timeout: Duration,
    /// The longest for the writes of one call together, which go beside one another as far as there are connections. Default: 4 s; shorter
    /// than what the engine waits for them.
    pub timeout: Duration,
    /// Most requests in flight, and most idle connections. Default: 16.
    pub connections: usize,
    /// How long an idle connection is kept. Default: 30 s.
    pub idle_timeout: Duration,
    /// Which addresses may be reached. Default: public ones.
    pub addresses: AddressPolicy,
    /// A file of authorities to trust beside those that browsers trust (PEM). Default: none.
    pub ca_file: Option<PathBuf>,
    /// What names are resolved by. Default: the system's.
    pub resolver: Arc<dyn Resolve>,
}

impl fmt::Debug for HttpSinkOptions {
    /// Shows what cannot hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSinkOptions").field("url", &self.url).finish_non_exhaustive()
    }
}

impl HttpSinkOptions {
    /// Requests for `url`, with the defaults for all else.
    #[must_use]
    pub fn new(url: UrlTemplate) -> Self {
        let HttpOptions { connect_timeout, connections, idle_timeout, addresses, resolver, .. } =
            HttpOptions::new(url.clone());
        Self {
            url,
            headers: Vec::new(),
            idempotency_key: false,
            accepted: false,
            connect_timeout,
            timeout: Duration::from_secs(4),
            connections,
            idle_timeout,
            addresses,
            ca_file: None,
            resolver,
        }
    }

    /// The same as what a source of requests is told.
    fn of_requests(&self) -> HttpOptions {
        HttpOptions {
            headers: self.headers.clone(),
            connect_timeout: self.connect_timeout,
            connections: self.connections,
            idle_timeout: self.idle_timeout,
            addresses: self.addresses.clone(),
            ca_file: self.ca_file.clone(),
            resolver: Arc::clone(&self.resolver),
            ..HttpOptions::new(self.url.clone())
        }
    }
}

/// A write that no request can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitWrite {
    /// No url can be made of its key.
    #[error("no url can be made of its key: a part of a path is empty or `..`, or it is too long")]
    Key,
    /// It is of a kind that is no body.
    #[error("its value is of the kind {kind}: requests carry blobs alone")]
    Kind {
        /// Its kind.
        kind: Kind,
    },
    /// Its content type cannot be sent.
    #[error("its content type is no text that a header can have: write it with another")]
    ContentType,
    /// It says of itself that it is JSON, and is none.
    #[error(
        "it is no JSON, which its content type says it is: write JSON, or say what it is by another content type"
    )]
    NotJson,
    /// It writes single fields.
    #[error("it writes fields of a hash: requests carry whole values alone")]
    Fields,
}

/// A write that may be under way on the other side.
#[derive(Debug, thiserror::Error)]
enum UnderWay {
    /// It was accepted, which is not applied.
    #[error(
        "{0}, which promises nothing: if whatever is accepted is applied in order, say so by `accepted = true`"
    )]
    Accepted(#[source] HttpError),
    /// An earlier attempt has not ended there.
    #[error("{0}: an earlier attempt at the write has not ended there")]
    Conflict(#[source] HttpError),
    /// That was said too often.
    #[error("{cause}; that was its answer {UNDER_WAY_MAX} times")]
    TooOften {
        /// What was said last.
        #[source]
        cause: Box<Self>,
    },
}

/// A sink that writes by HTTP requests.
#[derive(Debug)]
pub struct HttpSink {
    exchange: Exchange,
    url: UrlTemplate,
    idempotency_key: bool,
    accepted: bool,
    /// How often it was said of a write that it is under way there.
    under_way: Mutex<HashMap<OperationId, u32>>,
    timeout: Duration,
    connections: usize,
    /// Requests in flight.
    slots: Semaphore,
    clock: Clock,
    episode: Episode,
}

/// A write as it is sent.
struct Job {
    method: Method,
    target: String,
    own: HeaderMap,
    body: Bytes,
}

impl HttpSink {
    /// Makes ready what `options` declare; its times are measured by `clock`. Nothing is asked yet.
    ///
    /// # Errors
    /// When a header cannot be sent, the url is one for many keys, or the authorities to trust cannot be read.
    pub fn open(options: HttpSinkOptions, clock: Clock) -> Result<Self, OpenError> {
        if options.url.takes_many() {
            return Err(OpenError::ManyKeys);
        }
        let tasks = Tasks::current().ok_or(OpenError::NoRuntime)?;
        let connections = options.connections.max(1);
        Ok(Self {
            exchange: exchange_of(&options.of_requests(), tasks, clock.clone())?,
            url: options.url,
            idempotency_key: options.idempotency_key,
            accepted: options.accepted,
            under_way: Mutex::default(),
            timeout: options.timeout,
            connections,
            slots: Semaphore::new(connections),
            episode: Episode::new("the sink", clock.clone()),
            clock,
        })
    }

    /// Applies `write` before `due`: past it nothing is sent any more, and nobody is waited for.
    async fn applied(&self, write: &SinkWrite, due: Tick) -> Result<Applied, SinkError> {
        let mut job = self.job(&write.key, &write.change).map_err(SinkError::refused)?;
        if self.idempotency_key {
            job.own.extend(quoted(write.id).map(|id| (IDEMPOTENCY_KEY, id)));
        }
        let is_delete = job.method == Method::DELETE;
        let ended = self.sent(job, due).await;
        let under_way = match ended {
            Err(error) if error.has_status(StatusCode::ACCEPTED) && !self.accepted => {
                UnderWay::Accepted(error)
            }
            Err(error) if error.has_status(StatusCode::CONFLICT) && self.idempotency_key => {
                UnderWay::Conflict(error)
            }
            ended => {
                let told = self.told(ended, is_delete);
                // What did not come to an answer does not end what may be under way.
                if !matches!(&told, Err(error) if error.effect != Effect::Refused) {
                    self.under_way.lock().remove(&write.id);
                }
                return told;
            }
        };
        Err(self.counted(write.id, under_way))
    }

    /// What is told of a write that may be under way there.
    fn counted(&self, id: OperationId, under_way: UnderWay) -> SinkError {
        let mut counts = self.under_way.lock();
        if counts.len() >= COUNTED_MAX && !counts.contains_key(&id) {
            counts.clear();
        }
        let count = counts.entry(id).or_default();
        *count += 1;
        if *count < UNDER_WAY_MAX {
            return SinkError::unknown(under_way);
        }
        counts.remove(&id);
        SinkError::refused(UnderWay::TooOften { cause: Box::new(under_way) })
    }

    /// What is told of a write that has ended.
    fn told(&self, ended: Result<(), HttpError>, is_delete: bool) -> Result<Applied, SinkError> {
        match ended {
            // The other side may keep more, or another form.
            Ok(()) => Ok(Applied::otherwise()),
            Err(error) if error.has_status(StatusCode::ACCEPTED) && self.accepted => Ok(Applied::otherwise()),
            Err(HttpError::Status { status: StatusCode::NOT_FOUND | StatusCode::GONE, .. }) if is_delete => {
                Ok(Applied::otherwise())
            }
            Err(error) => Err(SinkError { effect: effect(&error), cause: Arc::new(error) }),
        }
    }

    async fn sent(&self, Job { method, target, own, body }: Job, due: Tick) -> Result<(), HttpError> {
        let left = || due.since(self.clock.now());
        let waited = left();
        let busy = HttpError::Busy { after: waited };
        let Ok(Ok(_slot)) = self.clock.timeout(waited, self.slots.acquire()).await else { return Err(busy) };
        let after = left();
        if after.is_zero() {
            return Err(busy);
        }
        let origin = self.url.origin();
        let sent = self.clock.timeout(after, self.exchange.send(origin, method, &target, own, body)).await;
        sent.unwrap_or_else(|_| Err(HttpError::Timeout { origin: origin.shown(), after }))
    }

    /// The request that a write is, but for the id that goes with it.
    fn job(&self, key: &LoadKey, change: &Change) -> Result<Job, UnfitWrite> {
        let target = self.url.fill(&[key]).ok_or(UnfitWrite::Key)?;
        let mut own = HeaderMap::new();
        let (method, body) = match change {
            Change::Put(Value::Blob(blob)) => {
                let told = HeaderValue::from_str(blob.content_type());
                own.insert(CONTENT_TYPE, told.map_err(|_| UnfitWrite::ContentType)?);
                (Method::PUT, blob.bytes())
            }
            Change::Put(other) => return Err(UnfitWrite::Kind { kind: other.kind() }),
            Change::Delete => (Method::DELETE, Bytes::new()),
            _ => return Err(UnfitWrite::Fields),
        };
        Ok(Job { method, target, own, body })
    }
}

/// What is known of a write that ended in `error`.
fn effect(error: &HttpError) -> Effect {
    match error {
        HttpError::Unreachable { .. }
        | HttpError::Refused { .. }
        | HttpError::Certificate { .. }
        | HttpError::Busy { .. } => Effect::Failed,
        HttpError::Status { status, .. } => match *status {
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                Effect::Failed
            }
            StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED => Effect::Refused,
            status if status.is_server_error() => Effect::Unknown,
            _ => Effect::Refused,
        },
        _ => Effect::Unknown,
    }
}

/// Whether a value says of itself that it is JSON: `application/json`, or a type of its own that ends in `+json` (RFC 6839 §3.1).
fn says_json(blob: &Blob) -> bool {
    let media = blob.content_type().split(';').next().unwrap_or_default().trim();
    let suffix = media.len().checked_sub("+json".len()).and_then(|at| media.get(at..));
    media.eq_ignore_ascii_case("application/json")
        || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"))
}

/// An operation id as a string of structured headers (RFC 9651 §3.3.3).
fn quoted(id: OperationId) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("\"{id}\"")).ok()
}

impl Sink for HttpSink {
    /// Whether a request can be made of it, whose body is what it says of itself.
    fn check(&self, _: &str, key: &LoadKey, change: &Change) -> Result<(), Unfit> {
        self.job(key, change).map_err(Unfit::new)?;
        match change {
            Change::Put(Value::Blob(blob)) if says_json(blob) => {
                let read = serde_json::from_slice::<IgnoredAny>(blob.as_bytes());
                read.map(drop).map_err(|_| Unfit::new(UnfitWrite::NotJson))
            }
            _ => Ok(()),
        }
    }

    fn apply<'a>(&'a self, namespace: &'a str, writes: &'a [SinkWrite]) -> Applying<'a> {
        Box::pin(async move {
            let watch = self.episode.watch(namespace, writes.iter().map(|write| &write.key));
            let due = self.clock.now().after(self.timeout);
            let work =
                writes.iter().map(|write| async { Ok::<_, Infallible>(self.applied(write, due).await) });
            let Ok(outcomes) = together::all(self.connections, work.collect()).await;
            // What the other side refuses it has answered.
            let failed = |error: &&SinkError| error.effect != Effect::Refused;
            watch.ended_each(|place| outcomes.get(place)?.as_ref().err().filter(failed));
            outcomes
        })
    }
}

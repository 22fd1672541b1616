//! Requests as sources: one request serves one key, or one serves many; answers become values.
//!
//! It guarantees that a key stays within its place in the url, that no address is connected to that may not be reached, that every load
//! ends within its deadline with a bounded number of requests, and that a dropped load leaves no request behind. It holds what
//! an origin may confirm without sending it again: a `304` is answered with the value that was remembered, so that the engine sees one
//! more load and needs no word for "unchanged". Caching, waiting for others and the breaker are the engine's.

pub mod address;
mod answer;
mod budget;
mod connect;
mod error;
mod exchange;
mod fetch;
mod freshness;
mod options;
mod origin;
mod remembered;
mod template;
pub(crate) mod together;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::{Clock, Tasks, Tick};
use forebay::source::{Answers, Loading};
use forebay::value::Param;
use forebay::{LoadKey, Loaded, Source, SourceError};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioTimer;
use tokio::sync::Semaphore;

pub use connect::{Resolve, Resolving, SystemResolver, TlsError};
pub use error::{HttpError, RedirectFault};
pub use options::{HealthOptions, HttpOptions, OpenError};
pub use template::{Many, Origin, TemplateError, TemplateFault, UrlTemplate};

use address::AddressPolicy;
use answer::{Answer, Picking};
use budget::Budget;
use connect::{Connector, Owned, TcpConnector};
pub(crate) use exchange::Exchange;
use exchange::Reply;
use fetch::Fetch;
use freshness::Lifetime;
use origin::Origins;
use remembered::{Remembered, Validators};

/// A source that loads by HTTP requests.
#[derive(Debug)]
pub struct HttpSource {
    fetch: Arc<Fetch>,
    url: UrlTemplate,
    picking: Picking,
    /// The name of the key's one parameter, where one request serves many.
    param: Option<String>,
    remembered: remembered::Answers,
    keys_max: usize,
    connections: usize,
    /// The longest that a load takes.
    deadline: Duration,
    respects_cache_control: bool,
    clock: Clock,
    /// Owns the probes.
    _probes: Tasks,
}

impl HttpSource {
    /// Makes ready what `options` declare, for keys with the parameters `params`; its times are measured by `clock`. Nothing is asked
    /// yet.
    ///
    /// # Errors
    /// When a header cannot be sent, or the authorities to trust cannot be read.
    pub fn open(options: HttpOptions, params: &[&str], clock: Clock) -> Result<Self, OpenError> {
        let (probes, connections) = Tasks::current().zip(Tasks::current()).ok_or(OpenError::NoRuntime)?;
        let fetch = Arc::new(fetch_of(&options, connections, clock.clone())?);
        if let Some(health) = options.health {
            probes.spawn(Arc::clone(&fetch).probe(health));
        }
        Ok(Self {
            fetch,
            param: params.first().filter(|_| options.url.takes_many()).map(|name| (*name).to_owned()),
            url: options.url,
            picking: Picking { pointer: options.pointer, version: options.version },
            remembered: remembered::Answers::new(options.remember_bytes),
            keys_max: options.keys_max.max(1),
            connections: options.connections.max(1),
            deadline: options.deadline,
            respects_cache_control: options.cache_control,
            clock,
            _probes: probes,
        })
    }

    async fn answers(&self, keys: &[LoadKey]) -> Result<Answers, HttpError> {
        let due = self.clock.now().after(self.deadline);
        match &self.param {
            Some(param) => self.load_many(param, keys, due).await,
            None => {
                let loads = keys.iter().map(|key| self.load_one(key, due)).collect();
                together::all(self.connections, loads).await
            }
        }
    }

    /// One request for `key`, conditional where an answer to it is remembered.
    async fn load_one(&self, key: &LoadKey, due: Tick) -> Result<Option<Loaded>, HttpError> {
        // A key that no url can be made of is none of the origin's.
        let Some(target) = self.url.fill(&[key]) else { return Ok(None) };
        let known = self.remembered.get(&target);
        let (origin, reply) = self.fetch.get(&target, known.as_ref(), due).await?;
        match (reply, known) {
            (Reply::Found { headers, body, maybe_cut }, _) => {
                let answer = Answer { origin: &origin.shown, headers: &headers, body: &body, maybe_cut };
                let loaded = self.picking.one(&answer)?;
                let lifetime = Lifetime::of(&headers);
                self.remember(&target, &origin, &headers, loaded.as_ref(), lifetime);
                Ok(loaded.map(|loaded| Loaded { ttl: self.ttl(lifetime, &headers), ..loaded }))
            }
            (Reply::NotModified { headers }, Some(known)) => {
                let lifetime = Lifetime::of(&headers).or(known.lifetime);
                let ttl = self.ttl(lifetime, &headers);
                let loaded = |value| Loaded { ttl, version: known.version, ..Loaded::new(value) };
                let loaded = known.value.clone().map(loaded);
                if lifetime != known.lifetime {
                    self.keep(&target, Remembered { lifetime, ..known });
                }
                Ok(loaded)
            }
            (Reply::Absent | Reply::NotModified { .. }, _) => {
                self.remembered.forget(&target);
                Ok(None)
            }
        }
    }

    /// As few requests as serve `keys`.
    async fn load_many(&self, param: &str, keys: &[LoadKey], due: Tick) -> Result<Answers, HttpError> {
        let askable: Vec<&LoadKey> = keys.iter().filter(|key| self.url.fill(&[key]).is_some()).collect();
        let requests = self.targets(&askable);
        let loads = requests.iter().map(|target| self.load_target(param, target, due)).collect();
        let mut found: HashMap<String, Loaded> = HashMap::with_capacity(keys.len());
        for part in together::all(self.connections, loads).await? {
            found.extend(part);
        }
        let text = |key: &LoadKey| match key.params.first()? {
            Param::Text(text) => Some(text.clone()),
            Param::Integer(number) => Some(number.to_string()),
        };
        Ok(keys.iter().map(|key| found.get(&text(key)?).cloned()).collect())
    }

    /// The urls for `keys`: no more keys in one than may be, and no url too long.
    fn targets(&self, keys: &[&LoadKey]) -> Vec<String> {
        let mut targets = Vec::new();
        let mut parts: Vec<&[&LoadKey]> = keys.chunks(self.keys_max).rev().collect();
        while let Some(part) = parts.pop() {
            match self.url.fill(part) {
                Some(target) => targets.push(target),
                // Too long: each half by itself. A single key has been tried.
                None if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                None => {}
            }
        }
        targets
    }

    async fn load_target(
        &self,
        param: &str,
        target: &str,
        due: Tick,
    ) -> Result<HashMap<String, Loaded>, HttpError> {
        let (origin, reply) = self.fetch.get(target, None, due).await?;
        let Reply::Found { headers, body, maybe_cut } = reply else { return Ok(HashMap::new()) };
        let answer = Answer { origin: &origin.shown, headers: &headers, body: &body, maybe_cut };
        let mut found = self.picking.many(&answer, param)?;
        let ttl = self.ttl(Lifetime::of(&headers), &headers);
        found.values_mut().for_each(|loaded| loaded.ttl = ttl);
        Ok(found)
    }

    fn ttl(&self, lifetime: Option<Lifetime>, headers: &hyper::HeaderMap) -> Option<Duration> {
        lifetime.filter(|_| self.respects_cache_control)?.left(headers)
    }

    /// Remembers an answer that the origin may confirm later, unless it asked not to be kept.
    fn remember(
        &self,
        target: &str,
        origin: &Arc<Origin>,
        headers: &hyper::HeaderMap,
        loaded: Option<&Loaded>,
        lifetime: Option<Lifetime>,
    ) {
        let Some(validators) = Validators::of(headers) else { return self.remembered.forget(target) };
        let value = loaded.and_then(|loaded| loaded.value.as_blob().cloned());
        let version = loaded.and_then(|loaded| loaded.version);
        let origin = Arc::clone(origin);
        self.keep(target, Remembered { origin, validators, value, version, lifetime });
    }

    fn keep(&self, target: &str, answer: Remembered) {
        if answer.lifetime.is_some_and(|lifetime| lifetime.no_store) {
            self.remembered.forget(target);
        } else {
            self.remembered.put(target, answer);
        }
    }
}

impl Source for HttpSource {
    fn gives_tags(&self) -> bool {
        false
    }

    fn load<'a>(&'a self, _namespace: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        Box::pin(async move { self.answers(keys).await.map_err(SourceError::from) })
    }
}

/// What asks as `options` say; its connections run on `connections`.
pub(crate) fn exchange_of(
    options: &HttpOptions,
    connections: Tasks,
    clock: Clock,
) -> Result<Exchange, OpenError> {
    let tcp = TcpConnector {
        resolver: Arc::clone(&options.resolver),
        policy: Arc::new(AddressPolicy::clone(&options.addresses)),
        timeout: options.connect_timeout,
        clock: clock.clone(),
    };
    let client = Client::builder(Owned(connections))
        .pool_idle_timeout(options.idle_timeout)
        .pool_max_idle_per_host(options.connections.max(1))
        .pool_timer(TokioTimer::new())
        .http1_max_headers(100)
        .http1_max_buf_size(64 * 1024)
        .build(Connector::new(tcp, connect::tls(options.ca_file.as_deref())?));
    Ok(Exchange {
        client,
        headers: options.header_map()?,
        absent: options.absent_statuses(),
        redirects: options.redirects,
        size_max_bytes: options.size_max_bytes,
        clock,
    })
}

fn fetch_of(options: &HttpOptions, connections: Tasks, clock: Clock) -> Result<Fetch, OpenError> {
    let exchange = exchange_of(options, connections, clock.clone())?;
    let origins = std::iter::once(&options.url.origin).chain(&options.failover).cloned();
    Ok(Fetch {
        exchange,
        origins: Origins::new(origins),
        budget: Budget::new(options.retry_budget_percent, clock.now()),
        slots: Semaphore::new(options.connections.max(1)),
        retries: options.retries,
        timeout: options.timeout,
        clock,
    })
}

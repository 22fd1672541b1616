//! `[namespace.NAME.source.http]`: a request that gives values.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use forebay_stores::source::http::address::{AddressPolicy, Network};
use forebay_stores::source::http::{
    HealthOptions, HttpOptions, Many, Origin, TemplateError, TemplateFault, UrlTemplate,
};
use forebay_stores::source::json::Pointer;

use super::super::fault::{KeyFault, RequestFault};
use super::super::raw::{Entry, Table};
use super::super::report::Findings;
use super::super::secrets::Text;
use super::source::{KeyNames, headers};
use super::{keys, number, required};

/// The part of the loader's time-out that one request has, so that another fits into it.
const REQUEST_SHARE: (u32, u32) = (2, 5);

/// A request that gives the value of one key, or the values of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSource {
    /// The url as it was written.
    pub url: Text,
    /// The same, with the places of parameters.
    pub template: UrlTemplate,
    /// Other origins of the same data, in the order in which they are asked. Default: none.
    pub failover: Vec<Origin>,
    /// Headers sent along.
    pub headers: BTreeMap<String, Text>,
    /// The part of an answer that is the value, or that holds the values of many keys. Default: all of it.
    pub pointer: Option<Pointer>,
    /// Statuses beside 404 that say that there is no value. Default: none.
    pub absent: Vec<u16>,
    /// Whether the answer's `Cache-Control` may shorten the TTL. Default: no.
    pub cache_control: bool,
    /// Most keys in one request. Default: 100.
    pub keys_max: usize,
    /// Most redirects that are followed. Default: 3.
    pub redirects: u8,
    /// How often a request is made again at most. Default: 2.
    pub retries: u32,
    /// Retries in percent of the requests. Default: 10.
    pub retry_budget_percent: u8,
    /// The longest for a connection. Default: 1 s.
    pub connect_timeout: Duration,
    /// The longest for one request. Default: two fifths of the loader's time-out, at most 2 s.
    pub timeout: Option<Duration>,
    /// The largest answer, in bytes. Default: 1 MiB.
    pub size_max_bytes: u64,
    /// What is remembered at most of answers that an origin may confirm, in bytes. Default: 1 MiB.
    pub remember_bytes: usize,
    /// Most requests in flight. Default: 16.
    pub connections: usize,
    /// How long an idle connection is kept. Default: 30 s.
    pub idle_timeout: Duration,
    /// Which addresses may be reached.
    pub addresses: AddressPolicy,
    /// Authorities to trust beside those that browsers trust.
    pub ca_file: Option<PathBuf>,
    /// How origins are probed. Default: not at all.
    pub health: Option<HealthOptions>,
}

impl HttpSource {
    /// How it asks, for loads that take no longer than `load_timeout`.
    #[must_use]
    pub fn options(&self, load_timeout: Duration) -> HttpOptions {
        let default = HttpOptions::new(self.template.clone());
        let (part, whole) = REQUEST_SHARE;
        HttpOptions {
            failover: self.failover.clone(),
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), value.expose().to_owned()))
                .collect(),
            pointer: self.pointer.clone(),
            absent: self.absent.clone(),
            cache_control: self.cache_control,
            keys_max: self.keys_max,
            redirects: self.redirects,
            retries: self.retries,
            retry_budget_percent: self.retry_budget_percent,
            connect_timeout: self.connect_timeout,
            timeout: self.timeout.unwrap_or_else(|| default.timeout.min(load_timeout * part / whole)),
            deadline: load_timeout,
            size_max_bytes: self.size_max_bytes,
            remember_bytes: self.remember_bytes,
            connections: self.connections,
            idle_timeout: self.idle_timeout,
            addresses: self.addresses.clone(),
            ca_file: self.ca_file.clone(),
            health: self.health.clone(),
            ..default
        }
    }
}

/// The `url` of a source or a sink.
pub(super) fn template(
    table: &Table,
    names: &KeyNames<'_>,
    many: Many,
    findings: &mut Findings,
) -> Option<UrlTemplate> {
    required(table, "url", "write `url = \"https://HOST/PATH/{PARAMETER}\"`", findings)?;
    let (entry, known) = (table.get("url")?, names.with_field()?);
    let url = entry.text()?;
    // Whoever reads an error must not learn where a secret url leads.
    let concealed = |template: UrlTemplate| template.shown_as("the origin of its url");
    match UrlTemplate::parse(url.expose(), &known, many) {
        Ok(template) => Some(if url.is_secret() { concealed(template) } else { template }),
        Err(error) => refused(entry, url, error, &known, findings),
    }
}

pub(super) fn http(table: &Table, names: &KeyNames<'_>, findings: &mut Findings) -> Option<HttpSource> {
    let many = if table.choice("keys") == Some("repeated") { Many::Repeated } else { Many::Joined };
    let template = template(table, names, many, findings);
    if table.has("keys") && template.as_ref().is_some_and(|template| !template.takes_many()) {
        findings.add(table.key_span("keys"), RequestFault::KeysWithoutPlace);
    }
    check_headers(table, findings);
    let pointer = pointer(table, findings);
    let (failover, absent) = (failover(table, findings), absent(table, findings));
    let addresses = addresses(table, findings);
    let health = table.table("health").map(|table| health(table, findings));
    let template = template?;
    let default = HttpOptions::new(template.clone());
    let size = |name| table.size(name).and_then(|bytes| usize::try_from(bytes).ok());
    Some(HttpSource {
        url: table.text("url")?.clone(),
        failover: failover?,
        headers: headers(table),
        pointer: super::transposed(pointer)?,
        absent: absent?,
        cache_control: table.flag("cache_control").unwrap_or(default.cache_control),
        keys_max: number(table, "keys_max").unwrap_or(default.keys_max),
        redirects: number(table, "redirects").unwrap_or(default.redirects),
        retries: number(table, "retries").unwrap_or(default.retries),
        retry_budget_percent: table.percent("retry_budget").unwrap_or(default.retry_budget_percent),
        connect_timeout: table.duration("connect_timeout").unwrap_or(default.connect_timeout),
        timeout: table.duration("timeout"),
        size_max_bytes: table.size("size_max").unwrap_or(default.size_max_bytes),
        remember_bytes: size("remember").unwrap_or(default.remember_bytes),
        connections: number(table, "connections").unwrap_or(default.connections),
        idle_timeout: table.duration("idle_timeout").unwrap_or(default.idle_timeout),
        addresses: addresses?,
        ca_file: table.text("ca_file").map(|path| path.expose().into()),
        health: super::transposed(health)?,
        template,
    })
}

/// Reports what is wrong with a url; nothing of a secret one is shown.
fn refused<T>(
    entry: &Entry,
    url: &Text,
    TemplateError { fault, at }: TemplateError,
    known: &[&str],
    findings: &mut Findings,
) -> Option<T> {
    let span = entry.part(at);
    match fault {
        TemplateFault::UnknownParameter { name } => {
            let name = if url.is_secret() { "…".into() } else { name };
            findings.add(span, KeyFault::UnknownUrlParameter { name, parameters: keys::listed(known) });
        }
        fault => {
            let is_hidden = url.is_secret() && matches!(fault, TemplateFault::Character { .. });
            let what = if is_hidden { "this cannot stand in a url".into() } else { fault.to_string() };
            findings.add(span, RequestFault::Url { what, mend: fault.mend() });
        }
    }
    None
}

/// Reports headers that cannot be declared.
pub(super) fn check_headers(table: &Table, findings: &mut Findings) {
    for (name, entry) in table.map("headers") {
        let Some(value) = entry.text() else { continue };
        if let Err(error) = HttpOptions::check_header(name, value.expose()) {
            findings.add(entry.key.clone(), RequestFault::Header { what: error.to_string() });
        }
    }
}

#[expect(clippy::option_option, reason = "given or not, right or not")]
fn pointer(table: &Table, findings: &mut Findings) -> Option<Option<Pointer>> {
    let text = table.text("pointer")?;
    let parsed = text.expose().parse();
    Some(parsed.map_err(|_| findings.add(table.span("pointer"), RequestFault::Pointer)).ok())
}

/// The origins of a list; nothing where one of them is none.
fn failover(table: &Table, findings: &mut Findings) -> Option<Vec<Origin>> {
    let read = |entry: &Entry| {
        let text = entry.text()?;
        let concealed = |origin: Origin| origin.shown_as("another origin of its url");
        match Origin::parse(text.expose()) {
            Ok(origin) => Some(if text.is_secret() { concealed(origin) } else { origin }),
            Err(error) => refused(entry, text, error, &[], findings),
        }
    };
    table.texts("failover").iter().map(read).collect::<Vec<_>>().into_iter().collect()
}

fn absent(table: &Table, findings: &mut Findings) -> Option<Vec<u16>> {
    let mut read = |entry: &Entry| {
        let status = entry.text()?.expose().parse().ok().filter(|status| (200..600).contains(status));
        if status.is_none() {
            findings.add(entry.span.clone(), RequestFault::Status);
        }
        status
    };
    table.texts("absent").iter().map(&mut read).collect::<Vec<_>>().into_iter().collect()
}

/// Which addresses may be reached.
pub(super) fn addresses(table: &Table, findings: &mut Findings) -> Option<AddressPolicy> {
    let mut read = |entry: &Entry| {
        let network: Option<Network> = entry.text()?.expose().parse().ok();
        if network.is_none() {
            findings.add(entry.span.clone(), RequestFault::Network);
        }
        network
    };
    let allowed: Vec<_> = table.texts("allow").iter().map(&mut read).collect();
    let allow_private = table.flag("allow_private").unwrap_or(false);
    Some(AddressPolicy { allow_private, allowed: allowed.into_iter().collect::<Option<_>>()? })
}

fn health(table: &Table, findings: &mut Findings) -> Option<HealthOptions> {
    required(table, "path", "write `health = { path = \"/health\" }`", findings)?;
    let path = table.text("path")?;
    // A path is what a url without parameters has behind its host.
    let is_path = path.expose().starts_with('/')
        && UrlTemplate::parse(&format!("http://host{}", path.expose()), &[], Many::Joined).is_ok();
    if !is_path {
        findings.add(table.span("path"), RequestFault::HealthPath);
        return None;
    }
    let every = table.duration("every").unwrap_or(Duration::from_secs(5));
    Some(HealthOptions { path: path.expose().to_owned(), every })
}

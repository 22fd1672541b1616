//! One request and its answer: redirects followed as far as they may be, the body read as far as it may go. What writes follows none, and its
//! answer's body is nobody's concern.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use forebay::rt::Clock;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, LOCATION,
    TRANSFER_ENCODING,
};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;

use super::connect::Connector;
use super::error::{HttpError, RedirectFault, innermost};
use super::freshness;
use super::remembered::Validators;
use super::template::Origin;

/// What of an answer without a value is read, so that its connection can be used again, in bytes.
const DRAINED_BYTES: u64 = 16 * 1024;
/// How long that may take.
const DRAINED_WITHIN: Duration = Duration::from_millis(50);

/// Asks origins, each request by itself.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(super) client: Client<Connector, Full<Bytes>>,
    /// Sent with each request.
    pub(super) headers: HeaderMap,
    /// Statuses that say that there is no value.
    pub(super) absent: Vec<StatusCode>,
    pub(super) redirects: u8,
    pub(super) size_max_bytes: u64,
    pub(super) clock: Clock,
}

/// What an origin answered.
#[derive(Debug)]
pub(super) enum Reply {
    /// A value.
    Found {
        headers: HeaderMap,
        body: Bytes,
        /// Nothing said where it ends.
        maybe_cut: bool,
    },
    /// There is none.
    Absent,
    /// What was remembered still holds.
    NotModified { headers: HeaderMap },
}

impl Exchange {
    /// Gets `target`, a path and query, from `origin`; the origin may say that what is known by `validators` still holds.
    pub(super) async fn get(
        &self,
        origin: &Arc<Origin>,
        target: &str,
        validators: Option<&Validators>,
    ) -> Result<Reply, HttpError> {
        let mut place = Place { origin: Origin::clone(origin), target: target.to_owned() };
        for followed in 0..=self.redirects {
            let response = self.ask(&place, Method::GET, conditions(validators), Bytes::new()).await?;
            let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)
                && !self.absent.contains(&response.status());
            if !is_redirect {
                return self.read(&origin.shown, response, validators.is_some()).await;
            }
            if followed < self.redirects {
                place = place.redirected(origin, response.headers())?;
            }
            self.drain(response.into_body()).await;
        }
        Err(HttpError::Redirects { origin: Arc::clone(&origin.shown), most: self.redirects })
    }

    /// Whether `origin` answers a probe of `target` with success.
    pub(super) async fn is_well(&self, origin: &Arc<Origin>, target: &str) -> bool {
        let place = Place { origin: Origin::clone(origin), target: target.to_owned() };
        match self.ask(&place, Method::GET, HeaderMap::new(), Bytes::new()).await {
            Ok(response) => {
                let is_well = response.status().is_success();
                self.drain(response.into_body()).await;
                is_well
            }
            Err(_) => false,
        }
    }

    /// Has `origin` do `method` with `target`, by a request with `body` and these headers of its own. Any success is one; every other answer
    /// is an error.
    pub(crate) async fn send(
        &self,
        origin: &Origin,
        method: Method,
        target: &str,
        own: HeaderMap,
        body: Bytes,
    ) -> Result<(), HttpError> {
        let place = Place { origin: Origin::clone(origin), target: target.to_owned() };
        let (head, body) = self.ask(&place, method, own, body).await?.into_parts();
        self.drain(body).await;
        // What was accepted may be applied later, or never (RFC 9110 §15.3.3).
        if head.status.is_success() && head.status != StatusCode::ACCEPTED {
            return Ok(());
        }
        let retry_after = freshness::retry_after(&head.headers);
        Err(HttpError::Status { origin: Arc::clone(&origin.shown), status: head.status, retry_after })
    }

    async fn ask(
        &self,
        place: &Place,
        method: Method,
        own: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, HttpError> {
        let shown = &place.origin.shown;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = place.uri().ok_or_else(|| HttpError::Lost {
            origin: Arc::clone(shown),
            problem: "its url cannot be asked for".into(),
        })?;
        // What is declared comes before what a request would say of itself.
        let mut headers = own;
        headers.extend(self.headers.clone());
        *request.headers_mut() = headers;
        self.client.request(request).await.map_err(|error| HttpError::of_client(&place.origin, &error))
    }

    async fn read(
        &self,
        shown: &Arc<str>,
        response: Response<Incoming>,
        was_conditional: bool,
    ) -> Result<Reply, HttpError> {
        let (head, body) = response.into_parts();
        let (status, headers) = (head.status, head.headers);
        if status == StatusCode::NOT_MODIFIED && was_conditional {
            return Ok(Reply::NotModified { headers });
        }
        if self.absent.contains(&status) {
            self.drain(body).await;
            return Ok(Reply::Absent);
        }
        if !matches!(status, StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION) {
            self.drain(body).await;
            let retry_after = freshness::retry_after(&headers);
            return Err(HttpError::Status { origin: Arc::clone(shown), status, retry_after });
        }
        let coding = headers.get(CONTENT_ENCODING).map(|coding| String::from_utf8_lossy(coding.as_bytes()));
        if let Some(coding) = coding.filter(|coding| !coding.eq_ignore_ascii_case("identity")) {
            let coding = coding.chars().take(32).collect();
            return Err(HttpError::Coding { origin: Arc::clone(shown), coding });
        }
        let maybe_cut = !tells_its_end(&headers);
        let body = self.whole(shown, body).await?;
        Ok(Reply::Found { headers, body, maybe_cut })
    }

    /// The whole of `body`, unless it is too large.
    async fn whole(&self, shown: &Arc<str>, mut body: Incoming) -> Result<Bytes, HttpError> {
        let too_large =
            || HttpError::TooLarge { origin: Arc::clone(shown), limit_bytes: self.size_max_bytes };
        if body.size_hint().lower() > self.size_max_bytes {
            return Err(too_large());
        }
        let mut first = Bytes::new();
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame
                .map_err(|error| HttpError::Lost { origin: Arc::clone(shown), problem: innermost(&error) })?;
            let Ok(data) = frame.into_data() else { continue };
            let length = first.len().saturating_add(whole.len()).saturating_add(data.len());
            if u64::try_from(length).is_ok_and(|length| length > self.size_max_bytes) {
                return Err(too_large());
            }
            if first.is_empty() && whole.is_empty() {
                first = data;
            } else {
                whole.extend_from_slice(&std::mem::take(&mut first));
                whole.extend_from_slice(&data);
            }
        }
        Ok(if whole.is_empty() { first } else { whole.freeze() })
    }

    /// Reads what nobody wants, where it is little, so that the connection can be used again; else the connection is closed.
    async fn drain(&self, mut body: Incoming) {
        if body.size_hint().upper().is_none_or(|bytes| bytes > DRAINED_BYTES) {
            return;
        }
        let drained = async { while let Some(Ok(_)) = body.frame().await {} };
        // What is not there by then is not worth the wait: the body is dropped, and its connection with it.
        let _ = self.clock.timeout(DRAINED_WITHIN, drained).await;
    }
}

/// What asks whether a value is still that of `validators`.
fn conditions(validators: Option<&Validators>) -> HeaderMap {
    let Validators { etag, modified } = validators.cloned().unwrap_or_default();
    let conditions = [(IF_NONE_MATCH, etag), (IF_MODIFIED_SINCE, modified)];
    conditions.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Whether a body with these headers is known to be cut where it is (RFC 9112 §6.3); else it ends where its connection does.
fn tells_its_end(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(TRANSFER_ENCODING).iter().next_back();
    match codings.map(|codings| codings.to_str().unwrap_or_default()) {
        Some(codings) => {
            codings.rsplit(',').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"))
        }
        None => headers.contains_key(CONTENT_LENGTH),
    }
}

/// Where a request goes.
struct Place {
    origin: Origin,
    target: String,
}

impl Place {
    fn uri(&self) -> Option<Uri> {
        let scheme = if self.origin.is_tls { "https" } else { "http" };
        Uri::builder()
            .scheme(scheme)
            .authority(self.origin.authority.clone())
            .path_and_query(self.target.as_str())
            .build()
            .ok()
    }

    /// Where the `Location` in `headers` leads, if it may be followed: it stays at the declared origin, or goes from `http` to `https` on
    /// the same host.
    fn redirected(&self, declared: &Origin, headers: &HeaderMap) -> Result<Self, HttpError> {
        let failed = |to: &str, why| HttpError::Redirect {
            origin: Arc::clone(&declared.shown),
            to: to.to_owned(),
            why,
        };
        let location = headers.get(LOCATION).and_then(|location| location.to_str().ok()).unwrap_or_default();
        let (location, _) = location.split_once('#').unwrap_or((location, ""));
        let next = self.joined(location).ok_or_else(|| failed("", RedirectFault::NoPlace))?;
        let to = &next.origin;
        if self.origin.is_tls && !to.is_tls {
            return Err(failed(&to.shown, RedirectFault::Downgrade));
        }
        if to.is_same(declared) || to.is_same(&self.origin) {
            return Ok(next);
        }
        let is_upgrade = to.is_tls && !declared.is_tls && to.is_host_of(declared);
        if is_upgrade && (declared.port(), to.port()) == (80, 443) {
            return Ok(next);
        }
        Err(failed(&to.shown, RedirectFault::Elsewhere))
    }

    /// `reference`, seen from here (RFC 3986 §5.2).
    fn joined(&self, reference: &str) -> Option<Self> {
        let here = Origin::clone(&self.origin);
        let scheme = if here.is_tls { "https:" } else { "http:" };
        let lower = reference.get(..8).unwrap_or(reference).to_ascii_lowercase();
        let absolute = if lower.starts_with("http://") || lower.starts_with("https://") {
            let (scheme, rest) = reference.split_once("://")?;
            Some(format!("{}://{rest}", scheme.to_ascii_lowercase()))
        } else {
            reference.starts_with("//").then(|| format!("{scheme}{reference}"))
        };
        if let Some(absolute) = absolute {
            let (origin, rest) = Origin::split(&absolute).ok()?;
            let target = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
            let origin = here.leads_to(origin);
            return Some(Self { origin, target: without_dots(&target) });
        }
        let path = self.target.split('?').next().unwrap_or_default();
        let target = match reference.as_bytes().first() {
            None => return None,
            Some(b'/') => reference.to_owned(),
            Some(b'?') => format!("{path}{reference}"),
            Some(_) if reference.split(['/', '?']).next().is_some_and(|first| first.contains(':')) => {
                return None;
            }
            Some(_) => {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                format!("{folder}/{reference}")
            }
        };
        Some(Self { origin: here, target: without_dots(&target) })
    }
}

/// `target` with the dot segments of its path resolved (RFC 3986 §5.2.4).
fn without_dots(target: &str) -> String {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if segments.peek().is_none() {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    let path = format!("/{}", kept.join("/"));
    query.map_or(path.clone(), |query| format!("{path}?{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Place {
        let (origin, target) = Origin::split(url).unwrap();
        Place { origin, target: target.to_owned() }
    }

    fn led(from: &str, location: &str) -> Result<String, RedirectFault> {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, location.parse().unwrap());
        let from = place(from);
        match from.redirected(&from.origin, &headers) {
            Ok(next) => Ok(next.uri().unwrap().to_string()),
            Err(HttpError::Redirect { why, .. }) => Err(why),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn references_are_resolved() {
        let from = "http://a/b/c/d;p?q";
        for (reference, wanted) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            (".", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("//A/g", "http://a/g"),
            ("HTTP://A:80/x#y", "http://a:80/x"),
        ] {
            assert_eq!(
                led(from, reference).map(|led| led.to_ascii_lowercase()),
                Ok(wanted.into()),
                "{reference}"
            );
        }
    }

    #[test]
    fn a_place_that_is_concealed_stays_so() {
        for location in
            ["/x", "//hush/x", "https://hush/x", "http://hush/x", "https://hush:444/", "https://its.hush/"]
        {
            let mut from = place("https://hush/a");
            from.origin = from.origin.shown_as("the origin of its url");
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, location.parse().unwrap());
            match from.redirected(&from.origin, &headers) {
                Ok(next) => assert_eq!(&*next.origin.shown, "the origin of its url", "{location}"),
                Err(error) => assert!(!format!("{error} {error:?}").contains("hush"), "{error}"),
            }
        }
    }

    #[test]
    fn a_body_tells_its_end_by_a_length_or_by_chunks() {
        for (name, value, tells) in [
            ("content-length", "3", true),
            ("transfer-encoding", "chunked", true),
            ("transfer-encoding", "gzip, Chunked", true),
            ("transfer-encoding", "chunked, gzip", false),
            ("x", "y", false),
        ] {
            let headers = [(name.parse().unwrap(), value.parse().unwrap())].into_iter().collect();
            assert_eq!(tells_its_end(&headers), tells, "{name}: {value}");
        }
    }

    #[test]
    fn a_redirect_stays_with_its_origin() {
        for (from, location, why) in [
            ("https://a/x", "http://a/x", RedirectFault::Downgrade),
            ("https://a/x", "https://b/x", RedirectFault::Elsewhere),
            ("https://a/x", "https://a:444/x", RedirectFault::Elsewhere),
            ("https://a/x", "https://a@b/x", RedirectFault::NoPlace),
            ("http://a/x", "https://b/x", RedirectFault::Elsewhere),
            ("http://a:81/x", "https://a/x", RedirectFault::Elsewhere),
            ("http://a/x", "file:///etc", RedirectFault::NoPlace),
            ("http://a/x", "", RedirectFault::NoPlace),
        ] {
            assert_eq!(led(from, location), Err(why), "{from} to {location}");
        }
        assert_eq!(led("http://a/x", "https://a/y"), Ok("https://a/y".into()));
        assert_eq!(led("https://a/x", "https://A:443/y"), Ok("https://A:443/y".into()));
    }
}

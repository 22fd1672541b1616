//! Tokens over HTTP: `Authorization: Bearer …` (RFC 6750).
//!
//! One layer around all routes. A path under `/v1` names its keyspace and its namespace, read as the router reads them; any other
//! path, an app's among them, is judged as if it touched everything. What reads needs `read`, which a `POST` of `:get` does too, and any
//! other method `write`. Whether a keyspace is there at all is told to nobody who may not read it. A request with a body is judged again
//! until the whole of it has come: a right that is taken away meanwhile is gone.
//!
//! Where no token is asked for, the process serves its own machine, and a browser there runs the pages of strangers. What such a page asks
//! is refused: by `Host` where a name of its own was made to lead here, by `Origin` and `Sec-Fetch-Site` where it says whose page it is.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawPathParams, Request, State};
use axum::http::uri::{Authority, Uri};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::{Access, Door, Right, Watch};
use crate::http::bodies;
use crate::problem::Problem;

/// Answered to everybody: who probes, such as a kubelet or a balancer, has no token.
const LIVE: &str = "/health";
/// Answered to everybody too, by whether it serves alone; how it is is for who may read everything.
const READY: &str = "/health/ready";
/// Paths under it name their keyspace and their namespace.
const OF_VALUES: &str = "/v1/";
/// Whose page asks, as browsers say (Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Asks for a token before any of the routes. What its bearer may do is among the request's extensions, for handlers that need to know
/// more than the path and the method tell.
pub(crate) fn guard(routes: Router, door: Door) -> Router {
    routes.layer(from_fn_with_state(door, judge))
}

async fn judge(
    State(door): State<Door>,
    parameters: Result<RawPathParams, axum::extract::rejection::RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Response {
    if request.uri().path() == LIVE {
        return next.run(request).await;
    }
    if request.uri().path() == READY {
        let access = door.open().filter(|_| !is_foreign(request.headers()));
        let access = access.or_else(|| door.show(None, bearer(request.headers())?));
        if let Some(access) = access.filter(|access| access.allows_all(Right::Read)) {
            request.extensions_mut().insert(access);
        }
        return next.run(request).await;
    }
    // From before the first look, so that no change is missed.
    let watch = door.watch();
    let access = match asking(&door, request.headers()) {
        Ok(access) => access,
        Err(refused) => return refused,
    };
    let parameters = parameters.ok().filter(|_| request.uri().path().starts_with(OF_VALUES));
    let wanted = Wanted { parameters, method: request.method().clone() };
    if let Err(refused) = wanted.of(&access) {
        return refused.into_response();
    }
    request.extensions_mut().insert(Arc::clone(&access));
    let mut judged = Judged { wanted, access: Some(access), watch };
    bodies::checked(request, next, move |_| judged.again()).await
}

/// What who sends these headers may do.
fn asking(door: &Door, headers: &HeaderMap) -> Result<Arc<Access>, Response> {
    let open = door.open();
    if open.is_some() && is_foreign(headers) {
        return Err(foreign_host().into_response());
    }
    let shown = bearer(headers);
    let access = open.or_else(|| door.show(None, shown?));
    access.ok_or_else(|| unauthorized(shown.map_or(Shown::Nothing, |_| Shown::Unknown)))
}

/// Whether who sends these headers may read the values of a namespace.
pub(crate) fn may_read(door: &Door, headers: &HeaderMap, keyspace: &str, namespace: &str) -> bool {
    asking(door, headers).is_ok_and(|access| access.allows(keyspace, namespace, Right::Read))
}

/// What a request wants to do.
struct Wanted {
    /// Those of a path of values.
    parameters: Option<RawPathParams>,
    method: Method,
}

impl Wanted {
    /// Whether who has `access` may do it.
    fn of(&self, access: &Access) -> Result<(), Problem> {
        if access.allows_everything() {
            return Ok(());
        }
        let named = self.parameters.as_ref().map(Named::of).unwrap_or_default();
        let right = needed(&self.method, named.verb);
        if named.may(access, right) { Ok(()) } else { Err(forbidden(right)) }
    }
}

/// A request that was allowed, and what would change that.
struct Judged {
    wanted: Wanted,
    access: Option<Arc<Access>>,
    watch: Watch,
}

impl Judged {
    /// Whether it still is: an atomic load where no right has changed.
    fn again(&mut self) -> Result<(), Response> {
        if self.watch.has_changed() {
            self.access = self.watch.again(self.access.as_deref());
        }
        let access = self.access.as_ref().ok_or_else(|| unauthorized(Shown::Unknown))?;
        self.wanted.of(access).map_err(Problem::into_response)
    }
}

/// What a path names: no namespace stands for all of the keyspace, and no keyspace for everything.
#[derive(Clone, Copy, Debug, Default)]
struct Named<'p> {
    keyspace: Option<&'p str>,
    namespace: Option<&'p str>,
    /// What is done to the last of them that the path has: `get` in `quotes:get`.
    verb: Option<&'p str>,
}

impl<'p> Named<'p> {
    fn of(parameters: &'p RawPathParams) -> Self {
        let mut named = Self::default();
        for (parameter, text) in parameters {
            let place = match parameter {
                "keyspace" => &mut named.keyspace,
                "namespace" => &mut named.namespace,
                _ => continue,
            };
            // No name of either has a colon.
            let (name, verb) = text.rsplit_once(':').map_or((text, None), |(name, verb)| (name, Some(verb)));
            *place = Some(name);
            named.verb = verb.or(named.verb);
        }
        named
    }

    fn may(self, access: &Access, right: Right) -> bool {
        match (self.keyspace, self.namespace) {
            (Some(keyspace), Some(namespace)) => access.allows(keyspace, namespace, right),
            (Some(keyspace), None) => access.allows_keyspace(keyspace, right),
            (None, _) => access.allows_all(right),
        }
    }
}

fn needed(method: &Method, verb: Option<&str>) -> Right {
    match (method, verb) {
        (&Method::GET | &Method::HEAD | &Method::OPTIONS, _) | (&Method::POST, Some("get")) => Right::Read,
        _ => Right::Write,
    }
}

/// The token that the request shows; the scheme in letters of any size.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.as_bytes().split_first_chunk::<7>()?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Whether the headers are those of a page from elsewhere, or of one whose name was made to lead here. Programs that are no browsers may
/// leave out all of them.
fn is_foreign(headers: &HeaderMap) -> bool {
    let of_host = |host: &HeaderValue| {
        let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        host.is_some_and(|host| is_localhost(host.host()) || address(host.host()).is_some())
    };
    let of_origin = |origin: &HeaderValue| {
        let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
        let host = origin.as_ref().and_then(Uri::host);
        host.is_some_and(|host| {
            is_localhost(host) || address(host).is_some_and(|address| address.to_canonical().is_loopback())
        })
    };
    !headers.get_all(header::HOST).iter().all(of_host)
        || !headers.get_all(header::ORIGIN).iter().all(of_origin)
        || headers.get_all(SEC_FETCH_SITE).iter().any(|site| site == "cross-site")
}

fn is_localhost(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
}

/// The address that is written out in the place of a name.
fn address(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host).parse().ok()
}

fn foreign_host() -> Problem {
    let detail = "without tokens only this machine is served: ask for `localhost` or an address, and from no page of another site";
    Problem::new(StatusCode::FORBIDDEN, "foreign_host", detail.into())
}

/// What a request shows that is not enough.
#[derive(Clone, Copy, Debug)]
enum Shown {
    Nothing,
    /// A token that is none, or none any more.
    Unknown,
}

fn unauthorized(shown: Shown) -> Response {
    let (detail, challenge) = match shown {
        Shown::Unknown => {
            ("no such token is declared here", "Bearer realm=\"forebay\", error=\"invalid_token\"")
        }
        Shown::Nothing => ("show a token: `Authorization: Bearer TOKEN`", "Bearer realm=\"forebay\""),
    };
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail.into());
    let mut response = problem.into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

fn forbidden(right: Right) -> Problem {
    let detail = format!("the token does not allow to {} this", right.word());
    Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
}

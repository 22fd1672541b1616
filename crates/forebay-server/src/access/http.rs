//! Tokens over HTTP: `Authorization: Bearer …` (RFC 6750).
//!
//! One layer around all routes. A path under `/v1` names its keyspace and its namespace, read as the router reads them; any other
//! path, an app's among them, is judged as if it touched everything. What reads needs `read`, which a `POST` of `:get` does too, and any
//! other method `write`. Whether a keyspace is there at all is told to nobody who may not read it.

use axum::Router;
use axum::extract::{RawPathParams, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::{Access, Door, Right};
use crate::problem::Problem;

/// Answered to everybody: a balancer that asks has no token.
const OPEN: [&str; 1] = ["/health"];
/// Paths under it name their keyspace and their namespace.
const OF_VALUES: &str = "/v1/";

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
    if OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let access = match bearer(request.headers()) {
        Some(token) => door.show(None, token).or_else(|| door.open()),
        None => door.open(),
    };
    let Some(access) = access else { return unauthorized(request.headers()) };
    if !access.allows_everything() {
        let parameters = parameters.ok().filter(|_| request.uri().path().starts_with(OF_VALUES));
        let named = parameters.as_ref().map(Named::of).unwrap_or_default();
        let right = needed(request.method(), named.verb);
        if !named.may(&access, right) {
            return forbidden(right).into_response();
        }
    }
    request.extensions_mut().insert(access);
    next.run(request).await
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

fn unauthorized(headers: &HeaderMap) -> Response {
    let (detail, challenge) = match bearer(headers) {
        Some(_) => ("no such token is declared here", "Bearer realm=\"forebay\", error=\"invalid_token\""),
        None => ("show a token: `Authorization: Bearer TOKEN`", "Bearer realm=\"forebay\""),
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

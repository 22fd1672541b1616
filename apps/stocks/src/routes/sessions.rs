//! Users, and their sessions: login, use, logout.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use forebay_server::problem::Problem;
use forebay_server::request;
use serde::Deserialize;

use crate::exchange::{Exchange, wants_the_truth};
use crate::sessions::{Session, User};

const USER: &str = r#"{"username": "user123", "permissions": ["read", "trade"]}"#;
const LOGIN: &str = r#"{"user_id": "u1"}"#;
/// Longest id, name and permission, in characters.
const NAME_MAX: usize = 64;
/// Most permissions of a user.
const PERMISSIONS_MAX: usize = 64;

fn name(what: &str, text: &str) -> Result<(), Problem> {
    request::name(what, text, NAME_MAX)
}

fn shown(status: StatusCode, session: &Session) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(session)).into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Put {
    username: String,
    permissions: Vec<String>,
}

/// Writes a user: 201, or 200 where there was one.
pub(super) async fn put_user(
    State(exchange): State<Exchange>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let user_id = request::path(path)?;
    let Put { username, permissions } = super::json(body, USER)?;
    name("user_id", &user_id)?;
    name("username", &username)?;
    if permissions.len() > PERMISSIONS_MAX {
        return Err(Problem::bad_request(format!("permissions: at most {PERMISSIONS_MAX}")));
    }
    permissions.iter().try_for_each(|permission| name("permissions", permission))?;
    let user = User { user_id, username, permissions };
    let is_new = exchange.sessions.put_user(&user).await?;
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, Json(user)).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    user_id: String,
}

/// Begins a session. Who the user is was found out by whoever stands before this.
pub(super) async fn login(
    State(exchange): State<Exchange>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Login { user_id } = super::json(body, LOGIN)?;
    name("user_id", &user_id)?;
    Ok(shown(StatusCode::CREATED, &exchange.sessions.begin(&user_id).await?))
}

/// A session, which is used by that; with `Cache-Control: no-cache` confirmed with the user's row.
pub(super) async fn find(
    State(exchange): State<Exchange>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let user_id = request::path(path)?;
    name("user_id", &user_id)?;
    let session = match wants_the_truth(&headers) {
        true => exchange.sessions.confirm(&user_id).await?,
        false => exchange.sessions.used(&user_id).await?,
    };
    Ok(shown(StatusCode::OK, &session))
}

/// Ends a session.
pub(super) async fn logout(
    State(exchange): State<Exchange>,
    path: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let user_id = request::path(path)?;
    name("user_id", &user_id)?;
    exchange.sessions.end(&user_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! Readers of what a request says, for the routes of apps: each gives what it read, or the [`Problem`] to answer with.
//!
//! All that is wrong with a request is told alike, as `bad_request` with what to write instead, by every app; a body that is too long as
//! `too_large`. What a value means is the app's: these judge its form alone.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// The JSON of a body, which has at most `limit_bytes` (what the route's `DefaultBodyLimit` says), and of which `example` is one.
///
/// ```
/// use forebay_server::request;
///
/// let body = Ok(br#"{"n": 1}"#.to_vec().into());
/// let read: std::collections::BTreeMap<String, u32> = request::json(body, 1_024, r#"{"n": 1}"#).unwrap();
/// assert_eq!(read["n"], 1);
/// ```
///
/// # Errors
/// 413 `too_large`; 400 `bad_request` where it is no such JSON, or did not come whole.
pub fn json<T: DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
    limit_bytes: usize,
    example: &str,
) -> Result<T, Problem> {
    let body = body.map_err(|refusal| match refusal.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::body(&refusal, limit_bytes),
        _ => Problem::bad_request("the body ended before its length: send it again"),
    })?;
    serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(format!("{error}; write a JSON object such as {example}")))
}

/// The parts of a path.
///
/// # Errors
/// 400 `bad_request` where they are no text.
pub fn path<T>(path: Result<Path<T>, PathRejection>) -> Result<T, Problem> {
    path.map(|Path(parts)| parts)
        .map_err(|_| Problem::bad_request("the path is not UTF-8: percent-encode it"))
}

/// The pairs of a query, which `takes` names.
///
/// # Errors
/// 400 `bad_request` where they are others.
pub fn query<T>(query: Result<Query<T>, QueryRejection>, takes: &str) -> Result<T, Problem> {
    query
        .map(|Query(query)| query)
        .map_err(|refusal| Problem::bad_request(format!("{}; this takes {takes}", refusal.body_text())))
}

/// How many entries a list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Where the request does not say it.
    pub unsaid: u32,
    /// At most.
    pub max: u32,
}

impl Limit {
    /// How many entries are `asked` for.
    ///
    /// ```
    /// use forebay_server::request::Limit;
    ///
    /// const LIMIT: Limit = Limit { unsaid: 100, max: 1_000 };
    /// assert_eq!(LIMIT.of(None).unwrap(), 100);
    /// assert_eq!(LIMIT.of(Some("7")).unwrap(), 7);
    /// assert!(LIMIT.of(Some("0")).is_err() && LIMIT.of(Some("1001")).is_err());
    /// ```
    ///
    /// # Errors
    /// 400 `bad_request` where that is no number from 1 to the most.
    pub fn of(self, asked: Option<&str>) -> Result<u32, Problem> {
        let Some(asked) = asked else { return Ok(self.unsaid) };
        // Written in one way alone: it may be a part of the key of an answer.
        let is_plain = !asked.starts_with(['+', '0']);
        let limit = asked.parse().ok().filter(|limit| is_plain && (1..=self.max).contains(limit));
        limit.ok_or_else(|| {
            Problem::bad_request(format!("limit = {}: write a number from 1 to {}", shown(asked), self.max))
        })
    }
}

/// Whether `text`, the value of `what`, is a name: of 1 to `max` characters, none of which is a control character.
///
/// # Errors
/// 400 `bad_request` where it is none.
pub fn name(what: &str, text: &str, max: usize) -> Result<(), Problem> {
    // Counted no further than needed, however long a client makes it.
    let length = text.chars().take(max.saturating_add(1)).count();
    if (1..=max).contains(&length) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Problem::bad_request(format!(
        "{what}: write 1 to {max} characters, none of which is a control character"
    )))
}

/// The beginning of what a client has written, for an answer that shows it.
#[must_use]
pub fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

/// The most characters of a request's words that an answer shows.
const SHOWN_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::extract::{DefaultBodyLimit, FromRequestParts as _, Request};
    use axum::response::IntoResponse as _;
    use axum::routing::post;
    use serde::Deserialize;
    use tower::ServiceExt as _;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Said {
        n: u32,
    }

    fn told<T: std::fmt::Debug>(read: Result<T, Problem>) -> (u16, &'static str, String) {
        let problem = read.unwrap_err();
        (problem.status(), problem.code(), problem.detail().to_owned())
    }

    fn bad(detail: &str) -> (u16, &'static str, String) {
        (400, "bad_request", detail.to_owned())
    }

    #[tokio::test]
    async fn a_body_is_json_of_no_more_than_its_bytes() {
        let read = async |body: &'static str| {
            let route = async |body: Result<Bytes, BytesRejection>| match json::<Said>(body, 9, r#"{"n":1}"#)
            {
                Ok(Said { n }) => n.to_string().into_response(),
                Err(problem) => problem.into_response(),
            };
            let routes = Router::new().route("/", post(route)).layer(DefaultBodyLimit::max(9));
            let request = Request::builder().method("POST").uri("/").body(Body::from(body)).unwrap();
            let answer = routes.oneshot(request).await.unwrap();
            let status = answer.status().as_u16();
            let body = to_bytes(answer.into_body(), 1_024).await.unwrap();
            (status, String::from_utf8(body.to_vec()).unwrap())
        };
        assert_eq!(read(r#"{"n":1}"#).await, (200, "1".to_owned()));
        let (status, told) = read("{}").await;
        let mend = r#"; write a JSON object such as {\"n\":1}""#;
        assert!(status == 400 && told.contains("\"bad_request\"") && told.contains(mend), "{told}");
        let (status, told) = read(r#"{"n": 100}"#).await;
        let most = "the body of this request has at most 9 bytes";
        assert!(status == 413 && told.contains("\"too_large\"") && told.contains(most), "{told}");
    }

    #[tokio::test]
    async fn a_query_has_the_pairs_that_are_taken() {
        let read = async |uri: &'static str| {
            let (mut parts, ()) = axum::http::Request::builder().uri(uri).body(()).unwrap().into_parts();
            query(Query::<Said>::from_request_parts(&mut parts, &()).await, "n")
        };
        assert_eq!(read("/?n=1").await.unwrap(), Said { n: 1 });
        let (status, code, detail) = told(read("/?m=1").await);
        assert_eq!((status, code), (400, "bad_request"));
        assert!(detail.ends_with("; this takes n"), "{detail}");
    }

    #[test]
    fn a_limit_is_a_number_up_to_the_most() {
        let limit = Limit { unsaid: 10, max: 20 };
        assert_eq!((limit.of(None).unwrap(), limit.of(Some("20")).unwrap()), (10, 20));
        for asked in ["0", "21", "-1", "+7", "07", "x", ""] {
            let detail = format!("limit = {asked}: write a number from 1 to 20");
            assert_eq!(told(limit.of(Some(asked))), bad(&detail));
        }
        let (.., detail) = told(limit.of(Some(&"9".repeat(1_000))));
        assert!(detail.len() < 200, "{detail}");
    }

    #[test]
    fn a_name_has_some_characters_and_no_control_character() {
        for text in ["a", "浦发银行"] {
            name("uid", text, 4).unwrap();
        }
        for text in ["", "five5", "a\n"] {
            let detail = "uid: write 1 to 4 characters, none of which is a control character";
            assert_eq!(told(name("uid", text, 4)), bad(detail), "{text:?}");
        }
    }
}

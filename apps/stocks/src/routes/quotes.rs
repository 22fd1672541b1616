//! Quotes: of one share or index, of many shares at once, and what is listed.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse as _, Response};
use forebay::value::Value;
use forebay::{Freshness, Read};
use forebay_server::problem::Problem;
use forebay_server::request;
use forebay_stores::database::{DatabaseError, Row, Statement};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::{LIMIT, code, market};
use crate::exchange::{Exchange, INDICES, STOCKS};
use crate::market::Kind;
use crate::refusal::Refusal;

/// The most codes of one request.
const CODES_MAX: usize = 200;

/// One share.
pub(super) async fn stock(
    State(exchange): State<Exchange>,
    path: Result<Path<String>, PathRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    one(&exchange, STOCKS, ("stock", request::path(path)?), (&method, &headers)).await
}

/// One index.
pub(super) async fn index(
    State(exchange): State<Exchange>,
    path: Result<Path<String>, PathRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    one(&exchange, INDICES, ("index", request::path(path)?), (&method, &headers)).await
}

async fn one(
    exchange: &Exchange,
    namespace: &str,
    (what, asked): (&'static str, String),
    (method, headers): (&Method, &HeaderMap),
) -> Result<Response, Problem> {
    code(&asked)?;
    let reading = exchange.reading()?;
    let read = reading.read(namespace, &format!("{what}:{asked}"), headers).await?;
    if read.value.is_none() {
        return Err(Refusal::Unknown { what, code: asked }.into());
    }
    exchange.answer(reading.namespace(namespace)?, &read, (method, headers)).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Codes {
    codes: String,
}

/// What is answered of one of many codes.
#[derive(Serialize)]
struct Entry<'c> {
    code: &'c str,
    /// `fresh`, `stale`, `unknown`, `bad_code` or `failed`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quote: Option<Box<RawValue>>,
}

/// Many shares: an entry for each code, in their order; those that miss are loaded together.
pub(super) async fn stocks(
    State(exchange): State<Exchange>,
    query: Result<Query<Codes>, QueryRejection>,
) -> Result<Response, Problem> {
    let Codes { codes } = request::query(query, "codes, as codes=600000,000001")?;
    let asked: Vec<&str> = codes.split(',').collect();
    if asked.len() > CODES_MAX {
        return Err(Problem::bad_request(format!(
            "codes: {} of them; ask for at most {CODES_MAX} at once",
            asked.len()
        )));
    }
    let keys: Vec<String> =
        asked.iter().filter(|asked| code(asked).is_ok()).map(|code| format!("stock:{code}")).collect();
    let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    let mut reads = exchange.reading()?.namespace(STOCKS)?.read_many(&keys).await.into_iter();
    let entries: Vec<Entry<'_>> = asked
        .iter()
        .map(|asked| match code(asked) {
            Ok(()) => entry(asked, reads.next()),
            Err(_) => Entry { code: asked, state: "bad_code", age_s: None, quote: None },
        })
        .collect();
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(json!({ "stocks": entries }))).into_response())
}

fn entry(code: &str, read: Option<Result<Read, forebay::Error>>) -> Entry<'_> {
    let Some(Ok(read)) = read else { return Entry { code, state: "failed", age_s: None, quote: None } };
    let json = read.value.as_ref().and_then(Value::to_blob).map(|blob| blob.bytes());
    // A client may have put something else than JSON under the key.
    let quote = json.and_then(|json| serde_json::from_slice::<Box<RawValue>>(&json).ok());
    let state = match (&quote, read.outcome.freshness) {
        (None, _) => "unknown",
        (Some(_), Freshness::Stale(_)) => "stale",
        (Some(_), _) => "fresh",
    };
    let age_s = quote.is_some().then_some(read.outcome.age.as_secs());
    Entry { code, state, age_s, quote }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    limit: Option<String>,
    cursor: Option<String>,
    market: Option<String>,
    kind: Option<String>,
}

/// A page of what is listed, by market and code.
pub(super) async fn instruments(
    State(exchange): State<Exchange>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Response, Problem> {
    const PAGE: &str = "select market, code, name, kind, listed_on, provenance from instruments \
         where market || code > $1 and ($2 = '' or market = $2) and ($3 = '' or kind = $3) order by market, code limit $4";
    let List { limit: asked, cursor, market: of_market, kind } =
        request::query(query, "limit, cursor, market and kind")?;
    let limit = LIMIT.of(asked.as_deref())?;
    if let Some(of_market) = &of_market {
        market(of_market)?;
    }
    if let Some(kind) = &kind
        && Kind::named(kind).is_none()
    {
        return Err(Problem::bad_request(format!("kind = {kind}: write a_share, chinext, star or index")));
    }
    let is_place =
        |cursor: &String| cursor.len() == 8 && cursor.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !cursor.as_ref().is_none_or(is_place) {
        return Err(Problem::bad_request(
            "cursor: no list of this kind gave it; begin again without one".to_owned(),
        ));
    }
    let page = Statement::new(PAGE)
        .bind(cursor.unwrap_or_default())
        .bind(of_market.unwrap_or_default())
        .bind(kind.unwrap_or_default())
        .bind(i64::from(limit));
    let rows = exchange.database.rows(page).await.map_err(|error| Problem::database(&error))?;
    let listed: Result<Vec<Listed>, DatabaseError> = rows.iter().map(Listed::of).collect();
    let listed = listed.map_err(|error| Problem::database(&error))?;
    let is_full = listed.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let cursor = listed.last().filter(|_| is_full).map(|last| format!("{}{}", last.market, last.code));
    Ok(Json(json!({ "instruments": listed, "cursor": cursor })).into_response())
}

/// What is listed.
#[derive(Debug, Serialize)]
struct Listed {
    market: String,
    code: String,
    name: String,
    kind: String,
    listed_on: Option<String>,
    provenance: String,
}

impl Listed {
    fn of(row: &Row) -> Result<Self, DatabaseError> {
        Ok(Self {
            market: row.get("market")?,
            code: row.get("code")?,
            name: row.get("name")?,
            kind: row.get("kind")?,
            listed_on: row.get_nullable("listed_on")?,
            provenance: row.get("provenance")?,
        })
    }
}

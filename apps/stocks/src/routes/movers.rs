//! What moved most: the shares of a market by their change, from the top or from the bottom.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::response::Response;
use forebay::value::Value;
use forebay_server::problem::Problem;
use forebay_server::request;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{LIMIT, code, market};
use crate::exchange::{API, Exchange, MOVERS};
use crate::responses;

const TAKES: &str = "market, direction (gainers or losers), limit and cursor";
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// A request, checked.
#[derive(Debug)]
struct Asked {
    market: String,
    gains: bool,
    limit: usize,
    cursor: Option<String>,
}

impl Asked {
    fn of(pairs: &[(String, String)]) -> Result<Self, Problem> {
        let (mut of_market, mut gains, mut asked, mut cursor) = (None, true, None, None);
        let mut seen: Vec<String> = Vec::new();
        for (name, value) in pairs {
            let name = name.to_lowercase();
            if seen.contains(&name) {
                return Err(Problem::bad_request(format!("{name} comes twice; say it once")));
            }
            match name.as_str() {
                "market" => {
                    market(value)?;
                    of_market = Some(value.clone());
                }
                "direction" => {
                    gains = match value.as_str() {
                        "gainers" => true,
                        "losers" => false,
                        _ => {
                            return Err(Problem::bad_request(
                                "direction: write gainers or losers".to_owned(),
                            ));
                        }
                    };
                }
                "limit" => asked = Some(value.as_str()),
                "cursor" => {
                    code(value)?;
                    cursor = Some(value.clone());
                }
                _ => {
                    return Err(Problem::bad_request(format!(
                        "there is no parameter `{name}`; this takes {TAKES}"
                    )));
                }
            }
            seen.push(name);
        }
        let market = of_market.ok_or_else(|| Problem::bad_request("market: write SH or SZ".to_owned()))?;
        let limit = usize::try_from(LIMIT.of(asked)?).unwrap_or(usize::MAX);
        Ok(Self { market, gains, limit, cursor })
    }

    /// The page of `all`, which are in the order of their gains. What a cursor names that is not among them is refused rather than answered with an empty
    /// page, so that no number of made-up cursors fills the answers that are kept.
    fn page<'r>(&self, all: &'r [Box<RawValue>]) -> Result<Page<'r>, Problem> {
        let code_of = |row: &RawValue| serde_json::from_str::<Code>(row.get()).map(|row| row.code).ok();
        let mut rows: Vec<&RawValue> = all.iter().map(|row| &**row).collect();
        if !self.gains {
            rows.reverse();
        }
        let begins = match &self.cursor {
            None => 0,
            Some(cursor) => {
                let last = rows.iter().position(|row| code_of(row).as_ref() == Some(cursor));
                1 + last.ok_or_else(|| {
                    Problem::bad_request(format!(
                        "cursor: {cursor} is not in this list; begin again without one"
                    ))
                })?
            }
        };
        let movers: Vec<&RawValue> = rows.iter().skip(begins).take(self.limit).copied().collect();
        let is_full = movers.len() == self.limit;
        let cursor = movers.last().filter(|_| is_full).and_then(|last| code_of(last));
        Ok(Page { movers, cursor })
    }
}

/// The one member that a page ends with.
#[derive(Debug, serde::Deserialize)]
struct Code {
    code: String,
}

#[derive(Debug, Serialize)]
struct Page<'r> {
    movers: Vec<&'r RawValue>,
    cursor: Option<String>,
}

/// A page of what moved most in a market, as `API_CACHE` keeps it.
pub(super) async fn movers(
    State(exchange): State<Exchange>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let pairs = request::query(query, TAKES)?;
    let asked = Asked::of(&pairs)?;
    let key = responses::key("movers", &pairs, None);
    let reading = exchange.reading()?;
    let read = reading.read(API, &key, &headers).await?;
    if read.value.is_some() {
        return exchange.answer(reading.namespace(API)?, &read, (&method, &headers)).await;
    }
    let read = reading.read(MOVERS, &format!("movers:{}", asked.market), &headers).await?;
    let json = read.value.as_ref().and_then(Value::to_blob).map(|blob| blob.bytes());
    // It is what the declaration's query makes.
    let all: Vec<Box<RawValue>> =
        json.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
    let page = serde_json::value::to_raw_value(&asked.page(&all)?)
        .map_err(|error| Problem::bad_request(format!("the answer cannot be written: {error}")))?;
    responses::keep(&exchange, &reading, &key, &page).await?;
    let read = reading.read(API, &key, &HeaderMap::new()).await?;
    let mut response = exchange.answer(reading.namespace(API)?, &read, (&method, &headers)).await?;
    // It was made for this request, and was not there before.
    response.headers_mut().insert(X_CACHE, HeaderValue::from_static("MISS"));
    response.headers_mut().remove(CACHE_STATUS);
    Ok(response)
}

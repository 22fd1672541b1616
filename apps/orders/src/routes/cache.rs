//! What is held of a period: looking at it, filling it, dropping it. The rows stay as they are; the next read loads them.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use forebay::value::{FieldState, Value};
use forebay::{Blob, Namespace};
use forebay_server::problem::Problem;
use forebay_server::request;
use forebay_stores::database::Statement;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{json, name};
use crate::refusal::Refusal;
use crate::shop::{ORDER, ORDERS, Shop, period_key};

/// Most orders that are named in one request.
const NAMED_MAX: usize = 1_000;
/// How many orders are read at a time where some of a period cannot be.
const TOGETHER: i64 = 500;
const NAMED: &str = r#"{"order_nos": ["ORDER_20241201_001_001"]}"#;

/// What is held of a period.
pub(super) async fn held(
    State(shop): State<Shop>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let period = request::path(path)?;
    name("period_number", &period)?;
    let reading = shop.reading()?;
    let (orders, key) = (reading.namespace(ORDERS)?, period_key(&period));
    let hash = orders.peek_value(key.as_bytes()).and_then(|value| value.as_hash().cloned());
    let told = orders.peek(key.as_bytes()).filter(|_| hash.is_some());
    Ok(Json(json!({
        "period_number": period,
        "cached": hash.is_some(),
        "whole": hash.as_ref().is_some_and(|hash| hash.is_whole() && hash.holes().next().is_none()),
        "orders": hash.as_ref().map_or(0, |hash| hash.known_len()),
        "age_s": told.as_ref().map(|held| held.age.as_secs()),
        "fresh_for_s": told.as_ref().map(|held| held.fresh_for.as_secs()),
    }))
    .into_response())
}

/// Whether an order is held.
pub(super) async fn is_held(
    State(shop): State<Shop>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, Problem> {
    let (period, order_no) = request::path(path)?;
    let reading = shop.reading()?;
    let value = reading.namespace(ORDERS)?.peek_value(period_key(&period).as_bytes());
    let hash = value.as_ref().and_then(Value::as_hash);
    let is_held = hash.is_some_and(|hash| matches!(hash.state(order_no.as_bytes()), FieldState::Known(_)));
    Ok(Json(json!({ "order_no": order_no, "cached": is_held })).into_response())
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    order_nos: Option<Vec<String>>,
}

/// What came of filling.
#[derive(Debug, Default, Serialize)]
struct Filled {
    cached: usize,
    /// Orders that nobody has made.
    missing: Vec<String>,
    /// Orders that could not be read; the others were.
    skipped: Vec<Skipped>,
}

#[derive(Debug, Serialize)]
struct Skipped {
    order_no: String,
    reason: String,
}

/// Reads the orders of a period, or those that the body names, so that they are held. One that cannot be read is skipped and told.
pub(super) async fn warm(
    State(shop): State<Shop>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let period = request::path(path)?;
    name("period_number", &period)?;
    let is_empty = body.as_ref().is_ok_and(|body| body.is_empty());
    let Named { order_nos } = if is_empty { Named::default() } else { json(body, NAMED)? };
    let reading = shop.reading()?;
    let (orders, key) = (reading.namespace(ORDERS)?, period_key(&period));
    let mut filled = Filled::default();
    match order_nos {
        Some(order_nos) if order_nos.len() > NAMED_MAX => {
            return Err(Problem::bad_request(format!("order_nos: name at most {NAMED_MAX} in one request")));
        }
        Some(order_nos) => {
            order_nos.iter().try_for_each(|order_no| name("order_nos", order_no))?;
            filled.with(orders, &key, &order_nos).await?;
        }
        None => match orders.read(key.as_bytes()).await {
            Ok(read) => {
                filled.cached =
                    read.value.as_ref().and_then(Value::as_hash).map_or(0, |hash| hash.known_len());
            }
            Err(error) if error.may_retry() => return Err(Problem::engine(&error)),
            // One of them may be the reason: the others are read without it.
            Err(_) => by_numbers(&shop, &period, orders, &mut filled).await?,
        },
    }
    if filled.cached == 0 && filled.skipped.is_empty() && !reading.knows_period(&period).await? {
        return Err(Refusal::NoPeriod(period).into());
    }
    Ok(Json(filled).into_response())
}

/// Reads all orders of a period by their numbers.
async fn by_numbers(
    shop: &Shop,
    period: &str,
    orders: &Namespace<Blob>,
    filled: &mut Filled,
) -> Result<(), Problem> {
    const NUMBERS: &str =
        "select order_no from orders where period_number = $1 and order_no > $2 order by order_no limit $3";
    let (key, mut after) = (period_key(period), String::new());
    loop {
        let numbers = Statement::new(NUMBERS).bind(period).bind(after).bind(TOGETHER);
        let rows = shop.tables.rows(numbers).await.map_err(|error| Problem::database(&error))?;
        let numbers: Result<Vec<String>, _> = rows.iter().map(|row| row.get("order_no")).collect();
        let numbers = numbers.map_err(|error| Problem::database(&error))?;
        let Some(last) = numbers.last().cloned() else { return Ok(()) };
        filled.with(orders, &key, &numbers).await?;
        after = last;
    }
}

impl Filled {
    /// Reads `order_nos` together, and where one of them cannot be read, each alone.
    async fn with(
        &mut self,
        orders: &Namespace<Blob>,
        key: &str,
        order_nos: &[String],
    ) -> Result<(), Problem> {
        let fields: Vec<&[u8]> = order_nos.iter().map(|order_no| order_no.as_bytes()).collect();
        match orders.read_fields(key.as_bytes(), &fields).await {
            Ok(read) => {
                for (order_no, field) in order_nos.iter().zip(read) {
                    self.found(order_no, field.value.is_some());
                }
                return Ok(());
            }
            Err(error) if error.may_retry() => return Err(Problem::engine(&error)),
            Err(_) => {}
        }
        for order_no in order_nos {
            match orders.read_fields(key.as_bytes(), &[order_no.as_bytes()]).await {
                Ok(read) => self.found(order_no, read.first().is_some_and(|field| field.value.is_some())),
                Err(error) => {
                    tracing::warn!(order_no, %error, "an order could not be cached");
                    self.skipped.push(Skipped { order_no: order_no.clone(), reason: error.to_string() });
                }
            }
        }
        Ok(())
    }

    fn found(&mut self, order_no: &str, is_there: bool) {
        if is_there {
            self.cached += 1;
        } else {
            self.missing.push(order_no.to_owned());
        }
    }
}

/// Drops what is held of a period.
pub(super) async fn forget(
    State(shop): State<Shop>,
    path: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let period = request::path(path)?;
    let reading = shop.reading()?;
    let told = reading.namespace(ORDERS)?.invalidate_key(period_key(&period).as_bytes()).await;
    told.map_err(|error| Problem::engine(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Drops what is held of an order.
pub(super) async fn forget_one(
    State(shop): State<Shop>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let (period, order_no) = request::path(path)?;
    let reading = shop.reading()?;
    let (orders, key) = (reading.namespace(ORDERS)?, period_key(&period));
    orders
        .forget_field(key.as_bytes(), order_no.as_bytes())
        .await
        .map_err(|error| Problem::engine(&error))?;
    let single = reading.namespace(ORDER)?.invalidate_key(format!("order:{order_no}").as_bytes()).await;
    single.map_err(|error| Problem::engine(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// What each namespace holds, and how often that was enough.
#[derive(Debug, Serialize)]
struct Statistics {
    namespace: String,
    keys: u64,
    entries: u64,
    bytes: u64,
    reads: u64,
    hits: u64,
    /// Of all reads, those that memory answered; nothing where there were none.
    hit_rate: Option<f64>,
    loads: u64,
}

/// How many keys are looked at before others are let in.
const PAGE: usize = 256;

/// What is held, by namespace.
pub(super) async fn stats(State(shop): State<Shop>) -> Result<Response, Problem> {
    let reading = shop.reading()?;
    let mut all = Vec::new();
    for namespace in reading.namespaces() {
        all.push(Statistics::of(namespace).await);
    }
    Ok(Json(json!({ "namespaces": all })).into_response())
}

impl Statistics {
    async fn of(namespace: &Namespace<Blob>) -> Self {
        let (mut keys, mut entries, mut bytes, mut cursor) = (0_u64, 0_u64, 0_u64, 0);
        loop {
            let (page, next) = namespace.scan(cursor, PAGE);
            for key in &page {
                let Some(held) = namespace.peek(key).filter(|held| !held.absent) else { continue };
                keys += 1;
                bytes += held.weight_bytes;
                let value = namespace.peek_value(key);
                let hash = value.as_ref().and_then(Value::as_hash);
                entries += hash.map_or(1, |hash| u64::try_from(hash.known_len()).unwrap_or(u64::MAX));
            }
            if next == 0 {
                break;
            }
            cursor = next;
            tokio::task::yield_now().await;
        }
        let counts = namespace.counts();
        let reads = counts.hits + counts.shared_hits + counts.misses + counts.stale + counts.errors;
        let rate = |part: u64| {
            let (part, all) = (u32::try_from(part).ok()?, u32::try_from(reads).ok()?);
            (all > 0).then(|| f64::from(part) / f64::from(all))
        };
        Self {
            namespace: namespace.name().to_owned(),
            keys,
            entries,
            bytes,
            reads,
            hits: counts.hits,
            hit_rate: rate(counts.hits),
            loads: counts.loads,
        }
    }
}

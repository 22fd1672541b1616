//! Orders: making, reading, listing, moving on, deleting.

use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use forebay::value::{Hash, Value};
use forebay_server::problem::Problem;
use forebay_server::request;
use forebay_stores::database::Statement;
use jiff::Timestamp;
use serde::Deserialize;

use super::{LIMIT, json, name, user};
use crate::money::Money;
use crate::order::{Moment, Order, RowError, Status, order_columns};
use crate::refusal::{Refusal, of_transaction};
use crate::shop::{ORDER, ORDERS, Shop, is_json, period_key};
use crate::table::{Expires, Figures, Idempotency, Made, NewOrder};

const NEW: &str = r#"{"order_no": "ORDER_20241201_001_001", "uid": "user123", "period_number": "20241201_001", "amount": 100.00}"#;
const STATUS: &str = r#"{"status": "confirmed"}"#;
const FIGURES: &str = r#"{"like_count": 10, "profit_amount": 5.00}"#;
const LIST: &str = "limit, cursor, status and uid";
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Longest `Idempotency-Key`, in bytes.
const KEY_MAX: usize = 255;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    order_no: Option<String>,
    uid: String,
    period_number: String,
    amount: Money,
    profit_amount: Option<Money>,
    expire_time: Option<String>,
}

impl New {
    /// The order that is asked for, and the request in a form that is the same for the same request.
    fn check(self, shop: &Shop, has_key: bool) -> Result<(NewOrder, String), Problem> {
        user(&self.uid)?;
        name("period_number", &self.period_number)?;
        let made = || format!("ORDER_{:011x}{:016x}", shop.unix_ms(), fastrand::u64(..));
        let given = self.order_no.clone();
        let order_no = match self.order_no {
            Some(order_no) => order_no,
            None if has_key => made(),
            None => {
                return Err(Problem::bad_request(
                    "give an order_no, or an Idempotency-Key and one is made: \
                                without either a request that is sent again would make a second order",
                ));
            }
        };
        name("order_no", &order_no)?;
        if self.amount.is_negative() {
            return Err(Problem::bad_request(format!("amount: {} is below zero", self.amount)));
        }
        let asked = self.expire_time.map(|text| expires(&text)).transpose()?;
        let profit_amount = self.profit_amount.unwrap_or_default();
        let request = format!(
            "{given:?} {:?} {:?} {} {profit_amount} {asked:?}",
            self.uid, self.period_number, self.amount
        );
        let expires = asked.map_or(Expires::After(shop.settings.expires_after), Expires::At);
        let Self { uid, period_number, amount, .. } = self;
        Ok((NewOrder { order_no, uid, period_number, amount, profit_amount, expires }, request))
    }
}

fn expires(text: &str) -> Result<Moment, Problem> {
    text.parse::<Timestamp>().map(Moment::of).map_err(|_| {
        Problem::bad_request(format!("expire_time: `{text}` is no time; write one as 2024-12-01T10:05:00Z"))
    })
}

/// Makes an order: 201, or 200 with `Idempotent-Replayed` where the same request made it before.
pub(super) async fn create(
    State(shop): State<Shop>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let key = headers.get(IDEMPOTENCY_KEY).map(idempotency_key).transpose()?;
    let (order, request) = json::<New>(body, NEW)?.check(&shop, key.is_some())?;
    let idempotency = key.map(|key| Idempotency { key, request });
    let made = shop.tables.create(&order, idempotency.as_ref(), shop.settings.opens_periods).await;
    let made = made.map_err(of_transaction)?;
    shop.told(made.unconfirmed.as_ref());
    match made.value {
        Made::New(order) => {
            shop.hold(&order).await;
            Ok(shown(StatusCode::CREATED, &order))
        }
        Made::Before(order) => {
            let mut response = shown(StatusCode::OK, &order.seen(&shop.now()));
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            Ok(response)
        }
    }
}

fn idempotency_key(value: &HeaderValue) -> Result<String, Problem> {
    let text = value.to_str().ok().map(str::trim).filter(|text| (1..=KEY_MAX).contains(&text.len()));
    text.map(str::to_owned).ok_or_else(|| {
        Problem::bad_request(format!("Idempotency-Key: write 1 to {KEY_MAX} letters and digits of ASCII"))
    })
}

/// One order, as it is after a change of it.
fn shown(status: StatusCode, order: &Order) -> Response {
    let mut response = (status, Body::from(order.to_json())).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An order by its number alone.
pub(super) async fn find(
    State(shop): State<Shop>,
    path: Result<Path<String>, PathRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let order_no = request::path(path)?;
    name("order_no", &order_no)?;
    let reading = shop.reading()?;
    let read = reading.read(ORDER, &format!("order:{order_no}")).await?;
    if read.value.is_none() {
        return Err(Refusal::NoOrder(order_no).into());
    }
    shop.answer(reading.namespace(ORDER)?, &read, (&method, &headers)).await
}

/// An order of a period.
pub(super) async fn one(
    State(shop): State<Shop>,
    path: Result<Path<(String, String)>, PathRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (period, order_no) = request::path(path)?;
    name("period_number", &period)?;
    name("order_no", &order_no)?;
    let reading = shop.reading()?;
    let read = reading.order(&period, &order_no).await?;
    if read.value.is_none() {
        return Err(Refusal::NoOrder(order_no).into());
    }
    shop.answer(reading.namespace(ORDERS)?, &read, (&method, &headers)).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    limit: Option<String>,
    cursor: Option<String>,
    status: Option<String>,
    uid: Option<String>,
}

/// A page of the orders of a period. All of them come from what is held of the period, in its own order; those of a status or a user from
/// the rows, by their numbers. An order that is there all the while is on one page.
pub(super) async fn list(
    State(shop): State<Shop>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Response, Problem> {
    let (period, query) = (request::path(path)?, request::query(query, LIST)?);
    name("period_number", &period)?;
    let limit = LIMIT.of(query.limit.as_deref())?;
    let page = if query.status.is_none() && query.uid.is_none() {
        held_page(&shop, &period, query.cursor.as_deref(), limit).await?
    } else {
        row_page(&shop, &period, &query, limit).await?
    };
    if page.orders.is_empty() && !shop.reading()?.knows_period(&period).await? {
        return Err(Refusal::NoPeriod(period).into());
    }
    Ok(page.into_response())
}

/// Orders as JSON, and where to go on.
#[derive(Debug, Default)]
struct Page {
    orders: Vec<u8>,
    cursor: Option<String>,
}

impl Page {
    fn push(&mut self, order: &[u8]) {
        if !self.orders.is_empty() {
            self.orders.push(b',');
        }
        self.orders.extend_from_slice(order);
    }

    fn into_response(self) -> Response {
        let cursor = serde_json::Value::from(self.cursor).to_string();
        let body =
            [br#"{"orders":["#.as_slice(), &self.orders, br#"],"cursor":"#, cursor.as_bytes(), b"}"].concat();
        let json = HeaderValue::from_static("application/json");
        let headers =
            [(header::CONTENT_TYPE, json), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        (headers, Body::from(body)).into_response()
    }
}

async fn held_page(shop: &Shop, period: &str, cursor: Option<&str>, limit: u32) -> Result<Page, Problem> {
    let cursor = cursor.map_or(Some(0), |text| text.parse().ok());
    let cursor = cursor.ok_or_else(|| {
        Problem::bad_request("cursor: no list of this kind gave it; begin again without one")
    })?;
    let read = shop.reading()?.read(ORDERS, &period_key(period)).await?;
    let mut page = Page::default();
    if let Some(hash) = read.value.as_ref().and_then(Value::as_hash) {
        let hash: &Hash = hash;
        let found = hash.scan(cursor, usize::try_from(limit).unwrap_or(usize::MAX));
        // What a Redis client has set may be anything.
        found.entries.iter().filter(|(_, order)| is_json(order)).for_each(|(_, order)| page.push(order));
        page.cursor = (found.cursor != 0).then(|| found.cursor.to_string());
    }
    Ok(page)
}

/// A page of the rows of the period `$1` that are so, after the order `$2`, at most `$3`.
macro_rules! page {
    ($which:literal) => {
        concat!(
            "select ",
            order_columns!(),
            " from orders where period_number = $1 and order_no > $2 and ",
            $which,
            " order by order_no limit $3"
        )
    };
}

async fn row_page(shop: &Shop, period: &str, query: &List, limit: u32) -> Result<Page, Problem> {
    let status = query.status.as_deref().map(|name| {
        let names = Status::ALL.map(Status::name).join(", ");
        Status::named(name)
            .ok_or_else(|| Problem::bad_request(format!("status = {name}: write one of {names}")))
    });
    let status = status.transpose()?;
    if let Some(uid) = &query.uid {
        user(uid)?;
    }
    if let Some(cursor) = &query.cursor {
        name("cursor", cursor)?;
    }
    let now = shop.now();
    let of_period = |page| {
        Statement::new(page)
            .bind(period)
            .bind(query.cursor.clone().unwrap_or_default())
            .bind(i64::from(limit))
    };
    let statement = match (status, query.uid.as_deref()) {
        (None, None) => of_period(page!("true")),
        (None, Some(uid)) => of_period(page!("uid = $4")).bind(uid),
        (Some(Status::Pending), None) => {
            of_period(page!("status = 'pending' and expire_time > $4")).bind(now.text())
        }
        (Some(Status::Pending), Some(uid)) => {
            of_period(page!("status = 'pending' and expire_time > $4 and uid = $5"))
                .bind(now.text())
                .bind(uid)
        }
        (Some(Status::Expired), None) => {
            of_period(page!("(status = 'expired' or status = 'pending' and expire_time <= $4)"))
                .bind(now.text())
        }
        (Some(Status::Expired), Some(uid)) => {
            of_period(page!("(status = 'expired' or status = 'pending' and expire_time <= $4) and uid = $5"))
                .bind(now.text())
                .bind(uid)
        }
        (Some(status), None) => of_period(page!("status = $4")).bind(status.name()),
        (Some(status), Some(uid)) => {
            of_period(page!("status = $4 and uid = $5")).bind(status.name()).bind(uid)
        }
    };
    let rows = shop.tables.rows(statement).await.map_err(|error| Problem::database(&error))?;
    let orders: Result<Vec<Order>, RowError> = rows.iter().map(Order::of).collect();
    let orders = orders.map_err(Refusal::from)?;
    let mut page = Page::default();
    for order in &orders {
        page.push(order.clone().seen(&now).to_json().as_bytes());
    }
    let is_full = orders.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    page.cursor = orders.last().filter(|_| is_full).map(|order| order.order_no.clone());
    Ok(page)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct To {
    status: Status,
}

/// Moves an order on.
pub(super) async fn transit(
    State(shop): State<Shop>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let order_no = request::path(path)?;
    name("order_no", &order_no)?;
    let To { status } = json(body, STATUS)?;
    let moved = shop.tables.transit(&order_no, status).await.map_err(of_transaction)?;
    shop.told(moved.unconfirmed.as_ref());
    shop.hold_on(&moved.value).await;
    Ok(shown(StatusCode::OK, &moved.value))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    profit_amount: Option<Money>,
    like_count: Option<u32>,
    share_count: Option<u32>,
    follow_count: Option<u32>,
    favorite_count: Option<u32>,
}

/// Writes figures of an order.
pub(super) async fn record(
    State(shop): State<Shop>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let order_no = request::path(path)?;
    name("order_no", &order_no)?;
    let Record { profit_amount, like_count, share_count, follow_count, favorite_count } =
        json(body, FIGURES)?;
    let figures = Figures {
        profit_amount,
        like_count: like_count.map(i64::from),
        share_count: share_count.map(i64::from),
        follow_count: follow_count.map(i64::from),
        favorite_count: favorite_count.map(i64::from),
    };
    if figures == Figures::default() {
        return Err(Problem::bad_request(format!(
            "nothing to write; give at least one figure, as {FIGURES}"
        )));
    }
    let written = shop.tables.record(&order_no, figures).await.map_err(of_transaction)?;
    shop.told(written.unconfirmed.as_ref());
    shop.hold_on(&written.value).await;
    Ok(shown(StatusCode::OK, &written.value.seen(&shop.now())))
}

/// Deletes an order.
pub(super) async fn delete(
    State(shop): State<Shop>,
    path: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let order_no = request::path(path)?;
    name("order_no", &order_no)?;
    let deleted = shop.tables.delete(&order_no).await.map_err(of_transaction)?;
    shop.told(deleted.unconfirmed.as_ref());
    shop.renew(&deleted.value.period_number);
    Ok(StatusCode::NO_CONTENT)
}

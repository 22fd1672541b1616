//! Periods: opening, reading, listing, moving on.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use forebay_server::problem::Problem;
use forebay_server::request;
use forebay_stores::database::Statement;
use serde::Deserialize;
use serde_json::json;

use super::{LIMIT, json, name};
use crate::period::{Period, State as PeriodState};
use crate::refusal::{Refusal, of_transaction};
use crate::shop::{ORDERS, PERIOD, Shop, period_key};

const NEW: &str = r#"{"period_number": "20241201_001"}"#;
const STATE: &str = r#"{"state": "closed"}"#;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    period_number: String,
}

/// Opens a period: 201, or 200 where there is one already, which is left as it is.
pub(super) async fn open(
    State(shop): State<Shop>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let New { period_number } = json(body, NEW)?;
    name("period_number", &period_number)?;
    let opened = shop.tables.open(&period_number).await.map_err(of_transaction)?;
    shop.told(opened.unconfirmed.as_ref());
    let (period, is_new) = opened.value;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(period)).into_response())
}

/// One period.
pub(super) async fn find(
    State(shop): State<Shop>,
    path: Result<Path<String>, PathRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let period = request::path(path)?;
    name("period_number", &period)?;
    let reading = shop.reading()?;
    let read = reading.read(PERIOD, &format!("period:{period}")).await?;
    if read.value.is_none() {
        return Err(Refusal::NoPeriod(period).into());
    }
    shop.answer(reading.namespace(PERIOD)?, &read, (&method, &headers)).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    limit: Option<String>,
    cursor: Option<String>,
    state: Option<String>,
}

/// A page of periods by their numbers, from the last backwards; with `state`, those that are there.
pub(super) async fn list(
    State(shop): State<Shop>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Response, Problem> {
    const PAGE: &str = "select period_number, state, opened_at, updated_at from periods \
         where ($1 = '' or period_number < $1) and ($2 = '' or state = $2) order by period_number desc limit $3";
    let List { limit: asked, cursor, state } = request::query(query, "limit, cursor and state")?;
    let limit = LIMIT.of(asked.as_deref())?;
    if let Some(state) = &state
        && PeriodState::named(state).is_none()
    {
        let names = PeriodState::ALL.map(PeriodState::name).join(", ");
        return Err(Problem::bad_request(format!("state = {state}: write one of {names}")));
    }
    if let Some(cursor) = &cursor {
        name("cursor", cursor)?;
    }
    let page = Statement::new(PAGE)
        .bind(cursor.unwrap_or_default())
        .bind(state.unwrap_or_default())
        .bind(i64::from(limit));
    let rows = shop.tables.rows(page).await.map_err(|error| Problem::database(&error))?;
    let periods: Result<Vec<Period>, _> = rows.iter().map(Period::of).collect();
    let periods = periods.map_err(|error| Problem::database(&error))?;
    let is_full = periods.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let cursor = periods.last().filter(|_| is_full).map(|period| period.period_number.clone());
    Ok(Json(json!({ "periods": periods, "cursor": cursor })).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct To {
    state: PeriodState,
}

/// Moves a period on. What is held of one that is archived goes.
pub(super) async fn step(
    State(shop): State<Shop>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let period = request::path(path)?;
    name("period_number", &period)?;
    let To { state } = json(body, STATE)?;
    let moved = shop.tables.step(&period, state).await.map_err(of_transaction)?;
    shop.told(moved.unconfirmed.as_ref());
    // It has been done, whatever becomes of the copies: they end by themselves.
    if let (PeriodState::Archived, Ok(reading)) = (state, shop.reading())
        && let Ok(orders) = reading.namespace(ORDERS)
    {
        let dropped = orders.invalidate_key(period_key(&period).as_bytes()).await;
        shop.told(dropped.err().as_ref());
    }
    Ok(Json(moved.value).into_response())
}

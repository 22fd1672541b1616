//! How many orders a period has, and what they come to.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use forebay::value::{Hash, Value};
use forebay_server::problem::Problem;
use forebay_server::request;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{name, user};
use crate::money::Money;
use crate::order::Status;
use crate::refusal::Refusal;
use crate::shop::{ORDERS, Shop, TOTALS, USER_TOTALS, period_key};

/// How many orders a period has.
pub(super) async fn count(
    State(shop): State<Shop>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let period = request::path(path)?;
    name("period_number", &period)?;
    let reading = shop.reading()?;
    let read = reading.read(ORDERS, &period_key(&period)).await?;
    let count = read.value.as_ref().and_then(Value::as_hash).map_or(0, |hash| Hash::known_len(hash));
    if count == 0 && !reading.knows_period(&period).await? {
        return Err(Refusal::NoPeriod(period).into());
    }
    Ok(Json(json!({ "period_number": period, "count": count })).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Of {
    uid: Option<String>,
}

/// A line of what is read of the sums.
#[derive(Debug, Deserialize)]
struct Line {
    status: Status,
    orders: i64,
    amount_hundredths: i64,
    profit_hundredths: i64,
}

/// What some orders come to.
#[derive(Debug, Default, Serialize)]
struct Sum {
    orders: i64,
    amount: Money,
    profit_amount: Money,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Totals<'t> {
    period_number: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'t str>,
    #[serde(flatten)]
    all: Sum,
    by_status: BTreeMap<&'static str, Sum>,
}

impl Sum {
    /// What lines come to; nothing where that is no number of 64 bits.
    fn of<'l>(lines: impl IntoIterator<Item = &'l Line>) -> Option<Self> {
        let (mut orders, mut amount, mut profit) = (0_i64, 0_i64, 0_i64);
        for line in lines {
            orders = orders.checked_add(line.orders)?;
            amount = amount.checked_add(line.amount_hundredths)?;
            profit = profit.checked_add(line.profit_hundredths)?;
        }
        let (amount, profit_amount) = (Money::of_hundredths(amount), Money::of_hundredths(profit));
        Some(Self { orders, amount, profit_amount })
    }
}

/// What the orders of a period come to, or those of one user in it, in all and by status.
pub(super) async fn totals(
    State(shop): State<Shop>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Of>, QueryRejection>,
) -> Result<Response, Problem> {
    let (period, Of { uid }) = (request::path(path)?, request::query(query, "uid")?);
    name("period_number", &period)?;
    let reading = shop.reading()?;
    let read = match &uid {
        None => reading.read(TOTALS, &format!("totals:{period}")).await?,
        Some(uid) => {
            user(uid)?;
            reading.read(USER_TOTALS, &format!("user_totals:{uid}:{period}")).await?
        }
    };
    let json = read.value.as_ref().and_then(Value::to_blob).map(|blob| blob.bytes());
    if json.is_none() && !reading.knows_period(&period).await? {
        return Err(Refusal::NoPeriod(period).into());
    }
    let lines: Vec<Line> = match &json {
        Some(json) => serde_json::from_slice(json).map_err(|error| unfit(&error.to_string()))?,
        None => Vec::new(),
    };
    let too_much = || unfit("they are more than 64 bits hold");
    let of_status = |line: &Line| Ok((line.status.name(), Sum::of([line]).ok_or_else(too_much)?));
    let by_status = lines.iter().map(of_status).collect::<Result<_, Problem>>()?;
    let all = Sum::of(&lines).ok_or_else(too_much)?;
    Ok(Json(Totals { period_number: &period, uid: uid.as_deref(), all, by_status }).into_response())
}

/// The sums that are read are none: another declaration, or a copy that somebody else has set.
fn unfit(why: &str) -> Problem {
    tracing::warn!(why, "the sums of a period cannot be read");
    Refusal::Sums(why.to_owned()).into()
}

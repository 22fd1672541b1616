//! The door over HTTP: quotes as a vendor's feed tells them, previous closes, listings; and what was refused.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use forebay_server::problem::Problem;
use forebay_server::request;
use forebay_stores::database::{DatabaseError, Row, Statement};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{LIMIT, code, market};
use crate::clock::moment;
use crate::exchange::Exchange;
use crate::ingest::{BATCH_MAX, Id, Listing, Listings, Opened, Outcome, Reference, Refused, Told, Update};
use crate::market::Kind;
use crate::money::Milli;
use crate::refusal::of_transaction;

const QUOTES: &str = r#"{"quotes": [{"market": "SH", "code": "600000", "timestamp": "2019-01-28T10:00:00+08:00", "sequence": 7, "price": 10.63, "volume": 120000}]}"#;
const REFERENCES: &str =
    r#"{"day": "2019-01-28", "previous_closes": [{"market": "SH", "code": "600000", "price": 10.60}]}"#;
const INSTRUMENTS: &str = r#"{"instruments": [{"market": "SH", "code": "603999", "name": "读者传媒", "kind": "a_share", "day": "2019-01-28", "previous_close": 9.77}]}"#;
/// Longest name of an instrument, in characters.
const NAME_MAX: usize = 64;

fn id(of_market: String, of_code: String) -> Result<Id, Problem> {
    market(&of_market)?;
    code(&of_code)?;
    Ok(Id { market: of_market, code: of_code })
}

fn within_a_batch<T>(entries: &[T]) -> Result<(), Problem> {
    if entries.len() <= BATCH_MAX {
        return Ok(());
    }
    Err(Problem::bad_request(format!("{} entries; tell at most {BATCH_MAX} at once", entries.len())))
}

/// The most shares that a day can tell: what JSON's readers hold exactly.
const VOLUME_MAX: i64 = 1 << 53;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Quotes {
    quotes: Vec<Quoted>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Quoted {
    market: String,
    code: String,
    timestamp: Timestamp,
    #[serde(default)]
    sequence: i64,
    price: Option<Milli>,
    #[serde(default)]
    volume: u64,
    status: Option<Status>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Trading,
    Suspended,
    NotTraded,
}

impl Quoted {
    fn check(self) -> Result<Update, Problem> {
        let Self { market, code, timestamp: at, sequence, price, volume, status } = self;
        let name = format!("{market} {code}");
        let id = id(market, code)?;
        let told = match (status.unwrap_or(Status::Trading), price) {
            (Status::Trading, Some(price)) => {
                let volume = i64::try_from(volume).ok().filter(|volume| *volume <= VOLUME_MAX);
                let volume = volume
                    .ok_or_else(|| Problem::bad_request(format!("{name}: volume is at most {VOLUME_MAX}")))?;
                Told::Trading { price: price.to_hundredth(), volume }
            }
            (Status::Trading, None) => {
                return Err(Problem::bad_request(format!(
                    "{name}: what trades has a price; of what does not say `\"status\": \"suspended\"` or \"not_traded\", and no price"
                )));
            }
            (_, Some(_)) => {
                return Err(Problem::bad_request(format!("{name}: what does not trade has no price")));
            }
            (Status::Suspended, None) => Told::Suspended,
            (Status::NotTraded, None) => Told::NotTraded,
        };
        Ok(Update { id, at, sequence, told })
    }
}

/// Takes quotes, and tells what became of them.
pub(super) async fn quotes(
    State(exchange): State<Exchange>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Quotes { quotes } = super::json(body, QUOTES)?;
    within_a_batch(&quotes)?;
    let updates: Vec<Update> = quotes.into_iter().map(Quoted::check).collect::<Result<_, _>>()?;
    let now = exchange.clock.now();
    let outcome = exchange.door.quotes(&updates, now).await.map_err(of_transaction)?.value;
    let Outcome { taken, same, older, unlisted, refused } = &outcome;
    let counts = json!({ "taken": taken, "same": same, "older": older, "unlisted": unlisted, "refused": not_believed(refused) });
    Ok(Json(counts).into_response())
}

fn not_believed(refused: &[Refused]) -> Vec<Value> {
    let shown = |Refused { id: Id { market, code }, reason, .. }: &Refused| json!({ "market": market, "code": code, "reason": reason.code(), "detail": reason.to_string() });
    refused.iter().map(shown).collect()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct References {
    day: Date,
    previous_closes: Vec<Close>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Close {
    market: String,
    code: String,
    price: Milli,
}

fn positive(price: Milli, of: &Id) -> Result<Milli, Problem> {
    let price = price.to_hundredth();
    if price > Milli::default() {
        return Ok(price);
    }
    Err(Problem::bad_request(format!("{} {}: a previous close is above 0", of.market, of.code)))
}

/// Opens a day: takes the previous closes that its quotes are judged by.
pub(super) async fn references(
    State(exchange): State<Exchange>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let References { day, previous_closes } = super::json(body, REFERENCES)?;
    within_a_batch(&previous_closes)?;
    let reference = |Close { market, code, price }: Close| {
        let id = id(market, code)?;
        let previous_close = positive(price, &id)?;
        Ok::<_, Problem>(Reference { id, day, previous_close })
    };
    let references: Vec<Reference> = previous_closes.into_iter().map(reference).collect::<Result<_, _>>()?;
    let now = exchange.clock.now();
    let opened = exchange.door.open(&references, false, now).await.map_err(of_transaction)?.value;
    let Opened { opened, refused } = &opened;
    Ok(Json(json!({ "opened": opened, "refused": not_believed(refused) })).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Instruments {
    instruments: Vec<New>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    market: String,
    code: String,
    name: String,
    kind: String,
    listed_on: Option<Date>,
    day: Date,
    previous_close: Milli,
}

impl New {
    fn check(self, at: Timestamp) -> Result<Listing, Problem> {
        let Self { market, code, name, kind, listed_on, day, previous_close } = self;
        let id = id(market, code)?;
        let length = name.chars().count();
        if !(1..=NAME_MAX).contains(&length) || name.chars().any(char::is_control) {
            return Err(Problem::bad_request(format!(
                "name: write 1 to {NAME_MAX} characters, none of which is a control character"
            )));
        }
        let kind = Kind::named(&kind).ok_or_else(|| {
            Problem::bad_request(format!("kind = {kind}: write a_share, chinext, star or index"))
        })?;
        let previous_close = positive(previous_close, &id)?;
        Ok(Listing { reference: Reference { id, day, previous_close }, name, kind, listed_on, at })
    }
}

/// Lists instruments: they are found from the answer on. Of those that are listed already it takes what has changed.
pub(super) async fn instruments(
    State(exchange): State<Exchange>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Instruments { instruments } = super::json(body, INSTRUMENTS)?;
    within_a_batch(&instruments)?;
    let received = moment(&exchange.wall);
    let listings: Vec<Listing> =
        instruments.into_iter().map(|new| new.check(received)).collect::<Result<_, _>>()?;
    let now = exchange.clock.now();
    let done = exchange.door.list(&listings, now).await.map_err(of_transaction)?.value;
    let Listings { listed, changed } = done;
    Ok(Json(json!({ "listed": listed, "changed": changed })).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    limit: Option<String>,
    cursor: Option<String>,
}

/// An update that was not believed.
#[derive(Debug, Serialize)]
struct Aside {
    id: i64,
    market: String,
    code: String,
    timestamp: String,
    sequence: i64,
    price: Option<Milli>,
    reason: String,
    detail: String,
    received_at: String,
}

impl Aside {
    fn of(row: &Row) -> Result<Self, DatabaseError> {
        let price = row.get_nullable::<String>("price")?;
        Ok(Self {
            id: row.get("id")?,
            market: row.get("market")?,
            code: row.get("code")?,
            timestamp: row.get("timestamp")?,
            sequence: row.get("sequence")?,
            price: price.and_then(|price| price.parse().ok()),
            reason: row.get("reason")?,
            detail: row.get("detail")?,
            received_at: row.get("received_at")?,
        })
    }
}

/// A page of what was refused, the newest first.
pub(super) async fn refused(
    State(exchange): State<Exchange>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Response, Problem> {
    const PAGE: &str = "select id, market, code, timestamp, sequence, price, reason, detail, received_at from refused_quotes \
         where id < $1 order by id desc limit $2";
    let List { limit: asked, cursor } = request::query(query, "limit and cursor")?;
    let limit = LIMIT.of(asked.as_deref())?;
    let before = cursor.map_or(Some(i64::MAX), |cursor| cursor.parse().ok());
    let before = before
        .ok_or_else(|| Problem::bad_request("cursor: no list gave it; begin again without one".to_owned()))?;
    let page = Statement::new(PAGE).bind(before).bind(i64::from(limit));
    let rows = exchange.database.rows(page).await.map_err(|error| Problem::database(&error))?;
    let aside: Result<Vec<Aside>, DatabaseError> = rows.iter().map(Aside::of).collect();
    let aside = aside.map_err(|error| Problem::database(&error))?;
    let is_full = aside.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let cursor = aside.last().filter(|_| is_full).map(|last| last.id.to_string());
    Ok(Json(json!({ "refused": aside, "cursor": cursor })).into_response())
}

//! What every request of the app is carried out with: the tables, which are the truth, and the keyspace that reads them.
//!
//! Nothing is kept here. Orders are read where every client reads them, and a transaction of [`Tables`] has invalidated what it changed before
//! it returns; what is read after it was read after it.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::Response;
use bytes::Bytes;
use forebay::value::Value;
use forebay::{Blob, Keyspace, Namespace, Read};
use forebay_server::app::{Alarms, Served, Setup};
use forebay_server::problem::Problem;
use forebay_server::time::WallClock;
use forebay_stores::database::Database;

use serde_json::value::RawValue;

use crate::order::{Moment, Order};
use crate::refusal::not_in_service;
use crate::settings::Settings;
use crate::table::Tables;

/// The namespace of the orders of a period.
pub(crate) const ORDERS: &str = "orders";
/// The namespace of single orders by their numbers.
pub(crate) const ORDER: &str = "order";
/// The namespace of periods.
pub(crate) const PERIOD: &str = "period";
/// The namespace of a period's sums.
pub(crate) const TOTALS: &str = "totals";
/// The namespace of the sums of a user in a period.
pub(crate) const USER_TOTALS: &str = "user_totals";

/// What begins the key of a period's orders.
const PERIOD_KEY: &str = "fataMorgana_";

/// The key of the orders of a period.
pub(crate) fn period_key(period: &str) -> String {
    format!("{PERIOD_KEY}{period}")
}

/// The period whose orders are at `key`.
pub(crate) fn period_of(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key).ok()?.strip_prefix(PERIOD_KEY)
}

/// What requests are carried out with. Clones are the same.
#[derive(Clone, Debug)]
pub struct Shop {
    /// Makes and changes orders.
    pub tables: Tables,
    /// What `[app.orders]` says.
    pub settings: Settings,
    served: Served,
    wall: WallClock,
    alarms: Alarms,
}

impl Shop {
    /// A shop of the tables of `database`, as the server sets the app up.
    #[must_use]
    pub fn new(database: &Database, settings: Settings, setup: &Setup) -> Self {
        let Setup { served, wall, alarms, .. } = setup;
        let (served, wall, alarms) = (served.clone(), wall.clone(), alarms.clone());
        Self { tables: Tables::new(database.clone(), wall.clone()), settings, served, wall, alarms }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::at(self.wall.now())
    }

    /// The time, in milliseconds since 1970-01-01 UTC.
    pub(crate) fn unix_ms(&self) -> u128 {
        self.wall.now().as_millis()
    }

    /// What is in service now.
    pub(crate) fn reading(&self) -> Result<Reading, Problem> {
        self.served.now().map(Reading).ok_or_else(not_in_service)
    }

    /// Tells that the copies of what was committed may not all be gone yet, where that is so: it fails nobody.
    pub(crate) fn told(&self, unconfirmed: Option<&forebay::Error>) {
        if let Some(error) = unconfirmed {
            self.alarms.count("change_unconfirmed", 1);
            tracing::warn!(%error, "a change is not confirmed yet");
        }
    }

    /// Reads an order that was just written, so that it is held from now on, and its period for as long as if it was loaded now. Whatever
    /// goes wrong with that is told, and fails nobody: the next who reads it loads it.
    pub(crate) async fn hold(&self, order: &Order) {
        let Some(keyspace) = self.served.now() else { return };
        let Some(orders) = keyspace.namespace(ORDERS) else { return };
        let (key, order_no) = (period_key(&order.period_number), order.order_no.as_str());
        if let Err(error) = orders.read_fields(key.as_bytes(), &[order_no.as_bytes()]).await {
            self.alarms.count("cache_failed", 1);
            tracing::warn!(order_no, %error, "an order could not be cached");
        }
        self.renew(&order.period_number);
    }

    /// The same of an order that was changed, where its period is held: a change that comes after that was dropped does not bring it back.
    pub(crate) async fn hold_on(&self, order: &Order) {
        let key = period_key(&order.period_number);
        let keyspace = self.served.now();
        if keyspace.and_then(|keyspace| keyspace.namespace(ORDERS)?.peek(key.as_bytes())).is_some() {
            self.hold(order).await;
        }
    }

    /// Has the time of a period that is held begin anew: its orders were written.
    pub(crate) fn renew(&self, period: &str) {
        let keyspace = self.served.now();
        let renewed =
            |keyspace: &Keyspace| Some(keyspace.namespace(ORDERS)?.renew(period_key(period).as_bytes()));
        // One that is not held has no time.
        let _ = keyspace.as_deref().and_then(renewed);
    }

    /// Answers a request with what was read of `namespace`. Who keeps the answer asks whether it is still the same: an order may change at any
    /// time, and nobody could take back what a browser keeps.
    pub(crate) async fn answer(
        &self,
        namespace: &Namespace<Blob>,
        read: &Read,
        request: (&Method, &HeaderMap),
    ) -> Result<Response, Problem> {
        let mut response = self.served.answer(namespace, read, request).await?;
        let asks = HeaderValue::from_static("private, no-cache");
        response.headers_mut().insert(header::CACHE_CONTROL, asks);
        Ok(response)
    }
}

/// Whether it is JSON: what Redis clients set may be anything.
pub(crate) fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(text).is_ok()
}

/// The keyspace as one request reads it.
#[derive(Clone, Debug)]
pub(crate) struct Reading(Arc<Keyspace>);

impl Reading {
    /// All namespaces.
    pub(crate) fn namespaces(&self) -> &[Namespace<Blob>] {
        self.0.namespaces()
    }

    /// A namespace of the declaration.
    pub(crate) fn namespace(&self, name: &str) -> Result<&Namespace<Blob>, Problem> {
        self.0.namespace(name).ok_or_else(not_in_service)
    }

    /// Reads the value at a key.
    pub(crate) async fn read(&self, namespace: &str, key: &str) -> Result<Read, Problem> {
        self.namespace(namespace)?.read(key.as_bytes()).await.map_err(|error| Problem::engine(&error))
    }

    /// Reads one order of a period.
    pub(crate) async fn order(&self, period: &str, order_no: &str) -> Result<Read, Problem> {
        let (orders, key) = (self.namespace(ORDERS)?, period_key(period));
        let read = async || {
            let fields = orders.read_fields(key.as_bytes(), &[order_no.as_bytes()]).await;
            fields.map_err(|error| Problem::engine(&error))?.pop().ok_or_else(not_in_service)
        };
        let mut field = read().await?;
        if field.value.as_deref().is_some_and(|json| !is_json(json)) {
            // A Redis client has set it, and it is nothing that can be answered here.
            let gone = orders.forget_field(key.as_bytes(), order_no.as_bytes()).await;
            gone.map_err(|error| Problem::engine(&error))?;
            field = read().await?;
        }
        let value = field.value.map(|json: Bytes| Value::from(Blob::json(json)));
        Ok(Read { value, outcome: field.outcome })
    }

    /// Whether there is such a period.
    pub(crate) async fn knows_period(&self, period: &str) -> Result<bool, Problem> {
        Ok(self.read(PERIOD, &format!("period:{period}")).await?.value.is_some())
    }
}

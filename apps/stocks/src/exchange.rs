//! What every request of the app is carried out with: the door, the clock, and the keyspace that reads the tables.
//!
//! Nothing is kept here. Quotes are read where every client reads them.

use std::sync::Arc;

use axum::http::{HeaderMap, Method, header};
use axum::response::Response;
use forebay::{Blob, Keyspace, Namespace, Read};
use forebay_server::app::Served;
use forebay_server::problem::Problem;
use forebay_server::time::WallClock;
use forebay_stores::database::Database;

use crate::clock::MarketClock;
use crate::ingest::Ingest;
use crate::refusal::not_in_service;
use crate::sessions::Sessions;

/// The namespace of the quotes of shares.
pub(crate) const STOCKS: &str = "STOCK_CACHE";
/// The namespace of the indices.
pub(crate) const INDICES: &str = "MARKET_DATA";
/// The namespace of sessions.
pub(crate) const SESSIONS: &str = "USER_SESSIONS";
/// The namespace of answers that are kept whole.
pub(crate) const API: &str = "API_CACHE";
/// The namespace of the shares of a market by their gains.
pub(crate) const MOVERS: &str = "movers";

/// What requests are carried out with. Clones are the same.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The database, for lists.
    pub database: Database,
    /// Where quotes come in.
    pub door: Ingest,
    /// What time it is on the market.
    pub clock: Arc<MarketClock>,
    /// The time of day.
    pub wall: WallClock,
    /// Who is logged in.
    pub sessions: Sessions,
    /// What is in service.
    pub served: Served,
}

impl Exchange {
    /// What is in service now.
    pub(crate) fn reading(&self) -> Result<Reading, Problem> {
        self.served.now().map(Reading).ok_or_else(not_in_service)
    }

    /// Answers a request with what was read of `namespace`.
    pub(crate) async fn answer(
        &self,
        namespace: &Namespace<Blob>,
        read: &Read,
        request: (&Method, &HeaderMap),
    ) -> Result<Response, Problem> {
        self.served.answer(namespace, read, request).await
    }
}

/// The keyspace as one request reads it.
#[derive(Clone, Debug)]
pub(crate) struct Reading(Arc<Keyspace>);

impl Reading {
    /// A namespace of the declaration.
    pub(crate) fn namespace(&self, name: &str) -> Result<&Namespace<Blob>, Problem> {
        self.0.namespace(name).ok_or_else(not_in_service)
    }

    /// Reads the value at a key: past every copy, where the request asks for that (`Cache-Control: no-cache`).
    pub(crate) async fn read(
        &self,
        namespace: &str,
        key: &str,
        headers: &HeaderMap,
    ) -> Result<Read, Problem> {
        let namespace = self.namespace(namespace)?;
        let read = match wants_the_truth(headers) {
            true => namespace.read_fresh(key.as_bytes()).await,
            false => namespace.read(key.as_bytes()).await,
        };
        read.map_err(|error| Problem::engine(&error))
    }
}

/// Whether a request asks for the truth itself, past every copy.
pub(crate) fn wants_the_truth(headers: &HeaderMap) -> bool {
    let said = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    said.flat_map(|said| said.split(',')).any(|word| word.trim().eq_ignore_ascii_case("no-cache"))
}

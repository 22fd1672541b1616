//! Cache-aside as it is written by hand: get from Redis, on a miss query the database and set; a write goes to the database, and then to Redis.
//!
//! It is what the designs behind the apps do, call by call, with their expiry and their order of steps.

use std::path::Path;

use forebay_stores::database::{Database, DatabaseOptions, Statement};
use forebay_wire::resp::Reply;
use sqlx::Executor as _;

use super::client::Resp;
use crate::error::Error;
use crate::stores::store;

/// The table of orders, as the app has it.
const ORDERS: &str = "create table orders (order_no text primary key, period_number text not null, amount text not null, status text not null);
    create index orders_by_period on orders (period_number, order_no)";
const PERIOD: &str = "p";
pub(super) const KEY: &str = "fataMorgana_p";

/// Orders in a database, with no cache in front.
#[derive(Clone)]
pub(super) struct Table(Database);

impl Table {
    pub(super) async fn new(folder: &Path) -> Result<Self, Error> {
        let database =
            Database::open(&DatabaseOptions::sqlite(folder.join("by_hand.db"), 16)).await.map_err(store)?;
        database.sqlite().map_err(store)?.execute(ORDERS).await.map_err(store)?;
        Ok(Self(database))
    }

    async fn insert(&self, order_no: &str) -> Result<(), Error> {
        // What ours has answered is on the disk; so is what it is compared with.
        let mut connection = self.0.sqlite().map_err(store)?.acquire().await.map_err(store)?;
        sqlx::raw_sql("pragma synchronous = full").execute(&mut *connection).await.map_err(store)?;
        let insert =
            sqlx::query("insert into orders values (?, ?, '1.00', 'pending')").bind(order_no).bind(PERIOD);
        insert.execute(&mut *connection).await.map_err(store)?;
        Ok(())
    }

    async fn all(&self) -> Result<Vec<String>, Error> {
        let all = Statement::new("select order_no from orders where period_number = $1").bind(PERIOD);
        let rows = self.0.rows(all).await.map_err(store)?;
        rows.iter().map(|row| row.get("order_no").map_err(store)).collect()
    }

    async fn has(&self, order_no: &str) -> Result<bool, Error> {
        let one = Statement::new("select order_no from orders where order_no = $1").bind(order_no);
        Ok(!self.0.rows(one).await.map_err(store)?.is_empty())
    }

    pub(super) async fn count(&self) -> Result<usize, Error> {
        Ok(self.all().await?.len())
    }
}

/// The service, as one of its clients uses it.
pub(super) struct Orders {
    table: Table,
    redis: Resp,
}

fn json(order_no: &str) -> String {
    format!(r#"{{"order_no":"{order_no}","period_number":"{PERIOD}","amount":1.00,"status":"pending"}}"#)
}

impl Orders {
    pub(super) fn new(table: Table, redis: Resp) -> Self {
        Self { table, redis }
    }

    /// CreateOrder: the row, then HSET and EXPIRE.
    pub(super) async fn create(&mut self, order_no: &str) -> Result<(), Error> {
        self.table.insert(order_no).await?;
        self.cache(order_no).await
    }

    async fn cache(&mut self, order_no: &str) -> Result<(), Error> {
        self.redis.ask(&["HSET", KEY, order_no, &json(order_no)]).await?;
        self.redis.ask(&["EXPIRE", KEY, "86400"]).await?;
        Ok(())
    }

    /// GetOrder: HGET, else the row, cached.
    pub(super) async fn has(&mut self, order_no: &str) -> Result<bool, Error> {
        if matches!(self.redis.ask(&["HGET", KEY, order_no]).await?, Reply::Bulk(_)) {
            return Ok(true);
        }
        let is_there = self.table.has(order_no).await?;
        if is_there {
            self.cache(order_no).await?;
        }
        Ok(is_there)
    }

    /// GetOrderCount: HLEN, else the rows.
    pub(super) async fn count(&mut self) -> Result<usize, Error> {
        match self.redis.ask(&["HLEN", KEY]).await? {
            Reply::Integer(count) if count > 0 => Ok(usize::try_from(count).unwrap_or_default()),
            _ => self.table.count().await,
        }
    }

    /// GetOrdersByPeriod: HGETALL, else the rows, cached.
    pub(super) async fn all(&mut self) -> Result<usize, Error> {
        match self.redis.ask(&["HGETALL", KEY]).await? {
            Reply::Array(fields) if !fields.is_empty() => Ok(fields.len() / 2),
            _ => {
                let all = self.table.all().await?;
                for order_no in &all {
                    self.cache(order_no).await?;
                }
                Ok(all.len())
            }
        }
    }

    /// DeletePeriodOrders: DEL.
    pub(super) async fn forget(&mut self) -> Result<(), Error> {
        self.redis.ask(&["DEL", KEY]).await.map(drop)
    }
}

//! Cache-aside as it is written by hand: get from Redis, on a miss query the database and set; a write goes to the database, and then to Redis.
//!
//! It is what the designs behind the apps do, call by call, with their expiry and their order of steps.

use std::path::Path;

use forebay_stores::database::{Database, DatabaseOptions, Statement};
use forebay_wire::resp::Reply;
use sqlx::Executor as _;

use super::client::Resp;
use super::orders::period_key;
use crate::error::Error;
use crate::stores::store;

/// The table of orders, as the app has it.
const ORDERS: &str = "create table orders (order_no text primary key, period_number text not null, amount text not null, status text not null);
    create index orders_by_period on orders (period_number, order_no)";

/// As many as a namespace's database has by default.
const CONNECTIONS: u32 = 16;

/// Orders in a database, with no cache in front.
#[derive(Clone)]
pub(super) struct Table(Database);

impl Table {
    pub(super) async fn new(folder: &Path) -> Result<Self, Error> {
        let database = Database::open(&DatabaseOptions::sqlite(folder.join("by_hand.db"), CONNECTIONS))
            .await
            .map_err(store)?;
        let pool = database.sqlite().map_err(store)?;
        pool.execute(ORDERS).await.map_err(store)?;
        // What ours has answered is on the disk; so is what it is compared with.
        let mut all = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut connection = pool.acquire().await.map_err(store)?;
            connection.execute("pragma synchronous = full").await.map_err(store)?;
            all.push(connection);
        }
        drop(all);
        Ok(Self(database))
    }

    async fn insert(&self, order_no: &str, period: &str) -> Result<(), Error> {
        let insert =
            sqlx::query("insert into orders values (?, ?, '1.00', 'pending')").bind(order_no).bind(period);
        insert.execute(self.0.sqlite().map_err(store)?).await.map_err(store)?;
        Ok(())
    }

    async fn all(&self, period: &str) -> Result<Vec<String>, Error> {
        let all = Statement::new("select order_no from orders where period_number = $1").bind(period);
        let rows = self.0.rows(all).await.map_err(store)?;
        rows.iter().map(|row| row.get("order_no").map_err(store)).collect()
    }

    async fn has(&self, order_no: &str) -> Result<bool, Error> {
        let one = Statement::new("select order_no from orders where order_no = $1").bind(order_no);
        Ok(!self.0.rows(one).await.map_err(store)?.is_empty())
    }
}

/// The service, as one of its clients uses it for one period.
pub(super) struct Orders {
    table: Table,
    redis: Resp,
    period: &'static str,
    key: String,
}

impl Orders {
    pub(super) fn new(table: Table, redis: Resp, period: &'static str) -> Self {
        Self { table, redis, period, key: period_key(period) }
    }

    /// CreateOrder: the row, then HSET and EXPIRE.
    pub(super) async fn create(&mut self, order_no: &str) -> Result<(), Error> {
        self.table.insert(order_no, self.period).await?;
        self.cache(order_no).await
    }

    async fn cache(&mut self, order_no: &str) -> Result<(), Error> {
        let period = self.period;
        let json = format!(
            r#"{{"order_no":"{order_no}","period_number":"{period}","amount":1.00,"status":"pending"}}"#
        );
        self.redis.ask(&["HSET", &self.key, order_no, &json]).await?;
        self.redis.ask(&["EXPIRE", &self.key, "86400"]).await?;
        Ok(())
    }

    /// GetOrder: HGET, else the row, cached.
    pub(super) async fn has(&mut self, order_no: &str) -> Result<bool, Error> {
        if matches!(self.redis.ask(&["HGET", &self.key, order_no]).await?, Reply::Bulk(_)) {
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
        match self.redis.ask(&["HLEN", &self.key]).await? {
            Reply::Integer(count) if count > 0 => Ok(usize::try_from(count).unwrap_or_default()),
            _ => Ok(self.table.all(self.period).await?.len()),
        }
    }

    /// GetOrdersByPeriod: HGETALL, else the rows, cached.
    pub(super) async fn all(&mut self) -> Result<usize, Error> {
        match self.redis.ask(&["HGETALL", &self.key]).await? {
            Reply::Array(fields) if !fields.is_empty() => Ok(fields.len() / 2),
            _ => {
                let all = self.table.all(self.period).await?;
                for order_no in &all {
                    self.cache(order_no).await?;
                }
                Ok(all.len())
            }
        }
    }

    /// DeletePeriodOrders: DEL.
    pub(super) async fn forget(&mut self) -> Result<(), Error> {
        self.redis.ask(&["DEL", &self.key]).await.map(drop)
    }
}

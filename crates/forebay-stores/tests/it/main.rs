//! Databases, sources, sinks and journals: on a real SQLite file in a fresh folder, on a real PostgreSQL server, before a scripted
//! HTTP origin; the disk and the embedded tier, in fresh folders.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests may stop at the first surprise"
)]

mod crash;
mod database;
mod disk;
mod embedded;
mod ends;
mod episodes;
mod faults;
mod http;
mod journal;
mod listed;
mod merge;
mod postgres;
mod replicas;
mod shapes;
mod sink;
mod sql;
mod store;
mod transaction;
mod withstanding;

use std::time::Duration;

use forebay_stores::database::{Address, Database, DatabaseOptions};

/// An empty database in `folder`.
pub async fn open(folder: &tempfile::TempDir) -> Database {
    Database::open(&options(folder)).await.unwrap()
}

pub fn options(folder: &tempfile::TempDir) -> DatabaseOptions {
    DatabaseOptions {
        address: Address::Sqlite(folder.path().join("deep/er/test.db")),
        pool_max: 2,
        pool_warm: 1,
        pool_wait: Duration::from_secs(5),
        pool_max_lifetime: Duration::from_secs(60),
        pool_ping_after_idle: Duration::ZERO,
        statement_timeout: Duration::from_secs(30),
        replicas: Vec::new(),
        create: true,
    }
}

//! The app's declaration and schema.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod schema;

use std::path::Path;
use std::time::Duration;

use forebay_stores::database::{Address, Database, DatabaseOptions};

async fn database(folder: &Path) -> Database {
    let options = DatabaseOptions {
        address: Address::Sqlite(folder.join("main.db")),
        pool_max: 1,
        pool_warm: 1,
        pool_wait: Duration::from_secs(5),
        pool_max_lifetime: Duration::from_secs(3600),
        pool_ping_after_idle: Duration::from_secs(30),
        create: true,
    };
    let database = Database::open(&options).await.unwrap();
    database.migrate(forebay_app_quant::MIGRATIONS).await.unwrap();
    database
}

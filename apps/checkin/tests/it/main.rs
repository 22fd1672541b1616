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

use forebay_stores::database::{Database, DatabaseOptions};

async fn database(folder: &Path) -> Database {
    let options = DatabaseOptions::sqlite(folder.join("main.db"), 1);
    let database = Database::open(&options).await.unwrap();
    database.migrate(forebay_app_checkin::MIGRATIONS).await.unwrap();
    database
}

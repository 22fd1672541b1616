//! Orders: a shop's orders in numbered periods on Forebay.
//!
//! It is a declaration (`forebay.toml`) and a schema: a hash a period, whose fields are the period's orders. The rows are
//! the truth; what a key means and how fresh it must be is said in the declaration, and the server does the rest.

use forebay_server::app::{App, Running};
use forebay_stores::database::Migration;

/// Schema changes of its database `main`.
pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "orders",
    sqlite: include_str!("../migrations/0001_orders.sql"),
    postgres: None,
}];

/// The app.
#[must_use]
pub fn app() -> App {
    App {
        name: "orders",
        summary: "orders in numbered periods",
        declaration: include_str!("../forebay.toml"),
        migrations: MIGRATIONS,
        jobs: &[],
        tries: &[],
        start: |_| Box::pin(async { Ok(Running::default()) }),
    }
}

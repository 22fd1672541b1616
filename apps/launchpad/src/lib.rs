//! Launchpad: crypto projects, prices and token sales on Forebay.
//!
//! It is a declaration (`forebay.toml`) and a schema. A project's detail is its row merged with what the upstream API says;
//! prices are rows; lists and searches are answers that may be lost at any time.

use forebay_server::app::{App, Running};
use forebay_stores::database::Migration;

/// Schema changes of its database `main`.
pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "projects, prices and pools",
    sqlite: include_str!("../migrations/0001_launchpad.sql"),
    postgres: None,
}];

/// The app.
#[must_use]
pub fn app() -> App {
    App {
        name: "launchpad",
        summary: "crypto projects, prices and token sales",
        declaration: include_str!("../forebay.toml"),
        migrations: MIGRATIONS,
        jobs: &[],
        tries: &[],
        start: |_| Box::pin(async { Ok(Running::default()) }),
    }
}

//! Check-in: daily check-ins, streaks, rewards and boards on Forebay.
//!
//! It is a declaration (`forebay.toml`) and a schema. What repeats (sessions, statistics, rewards, boards, stock of codes) is
//! loaded from tables, or from views that compute it from them; the check-ins themselves are rows.

use forebay_server::app::{App, Running};
use forebay_stores::database::Migration;

/// Schema changes of its database `main`.
pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "check-ins",
    sqlite: include_str!("../migrations/0001_checkin.sql"),
    postgres: None,
}];

/// The app.
#[must_use]
pub fn app() -> App {
    App {
        name: "checkin",
        summary: "daily check-ins, streaks, rewards and boards",
        declaration: include_str!("../forebay.toml"),
        migrations: MIGRATIONS,
        jobs: &[],
        tries: &[],
        start: |_| Box::pin(async { Ok(Running::default()) }),
    }
}

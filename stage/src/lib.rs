//! A stage for tests of what is served: a real process on free ports, an app on either database, and clients that show what comes as it comes.
//!
//! Nothing waits by the clock: every wait is for an event, and [`soon`] ends those that never come. It is of no use outside of tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    missing_docs,
    reason = "tests"
)]

mod app;
mod http;
pub mod page;
mod resp;
pub mod running;
mod script;

use std::future::Future;
use std::time::Duration;

use forebay_server::app::Progress;
use forebay_stores::database::{Database, DatabaseOptions};
use sqlx::{AssertSqlSafe, Executor};

pub use app::{AppStage, On};
pub use http::{Answer, ask, ask_with, exchange};
pub use resp::{Resp, request, shown};
pub use running::Running;
pub use script::{Scripted, scripted};

/// No wait takes longer, unless what is waited for never comes.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// The result of `work`, which must not take long.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("what was waited for did not come")
}

/// Nobody looks.
pub struct Unseen;

impl Progress for Unseen {
    fn step(&self, _: &str, _: u64, _: u64) {}
}

/// The address of a new database on the PostgreSQL server of the tests.
pub async fn new_postgres() -> String {
    let server = xtask::services::url("postgres").unwrap();
    let name = format!("served_{:016x}", fastrand::u64(..));
    let options = DatabaseOptions::postgres(server.parse().unwrap(), 1);
    let all = Database::open(&options).await.unwrap();
    all.postgres().unwrap().execute(AssertSqlSafe(format!("create database {name}"))).await.unwrap();
    format!("{}/{name}", server.rsplit_once('/').unwrap().0)
}

/// Tests that take where they are [`On`], as tests on both databases.
#[macro_export]
macro_rules! on_both {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        mod sqlite {
            $($(#[doc = $doc])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::On::Sqlite).await;
            })*
        }
        mod postgres {
            $($(#[doc = $doc])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::On::Postgres).await;
            })*
        }
    };
}

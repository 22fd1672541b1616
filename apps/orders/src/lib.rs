//! Orders: a shop's orders in numbered periods on Forebay.
//!
//! It is a declaration (`forebay.toml`), a schema, routes that make and change orders, and two jobs. The rows are the truth; what a key
//! means and how fresh it must be is said in the declaration, and the server does the rest. It is not a cache.
//!
//! The way of a request is `routes/` (what is asked for, checked) → `table.rs` (a transaction), or `shop.rs` (what is in service, read).

mod jobs;
pub mod money;
pub mod order;
pub mod period;
pub mod refusal;
pub mod routes;
pub mod settings;
pub mod shop;
pub mod table;

use forebay_server::app::{App, AppError, Running, Setup, Try};
use forebay_stores::database::Migration;

use crate::settings::Settings;
use crate::shop::Shop;

/// The app's name on the command line and in `[app.orders]`.
const NAME: &str = "orders";

/// Schema changes of its database `main`.
pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "orders",
    sqlite: include_str!("../migrations/sqlite/0001_orders.sql"),
    postgres: Some(include_str!("../migrations/postgres/0001_orders.sql")),
}];

const TRIES: &[Try] = &[
    Try {
        command: r#"curl -d '{"order_no": "ORDER_1", "uid": "user123", "period_number": "20241201_001", "amount": 100.00}' http://127.0.0.1:{http}/api/v1/orders/create"#,
        shows: "an order is made",
    },
    Try {
        command: "redis-cli -p {resp} -n 1 HGETALL fataMorgana_20241201_001",
        shows: "all orders of its period",
    },
    Try {
        command: r#"curl -d '{"status": "confirmed"}' http://127.0.0.1:{http}/api/v1/orders/ORDER_1/status"#,
        shows: "it is paid, and every copy of it is gone",
    },
    Try {
        command: "curl http://127.0.0.1:{http}/api/v1/periods/20241201_001/totals",
        shows: "what the period comes to",
    },
];

/// The app.
#[must_use]
pub fn app() -> App {
    App {
        name: NAME,
        summary: "orders in numbered periods",
        declaration: include_str!("../forebay.toml"),
        migrations: MIGRATIONS,
        jobs: jobs::JOBS,
        tries: TRIES,
        start: |setup| Box::pin(start(setup)),
    }
}

async fn start(setup: Setup) -> Result<Running, AppError> {
    let settings = Settings::parse(&setup.settings)?;
    let database = setup
        .databases
        .get("main")
        .ok_or_else(|| settings::refused("it needs a database `main`; declare [database.main] with a url"))?;
    let shop = Shop::new(database, settings, &setup);
    let notes = vec![format!("an order that says nothing else may be paid for {:?}", settings.expires_after)];
    Ok(Running { routes: Some(routes::router(shop)), notes, ..Running::default() })
}

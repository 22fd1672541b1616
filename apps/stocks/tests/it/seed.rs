//! The design that the app comes from, its JavaScript letter by letter, by our own client.

use forebay_stage::{On, on_both, scripted};
use xtask::clients::own;

use crate::{list, stage, tell};

const SCRIPT: &str = "apps/stocks/tests/clients/seed_000.mjs";

on_both! {
    st_11_the_designs_own_javascript_runs_on_the_app,
}

async fn st_11_the_designs_own_javascript_runs_on_the_app(on: On) {
    let stage = stage(on).await;
    list(&stage, "600000", "a_share").await;
    list(&stage, "000001", "index").await;
    tell(&stage, "600000", "10:00:00", "10.50").await;
    let with = || own(SCRIPT).unwrap_or_else(|error| panic!("{error}"));
    scripted(with, &[("FOREBAY_HTTP", stage.process.http.to_string())]).await.passed(SCRIPT, 6);
}

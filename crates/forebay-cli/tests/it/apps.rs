//! The five apps: their declarations check, live side by side, and ask nothing that their schemas do not have.

use std::collections::BTreeMap;

use expect_test::expect;
use forebay::namespace::pattern::ParamKind;
use forebay_server::app::App;
use forebay_server::configuration::{Declaration, Deployment, Environment, Namespace, served};
use forebay_stores::database::{Database, DatabaseOptions, Dialect};
use forebay_stores::source::sql;
use sqlx::{AssertSqlSafe, Executor as _, SqlSafeStr as _};

fn apps() -> [App; 5] {
    [
        forebay_app_stocks::app(),
        forebay_app_orders::app(),
        forebay_app_checkin::app(),
        forebay_app_launchpad::app(),
        forebay_app_quant::app(),
    ]
}

/// An environment in which every variable is set to an address, but for those that choose a database.
struct Addresses;

impl Environment for Addresses {
    fn variable(&self, name: &str) -> Option<String> {
        (!name.ends_with("_DATABASE")).then(|| "http://127.0.0.1:9".into())
    }

    fn file(&self, _path: &str) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

fn declaration(app: &App) -> Declaration {
    Declaration::parse(&app.file(), app.declaration, &Addresses).unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn all_five_can_be_served_side_by_side() {
    let deployment = Deployment::assemble(apps().iter().map(declaration).collect()).unwrap();
    let names: Vec<&str> = deployment.keyspaces.iter().map(|keyspace| keyspace.name.as_str()).collect();
    assert_eq!(names, ["stocks", "stocks-preview", "orders", "checkin", "launchpad", "quant"]);
}

/// What the apps ask for that this version does not serve, each by its name and how often.
#[test]
fn what_is_not_served_is_known() {
    let mut said = String::new();
    for app in apps() {
        let mut wanted: BTreeMap<String, usize> = BTreeMap::new();
        for error in served::refuse(&declaration(&app)) {
            let what = error.message().split(" is part of").next().unwrap_or_default().to_owned();
            *wanted.entry(what).or_default() += 1;
        }
        let wanted: Vec<String> = wanted.iter().map(|(what, times)| format!("{times} {what}")).collect();
        let wanted = if wanted.is_empty() { "nothing".into() } else { wanted.join(", ") };
        said.push_str(&format!("{}: {wanted}\n", app.name));
    }
    expect![[r#"
        stocks: nothing
        orders: nothing
        checkin: 1 `feed = true`
        launchpad: 1 `aliases`, 1 `feed = true`
        quant: 1 `feed = true`
    "#]]
    .assert_eq(&said);
}

#[tokio::test]
async fn every_query_is_understood_by_its_schema() {
    for app in apps() {
        let folder = tempfile::tempdir().unwrap();
        let options = DatabaseOptions::sqlite(folder.path().join("main.db"), 1);
        let database = Database::open(&options).await.unwrap();
        database.migrate(app.migrations).await.unwrap();
        let queries: BTreeMap<String, String> =
            declaration(&app).namespaces.values().flat_map(queries).collect();
        assert!(!queries.is_empty(), "{} declares no query", app.name);
        for (place, query) in queries {
            let prepared = database.sqlite().unwrap().prepare(AssertSqlSafe(query).into_sql_str()).await;
            prepared.unwrap_or_else(|error| panic!("{}: {place}: {error}", app.name));
        }
    }
}

/// The queries of a namespace as SQLite is asked them, each with what it is.
fn queries(namespace: &Namespace) -> Vec<(String, String)> {
    let of_key: Vec<ParamKind> = namespace.key.kinds().collect();
    let of_field = namespace.field.iter().flat_map(|field| field.kinds());
    let of_field: Vec<ParamKind> = of_key.iter().copied().chain(of_field).collect();
    let bound = |text: &str, kinds: &[ParamKind]| sql::bound(Dialect::Sqlite, text, kinds);
    let place = |what: &str| format!("{} {what}", namespace.name);
    let mut queries = Vec::new();
    if let Some(source) = namespace.source.as_ref().and_then(|source| source.sql.as_ref()) {
        queries.push((place("query"), bound(source.query.text.expose(), &of_key)));
        if let Some(fields) = &source.fields {
            queries.push((place("fields"), bound(fields.text.expose(), &of_field)));
        }
    }
    for (alias, query) in &namespace.aliases {
        queries.push((place(alias), bound(query.text.expose(), &[ParamKind::Text])));
    }
    queries
}

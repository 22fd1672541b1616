//! The declaration against the schema.

use forebay_app_quant::app;
use sqlx::{AssertSqlSafe, Column, Executor, SqlSafeStr, Statement};

use crate::database;

/// The query with a list of one row in the place of `{keys}`.
fn bound(query: &str) -> String {
    let Some((before, after)) = query.split_once("{keys}") else { return query.to_owned() };
    let left = before.trim_end().strip_suffix("in").unwrap().trim_end();
    let parameters = match left.strip_suffix(')') {
        Some(tuple) => tuple.rsplit_once('(').unwrap().1.split(',').count(),
        None => 1,
    };
    format!("{before}(values ({})){after}", vec!["'?'"; parameters].join(", "))
}

/// Every declared query, with the namespace it belongs to.
fn queries() -> Vec<(String, String)> {
    let declaration: toml::Table = app().declaration.parse().unwrap();
    let mut queries = Vec::new();
    for (name, namespace) in declaration["namespace"].as_table().unwrap() {
        let sql = namespace.get("source").and_then(|source| source.get("sql"));
        let aliases = namespace.get("aliases").and_then(|aliases| aliases.as_table());
        let texts = [sql.and_then(|sql| sql.get("query")), sql.and_then(|sql| sql.get("fields"))];
        let texts =
            texts.into_iter().flatten().chain(aliases.into_iter().flat_map(|aliases| aliases.values()));
        queries.extend(texts.map(|text| (name.clone(), text.as_str().unwrap().to_owned())));
    }
    queries
}

#[tokio::test]
async fn every_query_is_understood_by_the_schema() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path()).await;
    let queries = queries();
    assert_eq!(queries.len(), 5);
    for (namespace, query) in queries {
        let query = AssertSqlSafe(bound(&query)).into_sql_str();
        let prepared = database.sqlite().prepare(query.clone()).await;
        let prepared = prepared.unwrap_or_else(|error| panic!("{namespace}: {error}"));
        assert!(prepared.columns().iter().all(|column| !column.name().contains(' ')), "{namespace}");
        sqlx::query(query).fetch_all(database.sqlite()).await.unwrap();
    }
}

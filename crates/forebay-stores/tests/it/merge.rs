//! A query and a request as one source.

use std::sync::Arc;
use std::time::Duration;

use forebay::source::Loading;
use forebay::value::{Tag, Version};
use forebay::{Blob, LoadKey, Loaded, Source, SourceError};
use forebay_stores::source::merge::Merged;
use forebay_stores::source::sql::{SqlQuery, SqlSource};

use crate::http::stage::{Asked, Origin, json, load, open as open_http, options, says, some, texts};
use crate::sql::columns;

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failed(&'static str);

/// Gives the same for every key.
struct Fixed(Result<Option<Loaded>, SourceError>);

impl Source for Fixed {
    fn gives_tags(&self) -> bool {
        false
    }

    fn load<'a>(&'a self, _: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        Box::pin(async move { keys.iter().map(|_| self.0.clone()).collect() })
    }
}

fn given(json: &str) -> Fixed {
    Fixed(Ok(Some(Loaded::new(Blob::json(json)))))
}

async fn merged(earlier: Fixed, later: Fixed) -> Result<Option<Loaded>, SourceError> {
    load(&Merged::new(Arc::new(earlier), Arc::new(later)), &["a"]).await.map(|mut loaded| loaded.remove(0))
}

async fn text(earlier: Fixed, later: Fixed) -> Option<String> {
    texts(&Merged::new(Arc::new(earlier), Arc::new(later)), &["a"]).await.remove(0)
}

#[tokio::test]
async fn members_of_the_later_are_laid_over_the_earlier() {
    for (earlier, later, wanted) in [
        ("{}", "{}", "{}"),
        (r#"{"a":1,"b":2}"#, "{}", r#"{"a":1,"b":2}"#),
        (r#"{"a":1.00,"b":2}"#, r#"{"c":3,"a":{"x" : 1}}"#, r#"{"a":{"x" : 1},"b":2,"c":3}"#),
        (r#"{"a":{"x":1}}"#, r#"{"a":null}"#, r#"{"a":null}"#),
        (r#"{"a":1,"a":2}"#, r#"{"b":1,"b":2}"#, r#"{"a":2,"b":2}"#),
        (
            r#" { "\u0061" : 1 } "#,
            r#"{"a":12345678901234567890.10,"\"":0}"#,
            r#"{"a":12345678901234567890.10,"\"":0}"#,
        ),
    ] {
        assert_eq!(text(given(earlier), given(later)).await, some(wanted), "{earlier} under {later}");
    }
}

#[tokio::test]
async fn a_key_exists_where_either_has_it_and_a_failure_is_one_of_both() {
    let absent = || Fixed(Ok(None));
    assert_eq!(text(given("{\"a\":1}"), absent()).await, some("{\"a\":1}"));
    assert_eq!(text(absent(), given("{\"a\":1}")).await, some("{\"a\":1}"));
    assert_eq!(text(absent(), absent()).await, None);
    for retry in [true, false] {
        let failed = || Fixed(Err(SourceError { cause: Arc::new(Failed("no")), retry }));
        for ended in [merged(failed(), given("{}")).await, merged(absent(), failed()).await] {
            assert_eq!(ended.unwrap_err().retry, retry);
        }
    }
    for (earlier, later) in [("[]", "{}"), ("{}", "1"), ("{}", "{")] {
        let error = merged(given(earlier), given(later)).await.unwrap_err();
        assert!(!error.retry && error.to_string().contains("JSON objects"), "{error}");
    }
}

#[tokio::test]
async fn it_is_as_fresh_as_its_older_part() {
    let with = |seconds: Option<u64>, version: Option<i64>, tag: &str| {
        let ttl = seconds.map(Duration::from_secs);
        let loaded = Loaded { ttl, version: version.map(Version), ..Loaded::new(Blob::json("{}")) };
        Fixed(Ok(Some(Loaded { tags: vec![Tag::from(tag)], ..loaded })))
    };
    let loaded = merged(with(Some(5), Some(1), "x"), with(Some(3), None, "y")).await.unwrap().unwrap();
    assert_eq!(
        (loaded.ttl, loaded.version, loaded.tags.len()),
        (Some(Duration::from_secs(3)), Some(Version(1)), 2)
    );
    let loaded = merged(with(None, None, "x"), with(Some(3), Some(2), "y")).await.unwrap().unwrap();
    assert_eq!((loaded.ttl, loaded.version), (Some(Duration::from_secs(3)), Some(Version(2))));
}

#[tokio::test]
async fn a_row_and_an_answer_are_one_value() {
    let folder = tempfile::tempdir().unwrap();
    let database = crate::open(&folder).await;
    let rows =
        "create table t (code text primary key, name text); insert into t values ('a', 'A'), ('b', 'B');";
    sqlx::raw_sql(rows).execute(database.sqlite().unwrap()).await.unwrap();
    let text = "select code, name from t where code in {keys}".to_owned();
    let query = SqlQuery { text, params: columns(&["code"]), ..SqlQuery::default() };
    let sql = SqlSource::open(&database, query).await.unwrap();
    let origin = Origin::start(|_, asked: &Asked| match asked.target.as_str() {
        "/a" | "/c" => json(r#"{"price":1.50}"#),
        _ => says("404 None", &[], ""),
    })
    .await;
    let http = open_http(options(&origin.url("/{code}"), &["code"]));
    let source = Merged::new(Arc::new(sql), Arc::new(http));
    let wanted =
        [r#"{"code":"a","name":"A","price":1.50}"#, r#"{"code":"b","name":"B"}"#, r#"{"price":1.50}"#];
    let found = texts(&source, &["a", "b", "c", "d"]).await;
    assert_eq!(found, [some(wanted[0]), some(wanted[1]), some(wanted[2]), None]);
}

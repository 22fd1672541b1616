//! Rows that say until when they are fresh, and the present in a query; on both databases.

use std::time::Duration;

use forebay::namespace::pattern::Pattern;
use forebay::rt::{Clock, Tick};
use forebay::source::{FieldKey, FieldSource};
use forebay::value::Param;
use forebay::{LoadKey, Loaded, Source};
use forebay_stores::database::{Database, Dialect};
use forebay_stores::source::sql::{FreshUntil, Shape, SqlError, SqlQuery, SqlSource};
use forebay_stores::time::{Clocks, WallClock};

use crate::shapes::databases;
use crate::sql::columns;

/// 2026-11-22 10:00 UTC.
const TEN_MS: u64 = 1_795_341_600_000;
const TTL: Duration = Duration::from_secs(3);

const SHOPS: &str = "create table shops (town text, name text, until text, number integer);
    insert into shops values ('x', 'a', '2026-11-22T10:00:01.500Z', 1), ('x', 'b', '2026-11-22T11:00:02+01:00', 2), ('x', 'c', null, 3),
        ('y', 'd', null, 4), ('z', 'e', 'at dusk', 5);";

/// Clocks that stand: the engine's at 7 s, the wall's at ten.
fn clocks() -> Clocks {
    let engine = Clock::simulated();
    engine.advance(Duration::from_secs(7));
    Clocks { engine, wall: WallClock::standing(TEN_MS) }
}

fn query(text: &str, params: &[&str], column: &str, shape: Shape) -> SqlQuery {
    SqlQuery {
        text: text.into(),
        params: columns(params),
        fresh_until: Some(FreshUntil { column: column.into(), ttl: TTL }),
        clocks: clocks(),
        shape,
        ..SqlQuery::default()
    }
}

fn key(text: &str) -> LoadKey {
    LoadKey { params: vec![Param::Text(text.into())] }
}

async fn one(source: &SqlSource, of: &str) -> Loaded {
    source.load("test", &[key(of)]).await.unwrap().remove(0).unwrap()
}

fn json(loaded: &Loaded) -> String {
    String::from_utf8(loaded.value.as_blob().unwrap().as_bytes().to_vec()).unwrap()
}

fn at(ms: u64) -> Option<Tick> {
    Some(Tick::from_ms(7_000 + ms))
}

#[tokio::test]
async fn a_row_says_until_when_it_is_fresh() {
    let folder = tempfile::tempdir().unwrap();
    for database in databases(&folder, SHOPS).await {
        let text = "select name, until from shops where name in {keys}";
        let open = async |column: &str, text: &str| {
            SqlSource::open(&database, query(text, &["name"], column, Shape::Row)).await
        };
        let source = open("until", text).await.unwrap();
        assert!(source.gives_ends() && !source.gives_tags());
        let (a, b, c) = (one(&source, "a").await, one(&source, "b").await, one(&source, "c").await);
        assert_eq!((a.fresh_until, a.ttl), (at(1_500), None), "{}", database.dialect());
        assert_eq!(json(&a), r#"{"name":"a","until":"2026-11-22T10:00:01.500Z"}"#, "it stays in the row");
        assert_eq!((b.fresh_until, c.fresh_until, c.ttl), (at(2_000), None, None));
        let late = source.load("test", &[key("e")]).await.unwrap_err();
        let told =
            "column `until` is declared as `fresh_until` and holds \"at dusk\": store times as RFC 3339";
        assert!(late.to_string().starts_with(told) && !late.retry, "{late}");
        // Of its own name it is no part of the row.
        let apart =
            open("fresh_until", "select name, until as fresh_until from shops where name in {keys}").await;
        let a = one(&apart.unwrap(), "a").await;
        assert_eq!((json(&a).as_str(), a.fresh_until), (r#"{"name":"a"}"#, at(1_500)));
        let none = open("no", text).await.unwrap_err();
        assert!(matches!(none, SqlError::FreshUntilColumn { column } if column == "no"));
        let number = open("number", "select name, number from shops where name in {keys}").await;
        match database.dialect() {
            Dialect::Sqlite => {
                let failed = number.unwrap().load("test", &[key("a")]).await.unwrap_err().to_string();
                assert!(failed.contains("`fresh_until` and holds 1: store times"), "{failed}");
            }
            Dialect::Postgres => {
                let failed = number.unwrap_err();
                assert!(
                    matches!(&failed, SqlError::FreshUntilType { column } if column == "number"),
                    "{failed}"
                );
            }
        }
    }
}

#[tokio::test]
async fn of_several_rows_the_first_to_end_counts() {
    let folder = tempfile::tempdir().unwrap();
    let members = Shape::Members { member: "name".into(), score: "number".into() };
    for database in databases(&folder, SHOPS).await {
        for shape in [Shape::Rows, members.clone()] {
            let declared = query("select * from shops where town in {keys}", &["town"], "until", shape);
            let source = SqlSource::open(&database, declared).await.unwrap();
            let (x, y) = (one(&source, "x").await, one(&source, "y").await);
            assert_eq!((x.fresh_until, x.ttl), (at(1_500), Some(TTL)), "one row says nothing");
            assert_eq!((y.fresh_until, y.ttl), (None, None));
        }
        let columns =
            query("select name, until from shops where name in {keys}", &["name"], "until", Shape::Columns);
        let source = SqlSource::open(&database, columns).await.unwrap();
        let a = one(&source, "a").await;
        assert_eq!((a.fresh_until, a.value.earliest_end()), (at(1_500), None), "one row is the whole hash");
    }
}

#[tokio::test]
async fn a_field_that_is_a_row_ends_by_itself_however_it_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    for database in databases(&folder, SHOPS).await {
        let select = "select town, name, until as fresh_until from shops where";
        let shape = Shape::Fields {
            name: Pattern::parse("{name}").unwrap(),
            query: Some(format!("{select} (town, name) in {{keys}}")),
        };
        let declared = query(&format!("{select} town in {{keys}}"), &["town"], "fresh_until", shape);
        let source = SqlSource::open(&database, declared).await.unwrap();
        let x = one(&source, "x").await;
        assert_eq!((x.fresh_until, x.ttl), (None, None), "the whole has its TTL");
        let hash = x.value.as_hash().unwrap();
        let ends: Vec<_> = [b"a", b"b", b"c"].map(|name| hash.end(name)).into();
        assert_eq!(ends, [at(1_500), at(2_000), None]);
        let asked = ["a", "c", "none"].map(|name| FieldKey { key: key("x"), field: name.into() });
        let fields = source.load_fields("test", &asked).await.unwrap();
        let ends: Vec<_> = fields.iter().map(|field| field.as_ref().map(|field| field.fresh_until)).collect();
        assert_eq!(ends, [Some(at(1_500)), Some(None), None]);
        assert_eq!(fields[0].as_ref().unwrap().value, r#"{"town":"x","name":"a"}"#);
        let bad = FieldKey { key: key("z"), field: "e".into() };
        assert!(source.load_fields("test", &[bad]).await.is_err());
    }
}

#[tokio::test]
async fn the_present_is_bound_as_text_wherever_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    for database in databases(&folder, SHOPS).await {
        let text = "select {now} as asked, name, case when until <= {now} then 'shut' else 'open' end as is, \
                    case when until > {now} then until end as fresh_until from shops where name in {keys}";
        let declared = query(&text.replace(" as is,", " as door,"), &["name"], "fresh_until", Shape::Row);
        let wall = declared.clocks.wall.clone();
        let source = SqlSource::open(&database, declared).await.unwrap();
        let row = |time: &str, door: &str| format!(r#"{{"asked":"{time}","name":"a","door":"{door}"}}"#);
        let a = one(&source, "a").await;
        assert_eq!((json(&a), a.fresh_until), (row("2026-11-22T10:00:00.000Z", "open"), at(1_500)));
        wall.set(TEN_MS + 1_499);
        let a = one(&source, "a").await;
        assert_eq!((json(&a), a.fresh_until), (row("2026-11-22T10:00:01.499Z", "open"), at(1)));
        wall.set(TEN_MS + 1_500);
        let a = one(&source, "a").await;
        assert_eq!((json(&a), a.fresh_until), (row("2026-11-22T10:00:01.500Z", "shut"), None));
    }
}

#[tokio::test]
async fn the_present_may_be_all_that_is_bound() {
    let folder = tempfile::tempdir().unwrap();
    for database in databases(&folder, SHOPS).await {
        let text = "select count(*) as open from shops where until > {now}";
        let declared = SqlQuery { text: text.into(), clocks: clocks(), ..SqlQuery::default() };
        let source = SqlSource::open(&database, declared).await.unwrap();
        let loaded = source.load("test", &[LoadKey { params: vec![] }]).await.unwrap().remove(0).unwrap();
        // Text is compared as text: "at dusk" comes after any time, and what has another zone is not in order.
        assert_eq!(json(&loaded), r#"{"open":3}"#, "{}", database.dialect());
    }
}

#[tokio::test]
async fn a_timestamptz_is_a_moment_whatever_the_zone_of_the_session() {
    let folder = tempfile::tempdir().unwrap();
    let databases = databases(&folder, "create table shifts (name text, until text)").await;
    let postgres: &Database = databases.iter().find(|one| one.dialect() == Dialect::Postgres).unwrap();
    let pool = postgres.postgres().unwrap();
    let rows = "create table timed (name text, until timestamptz);
        insert into timed values ('a', '2026-11-22 11:00:01.5+01'), ('b', null), ('c', 'infinity');";
    sqlx::raw_sql(rows).execute(pool).await.unwrap();
    let text = "select name, until from timed where name in {keys} and (until is null or until > {now}::timestamptz)";
    let source = SqlSource::open(postgres, query(text, &["name"], "until", Shape::Row)).await.unwrap();
    assert_eq!(one(&source, "a").await.fresh_until, at(1_500));
    assert_eq!(one(&source, "b").await.fresh_until, None);
    let never = source.load("test", &[key("c")]).await.unwrap_err().to_string();
    assert!(never.contains("holds \"infinity\": store times"), "{never}");
}

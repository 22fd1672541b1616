//! What the rows of a key make: arrays, hashes, single fields, sorted sets, and their bounds; on both databases.

use forebay::namespace::pattern::Pattern;
use forebay::source::{FieldKey, FieldSource};
use forebay::value::{Param, Tag, Value, Version};
use forebay::{LoadKey, Source};
use forebay_stores::database::{Database, DatabaseOptions, Dialect};
use forebay_stores::source::sql::{Limits, Shape, SqlError, SqlQuery, SqlSource};

use crate::sql::columns;
use crate::{open, postgres};

const ORDERS: &str = "create table orders (period_number text, order_no text, amount integer, paid boolean, note text);
    insert into orders values ('7', 'A2', 5, true, 'say \"hi\"'), ('7', 'A1', 3, false, null), ('8', 'B1', 1, true, ''),
        ('8', null, 9, true, 'of no field'), (null, 'C1', 2, true, 'of no key');";

const WHOLE: &str = "select * from orders where period_number in {keys} order by order_no desc";
const SINGLE: &str = "select * from orders where (period_number, order_no) in {keys}";

/// A database of each kind, with [`ORDERS`] and what `more` adds.
pub async fn databases(folder: &tempfile::TempDir, more: &'static str) -> Vec<Database> {
    let sqlite = open(folder).await;
    sqlx::raw_sql(ORDERS).execute(sqlite.sqlite().unwrap()).await.unwrap();
    sqlx::raw_sql(more).execute(sqlite.sqlite().unwrap()).await.unwrap();
    let options: DatabaseOptions = postgres::options(ORDERS).await;
    let postgres = Database::open(&options).await.unwrap();
    sqlx::raw_sql(more).execute(postgres.postgres().unwrap()).await.unwrap();
    vec![sqlite, postgres]
}

fn query(text: &str, params: &[&str], shape: Shape) -> SqlQuery {
    SqlQuery { text: text.into(), params: columns(params), shape, ..SqlQuery::default() }
}

fn fields(name: &str, single: Option<&str>) -> Shape {
    Shape::Fields { name: Pattern::parse(name).unwrap(), query: single.map(str::to_owned) }
}

fn key(text: &str) -> LoadKey {
    LoadKey { params: vec![Param::Text(text.into())] }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A value as text, whatever its kind.
fn shown(value: &Value) -> String {
    if let Some(hash) = value.as_hash() {
        assert!(hash.is_whole());
        hash.validate().unwrap();
        let fields = hash.iter().map(|(name, value)| format!("{}={}", text(name), text(value)));
        return fields.collect::<Vec<_>>().join(" ");
    }
    if let Some(set) = value.as_sorted_set() {
        let members = set.iter().map(|(member, score)| format!("{}:{}", text(member), score.get()));
        return members.collect::<Vec<_>>().join(" ");
    }
    text(value.as_blob().unwrap().as_bytes())
}

async fn load(source: &SqlSource, keys: &[&str]) -> Vec<Option<String>> {
    let keys: Vec<LoadKey> = keys.iter().map(|text| key(text)).collect();
    let answers = source.load("test", &keys).await.unwrap();
    answers.into_iter().map(|answer| answer.map(|loaded| shown(&loaded.value))).collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[tokio::test]
async fn many_rows_are_an_array_in_the_order_of_the_query() {
    let folder = tempfile::tempdir().unwrap();
    for database in databases(&folder, "").await {
        let of = "select period_number, order_no, amount from orders where period_number in {keys} order by amount";
        let source = SqlSource::open(&database, query(of, &["period_number"], Shape::Rows)).await.unwrap();
        assert!(source.fields().is_none());
        let seven = r#"[{"period_number":"7","order_no":"A1","amount":3},{"period_number":"7","order_no":"A2","amount":5}]"#;
        let eight = r#"[{"period_number":"8","order_no":"B1","amount":1},{"period_number":"8","order_no":null,"amount":9}]"#;
        let wanted = [some(eight), None, some(seven), some(eight)];
        assert_eq!(load(&source, &["8", "9", "7", "8"]).await, wanted, "{}", database.dialect());
    }
}

#[tokio::test]
async fn one_row_is_a_hash_of_its_columns_without_those_that_are_null() {
    let folder = tempfile::tempdir().unwrap();
    for database in databases(&folder, "").await {
        let of = "select * from orders where order_no in {keys}";
        let source = SqlSource::open(&database, query(of, &["order_no"], Shape::Columns)).await.unwrap();
        let wanted = [
            some("amount=3 order_no=A1 paid=false period_number=7"),
            None,
            some("amount=5 note=say \"hi\" order_no=A2 paid=true period_number=7"),
            some("amount=1 note= order_no=B1 paid=true period_number=8"),
        ];
        assert_eq!(load(&source, &["A1", "none", "A2", "B1"]).await, wanted, "{}", database.dialect());
    }
}

#[tokio::test]
async fn rows_are_fields_of_a_hash_loaded_whole_or_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    for database in databases(&folder, "").await {
        let dialect = database.dialect();
        let declared = query(WHOLE, &["period_number"], fields("{order_no}", Some(SINGLE)));
        let source = SqlSource::open(&database, declared).await.unwrap();
        let a1 = r#"{"period_number":"7","order_no":"A1","amount":3,"paid":false,"note":null}"#;
        let a2 = r#"{"period_number":"7","order_no":"A2","amount":5,"paid":true,"note":"say \"hi\""}"#;
        let b1 = r#"{"period_number":"8","order_no":"B1","amount":1,"paid":true,"note":""}"#;
        let wanted = [some(&format!("A1={a1} A2={a2}")), some(&format!("B1={b1}")), None];
        assert_eq!(load(&source, &["7", "8", "9"]).await, wanted, "{dialect}");
        let one =
            |of: &str, field: &[u8]| FieldKey { key: key(of), field: bytes::Bytes::copy_from_slice(field) };
        let asked = [
            one("7", b"A2"),
            one("8", b"A2"),
            one("8", b"B1"),
            one("7", b"\xff"),
            one("7", b""),
            one("7", b"A1"),
        ];
        let answers = source.fields().unwrap().load_fields("test", &asked).await.unwrap();
        let told: Vec<Option<String>> =
            answers.iter().map(|field| field.as_ref().map(|field| text(&field.value))).collect();
        assert_eq!(told, [some(a2), None, some(b1), None, None, some(a1)], "{dialect}");
        // Names that no row can have are no question.
        let lost = source.fields().unwrap().load_fields("test", &[one("7", b"\xff")]).await.unwrap();
        assert_eq!(lost, [None]);
    }
}

#[tokio::test]
async fn a_field_may_be_made_of_several_columns_and_types() {
    let folder = tempfile::tempdir().unwrap();
    let more = "create table bars (code text, day integer, at text); insert into bars values ('a', 1, 'x'), ('a', 2, 'y:z'), ('a', -3, ''), ('b', 5, 'q-r'), ('b', 6, 's');";
    for database in databases(&folder, more).await {
        let single = "select * from bars where (code, at, day) in {keys}";
        let shape = fields("{at}:{day:integer}", Some(single));
        let declared = query("select * from bars where code in {keys}", &["code"], shape);
        let source = SqlSource::open(&database, declared).await.unwrap();
        // Those whose name would be read otherwise are no fields.
        assert_eq!(load(&source, &["a"]).await, [some(r#"x:1={"code":"a","day":1,"at":"x"}"#)]);
        let other = query("select * from bars where code in {keys}", &["code"], fields("{at}-{code}", None));
        let other = SqlSource::open(&database, other).await.unwrap();
        assert_eq!(load(&other, &["b"]).await, [some(r#"s-b={"code":"b","day":6,"at":"s"}"#)]);
        let one = |field: &'static str| FieldKey { key: key("a"), field: field.into() };
        let asked = [one("x:1"), one("x:01"), one("x"), one("y:z:2")];
        let answers = source.load_fields("test", &asked).await.unwrap();
        assert_eq!(answers.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, false, false]);
    }
}

#[tokio::test]
async fn rows_are_members_of_a_sorted_set() {
    let folder = tempfile::tempdir().unwrap();
    let more = "create table scores (board text, player text, points double precision);
        insert into scores values ('w', 'ada', 2.5), ('w', 'bob', -1), ('w', 'eve', 1e300), ('w', null, 7), ('x', 'z', null), ('y', null, 1);";
    for database in databases(&folder, more).await {
        let shape = Shape::Members { member: "player".into(), score: "points".into() };
        let of = "select board, player, points from scores where board in {keys}";
        let source = SqlSource::open(&database, query(of, &["board"], shape)).await.unwrap();
        let wanted = [some(&format!("bob:-1 ada:2.5 eve:{}", 1e300)), None, None];
        assert_eq!(load(&source, &["w", "y", "none"]).await, wanted, "{}", database.dialect());
        let failed = source.load("test", &[key("x")]).await.unwrap_err();
        assert!(failed.to_string().contains("declared as the score and holds NULL"), "{failed}");
    }
}

#[tokio::test]
async fn what_is_there_twice_or_too_much_is_an_error_of_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let more = "insert into orders values ('9', 'D1', 1, true, 'x'), ('9', 'D1', 2, true, 'x')";
    for database in databases(&folder, more).await {
        let told = async |shape: Shape, limits: Limits, asked: &str| {
            let declared = SqlQuery { limits, ..query(WHOLE, &["period_number"], shape) };
            let source = SqlSource::open(&database, declared).await.unwrap();
            let answered = source.load("test", &[key(asked)]).await;
            // A connection is as good as before, whatever was left unread.
            assert!(source.load("test", &[key("none")]).await.unwrap()[0].is_none());
            let failed = answered.err()?;
            assert!(!failed.retry);
            Some(failed.to_string())
        };
        let members = || Shape::Members { member: "order_no".into(), score: "amount".into() };
        let (usual, two) = (Limits::default(), Limits { rows: 2, ..Limits::default() });
        for (shape, limits, asked, wanted) in [
            (Shape::Columns, usual, "7", Some("more than one row")),
            (Shape::Row, usual, "7", Some("more than one row")),
            (fields("{order_no}", None), usual, "9", Some("gives \"D1\" of the key")),
            (members(), usual, "9", Some("gives \"D1\" of the key")),
            (Shape::Rows, two, "7", None),
            (Shape::Rows, Limits { rows: 1, ..usual }, "7", Some("more than 1 rows")),
            (fields("{order_no}", None), Limits { rows: 1, ..usual }, "7", Some("more than 1 rows")),
            (Shape::Rows, Limits { bytes: 100, ..usual }, "7", Some("more than 100 bytes")),
            (members(), Limits { bytes: 20, ..usual }, "7", None),
            (members(), Limits { bytes: 19, ..usual }, "7", Some("more than 19 bytes")),
        ] {
            let shown = format!("{}: {shape:?} {limits:?} {asked}", database.dialect());
            let failed = told(shape, limits, asked).await;
            let is_so = match wanted {
                Some(wanted) => failed.as_ref().is_some_and(|failed| failed.contains(wanted)),
                None => failed.is_none(),
            };
            assert!(is_so, "{shown}: {failed:?}");
        }
    }
}

#[tokio::test]
async fn a_key_of_many_rows_has_the_newest_version_and_every_tag() {
    let folder = tempfile::tempdir().unwrap();
    for database in databases(&folder, "").await {
        let declared = SqlQuery {
            version: Some("amount".into()),
            tags: vec![
                Pattern::parse("paid-{period_number}").unwrap(),
                Pattern::parse("no-{order_no}").unwrap(),
            ],
            ..query(WHOLE, &["period_number"], fields("{order_no}", Some(SINGLE)))
        };
        let source = SqlSource::open(&database, declared).await.unwrap();
        let loaded = source.load("test", &[key("7")]).await.unwrap().remove(0).unwrap();
        assert_eq!(loaded.version, Some(Version(5)));
        let mut tags: Vec<String> = loaded.tags.iter().map(Tag::to_string).collect();
        tags.sort();
        assert_eq!(tags, ["no-A1", "no-A2", "paid-7"]);
    }
}

#[tokio::test]
async fn a_shape_that_cannot_work_is_refused_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    for database in databases(&folder, "").await {
        let refused = async |text: &str, shape: Shape| {
            SqlSource::open(&database, query(text, &["period_number"], shape)).await.unwrap_err()
        };
        let error = refused(WHOLE, fields("{no}", None)).await;
        assert!(
            matches!(&error, SqlError::ShapeColumn { option: "field", column } if column == "no"),
            "{error}"
        );
        let error =
            refused(WHOLE, Shape::Members { member: "order_no".into(), score: "points".into() }).await;
        assert!(matches!(&error, SqlError::ShapeColumn { option: "score", .. }), "{error}");
        let error = refused(WHOLE, fields("{order_no}", Some("select nope from orders"))).await;
        assert!(matches!(&error, SqlError::Fields(_)) && error.to_string().contains("nope"), "{error}");
        let fewer = "select period_number, order_no from orders where (period_number, order_no) in {keys}";
        let error = refused(WHOLE, fields("{order_no}", Some(fewer))).await;
        assert!(error.to_string().contains("gives the columns period_number, order_no, that for"), "{error}");
        let own = if database.dialect() == Dialect::Sqlite { "?2" } else { "$2::text" };
        let error = refused(
            &format!("select * from orders where period_number in {{keys}} and note = {own}"),
            Shape::Rows,
        )
        .await;
        assert!(matches!(&error, SqlError::Parameters { given: 2, wanted: 1 }), "{error}");
    }
}

#[tokio::test]
async fn a_field_in_a_column_without_a_type_is_the_same_loaded_whole_or_alone() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder).await;
    let loose = "create table loose (period text, name, day, amount integer);
        insert into loose values ('7', 5, '1', 10), ('7', '5x', 2, 20), ('7', 7.5, 3, 30), ('7', '07', 4, 40), ('7', 8.0, 5, 50), ('7', '6', '6', 60);";
    sqlx::raw_sql(loose).execute(database.sqlite().unwrap()).await.unwrap();
    for (name, columns, names) in [
        ("{name}", "(period, name)", vec!["5", "5x", "7.5", "07", "8", "6"]),
        ("{name}:{day:integer}", "(period, name, day)", vec!["5:1", "5x:2", "7.5:3", "07:4", "8:5", "6:6"]),
    ] {
        let single = format!("select * from loose where {columns} in {{keys}}");
        let whole = "select * from loose where period in {keys}";
        let declared = query(whole, &["period"], fields(name, Some(&single)));
        let source = SqlSource::open(&database, declared).await.unwrap();
        let hash = source.load("test", &[key("7")]).await.unwrap().remove(0).unwrap().value;
        let hash = hash.as_hash().unwrap();
        assert_eq!(hash.iter().count(), 6, "{hash:?}");
        let asked: Vec<FieldKey> =
            names.iter().map(|name| FieldKey { key: key("7"), field: name.to_string().into() }).collect();
        let answers = source.load_fields("test", &asked).await.unwrap();
        for (name, answer) in names.iter().zip(answers) {
            let held = hash.iter().find(|(field, _)| *field == name.as_bytes());
            let held = held.map(|(_, value)| text(value));
            assert!(held.is_some(), "{name}");
            assert_eq!(answer.map(|field| text(&field.value)), held, "{name}");
        }
    }
    let none = [FieldKey { key: key("7"), field: "8.0".into() }];
    let single = "select * from loose where (period, name) in {keys}";
    let declared =
        query("select * from loose where period in {keys}", &["period"], fields("{name}", Some(single)));
    let source = SqlSource::open(&database, declared).await.unwrap();
    assert_eq!(source.load_fields("test", &none).await.unwrap(), [None]);
}

#[tokio::test]
async fn keys_of_a_load_are_bounded_together_and_each_is_answered_alone() {
    let folder = tempfile::tempdir().unwrap();
    let more = "create table large (code text, image text);";
    for database in databases(&folder, more).await {
        let (fill, dialect) = match database.dialect() {
            Dialect::Sqlite => (
                "insert into large select value, hex(zeroblob(7000000)) from json_each('[\"a\",\"b\",\"c\",\"d\",\"e\"]')",
                "SQLite",
            ),
            Dialect::Postgres => (
                "insert into large select chr(96 + n), repeat('00', 7000000) from generate_series(1, 5) as n",
                "PostgreSQL",
            ),
        };
        match database.dialect() {
            Dialect::Sqlite => sqlx::raw_sql(fill).execute(database.sqlite().unwrap()).await.map(drop),
            Dialect::Postgres => sqlx::raw_sql(fill).execute(database.postgres().unwrap()).await.map(drop),
        }
        .unwrap();
        let of = "select code, image from large where code in {keys}";
        let source = SqlSource::open(&database, query(of, &["code"], Shape::Row)).await.unwrap();
        let keys = ["a", "b", "c", "d", "e"].map(key);
        let failed = source.load("test", &keys).await.unwrap_err();
        assert!(failed.to_string().contains("5 keys"), "{dialect}: {failed}");
        assert!(source.load("test", &keys[..4]).await.unwrap().iter().all(Option::is_some), "{dialect}");
        // What nobody asked for is not counted.
        let all = "select code, image from large where code in {keys} or true";
        let source = SqlSource::open(&database, query(all, &["code"], Shape::Row)).await.unwrap();
        assert!(source.load("test", &keys[4..]).await.unwrap()[0].is_some(), "{dialect}");
    }
}

//! What an app changes in a transaction is not read as it was before, wherever a declared query tells what it is made of.

use std::sync::{Mutex, PoisonError};

use forebay_server::app::{App, Running};
use forebay_stores::database::Database;
use sqlx::Executor as _;

use super::{Resp, declaration, deployment, soon, start};

const NAMESPACES: &str = r#"
[namespace.item]
key = "item:{code}"
ttl = "60s"
source.sql = { database = "main", query = "select code, price from items where code in {keys}" }
[namespace.shelf]
key = "shelf:{shelf}"
ttl = "60s"
source.sql = { database = "main", query = "select p.shelf, sum(i.price) as total from places p join items i on i.code = p.code where p.shelf in {keys} group by p.shelf" }
[namespace.told]
key = "told:{name}"
ttl = "60s"
depends_on = { items = ["code"] }
source.sql = { database = "main", query = "select code as name, price from (select * from items) where code in {keys}" }
[namespace.untold]
key = "untold:{name}"
ttl = "60s"
source.sql = { database = "main", query = "select code as name, price from (select * from items) where code in {keys}" }
"#;

/// The database as the app was handed it.
static HANDED: Mutex<Option<Database>> = Mutex::new(None);

#[tokio::test]
async fn a_transaction_of_the_app_invalidates_what_its_rows_feed() {
    let folder = tempfile::tempdir().unwrap();
    let beneath = super::database(&folder.path().join("main.db")).await;
    let tables = "create table places (shelf text, code text); insert into places values ('s', 'a'), ('s', 'b'), ('t', 'b')";
    beneath.sqlite().unwrap().execute(tables).await.unwrap();
    let app = App {
        name: "keeper",
        summary: "",
        declaration: "",
        migrations: &[],
        jobs: &[],
        tries: &[],
        start: |setup| {
            *HANDED.lock().unwrap_or_else(PoisonError::into_inner) = setup.databases.get("main").cloned();
            Box::pin(async { Ok(Running::default()) })
        },
    };
    // The same file by another name.
    let again = format!(
        "[database.again]\nurl = 'sqlite:{}/main.db'\n[namespace.again]\nkey = 'again:{{code}}'\nttl = '60s'\n\
         source.sql = {{ database = 'again', query = 'select code, price from items where code in {{keys}}' }}\n{NAMESPACES}",
        folder.path().display()
    );
    let text = declaration(folder.path(), "127.0.0.1:0", "127.0.0.1:0", &again);
    let process = start(&deployment("apps/keeper/forebay.toml", &text), &[app]).await.unwrap();
    let database = HANDED.lock().unwrap().clone().unwrap();
    let mut client = Resp::connect(process.resp).await;
    let asked = ["item:a", "item:b", "again:a", "shelf:s", "shelf:t", "told:a", "untold:a"];
    for key in asked {
        client.say(&format!("GET {key}")).await;
    }
    // By other means: nobody is told.
    beneath.sqlite().unwrap().execute("update items set price = 99 where code = 'b'").await.unwrap();
    let changed = database.transaction(async |transaction| {
        transaction
            .sqlite()
            .unwrap()
            .execute("update items set price = 10 where code = 'a'")
            .await
            .map(|_| ())
    });
    assert!(soon(changed).await.unwrap().whole_tables.is_empty());
    assert_eq!(client.say("GET item:a").await, r#"{"code":"a","price":10}"#);
    assert_eq!(client.say("GET again:a").await, r#"{"code":"a","price":10}"#);
    assert_eq!(client.say("GET shelf:s").await, r#"{"shelf":"s","total":109}"#);
    assert_eq!(client.say("GET told:a").await, r#"{"name":"a","price":10}"#);
    assert_eq!(client.say("GET told:b").await, r#"{"name":"b","price":99}"#);
    // Nobody knows what it is made of: whatever changes may be part of it.
    assert_eq!(client.say("GET untold:a").await, r#"{"name":"a","price":10}"#);
    assert_eq!(client.say("GET untold:b").await, r#"{"name":"b","price":99}"#);
    beneath.sqlite().unwrap().execute("update items set price = 98 where code = 'b'").await.unwrap();
    // What the row is no part of is held still.
    assert_eq!(client.say("GET item:b").await, r#"{"code":"b","price":2}"#);
    let moved = database.transaction(async |transaction| {
        transaction
            .sqlite()
            .unwrap()
            .execute("update places set shelf = 't' where code = 'a'")
            .await
            .map(|_| ())
    });
    soon(moved).await.unwrap();
    assert_eq!(client.say("GET shelf:s").await, r#"{"shelf":"s","total":98}"#);
    assert_eq!(client.say("GET shelf:t").await, r#"{"shelf":"t","total":108}"#);
    // Of the places nothing is in them; only the declared one knows that.
    assert_eq!(client.say("GET untold:b").await, r#"{"name":"b","price":98}"#);
    assert_eq!(client.say("GET told:b").await, r#"{"name":"b","price":99}"#);
    *HANDED.lock().unwrap() = None;
    assert!(soon(process.stop()).await);
}

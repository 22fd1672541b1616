//! Declared hashes, single fields, arrays and sorted sets, from both databases, through a whole assembly.

use std::path::Path;
use std::sync::Arc;

use forebay::rt::Tasks;
use forebay::{Keyspace, Tier};
use forebay_server::assembly::{self, Assembly, Surroundings};
use forebay_server::configuration::Declaration;
use forebay_server::time::Clocks;
use forebay_stores::database::{Database, DatabaseOptions};
use sqlx::{AssertSqlSafe, Executor};

use super::{Unseen, deployment, postgres, soon};

const TABLES: &str = "create table orders (period_number text, order_no text, amount integer, primary key (period_number, order_no));
    insert into orders values ('7', 'A1', 3), ('7', 'A2', 5), ('8', 'B1', 1);
    create table users (id integer primary key, name text, mail text);
    insert into users values (1, 'Ada', null);
    create table scores (board text, player text, points double precision);
    insert into scores values ('w', 'ada', 2.5), ('w', 'bob', -1);";

/// The page's own example.
fn example() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/features/source.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split("```toml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
    blocks.into_iter().find(|block| block.contains("fataMorgana_")).unwrap().to_owned()
}

/// A database, and what the page's example serves from it.
struct World {
    assembly: Assembly,
    database: Database,
    _folder: tempfile::TempDir,
}

impl World {
    async fn on(url: &str, folder: tempfile::TempDir) -> Self {
        let options = match url.strip_prefix("sqlite:") {
            Some(path) => DatabaseOptions::sqlite(path, 1),
            None => DatabaseOptions::postgres(url.parse().unwrap(), 1),
        };
        let database = Database::open(&options).await.unwrap();
        sql_of(&database, TABLES).await;
        let mut deployment = deployment("forebay.toml", &example().replace("sqlite:data/shop.db", url));
        deployment.server.data = folder.path().into();
        for keyspace in &mut deployment.keyspaces {
            keyspace.data = folder.path().into();
        }
        Self { assembly: assemble(&deployment).await, database, _folder: folder }
    }

    async fn sql(&self, sql: &str) {
        sql_of(&self.database, sql).await;
    }

    fn keyspace(&self) -> &Keyspace {
        &self.assembly.keyspaces[0].keyspace
    }

    /// The fields of the hash `key`, and whether they came from memory.
    async fn fields(&self, key: &str, fields: &[&str]) -> (Vec<Option<String>>, bool) {
        let names: Vec<&[u8]> = fields.iter().map(|field| field.as_bytes()).collect();
        let namespace = self.keyspace().find(key.as_bytes()).unwrap();
        let reads = soon(namespace.read_fields(key.as_bytes(), &names)).await.unwrap();
        let is_hit = reads.iter().all(|read| read.outcome.tier == Tier::Memory);
        let text = |bytes: bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        (reads.into_iter().map(|read| read.value.map(text)).collect(), is_hit)
    }

    /// The value of `key` as text.
    async fn get(&self, key: &str) -> Option<String> {
        let namespace = self.keyspace().find(key.as_bytes()).unwrap();
        let value = soon(namespace.read(key.as_bytes())).await.unwrap().value?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(match (value.as_hash(), value.as_sorted_set()) {
            (Some(hash), _) => {
                let fields = hash.iter().map(|(name, value)| format!("{}={}", text(name), text(value)));
                fields.collect::<Vec<_>>().join(" ")
            }
            (_, Some(set)) => {
                let members = set.iter().map(|(name, score)| format!("{}:{}", text(name), score.get()));
                members.collect::<Vec<_>>().join(" ")
            }
            _ => text(value.as_blob().unwrap().as_bytes()),
        })
    }
}

async fn sql_of(database: &Database, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    match database.sqlite() {
        Ok(pool) => pool.execute(sql).await.map(|_| ()),
        Err(_) => database.postgres().unwrap().execute(sql).await.map(|_| ()),
    }
    .unwrap();
}

async fn assemble(deployment: &forebay_server::configuration::Deployment) -> Assembly {
    let tasks = Tasks::current().unwrap();
    let surroundings = Surroundings::new(tasks, Arc::new(Unseen));
    soon(assembly::assemble(deployment, &[], &surroundings, Clocks::default())).await.unwrap()
}

async fn worlds() -> Vec<World> {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", folder.path().join("main.db").display());
    let other = tempfile::tempdir().unwrap();
    vec![World::on(&file, folder).await, World::on(&postgres::fresh().await, other).await]
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[tokio::test]
async fn the_page_s_example_runs_on_both_databases() {
    for world in worlds().await {
        let order = |period: &str, order: &str, amount: u32| {
            format!(r#"{{"period_number":"{period}","order_no":"{order}","amount":{amount}}}"#)
        };
        let (a1, a2, b1) = (order("7", "A1", 3), order("7", "A2", 5), order("8", "B1", 1));
        // Fields alone, then the whole; then a field that was invalidated.
        let asked = world.fields("fataMorgana_7", &["A2", "none"]).await;
        assert_eq!(asked, (vec![some(&a2), None], false));
        assert_eq!(world.fields("fataMorgana_7", &["A2", "none"]).await, (vec![some(&a2), None], true));
        assert_eq!(world.get("fataMorgana_7").await, Some(format!("A1={a1} A2={a2}")));
        assert_eq!(world.get("fataMorgana_8").await, Some(format!("B1={b1}")));
        assert_eq!(world.get("fataMorgana_9").await, None);
        world.sql("update orders set amount = 6").await;
        let orders = world.keyspace().namespace("orders").unwrap();
        orders.forget_field(b"fataMorgana_7", b"A2").await.unwrap();
        let of = world.fields("fataMorgana_7", &["A1", "A2"]).await.0;
        assert_eq!(
            of,
            [some(&a1), Some(order("7", "A2", 6))],
            "one field is old, the other was asked for alone"
        );

        assert_eq!(world.fields("user:1", &["name", "mail"]).await.0, [some("Ada"), None]);
        assert_eq!((world.get("user:1").await, world.get("user:2").await), (some("id=1 name=Ada"), None));
        assert_eq!(world.get("board:w").await, some("bob:-1 ada:2.5"));
        assert_eq!(world.get("board:x").await, None);
        let array = r#"[{"period_number":"7","order_no":"A1"},{"period_number":"7","order_no":"A2"}]"#;
        assert_eq!((world.get("list:7").await, world.get("list:9").await), (some(array), None));
    }
}

#[tokio::test]
async fn a_key_of_too_many_rows_fails_alone() {
    for world in worlds().await {
        world
            .sql("insert into orders values ('9', 'C1', 1), ('9', 'C2', 1), ('9', 'C3', 1), ('9', 'C4', 1)")
            .await;
        let lists = world.keyspace().namespace("list").unwrap();
        let keys: [&[u8]; 2] = [b"list:9", b"list:7"];
        let mut reads = soon(lists.read_many(&keys)).await.into_iter();
        assert!(reads.next().unwrap().is_err());
        assert!(reads.next().unwrap().unwrap().value.is_some(), "its neighbour is loaded all the same");
    }
}

#[test]
fn the_example_is_right() {
    Declaration::parse("source.md", &example(), &super::Fixed::default()).unwrap();
}

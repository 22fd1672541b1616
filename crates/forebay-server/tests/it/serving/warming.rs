use std::path::Path;

use forebay_server::process::Process;
use forebay_stores::database::Database;
use sqlx::Executor;

use super::{Resp, database, declaration, deployment, soon, start};

const A: &str = r#"{"code":"a","price":1}"#;

/// Serves the namespace `item`, warmed as `warm` says, from the files in `folder`.
async fn serve(folder: &Path, warm: &str) -> (Process, Resp) {
    let namespace = format!(
        "[namespace.item]\nkey = 'item:{{code}}'\nttl = '60s'\nwarm = {warm}\n\
         source.sql = {{ database = 'main', query = 'select code, price from items where code in {{keys}}', \
         list = 'select code from items' }}\n"
    );
    let text = declaration(folder, "127.0.0.1:0", "127.0.0.1:0", &namespace);
    let process = start(&deployment("forebay.toml", &text), &[]).await.unwrap();
    let client = Resp::connect(process.resp).await;
    (process, client)
}

/// Waits until `keys` are held, which nobody asks for.
async fn held(client: &mut Resp, keys: &str) {
    let count = keys.split(' ').count().to_string();
    soon(async { while client.say(&format!("EXISTS {keys}")).await != count {} }).await;
}

async fn drop_items(database: &Database) {
    database.sqlite().unwrap().execute("drop table items").await.unwrap();
}

#[tokio::test]
async fn what_is_listed_is_answered_without_a_query_after_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder.path().join("main.db")).await;
    let (_process, mut client) = serve(folder.path(), "{ code = ['a', 'b', 'none'] }").await;
    held(&mut client, "item:a item:b").await;
    drop_items(&database).await;
    assert_eq!(client.say("GET item:a").await, A);
    assert_eq!(client.say("GET item:none").await, "nil", "the absence is known too");
    assert!(client.say("GET item:x/y").await.starts_with("!FBSOURCE"), "nobody listed it");
}

#[tokio::test]
async fn what_a_query_gives_and_what_the_source_lists_is_warm_after_the_start_and_again_when_it_is_asked_for()
{
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder.path().join("main.db")).await;
    let query = "{ query = 'select code from items where price < 9 order by price desc limit 2' }";
    let (process, mut client) = serve(folder.path(), query).await;
    held(&mut client, "item:å item:x/y").await;
    assert_eq!(client.say("EXISTS item:a item:b").await, "0");
    database.sqlite().unwrap().execute("update items set price = 8 where code = 'a'").await.unwrap();
    client.say("FB.WARM START item").await;
    held(&mut client, "item:a").await;
    drop(client);
    assert!(soon(process.stop()).await);

    let (process, mut client) = serve(folder.path(), "{ all = true }").await;
    held(&mut client, "item:a item:b item:x/y item:å").await;
    client.say("FB.WARM START item").await;
    let told = soon(async {
        loop {
            let told = client.say("FB.WARM STATUS item").await;
            if told.contains("state done") {
                return told;
            }
        }
    });
    assert_eq!(told.await, "[[namespace item state done keys 4 done 4 absent 0 failed 0]]");
    drop(client);
    assert!(soon(process.stop()).await);
}

#[tokio::test]
async fn the_keys_read_most_are_warm_in_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    database(&folder.path().join("main.db")).await.sqlite().unwrap().close().await;
    let kept = folder.path().join("hottest/shop/item.json");
    let (process, mut client) = serve(folder.path(), "{ hottest = 1 }").await;
    for _ in 0..1000 {
        assert_eq!(client.say("GET item:a").await, A);
    }
    assert!(client.say("GET item:b").await.starts_with('{'));
    drop(client);
    assert!(soon(process.stop()).await);
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), r#"{"version":1,"keys":["item:a"]}"#);

    let (process, mut client) = serve(folder.path(), "{ hottest = 1 }").await;
    held(&mut client, "item:a").await;
    assert_eq!(client.say("EXISTS item:b").await, "0", "the hottest one was asked for");
    drop(client);
    assert!(soon(process.stop()).await);
}

#[tokio::test]
async fn a_run_in_which_nothing_is_read_leaves_what_another_has_told() {
    let folder = tempfile::tempdir().unwrap();
    database(&folder.path().join("main.db")).await.sqlite().unwrap().close().await;
    let kept = folder.path().join("hottest/shop/item.json");
    std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
    std::fs::write(&kept, "of a later version").unwrap();
    let (process, client) = serve(folder.path(), "{ hottest = 1 }").await;
    drop(client);
    assert!(soon(process.stop()).await);
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "of a later version");
}

#[tokio::test]
async fn a_list_of_the_last_run_that_cannot_be_read_keeps_nothing_from_starting() {
    for damaged in ["", "{\"version\":1,\"keys\":[\"item:a\"", "{\"version\":2,\"keys\":[\"item:a\"]}", "[]"]
    {
        let folder = tempfile::tempdir().unwrap();
        database(&folder.path().join("main.db")).await.sqlite().unwrap().close().await;
        std::fs::create_dir_all(folder.path().join("hottest/shop")).unwrap();
        std::fs::write(folder.path().join("hottest/shop/item.json"), damaged).unwrap();
        let (_process, mut client) = serve(folder.path(), "{ code = ['b'], hottest = 5 }").await;
        held(&mut client, "item:b").await;
        assert_eq!(client.say("EXISTS item:a").await, "0");
        assert_eq!(client.say("GET item:a").await, A);
    }
}

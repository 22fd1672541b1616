//! What operators ask of a process over RESP: counts, what a namespace will do, reloads.

use forebay_wire::resp::Reply;

use super::{NAMESPACES, Stage, declaration, deployment, soon};

#[tokio::test]
async fn what_was_counted_is_told_by_namespace() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    client.say("GET item:a").await;
    client.say("GET item:a").await;
    let told = client.say("FB.STATS item").await;
    assert!(told.starts_with("[item [hits 1 "), "{told}");
    assert!(told.contains(" misses 1 ") && told.contains(" loads 1 "), "{told}");
    let all = client.say("FB.STATS").await;
    assert!(all.contains("[hits 1 ") && all.contains("scratch [hits 0 "), "{all}");
    assert_eq!(client.say("FB.STATS none").await, "!ERR no namespace of this keyspace is called 'none'");
}

#[tokio::test]
async fn what_a_namespace_will_do_is_told_in_words() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    let told = client.say("FB.EXPLAIN item").await;
    assert!(told.starts_with("item — a cache of blobs in the keyspace shop (db 0)\n"), "{told}");
    assert!(told.contains("select code, price from items"), "{told}");
    assert_eq!(client.say("FB.EXPLAIN none").await, "!ERR no namespace of this keyspace is called 'none'");
}

#[tokio::test]
async fn a_reload_that_is_asked_for_is_answered_with_what_is_different_then() {
    let mut stage = Stage::new().await;
    let mut client = stage.resp().await;
    let nobody = client.say("FB.RELOAD").await;
    assert!(nobody.starts_with("!FBRELOADFAILED this server takes no reloads"), "{nobody}");

    let mut asked = stage.process.asked_reloads();
    let (kept, _) = NAMESPACES.split_once("[namespace.scratch]").unwrap();
    let text = declaration(stage.folder.path(), "127.0.0.1:0", "127.0.0.1:0", kept);
    let mut reloads = async || {
        let client = asked.next().await;
        let reloaded = stage.process.reload(deployment("forebay.toml", &text)).await;
        client.answer(reloaded.map_err(|error| error.to_string()));
        asked.next().await.answer(Err("error: no\n --> forebay.toml:1".into()));
        asked.next().await.answer(Err("error: no\n --> forebay.toml:1".into()));
    };
    let asks = async {
        assert_eq!(client.say("FB.RELOAD").await, "[added [] changed [] removed [shop/broken shop/scratch]]");
        let in_one_line = client.say("FB.RELOAD").await;
        let kept = "FBRELOADFAILED what was declared before stays in service: error: no";
        assert_eq!(in_one_line, format!("!{kept}  --> forebay.toml:1"));
        client.call(&["HELLO", "3"]).await;
        let Reply::Error(report) = client.call(&["FB.RELOAD"]).await else { panic!("it was refused") };
        assert_eq!(report, format!("{kept}\n --> forebay.toml:1"));
    };
    soon(async { tokio::join!(reloads(), asks) }).await;
    assert!(soon(stage.process.stop()).await);
}

#[tokio::test]
async fn who_asks_whether_something_exists_has_it_loaded_where_that_is_declared() {
    let namespace = |name: &str, more: &str| {
        format!(
            "[namespace.{name}]\nkind = 'hash'\nkey = '{name}:{{code}}'\nfield = '{{price:integer}}'\nttl = '60s'\n{more}\
             source.sql = {{ database = 'main', query = 'select code, price from items where code in {{keys}}', \
             fields = 'select code, price from items where (code, price) in {{keys}}' }}\n"
        )
    };
    let stage =
        Stage::with(&format!("{}{}", namespace("held", ""), namespace("loaded", "exists = 'load'\n"))).await;
    let mut client = stage.resp().await;
    for (name, known) in [("held", "0"), ("loaded", "1")] {
        assert_eq!(client.say(&format!("HEXISTS {name}:a 1")).await, known);
        assert_eq!(client.say(&format!("HEXISTS {name}:a 2")).await, "0");
        assert_eq!(client.say(&format!("EXISTS {name}:b {name}:none")).await, known);
    }
    // Within a transaction too, and before it has the keys of stores that others may wait for.
    let stage =
        Stage::with(&format!("{}{}", namespace("held", ""), namespace("loaded", "exists = 'load'\n"))).await;
    let mut client = stage.resp().await;
    for (name, known) in [("held", "0"), ("loaded", "1")] {
        for line in ["MULTI", "SET key 1"] {
            client.say(line).await;
        }
        for line in ["HEXISTS NAME:a 1", "HEXISTS NAME:a 2", "EXISTS NAME:b NAME:none", "EXISTS NAME:b key"] {
            assert_eq!(client.say(&line.replace("NAME", name)).await, "QUEUED");
        }
        let mixed = "!ERR within a transaction, a command may not name keys of stores together with keys of caches: split it";
        assert_eq!(client.say("EXEC").await, format!("[OK {known} 0 {known} {mixed}]"), "{name}");
    }
}

#[tokio::test]
async fn programs_that_look_after_redis_find_what_they_look_for() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    client.say("GET item:a").await;
    let memory = client.say("INFO memory").await;
    let number = |name: &str| -> u64 {
        let line = memory.lines().find_map(|line| line.strip_prefix(&format!("{name}:"))).unwrap();
        line.trim().parse().unwrap()
    };
    assert!(number("used_memory") > 0 && number("maxmemory") == 256 << 20, "{memory}");
    assert!(memory.contains("maxmemory_human:256.00M"), "{memory}");
    assert_eq!(client.say("CONFIG GET tracking-table-max-keys").await, "[tracking-table-max-keys 0]");
}

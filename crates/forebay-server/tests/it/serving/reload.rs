//! Another declaration is put in service while clients are connected, whole or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use forebay_server::access::Digest;
use forebay_server::process::{ReloadError, Reloaded};

use super::{NAMESPACES, Resp, Stage, database, declaration, deployment, soon};

const A: &str = r#"{"code":"a","price":1}"#;

/// A namespace over the table `doomed`.
fn more(name: &str, ttl: &str) -> String {
    format!(
        "[namespace.{name}]\nkey = '{name}:{{code}}'\nttl = '{ttl}'\n\
         source.sql = {{ database = 'main', query = 'select code, price from doomed where code in {{keys}}' }}\n"
    )
}

impl Stage {
    /// Puts what `rest` declares in service.
    async fn reload(&mut self, rest: &str) -> Result<Reloaded, ReloadError> {
        self.reload_text(&declaration(self.folder.path(), "127.0.0.1:0", "127.0.0.1:0", rest)).await
    }

    async fn reload_text(&mut self, text: &str) -> Result<Reloaded, ReloadError> {
        soon(self.process.reload(deployment("forebay.toml", text))).await
    }

    /// What a reload has changed, in words.
    pub(super) async fn reloaded(&mut self, rest: &str) -> String {
        self.reload(rest).await.unwrap_or_else(|error| panic!("{error}")).to_string()
    }

    /// Why a reload was refused.
    async fn refused(&mut self, rest: &str) -> String {
        self.reload(rest).await.expect_err("it was not refused").to_string()
    }
}

#[tokio::test]
async fn readers_of_what_did_not_change_notice_nothing() {
    let mut stage = Stage::new().await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("GET item:a").await, A);
    // Whatever is not held from now on fails.
    stage.sql("drop table items").await;
    let over = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for _ in 0..4 {
        let (mut reader, over) = (stage.resp().await, Arc::clone(&over));
        readers.push(tokio::spawn(async move {
            let mut reads = 0_u64;
            while !over.load(Ordering::Relaxed) {
                assert_eq!(reader.say("GET item:a").await, A);
                reads += 1;
            }
            reads
        }));
    }
    for round in 0..20 {
        let told =
            stage.reloaded(&format!("{NAMESPACES}{}", more("more", &format!("{}s", 10 + round)))).await;
        let what = if round == 0 { "added" } else { "changed" };
        assert_eq!(told, format!("{what} shop/more"));
        assert_eq!(client.say("GET more:a").await, A);
        assert_eq!(stage.get("/v1/shop/item/item:a").await.seen(), ("HIT", A));
    }
    assert_eq!(stage.reloaded(NAMESPACES).await, "removed shop/more");
    assert_eq!(stage.reloaded(NAMESPACES).await, "nothing has changed");
    over.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(soon(reader).await.unwrap() > 0);
    }
    assert!(soon(stage.process.stop()).await);
}

#[tokio::test]
async fn what_changed_is_answered_as_it_is_declared_now() {
    let mut stage = Stage::new().await;
    let mut client = stage.resp().await;
    let ten = r#"{"code":"a","price":10}"#;
    assert_eq!(client.say("GET item:a").await, A);
    assert_eq!(stage.get("/v1/shop/item/item:a").await.seen(), ("HIT", A));
    let changed = NAMESPACES.replacen("select code, price from", "select code, price * 10 as price from", 1);
    assert_eq!(stage.reloaded(&changed).await, "changed shop/item");
    assert_eq!(client.say("GET item:a").await, ten, "a copy of another query was answered");
    assert_eq!(stage.get("/v1/shop/item/item:a").await.seen(), ("HIT", ten));
    assert_eq!(stage.reloaded(NAMESPACES).await, "changed shop/item");
    assert_eq!(client.say("GET item:a").await, A);

    // Another database under the same name: whatever loads from it is built anew.
    let other = database(&stage.folder.path().join("other.db")).await;
    sqlx::Executor::execute(other.sqlite().unwrap(), "update items set price = 7").await.unwrap();
    let text = declaration(stage.folder.path(), "127.0.0.1:0", "127.0.0.1:0", NAMESPACES);
    let told = stage.reload_text(&text.replace("/main.db", "/other.db")).await.unwrap().to_string();
    assert_eq!(told, "changed database shop/main, shop/broken, shop/item, shop/note");
    assert_eq!(client.say("GET item:a").await, r#"{"code":"a","price":7}"#);
    assert!(soon(stage.process.stop()).await);
}

#[tokio::test]
async fn keys_of_what_is_removed_belong_to_the_default_store() {
    let mut stage = Stage::new().await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("SET scratch:x memory").await, "OK");
    assert!(client.say("SET item:a 1").await.starts_with('!'), "it refuses writes");
    let (kept, _) = NAMESPACES.split_once("[namespace.scratch]").unwrap();
    assert_eq!(stage.reloaded(kept).await, "removed shop/broken, shop/scratch");
    assert_eq!(client.say("GET scratch:x").await, "nil");
    assert_eq!(client.say("SET scratch:x stored").await, "OK");
    assert_eq!(stage.get("/v1/shop/scratch/scratch:x").await.status, 404);

    assert_eq!(stage.reloaded(NAMESPACES).await, "added shop/broken, shop/scratch");
    assert_eq!(client.say("GET scratch:x").await, "nil", "what another namespace has is answered");
    stage.reloaded(kept).await;
    assert_eq!(client.say("GET scratch:x").await, "stored");
    assert!(soon(stage.process.stop()).await);
}

const STORED: &str = "[namespace.kept]\nkey = 'kept:{id}'\nmode = 'store'\nttl = '1d'\n";
const BEHIND: &str = "[namespace.later]\nkey = 'later:{code}'\nttl = '60s'\nwrites = 'behind'\n\
    source.sql = { database = 'main', query = 'select code, price from items where code in {keys}' }\n\
    sink.sql = { database = 'main', write = 'insert into items (code, price) values {rows} \
    on conflict (code) do update set price = excluded.price' }\n";

/// What it had opened is nobody's: the next one can open it.
#[tokio::test]
async fn a_reload_that_is_given_up_keeps_nothing_from_the_next() {
    let mut stage = Stage::new().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let hanging = format!(
        "{NAMESPACES}{BEHIND}[environment.preview]\ndb = 3\ndatabase.main.url = 'postgres://nobody@{address}/none'\n"
    );
    let text = declaration(stage.folder.path(), "127.0.0.1:0", "127.0.0.1:0", &hanging);
    for _ in 0..2 {
        let reload = stage.process.reload(deployment("forebay.toml", &text));
        // By then all of the keyspace before it has been opened.
        tokio::select! {
            reloaded = reload => panic!("{reloaded:?}"),
            asked = soon(silent.accept()) => drop(asked.unwrap()),
        }
    }
    assert_eq!(stage.reloaded(&format!("{NAMESPACES}{BEHIND}")).await, "added shop/later");
    let mut client = stage.resp().await;
    assert_eq!(client.say("SET later:a {\"price\":7}").await, "OK");
    assert_eq!(client.say("GET later:a").await, r#"{"price":7}"#);
    assert!(soon(stage.process.stop()).await);
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_and_the_old_declaration_serves() {
    let served = format!("{NAMESPACES}{STORED}{BEHIND}");
    let mut stage = Stage::with(&served).await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("SET kept:a 1").await, "OK");
    for (from, to, said) in [
        ("from doomed where", "from nowhere where", "no such table: nowhere"),
        ("ttl = '1d'", "ttl = '2d'", "namespace `kept` of keyspace `shop` cannot change"),
        ("key = 'later:", "key = 'latest:", "namespace `later` of keyspace `shop` cannot change"),
        (BEHIND, "", "namespace `later` of keyspace `shop` cannot change"),
    ] {
        let told = stage.refused(&served.replacen(from, to, 1)).await;
        assert!(told.contains(said) && told.contains("--> forebay.toml:"), "{told}");
        assert_eq!(client.say("GET kept:a").await, "1");
        assert_eq!(client.say("GET later:a").await, A);
    }
    for (head, said) in [
        ("[memory]\nbudget = '64 MiB'\n", "`[memory] budget` cannot change"),
        ("[shared]\nurl = 'memory'\n", "`[shared] url` cannot change"),
    ] {
        let told = stage.refused(&format!("{head}{served}")).await;
        assert!(told.contains(said) && told.contains("restart"), "{told}");
    }
    let elsewhere = declaration(stage.folder.path(), "127.0.0.1:1", "127.0.0.1:0", &served);
    let told = stage.reload_text(&elsewhere).await.unwrap_err().to_string();
    assert!(told.contains("`[server] http` cannot change") && told.contains("forebay.toml:2:"), "{told}");
    assert_eq!(stage.reloaded(&served).await, "nothing has changed");

    // What was opened for a declaration that is refused can be opened for the next.
    let two = format!("{served}{}", BEHIND.replace("later", "latest"));
    stage.refused(&two.replacen("from doomed where", "from nowhere where", 1)).await;
    assert_eq!(stage.reloaded(&two).await, "added shop/latest");
    assert_eq!(client.say(r#"SET latest:z {"price":9}"#).await, "OK");
    assert!(client.say("GET latest:z").await.contains("\"price\":9"));
    // A store can be taken out of service, and keeps what it has.
    assert_eq!(stage.reloaded(&two.replacen(STORED, "", 1)).await, "removed shop/kept");
    assert_eq!(client.say("GET kept:a").await, "nil");
    assert_eq!(stage.reloaded(&two).await, "added shop/kept");
    assert_eq!(client.say("GET kept:a").await, "1");
    assert!(soon(stage.process.stop()).await);
}

#[tokio::test]
async fn connections_keep_what_they_have() {
    let mut stage = Stage::new().await;
    let (mut listener, mut client) = (stage.resp().await, stage.resp().await);
    assert_eq!(listener.say("SUBSCRIBE news").await, "[subscribe news 1]");
    assert_eq!(client.say("SET k 1").await, "OK");
    assert_eq!(client.say("WATCH k").await, "OK");
    assert_eq!(client.say("MULTI").await, "OK");
    assert_eq!(client.say("SET k 2").await, "QUEUED");
    stage.reloaded(&format!("{NAMESPACES}{}", more("more", "1s"))).await;
    assert_eq!(client.say("GET more:a").await, "QUEUED");
    assert_eq!(client.say("EXEC").await, format!("[OK {A}]"));
    assert_eq!(client.say("PUBLISH news hello").await, "1");
    assert_eq!(super::shown(&listener.next().await.unwrap()), "[message news hello]");
    assert!(soon(stage.process.stop()).await);
}

#[tokio::test]
async fn tokens_are_taken_over_at_once() {
    let token = |name: &str, may: &str| {
        let hash = Digest::of(format!("{name}-secret").as_bytes());
        format!("[token.{name}]\nhash = '{hash}'\nmay = [{may}]\n")
    };
    let served = |tokens: &[(&str, &str)]| {
        tokens.iter().map(|(name, may)| token(name, may)).collect::<String>() + NAMESPACES
    };
    let mut stage = Stage::with(&served(&[("a", "'read', 'write'"), ("b", "'read'")])).await;
    let (mut first, mut second) = (stage.resp().await, stage.resp().await);
    assert_eq!(first.say("AUTH a a-secret").await, "OK");
    assert_eq!(second.say("AUTH b b-secret").await, "OK");
    assert_eq!(first.say("SET k 1").await, "OK");
    let reloaded = stage.reloaded(&served(&[("a", "'read'"), ("c", "'admin'")])).await;
    assert_eq!(reloaded, "added token c; changed token a; removed token b");
    assert!(first.say("SET k 2").await.starts_with("!NOPERM"));
    assert_eq!(first.say("GET k").await, "1");
    assert_eq!(second.next().await, None, "whose token is gone is disconnected");
    assert!(soon(stage.process.stop()).await);
}

#[tokio::test]
async fn what_waits_for_exec_is_judged_as_it_is_declared_then() {
    let hash = Digest::of(b"secret");
    let token =
        format!("[token.a]\nhash = '{hash}'\nmay = ['read', 'write']\nnamespaces = ['default', 'item']\n");
    let mut stage = Stage::with(&format!("{token}{NAMESPACES}")).await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("AUTH a secret").await, "OK");
    assert_eq!(client.say("MULTI").await, "OK");
    assert_eq!(client.say("GET vip:a").await, "QUEUED", "it is a key of the default store yet");
    assert_eq!(client.say("GET item:a").await, "QUEUED");
    stage.reloaded(&format!("{token}{NAMESPACES}{}", more("vip", "1s"))).await;
    let answered = client.say("EXEC").await;
    assert!(answered.starts_with("[!NOPERM") && answered.ends_with(&format!(" {A}]")), "{answered}");
    assert!(soon(stage.process.stop()).await);
}

#[tokio::test]
async fn keyspaces_come_go_and_change_their_number() {
    let mut stage = Stage::new().await;
    let _ = database(&stage.folder.path().join("preview.db")).await;
    let data = stage.folder.path().display().to_string();
    let preview = |db: u16| {
        format!(
            "{NAMESPACES}[environment.preview]\ndb = {db}\ndatabase.main.url = 'sqlite:{data}/preview.db'\n"
        )
    };
    let mut client = stage.resp().await;
    assert_eq!(stage.reloaded(&preview(1)).await, "added keyspace shop-preview");
    assert_eq!(client.say("SELECT 1").await, "OK");
    assert_eq!(client.say("GET item:a").await, A);
    assert_eq!(client.say("SET kept 1").await, "OK");
    assert_eq!(stage.reloaded(&preview(2)).await, "changed the number of keyspace shop-preview");
    let told = client.say("GET item:a").await;
    assert!(told.starts_with("!ERR no keyspace has db 1") && told.contains('2'), "{told}");
    assert_eq!(client.say("SELECT 2").await, "OK");
    assert_eq!(client.say("GET kept").await, "1");
    assert_eq!(stage.reloaded(NAMESPACES).await, "removed keyspace shop-preview");
    assert!(client.say("GET item:a").await.starts_with("!ERR no keyspace has db 2"));
    // Nobody has it any more, as soon as that connection has looked.
    assert_eq!(stage.reloaded(&preview(1)).await, "added keyspace shop-preview");
    assert_eq!(client.say("SELECT 1").await, "OK");
    assert_eq!(client.say("GET kept").await, "1", "a store lost what it had");
    assert!(soon(stage.process.stop()).await);
}

#[tokio::test]
async fn what_is_newly_declared_to_be_warm_is_loaded() {
    let mut stage = Stage::new().await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("GET item:b").await, r#"{"code":"b","price":2}"#);
    let warm = NAMESPACES.replacen("ttl = \"60s\"", "ttl = \"60s\"\nwarm = { code = ['a'] }", 1);
    assert_eq!(stage.reloaded(&warm).await, "changed shop/item");
    assert_eq!(client.say("EXISTS item:b").await, "1", "what is held was lost by a list of what is warm");
    held(&mut client, "item:a").await;
    assert!(soon(stage.process.stop()).await);
}

async fn held(client: &mut Resp, key: &str) {
    soon(async { while client.say(&format!("EXISTS {key}")).await != "1" {} }).await;
}

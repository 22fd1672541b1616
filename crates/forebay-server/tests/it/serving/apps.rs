//! What an app is handed: the keyspace that is in service, whichever that is by then.

use axum::extract::State;
use axum::routing::get;
use forebay_server::app::{App, Running, Served};

use super::{NAMESPACES, ask, declaration, deployment, soon, start};

/// The app's own answer for `item:a`, by what is in service.
async fn price(State(served): State<Served>) -> String {
    let Some(keyspace) = served.now() else { return "not in service".to_owned() };
    let Some(items) = keyspace.namespace("item") else { return "no items".to_owned() };
    let read = items.read(b"item:a").await.unwrap();
    format!("{:?} {:?}", read.outcome.tier, items.policy().ttl)
}

#[tokio::test]
async fn an_app_reads_the_keyspace_that_is_in_service() {
    let app = App {
        name: "reader",
        summary: "",
        declaration: "",
        migrations: &[],
        jobs: &[],
        tries: &[],
        start: |setup| {
            Box::pin(async move {
                assert!(setup.served.now().is_none(), "nothing is in service before its start is over");
                let routes = axum::Router::new().route("/api/price", get(price)).with_state(setup.served);
                Ok(Running { routes: Some(routes), notes: Vec::new(), ..Running::default() })
            })
        },
    };
    let folder = tempfile::tempdir().unwrap();
    super::database(&folder.path().join("main.db")).await;
    let text = declaration(folder.path(), "127.0.0.1:0", "127.0.0.1:0", NAMESPACES);
    let mut process = start(&deployment("apps/reader/forebay.toml", &text), &[app]).await.unwrap();
    let (http, asked) = (process.http, ["GET", "/api/price"]);
    let said = async || ask(http, asked[0], asked[1], "").await.body;
    assert_eq!(said().await, "Source 60s");
    assert_eq!(said().await, "Memory 60s", "it reads what every client reads");
    let text = text.replace("key = \"item:{code}\"\nttl = \"60s\"", "key = \"item:{code}\"\nttl = \"50s\"");
    let reloaded = soon(process.reload(deployment("apps/reader/forebay.toml", &text))).await.unwrap();
    assert_eq!(reloaded.to_string(), "changed shop/item");
    assert_eq!(said().await, "Shared 50s", "a reload reaches it");
    assert!(soon(process.stop()).await);
}

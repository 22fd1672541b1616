//! Declared requests before a real origin, read and written by both front ends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use forebay::rt::Mutex;
use forebay::rt::Tasks;

use super::{Stage, Unseen, ask_with, declaration, deployment, soon};

/// An origin with a detail for `a`, and nothing for others. It ends with its tasks.
async fn origin() -> (SocketAddr, Tasks) {
    let detail = async |Path(code): Path<String>| match code.as_str() {
        "a" => ([("content-type", "application/json")], r#"{"data":{"price":1.50,"seq":7}}"#).into_response(),
        "broken" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    };
    served(Router::new().route("/detail/{code}", get(detail))).await
}

/// `routes` on a free port, until the tasks end.
async fn served(routes: Router) -> (SocketAddr, Tasks) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = Tasks::current().unwrap();
    tasks.spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (address, tasks)
}

#[tokio::test]
async fn a_declared_request_is_read_by_both_front_ends() {
    let (address, _origin) = origin().await;
    let stage = Stage::with(&format!(
        "[namespace.detail]\nkey = 'detail:{{code}}'\nttl = '60s'\nversion = 'seq'\n\
         source.http = {{ url = 'http://{address}/detail/{{code}}', pointer = '/data', allow = ['127.0.0.1'], retries = 0 }}\n"
    ))
    .await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("GET detail:a").await, r#"{"price":1.50,"seq":7}"#);
    assert_eq!(client.say("MGET detail:a detail:b detail:..").await, r#"[{"price":1.50,"seq":7} nil nil]"#);
    let answer = stage.get("/v1/shop/detail/detail:a").await;
    assert_eq!(answer.seen(), ("HIT", r#"{"price":1.50,"seq":7}"#));
    let failed = client.say("GET detail:broken").await;
    assert!(failed.starts_with("!FBSOURCE") && !failed.contains(&address.to_string()), "{failed}");
}

#[tokio::test]
async fn a_declared_request_writes_through() {
    let users: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
    let [read, written, deleted] = [(); 3].map(|()| Arc::clone(&users));
    let routes = get(move |Path(id): Path<String>| async move {
        read.lock()
            .get(&id)
            .map_or(StatusCode::NOT_FOUND.into_response(), |user| user.clone().into_response())
    });
    let routes = routes.put(move |Path(id): Path<String>, body: String| async move {
        if body.contains("bad") {
            return StatusCode::UNPROCESSABLE_ENTITY;
        }
        written.lock().insert(id, body);
        StatusCode::NO_CONTENT
    });
    let routes = routes.delete(move |Path(id): Path<String>| async move {
        deleted.lock().remove(&id);
        StatusCode::NO_CONTENT
    });
    let (address, _origin) = served(Router::new().route("/users/{id}", routes)).await;
    let stage = Stage::with(&format!(
        "[namespace.user]\nkey = 'user:{{id}}'\nttl = '60s'\nwrites = 'through'\n\
         source.http = {{ url = 'http://{address}/users/{{id}}', allow_private = true }}\n\
         sink.http = {{ url = 'http://{address}/users/{{id}}', idempotency_key = true, allow_private = true }}\n"
    ))
    .await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("GET user:1").await, "nil");
    assert_eq!(client.say(r#"SET user:1 {"name":"ann"}"#).await, "OK");
    assert_eq!(client.say("GET user:1").await, r#"{"name":"ann"}"#);
    assert_eq!(users.lock().get("1").map(String::as_str), Some(r#"{"name":"ann"}"#));
    let path = "/v1/shop/user/user:1";
    let refused = ask_with(stage.process.http, "PUT", path, "", r#"{"name":"bad"}"#).await;
    assert_eq!((refused.status, refused.problem().as_str()), (422, "sink_refused"));
    assert_eq!(client.say("DEL user:1").await, "1");
    assert_eq!(client.say("GET user:1").await, "nil");
    assert!(users.lock().is_empty());
}

#[tokio::test]
async fn a_row_and_an_answer_are_merged() {
    let (address, _origin) = origin().await;
    let stage = Stage::with(&format!(
        "[namespace.both]\nkey = 'both:{{code}}'\nttl = '60s'\n[namespace.both.source]\nmerge = ['sql', 'http']\n\
         sql = {{ database = 'main', query = 'select code, price from items where code in {{keys}}' }}\n\
         http = {{ url = 'http://{address}/detail/{{code}}', pointer = '/data', allow_private = true }}\n"
    ))
    .await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("GET both:a").await, r#"{"code":"a","price":1.50,"seq":7}"#);
    assert_eq!(client.say("GET both:b").await, r#"{"code":"b","price":2}"#);
    assert_eq!(client.say("GET both:none").await, "nil");
}

#[tokio::test]
async fn an_address_that_is_not_allowed_is_not_reached() {
    let (address, _origin) = origin().await;
    let stage = Stage::with(&format!(
        "[namespace.detail]\nkey = 'detail:{{code}}'\nttl = '60s'\nsource.http = {{ url = 'http://{address}/detail/{{code}}' }}\n"
    ))
    .await;
    let failed = stage.resp().await.say("GET detail:a").await;
    assert!(failed.starts_with("!FBSOURCE"), "{failed}");
}

#[tokio::test]
async fn authorities_that_cannot_be_read_do_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[namespace.a]\nkey = 'a:{x}'\nttl = '1s'\nsource.http = { url = 'https://h/{x}', ca_file = 'nowhere.pem' }\n";
    let text = declaration(folder.path(), "127.0.0.1:0", "127.0.0.1:0", text);
    super::database(&folder.path().join("main.db")).await;
    let deployment = deployment("forebay.toml", &text);
    let started = soon(forebay_server::process::start(&deployment, &[], Arc::new(Unseen))).await;
    let told = started.expect_err("it must not start").to_string();
    assert!(told.contains("namespace `a`") && told.contains("nowhere.pem"), "{told}");
}

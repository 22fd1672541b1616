//! Declared requests before a real origin, read by both front ends.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use forebay::rt::Tasks;

use super::{Stage, Unseen, declaration, deployment, soon};

/// An origin with a detail for `a`, and nothing for others. It ends with its tasks.
async fn origin() -> (SocketAddr, Tasks) {
    let detail = async |Path(code): Path<String>| match code.as_str() {
        "a" => ([("content-type", "application/json")], r#"{"data":{"price":1.50,"seq":7}}"#).into_response(),
        "broken" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = Tasks::current().unwrap();
    let routes = Router::new().route("/detail/{code}", get(detail));
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

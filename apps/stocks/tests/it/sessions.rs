//! Sessions.

use std::sync::Arc;
use std::time::Duration;

use forebay::rt::{Clock, Tasks};
use forebay::tier::store::Durability;
use forebay::{Blob, Forebay, Keyspace, secs};
use forebay_app_stocks::sessions::{FLUSHED, RETRIED, Sessions, User};
use forebay_server::app::Served;
use forebay_server::time::WallClock;
use forebay_simulated::{SimulatedDisk, StoreFaults};
use forebay_stage::{AppStage, On, on_both, soon};
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::{TEN, database, stage};

on_both! {
    st_15_a_session_begins_is_used_and_ends,
    st_15_last_active_moves_without_a_write_per_request_and_outlives_a_restart,
    st_15_permissions_are_confirmed_with_the_database,
    st_15_of_two_who_write_a_session_the_later_truth_stands,
    st_15_the_designs_own_commands_work_on_sessions,
}

async fn user(stage: &AppStage, permissions: &[&str]) -> u16 {
    let body = json!({ "username": "user123", "permissions": permissions }).to_string();
    stage.send("PUT", "/api/v1/users/u1", "", &body).await.status
}

async fn st_15_a_session_begins_is_used_and_ends(on: On) {
    let stage = stage(on).await;
    let unknown = stage.post("/api/v1/sessions", r#"{"user_id": "u1"}"#).await;
    assert_eq!((unknown.status, unknown.problem().as_str()), (404, "user_unknown"));
    assert_eq!((user(&stage, &["read", "trade"]).await, user(&stage, &["read", "trade"]).await), (201, 200));
    let none = stage.get("/api/v1/sessions/u1").await;
    assert_eq!((none.status, none.problem().as_str()), (404, "session_unknown"));
    let begun = stage.post("/api/v1/sessions", r#"{"user_id": "u1"}"#).await;
    let expected = r#"{"user_id":"u1","username":"user123","permissions":["read","trade"],"last_active":"2019-01-28T02:00:00Z"}"#;
    assert_eq!((begun.status, begun.body.as_str()), (201, expected));
    let mut client = stage.resp().await;
    assert_eq!(client.say("GET session:u1").await, expected);
    let left: i64 = client.say("TTL session:u1").await.parse().unwrap();
    assert!((3_590..=3_600).contains(&left), "{left}");
    assert_eq!(stage.delete("/api/v1/sessions/u1").await.status, 204);
    assert_eq!(
        (stage.get("/api/v1/sessions/u1").await.status, client.say("GET session:u1").await),
        (404, "nil".into())
    );
    assert_eq!(stage.delete("/api/v1/sessions/u1").await.status, 204);
}

async fn st_15_last_active_moves_without_a_write_per_request_and_outlives_a_restart(on: On) {
    let stage = stage(on).await;
    user(&stage, &["read"]).await;
    stage.post("/api/v1/sessions", r#"{"user_id": "u1"}"#).await;
    let mut client = stage.resp().await;
    let before = client.say("GET session:u1").await;
    for n in 1..=50 {
        stage.wall.set(TEN + n * 1_000);
        let used = stage.json("/api/v1/sessions/u1").await;
        assert_eq!(used["last_active"], format!("2019-01-28T02:00:{n:02}Z"));
    }
    assert_eq!(client.say("GET session:u1").await, before, "nothing is written yet");
    let stage = stage.restarted().await;
    let kept = stage.resp().await.say("GET session:u1").await;
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!((&kept["user_id"], &kept["last_active"]), (&json!("u1"), &json!("2019-01-28T02:00:50Z")));
}

/// The row of the user is being changed: who confirms or logs in then waits for that, and the session has what the row says in the end.
async fn st_15_of_two_who_write_a_session_the_later_truth_stands(on: On) {
    const HOLD: &str = "update users set username = 'user124' where user_id = 'u1'";
    const REVOKE: &str = r#"update users set permissions = '["read"]' where user_id = 'u1'"#;
    let stage = stage(on).await;
    for logs_in in [false, true] {
        user(&stage, &["read"]).await;
        stage.post("/api/v1/sessions", r#"{"user_id": "u1"}"#).await;
        user(&stage, &["read", "trade"]).await;
        let write = async || match logs_in {
            true => stage.post("/api/v1/sessions", r#"{"user_id": "u1"}"#).await,
            false => stage.send("GET", "/api/v1/sessions/u1", "Cache-Control: no-cache\r\n", "").await,
        };
        let answer = match on {
            On::Sqlite => {
                let mut held = stage.beneath.sqlite().unwrap().begin_with("begin immediate").await.unwrap();
                held.execute(HOLD).await.unwrap();
                let revoke = async {
                    others(&stage).await;
                    held.execute(REVOKE).await.unwrap();
                    held.commit().await.unwrap();
                };
                tokio::join!(write(), revoke).0
            }
            On::Postgres | On::Distant => {
                let mut held = stage.beneath.postgres().unwrap().begin().await.unwrap();
                held.execute(HOLD).await.unwrap();
                let revoke = async {
                    others(&stage).await;
                    held.execute(REVOKE).await.unwrap();
                    held.commit().await.unwrap();
                };
                tokio::join!(write(), revoke).0
            }
        };
        assert_eq!(answer.json()["permissions"], json!(["read"]), "{answer:?}");
        let session: Value = serde_json::from_str(&stage.resp().await.say("GET session:u1").await).unwrap();
        assert_eq!(session["permissions"], json!(["read"]), "what was revoked is back");
    }
}

/// So many others are answered that a request which was sent before them has come as far as it comes.
async fn others(stage: &AppStage) {
    for _ in 0..100 {
        stage.get("/api/v1/sessions/u1").await;
    }
}

async fn st_15_permissions_are_confirmed_with_the_database(on: On) {
    let stage = stage(on).await;
    user(&stage, &["read", "trade"]).await;
    stage.post("/api/v1/sessions", r#"{"user_id": "u1"}"#).await;
    stage.sql(r#"update users set permissions = '["read"]' where user_id = 'u1'"#).await;
    assert_eq!(stage.json("/api/v1/sessions/u1").await["permissions"], json!(["read", "trade"]));
    let confirmed = stage.send("GET", "/api/v1/sessions/u1", "Cache-Control: no-cache\r\n", "").await;
    assert_eq!(confirmed.json()["permissions"], json!(["read"]));
    assert_eq!(stage.json("/api/v1/sessions/u1").await["permissions"], json!(["read"]), "from then on");
    stage.sql("delete from users where user_id = 'u1'").await;
    let gone = stage.send("GET", "/api/v1/sessions/u1", "Cache-Control: no-cache\r\n", "").await;
    assert_eq!((gone.status, gone.problem().as_str()), (404, "session_unknown"));
    assert_eq!(stage.get("/api/v1/sessions/u1").await.status, 404);
}

async fn st_15_the_designs_own_commands_work_on_sessions(on: On) {
    let stage = stage(on).await;
    let mut client = stage.resp().await;
    assert_eq!(client.say(r#"SET session:u2 {"user_id":"u2"} EX 3600"#).await, "OK");
    assert_eq!(client.say("FB.FRESH session:u2").await, r#"{"user_id":"u2"}"#);
    assert_eq!(client.say("DEL session:u2").await, "1");
    assert_eq!(client.say("GET session:u2").await, "nil");
}

/// Two users are seen; one of them logs out before that is written.
#[tokio::test]
async fn st_15_what_was_seen_is_written_within_half_a_minute_and_brings_no_session_back() {
    let folder = tempfile::tempdir().unwrap();
    let wall = WallClock::standing(TEN);
    let mut keyspace = Keyspace::new("stocks");
    let engine = Forebay::new().unwrap();
    let namespace = engine.namespace::<Blob>("USER_SESSIONS").key("session:{user_id}").ttl(secs(3_600));
    keyspace.add(namespace.build().unwrap()).unwrap();
    let keyspace = Arc::new(keyspace);
    let served = Served::only(Arc::clone(&keyspace));
    let sessions = Sessions::new(database(folder.path()).await, served, wall.clone());
    let held = |user: &str| {
        let value =
            keyspace.namespace("USER_SESSIONS").unwrap().peek_value(format!("session:{user}").as_bytes())?;
        Some(String::from_utf8_lossy(value.as_blob()?.as_bytes()).into_owned())
    };
    for user_id in ["u1", "u2"] {
        let user = User { user_id: user_id.into(), username: "x".into(), permissions: vec![] };
        assert!(sessions.put_user(&user).await.unwrap());
        sessions.begin(user_id).await.unwrap();
    }
    wall.set(TEN + 7_000);
    for user_id in ["u1", "u2"] {
        sessions.used(user_id).await.unwrap();
    }
    sessions.end("u2").await.unwrap();
    assert!(held("u1").unwrap().contains("02:00:00Z"), "not yet");
    let real = Clock::simulated();
    let tasks = Tasks::current().unwrap();
    tasks.spawn(sessions.clone().run(real.clone()));
    soon(async {
        while !held("u1").unwrap().contains("02:00:07Z") {
            real.advance(FLUSHED);
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(held("u2"), None);
    assert!(FLUSHED <= Duration::from_secs(30), "as the page says");
}

/// The disk takes nothing when what was seen is to be written; it is tried again soon, and all of it is written then.
#[tokio::test]
async fn st_15_what_could_not_be_written_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let (wall, disk) = (WallClock::standing(TEN), SimulatedDisk::new());
    let real = Clock::simulated();
    let engine = Forebay::builder().clock(real.clone()).build().unwrap();
    let namespace = engine.namespace::<Blob>("USER_SESSIONS").key("session:{user_id}").ttl(secs(3_600));
    let namespace = namespace.store(Arc::new(disk.open(real.clone())), Durability::Always).build().unwrap();
    let mut keyspace = Keyspace::new("stocks");
    keyspace.add(namespace.clone()).unwrap();
    let served = Served::only(Arc::new(keyspace));
    let sessions = Sessions::new(database(folder.path()).await, served, wall.clone());
    let held = async |user_id: &str| {
        let read = namespace.read(format!("session:{user_id}").as_bytes()).await.unwrap();
        String::from_utf8_lossy(read.value.unwrap().as_blob().unwrap().as_bytes()).into_owned()
    };
    for user_id in ["u1", "u2", "u3"] {
        let user = User { user_id: user_id.into(), username: "x".into(), permissions: vec![] };
        sessions.put_user(&user).await.unwrap();
        sessions.begin(user_id).await.unwrap();
        wall.set(TEN + 7_000);
        sessions.used(user_id).await.unwrap();
        wall.set(TEN);
    }
    disk.set_faults(StoreFaults { failing_append: 1, ..StoreFaults::default() });
    assert!(sessions.flush().await.is_err());
    let tasks = Tasks::current().unwrap();
    tasks.spawn(sessions.clone().run(real.clone()));
    tokio::task::yield_now().await;
    real.advance(FLUSHED);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    disk.set_faults(StoreFaults::default());
    let mut waited = Duration::ZERO;
    soon(async {
        while !held("u3").await.contains("02:00:07Z") || !held("u1").await.contains("02:00:07Z") {
            real.advance(RETRIED);
            waited += RETRIED;
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    assert!(waited < FLUSHED, "{waited:?}");
    assert_eq!(sessions.flush().await.unwrap(), 0, "nothing is left");
}

//! MULTI, EXEC, WATCH: what waits is carried out together, or not at all.

use super::{NAMESPACES, Resp, Stage};

#[tokio::test]
async fn commands_wait_for_exec_and_are_answered_together() {
    let stage = Stage::with("").await;
    let (mut one, mut other) = (stage.resp().await, stage.resp().await);
    assert_eq!(one.say("MULTI").await, "OK");
    for line in ["SET a 1", "HSET h f 2", "GET a", "HGET h f", "HSET a f 3"] {
        assert_eq!(one.say(line).await, "QUEUED");
    }
    assert_eq!(other.say("GET a").await, "nil", "nothing is done before EXEC");
    let replies = one.say("EXEC").await;
    let wrong = "!WRONGTYPE Operation against a key holding the wrong kind of value";
    assert_eq!(replies, format!("[OK 1 1 2 {wrong}]"));
    assert_eq!(other.say("GET a").await, "1", "one that fails keeps none of the others from it");
    assert_eq!(other.say("HGET h f").await, "2");
}

#[tokio::test]
async fn one_that_cannot_wait_spoils_the_whole() {
    let stage = Stage::with("").await;
    let mut client = stage.resp().await;
    for spoils in ["NOSUCH a", "GET", "CLIENT NOSUCH"] {
        assert_eq!(client.say("MULTI").await, "OK");
        assert_eq!(client.say("SET a 1").await, "QUEUED");
        assert!(client.say(spoils).await.starts_with("!ERR"), "{spoils}");
        let aborted = "!EXECABORT Transaction discarded because of previous errors.";
        assert_eq!(client.say("EXEC").await, aborted, "{spoils}");
        assert_eq!(client.say("GET a").await, "nil", "{spoils}");
    }
    // What is wrong with the words beyond their number shows when they are carried out.
    assert_eq!(client.say("MULTI").await, "OK");
    assert_eq!(client.say("SET a 1 FOO").await, "QUEUED");
    assert_eq!(client.say("SET a 2").await, "QUEUED");
    assert_eq!(client.say("EXEC").await, "[!ERR syntax error OK]");
}

#[tokio::test]
async fn a_transaction_is_discarded_reset_and_not_nested() {
    let stage = Stage::with("").await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("EXEC").await, "!ERR EXEC without MULTI");
    assert_eq!(client.say("DISCARD").await, "!ERR DISCARD without MULTI");
    assert_eq!(client.say("MULTI").await, "OK");
    assert_eq!(client.say("MULTI").await, "!ERR MULTI calls can not be nested");
    assert_eq!(client.say("WATCH a").await, "!ERR WATCH inside MULTI is not allowed");
    assert_eq!(client.say("SET a 1").await, "QUEUED");
    assert_eq!(client.say("DISCARD").await, "OK");
    assert_eq!(client.say("MULTI").await, "OK");
    assert_eq!(client.say("RESET").await, "RESET");
    assert_eq!(client.say("GET a").await, "nil");
    assert_eq!(client.say("MULTI").await, "OK");
    assert_eq!(client.say("EXEC").await, "[]");
}

#[tokio::test]
async fn exec_does_nothing_where_a_watched_key_has_changed() {
    let stage = Stage::with("").await;
    let (mut one, mut other) = (stage.resp().await, stage.resp().await);
    assert_eq!(one.say("SET a 1").await, "OK");
    for (change, changes) in [
        ("SET a 2", true),
        ("SET a 2", true),
        ("GET a", false),
        ("SET b 1", false),
        ("APPEND a x", true),
        ("DEL a", true),
        ("DEL a", false),
        ("HSET a f 1", true),
        ("HDEL a none", false),
        ("EXPIRE a 100", true),
    ] {
        assert_eq!(one.say("WATCH a").await, "OK");
        other.say(change).await;
        assert_eq!(one.say("MULTI").await, "OK");
        assert_eq!(one.say("SET done 1").await, "QUEUED");
        let ended = one.say("EXEC").await;
        assert_eq!(ended, if changes { "nil" } else { "[OK]" }, "{change}");
    }
    // Unwatched, and watched no more after an EXEC.
    for ends in ["UNWATCH", "DISCARD", "EXEC"] {
        assert_eq!(one.say("WATCH a").await, "OK");
        if ends != "UNWATCH" {
            assert_eq!(one.say("MULTI").await, "OK");
        }
        one.say(ends).await;
        other.say("SET a other").await;
        assert_eq!(one.say("MULTI").await, "OK");
        assert_eq!(one.say("GET a").await, "QUEUED");
        assert_eq!(one.say("EXEC").await, "[other]", "{ends}");
    }
}

#[tokio::test]
async fn a_watched_key_that_another_front_end_changes_is_seen() {
    let stage = Stage::with("").await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("SET a 1").await, "OK");
    assert_eq!(client.say("WATCH a").await, "OK");
    let put = super::ask_with(stage.process.http, "PUT", "/v1/shop/default/a", "", "2").await;
    assert_eq!(put.status, 204, "{put:?}");
    assert_eq!(client.say("MULTI").await, "OK");
    assert_eq!(client.say("GET a").await, "QUEUED");
    assert_eq!(client.say("EXEC").await, "nil");
}

/// Transfers between accounts, each read and written under WATCH: what is lost or made would show in the sum.
#[tokio::test]
async fn transfers_under_watch_neither_lose_nor_make_anything() {
    const CLIENTS: usize = 8;
    let stage = Stage::with("").await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("MSET from 1000 to 0").await, "OK");
    let transfer = |address| async move {
        let mut client = Resp::connect(address).await;
        let mut done = 0;
        while done < 20 {
            assert_eq!(client.say("WATCH from to").await, "OK");
            let held = client.say("MGET from to").await;
            let held: Vec<i64> =
                held.trim_matches(['[', ']']).split(' ').map(|one| one.parse().unwrap()).collect();
            assert_eq!(client.say("MULTI").await, "OK");
            client.say(&format!("SET from {}", held[0] - 1)).await;
            client.say(&format!("SET to {}", held[1] + 1)).await;
            done += usize::from(client.say("EXEC").await == "[OK OK]");
        }
    };
    let transfers: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(transfer(stage.process.resp))).collect();
    let mut observer = stage.resp().await;
    while transfers.iter().any(|transfer| !transfer.is_finished()) {
        assert_eq!(observer.say("MULTI").await, "OK");
        observer.say("GET from").await;
        observer.say("GET to").await;
        let seen = observer.say("EXEC").await;
        let sum: i64 = seen.trim_matches(['[', ']']).split(' ').map(|one| one.parse::<i64>().unwrap()).sum();
        assert_eq!(sum, 1000, "{seen}");
    }
    for transfer in transfers {
        transfer.await.unwrap();
    }
    assert_eq!(client.say("MGET from to").await, "[840 160]");
}

#[tokio::test]
async fn what_a_transaction_reads_of_a_cache_is_loaded_and_its_writes_go_where_they_go() {
    let stage = Stage::with(NAMESPACES).await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("MULTI").await, "OK");
    for line in ["GET item:a", "SET item:a 1", "SET note:a mine", "GET note:a", "DEL note:a own", "SET own 1"]
    {
        assert_eq!(client.say(line).await, "QUEUED");
    }
    let replies = client.say("EXEC").await;
    assert!(replies.starts_with(r#"[{"code":"a","price":1} !FBREFUSED "#), "{replies}");
    assert!(
        replies.contains(" OK mine !ERR within a transaction, a command may not name keys of stores"),
        "{replies}"
    );
    assert!(replies.ends_with(" OK]"), "{replies}");
}

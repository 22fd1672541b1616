//! MULTI, EXEC, WATCH: what waits is carried out together, or not at all.

use super::{NAMESPACES, Resp, Stage, request, shown};

/// A store, and memory that no source stands behind, too small for a [`large`] value.
const TWO: &str = r#"
[memory]
budget = "1 MiB"
[namespace.first]
key = "first:{name}"
mode = "store"
ttl = "1d"
[namespace.second]
key = "second:{name}"
mode = "cache"
ttl = "60s"
"#;

fn large() -> String {
    "x".repeat(2 << 20)
}

/// Says each line, and is answered as stands beside it.
async fn converse(client: &mut Resp, lines: &[(&str, &str)]) {
    for (line, said) in lines {
        assert_eq!(client.say(line).await, *said, "{line}");
    }
}

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

/// Who clears a store waits for the transaction, which would wait for who clears: not within one that names keys of it.
#[tokio::test]
async fn a_transaction_does_not_wait_for_itself() {
    let stage = Stage::with("").await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("MULTI").await, "OK");
    for line in ["SET a 1", "FLUSHDB", "FLUSHALL", "DEBUG SLEEP 1000", "GET a"] {
        assert_eq!(client.say(line).await, "QUEUED");
    }
    let replies = client.say("EXEC").await;
    assert!(
        replies.starts_with("[OK !ERR FLUSHDB within a transaction that names or watches keys"),
        "{replies}"
    );
    assert!(
        replies.contains(" !ERR FLUSHALL within") && replies.contains(" !ERR DEBUG SLEEP within"),
        "{replies}"
    );
    assert!(replies.ends_with(" 1]"), "{replies}");
    let alone = [("MULTI", "OK"), ("FLUSHDB", "QUEUED"), ("EXEC", "[OK]"), ("GET a", "nil")];
    converse(&mut client, &alone).await;
}

#[tokio::test]
async fn a_value_renamed_to_another_namespace_is_never_lost() {
    let stage = Stage::with(TWO).await;
    let (mut client, mut other) = (stage.resp().await, stage.resp().await);
    assert_eq!(client.say(&format!("SET first:a {}", large())).await, "OK");
    let refused = client.say("RENAME first:a second:a").await;
    assert!(refused.starts_with("!FBTOOLARGE"), "{refused}");
    converse(&mut client, &[("STRLEN first:a", "2097152"), ("EXISTS second:a", "0")]).await;
    assert_eq!(other.say("WATCH first:b second:b").await, "OK");
    let moved = [
        ("SET second:b 1", "OK"),
        ("RENAME second:b first:b", "OK"),
        ("EXISTS second:b", "0"),
        ("GET first:b", "1"),
        ("RENAMENX first:b second:b", "1"),
        ("EXISTS first:b", "0"),
        ("GET second:b", "1"),
    ];
    converse(&mut client, &moved).await;
    let told = [("MULTI", "OK"), ("GET second:b", "QUEUED"), ("EXEC", "nil")];
    converse(&mut other, &told).await;
}

#[tokio::test]
async fn a_new_value_does_not_end_when_a_deleted_one_was_to() {
    let stage = Stage::with("").await;
    let mut client = stage.resp().await;
    for (lines, replies, ends) in [
        (&["DEL a", "INCR a"][..], "[1 1]", "-1"),
        (&["DEL a", "HSET a f 1"], "[1 1]", "-1"),
        (&["DEL a", "APPEND a x", "TTL a"], "[1 1 -1]", "-1"),
        (&["RENAME a b", "SET a 1", "EXPIRE a 500"], "[OK OK 1]", "500"),
    ] {
        converse(&mut client, &[("SET a 1 EX 1000", "OK"), ("MULTI", "OK")]).await;
        for line in lines {
            assert_eq!(client.say(line).await, "QUEUED");
        }
        assert_eq!(client.say("EXEC").await, replies, "{lines:?}");
        assert_eq!(client.say("TTL a").await, ends, "{lines:?}");
        assert_eq!(client.say("DEL a").await, "1");
    }
    let kept = [("SET a 1 EX 1000", "OK"), ("MULTI", "OK"), ("APPEND a x", "QUEUED"), ("EXEC", "[2]")];
    converse(&mut client, &kept).await;
    let left: u64 = client.say("TTL a").await.parse().unwrap();
    assert!((900..=1000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_transaction_has_a_bound_in_bytes() {
    let stage = Stage::with("").await;
    let mut client = stage.resp().await;
    let large = "x".repeat(24 << 20);
    assert_eq!(client.say("MULTI").await, "OK");
    for key in ["a", "b"] {
        assert_eq!(client.say(&format!("SET {key} {large}")).await, "QUEUED");
    }
    let refused = client.say(&format!("SET c {large}")).await;
    assert_eq!(refused, "!ERR a transaction has at most 67108864 bytes");
    assert_eq!(client.say("SET d 1").await, "QUEUED");
    let aborted = "!EXECABORT Transaction discarded because of previous errors.";
    converse(&mut client, &[("EXEC", aborted), ("EXISTS a d", "0")]).await;
}

#[tokio::test]
async fn what_is_published_is_sent_after_the_commit() {
    let stage = Stage::with(TWO).await;
    let (mut listener, mut speaker) = (stage.resp().await, stage.resp().await);
    assert_eq!(listener.say("SUBSCRIBE news").await, "[subscribe news 1]");
    converse(&mut speaker, &[("MULTI", "OK"), ("PUBLISH news lost", "QUEUED")]).await;
    assert_eq!(speaker.say(&format!("SET second:a {}", large())).await, "QUEUED");
    let refused = speaker.say("EXEC").await;
    assert!(refused.starts_with("!FBTOOLARGE"), "{refused}");
    let committed = [
        ("MULTI", "OK"),
        ("PUBLISH news one", "QUEUED"),
        ("SET first:a 5", "QUEUED"),
        ("PUBLISH none two", "QUEUED"),
        ("PUBLISH news three", "QUEUED"),
        ("GET first:a", "QUEUED"),
        ("EXEC", "[1 OK 0 1 5]"),
    ];
    converse(&mut speaker, &committed).await;
    for message in ["[message news one]", "[message news three]"] {
        assert_eq!(shown(&listener.next().await.unwrap()), message);
    }
}

#[tokio::test]
async fn unwatch_waits_as_other_commands_do() {
    let stage = Stage::with("").await;
    let (mut one, mut other) = (stage.resp().await, stage.resp().await);
    for (change, said) in [("SET a 2", "nil"), ("SET b 2", "[OK nil]")] {
        assert_eq!(other.say("DEL a").await.len(), 1);
        converse(&mut one, &[("WATCH a", "OK"), ("MULTI", "OK"), ("UNWATCH", "QUEUED")]).await;
        assert_eq!(other.say(change).await, "OK");
        converse(&mut one, &[("GET a", "QUEUED"), ("EXEC", said)]).await;
    }
}

#[tokio::test]
async fn a_watch_that_fails_leaves_those_before_it() {
    let stage = Stage::with(NAMESPACES).await;
    stage.sql("drop table doomed").await;
    let (mut one, mut other) = (stage.resp().await, stage.resp().await);
    let many: Vec<String> = (0..=10_000).map(|number| format!("many{number}")).collect();
    let many = format!("WATCH {}", many.join(" "));
    for (fails, refusal) in
        [("WATCH b broken:a", "!FB"), (many.as_str(), "!ERR a connection watches at most 10000 keys")]
    {
        for (change, said) in [("SET a 2", "nil"), ("SET b 2", "[OK]"), ("SET many1 2", "[OK]")] {
            assert_eq!(one.say("WATCH a a").await, "OK");
            assert_eq!(one.say("WATCH a").await, "OK");
            let refused = one.say(fails).await;
            assert!(refused.starts_with(refusal), "{refused}");
            assert_eq!(other.say(change).await, "OK");
            converse(&mut one, &[("MULTI", "OK"), ("SET done 1", "QUEUED"), ("EXEC", said)]).await;
        }
    }
}

#[tokio::test]
async fn watched_keys_have_a_bound_in_bytes() {
    let stage = Stage::with("").await;
    let mut client = stage.resp().await;
    let keys = |from: usize, to: usize| {
        let keys: Vec<String> = (from..to).map(|number| format!("{number}{}", "x".repeat(60_000))).collect();
        keys.join(" ")
    };
    assert_eq!(client.say(&format!("WATCH {}", keys(0, 60))).await, "OK");
    let refused = client.say(&format!("WATCH {}", keys(60, 80))).await;
    assert_eq!(refused, "!ERR the keys that a connection watches have at most 4194304 bytes: UNWATCH first");
    assert_eq!(client.say(&format!("WATCH {}", keys(0, 65))).await, "OK", "most of them are watched already");
    converse(&mut client, &[("UNWATCH", "OK")]).await;
    assert_eq!(client.say(&format!("WATCH {}", keys(60, 120))).await, "OK");
}

#[tokio::test]
async fn a_pause_of_writes_holds_an_exec_that_writes() {
    let stage = Stage::with("").await;
    let (mut one, mut other) = (stage.resp().await, stage.resp().await);
    converse(&mut one, &[("MULTI", "OK"), ("SET a 1", "QUEUED")]).await;
    assert_eq!(other.say("CLIENT PAUSE 100000 WRITE").await, "OK");
    one.send(&request(&["EXEC"])).await;
    for _ in 0..50 {
        assert_eq!(other.say("GET a").await, "nil");
    }
    assert_eq!(other.say("CLIENT UNPAUSE").await, "OK");
    assert_eq!(shown(&one.next().await.unwrap()), "[OK]");
}

//! CLIENT: what connections tell of themselves and of others.

use super::{Stage, soon};

#[tokio::test]
async fn connections_are_listed_and_ended() {
    let stage = Stage::with("").await;
    let (mut one, mut other) = (stage.resp().await, stage.resp().await);
    assert_eq!(one.say("CLIENT SETNAME one").await, "OK");
    assert_eq!(other.say("CLIENT SETNAME other").await, "OK");
    assert_eq!(other.say("CLIENT SETINFO LIB-NAME lib").await, "OK");
    assert_eq!(other.say("MULTI").await, "OK");
    assert_eq!(other.say("GET a").await, "QUEUED");
    let list = one.say("CLIENT LIST").await;
    assert_eq!(list.lines().count(), 2, "{list}");
    let line = list.lines().find(|line| line.contains("name=other ")).unwrap();
    for part in [" db=0 ", " multi=1 ", " flags=x ", " cmd=get ", " resp=2 ", " lib-name=lib "] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let info = one.say("CLIENT INFO").await;
    assert!(info.contains("name=one ") && info.contains(" cmd=client|info "), "{info}");
    let id = line.strip_prefix("id=").unwrap().split(' ').next().unwrap();
    assert_eq!(one.say(&format!("CLIENT LIST ID {id}")).await, format!("{line}\n"));
    assert_eq!(one.say("CLIENT LIST TYPE pubsub").await, "");
    assert_eq!(one.say(&format!("CLIENT KILL ID {id}")).await, "1");
    assert_eq!(other.next().await, None, "it was ended");
    soon(async { while one.say("CLIENT LIST").await.lines().count() != 1 {} }).await;
    assert_eq!(one.say("CLIENT KILL 1.2.3.4:5").await, "!ERR No such client");
    assert_eq!(one.say("CLIENT KILL USER nobody").await, "!ERR No such user 'nobody'");
    assert_eq!(one.say("CLIENT KILL SKIPME yes").await, "0");
    assert_eq!(one.say("CLIENT KILL SKIPME no").await, "1", "told before it ends");
    assert_eq!(one.next().await, None);
}

#[tokio::test]
async fn commands_wait_while_they_are_paused() {
    let stage = Stage::with("").await;
    let (mut one, mut other) = (stage.resp().await, stage.resp().await);
    assert_eq!(one.say("CLIENT PAUSE 60000 WRITE").await, "OK");
    assert_eq!(other.say("GET a").await, "nil", "reads go on");
    other.send(&super::request(&["SET", "a", "1"])).await;
    soon(async { while !one.say("CLIENT LIST").await.contains(" cmd=set ") {} }).await;
    assert_eq!(one.say("GET a").await, "nil", "writes wait");
    let mut publisher = stage.resp().await;
    publisher.send(&super::request(&["PUBLISH", "news", "one"])).await;
    soon(async { while !one.say("CLIENT LIST").await.contains(" cmd=publish ") {} }).await;
    assert_eq!(one.say("SUBSCRIBE news").await, "[subscribe news 1]");
    assert_eq!(one.say("UNSUBSCRIBE news").await, "[unsubscribe news 0]", "what is published waits");
    assert_eq!(one.say("CLIENT UNPAUSE").await, "OK");
    assert_eq!(super::shown(&publisher.next().await.unwrap()), "0");
    assert_eq!(super::shown(&other.next().await.unwrap()), "OK");
    assert_eq!(one.say("CLIENT PAUSE 1").await, "OK");
    assert_eq!(soon(other.say("GET a")).await, "1", "a pause ends");
    assert_eq!(soon(one.say("GET a")).await, "1", "for all");
}

#[tokio::test]
async fn who_waits_ends_when_the_process_stops() {
    let stage = Stage::with("").await;
    let (mut one, mut paused, mut sleeping) = (stage.resp().await, stage.resp().await, stage.resp().await);
    sleeping.send(&super::request(&["DEBUG", "SLEEP", "3600"])).await;
    soon(async { while !one.say("CLIENT LIST").await.contains(" cmd=debug|sleep ") {} }).await;
    paused.send(&super::request(&["CLIENT", "SETNAME", "paused"])).await;
    assert_eq!(super::shown(&paused.next().await.unwrap()), "OK");
    assert_eq!(one.say("CLIENT PAUSE 3600000 WRITE").await, "OK");
    paused.send(&super::request(&["SET", "a", "1"])).await;
    soon(async { while !one.say("CLIENT LIST").await.contains(" cmd=set ") {} }).await;
    assert!(soon(stage.process.stop()).await, "all connections end");
    assert_eq!(paused.next().await, None, "nothing was done, and nothing is answered");
}

#[tokio::test]
async fn commands_are_answered_as_asked() {
    let stage = Stage::with("").await;
    let mut client = stage.resp().await;
    for silent in [&["CLIENT", "REPLY", "OFF"][..], &["SET", "a", "1"], &["NOSUCH"]] {
        client.send(&super::request(silent)).await;
    }
    assert_eq!(client.say("CLIENT REPLY ON").await, "OK");
    client.send(&super::request(&["CLIENT", "REPLY", "SKIP"])).await;
    client.send(&super::request(&["SET", "a", "2"])).await;
    assert_eq!(client.say("GET a").await, "2");
    for silent in [["REPLY", "SKIP"], ["REPLY", "SKIP"], ["NO-TOUCH", "ON"]] {
        client.send(&super::request(&["CLIENT", silent[0], silent[1]])).await;
    }
    assert_eq!(client.say("CLIENT NO-TOUCH OFF").await, "OK", "what skips is skipped, and skips the next");
    for silent in
        [["REPLY", "OFF"], ["REPLY", "SKIP"], ["REPLY", "SKIP"], ["NO-TOUCH", "ON"], ["NO-TOUCH", "ON"]]
    {
        client.send(&super::request(&["CLIENT", silent[0], silent[1]])).await;
    }
    assert_eq!(client.say("CLIENT REPLY ON").await, "OK", "off is off until then");
    client.send(&super::request(&["CLIENT", "REPLY", "SKIP"])).await;
    assert_eq!(client.say("CLIENT REPLY ON").await, "OK", "answered where it is skipped, too");
    assert_eq!(client.say("GET a").await, "2");
    client.send(&super::request(&["CLIENT", "REPLY", "OFF"])).await;
    assert_eq!(client.say("RESET").await, "RESET");
    assert_eq!(client.say("GET a").await, "2");
    client.send(&super::request(&["CLIENT", "REPLY", "SKIP"])).await;
    client.send(&super::request(&["RESET"])).await;
    assert_eq!(client.say("GET a").await, "2", "a RESET can be skipped");
}

#[tokio::test]
async fn who_wants_no_replies_is_told_of_subscriptions() {
    let stage = Stage::with("").await;
    for version in ["2", "3"] {
        let mut client = stage.resp().await;
        client.say(&format!("HELLO {version}")).await;
        for line in [
            "CLIENT REPLY OFF",
            "SUBSCRIBE a b",
            "PUBLISH a x y",
            "UNSUBSCRIBE a",
            "PUNSUBSCRIBE z",
            "UNSUBSCRIBE",
        ] {
            client.send(&super::request(&line.split(' ').collect::<Vec<_>>())).await;
        }
        let mut told = Vec::new();
        for _ in 0..5 {
            told.push(super::shown(&client.next().await.unwrap()).replace('>', ""));
        }
        let wanted = [
            "[subscribe a 1]",
            "[subscribe b 2]",
            "[unsubscribe a 1]",
            "[punsubscribe z 1]",
            "[unsubscribe b 0]",
        ];
        assert_eq!(told, wanted);
        assert_eq!(client.say("CLIENT REPLY ON").await, "OK");
    }
}

#[tokio::test]
async fn the_server_tells_how_it_is_set_up() {
    let stage = Stage::with("").await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("CONFIG GET maxmem* databases").await, "[databases 1 maxmemory 268435456]");
    assert_eq!(client.say("CONFIG GET none").await, "[]");
    assert_eq!(client.say("CONFIG SET databases 1").await, "OK");
    assert!(client.say("CONFIG SET databases 2").await.starts_with("!ERR CONFIG SET failed"));
    assert!(client.say("CONFIG SET nonsense 2").await.starts_with("!ERR Unknown option"));
    assert_eq!(client.say("FUNCTION FLUSH").await, "OK");
    assert_eq!(client.say("DEBUG JMAP").await, "OK");
    assert_eq!(client.say("DEBUG SLEEP 0").await, "OK");
    assert_eq!(client.say("DEBUG SLEEP x").await, "!ERR value is not a valid float");
    assert!(client.info("total_commands_processed").await > 5);
    assert_eq!(client.say("CONFIG RESETSTAT").await, "OK");
    assert_eq!(client.info("total_commands_processed").await, 1);
    let time = client.say("TIME").await;
    assert_eq!(time.split(' ').count(), 2, "{time}");
}

#[tokio::test]
async fn who_monitors_is_sent_each_command_without_secrets() {
    let stage = Stage::with("").await;
    let (mut monitor, mut client) = (stage.resp().await, stage.resp().await);
    assert_eq!(monitor.say("MONITOR").await, "OK");
    for line in ["SET a \"x\"\u{1}'\\\n\r\t\u{7}\u{8}\u{7f}", "HELLO 3 AUTH default secret", "GET a"] {
        client.say(line).await;
    }
    let mut lines = Vec::new();
    for _ in 0..3 {
        let line = super::shown(&monitor.next().await.unwrap());
        assert!(line.contains(" [0 127.0.0.1:"), "{line}");
        lines.push(line.split_once("] ").unwrap().1.to_owned());
    }
    assert_eq!(lines, [r#""SET" "a" "\"x\"\x01'\\\n\r\t\a\b\x7f""#, r#""HELLO""#, r#""GET" "a""#]);
    // Who watches once more watches still, and who no longer watches is sent nothing behind the reply that says so.
    assert_eq!(monitor.say("MONITOR").await, "OK");
    client.say("GET b").await;
    let line = super::shown(&monitor.next().await.unwrap());
    assert!(line.ends_with(r#""MONITOR""#) || line.ends_with(r#""GET" "b""#), "{line}");
    monitor.send(&super::request(&["RESET"])).await;
    while super::shown(&monitor.next().await.unwrap()) != "RESET" {}
    client.say("GET c").await;
    assert_eq!(monitor.say("PING").await, "PONG");
}

/// A line is bounded, however many words a command has.
#[tokio::test]
async fn a_command_of_many_words_is_shown_to_its_bound() {
    let stage = Stage::with("").await;
    let (mut monitor, mut client) = (stage.resp().await, stage.resp().await);
    assert_eq!(monitor.say("MONITOR").await, "OK");
    let words = vec!["\u{1}".repeat(1_000); 100];
    client.say(&format!("MGET {}", words.join(" "))).await;
    let line = super::shown(&monitor.next().await.unwrap());
    assert!(
        line.ends_with("\\x01\" ... 83 more words"),
        "{} bytes: {:?}",
        line.len(),
        line.get(line.len() - 40..)
    );
    assert!((60_000..70_000).contains(&line.len()), "{} bytes", line.len());
    client.say("MGET a b").await;
    assert!(super::shown(&monitor.next().await.unwrap()).ends_with(r#" "MGET" "a" "b""#));
}

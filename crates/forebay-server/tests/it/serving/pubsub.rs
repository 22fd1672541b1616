//! Channels: who is subscribed is sent what is published, and nobody else.

use super::{Resp, Stage, shown, soon};

async fn next(client: &mut Resp) -> String {
    shown(&client.next().await.expect("closed instead of a message"))
}

#[tokio::test]
async fn subscribers_are_sent_what_is_published() {
    let stage = Stage::with("").await;
    let (mut listener, mut speaker) = (stage.resp().await, stage.resp().await);
    assert_eq!(speaker.say("PUBLISH news lost").await, "0");
    listener.send(&super::request(&["SUBSCRIBE", "news", "weather"])).await;
    assert_eq!(next(&mut listener).await, "[subscribe news 1]");
    assert_eq!(next(&mut listener).await, "[subscribe weather 2]");
    assert_eq!(listener.say("PSUBSCRIBE n*s").await, "[psubscribe n*s 3]");
    assert_eq!(speaker.say("PUBLISH news first").await, "2", "once for the channel, once for the pattern");
    assert_eq!(speaker.say("PUBLISH other x").await, "0");
    assert_eq!(next(&mut listener).await, "[message news first]");
    assert_eq!(next(&mut listener).await, "[pmessage n*s news first]");
    assert_eq!(speaker.say("PUBSUB CHANNELS").await.len(), "[news weather]".len());
    assert_eq!(speaker.say("PUBSUB CHANNELS w*").await, "[weather]");
    assert_eq!(speaker.say("PUBSUB NUMSUB news none").await, "[news 1 none 0]");
    assert_eq!(speaker.say("PUBSUB NUMPAT").await, "1");
    assert_eq!(listener.say("UNSUBSCRIBE news").await, "[unsubscribe news 2]");
    assert_eq!(listener.say("PUNSUBSCRIBE").await, "[punsubscribe n*s 1]");
    assert_eq!(speaker.say("PUBLISH news x").await, "0");
    drop(listener);
    soon(async { while speaker.say("PUBSUB CHANNELS").await != "[]" {} }).await;
}

#[tokio::test]
async fn a_listener_in_resp2_may_only_listen() {
    let stage = Stage::with("").await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("UNSUBSCRIBE").await, "[unsubscribe nil 0]");
    assert_eq!(client.say("SUBSCRIBE a").await, "[subscribe a 1]");
    let refused = client.say("GET a").await;
    assert!(refused.starts_with("!ERR Can't execute 'get': only (P|S)SUBSCRIBE"), "{refused}");
    assert_eq!(client.say("PING").await, "[pong ]");
    assert_eq!(client.say("PING x").await, "[pong x]");
    assert_eq!(client.say("RESET").await, "RESET");
    assert_eq!(client.say("GET a").await, "nil");
    // In RESP3 a message is told apart.
    client.say("HELLO 3").await;
    assert_eq!(client.say("PUBSUB NUMSUB a").await, "[a 0]", "no map");
    assert_eq!(client.say("SUBSCRIBE a").await, ">[subscribe a 1]");
    assert_eq!(client.say("GET a").await, "nil");
    let mut speaker = stage.resp().await;
    assert_eq!(speaker.say("PUBLISH a x").await, "1");
    assert_eq!(next(&mut client).await, ">[message a x]");
}

/// Messages are sent while the subscriber asks to be sent none: whatever comes behind the reply is a reply.
#[tokio::test]
async fn what_waits_comes_before_the_end_of_the_subscription() {
    let stage = Stage::with("").await;
    let mut speaker = stage.resp().await;
    for end in [&["UNSUBSCRIBE", "a"][..], &["UNSUBSCRIBE"], &["PUNSUBSCRIBE", "a*"], &["RESET"]] {
        for _ in 0..50 {
            let mut listener = stage.resp().await;
            let begin = if end[0] == "PUNSUBSCRIBE" { "PSUBSCRIBE a*" } else { "SUBSCRIBE a" };
            listener.say(begin).await;
            let mut bytes = super::request(&["PUBLISH", "a", "x"]);
            bytes.extend_from_slice(&super::request(&["PUBLISH", "a", "x"]));
            speaker.send(&bytes).await;
            let mut bytes = super::request(end);
            bytes.extend_from_slice(&super::request(&["ECHO", "after"]));
            listener.send(&bytes).await;
            let mut said = next(&mut listener).await;
            while said.starts_with("[message a") || said.starts_with("[pmessage a*") {
                said = next(&mut listener).await;
            }
            assert!(said == "RESET" || said.contains("unsubscribe"), "{end:?}: {said}");
            assert_eq!(next(&mut listener).await, "after", "{end:?}");
            assert_eq!(listener.say("ECHO last").await, "last", "{end:?}");
            for _ in 0..2 {
                next(&mut speaker).await;
            }
        }
    }
}

/// A transaction publishes once it is committed; what comes to its own connection is not among its replies.
#[tokio::test]
async fn what_a_transaction_publishes_is_not_among_its_replies() {
    let stage = Stage::with("").await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("MULTI").await, "OK");
    for line in ["SUBSCRIBE a", "PUBLISH a x", "SET k v"] {
        assert_eq!(client.say(line).await, "QUEUED");
    }
    let mut said = [client.say("EXEC").await, next(&mut client).await];
    said.sort();
    assert_eq!(said, ["[[subscribe a 1] 1 OK]", "[message a x]"]);
    assert_eq!(client.say("PING").await, "[pong ]");
}

#[tokio::test]
async fn names_are_short_and_subscriptions_few() {
    let stage = Stage::with("").await;
    let (mut listener, mut speaker) = (stage.resp().await, stage.resp().await);
    let (longest, longer) = ("x".repeat(1024), "x".repeat(1025));
    let channel = "!ERR a channel's name has at most 1024 bytes";
    let pattern = "!ERR a pattern of channels has at most 1024 bytes";
    assert_eq!(listener.say(&format!("SUBSCRIBE {longer}")).await, channel);
    assert_eq!(listener.say(&format!("PSUBSCRIBE {longer}")).await, pattern);
    assert_eq!(speaker.say(&format!("PUBLISH {longer} m")).await, channel);
    assert_eq!(speaker.say(&format!("PUBSUB CHANNELS {longer}")).await, pattern);
    assert_eq!(listener.say(&format!("SUBSCRIBE {longest}")).await, format!("[subscribe {longest} 1]"));
    assert_eq!(speaker.say(&format!("PUBLISH {longest} m")).await, "1");
    assert_eq!(next(&mut listener).await, format!("[message {longest} m]"));
    let many: Vec<String> = (1..10_000).map(|number| format!("c{number}")).collect();
    let refused = format!("SUBSCRIBE {} one too many", many.join(" "));
    assert_eq!(listener.say(&refused).await, "!ERR a connection has at most 10000 subscriptions");
    listener
        .send(&super::request(
            &[&["SUBSCRIBE"][..], &many.iter().map(String::as_str).collect::<Vec<_>>()].concat(),
        ))
        .await;
    for (at, name) in many.iter().enumerate() {
        assert_eq!(next(&mut listener).await, format!("[subscribe {name} {}]", at + 2));
    }
    assert_eq!(listener.say("PSUBSCRIBE p").await, "!ERR a connection has at most 10000 subscriptions");
    assert_eq!(listener.say("SUBSCRIBE c1").await, "[subscribe c1 10000]", "it is one of them already");
    assert_eq!(listener.say("UNSUBSCRIBE c1").await, "[unsubscribe c1 9999]");
    assert_eq!(listener.say("PSUBSCRIBE p").await, "[psubscribe p 10000]");
}

/// A subscriber who reads nothing is cut off once as much waits for it as for one of Redis; publishers are not held up.
#[tokio::test]
async fn a_subscriber_who_does_not_read_is_cut_off() {
    let stage = Stage::with("").await;
    let (mut listener, mut speaker) = (stage.resp().await, stage.resp().await);
    assert_eq!(listener.say("SUBSCRIBE a").await, "[subscribe a 1]");
    let message = "x".repeat(1024 * 1024);
    let published = async { while speaker.say(&format!("PUBLISH a {message}")).await == "1" {} };
    soon(published).await;
    soon(async { while speaker.say("PUBSUB NUMSUB a").await != "[a 0]" {} }).await;
}

//! Client tracking: who keeps copies of what he reads is told when they are of no use any more.

use std::collections::BTreeMap;

use forebay_wire::resp::Reply;
use tokio::io::AsyncReadExt;

use super::{Resp, Stage, ask, shown, soon};

/// The messages that a client has been sent by now.
async fn told(client: &mut Resp) -> String {
    client.send(&super::request(&["PING"])).await;
    let mut told = Vec::new();
    loop {
        match client.next().await.expect("closed") {
            Reply::Simple(_) => return told.join(" "),
            message => told.push(shown(&message)),
        }
    }
}

async fn tracking(stage: &Stage, options: &str) -> Resp {
    let mut client = stage.resp().await;
    client.say("HELLO 3").await;
    assert_eq!(client.say(&format!("CLIENT TRACKING ON{options}")).await, "OK");
    client
}

#[tokio::test]
async fn copies_are_told_of_whatever_makes_them_useless() {
    let stage = Stage::new().await;
    let (mut client, mut other) = (tracking(&stage, "").await, stage.resp().await);
    let one = ">[invalidate [item:a]]";
    for (read, change, wanted) in [
        ("GET item:a", "FB.INVALIDATE item:a", one),
        ("GET item:a", "FB.EXPIRE item:a", one),
        ("GET item:a", "DEL item:a", one),
        ("MGET item:a item:b", "FB.INVALIDATE item:b", ">[invalidate [item:b]]"),
        ("GET note:a", "SET note:a 9", ">[invalidate [note:a]]"),
        ("GET note:a", "EXPIRE note:a 5", ">[invalidate [note:a]]"),
        ("GET scratch:a", "INCR scratch:a", ">[invalidate [scratch:a]]"),
        ("HGETALL scratch:h", "HSET scratch:h f 1", ">[invalidate [scratch:h]]"),
        ("GET any", "SET any 1", ">[invalidate [any]]"),
        ("TTL any", "EXPIRE any 100", ">[invalidate [any]]"),
        ("EXISTS any", "RENAME any other", ">[invalidate [any]]"),
        ("GET other", "DEL none", ""),
        ("GET other", "MULTI,SET other 1,SET more 2,EXEC", ">[invalidate [other]]"),
        ("MULTI,GET other,EXEC", "SET other 2", ">[invalidate [other]]"),
        ("DBSIZE", "SET other 3", ""),
    ] {
        for line in read.split(',') {
            client.say(line).await;
        }
        assert_eq!(told(&mut client).await, "", "{read}");
        for line in change.split(',') {
            other.say(line).await;
        }
        assert_eq!(told(&mut client).await, wanted, "{read}, {change}");
        other.say(change.split(',').next().unwrap()).await;
        other.say("DISCARD").await;
        assert!(!told(&mut client).await.contains(read.rsplit(' ').next().unwrap()), "{read}: told twice");
    }
}

#[tokio::test]
async fn copies_are_told_of_changes_over_http_and_of_groups() {
    let stage = Stage::new().await;
    let mut client = tracking(&stage, "").await;
    client.say("GET item:a").await;
    let gone = ask(stage.process.http, "DELETE", "/v1/shop/item/item:a", "").await;
    assert_eq!(gone.status, 204);
    assert_eq!(told(&mut client).await, ">[invalidate [item:a]]");
    let mut other = stage.resp().await;
    client.say("MGET item:a note:a any").await;
    assert_eq!(other.say("FLUSHDB").await, "OK");
    assert_eq!(told(&mut client).await, ">[invalidate nil]", "of all at once");
    client.say("GET item:a").await;
    assert_eq!(told(&mut client).await, "");
    assert_eq!(other.say("FLUSHALL").await, "OK");
    assert_eq!(told(&mut client).await, ">[invalidate nil]");
}

#[tokio::test]
async fn a_client_without_loop_is_told_of_what_others_change_alone() {
    let stage = Stage::with("").await;
    let (mut client, mut other) = (tracking(&stage, " NOLOOP").await, stage.resp().await);
    for change in ["SET a 1", "INCR a", "MULTI,SET a 3,EXEC", "DEL a"] {
        client.say("GET a").await;
        for line in change.split(',') {
            client.say(line).await;
        }
        assert_eq!(told(&mut client).await, "", "{change}");
        // What it has put there itself it has a copy of.
        other.say("APPEND a x").await;
        assert_eq!(told(&mut client).await, ">[invalidate [a]]", "{change}");
    }
}

#[tokio::test]
async fn options_say_which_reads_count() {
    let stage = Stage::with("").await;
    let mut other = stage.resp().await;
    for (options, said, wanted) in
        [(" OPTIN", "YES", ">[invalidate [a]]"), (" OPTOUT", "NO", ">[invalidate [b]]")]
    {
        let mut client = tracking(&stage, options).await;
        assert_eq!(client.say(&format!("CLIENT CACHING {said}")).await, "OK");
        client.say("GET a").await;
        client.say("GET b").await;
        other.say("MSET a 1 b 2").await;
        assert_eq!(told(&mut client).await, wanted, "{options}");
        let info = client.say("CLIENT INFO").await;
        assert!(info.contains(" flags=t ") && info.contains(" redir=0 "), "{info}");
    }
    let mut client = tracking(&stage, " BCAST PREFIX u: PREFIX v:").await;
    other.say("MSET t:1 x u:1 x v:1 x").await;
    assert_eq!(told(&mut client).await, ">[invalidate [u:1]] >[invalidate [v:1]]");
    assert!(client.say("CLIENT INFO").await.contains(" flags=tB "));
    soon(async { while client.info("tracking_clients").await != 1 {} }).await;
    assert_eq!(client.say("CLIENT TRACKING OFF").await, "OK");
    other.say("SET u:1 y").await;
    assert_eq!(told(&mut client).await, "");
    assert_eq!(client.info("tracking_clients").await, 0);
}

/// What a transaction says of its own reads counts from where it stands.
#[tokio::test]
async fn options_said_within_a_transaction_count_for_the_reads_behind_them() {
    let stage = Stage::new().await;
    let mut other = stage.resp().await;
    for (options, lines, wanted) in [
        (Some(" OPTIN"), "MULTI,GET a,CLIENT CACHING YES,GET b,GET item:a,EXEC", ["", "b", "item:a"]),
        (Some(" OPTIN"), "CLIENT CACHING YES,MULTI,GET a,GET b,EXEC,GET item:a", ["a", "b", ""]),
        (Some(" OPTOUT"), "MULTI,GET a,CLIENT CACHING NO,GET b,GET item:a,EXEC", ["a", "", ""]),
        (None, "MULTI,GET a,CLIENT TRACKING ON,GET b,GET item:a,EXEC", ["", "b", "item:a"]),
    ] {
        let mut client = stage.resp().await;
        client.say("HELLO 3").await;
        if let Some(options) = options {
            client.say(&format!("CLIENT TRACKING ON{options}")).await;
        }
        for line in lines.split(',') {
            client.say(line).await;
        }
        assert_eq!(told(&mut client).await, "", "{lines}");
        other.say("SET a 1").await;
        other.say("SET b 1").await;
        other.say("FB.INVALIDATE item:a").await;
        let wanted = wanted.iter().filter(|key| !key.is_empty()).map(|key| format!(">[invalidate [{key}]]"));
        assert_eq!(told(&mut client).await, wanted.collect::<Vec<_>>().join(" "), "{lines}");
    }
}

#[tokio::test]
async fn prefixes_are_short() {
    let stage = Stage::with("").await;
    let mut client = stage.resp().await;
    client.say("HELLO 3").await;
    let on = |bytes: usize| format!("CLIENT TRACKING ON BCAST PREFIX {}", "p".repeat(bytes));
    assert_eq!(client.say(&on(1025)).await, "!ERR a prefix has at most 1024 bytes");
    assert_eq!(client.say(&on(1024)).await, "OK");
}

#[tokio::test]
async fn another_connection_is_told_instead_until_it_has_gone() {
    let stage = Stage::with("").await;
    let (mut client, mut listener, mut other) = (stage.resp().await, stage.resp().await, stage.resp().await);
    let id = listener.say("CLIENT ID").await;
    assert_eq!(client.say(&format!("CLIENT TRACKING ON REDIRECT {id}")).await, "OK");
    assert_eq!(client.say("CLIENT GETREDIR").await, id);
    client.say("GET a").await;
    other.say("SET a 1").await;
    assert_eq!(listener.say("GET x").await, "nil", "in RESP2 it listens to no channel yet");
    assert_eq!(listener.say("SUBSCRIBE __redis__:invalidate").await, "[subscribe __redis__:invalidate 1]");
    client.say("GET a").await;
    other.say("SET a 2").await;
    assert_eq!(shown(&listener.next().await.unwrap()), "[message __redis__:invalidate [a]]");
    client.say("GET a").await;
    drop(listener);
    soon(async { while other.say("CLIENT LIST").await.lines().count() != 2 {} }).await;
    other.say("SET a 3").await;
    assert!(client.say("CLIENT INFO").await.contains(" flags=tR "));
    client.say("HELLO 3").await;
    client.say("GET a").await;
    other.say("SET a 4").await;
    assert_eq!(told(&mut client).await, format!(">[tracking-redir-broken {id}]"));
    assert_eq!(client.say("RESET").await, "RESET");
    assert_eq!(client.say("CLIENT GETREDIR").await, "-1");
}

/// Clients that answer from their copies, and write; in the end no copy is another than what is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_is_left_with_another_copy_whatever_the_order() {
    const KEYS: u64 = 6;
    let stage = Stage::with("").await;
    let mut clients = Vec::new();
    for number in 0..4_u64 {
        let mut client = tracking(&stage, if number % 2 == 0 { "" } else { " NOLOOP" }).await;
        clients.push(tokio::spawn(async move {
            let mut chance = fastrand::Rng::with_seed(number);
            let mut copies = BTreeMap::new();
            for round in 0..600 {
                let key = format!("k{}", chance.u64(..KEYS));
                if chance.u8(..4) == 0 {
                    let value = format!("{number}-{round}");
                    copies.remove(&key);
                    call(&mut client, &["SET", &key, &value], &mut copies).await;
                    // What others wrote after it they tell of, which drops it.
                } else if !copies.contains_key(&key) {
                    let value = call(&mut client, &["GET", &key], &mut copies).await;
                    copies.insert(key, value);
                }
            }
            (client, copies)
        }));
    }
    let mut done = Vec::new();
    for client in clients {
        done.push(soon(client).await.unwrap());
    }
    let mut reader = stage.resp().await;
    let mut compared = 0;
    for (mut client, mut copies) in done {
        call(&mut client, &["PING"], &mut copies).await;
        for (key, copy) in copies {
            assert_eq!(reader.say(&format!("GET {key}")).await, copy, "{key}");
            compared += 1;
        }
    }
    assert!(compared > 0, "no copies were left to compare");
}

/// The reply to a command. Messages that come before or behind it drop copies: those before it at once, those behind it with the next.
async fn call(client: &mut Resp, words: &[&str], copies: &mut BTreeMap<String, String>) -> String {
    client.send(&super::request(words)).await;
    loop {
        match client.next().await.expect("closed") {
            Reply::Push(message) => {
                let Some(Reply::Array(keys)) = message.get(1) else { panic!("{message:?}") };
                keys.iter().for_each(|key| drop(copies.remove(&shown(key))));
            }
            reply => return shown(&reply),
        }
    }
}

/// The bytes that the client of this number has been sent by now; `|` for the ends of lines. It is asked for its number, which in RESP2
/// a listener is not told.
async fn drained(client: &mut Resp, number: &str) -> String {
    client.send(&super::request(&["CLIENT", "ID"])).await;
    let (number, refused) = (format!(":{number}\r\n"), "-ERR Can't execute 'client|id'");
    let mut text = String::new();
    loop {
        text.push_str(std::str::from_utf8(&client.input).unwrap());
        client.input.clear();
        let end = text.strip_suffix(&number).map(str::len);
        let end = end.or_else(|| text.find(refused).filter(|_| text.ends_with("\r\n")));
        if let Some(end) = end {
            return text[..end].replace("\r\n", "|");
        }
        let read = tokio::time::timeout(super::DEADLINE, client.stream.read_buf(&mut client.input)).await;
        assert_ne!(read.unwrap_or_else(|_| panic!("no end of {text:?}")).unwrap(), 0, "closed");
    }
}

/// `tracking.txt` says what Redis answers, and whom it tells what. Of the answers to HELLO, which name the server, nothing is compared.
#[tokio::test]
async fn clients_are_told_as_by_redis() {
    let stage = Stage::with("").await;
    let names = ["reader", "listener", "writer"];
    let mut clients = [stage.resp().await, stage.resp().await, stage.resp().await];
    let mut numbers = Vec::new();
    for client in &mut clients {
        numbers.push(client.say("CLIENT ID").await);
    }
    clients[0].say("HELLO 3").await;
    let mut said = String::new();
    let golden = include_str!("tracking.txt");
    let is_comment = |line: &str| line.starts_with('#') || line.contains("|$6|server|");
    let golden: Vec<&str> = golden.lines().filter(|line| !is_comment(line)).collect();
    for line in golden.iter().filter(|line| !line.starts_with(' ')) {
        let (who, command) = line.split_once(": ").unwrap();
        let speaker = names.iter().position(|name| *name == who).unwrap();
        let command = command.replace("LISTENER", &numbers[1]);
        clients[speaker].send(&super::request(&command.split(' ').collect::<Vec<_>>())).await;
        said.push_str(&format!("{line}\n"));
        // First who asks: what others are told of it has been sent when he is answered.
        let mut all = [const { String::new() }; 3];
        for who in [speaker, 0, 1, 2] {
            let text = drained(&mut clients[who], &numbers[who]).await;
            all[who].push_str(&text.replace(&format!(":{}|", numbers[1]), ":ID|"));
        }
        for (name, text) in names.iter().zip(all) {
            if !text.is_empty() && !text.contains("|$6|server|") {
                said.push_str(&format!("  {name} < {text}\n"));
            }
        }
    }
    assert_eq!(said, golden.join("\n") + "\n");
}

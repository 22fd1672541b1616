//! Commands about the connection itself, right and wrong, but for what tells one connection from another.

use forebay_wire::resp::Reply;

use super::choose::{Choose, Words, words};
use super::{Both, Group, Makers, Said, Verdict, compare};

pub(super) const GROUP: Group = Group {
    name: "connection",
    of: None,
    db: 15,
    first: &[],
    makers: Makers::Any(LINES.len(), call),
    may_wait: false,
    compare: same,
};

const LINES: &[&str] = &[
    "PING",
    "PING hello",
    "PING a b",
    "ECHO hello",
    "ECHO",
    "ECHO a b",
    "CLIENT SETNAME me",
    "CLIENT SETNAME other",
    "CLIENT SETNAME",
    "CLIENT SETNAME a b",
    "CLIENT GETNAME",
    "CLIENT GETNAME x",
    "CLIENT NO-EVICT ON",
    "CLIENT NO-EVICT off",
    "CLIENT NO-EVICT maybe",
    "CLIENT UNPAUSE",
    "CLIENT PAUSE x",
    "CLIENT PAUSE -1",
    "CLIENT PAUSE 1 NONE",
    "CLIENT GETREDIR",
    "CLIENT REPLY",
    "CLIENT REPLY maybe",
    "CLIENT REPLY ON",
    "CLIENT TRACKING maybe",
    "CLIENT TRACKING OFF",
    "CLIENT TRACKING ON PREFIX a",
    "CLIENT TRACKING ON OPTIN OPTOUT",
    "CLIENT CACHING YES",
    "CLIENT CACHING maybe",
    "CLIENT TRACKINGINFO",
    "CLIENT KILL 1.2.3.4:5",
    "CLIENT KILL ID x",
    "CLIENT KILL ID 0",
    "CLIENT KILL TYPE nobody",
    "CLIENT KILL USER nobody",
    "CLIENT LIST TYPE nobody",
    "CLIENT LIST ID x",
    "CLIENT NOSUCH",
    "CLIENT",
    "SELECT x",
    "SELECT -1",
    "SELECT 100000",
    "SELECT 99999999999999999999",
    "SELECT",
    "SELECT 1 2",
    "HELLO 4",
    "HELLO 1",
    "HELLO x",
    "HELLO 2",
    "HELLO 3",
    "HELLO 3 SETNAME",
    "HELLO 3 SETNAME me",
    "HELLO 2 AUTH x",
    "HELLO 2 NOSUCH",
    "HELLO 3 AUTH default",
    "AUTH",
    "AUTH a b c",
    "RESET",
    "RESET x",
    "MULTI",
    "MULTI x",
    "EXEC",
    "EXEC x",
    "DISCARD",
    "WATCH",
    "WATCH a",
    "UNWATCH",
    "UNWATCH x",
    "ACL WHOAMI",
    "NOSUCH",
    "NOSUCH a b",
    "GET",
    "COMMAND COUNT x",
    "TIME x",
    "SUBSCRIBE",
    "PUBLISH a",
    "PUBSUB NOSUCH",
    "PUBSUB NUMSUB",
];

/// Each alone, on a connection of which nothing is known.
pub(super) async fn each_alone() {
    let mut both = Both::new(GROUP.db, 2).await;
    let mut different = Vec::new();
    for line in LINES {
        let (theirs, ours) = both.say_one(&words(line)).await;
        if same(&words(line), &theirs, &ours) != Verdict::Same {
            different.push(format!("{line}\n  Redis: {:?}\n  ours:  {:?}", theirs.bytes, ours.bytes));
        }
        both.say_one(&words("RESET")).await;
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    both.stop().await;
}

fn call(choose: &mut Choose) -> Words {
    words(choose.of(LINES))
}

/// What a server says of itself when it is greeted is its own, also where that waited for `EXEC`.
fn same(command: &Words, theirs: &Said, ours: &Said) -> Verdict {
    match told(&theirs.reply) == told(&ours.reply) {
        true if theirs.bytes.first() == ours.bytes.first() => Verdict::Same,
        _ => compare(command, theirs, ours),
    }
}

/// A reply as text, in which all greetings are alike.
fn told(reply: &Reply) -> String {
    let is_server = |reply: &Reply| *reply == Reply::Bulk("server".into());
    match reply {
        Reply::Map(entries) if entries.first().is_some_and(|(name, _)| is_server(name)) => "greeting".into(),
        Reply::Array(list) if list.first().is_some_and(is_server) => "greeting".into(),
        Reply::Array(list) => format!("[{}]", list.iter().map(told).collect::<Vec<_>>().join(" ")),
        other => format!("{other:?}"),
    }
}

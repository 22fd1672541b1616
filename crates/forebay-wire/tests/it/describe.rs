//! What clients are told about the command table.

use bytes::{Bytes, BytesMut};
use expect_test::{Expect, expect};
use forebay_wire::resp::{self, Command, Reply, ReplyLimits, Request, Version, describe};

use crate::corpus;

fn ask(version: Version, words: &str) -> Reply {
    let request = Request::from_args(words.split(' ')).unwrap();
    let Ok(Command::Describe(asked)) = resp::parse(&request) else { panic!("{words} does not describe") };
    let mut out = BytesMut::new();
    describe::answer(&mut out, version, &asked);
    let (mut replies, end) = corpus::replies(&[&out], &ReplyLimits::default());
    assert_eq!((replies.len(), end.as_str()), (1, ""), "{words}");
    replies.remove(0)
}

/// A reply in one line, in the notation of JSON with `~` before sets.
fn shown(value: &Reply) -> String {
    let list = |list: &[Reply]| list.iter().map(shown).collect::<Vec<_>>().join(" ");
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    match value {
        Reply::Integer(number) => number.to_string(),
        Reply::Null => "null".into(),
        Reply::Array(elements) => format!("[{}]", list(elements)),
        Reply::Set(elements) => format!("~[{}]", list(elements)),
        Reply::Map(entries) => {
            let entries: Vec<_> =
                entries.iter().map(|(key, value)| format!("{}:{}", shown(key), shown(value))).collect();
            format!("{{{}}}", entries.join(" "))
        }
        Reply::Simple(bytes) => format!("+{}", text(bytes)),
        Reply::Error(bytes) => format!("-{}", text(bytes)),
        Reply::Bulk(bytes) => text(bytes),
        other => panic!("{other:?}"),
    }
}

fn check(words: &str, resp2: Expect, resp3: Expect) {
    resp2.assert_eq(&shown(&ask(Version::Resp2, words)));
    resp3.assert_eq(&shown(&ask(Version::Resp3, words)));
}

#[test]
fn rows_have_the_shape_of_redis_7() {
    check(
        "COMMAND INFO get",
        expect![
            "[[get 2 [+readonly +fast] 1 1 1 [+@read +@string +@fast] [] [[flags [+RO +access] begin_search [type index spec [index 1]] find_keys [type range spec [lastkey 0 keystep 1 limit 0]]]] []]]"
        ],
        expect![
            "[[get 2 ~[+readonly +fast] 1 1 1 ~[+@read +@string +@fast] ~[] ~[{flags:~[+RO +access] begin_search:{type:index spec:{index:1}} find_keys:{type:range spec:{lastkey:0 keystep:1 limit:0}}}] ~[]]]"
        ],
    );
    check(
        "COMMAND INFO mget set",
        expect![
            "[[mget -2 [+readonly +fast] 1 -1 1 [+@read +@string +@fast] [] [[flags [+RO +access] begin_search [type index spec [index 1]] find_keys [type range spec [lastkey -1 keystep 1 limit 0]]]] []] [set -3 [+write +denyoom] 1 1 1 [+@write +@string +@slow] [] [[flags [+RW +access +update +variable_flags] begin_search [type index spec [index 1]] find_keys [type range spec [lastkey 0 keystep 1 limit 0]]]] []]]"
        ],
        expect![
            "[[mget -2 ~[+readonly +fast] 1 -1 1 ~[+@read +@string +@fast] ~[] ~[{flags:~[+RO +access] begin_search:{type:index spec:{index:1}} find_keys:{type:range spec:{lastkey:-1 keystep:1 limit:0}}}] ~[]] [set -3 ~[+write +denyoom] 1 1 1 ~[+@write +@string +@slow] ~[] ~[{flags:~[+RW +access +update +variable_flags] begin_search:{type:index spec:{index:1}} find_keys:{type:range spec:{lastkey:0 keystep:1 limit:0}}}] ~[]]]"
        ],
    );
    check(
        "COMMAND INFO zunionstore zmpop zrangestore",
        expect![
            "[[zunionstore -4 [+write +denyoom +movablekeys] 1 1 1 [+@write +@sortedset +@slow] [] [[flags [+OW +update] begin_search [type index spec [index 1]] find_keys [type range spec [lastkey 0 keystep 1 limit 0]]] [flags [+RO +access] begin_search [type index spec [index 2]] find_keys [type keynum spec [keynumidx 0 firstkey 1 keystep 1]]]] []] [zmpop -4 [+write +movablekeys] 0 0 0 [+@write +@sortedset +@slow] [] [[flags [+RW +access +delete] begin_search [type index spec [index 1]] find_keys [type keynum spec [keynumidx 0 firstkey 1 keystep 1]]]] []] [zrangestore -5 [+write +denyoom] 1 2 1 [+@write +@sortedset +@slow] [] [[flags [+OW +update] begin_search [type index spec [index 1]] find_keys [type range spec [lastkey 0 keystep 1 limit 0]]] [flags [+RO +access] begin_search [type index spec [index 2]] find_keys [type range spec [lastkey 0 keystep 1 limit 0]]]] []]]"
        ],
        expect![
            "[[zunionstore -4 ~[+write +denyoom +movablekeys] 1 1 1 ~[+@write +@sortedset +@slow] ~[] ~[{flags:~[+OW +update] begin_search:{type:index spec:{index:1}} find_keys:{type:range spec:{lastkey:0 keystep:1 limit:0}}} {flags:~[+RO +access] begin_search:{type:index spec:{index:2}} find_keys:{type:keynum spec:{keynumidx:0 firstkey:1 keystep:1}}}] ~[]] [zmpop -4 ~[+write +movablekeys] 0 0 0 ~[+@write +@sortedset +@slow] ~[] ~[{flags:~[+RW +access +delete] begin_search:{type:index spec:{index:1}} find_keys:{type:keynum spec:{keynumidx:0 firstkey:1 keystep:1}}}] ~[]] [zrangestore -5 ~[+write +denyoom] 1 2 1 ~[+@write +@sortedset +@slow] ~[] ~[{flags:~[+OW +update] begin_search:{type:index spec:{index:1}} find_keys:{type:range spec:{lastkey:0 keystep:1 limit:0}}} {flags:~[+RO +access] begin_search:{type:index spec:{index:2}} find_keys:{type:range spec:{lastkey:0 keystep:1 limit:0}}}] ~[]]]"
        ],
    );
    check(
        "COMMAND INFO nosuch client|id client|nosuch get|x hello",
        expect![
            "[null [client|id 2 [+noscript +loading +stale] 0 0 0 [+@slow +@connection] [] [] []] null null [hello -1 [+noscript +loading +stale +fast +no_auth +allow_busy] 0 0 0 [+@fast +@connection] [] [] []]]"
        ],
        expect![
            "[null [client|id 2 ~[+noscript +loading +stale] 0 0 0 ~[+@slow +@connection] ~[] ~[] ~[]] null null [hello -1 ~[+noscript +loading +stale +fast +no_auth +allow_busy] 0 0 0 ~[+@fast +@connection] ~[] ~[] ~[]]]"
        ],
    );
    check(
        "COMMAND INFO command fb.why",
        expect![
            "[[command -1 [+loading +stale] 0 0 0 [+@slow +@connection] [] [] [[command|count 2 [+loading +stale] 0 0 0 [+@slow +@connection] [] [] []] [command|list -2 [+loading +stale] 0 0 0 [+@slow +@connection] [] [] []] [command|info -2 [+loading +stale] 0 0 0 [+@slow +@connection] [] [] []] [command|docs -2 [+loading +stale] 0 0 0 [+@slow +@connection] [] [] []] [command|getkeys -4 [+loading +stale] 0 0 0 [+@slow +@connection] [] [] []] [command|getkeysandflags -4 [+loading +stale] 0 0 0 [+@slow +@connection] [] [] []] [command|help 2 [+loading +stale] 0 0 0 [+@slow +@connection] [] [] []]]] [fb.why 2 [+readonly] 1 1 1 [+@read +@slow +@dangerous] [] [[flags [+RO] begin_search [type index spec [index 1]] find_keys [type range spec [lastkey 0 keystep 1 limit 0]]]] []]]"
        ],
        expect![
            "[[command -1 ~[+loading +stale] 0 0 0 ~[+@slow +@connection] ~[] ~[] [[command|count 2 ~[+loading +stale] 0 0 0 ~[+@slow +@connection] ~[] ~[] ~[]] [command|list -2 ~[+loading +stale] 0 0 0 ~[+@slow +@connection] ~[] ~[] ~[]] [command|info -2 ~[+loading +stale] 0 0 0 ~[+@slow +@connection] ~[] ~[] ~[]] [command|docs -2 ~[+loading +stale] 0 0 0 ~[+@slow +@connection] ~[] ~[] ~[]] [command|getkeys -4 ~[+loading +stale] 0 0 0 ~[+@slow +@connection] ~[] ~[] ~[]] [command|getkeysandflags -4 ~[+loading +stale] 0 0 0 ~[+@slow +@connection] ~[] ~[] ~[]] [command|help 2 ~[+loading +stale] 0 0 0 ~[+@slow +@connection] ~[] ~[] ~[]]]] [fb.why 2 ~[+readonly] 1 1 1 ~[+@read +@slow +@dangerous] ~[] ~[{flags:~[+RO] begin_search:{type:index spec:{index:1}} find_keys:{type:range spec:{lastkey:0 keystep:1 limit:0}}}] ~[]]]"
        ],
    );
}

#[test]
fn keys_are_told_with_what_is_done_with_each() {
    for (command, told) in [
        ("mget a b", "[[a [+RO +access]] [b [+RO +access]]]"),
        ("zunionstore d 2 a b", "[[d [+OW +update]] [a [+RO +access]] [b [+RO +access]]]"),
        ("rename a b", "[[a [+RW +access +delete]] [b [+OW +update]]]"),
        ("renamenx a b", "[[a [+RW +access +delete]] [b [+OW +insert]]]"),
        ("copy a b", "[[a [+RO +access]] [b [+OW +update]]]"),
        ("ping a", "-ERR The command has no key arguments"),
    ] {
        let (told, asked) = (told.to_owned(), format!("COMMAND GETKEYSANDFLAGS {command}"));
        assert_eq!(shown(&ask(Version::Resp2, &asked)), told, "{command}");
    }
}

#[test]
fn descriptions_have_the_shape_of_redis_7() {
    check(
        "COMMAND DOCS ping nosuch",
        expect![
            "[ping [summary Answers PONG, or the message since 1.0.0 group connection complexity O(1) arguments [[name message type string flags [+optional]]]]]"
        ],
        expect![
            "{ping:{summary:Answers PONG, or the message since:1.0.0 group:connection complexity:O(1) arguments:[{name:message type:string flags:~[+optional]}]}}"
        ],
    );
    check(
        "COMMAND DOCS function",
        expect![
            "[function [summary Holds the commands about functions, of which there are none since 7.0.0 group server complexity Depends on the sub-command subcommands [function|flush [summary Answers OK: there is no function to forget since 7.0.0 group server complexity O(1) arguments [[name async type oneof flags [+optional] arguments [[name async type pure-token token ASYNC] [name sync type pure-token token SYNC]]]]] function|help [summary Lists the sub-commands of FUNCTION since 7.0.0 group server complexity O(1)]]]]"
        ],
        expect![
            "{function:{summary:Holds the commands about functions, of which there are none since:7.0.0 group:server complexity:Depends on the sub-command subcommands:{function|flush:{summary:Answers OK: there is no function to forget since:7.0.0 group:server complexity:O(1) arguments:[{name:async type:oneof flags:~[+optional] arguments:[{name:async type:pure-token token:ASYNC} {name:sync type:pure-token token:SYNC}]}]} function|help:{summary:Lists the sub-commands of FUNCTION since:7.0.0 group:server complexity:O(1)}}}}"
        ],
    );
}

#[test]
fn keys_of_a_whole_command() {
    for (words, answer) in [
        ("get a", "[a]"),
        ("MGET a b", "[a b]"),
        ("set a b nx", "[a]"),
        ("zunion 2 a b", "[a b]"),
        ("zunionstore d 2 a b", "[d a b]"),
        ("zmpop 2 a b min", "[a b]"),
        ("zrangestore a b 0 1", "[a b]"),
        ("zunion 0 a", "-ERR Invalid arguments specified for command"),
        ("zunion x a", "-ERR Invalid arguments specified for command"),
        ("zunion 3 a b", "-ERR Invalid arguments specified for command"),
        ("zunionstore d 0 a b", "-ERR Invalid arguments specified for command"),
        ("zmpop 5 a b min", "-ERR Invalid arguments specified for command"),
        ("get a b", "-ERR Invalid number of arguments specified for command"),
        ("set a", "-ERR Invalid number of arguments specified for command"),
        ("ping a", "-ERR The command has no key arguments"),
        ("client id", "-ERR The command has no key arguments"),
        ("nosuch a", "-ERR Invalid command specified"),
        ("client nosuch", "-ERR Invalid command specified"),
    ] {
        assert_eq!(shown(&ask(Version::Resp2, &format!("COMMAND GETKEYS {words}"))), answer, "{words}");
    }
}

#[test]
fn lists_are_of_all_commands() {
    let Reply::Array(rows) = ask(Version::Resp3, "COMMAND") else { panic!("rows") };
    let Reply::Array(mut names) = ask(Version::Resp3, "COMMAND LIST") else { panic!("names") };
    let all = names.len();
    names.retain(|name| !shown(name).contains('|'));
    assert!(names.len() < all, "sub-commands are named, too");
    let Reply::Map(docs) = ask(Version::Resp3, "COMMAND DOCS") else { panic!("docs") };
    assert_eq!(ask(Version::Resp3, "COMMAND INFO"), Reply::Array(rows.clone()));
    assert_eq!(ask(Version::Resp3, "COMMAND COUNT"), Reply::Integer(i64::try_from(names.len()).unwrap()));
    assert_eq!(docs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), names);
    let first = |row: &Reply| match row {
        Reply::Array(fields) => fields[0].clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(rows.iter().map(first).collect::<Vec<_>>(), names);
}

#[test]
fn lists_are_filtered_as_asked() {
    for (filter, names) in [
        ("PATTERN hgET*", "[hget hgetall]"),
        ("PATTERN pubsub|num*", "[pubsub|numsub pubsub|numpat]"),
        ("ACLCAT Transaction", "[multi exec discard watch unwatch]"),
        ("ACLCAT nosuch", "[]"),
        ("MODULE nosuch", "[]"),
    ] {
        assert_eq!(
            shown(&ask(Version::Resp2, &format!("COMMAND LIST FILTERBY {filter}"))),
            names,
            "{filter}"
        );
    }
}

#[test]
fn help_lists_the_sub_commands() {
    let mut out = BytesMut::new();
    describe::help(&mut out, "CLIENT");
    expect![[r#"
        *37
        +CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:
        +ID
        +    Answers the number of this connection.
        +GETNAME
        +    Answers the name of this connection.
        +SETNAME connection-name
        +    Names this connection.
        +SETINFO LIB-NAME libname | LIB-VER libver
        +    Notes which library the client uses, and its version.
        +INFO
        +    Describes this connection in one line.
        +REPLY ON | OFF | SKIP
        +    Chooses whether commands are answered: all, none, or all but the next.
        +NO-EVICT ON | OFF
        +    Is taken for what it is: no connection is ended for want of memory.
        +NO-TOUCH ON | OFF
        +    Is taken, and changes nothing: what is read counts as used.
        +TRACKING ON | OFF [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]
        +    Has this connection, or another, told when what it has read is of no use any more.
        +CACHING YES | NO
        +    Says whether what the next command reads is kept by the client.
        +GETREDIR
        +    Answers the number of the connection that is told instead of this one: 0 for none, -1 without tracking.
        +TRACKINGINFO
        +    Answers what this connection is told of.
        +LIST [TYPE NORMAL | MASTER | REPLICA | PUBSUB] [ID client-id [client-id ...]]
        +    Describes connections, each in one line.
        +KILL ip:port | [[ID client-id] [ADDR ip:port] [LADDR ip:port] [TYPE type] [USER username] [SKIPME YES | NO]]
        +    Ends connections.
        +PAUSE timeout [WRITE | ALL]
        +    Lets the commands of all connections wait, or those alone that write.
        +UNPAUSE
        +    Lets commands that wait go on.
        +UNBLOCK client-id [TIMEOUT | ERROR]
        +    Answers 0: no command blocks its client.
        +HELP
        +    Lists the sub-commands of CLIENT.
    "#]]
    .assert_eq(&String::from_utf8(out.to_vec()).unwrap().replace('\r', ""));
    expect!["[+COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are: +COUNT +    Counts the commands. +LIST [FILTERBY MODULE module-name | ACLCAT category | PATTERN pattern] +    Answers the names of commands and sub-commands, of all or of those that the filter names. +INFO [command-name [command-name ...]] +    Answers rows of the command table. +DOCS [command-name [command-name ...]] +    Describes commands for people. +GETKEYS command [arg [arg ...]] +    Answers which words of a whole command are keys. +GETKEYSANDFLAGS command [arg [arg ...]] +    Answers which words of a whole command are keys, and what it does with each. +HELP +    Lists the sub-commands of COMMAND.]"].assert_eq(&shown(&ask(Version::Resp2, "COMMAND HELP")));
}

//! The command table against itself and against the parsers.

use std::collections::BTreeSet;

use forebay_wire::resp::{self, Access, CommandError, CommandSpec, Flag, KeyUse, Request};

fn all() -> Vec<&'static CommandSpec> {
    resp::commands().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands)).collect()
}

/// A request with `words` words, its command's name (or names) first.
fn request(spec: &CommandSpec, words: usize) -> Request {
    let names = spec.name.split('|');
    // What is taken nearly everywhere, and what these take.
    let arguments: &[&str] = match spec.name {
        "ZMPOP" => &["1", "1", "MIN"],
        "ZLEXCOUNT" | "ZRANGEBYLEX" | "ZREVRANGEBYLEX" | "ZREMRANGEBYLEX" => &["1", "-", "+"],
        _ => &[],
    };
    let arguments = arguments.iter().copied().chain(std::iter::repeat("1"));
    Request::from_args(names.chain(arguments).take(words)).unwrap()
}

fn least_words(spec: &CommandSpec) -> usize {
    usize::try_from(spec.arity.unsigned_abs()).unwrap()
}

#[test]
fn names_are_unique_and_in_capitals() {
    let mut seen = BTreeSet::new();
    for spec in all() {
        assert!(seen.insert(spec.name), "{} is there twice", spec.name);
        let allowed = |letter: char| letter.is_ascii_uppercase() || matches!(letter, '.' | '|' | '-');
        assert!(spec.name.chars().all(allowed), "{}", spec.name);
    }
    for command in resp::commands() {
        for sub in command.subcommands {
            assert!(sub.name.starts_with(&format!("{}|", command.name)), "{}", sub.name);
            assert!(sub.subcommands.is_empty(), "{}", sub.name);
        }
        let wants_help = !command.subcommands.is_empty();
        let has_help = command.subcommands.iter().any(|sub| sub.name.ends_with("|HELP"));
        assert_eq!(wants_help, has_help, "{}: refusals point to its HELP", command.name);
    }
}

#[test]
fn rows_are_whole() {
    for spec in all() {
        assert!(!spec.summary.is_empty() && !spec.summary.ends_with('.'), "{}", spec.name);
        assert!(!spec.complexity.is_empty(), "{}", spec.name);
        assert_eq!(
            spec.since.split('.').filter(|part| part.parse::<u8>().is_ok()).count(),
            3,
            "{}",
            spec.name
        );
        assert_ne!(spec.arity, 0, "{}", spec.name);
        let keys = spec.keys;
        assert_eq!(keys.first == 0 && keys.counted.is_none(), keys.usage == KeyUse::None, "{}", spec.name);
        assert_eq!(keys.first == 0, keys.step == 0, "{}", spec.name);
        assert!(keys.first < least_words(spec), "{}: a key must always be there", spec.name);
        let both = spec.flags.contains(&Flag::Write) && spec.flags.contains(&Flag::ReadOnly);
        assert!(!both, "{}", spec.name);
        // Of all keyspaces: an operator's work.
        let empties = spec.name == "FLUSHALL";
        let writes = matches!(spec.access, Access::Write | Access::Invalidate) || empties;
        assert_eq!(writes, spec.flags.contains(&Flag::Write), "{}", spec.name);
        // Those on all keys name none.
        let names_none = ["SCAN", "KEYS", "RANDOMKEY", "DBSIZE", "FLUSHDB", "FLUSHALL", "SWAPDB"];
        if matches!(spec.access, Access::Read | Access::Write | Access::Invalidate)
            && !names_none.contains(&spec.name)
        {
            assert!(keys.are_there(), "{}: a right to keys needs keys", spec.name);
        }
    }
}

#[test]
fn too_few_words_and_too_many_are_refused_by_name() {
    for spec in all() {
        let arity_error = CommandError::WrongArity { command: spec.name };
        let own_words = spec.name.split('|').count();
        for words in own_words..least_words(spec) {
            assert_eq!(resp::parse(&request(spec, words)), Err(arity_error.clone()), "{}", spec.name);
        }
        if spec.arity > 0 {
            let words = least_words(spec) + 1;
            assert_eq!(resp::parse(&request(spec, words)), Err(arity_error), "{}", spec.name);
        }
    }
}

#[test]
fn as_few_words_as_allowed_are_enough() {
    for spec in all() {
        let parsed = resp::parse(&request(spec, least_words(spec)));
        // What the words say is another matter: "1" is no sub-command, no option, and twice the same.
        let is_arity = matches!(parsed, Err(CommandError::WrongArity { .. }));
        assert!(!is_arity, "{}: {parsed:?}", spec.name);
    }
}

#[test]
fn keys_are_where_the_table_says() {
    for (words, keys) in [
        ("GET a", "a"),
        ("MGET a b c", "a b c"),
        ("SET a b NX", "a"),
        ("DEL a b", "a b"),
        ("UNLINK a", "a"),
        ("EXISTS a b", "a b"),
        ("EXPIRE a 1", "a"),
        ("PEXPIRE a 1", "a"),
        ("EXPIREAT a 1 NX", "a"),
        ("MSET a 1 b 2", "a b"),
        ("LCS a b LEN", "a b"),
        ("RENAME a b", "a b"),
        ("COPY a b REPLACE", "a b"),
        ("OBJECT ENCODING a", "a"),
        ("MEMORY USAGE a SAMPLES 1", "a"),
        ("SCAN 0 MATCH a", ""),
        ("KEYS a", ""),
        ("PERSIST a", "a"),
        ("TTL a", "a"),
        ("PTTL a", "a"),
        ("TYPE a", "a"),
        ("HSET a f v", "a"),
        ("ZADD a 1 m", "a"),
        ("ZRANGESTORE a b 0 1", "a b"),
        ("ZUNION 2 a b WITHSCORES", "a b"),
        ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", "d a b"),
        ("ZMPOP 1 a MIN", "a"),
        ("ZINTERCARD 9 a b", "a b"),
        ("FB.INVALIDATE a b", "a b"),
        ("FB.WHY a", "a"),
        ("FB.FRESH a", "a"),
        ("PING a", ""),
        ("CLIENT SETNAME a", ""),
    ] {
        let request = Request::from_args(words.split(' ')).unwrap();
        let spec = resp::resolve(&request).unwrap();
        let found: Vec<_> =
            spec.key_indexes(&request).map(|at| str::from_utf8(request.get(at).unwrap()).unwrap()).collect();
        assert_eq!(found.join(" "), keys, "{words}");
    }
}

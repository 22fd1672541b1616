//! What the engine refuses to build is refused before by the check of a declaration, with its place: a start finds nothing that `forebay
//! check` has let through.

use expect_test::expect_file;
use forebay_server::configuration::served;

use super::parse;

/// The rules of the engine, as it is written.
const ENGINE: &str = include_str!("../../../../forebay/src/engine/rules.rs");

/// What a declaration says that breaks a rule.
enum Said {
    /// These options of a namespace that loads by SQL.
    Loads(&'static str),
    /// These options of a namespace without a source.
    Alone(&'static str),
    /// Nothing can say it: why.
    Nothing(&'static str),
}

use Said::{Alone, Loads, Nothing};

/// By the beginning of what the engine says.
const RULES: &[(&str, &[Said])] = &[
    (
        "it has a `store`, which is the truth: leave out the rules of copies",
        &[
            Alone("mode = 'store'\nttl = '1h'\nabsent_ttl = '1s'"),
            Alone("mode = 'store'\nttl = '1h'\nstale_while_revalidate = '1s'"),
            Alone("mode = 'store'\nttl = '1h'\nstale_if_error = '1s'"),
            Alone("mode = 'store'\nttl = '1h'\njitter = '1s'"),
            Alone("mode = 'store'\nttl = '1h'\nrefresh_ahead = '1s'"),
            Alone("mode = 'store'\nttl = '1h'\nrefresh_every = '1m'"),
            Alone("mode = 'store'\nttl = '1h'\nmemory.max_age = '1s'"),
            Alone("mode = 'store'\nttl = '1h'\nfresh_until = 'code'"),
            Alone("mode = 'store'\nttl = '1h'\ndepends_on = { items = ['code'] }"),
        ],
    ),
    (
        "it has a `store`, which is the truth: leave out its source, sink and journal",
        &[
            Loads("mode = 'store'\nttl = '1h'"),
            Alone(
                "mode = 'store'\nttl = '1h'\nsink.sql = { database = 'main', write = 'insert into items (code) values {rows}' }",
            ),
        ],
    ),
    ("it has a `store`, where its writes go", &[Alone("mode = 'store'\nttl = '1h'\nwrites = 'through'")]),
    (
        "`writes` go to a store, and there is none",
        &[Nothing("a store is declared by its `mode`, never by `writes`")],
    ),
    (
        "`writes` go to a sink, and there is none",
        &[Loads("ttl = '1h'\nwrites = 'through'"), Loads("ttl = '1h'\nwrites = 'behind'")],
    ),
    (
        "what is written could not be read",
        &[
            Alone(
                "mode = 'cache'\nttl = '1h'\nwrites = 'through'\nsink.sql = { database = 'main', write = 'insert into items (code) values {rows}' }",
            ),
            Alone(
                "mode = 'cache'\nttl = '1h'\nwrites = 'behind'\nsink.http = { url = 'https://a.example/{code}' }",
            ),
        ],
    ),
    (
        "nothing would be written to its `sink`",
        &[
            Loads("ttl = '1h'\nsink.http = { url = 'https://a.example/{code}' }"),
            Loads("ttl = '1h'\nwrites = 'cache'\nsink.http = { url = 'https://a.example/{code}' }"),
        ],
    ),
    ("a `fresh_at_most` of zero", &[Loads("ttl = '1h'\nfresh_until = { column = 'code', at_most = '0s' }")]),
    ("a `memory_max_age` of zero", &[Loads("ttl = '1h'\nmemory.max_age = '0s'")]),
    ("without a shared tier memory has the only copy", &[Loads("ttl = '1h'\nmemory.max_age = '1s'")]),
    (
        "what clients write is held in memory only",
        &[Loads("ttl = '1h'\nwrites = 'cache'\nmemory.max_age = '1s'")],
    ),
    (
        "`writes` go behind, and nothing would keep them",
        &[Nothing("a server gives a journal to what writes behind")],
    ),
    (
        "nothing would be written to its journal",
        &[Nothing("a server gives a journal to what writes behind alone")],
    ),
    ("a `ttl` of zero", &[Loads("ttl = '0s'")]),
    ("a `load_timeout` of zero", &[Loads("ttl = '1h'\nloader.timeout = '0s'")]),
    ("a `concurrency` of zero", &[Loads("ttl = '1h'\nloader.concurrency = 0")]),
    ("`jitter` is longer than `ttl`", &[Loads("ttl = '1h'\njitter = '2h'")]),
    ("a `refresh_every` of less than 1 s", &[Loads("ttl = '1h'\nrefresh_every = '999ms'")]),
    (
        "a `breaker` needs at least one failure",
        &[
            Loads("ttl = '1h'\nloader.breaker.failures = 0"),
            Loads("ttl = '1h'\nloader.breaker.successes = 0"),
        ],
    ),
    (
        "the `idle` of a sliding TTL",
        &[Loads("ttl = { idle = '0s', max = '1h' }"), Loads("ttl = { idle = '2h', max = '1h' }")],
    ),
    (
        "a sliding TTL has no stale windows",
        &[Loads("ttl = { idle = '1m', max = '1h' }\nstale_if_error = '1m'")],
    ),
    (
        "`refresh_ahead` is not shorter than the `max`",
        &[Loads("ttl = { idle = '1m', max = '1h' }\nrefresh_ahead = '1h'")],
    ),
    ("`refresh_ahead` is not shorter than `ttl`", &[Loads("ttl = '1h'\nrefresh_ahead = '1h'")]),
];

/// What the engine says, of each of its rules.
fn rules() -> Vec<String> {
    let lines = ENGINE.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = lines.collect::<Vec<_>>().join("\n");
    let texts = code.split('"').skip(1).step_by(2).map(str::to_owned);
    texts.filter(|text| text.contains(' ')).collect()
}

/// What the check says of a declaration that says `said`: the first words of each error.
fn refusals(said: &Said) -> Vec<String> {
    let (options, source) = match said {
        Loads(options) => (
            options,
            "source.sql = { database = 'main', query = 'select code, price from items where code in {keys}' }\n",
        ),
        Alone(options) => (options, ""),
        Nothing(why) => return vec![format!("cannot be declared: {why}")],
    };
    let text = format!(
        "keyspace = 'shop'\n[database.main]\nurl = 'sqlite:main.db'\n[namespace.item]\nkey = 'item:{{code}}'\n{options}\n{source}"
    );
    let errors = match parse(&text) {
        Ok(declaration) => served::refuse(&declaration),
        Err(report) => report.errors().to_vec(),
    };
    // About the rule, and not about how it is written here.
    assert!(errors.iter().all(|error| error.line() >= 4), "{errors:?}");
    errors.iter().map(|error| error.message().to_owned()).collect()
}

#[test]
fn every_rule_of_the_engine_is_judged_by_the_check() {
    let rules = rules();
    for rule in &rules {
        assert!(
            RULES.iter().any(|(told, _)| rule.starts_with(told)),
            "no declaration is known that breaks: {rule}"
        );
    }
    let mut judged = String::new();
    for (told, broken) in RULES {
        assert!(rules.iter().any(|rule| rule.starts_with(told)), "the engine has no such rule: {told}");
        judged.push_str(&format!("{told}\n"));
        for (number, said) in broken.iter().enumerate() {
            let refusals = refusals(said);
            assert!(!refusals.is_empty(), "`check` passes number {number} of: {told}");
            judged.extend(refusals.iter().map(|refusal| format!("    {refusal}\n")));
        }
    }
    // That each is refused for its own reason is seen by reading.
    expect_file!["rules.txt"].assert_eq(&judged);
}

#[test]
fn what_breaks_no_rule_is_not_refused() {
    for said in [
        Loads("ttl = '1h'"),
        Alone("mode = 'cache'\nttl = '1h'"),
        Alone("mode = 'store'\nttl = '1h'"),
        Loads("ttl = '1h'\nwrites = 'through'\nsink.http = { url = 'https://a.example/{code}' }"),
    ] {
        assert_eq!(refusals(&said), [""; 0]);
    }
}

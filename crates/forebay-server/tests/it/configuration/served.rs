use std::fs;

use expect_test::expect;
use forebay_server::configuration::{Report, served};

use super::{folder, parse};

#[test]
fn what_is_not_served_is_told_with_its_line() {
    let declaration = parse(&fs::read_to_string(folder().join("full.toml")).unwrap()).unwrap();
    let found: Vec<String> = served::refuse(&declaration)
        .iter()
        .map(|error| format!("{}:{}: {}", error.line(), error.column(), error.message()))
        .collect();
    expect![[r#"
        19:7: a `shared.url` that begins with `redis` is part of the language but not served by this version
        26:8: `feed = true` is part of the language but not served by this version
        101:1: `memory.max_age` is part of the language but not served by this version
        136:1: `aliases` is part of the language but not served by this version"#]]
    .assert_eq(&found.join("\n"));
}

#[test]
fn what_is_served_is_not_refused() {
    let text = "keyspace = 'a'\ndb = 1\n[server]\nhttp = '127.0.0.1:0'\n[memory]\nbudget = '1 MiB'\n[database.main]\n\
                url = 'sqlite:x.db'\npool.max = 3\nfeed = false\n[namespace.a]\nkey = 'a:{x}'\nttl = '1s'\nabsent_ttl = '2s'\n\
                kind = 'blob'\nmode = 'cache'\nstale_while_revalidate = '1s'\nstale_if_error = '1s'\njitter = '10ms'\n\
                secure = false\nwrites = 'refuse'\nloader.timeout = '1s'\nmemory.policy = 's3-fifo'\n\
                source.sql = { database = 'main', query = 'select x, p from t where x in {keys}', decimals = { p = 2 } }\n\
                [environment.preview]\ndb = 2\ndatabase.main.url = 'sqlite:y.db'\n[app.x]\nspeed = 1\n";
    let refused = served::refuse(&parse(text).unwrap_or_else(|report| panic!("{report}")));
    assert!(refused.is_empty(), "{}", Report::of(refused).unwrap());
}

#[test]
fn a_database_of_another_kind_is_refused_with_what_is_served() {
    let text = "keyspace = 'a'\n[database.main]\nurl = 'mysql://h/n'\n[environment.p]\ndb = 1\ndatabase.main.url = 'postgres://h/n'\n";
    let refused = Report::of(served::refuse(&parse(text).unwrap())).unwrap().to_string();
    assert!(
        refused.contains("`url` that begins with `mysql:`") && refused.contains("`postgres:`"),
        "{refused}"
    );
}

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
        13:2: `shared` is part of the language but not served by this version
        18:7: a `url` that is not `sqlite:` is part of the language but not served by this version
        19:8: `feed = true` is part of the language but not served by this version
        33:8: `kind = "hash"` is part of the language but not served by this version
        34:1: `field` is part of the language but not served by this version
        46:10: `writes = "through"` is part of the language but not served by this version
        47:1: `exists` is part of the language but not served by this version
        48:1: `depends_on` is part of the language but not served by this version
        54:1: `source.sql.fields` is part of the language but not served by this version
        57:25: `source.http` is part of the language but not served by this version
        63:1: `source.merge` is part of the language but not served by this version
        65:18: `sink` is part of the language but not served by this version
        80:1: `memory.max_age` is part of the language but not served by this version
        86:10: `writes = "behind"` is part of the language but not served by this version
        87:1: `aliases` is part of the language but not served by this version
        89:1: `sink` is part of the language but not served by this version
        94:8: `mode = "store"` is part of the language but not served by this version
        96:1: `durability` is part of the language but not served by this version
        100:25: a `url` that is not `sqlite:` is part of the language but not served by this version"#]]
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

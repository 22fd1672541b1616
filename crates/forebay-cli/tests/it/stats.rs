//! `forebay stats`.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::running::{Running, forebay, run, start, stderr, stdout};

const DECLARED: &str = r#"
keyspace = "shop"
[namespace.memo]
key = "memo:{name}"
mode = "cache"
ttl = "1h"
writes = "cache"
[namespace.rest]
key = "rest:{name}"
mode = "cache"
ttl = "1h"
writes = "cache"
"#;

fn shop(folder: &tempfile::TempDir) -> (Running, String) {
    std::fs::write(folder.path().join("forebay.toml"), DECLARED).unwrap();
    let running = start(folder.path(), &["serve", "--config", "forebay.toml"]);
    let address = format!("127.0.0.1:{}", running.http);
    assert!(running.resp("SET memo:a 1").starts_with("+OK"));
    for _ in 0..3 {
        assert_eq!(running.get("memo:a").as_deref(), Some("1"));
    }
    (running, address)
}

#[test]
fn what_was_counted_is_told_as_a_table_and_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let (_running, address) = shop(&folder);
    let output = run(folder.path(), &["stats", "--http", &address]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let table = stdout(&output);
    let row = |name: &str| -> Vec<String> {
        let line = table.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().skip(1).map(ToOwned::to_owned).collect()
    };
    assert_eq!(row("shop/memo"), ["3", "0", "0", "0", "0", "0", "100", "-"], "{table}");
    assert_eq!(row("shop/rest"), ["0", "0", "0", "0", "0", "0", "-", "-"], "{table}");
    assert!(table.starts_with("memory 0.0 MiB of ") && table.contains(" 1 entries; RESP "), "{table}");

    let json = stdout(&run(folder.path(), &["stats", "--json", "--http", &address]));
    let memo = r#"{"keyspace":"shop","namespace":"memo","hits":3,"shared_hits":0,"misses":0,"stale":0,"errors":0,"loads":0}"#;
    assert!(json.starts_with(r#"{"memory_bytes":"#) && json.contains(memo), "{json}");
    assert_eq!(json.lines().count(), 1);

    let refused = run(folder.path(), &["stats", "--http", "127.0.0.1:1"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("nobody serves at 127.0.0.1:1"), "{}", stderr(&refused));
}

#[test]
fn watched_it_is_told_again_with_what_came_since() {
    let folder = tempfile::tempdir().unwrap();
    let (running, address) = shop(&folder);
    let mut watching = forebay(folder.path())
        .args(["stats", "--watch", "--http", &address])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(watching.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut rows = lines.filter(|line| line.starts_with("shop/memo"));
    let since = |row: &str| row.split_whitespace().next_back().unwrap().to_owned();
    assert_eq!(since(&rows.next().unwrap()), "-");
    // Some later second has these reads, whenever they come.
    for _ in 0..5 {
        assert!(running.get("memo:a").is_some());
    }
    let mut told = 0;
    for row in rows.by_ref().take(60) {
        told += since(&row).parse::<u64>().unwrap();
        if told >= 5 {
            break;
        }
    }
    assert_eq!(told, 5);
    // Nobody reads on: it ends by itself.
    drop(rows);
    assert_eq!(watching.wait().unwrap().code(), Some(0));
}

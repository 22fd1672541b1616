//! What was acknowledged outlives the end of the process, however that ends.

use std::path::Path;

use crate::running::{Running, run, stderr, stdout};

const STORES: &str = r#"
keyspace = "shop"
[namespace.note]
key = "note:{number}"
mode = "store"
ttl = "30d"
durability = "interval 1s"
[namespace.lazy]
key = "lazy:{number}"
mode = "store"
ttl = "30d"
durability = "none"
"#;

fn serve(folder: &Path) -> Running {
    Running::start(folder, &["serve", "--config", "forebay.toml"])
}

fn declared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("forebay.toml"), STORES).unwrap();
    folder
}

#[test]
fn a_killed_process_loses_nothing_that_a_store_acknowledged() {
    let folder = declared();
    for round in 0..3 {
        let running = serve(folder.path());
        let sets = (0..100).map(|number| {
            format!("SET note:{round}-{number} {number}\r\nSET lazy:{round}-{number} {number}\r\n")
        });
        let replies = running.resp(sets.collect::<String>().trim_end());
        assert_eq!(replies.matches("+OK\r\n").count(), 201, "all were acknowledged, and QUIT: {replies}");
        running.kill();
    }
    let running = serve(folder.path());
    for name in ["note", "lazy"] {
        let keys: Vec<String> =
            (0..300).map(|number| format!("{name}:{}-{}", number / 100, number % 100)).collect();
        let values = running.resp(&format!("MGET {}", keys.join(" ")));
        let found = (0..300).map(|number| {
            format!("{}\r\n{}\r\n", format_args!("${}", (number % 100).to_string().len()), number % 100)
        });
        assert!(values.starts_with(&format!("*300\r\n{}", found.collect::<String>())), "{values}");
    }
}

#[test]
fn a_second_process_on_the_stores_is_told_who_has_them() {
    let folder = declared();
    let running = serve(folder.path());
    let listen = ["--http", "127.0.0.1:0", "--resp", "127.0.0.1:0"];
    let second = run(folder.path(), &[&["serve", "--config", "forebay.toml"], &listen[..]].concat());
    let said = stderr(&second);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("is in use by") && said.contains("stop that process"), "{said}");
    assert_eq!(running.stop().0, Some(0));
}

#[test]
fn a_backup_brings_back_what_the_stores_held() {
    let folder = declared();
    let running = serve(folder.path());
    assert_eq!(running.resp("SET note:1 one"), "+OK\r\n+OK\r\n");
    let refused = |arguments: &[&str], told: &str| {
        let output = run(folder.path(), arguments);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(told) && said.trim_end().lines().count() == 1, "{arguments:?}: {said}");
    };
    assert_eq!(running.stop().0, Some(0));

    let done = |arguments: &[&str]| {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    };
    assert!(done(&["backup", "monday"]).starts_with("monday has "));
    refused(&["backup", "monday"], "not empty");
    refused(&["backup", "tuesday", "--data", "nowhere"], "there are no stores in nowhere");
    assert!(!folder.path().join("nowhere").exists() && !folder.path().join("tuesday").exists());
    refused(&["restore", "monday", "data"], "not empty");

    let running = serve(folder.path());
    assert_eq!(running.resp("SET note:1 two"), "+OK\r\n+OK\r\n");
    assert_eq!(running.stop().0, Some(0));
    std::fs::rename(folder.path().join("data"), folder.path().join("lost")).unwrap();
    assert!(done(&["restore", "monday", "data"]).starts_with("data has "));
    let running = serve(folder.path());
    assert_eq!(running.get("note:1").as_deref(), Some("one"));
    assert_eq!(running.stop().0, Some(0));

    let rows = folder.path().join("monday/rows");
    let mut bytes = std::fs::read(&rows).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&rows, bytes).unwrap();
    refused(&["restore", "monday", "other"], "damaged");
}

//! What was acknowledged outlives the end of the process, however that ends.

use std::path::Path;

use crate::running::{Running, run, stderr};

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

//! `forebay get`, `put`, `del`, `list`, `invalidate` and `why`, of a server that runs, and `completions`.

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::running::{Running, forebay, run, start, stderr, stdout};

const DECLARED: &str = r#"
keyspace = "shop"
[namespace.note]
key = "note:{name}"
mode = "store"
ttl = "30d"
[namespace.memo]
key = "memo:{name}"
mode = "cache"
ttl = "1h"
writes = "cache"
"#;

struct Shop {
    folder: tempfile::TempDir,
    running: Running,
}

impl Shop {
    fn serve(declared: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("forebay.toml"), declared).unwrap();
        let running = start(folder.path(), &["serve", "--config", "forebay.toml"]);
        Self { folder, running }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs the command beside the server, with `input` on its standard input.
    fn ask_with(&self, input: &[u8], arguments: &[&str]) -> Output {
        let address = format!("127.0.0.1:{}", self.running.resp);
        let mut command = forebay(self.path());
        command.args(arguments).args(["--resp", &address]);
        if arguments[0] == "invalidate" {
            command.args(["--http", &format!("127.0.0.1:{}", self.running.http)]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        self.ask_with(b"", arguments)
    }

    /// What it prints, which must have worked.
    fn told(&self, arguments: &[&str]) -> String {
        let output = self.ask(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    }
}

#[test]
fn what_is_put_is_got_byte_by_byte_and_gone_when_it_is_deleted() {
    let shop = Shop::serve(DECLARED);
    let bytes = [b"\0\xff\r\n".as_slice(), &[0x80; 70_000]].concat();
    std::fs::write(shop.path().join("photo"), &bytes).unwrap();
    assert_eq!(shop.told(&["put", "note:1", "hello, world"]), "note:1 has 12 bytes\n");
    assert_eq!(shop.told(&["put", "note:2", "--file", "photo"]), "note:2 has 70004 bytes\n");
    assert_eq!(shop.ask_with(&bytes, &["put", "note:3", "-"]).status.code(), Some(0));
    assert_eq!(shop.told(&["get", "note:1"]), "hello, world");
    for key in ["note:2", "note:3"] {
        assert_eq!(shop.ask(&["get", key]).stdout, bytes, "{key}");
    }
    assert_eq!(shop.told(&["get", "note:1", "--json"]), "{\"key\":\"note:1\",\"value\":\"hello, world\"}\n");
    let json = shop.told(&["get", "note:2", "--json"]);
    assert!(json.starts_with(r#"{"key":"note:2","base64":"AP8NCoCA"#), "{json:.40}");

    assert_eq!(
        shop.told(&["put", "note:4", "-5", "--ttl", "1h30m", "--json"]),
        "{\"key\":\"note:4\",\"bytes\":2}\n"
    );
    let ends: i64 =
        shop.running.resp("TTL note:4").trim_start_matches(':').lines().next().unwrap().parse().unwrap();
    assert!((5_300..=5_400).contains(&ends), "{ends}");

    assert_eq!(shop.told(&["put", "note:5", "--ttl", "1h", "five"]), "note:5 has 4 bytes\n");

    assert_eq!(shop.told(&["del", "note:1", "note:4", "note:none"]), "deleted; 2 of 3 were there\n");
    assert_eq!(shop.told(&["del", "note:2", "--json"]), "{\"held\":1}\n");
    let gone = shop.ask(&["get", "note:1"]);
    assert_eq!((gone.status.code(), gone.stdout.len()), (Some(3), 0));
    assert_eq!(stderr(&gone), "forebay: note:1 does not exist\n");
    let gone = shop.ask(&["get", "note:1", "--json"]);
    assert_eq!(
        (gone.status.code(), stdout(&gone).as_str()),
        (Some(3), "{\"key\":\"note:1\",\"value\":null}\n")
    );
}

#[test]
fn keys_are_listed_once_by_what_they_begin_with() {
    let shop = Shop::serve(DECLARED);
    for name in ["a*b", "axb", "c"] {
        shop.told(&["put", &format!("note:{name}"), "1"]);
    }
    let sorted = |said: String| {
        let mut lines: Vec<String> = said.lines().map(ToOwned::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(shop.told(&["list"])), ["note:a*b", "note:axb", "note:c"]);
    assert_eq!(shop.told(&["list", "note:a*"]), "note:a*b\n", "a star in a prefix is a star");
    assert_eq!(shop.told(&["list", "memo:"]), "");
    assert_eq!(shop.told(&["list", "note:c", "--json"]), "{\"key\":\"note:c\"}\n");
    let some = shop.ask(&["list", "--limit", "2"]);
    assert_eq!((some.status.code(), stdout(&some).lines().count()), (Some(0), 2));
    assert!(stderr(&some).contains("there are more"), "{}", stderr(&some));
    assert_eq!(stderr(&shop.ask(&["list", "--limit", "3"])), "");
}

#[test]
fn copies_are_invalidated_by_key_tag_prefix_and_namespace() {
    let shop = Shop::serve(DECLARED);
    let is_held = |name: &str| shop.ask(&["why", &format!("memo:{name}")]).status.code() == Some(0);
    for name in ["a", "b", "c", "ca", "d"] {
        shop.told(&["put", &format!("memo:{name}"), "1"]);
    }
    assert_eq!(
        shop.told(&["invalidate", "--key", "memo:a", "--key", "memo:x"]),
        "invalidated; 1 of 2 were held\n"
    );
    assert_eq!(shop.told(&["invalidate", "--key", "memo:a", "--json"]), "{\"held\":0}\n");
    assert!(!is_held("a") && is_held("b"));

    assert!(shop.running.resp("FB.TAG memo:b red").starts_with(":1"));
    assert_eq!(shop.told(&["invalidate", "--tag", "red"]), "invalidated\n");
    assert!(!is_held("b") && is_held("c"));
    let prefix = ["invalidate", "--namespace", "memo", "--prefix", "memo:c", "--keyspace", "shop"];
    assert_eq!(shop.told(&prefix), "invalidated\n");
    assert!(!is_held("c") && !is_held("ca") && is_held("d"));
    assert_eq!(shop.told(&["invalidate", "--namespace", "memo", "--json"]), "{\"held\":null}\n");
    assert!(!is_held("d"));

    let refused = shop.ask(&["invalidate", "--namespace", "nothing"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).starts_with("forebay: 404: "), "{}", stderr(&refused));
    let refused = shop.ask(&["invalidate", "--tag", "red", "--db", "9"]);
    assert_eq!((refused.status.code(), stdout(&refused).as_str()), (Some(1), ""));
}

#[test]
fn what_is_held_is_told() {
    let shop = Shop::serve(DECLARED);
    shop.told(&["put", "memo:a", "12345"]);
    let said = shop.told(&["why", "memo:a"]);
    assert!(said.starts_with("namespace      memo\nheld           value\nage_ms         "), "{said}");
    let said = shop.told(&["why", "memo:a", "--json"]);
    assert!(said.starts_with(r#"{"namespace":"memo","held":"value","age_ms":"#), "{said}");
    let nothing = shop.ask(&["why", "memo:b", "--json"]);
    assert_eq!(nothing.status.code(), Some(3));
    assert_eq!(stdout(&nothing), "{\"namespace\":\"memo\",\"held\":\"nothing\"}\n");
}

#[test]
fn a_token_is_shown_over_both_protocols() {
    let folder = tempfile::tempdir().unwrap();
    let made = stdout(&run(folder.path(), &["token", "new", "--name", "operator"]));
    let token = made.split_whitespace().nth(1).unwrap().to_owned();
    let hash = made.lines().find(|line| line.starts_with("hash")).unwrap();
    let shop = Shop::serve(&format!("{DECLARED}[token.operator]\n{hash}\nmay = [\"admin\"]\n"));
    let refused = shop.ask(&["put", "memo:a", "1"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("NOAUTH"), "{}", stderr(&refused));
    let refused = shop.ask(&["invalidate", "--namespace", "memo", "--keyspace", "shop"]);
    assert!(stderr(&refused).starts_with("forebay: 401: "), "{}", stderr(&refused));
    assert_eq!(shop.told(&["put", "memo:a", "1", "--token", &token]), "memo:a has 1 bytes\n");
    assert_eq!(shop.told(&["invalidate", "--namespace", "memo", "--token", &token]), "invalidated\n");
    assert_eq!(shop.ask(&["why", "memo:a", "--token", &token]).status.code(), Some(3));
}

#[test]
fn what_cannot_be_done_ends_with_one_and_wrong_arguments_with_two() {
    let folder = tempfile::tempdir().unwrap();
    let code = |arguments: &[&str]| {
        let output = run(folder.path(), arguments);
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
        output.status.code()
    };
    for arguments in [
        vec!["get", "a", "--resp", "127.0.0.1:1"],
        vec!["put", "a", "--file", "none", "--resp", "127.0.0.1:1"],
        vec!["invalidate", "--tag", "a", "--keyspace", "shop", "--http", "127.0.0.1:1"],
    ] {
        assert_eq!(code(&arguments), Some(1), "{arguments:?}");
    }
    for arguments in [
        vec!["get"],
        vec!["put", "a"],
        vec!["put", "a", "1", "--file", "b"],
        vec!["put", "a", "1", "--ttl", "5"],
        vec!["put", "a", "1", "--ttl", "0s"],
        vec!["del"],
        vec!["invalidate"],
        vec!["invalidate", "--prefix", "a"],
        vec!["invalidate", "--key", "a", "--tag", "b"],
        vec!["invalidate", "--tag", "a", "--namespace", "b"],
    ] {
        assert_eq!(code(&arguments), Some(2), "{arguments:?}");
    }
}

#[test]
fn each_shell_has_its_script() {
    let folder = tempfile::tempdir().unwrap();
    for (shell, begins) in
        [("bash", "_forebay() {"), ("zsh", "#compdef forebay"), ("fish", "complete -c forebay")]
    {
        let output = run(folder.path(), &["completions", shell]);
        let script = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(script.contains(begins) && script.contains("dead-letters"), "{shell}");
    }
    let script = stdout(&run(folder.path(), &["completions", "bash"]));
    std::fs::write(folder.path().join("script"), script).unwrap();
    let read = std::process::Command::new("bash").args(["-n", "script"]).current_dir(folder.path()).status();
    assert!(read.unwrap().success(), "bash cannot read its script");
}

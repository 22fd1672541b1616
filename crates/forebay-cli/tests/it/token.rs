//! Tokens: one is made, declared, and asked for.

use crate::running::{forebay, run, start, stderr, stdout};

#[test]
fn what_token_new_prints_lets_its_bearer_in() {
    let folder = tempfile::tempdir().unwrap();
    let said = stdout(&run(folder.path(), &["token", "new", "--name", "boss"]));
    let (first, lines) = said.split_once('\n').unwrap();
    let token = first.strip_prefix("token  ").unwrap();
    let lines = lines.split_once("[token.boss]").unwrap().1.replace("[\"read\"]", "[\"admin\"]");
    assert!(!lines.contains(token));
    let declaration = format!("keyspace = \"shop\"\n[token.boss]{lines}");
    std::fs::write(folder.path().join("forebay.toml"), declaration).unwrap();

    let running = start(folder.path(), &["serve", "--config", "forebay.toml"]);
    let resp = format!("127.0.0.1:{}", running.resp);
    let ask = |token: Option<&str>| {
        let mut command = forebay(folder.path());
        command.args(["dead-letters", "list", "--resp", &resp]);
        command.envs(token.map(|token| ("FOREBAY_TOKEN", token)));
        command.output().unwrap()
    };
    assert!(stderr(&ask(None)).contains("NOAUTH"), "{}", stderr(&ask(None)));
    assert!(stderr(&ask(Some("wrong"))).contains("WRONGPASS"));
    let answered = ask(Some(token));
    assert!(answered.status.success(), "{}", stderr(&answered));
    let bad = run(folder.path(), &["token", "new", "--name", "a b"]);
    assert!(stderr(&bad).contains("a token's name has"), "{}", stderr(&bad));
}

#[test]
fn nobody_else_is_let_in_without_tokens() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("forebay.toml"), "keyspace = \"shop\"\n").unwrap();
    for listener in ["--http", "--resp"] {
        let output = run(folder.path(), &["serve", "--config", "forebay.toml", listener, "0.0.0.0:0"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("no tokens are declared"), "{}", stderr(&output));
    }
}

/// It is shown once: where it could not be, whoever asked must not take it for made.
#[test]
fn a_token_that_cannot_be_printed_is_told_as_lost() {
    let folder = tempfile::tempdir().unwrap();
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = forebay(folder.path()).args(["token", "new"]).stdout(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("not all could be printed"), "{}", stderr(&output));
    // Nor is anything else lost where there is nobody to tell.
    let output =
        forebay(folder.path()).args(["token", "new"]).stdout(full()).stderr(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    // Who reads no more has read enough.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = forebay(folder.path()).args(["token", "new"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}

#[test]
fn a_token_of_another_keyspace_begins_in_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let said = stdout(&run(folder.path(), &["token", "new", "--name", "preview"]));
    let (first, lines) = said.split_once('\n').unwrap();
    let token = first.strip_prefix("token  ").unwrap();
    let lines = lines.split_once("[token.preview]").unwrap().1.replace("[\"read\"]", "[\"read\", \"write\"]");
    let declaration = format!(
        "keyspace = \"shop\"\n[namespace.memo]\nkey = \"memo:{{name}}\"\nmode = \"cache\"\nttl = \"1h\"\ntags = [\"all\"]\n\
         [environment.preview]\ndb = 3\n[token.preview]{lines}keyspace = \"shop-preview\"\n"
    );
    std::fs::write(folder.path().join("forebay.toml"), declaration).unwrap();
    let running = start(folder.path(), &["serve", "--config", "forebay.toml"]);
    let (resp, http) = (format!("127.0.0.1:{}", running.resp), format!("127.0.0.1:{}", running.http));
    let ask = |words: &[&str]| {
        let output = forebay(folder.path())
            .args(words)
            .args(["--resp", &resp])
            .env("FOREBAY_TOKEN", token)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", stderr(&output));
        stdout(&output)
    };
    ask(&["put", "memo:a", "one"]);
    assert_eq!(ask(&["get", "memo:a", "--db", "3"]), "one");
    ask(&["bench", "--key", "memo:a", "--seconds", "1", "--clients", "1"]);
    assert_eq!(
        ask(&["invalidate", "--tag", "all", "--keyspace", "shop-preview", "--http", &http]),
        "invalidated\n"
    );
    let mut other = forebay(folder.path());
    other.args(["get", "memo:a", "--resp", &resp, "--db", "0"]).env("FOREBAY_TOKEN", token);
    assert_eq!(other.output().unwrap().status.code(), Some(1));
    assert_eq!(running.stop().0, Some(0));
}

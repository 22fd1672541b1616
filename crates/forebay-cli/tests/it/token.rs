//! Tokens: one is made, declared, and asked for.

use crate::running::{Running, forebay, run, stderr, stdout};

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

    let running = Running::start(folder.path(), &["serve", "--config", "forebay.toml"]);
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

//! Secrets: a key is made, a secret encrypted, a declaration opened with it, and nothing is ever shown.

use std::io::Write as _;
use std::process::Stdio;

use crate::running::{forebay, run, stderr, stdout};

const SECRET: &str = "sqlite:hidden-place.db";

#[test]
fn what_is_encrypted_here_is_opened_there() {
    let folder = tempfile::tempdir().unwrap();
    let key = stdout(&run(folder.path(), &["secret", "key"])).trim().to_owned();
    let mut child = forebay(folder.path())
        .args(["secret", "encrypt"])
        .env("FOREBAY_SECRET_KEY", &key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("{SECRET}\n").as_bytes()).unwrap();
    let encrypted = stdout(&child.wait_with_output().unwrap()).trim().to_owned();
    assert!(encrypted.starts_with("${enc:"), "{encrypted}");

    let declaration = format!(
        "keyspace = \"shop\"\n[database.main]\nurl = \"{encrypted}\"\n[namespace.a]\nkey = \"a:{{x}}\"\nttl = \"3s\"\n\
         source.sql = {{ database = \"main\", query = \"select x from t where x in {{keys}}\" }}\n"
    );
    std::fs::write(folder.path().join("forebay.toml"), declaration).unwrap();
    let output =
        forebay(folder.path()).args(["explain", "a"]).env("FOREBAY_SECRET_KEY", &key).output().unwrap();
    let said = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(said.contains("***") && !said.contains("hidden-place"), "{said}");

    let without = run(folder.path(), &["check"]);
    assert_eq!(without.status.code(), Some(1));
    assert!(stderr(&without).contains("FOREBAY_SECRET_KEY"), "{}", stderr(&without));
}

#[test]
fn without_a_key_it_says_how_to_make_one() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["secret", "encrypt"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("forebay secret key"), "{}", stderr(&output));
}

#[test]
fn a_secret_that_is_too_long_is_refused_and_not_cut() {
    let folder = tempfile::tempdir().unwrap();
    let key = stdout(&run(folder.path(), &["secret", "key"])).trim().to_owned();
    for (bytes, code) in [(64 * 1024, 0), (64 * 1024 + 1, 1)] {
        std::fs::write(folder.path().join("secret"), "x".repeat(bytes)).unwrap();
        let mut command = forebay(folder.path());
        command.args(["secret", "encrypt"]).env("FOREBAY_SECRET_KEY", &key);
        let output =
            command.stdin(std::fs::File::open(folder.path().join("secret")).unwrap()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert_eq!(stdout(&output).is_empty(), code == 1);
        assert_eq!(stderr(&output).contains("has more than 65536 bytes"), code == 1, "{}", stderr(&output));
    }
}

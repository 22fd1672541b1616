//! `forebay check` and `forebay explain`.

use crate::running::{forebay, run, stderr, stdout};

const GOOD: &str = "keyspace = \"shop\"\n[namespace.a]\nkey = \"a:{x}\"\nmode = \"cache\"\nttl = \"3s\"\n";

#[test]
fn a_good_declaration_is_told_and_nothing_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("forebay.toml"), GOOD).unwrap();
    let output = run(folder.path(), &["check"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "ok: keyspace shop (db 0): a\n");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "check left something behind");
}

#[test]
fn a_bad_one_is_pointed_at() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.toml"), GOOD.replace("ttl =", "tll =")).unwrap();
    let output = run(folder.path(), &["check", "bad.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("bad.toml:5:1") && said.contains("`tll`") && said.contains("`ttl`"), "{said}");
}

#[test]
fn files_are_checked_together() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("one.toml"), GOOD).unwrap();
    std::fs::write(folder.path().join("two.toml"), GOOD).unwrap();
    let output = run(folder.path(), &["check", "one.toml", "two.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("two.toml"), "{}", stderr(&output));
}

#[test]
fn what_is_not_served_is_told_apart_from_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("forebay.toml"), format!("{GOOD}exists = \"held\"\n")).unwrap();
    let output = run(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains("not served by this version") && said.contains("the declaration is right"),
        "{said}"
    );
}

#[test]
fn every_app_can_be_explained() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["explain", "--app", "stocks", "STOCK_CACHE"]);
    let said = stdout(&output);
    assert!(output.status.success() && said.contains("stock:{code}") && said.contains("quotes"), "{said}");
    let output = run(folder.path(), &["explain", "--app", "stocks", "STOCKS"]);
    assert!(stderr(&output).contains("STOCK_CACHE"), "the namespaces there are, are not named");
    let output = run(folder.path(), &["explain", "--app", "orders", "nothing"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_reader_who_has_gone_away_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = forebay(folder.path())
        .args(["explain", "--app", "stocks", "STOCK_CACHE"])
        .stdout(writer)
        .stderr(std::process::Stdio::piped())
        .output()
        .unwrap();
    assert!(output.status.success() && stderr(&output).is_empty(), "{}", stderr(&output));
}

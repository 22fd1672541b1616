//! Licences, bans and origins are judged as `deny.toml` says.

use xtask::deny::{Graph, Policy, Verdict, judge};

const POLICY: &str = r#"
[graph]
targets = ["x86_64-unknown-linux-gnu"]
[licenses]
allow = ["MIT", "Apache-2.0"]
exceptions = [{ crate = "tables", allow = ["Unicode-3.0"] }]
[bans]
deny = [{ crate = "openssl-sys", reason = "use rustls" }]
[sources]
unknown-registry = "deny"
unknown-git = "deny"
"#;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// A crate as `name version licence source`, where `-` is none; the first depends on all others.
fn verdict(crates: &[&str]) -> Verdict {
    let mut packages = Vec::new();
    let mut nodes = Vec::new();
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for (at, line) in crates.iter().enumerate() {
        let [name, version, license, source] = words(line).try_into().unwrap();
        let some = |word: &str| (word != "-").then(|| word.replace('_', " ").replace("REGISTRY", REGISTRY));
        let id = format!("{name}@{version}");
        packages.push(serde_json::json!({
            "name": name, "version": version, "id": id, "license": some(&license), "source": some(&source),
        }));
        let others = crates.iter().filter(|_| at == 0).skip(1).map(|line| words(line)[..2].join("@"));
        nodes.push(serde_json::json!({ "id": id, "dependencies": others.collect::<Vec<_>>() }));
    }
    let text = serde_json::json!({ "packages": packages, "resolve": { "nodes": nodes } }).to_string();
    let mut verdict = Verdict::default();
    judge(&Policy::parse(POLICY).unwrap(), &Graph::parse(&text).unwrap(), &mut verdict);
    verdict
}

#[test]
fn allowed_crates_pass() {
    let verdict = verdict(&["ours 0.1.0 MIT_OR_Apache-2.0 -", "theirs 1.0.0 GPL-3.0/MIT REGISTRY"]);
    assert!(verdict.denied.is_empty() && verdict.notes.is_empty(), "{verdict:?}");
}

#[test]
fn licences_are_judged_crate_by_crate() {
    let verdict = verdict(&[
        "ours 0.1.0 MIT -",
        "copyleft 1.0.0 GPL-3.0 REGISTRY",
        "tables 1.0.0 MIT_AND_Unicode-3.0 REGISTRY",
        "other 1.0.0 MIT_AND_Unicode-3.0 REGISTRY",
        "silent 1.0.0 - REGISTRY",
    ]);
    let denied: Vec<&str> = verdict.denied.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(denied, ["copyleft", "other", "silent"]);
}

#[test]
fn a_banned_crate_is_told_with_its_reason_and_who_pulls_it_in() {
    let verdict = verdict(&["ours 0.1.0 MIT -", "openssl-sys 0.9.0 MIT REGISTRY"]);
    assert_eq!(verdict.denied, ["openssl-sys 0.9.0: banned: use rustls (pulled in by ours)"]);
}

#[test]
fn only_the_crate_registry_is_an_origin() {
    let verdict = verdict(&["ours 0.1.0 MIT -", "fork 1.0.0 MIT git+https://example.org/fork"]);
    assert_eq!(verdict.denied.len(), 1);
    assert!(verdict.denied[0].contains("git+https://example.org/fork"));
}

#[test]
fn a_crate_in_two_versions_is_noted_and_not_denied() {
    let verdict = verdict(&["ours 0.1.0 MIT -", "rand 0.8.0 MIT REGISTRY", "rand 0.9.0 MIT REGISTRY"]);
    assert!(verdict.denied.is_empty());
    assert_eq!(verdict.notes, ["rand is built 2 times: 0.8.0 (by ours), 0.9.0 (by ours)"]);
}

#[test]
fn a_policy_that_cannot_be_judged_here_is_an_error() {
    for (from, to, complaint) in [
        ("openssl-sys", "openssl-sys@0.9", "bans a version"),
        (r#"unknown-git = "deny""#, r#"unknown-git = "warn""#, "lets more in"),
        (r#"["x86_64-unknown-linux-gnu"]"#, "[]", "no targets"),
        ("[licenses]", "[licences]", "missing field"),
    ] {
        let error = Policy::parse(&POLICY.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(complaint), "{error}");
    }
}

//! This very checkout keeps its own rules.

use xtask::{cargo, deny, tidy};

#[test]
fn the_checkout_is_tidy() {
    let findings = tidy::check_checkout(&cargo::root()).unwrap();
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

#[test]
fn every_dependency_is_allowed() {
    let verdict = deny::check(&cargo::root()).unwrap();
    assert!(verdict.denied.is_empty(), "{}", verdict.denied.join("\n"));
}

//! `server`: what it says where it cannot run, and what a hit is made of.

use crate::{bench, lines};

#[test]
fn a_program_that_is_not_named_is_asked_for() {
    let output = bench(&["http", "--quick"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--wrk") && said.contains("cargo xtask bench"), "{said}");
}

#[test]
fn every_layer_of_a_hit_is_told() {
    let printed = lines(&["layers", "--quick"]);
    let layers: Vec<&str> = printed
        .iter()
        .filter_map(|line| line.strip_prefix("layer=")?.split_once(' ').map(|(name, _)| name))
        .collect();
    assert_eq!(layers, ["decode", "command", "key", "memory", "reply", "all"]);
}

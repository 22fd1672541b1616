//! The command line.

use crate::{bench, lines};

#[test]
fn the_list_gives_name_measure_and_goal_of_each() {
    let listed = lines(&["--list"]);
    let columns: Vec<Vec<&str>> = listed.iter().map(|line| line.split("  ").collect()).collect();
    assert!(columns.iter().all(|columns| columns.len() == 3), "{listed:?}");
    assert!(columns.iter().flatten().all(|column| !column.is_empty()), "{listed:?}");
    let names: Vec<&str> = columns.iter().map(|columns| columns[0]).collect();
    assert_eq!(
        names,
        [
            "hit",
            "mixed",
            "ratio",
            "herd",
            "cold",
            "memory",
            "breaker",
            "observe",
            "batch",
            "behind",
            "restart",
            "faults",
            "resp",
            "latency",
            "resident",
            "slow",
            "http",
            "layers",
            "app-orders",
            "app-quotes",
            "race",
            "engine",
            "stores",
            "apps",
            "server"
        ]
    );
}

#[test]
fn an_unknown_name_is_told_the_known_ones() {
    let output = bench(&["hut"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    for word in ["hut", "hit", "race"] {
        assert!(said.contains(word), "{word} is missing: {said}");
    }
}

#[test]
fn without_a_name_the_help_is_shown() {
    let output = bench(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("Examples:"));
}

#[test]
fn the_help_shows_examples_and_the_lines() {
    let help = lines(&["--help"]).join("\n");
    for part in [
        "Examples:",
        "bench=NAME ours=V peer=PEER theirs=V unit=U ratio=R goal=G ok|short",
        "bench=ratio-worst row=TRACE@SIZE ours=V peer=PEER theirs=V unit=% below=D goal=G ok|short",
        "race peer=NAME kept_stale=yes|no",
    ] {
        assert!(help.contains(part), "{part} is missing: {help}");
    }
}

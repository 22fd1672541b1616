//! The page of outcomes says what the code counts and calls things, and every word of it.

use forebay::observe::{Counters, Freshness, ReadFailure, Tier, Why, WriteOutcome};

const PAGE: &str = include_str!("../../../../docs/features/observe.md");

/// Whether a line of the page is a table's row of these two cells.
fn has_row(first: &str, second: &str) -> bool {
    PAGE.lines().any(|line| line == format!("| `{first}` | {second} |"))
}

#[test]
fn the_page_lists_every_counter_with_its_meaning() {
    let missing: Vec<String> = Counters::default()
        .counts()
        .each()
        .map(|one| (one.name, one.meaning.trim_end_matches('.')))
        .filter(|(name, meaning)| !has_row(name, meaning))
        .map(|(name, meaning)| format!("| `{name}` | {meaning} |"))
        .collect();
    assert!(missing.is_empty(), "docs/features/observe.md lacks:\n{}", missing.join("\n"));
}

#[test]
fn the_page_lists_every_word() {
    let words = Tier::ALL.iter().map(|one| one.as_str());
    let words = words.chain(Why::ALL.iter().map(|one| one.as_str()));
    let words = words.chain(ReadFailure::ALL.iter().map(|one| one.as_str()));
    let words = words.chain(WriteOutcome::ALL.iter().map(|one| one.as_str()));
    let freshnesses = [Freshness::Fresh, Freshness::Stale(Why::Revalidating), Freshness::Absent];
    for word in words.chain(freshnesses.map(Freshness::as_str)) {
        assert!(PAGE.contains(&format!("`{word}`")), "docs/features/observe.md lacks the word `{word}`");
    }
}

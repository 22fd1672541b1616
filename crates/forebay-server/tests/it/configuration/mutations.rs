use std::fs;

use proptest::prelude::*;

use super::{folder, parse};

/// Splits a text into words and what stands between them.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut last = None;
    for (at, each) in text.char_indices() {
        let class = if each.is_alphanumeric() || each == '_' { 0 } else { 1 + at };
        if last.is_some_and(|last| last != class) {
            pieces.push(&text[start..at]);
            start = at;
        }
        last = Some(class);
    }
    pieces.push(&text[start..]);
    pieces
}

const WORDS: [&str; 24] = [
    "\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    "=",
    "\n",
    "${",
    "${PASSWORD}",
    "${file:/x}",
    "${enc:AAAA}",
    "$",
    "{keys}",
    "({keys})",
    "999999999999999999999",
    "0",
    "-1",
    "é",
    "\u{0}",
    "\\u00e9",
    "\"\"\"",
    "true",
    "1979-05-27",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_declaration_gives_a_report_and_no_panic(
        full in any::<bool>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..4, any::<prop::sample::Index>()), 1..4),
    ) {
        let file = if full { "full.toml" } else { "good.toml" };
        let original = fs::read_to_string(folder().join(file)).unwrap();
        let mut parts: Vec<&str> = pieces(&original);
        for (at, edit, other) in edits {
            let at = at.index(parts.len());
            match edit {
                0 => { parts.remove(at); }
                1 => parts.insert(at, parts[at]),
                2 => parts[at] = WORDS[other.index(WORDS.len())],
                _ => parts[at] = parts[other.index(parts.len())],
            }
        }
        let text = parts.concat();
        if let Err(report) = parse(&text) {
            prop_assert!(!report.errors().is_empty());
            for error in report.errors() {
                let span = error.span();
                prop_assert!(text.get(span.clone()).is_some(), "{:?} of {}: {}", span, text.len(), error.message());
            }
            let shown = report.to_string();
            prop_assert!(!shown.contains(super::SECRET), "{}", shown);
        }
    }
}

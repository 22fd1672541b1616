//! Tests can fail: none drops the answer of `matches!`, and each one asserts something.

use std::collections::BTreeSet;

use super::Finding;
use super::rust::{Function, Kind, Source};
use super::tree::{RustFile, View};

/// Words and beginnings of words that show an assertion, in code or in what a test calls.
const ASSERTIONS: &[&str] = &["assert", "prop_assert", "panic", "expect", "unwrap_err", "check"];

/// Dropped `matches!` anywhere, and tests that assert nothing.
#[must_use]
pub(super) fn check(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &view.rust {
        findings.extend(dropped_matches(file));
    }
    let mut folders: Vec<&str> = view.rust.iter().map(|file| crate_folder(file.path)).collect();
    folders.dedup();
    for folder in folders {
        let files = view.rust.iter().filter(|file| crate_folder(file.path) == folder);
        let functions: Vec<(&RustFile<'_>, Function<'_>)> = files
            .flat_map(|file| file.source.functions().into_iter().map(move |function| (file, function)))
            .collect();
        let asserting = asserting_names(&functions);
        for (file, test) in functions.iter().filter(|(_, function)| is_test(function)) {
            if !test.attributes.iter().any(|a| a.starts_with("should_panic"))
                && !asserts(&file.source, test, &asserting)
            {
                let what = format!("{}() asserts nothing", test.name);
                let mend = "assert what it is there to prove, and see it fail once";
                findings.push(Finding::new(file.path, test.line, "test-asserts", what, mend));
            }
        }
    }
    findings
}

fn dropped_matches(file: &RustFile<'_>) -> Vec<Finding> {
    let source = &file.source;
    let begins = |at: usize| at == 0 || matches!(source.text(at - 1), "{" | "}" | ";");
    let is_call = |at: &usize| source.reads(*at, &["matches", "!", "("]) && begins(*at);
    let dropped =
        (0..source.pieces.len()).filter(is_call).filter(|at| source.text(source.close(at + 2) + 1) == ";");
    let mend = "wrap it in `assert!`";
    dropped
        .map(|at| {
            Finding::new(
                file.path,
                source.line(at),
                "dropped-matches",
                "the answer of matches! is dropped",
                mend,
            )
        })
        .collect()
}

fn is_test(function: &Function<'_>) -> bool {
    let path = |attribute: &String| attribute.split('(').next().unwrap_or("").to_owned();
    function.attributes.iter().map(path).any(|path| path == "test" || path.ends_with("::test"))
}

/// The names of functions that assert, themselves or through others of the crate.
fn asserting_names<'a>(functions: &[(&RustFile<'a>, Function<'a>)]) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    loop {
        let before = names.len();
        for (file, function) in functions.iter().filter(|(_, function)| !is_test(function)) {
            if asserts(&file.source, function, &names) {
                names.insert(function.name);
            }
        }
        if names.len() == before {
            return names;
        }
    }
}

fn asserts(source: &Source<'_>, function: &Function<'_>, asserting: &BTreeSet<&str>) -> bool {
    function.body.clone().any(|at| {
        let is_word = source.pieces.get(at).is_some_and(|piece| piece.kind == Kind::Word);
        let word = source.text(at);
        let called = matches!(source.text(at + 1), "(" | "!" | ":");
        is_word
            && called
            && (ASSERTIONS.iter().any(|begin| word.starts_with(begin)) || asserting.contains(word))
    })
}

fn crate_folder(path: &str) -> &str {
    ["/src/", "/tests/", "/benches/", "/examples/"]
        .iter()
        .find_map(|part| path.find(part).and_then(|at| path.get(..at)))
        .unwrap_or(path)
}

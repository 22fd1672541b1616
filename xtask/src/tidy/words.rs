//! One word in every place that exists: the folder in the code, the page in the docs, the prefix of a metric.

use std::collections::BTreeSet;

use super::Finding;
use super::rooms::{self, ENGINE};
use super::rust::Kind;
use super::tree::View;

const PAGES: &str = "docs/features/";
const RULE: &str = "one-word";

/// Rooms that are no feature of the product, and why they need no page.
const WITHOUT_A_PAGE: &[(&str, &str)] = &[
    ("error", "errors are told by the feature that gives them"),
    ("rt", "the door to the runtime is for those who change the code"),
    ("engine", "the order of the parts is told by ARCHITECTURE.md"),
];

/// Words of the product whose code is not a room of the engine, with where it is.
const ELSEWHERE: &[(&str, &[&str])] = &[
    ("access", &["crates/forebay-server/src/access", "crates/forebay-server/src/access.rs"]),
    ("admin", &["crates/forebay-server/src/admin"]),
    ("configuration", &["crates/forebay-server/src/configuration"]),
    ("feed", &["crates/forebay-stores/src/feed"]),
    ("gateway", &["crates/forebay-server/src/gateway"]),
    ("http", &["crates/forebay-server/src/http", "crates/forebay-server/src/http.rs"]),
    ("jobs", &["crates/forebay-server/src/jobs"]),
    ("kv", &["crates/forebay-server/src/kv", "crates/forebay-wire/src/kv"]),
    ("resp", &["crates/forebay-server/src/resp", "crates/forebay-server/src/resp.rs"]),
    ("rooms", &["crates/forebay-server/src/rooms"]),
];

/// Second words of metrics that are not features: what the process is made of.
const METRIC_WORDS: &[&str] =
    &["build", "database", "disk", "engine", "memory", "process", "read", "shared", "value"];

/// Folders, pages and metrics agree on their words.
#[must_use]
pub(super) fn check(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut words: BTreeSet<&str> = BTreeSet::new();
    let rooms =
        rooms::existing(view).filter(|(room, _)| !WITHOUT_A_PAGE.iter().any(|(word, _)| word == room));
    let others = ELSEWHERE.iter().filter_map(|(word, places)| {
        let place = places.iter().find(|place| view.tree.exists(place))?;
        Some((*word, *place))
    });
    for (word, place) in rooms.chain(others) {
        let page = format!("{PAGES}{word}.md");
        if words.insert(word) && !view.tree.exists(&page) {
            let what = format!("{word} has code and no page {page}");
            findings.push(Finding::new(place, 1, RULE, what, "write the page, with an example that runs"));
        }
    }
    for page in view.tree.paths().filter(|path| path.ends_with(".md")) {
        let Some(word) = page.strip_prefix(PAGES).map(|name| name.trim_end_matches(".md")) else { continue };
        if word != "README" && !words.contains(word) {
            let what =
                format!("`{word}` names no code: a room in {ENGINE} or an entry in xtask/src/tidy/words.rs");
            findings.push(Finding::new(page, 1, RULE, what, "give the page the word of its code"));
        }
    }
    findings.extend(metrics(view, &words));
    findings
}

/// Metrics carry the word of their feature: `forebay_loader_seconds`.
fn metrics(view: &View<'_>, words: &BTreeSet<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in
        view.rust.iter().filter(|file| file.path.starts_with("crates/") && file.path.contains("/src/"))
    {
        for piece in file.source.pieces.iter().filter(|piece| piece.kind == Kind::Literal) {
            let text = piece.text.trim_matches('"');
            let is_name = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            let Some(name) = text.strip_prefix("forebay_").filter(|_| is_name) else { continue };
            let known = |word: &&str| name.strip_prefix(*word).is_some_and(|rest| rest.starts_with('_'));
            let is_metric = name.contains('_') && !name.starts_with("app_");
            if is_metric && !words.iter().chain(METRIC_WORDS).any(known) {
                let what = format!("metric {text} carries no word of the product");
                let mend = "begin it with `forebay_` and the word of its feature";
                findings.push(Finding::new(file.path, piece.line, RULE, what, mend));
            }
        }
    }
    findings
}

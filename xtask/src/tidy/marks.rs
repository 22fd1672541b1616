//! Marks of unfinished work do not stay.
//!
//! In Rust, macros count as code and words as comments or strings; in pages, code spans may name what they forbid. The
//! tables are put together with `concat!`, so that they do not find themselves.

use super::Finding;
use super::markdown::Page;
use super::rust::{Kind, Source};
use super::tree::View;

/// Macros that stand for work not done, by their names.
const MACROS: &[&str] = &["todo", "unimplemented", "dbg"];

/// Words, as they are written.
const WORDS: &[&str] = &[concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK"), concat!("TO", "DO")];

/// Phrases, in lower case.
const PHRASES: &[&str] = &[concat!("for", " now"), concat!("not yet", " implemented")];

const MEND: &str = "finish it, or say what is true today";

/// Marks in Rust, pages and manifests.
#[must_use]
pub(super) fn check(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &view.rust {
        findings.extend(in_code(file.path, &file.source));
        let literals = file.source.pieces.iter().filter(|piece| piece.kind == Kind::Literal);
        for piece in file.source.comments.iter().chain(literals) {
            let lines = piece.text.lines().enumerate().map(|(at, line)| (piece.line + at, line));
            findings.extend(lines.filter_map(|(number, line)| in_words(file.path, number, line)));
        }
    }
    for (path, text) in view.tree.texts(".md") {
        let page = Page::new(text);
        findings.extend(page.prose.iter().filter_map(|(number, line)| in_words(path, *number, line)));
    }
    for (path, text) in view.tree.texts(".toml") {
        let lines = text.lines().enumerate();
        findings.extend(lines.filter_map(|(at, line)| in_words(path, at + 1, line)));
    }
    findings
}

fn in_code(path: &str, source: &Source<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for at in 0..source.pieces.len() {
        let name = source.text(at);
        let is_macro = MACROS.contains(&name) && source.text(at + 1) == "!";
        // `if !dbg != …` is no macro call: those open a bracket.
        if is_macro && matches!(source.text(at + 2), "(" | "[" | "{") {
            let what = format!("`{name}!` marks unfinished work");
            findings.push(Finding::new(path, source.line(at), "unfinished", what, MEND));
        }
        if source.reads(at, &["#", "[", "ignore"]) {
            let what = "an ignored test proves nothing";
            findings.push(Finding::new(
                path,
                source.line(at),
                "unfinished",
                what,
                "let it run, or delete it",
            ));
        }
    }
    findings
}

fn in_words(path: &str, line: usize, text: &str) -> Option<Finding> {
    let stands_alone = |word: &&&str| contains_word(text, word);
    let lower = text.to_lowercase();
    let phrase = PHRASES.iter().find(|phrase| contains_word(&lower, phrase));
    let mark = WORDS.iter().find(stands_alone).or(phrase)?;
    Some(Finding::new(path, line, "unfinished", format!("`{mark}` marks unfinished work"), MEND))
}

/// Whether `word` stands in `text` with no letter, digit or `_` on either side.
fn contains_word(text: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).unwrap_or("");
        let after = text.get(at + word.len()..).unwrap_or("");
        !before.ends_with(joins) && !after.starts_with(joins)
    })
}

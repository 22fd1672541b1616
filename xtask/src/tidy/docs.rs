//! Documentation that cannot rot unseen: links point at something, and code in it is run.

use std::collections::BTreeSet;

use super::Finding;
use super::markdown::{Fence, Page};
use super::rust::Kind;
use super::tree::{RustFile, View, folder, resolve};

/// The test that reads the `toml` and runs the `console` blocks of the pages.
const RUNNER: &str = "crates/forebay-cli/tests/it/docs.rs";

/// The pages whose `js` blocks a script runs, and the script.
const JAVASCRIPT: &[(&str, &str)] =
    &[("clients/js/README.md", "crates/forebay-server/tests/clients/forebay_readme.mjs")];

/// Words that rustdoc knows beside `rust`, under which it still compiles the block.
const COMPILED: &[&str] = &["rust", "no_run", "compile_fail", "should_panic", "edition2024"];

/// Relative links of every page lead to a file, and to a heading where they name one.
#[must_use]
pub(super) fn links(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in view.tree.texts(".md") {
        let page = Page::new(text);
        for link in page.links() {
            let (file, anchor) = link.target.split_once('#').unwrap_or((&link.target, ""));
            if has_scheme(file) {
                continue;
            }
            let mut report = |what: String, mend: &str| {
                findings.push(Finding::new(path, link.line, "link", what, mend));
            };
            let target = if file.is_empty() { Some(path.to_owned()) } else { resolve(folder(path), file) };
            let Some(target) = target.filter(|_| !file.starts_with('/')) else {
                report(format!("`{file}` does not lie in this tree"), "link to it relative to this page");
                continue;
            };
            if !view.tree.exists(&target) {
                report(format!("`{file}` leads to no file"), "point it at what exists, or take it out");
                continue;
            }
            let headings = view.tree.text(&target).filter(|_| target.ends_with(".md"));
            if !anchor.is_empty() && headings.is_some_and(|text| !Page::new(text).anchors.contains(anchor)) {
                report(format!("`#{anchor}` is no heading of {target}"), "use the heading's anchor");
            }
        }
    }
    findings
}

/// Code in pages and in documentation comments is in a language that some test runs, or is plain text.
#[must_use]
pub(super) fn code(view: &View<'_>) -> Vec<Finding> {
    let included = included_pages(view);
    let mut findings = Vec::new();
    for (path, text) in view.tree.texts(".md") {
        let page = Page::new(text);
        for fence in &page.fences {
            let in_test = included.contains(path);
            findings.extend(in_page(view, path, fence, in_test));
        }
    }
    for file in &view.rust {
        for fence in doc_fences(file) {
            findings.extend(in_comment(file, &fence));
        }
    }
    findings
}

fn in_page(view: &View<'_>, path: &str, fence: &Fence, included: bool) -> Option<Finding> {
    let finding = |what: String, mend: &str| Some(Finding::new(path, fence.line, "doc-code", what, mend));
    match fence.info.as_str() {
        "text" | "json" => None,
        "toml" | "console" if view.tree.exists(RUNNER) => None,
        "js" if JAVASCRIPT.iter().any(|(page, script)| *page == path && view.tree.exists(script)) => None,
        "toml" | "console" => finding(
            format!("no test runs `{}` blocks", fence.info),
            &format!("add {RUNNER}, which runs them"),
        ),
        "" => finding(
            "the block names no language".to_owned(),
            "say `rust`, `toml`, `console`, `json` or `text`",
        ),
        info if is_compiled(info) && included => None,
        info if is_compiled(info) => {
            finding("no test compiles this block".to_owned(), "`include_str!` the page in docs/lib.rs")
        }
        info => {
            finding(format!("`{info}` is run by nothing"), "use `rust`, `toml`, `console`, `json` or `text`")
        }
    }
}

fn in_comment(file: &RustFile<'_>, fence: &Fence) -> Option<Finding> {
    let plain = matches!(fence.info.as_str(), "text" | "json" | "toml" | "console");
    let (what, mend) = if plain {
        return None;
    } else if !fence.info.is_empty() && !is_compiled(&fence.info) {
        (
            format!("`{}` is run by nothing", fence.info),
            "let it run, or mark it `text`; `no_run` still compiles",
        )
    } else if file.path.contains("tests/") || file.path.ends_with("src/main.rs") {
        ("rustdoc never sees this block".to_owned(), "move it into a library, or mark it `text`")
    } else {
        return None;
    };
    Some(Finding::new(file.path, fence.line, "doc-code", what, mend))
}

fn is_compiled(info: &str) -> bool {
    info.split(',').all(|word| COMPILED.contains(&word.trim()))
}

/// The fences of the documentation comments of `file`; two comments of one kind on neighbouring lines are one text.
fn doc_fences(file: &RustFile<'_>) -> Vec<Fence> {
    let mut fences = Vec::new();
    let mut block: Vec<(usize, &str)> = Vec::new();
    let lines = file.source.comments.iter().filter_map(|comment| {
        let text = ["//!", "///"].iter().find_map(|opening| comment.text.strip_prefix(opening))?;
        Some((comment.line, text))
    });
    for (number, text) in lines {
        if block.last().is_some_and(|(last, _)| last + 1 != number) {
            fences.append(&mut Page::of_lines(block.drain(..)).fences);
        }
        block.push((number, text));
    }
    fences.append(&mut Page::of_lines(block.into_iter()).fences);
    fences
}

/// The pages that some Rust file includes as documentation, and that doc-tests therefore run.
fn included_pages(view: &View<'_>) -> BTreeSet<String> {
    let mut pages = BTreeSet::new();
    for file in &view.rust {
        for at in 0..file.source.pieces.len() {
            let literal = file.source.pieces.get(at + 3).filter(|piece| piece.kind == Kind::Literal);
            if let Some(literal) = literal.filter(|_| file.source.reads(at, &["include_str", "!", "("])) {
                pages.extend(resolve(folder(file.path), literal.text.trim_matches('"')));
            }
        }
    }
    pages
}

fn has_scheme(target: &str) -> bool {
    target.split_once(':').is_some_and(|(scheme, _)| scheme.chars().all(|c| c.is_ascii_alphanumeric()))
}

//! Files to 600 lines without their tests, functions to 70; over that by name in a list that only shrinks.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::{RustFile, View};

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;
const ALLOWED: &str = "xtask/tidy-allow.toml";
const RULE: &str = "length";

#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Allowed {
    #[serde(default)]
    file: Vec<AllowedFile>,
    #[serde(default)]
    function: Vec<AllowedFunction>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct AllowedFile {
    path: String,
    lines: usize,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct AllowedFunction {
    path: String,
    name: String,
    lines: usize,
}

/// Lengths, and the list of what may be longer.
#[must_use]
pub(super) fn check(view: &View<'_>) -> Vec<Finding> {
    let text = view.tree.text(ALLOWED).unwrap_or("");
    let allowed: Allowed = match toml::from_str(text) {
        Ok(allowed) => allowed,
        Err(error) => {
            let what = format!("it cannot be read: {}", error.message());
            return vec![Finding::new(
                ALLOWED,
                1,
                RULE,
                what,
                "write [[file]] and [[function]] tables as its head says",
            )];
        }
    };
    let mut list = List { allowed: &allowed, text, met: BTreeSet::new(), findings: Vec::new() };
    for file in &view.rust {
        check_file(file, &mut list);
    }
    list.report_entries_without_a_cause();
    list.findings
}

fn check_file(file: &RustFile<'_>, list: &mut List<'_>) {
    if !file.path.contains("tests/") {
        let lines = lines_without_tests(file);
        let entry = list.allowed.file.iter().find(|entry| entry.path == file.path).map(|entry| entry.lines);
        list.judge(&Measured { path: file.path, name: None, line: 1, lines, limit: FILE_LINES }, entry);
    }
    for function in file.source.functions() {
        let is_entry = |entry: &&AllowedFunction| entry.path == file.path && entry.name == function.name;
        let entry = list.allowed.function.iter().find(is_entry).map(|entry| entry.lines);
        let lines = function.end_line + 1 - function.line;
        let limit = FUNCTION_LINES;
        list.judge(
            &Measured { path: file.path, name: Some(function.name), line: function.line, lines, limit },
            entry,
        );
    }
}

/// Lines of the file up to the test module that closes it.
fn lines_without_tests(file: &RustFile<'_>) -> usize {
    let last = file.source.pieces.len();
    let closes = |body: &std::ops::Range<usize>| body.end == last;
    let modules = file.source.modules();
    let tests = modules.iter().find(|module| module.for_tests && module.body.as_ref().is_some_and(closes));
    tests.map_or_else(|| file.text.lines().count(), |tests| tests.line.saturating_sub(1))
}

struct Measured<'a> {
    path: &'a str,
    name: Option<&'a str>,
    line: usize,
    lines: usize,
    limit: usize,
}

struct List<'a> {
    allowed: &'a Allowed,
    text: &'a str,
    /// Path and name of the entries that stand for something too long.
    met: BTreeSet<(String, String)>,
    findings: Vec<Finding>,
}

impl List<'_> {
    fn judge(&mut self, measured: &Measured<'_>, entry: Option<usize>) {
        let Measured { path, name, line, lines, limit } = *measured;
        if lines <= limit {
            return;
        }
        let what = name.map_or_else(|| "the file".to_owned(), |name| format!("{name}()"));
        self.met.insert((path.to_owned(), name.unwrap_or("").to_owned()));
        match entry {
            None => {
                let what = format!("{what} has {lines} lines, {limit} are allowed");
                self.findings.push(Finding::new(path, line, RULE, what, "split it by what it does"));
            }
            Some(entry) if lines > entry => {
                let what = format!("{what} has grown from {entry} to {lines} lines");
                self.findings.push(Finding::new(path, line, RULE, what, "split it: the list only shrinks"));
            }
            Some(entry) if lines < entry => {
                let what = format!("{what} of {path} has {lines} lines, its entry says {entry}");
                let line = self.line_of(path);
                self.findings.push(Finding::new(
                    ALLOWED,
                    line,
                    RULE,
                    what,
                    format!("lower the entry to {lines}"),
                ));
            }
            Some(_) => {}
        }
    }

    fn report_entries_without_a_cause(&mut self) {
        let files = self.allowed.file.iter().map(|entry| (&entry.path, ""));
        let functions = self.allowed.function.iter().map(|entry| (&entry.path, entry.name.as_str()));
        for (path, name) in files.chain(functions) {
            if !self.met.contains(&(path.clone(), name.to_owned())) {
                let what = format!("{path} {name} is within the limits or gone");
                self.findings.push(Finding::new(
                    ALLOWED,
                    self.line_of(path),
                    RULE,
                    what,
                    "take the entry out",
                ));
            }
        }
    }

    fn line_of(&self, path: &str) -> usize {
        self.text.lines().position(|line| line.contains(path)).map_or(1, |at| at + 1)
    }
}

//! The blocks of the pages: every `toml` block is a declaration that checks, every `console` block does what it shows.
//!
//! A console block runs beside a demonstration, one of a page of an app beside that app, and those of a page one after the other. A line that starts with `$ ` is a command; what follows up
//! to the next is its output, in which `…` stands for anything within a line, and a line of `…` alone for any lines.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use forebay_server::configuration::{Declaration, ProcessEnvironment};

use crate::running::Running;

/// A fenced block: its page, the number of its first line, and its text.
struct Block {
    page: PathBuf,
    line: usize,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every page of the repository outside build folders.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" && name != "data" {
            pages(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

fn blocks(language: &str) -> Vec<Block> {
    let mut found = Vec::new();
    pages(&root(), &mut found);
    found.sort();
    let mut blocks: Vec<Block> = Vec::new();
    for page in found {
        let text = std::fs::read_to_string(&page).unwrap();
        let mut open: Option<Block> = None;
        for (number, line) in text.lines().enumerate() {
            match (&mut open, line.trim_start().strip_prefix("```")) {
                (Some(_), Some(_)) => blocks.extend(open.take().filter(|block| block.line > 0)),
                (Some(block), None) => block.text.push_str(&format!("{line}\n")),
                (None, Some(info)) => {
                    let line = if info == language { number + 2 } else { 0 };
                    open = Some(Block { page: page.clone(), line, text: String::new() });
                }
                (None, None) => {}
            }
        }
    }
    blocks
}

#[test]
fn every_toml_block_is_a_declaration_that_checks() {
    let blocks = blocks("toml");
    assert!(blocks.len() >= 5, "only {} toml blocks were found", blocks.len());
    for block in blocks {
        let place = format!("{}:{}", block.page.display(), block.line);
        if let Err(report) = Declaration::parse(&place, &block.text, &ProcessEnvironment) {
            panic!("{report}");
        }
    }
}

#[test]
fn every_console_block_does_what_it_shows() {
    let blocks = blocks("console");
    assert!(blocks.len() >= 2, "only {} console blocks were found", blocks.len());
    let mut served: BTreeMap<Option<String>, (Running, tempfile::TempDir)> = BTreeMap::new();
    let binaries = Path::new(env!("CARGO_BIN_EXE_forebay")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    for block in blocks {
        let app = app_of(&block.page);
        let (running, _) = served.entry(app.clone()).or_insert_with(|| {
            let folder = tempfile::tempdir().unwrap();
            let running = match &app {
                Some(app) => Running::start(folder.path(), &["serve", "--app", app]),
                None => Running::start(folder.path(), &["demo"]),
            };
            (running, folder)
        });
        let commands: Vec<&str> = block.text.split("$ ").skip(1).collect();
        for command in commands {
            let (line, shown) = command.split_once('\n').unwrap();
            let run =
                line.replace("6380", &running.resp.to_string()).replace("8080", &running.http.to_string());
            let output = Command::new("sh")
                .args(["-c", &run])
                .current_dir(root())
                .env("PATH", &path)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
            let said = format!("{said}{}", String::from_utf8_lossy(&output.stderr));
            assert!(
                matches(shown.trim_end(), said.trim_end()),
                "{}:{}: $ {line}\nthe page shows:\n{shown}\nit says:\n{said}",
                block.page.display(),
                block.line
            );
        }
    }
}

/// The app whose page it is.
fn app_of(page: &Path) -> Option<String> {
    let within = page.strip_prefix(root().join("apps")).ok()?;
    Some(within.components().next()?.as_os_str().to_string_lossy().into_owned())
}

/// Whether `said` is what `shown` allows.
fn matches(shown: &str, said: &str) -> bool {
    let (shown, said): (Vec<&str>, Vec<&str>) = (shown.lines().collect(), said.lines().collect());
    lines_match(&shown, &said)
}

fn lines_match(shown: &[&str], said: &[&str]) -> bool {
    match shown {
        [] => said.is_empty(),
        [first, rest @ ..] if first.trim() == "…" => {
            (0..=said.len()).any(|skip| lines_match(rest, &said[skip..]))
        }
        [first, rest @ ..] => {
            said.first().is_some_and(|line| line_matches(first, line)) && lines_match(rest, &said[1..])
        }
    }
}

fn line_matches(shown: &str, said: &str) -> bool {
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = said.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn shown_output_is_compared() {
    assert!(matches("a…c\n…\nz", "abc\nx\ny\nz"));
    assert!(matches("…", ""));
    assert!(!matches("a…c", "abd"));
    assert!(!matches("a", "a\nb"));
    assert!(!matches("a\nb", "a"));
}

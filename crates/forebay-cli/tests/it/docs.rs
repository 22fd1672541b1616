//! The blocks of the pages: every `toml` block is a declaration that checks, every `console` block does what it shows.
//!
//! A console block runs beside a demonstration, one of a page of an app beside that app, and those of a page one after the other
//! ([`page`]).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use forebay_server::configuration::{Declaration, ProcessEnvironment};
use forebay_stage::page::{self, Block};

use crate::running::{Running, start};

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

/// The blocks of all pages that are `language`.
fn blocks(language: &str) -> Vec<(PathBuf, Block)> {
    let mut found = Vec::new();
    pages(&root(), &mut found);
    found.sort();
    let of_page = |page: PathBuf| {
        let text = std::fs::read_to_string(&page).unwrap();
        page::blocks(&text, language).into_iter().map(move |block| (page.clone(), block))
    };
    found.into_iter().flat_map(of_page).collect()
}

#[test]
fn every_toml_block_is_a_declaration_that_checks() {
    let blocks = blocks("toml");
    assert!(blocks.len() >= 5, "only {} toml blocks were found", blocks.len());
    for (page, block) in blocks {
        let place = format!("{}:{}", page.display(), block.line);
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
    for (page, block) in blocks.into_iter().filter(|(page, _)| !is_elsewhere(page)) {
        let app = app_of(&page);
        let (running, _) = served.entry(app.clone()).or_insert_with(|| {
            let folder = tempfile::tempdir().unwrap();
            let running = match &app {
                Some(app) => start(folder.path(), &["serve", "--app", app]),
                None => start(folder.path(), &["demo"]),
            };
            (running, folder)
        });
        let place = page.display().to_string();
        page::shows(&place, &block, running, Path::new(env!("CARGO_BIN_EXE_forebay")), &root());
    }
}

/// The page that writes an app of its own, beside which it is run by that app's tests.
fn is_elsewhere(page: &Path) -> bool {
    page.ends_with("docs/apps.md")
}

/// The app whose page it is.
fn app_of(page: &Path) -> Option<String> {
    let within = page.strip_prefix(root().join("apps")).ok()?;
    Some(within.components().next()?.as_os_str().to_string_lossy().into_owned())
}

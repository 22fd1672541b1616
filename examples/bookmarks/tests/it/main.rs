//! The page that writes this app is followed to the letter.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

use std::path::Path;

use forebay_stage::Running;
use forebay_stage::page::{blocks, shows};
use forebay_stage::running::command;

const PAGE: &str = include_str!("../../../../docs/apps.md");

fn texts(language: &str) -> Vec<String> {
    blocks(PAGE, language).into_iter().map(|block| block.text).collect()
}

#[test]
fn the_page_has_the_app_as_it_is() {
    assert_eq!(texts("toml"), [include_str!("../../forebay.toml")]);
    assert_eq!(texts("text")[0], include_str!("../../src/main.rs"));
}

#[test]
fn the_page_shows_what_the_app_does() {
    let (folder, binary) = (tempfile::tempdir().unwrap(), env!("CARGO_BIN_EXE_bookmarks"));
    let mut bookmarks = command(binary, folder.path());
    bookmarks.args(["serve", "--app", "bookmarks"]);
    let running = Running::start(bookmarks);
    let shown = blocks(PAGE, "console");
    assert!(!shown.is_empty());
    for block in shown {
        shows("docs/apps.md", &block, &running, Path::new(binary), folder.path());
    }
}

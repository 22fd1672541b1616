//! Client libraries that are not ours, as their registries have them: their own tests' words are in `tests/clients`, one script for
//! each library and stage. Here they are run, and what they say is judged.

use std::net::SocketAddr;
use std::process::Output;

use xtask::clients::{Language, script};

use super::access::token;
use super::{NAMESPACES, Stage};

/// What `item:a` has in every stage.
const ITEM_A: &str = r#"{"code":"a","price":1}"#;

/// Runs a script against the server at `address`, in which `item:a` is said to be `item`.
async fn run(language: Language, name: &'static str, address: SocketAddr, item: &'static str) -> Output {
    let work = move || {
        let mut command = script(language, name).unwrap_or_else(|error| panic!("{error}"));
        command.env("FOREBAY_RESP", address.to_string()).env("FOREBAY_ITEM_A", item);
        command.output().unwrap()
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// How many tests the script has run, by its own words.
fn ran(said: &str) -> usize {
    let count = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["Ran", count, ..] | [_, "tests", count] => count.parse().ok(),
            _ => None,
        }
    };
    said.lines().find_map(count).unwrap_or(0)
}

/// Runs a script that must end well, having run `tests` or more.
async fn check(language: Language, name: &'static str, stage: &Stage, tests: usize) {
    let output = run(language, name, stage.process.resp, ITEM_A).await;
    let said = said(&output);
    assert!(output.status.success(), "{name}: {said}");
    assert!(ran(&said) >= tests, "{name} runs fewer tests than it had: {said}");
}

async fn with_tokens() -> Stage {
    let tokens = token("writer", "may = ['read', 'write']") + &token("reader", "may = ['read']");
    Stage::with(&format!("{NAMESPACES}{tokens}")).await
}

#[tokio::test]
async fn redis_py_runs_as_it_comes() {
    check(Language::Python, "redis_py.py", &Stage::new().await, 31).await;
}

#[tokio::test]
async fn redis_py_shows_tokens() {
    check(Language::Python, "redis_py_tokens.py", &with_tokens().await, 5).await;
}

#[tokio::test]
async fn ioredis_runs_as_it_comes() {
    check(Language::JavaScript, "ioredis.js", &Stage::new().await, 17).await;
}

#[tokio::test]
async fn ioredis_shows_tokens() {
    check(Language::JavaScript, "ioredis_tokens.js", &with_tokens().await, 4).await;
}

#[tokio::test]
async fn scripts_tell_of_what_does_not_hold() {
    let stage = Stage::new().await;
    for (language, name) in [(Language::Python, "redis_py.py"), (Language::JavaScript, "ioredis.js")] {
        let output = run(language, name, stage.process.resp, "another").await;
        assert!(!output.status.success(), "{name} has not looked at item:a");
        let said = said(&output);
        assert!(said.contains("another") && said.contains("price"), "{name}: {said}");
    }
}

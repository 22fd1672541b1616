//! Each rule about what stands in a file can fire, and is not fooled by strings and comments.

use super::rules_of_layout::found;

const NOTHING: [&str; 0] = [];

#[test]
fn arrows_between_rooms_point_down() {
    let loader = "//! May see [`crate::engine`] in a comment.\nuse crate::value::Value;\nuse crate::rt::{Clock, Mutex};\n\
                  const TEXT: &str = \"crate::engine\";\nuse super::flight;\nuse crate::engine::Read;\n\
                  use crate::{error::Error, writes::{Sink, Other}, engine};\nfn f() { super::super::warming::warm(); }\n\
                  mod tests { use super::super::flight;\nuse super::super::super::engine; }\nuse crate::Clock;\n";
    let files = [
        ("crates/forebay/src/loader/load.rs", loader),
        (
            "crates/forebay/src/loader/mod.rs",
            "//! A.\nuse super::engine::Engine;\nuse super::value::Value;\n",
        ),
        ("crates/forebay/src/rt.rs", "//! A.\nuse super::error::Error;\nuse super::rt::Clock;\n"),
        ("crates/forebay/src/lib.rs", "//! A.\npub mod rt;\npub use crate::engine::Engine;\n"),
        ("crates/forebay/src/misc/mod.rs", "//! A.\n"),
        ("crates/forebay-stores/src/misc.rs", "//! A.\nuse crate::engine;\n"),
    ];
    let mut expected: Vec<String> =
        [6, 7, 8, 10, 11].iter().map(|line| format!("crates/forebay/src/loader/load.rs:{line}")).collect();
    expected.push("crates/forebay/src/loader/mod.rs:2".to_owned());
    expected.push("crates/forebay/src/misc/mod.rs:1".to_owned());
    expected.push("crates/forebay/src/rt.rs:2".to_owned());
    let mut lines = found("room-arrows", &files);
    lines.dedup();
    assert_eq!(lines, expected);
}

#[test]
fn a_group_of_names_is_judged_name_by_name() {
    let source =
        "//! A.\nuse crate::{\n    engine,\n    error,\n    writes::Sink,\n    rt::{engine, Clock},\n};\n";
    let lines = found("room-arrows", &[("crates/forebay/src/loader.rs", source)]);
    assert_eq!(lines, ["crates/forebay/src/loader.rs:3", "crates/forebay/src/loader.rs:5"]);
}

#[test]
fn marks_of_unfinished_work_are_found() {
    let word = concat!("FIX", "ME");
    let phrase = concat!("For", " now");
    let loop_over = concat!("for", " now");
    let code = format!(
        "//! A.\n// {word}: later\nfn f() {{ todo!() }}\n#[ignore]\nfn g() {{ \"{phrase} it is\"; }}\n\
         // no `todo!` here, and no {word}D\nfn f() {{ {loop_over} in times {{}} }}\n"
    );
    let page = format!("It works {}.\n`{word}` is what we never write.\n", concat!("for", " now"));
    let manifest = format!("# {word}\n[package]\n");
    let files = [("src/a.rs", code.as_str()), ("a.md", &page), ("a/b.toml", &manifest)];
    assert_eq!(
        found("unfinished", &files),
        ["a.md:1", "a/b.toml:1", "src/a.rs:2", "src/a.rs:3", "src/a.rs:4", "src/a.rs:5"]
    );
}

#[test]
fn code_in_pages_is_run_or_plain_text() {
    let page = "# Page\n```rust\nf();\n```\n```text\nx\n```\n```\nx\n```\n```rust,ignore\nf();\n```\n```toml\na = 1\n```\n\
                ````text\n```rust\n````\n";
    let included = "//! A.\n#![doc = include_str!(\"page.md\")]\n";
    let runner = ("crates/forebay-cli/tests/it/docs.rs", "//! A.\n");
    let bare = [("docs/page.md", page)];
    assert_eq!(
        found("doc-code", &bare),
        ["docs/page.md:2", "docs/page.md:8", "docs/page.md:11", "docs/page.md:14"]
    );
    let run = [("docs/page.md", page), ("docs/lib.rs", included), runner];
    assert_eq!(found("doc-code", &run), ["docs/page.md:8", "docs/page.md:11"]);
    let script = ("crates/forebay-server/tests/clients/forebay_readme.mjs", "");
    let readme = ("clients/js/README.md", "# Client\n```js\nf();\n```\n");
    let elsewhere = ("docs/page.md", "# Page\n```js\nf();\n```\n");
    assert_eq!(found("doc-code", &[readme]), ["clients/js/README.md:2"]);
    assert_eq!(found("doc-code", &[readme, elsewhere, script]), ["docs/page.md:2"]);
}

#[test]
fn code_in_comments_is_compiled_or_plain_text() {
    let source = "//! A.\n//!\n//! ```\n//! f();\n//! ```\n\n/// ```no_run\n/// g();\n/// ```\nfn g() {}\n\n\
                  /// ```ignore\n/// h();\n/// ```\nfn h() {}\n/// ```text\n/// x\n/// ```\n/// ``` inline ``` span\n\
                  const S: &str = \"\n/// ```ignore\n\";\n";
    let files =
        [("crates/a/src/lib.rs", source), ("crates/a/tests/it/main.rs", "//! ```\n//! f();\n//! ```\n")];
    assert_eq!(found("doc-code", &files), ["crates/a/src/lib.rs:12", "crates/a/tests/it/main.rs:1"]);
}

#[test]
fn a_dropped_matches_is_found() {
    let source = "//! A.\nfn f() {\n    matches!(a, B(_));\n    let x = matches!(a, B);\n    assert!(matches!(a, B));\n\
                  \x20   matches!(a, B)\n}\nfn g() { h(); matches! (a, ';'); }\n// { matches!(a, B);\n";
    assert_eq!(found("dropped-matches", &[("src/a.rs", source)]), ["src/a.rs:3", "src/a.rs:8"]);
}

#[test]
fn tests_without_an_assertion_are_found() {
    let source = "//! A.\n#[test]\nfn asserts() { assert_eq!(1, 1); }\n#[test]\nfn calls() { through_another(); }\n\
                  #[tokio::test(flavor = \"multi_thread\")]\nasync fn says_nothing() { run().await; \"assert!()\"; }\n\
                  #[test]\n#[should_panic(expected = \"x\")]\nfn panics() { run(); }\n#[test]\nfn golden() { expect![[]].assert_eq(x) }\n\
                  fn through_another() { through_a_third(); }\nfn through_a_third() { helper(); }\nfn run() {}\n#[cfg(test)]\nfn no_test() {}\n\
                  #[test] fn silent() { // assert!(true);\n}\n";
    let helper = ("crates/a/tests/it/help.rs", "//! A.\npub fn helper() { assert!(true) }\n");
    let files = [("crates/a/tests/it/main.rs", source), helper];
    assert_eq!(
        found("test-asserts", &files),
        ["crates/a/tests/it/main.rs:7", "crates/a/tests/it/main.rs:18"]
    );
}

#[test]
fn literals_and_lifetimes_do_not_end_a_function() {
    let body = "    let c = '{'; let q = '\\''; let s = \"}\\\"}\"; let r = r#\"}\"}\"#; let b = b'}'; /* } /* } */ } */\n\
                \x20   fn inner<'a>(x: &'a str) -> &'a str { x }\n";
    let source = format!("//! A.\nfn long() {{\n{body}{}}}\nfn short() {{}}\n", "    step();\n".repeat(67));
    assert_eq!(found("length", &[("src/a.rs", source.as_str())]), ["src/a.rs:2"]);
    let fits = format!("//! A.\nfn fits() {{\n{body}{}}}\n", "    step();\n".repeat(66));
    assert_eq!(found("length", &[("src/a.rs", fits.as_str())]), NOTHING);
}

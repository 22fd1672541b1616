//! Each rule about files, manifests and pages can fire, and lets pass what is right.

use xtask::tidy::{Tree, check};

/// What `rule` finds in a tree of `files`, as `path:line`.
pub fn found(rule: &str, files: &[(&str, &str)]) -> Vec<String> {
    let findings = check(&Tree::of(files));
    findings
        .iter()
        .filter(|found| found.rule == rule)
        .map(|found| format!("{}:{}", found.path, found.line))
        .collect()
}

const NOTHING: [&str; 0] = [];

fn manifest(name: &str, dependencies: &str) -> String {
    format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n{dependencies}")
}

#[test]
fn long_files_and_functions_are_found() {
    let long = "//! Long.\n".to_owned() + &"// line\n".repeat(600);
    let function = format!("//! Long.\nfn long() {{\n{}}}\n", "    step();\n".repeat(69));
    let fits = format!("//! Fits.\nfn fits() {{\n{}}}\n", "    step();\n".repeat(68));
    let tested =
        format!("//! Fits.\nfn f() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n", "// line\n".repeat(700));
    let files = [
        ("crates/a/src/long.rs", long.as_str()),
        ("crates/a/src/function.rs", &function),
        ("crates/a/src/fits.rs", &fits),
        ("crates/a/src/tested.rs", &tested),
        ("crates/a/tests/it/long.rs", &long),
    ];
    assert_eq!(found("length", &files), ["crates/a/src/function.rs:2", "crates/a/src/long.rs:1"]);
}

#[test]
fn the_list_of_long_things_only_shrinks() {
    let long = "//! Long.\n".to_owned() + &"// line\n".repeat(650);
    let with = |lines: usize| {
        let allowed = format!("[[file]]\npath = \"src/long.rs\"\nlines = {lines}\n");
        found("length", &[("src/long.rs", &long), ("xtask/tidy-allow.toml", &allowed)])
    };
    assert_eq!(with(651), NOTHING);
    assert_eq!(with(650), ["src/long.rs:1"], "it has grown");
    assert_eq!(with(652), ["xtask/tidy-allow.toml:2"], "the entry is to be lowered");
    let function = format!("//! Long.\nfn long() {{\n{}}}\n", "    step();\n".repeat(80));
    let named = "[[function]]\npath = \"src/a.rs\"\nname = \"long\"\nlines = 82\n";
    assert_eq!(found("length", &[("src/a.rs", &function), ("xtask/tidy-allow.toml", named)]), NOTHING);
    let gone = [("src/a.rs", "//! Short.\n"), ("xtask/tidy-allow.toml", named)];
    assert_eq!(found("length", &gone), ["xtask/tidy-allow.toml:2"], "the entry has lost its cause");
}

#[test]
fn files_without_a_header_are_found() {
    let files = [
        ("crates/a/src/with.rs", "//! What it is for.\nfn f() {}\n"),
        ("crates/a/src/without.rs", "use x;\n"),
        ("crates/a/tests/it/without.rs", "use x;\n"),
    ];
    assert_eq!(found("header", &files), ["crates/a/src/without.rs:1"]);
}

#[test]
fn files_that_no_mod_leads_to_are_found() {
    let manifest = manifest("forebay", "");
    let files = [
        ("crates/forebay/Cargo.toml", manifest.as_str()),
        (
            "crates/forebay/src/lib.rs",
            "//! A.\nmod rt;\nmod inline { mod below; }\n#[path = \"elsewhere.rs\"] mod named;",
        ),
        ("crates/forebay/src/elsewhere.rs", "//! A.\n"),
        ("crates/forebay/src/inline/below.rs", "//! A.\n"),
        ("crates/forebay/src/rt/mod.rs", "//! A. mod comment;\nmod clock;\n"),
        ("crates/forebay/src/rt/clock.rs", "//! A.\nmod tick;\n"),
        ("crates/forebay/src/rt/clock/tick.rs", "//! A.\n"),
        ("crates/forebay/src/rt/comment.rs", "//! A.\n"),
        ("crates/forebay/src/bin/tool.rs", "//! A.\n"),
        ("crates/forebay/tests/it/main.rs", "//! A.\nmod one;\n"),
        ("crates/forebay/tests/it/one.rs", "//! A.\n"),
        ("crates/forebay/tests/it/two.rs", "//! A.\n"),
    ];
    let dead = ["crates/forebay/src/rt/comment.rs:1", "crates/forebay/tests/it/two.rs:1"];
    assert_eq!(found("dead-file", &files), dead);
}

#[test]
fn arrows_between_crates_point_down() {
    let root =
        "[workspace.dependencies]\nwire = { path = \"crates/forebay-wire\", package = \"forebay-wire\" }\n";
    let engine = manifest("forebay", "[dependencies]\nwire.workspace = true\nmoka = \"1\"\n");
    let wire =
        manifest("forebay-wire", "[dev-dependencies]\nxtask.workspace = true\nforebay.workspace = true\n");
    let server = manifest(
        "forebay-server",
        "[target.'cfg(unix)'.dependencies]\nforebay.workspace = true\nforebay-app-orders = \"1\"\n",
    );
    let orders =
        manifest("forebay-app-orders", "[dependencies]\nforebay-server = \"1\"\nforebay-app-quant = \"1\"\n");
    let quant = manifest("forebay-app-quant", "[build-dependencies]\nforebay-wire = \"1\"\n");
    let bench = manifest("forebay-bench", "[dependencies]\nmoka = \"1\"\nforebay = \"1\"\n");
    let docs = manifest("forebay-docs", "[dev-dependencies]\nforebay-app-orders = \"1\"\n");
    let files = [
        ("Cargo.toml", root),
        ("crates/forebay/Cargo.toml", engine.as_str()),
        ("crates/forebay-wire/Cargo.toml", &wire),
        ("crates/forebay-server/Cargo.toml", &server),
        ("apps/orders/Cargo.toml", &orders),
        ("apps/quant/Cargo.toml", &quant),
        ("bench/Cargo.toml", &bench),
        ("docs/Cargo.toml", &docs),
        ("xtask/Cargo.toml", &manifest("xtask", "")),
        ("crates/new/Cargo.toml", &manifest("forebay-new", "")),
    ];
    let expected = [
        "apps/orders/Cargo.toml:7",
        "apps/quant/Cargo.toml:6",
        "crates/forebay-server/Cargo.toml:7",
        "crates/forebay-wire/Cargo.toml:7",
        "crates/forebay/Cargo.toml:6",
        "crates/forebay/Cargo.toml:7",
        "crates/new/Cargo.toml:2",
    ];
    assert_eq!(found("crate-arrows", &files), expected);
}

#[test]
fn manifests_take_the_lints_and_link_one_test_binary() {
    let files = [
        ("xtask/Cargo.toml", "[package]\nname = \"xtask\"\n"),
        ("xtask/tests/it/main.rs", "//! A.\n"),
        ("xtask/tests/it/more.rs", "//! A.\n"),
        ("xtask/tests/single.rs", "//! A.\n"),
        ("xtask/tests/folder/main.rs", "//! A.\n"),
        ("xtask/tests/golden/page.md", "text\n"),
    ];
    assert_eq!(found("lints", &files), ["xtask/Cargo.toml:1"]);
    assert_eq!(found("one-test-binary", &files), ["xtask/tests/folder/main.rs:1", "xtask/tests/single.rs:1"]);
    assert_eq!(found("lints", &[("xtask/Cargo.toml", manifest("xtask", "").as_str())]), NOTHING);
}

#[test]
fn words_have_their_pages_and_pages_their_code() {
    let files = [
        ("crates/forebay/src/loader/flight.rs", "//! A.\n"),
        ("crates/forebay/src/tier.rs", "//! A.\n"),
        ("crates/forebay/src/error.rs", "//! A.\n"),
        ("crates/forebay-server/src/configuration/raw.rs", "//! A.\n"),
        ("docs/features/README.md", "# All\n"),
        ("docs/features/tier.md", "# Tier\n"),
        ("docs/features/caching.md", "# Caching\n"),
        ("docs/features/warming.md", "# Warming\n"),
    ];
    let expected = [
        "crates/forebay-server/src/configuration:1",
        "crates/forebay/src/loader/flight.rs:1",
        "docs/features/caching.md:1",
        "docs/features/warming.md:1",
    ];
    assert_eq!(found("one-word", &files), expected);
}

#[test]
fn metrics_carry_the_word_of_their_feature() {
    let names = "//! A.\nconst A: &str = \"forebay_loader_seconds\";\nconst B: &str = \"forebay_fetch_seconds\";\n\
                 const C: &str = \"forebay_stores\";\nconst D: &str = \"forebay_cache of hits\";\n";
    let files = [
        ("crates/forebay/src/loader/mod.rs", "//! A.\n"),
        ("docs/features/loader.md", "# Loader\n"),
        ("crates/forebay-server/src/lib.rs", names),
    ];
    assert_eq!(found("one-word", &files), ["crates/forebay-server/src/lib.rs:3"]);
}

#[test]
fn links_lead_somewhere() {
    let page = "# Page\n[ok](other.md) [ok](other.md#a-heading-with-code) [ok](../crates) [ok](https://example.org)\n\
                [ok](#page) [ok](other.md#twice-1) `[code](nowhere.md)` [ok](<other.md> \"title\")\n\
                [gone](gone.md)\n[no heading](other.md#gone)\n[outside](../../x.md)\n[absolute](/other.md)\n\
                [ref]: gone.md\n```text\n[fenced](gone.md)\n```\n";
    let other = "# A heading, with `code`!\n## Twice\n## Twice\n";
    let files = [("docs/page.md", page), ("docs/other.md", other), ("crates/a/src/lib.rs", "//! A.\n")];
    let expected = ["docs/page.md:4", "docs/page.md:5", "docs/page.md:6", "docs/page.md:7", "docs/page.md:8"];
    assert_eq!(found("link", &files), expected);
}

#[test]
fn paths_of_a_machine_are_found() {
    let machine = concat!("/ho", "me/anna/x");
    let example = concat!("/ho", "me/forebay/data");
    let page = format!("see {machine}\nsee {example}\nsee apps{machine}\nsee https://example.org{machine}\n");
    assert_eq!(found("machine-path", &[("a.md", page.as_str())]), ["a.md:1"]);
}

#[test]
fn committed_data_stays_small() {
    let data = "x".repeat(3 * 1024 * 1024);
    let one = ("apps/stocks/data/bars.csv", data.as_str());
    assert_eq!(found("data-size", &[one, ("apps/stocks/src/big.rs", data.as_str())]), NOTHING);
    assert_eq!(found("data-size", &[one, ("bench/keys.csv", data.as_str())]), ["bench/keys.csv:1"]);
}

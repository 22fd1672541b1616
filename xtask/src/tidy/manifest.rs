//! The manifests of the workspace: who may depend on whom, lints, and one integration-test binary a crate.

use super::Finding;
use super::tree::{Tree, View, folder};

/// A manifest that names a package.
#[derive(Debug)]
pub struct Manifest {
    /// Its path from the root.
    pub path: String,
    /// The package's name.
    pub name: String,
    /// Everything in it.
    pub table: toml::Table,
    /// Its text.
    pub text: String,
}

impl Manifest {
    /// Every manifest of `tree` that names a package; what cargo itself would refuse is left out.
    #[must_use]
    pub fn all(tree: &Tree) -> Vec<Self> {
        tree.texts("Cargo.toml").filter_map(|(path, text)| Self::read(path, text)).collect()
    }

    fn read(path: &str, text: &str) -> Option<Self> {
        let table: toml::Table = text.parse().ok()?;
        let name = table.get("package")?.get("name")?.as_str()?.to_owned();
        Some(Self { path: path.to_owned(), name, table, text: text.to_owned() })
    }

    /// The folder it lies in.
    #[must_use]
    pub fn folder(&self) -> &str {
        folder(&self.path)
    }

    /// The line of the first key `key`, from 1; 1 where it is not found.
    #[must_use]
    pub fn line_of(&self, key: &str) -> usize {
        let is_key =
            |line: &str| line.strip_prefix(key).is_some_and(|rest| rest.starts_with([' ', '.', '=']));
        self.text.lines().position(is_key).map_or(1, |at| at + 1)
    }

    /// The dependencies under `kinds` (`dependencies`, …), of every target, as keys and package names.
    fn dependencies(&self, kinds: &[&str], workspace: &toml::Table) -> Vec<(String, String)> {
        let targets = self.table.get("target").and_then(toml::Value::as_table);
        let tables =
            targets.into_iter().flat_map(|targets| targets.values().filter_map(toml::Value::as_table));
        let mut found = Vec::new();
        for table in std::iter::once(&self.table).chain(tables) {
            let lists = kinds.iter().filter_map(|kind| table.get(*kind)?.as_table());
            for (key, value) in lists.flatten() {
                let renamed = |value: &toml::Value| Some(value.get("package")?.as_str()?.to_owned());
                let package =
                    renamed(value).or_else(|| renamed(workspace.get(key)?)).unwrap_or_else(|| key.clone());
                found.push((key.clone(), package));
            }
        }
        found
    }
}

/// Peers that only the benchmarks may know.
const PEERS: &[&str] = &["moka", "quick_cache", "foyer", "foyer-memory", "mini-moka", "stretto", "cached"];

const APP: &str = "forebay-app-";

/// What `name` may depend on, of ours; `None` where nobody has decided.
fn may_use(name: &str, other: &str) -> Option<bool> {
    let below_app = matches!(other, "forebay" | "forebay-stores" | "forebay-server");
    let below_cli = below_app || other == "forebay-wire" || other.starts_with(APP);
    Some(match name {
        "forebay" | "forebay-wire" | "forebay-docs" | "xtask" => false,
        "forebay-stores" | "forebay-simulated" => other == "forebay",
        "forebay-server" => matches!(other, "forebay" | "forebay-stores" | "forebay-wire"),
        "forebay-cli" => below_cli,
        "bookmarks" => below_app || other == "forebay-cli",
        "forebay-bench" => below_cli || other == "forebay-simulated",
        "forebay-stage" => below_app || matches!(other, "forebay-simulated" | "forebay-wire" | "xtask"),
        "forebay-fuzz" => below_app || other == "forebay-wire",
        app if app.starts_with(APP) => below_app,
        _ => return None,
    })
}

/// Arrows between crates point down the list of the house, and peers stay in the benchmarks.
#[must_use]
pub(super) fn arrows(view: &View<'_>) -> Vec<Finding> {
    let workspace = view.tree.text("Cargo.toml").and_then(|text| text.parse::<toml::Table>().ok());
    let workspace =
        workspace.as_ref().and_then(|root| root.get("workspace")?.get("dependencies")?.as_table());
    let none = toml::Table::new();
    let workspace = workspace.unwrap_or(&none);
    let ours: Vec<&str> = view.manifests.iter().map(|manifest| manifest.name.as_str()).collect();
    let mut findings = Vec::new();
    for manifest in &view.manifests {
        let name = manifest.name.as_str();
        let mut report = |key: &str, what: String, mend: &str| {
            findings.push(Finding::new(&manifest.path, manifest.line_of(key), "crate-arrows", what, mend));
        };
        if may_use(name, "").is_none() {
            report(
                "name",
                format!("{name} is in no dependency table"),
                "say what it may use, in xtask/src/tidy/manifest.rs",
            );
            continue;
        }
        let shipped = manifest.dependencies(&["dependencies", "build-dependencies"], workspace);
        let tests = manifest.dependencies(&["dev-dependencies"], workspace);
        for (key, other) in &shipped {
            if ours.contains(&other.as_str()) && may_use(name, other) != Some(true) {
                report(
                    key,
                    format!("{name} may not use {other}"),
                    "move what it needs down the list, or behind a trait",
                );
            }
        }
        for (key, other) in &tests {
            let for_tests = matches!(other.as_str(), "xtask" | "forebay-simulated" | "forebay-stage");
            let allowed = for_tests || name == "forebay-docs" || may_use(name, other) == Some(true);
            if ours.contains(&other.as_str()) && !allowed {
                report(
                    key,
                    format!("tests of {name} may not use {other}"),
                    "test it from a crate that stands higher",
                );
            }
        }
        for (key, other) in shipped.iter().chain(&tests) {
            if PEERS.contains(&other.as_str()) && name != "forebay-bench" {
                report(key, format!("{other} is a peer"), "compare with it in bench/ and nowhere else");
            }
        }
    }
    findings
}

/// Every manifest takes the workspace's lints.
#[must_use]
pub(super) fn lints(view: &View<'_>) -> Vec<Finding> {
    let takes = |manifest: &&Manifest| {
        let lints = manifest.table.get("lints").and_then(|lints| lints.get("workspace"));
        lints.and_then(toml::Value::as_bool) != Some(true)
    };
    let mend = "add `[lints]` with `workspace = true`";
    let finding = |manifest: &Manifest| {
        Finding::new(&manifest.path, 1, "lints", "the workspace's lints are not taken", mend)
    };
    view.manifests.iter().filter(takes).map(finding).collect()
}

/// Each crate links one integration-test binary, `tests/it/main.rs`.
#[must_use]
pub(super) fn test_binaries(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manifest in &view.manifests {
        let tests = format!("{}/tests/", manifest.folder());
        let tests = tests.trim_start_matches('/');
        for path in view.tree.paths() {
            let Some(inside) = path.strip_prefix(tests) else { continue };
            let single = !inside.contains('/') && inside.ends_with(".rs");
            let folder =
                inside.split_once('/').is_some_and(|(first, rest)| first != "it" && rest == "main.rs");
            if single || folder {
                let what = "a second integration-test binary";
                findings.push(Finding::new(
                    path,
                    1,
                    "one-test-binary",
                    what,
                    "make it a module of tests/it/main.rs",
                ));
            }
        }
    }
    findings
}

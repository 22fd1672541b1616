//! What lies where: module headers, dead files, paths of somebody's machine, the weight of committed data.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::{RustFile, View, folder, resolve};

const DATA_BYTES: u64 = 5 * 1024 * 1024;

/// Folders of one machine. `concat!` keeps this table from finding itself.
const MACHINE: &[&str] = &[concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/")];

/// The home folder that examples may show.
const EXAMPLE_HOME: &str = concat!("/ho", "me/forebay/");

/// Every file under `src` opens with `//!`.
#[must_use]
pub(super) fn headers(view: &View<'_>) -> Vec<Finding> {
    let opens = |file: &&RustFile<'_>| file.text.trim_start().starts_with("//! ");
    let shipped = view.rust.iter().filter(|file| in_src(file.path));
    let finding = |file: &RustFile<'_>| {
        let mend = "open it with `//!`: what it is for, what it guarantees, what it leaves to others";
        Finding::new(file.path, 1, "header", "the module has no header", mend)
    };
    shipped.filter(|file| !opens(file)).map(finding).collect()
}

/// Every file under `src` and `tests` is reached by `mod` items from a root that cargo compiles.
#[must_use]
pub(super) fn dead_files(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manifest in &view.manifests {
        let at = |path: &str| resolve(manifest.folder(), path).unwrap_or_default();
        let (src, tests) = (at("src") + "/", at("tests") + "/");
        let inside = |path: &str| path.starts_with(&src) || path.starts_with(&tests);
        let all: Vec<&RustFile<'_>> = view.rust.iter().filter(|file| inside(file.path)).collect();
        let is_root = |path: &str| {
            let direct =
                folder(path) == at("src/bin") || path.ends_with("/main.rs") || folder(path) == at("tests");
            direct || path == at("src/lib.rs")
        };
        let named = manifest.table.get("bin").and_then(toml::Value::as_array).into_iter().flatten();
        let named: Vec<String> = named.filter_map(|bin| Some(at(bin.get("path")?.as_str()?))).collect();
        let mut reached: BTreeSet<String> =
            all.iter().map(|file| file.path.to_owned()).filter(|p| is_root(p)).collect();
        reached.extend(named);
        let mut open: Vec<String> = reached.iter().cloned().collect();
        while let Some(path) = open.pop() {
            let file = all.iter().find(|file| file.path == path);
            let below = file.map(|file| children(file, &all)).unwrap_or_default();
            open.extend(below.into_iter().filter(|child| reached.insert(child.clone())));
        }
        let dead = all.iter().filter(|file| !reached.contains(file.path));
        let mend = "declare it with `mod`, or delete it";
        findings
            .extend(dead.map(|file| Finding::new(file.path, 1, "dead-file", "no `mod` leads here", mend)));
    }
    findings
}

/// The files that the `mod` items of `file` lead to.
fn children(file: &RustFile<'_>, all: &[&RustFile<'_>]) -> Vec<String> {
    let here = folder(file.path);
    let stem = file.path.rsplit('/').next().unwrap_or("").trim_end_matches(".rs");
    let is_root = matches!(stem, "lib" | "main" | "mod") || here.ends_with("src/bin");
    let base = if is_root { here.to_owned() } else { format!("{here}/{stem}") };
    let mut found = Vec::new();
    for module in file.source.modules().iter().filter(|module| module.body.is_none()) {
        let inside = module.inside.iter().fold(base.clone(), |base, name| format!("{base}/{name}"));
        let candidates = match module.path {
            Some(path) => {
                vec![resolve(if module.inside.is_empty() { here } else { &inside }, path).unwrap_or_default()]
            }
            None => vec![format!("{inside}/{}.rs", module.name), format!("{inside}/{}/mod.rs", module.name)],
        };
        found.extend(candidates.into_iter().filter(|path| all.iter().any(|file| file.path == path)));
    }
    found
}

/// No file names a folder of somebody's machine.
#[must_use]
pub(super) fn machine_paths(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in view.tree.texts("") {
        for (number, line) in text.lines().enumerate() {
            if let Some(machine) = MACHINE.iter().find(|machine| names_folder(line, machine)) {
                let what = format!("`{machine}` is a folder of one machine");
                let mend = format!("use a relative path, or `{EXAMPLE_HOME}` in an example");
                findings.push(Finding::new(path, number + 1, "machine-path", what, mend));
            }
        }
    }
    findings
}

/// Whether `line` names `folder` as an absolute path that is not an example's.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let (before, from) = line.split_at_checked(at).unwrap_or((line, ""));
        let part_of_longer = before.ends_with(|c: char| c.is_alphanumeric() || "_-.~}>)*".contains(c));
        !part_of_longer && !from.starts_with(EXAMPLE_HOME)
    })
}

/// Committed data stays small.
#[must_use]
pub(super) fn data(view: &View<'_>) -> Vec<Finding> {
    let is_data =
        |path: &&str| (path.starts_with("apps/") && path.contains("/data/")) || path.ends_with(".csv");
    let mut files: Vec<(u64, &str)> =
        view.tree.paths().filter(is_data).map(|path| (view.tree.size_bytes(path), path)).collect();
    files.sort_unstable();
    let total: u64 = files.iter().map(|(bytes, _)| bytes).sum();
    let Some((largest, path)) = files.last().filter(|_| total >= DATA_BYTES) else { return Vec::new() };
    let what = format!("committed data takes {total} bytes, {DATA_BYTES} are allowed; this file {largest}");
    vec![Finding::new(path, 1, "data-size", what, "keep a smaller part of it, or generate it from a seed")]
}

/// Whether `path` is a source file of a crate, not of its tests.
fn in_src(path: &str) -> bool {
    path.starts_with("src/") || path.contains("/src/")
}

//! The files that the rules look at: a checkout's, or a few made up by a test.
//!
//! It guarantees paths relative to the root with `/` between parts. What belongs to a checkout is asked of git (tracked, or
//! new and not ignored); without git, build folders are left out by name.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::manifest::Manifest;
use super::rust::Source;
use crate::Error;
use crate::cargo;

/// A file's content.
#[derive(Clone, Debug)]
pub enum Content {
    /// UTF-8 text.
    Text(String),
    /// Something else, of so many bytes.
    Bytes(u64),
}

/// Files by their paths from the root.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, Content>,
}

/// A Rust file, cut.
#[derive(Debug)]
pub struct RustFile<'a> {
    /// Its path from the root.
    pub path: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Its pieces.
    pub source: Source<'a>,
}

/// A tree with its Rust files cut and its manifests read, once for all rules.
#[derive(Debug)]
pub struct View<'a> {
    /// The files.
    pub tree: &'a Tree,
    /// The Rust files.
    pub rust: Vec<RustFile<'a>>,
    /// The manifests that name a package.
    pub manifests: Vec<Manifest>,
}

impl Tree {
    /// A tree of the given paths and texts.
    #[must_use]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let text = |(path, text): &(&str, &str)| ((*path).to_owned(), Content::Text((*text).to_owned()));
        Self { files: files.iter().map(text).collect() }
    }

    /// The checkout at `root`.
    ///
    /// # Errors
    /// When a file of it cannot be read.
    pub fn read(root: &Path) -> Result<Self, Error> {
        let paths = match cargo::git(root, &["ls-files", "-z", "-co", "--exclude-standard"]) {
            Some(list) => list.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect(),
            None => walk(root)?,
        };
        let mut files = BTreeMap::new();
        for path in paths {
            let full = root.join(&path);
            // Listed by git and deleted since: not part of the tree any more.
            if !full.is_file() {
                continue;
            }
            let bytes = fs::read(&full).map_err(Error::io(format!("reading {path}")))?;
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let content = String::from_utf8(bytes).map_or(Content::Bytes(length), Content::Text);
            files.insert(path, content);
        }
        Ok(Self { files })
    }

    /// All paths, in order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The text at `path`, where there is one.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        match self.files.get(path)? {
            Content::Text(text) => Some(text),
            Content::Bytes(_) => None,
        }
    }

    /// All text files whose path ends in `ending`.
    pub fn texts(&self, ending: &'static str) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(move |(path, content)| match content {
            Content::Text(text) if path.ends_with(ending) => Some((path.as_str(), text.as_str())),
            _ => None,
        })
    }

    /// The size of the file at `path`, in bytes; zero where there is none.
    #[must_use]
    pub fn size_bytes(&self, path: &str) -> u64 {
        match self.files.get(path) {
            Some(Content::Text(text)) => u64::try_from(text.len()).unwrap_or(u64::MAX),
            Some(Content::Bytes(bytes)) => *bytes,
            None => 0,
        }
    }

    /// Whether `path` is a file, or a folder with one in it.
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.files.contains_key(path)
            || path.is_empty()
            || self.files.range(folder.clone()..).next().is_some_and(|(next, _)| next.starts_with(&folder))
    }

    /// Cuts the Rust files and reads the manifests.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        let rust = self.texts(".rs").map(|(path, text)| RustFile { path, text, source: Source::new(text) });
        View { tree: self, rust: rust.collect(), manifests: Manifest::all(self) }
    }
}

/// The folder of `path`; empty at the root.
#[must_use]
pub(super) fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// `target` seen from `folder`, with `.` and `..` worked out; `None` where it leaves the root.
#[must_use]
pub(super) fn resolve(folder: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn walk(root: &Path) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(root.join(&folder)).map_err(Error::io(format!("listing {folder}")))?;
        for entry in entries {
            let entry = entry.map_err(Error::io(format!("listing {folder}")))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let kind = entry.file_type().map_err(Error::io(format!("looking at {path}")))?;
            let left_out = matches!(name.as_str(), "target" | ".git" | "node_modules") || path == "data";
            if kind.is_dir() && !left_out {
                folders.push(path);
            } else if kind.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

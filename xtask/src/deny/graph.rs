//! The crates that are built, and who pulls in whom, as `cargo metadata` tells it.

use std::collections::{BTreeMap, BTreeSet};

use crate::Error;

/// The crates that are built.
#[derive(Debug)]
pub struct Graph {
    /// Each crate once.
    pub packages: Vec<Package>,
    /// Crates by what they depend on, as ids.
    edges: Vec<Node>,
}

/// A crate.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Cargo's name for exactly this one.
    pub id: String,
    /// Its licence as an SPDX expression.
    pub license: Option<String>,
    /// Where it comes from; none for what lies in this tree.
    pub source: Option<String>,
}

#[derive(serde::Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(serde::Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, serde::Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
}

impl Graph {
    /// Reads what `cargo metadata` printed.
    ///
    /// # Errors
    /// When it is no such text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let metadata: Metadata = serde_json::from_str(text).map_err(|error| Error::File {
            path: "cargo metadata".to_owned(),
            what: error.to_string(),
            mend: "use the cargo that rust-version in Cargo.toml asks for".to_owned(),
        })?;
        let built: BTreeSet<&String> = metadata.resolve.nodes.iter().map(|node| &node.id).collect();
        let packages = metadata.packages.into_iter().filter(|package| built.contains(&package.id)).collect();
        Ok(Self { packages, edges: metadata.resolve.nodes })
    }

    /// The names of the crates that depend on `id`.
    #[must_use]
    pub fn dependents(&self, id: &str) -> Vec<&str> {
        let by = self.edges.iter().filter(|node| node.dependencies.iter().any(|other| other == id));
        by.filter_map(|node| self.packages.iter().find(|package| package.id == node.id))
            .map(|p| p.name.as_str())
            .collect()
    }

    /// A note for each crate that is built in several versions.
    #[must_use]
    pub fn duplicates(&self) -> Vec<String> {
        let mut versions: BTreeMap<&str, Vec<&Package>> = BTreeMap::new();
        for package in &self.packages {
            versions.entry(&package.name).or_default().push(package);
        }
        let several = versions.into_iter().filter(|(_, packages)| packages.len() > 1);
        several
            .map(|(name, packages)| {
                let each = packages.iter().map(|package| {
                    format!("{} (by {})", package.version, self.dependents(&package.id).join(", "))
                });
                format!("{name} is built {} times: {}", packages.len(), each.collect::<Vec<_>>().join(", "))
            })
            .collect()
    }
}

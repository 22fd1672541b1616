//! `deny.toml` as far as it is judged here.
//!
//! Keys that only cargo-deny understands are left to it; a ban that could not be judged here (on a version) is an error.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::spdx;
use crate::Error;

/// The file's name, at the root.
const FILE: &str = "deny.toml";

/// Cargo's name for the crate registry, in lock files everywhere.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// What is allowed.
#[derive(Debug, serde::Deserialize)]
pub struct Policy {
    graph: Platforms,
    licenses: Licences,
    bans: Bans,
    sources: Sources,
}

#[derive(Debug, serde::Deserialize)]
struct Platforms {
    targets: Vec<String>,
}

#[derive(Debug, serde::Deserialize)]
struct Licences {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Debug, serde::Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

#[derive(Debug, serde::Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Debug, serde::Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    unknown_registry: String,
    unknown_git: String,
    #[serde(flatten)]
    rest: BTreeMap<String, toml::Value>,
}

impl Policy {
    /// Reads the policy of the checkout at `root`.
    ///
    /// # Errors
    /// When it is missing, damaged, or says what cannot be judged here.
    pub fn read(root: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(root.join(FILE)).map_err(Error::io(format!("reading {FILE}")))?;
        Self::parse(&text)
    }

    /// Reads a policy.
    ///
    /// # Errors
    /// When it is damaged, or says what cannot be judged here.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong =
            |what: String, mend: &str| Error::File { path: FILE.to_owned(), what, mend: mend.to_owned() };
        let policy: Self = toml::from_str(text)
            .map_err(|error| wrong(error.to_string(), "write it as cargo-deny reads it"))?;
        if let Some(ban) = policy.bans.deny.iter().find(|ban| ban.name.contains(['@', ':', '=', '*'])) {
            return Err(wrong(format!("`{}` bans a version", ban.name), "ban the crate by its name alone"));
        }
        if policy.graph.targets.is_empty() {
            return Err(wrong("[graph] names no targets".to_owned(), "name the platforms that are shipped"));
        }
        let strict = [&policy.sources.unknown_registry, &policy.sources.unknown_git]
            .iter()
            .all(|rule| *rule == "deny");
        if !strict || !policy.sources.rest.is_empty() {
            let mend = "deny unknown registries and git, and allow none";
            return Err(wrong("[sources] lets more in than the crate registry".to_owned(), mend));
        }
        Ok(policy)
    }

    /// The platforms that are shipped.
    pub fn platforms(&self) -> impl Iterator<Item = &str> {
        self.graph.targets.iter().map(String::as_str)
    }

    /// Judges the licence of the crate `name`.
    ///
    /// # Errors
    /// Why it is not allowed.
    pub fn judge_licence(&self, name: &str, expression: Option<&str>) -> Result<(), String> {
        let expression = expression.ok_or("it names no licence; look at its files and decide")?;
        let exception = self.licenses.exceptions.iter().find(|exception| exception.name == name);
        let lists =
            || std::iter::once(&self.licenses.allow).chain(exception.map(|exception| &exception.allow));
        match spdx::judge(expression, &|licence| {
            lists().any(|list| list.iter().any(|allowed| allowed == licence))
        }) {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(format!("its licence `{expression}` is not allowed; do without it, or decide in {FILE}"))
            }
            Err(error) => Err(format!("its licence cannot be understood: {error}")),
        }
    }

    /// Why the crate `name` is banned, where it is.
    #[must_use]
    pub fn ban(&self, name: &str) -> Option<&str> {
        self.bans.deny.iter().find(|ban| ban.name == name).map(|ban| ban.reason.as_str())
    }

    /// Whether a crate may come from `source`.
    #[must_use]
    pub fn allows_source(&self, source: &str) -> bool {
        source == REGISTRY
    }
}

mod bad;
mod deployment;
mod explain;
mod good;
mod mutations;
mod rules;
mod secrets;
mod served;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use forebay_server::configuration::{Declaration, Environment, Report};

/// What must never be shown.
pub const SECRET: &str = "hunter2-and-more";

/// An environment of a test's own.
#[derive(Default)]
pub struct Fixed {
    pub variables: BTreeMap<String, String>,
    pub files: BTreeMap<String, String>,
}

impl Fixed {
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.into(), text.into());
        self
    }
}

impl Environment for Fixed {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn file(&self, path: &str) -> io::Result<String> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// What the declarations of these tests may ask for.
pub fn environment() -> Fixed {
    Fixed::default()
        .variable("PASSWORD", SECRET)
        .variable("DATA", "data")
        .variable("FOREBAY_SECRET_KEY", "c2hvcnQ=")
}

pub fn parse(text: &str) -> Result<Declaration, Report> {
    Declaration::parse("forebay.toml", text, &environment())
}

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/configuration")
}

//! Cargo and git, called the same way everywhere.
//!
//! A cargo inside `cargo run` inherits variables that describe the package being run. They are taken away, so that a build
//! started here and one started by hand share their artefacts.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;

/// Variables that `cargo run` sets for the program it runs.
const OF_THE_RUNNER: &[&str] =
    &["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"];

/// The checkout's root.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Cargo, in `root`, without what the runner set.
#[must_use]
pub fn command(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let of_the_runner =
            name.to_str().is_some_and(|name| OF_THE_RUNNER.iter().any(|start| name.starts_with(start)));
        if of_the_runner {
            command.env_remove(name);
        }
    }
    command.current_dir(root).stdin(Stdio::null());
    command
}

/// Runs `command` and gives what it wrote to its standard output.
///
/// # Errors
/// When it cannot be started or ends badly; `mend` says what to do then.
pub fn output(command: &mut Command, mend: &str) -> Result<String, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let done = command.stdin(Stdio::null()).output().map_err(Error::io(format!("starting {program}")))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    Err(Error::Program { program, status: done.status.to_string(), mend: mend.to_owned(), said })
}

/// What git says in `root`; `None` where that is no checkout of git's, or git is missing.
#[must_use]
pub fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    git.arg("--no-optional-locks").args(arguments).current_dir(root);
    output(&mut git, "").ok()
}

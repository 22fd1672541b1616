//! Benchmarks by name, each beside its peers; the work is done by the crate in `bench/`.

use std::path::Path;

use crate::Error;
use crate::cargo;
use crate::process::Runner;

/// Runs the benchmark `name`, or lists the names.
///
/// # Errors
/// When it does not build, or ends badly.
pub fn run(root: &Path, runner: &Runner, name: Option<&str>, quick: bool) -> Result<(), Error> {
    let mut command = cargo::command(root);
    command.args(["run", "--release", "--quiet", "--package", "forebay-bench", "--"]);
    command.arg(name.unwrap_or("--list"));
    if quick {
        command.arg("--quick");
    }
    let ended = runner.run(command, |_| {})?;
    if ended.status.success() {
        return Ok(());
    }
    Err(Error::Failed(
        "the benchmark ended badly; `cargo xtask bench --list` names those that exist".to_owned(),
    ))
}

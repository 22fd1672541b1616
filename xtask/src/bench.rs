//! Benchmarks by name, each beside its peers; the work is done by the crate in `bench/`.

use std::path::{Path, PathBuf};

use crate::cargo;
use crate::process::Runner;
use crate::services::{Folder, Services};
use crate::{Error, needs};

/// Benchmarks that fill a private Redis, where there is one.
const WITH_REDIS: &[&str] = &["engine", "memory"];

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Which benchmark; none lists the names.
    pub name: Option<String>,
    /// A short run, to see that it works.
    pub quick: bool,
    /// A folder of traces in place of the committed ones.
    pub traces: Option<PathBuf>,
}

/// Runs a benchmark, or lists the names.
///
/// # Errors
/// When it does not build, or ends badly.
pub fn run(root: &Path, runner: &Runner, choice: &Choice) -> Result<(), Error> {
    let mut command = cargo::command(root);
    command.args(["run", "--release", "--quiet", "--package", "forebay-bench", "--"]);
    command.arg(choice.name.as_deref().unwrap_or("--list"));
    if choice.quick {
        command.arg("--quick");
    }
    if let Some(traces) = &choice.traces {
        command.arg("--traces").arg(traces);
    }
    let fills_redis = choice.name.as_deref().is_some_and(|name| WITH_REDIS.contains(&name));
    let ended = if fills_redis && needs::find("redis-server").is_some() {
        let folder = Folder::new()?;
        let mut services = Services::new(folder.path());
        command.args(["--redis", &services.url("redis")?]);
        let ended = runner.run(command, |_| {})?;
        drop(services);
        folder.close()?;
        ended
    } else {
        runner.run(command, |_| {})?
    };
    if ended.status.success() {
        return Ok(());
    }
    Err(Error::Failed(
        "the benchmark ended badly; `cargo xtask bench --list` names those that exist".to_owned(),
    ))
}

//! Benchmarks by name, each beside its peers; the work is done by the crate in `bench/`.

use std::path::{Path, PathBuf};

use crate::Error;
use crate::cargo;
use crate::needs::{self, For};
use crate::process::Runner;
use crate::services::{Folder, Services};

/// Benchmarks that fill a private Redis, where there is one.
const WITH_REDIS: &[&str] = &["engine", "memory", "stores", "batch"];
/// Benchmarks that write to a private PostgreSQL, where there is one. What it confirms is on the disk.
const WITH_POSTGRES: &[&str] = &["stores", "behind", "faults"];

/// What each service is called, who uses it, the program it needs, and the argument that says where it is.
const SERVICES: [(&str, &[&str], &str, &str); 2] =
    [("redis", WITH_REDIS, "redis-server", "--redis"), ("postgres", WITH_POSTGRES, "postgres", "--postgres")];

/// Benchmarks of the serving process, and the programs that they are told of, with the argument that says where each is.
const OF_SERVERS: &[&str] =
    &["server", "resp", "latency", "resident", "slow", "http", "apps", "app-orders", "app-quotes"];
const PROGRAMS: &[(&str, &str)] =
    &[("redis-server", "--redis-server"), ("nginx", "--nginx"), ("wrk", "--wrk")];

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
    let is_used = |users: &[&str]| choice.name.as_deref().is_some_and(|name| users.contains(&name));
    if is_used(OF_SERVERS) {
        needs::provide(For::Test)?;
        needs::provide(For::Bench)?;
        command.arg("--forebay").arg(release(root, runner)?);
        for (program, argument) in PROGRAMS {
            command.arg(argument).args(needs::find(program));
        }
    }
    let used =
        SERVICES.iter().filter(|(_, users, program, _)| is_used(users) && needs::find(program).is_some());
    let used: Vec<_> = used.collect();
    let ended = if used.is_empty() {
        runner.run(command, |_| {})?
    } else {
        let folder = Folder::new()?;
        let mut services = Services::durable(folder.path());
        for (name, _, _, argument) in used {
            command.arg(argument).arg(services.url(name)?);
        }
        let ended = runner.run(command, |_| {})?;
        drop(services);
        folder.close()?;
        ended
    };
    if ended.status.success() {
        return Ok(());
    }
    Err(Error::Failed(
        "the benchmark ended badly; `cargo xtask bench --list` names those that exist".to_owned(),
    ))
}

/// The `forebay` program as it is shipped, built.
fn release(root: &Path, runner: &Runner) -> Result<PathBuf, Error> {
    let mut build = cargo::command(root);
    build.args(["build", "--release", "--quiet", "--locked", "--package", "forebay-cli"]);
    if !runner.run(build, |_| {})?.status.success() {
        return Err(Error::Failed("the `forebay` program does not build in release".to_owned()));
    }
    let mut metadata = cargo::command(root);
    metadata.args(["metadata", "--format-version=1", "--no-deps", "--offline"]);
    let text = cargo::output(&mut metadata, "look at what cargo says")?;
    let told: Metadata = serde_json::from_str(&text).map_err(|error| Error::File {
        path: "cargo metadata".to_owned(),
        what: error.to_string(),
        mend: "look at what it prints".to_owned(),
    })?;
    Ok(told.target_directory.join("release").join("forebay"))
}

/// What is read of `cargo metadata`.
#[derive(Debug, serde::Deserialize)]
struct Metadata {
    target_directory: PathBuf,
}

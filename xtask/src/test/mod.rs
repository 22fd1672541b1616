//! The whole test: everything that must hold before a change is shared, in one command.
//!
//! It guarantees that each step is announced with its duration, that a failing step says what to do, that a failure does not
//! hide those behind it, and that nothing is left behind: no process, socket, temporary folder or changed checkout.

mod checkout;
mod tally;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub use tally::Tally;

use crate::needs::{self, For};
use crate::process::{Runner, Stop, now, say};
use crate::services::{self, Folder, Host};
use crate::{Error, cargo, clients, deny, tidy};
use checkout::Checkout;

/// Longest time for one step; a build from nothing on two cores takes less than half of it.
const STEP: Duration = Duration::from_secs(40 * 60);

/// The test of the engine that runs under the model checker.
const MODEL: &str = "crates/forebay/tests/it/model.rs";

/// How much to run.
#[derive(Clone, Debug)]
pub enum Extent {
    /// Everything.
    Whole,
    /// Formatter, tidy and the tests of one crate or of all.
    Quick(Option<String>),
}

/// Runs the test in the checkout at `root`.
///
/// # Errors
/// When a step fails, a program is missing that may not be installed, or on a request to stop.
pub fn run(root: &Path, extent: &Extent, stop: Stop) -> Result<(), Error> {
    let whole = matches!(extent, Extent::Whole);
    if whole {
        needs::provide(For::Test)?;
    }
    let before = Checkout::look(root);
    let folder = Folder::new()?;
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).map_err(Error::io("making a temporary folder for the tests"))?;
    let mut run = Run {
        root: root.to_path_buf(),
        runner: Runner { stop, limit: STEP },
        host: Host::start(folder.path())?,
        temporary,
        tally: Tally::default(),
        failed: Vec::new(),
    };
    if whole {
        run.whole()?;
    } else {
        run.quick(extent)?;
    }
    run.step("nothing is left behind", "let each test remove what it makes (TempDir does)", Run::leftovers)?;
    run.step("the checkout is unchanged", "let tests write to temporary folders only", |run| {
        Ok(checkout_changes(before.as_ref(), Checkout::look(&run.root).as_ref()))
    })?;
    let Run { host, tally, failed, .. } = run;
    drop(host);
    folder.close()?;
    for failure in &failed {
        say(format!("FAILED  {failure}"));
    }
    say(tally);
    if failed.is_empty() { Ok(()) } else { Err(Error::Failed(format!("{} steps failed", failed.len()))) }
}

struct Run {
    root: PathBuf,
    runner: Runner,
    host: Host,
    /// Where the tests' temporary folders land.
    temporary: PathBuf,
    tally: Tally,
    /// Name and mend of each step that failed.
    failed: Vec<String>,
}

/// What a step found wrong; empty is good.
type Problems = Vec<String>;

impl Run {
    fn whole(&mut self) -> Result<(), Error> {
        self.step(
            "dependencies",
            "a stale Cargo.lock is committed with its change; fetching needs a network",
            |run| {
                let policy = deny::Policy::read(&run.root)?;
                let fetch = |platform| run.cargo(&["fetch", "--locked", "--target", platform]);
                policy.platforms().map(fetch).collect::<Result<Vec<_>, _>>().map(|lists| lists.concat())
            },
        )?;
        self.sources()?;
        self.step("licences and bans", "see deny.toml; `cargo xtask deny` runs this alone", |run| {
            Ok(deny::check(&run.root)?.problems())
        })?;
        self.step(
            "clippy",
            "mend what it says; `cargo clippy --workspace --all-targets` runs this alone",
            |run| run.cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
        )?;
        let model = ["clippy", "-p", "forebay", "--features", "model", "--all-targets", "--locked"];
        self.step(
            "clippy with the model checker",
            "mend what it says, with `-p forebay --features model`",
            |run| run.cargo(&[&model[..], &["--", "-D", "warnings"]].concat()),
        )?;
        self.step("services", "see the message", |run| {
            say(format!("offered on {}; started when a test asks", run.host.path().display()));
            Ok(Problems::new())
        })?;
        let mend = "the message says what is missing, and how to get it";
        self.step("clients that are not ours", mend, |_| {
            let missing = |language| clients::provide(language).err().map(|error| error.to_string());
            Ok(clients::ALL.into_iter().filter_map(missing).collect())
        })?;
        self.tests("tests", &["--workspace", "--locked"])?;
        if self.root.join(MODEL).exists() {
            let features = |feature| ["-p", "forebay", "--locked", "--test", "it", "--features", feature];
            let arguments = [&features("model")[..], &["--lib", "model"]].concat();
            self.tests("tests under the model checker", &arguments)?;
            let arguments = [&features("planted")[..], &["planted"]].concat();
            self.tests("bugs planted to be found", &arguments)?;
            let arguments = [&features("model,planted")[..], &["--lib", "planted"]].concat();
            self.tests("bugs planted under the model checker", &arguments)?;
            let arguments =
                ["-p", "forebay-stores", "--locked", "--test", "it", "--features", "planted", "planted"];
            self.tests("bugs planted in journals", &arguments)?;
        }
        self.step(
            "documentation",
            "mend the comments; `cargo doc --workspace --no-deps` runs this alone",
            |run| {
                let mut command = cargo::command(&run.root);
                let flags = std::env::var("RUSTDOCFLAGS").unwrap_or_default();
                command
                    .args(["doc", "--workspace", "--no-deps", "--locked"])
                    .env("RUSTDOCFLAGS", flags + " -D warnings");
                run.program(command)
            },
        )
    }

    fn quick(&mut self, extent: &Extent) -> Result<(), Error> {
        self.sources()?;
        match extent {
            Extent::Quick(Some(name)) => self.tests("tests", &["--package", name]),
            _ => self.tests("tests", &["--workspace"]),
        }
    }

    fn sources(&mut self) -> Result<(), Error> {
        self.step("formatter", "run `cargo fmt --all`", |run| run.cargo(&["fmt", "--all", "--check"]))?;
        self.step("tidy", "each line says how to mend it; `cargo xtask tidy` runs this alone", |run| {
            Ok(tidy::check_checkout(&run.root)?.iter().map(ToString::to_string).collect())
        })
    }

    /// Does one step; only a request to stop ends the run.
    fn step(
        &mut self,
        name: &str,
        mend: &str,
        work: impl FnOnce(&mut Self) -> Result<Problems, Error>,
    ) -> Result<(), Error> {
        say(format!("== {name}"));
        let start = now();
        let problems = match work(self) {
            Err(Error::Stopped) => return Err(Error::Stopped),
            Err(error) => vec![error.to_string()],
            Ok(problems) => problems,
        };
        let seconds = start.elapsed().as_secs_f64();
        for problem in &problems {
            say(problem);
        }
        if problems.is_empty() {
            say(format!("== {name}: ok in {seconds:.1} s"));
        } else {
            say(format!("== {name}: FAILED in {seconds:.1} s: {mend}"));
            self.failed.push(format!("{name}: {mend}"));
        }
        Ok(())
    }

    fn tests(&mut self, name: &str, arguments: &[&str]) -> Result<(), Error> {
        let mend = "`cargo xtask test --quick CRATE` runs one crate's; the panic says where";
        self.step(name, mend, |run| {
            let mut command = cargo::command(&run.root);
            command.arg("test").arg("--no-fail-fast").args(arguments);
            command.env(services::VARIABLE, run.host.path()).env("TMPDIR", &run.temporary);
            let mut tally = Tally::default();
            let ended = run.runner.run(command, |line| tally.see(line))?;
            // A run that ends badly without naming a test (it did not build, it was killed) is a failure all the same.
            tally.close(ended.status.success());
            run.tally.add(tally);
            Ok(problems_of(&ended))
        })
    }

    fn cargo(&mut self, arguments: &[&str]) -> Result<Problems, Error> {
        let mut command = cargo::command(&self.root);
        command.args(arguments);
        self.program(command)
    }

    fn program(&mut self, command: Command) -> Result<Problems, Error> {
        Ok(problems_of(&self.runner.run(command, |_| {})?))
    }

    fn leftovers(&mut self) -> Result<Problems, Error> {
        let entries =
            fs::read_dir(&self.temporary).map_err(Error::io("looking into the temporary folder"))?;
        let name = |entry: fs::DirEntry| format!("left behind: {}", entry.file_name().to_string_lossy());
        Ok(entries.flatten().map(name).collect())
    }
}

fn problems_of(ended: &crate::process::Ended) -> Problems {
    let mut problems: Problems =
        ended.left_behind.iter().map(|line| format!("left running: {line}")).collect();
    if ended.late {
        problems.push(format!("it ran longer than {} minutes and was ended", STEP.as_secs() / 60));
    } else if !ended.status.success() {
        problems.push(format!("it ended with {}", ended.status));
    }
    problems
}

fn checkout_changes(before: Option<&Checkout>, after: Option<&Checkout>) -> Problems {
    if let (Some(before), Some(after)) = (before, after) {
        return before
            .changes(after)
            .into_iter()
            .map(|path| format!("changed by this run: {path}"))
            .collect();
    }
    say("skipped: this is no git checkout");
    Problems::new()
}

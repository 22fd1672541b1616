//! `cargo xtask`: reads the command line, calls the chore, turns its outcome into an exit code.

#![allow(clippy::print_stderr, reason = "a command that talks to the person at the terminal")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use xtask::bench::Choice;
use xtask::needs::{self, For};
use xtask::process::{Runner, Stop, say};
use xtask::services::{Folder, NAMES, Services};
use xtask::test::Extent;
use xtask::{Error, bench, cargo, clients, crash, deny, fuzz, same, test, tidy, verify};

/// Longest time for a benchmark or a proof, its build included.
const LONG: Duration = Duration::from_secs(4 * 60 * 60);

/// Forebay's chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run everything that must hold before a change is shared
    ///
    /// Formatter, tidy, licences, clippy, all tests with the services they ask for, the model checker, rustdoc. Prints
    /// `N passed, N failed` at the end and leaves nothing behind but installed packages.
    #[command(
        after_help = "Examples:\n  cargo xtask test\n  cargo xtask test --quick\n  cargo xtask test --quick forebay-wire"
    )]
    Test {
        /// Only formatter, tidy and the tests of CRATE, or of all crates
        #[arg(long, num_args = 0..=1, value_name = "CRATE")]
        quick: Option<Option<String>>,
    },
    /// Check the rules of the source tree
    #[command(
        after_help = "Each line is `path:line: rule: what; mend`. CONTRIBUTING.md gives the rules with their reasons."
    )]
    Tidy,
    /// Check licences, banned crates and origins by deny.toml, offline
    Deny,
    /// Start private servers and keep them until Ctrl-C
    #[command(
        after_help = "Examples:\n  cargo xtask services redis\n  cargo xtask services postgres postgres-replica"
    )]
    Services {
        /// Which: redis, postgres, postgres-replica, postgres-heir
        #[arg(required = true, value_parser = clap::builder::PossibleValuesParser::new(NAMES))]
        names: Vec<String>,
    },
    /// List the programs that the chores need, or install them
    #[command(after_help = "Examples:\n  cargo xtask needs\n  cargo xtask needs --bench")]
    Needs {
        /// Find or install what the tests need
        #[arg(long)]
        test: bool,
        /// Find or install what the benchmarks need
        #[arg(long)]
        bench: bool,
    },
    /// Run a benchmark beside its peers, in a release build
    #[command(
        after_help = "Examples:\n  cargo xtask bench --list\n  cargo xtask bench NAME --quick\n  cargo xtask bench ratio --traces DIR"
    )]
    Bench {
        /// Which; `--list` names them
        #[arg(required_unless_present = "list")]
        name: Option<String>,
        /// A short run, to see that it works
        #[arg(long)]
        quick: bool,
        /// Measure the traces of this folder in place of the committed ones
        #[arg(long, value_name = "DIR")]
        traces: Option<PathBuf>,
        /// List the names
        #[arg(long, conflicts_with = "name")]
        list: bool,
    },
    /// Check recorded histories of random workloads for what the engine promises, in a release build
    ///
    /// Counts invalidations that met a load and were checked by a later read, and prints what it ran at the end. A broken
    /// promise is printed with the history around it and the seed that shows it again. docs/proofs.md says what is proved.
    #[command(
        after_help = "Examples:\n  cargo xtask verify\n  cargo xtask verify --quick\n  cargo xtask verify --seed 17 --count 1"
    )]
    Verify {
        /// Count 1,000,000 instead of 10,000,000
        #[arg(long)]
        quick: bool,
        /// The seed of the first world
        #[arg(long, value_name = "S")]
        seed: Option<u64>,
        /// How many invalidations to count
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
    /// Kill processes that write, again and again, and look for what they acknowledged
    ///
    /// Writes behind on SQLite and on PostgreSQL, the disk, the embedded tier, and `forebay serve` with its stores: each is ended by
    /// SIGKILL in the middle of its writes, and nothing that it acknowledged may be lost, doubled or out of order. Prints a line for
    /// each at the end, with `-` for what its writes cannot show. docs/proofs.md says more.
    #[command(
        after_help = "Examples:\n  cargo xtask crash\n  cargo xtask crash --quick\n  cargo xtask crash --cycles 10000"
    )]
    Crash {
        /// Kill each 100 times instead of 1,000
        #[arg(long)]
        quick: bool,
        /// How often to kill each
        #[arg(long, value_name = "N", conflicts_with = "quick", value_parser = clap::value_parser!(u64).range(1..))]
        cycles: Option<u64>,
    },
    /// Send the same streams of commands to redis-server and to us, each command 1,000 times, and compare the answers
    ///
    /// The tests do it 50 times each. An answer that differs is printed with what was done to its keys before, and with the seed that
    /// shows it again. Prints a line for each group of commands at the end.
    #[command(after_help = "Examples:\n  cargo xtask same\n  cargo xtask same --rounds 200 --seed 17")]
    Same {
        /// How often to send each command
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        rounds: Option<u64>,
        /// The seed of the streams
        #[arg(long, value_name = "S")]
        seed: Option<u64>,
    },
    /// Attack the parsers with inputs made from their corpora, each in turn
    ///
    /// Everything that reads bytes which others wrote: RESP, HTTP, declarations, journals, records, globs. What must hold whatever the
    /// input is in fuzz/src/targets. Prints a line for each target; a finding is printed with the line to add to its corpus.
    #[command(
        after_help = "Examples:\n  cargo xtask fuzz --quick\n  cargo xtask fuzz resp_request --minutes 60\n  cargo xtask fuzz --minutes 600 --seed 17"
    )]
    Fuzz {
        /// Which target; all where it is left out
        target: Option<String>,
        /// One minute in all
        #[arg(long)]
        quick: bool,
        /// How many minutes in all; 60 where nothing is said
        #[arg(long, value_name = "N", conflicts_with = "quick", value_parser = clap::value_parser!(u64).range(1..))]
        minutes: Option<u64>,
        /// The seed that the inputs are made by
        #[arg(long, value_name = "S")]
        seed: Option<u64>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().chore) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            error.exit_code()
        }
    }
}

fn run(chore: Chore) -> Result<(), Error> {
    let root = cargo::root();
    match chore {
        Chore::Test { quick: None } => test::run(&root, &Extent::Whole, Stop::listen()?),
        Chore::Test { quick: Some(name) } => test::run(&root, &Extent::Quick(name), Stop::listen()?),
        Chore::Tidy => {
            report(tidy::check_checkout(&root)?.iter().map(ToString::to_string).collect(), "findings")
        }
        Chore::Deny => report(deny::check(&root)?.problems(), "denied"),
        Chore::Services { names } => serve(&names),
        Chore::Needs { test, bench } => {
            for by in [test.then_some(For::Test), bench.then_some(For::Bench)].into_iter().flatten() {
                needs::provide(by)?;
            }
            if test {
                for language in clients::ALL {
                    clients::provide(language)?;
                }
            }
            say(needs::table());
            Ok(())
        }
        Chore::Bench { name, quick, traces, .. } => {
            let runner = Runner { stop: Stop::listen()?, limit: LONG };
            // Cargo runs it in the root; a path is meant from where the command was given.
            let traces =
                traces.map(std::path::absolute).transpose().map_err(Error::io("finding the traces"))?;
            bench::run(&root, &runner, &Choice { name, quick, traces })
        }
        Chore::Verify { quick, seed, count } => {
            let runner = Runner { stop: Stop::listen()?, limit: LONG };
            verify::run(&root, &runner, verify::Extent::new(quick, seed, count))
        }
        Chore::Crash { quick, cycles } => {
            needs::provide(For::Test)?;
            let runner = Runner { stop: Stop::listen()?, limit: LONG };
            crash::run(&root, &runner, crash::cycles(quick, cycles))
        }
        Chore::Same { rounds, seed } => {
            needs::provide(For::Test)?;
            let runner = Runner { stop: Stop::listen()?, limit: LONG };
            same::run(&root, &runner, rounds, seed)
        }
        Chore::Fuzz { target, quick, minutes, seed } => {
            let choice = fuzz::Choice { target, quick, minutes, seed };
            // Its own time, and as long again as anything may take, for the build.
            let limit = LONG + Duration::from_secs(choice.minutes.unwrap_or_default().saturating_mul(60));
            fuzz::run(&root, &Runner { stop: Stop::listen()?, limit }, &choice)
        }
    }
}

fn report(lines: Vec<String>, what: &str) -> Result<(), Error> {
    for line in &lines {
        say(line);
    }
    if lines.is_empty() { Ok(()) } else { Err(Error::Failed(format!("{} {what}", lines.len()))) }
}

fn serve(names: &[String]) -> Result<(), Error> {
    let stop = Stop::listen()?;
    needs::provide(For::Test)?;
    let folder = Folder::new()?;
    say(format!("folder {}", folder.path().display()));
    let mut services = Services::new(folder.path());
    for name in names {
        if stop.asked() {
            break;
        }
        say(format!("{name} {}", services.url(name)?));
    }
    say("Ctrl-C ends them");
    stop.wait();
    drop(services);
    folder.close()
}

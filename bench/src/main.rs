//! `forebay-bench NAME`: Forebay beside its peers, in one run on one machine.
//!
//! This file reads the command line and holds the table of benchmarks; each benchmark is a file of its own. The peers are
//! used as their own documentation says to, with their default hashers and policies.

mod error;
mod hit;
mod race;
mod report;
mod rounds;
mod zipf;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use clap::builder::PossibleValuesParser;

use error::Error;

/// One benchmark.
struct Bench {
    /// What the command line calls it.
    name: &'static str,
    /// What it measures, in a line.
    measures: &'static str,
    /// What it has to reach, in a line.
    goal: &'static str,
    /// Runs it and writes its lines.
    run: fn(&mut dyn Write, Extent) -> Result<(), Error>,
}

/// Every benchmark, in the order that `--list` prints.
const BENCHES: &[Bench] = &[
    Bench { name: "hit", measures: hit::MEASURES, goal: hit::GOAL, run: hit::run },
    Bench { name: "race", measures: race::MEASURES, goal: race::GOAL, run: race::run },
];

/// How long a benchmark runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// Long enough for figures that can be quoted.
    Full,
    /// Long enough to see that it works.
    Quick,
}

const AFTER_HELP: &str = "\
What it prints, one line each:
  bench=NAME ours=V peer=PEER theirs=V unit=U ratio=R goal=G ok|short
      a comparison; ratio is always \"ours is R times better\", rounded down, and `ok` means that it reaches the goal
  race peer=NAME kept_stale=yes|no
      whether a cache still answers the old value once the load that an invalidation overtook has ended
  bench=race ours=yes|no peer=PEER theirs=yes|no unit=kept_stale goal=no ok|short
      the same as a comparison, without a ratio; `ok` judges ours
  # TEXT
      a note for the reader: what was set up, what the harness itself costs

Exit codes: 0 it ran, whether or not it reached its goals; 1 it could not run, or a promise was broken;
2 the command line is wrong.

Examples:
  forebay-bench --list
  forebay-bench hit
  forebay-bench hit --quick
  forebay-bench race";

/// Forebay beside its peers, in one run.
#[derive(Debug, Parser)]
#[command(name = "forebay-bench", arg_required_else_help = true, after_help = AFTER_HELP)]
struct Arguments {
    /// Which benchmark to run
    #[arg(
        required_unless_present = "list",
        value_parser = PossibleValuesParser::new(BENCHES.iter().map(|bench| bench.name))
    )]
    name: Option<String>,
    /// Run for a second or so: enough to see that it works, not enough to quote
    #[arg(long)]
    quick: bool,
    /// List the benchmarks: name, what it measures, goal
    #[arg(long, conflicts_with = "name")]
    list: bool,
}

#[expect(clippy::print_stderr, reason = "a command that talks to the person at the terminal")]
fn main() -> ExitCode {
    match run(&Arguments::parse(), &mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("forebay-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Error> {
    let extent = if arguments.quick { Extent::Quick } else { Extent::Full };
    for bench in BENCHES {
        if arguments.list {
            writeln!(out, "{}  {}  {}", bench.name, bench.measures, bench.goal)?;
        } else if arguments.name.as_deref() == Some(bench.name) {
            (bench.run)(out, extent)?;
        }
    }
    Ok(())
}

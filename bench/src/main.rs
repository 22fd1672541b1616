//! `forebay-bench NAME`: Forebay beside its peers, in one run on one machine.
//!
//! This file reads the command line and holds the table of benchmarks; each benchmark is a file of its own. The peers are
//! used as their own documentation says to, with their default hashers and policies.

mod apps;
mod breaker;
mod error;
mod fit;
mod hit;
mod many;
mod memory;
mod mixed;
mod observe;
mod peers;
mod race;
mod ratio;
mod report;
mod rounds;
mod server;
mod stores;
mod traces;
mod zipf;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::builder::{PossibleValue, PossibleValuesParser};

use error::Error;

/// The allocator of the `forebay` command, for all that are compared in this process.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// One benchmark.
struct Bench {
    /// What the command line calls it.
    name: &'static str,
    /// What it measures, in a line.
    measures: &'static str,
    /// What it has to reach, in a line.
    goal: &'static str,
    /// Runs it and writes its lines.
    run: fn(&mut dyn Write, &Settings) -> Result<(), Error>,
}

/// Every benchmark, in the order that `--list` prints.
const BENCHES: &[Bench] = &[
    Bench { name: "hit", measures: hit::MEASURES, goal: hit::GOAL, run: hit::run },
    Bench { name: "mixed", measures: mixed::MEASURES, goal: mixed::GOAL, run: mixed::run },
    Bench { name: "ratio", measures: ratio::MEASURES, goal: ratio::GOAL, run: ratio::run },
    Bench { name: "herd", measures: many::HERD_MEASURES, goal: many::HERD_GOAL, run: many::herd },
    Bench { name: "cold", measures: many::COLD_MEASURES, goal: many::COLD_GOAL, run: many::cold },
    Bench { name: "memory", measures: memory::MEASURES, goal: memory::GOAL, run: memory::run },
    Bench { name: "breaker", measures: breaker::MEASURES, goal: breaker::GOAL, run: breaker::run },
    Bench { name: "observe", measures: observe::MEASURES, goal: observe::GOAL, run: observe::run },
    Bench {
        name: "batch",
        measures: stores::batch::MEASURES,
        goal: stores::batch::GOAL,
        run: stores::batch::run,
    },
    Bench {
        name: "behind",
        measures: stores::behind::MEASURES,
        goal: stores::behind::GOAL,
        run: stores::behind::run,
    },
    Bench {
        name: "restart",
        measures: stores::restart::MEASURES,
        goal: stores::restart::GOAL,
        run: stores::restart::run,
    },
    Bench {
        name: "faults",
        measures: stores::faults::MEASURES,
        goal: stores::faults::GOAL,
        run: stores::faults::run,
    },
    Bench {
        name: "resp",
        measures: server::resp::MEASURES,
        goal: server::resp::GOAL,
        run: server::resp::run,
    },
    Bench {
        name: "latency",
        measures: server::latency::MEASURES,
        goal: server::latency::GOAL,
        run: server::latency::run,
    },
    Bench {
        name: "resident",
        measures: server::resident::MEASURES,
        goal: server::resident::GOAL,
        run: server::resident::run,
    },
    Bench {
        name: "slow",
        measures: server::slow::MEASURES,
        goal: server::slow::GOAL,
        run: server::slow::run,
    },
    Bench {
        name: "http",
        measures: server::http::MEASURES,
        goal: server::http::GOAL,
        run: server::http::run,
    },
    Bench {
        name: "layers",
        measures: server::layers::MEASURES,
        goal: server::layers::GOAL,
        run: server::layers::run,
    },
    Bench {
        name: "app-orders",
        measures: apps::orders::MEASURES,
        goal: apps::orders::GOAL,
        run: apps::orders::run,
    },
    Bench {
        name: "app-quotes",
        measures: apps::quotes::MEASURES,
        goal: apps::quotes::GOAL,
        run: apps::quotes::run,
    },
    Bench { name: "race", measures: race::MEASURES, goal: race::GOAL, run: race::run },
];

/// All of some in a row, under one name.
const GROUPS: &[(&str, &[&str])] = &[
    ("engine", &["hit", "mixed", "ratio", "herd", "cold", "memory", "breaker"]),
    ("stores", &["batch", "behind", "restart", "faults"]),
    ("apps", &["app-orders", "app-quotes"]),
    ("server", &["resp", "latency", "resident", "slow", "http", "layers"]),
];

/// What the command line says of how to run.
#[derive(Clone, Debug)]
struct Settings {
    extent: Extent,
    /// A folder of traces in place of the committed ones.
    traces: Option<PathBuf>,
    /// The address of a Redis that may be filled.
    redis: Option<String>,
    /// The address of a PostgreSQL database that may be written to.
    postgres: Option<String>,
    /// The programs that are measured as servers.
    programs: server::Programs,
}

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
  ratio trace=NAME size=1%|10% entries=N forebay=V PEER=V …
      hit ratios on one trace, in per cent of its requests
  bench=ratio-worst row=TRACE@SIZE ours=V peer=PEER theirs=V unit=% below=D goal=G ok|short
      the row that lies farthest below the best of its peers, by D points
  race peer=NAME kept_stale=yes|no
      whether a cache still answers the old value once the load that an invalidation overtook has ended
  bench=race ours=yes|no peer=PEER theirs=yes|no unit=kept_stale goal=no ok|short
      the same as a comparison, without a ratio; `ok` judges ours
  layer=NAME ours=V unit=U
      what one part of a hit costs
  # TEXT
      a note for the reader: what was set up, what the harness itself costs

Exit codes: 0 it ran, whether or not it reached its goals; 1 it could not run, or a promise was broken;
2 the command line is wrong.

Examples:
  forebay-bench --list
  forebay-bench hit
  forebay-bench hit --quick
  forebay-bench engine --quick
  forebay-bench ratio --traces DIR
  forebay-bench race";

/// Forebay beside its peers, in one run.
#[derive(Debug, Parser)]
#[command(name = "forebay-bench", arg_required_else_help = true, after_help = AFTER_HELP)]
struct Arguments {
    /// Which benchmark to run
    #[arg(
        required_unless_present = "list",
        value_parser = PossibleValuesParser::new(names())
    )]
    name: Option<String>,
    /// Run for a second or so: enough to see that it works, not enough to quote
    #[arg(long)]
    quick: bool,
    /// Measure the traces of this folder in place of the committed ones
    #[arg(long, value_name = "DIR")]
    traces: Option<PathBuf>,
    /// Compare memory with the Redis at this address, such as redis://127.0.0.1:6379; its data set grows by 1,000,000 keys
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Measure with the PostgreSQL database at this address too, such as postgres://postgres@127.0.0.1/postgres; tables are made in it
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    #[command(flatten)]
    programs: server::Programs,
    /// List the benchmarks: name, what it measures, goal
    #[arg(long, conflicts_with = "name")]
    list: bool,
}

#[expect(clippy::print_stderr, reason = "a command that talks to the person at the terminal")]
fn main() -> ExitCode {
    match run(Arguments::parse(), &mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("forebay-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What can be run: each benchmark, all of the engine's, and what a benchmark runs in a process of its own.
fn names() -> impl Iterator<Item = PossibleValue> {
    let shown = BENCHES
        .iter()
        .map(|bench| bench.name)
        .chain(GROUPS.iter().map(|(name, _)| *name))
        .map(PossibleValue::new);
    let alone = [memory::ALONE, stores::restart::QUEUE_ALONE, stores::restart::ENTRIES_ALONE];
    shown.chain(alone.map(|name| PossibleValue::new(name).hide(true)))
}

fn run(arguments: Arguments, out: &mut dyn Write) -> Result<(), Error> {
    let Arguments { name, quick, traces, redis, postgres, programs, list } = arguments;
    let extent = if quick { Extent::Quick } else { Extent::Full };
    let settings = Settings { extent, traces, redis, postgres, programs };
    let name = name.unwrap_or_default();
    match name.as_str() {
        memory::ALONE => return memory::alone(out, extent),
        stores::restart::QUEUE_ALONE => return stores::restart::queue_alone(out, extent),
        stores::restart::ENTRIES_ALONE => return stores::restart::entries_alone(out, extent),
        _ => {}
    }
    let group = GROUPS.iter().find(|(group, _)| *group == name).map_or(&[][..], |(_, benches)| *benches);
    for bench in BENCHES {
        if list {
            writeln!(out, "{}  {}  {}", bench.name, bench.measures, bench.goal)?;
        } else if bench.name == name || group.contains(&bench.name) {
            (bench.run)(out, &settings)?;
        }
    }
    if list {
        for (group, benches) in GROUPS {
            writeln!(out, "{group}  {}, one after the other  all of theirs", benches.join(", "))?;
        }
    }
    Ok(())
}

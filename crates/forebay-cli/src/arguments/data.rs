//! The arguments of the commands that ask a running server for keys and counts, and of those that a shell or a new declaration need.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use forebay_server::configuration;

use super::At;
use crate::connect::{Address, Ca};

const INIT_HELP: &str = "\
Examples:
  forebay init --database sqlite:data/shop.db                       print a proposal
  forebay init --database sqlite:data/shop.db --to forebay.toml     write it to a new file
  forebay init --database postgres://app@db/shop --schema sales     the tables of one schema
  forebay check --connect forebay.toml                              then see that it works

Each table that has a primary key becomes a namespace; comments say what there is to decide. The database is only read.
Exit codes: 0 proposed, 1 it could not be done, 2 wrong arguments.";

/// What is proposed for, and where to.
#[derive(Clone, Debug, Args)]
#[command(after_help = INIT_HELP)]
pub(crate) struct Init {
    /// The database: sqlite:PATH, or postgres://USER@HOST/NAME
    #[arg(long, value_name = "URL")]
    pub(crate) database: String,
    /// Of PostgreSQL: the tables of this schema; may be given more than once. Where it is not said, the one that names without a schema mean
    #[arg(long, value_name = "NAME")]
    pub(crate) schema: Vec<String>,
    /// Write the proposal to this file, which must not be there yet, in place of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
}

const GET_HELP: &str = "\
Examples:
  forebay get stock:600000                 print the value
  forebay get photo:7 > photo.jpg          its bytes as they are
  forebay get stock:600000 --json          {\"key\":…,\"value\":…}; bytes that are no text as \"base64\"

Exit codes: 0 it exists, 1 it cannot be read, 2 wrong arguments, 3 it does not exist.";

/// Which key is read.
#[derive(Clone, Debug, Args)]
#[command(after_help = GET_HELP)]
pub(crate) struct Get {
    /// The key
    pub(crate) key: String,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: At,
}

const PUT_HELP: &str = "\
Examples:
  forebay put note:1 hello                 write a text
  forebay put note:1 hello --ttl 1h30m     that ends by itself
  forebay put photo:7 --file photo.jpg     write what a file has
  tar c src | forebay put archive -        write what comes on standard input

Exit codes: 0 written, 1 not written, 2 wrong arguments.";

/// What is written.
#[derive(Clone, Debug, Args)]
#[command(after_help = PUT_HELP)]
pub(crate) struct Put {
    /// The key
    pub(crate) key: String,
    /// The value; `-` reads it on standard input
    #[arg(required_unless_present = "file", conflicts_with = "file", allow_hyphen_values = true)]
    pub(crate) value: Option<String>,
    /// Take the value of this file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// End it after this time, such as 30s or 1h30m
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub(crate) ttl: Option<Duration>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: At,
}

fn span(text: &str) -> Result<Duration, String> {
    let span = configuration::duration(text)?;
    if span.is_zero() { Err("the value would end at once: give it a longer time".into()) } else { Ok(span) }
}

const DEL_HELP: &str = "\
Examples:
  forebay del note:1 note:2                print how many of them there were
  forebay del note:1 --json                {\"held\":1}

Exit codes: 0 none of them is there any more, 1 it could not be done, 2 wrong arguments.";

/// What is deleted.
#[derive(Clone, Debug, Args)]
#[command(after_help = DEL_HELP)]
pub(crate) struct Del {
    /// The keys
    #[arg(required = true)]
    pub(crate) keys: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: At,
}

const LIST_HELP: &str = "\
Examples:
  forebay list                             the keys there are, one a line
  forebay list stock: --limit 20           twenty that begin so
  forebay list stock: --json               {\"key\":…} a line; keys that are no text as \"base64\"

Nothing is loaded: what no read has asked for yet is not listed.
Exit codes: 0 listed, 1 it could not be done, 2 wrong arguments.";

/// What is listed.
#[derive(Clone, Debug, Args)]
#[command(after_help = LIST_HELP)]
pub(crate) struct List {
    /// What the keys begin with
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// List so many at most
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    pub(crate) limit: usize,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: At,
}

const INVALIDATE_HELP: &str = "\
Examples:
  forebay invalidate --key stock:600000 --key stock:600519     what is held of these keys
  forebay invalidate --tag bank                                what bears this tag
  forebay invalidate --namespace STOCK_CACHE --prefix stock:6  what begins so
  forebay invalidate --namespace STOCK_CACHE                   all of a namespace

All but --key is asked over HTTP. Values in stores and databases stay: only copies go.
Exit codes: 0 no read that starts now gets what was held, 1 it could not be done, 2 wrong arguments.";

/// What is invalidated.
#[derive(Clone, Debug, Args)]
#[command(after_help = INVALIDATE_HELP)]
pub(crate) struct Invalidate {
    /// A key; may be given more than once
    #[arg(
        long = "key",
        value_name = "KEY",
        conflicts_with_all = ["tags", "prefix", "namespace"],
        required_unless_present_any = ["tags", "namespace"],
    )]
    pub(crate) keys: Vec<String>,
    /// A tag; may be given more than once
    #[arg(long = "tag", value_name = "TAG", conflicts_with_all = ["prefix", "namespace"])]
    pub(crate) tags: Vec<String>,
    /// With --namespace: those of its keys that begin so
    #[arg(long, requires = "namespace")]
    pub(crate) prefix: Option<String>,
    /// All of this namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Where it serves HTTP; where it is not said, as in ./forebay.toml, else 127.0.0.1:8080
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<Address>,
    /// The keyspace's name, over HTTP; where it is not said, that with the number --db, which an admin may ask for
    #[arg(long, value_name = "NAME")]
    pub(crate) keyspace: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: At,
}

const WHY_HELP: &str = "\
Examples:
  forebay why stock:600000                 its namespace, what is held, how old it is
  forebay why stock:600000 --json          the same as one object

Exit codes: 0 a value is held, 1 it could not be asked, 2 wrong arguments, 3 no value is held: nothing, or that the key does not exist.";

/// Which key is looked at.
#[derive(Clone, Debug, Args)]
#[command(after_help = WHY_HELP)]
pub(crate) struct Why {
    /// The key
    pub(crate) key: String,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: At,
}

const STATS_HELP: &str = "\
Examples:
  forebay stats                            reads, loads and memory, a line for each namespace
  forebay stats --watch                    again each second, until Ctrl-C
  forebay stats --json                     the same as one object

Exit codes: 0 told, 1 it could not be asked, 2 wrong arguments.";

/// How counts are told.
#[derive(Clone, Debug, Args)]
#[command(after_help = STATS_HELP)]
pub(crate) struct Stats {
    /// Tell it again each second, with how many reads there were since
    #[arg(long)]
    pub(crate) watch: bool,
    /// Print one JSON object; with --watch one a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Where it serves HTTP; where it is not said, as in ./forebay.toml, else 127.0.0.1:8080
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<Address>,
    #[command(flatten)]
    pub(crate) tls: Ca,
    /// A token of an admin, where the process asks for one; others see arguments, so better by the variable
    #[arg(long, value_name = "TOKEN", env = "FOREBAY_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
}

const RELOAD_HELP: &str = "\
Examples:
  forebay reload                           read ./forebay.toml again, and tell what is different then
  forebay reload --json                    {\"added\":[…],\"changed\":[…],\"removed\":[…]}

What is wrong keeps all of it from being served: what was declared before stays in service.
Exit codes: 0 in service, 1 not, and the message says why, 2 wrong arguments.";

/// Where declarations are read again.
#[derive(Clone, Debug, Args)]
#[command(after_help = RELOAD_HELP)]
pub(crate) struct Reload {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: At,
}

const WARM_HELP: &str = "\
Examples:
  forebay warm                             load what ./forebay.toml declares to be warm, and show how far it is
  forebay warm STOCK_CACHE                 of one namespace alone
  forebay warm --json                      one object a namespace, when all are done

Ctrl-C stops it; where this command is killed, the server goes on to the end.
Exit codes: 0 all keys are loaded or do not exist, 1 some could not be loaded or it was stopped, 2 wrong arguments.";

/// What is loaded before anybody asks.
#[derive(Clone, Debug, Args)]
#[command(after_help = WARM_HELP)]
pub(crate) struct Warm {
    /// This namespace alone
    pub(crate) namespace: Option<String>,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: At,
}

const BENCH_HELP: &str = "\
Examples:
  forebay bench --key stock:600000                                   GETs of one key, as fast as they go
  forebay bench --key 'note:{n}' --keys 10000 --sets 20              of ten thousand, one in five a SET
  forebay bench --key stock:600000 --rate 20000                      so many a second, whatever the server does
  forebay bench --path /v1/stocks/STOCK_CACHE/stock:600000 --json    over HTTP

It is a load on a server that serves others too, and no comparison. It speaks without TLS. With --rate a request that had to wait for the one before it counts
from when it was due.
Exit codes: 0 all were answered, 1 not all or none, and the message says why, 2 wrong arguments.";

/// A load.
#[derive(Clone, Debug, Args)]
#[command(after_help = BENCH_HELP)]
pub(crate) struct Bench {
    /// Over RESP: the key; `{n}` in it is a number
    #[arg(long, value_name = "KEY", required_unless_present = "path", conflicts_with = "path")]
    pub(crate) key: Option<String>,
    /// Over HTTP: the path; `{n}` in it is a number
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Option<String>,
    /// How many numbers there are, from 0
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keys: u32,
    /// Over RESP: how many in a hundred requests are SETs, which write over what is there
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100), conflicts_with = "path")]
    pub(crate) sets: u8,
    /// How long the value of a SET is
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(..=33_554_432))]
    pub(crate) bytes: u32,
    /// How many connections ask beside one another
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) clients: u32,
    /// How many requests a connection sends at once
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) pipeline: u32,
    /// How long
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) seconds: u32,
    /// So many requests a second, all clients together, in place of as many as go
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) rate: Option<u32>,
    /// The server is on another machine, and a load there is meant
    #[arg(long)]
    pub(crate) elsewhere: bool,
    /// Where it serves HTTP; where it is not said, as in ./forebay.toml, else 127.0.0.1:8080
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<Address>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: At,
}

const JOBS_LIST_HELP: &str = "\
Examples:
  forebay jobs list                        a line each: its schedule, when it is due next, how it went last
  forebay jobs list --json                 one JSON object a line

Exit codes: 0 told, 1 it could not be asked, 2 wrong arguments.";

const JOBS_RUN_HELP: &str = "\
Examples:
  forebay jobs run nightly                 run it now, and print how it ended
  forebay jobs run nightly --json          {\"outcome\":\"ok\",\"by\":\"hand\",…}

A run that takes longer than five seconds goes on, and \"started\" is printed.
Exit codes: 0 it is done, or has started; 1 it failed, is running already, or there is none of this name; 2 wrong arguments.";

const JOBS_HISTORY_HELP: &str = "\
Examples:
  forebay jobs history nightly             its last ten runs, the newest first
  forebay jobs history nightly --count 100 --json

Exit codes: 0 told, 1 it could not be asked, 2 wrong arguments.";

/// What is asked about jobs.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Jobs {
    /// List them, when they are due next and how they went last
    #[command(after_help = JOBS_LIST_HELP)]
    List {
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },
    /// Run one now, unless it is running
    #[command(after_help = JOBS_RUN_HELP)]
    Run {
        /// Its name in the declaration
        name: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },
    /// Tell its last runs: when, how they ended, how long they took
    #[command(after_help = JOBS_HISTORY_HELP)]
    History {
        /// Its name in the declaration
        name: String,
        /// Tell so many at most
        #[arg(long, value_name = "NUMBER", default_value_t = 10)]
        count: u32,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },
}

const COMPLETIONS_HELP: &str = "\
Examples:
  forebay completions bash > ~/.local/share/bash-completion/completions/forebay
  forebay completions zsh > ~/.zfunc/_forebay
  forebay completions fish > ~/.config/fish/completions/forebay.fish";

/// Which shell.
#[derive(Clone, Copy, Debug, Args)]
#[command(after_help = COMPLETIONS_HELP)]
pub(crate) struct Shell {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Which,
}

/// The shells that there are scripts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Which {
    /// GNU Bash
    Bash,
    /// The Z shell
    Zsh,
    /// Fish
    Fish,
}

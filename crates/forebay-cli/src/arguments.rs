//! The arguments of the command, with their help texts.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::Failure;
use crate::connect::{Address, Ca};

mod data;

pub(crate) use data::{
    Bench, Del, Get, Init, Invalidate, Jobs, List, Put, Reload, Shell, Stats, Warm, Which, Why,
};

const AFTER_HELP: &str = "\
Without a command: serves ./forebay.toml if there is one, else starts the demonstration.

Examples:
  forebay                                     start the demonstration here
  forebay serve --config forebay.toml         serve a declaration
  forebay -C /srv/shop serve --app stocks     serve an app, its files under /srv/shop
  forebay init --database sqlite:shop.db      propose a declaration from a schema
  forebay check forebay.toml                  check a declaration without touching anything
  forebay check --connect forebay.toml        prepare its queries against their databases too
  forebay explain --app stocks STOCK_CACHE    say what a namespace will do
  forebay backup /backups/monday              copy what the stores under ./data hold
  forebay restore /backups/monday data        bring it back
  forebay get stock:600000                    read a key of the server that runs here
  forebay dead-letters list                   see which writes could not be applied, and why
  forebay jobs list                           see what is done by the clock, and how it went

Exit codes: 0 done; 1 it cannot be done, and the message says why; 2 the arguments are wrong; 3 there is no such key;
130 and 143: ended at once, by Ctrl-C or SIGTERM again.";

/// A read-through data tier: declare what each key means, read it at cache speed.
#[derive(Debug, Parser)]
#[command(name = "forebay", version, about, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Work in this folder: relative paths in arguments and declarations start there
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    directory: Option<PathBuf>,
    #[command(flatten)]
    listen: Listen,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve declarations and apps over RESP and HTTP
    Serve(Serve),
    /// Start the demonstration: recorded market data, replayed, on embedded defaults
    Demo(Listen),
    /// Check declarations, without touching anything or against their databases
    Check(Check),
    /// Propose a declaration from the schema of a database
    Init(Init),
    /// Say what a namespace will do: its query, its ages, what makes it stale
    Explain(Explain),
    /// Read a key of a running server, through its source if need be
    Get(Get),
    /// Write a key of a running server, as its namespace says
    Put(Put),
    /// Delete keys of a running server; of a cache it drops the copies
    Del(Del),
    /// List keys of a running server: those of stores, and those of which copies are held
    List(List),
    /// Have a running server forget what it holds, so that no later read gets it
    Invalidate(Invalidate),
    /// Say what a running server holds of a key, and how old it is, without loading it
    Why(Why),
    /// Tell what a running server has counted: reads, loads, memory
    Stats(Stats),
    /// Have a running server load what is declared to be warm, and see how far it is
    Warm(Warm),
    /// Have a running server read its declarations again
    Reload(Reload),
    /// Put a small load on a running server, and tell how it answers
    Bench(Bench),
    /// Write what stores hold to a folder, also while a server has them
    Backup(Backup),
    /// Make the stores of a data folder of a backup
    Restore(Restore),
    /// Look at writes that could not be applied, replay or drop them
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// Look at what a running server does by the clock, and run it now
    #[command(subcommand)]
    Jobs(Jobs),
    /// Make keys and encrypt secrets for declarations
    #[command(subcommand)]
    Secret(Secret),
    /// Make tokens, by which a server knows its clients
    #[command(subcommand)]
    Token(Token),
    /// Print the script by which a shell completes this command
    Completions(Shell),
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Serve {
    /// A declaration; may be given more than once
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Vec<PathBuf>,
    /// An app; may be given more than once
    #[arg(long, value_name = "NAME")]
    pub(crate) app: Vec<String>,
    /// Do not look for changes of the declarations: they are read again when SIGHUP says so
    #[arg(long)]
    pub(crate) no_watch: bool,
    #[command(flatten)]
    pub(crate) listen: Listen,
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Listen {
    /// Serve HTTP here in place of [server] http; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<SocketAddr>,
    /// Serve RESP here in place of [server] resp; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) resp: Option<SocketAddr>,
    /// Write the log, to standard error, in this form; FOREBAY_LOG says what is told
    #[arg(long, value_name = "FORM", value_enum)]
    pub(crate) log: Option<LogForm>,
}

/// The form of the log's lines; text where none is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogForm {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Check {
    /// Declarations; ./forebay.toml where neither a file nor an app is named
    pub(crate) files: Vec<PathBuf>,
    /// Prepare every query against its database too, and read the files of [server.tls], as a start does; nothing is changed there
    #[arg(long)]
    pub(crate) connect: bool,
    /// An app's declaration; may be given more than once
    #[arg(long, value_name = "NAME")]
    pub(crate) app: Vec<String>,
    /// Print one JSON object: the keyspaces, or every error with its file, line, column, message and mend
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Explain {
    /// The namespace's name, such as STOCK_CACHE
    pub(crate) namespace: String,
    /// The declaration that it is in; ./forebay.toml where neither this nor an app is named
    #[arg(short, long, value_name = "FILE", conflicts_with = "app")]
    pub(crate) config: Option<PathBuf>,
    /// The app whose declaration it is in
    #[arg(long, value_name = "NAME")]
    pub(crate) app: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// The process that is asked, where one serves.
#[derive(Clone, Debug, Args)]
pub(crate) struct At {
    /// Where it serves RESP; where it is not said, as in ./forebay.toml, else 127.0.0.1:6380
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) resp: Option<Address>,
    #[command(flatten)]
    pub(crate) tls: Ca,
    /// The number of the keyspace; where it is not said, the one that the token is for, else 0
    #[arg(long, value_name = "NUMBER")]
    pub(crate) db: Option<u16>,
    /// A token that allows it, where the process asks for one; others see arguments, so better by the variable
    #[arg(long, value_name = "TOKEN", env = "FOREBAY_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Backup {
    /// Where the backup is to be: a folder that is empty or not there, on the machine of the server that is asked for it
    pub(crate) to: PathBuf,
    /// The server's data folder; where it is not said, that of ./forebay.toml, else ./data
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum DeadLetters {
    /// List them, with why they could not be applied
    List {
        /// Of this namespace alone
        namespace: Option<String>,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },
    /// Show one, and the value that it would write
    Show {
        /// Its id, as listed
        id: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },
    /// Apply them again
    Replay(Chosen),
    /// Give them up for good: their keys take writes again
    Drop(Chosen),
}

/// Which dead letters.
#[derive(Clone, Debug, Args)]
pub(crate) struct Chosen {
    /// Their ids, as listed
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) ids: Vec<String>,
    /// All there are
    #[arg(long)]
    pub(crate) all: bool,
    /// With --all: of this namespace alone
    #[arg(long, value_name = "NAME", requires = "all")]
    pub(crate) namespace: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Restore {
    /// The folder of the backup
    pub(crate) from: PathBuf,
    /// The server's data folder, which must have no stores yet
    pub(crate) to: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Secret {
    /// Print a new key for FOREBAY_SECRET_KEY
    Key,
    /// Read a secret on standard input and print it encrypted, to be pasted into a declaration
    Encrypt,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Token {
    /// Print a new token, and the lines by which a declaration lets its bearer read
    New {
        /// What the declaration is to call it
        #[arg(long, value_name = "NAME", default_value = "reader")]
        name: String,
    },
}

impl Listen {
    /// These addresses, and `before` the command where they say none.
    fn or(self, before: &Self) -> Self {
        Self {
            http: self.http.or(before.http),
            resp: self.resp.or(before.resp),
            log: self.log.or(before.log),
        }
    }
}

/// The declaration that is served and checked where none is named.
pub(crate) const DEFAULT_FILE: &str = "forebay.toml";

impl Arguments {
    /// Goes to the folder that all relative paths start in.
    pub(crate) fn enter_directory(&self) -> Result<(), Failure> {
        let Some(directory) = &self.directory else { return Ok(()) };
        std::env::set_current_dir(directory)
            .map_err(|error| Failure(format!("cannot work in {}: {error}", directory.display())))
    }

    /// What to do: the command, or what its absence means here.
    pub(crate) fn command(&self) -> Command {
        let command = self.command.clone().unwrap_or_else(|| {
            if std::path::Path::new(DEFAULT_FILE).exists() {
                Command::Serve(Serve { config: vec![DEFAULT_FILE.into()], ..Serve::default() })
            } else {
                Command::Demo(Listen::default())
            }
        });
        match command {
            Command::Serve(serve) => Command::Serve(Serve { listen: serve.listen.or(&self.listen), ..serve }),
            Command::Demo(listen) => Command::Demo(listen.or(&self.listen)),
            other => other,
        }
    }
}

/// The files named, or the default one where no file and no app is named.
pub(crate) fn files_or_default(files: &[PathBuf], apps: &[String]) -> Vec<PathBuf> {
    if files.is_empty() && apps.is_empty() { vec![DEFAULT_FILE.into()] } else { files.to_vec() }
}

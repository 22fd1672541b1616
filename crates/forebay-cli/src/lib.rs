//! The `forebay` command with whatever apps: it reads its arguments, hands declarations and apps to the server, and says what came of it.
//!
//! [`main`] is the whole of it. The binary `forebay` has the apps that come with it; one of your own is a binary of three lines, with every
//! command that `forebay` has (`docs/apps.md` of the repository writes one).
//!
//! Results go to standard output, everything about how it went to standard error. Exit codes: 0 done, 1 what was asked
//! cannot be done (the message says why and what to do), 2 the arguments are wrong, 3 there is no such key, 130 and 143 ended at once by
//! a second Ctrl-C or SIGTERM.

mod apps;
mod arguments;
mod backup;
mod bench;
mod check;
mod client;
mod completions;
mod connect;
mod dead_letters;
mod http;
mod init;
mod invalidate;
mod jobs;
mod keys;
mod progress;
mod reload;
mod secret;
mod serve;
mod stats;
mod token;
mod warm;
mod watched;

use std::io::{Read, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use forebay_server::app::App;
use tokio::runtime::Runtime;

use arguments::{Arguments, Command};

/// Carries out the command line of this process, with `apps` to serve; the first of them is the demonstration. How that ended is the
/// process' exit code.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     forebay_cli::main(&[])
/// }
/// ```
#[must_use]
pub fn main(apps: &[App]) -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.enter_directory().and_then(|()| carry_out(arguments.command(), apps)) {
        Ok(code) => code,
        Err(Failure(message)) => {
            say_error(message.trim_end());
            ExitCode::FAILURE
        }
    }
}

/// Does what is asked; how that ended, where it could be done.
fn carry_out(command: Command, apps: &[App]) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(serve) => return serve::serve(&serve, apps),
        Command::Demo(listen) => return serve::demo(&listen, apps),
        Command::Check(check) => return check::check(&check, apps),
        Command::Init(asked) => init::init(&asked),
        Command::Explain(explain) => check::explain(&explain, apps),
        Command::Get(asked) => return keys::get(&asked),
        Command::Put(asked) => keys::put(&asked),
        Command::Del(asked) => keys::del(&asked),
        Command::List(asked) => keys::list(&asked),
        Command::Invalidate(asked) => invalidate::invalidate(&asked),
        Command::Why(asked) => return keys::why(&asked),
        Command::Stats(asked) => stats::stats(&asked),
        Command::Warm(asked) => return warm::warm(&asked),
        Command::Bench(asked) => return bench::bench(&asked),
        Command::Reload(asked) => reload::reload(&asked),
        Command::Backup(backup) => backup::backup(&backup),
        Command::Restore(restore) => backup::restore(&restore),
        Command::DeadLetters(asked) => dead_letters::dead_letters(&asked),
        Command::Jobs(asked) => return jobs::jobs(&asked),
        Command::Secret(secret) => secret::secret(&secret),
        Command::Token(asked) => token::token(&asked),
        Command::Completions(asked) => completions::completions(&asked),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// How a command ends that was to find a key, and found none.
const NO_SUCH_KEY: u8 = 3;

/// Why what was asked could not be done, for a person to read.
#[derive(Debug)]
struct Failure(String);

impl Failure {
    fn new(error: &impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }

    /// What a server answers that speaks otherwise than this command.
    fn unknown_answer() -> Self {
        Self("the server's answer is none that is known: is it of another version?".into())
    }
}

/// Prints a result. Where nobody reads it any more, as behind `| head`, that is the reader's choice; where it cannot be written, as on a
/// full disk, the command has failed.
fn say(text: &str) -> Result<(), Failure> {
    printed(writeln!(std::io::stdout().lock(), "{text}")).map(drop)
}

/// Whether what was printed was read. Where nobody reads any more, as behind `| head`, that is the reader's choice and no failure.
fn printed(written: std::io::Result<()>) -> Result<bool, Failure> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure(format!("not all could be printed: {error}"))),
    }
}

/// Prints what went wrong.
fn say_error(text: &str) {
    // A report brings its own first word.
    let prefix = if text.starts_with("error") { "" } else { "forebay: " };
    say_aside(&format!("{prefix}{text}"));
}

/// Prints what is no result.
fn say_aside(text: &str) {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A runtime for what a command has to wait for.
fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(no_threads)
}

/// A runtime of many threads, for what serves or puts a load on who serves.
fn runtime_of_threads() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(no_threads)
}

fn no_threads(error: std::io::Error) -> Failure {
    Failure(format!("cannot start threads: {error}"))
}

/// All that `from` has, which is called `name`.
fn read_all(name: &str, from: impl Read, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = from.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| Failure(format!("cannot read {name}: {error}")))?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= bytes_max) {
        Ok(bytes)
    } else {
        Err(Failure(format!(
            "{name} has more than {bytes_max} bytes, the most that is taken: nothing was done"
        )))
    }
}

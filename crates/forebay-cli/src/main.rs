//! The `forebay` command: it reads its arguments, hands declarations and apps to the server, and says what came of it.
//!
//! Results go to standard output, everything about how it went to standard error. Exit codes: 0 done, 1 what was asked
//! cannot be done (the message says why and what to do), 2 the arguments are wrong.

mod apps;
mod arguments;
mod backup;
mod check;
mod client;
mod dead_letters;
mod progress;
mod secret;
mod serve;
mod token;
mod watched;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Command};

/// Values of a hundred bytes and a few take 112 of it, where the system's would give them 128.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = arguments.enter_directory().and_then(|()| match arguments.command() {
        Command::Serve(serve) => serve::serve(&serve),
        Command::Demo(listen) => serve::demo(&listen),
        Command::Check(check) => check::check(&check),
        Command::Explain(explain) => check::explain(&explain),
        Command::Backup(backup) => backup::backup(&backup),
        Command::Restore(restore) => backup::restore(&restore),
        Command::DeadLetters(asked) => dead_letters::dead_letters(&asked),
        Command::Secret(secret) => secret::secret(&secret),
        Command::Token(asked) => token::token(&asked),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(message)) => {
            say_error(message.trim_end());
            ExitCode::FAILURE
        }
    }
}

/// Why what was asked could not be done, for a person to read.
#[derive(Debug)]
struct Failure(String);

impl Failure {
    fn new(error: &impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Prints a result. Where nobody reads it any more, as behind `| head`, that is the reader's choice.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints what went wrong.
#[expect(clippy::print_stderr, reason = "this is the command's one door to standard error")]
fn say_error(text: &str) {
    // A report brings its own first word.
    let prefix = if text.starts_with("error") { "" } else { "forebay: " };
    eprintln!("{prefix}{text}");
}

//! The `forebay` command, run to its end or left to serve.

use std::path::Path;
use std::process::{Command, Output};

pub use forebay_stage::Running;
use forebay_stage::running::command;

/// The command, in `folder`.
pub fn forebay(folder: &Path) -> Command {
    command(env!("CARGO_BIN_EXE_forebay"), folder)
}

/// Starts `forebay ARGUMENTS` on free ports and waits until it says that they are open.
pub fn start(folder: &Path, arguments: &[&str]) -> Running {
    let mut command = forebay(folder);
    command.args(arguments);
    Running::start(command)
}

/// Runs the command to its end.
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    forebay(folder).args(arguments).output().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

//! `forebay completions`: scripts by which shells complete the command.

use std::io::Write as _;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::{self, Arguments, Which};
use crate::{Failure, printed};

pub(crate) fn completions(asked: &arguments::Shell) -> Result<(), Failure> {
    let shell = match asked.shell {
        Which::Bash => Shell::Bash,
        Which::Zsh => Shell::Zsh,
        Which::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut <Arguments as CommandFactory>::command(), "forebay", &mut script);
    printed(std::io::stdout().write_all(&script)).map(drop)
}

//! Why a chore did not end well.

use std::io;
use std::process::ExitCode;

/// Why a chore did not end well; the message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused something.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// The system's words.
        source: io::Error,
    },
    /// A program ended badly.
    #[error("{program} ended badly ({status}); {mend}\n{said}")]
    Program {
        /// The program.
        program: String,
        /// How it ended.
        status: String,
        /// What to do.
        mend: String,
        /// The end of what it said.
        said: String,
    },
    /// Programs are missing and may not be installed by this user.
    #[error("missing: {missing}\nrun this, then try again:\n  {mend}")]
    Missing {
        /// What is missing and what it is for.
        missing: String,
        /// The command to run.
        mend: String,
    },
    /// A file of the project is not as it should be.
    #[error("{path}: {what}; {mend}")]
    File {
        /// The file, from the root.
        path: String,
        /// What is wrong.
        what: String,
        /// What to do.
        mend: String,
    },
    /// A private server did not come up, or went away.
    #[error("{server}: {what}\n{said}")]
    Server {
        /// The server.
        server: &'static str,
        /// What happened.
        what: String,
        /// The end of its log.
        said: String,
    },
    /// Something is named that does not exist.
    #[error("there is no {kind} `{name}`; known: {known}")]
    Unknown {
        /// What kind of thing.
        kind: &'static str,
        /// The name given.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// Steps failed; they have already been named.
    #[error("{0}")]
    Failed(String),
    /// The person or the system asked to stop.
    #[error("stopped on request; everything started has been ended")]
    Stopped,
}

impl Error {
    /// For `map_err` on what the system refuses.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing: doing.into(), source }
    }

    /// What the process ends with: 2 where something has to be installed, 130 where it was asked to stop, else 1.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Missing { .. } => ExitCode::from(2),
            Self::Stopped => ExitCode::from(130),
            _ => ExitCode::FAILURE,
        }
    }
}

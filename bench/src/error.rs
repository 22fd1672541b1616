//! Why a benchmark could not run, or what it must not pass over in silence.

/// Why a benchmark ended badly.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// What it found could not be written.
    #[error("the result cannot be written: {0}")]
    Write(#[from] std::io::Error),
    /// The engine refused or failed.
    #[error("forebay: {0}")]
    Engine(#[from] forebay::Error),
    /// A cache that had to hold every entry lacked some, so that its time would be that of misses.
    #[error(
        "{cache}: {found} of {wanted} reads were hits: give it a larger capacity, only pure hits are compared"
    )]
    Misses {
        /// The cache.
        cache: &'static str,
        /// How many reads found their value.
        found: u64,
        /// How many reads there were.
        wanted: u64,
    },
    /// A load that had to begin did not, so that there was nothing to race with.
    #[error("{cache}: no load began within {seconds} s of a read that misses")]
    NoLoad {
        /// The cache.
        cache: &'static str,
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// A trace, or the folder of traces, could not be read.
    #[error("{path}: {problem}")]
    Trace {
        /// The file or folder.
        path: std::path::PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// No budget holds about as many entries as a comparison needs.
    #[error("no memory budget was found that holds {wanted} entries: the nearest held {held}")]
    NoFit {
        /// How many were wanted.
        wanted: u32,
        /// How many the nearest held.
        held: u32,
    },
    /// Readers did not get the right answer.
    #[error("{cache}: {found} of {wanted} readers got the right answer")]
    Unanswered {
        /// The cache.
        cache: &'static str,
        /// How many did.
        found: u64,
        /// How many there were.
        wanted: u64,
    },
    /// A read of a cold key got something else than that the breaker is open.
    #[error("forebay: a read of a cold key was not refused by a breaker that had to be open")]
    NotRefused,
    /// Memory could not be measured.
    #[error("measuring memory: {problem}")]
    Memory {
        /// Why.
        problem: String,
    },
    /// The reader whose load was overtaken panicked.
    #[error("{cache}: the reader that led the load panicked")]
    ReaderPanicked {
        /// The cache.
        cache: &'static str,
    },
    /// A peer's load, which cannot fail, gave no value.
    #[error("{cache}: a load that cannot fail brought no value")]
    NoValue {
        /// The cache.
        cache: &'static str,
    },
    /// A store, a database or another program refused or failed.
    #[error("{problem}")]
    Store {
        /// What it said.
        problem: String,
    },
    /// A server that is measured does not start, or answers something else than it has to.
    #[error("{problem}")]
    Server {
        /// What happened.
        problem: String,
    },
    /// A program that is measured, or that measures, is not known.
    #[error("no program is named by {option}: run `cargo xtask bench`, which builds or finds them")]
    NoProgram {
        /// The option that names it.
        option: &'static str,
    },
    /// A step of a hit found nothing.
    #[error("forebay: an entry that was written was not found")]
    NoHit,
    /// Forebay served a value that the source gave before an invalidation.
    #[error("forebay kept a value from before an invalidation: promise P1 is broken")]
    KeptStale,
}

//! What an input can be found to do.

/// An invariant that an input breaks.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The result depends on how the input is cut into pieces.
    #[error("cut into pieces of {pieces:?} bytes it gives {cut}; whole, {whole}")]
    Split {
        /// How long the pieces are, in bytes.
        pieces: Vec<usize>,
        /// What they give.
        cut: String,
        /// What the whole gives.
        whole: String,
    },
    /// More memory was taken than the input can ask for.
    #[error(
        "{allocated_bytes} bytes were allocated at once for {input_bytes} bytes of input; the bound is {bound_bytes}"
    )]
    Allocation {
        /// The most that was allocated at once, in bytes.
        allocated_bytes: u64,
        /// How long the input is, in bytes.
        input_bytes: usize,
        /// What is allowed, in bytes.
        bound_bytes: u64,
    },
    /// It took too long.
    #[error("it took {took_ms} ms; the limit is {limit_ms} ms")]
    Slow {
        /// How long, in milliseconds.
        took_ms: u128,
        /// What is allowed, in milliseconds.
        limit_ms: u128,
    },
    /// The parser panicked.
    #[error("it panics: {0}")]
    Panic(String),
    /// Something else that must hold does not, in words.
    #[error("{0}")]
    Broken(String),
    /// What the attack itself needs is not there: a folder, a socket.
    #[error("the attack cannot go on: {0}")]
    Stage(String),
}

impl Fault {
    /// Whether it is the same kind of fault as `other`, as a smaller input must show.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// That this cannot be done on the stage.
    pub(crate) fn stage(what: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |error| Self::Stage(format!("{what}: {error}"))
    }
}

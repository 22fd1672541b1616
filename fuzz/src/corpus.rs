//! Corpora: the inputs that a parser was attacked with by hand, and those that once found something.
//!
//! A corpus is text, `corpus/NAME.txt`: one input a line, escaped as [`u8::escape_ascii`] does it; lines that begin with `# ` are
//! remarks. So it can be read, reviewed and added to with an editor. Its inputs are short: those that repeat themselves are with their
//! target ([`Large`](crate::Large)).

use std::path::{Path, PathBuf};

/// A line that is no input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}: write the input as `escape_ascii` does")]
pub struct BadLine {
    /// Which, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Why there is no corpus.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The file cannot be read.
    #[error("{}: {cause}: a target has its corpus there", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A line cannot be understood.
    #[error("{}: {bad}", .path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// Which line.
        bad: BadLine,
    },
}

/// The folder of the corpora.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The inputs of the target `name`.
///
/// # Errors
/// Where its file cannot be read.
pub fn of(name: &str) -> Result<Vec<Vec<u8>>, CorpusError> {
    let path = folder().join(format!("{name}.txt"));
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|cause| CorpusError::Unreadable { path: path.clone(), cause })?;
    read(&text).map_err(|bad| CorpusError::Bad { path, bad })
}

/// The inputs in the text of a corpus.
///
/// # Errors
/// The first line that is none.
pub fn read(text: &str) -> Result<Vec<Vec<u8>>, BadLine> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !is_remark(line));
    lines.map(|(at, line)| unescaped(line).map_err(|what| BadLine { line: at + 1, what })).collect()
}

fn is_remark(line: &str) -> bool {
    line == "#" || line.starts_with("# ")
}

/// `input` as a line of a corpus.
#[must_use]
pub fn line(input: &[u8]) -> String {
    let line = input.escape_ascii().to_string();
    match line.strip_prefix('#') {
        Some(rest) if is_remark(&line) => format!("\\x23{rest}"),
        _ => line,
    }
}

fn unescaped(line: &str) -> Result<Vec<u8>, &'static str> {
    let mut input = Vec::with_capacity(line.len());
    let mut rest = line.as_bytes();
    loop {
        let (byte, after) = match rest {
            [] => return Ok(input),
            [b'\\', b'n', after @ ..] => (b'\n', after),
            [b'\\', b'r', after @ ..] => (b'\r', after),
            [b'\\', b't', after @ ..] => (b'\t', after),
            [b'\\', b'x', high, low, after @ ..] => {
                let digit =
                    |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                    return Err("`\\x` is not followed by two hexadecimal digits");
                };
                (high << 4 | low, after)
            }
            [b'\\', byte @ (b'\\' | b'\'' | b'"'), after @ ..] => (*byte, after),
            [b'\\', ..] => return Err("there is no such escape"),
            [byte, after @ ..] => (*byte, after),
        };
        input.push(byte);
        rest = after;
    }
}

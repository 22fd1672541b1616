//! What the commands that look through something in steps have in common.

use bytes::Bytes;

use super::{Call, CommandError};

/// Which entries a step tells, and how far it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanOptions {
    /// Only names that this pattern fits ([`glob::matches`](crate::resp::glob::matches)).
    pub pattern: Option<Bytes>,
    /// About how many entries a step looks at, at least 1.
    pub count: usize,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self { pattern: None, count: 10 }
    }
}

/// The cursor at `index`, as C's `strtoul` reads it: a sign is taken, a negative number counts from above, and nothing at all is 0.
pub(super) fn cursor(call: &Call<'_>, index: usize) -> Result<u64, CommandError> {
    let text = call.word(index)?;
    let (negative, digits) = match text.split_first() {
        None => return Ok(0),
        Some((b'-', digits)) => (true, digits),
        Some((b'+', digits)) => (false, digits),
        Some(_) => (false, text),
    };
    // Reading alone would take a second sign.
    let digits =
        str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let number: u64 = digits.and_then(|digits| digits.parse().ok()).ok_or(CommandError::InvalidCursor)?;
    Ok(if negative { number.wrapping_neg() } else { number })
}

/// The words from `first` on.
pub(super) fn options(call: &Call<'_>, first: usize) -> Result<ScanOptions, CommandError> {
    let mut options = ScanOptions::default();
    let mut at = first;
    while at < call.len() {
        let value = at + 1;
        if value < call.len() && call.is(at, "COUNT") {
            let count = usize::try_from(call.integer(value)?).ok().filter(|count| *count > 0);
            options.count = count.ok_or(CommandError::Syntax)?;
        } else if value < call.len() && call.is(at, "MATCH") {
            options.pattern = Some(call.bytes(value)?);
        } else {
            return Err(CommandError::Syntax);
        }
        at += 2;
    }
    Ok(options)
}

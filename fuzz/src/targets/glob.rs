//! Globs of `KEYS`, `SCAN … MATCH`, `PSUBSCRIBE`: beside a matcher that is plainly right, and in bounded time.
//!
//! An input is a pattern, a line end, and the text; without a line end the pattern is its own text.

use forebay_wire::resp::glob::matches;

use crate::allocation::{Bound, within};
use crate::{Fault, Large, Seen, Target};

/// Patterns and texts up to this length are matched by the model too, in bytes.
const MODEL_BYTES: usize = 300;

pub(super) const TARGET: Target = Target {
    name: "glob",
    attacks: "globs: as a table of every prefix of both says, without memory, and soon even where both are long",
    words: &[
        b"*",
        b"?",
        b"[",
        b"]",
        b"^",
        b"-",
        b"\\",
        b"\n",
        b"[^",
        b"[a-z]",
        b"[z-a]",
        b"[]",
        b"[^]",
        b"[\\]]",
        b"**",
        b"*a",
        b"a*",
        b"*?",
        b"?*",
        b"\\*",
        b"[a-",
        b"[^a",
        b"user:*:name",
    ],
    large: &[
        Large {
            before: b"",
            unit: b"a*",
            times: 500,
            after: b"b\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        },
        Large { before: b"", unit: b"a*", times: 32_000, after: b"b" },
        Large { before: b"", unit: b"*", times: 65_536, after: b"\nabcdef" },
        Large { before: b"", unit: b"[", times: 65_536, after: b"\n[" },
        Large { before: b"", unit: b"\\", times: 65_535, after: b"" },
        Large { before: b"[^", unit: b"a-z", times: 20_000, after: b"]\n0" },
        Large { before: b"*", unit: b"a", times: 8_000, after: b"b" },
        Large { before: b"*", unit: b"?", times: 8_000, after: b"b" },
    ],
    begin: || Ok(Box::new(attack)),
};

fn attack(input: &[u8], seen: &mut Seen) -> Result<(), Fault> {
    let end = input.iter().position(|byte| *byte == b'\n');
    let (pattern, text) = match end.and_then(|end| input.split_at_checked(end)) {
        Some((pattern, [_, text @ ..])) => (pattern, text),
        _ => (input, input),
    };
    let found = within(Bound { factor: 0, base_bytes: 0 }, input.len(), || matches(pattern, text))?;
    let parts = parts(pattern);
    seen.note((found, text.is_empty()));
    seen.note(parts.iter().take(8).map(std::mem::discriminant).collect::<Vec<_>>());
    if pattern.len() <= MODEL_BYTES && text.len() <= MODEL_BYTES {
        let model = model(&parts, text);
        if found != model {
            return Err(Fault::Broken(format!("it says {found}; part by part it is {model}")));
        }
    }
    Ok(())
}

enum Part {
    Any,
    Star,
    /// One of these bytes.
    OneOf(Box<[bool; 256]>),
}

/// Whether all of `text` matches: by a table of which prefixes of both match.
fn model(parts: &[Part], text: &[u8]) -> bool {
    let mut row = vec![false; text.len() + 1];
    if let Some(first) = row.first_mut() {
        *first = true;
    }
    for part in parts {
        let mut next = Vec::with_capacity(row.len());
        for (at, here) in row.iter().enumerate() {
            let before = at.checked_sub(1);
            let byte = before.and_then(|before| text.get(before)).copied();
            let one_less = before.and_then(|before| row.get(before)) == Some(&true);
            next.push(match part {
                Part::Star => *here || next.last() == Some(&true),
                Part::Any => one_less,
                Part::OneOf(bytes) => {
                    one_less && byte.is_some_and(|byte| bytes.get(usize::from(byte)) == Some(&true))
                }
            });
        }
        row = next;
    }
    row.last() == Some(&true)
}

fn parts(mut pattern: &[u8]) -> Vec<Part> {
    let mut parts = Vec::new();
    loop {
        let (part, rest) = match pattern {
            [] => return parts,
            [b'*', rest @ ..] => (Part::Star, rest),
            [b'?', rest @ ..] => (Part::Any, rest),
            [b'[', rest @ ..] => class(rest),
            [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (bytes([*literal..=*literal], false), rest),
        };
        parts.push(part);
        pattern = rest;
    }
}

fn class(pattern: &[u8]) -> (Part, &[u8]) {
    let (negated, mut rest) = pattern.strip_prefix(b"^").map_or((false, pattern), |rest| (true, rest));
    let mut ranges = Vec::new();
    loop {
        let (range, behind) = match rest {
            [] => break,
            [b'\\', literal, behind @ ..] => (*literal..=*literal, behind),
            [b']', behind @ ..] => {
                rest = behind;
                break;
            }
            [one, b'-', other, behind @ ..] => (*one.min(other)..=*one.max(other), behind),
            [literal, behind @ ..] => (*literal..=*literal, behind),
        };
        ranges.push(range);
        rest = behind;
    }
    (bytes(ranges, negated), rest)
}

fn bytes(ranges: impl IntoIterator<Item = std::ops::RangeInclusive<u8>>, negated: bool) -> Part {
    let mut bytes = Box::new([negated; 256]);
    for byte in ranges.into_iter().flatten() {
        if let Some(known) = bytes.get_mut(usize::from(byte)) {
            *known = !negated;
        }
    }
    Part::OneOf(bytes)
}

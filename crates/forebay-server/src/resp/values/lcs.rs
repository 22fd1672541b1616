//! The longest common subsequence of two strings, by dynamic programming.
//!
//! Of the many subsequences that may be longest, the one is answered that Redis answers: found from the ends of both, a step back in
//! the second string where both ways are as good.

use forebay_wire::resp::{Lcs, LcsAnswer};

use super::{Answer, Refusal, View};

/// The most places of the table: 64 MiB, and some hundredths of a second.
const PLACES_MAX: usize = 16 << 20;

pub(super) fn run(asked: &Lcs, view: &View, answer: &mut Answer<'_>) -> Result<(), Refusal> {
    let text = |key| view.string(key).map_err(|_| Refusal::NotStrings).map(Option::unwrap_or_default);
    let (first, second) = (text(&asked.first)?, text(&asked.second)?);
    let wanted = asked.answer.clone()?;
    let table = Table::new(&first, &second).ok_or(Refusal::LcsTooLarge)?;
    let len = table.at(first.len(), second.len());
    match wanted {
        LcsAnswer::Len => answer.integer(len.into()),
        LcsAnswer::Text => {
            let parts = table.parts();
            let parts = parts.iter().rev().filter_map(|part| first.get(part.first..part.first + part.len));
            answer.bulk(&parts.collect::<Vec<_>>().concat());
        }
        LcsAnswer::Matches { min_len, with_len } => {
            let is_long = |part: &Part| u64::try_from(part.len).is_ok_and(|len| len >= min_len);
            let parts: Vec<Part> = table.parts().into_iter().filter(is_long).collect();
            answer.map(2);
            answer.bulk(b"matches");
            answer.array(parts.len());
            for Part { first, second, len } in parts {
                answer.array(2 + usize::from(with_len));
                for start in [first, second] {
                    answer.array(2);
                    answer.count(start);
                    answer.count(start + len.saturating_sub(1));
                }
                if with_len {
                    answer.count(len);
                }
            }
            answer.bulk(b"len");
            answer.integer(len.into());
        }
    }
    Ok(())
}

/// A part that both strings have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    /// Where it begins in the one.
    first: usize,
    /// Where it begins in the other.
    second: usize,
    len: usize,
}

/// How long the subsequence is of every beginning of the one with every beginning of the other.
struct Table<'t> {
    first: &'t [u8],
    second: &'t [u8],
    lens: Vec<u32>,
}

impl<'t> Table<'t> {
    /// `None` where it would be too large.
    fn new(first: &'t [u8], second: &'t [u8]) -> Option<Self> {
        let places = first.len().checked_add(1)?.checked_mul(second.len().checked_add(1)?)?;
        if places > PLACES_MAX {
            return None;
        }
        let mut lens = Vec::with_capacity(places);
        lens.resize(second.len() + 1, 0);
        for byte in first {
            let above = lens.len() - second.len() - 1;
            let (mut before, mut diagonal) = (0, 0);
            lens.push(0);
            for (at, other) in second.iter().enumerate() {
                let up = lens.get(above + at + 1).copied().unwrap_or_default();
                before = if byte == other { diagonal + 1 } else { up.max(before) };
                diagonal = up;
                lens.push(before);
            }
        }
        Some(Self { first, second, lens })
    }

    /// How long it is of the first so many bytes of each.
    fn at(&self, first: usize, second: usize) -> u32 {
        self.lens.get(first * (self.second.len() + 1) + second).copied().unwrap_or_default()
    }

    /// What both have, the last part first. Parts that touch in both strings are one.
    fn parts(&self) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        let (mut i, mut j) = (self.first.len(), self.second.len());
        while i > 0 && j > 0 {
            if self.first.get(i - 1) == self.second.get(j - 1) {
                match parts.last_mut() {
                    Some(part) if part.first == i && part.second == j => part.len += 1,
                    _ => parts.push(Part { first: i, second: j, len: 1 }),
                }
                (i, j) = (i - 1, j - 1);
                if let Some(part) = parts.last_mut() {
                    (part.first, part.second) = (i, j);
                }
            } else if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        parts
    }
}

//! The longest common subsequence of two strings, by dynamic programming.
//!
//! Of the many subsequences that may be longest, the one is answered that Redis answers: found from the ends of both, a step back in
//! the second string where both ways are as good.

use std::borrow::Cow;

use forebay_wire::resp::{Lcs, LcsAnswer};

use super::{Answer, Refusal, View};

/// The most places of the table: 64 MiB, and some hundredths of a second.
const PLACES_MAX: usize = 16 << 20;

/// Places of the table that are filled before others are let in.
const PLACES_A_TURN: usize = 1 << 18;

/// Compares at once, within a transaction: nobody may come between its commands.
pub(super) fn run(asked: &Lcs, view: &View, answer: &mut Answer<'_>) -> Result<(), Refusal> {
    let (first, second) = texts(asked, view)?;
    let wanted = asked.answer.clone()?;
    let mut table = Table::new(&first, &second).ok_or(Refusal::LcsTooLarge)?;
    while table.grow(PLACES_A_TURN) {}
    tell(&wanted, &table, answer);
    Ok(())
}

/// The same, with others let in while the table is filled.
pub(in crate::resp) async fn run_in_turns(
    asked: &Lcs,
    view: &View,
    answer: &mut Answer<'_>,
) -> Result<(), Refusal> {
    let (first, second) = texts(asked, view)?;
    let wanted = asked.answer.clone()?;
    let mut table = Table::new(&first, &second).ok_or(Refusal::LcsTooLarge)?;
    while table.grow(PLACES_A_TURN) {
        tokio::task::yield_now().await;
    }
    tell(&wanted, &table, answer);
    Ok(())
}

type Text<'v> = Cow<'v, [u8]>;

/// The two strings.
fn texts<'v>(asked: &Lcs, view: &'v View) -> Result<(Text<'v>, Text<'v>), Refusal> {
    let text = |key| view.string(key).map_err(|_| Refusal::NotStrings).map(Option::unwrap_or_default);
    Ok((text(&asked.first)?, text(&asked.second)?))
}

fn tell(wanted: &LcsAnswer, table: &Table<'_>, answer: &mut Answer<'_>) {
    let (first, second) = (table.first, table.second);
    let len = table.at(first.len(), second.len());
    match wanted {
        LcsAnswer::Len => answer.integer(len.into()),
        LcsAnswer::Text => {
            let parts = table.parts();
            let parts = parts.iter().rev().filter_map(|part| first.get(part.first..part.first + part.len));
            answer.bulk(&parts.collect::<Vec<_>>().concat());
        }
        LcsAnswer::Matches { min_len, with_len } => {
            let is_long = |part: &Part| u64::try_from(part.len).is_ok_and(|len| len >= *min_len);
            let parts: Vec<Part> = table.parts().into_iter().filter(is_long).collect();
            answer.map(2);
            answer.bulk(b"matches");
            answer.array(parts.len());
            for Part { first, second, len } in parts {
                answer.array(2 + usize::from(*with_len));
                for start in [first, second] {
                    answer.array(2);
                    answer.count(start);
                    answer.count(start + len.saturating_sub(1));
                }
                if *with_len {
                    answer.count(len);
                }
            }
            answer.bulk(b"len");
            answer.integer(len.into());
        }
    }
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
    /// Without more than its first row; `None` where it would be too large.
    fn new(first: &'t [u8], second: &'t [u8]) -> Option<Self> {
        let places = first.len().checked_add(1)?.checked_mul(second.len().checked_add(1)?)?;
        if places > PLACES_MAX {
            return None;
        }
        let mut lens = Vec::with_capacity(places);
        lens.resize(second.len() + 1, 0);
        Some(Self { first, second, lens })
    }

    /// Fills so many places, a row at least; whether there are more.
    fn grow(&mut self, places: usize) -> bool {
        let Self { first, second, lens } = self;
        let width = second.len() + 1;
        let rows_there = lens.len() / width;
        let rows = (places / width).max(1);
        for byte in first.iter().skip(rows_there.saturating_sub(1)).take(rows) {
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
        lens.len() / width <= first.len()
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

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use bytes::{Bytes, BytesMut};
    use forebay::Blob;
    use forebay_wire::resp::Version;

    use super::*;
    use crate::resp::values::Cell;

    #[test]
    fn long_strings_are_compared_in_turns() {
        let text = |seed: usize| (0..4_000).map(|at| b"abc"[(at * at + seed) % 3]).collect::<Vec<u8>>();
        let cell = |seed| Cell::new(Some(Blob::opaque(text(seed)).into()), None);
        let keys = [Bytes::from_static(b"a"), Bytes::from_static(b"b")];
        let [first, second] = keys.clone();
        let view = View::new([(keys[0].clone(), cell(0)), (keys[1].clone(), cell(1))]);
        let asked = Lcs { first, second, answer: Ok(LcsAnswer::Len) };
        let (mut at_once, mut in_turns) = (BytesMut::new(), BytesMut::new());
        run(&asked, &view, &mut Answer::new(&mut at_once, Version::Resp2)).unwrap();
        let mut answer = Answer::new(&mut in_turns, Version::Resp2);
        let mut pauses = 0;
        {
            let mut work = pin!(run_in_turns(&asked, &view, &mut answer));
            while work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                pauses += 1;
            }
        }
        assert_eq!(at_once, in_turns);
        assert!(pauses >= 50, "{pauses} pauses");
    }
}

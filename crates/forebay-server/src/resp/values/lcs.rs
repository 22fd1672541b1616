//! The longest common subsequence of two strings, by dynamic programming.
//!
//! Of the many subsequences that may be longest, the one is answered that Redis answers: found from the ends of both, a step back in
//! the second string where both ways are as good.

use std::borrow::Cow;

use forebay_wire::resp::{Lcs, LcsAnswer};
use tokio::sync::Semaphore;

use super::{Answer, Refusal, View};

/// The most places of the table: 64 MiB, and some hundredths of a second.
const PLACES_MAX: usize = 16 << 20;

/// Places of the table that are filled before others are let in.
const PLACES_A_TURN: usize = 1 << 18;

/// Who may have a table that takes more than one turn. Such a table lies there while others have theirs, and what it takes is of the
/// process' memory, beside the budget: there are few, and who comes after them waits.
static TABLES: Semaphore = Semaphore::const_new(TABLES_MAX);
const TABLES_MAX: usize = 4;

/// Compares two strings, with others let in while the table is filled: within a transaction too, which keeps its keys to itself meanwhile.
pub(super) async fn run(asked: &Lcs, view: &View, answer: &mut Answer<'_>) -> Result<(), Refusal> {
    let (first, second) = texts(asked, view)?;
    let wanted = asked.answer.clone()?;
    let places = places(&first, &second).ok_or(Refusal::LcsTooLarge)?;
    let rows = if wanted == LcsAnswer::Len { Rows::Last } else { Rows::All };
    let _one_of_few = match rows == Rows::All && places > PLACES_A_TURN {
        // Nobody closes it.
        true => TABLES.acquire().await.ok(),
        false => None,
    };
    let mut table = Table::new(&first, &second, rows);
    while table.grow(PLACES_A_TURN) {
        tokio::task::yield_now().await;
    }
    tell(&wanted, &table, answer);
    Ok(())
}

/// How many places a table of all rows has; `None` where those are too many.
fn places(first: &[u8], second: &[u8]) -> Option<usize> {
    let places = first.len().checked_add(1)?.checked_mul(second.len().checked_add(1)?)?;
    Some(places).filter(|places| *places <= PLACES_MAX)
}

type Text<'v> = Cow<'v, [u8]>;

/// The two strings.
fn texts<'v>(asked: &Lcs, view: &'v View) -> Result<(Text<'v>, Text<'v>), Refusal> {
    let text = |key| view.string(key).map_err(|_| Refusal::NotStrings).map(Option::unwrap_or_default);
    Ok((text(&asked.first)?, text(&asked.second)?))
}

fn tell(wanted: &LcsAnswer, table: &Table<'_>, answer: &mut Answer<'_>) {
    let (first, len) = (table.first, table.len());
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
    /// How many bytes of the first have their row.
    filled: usize,
    kept: Rows,
}

/// Which rows of a table are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rows {
    All,
    /// How long the whole is stands in the last row.
    Last,
}

impl<'t> Table<'t> {
    /// Without more than its first row.
    fn new(first: &'t [u8], second: &'t [u8], kept: Rows) -> Self {
        // It is as long either way, and the rows are to be short where they are all that there is.
        let (first, second) = match kept {
            Rows::Last if first.len() < second.len() => (second, first),
            Rows::All | Rows::Last => (first, second),
        };
        let width = second.len() + 1;
        let mut lens = Vec::with_capacity(match kept {
            Rows::All => width * (first.len() + 1),
            Rows::Last => width * 2,
        });
        lens.resize(width, 0);
        Self { first, second, lens, filled: 0, kept }
    }

    /// Fills so many places, a row at least; whether there are more.
    fn grow(&mut self, places: usize) -> bool {
        let Self { first, second, lens, filled, kept } = self;
        let width = second.len() + 1;
        let rows = (places / width).max(1);
        for byte in first.iter().skip(*filled).take(rows) {
            let above = lens.len() - width;
            let (mut before, mut diagonal) = (0, 0);
            lens.push(0);
            for (at, other) in second.iter().enumerate() {
                let up = lens.get(above + at + 1).copied().unwrap_or_default();
                before = if byte == other { diagonal + 1 } else { up.max(before) };
                diagonal = up;
                lens.push(before);
            }
            if *kept == Rows::Last {
                lens.drain(..width);
            }
        }
        *filled = filled.saturating_add(rows).min(first.len());
        *filled < first.len()
    }

    /// How long it is.
    fn len(&self) -> u32 {
        self.lens.last().copied().unwrap_or_default()
    }

    /// How long it is of the first so many bytes of each, where all rows are kept.
    fn at(&self, first: usize, second: usize) -> u32 {
        self.lens.get(first * (self.second.len() + 1) + second).copied().unwrap_or_default()
    }

    /// What both have, the last part first, where all rows are kept. Parts that touch in both strings are one.
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
    use std::pin::{Pin, pin};
    use std::task::{Context, Waker};

    use bytes::{Bytes, BytesMut};
    use forebay::Blob;
    use forebay_wire::resp::Version;

    use super::*;
    use crate::resp::values::Cell;

    /// A text of so many bytes.
    fn text(len: usize, seed: usize) -> Vec<u8> {
        (0..len).map(|at| b"abc"[(at * at + seed) % 3]).collect()
    }

    /// Two keys that have texts of so many bytes.
    fn view(len: usize) -> View {
        let cell = |seed| Cell::new(Some(Blob::opaque(text(len, seed)).into()), None);
        View::new([(Bytes::from_static(b"a"), cell(0)), (Bytes::from_static(b"b"), cell(1))])
    }

    /// What is asked of them.
    fn asked(answer: LcsAnswer) -> Lcs {
        Lcs { first: Bytes::from_static(b"a"), second: Bytes::from_static(b"b"), answer: Ok(answer) }
    }

    fn is_pending(work: Pin<&mut impl Future<Output = Result<(), Refusal>>>) -> bool {
        work.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[test]
    fn long_strings_are_compared_in_turns() {
        let view = view(4_000);
        let mut lens = Vec::new();
        for wanted in [LcsAnswer::Len, LcsAnswer::Text] {
            let (asked, mut out) = (asked(wanted), BytesMut::new());
            let mut pauses = 0;
            {
                let mut answer = Answer::new(&mut out, Version::Resp2);
                let mut work = pin!(run(&asked, &view, &mut answer));
                while is_pending(work.as_mut()) {
                    pauses += 1;
                }
            }
            assert!(pauses >= 50, "{wanted:?}: {pauses} pauses");
            lens.push(out[1..].split(|byte| *byte == b'\r').next().unwrap().to_vec());
        }
        assert_eq!(lens[0], lens[1], "the text is as long as is said");
    }

    #[tokio::test]
    async fn few_have_a_long_table_at_a_time() {
        let all = u32::try_from(TABLES_MAX).unwrap();
        let all = TABLES.acquire_many(all).await.unwrap();
        let (long, short) = (view(1_000), view(100));
        let text = asked(LcsAnswer::Text);
        let (mut waited, mut out) = (BytesMut::new(), BytesMut::new());
        let mut answer = Answer::new(&mut waited, Version::Resp2);
        let mut work = pin!(run(&text, &long, &mut answer));
        assert!((0..1_000).all(|_| is_pending(work.as_mut())), "it has a table though others have all");
        let mut answer = Answer::new(&mut out, Version::Resp2);
        run(&text, &short, &mut answer).await.unwrap();
        run(&asked(LcsAnswer::Len), &long, &mut answer).await.unwrap();
        drop(all);
        work.await.unwrap();
    }

    #[test]
    fn for_its_length_two_rows_of_the_shorter_text_are_enough() {
        let (long, short) = (text(1_000, 0), text(10, 1));
        for (first, second) in [(&long, &short), (&short, &long)] {
            let mut last = Table::new(first, second, Rows::Last);
            let mut all = Table::new(first, second, Rows::All);
            while last.grow(100) {}
            while all.grow(100) {}
            assert_eq!(last.len(), all.len());
            assert_eq!(last.lens.capacity(), 22);
        }
    }
}

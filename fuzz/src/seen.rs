//! What a parser did with an input, as far as an attack can tell.
//!
//! Attacks note the outcomes that differ: which command, which error, how deep, how many. An input that shows something new is worth
//! changing further. It stands in for the coverage of branches, as annotations do in "IJON: Exploring Deep State Spaces via Fuzzing"
//! (Aschermann et al., IEEE S&P 2020), and needs neither a special compiler nor flags.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The most that is remembered of one input, or of all of them: beyond it nothing counts as new.
const MARKS_MAX: usize = 1 << 20;

/// What was noted.
#[derive(Debug, Default)]
pub struct Seen {
    marks: HashSet<u64>,
}

impl Seen {
    /// Notes that this happened.
    pub fn note(&mut self, what: impl Hash) {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        if self.marks.len() < MARKS_MAX {
            self.marks.insert(hasher.finish());
        }
    }

    /// Notes about how many of `what` there were: numbers of as many binary digits are alike.
    pub fn note_count(&mut self, what: &str, count: usize) {
        self.note((what, usize::BITS - count.leading_zeros()));
    }

    /// Notes a message, of which the digits do not matter.
    pub fn note_message(&mut self, message: &str) {
        self.note(message.chars().filter(|each| !each.is_ascii_digit()).take(60).collect::<String>());
    }

    /// Takes in what `other` has noted; how much of it is new.
    pub fn take_in(&mut self, other: &Self) -> usize {
        let before = self.marks.len();
        let room = MARKS_MAX.saturating_sub(before);
        self.marks.extend(other.marks.iter().take(room));
        self.marks.len() - before
    }

    /// How much was noted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether nothing was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }
}

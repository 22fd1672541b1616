//! What a target is: a parser under attack, and what is known of its language.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{Fault, Seen};

/// A parser under attack.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its file in `src/targets/` and of its corpus, `corpus/NAME.txt`.
    pub name: &'static str,
    /// What is attacked, and what must hold, in a sentence.
    pub attacks: &'static str,
    /// Pieces of its language, which chance would be long in finding.
    pub words: &'static [&'static [u8]],
    /// Inputs too long for a line of the corpus.
    pub large: &'static [Large],
    /// Makes ready what the attack needs.
    pub begin: fn() -> Result<Box<dyn Attack>, Fault>,
}

/// An attack that is ready.
pub trait Attack {
    /// Gives `input` to the parser, and notes what it does.
    ///
    /// # Errors
    /// The invariant that it breaks. A panic is one too.
    fn run(&mut self, input: &[u8], seen: &mut Seen) -> Result<(), Fault>;
}

impl<F: FnMut(&[u8], &mut Seen) -> Result<(), Fault>> Attack for F {
    fn run(&mut self, input: &[u8], seen: &mut Seen) -> Result<(), Fault> {
        self(input, seen)
    }
}

/// Runs `attack` on `input`, a panic of the parser taken as a fault.
///
/// # Errors
/// The invariant that is broken.
pub(crate) fn judge(attack: &mut dyn Attack, input: &[u8], seen: &mut Seen) -> Result<(), Fault> {
    catch_unwind(AssertUnwindSafe(|| attack.run(input, seen))).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Fault::Panic(said.unwrap_or("without a word").to_owned()))
    })
}

/// An input that repeats itself.
#[derive(Clone, Copy, Debug)]
pub struct Large {
    /// What it begins with.
    pub before: &'static [u8],
    /// What is repeated.
    pub unit: &'static [u8],
    /// How often.
    pub times: usize,
    /// What it ends with.
    pub after: &'static [u8],
}

impl Large {
    /// The input itself.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        [self.before, &self.unit.repeat(self.times), self.after].concat()
    }
}

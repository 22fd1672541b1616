//! Whether two patterns share a key, decided and not guessed: their automata run side by side over every class of bytes,
//! so that a common key is found exactly if there is one.

use std::collections::{HashMap, VecDeque};

use super::pattern::Pattern;

impl Pattern {
    /// A shortest key that both patterns match, or nothing where no key does. Types are not looked at: a key belongs to
    /// its namespace whether or not its text is canonical. The pattern of any key gives way to every other: it overlaps with none.
    #[must_use]
    pub fn overlap(&self, other: &Self) -> Option<Vec<u8>> {
        if self.is_any() || other.is_any() {
            return None;
        }
        let (left, right) = (Automaton::new(self), Automaton::new(other));
        let classes = byte_classes(self, other);
        let start = (left.start(), right.start());
        let mut reached: Reached = HashMap::from([(start, None)]);
        let mut queue = VecDeque::from([start]);
        while let Some(pair) = queue.pop_front() {
            if left.accepts(pair.0) && right.accepts(pair.1) {
                return Some(witness(&reached, pair));
            }
            for byte in &classes {
                let Some(next) = left.step(pair.0, *byte).zip(right.step(pair.1, *byte)) else { continue };
                reached.entry(next).or_insert_with(|| {
                    queue.push_back(next);
                    Some((pair, *byte))
                });
            }
        }
        None
    }
}

/// Where each pair of states was first reached from, and by which byte; its keys are what has been visited.
type Reached = HashMap<(State, State), Option<((State, State), u8)>>;

/// A pattern as a deterministic automaton over bytes.
struct Automaton<'p> {
    pattern: &'p Pattern,
    /// For each parameter the failure table of the literal that follows it (Knuth, Morris & Pratt 1977): for each
    /// length of a matched prefix, the length of its longest proper border.
    borders: Vec<Vec<usize>>,
}

/// Where an automaton stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    /// So many bytes of the head have matched.
    Head(usize),
    /// In a parameter, of whose closing literal so many bytes have matched. `empty` while nothing but those has been
    /// read: if the literal is complete then, the parameter is empty and the key does not match.
    Param { index: usize, matched: usize, empty: bool },
    /// In the last parameter, which runs to the end; something has been read.
    Open,
    /// The closing literal of the last parameter is complete; no more bytes may come.
    End,
}

impl<'p> Automaton<'p> {
    fn new(pattern: &'p Pattern) -> Self {
        Self { pattern, borders: pattern.params.iter().map(|param| borders(&param.then)).collect() }
    }

    fn start(&self) -> State {
        if self.pattern.head.is_empty() { self.enter(0) } else { State::Head(0) }
    }

    /// The state before the first byte of a parameter.
    fn enter(&self, index: usize) -> State {
        if index < self.pattern.params.len() {
            State::Param { index, matched: 0, empty: true }
        } else {
            State::End
        }
    }

    fn accepts(&self, state: State) -> bool {
        matches!(state, State::Open | State::End)
    }

    fn step(&self, state: State, byte: u8) -> Option<State> {
        match state {
            State::Head(at) => {
                let expected = *self.pattern.head.get(at)? == byte;
                let next =
                    if at + 1 == self.pattern.head.len() { self.enter(0) } else { State::Head(at + 1) };
                expected.then_some(next)
            }
            State::Param { index, matched, empty } => {
                let literal = &self.pattern.params.get(index)?.then;
                if literal.is_empty() {
                    return Some(State::Open);
                }
                let now = advance(literal, self.borders.get(index)?, matched, byte);
                let empty = empty && now == matched + 1;
                match (now == literal.len(), empty) {
                    (true, true) => None,
                    (true, false) => Some(self.enter(index + 1)),
                    (false, _) => Some(State::Param { index, matched: now, empty }),
                }
            }
            State::Open => Some(State::Open),
            State::End => None,
        }
    }
}

fn borders(literal: &[u8]) -> Vec<usize> {
    let mut table = vec![0; literal.len().min(1)];
    for byte in literal.iter().skip(1) {
        let last = table.last().copied().unwrap_or(0);
        let next = advance(literal, &table, last, *byte);
        table.push(next);
    }
    table
}

/// How much of `literal` has matched after one more byte.
fn advance(literal: &[u8], borders: &[usize], mut matched: usize, byte: u8) -> usize {
    loop {
        if literal.get(matched) == Some(&byte) {
            return matched + 1;
        }
        let Some(before) = matched.checked_sub(1) else { return 0 };
        matched = borders.get(before).copied().unwrap_or(0);
    }
}

/// The bytes of both patterns' literals and one that is in neither: all others behave as it does. Letters and digits come
/// first, for a witness that is easy to read.
fn byte_classes(left: &Pattern, right: &Pattern) -> Vec<u8> {
    let mut in_literal = [false; 256];
    for pattern in [left, right] {
        let literals = pattern.params.iter().flat_map(|param| param.then.iter());
        for byte in pattern.head.iter().chain(literals) {
            if let Some(slot) = in_literal.get_mut(usize::from(*byte)) {
                *slot = true;
            }
        }
    }
    let known = |byte: &u8| in_literal.get(usize::from(*byte)).copied().unwrap_or(false);
    let other = (b'a'..=b'z').rev().take(3).rev().chain(b'0'..=b'9').chain(b'A'..=b'Z').chain(0..=255);
    let other = other.into_iter().find(|byte| !known(byte));
    let mut classes: Vec<u8> = other.into_iter().chain((0..=255).filter(known)).collect();
    classes.sort_by_key(|byte| !byte.is_ascii_alphanumeric());
    classes
}

/// Walks back from the pair that both automata accept.
fn witness(reached: &Reached, end: (State, State)) -> Vec<u8> {
    let mut key = Vec::new();
    let mut pair = end;
    while let Some(Some((before, byte))) = reached.get(&pair) {
        key.push(*byte);
        pair = *before;
    }
    key.reverse();
    key
}

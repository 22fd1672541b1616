//! New inputs made of old ones, by a seed.

use std::hash::{DefaultHasher, Hash, Hasher};

use fastrand::Rng;

/// The longest input that is made, in bytes.
pub const INPUT_BYTES_MAX: usize = 16 * 1024;
/// How often a piece is repeated at most.
const TIMES_MAX: usize = 200;

/// Numbers that programs get wrong.
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "+0",
    "00",
    "1",
    "-1",
    "01",
    "2",
    "10",
    "16",
    "127",
    "128",
    "255",
    "256",
    "1024",
    "32767",
    "32768",
    "65535",
    "65536",
    "1048576",
    "1048577",
    "2147483647",
    "2147483648",
    "-2147483648",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999",
    "1e308",
    "1e309",
    "-1e309",
    "5e-324",
    "0.1",
    ".5",
    "5.",
    "nan",
    "inf",
    "-inf",
    "0x10",
    "1_000",
];

/// A seed that is drawn from bytes.
#[must_use]
pub fn seed_of(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// A new input: one of `known` with some changes, in which pieces of others of them, and `words`, may stand.
pub fn mutated(chance: &mut Rng, known: &[Vec<u8>], words: &[&[u8]]) -> Vec<u8> {
    let mut input = chance.choice(known).cloned().unwrap_or_default();
    let changes = 1 << chance.u32(0..4);
    for _ in 0..changes {
        change(&mut input, chance, known, words);
        input.truncate(INPUT_BYTES_MAX);
    }
    input
}

fn change(input: &mut Vec<u8>, chance: &mut Rng, known: &[Vec<u8>], words: &[&[u8]]) {
    let at = chance.usize(0..=input.len());
    match chance.u32(0..12) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << chance.u32(0..8);
            }
        }
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = chance.u8(..);
            }
        }
        2 => put(input, at..at, &[chance.u8(..)]),
        3 => {
            let piece = piece(input, chance);
            put(input, piece, b"");
        }
        4 => input.truncate(at),
        5 | 6 => {
            let word = chance.choice(words).copied().unwrap_or_default();
            let over = if chance.bool() { at..at } else { piece(input, chance) };
            put(input, over, word);
        }
        7 => {
            let number = chance.choice(NUMBERS).copied().unwrap_or_default();
            let over = number_at(input, at);
            put(input, over, number.as_bytes());
        }
        8 => {
            let copied = input.get(piece(input, chance)).unwrap_or_default().repeat(times(chance));
            put(input, at..at, copied.get(..INPUT_BYTES_MAX).unwrap_or(&copied));
        }
        9 => {
            let other = chance.choice(known).map(Vec::as_slice).unwrap_or_default();
            let copied = other.get(piece(other, chance)).unwrap_or_default();
            let over = piece(input, chance);
            put(input, over, copied);
        }
        10 => {
            // The beginning of one and the end of another.
            let other = chance.choice(known).map(Vec::as_slice).unwrap_or_default();
            let from = chance.usize(0..=other.len());
            input.truncate(at);
            input.extend_from_slice(other.get(from..).unwrap_or_default());
        }
        _ => {
            // A number in binary, of either end.
            let number = chance.choice(&[
                0_u64,
                1,
                0x7f,
                0xff,
                0xffff,
                0x7fff_ffff,
                0xffff_ffff,
                u64::MAX >> 1,
                u64::MAX,
            ]);
            let number = number.copied().unwrap_or_default();
            let bytes = if chance.bool() { number.to_le_bytes() } else { number.to_be_bytes() };
            let bytes = bytes.get(..*chance.choice(&[1, 2, 4, 8]).unwrap_or(&8)).unwrap_or_default();
            let end = at.saturating_add(bytes.len()).min(input.len());
            put(input, at..end, bytes);
        }
    }
}

fn times(chance: &mut Rng) -> usize {
    if chance.u32(0..8) == 0 { chance.usize(1..=TIMES_MAX) } else { chance.usize(1..=3) }
}

/// Some piece of `of`: short ones more often than long ones.
fn piece(of: &[u8], chance: &mut Rng) -> std::ops::Range<usize> {
    let start = chance.usize(0..=of.len());
    let longest = (of.len() - start).min(1 << chance.u32(0..12));
    start..start + chance.usize(0..=longest)
}

/// The number that is written around `at`, or nothing there.
fn number_at(input: &[u8], at: usize) -> std::ops::Range<usize> {
    let is_digit = |byte: &&u8| byte.is_ascii_digit() || **byte == b'-';
    let (before, behind) = input.split_at_checked(at).unwrap_or((input, &[]));
    let start = at - before.iter().rev().take_while(is_digit).count();
    start..at + behind.iter().take_while(is_digit).count()
}

fn put(input: &mut Vec<u8>, over: std::ops::Range<usize>, bytes: &[u8]) {
    let end = over.end.min(input.len());
    input.splice(over.start.min(end)..end, bytes.iter().copied());
}

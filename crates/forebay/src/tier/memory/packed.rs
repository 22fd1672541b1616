//! What is noted of an entry's value, in three words, and numbers in as many bytes as they need: packed in the arrays of the slots,
//! unpacked where they are used.

use std::sync::Arc;

use super::Held;
use crate::rt::Tick;
use crate::value::{Extras, Position};

/// A tick has 40 bits. From here on, 34 years after the clock was made, they are all one: the end of time.
const TICK_END: u64 = (1 << 40) - 1;
/// A position has 48 bits. Beyond them it is noted as an earlier one, so that nothing is taken for heard of that was not.
const POSITION_MAX: u64 = (1 << 48) - 1;
/// Below a tick, each word has so many bits.
const LOW: u32 = 24;
const LOW_MASK: u64 = (1 << LOW) - 1;

/// Times, position and mark of what is held, and 23 bits for whoever keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// When the load began, and the lower half of the position.
    began: u64,
    /// When it stops being fresh, and the upper half of the position.
    fresh_until: u64,
    /// When it is of no use any more, and the bits.
    useless_from: u64,
}

/// The bit that says that it was marked stale.
const EXPIRED: u32 = 1 << 23;

impl Marks {
    /// These, with what is noted of `held`.
    #[inline]
    pub(super) fn of<V>(self, held: &Held<V>) -> Self {
        let position = held.position.number().min(POSITION_MAX);
        let bits = (self.bits() & !EXPIRED) | if held.expired { EXPIRED } else { 0 };
        Self {
            began: packed(held.began, position),
            fresh_until: packed(held.fresh_until, position >> LOW),
            useless_from: packed(held.useless_from, u64::from(bits)),
        }
    }

    /// What is held with these marks.
    #[inline]
    pub(super) fn held<V>(self, value: V, extras: Option<Arc<Extras>>) -> Held<V> {
        Held {
            value,
            began: tick(self.began),
            fresh_until: tick(self.fresh_until),
            useless_from: self.useless_from(),
            position: Position::new((self.began & LOW_MASK) | (self.fresh_until & LOW_MASK) << LOW),
            expired: self.bits() & EXPIRED != 0,
            extras,
        }
    }

    /// When it is of no use any more.
    #[inline]
    pub(super) fn useless_from(self) -> Tick {
        tick(self.useless_from)
    }

    /// The lower 23 bits are the keeper's.
    #[inline]
    pub(super) fn bits(self) -> u32 {
        u32::try_from(self.useless_from & LOW_MASK).unwrap_or_default()
    }

    /// Sets the keeper's bits.
    #[inline]
    pub(super) fn set_bits(&mut self, bits: u32) {
        let bits = (self.bits() & EXPIRED) | (bits & !EXPIRED);
        self.useless_from = (self.useless_from & !LOW_MASK) | (u64::from(bits) & LOW_MASK);
    }
}

#[inline]
fn packed(tick: Tick, low: u64) -> u64 {
    tick.as_ms().min(TICK_END) << LOW | (low & LOW_MASK)
}

#[inline]
fn tick(word: u64) -> Tick {
    let ms = word >> LOW;
    Tick::from_ms(if ms == TICK_END { u64::MAX } else { ms })
}

/// A number of 24 bits in as many bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct U24([u8; 3]);

impl U24 {
    /// The lower 24 bits of `number`.
    #[inline]
    pub(super) const fn new(number: u32) -> Self {
        let [a, b, c, _] = number.to_le_bytes();
        Self([a, b, c])
    }

    #[inline]
    pub(super) const fn get(self) -> u32 {
        let [a, b, c] = self.0;
        u32::from_le_bytes([a, b, c, 0])
    }
}

#[cfg(test)]
mod tests {
    use super::{Held, Marks, Position, TICK_END, Tick, U24};

    fn there_and_back(held: Held<()>, bits: u32) -> (Held<()>, u32) {
        let mut marks = Marks::default();
        marks.set_bits(bits);
        let marks = marks.of(&held);
        assert_eq!(marks.useless_from(), marks.held((), None).useless_from);
        (marks.held((), None), marks.bits() & 0x7f_ffff)
    }

    #[test]
    fn what_fits_comes_back_and_what_does_not_errs_on_the_safe_side() {
        let ms = [0, 1, 0x12_3456_789a, TICK_END - 1, TICK_END, u64::MAX - 1, u64::MAX];
        let positions = [0, 1, 0x1234_5678_9abc, (1 << 48) - 1, 1 << 48, u64::MAX];
        for ((at, other), position) in
            ms.into_iter().flat_map(|at| ms.map(|other| (at, other))).zip(positions.into_iter().cycle())
        {
            let held = Held {
                value: (),
                began: Tick::from_ms(at),
                fresh_until: Tick::from_ms(other),
                useless_from: Tick::from_ms(at ^ other),
                position: Position::new(position),
                expired: at > other,
                extras: None,
            };
            let (back, bits) = there_and_back(held.clone(), 0x55_5555);
            let fits = |tick: Tick| if tick.as_ms() < TICK_END { tick } else { Tick::from_ms(u64::MAX) };
            assert_eq!(back.began, fits(held.began));
            assert_eq!(back.fresh_until, fits(held.fresh_until));
            assert_eq!(back.useless_from, fits(held.useless_from));
            assert_eq!(back.position.number(), position.min((1 << 48) - 1));
            assert_eq!((back.expired, bits), (held.expired, 0x55_5555));
        }
        for number in [0, 1, 0x12_3456, 0xff_ffff] {
            assert_eq!(U24::new(number).get(), number);
        }
    }
}

//! The slots: one for each entry, without gaps.
//!
//! What a read needs of an entry is one cache line ([`Hot`]), their order lies in another array ([`Cold`]). Keys of
//! up to 16 bytes lie in the slot; longer ones, and tags and versions, beside the slots of those that have them.
//!
//! What an entry holds is packed there. Who wants to see it borrows it ([`Slots::lend`]): it is unpacked, without another
//! reference to the value, and put back when the loan ends.
//!
//! Slots only ever move down: the last one takes the place of one that is removed. A walk from the end to the start
//! therefore meets whatever stays.

use std::sync::Arc;

use super::dense::{Dense, Index, NONE, Sparse, position};
use super::packed::{Marks, U24};
use super::{Held, Seen};
use crate::rt::Tick;
use crate::value::{Extras, Kind, Position, Value, length};

/// Slots in a chunk.
const CHUNK: usize = 128;
/// Of what is cold in a chunk: just under 1280 bytes, which allocators have a size for.
const COLD_CHUNK: usize = 1280 / size_of::<Cold>();

/// What the bits of [`Hot::marks`] hold, and from which on.
const READS: Field = Field { shift: 0, mask: 0xf };
const QUEUE: Field = Field { shift: 4, mask: 0xf };
const KEY_LENGTH: Field = Field { shift: 8, mask: 0x1f };
/// Whether there are extras beside the slot.
const EXTRAS: Field = Field { shift: 13, mask: 1 };
const NAMESPACE: Field = Field { shift: 14, mask: 0x1ff };

/// The longest key that lies in its slot.
const KEY_INLINE: usize = 16;
/// The length noted of a key that lies beside the slots.
const KEY_LONG: u32 = KEY_LENGTH.mask;
/// The namespace noted where the number is too large; the key then lies beside the slots, the number before it.
const NAMESPACE_WIDE: u32 = NAMESPACE.mask;

/// Some bits of a word.
#[derive(Clone, Copy)]
struct Field {
    shift: u32,
    mask: u32,
}

impl Field {
    #[inline]
    fn of(self, hot: &Hot) -> u32 {
        (hot.marks.bits() >> self.shift) & self.mask
    }

    #[inline]
    fn set(self, hot: &mut Hot, to: u32) {
        hot.marks
            .set_bits((hot.marks.bits() & !(self.mask << self.shift)) | ((to & self.mask) << self.shift));
    }
}

/// What a read needs of an entry.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Hot {
    value: Option<Value>,
    marks: Marks,
    key: [u8; KEY_INLINE],
}

const _: () = assert!(size_of::<Hot>() == 64);

/// What a slot holds that holds nothing.
#[cfg(test)]
pub(super) fn nothing() -> Held {
    Held {
        value: None,
        began: Tick::default(),
        fresh_until: Tick::default(),
        useless_from: Tick::default(),
        position: Position::START,
        expired: false,
        extras: None,
    }
}

/// Where an entry stands in the order of its queue.
#[derive(Debug)]
pub(super) struct Cold {
    pub(super) newer: U24,
    pub(super) older: U24,
}

impl Default for Cold {
    fn default() -> Self {
        let none = U24::new(NONE);
        Self { newer: none, older: none }
    }
}

impl Cold {
    /// The newer and the older one in its queue.
    pub(super) fn neighbours(&self) -> (Index, Index) {
        (self.newer.get(), self.older.get())
    }
}

/// What an entry takes in the arrays of the shard, in bytes: its slot and its share of table and wheel.
pub(super) const SLOT_BYTES: usize = size_of::<Hot>() + size_of::<Cold>() + 8;

/// A key that is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sought<'k> {
    pub(super) hash: u64,
    pub(super) namespace: u32,
    pub(super) key: &'k [u8],
    /// The key as it lies in a slot, where it does: zeros behind it.
    inline: [u8; KEY_INLINE],
}

impl<'k> Sought<'k> {
    #[inline]
    pub(super) fn new(hash: u64, namespace: u32, key: &'k [u8]) -> Self {
        let mut inline = [0; KEY_INLINE];
        if let Some(place) = inline.get_mut(..key.len()) {
            place.copy_from_slice(key);
        }
        Self { hash, namespace, key, inline }
    }
}

/// What left a slot. Whoever removed it drops it after the lock: a value's own `drop` may do anything.
#[derive(Debug)]
pub(super) struct Departed {
    _value: Option<Value>,
    _extras: Option<Arc<Extras>>,
    _key: Option<Box<[u8]>>,
}

/// What an entry holds, unpacked. When this is dropped, by a panic too, it is packed and put back.
#[derive(Debug)]
pub(super) struct Lent<'s> {
    slots: &'s mut Slots,
    at: Index,
    pub(super) held: Held,
}

impl Drop for Lent<'_> {
    #[inline]
    fn drop(&mut self) {
        self.slots.give_back(self.at, &mut self.held);
    }
}

/// What came of a look at an entry.
pub(super) enum Looked<R> {
    /// It is of no use any more.
    Ended,
    /// It was not wanted.
    Refused,
    /// This was taken of it. It may have come to end earlier.
    Taken { what: R, ends_earlier: bool },
}

/// What may change in a read.
#[inline]
fn noted<V>(held: &Held<V>) -> (Tick, Tick, Tick, Position, bool) {
    (held.began, held.fresh_until, held.useless_from, held.position, held.expired)
}

/// The key of an entry, with its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyOf<'s> {
    pub(super) namespace: u32,
    pub(super) key: &'s [u8],
}

/// The slots of a shard.
#[derive(Debug, Default)]
pub(super) struct Slots {
    hot: Dense<Hot, CHUNK>,
    cold: Dense<Cold, COLD_CHUNK>,
    keys: Sparse<Box<[u8]>, CHUNK>,
    extras: Sparse<Arc<Extras>, CHUNK>,
}

impl Slots {
    pub(super) fn len(&self) -> usize {
        self.hot.len()
    }

    /// What the slots take, filled or not, in bytes; not what their entries have on the heap.
    pub(super) fn bytes(&self) -> u64 {
        length(self.hot.bytes() + self.cold.bytes() + self.keys.bytes() + self.extras.bytes())
    }

    pub(super) fn cold(&self, at: Index) -> Option<&Cold> {
        self.cold.get(at)
    }

    pub(super) fn cold_mut(&mut self, at: Index) -> Option<&mut Cold> {
        self.cold.get_mut(at)
    }

    /// Whether the entry at `at` has the key that is looked for.
    #[inline]
    pub(super) fn has_key(&self, at: Index, sought: &Sought<'_>) -> bool {
        let Some(hot) = self.hot.get(at) else { return false };
        let length = KEY_LENGTH.of(hot);
        if length == KEY_LONG {
            return self.key(at) == Some(KeyOf { namespace: sought.namespace, key: sought.key });
        }
        // Compared whole, as two words: zeros stand behind both.
        NAMESPACE.of(hot) == sought.namespace
            && position(length) == sought.key.len()
            && hot.key == sought.inline
    }

    pub(super) fn key(&self, at: Index) -> Option<KeyOf<'_>> {
        let hot = self.hot.get(at).filter(|_| position(at) < self.len())?;
        let (length, namespace) = (KEY_LENGTH.of(hot), NAMESPACE.of(hot));
        if length != KEY_LONG {
            return Some(KeyOf { namespace, key: hot.key.get(..position(length))? });
        }
        let key = self.keys.get(at)?;
        if namespace != NAMESPACE_WIDE {
            return Some(KeyOf { namespace, key });
        }
        let (namespace, key) = key.split_first_chunk()?;
        Some(KeyOf { namespace: u32::from_le_bytes(*namespace), key })
    }

    /// A slot at the end for an entry.
    pub(super) fn push(&mut self, sought: &Sought<'_>, held: Held) -> Index {
        let at = super::dense::index(self.len());
        let mut hot = Hot::default();
        let namespace = sought.namespace.min(NAMESPACE_WIDE);
        let inline = hot.key.get_mut(..sought.key.len()).filter(|_| namespace != NAMESPACE_WIDE);
        let key_length = match inline {
            Some(place) => {
                place.copy_from_slice(sought.key);
                super::dense::index(sought.key.len())
            }
            None => {
                let number = sought.namespace.to_le_bytes();
                let prefix: &[u8] = if namespace == NAMESPACE_WIDE { &number } else { &[] };
                self.keys.set(at, [prefix, sought.key].concat().into_boxed_slice());
                KEY_LONG
            }
        };
        KEY_LENGTH.set(&mut hot, key_length);
        NAMESPACE.set(&mut hot, namespace);
        self.hot.push(hot);
        self.cold.push(Cold::default());
        self.put(at, held);
        at
    }

    /// Takes an entry out. The last slot moves into its place: the caller mends what points to it.
    pub(super) fn swap_remove(&mut self, at: Index) -> Option<Departed> {
        let last = super::dense::index(self.len().checked_sub(1)?);
        let hot = self.hot.swap_remove(at)?;
        self.cold.swap_remove(at)?;
        Some(Departed {
            _value: hot.value,
            _extras: self.extras.swap_remove(at, last),
            _key: self.keys.swap_remove(at, last),
        })
    }

    /// Writes an entry into its slot; what was there before is given back.
    pub(super) fn put(&mut self, at: Index, held: Held) -> Option<Departed> {
        let hot = self.hot.get_mut(at)?;
        hot.marks = hot.marks.of(&held);
        let value = std::mem::replace(&mut hot.value, held.value);
        Some(Departed { _value: value, _extras: self.put_extras(at, held.extras), _key: None })
    }

    fn put_extras(&mut self, at: Index, extras: Option<Arc<Extras>>) -> Option<Arc<Extras>> {
        let hot = self.hot.get_mut(at)?;
        let before = if EXTRAS.of(hot) != 0 { self.extras.take(at) } else { None };
        EXTRAS.set(hot, u32::from(extras.is_some()));
        if let Some(extras) = extras {
            self.extras.set(at, extras);
        }
        before
    }

    /// The value of an entry.
    pub(super) fn value(&self, at: Index) -> Option<&Value> {
        self.hot.get(at)?.value.as_ref()
    }

    /// A copy of what an entry holds.
    pub(super) fn held(&self, at: Index) -> Option<Held> {
        let hot = self.hot.get(at)?;
        Some(hot.marks.held(hot.value.clone(), self.extras_of(at, hot).cloned()))
    }

    /// Looks at what an entry holds, unless it is of no use at `now`; what may change in a read is noted.
    #[inline]
    pub(super) fn look<R>(
        &mut self,
        at: Index,
        now: Tick,
        look: impl FnOnce(&mut Seen<'_>) -> Option<R>,
    ) -> Looked<R> {
        let Some(hot) = self.hot.get_mut(at).filter(|hot| now < hot.marks.useless_from()) else {
            return Looked::Ended;
        };
        let extras = if EXTRAS.of(hot) == 0 { None } else { self.extras.get(at).cloned() };
        let mut seen = hot.marks.held(&hot.value, extras);
        let before = noted(&seen);
        let Some(what) = look(&mut seen) else { return Looked::Refused };
        let ends_earlier = seen.useless_from < before.2;
        if noted(&seen) != before {
            hot.marks = hot.marks.of(&seen);
        }
        Looked::Taken { what, ends_earlier }
    }

    /// What an entry holds, to be judged or changed. Until it is back, the slot holds no value and weighs less.
    #[inline]
    pub(super) fn lend(&mut self, at: Index) -> Option<Lent<'_>> {
        let held = self.take(at)?;
        Some(Lent { slots: self, at, held })
    }

    /// As [`lend`](Self::lend), where the caller gives it back.
    #[inline]
    pub(super) fn take(&mut self, at: Index) -> Option<Held> {
        let hot = self.hot.get_mut(at)?;
        let extras = if EXTRAS.of(hot) == 0 { None } else { self.extras.lend(at) };
        let value = hot.value.take();
        Some(hot.marks.held(value, extras))
    }

    /// Puts back what was taken.
    #[inline]
    pub(super) fn give_back(&mut self, at: Index, held: &mut Held) {
        let Some(hot) = self.hot.get_mut(at) else { return };
        hot.marks = hot.marks.of(held);
        hot.value = held.value.take();
        if EXTRAS.of(hot) != 0 || held.extras.is_some() {
            self.give_extras_back(at, held.extras.take());
        }
    }

    fn give_extras_back(&mut self, at: Index, extras: Option<Arc<Extras>>) {
        let Some(hot) = self.hot.get_mut(at) else { return };
        let were_lent = EXTRAS.of(hot) != 0;
        EXTRAS.set(hot, u32::from(extras.is_some()));
        match extras {
            Some(extras) if were_lent => self.extras.give_back(at, extras),
            Some(extras) => self.extras.set(at, extras),
            None => self.extras.vacate(at),
        }
    }

    fn extras_of(&self, at: Index, hot: &Hot) -> Option<&Arc<Extras>> {
        if EXTRAS.of(hot) == 0 { None } else { self.extras.get(at) }
    }

    /// When an entry is of no use any more.
    pub(super) fn useless_from(&self, at: Index) -> Option<Tick> {
        self.hot.get(at).filter(|_| position(at) < self.len()).map(|hot| hot.marks.useless_from())
    }

    /// How often the entry was read, as far as its policy counts.
    pub(super) fn reads(&self, at: Index) -> u32 {
        self.hot.get(at).map_or(0, |hot| READS.of(hot))
    }

    pub(super) fn set_reads(&mut self, at: Index, reads: u32) {
        if let Some(hot) = self.hot.get_mut(at) {
            READS.set(hot, reads);
        }
    }

    /// Which of its policy's queues the entry is in.
    pub(super) fn queue(&self, at: Index) -> u32 {
        self.hot.get(at).map_or(0, |hot| QUEUE.of(hot))
    }

    pub(super) fn set_queue(&mut self, at: Index, queue: u32) {
        if let Some(hot) = self.hot.get_mut(at) {
            QUEUE.set(hot, queue);
        }
    }

    /// What an entry weighs in all, in bytes.
    pub(super) fn weight_bytes(&self, at: Index) -> u64 {
        self.heap_bytes(at).saturating_add(length(SLOT_BYTES))
    }

    /// What an entry has on the heap, in bytes.
    pub(super) fn heap_bytes(&self, at: Index) -> u64 {
        let Some(hot) = self.hot.get(at) else { return 0 };
        let key = if KEY_LENGTH.of(hot) == KEY_LONG { self.keys.get(at) } else { None };
        let key_bytes = key.map_or(0, |key| key.len());
        weigh(hot.value.as_ref(), self.extras_of(at, hot).map(|extras| &**extras), key_bytes)
    }

    /// Checks that the keys and extras beside the slots belong to them.
    pub(super) fn validate(&self) -> Result<(), String> {
        let slots = || (0..super::dense::index(self.len())).filter_map(|at| self.hot.get(at));
        let long = slots().filter(|hot| KEY_LENGTH.of(hot) == KEY_LONG).count();
        if self.hot.len() != self.cold.len() || long != self.keys.count() {
            return Err(format!(
                "{} slots say that {long} have long keys; there are {} and {}",
                self.hot.len(),
                self.cold.len(),
                self.keys.count()
            ));
        }
        let extras = slots().filter(|hot| EXTRAS.of(hot) != 0).count();
        if extras != self.extras.count() {
            return Err(format!("slots say that {extras} have extras; there are {}", self.extras.count()));
        }
        Ok(())
    }
}

/// What an entry has on the heap, in bytes: value with the counts before it, extras, and a key that is long.
pub(super) fn heap_bytes(namespace: u32, key: &[u8], held: &Held) -> u64 {
    let key_bytes = if namespace >= NAMESPACE_WIDE {
        key.len() + size_of::<u32>()
    } else if key.len() > KEY_INLINE {
        key.len()
    } else {
        0
    };
    weigh(held.value.as_ref(), held.extras.as_deref(), key_bytes)
}

fn weigh(value: Option<&Value>, extras: Option<&Extras>, key_bytes: usize) -> u64 {
    const COUNTS_BYTES: usize = 2 * size_of::<usize>();
    let value = value.map_or(0, |value| {
        let counts = if value.kind() == Kind::Native { length(COUNTS_BYTES) } else { 0 };
        value.weight_bytes().saturating_add(counts).checked_next_multiple_of(8).unwrap_or(u64::MAX)
    });
    let extras = extras.map_or(0, Extras::weight_bytes);
    value.saturating_add(extras).saturating_add(length(key_bytes))
}

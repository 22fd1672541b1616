//! The slots: one for each entry, without gaps.
//!
//! What a read needs lies together in one array ([`Hot`]), what moves entries about in another ([`Cold`]). Keys of up to
//! 16 bytes lie in the slot; longer ones beside the slots of those that have them.
//!
//! Slots only ever move down: the last one takes the place of one that is removed. A walk from the end to the start
//! therefore meets whatever stays.

use super::Held;
use super::dense::{Dense, Index, NONE, Sparse, position};
use crate::rt::Tick;
use crate::value::{Kind, Position, length};

/// Slots in a chunk.
const CHUNK: usize = 128;

/// What [`Hot::bits`] hold, and from which bit on.
const READS: Field = Field { shift: 0, mask: 0xf };
const QUEUE: Field = Field { shift: 4, mask: 0xf };
const KEY_LENGTH: Field = Field { shift: 8, mask: 0x1f };
const NAMESPACE: Field = Field { shift: 13, mask: 0x7_ffff };

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
    const fn of(self, word: u32) -> u32 {
        (word >> self.shift) & self.mask
    }

    const fn set(self, word: u32, to: u32) -> u32 {
        (word & !(self.mask << self.shift)) | ((to & self.mask) << self.shift)
    }
}

/// What a read needs of an entry.
#[derive(Debug)]
struct Hot {
    held: Held,
    key: [u8; KEY_INLINE],
    /// The fields above.
    bits: u32,
    /// What it weighs beside its slot, in bytes.
    heap_bytes: u32,
}

impl Default for Hot {
    fn default() -> Self {
        Self { held: nothing(), key: [0; KEY_INLINE], bits: 0, heap_bytes: 0 }
    }
}

/// What a slot holds that holds nothing.
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

/// How an entry is found and put in order.
#[derive(Debug)]
pub(super) struct Cold {
    /// Its neighbours in its queue.
    pub(super) newer: Index,
    pub(super) older: Index,
    /// Its neighbours in the wheel; see there.
    pub(super) timer_before: Index,
    pub(super) timer_after: Index,
    /// The link to the next entry of its bucket in the table; see there.
    pub(super) chained: u32,
}

impl Default for Cold {
    fn default() -> Self {
        Self { newer: NONE, older: NONE, timer_before: NONE, timer_after: NONE, chained: NONE }
    }
}

/// What an entry takes in the arrays of the shard, in bytes: its slot and its share of the table.
pub(super) const SLOT_BYTES: usize = size_of::<Hot>() + size_of::<Cold>() + 8;

/// A key that is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sought<'k> {
    pub(super) hash: u64,
    pub(super) namespace: u32,
    pub(super) key: &'k [u8],
}

/// What left a slot. Whoever removed it drops it after the lock: a value's own `drop` may do anything.
#[derive(Debug)]
pub(super) struct Departed {
    _held: Held,
    _key: Option<Box<[u8]>>,
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
    cold: Dense<Cold, CHUNK>,
    keys: Sparse<Box<[u8]>, CHUNK>,
}

impl Slots {
    pub(super) fn len(&self) -> usize {
        self.hot.len()
    }

    /// What the slots take, filled or not, in bytes; not what their entries have on the heap.
    pub(super) fn bytes(&self) -> u64 {
        length(self.hot.bytes() + self.cold.bytes() + self.keys.bytes())
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
        let length = KEY_LENGTH.of(hot.bits);
        if length == KEY_LONG {
            return self.key(at) == Some(KeyOf { namespace: sought.namespace, key: sought.key });
        }
        NAMESPACE.of(hot.bits) == sought.namespace && hot.key.get(..position(length)) == Some(sought.key)
    }

    pub(super) fn key(&self, at: Index) -> Option<KeyOf<'_>> {
        let hot = self.hot.get(at).filter(|_| position(at) < self.len())?;
        let (length, namespace) = (KEY_LENGTH.of(hot.bits), NAMESPACE.of(hot.bits));
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

    /// A slot at the end for an entry that weighs `heap_bytes` beside it.
    pub(super) fn push(&mut self, sought: &Sought<'_>, held: Held, heap_bytes: u32) -> Index {
        let at = super::dense::index(self.len());
        let mut hot = Hot { held, heap_bytes, ..Hot::default() };
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
        hot.bits = NAMESPACE.set(KEY_LENGTH.set(0, key_length), namespace);
        self.hot.push(hot);
        self.cold.push(Cold::default());
        at
    }

    /// Takes an entry out. The last slot moves into its place: the caller mends what points to it.
    pub(super) fn swap_remove(&mut self, at: Index) -> Option<Departed> {
        let last = super::dense::index(self.len().checked_sub(1)?);
        let hot = self.hot.swap_remove(at)?;
        self.cold.swap_remove(at)?;
        let key = self.keys.take(at);
        if last != at
            && let Some(key) = self.keys.take(last)
        {
            self.keys.set(at, key);
        }
        Some(Departed { _held: hot.held, _key: key })
    }

    /// Writes an entry into its slot; what was there before is given back.
    pub(super) fn put(&mut self, at: Index, held: Held) -> Option<Departed> {
        let before = std::mem::replace(&mut self.hot.get_mut(at)?.held, held);
        Some(Departed { _held: before, _key: None })
    }

    /// What an entry holds.
    pub(super) fn held(&self, at: Index) -> Option<&Held> {
        self.hot.get(at).map(|hot| &hot.held)
    }

    /// What an entry holds, to be changed.
    #[inline]
    pub(super) fn held_mut(&mut self, at: Index) -> Option<&mut Held> {
        self.hot.get_mut(at).map(|hot| &mut hot.held)
    }

    /// When an entry is of no use any more.
    pub(super) fn useless_from(&self, at: Index) -> Option<Tick> {
        self.hot.get(at).map(|hot| hot.held.useless_from)
    }

    /// How often the entry was read, as far as its policy counts.
    pub(super) fn reads(&self, at: Index) -> u32 {
        self.hot.get(at).map_or(0, |hot| READS.of(hot.bits))
    }

    pub(super) fn set_reads(&mut self, at: Index, reads: u32) {
        if let Some(hot) = self.hot.get_mut(at) {
            hot.bits = READS.set(hot.bits, reads);
        }
    }

    /// Which of its policy's queues the entry is in.
    pub(super) fn queue(&self, at: Index) -> u32 {
        self.hot.get(at).map_or(0, |hot| QUEUE.of(hot.bits))
    }

    pub(super) fn set_queue(&mut self, at: Index, queue: u32) {
        if let Some(hot) = self.hot.get_mut(at) {
            hot.bits = QUEUE.set(hot.bits, queue);
        }
    }

    /// What an entry weighs in all, in bytes.
    pub(super) fn weight_bytes(&self, at: Index) -> u64 {
        u64::from(self.heap_bytes(at)) + length(SLOT_BYTES)
    }

    /// What an entry weighs beside its slot, in bytes.
    pub(super) fn heap_bytes(&self, at: Index) -> u32 {
        self.hot.get(at).map_or(0, |hot| hot.heap_bytes)
    }

    /// Notes what an entry weighs beside its slot, in bytes; what was noted before.
    pub(super) fn set_heap_bytes(&mut self, at: Index, heap_bytes: u32) -> u32 {
        self.hot.get_mut(at).map_or(0, |hot| std::mem::replace(&mut hot.heap_bytes, heap_bytes))
    }

    /// What an entry has on the heap, weighed anew.
    pub(super) fn weigh(&self, at: Index) -> u64 {
        let (Some(held), Some(key)) = (self.held(at), self.key(at)) else { return 0 };
        heap_bytes(key.namespace, key.key, held)
    }

    /// Checks that the keys beside the slots belong to them.
    pub(super) fn validate(&self) -> Result<(), String> {
        let slots = (0..super::dense::index(self.len())).filter_map(|at| self.hot.get(at));
        let long = slots.filter(|hot| KEY_LENGTH.of(hot.bits) == KEY_LONG).count();
        if self.hot.len() != self.cold.len() || long != self.keys.count() {
            return Err(format!(
                "{} slots say that {long} have long keys; there are {} and {}",
                self.hot.len(),
                self.cold.len(),
                self.keys.count()
            ));
        }
        Ok(())
    }
}

/// What an entry has on the heap, in bytes: value with the counts before it, extras, and a key that is long.
pub(super) fn heap_bytes(namespace: u32, key: &[u8], held: &Held) -> u64 {
    const COUNTS_BYTES: usize = 2 * size_of::<usize>();
    let value = held.value.as_ref().map_or(0, |value| {
        let counts = if value.kind() == Kind::Native { length(COUNTS_BYTES) } else { 0 };
        value.weight_bytes().saturating_add(counts).checked_next_multiple_of(8).unwrap_or(u64::MAX)
    });
    let extras = held.extras.as_ref().map_or(0, |extras| extras.weight_bytes());
    let key = if namespace >= NAMESPACE_WIDE {
        key.len() + size_of::<u32>()
    } else if key.len() > KEY_INLINE {
        key.len()
    } else {
        0
    };
    value.saturating_add(extras).saturating_add(length(key))
}

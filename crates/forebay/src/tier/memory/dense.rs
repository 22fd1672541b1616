//! Storage by index that grows and shrinks in chunks, so that what it takes follows what it holds.
//!
//! [`Dense`] has no gaps: what is removed is replaced by what was last. [`Sparse`] stands beside it for what few entries
//! have; a chunk of it exists only while something is in it. Neither moves what it holds when it grows.

/// The index of a slot.
pub(super) type Index = u32;

/// No slot. Indices have 24 bits, which leaves a byte of a link to whoever stores it.
pub(super) const NONE: Index = 0x00ff_ffff;

/// An index as the position that it is.
pub(super) fn position(at: Index) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// A position as an index; [`NONE`] beyond what an index can say.
pub(super) fn index(position: usize) -> Index {
    Index::try_from(position).unwrap_or(NONE).min(NONE)
}

/// A vector in chunks of `N`.
#[derive(Debug)]
pub(super) struct Dense<T, const N: usize> {
    chunks: Vec<Box<[T; N]>>,
    len: usize,
}

impl<T, const N: usize> Default for Dense<T, N> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T: Default, const N: usize> Dense<T, N> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What is at `at`; something empty, or nothing, beyond the end.
    pub(super) fn get(&self, at: Index) -> Option<&T> {
        let at = position(at);
        self.chunks.get(at / N)?.get(at % N)
    }

    pub(super) fn get_mut(&mut self, at: Index) -> Option<&mut T> {
        let at = position(at);
        self.chunks.get_mut(at / N)?.get_mut(at % N)
    }

    pub(super) fn push(&mut self, item: T) {
        if self.len == self.chunks.len() * N {
            self.chunks.reserve_exact(
                usize::from(self.chunks.len() == self.chunks.capacity()) * growth(self.len / N),
            );
            self.chunks.push(Box::new(std::array::from_fn(|_| T::default())));
        }
        if let Some(place) = self.get_mut(index(self.len)) {
            *place = item;
            self.len += 1;
        }
    }

    /// Takes the last one off.
    pub(super) fn pop(&mut self) -> Option<T> {
        let last = std::mem::take(self.get_mut(index(self.len.checked_sub(1)?))?);
        self.len -= 1;
        // One chunk is kept in hand, so that a length that sways around a chunk's end does not allocate each time.
        if self.chunks.len() * N >= self.len + 2 * N {
            self.chunks.pop();
            if self.chunks.capacity() > 2 * growth(self.chunks.len()) + 2 * self.chunks.len() {
                self.chunks.shrink_to_fit();
            }
        }
        Some(last)
    }

    /// Takes out what is at `at`; the last one moves there.
    pub(super) fn swap_remove(&mut self, at: Index) -> Option<T> {
        let last = self.pop()?;
        if position(at) == self.len {
            return Some(last);
        }
        self.get_mut(at).map(|place| std::mem::replace(place, last))
    }

    /// What it takes, the heap behind its items apart.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.len() * size_of::<[T; N]>() + self.chunks.capacity() * size_of::<Box<[T; N]>>()
    }
}

/// By how many a list of `len` chunks grows: an eighth, so that little of it is unused.
fn growth(len: usize) -> usize {
    len / 8 + 4
}

/// A chunk of what few have.
#[derive(Debug)]
struct Few<T, const N: usize> {
    used: usize,
    items: [Option<T>; N],
}

/// Something for a few indices.
#[derive(Debug)]
pub(super) struct Sparse<T, const N: usize> {
    chunks: Vec<Option<Box<Few<T, N>>>>,
    live: usize,
}

impl<T, const N: usize> Default for Sparse<T, N> {
    fn default() -> Self {
        Self { chunks: Vec::new(), live: 0 }
    }
}

impl<T, const N: usize> Sparse<T, N> {
    pub(super) fn get(&self, at: Index) -> Option<&T> {
        let at = position(at);
        self.chunks.get(at / N)?.as_ref()?.items.get(at % N)?.as_ref()
    }

    pub(super) fn set(&mut self, at: Index, item: T) {
        let (chunk, place) = (position(at) / N, position(at) % N);
        if chunk >= self.chunks.len() {
            let more = chunk + 1 - self.chunks.len();
            if chunk >= self.chunks.capacity() {
                self.chunks.reserve_exact(more + growth(chunk));
            }
            self.chunks.resize_with(chunk + 1, || None);
        }
        let Some(chunk) = self.chunks.get_mut(chunk) else { return };
        let few = chunk.get_or_insert_with(|| {
            self.live += 1;
            Box::new(Few { used: 0, items: std::array::from_fn(|_| None) })
        });
        if let Some(place) = few.items.get_mut(place) {
            few.used += usize::from(place.is_none());
            *place = Some(item);
        }
    }

    pub(super) fn take(&mut self, at: Index) -> Option<T> {
        let item = self.lend(at)?;
        self.vacate(at);
        Some(item)
    }

    /// Takes what is at `at`, and keeps its place for [`give_back`](Self::give_back), or until [`vacate`](Self::vacate).
    pub(super) fn lend(&mut self, at: Index) -> Option<T> {
        let at = position(at);
        self.chunks.get_mut(at / N)?.as_mut()?.items.get_mut(at % N)?.take()
    }

    /// Puts something into the place of what was lent from `at`.
    pub(super) fn give_back(&mut self, at: Index, item: T) {
        let at = position(at);
        let few = self.chunks.get_mut(at / N).and_then(Option::as_mut);
        if let Some(place) = few.and_then(|few| few.items.get_mut(at % N)) {
            *place = Some(item);
        }
    }

    /// Gives up the place of what was lent from `at`.
    pub(super) fn vacate(&mut self, at: Index) {
        let Some(chunk) = self.chunks.get_mut(position(at) / N) else { return };
        let Some(few) = chunk.as_mut() else { return };
        few.used = few.used.saturating_sub(1);
        if few.used == 0 {
            *chunk = None;
            self.live -= 1;
            while self.chunks.last().is_some_and(Option::is_none) {
                self.chunks.pop();
            }
            if self.chunks.capacity() > 2 * growth(self.chunks.len()) + 2 * self.chunks.len() {
                self.chunks.shrink_to_fit();
            }
        }
    }

    /// Takes out what is at `at`; what is at `last` moves there.
    pub(super) fn swap_remove(&mut self, at: Index, last: Index) -> Option<T> {
        let item = self.take(at);
        if last != at
            && let Some(moved) = self.take(last)
        {
            self.set(at, moved);
        }
        item
    }

    /// How many indices have something.
    pub(super) fn count(&self) -> usize {
        self.chunks.iter().flatten().map(|few| few.used).sum()
    }

    /// What it takes, the heap behind its items apart.
    pub(super) fn bytes(&self) -> usize {
        self.live * size_of::<Few<T, N>>() + self.chunks.capacity() * size_of::<Option<Box<Few<T, N>>>>()
    }
}

#[cfg(test)]
mod tests {
    use super::{Dense, Sparse, index};

    #[test]
    fn what_is_removed_is_replaced_by_the_last() {
        let mut dense: Dense<u32, 4> = Dense::default();
        (0..10).for_each(|number| dense.push(number));
        assert_eq!(dense.swap_remove(2), Some(2));
        assert_eq!(dense.get(2), Some(&9));
        assert_eq!(dense.swap_remove(8), Some(8), "the last one itself");
        assert_eq!(dense.len(), 8);
    }

    #[test]
    fn storage_shrinks_with_what_it_holds() {
        let (mut dense, mut sparse): (Dense<u64, 4>, Sparse<u64, 4>) = Default::default();
        for number in 0..1000 {
            dense.push(number);
            sparse.set(index(usize::try_from(number).unwrap()), number);
        }
        let full = (dense.bytes(), sparse.bytes());
        assert!(full.0 < 8 * 1000 + 8 * 300, "{full:?}");
        while dense.len() > 10 {
            let last = index(dense.len() - 1);
            dense.pop();
            assert!(sparse.take(last).is_some());
        }
        assert!(dense.bytes() < full.0 / 10 && sparse.bytes() < full.1 / 10, "a thousand left, ten stayed");
        assert_eq!(sparse.count(), 10);
    }
}

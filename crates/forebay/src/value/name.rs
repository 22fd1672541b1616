//! Names of fields and members, in the order in which collections keep and scan them.
//!
//! That order is by a fixed 64-bit hash, then by bytes. It depends on nothing but the name, so a number is enough as the
//! cursor of a scan: whatever else came and went between two calls, on this instance or another, or by a reload, what is
//! there throughout is seen. Finding a name compares numbers, and its bytes only at the end of the way.

use std::cmp::Ordering;
use std::sync::Arc;

use super::length;
use super::tree::{Tree, Weigh};

/// One step of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Where to go on; 0 when the scan is complete.
    pub cursor: u64,
    /// What was found.
    pub entries: Vec<T>,
}

/// A name that is kept.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    order: u64,
    bytes: Arc<[u8]>,
}

/// The bytes of a [`Name`] that is kept beside; they weigh nothing more.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Alias(Arc<[u8]>);

/// A name that is sought.
#[derive(Clone, Copy)]
pub(super) struct Sought<'a> {
    order: u64,
    bytes: &'a [u8],
}

impl Name {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self { order: order(bytes), bytes: bytes.into() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn alias(&self) -> Alias {
        Alias(Arc::clone(&self.bytes))
    }
}

impl Alias {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn into_bytes(self) -> Arc<[u8]> {
        self.0
    }
}

impl<'a> Sought<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { order: order(bytes), bytes }
    }

    pub(super) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The name to keep it by.
    pub(super) fn to_name(self) -> Name {
        Name { order: self.order, bytes: self.bytes.into() }
    }

    /// How `name` stands to it.
    pub(super) fn order(self) -> impl Fn(&Name) -> Ordering {
        move |name| name.order.cmp(&self.order).then_with(|| name.bytes().cmp(self.bytes))
    }
}

impl Weigh for Name {
    fn heap_bytes(&self) -> u64 {
        // Two counts of references come before the bytes, and the whole is aligned as they are.
        length(self.bytes.len().next_multiple_of(size_of::<usize>()).saturating_add(2 * size_of::<usize>()))
    }
}

impl Weigh for Alias {
    fn heap_bytes(&self) -> u64 {
        0
    }
}

/// FNV-1a with 64 bits (Fowler, Noll, Vo; draft-eastlake-fnv), but never 0, which begins and ends a scan. Names made to
/// collide cost nothing but a larger page.
fn order(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    hash.max(1)
}

/// The entries from `cursor` on (0 begins), about `count` of them: at least one, and all that share the last one's place.
pub(super) fn scan<V>(tree: &Tree<Name, V>, cursor: u64, count: usize) -> Page<(&[u8], &V)> {
    let start = tree.partition_point(|name| name.order < cursor);
    let mut rest = tree.range(start..tree.len());
    let mut entries = Vec::with_capacity(count.clamp(1, rest.len().max(1)));
    let mut last = None;
    for (name, value) in rest.by_ref() {
        if entries.len() >= count.max(1) && last != Some(name.order) {
            return Page { cursor: name.order, entries };
        }
        last = Some(name.order);
        entries.push((name.bytes(), value));
    }
    Page { cursor: 0, entries }
}

#[cfg(test)]
mod tests {
    use super::{Name, Tree, order, scan};

    #[test]
    fn the_order_of_names_is_fixed() {
        // The published test vectors of FNV-1a.
        assert_eq!(order(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(order(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(order(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn names_of_one_place_come_in_one_page() {
        let name = |order, text: &[u8]| (Name { order, bytes: text.into() }, ());
        let tree = Tree::from_sorted(vec![
            name(1, b"a"),
            name(2, b"b"),
            name(2, b"c"),
            name(2, b"d"),
            name(3, b"e"),
        ]);
        let page = scan(&tree, 2, 1);
        assert_eq!(page.entries.iter().map(|(name, ())| *name).collect::<Vec<_>>(), [b"b", b"c", b"d"]);
        assert_eq!(page.cursor, 3);
        assert_eq!(scan(&tree, 3, 1).cursor, 0);
        assert_eq!(scan(&tree, 4, 9), super::Page { cursor: 0, entries: vec![] });
    }
}

//! A persistent search tree: what the collections are made of.
//!
//! The nodes lie behind `Arc`. A clone shares them all and costs O(1); a change costs O(log n): it happens in place where
//! the nodes on its way belong to this tree alone, and copies that way where a clone holds them too. So a reader keeps
//! the state it took while writers go on. Every node knows how many entries are below it, which gives ranks and the
//! n-th entry in O(log n) as well.
//!
//! The tree is weight-balanced (Adams, "Implementing Sets Efficiently in a Functional Language", 1992) with the
//! parameters ⟨3, 2⟩ that Hirai and Yamamoto proved right for insertion and removal ("Balancing Weight-Balanced Trees",
//! 2011). Its depth is below 2.41 log₂(n + 1), so recursion along it is bounded, that of `drop` included.
//!
//! What is sought is told by a function, as with `slice::binary_search_by`: `order(key)` says how `key` stands to it.

mod changes;

use std::cmp::Ordering;
use std::iter::FusedIterator;
use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

use super::length;

pub(super) use changes::Change;

/// One side may be heavier than the other by this factor: Δ.
const HEAVIER_MAX: usize = 3;
/// A double rotation is needed from this factor of the inner grandchild to the outer one: Γ.
const INNER_MAX: usize = 2;

/// What lies on the heap beside a key or value itself.
pub(super) trait Weigh {
    /// Its bytes on the heap, as asked from the allocator.
    fn heap_bytes(&self) -> u64;
}

impl Weigh for () {
    fn heap_bytes(&self) -> u64 {
        0
    }
}

impl Weigh for u64 {
    fn heap_bytes(&self) -> u64 {
        0
    }
}

type Link<K, V> = Option<Arc<Node<K, V>>>;

#[derive(Clone)]
struct Node<K, V> {
    key: K,
    value: V,
    /// Entries here and below.
    len: usize,
    left: Link<K, V>,
    right: Link<K, V>,
}

/// An ordered map.
pub(super) struct Tree<K, V> {
    root: Link<K, V>,
    /// The sum over all keys and values.
    heap_bytes: u64,
}

impl<K, V> Clone for Tree<K, V> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), heap_bytes: self.heap_bytes }
    }
}

impl<K, V> Default for Tree<K, V> {
    fn default() -> Self {
        Self { root: None, heap_bytes: 0 }
    }
}

impl<K, V> Tree<K, V> {
    /// What one entry weighs beside the heap of its key and value: the node and its two counts of references.
    const NODE_BYTES: usize = size_of::<Node<K, V>>() + 2 * size_of::<usize>();

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        len(&self.root)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// What all entries weigh, nodes shared with clones included.
    pub(super) fn weight_bytes(&self) -> u64 {
        length(self.len()).saturating_mul(length(Self::NODE_BYTES)).saturating_add(self.heap_bytes)
    }

    /// The entry sought.
    pub(super) fn get_by(&self, order: impl Fn(&K) -> Ordering) -> Option<(&K, &V)> {
        let mut at = self.root.as_deref();
        while let Some(node) = at {
            at = match order(&node.key) {
                Ordering::Less => node.right.as_deref(),
                Ordering::Equal => return Some((&node.key, &node.value)),
                Ordering::Greater => node.left.as_deref(),
            };
        }
        None
    }

    /// The `index`-th entry, from 0.
    pub(super) fn nth(&self, mut index: usize) -> Option<(&K, &V)> {
        let mut at = self.root.as_deref();
        while let Some(node) = at {
            let before = len(&node.left);
            at = match index.cmp(&before) {
                Ordering::Less => node.left.as_deref(),
                Ordering::Equal => return Some((&node.key, &node.value)),
                Ordering::Greater => {
                    index -= before + 1;
                    node.right.as_deref()
                }
            };
        }
        None
    }

    /// How many keys come first for which `before` holds; it must hold for no key after one for which it does not.
    pub(super) fn partition_point(&self, before: impl Fn(&K) -> bool) -> usize {
        let mut rank = 0;
        let mut at = self.root.as_deref();
        while let Some(node) = at {
            at = if before(&node.key) {
                rank += len(&node.left) + 1;
                node.right.as_deref()
            } else {
                node.left.as_deref()
            };
        }
        rank
    }

    /// How many keys come before the one sought, where that one is there.
    pub(super) fn rank_by(&self, order: impl Fn(&K) -> Ordering) -> Option<usize> {
        let mut rank = 0;
        let mut at = self.root.as_deref();
        while let Some(node) = at {
            at = match order(&node.key) {
                Ordering::Less => {
                    rank += len(&node.left) + 1;
                    node.right.as_deref()
                }
                Ordering::Equal => return Some(rank + len(&node.left)),
                Ordering::Greater => node.left.as_deref(),
            };
        }
        None
    }

    /// The entries of these ranks, in order; ranks that are not there are left out. Skipping costs O(log n).
    pub(super) fn range(&self, ranks: Range<usize>) -> Iter<'_, K, V> {
        let end = ranks.end.min(self.len());
        let ranks = ranks.start.min(end)..end;
        Iter { root: self.root.as_deref(), ranks, front: Way::new(), back: Way::new() }
    }

    /// All entries, in order.
    pub(super) fn iter(&self) -> Iter<'_, K, V> {
        self.range(0..self.len())
    }
}

impl<K: Ord + Clone + Weigh, V: Clone + Weigh> Tree<K, V> {
    /// A tree of `entries`, which are in ascending order without a key twice, in O(n).
    pub(super) fn from_sorted(entries: Vec<(K, V)>) -> Self {
        debug_assert!(entries.is_sorted_by(|(a, _), (b, _)| a < b), "entries out of order");
        let heap_bytes = entries.iter().map(|(key, value)| key.heap_bytes() + value.heap_bytes()).sum();
        let count = entries.len();
        Self { root: build(&mut entries.into_iter(), count), heap_bytes }
    }

    /// Puts an entry in. An equal key that is there stays, with the new value; the old value is handed back.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (key_bytes, value_bytes) = (key.heap_bytes(), value.heap_bytes());
        let old = insert(&mut self.root, key, value);
        let gone_bytes = old.as_ref().map_or(0, |old| old.heap_bytes() + key_bytes);
        self.heap_bytes = (self.heap_bytes + key_bytes + value_bytes).saturating_sub(gone_bytes);
        old
    }

    /// Gives the entry sought another value and hands the old one back; `value` comes back where there is no such entry.
    pub(super) fn replace_by(&mut self, order: impl Fn(&K) -> Ordering, value: V) -> Result<V, V> {
        if self.get_by(&order).is_none() {
            return Err(value);
        }
        let heap_bytes = value.heap_bytes();
        let old = replace(&mut self.root, &order, value)?;
        self.heap_bytes = (self.heap_bytes + heap_bytes).saturating_sub(old.heap_bytes());
        Ok(old)
    }

    /// Takes the entry sought out.
    pub(super) fn remove_by(&mut self, order: impl Fn(&K) -> Ordering) -> Option<(K, V)> {
        // Looked for first: what is not there must not copy a way.
        self.get_by(&order)?;
        let (key, value) = remove(&mut self.root, &order)?;
        self.heap_bytes = self.heap_bytes.saturating_sub(key.heap_bytes() + value.heap_bytes());
        Some((key, value))
    }

    /// Checks order, counts, balance and weight.
    ///
    /// # Errors
    /// What does not hold.
    pub(super) fn validate(&self) -> Result<(), String> {
        let heap_bytes = check(&self.root)?;
        if heap_bytes != self.heap_bytes {
            return Err(format!(
                "entries have {heap_bytes} bytes of heap, the tree says {}",
                self.heap_bytes
            ));
        }
        if self.iter().zip(self.iter().skip(1)).any(|((a, _), (b, _))| a >= b) {
            return Err("keys are out of order".into());
        }
        Ok(())
    }
}

impl<K, V> Node<K, V> {
    fn count(&mut self) {
        self.len = len(&self.left) + len(&self.right) + 1;
    }
}

fn len<K, V>(link: &Link<K, V>) -> usize {
    link.as_ref().map_or(0, |node| node.len)
}

/// The size that balance is counted in.
fn size<K, V>(link: &Link<K, V>) -> usize {
    len(link) + 1
}

fn node<K, V>(key: K, value: V, left: Link<K, V>, right: Link<K, V>) -> Arc<Node<K, V>> {
    let mut node = Node { key, value, len: 0, left, right };
    node.count();
    Arc::new(node)
}

fn build<K, V>(entries: &mut impl Iterator<Item = (K, V)>, count: usize) -> Link<K, V> {
    let before = count.checked_sub(1)? / 2;
    let left = build(entries, before);
    let (key, value) = entries.next()?;
    let right = build(entries, count - before - 1);
    Some(node(key, value, left, right))
}

fn insert<K: Ord + Clone, V: Clone>(link: &mut Link<K, V>, key: K, value: V) -> Option<V> {
    let Some(shared) = link else {
        *link = Some(node(key, value, None, None));
        return None;
    };
    let at = Arc::make_mut(shared);
    let old = match key.cmp(&at.key) {
        Ordering::Less => insert(&mut at.left, key, value),
        Ordering::Equal => return Some(std::mem::replace(&mut at.value, value)),
        Ordering::Greater => insert(&mut at.right, key, value),
    };
    at.count();
    if old.is_none() {
        balance(link);
    }
    old
}

fn replace<K: Clone, V: Clone>(
    link: &mut Link<K, V>,
    order: &impl Fn(&K) -> Ordering,
    value: V,
) -> Result<V, V> {
    let Some(shared) = link else { return Err(value) };
    let at = Arc::make_mut(shared);
    match order(&at.key) {
        Ordering::Less => replace(&mut at.right, order, value),
        Ordering::Equal => Ok(std::mem::replace(&mut at.value, value)),
        Ordering::Greater => replace(&mut at.left, order, value),
    }
}

fn remove<K: Clone, V: Clone>(link: &mut Link<K, V>, order: &impl Fn(&K) -> Ordering) -> Option<(K, V)> {
    let side = order(&link.as_deref()?.key);
    if side == Ordering::Equal {
        let Node { key, value, left, right, .. } = Arc::unwrap_or_clone(link.take()?);
        *link = join(left, right);
        return Some((key, value));
    }
    let at = Arc::make_mut(link.as_mut()?);
    let gone = remove(if side == Ordering::Less { &mut at.right } else { &mut at.left }, order);
    at.count();
    balance(link);
    gone
}

/// One tree of two, every key of `left` being before those of `right`. Their sizes are those of two siblings, so that
/// taking the new root from the larger one keeps the balance.
fn join<K: Clone, V: Clone>(mut left: Link<K, V>, mut right: Link<K, V>) -> Link<K, V> {
    if left.is_none() {
        return right;
    }
    if right.is_none() {
        return left;
    }
    let middle = if len(&left) > len(&right) {
        remove_end(&mut left, Ordering::Greater)
    } else {
        remove_end(&mut right, Ordering::Less)
    };
    middle.map(|(key, value)| node(key, value, left, right))
}

/// Takes the first (`Less`) or the last entry out.
fn remove_end<K: Clone, V: Clone>(link: &mut Link<K, V>, end: Ordering) -> Option<(K, V)> {
    let at = link.as_deref()?;
    let further = if end == Ordering::Less { &at.left } else { &at.right };
    if further.is_none() {
        let Node { key, value, left, right, .. } = Arc::unwrap_or_clone(link.take()?);
        *link = left.or(right);
        return Some((key, value));
    }
    let at = Arc::make_mut(link.as_mut()?);
    let gone = remove_end(if end == Ordering::Less { &mut at.left } else { &mut at.right }, end);
    at.count();
    balance(link);
    gone
}

/// Restores the balance after one entry came or went below.
fn balance<K: Clone, V: Clone>(link: &mut Link<K, V>) {
    let Some(at) = link.as_deref() else { return };
    let (left, right) = (size(&at.left), size(&at.right));
    if right > HEAVIER_MAX * left {
        let double = at.right.as_deref().is_some_and(|it| size(&it.left) >= INNER_MAX * size(&it.right));
        if double && let Some(shared) = link {
            rotate_right(&mut Arc::make_mut(shared).right);
        }
        rotate_left(link);
    } else if left > HEAVIER_MAX * right {
        let double = at.left.as_deref().is_some_and(|it| size(&it.right) >= INNER_MAX * size(&it.left));
        if double && let Some(shared) = link {
            rotate_left(&mut Arc::make_mut(shared).left);
        }
        rotate_right(link);
    }
}

/// The right child becomes the root.
fn rotate_left<K: Clone, V: Clone>(link: &mut Link<K, V>) {
    let Some(top) = link else { return };
    let at = Arc::make_mut(top);
    let Some(mut risen) = at.right.take() else { return };
    let up = Arc::make_mut(&mut risen);
    at.right = up.left.take();
    at.count();
    up.left = link.take();
    up.count();
    *link = Some(risen);
}

/// The left child becomes the root.
fn rotate_right<K: Clone, V: Clone>(link: &mut Link<K, V>) {
    let Some(top) = link else { return };
    let at = Arc::make_mut(top);
    let Some(mut risen) = at.left.take() else { return };
    let up = Arc::make_mut(&mut risen);
    at.left = up.right.take();
    at.count();
    up.right = link.take();
    up.count();
    *link = Some(risen);
}

/// The bytes of heap below `link`, where counts and balance are right.
fn check<K: Weigh, V: Weigh>(link: &Link<K, V>) -> Result<u64, String> {
    let Some(at) = link else { return Ok(0) };
    let below = check(&at.left)? + check(&at.right)?;
    let (left, right) = (size(&at.left), size(&at.right));
    if at.len != left + right - 1 {
        return Err(format!("a node counts {} entries and has {}", at.len, left + right - 1));
    }
    if left > HEAVIER_MAX * right || right > HEAVIER_MAX * left {
        return Err(format!("out of balance: sizes {left} and {right}"));
    }
    Ok(below + at.key.heap_bytes() + at.value.heap_bytes())
}

/// Nodes from the root down.
type Way<'a, K, V> = SmallVec<[&'a Node<K, V>; 24]>;

/// Entries in order, from both ends.
pub(super) struct Iter<'a, K, V> {
    root: Option<&'a Node<K, V>>,
    /// What is still to come.
    ranks: Range<usize>,
    /// The next node, under those that come after its right side. Empty until the first step.
    front: Way<'a, K, V>,
    /// The same from the other end.
    back: Way<'a, K, V>,
}

impl<'a, K, V> Iter<'a, K, V> {
    fn find_front(&mut self) {
        let mut rank = self.ranks.start;
        let mut at = self.root;
        while let Some(node) = at {
            let before = len(&node.left);
            if rank <= before {
                self.front.push(node);
            }
            at = match rank.cmp(&before) {
                Ordering::Less => node.left.as_deref(),
                Ordering::Equal => return,
                Ordering::Greater => {
                    rank -= before + 1;
                    node.right.as_deref()
                }
            };
        }
    }

    fn find_back(&mut self) {
        let mut rank = self.ranks.end.saturating_sub(1);
        let mut at = self.root;
        while let Some(node) = at {
            let before = len(&node.left);
            if rank >= before {
                self.back.push(node);
            }
            at = match rank.cmp(&before) {
                Ordering::Less => node.left.as_deref(),
                Ordering::Equal => return,
                Ordering::Greater => {
                    rank -= before + 1;
                    node.right.as_deref()
                }
            };
        }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        if self.ranks.is_empty() {
            return None;
        }
        if self.front.is_empty() {
            self.find_front();
        }
        let node = self.front.pop()?;
        self.ranks.start += 1;
        let mut below = node.right.as_deref();
        while let Some(next) = below {
            self.front.push(next);
            below = next.left.as_deref();
        }
        Some((&node.key, &node.value))
    }

    fn nth(&mut self, skipped: usize) -> Option<Self::Item> {
        if skipped > 0 {
            self.ranks.start = self.ranks.start.saturating_add(skipped).min(self.ranks.end);
            self.front.clear();
        }
        self.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.ranks.len(), Some(self.ranks.len()))
    }
}

impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.ranks.is_empty() {
            return None;
        }
        if self.back.is_empty() {
            self.find_back();
        }
        let node = self.back.pop()?;
        self.ranks.end -= 1;
        let mut below = node.left.as_deref();
        while let Some(next) = below {
            self.back.push(next);
            below = next.right.as_deref();
        }
        Some((&node.key, &node.value))
    }

    fn nth_back(&mut self, skipped: usize) -> Option<Self::Item> {
        if skipped > 0 {
            self.ranks.end = self.ranks.end.saturating_sub(skipped).max(self.ranks.start);
            self.back.clear();
        }
        self.next_back()
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}
impl<K, V> FusedIterator for Iter<'_, K, V> {}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};
    use std::sync::Arc;

    use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};

    use super::{Link, Node, Tree, Weigh};

    impl Weigh for Vec<u8> {
        fn heap_bytes(&self) -> u64 {
            u64::try_from(self.len()).unwrap()
        }
    }

    #[derive(Clone, Debug)]
    enum Change {
        Insert(u64, Vec<u8>),
        Replace(u64, Vec<u8>),
        Remove(u64),
        Snapshot,
    }

    fn change() -> impl Strategy<Value = Change> {
        let key = 0..200u64;
        let text = proptest::collection::vec(any::<u8>(), 0..9);
        prop_oneof![
            4 => (key.clone(), text.clone()).prop_map(|(key, text)| Change::Insert(key, text)),
            1 => (key.clone(), text).prop_map(|(key, text)| Change::Replace(key, text)),
            3 => key.prop_map(Change::Remove),
            1 => Just(Change::Snapshot),
        ]
    }

    type Model = BTreeMap<u64, Vec<u8>>;

    fn assert_same(tree: &Tree<u64, Vec<u8>>, model: &Model) {
        tree.validate().unwrap();
        assert_eq!(tree.len(), model.len());
        let text_bytes: usize = model.values().map(Vec::len).sum();
        let weight_bytes = tree.len() * Tree::<u64, Vec<u8>>::NODE_BYTES + text_bytes;
        assert_eq!(tree.weight_bytes(), u64::try_from(weight_bytes).unwrap());
        assert!(tree.iter().eq(model));
    }

    proptest! {
        #[test]
        fn a_tree_is_an_ordered_map_and_its_clones_stay(
            changes in proptest::collection::vec(change(), 0..400),
        ) {
            let (mut tree, mut model) = (Tree::default(), Model::new());
            let mut snapshots = Vec::new();
            for change in changes {
                match change {
                    Change::Insert(key, text) => {
                        prop_assert_eq!(tree.insert(key, text.clone()), model.insert(key, text));
                    }
                    Change::Replace(key, text) => {
                        let old = tree.replace_by(|it| it.cmp(&key), text.clone());
                        let known = model.get_mut(&key);
                        prop_assert_eq!(old.is_ok(), known.is_some());
                        if let Some(known) = known {
                            prop_assert_eq!(old.unwrap(), std::mem::replace(known, text));
                        }
                    }
                    Change::Remove(key) => {
                        let gone = tree.remove_by(|it| it.cmp(&key));
                        prop_assert_eq!(gone, model.remove_entry(&key));
                    }
                    Change::Snapshot => snapshots.push((tree.clone(), model.clone())),
                }
                tree.validate().unwrap();
            }
            snapshots.push((tree, model));
            for (tree, model) in &snapshots {
                assert_same(tree, model);
            }
        }

        #[test]
        fn ranks_and_ranges_are_those_of_a_sorted_list(
            model in proptest::collection::btree_map(0..300u64, Just(Vec::new()), 0..120),
            (start, end, skip) in (0..130usize, 0..130usize, 0..40usize),
            steps in proptest::collection::vec((any::<bool>(), 0..4usize), 0..60),
        ) {
            let tree = Tree::from_sorted(model.clone().into_iter().collect());
            assert_same(&tree, &model);
            let keys: Vec<u64> = model.keys().copied().collect();
            for (rank, key) in keys.iter().enumerate() {
                prop_assert_eq!(tree.rank_by(|it| it.cmp(key)), Some(rank));
                prop_assert_eq!(tree.nth(rank).map(|(key, _)| *key), Some(*key));
            }
            prop_assert_eq!(tree.nth(keys.len()), None);
            for bound in 0..301 {
                prop_assert_eq!(tree.partition_point(|&it| it < bound), keys.partition_point(|&it| it < bound));
                prop_assert_eq!(tree.get_by(|it| it.cmp(&bound)).is_some(), keys.contains(&bound));
                prop_assert_eq!(tree.rank_by(|it| it.cmp(&bound)), keys.binary_search(&bound).ok());
            }
            let ends = end.min(keys.len());
            let wanted = &keys[start.min(ends)..ends];
            let found = || tree.range(start..end).map(|(key, _)| *key);
            prop_assert_eq!(found().collect::<Vec<_>>(), wanted);
            prop_assert_eq!(found().rev().collect::<Vec<_>>(), wanted.iter().rev().copied().collect::<Vec<_>>());
            prop_assert_eq!(found().nth(skip), wanted.iter().copied().nth(skip));
            let (mut ours, mut theirs) = (tree.range(start..end), wanted.iter());
            for (forward, skip) in steps {
                let (our, their) = if forward {
                    (ours.nth(skip), theirs.nth(skip))
                } else {
                    (ours.nth_back(skip), theirs.nth_back(skip))
                };
                prop_assert_eq!(our.map(|(key, _)| key), their);
                prop_assert_eq!(ours.len(), theirs.len());
            }
        }
    }

    fn nodes<V>(link: &Link<u64, V>, found: &mut HashSet<*const Node<u64, V>>) {
        if let Some(node) = link {
            found.insert(Arc::as_ptr(node));
            nodes(&node.left, found);
            nodes(&node.right, found);
        }
    }

    /// How many nodes of `tree` are not in `before`.
    fn made(tree: &Tree<u64, ()>, before: &HashSet<*const Node<u64, ()>>) -> usize {
        let mut now = HashSet::new();
        nodes(&tree.root, &mut now);
        now.difference(before).count()
    }

    #[test]
    fn a_change_of_a_shared_tree_copies_its_way_and_no_more() {
        let count = 100_000u64;
        let mut ascending = Tree::default();
        for key in 0..count {
            ascending.insert(2 * key, ());
        }
        let shared = ascending.clone();
        let mut before = HashSet::new();
        nodes(&shared.root, &mut before);
        let bound = usize::try_from(4 * count.ilog2()).unwrap();
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..8 {
            let key = rng.u64(0..count);
            let mut changed = shared.clone();
            assert_eq!(changed.insert(2 * key + 1, ()), None);
            let inserted = made(&changed, &before);
            assert!((2..=bound).contains(&inserted), "insert made {inserted} nodes");
            let mut changed = shared.clone();
            assert!(changed.remove_by(|it| it.cmp(&(2 * key))).is_some());
            let removed = made(&changed, &before);
            assert!(removed <= bound, "remove made {removed} nodes");
            let mut changed = shared.clone();
            assert_eq!(changed.remove_by(|it| it.cmp(&(2 * key + 1))), None);
            assert_eq!(made(&changed, &before), 0, "removing what is not there copied nodes");
        }
    }

    fn places<V>(link: &Link<u64, V>, found: &mut BTreeMap<u64, *const Node<u64, V>>) {
        if let Some(node) = link {
            found.insert(node.key, Arc::as_ptr(node));
            places(&node.left, found);
            places(&node.right, found);
        }
    }

    #[test]
    fn an_unshared_tree_is_changed_in_place() {
        let mut tree: Tree<u64, ()> = Tree::default();
        for key in 0..1_000 {
            tree.insert(2 * key, ());
        }
        let places = |tree: &Tree<u64, ()>| {
            let mut found = BTreeMap::new();
            places(&tree.root, &mut found);
            found
        };
        let before = places(&tree);
        tree.insert(501, ());
        assert_eq!(tree.replace_by(|key| key.cmp(&500), ()), Ok(()));
        // By key, since a node made anew may get the place of one that was freed.
        let mut after = places(&tree);
        assert!(after.remove(&501).is_some());
        assert_eq!(after, before);
    }
}

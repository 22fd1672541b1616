//! What tells one tree from another that it was made from.
//!
//! Both are walked in order at once. A part that they share is passed over whole, so that k changes among n entries cost O(k log n)
//! where one tree is a clone of the other that was changed (Driscoll, Sarnak, Sleator and Tarjan, "Making data structures
//! persistent", 1989, is where the sharing comes from).

use std::cmp::Ordering;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{Link, Node, Tree};

/// What became of one entry.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::value) enum Change<'a, K, V> {
    /// It is there now, with this value.
    Put(&'a K, &'a V),
    /// It is there no more.
    Removed(&'a K),
}

/// What is still to be seen of a tree, the next on top.
struct Walk<'a, K, V>(SmallVec<[Step<'a, K, V>; 48]>);

enum Step<'a, K, V> {
    Below(&'a Arc<Node<K, V>>),
    Entry(&'a Node<K, V>),
}

impl<K, V> Clone for Step<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Step<'_, K, V> {}

impl<'a, K, V> Walk<'a, K, V> {
    fn of(root: &'a Link<K, V>) -> Self {
        Self(root.iter().map(Step::Below).collect())
    }

    fn open(&mut self, node: &'a Node<K, V>) {
        self.0.pop();
        self.0.extend(node.right.as_ref().map(Step::Below));
        self.0.push(Step::Entry(node));
        self.0.extend(node.left.as_ref().map(Step::Below));
    }
}

impl<K: Ord, V: PartialEq> Tree<K, V> {
    /// Tells `take` what must be done to `old` to make it this, in the order of the keys.
    pub(in crate::value) fn changes_since<'a>(
        &'a self,
        old: &'a Self,
        mut take: impl FnMut(Change<'a, K, V>),
    ) {
        let (mut new, mut old) = (Walk::of(&self.root), Walk::of(&old.root));
        loop {
            match (new.0.last().copied(), old.0.last().copied()) {
                (None, None) => return,
                (Some(Step::Below(a)), Some(Step::Below(b))) => {
                    if Arc::ptr_eq(a, b) {
                        new.0.pop();
                        old.0.pop();
                    } else if a.len >= b.len {
                        new.open(a);
                    } else {
                        old.open(b);
                    }
                }
                (Some(Step::Below(a)), _) => new.open(a),
                (_, Some(Step::Below(b))) => old.open(b),
                (Some(Step::Entry(a)), Some(Step::Entry(b))) => {
                    let order = a.key.cmp(&b.key);
                    if order != Ordering::Greater {
                        new.0.pop();
                    }
                    if order != Ordering::Less {
                        old.0.pop();
                    }
                    match order {
                        Ordering::Equal if a.value == b.value => {}
                        Ordering::Equal | Ordering::Less => take(Change::Put(&a.key, &a.value)),
                        Ordering::Greater => take(Change::Removed(&b.key)),
                    }
                }
                (Some(Step::Entry(a)), None) => {
                    new.0.pop();
                    take(Change::Put(&a.key, &a.value));
                }
                (None, Some(Step::Entry(b))) => {
                    old.0.pop();
                    take(Change::Removed(&b.key));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::cmp::Ordering;
    use std::collections::BTreeMap;

    use proptest::prelude::{any, prop, proptest};

    use super::super::{Tree, Weigh};
    use super::Change;

    thread_local! {
        static COMPARED: Cell<usize> = const { Cell::new(0) };
    }

    /// A key that counts how often it is compared.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Counted(u64);

    impl PartialOrd for Counted {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl Ord for Counted {
        fn cmp(&self, other: &Self) -> Ordering {
            COMPARED.set(COMPARED.get() + 1);
            self.0.cmp(&other.0)
        }
    }

    impl Weigh for Counted {
        fn heap_bytes(&self) -> u64 {
            0
        }
    }

    fn changes(new: &Tree<u64, u64>, old: &Tree<u64, u64>) -> Vec<(u64, Option<u64>)> {
        let mut all = Vec::new();
        new.changes_since(old, |change| {
            all.push(match change {
                Change::Put(key, value) => (*key, Some(*value)),
                Change::Removed(key) => (*key, None),
            });
        });
        all
    }

    fn built(model: &BTreeMap<u64, u64>) -> Tree<u64, u64> {
        Tree::from_sorted(model.iter().map(|(&key, &value)| (key, value)).collect())
    }

    proptest! {
        #[test]
        fn the_changes_make_the_old_tree_the_new_one(
            start in prop::collection::btree_map(0..200_u64, any::<u64>(), 0..120),
            steps in prop::collection::vec((0..200_u64, prop::option::of(0..3_u64)), 0..60),
            is_related in any::<bool>(),
        ) {
            let (old, mut model) = (built(&start), start.clone());
            let mut new = old.clone();
            for (key, value) in steps {
                match value {
                    Some(value) => {
                        model.insert(key, value);
                        new.insert(key, value);
                    }
                    None => {
                        model.remove(&key);
                        new.remove_by(|other| other.cmp(&key));
                    }
                }
            }
            let new = if is_related { new } else { built(&model) };
            let keys: std::collections::BTreeSet<u64> = start.keys().chain(model.keys()).copied().collect();
            let expected: Vec<_> = keys
                .into_iter()
                .filter(|key| start.get(key) != model.get(key))
                .map(|key| (key, model.get(&key).copied()))
                .collect();
            proptest::prop_assert_eq!(changes(&new, &old), expected);
        }
    }

    #[test]
    fn what_two_trees_share_is_passed_over() {
        let entries = (0..100_000).map(|key| (Counted(key * 2), 0)).collect();
        let old: Tree<Counted, u64> = Tree::from_sorted(entries);
        let mut new = old.clone();
        for key in [1, 77_777, 123_457] {
            new.insert(Counted(key), 0);
        }
        new.insert(Counted(50_000), 1);
        new.remove_by(|other| other.cmp(&Counted(60_000)));
        COMPARED.set(0);
        let mut count = 0;
        new.changes_since(&old, |_| count += 1);
        assert_eq!(count, 5);
        let compared = COMPARED.get();
        assert!(compared < 1_000, "{compared} comparisons for 5 changes among 100,000 entries");
    }
}

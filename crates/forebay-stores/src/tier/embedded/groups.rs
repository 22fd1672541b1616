//! The groups that were invalidated, so that entries outlive a restart: the log's records do not, these do.
//!
//! While a process lives its instances judge entries by the log. The next process begins with a log that tells nothing of before;
//! what was filled before is judged here, by the newest position of each group that was invalidated or expired, and what
//! passes is told as if its load had noted the place of the restart. One row a group, however often it is invalidated.
//!
//! A load that was under way when its group was invalidated is judged here too, when it fills: a group takes no leases.
//!
//! Their number is bounded: beyond it a floor is raised, and what noted an earlier position is not held after a restart. A row goes
//! once everything is of no use any more that was held when it was written, and no load is under way that began before it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use forebay::log::{Reach, Record, Verb};
use forebay::tier::shared::Owner;
use forebay::value::Tag;

use crate::tier::keys::{put_name, put_owner};

/// The form of a row that is written.
const FORM: u8 = 1;
/// What a key begins with: which kind of group it is.
const ALL: u8 = 1;
const NAMESPACE: u8 = 2;
const TAG: u8 = 3;
const PREFIX: u8 = 4;

/// What is known of one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// The newest position at which it was invalidated; zero is never.
    pub(super) gone: u64,
    /// The same of being marked as stale.
    pub(super) stale: u64,
    /// When nothing is of use any more that was held when it was written, in milliseconds since 1970.
    pub(super) until_ms: u64,
}

impl Marks {
    pub(super) fn encode(self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(FORM);
        [self.gone, self.stale, self.until_ms].into_iter().for_each(|number| out.put_u64_le(number));
        out.freeze()
    }

    pub(super) fn decode(mut from: Bytes) -> Option<Self> {
        if from.try_get_u8().ok()? != FORM {
            return None;
        }
        let mut number = || from.try_get_u64_le().ok();
        let marks = Self { gone: number()?, stale: number()?, until_ms: number()? };
        from.is_empty().then_some(marks)
    }
}

/// What became of an entry by what was invalidated after its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Valid,
    Stale,
    Gone,
}

/// The groups that were invalidated.
#[derive(Debug, Default)]
pub(super) struct Groups {
    marks: HashMap<Bytes, Marks>,
    /// How long the prefixes of each owner are, with how many there are of that length.
    prefix_lengths: HashMap<Bytes, BTreeMap<usize, usize>>,
    /// What noted an earlier position is not known to be valid.
    floor: u64,
}

impl Groups {
    /// No groups, after `floor`.
    pub(super) fn after(floor: u64) -> Self {
        Self { floor, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    /// Takes in a row.
    pub(super) fn insert(&mut self, key: Bytes, marks: Marks) {
        let before = self.marks.insert(key.clone(), marks);
        if before.is_none()
            && let Some((owner, length)) = prefix_of(&key)
        {
            *self.prefix_lengths.entry(owner).or_default().entry(length).or_default() += 1;
        }
    }

    /// The row of a record of a group at `position`, which is to be taken in; `None` for a single key or field.
    pub(super) fn marked(&self, record: &Record, position: u64, until_ms: u64) -> Option<(Bytes, Marks)> {
        let key = key_of(record)?;
        let mut marks = self.marks.get(&key).copied().unwrap_or_default();
        match record.verb {
            Verb::Invalidate => marks.gone = position,
            Verb::Expire => marks.stale = position,
        }
        marks.until_ms = marks.until_ms.max(until_ms);
        Some((key, marks))
    }

    /// Forgets every row and says the keys that they had; what noted a position before `floor` is suspect from now on.
    pub(super) fn raise_floor(&mut self, floor: u64) -> Vec<Bytes> {
        self.floor = floor;
        self.prefix_lengths.clear();
        self.marks.drain().map(|(key, _)| key).collect()
    }

    /// The keys of up to `limit` rows that are of no use any more, where the loads under way have noted no position before
    /// `earliest`.
    pub(super) fn useless(&self, now_ms: u64, earliest: Option<u64>, limit: usize) -> Vec<Bytes> {
        let is_awaited = |marks: &Marks| earliest.is_some_and(|noted| noted < marks.gone.max(marks.stale));
        let is_useless = |marks: &Marks| marks.until_ms <= now_ms && !is_awaited(marks);
        let useless = self.marks.iter().filter(|(_, marks)| is_useless(marks));
        useless.map(|(key, _)| key.clone()).take(limit).collect()
    }

    pub(super) fn remove(&mut self, key: &Bytes) {
        if self.marks.remove(key).is_none() {
            return;
        }
        let Some((owner, length)) = prefix_of(key) else { return };
        let Some(lengths) = self.prefix_lengths.get_mut(&owner) else { return };
        if let Some(count) = lengths.get_mut(&length) {
            *count -= 1;
            if *count == 0 {
                lengths.remove(&length);
            }
        }
        if lengths.is_empty() {
            self.prefix_lengths.remove(&owner);
        }
    }

    /// What became of an entry of `key` that noted position `noted`.
    pub(super) fn judge(&self, owner: &Owner, key: &[u8], tags: &[Tag], noted: u64) -> Judgement {
        if noted < self.floor {
            return Judgement::Gone;
        }
        if self.marks.is_empty() {
            return Judgement::Valid;
        }
        let named =
            [group(ALL, |at| put_name(at, &owner.keyspace)), group(NAMESPACE, |at| put_owner(at, owner))];
        let of_tag = |tag: &Tag| tag_key(&owner.keyspace, tag);
        let owned = group(PREFIX, |at| put_owner(at, owner));
        let lengths: BTreeSet<usize> =
            self.prefix_lengths.get(&owned).into_iter().flat_map(|lengths| lengths.keys().copied()).collect();
        let of_prefix = lengths.into_iter().filter_map(|length| {
            let prefix = key.get(..length)?;
            Some(Bytes::from([&owned[..], prefix].concat()))
        });
        let all = named.into_iter().chain(tags.iter().map(of_tag)).chain(of_prefix);
        let mut judgement = Judgement::Valid;
        for marks in all.filter_map(|key| self.marks.get(&key)) {
            if marks.gone > noted {
                return Judgement::Gone;
            }
            if marks.stale > noted {
                judgement = Judgement::Stale;
            }
        }
        judgement
    }
}

fn key_of(record: &Record) -> Option<Bytes> {
    let owner = |namespace: &std::sync::Arc<str>| Owner {
        keyspace: std::sync::Arc::clone(&record.keyspace),
        namespace: std::sync::Arc::clone(namespace),
    };
    Some(match &record.reach {
        Reach::Key { .. } | Reach::Field { .. } => return None,
        Reach::All => group(ALL, |at| put_name(at, &record.keyspace)),
        Reach::Namespace(namespace) => group(NAMESPACE, |at| put_owner(at, &owner(namespace))),
        Reach::Tag(tag) => tag_key(&record.keyspace, tag),
        Reach::Prefix { namespace, prefix } => group(PREFIX, |at| {
            put_owner(at, &owner(namespace));
            at.put_slice(prefix);
        }),
    })
}

fn tag_key(keyspace: &str, tag: &str) -> Bytes {
    group(TAG, |at| {
        put_name(at, keyspace);
        at.put_slice(tag.as_bytes());
    })
}

fn group(kind: u8, fill: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut at = BytesMut::new();
    at.put_u8(kind);
    fill(&mut at);
    at.freeze()
}

/// The key of a prefix without the prefix, and how long that is.
fn prefix_of(key: &Bytes) -> Option<(Bytes, usize)> {
    let mut rest = key.clone();
    if rest.try_get_u8().ok()? != PREFIX {
        return None;
    }
    for _ in 0..2 {
        let length = usize::try_from(rest.try_get_u32().ok()?).ok()?;
        if rest.len() < length {
            return None;
        }
        rest.advance(length);
    }
    Some((key.slice(..key.len() - rest.len()), rest.len()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use forebay::log::{Reach, Record, Verb};
    use forebay::tier::shared::Owner;

    use super::{Groups, Judgement, Marks};

    fn owner(namespace: &str) -> Owner {
        Owner { keyspace: "shop".into(), namespace: namespace.into() }
    }

    fn mark(groups: &mut Groups, keyspace: &str, reach: Reach, verb: Verb, position: u64) {
        let record = Record { keyspace: keyspace.into(), reach, verb };
        let (key, marks) = groups.marked(&record, position, 1_000 * position).unwrap();
        assert_eq!(Marks::decode(marks.encode()), Some(marks));
        groups.insert(key, marks);
    }

    #[test]
    fn an_entry_is_judged_by_every_group_that_it_is_in() {
        let tag = |tag: &str| Reach::Tag(Arc::from(tag));
        let prefix = |prefix: &[u8]| Reach::Prefix { namespace: "price".into(), prefix: prefix.into() };
        let cases = [
            ("shop", Reach::All, true),
            ("other", Reach::All, false),
            ("shop", Reach::Namespace("price".into()), true),
            ("shop", Reach::Namespace("pric".into()), false),
            ("shop", tag("t"), true),
            ("shop", tag("u"), false),
            ("other", tag("t"), false),
            ("shop", prefix(b"price:"), true),
            ("shop", prefix(b""), true),
            ("shop", prefix(b"price:1"), true),
            ("shop", prefix(b"price:12"), false),
            ("shop", prefix(b"q"), false),
        ];
        for (keyspace, reach, takes) in cases {
            for (verb, judgement) in [(Verb::Invalidate, Judgement::Gone), (Verb::Expire, Judgement::Stale)] {
                let mut groups = Groups::default();
                mark(&mut groups, keyspace, reach.clone(), verb, 5);
                let judge = |groups: &Groups, noted| {
                    groups.judge(&owner("price"), b"price:1", &["s".into(), "t".into()], noted)
                };
                let expected = if takes { judgement } else { Judgement::Valid };
                assert_eq!(judge(&groups, 4), expected, "{reach:?}");
                assert_eq!(judge(&groups, 5), Judgement::Valid, "{reach:?} came before");
                assert_eq!(groups.useless(4_999, None, 9).len(), 0);
                assert_eq!(groups.useless(5_000, Some(4), 9).len(), 0, "a load began before it");
                for key in groups.useless(5_000, Some(5), 9) {
                    groups.remove(&key);
                }
                assert_eq!(judge(&groups, 4), Judgement::Valid);
                assert!(groups.prefix_lengths.is_empty());
            }
        }
    }

    #[test]
    fn a_floor_makes_everything_before_it_suspect() {
        let mut groups = Groups::default();
        mark(&mut groups, "shop", Reach::Tag("t".into()), Verb::Invalidate, 5);
        assert_eq!(groups.raise_floor(9).len(), 1);
        assert_eq!(groups.judge(&owner("price"), b"k", &[], 8), Judgement::Gone);
        assert_eq!(groups.judge(&owner("price"), b"k", &["t".into()], 9), Judgement::Valid);
    }
}

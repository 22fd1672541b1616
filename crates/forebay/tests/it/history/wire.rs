//! An instance's way to the shared tier of its world: a simulated link whose exchanges are recorded.
//!
//! Here too is how values are written for that tier.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use forebay::log::{Batch, Cursor, InstanceId, Log, LogError, Reach, Record};
use forebay::tier::shared::{
    Answer, Answers, Capabilities, Fill, Filled, Lease, LeaseTerms, Owner, SharedTier,
};
use forebay::value::Codec;
use forebay_simulated::Link;

use super::record::{Exchanged, Got, KeyIndex, Said, Scope, Stamp};
use super::world::{FIELDS, World};

type LogReply<'a, T> = forebay::log::Reply<'a, T>;
type TierReply<'a, T> = forebay::tier::shared::Reply<'a, T>;

/// The way of one instance.
pub struct Wire {
    world: World,
    link: Link,
    instance: usize,
    /// The keys of a text; a hash has one for each field.
    keys: HashMap<Vec<u8>, Vec<KeyIndex>>,
    /// The newest epoch that the instance knows.
    epoch: AtomicU64,
}

impl Wire {
    pub fn new(world: &World, instance: usize) -> Self {
        let link = world.tier().link(super::trouble::number(instance));
        let mut keys: HashMap<Vec<u8>, Vec<KeyIndex>> = HashMap::new();
        for (index, key) in world.plan().keys.iter().enumerate() {
            let hash = key.name.rsplit_once(':').filter(|_| world.plan().rules[key.namespace].fields);
            let text = hash.map_or(key.name.as_str(), |(hash, _)| hash);
            keys.entry(text.into()).or_default().push(index);
        }
        Self { world: world.clone(), link, instance, keys, epoch: AtomicU64::new(0) }
    }

    fn note(&self, sent: Stamp, what: Exchanged) {
        self.world.exchanged(self.instance, sent, what);
    }

    /// Notes that an answer spoke of the epoch of `place`; whether it is not one that has ended.
    fn heard_of(&self, sent: Stamp, place: Cursor) -> bool {
        let known = self.epoch.fetch_max(place.epoch.0, Ordering::Relaxed);
        if known < place.epoch.0 {
            self.note(sent, Exchanged::Floor);
        }
        known <= place.epoch.0
    }

    fn scope(&self, reach: &Reach) -> Scope {
        let namespace = |name: &str| name.strip_prefix('n').unwrap().parse().unwrap();
        match reach {
            Reach::Key { namespace: of, key } => match (&self.keys[&**key][..], namespace(of)) {
                (_, FIELDS) => {
                    let group =
                        std::str::from_utf8(key).unwrap().split(":g").nth(1).unwrap().parse().unwrap();
                    Scope::Prefix { namespace: FIELDS, group }
                }
                (keys, _) => Scope::Key(keys[0]),
            },
            Reach::Field { key, field, .. } => {
                let facts = &self.world.plan().keys;
                let is_it = |index: &&KeyIndex| {
                    facts[**index].name.as_bytes().ends_with(&[b":", &field[..]].concat())
                };
                Scope::Key(*self.keys[&**key].iter().find(is_it).unwrap())
            }
            Reach::Tag(tag) => match tag.strip_prefix("group:g") {
                Some(group) => Scope::Declared { group: group.parse().unwrap() },
                None => Scope::Tag(tag.strip_prefix('t').unwrap().parse().unwrap()),
            },
            Reach::Prefix { namespace: of, prefix } => {
                let prefix = std::str::from_utf8(prefix).unwrap();
                let group = prefix.split(":g").nth(1).unwrap().trim_end_matches(':').parse().unwrap();
                Scope::Prefix { namespace: namespace(of), group }
            }
            Reach::Namespace(of) => Scope::Namespace(namespace(of)),
            Reach::All => Scope::Everything,
        }
    }

    fn note_answers(&self, sent: Stamp, keys: &[&[u8]], answers: Option<&Answers>) {
        for (index, key) in keys.iter().enumerate() {
            let said = match answers.map(|answers| &answers.answers[index]) {
                Some(Answer::Held(_)) => Said::Held,
                Some(Answer::Leased { .. }) => Said::Leased,
                Some(Answer::Busy { .. }) => Said::Busy,
                Some(Answer::Missing) | None => Said::Nothing,
            };
            for &key in &self.keys[*key] {
                self.note(sent, Exchanged::Asked { key, said });
            }
        }
    }
}

impl SharedTier for Wire {
    fn capabilities(&self) -> Capabilities {
        self.link.capabilities()
    }

    fn get<'a>(
        &'a self,
        of: &'a Owner,
        keys: &'a [&'a [u8]],
        lease: Option<LeaseTerms>,
    ) -> TierReply<'a, Answers> {
        Box::pin(async move {
            let sent = self.world.moment();
            let answers = self.link.get(of, keys, lease).await;
            let current = answers.as_ref().is_ok_and(|answers| self.heard_of(sent, answers.tail));
            self.note_answers(sent, keys, answers.as_ref().ok().filter(|_| current));
            answers
        })
    }

    fn fill<'a>(&'a self, of: &'a Owner, fills: &'a [Fill]) -> TierReply<'a, Vec<Filled>> {
        Box::pin(async move {
            let sent = self.world.moment();
            let filled = self.link.fill(of, fills).await;
            for (index, fill) in fills.iter().enumerate() {
                let stored = filled.as_ref().ok().map(|filled| filled[index] == Filled::Stored);
                for &key in &self.keys[&*fill.key] {
                    self.note(sent, Exchanged::Filled { key, stored });
                }
            }
            filled
        })
    }

    fn renew<'a>(
        &'a self,
        of: &'a Owner,
        key: &'a [u8],
        lease: Lease,
        time: Duration,
    ) -> TierReply<'a, bool> {
        self.link.renew(of, key, lease, time)
    }

    fn release<'a>(&'a self, of: &'a Owner, key: &'a [u8], lease: Lease) -> TierReply<'a, ()> {
        Box::pin(async move {
            let sent = self.world.moment();
            let released = self.link.release(of, key, lease).await;
            for &key in &self.keys[key] {
                self.note(sent, Exchanged::Released { key });
            }
            released
        })
    }

    fn invalidate<'a>(&'a self, records: &'a [Record]) -> TierReply<'a, Cursor> {
        Box::pin(async move {
            let sent = self.world.moment();
            let told = self.link.invalidate(records).await;
            let confirmed = told.as_ref().is_ok_and(|place| self.heard_of(sent, *place));
            for record in records {
                self.note(sent, Exchanged::Told { scope: self.scope(&record.reach), confirmed });
            }
            told
        })
    }
}

impl Log for Wire {
    fn append<'a>(&'a self, records: &'a [Record]) -> LogReply<'a, Cursor> {
        self.link.append(records)
    }

    fn read(&self, after: Cursor, wait: Duration) -> LogReply<'_, Batch> {
        Box::pin(async move {
            let sent = self.world.moment();
            let batch = self.link.read(after, wait).await?;
            self.heard_of(sent, batch.cursor());
            if batch.gap {
                self.note(sent, Exchanged::Floor);
            }
            for (_, record) in &batch.records {
                self.note(sent, Exchanged::Heard { scope: self.scope(&record.reach) });
            }
            Ok(batch)
        })
    }

    fn acknowledge(&self, instance: InstanceId, applied: Cursor) -> LogReply<'_, ()> {
        Box::pin(async move {
            self.link.acknowledge(instance, applied).await?;
            self.world.is_alive(self.instance);
            Ok::<_, LogError>(())
        })
    }

    fn acknowledged(&self, place: Cursor, wait: Duration) -> LogReply<'_, bool> {
        self.link.acknowledged(place, wait)
    }
}

/// Writes rows for the tier as their three numbers.
pub struct Rows;

impl Codec<Got> for Rows {
    fn encode(&self, value: &Got) -> Option<Bytes> {
        match value {
            Got::Row { key, version, load } => Some(format!("{key} {version} {load}").into()),
            Got::Absent | Got::Put { .. } => None,
        }
    }

    fn decode(&self, bytes: &[u8]) -> Option<(Got, u64)> {
        let mut numbers = std::str::from_utf8(bytes).ok()?.split(' ');
        let (key, version, load) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let row =
            Got::Row { key: key.parse().ok()?, version: version.parse().ok()?, load: load.parse().ok()? };
        Some((row, super::instance::WEIGHT_BYTES))
    }
}

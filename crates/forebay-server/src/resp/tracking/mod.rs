//! Client tracking: clients keep copies of what they read, and are told when those are of no use any more.
//!
//! A connection that tracks is remembered beside each key that it reads (`tracking/table.rs`), or has named the beginnings of keys that it is
//! told of. It is remembered *before* the read looks, and whoever changes a key tells of it *after* the change can be seen
//! ([`forebay::observe::Listener`]): a read either sees the change, or its reader is told of it. What is told during a command goes behind
//! its reply, so that a client never drops a copy first and receives it then.
//!
//! Told are writes and deletions by anybody, invalidations of keys, and of groups for each key that was read of them; loads that bring
//! something else, or something after nothing was held; and that the time of what was read is over. More is told than is needed where
//! that is simpler. A connection is told once of a key, until it reads it again.

mod asked;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use forebay::observe::{Change, Listener, Listening};
use forebay::rt::{Clock, Mutex, Tick};
use forebay::{Forebay, ReadOutcome, Tier};

pub(super) use self::asked::{Asked, Tracked, carry_out, info, reading};
use self::table::{Place, Readers, Table};
use super::clients::Client;
use super::inbox::{Message, Sender, Whose};
use crate::keyspaces::View;
use crate::stop::Stop;

/// How often it is looked for copies whose time is over.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long what was read may be kept where nothing is known of its end.
const KEPT_AT_MOST: Duration = Duration::from_secs(60);
/// The most keys of one message.
const KEYS_OF_MESSAGE: usize = 1_000;
/// The most bytes of keys that one connection is told at once; of more it is told as of all.
const KEYS_BYTES_AT_ONCE: usize = 4 << 20;

/// The connections that track, and what they have read.
#[derive(Debug)]
pub(super) struct Tracking {
    engine: Forebay,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    table: Table,
    trackers: BTreeMap<i64, Tracker>,
    /// Keyspaces that are being emptied.
    emptied: BTreeMap<Box<str>, Emptied>,
    /// While somebody tracks.
    listening: Option<Listening>,
}

/// A keyspace that is being emptied: of its groups is told as of all, and when it is done again.
#[derive(Debug, Default)]
struct Emptied {
    /// By how many at once.
    by: usize,
    /// Who was told of all since it began, and has read nothing since.
    told: BTreeSet<i64>,
}

/// Who is told instead of a connection that tracks.
#[derive(Debug)]
struct Instead {
    id: i64,
    to: Weak<Client>,
    /// As long as it has shown the token of this name, where one is said.
    only: Option<Bytes>,
}

/// A connection that tracks.
#[derive(Debug)]
struct Tracker {
    id: i64,
    own: Sender,
    redirect: Option<Instead>,
    /// That one has gone, or become somebody else.
    broken: Arc<AtomicBool>,
    /// What keys begin with that it is told of, read or not.
    prefixes: Option<BTreeSet<Bytes>>,
    no_loop: bool,
    /// The keyspace that it has picked, and those that it had.
    keyspace: Box<str>,
    had: BTreeSet<Box<str>>,
}

impl Tracker {
    /// Tells it that its copies of `keys` are of no use any more; `None` for all that it has.
    fn tell(&self, keys: Option<Arc<[Bytes]>>) {
        match &self.redirect {
            None => drop(self.own.send(Message::Invalidated { keys, whose: Whose::Own })),
            Some(Instead { id, to, only }) => {
                let is_meant = |to: &Arc<Client>| only.as_ref().is_none_or(|name| to.is_of(name));
                match to.upgrade().filter(is_meant) {
                    Some(to) => {
                        to.inbox.send(Message::Invalidated { keys, whose: Whose::Other(only.clone()) });
                    }
                    None => {
                        self.broken.store(true, Ordering::Relaxed);
                        self.own.send(Message::RedirectionBroken(*id));
                    }
                }
            }
        }
    }

    fn tell_key(&self, key: &Bytes) {
        self.tell(Some(Arc::from([key.clone()])));
    }

    /// Whether it is told of every key of a keyspace that begins so.
    fn broadcasts(&self, keyspace: &str, is_prefix: impl Fn(&[u8]) -> bool) -> bool {
        *self.keyspace == *keyspace
            && self.prefixes.as_ref().is_some_and(|prefixes| prefixes.iter().any(|own| is_prefix(own)))
    }
}

impl Tracking {
    pub(super) fn new(engine: Forebay) -> Self {
        Self { clock: engine.clock().clone(), engine, state: Mutex::default() }
    }

    /// How many connections track, how many keys are remembered, how often a connection is remembered with one of them, and how many
    /// beginnings of keys.
    pub(super) fn counts(&self) -> [usize; 4] {
        let state = self.state.lock();
        let prefixes = state.trackers.values().flat_map(|tracker| &tracker.prefixes).map(BTreeSet::len).sum();
        [state.trackers.len(), state.table.len(), state.table.items(), prefixes]
    }

    /// Tells of copies whose time is over, and of all when another declaration is put in service, until the process stops.
    pub(super) async fn look_after(self: &Arc<Self>, mut served: View, mut stop: Stop) {
        loop {
            tokio::select! {
                () = self.clock.sleep(LOOK_EVERY) => self.tell_of_ended(),
                () = served.moved() => self.tell_of_all(),
                () = stop.asked() => return,
            }
        }
    }

    /// Tells all of all that they have: what a key means may be something else now.
    fn tell_of_all(self: &Arc<Self>) {
        let had: BTreeSet<Box<str>> =
            self.state.lock().trackers.values().flat_map(|tracker| tracker.had.iter().cloned()).collect();
        had.iter().for_each(|keyspace| drop(self.flush(keyspace)));
    }

    fn tell_of_ended(&self) {
        let now = self.clock.now();
        let state = &mut *self.state.lock();
        let ended: Vec<_> = std::iter::from_fn(|| state.table.take_ended(now)).collect();
        state.tell_all(&ended);
    }

    /// Remembers that the connection reads the keys at `places`, until what is given is dropped: then what it was told of them counts as
    /// its copies.
    fn begin(self: &Arc<Self>, id: i64, places: Vec<Place>) -> Reading {
        let state = &mut *self.state.lock();
        for place in &places {
            state.table.begin(place, id);
            if let Some(tracker) = state.trackers.get_mut(&id)
                && !tracker.had.contains(&*place.keyspace)
            {
                tracker.had.insert(place.keyspace.as_ref().into());
            }
            state.reads(&place.keyspace, id);
        }
        // Together: it takes what it is told only when the command is over.
        let given: Vec<_> = std::iter::from_fn(|| state.table.take_beyond_bound()).collect();
        state.tell_all(&given);
        Reading { tracking: Arc::clone(self), id, places, seen: Mutex::default() }
    }

    /// Notes that the keyspace of this name is being emptied, until what is given is dropped: then that is told.
    pub(super) fn flush(self: &Arc<Self>, keyspace: &str) -> Flushing {
        self.state.lock().emptied.entry(keyspace.into()).or_default().by += 1;
        Flushing { tracking: Arc::clone(self), keyspace: keyspace.into() }
    }

    fn enter(self: &Arc<Self>, tracker: Tracker) {
        let mut state = self.state.lock();
        state.trackers.insert(tracker.id, tracker);
        if state.listening.is_none() {
            state.listening = Some(self.engine.listen(Arc::clone(self) as Arc<dyn Listener>));
        }
    }

    /// The keyspaces that the connection has read from while it tracked.
    fn had(&self, id: i64) -> BTreeSet<Box<str>> {
        self.state.lock().trackers.get(&id).map(|tracker| tracker.had.clone()).unwrap_or_default()
    }

    fn leave(&self, id: i64) {
        let mut state = self.state.lock();
        state.trackers.remove(&id);
        if state.trackers.is_empty() {
            state.table = Table::default();
            let unheard = state.listening.take();
            drop(state);
            drop(unheard);
        }
    }

    fn select(&self, id: i64, keyspace: &str) {
        if let Some(tracker) = self.state.lock().trackers.get_mut(&id) {
            tracker.keyspace = keyspace.into();
            tracker.had.insert(keyspace.into());
        }
    }
}

impl State {
    /// Tells readers of the keys at these places, who are remembered there no more.
    fn tell_all(&self, told: &[(Place, Readers)]) {
        let mut keys_of: BTreeMap<i64, Vec<Bytes>> = BTreeMap::new();
        for (place, readers) in told {
            for id in readers {
                keys_of.entry(*id).or_default().push(place.key.clone());
            }
        }
        for (id, keys) in keys_of {
            let Some(tracker) = self.readers(&id) else { continue };
            if keys.iter().map(Bytes::len).sum::<usize>() > KEYS_BYTES_AT_ONCE {
                tracker.tell(None);
                continue;
            }
            keys.chunks(KEYS_OF_MESSAGE).for_each(|keys| tracker.tell(Some(Arc::from(keys))));
        }
    }

    /// The connection of this number, if it is told of what it has read.
    fn readers(&self, id: &i64) -> Option<&Tracker> {
        self.trackers.get(id).filter(|tracker| tracker.prefixes.is_none())
    }

    /// Notes that a connection has copies of keys of a keyspace, or is about to.
    fn reads(&mut self, keyspace: &str, id: i64) {
        if let Some(emptied) = self.emptied.get_mut(keyspace) {
            emptied.told.remove(&id);
        }
    }

    fn key_changed(&mut self, keyspace: &str, namespace: &str, key: &[u8], by: u64) {
        let is_own = |id: i64| u64::try_from(id).is_ok_and(|id| id == by);
        let trackers = &self.trackers;
        // Who changes it himself and does not want to hear of it still hears of what others do.
        let stays = |id: i64| is_own(id) && trackers.get(&id).is_some_and(|tracker| tracker.no_loop);
        if let Some((place, readers)) = self.table.take(keyspace, namespace, key, |reader| !stays(reader.id))
        {
            self.tell_all(&[(place, readers)]);
        }
        self.broadcast(keyspace, key, |tracker| !(tracker.no_loop && is_own(tracker.id)));
    }

    fn loaded(&mut self, keyspace: &str, namespace: &str, key: &[u8], began: Tick) {
        let taken = self.table.take(keyspace, namespace, key, |reader| reader.is_older(began));
        if let Some((place, readers)) = taken {
            self.tell_all(&[(place, readers)]);
        }
        self.broadcast(keyspace, key, |_| true);
    }

    /// Tells those who have named a beginning of `key`.
    fn broadcast(&self, keyspace: &str, key: &[u8], wants: impl Fn(&Tracker) -> bool) {
        let mut text = None;
        for tracker in self.trackers.values() {
            if tracker.broadcasts(keyspace, |prefix| key.starts_with(prefix)) && wants(tracker) {
                tracker.tell_key(text.get_or_insert_with(|| Bytes::copy_from_slice(key)));
            }
        }
    }

    fn prefix_changed(&mut self, keyspace: &str, namespace: &str, prefix: &[u8]) {
        let taken = self.table.take_prefix(keyspace, namespace, prefix);
        // Nobody knows which of these keys a client has that is told of all.
        let overlaps = |own: &[u8]| own.starts_with(prefix) || prefix.starts_with(own);
        let of_all = self.trackers.values().filter(|tracker| tracker.broadcasts(keyspace, overlaps));
        of_all.clone().for_each(|tracker| tracker.tell(None));
        if !self.emptied.contains_key(keyspace) {
            return self.tell_all(&taken);
        }
        let mut told: BTreeSet<i64> = of_all.map(|tracker| tracker.id).collect();
        let readers: BTreeSet<i64> = taken.iter().flat_map(|(_, readers)| readers.iter().copied()).collect();
        for id in readers {
            let was_told = self.emptied.get(keyspace).is_some_and(|emptied| emptied.told.contains(&id));
            if let Some(tracker) = self.readers(&id).filter(|_| !was_told) {
                tracker.tell(None);
                told.insert(id);
            }
        }
        if let Some(emptied) = self.emptied.get_mut(keyspace) {
            emptied.told.append(&mut told);
        }
    }
}

impl Listener for Tracking {
    fn changed(&self, keyspace: &str, change: Change<'_>) {
        let mut state = self.state.lock();
        match change {
            Change::Key { namespace, key, by } => state.key_changed(keyspace, namespace, key, by),
            Change::Loaded { namespace, key, began } => state.loaded(keyspace, namespace, key, began),
            Change::Prefix { namespace, prefix } => state.prefix_changed(keyspace, namespace, prefix),
        }
    }
}

/// A keyspace that is being emptied.
#[derive(Debug)]
pub(super) struct Flushing {
    tracking: Arc<Tracking>,
    keyspace: Box<str>,
}

impl Drop for Flushing {
    fn drop(&mut self) {
        let state = &mut *self.tracking.state.lock();
        let mut emptied = state.emptied.remove(&self.keyspace).unwrap_or_default();
        state.table.forget(&self.keyspace);
        for tracker in state.trackers.values().filter(|tracker| tracker.had.contains(&self.keyspace)) {
            if emptied.told.insert(tracker.id) {
                tracker.tell(None);
            }
        }
        emptied.by = emptied.by.saturating_sub(1);
        if emptied.by > 0 {
            state.emptied.insert(self.keyspace.clone(), emptied);
        }
    }
}

/// A read of a connection that tracks, until it is dropped.
#[derive(Debug)]
pub(super) struct Reading {
    tracking: Arc<Tracking>,
    id: i64,
    places: Vec<Place>,
    /// What was seen of some of the keys.
    seen: Mutex<BTreeMap<Bytes, Seen>>,
}

/// What a connection was told of a key.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// When the load of it began.
    began: Tick,
    /// When it is no longer fresh.
    ends: Tick,
    /// It was held, from some time before the read.
    was_held: bool,
}

impl Reading {
    /// Notes what was read of `key`; of several looks the least counts.
    pub(super) fn saw(&self, key: &[u8], outcome: &ReadOutcome) {
        let ends = self.tracking.clock.now().after(outcome.fresh_for);
        let seen = Seen { began: outcome.began, ends, was_held: outcome.tier == Tier::Memory };
        self.seen
            .lock()
            .entry(Bytes::copy_from_slice(key))
            .and_modify(|before| {
                before.began = before.began.min(seen.began);
                before.ends = before.ends.min(seen.ends);
                before.was_held |= seen.was_held;
            })
            .or_insert(seen);
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let seen = self.seen.lock();
        let ends = self.tracking.clock.now().after(KEPT_AT_MOST);
        let unknown = Seen { began: Tick::default(), ends, was_held: true };
        let state = &mut *self.tracking.state.lock();
        let mut old = Vec::new();
        for place in &self.places {
            let seen = seen.get(&place.key).copied().unwrap_or(unknown);
            state.reads(&place.keyspace, self.id);
            if state.table.end(place, self.id, seen) {
                old.push((place.clone(), Readers::from_slice(&[self.id])));
            }
        }
        state.tell_all(&old);
    }
}

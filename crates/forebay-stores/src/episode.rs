//! What fails outside says so once: one line when an episode of failures begins, one when it is over.
//!
//! One key that keeps failing among others that do not is no new episode each time: it is told again only once it was well, or when
//! other keys fail with it.

use std::collections::HashSet;
use std::fmt::Display;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use forebay::LoadKey;
use forebay::rt::{Clock, Mutex, Tick};

/// The most keys that are known to fail.
const KNOWN_MAX: usize = 1024;
/// So many different keys that fail with no answer between them are no matter of theirs.
const WIDE: usize = 3;

/// How something outside is, as the log was told.
#[derive(Debug)]
pub(crate) struct Episode {
    /// What it is, in words: `the source`.
    what: &'static str,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failing: Option<Failing>,
    /// Keys whose failure was told, and that were not well since; by their hashes.
    known: HashSet<u64>,
    /// Keys that failed since the last answer, [`WIDE`] at most.
    in_a_row: HashSet<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    began: Tick,
    failures: u64,
}

impl Episode {
    /// Nothing has failed yet; episodes are measured by `clock`.
    pub(crate) fn new(what: &'static str, clock: Clock) -> Self {
        Self { what, clock, state: Mutex::default() }
    }

    /// Since when it has been failing, as the log was told; `None` while it does not.
    pub(crate) fn failing_since(&self) -> Option<Tick> {
        self.state.lock().failing.map(|failing| failing.began)
    }

    /// Watches a call for `keys`: one that is dropped before it has [ended](Watch::ended) has failed.
    pub(crate) fn watch<'a>(
        &'a self,
        namespace: &'a str,
        keys: impl IntoIterator<Item = &'a LoadKey>,
    ) -> Watch<'a> {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let keys = keys.into_iter().map(|key| hasher.hash_one(&key.params)).collect();
        Watch { episode: self, namespace, keys, has_ended: false }
    }

    fn failed(&self, namespace: &str, keys: &[u64], cause: &dyn Display) {
        if self.begins(keys) {
            let what = self.what;
            tracing::warn!(namespace, %cause, "{what} fails; the next line comes when it answers again");
        }
    }

    /// Notes that `keys` failed; whether an episode begins that is to be told.
    fn begins(&self, keys: &[u64]) -> bool {
        let mut state = self.state.lock();
        let state = &mut *state;
        let is_new = keys.iter().any(|key| !state.known.contains(key));
        let left = KNOWN_MAX.saturating_sub(state.known.len());
        state.known.extend(keys.iter().take(left));
        if let Some(failing) = &mut state.failing {
            failing.failures = failing.failures.saturating_add(1);
            return false;
        }
        state.in_a_row.extend(keys.iter().take(WIDE));
        let begins = is_new || state.in_a_row.len() >= WIDE;
        if begins {
            state.failing = Some(Failing { began: self.clock.now(), failures: 1 });
        }
        begins
    }

    fn answered(&self, namespace: &str, keys: &[u64]) {
        let mut state = self.state.lock();
        state.in_a_row.clear();
        for key in keys {
            state.known.remove(key);
        }
        let Some(Failing { began, failures }) = state.failing.take() else { return };
        drop(state);
        let lasted: Duration = self.clock.now().since(began);
        let what = self.what;
        tracing::info!(namespace, failures, ?lasted, "{what} answers again");
    }
}

/// A call under way.
pub(crate) struct Watch<'a> {
    episode: &'a Episode,
    namespace: &'a str,
    keys: Vec<u64>,
    has_ended: bool,
}

impl Watch<'_> {
    /// The call has ended for all keys alike.
    pub(crate) fn ended<E: Display>(self, failed: Option<&E>) {
        self.ended_each(|_| failed);
    }

    /// The call has ended; how for each key, by its place.
    pub(crate) fn ended_each<'e, E: Display + 'e>(mut self, failed: impl Fn(usize) -> Option<&'e E>) {
        self.has_ended = true;
        let (mut well, mut failing, mut cause) = (Vec::new(), Vec::new(), None);
        for (place, key) in self.keys.iter().enumerate() {
            match failed(place) {
                None => well.push(*key),
                Some(error) => {
                    failing.push(*key);
                    cause = cause.or(Some(error));
                }
            }
        }
        if cause.is_none() || !well.is_empty() {
            self.episode.answered(self.namespace, &well);
        }
        if let Some(cause) = cause {
            self.episode.failed(self.namespace, &failing, cause);
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.episode.failed(self.namespace, &self.keys, &"a call did not end in time");
        }
    }
}

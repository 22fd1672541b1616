//! Answers that an origin may confirm instead of sending them again (RFC 9110 §13).
//!
//! Bounded in bytes: what was asked for longest ago makes room. A value here is the same allocation as the one that memory holds; it is
//! counted in full, since memory may have let go of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use forebay::Blob;
use forebay::rt::Mutex;
use forebay::value::Version;
use hyper::HeaderMap;
use hyper::header::{ETAG, HeaderValue, LAST_MODIFIED};

use super::freshness::{self, Lifetime};
use super::template::Origin;

/// What one remembered answer costs beside its texts and its value, in bytes.
const ENTRY_BYTES: usize = 256;

/// What an origin knows an answer by again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Validators {
    pub(super) etag: Option<HeaderValue>,
    pub(super) modified: Option<HeaderValue>,
}

impl Validators {
    /// Those in `headers`; `None` where there is none to rely on.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let etag = headers.get(ETAG).cloned();
        let modified = headers.get(LAST_MODIFIED).filter(|_| freshness::is_strong_time(headers)).cloned();
        (etag.is_some() || modified.is_some()).then_some(Self { etag, modified })
    }

    fn len(&self) -> usize {
        [&self.etag, &self.modified].into_iter().flatten().map(HeaderValue::len).sum()
    }
}

impl Remembered {
    /// What `origin` knows it by.
    pub(super) fn validators_of(&self, origin: &Origin) -> Option<&Validators> {
        self.origin.is_same(origin).then_some(&self.validators)
    }
}

/// An answer that was remembered.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    /// Whose it is: no other origin is told its validators, which would mean something else there.
    pub(super) origin: Arc<Origin>,
    pub(super) validators: Validators,
    /// The value; `None` where the answer was an absence.
    pub(super) value: Option<Blob>,
    pub(super) version: Option<Version>,
    pub(super) lifetime: Option<Lifetime>,
}

/// Remembered answers by path and query.
#[derive(Debug)]
pub(super) struct Answers {
    budget_bytes: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    answers: HashMap<Box<str>, Entry>,
    /// By last use, the oldest first.
    by_use: BTreeMap<u64, Box<str>>,
    uses: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    answer: Remembered,
    used: u64,
    bytes: usize,
}

impl Answers {
    pub(super) fn new(budget_bytes: usize) -> Self {
        Self { budget_bytes, held: Mutex::default() }
    }

    /// The answer to `target`.
    pub(super) fn get(&self, target: &str) -> Option<Remembered> {
        let mut held = self.held.lock();
        let held = &mut *held;
        let entry = held.answers.get_mut(target)?;
        held.uses += 1;
        if let Some(name) = held.by_use.remove(&entry.used) {
            held.by_use.insert(held.uses, name);
        }
        entry.used = held.uses;
        Some(entry.answer.clone())
    }

    /// Remembers `answer`, unless it takes more than everything may.
    pub(super) fn put(&self, target: &str, answer: Remembered) {
        let value = answer.value.as_ref().map_or(0, |value| value.as_bytes().len());
        let bytes = ENTRY_BYTES + 2 * target.len() + answer.validators.len() + value;
        let mut held = self.held.lock();
        held.remove(target);
        if bytes > self.budget_bytes {
            return;
        }
        while held.bytes + bytes > self.budget_bytes {
            let Some((_, oldest)) = held.by_use.pop_first() else { break };
            held.remove(&oldest);
        }
        held.uses += 1;
        let used = held.uses;
        held.bytes += bytes;
        held.by_use.insert(used, target.into());
        held.answers.insert(target.into(), Entry { answer, used, bytes });
    }

    /// Forgets the answer to `target`.
    pub(super) fn forget(&self, target: &str) {
        self.held.lock().remove(target);
    }

    /// How many answers are remembered.
    #[cfg(test)]
    fn len(&self) -> usize {
        let held = self.held.lock();
        assert_eq!(held.answers.len(), held.by_use.len());
        assert_eq!(held.answers.values().map(|entry| entry.bytes).sum::<usize>(), held.bytes);
        assert!(held.bytes <= self.budget_bytes);
        held.answers.len()
    }
}

impl Held {
    fn remove(&mut self, target: &str) {
        if let Some(entry) = self.answers.remove(target) {
            self.by_use.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(size: usize) -> Remembered {
        let validators = Validators { etag: Some(HeaderValue::from_static("\"1\"")), modified: None };
        let origin = Arc::new(Origin::parse("https://one").unwrap());
        Remembered {
            origin,
            validators,
            value: Some(Blob::json(vec![b'1'; size])),
            version: None,
            lifetime: None,
        }
    }

    #[test]
    fn what_was_asked_for_longest_ago_makes_room() {
        let answers = Answers::new(3 * (ENTRY_BYTES + 100));
        for target in ["/a", "/b", "/c"] {
            answers.put(target, answer(80));
        }
        assert_eq!(answers.len(), 3);
        assert!(answers.get("/a").is_some());
        answers.put("/d", answer(80));
        assert_eq!(answers.len(), 3);
        assert!(answers.get("/b").is_none() && answers.get("/a").is_some() && answers.get("/d").is_some());
        answers.put("/e", answer(10_000));
        assert_eq!(answers.len(), 3, "larger than everything may be");
        answers.put("/a", answer(10_000));
        assert_eq!(answers.len(), 2, "an older answer stayed behind");
        answers.forget("/d");
        answers.forget("/d");
        assert_eq!(answers.len(), 1);
        answers.put("/f", answer(3 * (ENTRY_BYTES + 100) - ENTRY_BYTES - 7));
        assert_eq!(answers.len(), 1);
    }
}

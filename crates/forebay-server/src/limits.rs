//! What is kept of a namespace beside its values: a day's quota of reads and writes, and a log of its operations.
//!
//! It guarantees that a quota is never overdrawn, however many ask at once: a request whose keys do not all fit takes none of it. A day is
//! one of the wall clock's, in UTC; a clock that goes back within the process does not give a day's quota twice. What was used outlives
//! reloads, and not the process. A namespace with neither costs its requests nothing: front ends ask [`Limits::is_any`] first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::Mutex;

use crate::configuration::{Declaration, Quota};
use crate::observe::stopwatch::Stopwatch;
use crate::time::{self, WallClock};

const DAY_S: u64 = 86_400;
/// The most lines of one namespace's log in a second; what is left out is counted in the next line.
const LINES_MAX: u64 = 1_000;

/// What a request does with its keys, as quotas count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Read,
    Write,
}

/// The namespaces that have a quota or a log, by their keyspaces' names and their own.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    by_keyspace: BTreeMap<String, BTreeMap<String, Limited>>,
    /// What tells days; the system's unless said.
    wall: Option<WallClock>,
}

/// What one namespace has of both.
#[derive(Clone, Debug)]
pub(crate) struct Limited {
    keyspace: Arc<str>,
    namespace: Arc<str>,
    quota: Option<Quota>,
    has_log: bool,
    usage: Arc<Mutex<Usage>>,
    lines: Arc<Mutex<Lines>>,
}

/// What was used of a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Days since 1970-01-01.
    day: u64,
    /// Today.
    pub(crate) reads: u64,
    /// Today.
    pub(crate) writes: u64,
    /// Keys that were refused, since the process began.
    pub(crate) refused: u64,
}

/// Lines of a log within a second.
#[derive(Debug, Default)]
struct Lines {
    second: u64,
    told: u64,
    left_out: u64,
}

/// A day's quota is spent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the namespace `{namespace}` takes no more than {limit} {what} a day: there are {left} left, and {left_s} s to midnight UTC"
)]
pub(crate) struct Spent {
    namespace: Arc<str>,
    limit: u64,
    what: &'static str,
    left: u64,
    /// Until the next day, in seconds.
    pub(crate) left_s: u64,
}

/// A request to a namespace that has a quota or a log.
#[derive(Debug)]
pub(crate) struct Operation {
    of: Limited,
    /// The time of the wall clock when it began.
    now: Duration,
    verb: &'static str,
    first: String,
    keys: u64,
    began: Stopwatch,
}

impl Limits {
    /// Those of keyspaces as they are declared, by their names.
    pub(crate) fn of<'d>(declared: impl Iterator<Item = (&'d str, &'d Declaration)>) -> Self {
        let mut limits = Self::default();
        for (keyspace, declaration) in declared {
            for (name, namespace) in &declaration.namespaces {
                if namespace.quota.is_none() && !namespace.logs_operations {
                    continue;
                }
                let limited = Limited {
                    keyspace: keyspace.into(),
                    namespace: name.as_str().into(),
                    quota: namespace.quota,
                    has_log: namespace.logs_operations,
                    usage: Arc::default(),
                    lines: Arc::default(),
                };
                limits.by_keyspace.entry(keyspace.to_owned()).or_default().insert(name.clone(), limited);
            }
        }
        limits
    }

    /// Tells days by `wall`.
    pub(crate) fn by(&mut self, wall: WallClock) {
        self.wall = Some(wall);
    }

    fn now(&self) -> Duration {
        self.wall.as_ref().map_or_else(time::now, WallClock::now)
    }

    /// Goes on with what was used before.
    pub(crate) fn follow(&mut self, before: &Self) {
        self.wall = self.wall.take().or_else(|| before.wall.clone());
        for (keyspace, namespaces) in &mut self.by_keyspace {
            for (name, limited) in namespaces {
                if let Some(known) = before.get(keyspace, name) {
                    limited.usage = Arc::clone(&known.usage);
                    limited.lines = Arc::clone(&known.lines);
                }
            }
        }
    }

    /// Whether any namespace of the keyspace of this name has one.
    pub(crate) fn is_any(&self, keyspace: &str) -> bool {
        !self.by_keyspace.is_empty() && self.by_keyspace.contains_key(keyspace)
    }

    /// What this namespace has, if it has any.
    pub(crate) fn get(&self, keyspace: &str, namespace: &str) -> Option<&Limited> {
        self.by_keyspace.get(keyspace)?.get(namespace)
    }

    /// What was used today of each quota, with the quotas.
    pub(crate) fn quotas(&self) -> impl Iterator<Item = (&str, &str, Quota, Usage)> {
        let now = self.now();
        let all = self.by_keyspace.values().flat_map(BTreeMap::values);
        all.filter_map(move |one| Some((&*one.keyspace, &*one.namespace, one.quota?, one.used(now))))
    }

    /// What was used today of the quota of this namespace, with the quota.
    pub(crate) fn quota(&self, keyspace: &str, namespace: &str) -> Option<(Quota, Usage)> {
        let limited = self.get(keyspace, namespace)?;
        Some((limited.quota?, limited.used(self.now())))
    }

    /// A request of `verb` for so many `keys` of this namespace begins, the `first` of them; `None` where that has neither quota nor log.
    ///
    /// # Errors
    /// [`Spent`] where the quota of the day does not hold so many.
    pub(crate) fn begin(
        &self,
        (keyspace, namespace): (&str, &str),
        verb: &'static str,
        asked: Use,
        (first, keys): (&[u8], usize),
    ) -> Result<Option<Operation>, Spent> {
        let Some(limited) = self.get(keyspace, namespace) else { return Ok(None) };
        let operation = Operation {
            of: limited.clone(),
            now: self.now(),
            verb,
            first: String::from_utf8_lossy(first).into_owned(),
            keys: u64::try_from(keys).unwrap_or(u64::MAX),
            began: Stopwatch::aside(),
        };
        match limited.take(asked, operation.keys, operation.now) {
            Ok(()) => Ok(Some(operation)),
            Err(spent) => {
                operation.ended("quota");
                Err(spent)
            }
        }
    }
}

impl Limited {
    fn used(&self, now: Duration) -> Usage {
        let mut usage = self.usage.lock();
        usage.turn(now);
        *usage
    }

    fn take(&self, asked: Use, keys: u64, now: Duration) -> Result<(), Spent> {
        let Some(quota) = &self.quota else { return Ok(()) };
        let mut usage = self.usage.lock();
        usage.turn(now);
        let (used, limit, what) = match asked {
            Use::Read => (&mut usage.reads, quota.reads, "reads"),
            Use::Write => (&mut usage.writes, quota.writes, "writes"),
        };
        let then = used.saturating_add(keys);
        let Some(limit) = limit.filter(|limit| then > *limit) else {
            *used = then;
            return Ok(());
        };
        let left = limit.saturating_sub(*used);
        usage.refused = usage.refused.saturating_add(keys);
        let left_s = DAY_S - now.as_secs() % DAY_S;
        Err(Spent { namespace: Arc::clone(&self.namespace), limit, what, left, left_s })
    }

    fn give_back(&self, asked: Use, keys: u64) {
        let mut usage = self.usage.lock();
        let used = match asked {
            Use::Read => &mut usage.reads,
            Use::Write => &mut usage.writes,
        };
        *used = used.saturating_sub(keys);
    }
}

impl Usage {
    /// Begins a new day where one has come.
    fn turn(&mut self, now: Duration) {
        let day = now.as_secs() / DAY_S;
        if day > self.day {
            *self = Self { day, reads: 0, writes: 0, refused: self.refused };
        }
    }
}

impl Operation {
    /// The request is refused for another reason before it has begun: nothing was used of the quota.
    pub(crate) fn undone(self, asked: Use) {
        self.of.give_back(asked, self.keys);
        self.ended("refused");
    }

    /// The request has ended so; one line of the log, where there is one.
    pub(crate) fn ended(self, outcome: &str) {
        if !self.of.has_log {
            return;
        }
        let Some(left_out) = self.of.lines.lock().admit(self.now.as_secs()) else { return };
        let Self { of, verb, first, keys, began, .. } = &self;
        let Limited { keyspace, namespace, .. } = of;
        let duration_us = began.elapsed_us();
        tracing::info!(
            target: "forebay_server::operations",
            verb, %keyspace, %namespace, key = %first, keys, outcome, duration_us, left_out, "an operation"
        );
    }
}

impl Lines {
    /// Whether one more line may be told within `second`: how many were left out before it, then.
    fn admit(&mut self, second: u64) -> Option<u64> {
        if second != self.second {
            (self.second, self.told) = (second, 0);
        }
        if self.told == LINES_MAX {
            self.left_out += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(reads: Option<u64>, writes: Option<u64>) -> Limited {
        Limited {
            keyspace: "shop".into(),
            namespace: "item".into(),
            quota: Some(Quota { reads, writes }),
            has_log: true,
            usage: Arc::default(),
            lines: Arc::default(),
        }
    }

    const NOON: Duration = Duration::from_secs(100 * DAY_S + DAY_S / 2);

    #[test]
    fn a_request_that_does_not_fit_takes_nothing() {
        let limited = limited(Some(3), None);
        limited.take(Use::Read, 2, NOON).unwrap();
        let spent = limited.take(Use::Read, 2, NOON).unwrap_err();
        assert_eq!((spent.left, spent.left_s), (1, DAY_S / 2));
        limited.take(Use::Read, 1, NOON).unwrap();
        limited.take(Use::Write, 1_000_000, NOON).unwrap();
        let used = limited.used(NOON);
        assert_eq!((used.reads, used.writes, used.refused), (3, 1_000_000, 2));
    }

    #[test]
    fn a_day_begins_at_midnight_and_is_not_given_twice() {
        let limited = limited(None, Some(1));
        limited.take(Use::Write, 1, NOON).unwrap();
        let last = Duration::from_secs(101 * DAY_S) - Duration::from_millis(1);
        assert_eq!(limited.take(Use::Write, 1, last).unwrap_err().left_s, 1);
        limited.take(Use::Write, 1, Duration::from_secs(101 * DAY_S)).unwrap();
        limited.take(Use::Write, 1, NOON).unwrap_err();
        limited.take(Use::Write, 1, last).unwrap_err();
    }

    #[test]
    fn lines_beyond_those_of_a_second_are_counted_in_the_next() {
        let mut lines = Lines::default();
        assert!((0..LINES_MAX).all(|_| lines.admit(7) == Some(0)));
        assert_eq!(
            [lines.admit(7), lines.admit(7), lines.admit(8), lines.admit(8)],
            [None, None, Some(2), Some(0)]
        );
    }
}

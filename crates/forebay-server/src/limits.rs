//! What bounds the requests to a namespace: the sizes of keys and values, which are the same for all; what Workers KV refuses, where that is
//! declared (`workers_kv.rs`); a day's quota of reads and writes. And a log of its operations.
//!
//! It guarantees that a quota is never overdrawn, however many ask at once: a request whose keys do not all fit takes none of it. A day is
//! one of the wall clock's, in UTC; a clock that goes back within the process does not give a day's quota twice. What was used outlives
//! reloads, also one without the quota, and not the process. A namespace with none of this costs its requests nothing: front ends ask
//! [`Limits::is_any`] first, and who answers at once what memory has asks [`Limited::is_told_of_reads`].

pub(crate) mod workers_kv;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::Mutex;
use forebay::{Blob, Namespace};
use smallvec::SmallVec;

use self::workers_kv::{Beyond, LastWrites, Life, Written};
use crate::configuration::{Declaration, Quota};
use crate::observe::stopwatch::Stopwatch;
use crate::time::{self, WallClock};

/// The longest key of a declared namespace, in bytes.
pub(crate) const KEY_BYTES_MAX: usize = 512;
/// The longest value, in bytes.
pub(crate) const VALUE_BYTES_MAX: usize = 25 * 1024 * 1024;

const DAY_S: u64 = 86_400;
/// The most namespaces whose use of a quota is kept that a reload has taken out.
const FORMER_MAX: usize = 1_024;
/// The most lines of one namespace's log in a second; what is left out is counted in the next line.
const LINES_MAX: u64 = 1_000;

/// Whether a key of `namespace` has more bytes than one may. Keys of no declared namespace are a Redis program's own, and may be longer.
pub(crate) fn is_long(namespace: &Namespace<Blob>, key: &[u8]) -> bool {
    key.len() > KEY_BYTES_MAX && !namespace.pattern().is_any()
}

/// What a request does with its keys, as quotas count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Read,
    Write,
}

/// What a request asks of one namespace.
#[derive(Clone, Debug)]
pub(crate) struct Asked<'r> {
    pub(crate) verb: &'static str,
    pub(crate) what: Use,
    /// All of its keys there.
    pub(crate) keys: SmallVec<[&'r [u8]; 1]>,
    /// Those of them that are given a value or another end.
    pub(crate) put: SmallVec<[&'r [u8]; 1]>,
    /// When their values are to end, where it says that.
    pub(crate) life: Option<Life>,
    /// Whether it is about values that are more than bytes.
    pub(crate) is_of_parts: bool,
}

/// The namespaces that have any of this, by their keyspaces' names and their own.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    by_keyspace: BTreeMap<String, BTreeMap<String, Limited>>,
    /// What was used of the quotas of others, which a reload may bring back.
    former: BTreeMap<(String, String), Arc<Mutex<Usage>>>,
    /// What tells days; the system's unless said.
    wall: Option<WallClock>,
}

/// What one namespace has of it.
#[derive(Clone, Debug)]
pub(crate) struct Limited {
    keyspace: Arc<str>,
    namespace: Arc<str>,
    quota: Option<Quota>,
    has_log: bool,
    usage: Arc<Mutex<Usage>>,
    lines: Arc<Mutex<Lines>>,
    /// Its last writes, where it refuses what Workers KV refuses.
    last_writes: Option<Arc<Mutex<LastWrites>>>,
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

/// Why a request is refused before it is carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The quota of a day does not hold its keys.
    #[error(transparent)]
    Spent(Spent),
    /// Workers KV would refuse it.
    #[error("the namespace `{namespace}` takes what Workers KV takes: {beyond}")]
    Beyond {
        /// Which of them keeps to that.
        namespace: Arc<str>,
        /// What it would say.
        beyond: Beyond,
    },
    /// A key is too long.
    #[error("the key has {length} bytes, and {KEY_BYTES_MAX} are allowed")]
    LongKey {
        /// Its length, in bytes.
        length: usize,
    },
    /// A value is too long.
    #[error("the value has {length} bytes, and {VALUE_BYTES_MAX} are allowed")]
    LongValue {
        /// Its length, in bytes.
        length: usize,
    },
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    Error,
    /// It waits for EXEC.
    Queued,
    /// Its quota was spent.
    Quota,
    /// It is beyond what its namespace takes.
    Limit,
    /// It was refused for the sake of another namespace.
    Refused,
}

/// A request to a namespace that has any of this.
#[derive(Debug)]
pub(crate) struct Operation {
    of: Limited,
    /// The time of the wall clock when it began.
    now: Duration,
    verb: &'static str,
    what: Use,
    first: String,
    keys: u64,
    /// The day whose quota it has used.
    day: u64,
    /// What it has noted among the last writes.
    written: SmallVec<[Written; 1]>,
    began: Stopwatch,
}

impl Limits {
    /// Those of keyspaces as they are declared, by their names.
    pub(crate) fn of<'d>(declared: impl Iterator<Item = (&'d str, &'d Declaration)>) -> Self {
        let mut limits = Self::default();
        for (keyspace, declaration) in declared {
            for (name, namespace) in &declaration.namespaces {
                let has_any =
                    namespace.quota.is_some() || namespace.logs_operations || namespace.workers_kv_limits;
                if !has_any {
                    continue;
                }
                let limited = Limited {
                    keyspace: keyspace.into(),
                    namespace: name.as_str().into(),
                    quota: namespace.quota,
                    has_log: namespace.logs_operations,
                    usage: Arc::default(),
                    lines: Arc::default(),
                    last_writes: namespace.workers_kv_limits.then(Arc::default),
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
        let mut former = before.former.clone();
        for limited in before.by_keyspace.values().flat_map(BTreeMap::values) {
            let name = (limited.keyspace.as_ref().to_owned(), limited.namespace.as_ref().to_owned());
            former.insert(name, Arc::clone(&limited.usage));
        }
        for (keyspace, namespaces) in &mut self.by_keyspace {
            for (name, limited) in namespaces {
                if let Some(usage) = former.remove(&(keyspace.clone(), name.clone())) {
                    limited.usage = usage;
                }
                if let Some(known) = before.get(keyspace, name) {
                    limited.lines = Arc::clone(&known.lines);
                    let known = limited.last_writes.as_ref().and(known.last_writes.clone());
                    limited.last_writes = known.or_else(|| limited.last_writes.take());
                }
            }
        }
        let now = self.now();
        former.retain(|_, usage| usage.lock().is_any(now));
        self.former = former.into_iter().take(FORMER_MAX).collect();
    }

    /// Whether any namespace of the keyspace of this name has one.
    pub(crate) fn is_any(&self, keyspace: &str) -> bool {
        !self.by_keyspace.is_empty() && self.by_keyspace.contains_key(keyspace)
    }

    /// What this namespace has, if it has any.
    pub(crate) fn get(&self, keyspace: &str, namespace: &str) -> Option<&Limited> {
        self.by_keyspace.get(keyspace)?.get(namespace)
    }

    /// A namespace of this keyspace that refuses what Workers KV refuses, where there is one.
    pub(crate) fn of_workers_kv(&self, keyspace: &str) -> Option<&Limited> {
        self.by_keyspace.get(keyspace)?.values().find(|limited| limited.last_writes.is_some())
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

    /// A request to this namespace begins; `None` where that has nothing of this.
    ///
    /// # Errors
    /// [`Refused`] where the namespace does not take it, or its quota of the day does not hold so many keys.
    pub(crate) fn begin(
        &self,
        (keyspace, namespace): (&str, &str),
        asked: &Asked<'_>,
    ) -> Result<Option<Operation>, Refused> {
        let Some(limited) = self.get(keyspace, namespace) else { return Ok(None) };
        let mut operation = Operation {
            of: limited.clone(),
            now: self.now(),
            verb: asked.verb,
            what: asked.what,
            first: String::from_utf8_lossy(asked.keys.first().unwrap_or(&&[][..])).into_owned(),
            keys: u64::try_from(asked.keys.len()).unwrap_or(u64::MAX),
            day: 0,
            written: SmallVec::new(),
            began: Stopwatch::aside(),
        };
        match operation.write(asked) {
            Ok(written) => operation.written = written,
            Err(beyond) => {
                operation.ended(Outcome::Limit);
                return Err(Refused::Beyond { namespace: Arc::clone(&limited.namespace), beyond });
            }
        }
        match limited.take(asked.what, operation.keys, operation.now) {
            Ok(day) => {
                operation.day = day;
                Ok(Some(operation))
            }
            Err(spent) => {
                operation.ended(Outcome::Quota);
                Err(Refused::Spent(spent))
            }
        }
    }
}

impl Limited {
    /// A request names no key at all where it has to.
    pub(crate) fn no_key(&self) -> Refused {
        Refused::Beyond { namespace: Arc::clone(&self.namespace), beyond: Beyond::NoKey }
    }

    /// Whether a read of it has to be counted or told.
    pub(crate) fn is_told_of_reads(&self) -> bool {
        self.quota.is_some() || self.has_log
    }

    fn used(&self, now: Duration) -> Usage {
        let mut usage = self.usage.lock();
        usage.turn(now);
        *usage
    }

    /// Uses so much of the quota; the day that it is of.
    fn take(&self, asked: Use, keys: u64, now: Duration) -> Result<u64, Spent> {
        let Some(quota) = &self.quota else { return Ok(day(now)) };
        let mut usage = self.usage.lock();
        usage.turn(now);
        let (used, limit, what) = match asked {
            Use::Read => (&mut usage.reads, quota.reads, "reads"),
            Use::Write => (&mut usage.writes, quota.writes, "writes"),
        };
        let then = used.saturating_add(keys);
        let Some(limit) = limit.filter(|limit| then > *limit) else {
            *used = then;
            return Ok(usage.day);
        };
        let left = limit.saturating_sub(*used);
        usage.refused = usage.refused.saturating_add(keys);
        let left_s = DAY_S - now.as_secs() % DAY_S;
        Err(Spent { namespace: Arc::clone(&self.namespace), limit, what, left, left_s })
    }

    /// Gives back what was used of the quota of `day`, while that lasts.
    fn give_back(&self, asked: Use, keys: u64, day: u64) {
        let mut usage = self.usage.lock();
        if usage.day != day {
            return;
        }
        let used = match asked {
            Use::Read => &mut usage.reads,
            Use::Write => &mut usage.writes,
        };
        *used = used.saturating_sub(keys);
    }
}

/// The day of a time, counted from 1970-01-01.
fn day(now: Duration) -> u64 {
    now.as_secs() / DAY_S
}

impl Usage {
    /// Whether anything was used today.
    fn is_any(&mut self, now: Duration) -> bool {
        self.turn(now);
        self.reads > 0 || self.writes > 0
    }

    /// Begins a new day where one has come.
    fn turn(&mut self, now: Duration) {
        let day = day(now);
        if day > self.day {
            *self = Self { day, reads: 0, writes: 0, refused: self.refused };
        }
    }
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Queued => "queued",
            Self::Quota => "quota",
            Self::Limit => "limit",
            Self::Refused => "refused",
        }
    }
}

impl Operation {
    /// Judges what Workers KV would, where that is asked for; what is noted among the last writes for it.
    fn write(&self, asked: &Asked<'_>) -> Result<SmallVec<[Written; 1]>, Beyond> {
        let Some(last_writes) = &self.of.last_writes else { return Ok(SmallVec::new()) };
        asked.keys.iter().try_for_each(|key| workers_kv::judge_key(key))?;
        if asked.is_of_parts && self.what == Use::Write {
            return Err(Beyond::OtherKind);
        }
        asked.life.map_or(Ok(()), |life| workers_kv::judge_life(life, self.now))?;
        let written: SmallVec<[Written; 1]> = asked.put.iter().map(|key| workers_kv::written(key)).collect();
        last_writes.lock().write(&written, self.now)?;
        Ok(written)
    }

    /// The request is refused for another reason before it has begun: nothing was used of the quota.
    pub(crate) fn undone(self) {
        self.of.give_back(self.what, self.keys, self.day);
        self.ended(Outcome::Refused);
    }

    /// The request has ended so; one line of the log, where there is one.
    pub(crate) fn ended(self, outcome: Outcome) {
        if let (Outcome::Error | Outcome::Quota | Outcome::Refused, Some(last_writes)) =
            (outcome, &self.of.last_writes)
        {
            // Nothing was written: who tries again need not wait.
            last_writes.lock().undo(&self.written, self.now);
        }
        if !self.of.has_log {
            return;
        }
        let Some(left_out) = self.of.lines.lock().admit(self.now.as_secs()) else { return };
        let Self { of, verb, first, keys, began, .. } = &self;
        let Limited { keyspace, namespace, .. } = of;
        let (outcome, duration_us) = (outcome.word(), began.elapsed_us());
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
            last_writes: None,
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
    fn what_is_given_back_after_midnight_is_none_of_the_new_day() {
        let limited = limited(None, Some(9));
        let midnight = Duration::from_secs(101 * DAY_S);
        let today = limited.take(Use::Write, 2, NOON).unwrap();
        let other = limited.take(Use::Write, 3, NOON).unwrap();
        limited.give_back(Use::Write, 2, today);
        assert_eq!(limited.used(NOON).writes, 3);
        limited.take(Use::Write, 4, midnight).unwrap();
        limited.give_back(Use::Write, 3, other);
        assert_eq!(limited.used(midnight).writes, 4);
        // Counted on the day that it is there, whatever a clock says that goes back.
        let again = limited.take(Use::Write, 1, NOON).unwrap();
        limited.give_back(Use::Write, 1, again);
        assert_eq!(limited.used(midnight).writes, 4);
    }

    #[test]
    fn what_was_used_is_known_when_a_quota_comes_back_that_day() {
        let limits = |names: std::ops::Range<usize>| {
            let mut limits = Limits::default();
            limits.by(WallClock::standing(u64::try_from(NOON.as_millis()).unwrap()));
            let of = |name: usize| {
                (name.to_string(), Limited { namespace: name.to_string().into(), ..limited(None, Some(9)) })
            };
            limits.by_keyspace.insert("shop".to_owned(), names.map(of).collect());
            limits
        };
        let writes = |limits: &Limits| limits.get("shop", "0").unwrap().used(NOON).writes;
        let first = limits(0..2);
        first.get("shop", "0").unwrap().take(Use::Write, 3, NOON).unwrap();
        let (mut without, mut with) = (limits(2..3), limits(0..1));
        without.follow(&first);
        assert_eq!(without.former.len(), 1, "of the other nothing was used");
        with.follow(&without);
        assert_eq!((writes(&with), with.former.len()), (3, 0));
        let mut many = limits(0..FORMER_MAX + 9);
        many.follow(&with);
        for limited in many.by_keyspace["shop"].values() {
            limited.take(Use::Write, 1, NOON).unwrap();
        }
        let mut bounded = limits(0..0);
        bounded.follow(&many);
        assert_eq!(bounded.former.len(), FORMER_MAX);
        let mut tomorrow = limits(0..1);
        tomorrow.by(WallClock::standing(u64::try_from(NOON.as_millis()).unwrap() + 86_400_000));
        tomorrow.follow(&bounded);
        assert_eq!(tomorrow.former.len(), 0);
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

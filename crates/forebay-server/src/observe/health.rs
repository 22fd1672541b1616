//! How the process is: whether it serves, and what it serves worse than it should, each since when.
//!
//! A cache never breaks a read, so that what fails behind it is told and takes nothing out of service: a load balancer goes on sending
//! requests to an instance that is `degraded`. It is out of service (503) only where it stops, or where a store, which is the truth,
//! has failed, or where an alarm is raised that is declared so. It guarantees that what is told names nothing that a source or a database said: that is in the log.
//!
//! Who asks waits for nothing but a lock: neither for a disk nor for a database, either of which may hang. What cannot be told by a look is asked for once a second by [`watch`]; nothing else is asked when somebody wants to know.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::{Clock, Mutex, Tick};
use forebay::{Blob, Namespace, Phase};
use forebay_stores::database::{DatabaseError, Ping};
use forebay_stores::journal::JournalState;
use jiff::Timestamp;

use super::alarms::{Id, Raised};
use super::{DatabaseOf, Observed};
use crate::stop::Stop;
use crate::time::now as unix_now;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The longest that a database is waited for.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// Writes that wait for longer are told, and databases whose connections are all at work for longer.
const LONG: Duration = Duration::from_secs(30);

/// What is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    DatabaseUnreachable,
    DatabaseBusy,
    SourceFailing,
    BreakerOpen,
    MemorySuspect,
    WritesWaiting,
    DeadLetters,
    JobFailing,
    JournalRefusing,
    JournalFailed,
    CopiesFailed,
    StoreFailed,
}

impl What {
    /// Its word in answers and logs.
    const fn as_str(self) -> &'static str {
        match self {
            Self::DatabaseUnreachable => "database_unreachable",
            Self::DatabaseBusy => "database_busy",
            Self::SourceFailing => "source_failing",
            Self::BreakerOpen => "breaker_open",
            Self::MemorySuspect => "memory_suspect",
            Self::WritesWaiting => "writes_waiting",
            Self::DeadLetters => "dead_letters",
            Self::JobFailing => "job_failing",
            Self::JournalRefusing => "journal_refusing",
            Self::JournalFailed => "journal_failed",
            Self::CopiesFailed => "copies_failed",
            Self::StoreFailed => "store_failed",
        }
    }
}

/// What can be wrong, by the words of answers, for whoever asks for one of it.
pub(crate) const TROUBLES: &[&str] = &[
    What::DatabaseUnreachable.as_str(),
    What::DatabaseBusy.as_str(),
    What::SourceFailing.as_str(),
    What::BreakerOpen.as_str(),
    What::MemorySuspect.as_str(),
    What::WritesWaiting.as_str(),
    What::DeadLetters.as_str(),
    What::JobFailing.as_str(),
    What::JournalRefusing.as_str(),
    What::JournalFailed.as_str(),
    What::CopiesFailed.as_str(),
    What::StoreFailed.as_str(),
];

/// What it is of: the keyspace, and its namespace, its database or its job.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Of {
    keyspace: Option<Arc<str>>,
    namespace: Option<Arc<str>>,
    database: Option<Arc<str>>,
    job: Option<Arc<str>>,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    what: What,
    of: Of,
    since: Tick,
}

/// What is known from looking again and again.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Databases that did not answer when they were asked last, or could not be asked since.
    databases: Mutex<BTreeMap<Of, Unwell>>,
    /// When it was first seen that something is wrong that does not tell by itself since when it is.
    seen: Mutex<BTreeMap<(What, Of), Tick>>,
}

/// What is wrong with a database, and since when.
#[derive(Clone, Copy, Debug, Default)]
struct Unwell {
    /// It did not answer when it was asked last.
    unreachable: Option<Tick>,
    /// It cannot be asked: all its connections are at work.
    busy: Option<Tick>,
}

/// What a look at a database came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Answered,
    Silent,
    /// All its connections are at work, so that nothing is known beyond what was known before.
    NotAsked,
}

/// How the process is at one moment.
#[derive(Debug)]
pub(super) struct Health {
    is_stopping: bool,
    troubles: Vec<Trouble>,
    alarms: Vec<(Id, Raised)>,
    now: Tick,
}

impl Health {
    /// How `observed` is now.
    pub(super) fn of(observed: &Observed) -> Self {
        let now = observed.engine.clock().now();
        let mut troubles = Vec::new();
        observed.known.of_databases(now, &mut troubles);
        if let Some(since) = observed.engine.suspect_since() {
            troubles.push(Trouble { what: What::MemorySuspect, of: Of::default(), since });
        }
        for told in observed.jobs.told() {
            if let Some(since) = told.failing_since {
                troubles.push(Trouble {
                    what: What::JobFailing,
                    of: Of::job(told.keyspace, told.job),
                    since,
                });
            }
        }
        let served = observed.keyspaces.now();
        for source in &served.sources {
            if let Some(since) = source.failing.since() {
                let of = Of::namespace(&source.keyspace, &source.namespace);
                troubles.push(Trouble { what: What::SourceFailing, of, since });
            }
        }
        for (_, keyspace) in served.all() {
            let name: Arc<str> = keyspace.name().into();
            for namespace in keyspace.namespaces() {
                of_namespace(&name, namespace, now, &mut troubles);
            }
        }
        troubles.extend(observed.known.since(timeless(observed), now));
        troubles
            .sort_by(|one, other| (one.since, one.what, &one.of).cmp(&(other.since, other.what, &other.of)));
        let alarms = observed.alarms.raised();
        Self { is_stopping: observed.stop.is_asked(), troubles, alarms, now }
    }

    /// Whether requests may be sent to it.
    pub(super) fn serves(&self) -> bool {
        let has_failed = self.troubles.iter().any(|trouble| trouble.what == What::StoreFailed);
        !self.is_stopping && !has_failed && !self.alarms.iter().any(|(_, raised)| raised.is_unready)
    }

    /// One of `words` that is wrong with `keyspace` or with the whole process, and of what it is.
    pub(super) fn one_of(&self, words: &[&str], keyspace: &str) -> Option<String> {
        let is_asked = |trouble: &&Trouble| {
            let is_of = trouble.of.keyspace.as_deref().is_none_or(|of| of == keyspace);
            is_of && words.contains(&trouble.what.as_str())
        };
        let Trouble { what, of, .. } = self.troubles.iter().find(is_asked)?;
        let part = of.namespace.as_ref().or(of.database.as_ref()).or(of.job.as_ref());
        Some(part.map_or_else(|| what.as_str().to_owned(), |part| format!("{}: {part}", what.as_str())))
    }

    /// In JSON what anybody may know: whether requests may be sent to it.
    pub(super) fn told_strangers(&self) -> serde_json::Value {
        let state = match (self.is_stopping, self.serves()) {
            (true, _) => "stopping",
            (_, true) => "ready",
            (_, false) => "failed",
        };
        serde_json::json!({ "state": state })
    }

    /// In JSON: `state`, and what is wrong, the longest first.
    pub(super) fn told(&self) -> serde_json::Value {
        let is_well = self.troubles.is_empty() && self.alarms.is_empty();
        let state = match (self.is_stopping, self.serves(), is_well) {
            (true, ..) => "stopping",
            (_, false, _) => "failed",
            (_, _, false) => "degraded",
            (_, _, true) => "ready",
        };
        let troubles = self.troubles.iter().map(|trouble| (trouble.since, self.trouble(trouble)));
        let alarms = self.alarms.iter().map(|(id, raised)| (raised.since, self.alarm(id, raised)));
        let mut told: Vec<_> = troubles.chain(alarms).collect();
        told.sort_by_key(|(since, _)| *since);
        let troubles: Vec<_> = told.into_iter().map(|(_, told)| told).collect();
        serde_json::json!({ "state": state, "troubles": troubles })
    }

    fn trouble(&self, trouble: &Trouble) -> serde_json::Value {
        let mut told = serde_json::Map::new();
        told.insert("what".into(), trouble.what.as_str().into());
        let Of { keyspace, namespace, database, job } = &trouble.of;
        let of = [("keyspace", keyspace), ("namespace", namespace), ("database", database), ("job", job)];
        for (name, value) in of {
            if let Some(value) = value {
                told.insert(name.into(), value.as_ref().into());
            }
        }
        self.dated(told, trouble.since)
    }

    fn alarm(&self, id: &Id, raised: &Raised) -> serde_json::Value {
        let mut told = serde_json::Map::new();
        let members =
            [("what", "alarm"), ("keyspace", &id.keyspace), ("alarm", &id.name), ("reason", &raised.reason)];
        told.extend(members.map(|(name, value)| (name.to_owned(), value.into())));
        self.dated(told, raised.since)
    }

    /// The same with since when it is.
    fn dated(&self, mut told: serde_json::Map<String, serde_json::Value>, since: Tick) -> serde_json::Value {
        let ago = self.now.since(since);
        told.insert("since".into(), rfc3339(unix_now().saturating_sub(ago)).into());
        told.insert("for_s".into(), ago.as_secs().into());
        told.into()
    }
}

impl Of {
    fn database(of: &DatabaseOf) -> Self {
        let (keyspace, database) = (Some(Arc::clone(&of.keyspace)), Some(Arc::clone(&of.name)));
        Self { keyspace, database, ..Self::default() }
    }

    fn namespace(keyspace: &Arc<str>, namespace: &Arc<str>) -> Self {
        let (keyspace, namespace) = (Some(Arc::clone(keyspace)), Some(Arc::clone(namespace)));
        Self { keyspace, namespace, ..Self::default() }
    }

    fn job(keyspace: Arc<str>, job: Arc<str>) -> Self {
        Self { keyspace: Some(keyspace), job: Some(job), ..Self::default() }
    }
}

impl Known {
    /// Since when each of `wrong` is; what is no longer wrong is forgotten.
    fn since(&self, wrong: Vec<(What, Of)>, now: Tick) -> Vec<Trouble> {
        let mut seen = self.seen.lock();
        let before = std::mem::take(&mut *seen);
        let troubles = wrong.into_iter().map(|(what, of)| {
            let key = (what, of);
            let since = before.get(&key).copied().unwrap_or(now);
            seen.insert(key.clone(), since);
            Trouble { what, of: key.1, since }
        });
        troubles.collect()
    }

    /// Forgets databases that are none of `databases` any more.
    fn keep(&self, databases: &[DatabaseOf]) {
        let is_kept = |of: &Of| databases.iter().any(|one| *of == Of::database(one));
        self.databases.lock().retain(|of, _| is_kept(of));
    }

    /// Notes what a look at a database came to; whether it is news that it answers, or that it does not.
    fn asked(&self, of: Of, asked: Look, now: Tick) -> bool {
        let mut databases = self.databases.lock();
        let mut entry = match databases.entry(of) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(_) if asked == Look::Answered => return false,
            Entry::Vacant(entry) => entry.insert_entry(Unwell::default()),
        };
        let unwell = entry.get_mut();
        match asked {
            Look::Answered => entry.remove().unreachable.is_some(),
            Look::Silent => {
                unwell.busy = None;
                unwell.unreachable.replace(unwell.unreachable.unwrap_or(now)).is_none()
            }
            Look::NotAsked => {
                unwell.busy.get_or_insert(now);
                false
            }
        }
    }

    /// What is wrong with databases.
    fn of_databases(&self, now: Tick, troubles: &mut Vec<Trouble>) {
        for (of, unwell) in self.databases.lock().iter() {
            let busy = unwell.busy.filter(|since| now.since(*since) >= LONG);
            for (what, since) in [(What::DatabaseUnreachable, unwell.unreachable), (What::DatabaseBusy, busy)]
            {
                troubles.extend(since.map(|since| Trouble { what, of: of.clone(), since }));
            }
        }
    }
}

impl Look {
    /// What a database said, where it said it in time.
    fn of<Late>(asked: &Result<Result<Ping, DatabaseError>, Late>) -> Self {
        match asked {
            Ok(Ok(Ping::Answered)) => Self::Answered,
            Ok(Ok(Ping::Busy)) => Self::NotAsked,
            Ok(Err(_)) | Err(_) => Self::Silent,
        }
    }
}

/// A moment, given as the time since 1970-01-01 UTC, as RFC 3339 has it, in whole seconds.
pub(crate) fn rfc3339(unix: Duration) -> String {
    let seconds = i64::try_from(unix.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map(|moment| moment.to_string()).unwrap_or_default()
}

/// What is wrong that does not tell since when it is.
fn timeless(observed: &Observed) -> Vec<(What, Of)> {
    let mut wrong = Vec::new();
    let served = observed.keyspaces.now();
    for disk in &served.disks {
        if disk.disk.stats().is_poisoned {
            let (what, keyspace) = match disk.what {
                "copies" => (What::CopiesFailed, None),
                _ => (What::StoreFailed, Some(Arc::clone(&disk.keyspace))),
            };
            wrong.push((what, Of { keyspace, ..Of::default() }));
        }
    }
    for journal in &served.journals {
        let what = match journal.health.state() {
            JournalState::Working => continue,
            JournalState::Refusing => What::JournalRefusing,
            JournalState::Failed => What::JournalFailed,
        };
        wrong.push((what, Of::namespace(&journal.keyspace, &journal.namespace)));
    }
    wrong
}

/// What a namespace tells of itself.
fn of_namespace(keyspace: &Arc<str>, namespace: &Namespace<Blob>, now: Tick, troubles: &mut Vec<Trouble>) {
    let mut add = |what, since| {
        troubles.push(Trouble { what, of: Of::namespace(keyspace, &namespace.name().into()), since });
    };
    let breaker = namespace.breaker();
    if breaker.phase != Phase::Closed {
        add(What::BreakerOpen, breaker.since);
    }
    let pending = namespace.pending_writes();
    if pending.writes > 0 && pending.oldest >= LONG {
        add(What::WritesWaiting, now.before(pending.oldest));
    }
    if let Some(oldest) = namespace.oldest_dead_letter() {
        add(What::DeadLetters, now.before(oldest));
    }
}

/// Looks again and again, until the process stops.
pub(crate) async fn watch(observed: Arc<Observed>, mut stop: Stop) {
    let clock = observed.engine.clock().clone();
    loop {
        let look = async {
            let served = observed.keyspaces.now();
            observed.known.keep(&served.databases);
            for database in &served.databases {
                ask(database, &observed.known, &clock).await;
            }
            drop(served);
            // Since when something is wrong is known the better, the sooner it is seen.
            observed.known.since(timeless(&observed), clock.now());
            clock.sleep(LOOK_EVERY).await;
        };
        tokio::select! {
            () = look => {}
            () = stop.asked() => return,
        }
    }
}

/// Asks a database whether it answers. The log has one line when it does no longer, and one when it does again.
async fn ask(database: &DatabaseOf, known: &Known, clock: &Clock) {
    let asked = clock.timeout(ANSWERS_WITHIN, database.database.ping()).await;
    let is_news = known.asked(Of::database(database), Look::of(&asked), clock.now());
    let (keyspace, database) = (&database.keyspace, &database.name);
    match asked {
        _ if !is_news => {}
        Ok(Ok(_)) => tracing::info!(%keyspace, %database, "the database answers again"),
        Ok(Err(cause)) => {
            tracing::warn!(%keyspace, %database, %cause, "the database does not answer; what is held goes on being served");
        }
        Err(_) => {
            tracing::warn!(%keyspace, %database, within = ?ANSWERS_WITHIN, "the database does not answer in time; what is held goes on being served");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_keeps_its_beginning_until_it_is_well() {
        let (known, wrong) = (Known::default(), || vec![(What::StoreFailed, Of::default())]);
        let since = |known: &Known, wrong, now| {
            let troubles = known.since(wrong, Tick::from_ms(now));
            troubles.iter().map(|trouble| trouble.since.as_ms()).collect::<Vec<_>>()
        };
        assert_eq!(since(&known, wrong(), 5), [5]);
        assert_eq!(since(&known, wrong(), 9), [5]);
        assert_eq!(since(&known, vec![], 10), [0; 0]);
        assert_eq!(since(&known, wrong(), 12), [12]);
    }

    #[test]
    fn a_database_is_news_when_it_changes() {
        use Look::{Answered, NotAsked, Silent};
        let known = Known::default();
        let told = [Answered, Silent, NotAsked, Silent, Answered, NotAsked, Answered]
            .map(|asked| known.asked(Of::default(), asked, Tick::from_ms(1)));
        assert_eq!(told, [false, true, false, false, true, false, false]);
    }

    #[test]
    fn a_database_that_cannot_be_asked_keeps_its_verdict_and_is_told_as_busy() {
        let known = Known::default();
        let told = |now| {
            let mut troubles = Vec::new();
            known.of_databases(Tick::from_ms(now), &mut troubles);
            troubles.into_iter().map(|trouble| (trouble.what, trouble.since.as_ms())).collect::<Vec<_>>()
        };
        for (now, asked, troubles) in [
            (1_000, Look::Silent, &[(What::DatabaseUnreachable, 1_000)][..]),
            (2_000, Look::NotAsked, &[(What::DatabaseUnreachable, 1_000)]),
            (31_999, Look::NotAsked, &[(What::DatabaseUnreachable, 1_000)]),
            (32_000, Look::NotAsked, &[(What::DatabaseUnreachable, 1_000), (What::DatabaseBusy, 2_000)]),
            (33_000, Look::Silent, &[(What::DatabaseUnreachable, 1_000)]),
            (34_000, Look::Answered, &[]),
            (35_000, Look::NotAsked, &[]),
            (65_000, Look::NotAsked, &[(What::DatabaseBusy, 35_000)]),
            (66_000, Look::Answered, &[]),
        ] {
            known.asked(Of::default(), asked, Tick::from_ms(now));
            assert_eq!(told(now), troubles, "at {now}");
        }
    }

    #[test]
    fn only_a_store_that_failed_or_a_stop_takes_it_out_of_service() {
        let health = |is_stopping, whats: &[What]| {
            let trouble = |what: &What| Trouble { what: *what, of: Of::default(), since: Tick::default() };
            let troubles = whats.iter().map(trouble).collect();
            Health { is_stopping, troubles, alarms: Vec::new(), now: Tick::from_ms(61_000) }
        };
        for (is_stopping, whats, serves, state) in [
            (false, &[][..], true, "ready"),
            (false, &[What::BreakerOpen, What::CopiesFailed, What::JournalFailed], true, "degraded"),
            (false, &[What::BreakerOpen, What::StoreFailed], false, "failed"),
            (true, &[What::BreakerOpen], false, "stopping"),
        ] {
            let health = health(is_stopping, whats);
            let told = health.told();
            assert_eq!((health.serves(), told["state"].as_str()), (serves, Some(state)));
            assert_eq!(told["troubles"].as_array().unwrap().len(), whats.len());
            for trouble in told["troubles"].as_array().unwrap() {
                assert_eq!(trouble["for_s"], 61);
                let since: Timestamp = trouble["since"].as_str().unwrap().parse().unwrap();
                let wanted = unix_now() - Duration::from_secs(61);
                assert!(since.as_second().abs_diff(i64::try_from(wanted.as_secs()).unwrap()) <= 2, "{since}");
            }
        }
    }
}

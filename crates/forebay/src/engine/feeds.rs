//! Changed rows: what a transaction or a feed tells of them becomes the invalidations of the namespaces that are made of them.
//!
//! A followed feed is read as long as the engine lives. A place is confirmed once no invalidation up to it waits for the shared
//! tier, so that what this instance could not tell before it ended is told again by whoever follows next. While a feed is
//! silent, copies live on until their TTL (promise P6); a membership filter that leans on it denies nothing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::builder::Forebay;
use super::common::Common;
use super::core::Core;
use crate::error::Error;
use crate::feed::{Batch, Changed, Feed, FeedError, Place, Reply, Watched};
use crate::loader::catching_panic;
use crate::log::{Reach, Record, SUSPECT_AFTER, Verb};
use crate::rt::{Clock, Mutex, Tick};

/// How long a feed is waited for to tell something before it is asked again: its heartbeat.
const HEARTBEAT: Duration = Duration::from_millis(250);
/// How long a feed may take beyond that before it is given up.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// How long the follower rests when the feed is out of reach, at first and at the most.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(800));

/// What is known of a feed that is followed.
#[derive(Clone, Debug)]
pub struct FeedStatus {
    /// The name of its database.
    pub database: Arc<str>,
    /// The place up to which it is applied; `None` before its first answer.
    pub applied: Option<Place>,
    /// How long ago it was last known to have nothing more to tell; `None` where it never was.
    pub behind_for: Option<Duration>,
    /// Changes that it told.
    pub changes: u64,
    /// How often it told that changes were missed, and all that was loaded from its database was invalidated.
    pub gaps: u64,
    /// How often it did not answer.
    pub failures: u64,
    /// Why it did not answer last, for the operator; `None` where it has answered since.
    pub last_error: Option<FeedError>,
}

/// A feed that is followed, as far as readers need it.
#[derive(Debug)]
pub(super) struct Followed {
    keyspace: u32,
    database: Arc<str>,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    applied: Option<Place>,
    /// When it was asked, the last time that it had nothing more to tell.
    caught_up: Option<Tick>,
    changes: u64,
    gaps: u64,
    failures: u64,
    last_error: Option<FeedError>,
}

impl Followed {
    fn is_of(&self, keyspace: u32, database: &str) -> bool {
        self.keyspace == keyspace && *self.database == *database
    }

    fn failed(&self, error: FeedError) {
        let mut progress = self.progress.lock();
        progress.failures += 1;
        progress.last_error = Some(error);
    }

    /// Whether what was committed more than a moment ago is applied.
    fn in_touch(&self, now: Tick) -> bool {
        self.progress.lock().caught_up.is_some_and(|at| now.since(at) <= SUSPECT_AFTER)
    }

    fn status(&self, now: Tick) -> FeedStatus {
        let progress = self.progress.lock();
        let Progress { applied, caught_up, changes, gaps, failures, ref last_error } = *progress;
        FeedStatus {
            database: Arc::clone(&self.database),
            applied,
            behind_for: caught_up.map(|at| now.since(at)),
            changes,
            gaps,
            failures,
            last_error: last_error.clone(),
        }
    }
}

impl Forebay {
    /// Follows `feed`, which tells what changes in the database called `database`: what namespaces of the keyspace
    /// [depend](super::NamespaceBuilder::depends_on) on is invalidated as soon as it is told, on every instance that shares the
    /// tier. One instance follows a feed at a time.
    ///
    /// # Errors
    /// [`Error::Build`] where a feed of this database is followed already.
    pub fn follow(&self, database: &str, feed: impl Feed) -> Result<(), Error> {
        let progress = Mutex::default();
        let followed = Arc::new(Followed { keyspace: self.keyspace_id, database: database.into(), progress });
        {
            let mut feeds = self.common.feeds.lock();
            if feeds.iter().any(|other| other.is_of(self.keyspace_id, database)) {
                return Err(Error::Build {
                    namespace: format!("(feed of {database})").into(),
                    problem: "this database's feed is followed already: follow it once".into(),
                });
            }
            feeds.push(Arc::clone(&followed));
        }
        let follower = Follower {
            feed: Box::new(feed),
            followed,
            engine: Arc::downgrade(&self.common),
            clock: self.common.clock.clone(),
        };
        self.common.upkeep.spawn(follower.follow());
        Ok(())
    }

    /// Invalidates what namespaces of the keyspace have loaded from rows of `database` that have changed. Whoever changes a
    /// database by other means than a feed can tell calls it after the commit.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] where the shared tier could not be told; there is none without one.
    pub async fn rows_changed(&self, database: &str, changes: &[Changed]) -> Result<(), Error> {
        self.common.rows_changed(self.keyspace_id, database, changes).await
    }

    /// The tables of `database` that namespaces of the keyspace depend on by name now, each once: what
    /// [`rows_changed`](Self::rows_changed) has to be told of. Of all others it has to be told that something has
    /// changed ([`Changed::Elsewhere`]).
    #[must_use]
    pub fn watched(&self, database: &str) -> Vec<Watched> {
        let mut tables: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> = BTreeMap::new();
        for core in self.common.dependents(self.keyspace_id, database) {
            for rows in core.rows.iter().filter(|rows| rows.database() == database) {
                let Some(table) = rows.table() else { continue };
                tables.entry(table.into()).or_default().extend(rows.columns_of(&core.pattern));
            }
        }
        let watched =
            |(table, columns): (_, BTreeSet<_>)| Watched { table, columns: columns.into_iter().collect() };
        tables.into_iter().map(watched).collect()
    }

    /// What is known of the feeds that are followed in the keyspace.
    #[must_use]
    pub fn feeds(&self) -> Vec<FeedStatus> {
        let (feeds, now) = (self.common.feeds.lock(), self.common.clock.now());
        let own = feeds.iter().filter(|feed| feed.keyspace == self.keyspace_id);
        own.map(|feed| feed.status(now)).collect()
    }
}

impl Common {
    /// Invalidates what depends on `changes` of rows of `database`, here and in the shared tier.
    async fn rows_changed(&self, keyspace: u32, database: &str, changes: &[Changed]) -> Result<(), Error> {
        let mut seen = HashSet::new();
        let mut records = Vec::new();
        for core in self.dependents(keyspace, database) {
            let rows = core.rows.iter().filter(|rows| rows.database() == database);
            let concerned = rows.flat_map(|rows| {
                changes.iter().flat_map(|changed| rows.concerned(changed, &core.name, &core.pattern))
            });
            for reach in concerned {
                let record = core.invalidation_of(reach);
                if seen.insert(record.clone()) {
                    records.push(record);
                }
            }
        }
        self.tell_many(&records).await
    }

    /// Makes all gone that was loaded from `database`.
    async fn rows_missed(&self, keyspace: u32, database: &str) -> Result<(), Error> {
        let dependents = self.dependents(keyspace, database);
        let all = |core: &Arc<Core>| core.invalidation_of(Reach::Namespace(Arc::clone(&core.name)));
        self.tell_many(&dependents.iter().map(all).collect::<Vec<_>>()).await
    }

    /// A namespace that is built when a feed of what it depends on has been read already: nobody told its shared tier of what that told
    /// before. All of it goes, and before the tier knows of that it is not asked.
    pub(super) fn catch_up_on_feeds(&self, core: &Arc<Core>) {
        let Some(shared) = &self.shared else { return };
        let feeds = self.feeds.lock();
        let was_read = |feed: &Arc<Followed>| feed.progress.lock().applied.is_some();
        let mut read = feeds.iter().filter(|feed| was_read(feed));
        let is_late =
            read.any(|feed| core.rows.iter().any(|rows| feed.is_of(core.keyspace, rows.database())));
        drop(feeds);
        if is_late {
            shared.tell_later(core.invalidation_of(Reach::Namespace(Arc::clone(&core.name))));
        }
    }

    fn dependents(&self, keyspace: u32, database: &str) -> Vec<Arc<Core>> {
        let mut namespaces = self.namespaces();
        namespaces.retain(|core| {
            core.keyspace == keyspace && core.rows.iter().any(|rows| rows.database() == database)
        });
        namespaces
    }
}

impl Core {
    fn invalidation_of(&self, reach: Reach) -> Record {
        Record { keyspace: Arc::clone(&self.owner.keyspace), reach, verb: Verb::Invalidate }
    }

    /// Whether whatever it depends on was told of up to a moment ago: by the feed that is followed here, or by all who write.
    pub(super) fn hears_feeds(&self, now: Tick) -> bool {
        let feeds = self.common.feeds.lock();
        self.rows.iter().all(|rows| {
            let followed = feeds.iter().find(|feed| feed.is_of(self.keyspace, rows.database()));
            followed.map_or(rows.are_told_by_writers(), |feed| feed.in_touch(now))
        })
    }
}

/// Why there is no answer of a feed.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("it did not answer within {after:?}")]
    TimedOut { after: Duration },
    #[error("it panicked")]
    Panicked,
}

/// Reads a feed, as long as the engine lives.
struct Follower {
    feed: Box<dyn Feed>,
    followed: Arc<Followed>,
    engine: Weak<Common>,
    clock: Clock,
}

impl Follower {
    async fn follow(self) {
        let (mut after, mut pause) = (None, RETRY.0);
        while self.engine.strong_count() > 0 {
            let sent = self.clock.now();
            match self.ask(HEARTBEAT + ANSWERS_WITHIN, || self.feed.read(after, HEARTBEAT)).await {
                Ok(batch) => {
                    self.heed(&batch, sent).await;
                    (after, pause) = (Some(batch.end), RETRY.0);
                }
                Err(error) => {
                    self.followed.failed(error);
                    self.clock.sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                    pause = (pause * 2).min(RETRY.1);
                }
            }
        }
    }

    /// The answer of a feed that may take too long, or panic.
    async fn ask<'f, T>(&self, within: Duration, ask: impl FnOnce() -> Reply<'f, T>) -> Result<T, FeedError> {
        let asked = catching_panic(async { ask().await });
        let failed = |failure| Err(FeedError { cause: Arc::new(failure) });
        match self.clock.timeout(within, asked).await {
            Ok(Some(answer)) => answer,
            Ok(None) => failed(Unanswered::Panicked),
            Err(_) => failed(Unanswered::TimedOut { after: within }),
        }
    }

    /// Applies what the feed told when it was asked at `sent`, and confirms it.
    async fn heed(&self, batch: &Batch, sent: Tick) {
        let Some(engine) = self.engine.upgrade() else { return };
        let Followed { keyspace, ref database, ref progress } = *self.followed;
        // What the tier cannot be told now it is told later; here it is done.
        if batch.gap {
            let _ = engine.rows_missed(keyspace, database).await;
        }
        let _ = engine.rows_changed(keyspace, database, &batch.changes).await;
        {
            let mut progress = progress.lock();
            progress.applied = Some(batch.end);
            progress.changes += u64::try_from(batch.changes.len()).unwrap_or(u64::MAX);
            progress.gaps += u64::from(batch.gap);
            progress.last_error = None;
            if batch.caught_up {
                progress.caught_up = Some(sent);
            }
        }
        if engine.shared.as_ref().is_none_or(|shared| shared.has_told()) {
            drop(engine);
            // A place that could not be confirmed is confirmed with the next.
            let _ = self.ask(ANSWERS_WITHIN, || self.feed.confirm(batch.end)).await;
        }
    }
}

//! Jobs: work that is done by the clock, and what is known of its runs.
//!
//! It guarantees that one run of a job is under way at a time in this process, that none begins twice for one moment of its schedule, also
//! where the wall clock jumps, and that every run is recorded with how it ended: one that a killed process had under way is told as
//! interrupted by the next. What a run works on is what is in service when it begins. Which moments are due is told by `schedule.rs`, what
//! is to be done about them by `due.rs`, what is kept by `record.rs`, what a run does by `work.rs`.
//!
//! Schedules are of the wall clock, which is asked again at least once a second; how long a run takes is measured by the monotonic one.

mod due;
mod record;
pub(crate) mod schedule;
mod told;
mod work;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::{Clock, Elapsed, Mutex, Tasks, Tick};
use tokio::sync::{Notify, Semaphore, oneshot};

use self::due::{Due, WAITING_MAX};
use self::record::{Begun, Record, ms};
pub(crate) use self::record::{By, Outcome, Run};
pub use self::schedule::Schedule;
pub(crate) use self::told::{Counted, Told};
pub use self::work::have_functions;
pub(crate) use self::work::{JobOf, of};
use crate::configuration::units::show_duration;
use crate::keyspaces::{InService, Keyspaces};
use crate::panics;
use crate::stop::Stop;
use crate::time::WallClock;

/// How often it is looked what is due, at least: so late is found out that the wall clock has jumped.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same where there are no jobs.
const REST: Duration = Duration::from_secs(3600);
/// A wall clock that went back by more was wrong before: schedules go on from where it is.
const BACK_MAX: Duration = Duration::from_secs(3600);

/// A job's keyspace and its name.
type Id = (Arc<str>, Arc<str>);

/// The jobs of a process. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Jobs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keyspaces: Keyspaces,
    clock: Clock,
    wall: WallClock,
    /// Tells this process's jitter from others'.
    seed: u64,
    known: Mutex<BTreeMap<Id, Arc<Known>>>,
    /// One job is seen for the first time at once: two would write the same file.
    learning: Semaphore,
    /// Something is to be looked at before the time.
    news: Notify,
    stop: Stop,
}

/// What is known of one job.
#[derive(Debug)]
struct Known {
    file: PathBuf,
    state: Mutex<State>,
    /// One record is written at a time; whoever waits writes the newest.
    writing: Arc<Semaphore>,
}

#[derive(Debug)]
struct State {
    record: Record,
    /// A run that was asked for by hand and is to begin, and who waits for its end.
    asked: Option<oneshot::Sender<Run>>,
    /// Since when its runs fail, one after the other.
    failing_since: Option<Tick>,
    counted: Counted,
}

/// Why a run was not begun by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("there is no such job in this keyspace")]
    Unknown,
    #[error("it is running already")]
    Running,
    #[error("the process is ending")]
    Stopping,
}

impl Jobs {
    /// Jobs of what is in `keyspaces`; nothing begins before [`look_after`](Self::look_after).
    pub(crate) fn new(keyspaces: Keyspaces, clock: Clock, wall: WallClock, stop: Stop) -> Self {
        let seed = fastrand::u64(..);
        Self(Arc::new(Inner {
            keyspaces,
            clock,
            wall,
            seed,
            known: Mutex::default(),
            learning: Semaphore::new(1),
            news: Notify::new(),
            stop,
        }))
    }

    /// Reads what is recorded of the jobs in service, so that whoever asks from now on is told of their runs.
    pub(crate) async fn learn(&self) {
        let served = self.0.keyspaces.now();
        for job in &served.jobs {
            self.known(job).await;
        }
    }

    /// Begins what is due, until the process stops; then it waits for what is under way.
    pub(crate) async fn look_after(self) {
        let Some(tasks) = Tasks::current() else { return };
        let (mut view, mut stop) = (self.0.keyspaces.view(), self.0.stop.clone());
        while !stop.is_asked() {
            let rest = self.look(&tasks).await;
            tokio::select! {
                () = self.0.clock.sleep(rest) => {}
                () = self.0.news.notified() => {}
                () = view.moved() => {}
                () = stop.asked() => {}
            }
        }
        // Who waits for a run that will not begin is told.
        self.0.known.lock().values().for_each(|known| known.state.lock().asked = None);
        tasks.idle().await;
    }

    /// Records what is still under way as interrupted: nothing goes on after this.
    pub(crate) async fn interrupt(&self) {
        let all: Vec<(Id, Arc<Known>)> =
            self.0.known.lock().iter().map(|(id, known)| (id.clone(), Arc::clone(known))).collect();
        for (id, known) in all {
            let interrupted = known.state.lock().interrupted("the process ended", self.0.wall.now());
            if let Some(run) = interrupted {
                tell(&id, &run);
                known.write(&id).await;
            }
        }
    }

    /// Begins a run by hand. What comes of it is sent when it has ended.
    pub(crate) async fn run(&self, keyspace: &str, name: &str) -> Result<oneshot::Receiver<Run>, Refused> {
        let inner = &self.0;
        let served = inner.keyspaces.now();
        let known = self.learned(find(&served, keyspace, name).ok_or(Refused::Unknown)?).await;
        let mut state = known.state.lock();
        // Under the lock, by which the stop tells those who wait: who comes after it is told here.
        if inner.stop.is_asked() {
            return Err(Refused::Stopping);
        }
        if state.record.begun.is_some() || state.asked.is_some() {
            return Err(Refused::Running);
        }
        let (ended, told) = oneshot::channel();
        state.asked = Some(ended);
        inner.news.notify_one();
        Ok(told)
    }

    /// Looks at all jobs once, and begins what is to begin; how long there is nothing to do.
    async fn look(&self, tasks: &Tasks) -> Duration {
        let served = self.0.keyspaces.now();
        let mut rest = REST;
        for job in &served.jobs {
            let known = self.known(job).await;
            let now = self.0.wall.now();
            let id = job.id();
            if known.look(&id, job, now) {
                known.write(&id).await;
            }
            self.begin_next(job, &known, tasks).await;
            let next = job.declared.schedule.next(now).map(|next| next.saturating_sub(now));
            rest = rest.min(LOOK_EVERY).min(next.unwrap_or(LOOK_EVERY));
        }
        let mut all = self.0.known.lock();
        // As it is by now: what a reload has just brought, and somebody has asked for, stays.
        let served = self.0.keyspaces.now();
        let is_served = |id: &Id| served.jobs.iter().any(|job| job.id() == *id);
        all.retain(|id, known| is_served(id) || known.state.lock().record.begun.is_some());
        rest
    }

    /// What is known of `job`, which goes by the schedule that it has now.
    async fn known(&self, job: &JobOf) -> Arc<Known> {
        let known = self.learned(job).await;
        known.state.lock().record.follow(&job.declared.schedule, self.0.wall.now());
        known
    }

    /// What is known of `job`, from its file where it is seen for the first time.
    async fn learned(&self, job: &JobOf) -> Arc<Known> {
        let (id, inner) = (job.id(), &self.0);
        let find = || inner.known.lock().get(&id).cloned();
        if let Some(known) = find() {
            return known;
        }
        // Held for as long as this goes on; the semaphore is never closed.
        let _turn = inner.learning.acquire().await;
        if let Some(known) = find() {
            return known;
        }
        let now = inner.wall.now();
        let known = Arc::new(Known::read(&id, job, now, &inner.clock).await);
        known.write(&id).await;
        inner.known.lock().insert(id, Arc::clone(&known));
        known
    }

    /// Begins a run that was asked for by hand, or is due, or waits, unless one is under way.
    async fn begin_next(&self, job: &Arc<JobOf>, known: &Arc<Known>, tasks: &Tasks) {
        let inner = &self.0;
        let begun = known.state.lock().next(inner.wall.now());
        let Some((begun, ended)) = begun else { return };
        let id = job.id();
        // On the disk before it begins.
        known.write(&id).await;
        let later = match begun.by {
            By::Hand => Duration::ZERO,
            By::Schedule | By::Missed => {
                let due = Duration::from_millis(begun.due_unix_ms.unwrap_or_default());
                due::later(job.declared.jitter, inner.seed, &format!("{}/{}", id.0, id.1), due)
            }
        };
        let (jobs, known) = (self.clone(), Arc::clone(known));
        tasks.spawn(async move {
            jobs.0.clock.sleep(later).await;
            let run = jobs.carry_out(&id, &known, &begun).await;
            known.write(&id).await;
            if let Some(ended) = ended {
                // Who asked may have gone away.
                let _ = ended.send(run);
            }
            jobs.0.news.notify_one();
        });
    }

    /// Carries out the run that has begun, on what is in service now, and records how it ended.
    async fn carry_out(&self, id: &Id, known: &Known, begun: &Begun) -> Run {
        let inner = &self.0;
        let started_unix_ms = ms(inner.wall.now());
        known.state.lock().record.begun = Some(Begun { started_unix_ms, ..begun.clone() });
        let began = inner.clock.now();
        let job = find(&inner.keyspaces.now(), &id.0, &id.1).map(Arc::clone);
        let (outcome, detail) = match job {
            None => (Outcome::Skipped, "it is no longer declared".to_owned()),
            Some(job) => {
                let due = begun.due_unix_ms.map(Duration::from_millis);
                let work =
                    panics::caught(Box::pin(job.carry_out(due, inner.wall.clone(), inner.stop.clone())));
                match inner.clock.timeout(job.declared.timeout, work).await {
                    Ok(Ok(Ok(detail))) => (Outcome::Ok, detail),
                    Ok(Ok(Err(error))) => (Outcome::Failed, error.to_string()),
                    Ok(Err(panics::Panicked)) => (Outcome::Failed, "it panicked: the log has where".into()),
                    Err(Elapsed) => (
                        Outcome::TimedOut,
                        format!("it took longer than {}", show_duration(job.declared.timeout)),
                    ),
                }
            }
        };
        let took = inner.clock.now().since(began);
        let Begun { due_unix_ms, by, .. } = *begun;
        let run = Run { due_unix_ms, started_unix_ms, took_ms: ms(took), by, outcome, detail, count: 1 };
        tell(id, &run);
        known.state.lock().ended(run.clone(), inner.clock.now());
        run
    }
}

impl Known {
    /// What is known of a job that is seen for the first time.
    async fn read(id: &Id, job: &JobOf, now: Duration, clock: &Clock) -> Self {
        let file = job.of.data.join("jobs").join(&*id.0).join(format!("{}.json", id.1));
        let read = Record::read(&file).await.unwrap_or_else(|error| {
            let (keyspace, job, file) = (&id.0, &id.1, file.display());
            tracing::warn!(%keyspace, %job, %file, %error, "what was recorded of the job is not known; it begins anew");
            None
        });
        let record = read.unwrap_or_else(|| Record::new(&job.declared.schedule, now));
        let failing = told::failing_since(&record).map(Duration::from_millis);
        let failing_since = failing.map(|since| clock.now().before(now.saturating_sub(since)));
        let mut state = State { record, asked: None, failing_since, counted: Counted::default() };
        if let Some(run) = state.interrupted("the process before ended first", now) {
            tell(id, &run);
        }
        Self { file, state: Mutex::new(state), writing: Arc::new(Semaphore::new(1)) }
    }

    /// Sees to what is due; whether anything was.
    fn look(&self, id: &Id, job: &JobOf, now: Duration) -> bool {
        let mut state = self.state.lock();
        let seen = Duration::from_secs(state.record.seen_unix_s);
        if seen > now + BACK_MAX {
            tracing::warn!(keyspace = %id.0, job = %id.1, by = ?seen.saturating_sub(now), "the wall clock went back; the schedule goes on from where it is");
            state.record.seen_unix_s = now.as_secs();
            return true;
        }
        let waiting = state.record.waiting_unix_s.len();
        let is_busy = state.record.begun.is_some() || state.asked.is_some() || waiting > 0;
        let found =
            due::due(&job.declared.schedule, job.declared.missed, due::Known { seen, now, is_busy, waiting });
        let Some(until) = found.seen else { return false };
        state.record.seen_unix_s = until.as_secs();
        state.see_to(id, found, now);
        true
    }

    /// Writes down what is recorded. Where that fails the job goes on.
    async fn write(&self, id: &Id) {
        let Ok(turn) = Arc::clone(&self.writing).acquire_owned().await else { return };
        let (record, file) = (self.state.lock().record.clone(), self.file.clone());
        // To its end, whoever goes away meanwhile: the file would be that of an older record after a newer one's.
        let written = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            record.write(&file)
        });
        if let Err(error) = written.await.unwrap_or_else(|lost| Err(io::Error::other(lost))) {
            let (keyspace, job, file) = (&id.0, &id.1, self.file.display());
            tracing::warn!(%keyspace, %job, %file, %error, "what is recorded of the job is not kept over a restart");
        }
    }
}

impl State {
    /// Has the runs wait that were found, and records those that are skipped.
    fn see_to(&mut self, id: &Id, found: Due, now: Duration) {
        let Due { missed, on_time, mut skipped, in_place, .. } = found;
        let is_new = |due: &Duration| !self.record.has_begun(*due);
        let new: Vec<u64> =
            missed.iter().chain(&on_time).copied().filter(is_new).map(|due| due.as_secs()).collect();
        let waiting = &mut self.record.waiting_unix_s;
        if in_place && !new.is_empty() {
            let gone = waiting.len();
            if let Some(newest) = waiting.back().copied().map(Duration::from_secs) {
                let (count, last) = skipped.unwrap_or((0, newest));
                skipped = Some((count + gone, last.max(newest)));
            }
            waiting.clear();
        }
        waiting.extend(new);
        while waiting.len() > WAITING_MAX {
            waiting.pop_front();
        }
        let Some((count, last)) = skipped else { return };
        let detail = if self.record.begun.is_some() {
            "the run before was still under way"
        } else {
            "nobody was there to begin it in time"
        };
        let run = Run {
            due_unix_ms: Some(ms(last)),
            started_unix_ms: ms(now),
            took_ms: 0,
            by: By::Schedule,
            outcome: Outcome::Skipped,
            detail: detail.into(),
            count: u64::try_from(count).unwrap_or(u64::MAX),
        };
        tell(id, &run);
        self.counted.add(&run);
        self.record.add(run);
    }

    /// The run that begins now, and who waits for its end: noted as under way.
    fn next(&mut self, now: Duration) -> Option<(Begun, Option<oneshot::Sender<Run>>)> {
        if self.record.begun.is_some() {
            return None;
        }
        let started_unix_ms = ms(now);
        let (begun, ended) = if let Some(ended) = self.asked.take() {
            (Begun { due_unix_ms: None, started_unix_ms, by: By::Hand }, Some(ended))
        } else {
            let due = Duration::from_secs(self.record.waiting_unix_s.pop_front()?);
            let is_late = now.saturating_sub(due) > due::LATE;
            let by = if is_late { By::Missed } else { By::Schedule };
            (Begun { due_unix_ms: Some(ms(due)), started_unix_ms, by }, None)
        };
        self.record.begun = Some(begun.clone());
        Some((begun, ended))
    }

    fn ended(&mut self, run: Run, now: Tick) {
        self.record.begun = None;
        match run.outcome {
            outcome if outcome.is_failure() => {
                self.failing_since.get_or_insert(now);
            }
            Outcome::Ok => self.failing_since = None,
            _ => {}
        }
        self.counted.add(&run);
        self.record.add(run);
    }

    /// Ends the run under way, where there is one.
    fn interrupted(&mut self, why: &str, now: Duration) -> Option<Run> {
        let run = self.record.interrupted(why, now)?;
        self.counted.add(&run);
        self.record.add(run.clone());
        Some(run)
    }
}

/// The log's line about a run.
fn tell((keyspace, job): &Id, run: &Run) {
    let Run { took_ms, detail, count, .. } = run;
    let by = run.by.word();
    match run.outcome {
        Outcome::Ok => tracing::info!(%keyspace, %job, by, took_ms, detail, "the job is done"),
        Outcome::Failed => tracing::warn!(%keyspace, %job, by, took_ms, detail, "the job failed"),
        Outcome::TimedOut => tracing::warn!(%keyspace, %job, by, took_ms, detail, "the job was given up"),
        Outcome::Skipped => tracing::warn!(%keyspace, %job, count, detail, "runs of the job were skipped"),
        Outcome::Interrupted => {
            tracing::warn!(%keyspace, %job, by, took_ms, detail, "the job was interrupted")
        }
    }
}

/// The job of this name, where it is in service.
fn find<'s>(served: &'s InService, keyspace: &str, name: &str) -> Option<&'s Arc<JobOf>> {
    served.jobs.iter().find(|job| job.of.name == keyspace && *job.name == *name)
}

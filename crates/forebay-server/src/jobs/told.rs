//! What is told of jobs: to operators, to metrics, to who asks how the process is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::Tick;

use super::record::{Outcome, Record, Run};
use super::{Jobs, find};

/// What was counted of a job since the process began.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) runs: BTreeMap<Outcome, u64>,
    pub(crate) took_ms: u64,
    pub(crate) last_ok_unix_ms: Option<u64>,
}

/// A job, and how it stands.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) keyspace: Arc<str>,
    pub(crate) job: Arc<str>,
    pub(crate) schedule: String,
    pub(crate) zone: String,
    pub(crate) missed: &'static str,
    /// What it does.
    pub(crate) work: String,
    pub(crate) is_running: bool,
    /// How many missed runs wait.
    pub(crate) waiting: usize,
    /// When it is due next, since 1970-01-01 UTC.
    pub(crate) next: Option<Duration>,
    pub(crate) last: Option<Run>,
    pub(crate) failing_since: Option<Tick>,
    pub(crate) counted: Counted,
}

impl Counted {
    pub(super) fn add(&mut self, run: &Run) {
        let counted = self.runs.entry(run.outcome).or_default();
        *counted = counted.saturating_add(run.count);
        self.took_ms = self.took_ms.saturating_add(run.took_ms);
        if run.outcome == Outcome::Ok {
            self.last_ok_unix_ms = Some(run.started_unix_ms.saturating_add(run.took_ms));
        }
    }
}

impl Jobs {
    /// All jobs in service, in the order of their keyspaces and names.
    pub(crate) fn told(&self) -> Vec<Told> {
        let served = self.0.keyspaces.now();
        let known = self.0.known.lock().clone();
        let now = self.0.wall.now();
        let told = served.jobs.iter().map(|job| {
            let (keyspace, name) = job.id();
            let schedule = &job.declared.schedule;
            let mut told = Told {
                schedule: schedule.text().to_owned(),
                zone: schedule.zone().to_owned(),
                missed: job.declared.missed.word(),
                work: job.declared.work.told(),
                is_running: false,
                waiting: 0,
                next: schedule.next(now),
                last: None,
                failing_since: None,
                counted: Counted::default(),
                keyspace,
                job: name,
            };
            if let Some(known) = known.get(&job.id()) {
                let state = known.state.lock();
                told.is_running = state.record.begun.is_some() || state.asked.is_some();
                told.waiting = state.record.waiting_unix_s.len();
                // What was seen to is not due again, wherever the wall clock is.
                let seen = Duration::from_secs(state.record.seen_unix_s);
                told.next = schedule.next(now.max(seen));
                told.last = state.record.runs.back().cloned();
                told.failing_since = state.failing_since;
                told.counted = state.counted.clone();
                let last_ok = || state.record.runs.iter().rev().find(|run| run.outcome == Outcome::Ok);
                told.counted.last_ok_unix_ms = told
                    .counted
                    .last_ok_unix_ms
                    .or_else(|| last_ok().map(|run| run.started_unix_ms + run.took_ms));
            }
            told
        });
        told.collect()
    }

    /// The last runs of a job, the newest first, at most `count`; `None` where there is no such job.
    pub(crate) fn history(&self, keyspace: &str, name: &str, count: usize) -> Option<Vec<Run>> {
        let served = self.0.keyspaces.now();
        let id = find(&served, keyspace, name)?.id();
        let known = self.0.known.lock().get(&id).cloned();
        let runs = |known: Arc<super::Known>| {
            known.state.lock().record.runs.iter().rev().take(count).cloned().collect()
        };
        Some(known.map(runs).unwrap_or_default())
    }
}

/// Since when the runs of a job fail, one after the other, in milliseconds since 1970-01-01 UTC.
pub(super) fn failing_since(record: &Record) -> Option<u64> {
    let tried = record.runs.iter().rev().filter(|run| run.outcome == Outcome::Ok || run.outcome.is_failure());
    let failing = tried.take_while(|run| run.outcome != Outcome::Ok);
    failing.last().map(|run| run.started_unix_ms.saturating_add(run.took_ms))
}

//! What is told of jobs.

use super::table::{Metric, metric};
use super::text::Family;
use super::text::Kind::{Counter, Gauge};
use super::text::Number;
use super::view::View;
use crate::jobs::{Outcome, Told};

const JOB: &[&str] = &["keyspace", "job"];

/// What one number of each job is; one that is not known is not told.
fn each(view: &View, family: &mut Family<'_>, read: impl Fn(&Told) -> Option<Number>) {
    for told in &view.jobs {
        if let Some(number) = read(told) {
            family.sample(&[&told.keyspace, &told.job], number);
        }
    }
}

pub(super) const RUNS: Metric = metric(
    "forebay_jobs_runs_total",
    Counter,
    &["keyspace", "job", "outcome"],
    "Runs of a job by how they ended: `ok`, `failed`, `timed_out`, `skipped`, `interrupted`",
    |view, family| {
        for told in &view.jobs {
            for outcome in Outcome::ALL {
                let runs = told.counted.runs.get(&outcome).copied().unwrap_or_default();
                family.sample(&[&told.keyspace, &told.job, outcome.word()], Number::Whole(runs));
            }
        }
    },
);

pub(super) const SECONDS: Metric = metric(
    "forebay_jobs_seconds_total",
    Counter,
    JOB,
    "Seconds that the runs of a job took together",
    |view, family| each(view, family, |told| Some(Number::Ms(told.counted.took_ms))),
);

pub(super) const RUNNING: Metric = metric(
    "forebay_jobs_running",
    Gauge,
    JOB,
    "1 while a run of a job is under way, else 0",
    |view, family| each(view, family, |told| Some(Number::Whole(u64::from(told.is_running)))),
);

pub(super) const LAST_SUCCESS: Metric = metric(
    "forebay_jobs_last_success_timestamp_seconds",
    Gauge,
    JOB,
    "When the last run ended that did what it is for, since 1970-01-01 UTC; nothing where none is known",
    |view, family| each(view, family, |told| told.counted.last_ok_unix_ms.map(Number::Ms)),
);

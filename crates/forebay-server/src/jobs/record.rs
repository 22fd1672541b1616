//! What is recorded of a job: its last runs, the one under way, those that wait, and until when all was seen to.
//!
//! It guarantees that a record is written whole or not at all, and is on the disk before the run that it tells of begins: a run that a killed
//! process had under way is found by the next, and told as interrupted. A record that cannot be read costs the history, never the job.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::schedule::Schedule;

/// The most runs that are kept of a job.
pub(super) const RUNS_MAX: usize = 100;
/// The longest detail of a run, in bytes.
const DETAIL_BYTES_MAX: usize = 1024;
/// The form of a record on disk.
const VERSION: u32 = 1;

/// What began a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum By {
    /// It was due.
    Schedule,
    /// It makes up for what was missed.
    Missed,
    /// Somebody asked for it.
    Hand,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// It did what it is for.
    Ok,
    /// It did not, and said why.
    Failed,
    /// It took too long.
    TimedOut,
    /// It did not begin.
    Skipped,
    /// The process ended first.
    Interrupted,
}

/// A run that has ended, or several that were skipped one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// When it was due; nothing where it was begun by hand. All moments are milliseconds since 1970-01-01 UTC.
    pub(crate) due_unix_ms: Option<u64>,
    pub(crate) started_unix_ms: u64,
    pub(crate) took_ms: u64,
    pub(crate) by: By,
    pub(crate) outcome: Outcome,
    /// What it did, or what was wrong.
    pub(crate) detail: String,
    /// How many it stands for.
    pub(crate) count: u64,
}

/// A run that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) due_unix_ms: Option<u64>,
    pub(crate) started_unix_ms: u64,
    pub(crate) by: By,
}

/// All that is recorded of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    schedule: String,
    zone: String,
    /// All that was due until then has been seen to.
    pub(super) seen_unix_s: u64,
    pub(super) begun: Option<Begun>,
    /// When the runs were due that are to be made up, the earliest first.
    pub(super) waiting_unix_s: VecDeque<u64>,
    /// The oldest first.
    pub(super) runs: VecDeque<Run>,
}

impl By {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Missed => "missed",
            Self::Hand => "hand",
        }
    }
}

impl Outcome {
    pub(crate) const ALL: [Self; 5] =
        [Self::Ok, Self::Failed, Self::TimedOut, Self::Skipped, Self::Interrupted];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Skipped => "skipped",
            Self::Interrupted => "interrupted",
        }
    }

    /// Whether the job did not do what it is for, though it could try.
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::TimedOut)
    }
}

impl Record {
    /// Of a job that was never looked at: what was due before `now` is nobody's matter.
    pub(super) fn new(schedule: &Schedule, now: Duration) -> Self {
        Self {
            version: VERSION,
            schedule: schedule.text().to_owned(),
            zone: schedule.zone().to_owned(),
            seen_unix_s: now.as_secs(),
            begun: None,
            waiting_unix_s: VecDeque::new(),
            runs: VecDeque::new(),
        }
    }

    /// Goes on with `schedule`. What another one would have had due before `now` was never missed.
    pub(super) fn follow(&mut self, schedule: &Schedule, now: Duration) {
        if (self.schedule.as_str(), self.zone.as_str()) != (schedule.text(), schedule.zone()) {
            self.schedule = schedule.text().to_owned();
            self.zone = schedule.zone().to_owned();
            self.seen_unix_s = now.as_secs();
            self.waiting_unix_s.clear();
        }
    }

    /// Keeps a run; those that were skipped for one reason, with nothing between them, are one.
    pub(super) fn add(&mut self, mut run: Run) {
        if run.detail.len() > DETAIL_BYTES_MAX {
            let end = run.detail.floor_char_boundary(DETAIL_BYTES_MAX);
            run.detail.truncate(end);
            run.detail.push('…');
        }
        if let (Outcome::Skipped, Some(last)) = (run.outcome, self.runs.back_mut())
            && last.outcome == Outcome::Skipped
            && last.detail == run.detail
        {
            run.count = run.count.saturating_add(last.count);
            *last = run;
            return;
        }
        if self.runs.len() >= RUNS_MAX {
            self.runs.pop_front();
        }
        self.runs.push_back(run);
    }

    /// The run under way, which is none any more.
    pub(super) fn interrupted(&mut self, why: &str, now: Duration) -> Option<Run> {
        let Begun { due_unix_ms, started_unix_ms, by } = self.begun.take()?;
        let took_ms = ms(now).saturating_sub(started_unix_ms);
        let (outcome, detail) = (Outcome::Interrupted, why.to_owned());
        Some(Run { due_unix_ms, started_unix_ms, took_ms, by, outcome, detail, count: 1 })
    }

    /// Whether a run for this moment has begun, as far as the history tells.
    pub(super) fn has_begun(&self, due: Duration) -> bool {
        let due = Some(ms(due));
        let began = |run: &Run| run.outcome != Outcome::Skipped && run.due_unix_ms == due;
        self.runs.iter().any(began) || self.begun.as_ref().is_some_and(|begun| begun.due_unix_ms == due)
    }

    /// What is in `file`; nothing where there is none yet.
    pub(super) async fn read(file: &Path) -> io::Result<Option<Self>> {
        let bytes = match tokio::fs::read(file).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let record: Self = serde_json::from_slice(&bytes)?;
        if record.version != VERSION {
            return Err(io::Error::other(format!("its version is {}, not {VERSION}", record.version)));
        }
        Ok(Some(record))
    }

    /// Writes it to `file`, whole or not at all, and waits until it is on the disk: not for a thread of the runtime.
    pub(super) fn write(&self, file: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec(self)?;
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let new = file.with_extension("new");
        let mut written = std::fs::File::create(&new)?;
        written.write_all(&bytes)?;
        written.sync_all()?;
        drop(written);
        std::fs::rename(&new, file)
    }
}

/// Whole milliseconds.
pub(super) fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record::new(&Schedule::parse("0 3 * * *", "UTC").unwrap(), Duration::from_secs(1_700_000_000))
    }

    fn run(outcome: Outcome, detail: &str) -> Run {
        Run {
            due_unix_ms: Some(5),
            started_unix_ms: 6,
            took_ms: 7,
            by: By::Schedule,
            outcome,
            detail: detail.into(),
            count: 1,
        }
    }

    #[test]
    fn a_history_is_bounded_and_skipped_runs_stand_together() {
        let mut record = record();
        for _ in 0..RUNS_MAX + 5 {
            record.add(run(Outcome::Ok, "3 keys"));
        }
        assert_eq!(record.runs.len(), RUNS_MAX);
        for _ in 0..1000 {
            record.add(run(Outcome::Skipped, "missed"));
        }
        assert_eq!((record.runs.len(), record.runs.back().unwrap().count), (RUNS_MAX, 1000));
        record.add(run(Outcome::Skipped, "another reason"));
        assert_eq!(record.runs.back().unwrap().count, 1);
        record.add(run(Outcome::Failed, &"ä".repeat(DETAIL_BYTES_MAX)));
        assert!(record.runs.back().unwrap().detail.len() <= DETAIL_BYTES_MAX + '…'.len_utf8());
    }

    #[test]
    fn another_schedule_has_missed_nothing() {
        let mut record = record();
        record.waiting_unix_s.push_back(1);
        let (seen, later) = (record.seen_unix_s, Duration::from_secs(1_700_009_000));
        record.follow(&Schedule::parse("0 3 * * *", "UTC").unwrap(), later);
        assert_eq!((record.seen_unix_s, record.waiting_unix_s.len()), (seen, 1));
        record.follow(&Schedule::parse("0 4 * * *", "UTC").unwrap(), later);
        assert_eq!((record.seen_unix_s, record.waiting_unix_s.len()), (later.as_secs(), 0));
    }

    #[tokio::test]
    async fn the_form_on_disk_is_promised() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jobs/shop/nightly.json");
        assert_eq!(Record::read(&file).await.unwrap(), None);
        let mut record = record();
        record.begun = Some(Begun { due_unix_ms: Some(8), started_unix_ms: 9, by: By::Hand });
        record.waiting_unix_s.push_back(1_700_000_060);
        record.add(run(Outcome::TimedOut, "took longer than 5m"));
        record.write(&file).unwrap();
        assert_eq!(Record::read(&file).await.unwrap(), Some(record));
        let form = r#"{"version":1,"schedule":"0 3 * * *","zone":"UTC","seen_unix_s":1700000000,"begun":{"due_unix_ms":8,"started_unix_ms":9,"by":"hand"},"waiting_unix_s":[1700000060],"runs":[{"due_unix_ms":5,"started_unix_ms":6,"took_ms":7,"by":"schedule","outcome":"timed_out","detail":"took longer than 5m","count":1}]}"#;
        assert_eq!(std::fs::read_to_string(&file).unwrap(), form);
        std::fs::write(&file, form.replace("\"version\":1", "\"version\":2")).unwrap();
        assert!(Record::read(&file).await.unwrap_err().to_string().contains("version is 2"));
    }
}

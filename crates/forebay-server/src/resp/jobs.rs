//! `FB.JOBS`: what operators ask about the jobs of a keyspace, and begin by hand.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use forebay_wire::resp::{Jobs, Version, describe, reply};

use super::Service;
use super::execute::{no_keyspace, whole};
use super::replies::Replies;
use super::session::Session;
use crate::jobs::{Run, Told};
use crate::observe::rfc3339;

/// How many runs are told where no number is said.
const RUNS: u64 = 10;
/// The longest that a run is waited for that was begun by hand.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Lists jobs of the connection's keyspace, tells their runs, or begins one.
pub(super) async fn carry_out(
    asked: Jobs,
    service: &Service,
    session: &Session,
    replies: &mut Replies<'_>,
) -> io::Result<()> {
    let version = session.version;
    let Some(keyspace) = &session.keyspace else {
        no_keyspace(session, &mut replies.out);
        return Ok(());
    };
    match asked {
        Jobs::List => {
            let jobs = service.jobs.told().into_iter().filter(|told| *told.keyspace == *keyspace.name());
            let jobs: Vec<Told> = jobs.collect();
            reply::array(&mut replies.out, jobs.len());
            for job in &jobs {
                told(job, version, &mut replies.out);
                replies.send_if_many().await?;
            }
        }
        Jobs::History { name, count } => {
            let name = String::from_utf8_lossy(&name);
            let count = usize::try_from(count.unwrap_or(RUNS)).unwrap_or(usize::MAX);
            let Some(runs) = service.jobs.history(keyspace.name(), &name, count) else {
                refuse(&name, &"there is no such job in this keyspace", &mut replies.out);
                return Ok(());
            };
            reply::array(&mut replies.out, runs.len());
            for one in &runs {
                run(one, version, &mut replies.out);
                replies.send_if_many().await?;
            }
        }
        Jobs::Run { name } => {
            let name = String::from_utf8_lossy(&name);
            begin(&name, keyspace.name(), service, version, &mut replies.out).await;
        }
        Jobs::Help => describe::help(&mut replies.out, "FB.JOBS"),
    }
    Ok(())
}

/// Begins a run, and answers how it ended, or that it began.
async fn begin(name: &str, keyspace: &str, service: &Service, version: Version, out: &mut BytesMut) {
    let ended = match service.jobs.run(keyspace, name).await {
        Ok(ended) => ended,
        Err(refused) => return refuse(name, &refused, out),
    };
    match service.clock.timeout(ANSWER_WITHIN, ended).await {
        Ok(Ok(ended)) => run(&ended, version, out),
        Ok(Err(_)) => {
            refuse(name, &"it did not begin: it is no longer declared, or the process is ending", out)
        }
        Err(_) => {
            reply::map(out, version, 1);
            reply::bulk(out, b"outcome");
            reply::bulk(out, b"started");
        }
    }
}

fn refuse(name: &str, why: &dyn std::fmt::Display, out: &mut BytesMut) {
    reply::error(out, &format!("FBJOB '{name}': {why}"));
}

/// How a job stands.
fn told(job: &Told, version: Version, out: &mut BytesMut) {
    reply::map(out, version, 11);
    let state = if job.is_running { "running" } else { "idle" };
    let next = job.next.map(rfc3339).unwrap_or_default();
    let last = |of: fn(&Run) -> String| job.last.as_ref().map(of).unwrap_or_default();
    for (name, value) in [
        ("job", &*job.job),
        ("schedule", &job.schedule),
        ("zone", &job.zone),
        ("missed", job.missed),
        ("work", &job.work),
        ("state", state),
        ("next", &next),
        ("last_outcome", &last(|run| run.outcome.word().to_owned())),
        ("last_started", &last(|run| rfc3339(Duration::from_millis(run.started_unix_ms)))),
        ("last_detail", &last(|run| run.detail.clone())),
    ] {
        reply::bulk(out, name.as_bytes());
        reply::bulk(out, value.as_bytes());
    }
    reply::bulk(out, b"waiting");
    reply::integer(out, i64::try_from(job.waiting).unwrap_or(i64::MAX));
}

/// How a run ended.
fn run(run: &Run, version: Version, out: &mut BytesMut) {
    reply::map(out, version, 7);
    let moment = |unix_ms| rfc3339(Duration::from_millis(unix_ms));
    for (name, value) in [
        ("outcome", run.outcome.word()),
        ("by", run.by.word()),
        ("due", &run.due_unix_ms.map(moment).unwrap_or_default()),
        ("started", &moment(run.started_unix_ms)),
        ("detail", &run.detail),
    ] {
        reply::bulk(out, name.as_bytes());
        reply::bulk(out, value.as_bytes());
    }
    for (name, number) in [("took_ms", run.took_ms), ("count", run.count)] {
        reply::bulk(out, name.as_bytes());
        reply::integer(out, whole(number));
    }
}

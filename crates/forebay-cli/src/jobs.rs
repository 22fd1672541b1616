//! `forebay jobs`: what a running server does by the clock, how it went, and runs begun by hand.

use std::process::ExitCode;
use std::time::Duration;

use forebay_wire::resp::Reply;
use serde_json::{Map, Value};

use crate::arguments::Jobs;
use crate::client::{Client, object};
use crate::{Failure, say};

/// The fields of a job, or of one of its runs.
type Fields = Map<String, Value>;

/// Does what is asked of the process that serves.
pub(crate) fn jobs(asked: &Jobs) -> Result<ExitCode, Failure> {
    match asked {
        Jobs::List { json, at } => {
            let jobs = all(Client::connect(at)?.call(&["FB.JOBS", "LIST"])?)?;
            tell(&jobs, *json, "no jobs", job)?;
            Ok(ExitCode::SUCCESS)
        }
        Jobs::History { name, count, json, at } => {
            let count = count.to_string();
            let runs = all(Client::connect(at)?.call(&["FB.JOBS", "HISTORY", name, &count])?)?;
            tell(&runs, *json, "no runs yet", run)?;
            Ok(ExitCode::SUCCESS)
        }
        Jobs::Run { name, json, at } => {
            let ended = fields(Client::connect(at)?.call(&["FB.JOBS", "RUN", name])?)?;
            let outcome = text(&ended, "outcome");
            if *json {
                say(&Value::Object(ended).to_string())?;
            } else if outcome == "started" {
                say(&format!("started; `forebay jobs history {name}` tells how it ends"))?;
            } else {
                say(&run(&ended))?;
            }
            let is_well = matches!(outcome.as_str(), "ok" | "started");
            Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// Prints all of them, a line each.
fn tell(all: &[Fields], json: bool, none: &str, line: fn(&Fields) -> String) -> Result<(), Failure> {
    if all.is_empty() && !json {
        say(none)?;
    }
    let told = |one: &Fields| if json { Value::Object(one.clone()).to_string() } else { line(one) };
    all.iter().try_for_each(|one| say(&told(one)))
}

/// One line about a job.
fn job(job: &Fields) -> String {
    let of = |name| text(job, name);
    let (name, schedule, zone, work) = (of("job"), of("schedule"), of("zone"), of("work"));
    let state = if of("state") == "running" { "running".into() } else { format!("next {}", of("next")) };
    let last = match of("last_outcome") {
        none if none.is_empty() => "no run yet".into(),
        outcome => format!("{outcome} {}: {}", of("last_started"), of("last_detail")),
    };
    format!("{name}  {schedule} ({zone})  {work}  {state}; {last}")
}

/// One line about a run.
fn run(run: &Fields) -> String {
    let of = |name| text(run, name);
    let took = Duration::from_millis(run.get("took_ms").and_then(Value::as_u64).unwrap_or_default());
    let count = run.get("count").and_then(Value::as_u64).filter(|count| *count > 1);
    let times = count.map(|count| format!(", {count} times")).unwrap_or_default();
    format!("{}  {}{times}  by {}, took {took:?}: {}", of("started"), of("outcome"), of("by"), of("detail"))
}

fn text(fields: &Fields, name: &str) -> String {
    fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn all(reply: Reply) -> Result<Vec<Fields>, Failure> {
    let Reply::Array(all) = reply else { return Err(Failure::unknown_answer()) };
    all.into_iter().map(fields).collect()
}

fn fields(reply: Reply) -> Result<Fields, Failure> {
    let Reply::Map(fields) = reply else { return Err(Failure::unknown_answer()) };
    Ok(object(&fields))
}

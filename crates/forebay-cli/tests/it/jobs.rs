//! Jobs of a process that serves, as an operator sees them, also over its sudden end.

use std::path::Path;
use std::process::Output;

use forebay_stores::database::{Database, DatabaseOptions};
use sqlx::Executor as _;

use crate::running::{Running, run, start, stderr, stdout};

const DECLARED: &str = r#"
keyspace = "shop"
[database.main]
url = "sqlite:main.db"
[job.clean]
schedule = "@yearly"
zone = "Asia/Shanghai"
sql = { database = "main", statement = "delete from prices where price < 10" }
[job.wrong]
schedule = "@yearly"
sql = { database = "main", statement = "insert into prices values ('x', 1000)" }
"#;

/// Due every second, and busy for far longer than a test.
const LONG: &str = r#"
[job.long]
schedule = "* * * * * *"
sql = { database = "main", statement = "update prices set price = (with recursive count(n) as (select 1 union all select n + 1 from count limit 9000000000) select max(n) % 10 from count)" }
"#;

async fn shop(declared: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("forebay.toml"), declared).unwrap();
    let options =
        DatabaseOptions { create: true, ..DatabaseOptions::sqlite(folder.path().join("main.db"), 1) };
    let database = Database::open(&options).await.unwrap();
    let tables = "create table prices (code text primary key, price integer check (price < 100));
        insert into prices values ('a', 1), ('b', 50)";
    database.sqlite().unwrap().execute(tables).await.unwrap();
    database.sqlite().unwrap().close().await;
    folder
}

fn serve(folder: &Path) -> Running {
    start(folder, &["serve", "--config", "forebay.toml"])
}

fn ask(folder: &Path, running: &Running, arguments: &str) -> Output {
    let address = format!("127.0.0.1:{}", running.resp);
    let arguments: Vec<&str> = arguments.split(' ').chain(["--resp", &address]).collect();
    run(folder, &arguments)
}

#[track_caller]
fn told(folder: &Path, running: &Running, arguments: &str, code: i32) -> String {
    let output = ask(folder, running, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments}: {}", stderr(&output));
    stdout(&output).trim_end().to_owned()
}

#[tokio::test]
async fn jobs_are_listed_run_and_remembered() {
    let folder = shop(DECLARED).await;
    let folder = folder.path();
    let running = serve(folder);
    assert_eq!(told(folder, &running, "jobs history clean", 0), "no runs yet");
    let ran = told(folder, &running, "jobs run clean", 0);
    assert!(ran.contains("ok  by hand, took ") && ran.ends_with(": 1 rows"), "{ran}");
    let ran = told(folder, &running, "jobs run wrong --json", 1);
    assert!(
        ran.starts_with(r#"{"outcome":"failed","by":"hand","due":"","#) && ran.contains("CHECK"),
        "{ran}"
    );
    let listed = told(folder, &running, "jobs list", 0);
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].starts_with("clean  @yearly (Asia/Shanghai)  sql main  next "), "{listed}");
    assert!(lines[0].contains("-12-31T16:00:00Z; ok ") && lines[1].contains("; failed "), "{listed}");
    let unknown = ask(folder, &running, "jobs run cleen");
    assert_eq!(unknown.status.code(), Some(1));
    assert_eq!(stderr(&unknown), "forebay: FBJOB 'cleen': there is no such job in this keyspace\n");
    assert_eq!(running.stop().0, Some(0));

    let running = serve(folder);
    let history = told(folder, &running, "jobs history clean --count 5 --json", 0);
    assert!(
        history.starts_with(r#"{"outcome":"ok","by":"hand""#) && history.lines().count() == 1,
        "{history}"
    );
    let listed = told(folder, &running, "jobs list --json", 0);
    assert!(listed.lines().nth(1).unwrap().contains(r#""last_outcome":"failed""#), "{listed}");
    assert_eq!(running.stop().0, Some(0));
}

#[tokio::test]
async fn a_run_that_was_under_way_when_the_process_was_killed_is_told() {
    let folder = shop(&format!("{DECLARED}{LONG}")).await;
    let folder = folder.path();
    let running = serve(folder);
    while !told(folder, &running, "jobs list", 0)
        .lines()
        .any(|line| line.contains("long") && line.contains("running"))
    {}
    assert!(stderr(&ask(folder, &running, "jobs run long")).contains("it is running already"));
    running.kill();
    std::fs::write(
        folder.join("forebay.toml"),
        format!("{DECLARED}{}", LONG.replace("* * * * * *", "@yearly")),
    )
    .unwrap();
    let running = serve(folder);
    // What is recorded is known a moment after the ports open; what was skipped meanwhile stands before it.
    let history = loop {
        let history = told(folder, &running, "jobs history long", 0);
        if !history.contains("no runs yet") {
            break history;
        }
    };
    let interrupted = history.lines().filter(|line| line.contains("interrupted  by schedule")).count();
    assert_eq!(interrupted, 1, "{history}");
    assert!(history.contains("the process before ended first"), "{history}");
    assert_eq!(running.stop().0, Some(0));
}

//! Jobs of a serving process: what is done when it is due, missed, begun by hand, and what is recorded of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::Clock;
use forebay_server::app::{App, AppJob, Running};
use forebay_server::process::{self, Process};
use forebay_server::time::WallClock;
use forebay_stores::database::{Database, DatabaseOptions};
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::{Resp, Unseen, ask, database, declaration, deployment, soon};

/// 2026-11-20 12:00 UTC, a Friday.
const NOON_MS: u64 = 1_795_176_000_000;
const MINUTE_MS: u64 = 60_000;

/// Jobs that are due every minute, and one whose run shows that all others have been looked at.
const MINUTELY: &str = "schedule = '0 * * * * *'\n";
const MARK: &str = "[job.zz-mark]\nschedule = '0 0 1 1 *'\ninvalidate = { tag = 'nothing' }\n";

const ITEM: &str = "[namespace.item]\nkey = 'item:{code}'\nttl = '60s'\nwarm = { code = ['a', 'b', 'none'] }\n\
                    source.sql = { database = 'main', query = 'select code, price from items where code in {keys}' }\n";

/// How many runs of the jobs `gated` may go on, and how many have begun.
static MAY_GO_ON: Semaphore = Semaphore::const_new(0);
static HAVE_BEGUN: Semaphore = Semaphore::const_new(0);

/// The app's functions: one that waits to be let go on, one that fails, one that panics, one that waits for the end of the process, one
/// that never ends.
const FUNCTIONS: &[AppJob] = &[
    AppJob {
        name: "gated",
        run: |_| {
            Box::pin(async {
                HAVE_BEGUN.add_permits(1);
                MAY_GO_ON.acquire().await?.forget();
                Ok("went on".into())
            })
        },
    },
    AppJob { name: "fails", run: |_| Box::pin(async { Err("no luck".into()) }) },
    AppJob { name: "panics", run: |_| Box::pin(async { panic!("of this test") }) },
    AppJob {
        name: "patient",
        run: |run| {
            Box::pin(async move {
                run.stopping().await;
                Ok("ended well".into())
            })
        },
    },
    AppJob { name: "endless", run: |_| Box::pin(std::future::pending()) },
];

fn app() -> App {
    App {
        name: "clockwork",
        summary: "",
        declaration: "",
        migrations: &[],
        jobs: FUNCTIONS,
        tries: &[],
        start: |_| Box::pin(async { Ok(Running::default()) }),
    }
}

/// A process whose clocks stand still.
struct Clockwork {
    process: Process,
    client: Resp,
    clock: Clock,
    wall: WallClock,
    folder: TempDir,
}

fn declared(folder: &Path, jobs: &str) -> String {
    let rest = format!("[shared]\nurl = 'memory'\n{ITEM}{MARK}{jobs}");
    declaration(folder, "127.0.0.1:0", "127.0.0.1:0", &rest)
}

impl Clockwork {
    async fn new(jobs: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        drop(database(&folder.path().join("main.db")).await);
        Self::on(folder, jobs, NOON_MS + 1_000).await
    }

    /// Serves what is in `folder` from the moment `unix_ms` on.
    async fn on(folder: TempDir, jobs: &str, unix_ms: u64) -> Self {
        let deployment = deployment("apps/clockwork/forebay.toml", &declared(folder.path(), jobs));
        let (clock, wall) = (Clock::simulated(), WallClock::standing(unix_ms));
        let apps = [app()];
        let started = process::start_by(&deployment, &apps, Arc::new(Unseen), clock.clone(), wall.clone());
        let process = soon(started).await.unwrap();
        let client = Resp::connect(process.resp).await;
        let mut clockwork = Self { process, client, clock, wall, folder };
        clockwork.looked().await;
        clockwork
    }

    /// Waits until all jobs have been looked at after this was called.
    async fn looked(&mut self) {
        // The first may begin in a look that was under way.
        for _ in 0..2 {
            let told = soon(self.client.say("FB.JOBS RUN zz-mark")).await;
            assert!(told.contains("outcome ok"), "{told}");
        }
    }

    async fn at(&mut self, unix_ms: u64) {
        self.wall.set(unix_ms);
        self.looked().await;
    }

    /// The history of a job once it has so many entries.
    async fn history(&mut self, job: &str, entries: usize) -> Vec<String> {
        let client = &mut self.client;
        soon(async {
            loop {
                let told = client.say(&format!("FB.JOBS HISTORY {job} 100")).await;
                let runs: Vec<String> = told.split("[outcome ").skip(1).map(ToOwned::to_owned).collect();
                assert!(runs.len() <= entries, "{told}");
                if runs.len() == entries {
                    return runs;
                }
            }
        })
        .await
    }

    async fn get(&self, path: &str) -> String {
        ask(self.process.http, "GET", path, "").await.body
    }

    /// What serves the files as they are now: those that a process leaves that is killed.
    async fn killed(self, jobs: &str, unix_ms: u64) -> Self {
        let left = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(left.path().join("jobs/shop")).unwrap();
        for file in std::fs::read_dir(self.folder.path().join("jobs/shop")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), left.path().join("jobs/shop").join(file.file_name())).unwrap();
        }
        drop(database(&left.path().join("main.db")).await);
        Self::on(left, jobs, unix_ms).await
    }

    /// The same after a stop and a start.
    async fn again(self, jobs: &str, unix_ms: u64) -> Self {
        Self::on(self.stop().await, jobs, unix_ms).await
    }

    /// Stops it; what it leaves. Its client goes first, since the clock that connections wait by stands still.
    async fn stop(self) -> TempDir {
        let Self { process, client, folder, .. } = self;
        drop(client);
        assert!(soon(process.stop()).await);
        folder
    }
}

#[tokio::test]
async fn what_is_due_is_done_once_and_recorded() {
    let jobs = format!(
        "[job.raise]\n{MINUTELY}sql = {{ database = 'main', statement = \"update items set price = price + 1 where code = 'a'\" }}\n\
         [job.warm]\nschedule = '@hourly'\nwarm = 'item'\n[job.drop]\nschedule = '@hourly'\ninvalidate = 'item'\n"
    );
    let mut stage = Clockwork::new(&jobs).await;
    assert_eq!(stage.client.say("GET item:a").await, r#"{"code":"a","price":1}"#);
    assert_eq!(stage.history("raise", 0).await, [""; 0]);
    stage.at(NOON_MS + MINUTE_MS).await;
    let runs = stage.history("raise", 1).await;
    assert!(
        runs[0].starts_with(
            "ok by schedule due 2026-11-20T12:01:00Z started 2026-11-20T12:01:00Z detail 1 rows"
        ),
        "{runs:?}"
    );
    // What it has changed is not served from a copy.
    assert_eq!(stage.client.say("GET item:a").await, r#"{"code":"a","price":2}"#);
    stage.looked().await;
    stage.history("raise", 1).await;

    assert!(stage.client.say("FB.JOBS RUN drop").await.contains("detail dropped item *"));
    assert_eq!(stage.client.say("EXISTS item:a item:b").await, "0");
    let warmed = stage.client.say("FB.JOBS RUN warm").await;
    assert!(
        warmed.contains("outcome ok by hand due  started")
            && warmed.contains("2 keys are warm, 1 do not exist"),
        "{warmed}"
    );
    assert_eq!(stage.client.say("EXISTS item:a item:b").await, "2");

    let listed = stage.client.say("FB.JOBS LIST").await;
    assert!(listed.contains("job raise schedule 0 * * * * * zone UTC missed skip work sql main state idle next 2026-11-20T12:02:00Z last_outcome ok"), "{listed}");
    assert!(stage.client.say("FB.JOBS RUN rise").await.starts_with("!FBJOB 'rise': there is no such job"));
    let metrics = stage.get("/metrics").await;
    assert!(
        metrics.contains(r#"forebay_jobs_runs_total{keyspace="shop",job="raise",outcome="ok"} 1"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(
            r#"forebay_jobs_last_success_timestamp_seconds{keyspace="shop",job="raise"} 1795176060"#
        )
    );
    stage.stop().await;
}

/// A run that takes long meets the next ones: the only test that lets `gated` go on, as all share its gate.
#[tokio::test]
async fn one_run_at_a_time_and_what_is_missed_follows_the_policy() {
    const FIRST: &str = "ok by schedule due 2026-11-20T12:01:00Z";
    for (missed, made_up, told) in [
        ("skip", 0, &[FIRST, "skipped by schedule due 2026-11-20T12:03:00Z"][..]),
        (
            "once",
            1,
            &["ok by missed due 2026-11-20T12:03:00Z", FIRST, "skipped by schedule due 2026-11-20T12:02:00Z"],
        ),
        (
            "all",
            2,
            &["ok by missed due 2026-11-20T12:03:00Z", "ok by missed due 2026-11-20T12:02:00Z", FIRST],
        ),
    ] {
        let jobs = format!("[job.long]\n{MINUTELY}missed = '{missed}'\nrun = 'gated'\n");
        let mut stage = Clockwork::new(&jobs).await;
        stage.at(NOON_MS + MINUTE_MS).await;
        soon(HAVE_BEGUN.acquire()).await.unwrap().forget();
        assert_eq!(stage.client.say("FB.JOBS RUN long").await, "!FBJOB 'long': it is running already");
        stage.at(NOON_MS + 2 * MINUTE_MS).await;
        stage.at(NOON_MS + 3 * MINUTE_MS + 30_000).await;
        assert_eq!(HAVE_BEGUN.available_permits(), 0, "a second run began: {missed}");
        MAY_GO_ON.add_permits(told.iter().filter(|run| run.starts_with("ok")).count());
        let runs = stage.history("long", told.len()).await;
        for (run, told) in runs.iter().zip(told) {
            assert!(run.starts_with(told), "{missed}: {runs:?}");
        }
        stage.looked().await;
        stage.history("long", told.len()).await;
        soon(HAVE_BEGUN.acquire_many(made_up)).await.unwrap().forget();
        stage.stop().await;
    }
}

#[tokio::test]
async fn what_was_missed_while_the_process_was_down_follows_the_policy() {
    for (missed, told) in [
        ("skip", &["skipped by schedule due 2026-11-20T12:03:00Z"][..]),
        (
            "once",
            &["failed by missed due 2026-11-20T12:03:00Z", "skipped by schedule due 2026-11-20T12:02:00Z"],
        ),
        (
            "all",
            &[
                "failed by missed due 2026-11-20T12:03:00Z",
                "failed by missed due 2026-11-20T12:02:00Z",
                "failed by missed due 2026-11-20T12:01:00Z",
            ],
        ),
    ] {
        let jobs = format!("[job.unlucky]\n{MINUTELY}missed = '{missed}'\nrun = 'fails'\n");
        let stage = Clockwork::new(&jobs).await;
        let mut stage = stage.killed(&jobs, NOON_MS + 3 * MINUTE_MS + 30_000).await;
        let runs = stage.history("unlucky", told.len()).await;
        for (run, told) in runs.iter().zip(told) {
            assert!(run.starts_with(told), "{missed}: {runs:?}");
        }
        // What is recorded is there after the next start too, and nothing is missed twice.
        let mut stage = stage.again(&jobs, NOON_MS + 3 * MINUTE_MS + 31_000).await;
        assert_eq!(stage.history("unlucky", told.len()).await, runs);
        stage.stop().await;
    }
}

#[tokio::test]
async fn a_run_that_a_killed_process_had_under_way_is_told_as_interrupted() {
    let jobs = format!("[job.endless]\n{MINUTELY}run = 'endless'\n");
    let mut stage = Clockwork::new(&jobs).await;
    stage.at(NOON_MS + MINUTE_MS).await;
    assert!(stage.client.say("FB.JOBS LIST").await.contains("state running"));
    let mut stage = stage.killed(&jobs, NOON_MS + MINUTE_MS + 5_000).await;
    let runs = stage.history("endless", 1).await;
    assert!(runs[0].starts_with("interrupted by schedule due 2026-11-20T12:01:00Z"), "{runs:?}");
    assert!(runs[0].contains("took_ms 5000"), "{runs:?}");
}

#[tokio::test]
async fn a_statement_is_carried_out_on_postgresql() {
    let url = super::postgres::fresh().await;
    let database = Database::open(&DatabaseOptions::postgres(url.parse().unwrap(), 1)).await.unwrap();
    let carry_out =
        async |sql: &'static str| sqlx::raw_sql(sql).execute(database.postgres().unwrap()).await.unwrap();
    carry_out("create table items (code text primary key, price integer check (price < 3)); insert into items values ('a', 1), ('b', 0)").await;
    let folder = tempfile::tempdir().unwrap();
    let rest = format!(
        "{ITEM}[job.raise]\nschedule = '@hourly'\nsql = {{ database = 'main', statement = 'update items set price = price + 1' }}\n"
    );
    let text = declaration(folder.path(), "127.0.0.1:0", "127.0.0.1:0", &rest);
    let text = text.replace(&format!("sqlite:{}/main.db", folder.path().display()), &url);
    let process = super::start(&deployment("forebay.toml", &text), &[]).await.unwrap();
    let mut client = Resp::connect(process.resp).await;
    let mut run = async || client.say("FB.JOBS RUN raise").await;
    let told = soon(async {
        loop {
            let told = run().await;
            // It is looked at for the first time a moment after the ports are open.
            if !told.contains("no such job") {
                return told;
            }
        }
    });
    let told = told.await;
    assert!(told.contains("outcome ok by hand") && told.contains("detail 2 rows"), "{told}");
    assert_eq!(client.say("GET item:a").await, r#"{"code":"a","price":2}"#);

    // One row may not be raised again: all of it is undone, and told without what the rows hold.
    let told = client.say("FB.JOBS RUN raise").await;
    assert!(told.contains("outcome failed") && told.contains("items_price_check"), "{told}");
    assert_eq!(client.say("FB.FRESH item:b").await, r#"{"code":"b","price":1}"#);
    carry_out("alter table items drop constraint items_price_check").await;
    assert!(client.say("FB.JOBS RUN raise").await.contains("outcome ok"));
    // What it has changed is not served from a copy.
    assert_eq!(client.say("MGET item:a item:b").await, r#"[{"code":"a","price":3} {"code":"b","price":2}]"#);
    drop(client);
    assert!(soon(process.stop()).await);
}

#[tokio::test]
async fn a_wall_clock_that_jumps_begins_no_run_twice() {
    let mut stage = Clockwork::new(&format!("[job.unlucky]\n{MINUTELY}run = 'fails'\n")).await;
    stage.at(NOON_MS + MINUTE_MS).await;
    stage.history("unlucky", 1).await;
    for back in [10_000, 2 * MINUTE_MS, 40 * MINUTE_MS, 90 * MINUTE_MS] {
        stage.at(NOON_MS + MINUTE_MS - back).await;
        stage.at(NOON_MS + MINUTE_MS + 2_000).await;
        let told = stage.client.say("FB.JOBS HISTORY unlucky 100").await;
        assert_eq!(told.matches("[outcome failed").count(), 1, "{back}: {told}");
    }
    // Forward it misses what it jumps over, and goes on.
    stage.at(NOON_MS + 30 * MINUTE_MS + 30_000).await;
    stage.at(NOON_MS + 31 * MINUTE_MS).await;
    let client = &mut stage.client;
    let told = soon(async {
        loop {
            let told = client.say("FB.JOBS HISTORY unlucky 1").await;
            if told.contains("outcome failed") {
                return told;
            }
        }
    });
    assert!(told.await.contains("due 2026-11-20T12:31:00Z"));
}

#[tokio::test]
async fn a_job_that_fails_or_takes_too_long_is_told_until_it_is_well() {
    let jobs = format!(
        "[job.late]\n{MINUTELY}timeout = '3s'\nrun = 'endless'\n[job.panics]\n{MINUTELY}run = 'panics'\n\
         [job.raise]\nschedule = '@hourly'\nsql = {{ database = 'main', statement = 'update doomed set price = 1' }}\n"
    );
    let mut stage = Clockwork::new(&jobs).await;
    stage.at(NOON_MS + MINUTE_MS).await;
    assert!(stage.history("panics", 1).await[0].contains("detail it panicked"));
    while !stage.client.say("FB.JOBS HISTORY late").await.contains("outcome timed_out") {
        stage.clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    let health = stage.get("/health/ready").await;
    assert!(
        health.contains("degraded") && health.contains("job_failing") && health.contains(r#""job":"late""#),
        "{health}"
    );
    let options = DatabaseOptions::sqlite(stage.folder.path().join("main.db"), 1);
    let beneath = Database::open(&options).await.unwrap();
    let carry_out =
        async |sql: &'static str| sqlx::query(sql).execute(beneath.sqlite().unwrap()).await.unwrap();
    carry_out("alter table doomed rename to gone").await;
    assert!(stage.client.say("FB.JOBS RUN raise").await.contains("outcome failed"));
    assert!(stage.get("/health/ready").await.contains(r#""job":"raise""#));
    carry_out("alter table gone rename to doomed").await;
    assert!(stage.client.say("FB.JOBS RUN raise").await.contains("outcome ok"));
    assert!(!stage.get("/health/ready").await.contains(r#""job":"raise""#));
}

#[tokio::test]
async fn a_reload_changes_jobs_and_loses_no_run() {
    let patient = format!("[job.patient]\n{MINUTELY}run = 'patient'\n");
    let mut stage = Clockwork::new(&patient).await;
    stage.at(NOON_MS + MINUTE_MS).await;
    assert!(stage.client.say("FB.JOBS LIST").await.contains("state running"));
    let folder = stage.folder.path().to_owned();
    let reload = |jobs: &str| deployment("apps/clockwork/forebay.toml", &declared(&folder, jobs));
    let next = reload(&format!("{patient}zone = 'Asia/Shanghai'\n[job.new]\n{MINUTELY}run = 'fails'\n"));
    let reloaded = soon(stage.process.reload(next)).await.unwrap().to_string();
    assert_eq!(reloaded, "added job shop/new; changed job shop/patient");
    stage.looked().await;
    assert!(stage.client.say("FB.JOBS RUN patient").await.contains("running already"), "the run goes on");
    stage.at(NOON_MS + 2 * MINUTE_MS).await;
    assert!(stage.history("new", 1).await[0].contains("detail no luck"));
    let next = reload(&patient);
    assert_eq!(
        soon(stage.process.reload(next)).await.unwrap().to_string(),
        "changed job shop/patient; removed job shop/new"
    );
    assert!(stage.client.say("FB.JOBS HISTORY new").await.contains("no such job"));
    let next = reload("[job.unknown]\nschedule = '@daily'\nrun = 'fial'\n");
    let refused = soon(stage.process.reload(next)).await.unwrap_err().to_string();
    assert!(
        refused.contains("the app `clockwork` has no function `fial`")
            && refused.contains("did you mean `fails`?"),
        "{refused}"
    );

    // It is waited for, and recorded.
    let mut stage = stage.again(&patient, NOON_MS + 3 * MINUTE_MS + 30_000).await;
    let runs = stage.history("patient", 3).await;
    assert!(
        runs[1].starts_with("ok by schedule due 2026-11-20T12:01:00Z") && runs[1].contains("ended well"),
        "{runs:?}"
    );
}

#[tokio::test]
async fn a_statement_that_its_database_refuses_keeps_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    drop(database(&folder.path().join("main.db")).await);
    let jobs =
        "[job.bad]\nschedule = '@daily'\nsql = { database = 'main', statement = 'delete from itms' }\n";
    let deployment = deployment("forebay.toml", &declared(folder.path(), jobs));
    let refused = super::start(&deployment, &[]).await.unwrap_err().to_string();
    assert!(refused.contains("job `bad` of keyspace `shop`: no such table: itms"), "{refused}");
}
#[tokio::test]
async fn a_run_that_does_not_end_within_the_ten_seconds_of_a_stop_is_interrupted_and_recorded() {
    let jobs =
        format!("[job.endless]\n{MINUTELY}run = 'endless'\n[job.patient]\n{MINUTELY}run = 'patient'\n");
    let mut stage = Clockwork::new(&jobs).await;
    stage.at(NOON_MS + MINUTE_MS).await;
    assert_eq!(stage.client.say("FB.JOBS LIST").await.matches("state running").count(), 2);
    let Clockwork { process, client, clock, wall, folder } = stage;
    drop(client);
    let mut stopped = std::pin::pin!(process.stop());
    wall.set(NOON_MS + MINUTE_MS + 10_000);
    let drained = soon(async {
        loop {
            tokio::select! {
                biased;
                drained = &mut stopped => return drained,
                () = tokio::task::yield_now() => {}
            }
            clock.advance(Duration::from_millis(10));
        }
    });
    assert!(!drained.await, "it was waited for without an end");

    let mut stage = Clockwork::on(folder, &jobs, NOON_MS + MINUTE_MS + 30_000).await;
    let runs = stage.history("endless", 1).await;
    assert!(runs[0].starts_with("interrupted by schedule due 2026-11-20T12:01:00Z"), "{runs:?}");
    assert!(runs[0].contains("detail the process ended") && runs[0].contains("took_ms 10000"), "{runs:?}");
    let runs = stage.history("patient", 1).await;
    assert!(runs[0].starts_with("ok by schedule") && runs[0].contains("detail ended well"), "{runs:?}");
}

/// There are so many that reading what is recorded of them takes longer than asking for the last.
#[tokio::test]
async fn a_job_is_known_as_soon_as_it_is_served() {
    let many = |from: u32| -> String {
        let one =
            |number| format!("[job.a{number}]\nschedule = '0 0 1 1 *'\ninvalidate = {{ tag = 'nothing' }}\n");
        (from..from + 50).map(one).collect()
    };
    let mut stage = Clockwork::new(&many(100)).await;
    let next = declared(stage.folder.path(), &many(200));
    soon(stage.process.reload(deployment("apps/clockwork/forebay.toml", &next))).await.unwrap();
    let told = soon(stage.client.say("FB.JOBS RUN a249")).await;
    assert!(told.contains("outcome ok"), "{told}");
    assert!(stage.client.say("FB.JOBS RUN a149").await.contains("no such job"), "it is no longer declared");
    drop(stage.client);
    assert!(soon(stage.process.stop()).await);
}

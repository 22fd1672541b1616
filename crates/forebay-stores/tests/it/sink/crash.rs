//! A process that writes behind is killed again and again: what it acknowledged is in the database in the end, once, in order.
//!
//! The test binary runs itself as the process: over a journal on the disk and a sink, four writers count up, each on keys of its own,
//! and tell of every acknowledgement over a pipe. The table counts how often a row was changed by which version, so that a write that
//! is applied twice, or after a later one, is seen.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use forebay::{BehindOptions, Blob, Forebay, Namespace, Writes};
use forebay_stores::database::{Database, DatabaseOptions};
use forebay_stores::journal::{FileJournal, JournalOptions};
use forebay_stores::sink::sql::{SqlSink, SqlStatements};
use forebay_stores::source::sql::{SqlQuery, SqlSource};

use super::{rows, run, statements};
use crate::crash::{Verdict, cycles};
use crate::sql::columns;

/// Where the process finds the address of its database; it is one where this is set.
const DATABASE: &str = "FOREBAY_CRASH_DATABASE";
/// Where it finds the folder of its journal.
const JOURNAL: &str = "FOREBAY_CRASH_JOURNAL";

const WRITERS: u64 = 4;
/// Keys of each writer.
const KEYS: u64 = 5;

/// `version` of a row, how often it met a version twice, and how often it went back.
const TABLE: &str =
    "create table counts (code text primary key, version bigint not null, doubled bigint not null default 0,
    disordered bigint not null default 0)";
const WRITE: &str = "insert into counts (code, version) values {rows} on conflict (code) do update set version = excluded.version,
    doubled = counts.doubled + case when excluded.version = counts.version then 1 else 0 end,
    disordered = counts.disordered + case when excluded.version < counts.version then 1 else 0 end";

fn counting() -> SqlStatements {
    statements(WRITE, Some("delete from counts where code in {keys}"), &["code"])
}

fn options(address: &str) -> DatabaseOptions {
    match address.strip_prefix("sqlite:") {
        Some(path) => DatabaseOptions::sqlite(path, 4),
        None => DatabaseOptions::postgres(address.parse().unwrap(), 6),
    }
}

/// The engine over the journal in `folder`.
async fn engine(database: &Database, folder: &Path) -> (Forebay, Namespace<Blob>) {
    let query = "select code, version from counts where code in {keys}";
    let query = SqlQuery { text: query.into(), params: columns(&["code"]), ..SqlQuery::default() };
    let source = SqlSource::open(database, query).await.unwrap();
    let sink = SqlSink::open(database, counting()).await.unwrap();
    // Segments so small that they come and go while the process is killed.
    let options = JournalOptions { segment_bytes: 16 << 10, ..JournalOptions::default() };
    let journal = Arc::new(FileJournal::open(folder, options).await.unwrap());
    let engine = Forebay::builder().memory_budget_bytes(1 << 20).build().unwrap();
    let behind = BehindOptions {
        linger: Duration::from_millis(1),
        batch_max: 8,
        pause_first: Duration::from_millis(5),
        ..BehindOptions::default()
    };
    let counts = engine
        .namespace("counts")
        .key("count:{code}")
        .ttl(Duration::from_millis(50))
        .source(source)
        .writes(Writes::Behind)
        .sink(sink)
        .behind(journal, behind)
        .build()
        .unwrap();
    (engine, counts)
}

/// The process that is killed: it goes on from the version that it reads, until there is nobody to tell.
#[test]
fn the_process_that_is_killed() {
    let (Ok(address), Ok(folder)) = (std::env::var(DATABASE), std::env::var(JOURNAL)) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let database = Database::open(&options(&address)).await.unwrap();
        let (_engine, counts) = engine(&database, Path::new(&folder)).await;
        say("begun");
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let counts = counts.clone();
            writers.spawn(async move { write(&counts, writer).await });
        }
        writers.join_all().await;
    });
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

fn version_of(blob: &Blob) -> u64 {
    let value: serde_json::Value = serde_json::from_slice(blob.as_bytes()).unwrap();
    value["version"].as_u64().unwrap()
}

async fn write(counts: &Namespace<Blob>, writer: u64) {
    let mut versions = BTreeMap::new();
    for key in 0..KEYS {
        let code = format!("w{writer}k{key}");
        // Pending writes of the process before are read, too.
        let held = counts.get(&code).await.unwrap();
        let version = held.map_or(0, |held| version_of(&held));
        say(&format!("read {code} {version}"));
        versions.insert(code, version);
    }
    loop {
        for (code, version) in &mut versions {
            *version += 1;
            let json = format!(r#"{{"version": {version}}}"#);
            counts.set(code, Blob::json(&json), json.len() as u64).await.unwrap();
            say(&format!("ok {code} {version}"));
        }
    }
}

/// What the processes told.
struct Told {
    /// The newest version of each key that was acknowledged.
    acknowledged: BTreeMap<String, u64>,
    verdict: Verdict,
}

impl Told {
    fn line(&mut self, line: &str) {
        let [verb, code, version] = line.split(' ').collect::<Vec<_>>()[..] else { return };
        let Ok(version) = version.parse::<u64>() else { return };
        let newest = self.acknowledged.entry(code.to_owned()).or_default();
        match verb {
            "read" if version < *newest => {
                self.verdict.lost.push(format!("{code}: {version} was read, {newest} acknowledged"));
            }
            "ok" => {
                assert!(version > *newest, "{code}: {version} after {newest}");
                *newest = version;
                self.verdict.acknowledged += 1;
            }
            _ => {}
        }
    }
}

/// Runs the process and kills it after some acknowledgements.
fn cycle(address: &str, folder: &Path, told: &mut Told, random: &mut fastrand::Rng) {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sink::crash::the_process_that_is_killed", "--nocapture", "--test-threads", "1"])
        .env(DATABASE, address)
        .env(JOURNAL, folder)
        // What its database keeps for a moment goes with the folder, for it cannot clean up.
        .env("TMPDIR", folder.parent().unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let most = random.u64(1..400);
    let (before, mut has_begun) = (told.verdict.acknowledged, false);
    for line in lines.by_ref().map_while(Result::ok) {
        // The harness has said which test this is, without an end of the line.
        has_begun |= line.ends_with("begun");
        told.line(&line);
        if told.verdict.acknowledged - before >= most {
            break;
        }
    }
    process.kill().unwrap();
    process.wait().unwrap();
    // What it said before it died counts, whoever has read it by then. The last line may be half of one.
    lines.map_while(Result::ok).for_each(|line| told.line(&line));
    if !has_begun || told.verdict.acknowledged == before {
        let mut why = String::new();
        std::io::Read::read_to_string(&mut process.stderr.take().unwrap(), &mut why).unwrap();
        panic!("the process did not write: {why}");
    }
}

/// Kills the process again and again over one journal and one database, lets what is left be applied, and looks at the table.
fn crash(name: &'static str, address: &str, folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let database = runtime.block_on(async {
        let database = Database::open(&options(address)).await.unwrap();
        run(&database, TABLE).await;
        database
    });
    let cycles = cycles();
    let mut told = Told { acknowledged: BTreeMap::new(), verdict: Verdict::new(name, cycles) };
    let mut random = fastrand::Rng::with_seed(cycles);
    for done in 1..=cycles {
        cycle(address, folder, &mut told, &mut random);
        told.verdict.cycle(done);
    }
    let Told { acknowledged, mut verdict } = told;
    assert_eq!(acknowledged.len() as u64, WRITERS * KEYS);
    runtime.block_on(async {
        let (_engine, counts) = engine(&database, folder).await;
        assert!(counts.flush_writes(Duration::from_secs(60)).await, "{:?}", counts.pending_writes());
        assert_eq!(counts.dead_letters().len(), 0);
        let select = |what: &str| format!("select code || ' ' || {what} from counts where {what} > 0");
        verdict.doubled = rows(&database, &select("doubled")).await;
        verdict.disordered = rows(&database, &select("disordered")).await;
        let held = rows(&database, &select("version")).await;
        let held: BTreeMap<&str, u64> = held
            .iter()
            .map(|row| row.split_once(' ').map(|(code, version)| (code, version.parse().unwrap())).unwrap())
            .collect();
        for (code, acknowledged) in &acknowledged {
            let held = held.get(code.as_str()).copied().unwrap_or_default();
            if held < *acknowledged {
                verdict.lost.push(format!("{code} is {held}, and {acknowledged} was acknowledged"));
            }
        }
    });
    verdict.close();
}

#[test]
fn nothing_acknowledged_is_lost_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("sqlite:{}", folder.path().join("counts.db").display());
    crash("sqlite", &address, &folder.path().join("journal"));
}

#[test]
fn nothing_acknowledged_is_lost_on_postgresql() {
    let folder = tempfile::tempdir().unwrap();
    let address = tokio::runtime::Runtime::new().unwrap().block_on(crate::postgres::new_database());
    crash("postgresql", &address, &folder.path().join("journal"));
}

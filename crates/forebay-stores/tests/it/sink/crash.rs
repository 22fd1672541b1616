//! A process that writes behind is killed again and again: what it acknowledged is in the database in the end, once, in order.
//!
//! The test binary runs itself as the process: over a journal on the disk and a sink, four writers count up, each on keys of its own,
//! and tell of every acknowledgement over a pipe. The table counts how often a row was changed by which version, so that a write that
//! is applied twice, or after a later one, is seen. `FOREBAY_CRASH_CYCLES` says how often the process is killed.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::Clock;
use forebay::{BehindOptions, Blob, Forebay, Namespace, Writes};
use forebay_stores::database::{Database, DatabaseOptions};
use forebay_stores::journal::{FileJournal, JournalOptions};
use forebay_stores::sink::sql::{SqlSink, SqlStatements};
use forebay_stores::source::sql::{SqlQuery, SqlSource};

use super::{rows, run, statements};
use crate::sql::columns;

/// Where the process finds the address of its database; it is one where this is set.
const DATABASE: &str = "FOREBAY_CRASH_DATABASE";
/// Where it finds the folder of its journal.
const JOURNAL: &str = "FOREBAY_CRASH_JOURNAL";
/// How often the process is killed.
const CYCLES: &str = "FOREBAY_CRASH_CYCLES";

const WRITERS: u64 = 4;
/// Keys of each writer.
const KEYS: u64 = 5;

/// `version` of a row, how often it was changed, and whether it ever went back or met a version twice.
const TABLE: &str =
    "create table counts (code text primary key, version bigint not null, changes bigint not null default 1,
    faults bigint not null default 0)";
const WRITE: &str = "insert into counts (code, version) values {rows} on conflict (code) do update set version = excluded.version,
    changes = counts.changes + 1,
    faults = counts.faults + case when excluded.version <= counts.version then 1 else 0 end";

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
#[derive(Default)]
struct Told {
    /// The newest version of each key that was acknowledged.
    acknowledged: BTreeMap<String, u64>,
    lines: u64,
}

impl Told {
    fn line(&mut self, line: &str) {
        let [verb, code, version] = line.split(' ').collect::<Vec<_>>()[..] else { return };
        let Ok(version) = version.parse::<u64>() else { return };
        let newest = self.acknowledged.entry(code.to_owned()).or_default();
        match verb {
            "read" => {
                assert!(version >= *newest, "{code}: {version} was read where {newest} was acknowledged")
            }
            "ok" => {
                assert!(version > *newest, "{code}: {version} after {newest}");
                *newest = version;
                self.lines += 1;
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
    let (before, mut has_begun) = (told.lines, false);
    for line in lines.by_ref().map_while(Result::ok) {
        // The harness has said which test this is, without an end of the line.
        has_begun |= line.ends_with("begun");
        told.line(&line);
        if told.lines - before >= most {
            break;
        }
    }
    process.kill().unwrap();
    process.wait().unwrap();
    // What it said before it died counts, whoever has read it by then. The last line may be half of one.
    lines.map_while(Result::ok).for_each(|line| told.line(&line));
    if !has_begun || told.lines == before {
        let mut why = String::new();
        std::io::Read::read_to_string(&mut process.stderr.take().unwrap(), &mut why).unwrap();
        panic!("the process did not write: {why}");
    }
}

/// Kills the process `cycles` times over one journal and one database, lets what is left be applied, and looks at the table. What was seen.
pub fn crash(address: &str, folder: &Path, cycles: u64) -> String {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let database = runtime.block_on(async {
        let database = Database::open(&options(address)).await.unwrap();
        run(&database, TABLE).await;
        database
    });
    let clock = Clock::default();
    let begun = clock.now();
    let mut told = Told::default();
    let mut random = fastrand::Rng::with_seed(cycles);
    for _ in 0..cycles {
        cycle(address, folder, &mut told, &mut random);
    }
    runtime.block_on(async {
        let (_engine, counts) = engine(&database, folder).await;
        let left = counts.pending_writes().writes;
        assert!(counts.flush_writes(Duration::from_secs(60)).await, "{:?}", counts.pending_writes());
        assert_eq!(counts.dead_letters().len(), 0);
        let faults = rows(&database, "select code || ' ' || faults from counts where faults > 0").await;
        assert_eq!(faults, Vec::<String>::new(), "rows that went back or met a version twice");
        let held = rows(&database, "select code || ' ' || version from counts").await;
        let held: BTreeMap<&str, u64> = held
            .iter()
            .map(|row| row.split_once(' ').map(|(code, version)| (code, version.parse().unwrap())).unwrap())
            .collect();
        assert_eq!(told.acknowledged.len() as u64, WRITERS * KEYS);
        for (code, acknowledged) in &told.acknowledged {
            let held = held.get(code.as_str()).copied().unwrap_or_default();
            assert!(held >= *acknowledged, "{code} is {held}, and {acknowledged} was acknowledged");
        }
        let changes = rows(&database, "select cast(sum(changes) as text) from counts").await;
        assert!(told.lines >= cycles);
        format!(
            "{:?}: killed {cycles} times in {:?}: {} acknowledged, {} statements applied, {left} left for the end",
            database.dialect(),
            clock.now().since(begun),
            told.lines,
            changes[0]
        )
    })
}

fn cycles(otherwise: u64) -> u64 {
    std::env::var(CYCLES).map_or(otherwise, |text| text.parse().expect(CYCLES))
}

#[test]
fn nothing_acknowledged_is_lost_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("sqlite:{}", folder.path().join("counts.db").display());
    println!("{}", crash(&address, &folder.path().join("journal"), cycles(100)));
}

#[test]
fn nothing_acknowledged_is_lost_on_postgresql() {
    let folder = tempfile::tempdir().unwrap();
    let address = tokio::runtime::Runtime::new().unwrap().block_on(crate::postgres::new_database());
    println!("{}", crash(&address, &folder.path().join("journal"), cycles(100)));
}

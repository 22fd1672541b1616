//! Services are there when a test asks, behave as promised, and go with whoever started them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use xtask::process::{now, signal};
use xtask::services::{Folder, ServiceError, url};
use xtask::{cargo, needs};

const PATIENCE: Duration = Duration::from_secs(30);

fn service(name: &str) -> String {
    url(name).unwrap_or_else(|error| panic!("{error}"))
}

fn ping(url: &str) -> TcpStream {
    let mut stream = TcpStream::connect(url.strip_prefix("redis://").unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"PING\r\n").unwrap();
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
    stream
}

fn sql(url: &str, statement: &str) -> String {
    let mut psql = Command::new(needs::find("psql").unwrap());
    psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--dbname", url]);
    cargo::output(psql.args(["--command", statement]), "").unwrap().trim().to_owned()
}

#[test]
fn redis_answers() {
    ping(&service("redis"));
}

#[test]
fn all_who_ask_share_one_server() {
    assert_eq!(service("redis"), service("redis"));
}

#[test]
fn an_unknown_service_is_refused_with_the_names_that_exist() {
    let error = url("oracle").unwrap_err();
    assert!(
        matches!(&error, ServiceError::Refused { message, .. } if message.contains("postgres-replica")),
        "{error}"
    );
}

#[test]
fn postgres_decodes_its_log_and_does_not_run_as_root() {
    let url = service("postgres");
    assert_eq!(sql(&url, "show wal_level"), "logical");
    let backend = "select pg_read_file('/proc/self/status')";
    let status = sql(&url, backend);
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    let numbers: Vec<&str> = user.split_whitespace().collect();
    assert!(!numbers.is_empty() && !numbers.contains(&"0"), "PostgreSQL runs as {numbers:?}");
}

#[test]
fn the_replica_gets_what_the_primary_commits() {
    let (primary, replica) = (service("postgres"), service("postgres-replica"));
    assert_eq!(sql(&primary, "select pg_is_in_recovery()"), "f");
    assert_eq!(sql(&replica, "select pg_is_in_recovery()"), "t");
    let table = format!("seen_by_replica_{}", std::process::id());
    sql(&primary, &format!("create table {table} (n int); insert into {table} values (42)"));
    let position = sql(&primary, "select pg_current_wal_lsn()");
    let reached = format!("select pg_last_wal_replay_lsn() >= '{position}'");
    let deadline = now() + PATIENCE;
    while sql(&replica, &reached) != "t" {
        assert!(now() < deadline, "the replica has not reached {position}");
    }
    assert_eq!(sql(&replica, &format!("select n from {table}")), "42");
    sql(&primary, &format!("drop table {table}"));
}

/// `xtask services redis` as a process of its own.
struct Started {
    process: Child,
    folder: PathBuf,
    redis: String,
}

impl Started {
    fn new() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        let mut process = command.args(["services", "redis"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut value = |name: &str| {
            let line = lines.by_ref().find(|line| line.starts_with(name));
            let line = line.unwrap_or_else(|| panic!("it ended before it told its {name}"));
            line.trim_start_matches(name).to_owned()
        };
        Self { folder: value("folder ").into(), redis: value("redis "), process }
    }

    /// Waits until nobody listens on redis's port.
    fn assert_redis_is_gone(&self, mut connected: TcpStream) {
        // The connection ends with its server: an end or a reset, but no time-out.
        match connected.read(&mut [0]) {
            Ok(length) => assert_eq!(length, 0),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
        let deadline = now() + PATIENCE;
        while TcpStream::connect(self.redis.strip_prefix("redis://").unwrap()).is_ok() {
            assert!(now() < deadline, "somebody still listens on {}", self.redis);
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn kill_9_ends_the_servers_and_the_next_start_removes_the_folder() {
    let mut started = Started::new();
    let connected = ping(&started.redis);
    started.process.kill().unwrap();
    started.process.wait().unwrap();
    started.assert_redis_is_gone(connected);
    assert!(started.folder.exists(), "nobody could have removed it");
    let next = Folder::new().unwrap();
    assert!(!started.folder.exists(), "the next start removes it");
    assert!(next.path().exists());
}

#[test]
fn sigterm_ends_the_servers_and_removes_the_folder() {
    let mut started = Started::new();
    let connected = ping(&started.redis);
    assert!(started.folder.exists());
    signal("TERM", &started.process.id().to_string());
    assert!(started.process.wait().unwrap().success());
    started.assert_redis_is_gone(connected);
    assert!(!started.folder.exists());
}

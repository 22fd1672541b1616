//! What was acknowledged outlives the end of the process, however that ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;

use crate::running::{Running, run, start, stderr, stdout};

const STORES: &str = r#"
keyspace = "shop"
[namespace.note]
key = "note:{number}"
mode = "store"
ttl = "30d"
durability = "interval 1s"
[namespace.lazy]
key = "lazy:{number}"
mode = "store"
ttl = "30d"
durability = "none"
"#;

fn serve(folder: &Path) -> Running {
    start(folder, &["serve", "--config", "forebay.toml"])
}

fn declared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("forebay.toml"), STORES).unwrap();
    folder
}

#[test]
fn a_killed_process_loses_nothing_that_a_store_acknowledged() {
    let folder = declared();
    for round in 0..3 {
        let running = serve(folder.path());
        let sets = (0..100).map(|number| {
            format!("SET note:{round}-{number} {number}\r\nSET lazy:{round}-{number} {number}\r\n")
        });
        let replies = running.resp(sets.collect::<String>().trim_end());
        assert_eq!(replies.matches("+OK\r\n").count(), 201, "all were acknowledged, and QUIT: {replies}");
        running.kill();
    }
    let running = serve(folder.path());
    for name in ["note", "lazy"] {
        let keys: Vec<String> =
            (0..300).map(|number| format!("{name}:{}-{}", number / 100, number % 100)).collect();
        let values = running.resp(&format!("MGET {}", keys.join(" ")));
        let found = (0..300).map(|number| {
            format!("{}\r\n{}\r\n", format_args!("${}", (number % 100).to_string().len()), number % 100)
        });
        assert!(values.starts_with(&format!("*300\r\n{}", found.collect::<String>())), "{values}");
    }
}

/// Says how often the serving process is killed; `cargo xtask crash` asks for more, and reads what is told.
const CYCLES: &str = "FOREBAY_CRASH_CYCLES";

/// What was written over one connection after the other, until the process of each was killed.
#[derive(Default)]
struct Wrote {
    sent: u64,
    acknowledged: u64,
}

/// Sets one key after the other, and the same number to one that all share; the process is killed after some, with others under way.
fn write_and_kill(running: Running, wrote: &mut Wrote, most: u64) {
    let mut stream = TcpStream::connect(("127.0.0.1", running.resp)).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap());
    let mut victim = Some(running);
    let enough = wrote.acknowledged + most;
    loop {
        while victim.is_some() && wrote.sent < wrote.acknowledged + 4 {
            wrote.sent += 1;
            let number = wrote.sent;
            let commands = format!(
                "SET note:{number} {number}\r\nSET lazy:{number} {number}\r\nSET note:0 {number}\r\n"
            );
            stream.write_all(commands.as_bytes()).unwrap();
        }
        for _ in 0..3 {
            let mut said = String::new();
            let read = replies.read_line(&mut said);
            // The last reply may be half of one.
            if read.is_err() || !said.ends_with("\r\n") {
                return;
            }
            assert_eq!(said, "+OK\r\n");
        }
        wrote.acknowledged += 1;
        if wrote.acknowledged == enough
            && let Some(victim) = victim.take()
        {
            victim.kill();
        }
    }
}

#[test]
fn a_process_killed_while_it_writes_keeps_what_it_acknowledged_in_its_order() {
    let cycles = std::env::var(CYCLES).map_or(100, |text| text.parse::<u64>().expect(CYCLES));
    let folder = declared();
    let mut random = fastrand::Rng::with_seed(cycles);
    let mut wrote = Wrote::default();
    let (mut lost, mut disordered) = (0, 0);
    for cycle in 1..=cycles {
        let running = serve(folder.path());
        write_and_kill(running, &mut wrote, random.u64(1..60));
        let running = serve(folder.path());
        // Those of some cycles before are looked at again.
        let from = wrote.acknowledged.saturating_sub(500) + 1;
        for name in ["note", "lazy"] {
            let keys: Vec<String> = (from..=wrote.sent).map(|number| format!("{name}:{number}")).collect();
            let values = running.resp(&format!("MGET {}", keys.join(" ")));
            let is_there: Vec<bool> =
                values.lines().filter(|line| line.starts_with('$')).map(|line| line != "$-1").collect();
            assert_eq!(is_there.len(), keys.len(), "{values}");
            let (acknowledged, under_way) =
                is_there.split_at(usize::try_from(wrote.acknowledged + 1 - from).unwrap());
            lost += acknowledged.iter().filter(|there| !**there).count();
            // Of what was under way nothing is there without what came before it.
            disordered += usize::from(!under_way.is_sorted_by(|one, next| one >= next));
        }
        let newest: u64 = running.get("note:0").unwrap().parse().unwrap();
        lost += usize::from(newest < wrote.acknowledged);
        disordered += usize::from(newest > wrote.sent);
        running.kill();
        // What was under way counts as acknowledged where it is there.
        wrote = Wrote { sent: newest, acknowledged: newest };
        if cycle.is_multiple_of((cycles / 10).max(1)) {
            println!("\n# serve {cycle} of {cycles}");
        }
    }
    let acknowledged = wrote.acknowledged;
    println!(
        "\ncrash=serve cycles={cycles} acknowledged={acknowledged} lost={lost} doubled=- disordered={disordered}"
    );
    assert!(acknowledged >= cycles);
    assert_eq!([lost, disordered], [0; 2], "lost, disordered");
}

#[test]
fn a_second_process_on_the_stores_is_told_who_has_them() {
    let folder = declared();
    let running = serve(folder.path());
    let listen = ["--http", "127.0.0.1:0", "--resp", "127.0.0.1:0"];
    let second = run(folder.path(), &[&["serve", "--config", "forebay.toml"], &listen[..]].concat());
    let said = stderr(&second);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("is in use by") && said.contains("stop that process"), "{said}");
    assert_eq!(running.stop().0, Some(0));
}

#[test]
fn a_backup_brings_back_what_the_stores_held() {
    let folder = declared();
    let running = serve(folder.path());
    assert_eq!(running.resp("SET note:1 one"), "+OK\r\n+OK\r\n");
    let refused = |arguments: &[&str], told: &str| {
        let output = run(folder.path(), arguments);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(told) && said.trim_end().lines().count() == 1, "{arguments:?}: {said}");
    };
    assert_eq!(running.stop().0, Some(0));

    let done = |arguments: &[&str]| {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    };
    assert!(done(&["backup", "monday"]).starts_with("monday has "));
    refused(&["backup", "monday"], "not empty");
    refused(&["backup", "tuesday", "--data", "nowhere"], "there are no stores in nowhere");
    assert!(!folder.path().join("nowhere").exists() && !folder.path().join("tuesday").exists());
    refused(&["restore", "monday", "data"], "not empty");

    let running = serve(folder.path());
    assert_eq!(running.resp("SET note:1 two"), "+OK\r\n+OK\r\n");
    assert_eq!(running.stop().0, Some(0));
    std::fs::rename(folder.path().join("data"), folder.path().join("lost")).unwrap();
    assert!(done(&["restore", "monday", "data"]).starts_with("data has "));
    let running = serve(folder.path());
    assert_eq!(running.get("note:1").as_deref(), Some("one"));
    assert_eq!(running.stop().0, Some(0));

    let rows = folder.path().join("monday/rows");
    let mut bytes = std::fs::read(&rows).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&rows, bytes).unwrap();
    refused(&["restore", "monday", "other"], "damaged");
}

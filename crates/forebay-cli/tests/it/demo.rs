//! The demonstration: one request through every layer, from a client to a row and back.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::running::{Running, forebay, start};

/// Its clock stands, so that what is read twice can be compared.
fn stand_still(running: &Running) {
    let body = r#"{"paused":true}"#;
    let headers = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    let (head, _) = running.http("PUT /apps/stocks/clock", &format!("{headers}\r\n{body}"));
    assert!(head.starts_with("http/1.1 200"), "{head}");
}

#[test]
fn a_get_is_loaded_from_its_row_and_the_next_comes_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path(), &[]);
    stand_still(&running);

    let quote = running.get("stock:600000").unwrap();
    assert!(quote.starts_with(r#"{"code":"600000","name":"浦发银行","price":"#), "{quote}");
    // It is none of those that are warmed.
    let (head, body) = running.http("GET /v1/stocks/STOCK_CACHE/stock:000004", "");
    assert!(head.contains("x-cache: miss"), "{head}");
    assert!(body.starts_with(r#"{"code":"000004""#), "{body}");
    let (head, again) = running.http("GET /v1/stocks/STOCK_CACHE/stock:000004", "");
    assert!(head.contains("x-cache: hit") && head.contains("detail=memory"), "{head}");
    assert!(head.contains("\r\nage: ") && head.contains("\r\netag: \""), "{head}");
    assert_eq!(body, again);

    // The bank in Shenzhen and the index in Shanghai share a code and nothing else.
    assert!(running.get("stock:000001").unwrap().contains("深发展A"));
    assert!(running.get("index:000001").unwrap().contains("上证指数"));
    assert_eq!(running.get("stock:999999"), None);
}

#[test]
fn quotes_move_by_the_replay_clock_and_ages_by_the_engines() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path(), &[]);
    let at = |body: &str| body.split_once(r#""at":""#).unwrap().1.split('"').next().unwrap().to_owned();
    stand_still(&running);
    let (_, first) = running.http("GET /apps/stocks/clock", "");
    let (_, second) = running.http("GET /apps/stocks/clock", "");
    assert_eq!(at(&first), at(&second), "the clock was paused and moved");

    let body = r#"{"at":"2019-01-29T13:30:00+08:00","speed":10000,"paused":false}"#;
    let headers = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    let (head, set) = running.http("PUT /apps/stocks/clock", &format!("{headers}\r\n{body}"));
    assert!(head.starts_with("http/1.1 200"), "{head} {set}");
    // Ten thousand times as fast as the wall clock, whatever the hour there: the quote's own time moves on.
    let time = || {
        let (_, quote) =
            running.http("GET /v1/stocks/STOCK_CACHE/stock:600000", "Cache-Control: no-cache\r\n");
        quote.split_once(r#""timestamp":""#).unwrap().1.split('"').next().unwrap().to_owned()
    };
    let first = time();
    let deadline = Instant::now() + Duration::from_secs(30);
    while time() == first {
        assert!(Instant::now() < deadline, "the quote stands at {first}");
    }
    assert!(
        at(&set).as_str() < at(&running.http("GET /apps/stocks/clock", "").1).as_str(),
        "the clock stands"
    );
    // The engine's time is left alone: hours of trading do not age a copy by hours.
    let (head, _) = running.http("GET /v1/stocks/MARKET_DATA/index:000001", "");
    assert!(head.contains("age: 0"), "{head}");
}

#[test]
fn a_second_start_finds_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(folder.path(), &[]);
    assert!(first.said.contains("loading the sample market"), "{}", first.said);
    let (code, said) = first.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(folder.path().join("data/stocks.db").exists());

    let second = start(folder.path(), &[]);
    assert!(!second.said.contains("loading the sample market"), "{}", second.said);
    assert!(second.get("stock:600000").is_some());
}

#[test]
fn killed_in_the_middle_of_loading_the_next_start_completes() {
    let folder = tempfile::tempdir().unwrap();
    let listen = ["--http", "127.0.0.1:0", "--resp", "127.0.0.1:0"];
    let mut first = forebay(folder.path()).arg("demo").args(listen).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(first.stdout.take().unwrap()).lines();
    // Some of it is in the database, most is not.
    let loading =
        lines.map(Result::unwrap).find(|line| line.starts_with("loading the sample market")).unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    let (done, total) =
        loading.rsplit_once(' ').map(|(head, total)| (head.to_owned(), total.to_owned())).unwrap();
    assert!(!done.contains(&total), "it was killed after it had loaded everything: {loading}");

    let again = start(folder.path(), &[]);
    assert!(again.said.contains("loading the sample market"), "{}", again.said);
    for key in ["stock:600000", "stock:000858", "index:000001"] {
        assert!(again.get(key).is_some(), "{key} is missing");
    }
}

#[test]
fn it_prints_its_addresses_and_five_commands_that_work() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path(), &["demo"]);
    let commands: Vec<&str> = running
        .said
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .collect();
    assert_eq!(commands.len(), 5, "{}", running.said);
    for command in commands {
        let output = std::process::Command::new("sh")
            .args(["-c", command])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.trim() != "" && !said.contains("ERR") && !said.contains("(nil)"), "{command}: {said}");
    }
}

#[test]
fn stopping_closes_both_ports() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path(), &["serve", "--app", "stocks"]);
    let (resp, http) = (running.resp, running.http);
    assert_eq!(running.stop().0, Some(0));
    assert!(TcpStream::connect(("127.0.0.1", resp)).is_err());
    assert!(TcpStream::connect(("127.0.0.1", http)).is_err());
}

//! What keeps it from starting: one clear line and a non-zero exit.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use crate::running::{run, start, stderr};

/// The one line of an error, after seeing that it is one, that it exits with 1, and that it ends in a way out.
fn refused(folder: &std::path::Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "not one line:\n{said}");
    assert!(said.starts_with("forebay: "), "{said}");
    said
}

#[test]
fn a_busy_port_is_named_before_any_work_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    for (option, other, protocol) in [("--http", "--resp", "HTTP"), ("--resp", "--http", "RESP")] {
        let said = refused(folder.path(), &["demo", option, &address, other, "127.0.0.1:0"]);
        assert!(said.contains(&address) && said.contains(protocol) && said.contains("[server]"), "{said}");
    }
    assert!(!folder.path().join("data").exists(), "work was done before the port was found busy");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("data"), "a file in the way").unwrap();
    let said = refused(folder.path(), &["demo", "--http", "127.0.0.1:0", "--resp", "127.0.0.1:0"]);
    assert!(said.contains("data folder data") && said.contains("[server] data"), "{said}");
}

#[test]
fn a_query_that_cannot_work_is_named_with_its_namespace() {
    let folder = tempfile::tempdir().unwrap();
    let declaration = r#"
        keyspace = "shop"
        [database.main]
        url = "sqlite:shop.db"
        [namespace.prices]
        key = "price:{symbol}"
        ttl = "3s"
        source.sql = { database = "main", query = "select symbol, price from prices where symbol in {keys}" }
    "#;
    std::fs::write(folder.path().join("forebay.toml"), declaration).unwrap();
    let listen = ["--http", "127.0.0.1:0", "--resp", "127.0.0.1:0"];
    let serve = [&["serve", "--config", "forebay.toml"], &listen[..]].concat();
    let said = refused(folder.path(), &serve);
    assert!(
        said.contains("`main`") && said.contains("shop.db"),
        "a mistyped path was not told as such: {said}"
    );

    std::fs::write(folder.path().join("shop.db"), "").unwrap();
    let output = run(folder.path(), &serve);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("`prices`") && said.contains("no such table: prices"), "{said}");
    assert!(said.contains("forebay.toml:8:78"), "the place is not told: {said}");
}

#[test]
fn a_broken_declaration_is_shown_where_it_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("forebay.toml"),
        "keyspace = \"shop\"\n[namespace.a]\nkey = \"a:{x}\"\nttl = 3\n",
    )
    .unwrap();
    let output = run(folder.path(), &[]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("forebay.toml:4:7") && said.contains("^"), "{said}");
}

#[test]
fn there_must_be_something_to_serve() {
    let folder = tempfile::tempdir().unwrap();
    assert!(refused(folder.path(), &["serve"]).contains("forebay demo"));
    let said = refused(folder.path(), &["serve", "--app", "stonks"]);
    assert!(said.contains("`stonks`") && said.contains("stocks"), "{said}");
    let said = refused(folder.path(), &["serve", "--config", "nowhere.toml"]);
    assert!(said.contains("nowhere.toml"), "{said}");
    let said = refused(folder.path(), &["-C", "nowhere", "demo"]);
    assert!(said.contains("nowhere"), "{said}");
}

#[test]
fn wrong_arguments_exit_with_two() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(folder.path(), &["serve", "--nope"]).status.code(), Some(2));
}

/// Whoever asks twice does not wait for requests that are under way.
#[test]
fn a_second_signal_ends_it_at_once_and_is_told_by_the_exit_code() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let folder = tempfile::tempdir().unwrap();
        let declared =
            "keyspace = \"shop\"\n[namespace.memo]\nkey = \"memo:{name}\"\nmode = \"cache\"\nttl = \"1h\"\n";
        std::fs::write(folder.path().join("forebay.toml"), declared).unwrap();
        let running = start(folder.path(), &["serve", "--config", "forebay.toml"]);
        let mut slow = TcpStream::connect(("127.0.0.1", running.http)).unwrap();
        let head = "PUT /v1/shop/memo/memo:a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
        slow.write_all(head.as_bytes()).unwrap();
        // Its body is waited for.
        let mut told = [0; 12];
        slow.read_exact(&mut told).unwrap();
        assert_eq!(&told, b"HTTP/1.1 100");
        running.signal(signal);
        while TcpStream::connect(("127.0.0.1", running.resp)).is_ok() {}
        running.signal(signal);
        assert_eq!(running.ended(), Some(code), "{signal}");
    }
}

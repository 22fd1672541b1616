//! A server that speaks TLS alone, and the commands that ask it.

use std::path::{Path, PathBuf};

use crate::running::{run, start, stderr, stdout};

/// A file of the server's own tests: `certificate.pem` and `renewed.pem` are of `localhost`, signed by `authority.pem`.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../forebay-server/tests/it/serving/tls").join(name)
}

fn place(folder: &Path, from: &str, to: &str) {
    std::fs::copy(file(from), folder.join(to)).unwrap();
}

/// A declaration with more options of `[server]`.
fn declare(folder: &Path, server: &str) {
    let text = format!(
        "keyspace = \"shop\"\n[server]\n{server}\ntls = {{ certificate = \"server.pem\", key = \"key.pem\" }}\n\
         [namespace.memo]\nkey = \"memo:{{name}}\"\nmode = \"cache\"\nttl = \"1h\"\n"
    );
    std::fs::write(folder.join("forebay.toml"), text).unwrap();
}

#[test]
fn the_commands_reach_a_server_that_speaks_tls() {
    let folder = tempfile::tempdir().unwrap();
    declare(folder.path(), "");
    place(folder.path(), "certificate.pem", "server.pem");
    place(folder.path(), "key.pem", "key.pem");
    place(folder.path(), "authority.pem", "ca.pem");
    place(folder.path(), "renewed.pem", "other.pem");
    let running = start(folder.path(), &["serve", "--no-watch", "--config", "forebay.toml"]);
    assert!(running.said.contains("RESP  rediss://127.0.0.1:"), "{}", running.said);
    assert!(running.said.contains("HTTP  https://127.0.0.1:"), "{}", running.said);

    let (resp, http) = (running.resp, running.http);
    let at = |scheme: &str, host: &str, port: u16| format!("{scheme}{host}:{port}");
    let secure = at("rediss://", "localhost", resp);
    let told = run(folder.path(), &["put", "memo:a", "hello", "--resp", &secure, "--ca", "ca.pem"]);
    assert_eq!(told.status.code(), Some(0), "{}", stderr(&told));
    // By the certificate itself too, and where `--ca` alone says that TLS is spoken.
    for (address, ca) in [(&secure, "server.pem"), (&at("", "127.0.0.1", resp), "ca.pem")] {
        let told = run(folder.path(), &["get", "memo:a", "--resp", address, "--ca", ca]);
        assert!(stdout(&told).starts_with("hello"), "{address} {ca}: {}", stderr(&told));
    }
    let stats = ["stats", "--json", "--http", &at("https://", "localhost", http), "--ca", "ca.pem"];
    let told = run(folder.path(), &stats);
    assert!(stdout(&told).contains("\"commands\""), "{}", stderr(&told));

    // Who cannot be trusted is sent nothing, a token least of all.
    for (address, ca, why) in [
        (&secure, Some("other.pem"), "no secure connection to localhost"),
        (&secure, None, "no secure connection to localhost"),
        (&secure, Some("key.pem"), "cannot trust what key.pem holds"),
        (&at("", "127.0.0.1", resp), None, "this port speaks TLS: connect to it as rediss://"),
    ] {
        let mut words = vec!["get", "memo:a", "--token", "fbt_secret", "--resp", address];
        words.extend(ca.iter().flat_map(|ca| ["--ca", ca]));
        let told = run(folder.path(), &words);
        assert_eq!(told.status.code(), Some(1), "{words:?}: {}", stdout(&told));
        assert!(stderr(&told).contains(why), "{words:?}: {}", stderr(&told));
        assert!(!stderr(&told).contains("fbt_secret"));
    }

    // Where the declaration tells the address, it tells whom to trust.
    declare(folder.path(), &format!("resp = \"127.0.0.1:{resp}\"\nhttp = \"127.0.0.1:{http}\""));
    let told = run(folder.path(), &["get", "memo:a"]);
    assert!(stdout(&told).starts_with("hello"), "{}", stderr(&told));
    let told = run(folder.path(), &["invalidate", "--namespace", "memo"]);
    assert_eq!(stdout(&told), "invalidated\n", "{}", stderr(&told));
    assert_eq!(running.stop().0, Some(0));
}

#[test]
fn a_load_is_put_on_a_server_that_speaks_tls() {
    let folder = tempfile::tempdir().unwrap();
    declare(folder.path(), "");
    place(folder.path(), "certificate.pem", "server.pem");
    place(folder.path(), "key.pem", "key.pem");
    place(folder.path(), "authority.pem", "ca.pem");
    let running = start(folder.path(), &["serve", "--no-watch", "--config", "forebay.toml"]);
    let resp = format!("rediss://localhost:{}", running.resp);
    let http = format!("https://localhost:{}", running.http);
    let told = run(folder.path(), &["put", "memo:a", "hello", "--resp", &resp, "--ca", "ca.pem"]);
    assert_eq!(told.status.code(), Some(0), "{}", stderr(&told));
    let at = ["bench", "--seconds", "1", "--clients", "2", "--json", "--resp", &resp, "--http", &http];
    for asked in [["--key", "memo:a"], ["--path", "/v1/shop/memo/memo:a"]] {
        let told = run(folder.path(), &[&at[..], &asked, &["--ca", "ca.pem"]].concat());
        assert_eq!(told.status.code(), Some(0), "{}", stderr(&told));
        let said = stdout(&told);
        let count = |name: &str, number| said.contains(&format!("\"{name}\":{number},"));
        assert!(count("missing", 0) && count("refused", 0) && !count("found", 0), "{said}");
        let told = run(folder.path(), &[&at[..], &asked].concat());
        assert!(stderr(&told).contains("no secure connection to localhost"), "{}", stderr(&told));
    }
    assert_eq!(running.stop().0, Some(0));
}

#[test]
fn a_renewed_certificate_is_taken_over_and_a_bad_one_refused() {
    let folder = tempfile::tempdir().unwrap();
    declare(folder.path(), "");
    place(folder.path(), "certificate.pem", "server.pem");
    place(folder.path(), "key.pem", "key.pem");
    let mut running = start(folder.path(), &["serve", "--config", "forebay.toml"]);
    place(folder.path(), "renewed.pem", "server.pem");
    let said = running.complains("does not belong to the first certificate");
    assert!(said.contains("Not reloaded, what was declared before stays in service"), "{said}");
    place(folder.path(), "renewed-key.pem", "key.pem");
    running.says("Reloaded: changed the certificate.");
    let resp = format!("rediss://127.0.0.1:{}", running.resp);
    place(folder.path(), "renewed.pem", "trusted.pem");
    let told = run(folder.path(), &["get", "memo:a", "--resp", &resp, "--ca", "trusted.pem"]);
    assert_eq!(told.status.code(), Some(3), "{}", stderr(&told));
    assert_eq!(running.stop().0, Some(0));
}

#[test]
fn a_check_opens_the_files_where_it_may_connect() {
    let folder = tempfile::tempdir().unwrap();
    declare(folder.path(), "");
    let told = run(folder.path(), &["check"]);
    assert_eq!(told.status.code(), Some(0), "{}", stderr(&told));
    place(folder.path(), "certificate.pem", "server.pem");
    place(folder.path(), "encrypted-key.pem", "key.pem");
    for words in [&["check", "--connect"][..], &["serve", "--config", "forebay.toml"]] {
        let told = run(folder.path(), words);
        assert_eq!(told.status.code(), Some(1), "{words:?}");
        let why = "[server.tls] key: the key in key.pem is encrypted";
        assert!(stderr(&told).contains(why), "{words:?}: {}", stderr(&told));
    }
    place(folder.path(), "key.pem", "key.pem");
    assert_eq!(run(folder.path(), &["check", "--connect"]).status.code(), Some(0));
}

//! `forebay bench`.

use serde_json::Value;

use crate::running::{run, start, stderr, stdout};

const DECLARED: &str = "keyspace = \"shop\"\n[namespace.memo]\nkey = \"memo:{name}\"\nmode = \"cache\"\nttl = \"1h\"\nwrites = \"cache\"\n";

#[test]
fn a_load_is_counted_answer_by_answer() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("forebay.toml"), DECLARED).unwrap();
    let running = start(folder.path(), &["serve", "--config", "forebay.toml"]);
    let (resp, http) = (format!("127.0.0.1:{}", running.resp), format!("127.0.0.1:{}", running.http));
    let bench = |more: &[&str]| {
        let whole = ["bench", "--seconds", "1", "--clients", "3", "--json", "--resp", &resp, "--http", &http];
        let output = run(folder.path(), &[&whole, more].concat());
        let told: Value = serde_json::from_str(&stdout(&output)).unwrap_or_default();
        (output.status.code(), told, stderr(&output))
    };
    let count = |told: &Value, name: &str| told[name].as_u64().unwrap_or_else(|| panic!("{name}: {told}"));

    assert!(running.resp("SET memo:0 one").starts_with("+OK"));
    let (code, told, _) = bench(&["--key", "memo:{n}", "--keys", "2", "--pipeline", "8"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(count(&told, "found") > 0 && count(&told, "missing") > 0, "{told}");
    assert_eq!(count(&told, "found") + count(&told, "missing"), count(&told, "requests"), "{told}");
    assert!(count(&told, "p50_us") <= count(&told, "p99_us"), "{told}");

    let (code, told, _) = bench(&["--key", "memo:{n}", "--keys", "2", "--sets", "100", "--rate", "200"]);
    assert_eq!((code, &told["loop"], count(&told, "missing")), (Some(0), &"open".into(), 0));
    assert!(count(&told, "requests") + count(&told, "unsent") <= 201, "more than were due: {told}");
    assert_eq!(running.get("memo:1").map(|value| value.len()), Some(100));

    let (code, told, _) = bench(&["--path", "/v1/shop/memo/memo:{n}", "--keys", "2"]);
    assert_eq!((code, &told["load"]), (Some(0), &"GET over HTTP".into()));
    assert_eq!(count(&told, "found"), count(&told, "requests"), "{told}");

    let (code, told, why) = bench(&["--path", "/v1/none/memo/memo:1"]);
    assert!(code == Some(0) && count(&told, "found") == 0 || code == Some(1), "{told} {why}");
    assert_eq!(running.stop().0, Some(0));
}

#[test]
fn a_load_on_another_machine_has_to_be_meant() {
    let folder = tempfile::tempdir().unwrap();
    // An address that no machine has (RFC 5737).
    let output = run(folder.path(), &["bench", "--key", "a", "--resp", "192.0.2.1:6380"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--elsewhere"), "{}", stderr(&output));
    let output = run(folder.path(), &["bench", "--key", "a", "--resp", "127.0.0.1:1"]);
    assert!(stderr(&output).contains("nobody serves at 127.0.0.1:1"), "{}", stderr(&output));
}

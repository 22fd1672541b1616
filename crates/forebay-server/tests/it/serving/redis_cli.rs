//! redis-cli as it comes: what people do with it, and what it shows them.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use super::{Stage, soon};

/// What redis-cli, given `arguments` and `input`, says before it ends well.
async fn cli(stage: &Stage, arguments: &str, input: &str) -> String {
    let (is_well, said) = run(stage, arguments, input).await;
    assert!(is_well, "redis-cli {arguments}: {said}");
    said
}

/// Whether it ends well, and what it says.
async fn run(stage: &Stage, arguments: &str, input: &str) -> (bool, String) {
    let mut command = Command::new(xtask::needs::find("redis-cli").unwrap());
    command.args(["-p", &stage.process.resp.port().to_string()]).args(arguments.split_whitespace());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let work = move || {
        let mut child = command.spawn().unwrap();
        // What says nothing to its input may have ended by now.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    };
    let Output { status, stdout, stderr } = tokio::task::spawn_blocking(work).await.unwrap();
    (status.success(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

/// A stage with some values of each kind, put in as people do who have many.
async fn filled() -> Stage {
    let stage = Stage::new().await;
    let sets: String = (0..500).map(|number| format!("SET key:{number} {number}\r\n")).collect();
    let more = "HSET hash a 1 b 2\r\nZADD set 1 a 2 b 3 c\r\nINCR hash\r\n";
    let (is_well, said) = run(&stage, "--pipe", &(sets + more)).await;
    assert!(!is_well, "one is refused: {said}");
    assert!(said.contains("errors: 1, replies: 503") && said.contains("WRONGTYPE"), "{said}");
    stage
}

#[tokio::test]
async fn help_shows_a_commands_arguments() {
    let stage = Stage::new().await;
    for (command, line) in [
        ("get", "GET key"),
        ("mset", "MSET key value [key value ...]"),
        ("expire", "EXPIRE key seconds [NX|XX|GT|LT]"),
        ("zunion", "ZUNION numkeys key [key ...] [WEIGHTS weight [weight ...]]"),
        ("fb.tag", "FB.TAG key tag [tag ...]"),
    ] {
        // Colours stand between the words.
        let help = cli(&stage, &format!("help {command}"), "").await;
        let plain = help.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "").replace("\u{1b}[90m", "");
        assert!(plain.contains(line) && plain.contains("since:"), "{help:?}");
    }
    let group = cli(&stage, "help @transactions", "").await;
    assert!(group.contains("EXEC") && !group.contains("GET"), "{group}");
}

#[tokio::test]
async fn keys_are_gone_through_by_size_and_by_pattern() {
    let stage = filled().await;
    let said = cli(&stage, "--bigkeys", "").await;
    for line in [
        "Sampled 502 keys",
        r#"Biggest   hash found '"hash"' has 2 fields"#,
        r#"Biggest   zset found '"set"' has 3 members"#,
        "500 strings with 1390 bytes",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let said = cli(&stage, "--memkeys", "").await;
    assert!(said.contains("Sampled 502 keys"), "{said}");
    let said = cli(&stage, "--scan --pattern key:1?", "").await;
    let mut keys: Vec<&str> = said.lines().collect();
    keys.sort_unstable();
    assert_eq!(keys, (10..20).map(|number| format!("key:{number}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn replies_are_shown_in_both_versions() {
    let stage = filled().await;
    assert_eq!(cli(&stage, "hgetall hash", "").await, "a\n1\nb\n2\n");
    assert_eq!(cli(&stage, "-3 --no-raw hgetall hash", "").await, "1# \"a\" => \"1\"\n2# \"b\" => \"2\"\n");
    assert_eq!(cli(&stage, "-3 --no-raw zscore set b", "").await, "(double) 2\n");
    assert_eq!(
        cli(&stage, "--csv zrange set 0 -1 withscores", "").await,
        "\"a\",\"1\",\"b\",\"2\",\"c\",\"3\"\n"
    );
    assert_eq!(cli(&stage, "get item:a", "").await, "{\"code\":\"a\",\"price\":1}\n");
    let said = cli(&stage, "", "MULTI\nINCR n\nGET item:b\nEXEC\nEVAL 'return 1' 0\n").await;
    let wanted = "OK\nQUEUED\nQUEUED\n1\n{\"code\":\"b\",\"price\":2}\nERR unknown command 'EVAL'";
    assert!(said.starts_with(wanted), "{said}");
}

#[tokio::test]
async fn who_watches_his_own_server_sees_what_it_is_asked() {
    let stage = Stage::new().await;
    let mut other = stage.resp().await;
    // It shows commands until it is cut off, and is cut off once there was one.
    let work = async {
        while !other.say("CLIENT LIST").await.contains(" cmd=monitor ") {}
        other.say("GET item:a").await;
        let list = other.say("CLIENT LIST").await;
        let line = list.lines().find(|line| line.contains(" cmd=monitor ")).unwrap().to_owned();
        let id = line.strip_prefix("id=").unwrap().split(' ').next().unwrap();
        other.say(&format!("CLIENT KILL ID {id}")).await;
    };
    let mut command = Command::new(xtask::needs::find("redis-cli").unwrap());
    command.args(["-p", &stage.process.resp.port().to_string(), "monitor"]).stdin(Stdio::null());
    let watching = tokio::task::spawn_blocking(move || command.output().unwrap());
    let (shown, ()) = tokio::join!(soon(watching), work);
    let shown = String::from_utf8_lossy(&shown.unwrap().stdout).into_owned();
    assert!(shown.starts_with("OK\n") && shown.contains(r#""GET" "item:a""#), "{shown}");
}

#[tokio::test]
async fn what_the_server_does_is_shown() {
    let stage = filled().await;
    // Off a terminal it measures once, and tells least, most and mean in milliseconds, and of how many.
    let said = cli(&stage, "-i 0.01 --latency", "").await;
    let numbers: Vec<f64> = said.split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert!(
        matches!(numbers[..], [least, most, mean, count] if least <= mean && mean <= most && count > 0.0),
        "{said}"
    );
    let info = cli(&stage, "info", "").await;
    // What `--stat` makes its columns of.
    for name in [
        "used_memory",
        "connected_clients",
        "blocked_clients",
        "total_commands_processed",
        "total_connections_received",
    ] {
        let number = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        assert!(number.is_some_and(|number| number.trim().parse::<u64>().is_ok()), "{name}: {info}");
    }
}

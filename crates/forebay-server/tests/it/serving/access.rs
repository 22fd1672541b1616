//! Tokens: who may do what, over RESP and over HTTP.

use std::ops::Deref;

use forebay_server::access::Digest;
use forebay_wire::resp::{self, Access, CommandSpec, Reply, Request};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Answer, NAMESPACES, Resp, Stage, request, soon};

/// A token's lines; the token is its name and `-secret`.
pub(super) fn token(name: &str, rest: &str) -> String {
    let hash = Digest::of(format!("{name}-secret").as_bytes());
    format!("[token.{name}]\nhash = '{hash}'\n{rest}\n")
}

/// A stage with tokens for everything, for reading and writing all of the keyspace, for reading it, and for `note` alone; and with a
/// second keyspace.
async fn stage() -> Preview {
    let tokens = [
        token("admin", "may = ['admin']"),
        token("writer", "may = ['read', 'write']\nkeyspace = 'shop'"),
        token("reader", "may = ['read']\nkeyspace = 'shop'"),
        token("note", "may = ['read', 'write']\nnamespaces = ['note']"),
        token("preview", "may = ['read', 'write']\nkeyspace = 'shop-preview'"),
    ];
    let preview = "[environment.preview]\ndb = 3\ndatabase.main.url = 'sqlite:PREVIEW'\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("preview.db");
    drop(super::database(&path).await);
    let preview = preview.replace("PREVIEW", &path.to_string_lossy());
    let stage = Stage::with(&format!("{NAMESPACES}{}{preview}", tokens.concat())).await;
    Preview { stage, _folder: folder }
}

/// A stage, and the folder of its second keyspace's database.
struct Preview {
    stage: Stage,
    _folder: TempDir,
}

impl Deref for Preview {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

/// A client that has shown the token of this name.
async fn client(stage: &Stage, name: &str) -> Resp {
    let mut client = stage.resp().await;
    assert_eq!(client.say(&format!("AUTH {name}-secret")).await, "OK");
    client
}

/// A GET over HTTP with the token of this name.
async fn get(stage: &Stage, name: &str, path: &str) -> Answer {
    stage.ask("GET", path, &format!("Authorization: Bearer {name}-secret\r\n")).await
}

const NO_KEY: &str = "!NOPERM this user has no permissions to access one of the keys used as arguments";

#[tokio::test]
async fn nobody_is_answered_without_a_token() {
    let stage = stage().await;
    let mut client = stage.resp().await;
    for line in ["GET item:a", "PING", "MULTI", "SELECT 0", "INFO", "ACL WHOAMI", "SUBSCRIBE a", "MONITOR"] {
        assert_eq!(client.say(line).await, "!NOAUTH Authentication required.", "{line}");
    }
    assert!(client.say("HELLO 3").await.starts_with("!NOAUTH HELLO must be called"));
    for line in ["AUTH wrong", "AUTH admin wrong", "AUTH reader admin-secret", "HELLO 3 AUTH default wrong"] {
        let wrong = "!WRONGPASS invalid username-password pair or user is disabled.";
        assert_eq!(client.say(line).await, wrong, "{line}");
    }
    assert_eq!(client.say("GET item:a").await, "!NOAUTH Authentication required.");
    for (line, name) in [
        ("AUTH reader-secret", "reader"),
        ("AUTH writer writer-secret", "writer"),
        ("HELLO 3 AUTH default reader-secret", "reader"),
        ("HELLO 2 AUTH admin admin-secret SETNAME me", "admin"),
    ] {
        assert!(!client.say(line).await.starts_with('!'), "{line}");
        assert_eq!(client.say("ACL WHOAMI").await, name, "{line}");
    }
    let list = client.say("CLIENT LIST").await;
    assert!(list.contains("name=me") && list.contains(" user=admin "), "{list}");
    assert_eq!(client.say("CLIENT KILL USER nobody").await, "!ERR No such user 'nobody'");
    assert_eq!(client.say("RESET").await, "RESET");
    assert_eq!(client.say("GET item:a").await, "!NOAUTH Authentication required.");
}

#[tokio::test]
async fn without_tokens_everybody_may_everything() {
    let stage = Stage::new().await;
    let mut client = stage.resp().await;
    assert_eq!(client.say("ACL WHOAMI").await, "default");
    assert!(
        client.say("AUTH anything").await.starts_with("!ERR AUTH <password> called without any password")
    );
    // As a Redis whose default user has no password; clients with a user name in their settings come in.
    assert_eq!(client.say("AUTH default anything").await, "OK");
    for line in ["AUTH somebody anything", "HELLO 3 AUTH somebody anything"] {
        let wrong = "!WRONGPASS invalid username-password pair or user is disabled.";
        assert_eq!(client.say(line).await, wrong, "{line}");
    }
    assert!(client.say("CLIENT LIST").await.contains(" user=default "));
    assert_eq!(client.say("FLUSHALL").await, "OK");
    assert_eq!(get(&stage, "no", "/v1/shop/item/item:a").await.status, 200);
}

/// What is sent before a client has said who it is takes little room.
#[tokio::test]
async fn little_is_taken_from_who_is_unknown() {
    let stage = stage().await;
    let refused = |text: &'static str| format!("!ERR Protocol error: unauthenticated {text} length");
    for (start, told) in [("*11\r\n", "multibulk"), ("*2\r\n$4\r\nAUTH\r\n$16385\r\n", "bulk")] {
        let mut client = stage.resp().await;
        client.send(start.as_bytes()).await;
        assert_eq!(super::shown(&client.next().await.unwrap()), refused(told));
        assert!(client.next().await.is_none());
    }
    let mut known = client(&stage, "reader").await;
    assert_eq!(known.say(&format!("ECHO {}", "x".repeat(20_000))).await.len(), 20_000);
}

fn all() -> Vec<&'static CommandSpec> {
    resp::commands().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands)).collect()
}

/// Requests for a command that names keys: each with another one of them as `odd`, the others as `key`.
fn requests(spec: &CommandSpec, key: &str, odd: &str) -> Vec<Vec<String>> {
    let least = usize::try_from(spec.arity.unsigned_abs()).unwrap();
    let more = if spec.arity < 0 { 2 * spec.keys.step.max(1) } else { 0 };
    let mut words: Vec<String> = spec.name.split('|').map(str::to_owned).collect();
    words.resize(least + more, key.to_owned());
    if let Some(at) = spec.keys.counted {
        words.resize(at + 3, key.to_owned());
        words[at] = "2".to_owned();
    }
    let whole = Request::from_args(&words).unwrap();
    let places: Vec<usize> = spec.key_indexes(&whole).collect();
    assert!(!places.is_empty(), "{}", spec.name);
    let with_odd = |place: usize| {
        let mut words = words.clone();
        words[place] = odd.to_owned();
        words
    };
    places.into_iter().map(with_odd).collect()
}

#[tokio::test]
async fn a_key_of_another_namespace_is_denied_in_every_place_of_every_command() {
    let stage = stage().await;
    let mut note = client(&stage, "note").await;
    let mut asked = 0;
    for spec in all().into_iter().filter(|spec| spec.keys.are_there()) {
        for words in requests(spec, "note:a", "item:a") {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            assert_eq!(super::shown(&note.call(&words).await), NO_KEY, "{words:?}");
            assert_eq!(note.say("MULTI").await, "OK");
            assert_eq!(super::shown(&note.call(&words).await), NO_KEY, "{words:?}");
            assert!(note.say("EXEC").await.starts_with("!EXECABORT"), "{words:?}");
            asked += 1;
        }
        for words in requests(spec, "note:a", "note:b") {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let reply = super::shown(&note.call(&words).await);
            assert!(!reply.contains("NOPERM"), "{words:?}: {reply}");
        }
    }
    assert!(asked > 100, "{asked}");
    assert_eq!(note.say("GET note:a").await, r#"{"code":"a","price":1}"#);
    // Keys of no declared namespace are of the one called `default`.
    assert_eq!(note.say("SET anything 1").await, NO_KEY);
}

#[tokio::test]
async fn who_may_read_does_not_write() {
    let stage = stage().await;
    let mut reader = client(&stage, "reader").await;
    for spec in all().into_iter().filter(|spec| spec.keys.are_there()) {
        let words = requests(spec, "note:a", "note:b").remove(0);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let denied = super::shown(&reader.call(&words).await) == NO_KEY;
        let writes = matches!(spec.access, Access::Write | Access::Invalidate);
        assert_eq!(denied, writes, "{}", spec.name);
    }
    for line in ["SCAN 0", "KEYS x", "DBSIZE", "RANDOMKEY", "COMMAND COUNT", "CLIENT ID", "TIME"] {
        assert!(!reader.say(line).await.contains("NOPERM"), "{line}");
    }
    assert!(reader.say("FLUSHDB").await.starts_with("!NOPERM"));
    let mut writer = client(&stage, "writer").await;
    assert_eq!(writer.say("FLUSHDB").await, "OK");
    // All keys are more than those of one namespace.
    let mut note = client(&stage, "note").await;
    for line in ["SCAN 0", "KEYS x", "DBSIZE", "RANDOMKEY", "FLUSHDB"] {
        assert!(note.say(line).await.starts_with("!NOPERM"), "{line}");
    }
}

#[tokio::test]
async fn what_operators_do_is_for_admins() {
    let stage = stage().await;
    let mut writer = client(&stage, "writer").await;
    let mut asked = 0;
    for spec in all() {
        let is_admins = match spec.access {
            Access::Operate => true,
            Access::Observe => !spec.keys.are_there(),
            _ => false,
        };
        if !is_admins {
            continue;
        }
        let words = usize::try_from(spec.arity.unsigned_abs()).unwrap();
        let words: Vec<&str> = spec.name.split('|').chain(std::iter::repeat("1")).take(words).collect();
        let reply = writer.call(&words).await;
        let Reply::Error(error) = &reply else { panic!("{}: {reply:?}", spec.name) };
        let arity = spec.holds_others();
        assert!(error.starts_with(b"NOPERM") || arity, "{}: {reply:?}", spec.name);
        asked += 1;
    }
    assert!(asked > 15, "{asked}");
    for line in ["FLUSHALL", "MONITOR", "CONFIG SET maxmemory 1", "CLIENT LIST", "DEBUG SLEEP 0", "INFO"] {
        let name = line.split(' ').next().unwrap().to_ascii_lowercase();
        assert!(
            writer
                .say(line)
                .await
                .starts_with(&format!("!NOPERM this user has no permissions to run the '{name}"))
        );
    }
    let mut admin = client(&stage, "admin").await;
    assert_eq!(admin.say("FLUSHALL").await, "OK");
    assert_eq!(admin.say("MONITOR").await, "OK");
    // A token is shown to nobody, also where it is shown in vain.
    let mut other = stage.resp().await;
    for line in ["AUTH note-secret", "AUTH wrong-secret", "HELLO 3 AUTH note note-secret"] {
        other.say(line).await;
    }
    assert_eq!(other.say("GET note:a").await, r#"{"code":"a","price":1}"#);
    let mut seen = String::new();
    while !seen.contains("GET") {
        seen = super::shown(&admin.next().await.unwrap());
        assert!(!seen.contains("secret"), "{seen}");
    }
}

trait HoldsOthers {
    /// Whether it is nothing by itself: then its words are judged first.
    fn holds_others(&self) -> bool;
}

impl HoldsOthers for CommandSpec {
    fn holds_others(&self) -> bool {
        !self.subcommands.is_empty()
    }
}

#[tokio::test]
async fn keyspaces_are_kept_apart() {
    let stage = stage().await;
    let mut preview = client(&stage, "preview").await;
    assert_eq!(preview.say("SET mine 1").await, "OK");
    assert_eq!(preview.say("SELECT 3").await, "OK");
    for db in [0, 1] {
        let denied = format!("!NOPERM this user has no permissions to access database '{db}'");
        assert_eq!(preview.say(&format!("SELECT {db}")).await, denied);
    }
    // What waits is judged where it comes, so that nothing may come between that and its turn.
    assert_eq!(preview.say("MULTI").await, "OK");
    assert!(preview.say("SELECT 0").await.starts_with("!NOPERM"));
    assert!(preview.say("EXEC").await.starts_with("!EXECABORT"));
    // Channels are the process's own.
    for line in ["PUBLISH a b", "SUBSCRIBE a", "PSUBSCRIBE *", "PUBSUB CHANNELS"] {
        let denied = "!NOPERM this user has no permissions to access one of the channels used as arguments";
        assert_eq!(preview.say(line).await, denied, "{line}");
    }
    let mut admin = client(&stage, "admin").await;
    assert_eq!(admin.say("EXISTS mine").await, "0");
    assert_eq!(admin.say("PUBLISH a b").await, "0");
}

#[tokio::test]
async fn jobs_are_for_who_may_do_everything() {
    let stage = stage().await;
    for line in ["FB.JOBS LIST", "FB.JOBS RUN nightly", "FB.JOBS HISTORY nightly", "FB.JOBS HELP"] {
        for name in ["writer", "reader", "note", "preview"] {
            let told = client(&stage, name).await.say(line).await;
            assert!(told.starts_with("!NOPERM"), "{name} {line}: {told}");
        }
        let told = client(&stage, "admin").await.say(line).await;
        assert!(!told.starts_with("!NOPERM"), "{line}: {told}");
    }
}

#[tokio::test]
async fn nobody_changes_rights_within_a_transaction() {
    let stage = stage().await;
    let mut note = client(&stage, "note").await;
    // SELECT of its own keyspace too: nobody need tell one from the other.
    for line in ["AUTH admin-secret", "HELLO 3 AUTH admin admin-secret", "SELECT 3"] {
        assert_eq!(note.say("MULTI").await, "OK");
        assert!(note.say(line).await.starts_with('!'), "{line}");
        assert_eq!(note.say("GET note:a").await, "QUEUED");
        assert!(note.say("EXEC").await.starts_with("!EXECABORT"), "{line}");
    }
}

/// Whoever probes has no token: it is told by the status, and what is wrong is for who may read everything.
#[tokio::test]
async fn strangers_are_told_whether_it_serves_and_nothing_else() {
    let stage = stage().await;
    stage.sql("drop table doomed").await;
    assert!(client(&stage, "admin").await.say("GET broken:a").await.starts_with('!'));
    let bare = stage.get("/health/ready").await;
    assert_eq!((bare.status, bare.body.as_str()), (200, r#"{"state":"ready"}"#));
    for name in ["nonsense", "reader", "note"] {
        let told = get(&stage, name, "/health/ready").await;
        assert_eq!((told.status, told.body), (200, bare.body.clone()), "{name}");
    }
    let told = get(&stage, "admin", "/health/ready").await;
    assert_eq!(told.status, 200);
    assert!(told.body.contains(r#""state":"degraded""#) && told.body.contains("source_failing"), "{told:?}");
    assert_eq!(get(&stage, "reader", "/metrics").await.status, 403);
}

#[tokio::test]
async fn http_asks_for_a_token_and_gives_its_rights() {
    let stage = stage().await;
    assert_eq!(stage.get("/health").await.status, 200);
    let path = "/v1/shop/item/item:a";
    let bare = stage.get(path).await;
    assert_eq!((bare.status, bare.problem().as_str()), (401, "unauthorized"));
    assert_eq!(bare.header("www-authenticate"), "Bearer realm=\"forebay\"");
    let wrong = stage.ask("GET", path, "Authorization: Bearer nonsense\r\n").await;
    assert_eq!(wrong.header("www-authenticate"), "Bearer realm=\"forebay\", error=\"invalid_token\"");
    for authorization in ["Basic admin-secret", "Bearer", "Beareradmin-secret", "admin-secret"] {
        let headers = format!("Authorization: {authorization}\r\n");
        assert_eq!(stage.ask("GET", path, &headers).await.status, 401, "{authorization}");
    }
    assert_eq!(stage.ask("GET", path, "Authorization: bEaReR  reader-secret \r\n").await.status, 200);
    for (name, path, status) in [
        ("reader", "/v1/shop/note/note:a", 200),
        ("admin", "/v1/shop-preview/item/item:a", 200),
        ("preview", "/v1/shop-preview/item/item:a", 200),
        ("note", "/v1/shop/note/note:a", 200),
        ("note", "/v1/shop/n%6Fte/note:a", 200),
        ("note", "/v1/shop/item/item:a", 403),
        ("note", "/v1/shop/%69tem/item:a", 403),
        ("reader", "/v1/shop-preview/item/item:a", 403),
        ("preview", "/v1/shop/item/item:a", 403),
        ("preview", "/v1/no-such/item/item:a", 403),
        ("admin", "/v1/no-such/item/item:a", 404),
        ("reader", "/somewhere", 403),
        ("admin", "/somewhere", 404),
    ] {
        let answer = get(&stage, name, path).await;
        assert_eq!(answer.status, status, "{name} {path}");
        if status == 403 {
            assert_eq!(answer.problem(), "forbidden");
        }
    }
    for (name, method, status) in [
        ("reader", "PUT", 403),
        ("reader", "DELETE", 403),
        ("writer", "DELETE", 204),
        ("reader", "HEAD", 200),
    ] {
        let headers = format!("Authorization: Bearer {name}-secret\r\n");
        assert_eq!(
            stage.ask(method, "/v1/shop/note/note:a", &headers).await.status,
            status,
            "{name} {method}"
        );
    }
}

/// A page that a browser shows reaches loopback too, under the name of its own site or under ours.
#[tokio::test]
async fn without_tokens_no_page_of_another_site_is_served() {
    let stage = Stage::new().await;
    let of = async |headers: &str| {
        // Only programs that speak HTTP/1.0 may leave out the host.
        let version = if headers.is_empty() { "1.0" } else { "1.1" };
        let request =
            format!("DELETE /v1/shop/item/item:a HTTP/{version}\r\nConnection: close\r\n{headers}\r\n");
        let mut stream = soon(TcpStream::connect(stage.process.http)).await.unwrap();
        soon(stream.write_all(request.as_bytes())).await.unwrap();
        let mut said = String::new();
        soon(stream.read_to_string(&mut said)).await.unwrap();
        said
    };
    for headers in [
        "",
        "Host: localhost\r\n",
        "Host: LocalHost:8080\r\n",
        "Host: 192.0.2.7:8080\r\n",
        "Host: [::1]:8080\r\nOrigin: http://[::1]:8080\r\n",
        "Host: localhost\r\nOrigin: http://localhost:3000\r\nSec-Fetch-Site: same-site\r\n",
        "Host: localhost\r\nOrigin: https://127.0.0.2\r\nSec-Fetch-Site: none\r\n",
    ] {
        let said = of(headers).await;
        assert_eq!(said.get(8..12), Some(" 204"), "{headers}: {said}");
    }
    for headers in [
        "Host: rebound.example:8080\r\n",
        "Host: localhost.example\r\n",
        "Host: 127.0.0.1.example\r\n",
        "Host: \r\n",
        "Host: localhost\r\nOrigin: http://other.example\r\n",
        "Host: localhost\r\nOrigin: http://localhost.example\r\n",
        "Host: localhost\r\nOrigin: http://192.0.2.7\r\n",
        "Host: localhost\r\nOrigin: null\r\n",
        "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n",
    ] {
        let said = of(headers).await;
        assert!(said.starts_with("HTTP/1.1 403") && said.contains("\"foreign_host\""), "{headers}: {said}");
    }
    let by_token = self::stage().await;
    let headers = "Authorization: Bearer reader-secret\r\nOrigin: http://other.example\r\n";
    assert_eq!(by_token.ask("GET", "/v1/shop/item/item:a", headers).await.status, 200, "no page knows one");
}

#[tokio::test]
async fn nobody_is_told_of_keys_that_it_may_not_read() {
    let stage = stage().await;
    let mut note = client(&stage, "note").await;
    note.say("HELLO 3").await;
    assert!(note.say("CLIENT TRACKING ON BCAST").await.starts_with("!NOPERM"));
    assert!(note.say("CLIENT TRACKING ON BCAST PREFIX note:").await.starts_with("!NOPERM"));
    let (mut other, mut same) = (client(&stage, "reader").await, client(&stage, "note").await);
    let (other, own) = (other.say("CLIENT ID").await, same.say("CLIENT ID").await);
    let refused = note.say(&format!("CLIENT TRACKING ON REDIRECT {other}")).await;
    assert_eq!(refused, "!ERR The client ID you want redirect to does not exist", "of another token");
    assert_eq!(note.say(&format!("CLIENT TRACKING ON REDIRECT {own}")).await, "OK");
    assert_eq!(note.say("CLIENT TRACKING ON").await, "OK");
    let mut reader = client(&stage, "reader").await;
    reader.say("HELLO 3").await;
    assert_eq!(reader.say("CLIENT TRACKING ON BCAST").await, "OK");
}

/// Who was told instead has become somebody else: nothing more is told to it, and who asked for it hears of that.
#[tokio::test]
async fn who_becomes_somebody_else_is_told_nothing_instead_of_others() {
    let stage = stage().await;
    for leaves in ["AUTH note note-secret", "RESET,AUTH note note-secret"] {
        let (mut reader, mut same) = (client(&stage, "reader").await, client(&stage, "reader").await);
        let mut writer = client(&stage, "writer").await;
        reader.say("HELLO 3").await;
        same.say("HELLO 3").await;
        let id = same.say("CLIENT ID").await;
        assert_eq!(reader.say(&format!("CLIENT TRACKING ON REDIRECT {id}")).await, "OK");
        reader.say("GET item:a").await;
        writer.say("FB.INVALIDATE item:a").await;
        let told = super::soon(same.next()).await.expect("closed");
        assert_eq!(super::shown(&told), ">[invalidate [item:a]]");
        reader.say("GET item:a").await;
        for line in leaves.split(',') {
            same.say(line).await;
        }
        same.say("HELLO 3").await;
        writer.say("FB.INVALIDATE item:a").await;
        assert_eq!(same.say("PING").await, "PONG", "{leaves}");
        let told = super::soon(reader.next()).await.expect("closed");
        assert_eq!(super::shown(&told), format!(">[tracking-redir-broken {id}]"), "{leaves}");
    }
}

#[tokio::test]
async fn verbs_of_http_are_judged_by_what_they_do() {
    let stage = stage().await;
    for (name, path, body, status) in [
        ("reader", "/v1/shop/item:get", "{\"keys\":[\"item:a\"]}", 200),
        ("note", "/v1/shop/note:get", "{\"keys\":[\"note:a\"]}", 200),
        ("note", "/v1/shop/note%3Aget", "{\"keys\":[\"note:a\"]}", 200),
        ("note", "/v1/shop/item:get", "{\"keys\":[\"item:a\"]}", 403),
        ("reader", "/v1/shop/item:invalidate", "{}", 403),
        ("writer", "/v1/shop/item:invalidate", "{}", 204),
        ("note", "/v1/shop:invalidate", "{\"tags\":[\"a\"]}", 403),
        ("writer", "/v1/shop:invalidate", "{\"tags\":[\"a\"]}", 204),
        ("writer", "/v1/shop-preview:invalidate", "{\"tags\":[\"a\"]}", 403),
        ("reader", "/v1/shop:get", "{\"tags\":[\"a\"]}", 404),
    ] {
        let headers = format!("Authorization: Bearer {name}-secret\r\n");
        let answer = super::ask_with(stage.process.http, "POST", path, &headers, body).await;
        assert_eq!(answer.status, status, "{name} {path}: {}", answer.body);
    }
    for (name, path, status) in
        [("note", "/v1/shop/note", 200), ("note", "/v1/shop/item", 403), ("reader", "/v1/shop/item", 200)]
    {
        assert_eq!(get(&stage, name, path).await.status, status, "{name} {path}");
    }
}

#[tokio::test]
async fn pipelines_are_judged_request_by_request() {
    let stage = stage().await;
    let mut client = stage.resp().await;
    let lines = [
        &["AUTH", "note-secret"][..],
        &["GET", "item:a"],
        &["GET", "note:a"],
        &["RESET"],
        &["GET", "note:a"],
    ];
    for line in lines {
        client.send(&request(line)).await;
    }
    let mut replies = Vec::new();
    for _ in lines {
        replies.push(super::shown(&client.next().await.unwrap()));
    }
    let wanted = ["OK", NO_KEY, r#"{"code":"a","price":1}"#, "RESET", "!NOAUTH Authentication required."];
    assert_eq!(replies, wanted);
}

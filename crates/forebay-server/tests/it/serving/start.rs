use std::net::{SocketAddr, TcpListener as Taken};
use std::sync::{Mutex, OnceLock};

use axum::routing::get;
use forebay::{Blob, Value};
use forebay_server::app::{App, AtStop, Running, Setup};
use forebay_server::assembly::AssemblyError;
use forebay_server::process::{Process, StartError};
use forebay_stores::database::Database;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;

use super::{Resp, ask, declaration, deployment, soon, start};

const ANY: &str = "127.0.0.1:0";

/// An address that nobody listens on.
fn free() -> SocketAddr {
    Taken::bind(ANY).unwrap().local_addr().unwrap()
}

async fn refuses(address: SocketAddr) -> bool {
    soon(TcpStream::connect(address)).await.is_err()
}

/// The error of a start that must fail.
async fn failure(http: &str, resp: &str, rest: &str) -> StartError {
    let folder = tempfile::tempdir().unwrap();
    super::database(&folder.path().join("main.db")).await.sqlite().unwrap().close().await;
    let text = declaration(folder.path(), http, resp, rest);
    start(&deployment("forebay.toml", &text), &[]).await.expect_err("it must not start")
}

/// An app called `name` whose `start` is told below.
fn app(name: &'static str, start: fn(Setup) -> forebay_server::app::AppFuture<Running>) -> App {
    App { name, summary: "", declaration: "", migrations: &[], jobs: &[], tries: &[], start }
}

#[tokio::test]
async fn a_busy_port_is_told_and_nothing_is_left_listening() {
    for (busy_protocol, busy_option) in [("HTTP", "http"), ("RESP", "resp")] {
        let taken = Taken::bind(ANY).unwrap();
        let (busy, other) = (taken.local_addr().unwrap(), free());
        let (http, resp) = if busy_option == "http" { (busy, other) } else { (other, busy) };
        let error = failure(&http.to_string(), &resp.to_string(), "").await;
        let message = error.to_string();
        let StartError::Listen { protocol, option, address, source } = error else { panic!("{message}") };
        assert_eq!((protocol, option, address), (busy_protocol, busy_option, busy));
        assert_eq!(source.kind(), std::io::ErrorKind::AddrInUse);
        assert!(message.contains(&format!("cannot listen on {busy} for {protocol}")), "{message}");
        assert!(refuses(other).await, "{other}");
        drop(taken);
        assert!(refuses(busy).await, "{busy}");
    }
}

/// Both take the address without listening on it; the other listens while the process is put together.
#[tokio::test]
async fn a_start_that_cannot_listen_gives_its_folders_free() {
    static OTHER: Mutex<Option<TcpSocket>> = Mutex::new(None);
    static LISTENS: Mutex<Option<TcpListener>> = Mutex::new(None);
    let late = app("late", |_| {
        let other = OTHER.lock().unwrap().take();
        *LISTENS.lock().unwrap() = other.map(|socket| socket.listen(1).unwrap());
        Box::pin(async { Ok(Running::default()) })
    });
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(ANY.parse().unwrap()).unwrap();
    let busy = socket.local_addr().unwrap();
    *OTHER.lock().unwrap() = Some(socket);
    let folder = tempfile::tempdir().unwrap();
    let store = "[namespace.kept]\nkey = 'kept:{id}'\nmode = 'store'\nttl = '1d'\n";
    let at = |resp: &str| deployment("apps/late/forebay.toml", &declaration(folder.path(), ANY, resp, store));
    let apps = [late];
    let error = start(&at(&busy.to_string()), &apps).await.expect_err("its address is listened on");
    assert!(matches!(error, StartError::Listen { protocol: "RESP", .. }), "{error}");
    let process = start(&at(ANY), &apps).await.expect("nobody has the folders any more");
    assert!(soon(process.stop()).await);
}

#[tokio::test]
async fn a_query_that_cannot_work_is_told_before_a_port_opens() {
    let (http, resp) = (free(), free());
    let namespace = "[namespace.item]\nkey = 'item:{code}'\nttl = '1s'\n\
        source.sql = { database = 'main', query = 'select code from nowhere where code in {keys}' }\n";
    let error = failure(&http.to_string(), &resp.to_string(), namespace).await;
    let message = error.to_string();
    let StartError::Assembly(AssemblyError::Unfit(report)) = error else { panic!("{message}") };
    let told = report.errors().first().unwrap();
    assert_eq!(told.message(), "namespace `item` of keyspace `shop`: no such table: nowhere");
    let line = message.lines().find(|line| line.contains("select code")).unwrap();
    let text = line.split_once(" | ").unwrap().1;
    assert_eq!(text.find("nowhere"), Some(told.column() - 1), "{message}");
    assert!(refuses(http).await && refuses(resp).await);
}

#[tokio::test]
async fn columns_that_a_star_does_not_give_are_told_before_a_port_opens() {
    for (option, told) in [
        ("version = 'seq'", "`version` names the column `seq`, which the query does not give"),
        (
            "tags = ['on:{shelf}']",
            "the tag \"on:{shelf}\" names the column `shelf`, which the query does not give",
        ),
    ] {
        let namespace = format!(
            "[namespace.item]\nkey = 'item:{{code}}'\nttl = '1s'\n{option}\n\
             source.sql = {{ database = 'main', query = 'select * from items where code in {{keys}}' }}\n"
        );
        let error = failure(ANY, ANY, &namespace).await;
        let message = error.to_string();
        assert!(matches!(error, StartError::Assembly(AssemblyError::Unfit(_))), "{message}");
        assert!(message.contains(told), "{message}");
    }
}

#[tokio::test]
async fn a_data_folder_that_is_a_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data");
    std::fs::write(&file, "").unwrap();
    let text =
        format!("keyspace = 'shop'\n[server]\nhttp = '{ANY}'\nresp = '{ANY}'\ndata = '{}'\n", file.display());
    let error = start(&deployment("forebay.toml", &text), &[]).await.expect_err("it must not start");
    let StartError::Assembly(AssemblyError::Folder { folder, .. }) = error else { panic!("{error}") };
    assert_eq!(folder, file);
}

#[tokio::test]
async fn what_is_not_served_is_told() {
    let namespace =
        "[namespace.item]\nkey = 'item:{code}'\nttl = '1s'\nmode = 'cache'\nmemory.max_age = '1s'\n";
    let error = failure(ANY, ANY, namespace).await;
    let message = error.to_string();
    assert!(matches!(error, StartError::Assembly(AssemblyError::NotServed(_))), "{message}");
    assert!(message.contains("`memory.max_age` is part of the language but not served"), "{message}");
}

#[tokio::test]
async fn ports_open_when_the_apps_have_started() {
    static ENTERED: Notify = Notify::const_new();
    static GO: Notify = Notify::const_new();
    let slow = app("slow", |_| {
        Box::pin(async {
            ENTERED.notify_one();
            GO.notified().await;
            Ok(Running { routes: None, notes: vec!["awake".into()], ..Running::default() })
        })
    });
    let folder = tempfile::tempdir().unwrap();
    let (http, resp) = (free(), free());
    let text = declaration(folder.path(), &http.to_string(), &resp.to_string(), "");
    let deployment = deployment("apps/slow/forebay.toml", &text);
    let apps = [slow];
    let (started, ()) = tokio::join!(start(&deployment, &apps), async {
        soon(ENTERED.notified()).await;
        assert!(refuses(http).await && refuses(resp).await, "open before the app has started");
        GO.notify_one();
    });
    let process = started.unwrap();
    assert_eq!(process.notes, ["awake"]);
    assert_eq!((process.http, process.resp), (http, resp));
    assert_eq!(ask(http, "GET", "/health", "").await.status, 200);
    assert_eq!(Resp::connect(resp).await.say("PING").await, "PONG");
}

/// Stops `process` while a request is under way, which `let_go` lets finish; whether all were answered.
async fn stopped(process: Process, let_go: impl FnOnce()) -> bool {
    let (http, resp) = (process.http, process.resp);
    let (drained, ()) = tokio::join!(soon(process.stop()), async {
        soon(async { while !(refuses(http).await && refuses(resp).await) {} }).await;
        let_go();
    });
    drained
}

#[tokio::test]
async fn stopping_lets_an_app_write_what_it_has_gathered() {
    static SERVED: OnceLock<forebay_server::app::Served> = OnceLock::new();
    let gathers = app("gathers", |setup| {
        let served = SERVED.get_or_init(|| setup.served.clone());
        let work = async {
            let keyspace = served.now().expect("it is in service still");
            let namespace = keyspace.namespace("kept").unwrap();
            namespace.set_key(b"kept:last", Value::from(Blob::opaque("seen")), None).await.unwrap();
        };
        Box::pin(async move { Ok(Running { at_stop: Some(AtStop::new(work)), ..Running::default() }) })
    });
    let folder = tempfile::tempdir().unwrap();
    let kept = "[namespace.kept]\nkey = 'kept:{name}'\nmode = 'store'\nttl = '1h'\ndurability = 'always'\n";
    let text = declaration(folder.path(), ANY, ANY, kept);
    let deployment = deployment("apps/gathers/forebay.toml", &text);
    let process = start(&deployment, std::slice::from_ref(&gathers)).await.unwrap();
    assert_eq!(Resp::connect(process.resp).await.say("GET kept:last").await, "nil");
    assert!(soon(process.stop()).await);
    let process = start(&deployment, &[]).await.unwrap();
    assert_eq!(Resp::connect(process.resp).await.say("GET kept:last").await, "seen");
}

#[tokio::test]
async fn an_app_that_panics_at_the_stop_takes_nothing_along() {
    let panics = app("panics", |_| {
        let work = async { panic!("of this test") };
        Box::pin(async move { Ok(Running { at_stop: Some(AtStop::new(work)), ..Running::default() }) })
    });
    let folder = tempfile::tempdir().unwrap();
    let kept = "[namespace.kept]\nkey = 'kept:{name}'\nmode = 'store'\nttl = '1h'\n";
    let text = declaration(folder.path(), ANY, ANY, kept);
    let deployment = deployment("apps/panics/forebay.toml", &text);
    let process = start(&deployment, std::slice::from_ref(&panics)).await.unwrap();
    assert_eq!(Resp::connect(process.resp).await.say("SET kept:last seen").await, "OK");
    assert!(soon(process.stop()).await);
    let process = start(&deployment, &[]).await.unwrap();
    assert_eq!(Resp::connect(process.resp).await.say("GET kept:last").await, "seen");
}

#[tokio::test]
async fn stopping_answers_the_http_request_under_way() {
    static ENTERED: Notify = Notify::const_new();
    static GO: Notify = Notify::const_new();
    let slow = app("slow", |_| {
        let route = get(async || {
            ENTERED.notify_one();
            GO.notified().await;
            "answered"
        });
        Box::pin(async {
            Ok(Running {
                routes: Some(axum::Router::new().route("/slow", route)),
                notes: vec![],
                ..Running::default()
            })
        })
    });
    let folder = tempfile::tempdir().unwrap();
    let text = declaration(folder.path(), ANY, ANY, "");
    let process = start(&deployment("apps/slow/forebay.toml", &text), &[slow]).await.unwrap();
    let http = process.http;
    let (answer, drained) = tokio::join!(ask(http, "GET", "/slow", ""), async {
        soon(ENTERED.notified()).await;
        stopped(process, || GO.notify_one()).await
    });
    assert_eq!((answer.status, answer.body.as_str()), (200, "answered"));
    assert!(drained);
}

#[tokio::test]
async fn stopping_answers_the_resp_request_under_way() {
    static DATABASE: OnceLock<Database> = OnceLock::new();
    let slow = app("slow", |setup| {
        DATABASE.set(setup.databases["main"].clone()).unwrap();
        Box::pin(async { Ok(Running::default()) })
    });
    let folder = tempfile::tempdir().unwrap();
    super::database(&folder.path().join("main.db")).await.sqlite().unwrap().close().await;
    let text = declaration(folder.path(), ANY, ANY, super::NAMESPACES)
        .replace("[namespace.item]", "pool = { max = 1, warm = 0 }\n[namespace.item]");
    let process = start(&deployment("apps/slow/forebay.toml", &text), &[slow]).await.unwrap();
    // The source's only connection is in our hands: no load can begin.
    let held = soon(DATABASE.get().unwrap().sqlite().unwrap().acquire()).await.unwrap();
    let (mut client, mut other) = (Resp::connect(process.resp).await, Resp::connect(process.resp).await);
    client.send(b"GET item:a\r\nPING\r\n").await;
    soon(async {
        let mut asked = 1;
        while other.info("total_commands_processed").await == asked {
            asked += 1;
        }
    })
    .await;
    let (first, drained) = tokio::join!(client.next(), stopped(process, || drop(held)));
    assert_eq!(super::shown(&first.unwrap()), r#"{"code":"a","price":1}"#);
    assert_eq!(super::shown(&client.next().await.unwrap()), "PONG", "it had arrived before the stop");
    assert_eq!(client.next().await, None);
    assert_eq!(other.next().await, None, "who asks nothing is let go");
    assert!(drained);
}

#[tokio::test]
async fn a_source_that_is_busy_may_be_asked_again() {
    static DATABASE: OnceLock<Database> = OnceLock::new();
    let slow = app("slow", |setup| {
        DATABASE.set(setup.databases["main"].clone()).unwrap();
        Box::pin(async { Ok(Running::default()) })
    });
    let folder = tempfile::tempdir().unwrap();
    super::database(&folder.path().join("main.db")).await.sqlite().unwrap().close().await;
    let text = declaration(folder.path(), ANY, ANY, super::NAMESPACES).replacen(
        "[namespace.item]",
        "pool = { max = 1, warm = 0, wait = '1s' }\n[namespace.item]",
        1,
    );
    let process = start(&deployment("apps/slow/forebay.toml", &text), &[slow]).await.unwrap();
    let held = soon(DATABASE.get().unwrap().sqlite().unwrap().acquire()).await.unwrap();
    let path = "/v1/shop/item/item:a";
    let busy = ask(process.http, "GET", path, "").await;
    assert_eq!(
        (busy.status, busy.problem().as_str(), busy.header("retry-after")),
        (502, "source_failed", "1")
    );
    drop(held);
    assert_eq!(ask(process.http, "GET", path, "").await.status, 200);
    assert!(soon(process.stop()).await, "nothing is under way");
}

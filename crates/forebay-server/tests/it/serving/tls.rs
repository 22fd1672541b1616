//! TLS of both listeners, with clients that check what they are shown.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::Clock;
use forebay_server::configuration::Tls;
use forebay_server::process::{self, Process, StartError};
use forebay_server::time::WallClock;
use forebay_server::tls::{TlsError, check};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{NAMESPACES, Resp, Unseen, database, declaration, deployment, request, soon};

/// A file beside this one: `certificate.pem` and `renewed.pem` are of `localhost` and 127.0.0.1, signed by `authority.pem`.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/serving/tls").join(name)
}

/// A process that speaks TLS alone, and the folder of its files.
struct Secure {
    process: Process,
    folder: TempDir,
    clock: Clock,
}

impl Secure {
    async fn new() -> Self {
        Self::by(Clock::system()).await
    }

    async fn by(clock: Clock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        drop(database(&folder.path().join("main.db")).await);
        place(folder.path(), "certificate.pem", "key.pem");
        let deployment = deployment("forebay.toml", &text(folder.path(), ""));
        let started =
            process::start_by(&deployment, &[], Arc::new(Unseen), clock.clone(), WallClock::system());
        Self { process: soon(started).await.unwrap(), folder, clock }
    }

    async fn client(&self) -> TlsStream<TcpStream> {
        greeted(self.process.resp).await.unwrap()
    }

    /// What a reload tells; its error where it is refused.
    async fn reload(&mut self, more: &str) -> Result<String, String> {
        let deployment = deployment("forebay.toml", &text(self.folder.path(), more));
        let reloaded = soon(self.process.reload(deployment)).await;
        reloaded.map(|reloaded| reloaded.to_string()).map_err(|error| error.to_string())
    }
}

/// Puts copies of a certificate and a key where the declaration names them.
fn place(folder: &Path, certificate: &str, key: &str) {
    std::fs::copy(file(certificate), folder.join("server.pem")).unwrap();
    std::fs::copy(file(key), folder.join("server-key.pem")).unwrap();
}

fn text(folder: &Path, more: &str) -> String {
    let at = folder.display();
    let tls = format!("[server.tls]\ncertificate = '{at}/server.pem'\nkey = '{at}/server-key.pem'\n");
    declaration(folder, "127.0.0.1:0", "127.0.0.1:0", &format!("{tls}{NAMESPACES}{more}"))
}

/// A connection to who shows a certificate of the authority for 127.0.0.1.
async fn greeted(address: std::net::SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate("authority.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = soon(TcpStream::connect(address)).await.unwrap();
    let name = ServerName::from(address.ip());
    soon(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file(name)).unwrap()
}

fn shown(client: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    client.get_ref().1.peer_certificates().unwrap()[0].clone()
}

/// What is answered to `asked`, in so many bytes.
async fn said(client: &mut TlsStream<TcpStream>, asked: &[&str], bytes: usize) -> String {
    soon(client.write_all(&request(asked))).await.unwrap();
    let mut said = vec![0; bytes];
    soon(client.read_exact(&mut said)).await.unwrap();
    String::from_utf8(said).unwrap()
}

async fn to_the_end(client: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut said = Vec::new();
    // A connection that is cut off ends too.
    let _ = soon(client.read_to_end(&mut said)).await;
    String::from_utf8_lossy(&said).into_owned()
}

const GET: &[u8] = b"GET /v1/shop/item/item:a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn both_listeners_speak_tls() {
    let secure = Secure::new().await;
    assert!(secure.process.is_secure());
    let mut client = secure.client().await;
    assert_eq!(shown(&client), certificate("certificate.pem"));
    let bulk = "$22\r\n{\"code\":\"a\",\"price\":1}\r\n";
    assert_eq!(said(&mut client, &["GET", "item:a"], bulk.len()).await, bulk);
    // More than a record, more than the socket takes at once, and many requests in one piece.
    let long = "x".repeat(3 * 1024 * 1024);
    assert_eq!(said(&mut client, &["SET", "scratch:long", &long], 5).await, "+OK\r\n");
    let many = request(&["GET", "scratch:long"]).repeat(4);
    soon(client.write_all(&many)).await.unwrap();
    let reply = format!("${}\r\n{long}\r\n", long.len()).repeat(4);
    let mut replies = vec![0; reply.len()];
    soon(client.read_exact(&mut replies)).await.unwrap();
    assert!(replies == reply.as_bytes());
    assert_eq!(said(&mut client, &["QUIT"], 5).await, "+OK\r\n");
    assert_eq!(soon(client.read(&mut [0; 1])).await.unwrap(), 0, "it ends in order");

    let mut client = greeted(secure.process.http).await.unwrap();
    soon(client.write_all(GET)).await.unwrap();
    let answer = to_the_end(&mut client).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("{\"code\":\"a\",\"price\":1}"),
        "{answer}"
    );
    let body = "y".repeat(2 * 1024 * 1024);
    let put = format!(
        "PUT /v1/shop/scratch/scratch:web HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut client = greeted(secure.process.http).await.unwrap();
    soon(client.write_all(put.as_bytes())).await.unwrap();
    assert!(to_the_end(&mut client).await.starts_with("HTTP/1.1 204"));
    let mut client = secure.client().await;
    let length = format!("${}\r\n", body.len());
    assert_eq!(said(&mut client, &["GET", "scratch:web"], length.len()).await, length);
    drop(client);
    assert!(soon(secure.process.stop()).await);
}

#[tokio::test]
async fn who_speaks_without_tls_is_told_at_once() {
    let secure = Secure::new().await;
    let mut client = Resp::connect(secure.process.resp).await;
    client.send(&request(&["PING"])).await;
    let told = super::shown(&client.next().await.unwrap());
    assert_eq!(told, "!ERR this port speaks TLS: connect to it as rediss://, or with --tls");
    assert!(client.next().await.is_none());
    let answer = super::ask(secure.process.http, "GET", "/health", "").await;
    assert_eq!((answer.status, answer.problem().as_str()), (400, "no_tls"));
    answer.names_its_request();
    // What begins as TLS and is none.
    let mut client = soon(TcpStream::connect(secure.process.resp)).await.unwrap();
    soon(client.write_all(b"\x16\x03\x01\x00\x05hello")).await.unwrap();
    to_the_end(&mut client).await;
    assert!(greeted(secure.process.resp).await.is_ok());
}

/// Handshakes take time of nobody else, and not for ever.
#[tokio::test]
async fn a_slow_handshake_keeps_nobody_out() {
    let secure = Secure::by(Clock::simulated()).await;
    let mut slow = Vec::new();
    for address in [secure.process.resp, secure.process.http].repeat(20) {
        let mut client = soon(TcpStream::connect(address)).await.unwrap();
        soon(client.write_all(b"\x16\x03")).await.unwrap();
        slow.push(client);
    }
    // One that is greeted, and asks for nothing.
    let mut idle = greeted(secure.process.http).await.unwrap();
    for _ in 0..3 {
        assert_eq!(said(&mut secure.client().await, &["PING"], 7).await, "+PONG\r\n");
    }
    for client in slow.iter_mut().chain([idle.get_mut().0]) {
        let mut ended = std::pin::pin!(to_the_end(client));
        soon(async {
            loop {
                tokio::select! {
                    biased;
                    _ = &mut ended => break,
                    () = tokio::task::yield_now() => secure.clock.advance(Duration::from_millis(100)),
                }
            }
        })
        .await;
    }
}

/// Who has not come in, or asks for nothing more, delays no stop.
#[tokio::test]
async fn a_stop_waits_for_no_handshake() {
    let secure = Secure::new().await;
    let mut late = soon(TcpStream::connect(secure.process.resp)).await.unwrap();
    soon(late.write_all(b"\x16\x03")).await.unwrap();
    let mut idle = greeted(secure.process.http).await.unwrap();
    // Once it has been answered both ends are through with the handshake.
    let mut answered = Vec::new();
    soon(idle.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")).await.unwrap();
    while !answered.ends_with(b"ok\n") {
        assert!(soon(idle.read_buf(&mut answered)).await.unwrap() > 0);
    }
    assert!(soon(secure.process.stop()).await);
    assert_eq!(soon(idle.read(&mut [0])).await.unwrap(), 0, "it ends in order");
    assert_eq!(soon(late.read(&mut [0])).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_reload_shows_another_certificate_to_who_comes_then() {
    let mut secure = Secure::new().await;
    let mut before = secure.client().await;
    assert_eq!(secure.reload("").await.unwrap(), "nothing has changed");
    place(secure.folder.path(), "renewed.pem", "renewed-key.pem");
    assert_eq!(secure.reload("").await.unwrap(), "changed the certificate");
    let after = secure.client().await;
    assert_eq!(shown(&after), certificate("renewed.pem"));
    assert_eq!(shown(&greeted(secure.process.http).await.unwrap()), certificate("renewed.pem"));
    assert_eq!(said(&mut before, &["PING"], 7).await, "+PONG\r\n");

    // A bad one is told, and the one before stays.
    place(secure.folder.path(), "certificate.pem", "renewed-key.pem");
    let more = "[namespace.more]\nkey = 'more:{x}'\nmode = 'cache'\nttl = '1m'\n";
    let refused = secure.reload(more).await.unwrap_err();
    assert!(refused.contains("does not belong to the first certificate"), "{refused}");
    assert_eq!(shown(&secure.client().await), certificate("renewed.pem"));
    assert_eq!(secure.reload("").await.unwrap_err(), refused);
    place(secure.folder.path(), "certificate.pem", "key.pem");
    assert_eq!(secure.reload(more).await.unwrap(), "added shop/more; changed the certificate");
    assert_eq!(shown(&secure.client().await), certificate("certificate.pem"));

    // Whether there is TLS at all is settled at the start.
    let plain = declaration(secure.folder.path(), "127.0.0.1:0", "127.0.0.1:0", NAMESPACES);
    let refused = soon(secure.process.reload(deployment("forebay.toml", &plain))).await.unwrap_err();
    assert!(refused.to_string().contains("[server.tls]"), "{refused}");
    assert_eq!(said(&mut before, &["PING"], 7).await, "+PONG\r\n");
}

#[tokio::test]
async fn files_that_cannot_be_used_are_told_by_their_option() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "nothing\n").unwrap();
    let cut = folder.path().join("cut.pem");
    let text = std::fs::read_to_string(file("certificate.pem")).unwrap();
    std::fs::write(&cut, text.replacen("MII", "AAA", 1)).unwrap();
    let missing = folder.path().join("missing.pem");
    let (good, key) = (file("certificate.pem"), file("key.pem"));
    for (certificate, key, told) in [
        (&missing, &key, "[server.tls] certificate: cannot read"),
        (&good, &missing, "[server.tls] key: cannot read"),
        (&folder.path().to_owned(), &key, "[server.tls] certificate: cannot read"),
        (&empty, &key, "holds no certificate that can be used"),
        (&key, &key, "holds no certificate that can be used"),
        (&cut, &key, "holds no certificate that can be used"),
        (&good, &empty, "holds no private key that can be used"),
        (&good, &good, "holds no private key that can be used"),
        (&good, &file("encrypted-key.pem"), "is encrypted"),
        (&good, &file("renewed-key.pem"), "does not belong to the first certificate"),
    ] {
        let declared = Tls { certificate: certificate.clone(), key: key.clone() };
        let error = soon(check(&declared)).await.unwrap_err();
        let shown = error.to_string();
        assert!(shown.contains(told), "{certificate:?} {key:?}: {shown}");
        assert!(!shown.contains("BEGIN ENCRYPTED") && !format!("{error:?}").contains("MIG"), "{error:?}");
    }
    soon(check(&Tls { certificate: good, key })).await.unwrap();

    // The process does not start, and nothing listens.
    drop(database(&folder.path().join("main.db")).await);
    place(folder.path(), "certificate.pem", "renewed-key.pem");
    let refused = super::start(&deployment("forebay.toml", &self::text(folder.path(), "")), &[]).await;
    assert!(matches!(refused, Err(StartError::Tls(TlsError::Mismatch { .. }))), "{refused:?}");
}

/// The limits before anybody is known: a token is asked for within TLS too, and places are counted from the first byte on.
#[tokio::test]
async fn handshakes_have_places_like_others() {
    let folder = tempfile::tempdir().unwrap();
    drop(database(&folder.path().join("main.db")).await);
    place(folder.path(), "certificate.pem", "key.pem");
    let text = text(folder.path(), "").replacen("[server]\n", "[server]\nconnections = 2\n", 1);
    let process = super::start(&deployment("forebay.toml", &text), &[]).await.unwrap();
    let mut begun = soon(TcpStream::connect(process.resp)).await.unwrap();
    soon(begun.write_all(b"\x16")).await.unwrap();
    for address in [process.resp, process.http] {
        let refused = greeted(address).await.unwrap_err();
        assert!(refused.to_string().contains("InternalError"), "{refused}");
    }
    drop(begun);
    soon(async { while greeted(process.resp).await.is_err() {} }).await;
}

//! A scripted HTTP origin, and sources before it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use forebay::rt::{Clock, Mutex, Tasks};
use forebay::value::Param;
use forebay::{LoadKey, Loaded, Source, SourceError};
use forebay_stores::source::http::address::AddressPolicy;
use forebay_stores::source::http::{HttpError, HttpOptions, HttpSource, Many, UrlTemplate};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/http/tls/authority.pem");

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub target: String,
    /// By their names in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub enum Says {
    /// These bytes; the connection is closed after them if they say so.
    Bytes(Vec<u8>),
    /// Nothing, and the connection stays.
    Nothing,
}

/// An answer with `status` (`200 OK`), header lines and a body.
pub fn says(status: &str, headers: &[&str], body: &str) -> Says {
    let mut text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
    for header in headers {
        text.push_str(&format!("{header}\r\n"));
    }
    Says::Bytes(format!("{text}\r\n{body}").into_bytes())
}

pub fn json(body: &str) -> Says {
    says("200 OK", &["content-type: application/json"], body)
}

type Script = Arc<dyn Fn(usize, &Asked) -> Says + Send + Sync>;

/// An origin that answers by a script, from the number of the request and what it asks.
pub struct Origin {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<AtomicU64>,
    open: Arc<AtomicU64>,
    _tasks: Tasks,
}

impl Origin {
    pub async fn start(script: impl Fn(usize, &Asked) -> Says + Send + Sync + 'static) -> Self {
        Self::with(Arc::new(script), None).await
    }

    /// One that speaks TLS, as `localhost`.
    pub async fn start_tls(script: impl Fn(usize, &Asked) -> Says + Send + Sync + 'static) -> Self {
        static ACCEPTOR: OnceLock<TlsAcceptor> = OnceLock::new();
        let acceptor = ACCEPTOR.get_or_init(|| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/http/tls");
            let chain = CertificateDer::pem_file_iter(format!("{folder}/certificate.pem")).unwrap();
            let chain = chain.map(Result::unwrap).collect();
            let key = PrivateKeyDer::from_pem_file(format!("{folder}/key.pem")).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ServerConfig::builder_with_provider(provider);
            let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
            TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()))
        });
        Self::with(Arc::new(script), Some(acceptor.clone())).await
    }

    async fn with(script: Script, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = Tasks::current().unwrap();
        let own = Tasks::current().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (connections, open) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let origin = Self {
            address,
            asked: Arc::clone(&asked),
            connections: Arc::clone(&connections),
            open: Arc::clone(&open),
            _tasks: tasks.clone(),
        };
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                open.fetch_add(1, Ordering::SeqCst);
                let (script, asked, open, tls) =
                    (Arc::clone(&script), Arc::clone(&asked), Arc::clone(&open), tls.clone());
                own.spawn(async move {
                    match tls {
                        None => serve(stream, &script, &asked).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &script, &asked).await;
                            }
                        }
                    }
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        origin
    }

    /// Everything that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }

    pub fn targets(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.target).collect()
    }

    /// How many connections ever came, and how many are open.
    pub fn connections(&self) -> (u64, u64) {
        (self.connections.load(Ordering::SeqCst), self.open.load(Ordering::SeqCst))
    }

    /// `http://127.0.0.1:PORT` and `path`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits until `is_so` of this origin.
    pub async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        until(|| is_so(self)).await;
    }
}

/// Waits until `is_so`.
pub async fn until(is_so: impl Fn() -> bool) {
    let clock = Clock::default();
    let began = clock.now();
    while !is_so() {
        assert!(clock.now().since(began) < Duration::from_secs(10), "what was waited for did not come");
        clock.sleep(Duration::from_millis(2)).await;
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    script: &Script,
    asked: &Arc<Mutex<Vec<Asked>>>,
) {
    let mut input = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = input.windows(4).position(|part| part == b"\r\n\r\n") {
                break end;
            }
            let mut part = [0; 4096];
            match stream.read(&mut part).await {
                Ok(0) | Err(_) => return,
                Ok(read) => input.extend_from_slice(&part[..read]),
            }
        };
        let head = String::from_utf8(input.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let mut words = lines.next().unwrap().split(' ');
        let method = words.next().unwrap().to_owned();
        let target = words.next().unwrap().to_owned();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        let headers: BTreeMap<String, String> = headers.collect();
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        while input.len() < length {
            let mut part = [0; 4096];
            match stream.read(&mut part).await {
                Ok(0) | Err(_) => return,
                Ok(read) => input.extend_from_slice(&part[..read]),
            }
        }
        let body = String::from_utf8(input.drain(..length).collect()).unwrap();
        let one = Asked { method, target, headers, body };
        let number = {
            let mut asked = asked.lock();
            asked.push(one.clone());
            asked.len() - 1
        };
        match script(number, &one) {
            Says::Nothing => {
                let mut rest = [0; 256];
                while !matches!(stream.read(&mut rest).await, Ok(0) | Err(_)) {}
                return;
            }
            Says::Bytes(bytes) => {
                let closes =
                    String::from_utf8_lossy(&bytes).to_ascii_lowercase().contains("connection: close");
                if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() || closes {
                    let _ = stream.shutdown().await;
                    return;
                }
            }
        }
    }
}

/// Options for `url`, that reach this machine.
pub fn options(url: &str, params: &[&str]) -> HttpOptions {
    let template = UrlTemplate::parse(url, params, Many::Joined).unwrap();
    HttpOptions {
        addresses: AddressPolicy { allow_private: true, allowed: Vec::new() },
        ..HttpOptions::new(template)
    }
}

pub fn open(options: HttpOptions) -> HttpSource {
    HttpSource::open(options, &["code"], Clock::default()).unwrap()
}

pub fn key(text: &str) -> LoadKey {
    LoadKey { params: vec![Param::Text(text.into())] }
}

/// What was loaded for `keys`.
pub async fn load(source: &impl Source, keys: &[&str]) -> Result<Vec<Option<Loaded>>, SourceError> {
    let keys: Vec<LoadKey> = keys.iter().map(|text| key(text)).collect();
    source.load("test", &keys).await
}

/// The texts of what was loaded for `keys`.
pub async fn texts(source: &impl Source, keys: &[&str]) -> Vec<Option<String>> {
    load(source, keys).await.unwrap().into_iter().map(|loaded| loaded.map(|loaded| text(&loaded))).collect()
}

pub fn text(loaded: &Loaded) -> String {
    String::from_utf8(loaded.value.as_blob().unwrap().as_bytes().to_vec()).unwrap()
}

/// How the load of one key failed.
pub async fn failure(source: &impl Source) -> (HttpError, bool) {
    let error = load(source, &["a"]).await.expect_err("it must fail");
    let known = error.cause.downcast_ref::<HttpError>().expect("an error of HTTP").clone();
    (known, error.retry)
}

pub fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

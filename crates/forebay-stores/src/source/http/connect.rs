//! Connections: a name is resolved, its addresses are judged, and the very address that was judged is connected to.
//!
//! So a name server that answers differently the next time (DNS rebinding) gains nothing, and a redirect is judged like the first request.
//! A connection has a time-out for all of it: name, TCP and TLS.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use forebay::rt::{Clock, Tasks};
use hyper::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tower_service::Service;

use super::address::AddressPolicy;
use super::error::ConnectError;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// Something under way.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Turns the name of a host into addresses.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of `host`, with `port`.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a>;
}

/// The system's own resolver. What it is asked cannot be taken back: a question outlives a load that does not wait for its answer, and
/// so at most eight are under way in a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

/// Questions to the system that may be under way.
static QUESTIONS: Semaphore = Semaphore::const_new(8);

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        // An address is its own answer.
        if let Ok(ip) = host.parse() {
            return Box::pin(std::future::ready(Ok(vec![SocketAddr::new(ip, port)])));
        }
        let host = host.to_owned();
        let ask = move || Ok((host.as_str(), port).to_socket_addrs()?.collect());
        Box::pin(bounded(&QUESTIONS, ask))
    }
}

/// Has a thread of its own do `ask`, which holds one of `places` until it has ended, also where nobody waits for it any more.
async fn bounded<T: Send + 'static>(
    places: &'static Semaphore,
    ask: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let place = places.acquire().await.map_err(io::Error::other)?;
    let asked = tokio::task::spawn_blocking(move || {
        let _place = place;
        ask()
    });
    asked.await.map_err(io::Error::other)?
}

/// Why the certificates to trust cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of authorities cannot be read.
    #[error("cannot read the authorities in {}: {problem}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// Connects over TCP to addresses that may be reached.
#[derive(Clone)]
pub(super) struct TcpConnector {
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) policy: Arc<AddressPolicy>,
    pub(super) timeout: Duration,
    pub(super) clock: Clock,
}

type Connecting<T> =
    Pin<Box<dyn Future<Output = Result<T, Box<dyn std::error::Error + Send + Sync>>> + Send>>;

impl TcpConnector {
    async fn connect(self, uri: Uri) -> Result<TokioIo<TcpStream>, ConnectError> {
        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let resolved = self.resolver.resolve(host, port).await.map_err(ConnectError::Name)?;
        let mut failed = ConnectError::NoAddress;
        let mut allowed = Vec::new();
        for address in resolved {
            match self.policy.check(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(refused) => failed = ConnectError::Refused(refused),
            }
        }
        allowed.truncate(ADDRESSES_MAX);
        let each = self.timeout / u32::try_from(allowed.len().max(1)).unwrap_or(1);
        for address in allowed {
            let ip = address.ip();
            match self.clock.timeout(each, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true).map_err(|source| ConnectError::Io { address: ip, source })?;
                    return Ok(TokioIo::new(stream));
                }
                Ok(Err(source)) => failed = ConnectError::Io { address: ip, source },
                Err(_) => failed = ConnectError::Timeout(each),
            }
        }
        Err(failed)
    }
}

impl Service<Uri> for TcpConnector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// Connects over TCP, and TLS where the scheme asks for it, within a time-out for both.
#[derive(Clone)]
pub(super) struct Connector {
    secure: HttpsConnector<TcpConnector>,
    timeout: Duration,
    clock: Clock,
}

impl Connector {
    pub(super) fn new(tcp: TcpConnector, tls: ClientConfig) -> Self {
        let (timeout, clock) = (tcp.timeout, tcp.clock.clone());
        let secure = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Self { secure, timeout, clock }
    }
}

impl Service<Uri> for Connector {
    type Response = <HttpsConnector<TcpConnector> as Service<Uri>>::Response;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.secure.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.secure.call(uri);
        let (timeout, clock) = (self.timeout, self.clock.clone());
        Box::pin(async move {
            match clock.timeout(timeout, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(ConnectError::Timeout(timeout).into()),
            }
        })
    }
}

/// Trusts the authorities that browsers trust, and those in `ca_file` (PEM).
pub(super) fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = ca_file {
        let failed = |problem: String| TlsError::File { path: path.to_owned(), problem };
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?;
        let mut count = 0_usize;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
            count += 1;
        }
        if count == 0 {
            return Err(failed("it holds no certificate in PEM".into()));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Runs what the client does in the background as tasks that end with it.
#[derive(Clone, Debug)]
pub(super) struct Owned(pub(super) Tasks);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Owned {
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use tokio::sync::Semaphore;

    use super::bounded;

    #[tokio::test]
    async fn a_question_that_nobody_waits_for_keeps_its_place_until_it_is_answered() {
        static PLACES: Semaphore = Semaphore::const_new(1);
        let (begun, begins) = sync_channel(1);
        let (go, wait) = sync_channel::<()>(1);
        let slow = bounded(&PLACES, move || {
            begun.send(()).unwrap();
            wait.recv().map_err(std::io::Error::other)
        });
        tokio::select! {
            biased;
            _ = slow => panic!("it is not answered yet"),
            () = std::future::ready(()) => {}
        }
        begins.recv().unwrap();
        let mut next = Box::pin(bounded(&PLACES, || Ok(7)));
        tokio::select! {
            biased;
            _ = &mut next => panic!("two were under way"),
            () = std::future::ready(()) => {}
        }
        go.send(()).unwrap();
        assert_eq!(next.await.unwrap(), 7);
    }
}

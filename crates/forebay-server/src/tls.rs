//! TLS of both listeners: the certificate and its key, read and checked together, and the handshake of a connection.
//!
//! A certificate is put in place of another as a whole (`Tls::replace`): connections that come from then on are shown the new one, those
//! that are open go on as they began. A connection has ten seconds to come in, within its own task and its own place, so that one that
//! is slow keeps nobody else out. Who speaks without TLS is told so in the protocol that the port is for.
//!
//! The key is never shown: errors name files and options. Which address has TLS, and whether it must, is the declaration's to say.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::{Clock, Mutex};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{InconsistentKeys, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::configuration;
use crate::connections::turn_away;
use crate::stop::Stop;

/// The longest from the begin of a connection to the end of its handshake.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);
/// The longest file of a certificate or a key, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The first byte of every connection that begins with a handshake (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 22;
/// What is sent to who finds no place: the alert `internal_error`, since TLS has none that says to come later (RFC 8446 §6.2).
pub(crate) const NO_PLACE: &[u8] = &[21, 3, 3, 0, 2, 2, 80];

/// Why connections cannot be made secure as declared. All are the declaration's faults, or its files'.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("[server.tls] {option}: cannot read {}: {source}; name a PEM file that the server may read", .path.display())]
    File {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's own words.
        source: io::Error,
    },
    /// There is no certificate in the file, or one that cannot be read.
    #[error(
        "[server.tls] certificate: {} holds no certificate that can be used: name a PEM file with the server's own certificate first (`-----BEGIN CERTIFICATE-----`) and those up to its authority behind it",
        .path.display()
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// There is no key in the file, or one that cannot be read or used.
    #[error(
        "[server.tls] key: {} holds no private key that can be used: name a PEM file with an ECDSA, Ed25519 or RSA key (`-----BEGIN PRIVATE KEY-----`)",
        .path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The key is encrypted.
    #[error(
        "[server.tls] key: the key in {} is encrypted, and nobody is there to type its password: write it without one (`openssl pkey -in FILE -out key.pem`), readable by the server alone",
        .path.display()
    )]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// The key is another certificate's.
    #[error(
        "[server.tls] key: the key in {} does not belong to the first certificate in {}: name the two that were made together",
        .key.display(), .certificate.display()
    )]
    Mismatch {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        certificate: PathBuf,
    },
    /// The certificate cannot be used for another reason.
    #[error("[server.tls] certificate: {} cannot be used: {problem}; have a new one made", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the library says of it.
        problem: rustls::Error,
    },
}

/// A certificate and its key, read and checked.
#[derive(Clone)]
pub(crate) struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    http: Arc<ServerConfig>,
    resp: Arc<ServerConfig>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

/// Whether the files that `declared` names can be served with; nothing else is touched.
///
/// # Errors
/// What keeps them from that.
pub async fn check(declared: &configuration::Tls) -> Result<(), TlsError> {
    Certificate::read(declared).await.map(drop)
}

impl Certificate {
    /// What the files hold now.
    ///
    /// # Errors
    /// Whatever keeps a handshake from being made with it.
    pub(crate) async fn read(declared: &configuration::Tls) -> Result<Self, TlsError> {
        let configuration::Tls { certificate, key } = declared;
        let text = file("certificate", certificate).await?;
        let none = || TlsError::NoCertificate { path: certificate.clone() };
        let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(none)?;
        let private = private_key(key).await?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let unusable = |problem| TlsError::Unusable { path: certificate.clone(), problem };
        let no_key = |_| TlsError::NoKey { path: key.clone() };
        // Looked at before the pair is, so that a fault is told of the file that has it.
        provider.key_provider.load_private_key(private.clone_key()).map_err(no_key)?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let resp = builder.with_no_client_auth().with_single_cert(chain.clone(), private);
        let resp = resp.map_err(|problem| match problem {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::Mismatch { key: key.clone(), certificate: certificate.clone() }
            }
            rustls::Error::InvalidCertificate(_) => none(),
            problem => unusable(problem),
        })?;
        let mut http = resp.clone();
        http.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { chain, http: Arc::new(http), resp: Arc::new(resp) })
    }
}

async fn file(option: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::File { option, path: path.to_owned(), source };
    let length = tokio::fs::metadata(path).await.map_err(failed)?.len();
    if length > FILE_BYTES_MAX {
        return Err(failed(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes"))));
    }
    tokio::fs::read(path).await.map_err(failed)
}

async fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = file("key", path).await?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        // Either form says so: the name of a PKCS #8 block, or a header in an older one.
        let is_encrypted = text.windows(b"ENCRYPTED".len()).any(|word| word == b"ENCRYPTED");
        let path = path.to_owned();
        if is_encrypted { TlsError::EncryptedKey { path } } else { TlsError::NoKey { path } }
    })
}

/// What a listener speaks within TLS.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    Http,
    Resp,
}

/// The TLS of a process, which both listeners share.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    present: Arc<Mutex<Certificate>>,
    clock: Clock,
}

impl Tls {
    pub(crate) fn new(certificate: Certificate, clock: Clock) -> Self {
        Self { present: Arc::new(Mutex::new(certificate)), clock }
    }

    /// Shows `certificate` to who comes from now on; whether it is another one.
    pub(crate) fn replace(&self, certificate: Certificate) -> bool {
        let mut present = self.present.lock();
        let is_other = present.chain != certificate.chain;
        *present = certificate;
        is_other
    }

    /// The connection, once its handshake is made; `None` where it is not in time, or not before the process is to end. Who does not
    /// begin one is sent `refusal`.
    pub(crate) async fn greet(
        &self,
        stream: TcpStream,
        protocol: Protocol,
        refusal: impl Fn() -> Vec<u8>,
        stop: &mut Stop,
    ) -> Option<Box<TlsStream<TcpStream>>> {
        let peer = stream.peer_addr().ok()?;
        let greeted = tokio::select! {
            greeted = self.clock.timeout(HANDSHAKE, self.handshake(stream, protocol, refusal)) => greeted,
            () = stop.asked() => return None,
        };
        match greeted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => Some(stream),
            Err(error) => {
                tracing::debug!(%peer, %error, "no TLS handshake");
                None
            }
        }
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        protocol: Protocol,
        refusal: impl Fn() -> Vec<u8>,
    ) -> io::Result<Box<TlsStream<TcpStream>>> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first != [HANDSHAKE_RECORD] {
            turn_away(stream, &refusal());
            return Err(io::Error::other("it does not speak TLS"));
        }
        self.accept(stream, protocol).await.map(Box::new)
    }

    fn accept(
        &self,
        stream: TcpStream,
        protocol: Protocol,
    ) -> impl Future<Output = io::Result<TlsStream<TcpStream>>> + use<> {
        let present = self.present.lock();
        let config = match protocol {
            Protocol::Http => Arc::clone(&present.http),
            Protocol::Resp => Arc::clone(&present.resp),
        };
        TlsAcceptor::from(config).accept(stream)
    }
}

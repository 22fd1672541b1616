//! Where a serving process is, and a connection to it, within TLS where it speaks that.
//!
//! An address says so by its scheme (`rediss://`, `https://`), `--ca` by being there, and ./forebay.toml by its `[server.tls]`. Whom
//! to trust is what `--ca` names, else the certificate that ./forebay.toml declares, where that was what told the address, else the
//! authorities that browsers trust. A certificate named itself is trusted as it is; any other one must be of the address.

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use forebay_server::configuration::Server;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::{Failure, check};

/// An address as an argument says it: `HOST:PORT`, with or without a scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
    is_secure: bool,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "write HOST:PORT, like 127.0.0.1:6380 or [::1]:6380, and rediss:// or https:// before it where the server speaks TLS".to_owned()
        };
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let is_secure = match scheme {
            "" | "redis" | "http" => false,
            "rediss" | "https" => true,
            _ => return Err(wrong()),
        };
        let (host, port) = rest.trim_end_matches('/').rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if host.is_empty() || inner.is_none() && host.contains(':') {
            return Err(wrong());
        }
        Ok(Self { host: inner.unwrap_or(host).to_owned(), port, is_secure })
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port(), is_secure: false }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// How long the other end may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The longest to accept a connection.
    pub(crate) connect: Duration,
    /// The longest without a byte of an answer.
    pub(crate) answer: Duration,
}

/// A process that can be connected to.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) address: Address,
    /// How it is trusted; nothing where it speaks without TLS.
    tls: Option<Arc<ClientConfig>>,
}

/// A connection.
pub(crate) trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// A connection of many that are asked beside one another.
pub(crate) trait AsyncStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> AsyncStream for S {}

impl Place {
    /// At the address that an argument says, with the authorities of `--ca`; where none is said, as ./forebay.toml tells by `of`.
    pub(crate) fn find(
        said: Option<&Address>,
        ca: Option<&Path>,
        of: fn(&Server) -> SocketAddr,
    ) -> Result<Self, Failure> {
        let mut trusted = ca.map(Path::to_owned);
        let mut address = match said {
            Some(address) => address.clone(),
            None => {
                let server = check::declared_here()?.server;
                let address = Address::from(of(&server));
                let is_secure = server.tls.is_some();
                trusted = trusted.or(server.tls.map(|tls| tls.certificate));
                Address { is_secure, ..address }
            }
        };
        address.is_secure |= ca.is_some();
        let tls = if address.is_secure { Some(Arc::new(trusting(trusted.as_deref())?)) } else { None };
        Ok(Self { address, tls })
    }

    /// The first address of its name.
    pub(crate) fn resolved(&self) -> Result<SocketAddr, Failure> {
        let address = &self.address;
        let mut found = (address.host.as_str(), address.port)
            .to_socket_addrs()
            .map_err(|error| Failure(format!("cannot find {address}: {error}")))?;
        found.next().ok_or_else(|| Failure(format!("the name of {address} has no address")))
    }

    /// Whether it is on this machine.
    pub(crate) fn is_here(&self) -> Result<bool, Failure> {
        Ok(self.resolved()?.ip().to_canonical().is_loopback())
    }

    /// Makes the handshake over a connection of many that are asked beside one another; without TLS there is none.
    pub(crate) async fn greeted(
        &self,
        stream: tokio::net::TcpStream,
    ) -> Result<Box<dyn AsyncStream>, Failure> {
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let connected = TlsConnector::from(Arc::clone(tls)).connect(self.name()?, stream).await;
        Ok(Box::new(connected.map_err(|error| self.no_greeting(&error))?))
    }

    /// The name that its certificate must be of.
    fn name(&self) -> Result<ServerName<'static>, Failure> {
        ServerName::try_from(self.address.host.clone()).map_err(|error| self.no_greeting(&error))
    }

    fn no_greeting(&self, why: &dyn fmt::Display) -> Failure {
        let address = &self.address;
        Failure(format!(
            "no secure connection to {address} ({why}): see that TLS is spoken there, and name by --ca the authority of its certificate"
        ))
    }

    /// Connects to it; `option` is what names its address.
    pub(crate) fn connect(&self, limits: Limits, option: &str) -> Result<Box<dyn Stream>, Failure> {
        let Self { address, tls } = self;
        let nobody = |why: String| {
            Failure(format!(
                "nobody serves at {address} ({why}): start the server, or name its address by {option}"
            ))
        };
        let mut failed = nobody("the name has no address".to_owned());
        let found = (address.host.as_str(), address.port).to_socket_addrs();
        for at in found.map_err(|error| nobody(error.to_string()))? {
            let stream = match TcpStream::connect_timeout(&at, limits.connect) {
                Ok(stream) => stream,
                Err(error) => {
                    failed = nobody(error.to_string());
                    continue;
                }
            };
            let limited = stream.set_read_timeout(Some(limits.answer));
            limited.and_then(|()| stream.set_write_timeout(Some(limits.answer))).map_err(|error| {
                Failure(format!("the connection to {address} takes no time-out ({error}): try again"))
            })?;
            return match tls {
                None => Ok(Box::new(stream)),
                Some(tls) => self.greet(stream, Arc::clone(tls)),
            };
        }
        Err(failed)
    }

    /// Makes the handshake, so that what is wrong with it is told as that.
    fn greet(&self, stream: TcpStream, tls: Arc<ClientConfig>) -> Result<Box<dyn Stream>, Failure> {
        let connection = ClientConnection::new(tls, self.name()?);
        let connection = connection.map_err(|error| self.no_greeting(&error))?;
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|error| self.no_greeting(&error))?;
        }
        Ok(Box::new(stream))
    }
}

/// Trusts the certificates in `file` and what they sign; where there is none, what browsers trust.
fn trusting(file: Option<&Path>) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let config = config.with_safe_default_protocol_versions().map_err(|error| Failure::new(&error))?;
    let Some(path) = file else {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        return Ok(config.with_root_certificates(roots).with_no_client_auth());
    };
    let unfit = |why: &dyn fmt::Display| {
        Failure(format!(
            "cannot trust what {} holds ({why}): name a PEM file of certificates",
            path.display()
        ))
    };
    let named = CertificateDer::pem_file_iter(path).map_err(|error| unfit(&error))?;
    let named: Vec<_> = named.collect::<Result<_, _>>().map_err(|error| unfit(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in &named {
        roots.add(certificate.clone()).map_err(|error| unfit(&error))?;
    }
    let signed = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let signed = signed.map_err(|error| unfit(&error))?;
    let trust = Arc::new(Trust { named, signed, provider });
    Ok(config.dangerous().with_custom_certificate_verifier(trust).with_no_client_auth())
}

/// Trusts certificates that were named, and those of the right name that were signed by one of them.
#[derive(Debug)]
struct Trust {
    named: Vec<CertificateDer<'static>>,
    signed: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.named.contains(certificate) {
            // Whoever shows it proves by the handshake's signature that it has the key.
            return Ok(ServerCertVerified::assertion());
        }
        self.signed.verify_server_cert(certificate, others, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The option that says whom to trust.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Ca {
    /// Speak TLS, and trust the authorities in this PEM file, or the certificate itself; where ./forebay.toml tells the address, its certificate is trusted
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_how_it_is_spoken_to() {
        let of = |text: &str| {
            text.parse::<Address>()
                .map(|address| format!("{address} {}", address.is_secure))
                .unwrap_or_default()
        };
        assert_eq!(of("127.0.0.1:6380"), "127.0.0.1:6380 false");
        assert_eq!(of("redis://localhost:1"), "localhost:1 false");
        assert_eq!(of("rediss://cache.example:6380"), "cache.example:6380 true");
        assert_eq!(of("https://[::1]:8443/"), "[::1]:8443 true");
        for wrong in ["", "localhost", "::1:80", "ftp://a:1", ":80", "a:b", "a:99999"] {
            assert_eq!(of(wrong), "", "{wrong}");
        }
    }
}

//! Why a request gave no value: whose fault it is, and whether the same request can succeed later.
//!
//! An origin is named by its scheme, host and port. No header, path or query is shown: they may hold secrets.

use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use forebay::SourceError;
use hyper::StatusCode;
use rustls::CertificateError;

use super::address::AddressError;
use super::template::Origin;

/// Why a request gave no value.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection came about.
    #[error("{origin} cannot be reached: {problem}")]
    Unreachable {
        /// The origin.
        origin: Arc<str>,
        /// The system's own words.
        problem: String,
    },
    /// It lies where nothing is to be reached.
    #[error("{origin} is not asked: its address {refused}")]
    Refused {
        /// The origin.
        origin: Arc<str>,
        /// Its address.
        refused: AddressError,
    },
    /// It did not prove who it is.
    #[error(
        "{origin} showed no certificate to trust: {problem}; if it is signed by an authority of your own, name that in `ca_file`"
    )]
    Certificate {
        /// The origin.
        origin: Arc<str>,
        /// What is wrong with it.
        problem: String,
    },
    /// It did not answer in time.
    #[error("{origin} did not answer within {after:?}")]
    Timeout {
        /// The origin.
        origin: Arc<str>,
        /// The time it had.
        after: Duration,
    },
    /// No connection was free in time.
    #[error("no connection was free for {after:?}: raise `connections`, or ask for less at once")]
    Busy {
        /// How long one was waited for.
        after: Duration,
    },
    /// The connection broke before the whole answer was there.
    #[error("{origin} broke off: {problem}")]
    Lost {
        /// The origin.
        origin: Arc<str>,
        /// What happened.
        problem: String,
    },
    /// A status that is no value and no absence.
    #[error("{origin} answered {status}{}", mend_of(*.status))]
    Status {
        /// The origin.
        origin: Arc<str>,
        /// The status.
        status: StatusCode,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// A chain of redirects too long.
    #[error("{origin} redirects more than {most} times: name the url where it ends")]
    Redirects {
        /// The origin.
        origin: Arc<str>,
        /// How many are followed.
        most: u8,
    },
    /// A redirect that is not followed.
    #[error("{origin} redirects to {to}, {}", .why.mend())]
    Redirect {
        /// The origin.
        origin: Arc<str>,
        /// The other origin; empty where none can be read.
        to: String,
        /// Why it is not followed.
        why: RedirectFault,
    },
    /// An answer larger than declared.
    #[error("{origin} answered with more than {limit_bytes} bytes: raise `size_max`, or ask for less")]
    TooLarge {
        /// The origin.
        origin: Arc<str>,
        /// The declared limit.
        limit_bytes: u64,
    },
    /// An answer in a form that was not asked for.
    #[error("{origin} answered in the coding `{coding}`, though `identity` was asked for")]
    Coding {
        /// The origin.
        origin: Arc<str>,
        /// The coding.
        coding: String,
    },
    /// An answer that is no JSON, where JSON is needed or claimed.
    #[error("{origin} answered with what is no JSON: {problem}")]
    NotJson {
        /// The origin.
        origin: Arc<str>,
        /// What is wrong, and where.
        problem: String,
        /// Nothing said where the answer ends: it may have been cut.
        maybe_cut: bool,
    },
    /// An answer that ends where its connection does, in a form that does not tell whether it is whole.
    #[error(
        "{origin} does not say where its answer ends, so that one that was cut would pass for the whole: have it send `Content-Length`, or chunks, or JSON objects"
    )]
    NoEnd {
        /// The origin.
        origin: Arc<str>,
    },
    /// For many keys neither an array nor an object.
    #[error("{origin} answered many keys with neither an array nor an object: lead there with `pointer`")]
    NotMany {
        /// The origin.
        origin: Arc<str>,
    },
    /// Two elements for one key.
    #[error("{origin} gives more than one element for one key: add what tells them apart to the key")]
    Doubled {
        /// The origin.
        origin: Arc<str>,
    },
    /// The member that orders values is no integer.
    #[error("{origin} gives no integer for the version `{member}`: order versions by an integer")]
    Version {
        /// The origin.
        origin: Arc<str>,
        /// The member.
        member: String,
    },
}

/// Why a redirect is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectFault {
    /// It says not where to.
    NoPlace,
    /// It leads to another origin.
    Elsewhere,
    /// From `https` to `http`.
    Downgrade,
}

impl RedirectFault {
    fn mend(self) -> &'static str {
        match self {
            Self::NoPlace => "which is no url",
            Self::Elsewhere => "which is another origin: name that in `url`",
            Self::Downgrade => "which is not encrypted: `https` is never left for `http`",
        }
    }
}

fn mend_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ": check the credentials in `headers`",
        StatusCode::NO_CONTENT | StatusCode::GONE => {
            ": name the status in `absent` if it means that there is no value"
        }
        _ => "",
    }
}

/// What came of a connection that was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The name leads to no address.
    #[error("its name leads to no address")]
    NoAddress,
    #[error(transparent)]
    Refused(AddressError),
    #[error("{address}: {source}")]
    Io { address: IpAddr, source: io::Error },
    #[error("its name cannot be resolved: {0}")]
    Name(io::Error),
    #[error("no connection within {0:?}")]
    Timeout(Duration),
}

impl HttpError {
    /// Why a client of `place` gave no answer.
    pub(super) fn of_client(place: &Origin, error: &hyper_util::client::legacy::Error) -> Self {
        let origin = Arc::clone(&place.shown);
        if let Some(ConnectError::Refused(refused)) = find::<ConnectError>(error) {
            return Self::Refused { origin, refused: *refused };
        }
        if let Some(rustls::Error::InvalidCertificate(problem)) = find::<rustls::Error>(error) {
            let problem = match problem {
                // In full it tells the host, and those that the certificate is for.
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
                    if place.is_concealed =>
                {
                    "it is not for the host of the url".into()
                }
                problem => problem.to_string(),
            };
            return Self::Certificate { origin, problem };
        }
        let problem = innermost(error);
        if error.is_connect() {
            return Self::Unreachable { origin, problem };
        }
        Self::Lost { origin, problem }
    }

    /// Whether the origin answered with this status.
    pub(crate) fn has_status(&self, asked: StatusCode) -> bool {
        matches!(self, Self::Status { status, .. } if *status == asked)
    }

    /// Whether the same request can succeed later without anybody's doing.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Busy { .. } | Self::Lost { .. } => true,
            Self::Status { status, .. } => passes(*status),
            Self::NotJson { maybe_cut, .. } => *maybe_cut,
            _ => false,
        }
    }

    /// Whether it is the origin that does not work, rather than what was asked of it.
    pub(super) fn is_of_origin(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Lost { .. } => true,
            Self::Refused { .. } | Self::Certificate { .. } => true,
            Self::Status { status, .. } => status.is_server_error() && passes(*status),
            _ => false,
        }
    }

    /// Whether the origin may work, but for what was asked of it.
    pub(super) fn may_be_of_url(&self) -> bool {
        let of_origin =
            [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
        matches!(self, Self::Status { status, .. } if !of_origin.contains(status))
    }

    /// Whether the request is made again at once, after a wait, if the budget allows it.
    pub(super) fn is_tried_again(&self) -> bool {
        match self {
            // Who asks too often is not asked again unless it says when.
            Self::Status { status, retry_after, .. } if *status == StatusCode::TOO_MANY_REQUESTS => {
                retry_after.is_some()
            }
            Self::Busy { .. } => false,
            _ => self.may_pass(),
        }
    }

    /// When the origin wants to be asked again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Whether what a status tells may pass by itself.
fn passes(status: StatusCode) -> bool {
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED => false,
        status => status.is_server_error(),
    }
}

impl From<HttpError> for SourceError {
    fn from(error: HttpError) -> Self {
        if error.may_pass() { Self::passing(error) } else { Self::lasting(error) }
    }
}

/// The first error of type `E` among the causes of `error`; an I/O error's inner one is a cause too.
fn find<'e, E: StdError + 'static>(error: &'e (dyn StdError + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| find::<E>(inner)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The words of the last cause of `error`.
pub(super) fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

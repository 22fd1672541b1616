//! Whose doing something is: the HTTP request or the RESP connection that is being served.
//!
//! It is known throughout the task that serves it, without being handed on, so that every line of the log that is written meanwhile can
//! name it, and so can an error's answer. What the engine does in tasks of its own, such as a load that several wait for, is nobody's.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use axum::http::HeaderValue;

/// The longest id of a request that is taken over from its client, in bytes.
const ID_BYTES_MAX: usize = 128;

tokio::task_local! {
    static ORIGIN: Origin;
}

/// Whose doing it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An HTTP request's, by its id.
    Request(Arc<str>),
    /// A RESP connection's, by the number that `CLIENT ID` tells.
    Connection(i64),
}

impl Origin {
    /// Whose doing it is what the current task does, where it serves anybody.
    #[must_use]
    pub fn current() -> Option<Self> {
        ORIGIN.try_with(Clone::clone).ok()
    }

    /// What kind it is of, as a word.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Request(_) => "request",
            Self::Connection(_) => "connection",
        }
    }

    /// Does `work` for it.
    pub(crate) fn serve<W: Future>(self, work: W) -> impl Future<Output = W::Output> {
        ORIGIN.scope(self, work)
    }

    /// Does for it what waits for nothing.
    pub(crate) fn serve_now<T>(self, work: impl FnOnce() -> T) -> T {
        ORIGIN.sync_scope(self, work)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(id) => f.write_str(id),
            Self::Connection(number) => number.fmt(f),
        }
    }
}

/// The id of a request: what its client said in `X-Request-Id`, if it is a word that can stand in a log, else one made of chance.
pub(crate) fn request_id(said: Option<&HeaderValue>) -> Arc<str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
    let said = said.and_then(|said| said.to_str().ok());
    let said = said.filter(|said| (1..=ID_BYTES_MAX).contains(&said.len()) && said.bytes().all(is_plain));
    said.map_or_else(|| format!("{:016x}", fastrand::u64(..)).into(), Arc::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_over_if_it_can_stand_in_a_log() {
        let of = |said: &str| request_id(Some(&HeaderValue::from_str(said).unwrap()));
        for said in ["a", "0af7651916cd43dd-8448eb211c80319c.1", &"x".repeat(128)] {
            assert_eq!(&*of(said), said);
        }
        for said in ["", "two words", "a\tb", "a\"b", "a=1\\n", &"x".repeat(129)] {
            let made = of(said);
            assert!(
                made.len() == 16 && made.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{said:?}: {made}"
            );
        }
        assert_ne!(request_id(None), request_id(None));
    }
}

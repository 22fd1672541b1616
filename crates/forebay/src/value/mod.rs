//! What is cached, and how much it weighs.
//!
//! A value is a blob of bytes with a content type, or any Rust value held as it is. Values are immutable behind an `Arc`:
//! a hit hands out another reference and copies nothing.

mod key;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

pub use key::{FromParam, FromParams, Key, KeyBuf, KeyPart, KeyParts, Param};

/// A cached value.
#[derive(Clone)]
pub enum Value {
    /// Bytes with a content type: what every front end can serve.
    Blob(Arc<Blob>),
    /// A Rust value, for readers in this process.
    Native(Native),
}

/// Bytes with a content type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The bytes.
    pub bytes: Bytes,
    /// Their media type, such as `application/json`.
    pub content_type: &'static str,
}

impl Blob {
    /// Compact JSON text.
    #[must_use]
    pub fn json(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), content_type: "application/json" }
    }

    /// Bytes of which nothing is known.
    #[must_use]
    pub fn opaque(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), content_type: "application/octet-stream" }
    }
}

/// A Rust value and what it weighs.
#[derive(Clone)]
pub struct Native {
    value: Arc<dyn Any + Send + Sync>,
    weight_bytes: u64,
}

impl Value {
    /// A Rust value that weighs `weight_bytes`, its heap included; a [`Blob`] stays one, and weighs what it weighs.
    pub fn native<V: Any + Send + Sync>(value: V, weight_bytes: u64) -> Self {
        if let Some(blob) = (&value as &dyn Any).downcast_ref::<Blob>() {
            return Self::from(blob.clone());
        }
        Self::Native(Native { value: Arc::new(value), weight_bytes })
    }

    /// The value as a `V`; `None` where it is something else.
    #[must_use]
    pub fn typed<V: Any + Send + Sync>(self) -> Option<Arc<V>> {
        let any: Arc<dyn Any + Send + Sync> = match self {
            Self::Blob(blob) => blob,
            Self::Native(native) => native.value,
        };
        any.downcast().ok()
    }

    /// The bytes, where it is a blob.
    #[must_use]
    pub fn as_blob(&self) -> Option<&Arc<Blob>> {
        match self {
            Self::Blob(blob) => Some(blob),
            Self::Native(_) => None,
        }
    }

    /// What it weighs, in bytes, without its key and the cache's bookkeeping.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        match self {
            Self::Blob(blob) => length(blob.bytes.len()).saturating_add(length(size_of::<Blob>())),
            Self::Native(native) => native.weight_bytes,
        }
    }
}

impl From<Blob> for Value {
    fn from(blob: Blob) -> Self {
        Self::Blob(Arc::new(blob))
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob(blob) => blob.fmt(f),
            Self::Native(native) => write!(f, "Native({} bytes)", native.weight_bytes),
        }
    }
}

/// A length in memory as the 64-bit number that weights are counted in.
pub(crate) fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

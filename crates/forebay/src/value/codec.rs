//! How Rust values are written for a tier outside this process, and read again.
//!
//! Bytes need no codec. A namespace of other values that has a shared tier must be given one; in process alone nothing is
//! ever encoded.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;

use super::Value;

/// How values of type `V` are written and read.
pub trait Codec<V>: Send + Sync + 'static {
    /// The value as bytes; `None` where it cannot be written, and is not stored outside.
    fn encode(&self, value: &V) -> Option<Bytes>;

    /// The value of bytes that [`encode`](Self::encode) gave, and its weight in bytes, heap included; `None` where they are not
    /// readable, and the value is loaded anew.
    fn decode(&self, bytes: &[u8]) -> Option<(V, u64)>;
}

/// A codec with the type of its values forgotten.
#[derive(Clone)]
pub(crate) struct AnyCodec {
    encode: Arc<Encode>,
    decode: Arc<Decode>,
}

type Encode = dyn Fn(&Value) -> Option<Bytes> + Send + Sync;
type Decode = dyn Fn(&Bytes) -> Option<Value> + Send + Sync;

impl AnyCodec {
    /// `codec` without its type.
    pub(crate) fn new<V: Any + Send + Sync>(codec: impl Codec<V>) -> Self {
        let codec = Arc::new(codec);
        let decoding = Arc::clone(&codec);
        Self {
            encode: Arc::new(move |value| codec.encode(&*value.clone().typed::<V>()?)),
            decode: Arc::new(move |bytes| {
                let (value, weight_bytes) = decoding.decode(bytes)?;
                Some(Value::native(value, weight_bytes))
            }),
        }
    }

    /// The value as bytes.
    pub(crate) fn encode(&self, value: &Value) -> Option<Bytes> {
        (self.encode)(value)
    }

    /// The value of such bytes.
    pub(crate) fn decode(&self, bytes: &Bytes) -> Option<Value> {
        (self.decode)(bytes)
    }
}

impl std::fmt::Debug for AnyCodec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnyCodec")
    }
}

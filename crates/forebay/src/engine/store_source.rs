//! A store in the place of a source: how reads of a store namespace load.

use std::sync::Arc;

use crate::namespace::pattern::Pattern;
use crate::source::{LoadKey, Loaded, Loading, Source, SourceError};
use crate::tier::shared::Owner;
use crate::tier::store::{Store, StoreError, Stored, StoredValue};
use crate::value::{AnyCodec, KeyBuf, Param, Value};

/// The source of one store namespace.
pub(super) struct StoreSource {
    pub(super) store: Arc<dyn Store>,
    pub(super) owner: Owner,
    pub(super) pattern: Pattern,
    pub(super) codec: Option<AnyCodec>,
    pub(super) shape: u32,
}

/// A Rust value is stored that cannot be read here.
#[derive(Debug, thiserror::Error)]
#[error(
    "a stored value of shape {shape} cannot be read by a namespace of shape {wanted}: give the codec that reads it, or \
     delete the key"
)]
pub(super) struct Unreadable {
    shape: u32,
    wanted: u32,
}

impl Source for StoreSource {
    fn load<'a>(&'a self, _namespace: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        Box::pin(async move {
            let texts: Vec<Vec<u8>> = keys.iter().map(|key| self.text(key)).collect();
            let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
            let mut all = Vec::with_capacity(keys.len());
            for call in texts.chunks(self.store.limits().batch_max.max(1)) {
                for stored in self.store.load(&self.owner, call).await.map_err(failed)? {
                    all.push(stored.map(|stored| self.loaded(stored)).transpose()?);
                }
            }
            Ok(all)
        })
    }

    fn gives_tags(&self) -> bool {
        false
    }
}

impl StoreSource {
    fn loaded(&self, Stored { value, ends_in }: Stored) -> Result<Loaded, SourceError> {
        let value = read(value, self.codec.as_ref(), self.shape).map_err(SourceError::lasting)?;
        Ok(Loaded { ttl: ends_in, ..Loaded::new(value) })
    }

    /// The whole text of a key; one that cannot be written is nobody's, and nothing is stored for it.
    fn text(&self, key: &LoadKey) -> Vec<u8> {
        if let (true, [Param::Text(text)]) = (self.pattern.is_any(), key.params.as_slice()) {
            return text.chars().filter_map(|char| u8::try_from(u32::from(char)).ok()).collect();
        }
        let mut tail = KeyBuf::new();
        let rendered = self.pattern.render_tail(key.params.as_slice(), &mut tail);
        rendered.map(|()| self.pattern.whole(&tail)).unwrap_or_default()
    }
}

/// A key of whatever bytes as the parameter that [`StoreSource`] reads it from: each byte is the character of its number. No other
/// source meets such keys.
pub(super) fn any_key(key: &[u8]) -> Param {
    Param::Text(key.iter().map(|byte| char::from(*byte)).collect())
}

/// A stored value as it is held.
pub(super) fn read(stored: StoredValue, codec: Option<&AnyCodec>, wanted: u32) -> Result<Value, Unreadable> {
    Ok(match stored {
        StoredValue::Blob(blob) => Value::Blob(blob),
        StoredValue::Hash(hash) => Value::Hash(hash),
        StoredValue::SortedSet(set) => Value::SortedSet(set),
        StoredValue::Counter(number) => Value::Counter(number),
        StoredValue::Encoded { shape, bytes } => {
            let decoded = codec.filter(|_| shape == wanted).and_then(|codec| codec.decode(&bytes));
            decoded.ok_or(Unreadable { shape, wanted })?
        }
    })
}

fn failed(error: StoreError) -> SourceError {
    if error.may_retry() { SourceError::passing(error) } else { SourceError::lasting(error) }
}

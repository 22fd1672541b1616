//! What the log is made of: records that say what is no longer valid, and how much.

use std::sync::Arc;

use bytes::Bytes;

use crate::value::Tag;

/// What a record takes in, within its keyspace. Everything but a single key or field is a *group*.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// One key.
    Key {
        /// The name of its namespace.
        namespace: Arc<str>,
        /// Its whole text.
        key: Box<[u8]>,
    },
    /// One field of a hash.
    Field {
        /// The name of its namespace.
        namespace: Arc<str>,
        /// The whole text of its key.
        key: Box<[u8]>,
        /// Its name.
        field: Bytes,
    },
    /// Every entry that carries the tag, in whatever namespace.
    Tag(Tag),
    /// Every key of a namespace that begins so.
    Prefix {
        /// The name of the namespace.
        namespace: Arc<str>,
        /// The beginning of the keys' whole texts.
        prefix: Box<[u8]>,
    },
    /// Every key of the namespace of this name.
    Namespace(Arc<str>),
    /// Every key of the keyspace.
    All,
}

/// What a record does to what it takes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// It is gone: neither served nor stored again, also not in place of a source that fails.
    Invalidate,
    /// It is stale: the next read loads, and only if the source fails may the old value be served, as its policy allows.
    Expire,
}

/// One invalidation, as the log keeps and tells it. To apply it twice is to apply it once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// The name of the keyspace.
    pub keyspace: Arc<str>,
    /// What it takes in.
    pub reach: Reach,
    /// What it does to it.
    pub verb: Verb,
}

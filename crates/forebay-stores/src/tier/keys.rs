//! How an owner is written in the keys of every tier.
//!
//! ```text
//! owner     length of the keyspace's name: 4, big endian; the name; the same of the namespace
//! ```
//!
//! So no owner's keys begin like those of another, and what belongs to one lies side by side.

use bytes::{BufMut, BytesMut};
use forebay::tier::shared::Owner;

pub(super) fn put_owner(at: &mut BytesMut, owner: &Owner) {
    put_name(at, &owner.keyspace);
    put_name(at, &owner.namespace);
}

pub(super) fn put_name(at: &mut BytesMut, name: &str) {
    at.put_u32(u32::try_from(name.len()).unwrap_or(u32::MAX));
    at.put_slice(name.as_bytes());
}

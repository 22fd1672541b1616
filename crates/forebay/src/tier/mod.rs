//! Where copies are held between a reader and the source. Memory comes first; it answers without waiting. A shared tier,
//! which instances have in common, comes second. A store is in the place of a source, for namespaces that are the truth themselves.

pub mod memory;
pub mod shared;
pub mod store;

//! Where copies are held between a reader and the source. Memory comes first; it answers without waiting. A shared tier,
//! which instances have in common, comes second.

pub mod memory;
pub mod shared;

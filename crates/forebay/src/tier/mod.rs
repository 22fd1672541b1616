//! Where copies are held between a reader and the source. Memory comes first; it answers without waiting.

pub mod memory;

//! The door through which the parsers of this crate are attacked one by one (`fuzz/` in the repository): a cargo feature, off by
//! default, and no part of what this crate promises.
//!
//! Each function reads bytes as the shipped code does and, where they can be read, writes what was read again: what was read must be
//! all that was written. Nothing behind the door is different with the feature on.

/// Records of a disk.
pub mod disk {
    pub use crate::disk::fuzzing::{open, seal};
}

/// Segments of a journal and what their commits hold.
pub mod journal {
    pub use crate::journal::fuzzing::{Commits, Refused, Written, is_payload, payload, segment, written};
}

/// Rows of the embedded tier.
pub mod tier {
    pub use crate::tier::embedded::fuzzing::{entry, marks};
}

/// Rows of stores.
pub mod store {
    pub use crate::tier::store::fuzzing::{head, number, score};
}

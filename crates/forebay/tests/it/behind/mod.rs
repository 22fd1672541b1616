//! Writes that go behind: journaled, acknowledged, seen by readers, applied in order, whatever fails meanwhile.

mod bank;
mod disk;
mod scripted;
mod trouble;
pub mod world;

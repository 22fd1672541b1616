//! The journal on the disk, and on disks that fail.

mod disk;
mod faults;
mod files;
mod model;
mod random;
mod world;

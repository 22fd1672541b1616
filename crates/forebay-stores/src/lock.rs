//! The lock of a folder: one opening has it at a time, and whoever comes second is told who that is.
//!
//! The lock is the system's: it ends with the process, however that ends. What the file says is for people only.
//!
//! A process that this one starts has the lock too, from when it is made until it has become another program: a folder that was
//! given free seems taken for that moment. So a lock that is taken is tried for again before it is believed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use forebay::rt::Clock;

/// How long a lock that another has is tried for.
const TRIED_FOR: Duration = Duration::from_millis(200);
/// How long it rests before it is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(2);
/// The most that is read of who has it.
const WHO_BYTES_MAX: u64 = 256;

/// Why a lock was not taken.
#[derive(Debug)]
pub enum Locked {
    /// Another has it.
    Taken {
        /// What that one left in it.
        by: String,
    },
    /// It could not be tried.
    Failed(io::Error),
}

/// Takes the lock at `path` until the file is dropped, and leaves `who` in it. It may block its thread for a moment.
pub(crate) fn take(path: &Path, who: &str) -> Result<File, Locked> {
    take_with(path, who, &Clock::system(), &mut || std::thread::park_timeout(TRY_AGAIN))
}

fn take_with(path: &Path, who: &str, clock: &Clock, rest: &mut dyn FnMut()) -> Result<File, Locked> {
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let mut file = open.map_err(Locked::Failed)?;
    let until = clock.now().after(TRIED_FOR);
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return Err(Locked::Failed(error)),
            Err(TryLockError::WouldBlock) if clock.now() >= until => {
                return Err(Locked::Taken { by: told(&mut file) });
            }
            Err(TryLockError::WouldBlock) => rest(),
        }
    }
    let tell = |file: &mut File| {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(who.as_bytes())
    };
    tell(&mut file).map_err(Locked::Failed)?;
    Ok(file)
}

/// What the one who has it says of itself; it may be about to.
fn told(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let read = file.take(WHO_BYTES_MAX).read_to_end(&mut bytes);
    match String::from_utf8_lossy(&bytes).trim() {
        who if read.is_ok() && !who.is_empty() => who.to_owned(),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use forebay::rt::Clock;

    use super::{Locked, take, take_with};

    #[test]
    fn a_lock_that_a_child_seems_to_have_is_tried_for_and_one_that_is_held_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let clock = Clock::simulated();
        let mut held = Some(take(&path, "process 7\n").unwrap());
        let mut rests = 0;
        let mut rest = || {
            rests += 1;
            clock.advance(Duration::from_millis(50));
        };
        let taken = take_with(&path, "process 8", &clock, &mut rest);
        assert!(matches!(&taken, Err(Locked::Taken { by }) if by == "process 7"), "{taken:?}");
        assert_eq!(rests, 4, "it is tried for 200 ms");

        // The child becomes another program.
        let mut rest = || held = None;
        let taken = take_with(&path, "process 8", &clock, &mut rest).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "process 8");
        drop(taken);
    }
}

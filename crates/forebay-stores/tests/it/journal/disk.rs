//! A disk in memory: what programs see, what is durable, and any call that fails.

use std::collections::BTreeMap;
use std::io::{self, Error, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use forebay::rt::{Mutex, MutexGuard};
use forebay_stores::journal::io::{Io, IoFile, Locked};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done.
    Eio,
    /// Nothing is done, for want of room; of a write half is done first.
    Enospc,
    /// A write writes a part and says so; every other call works.
    Short,
    /// A write writes all that it is given and says that it failed; every other call works.
    WrittenAndFailed,
}

/// Which calls fail.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The number of the first call that fails.
    pub at: usize,
    pub fault: Fault,
    /// Whether all after it fail too.
    pub lasts: bool,
}

/// A disk; clones are the same.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: BTreeMap<usize, Inode>,
    /// Names as programs see them.
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    name_changes: Vec<NameChange>,
    made: usize,
    calls: usize,
    plan: Option<Plan>,
    /// Failing calls that were met.
    met: usize,
    /// The most bytes that all files may take.
    room: Option<usize>,
    now_ms: u64,
    is_locked: bool,
    /// The next sync waits for it.
    gate: Option<Receiver<()>>,
}

#[derive(Clone, Default)]
struct Inode {
    live: Vec<u8>,
    durable: Vec<u8>,
    changes: Vec<Change>,
    /// A sync of it failed: no later one says anything about the disk.
    is_doomed: bool,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

#[derive(Clone)]
enum NameChange {
    Add(String, usize),
    Rename(String, String),
    Remove(String),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Add(name, file) => drop(names.insert(name.clone(), *file)),
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove(name) => drop(names.remove(name)),
        }
    }
}

fn write_at(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    let end = offset + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(written);
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, written) => write_at(bytes, *offset, written),
            Self::Truncate(length) => bytes.truncate(*length),
        }
    }

    /// What may be left of it when the power goes: of a write some sectors, and those before them as zeros.
    fn apply_some(&self, bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
        let Self::Write(offset, written) = self else {
            return if random.bool() {
                self.apply(bytes)
            };
        };
        match random.u8(..4) {
            0 => {}
            1 => self.apply(bytes),
            2 => write_at(bytes, *offset, &written[..random.usize(..=written.len())]),
            _ => {
                let mut at = 0;
                while at < written.len() {
                    let sector = SECTOR - (offset + at) % SECTOR;
                    let end = (at + sector).min(written.len());
                    if random.bool() {
                        write_at(bytes, offset + at, &written[at..end]);
                    }
                    at = end;
                }
                if random.bool() && bytes.len() < offset + written.len() {
                    bytes.resize(offset + written.len(), 0);
                }
            }
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

impl State {
    /// Counts a call; how it is to fail.
    fn call(&mut self) -> Option<Fault> {
        self.calls += 1;
        let Plan { at, fault, lasts } = self.plan?;
        let fails = self.calls == at || (lasts && self.calls > at);
        self.met += usize::from(fails);
        fails.then_some(fault)
    }

    /// Counts a call that writes nothing.
    fn plain(&mut self) -> io::Result<()> {
        match self.call() {
            Some(Fault::Eio) => Err(Error::from_raw_os_error(5)),
            Some(Fault::Enospc) => Err(ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn taken(&self) -> usize {
        self.names.values().map(|file| self.files[file].live.len()).sum()
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }
}

impl Disk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    pub fn plan(&self, plan: Option<Plan>) {
        let mut state = self.lock();
        (state.plan, state.calls, state.met) = (plan, 0, 0);
    }

    /// How many calls there were since the plan, and how many of them failed.
    pub fn calls(&self) -> (usize, usize) {
        let state = self.lock();
        (state.calls, state.met)
    }

    /// The next sync hangs until it is told to go on.
    pub fn hang(&self) -> SyncSender<()> {
        let (go, gate) = sync_channel(1);
        self.lock().gate = Some(gate);
        go
    }

    /// Whether a sync is still to come that hangs.
    pub fn is_to_hang(&self) -> bool {
        self.lock().gate.is_some()
    }

    pub fn room(&self, room: Option<usize>) {
        self.lock().room = room;
    }

    pub fn taken(&self) -> usize {
        self.lock().taken()
    }

    pub fn pass(&self, ms: u64) {
        self.lock().now_ms += ms;
    }

    /// The names of all files.
    pub fn names(&self) -> Vec<String> {
        self.lock().names.keys().cloned().collect()
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let state = self.lock();
        state.files[&state.names[name]].live.clone()
    }

    /// Puts a file there, durably.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.lock();
        state.made += 1;
        let file = state.made;
        state.files.insert(file, Inode { live: bytes.clone(), durable: bytes, ..Inode::default() });
        state.names.insert(name.into(), file);
        state.durable_names.insert(name.into(), file);
    }

    /// Turns one bit of a segment round; its name, and what it held. `None` where there is none.
    pub fn rot(&self, random: &mut fastrand::Rng) -> Option<(String, Vec<u8>)> {
        let names = self.names().into_iter().filter(|name| name.ends_with(".journal"));
        let name = random.choice(names.collect::<Vec<_>>())?;
        let held = self.bytes(&name);
        let mut rotten = held.clone();
        *random.choice(&mut rotten)? ^= 1 << random.u8(..8);
        self.put(&name, rotten);
        Some((name, held))
    }

    /// A disk like this one, on its own, unlocked.
    pub fn copy(&self) -> Self {
        let state = self.lock();
        Self(Arc::new(Mutex::new(State {
            files: state.files.clone(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            name_changes: state.name_changes.clone(),
            made: state.made,
            now_ms: state.now_ms,
            ..State::default()
        })))
    }

    /// What a disk like this one may have when the power goes now.
    pub fn power_loss(&self, random: &mut fastrand::Rng) -> Self {
        let lost = self.copy();
        {
            let mut state = lost.lock();
            let state = &mut *state;
            let survive = random.usize(..=state.name_changes.len());
            for (at, change) in state.name_changes.drain(..).enumerate() {
                // Removals may come to the disk in any order.
                if at < survive || (matches!(change, NameChange::Remove(_)) && random.bool()) {
                    change.apply(&mut state.durable_names);
                }
            }
            state.names = state.durable_names.clone();
            for file in state.files.values_mut() {
                for change in std::mem::take(&mut file.changes) {
                    change.apply_some(&mut file.durable, random);
                }
                file.live = file.durable.clone();
                file.is_doomed = false;
            }
        }
        lost
    }
}

struct Unlock(Disk);

impl Drop for Unlock {
    fn drop(&mut self) {
        self.0.lock().is_locked = false;
    }
}

impl Io for Disk {
    fn make_folder(&self, _: &Path) -> io::Result<()> {
        self.lock().plain()
    }

    fn lock(&self, _: &Path, _: &str) -> Result<Box<dyn Send>, Locked> {
        let mut state = self.lock();
        state.plain().map_err(Locked::Failed)?;
        if std::mem::replace(&mut state.is_locked, true) {
            return Err(Locked::Taken { by: "process 7".into() });
        }
        Ok(Box::new(Unlock(self.clone())))
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        let mut state = self.lock();
        state.plain()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut state = self.lock();
        state.plain()?;
        let file = state.names.get(&name(path)).ok_or(ErrorKind::NotFound)?;
        Ok(state.files[file].live.clone())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn IoFile>> {
        let mut state = self.lock();
        state.plain()?;
        state.made += 1;
        let file = state.made;
        state.files.insert(file, Inode::default());
        state.change(NameChange::Add(name(path), file));
        Ok(Box::new(File { disk: self.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.plain()?;
        state.change(NameChange::Rename(name(from), name(to)));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.plain()?;
        if !state.names.contains_key(&name(path)) {
            return Err(ErrorKind::NotFound.into());
        }
        state.change(NameChange::Remove(name(path)));
        Ok(())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.plain()?;
        let state = &mut *state;
        for change in state.name_changes.drain(..) {
            change.apply(&mut state.durable_names);
        }
        Ok(())
    }

    fn now_ms(&self) -> u64 {
        self.lock().now_ms
    }
}

struct File {
    disk: Disk,
    file: usize,
}

impl IoFile for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.lock();
        let fault = state.call();
        let room = state.room.map_or(usize::MAX, |room| room.saturating_sub(state.taken()));
        let (many, told) = match fault {
            None if room == 0 => (0, Err(ErrorKind::StorageFull.into())),
            None => (bytes.len().min(room), Ok(())),
            Some(Fault::Eio) => (0, Err(Error::from_raw_os_error(5))),
            Some(Fault::Enospc) => (bytes.len() / 2, Err(ErrorKind::StorageFull.into())),
            Some(Fault::Short) => ((bytes.len() / 2).max(1), Ok(())),
            Some(Fault::WrittenAndFailed) => (bytes.len(), Err(Error::from_raw_os_error(5))),
        };
        let inode = state.files.get_mut(&self.file).unwrap();
        let change = Change::Write(inode.live.len(), bytes[..many].to_vec());
        change.apply(&mut inode.live);
        inode.changes.push(change);
        told.map(|()| many)
    }

    fn sync(&mut self) -> io::Result<()> {
        let gate = self.disk.lock().gate.take();
        if let Some(gate) = gate {
            let _ = gate.recv();
        }
        let mut state = self.disk.lock();
        let synced = state.plain();
        let inode = state.files.get_mut(&self.file).unwrap();
        inode.is_doomed |= synced.is_err();
        if !inode.is_doomed {
            inode.changes.clear();
            inode.durable = inode.live.clone();
        }
        synced
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.plain()?;
        let inode = state.files.get_mut(&self.file).unwrap();
        let change = Change::Truncate(usize::try_from(length).unwrap());
        change.apply(&mut inode.live);
        inode.changes.push(change);
        Ok(())
    }
}

//! The one thread that writes.
//!
//! It takes what waits in the queue, in the order of the calls, lets each write read and change on top of those before it, and
//! commits all of it as one group. Once the system has the group, whoever does not ask for a sync is answered; then one sync
//! serves all who do. A write whose step fails or panics changes nothing, and the others of its group go on.
//!
//! After a failed commit or sync nothing more is written: the system may have dropped the pages that it could not write, and a
//! second sync would say that all is well (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;

use bytes::Bytes;
use forebay::rt::atomic::Ordering;
use forebay::rt::{Clock, Tick};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::folder::{Folder, Progress, ProgressFile};
use super::pool::{Pool, panicked};
use super::rows::{Changes, Overlay};
use super::store::Store;
use super::{DiskError, Durability, Run, Space, Status};

/// The most writes, and about the most bytes, that are committed together.
const GROUP_WRITES_MAX: usize = 4096;
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The row that counts the groups.
pub(super) const GROUP_KEY: &[u8] = b"group";

/// What the writer is asked for.
pub(super) enum Job {
    Write(Box<dyn Write>, OwnedSemaphorePermit),
    Clear(Vec<Space>, oneshot::Sender<Result<(), DiskError>>),
    Close(oneshot::Sender<Result<(), DiskError>>),
}

/// One write: its step, and how it is answered.
pub(super) trait Write: Send {
    /// Takes the step; whether it may be committed.
    fn run(&mut self, changes: &mut Changes<'_>) -> bool;
    fn durability(&self) -> Durability;
    fn answer(self: Box<Self>, committed: Result<(), DiskError>);
}

/// A write whose step is a function.
pub(super) struct Asked<T, F> {
    step: Option<F>,
    done: Option<Result<T, DiskError>>,
    durability: Durability,
    reply: oneshot::Sender<Result<T, DiskError>>,
}

impl<T, F> Asked<T, F> {
    pub(super) fn new(step: F, durability: Durability) -> (Self, oneshot::Receiver<Result<T, DiskError>>) {
        let (reply, answer) = oneshot::channel();
        (Self { step: Some(step), done: None, durability, reply }, answer)
    }
}

impl<T: Send, F: FnOnce(&mut Changes<'_>) -> Result<T, DiskError> + Send> Write for Asked<T, F> {
    fn run(&mut self, changes: &mut Changes<'_>) -> bool {
        let Some(step) = self.step.take() else { return false };
        let done = std::panic::catch_unwind(AssertUnwindSafe(|| step(changes)));
        let done = done.unwrap_or_else(|_| Err(panicked()));
        let may_commit = done.is_ok();
        self.done = Some(done);
        may_commit
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn answer(self: Box<Self>, committed: Result<(), DiskError>) {
        let done = match (self.done, committed) {
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (Some(Ok(done)), Ok(())) => Ok(done),
            (None, Ok(())) => Err(DiskError::Closed),
        };
        // Whoever asked may be gone.
        let _ = self.reply.send(done);
    }
}

/// Writes that are committed together.
#[derive(Default)]
struct Group {
    changes: Overlay,
    then: Vec<Box<dyn FnOnce() + Send>>,
    /// Who is answered as soon as the system has it, and who after the sync; each holds its place in the queue until then.
    handed: Vec<(Box<dyn Write>, OwnedSemaphorePermit)>,
    synced: Vec<(Box<dyn Write>, OwnedSemaphorePermit)>,
}

impl Group {
    fn writes(&self) -> usize {
        self.handed.len() + self.synced.len()
    }
}

/// Answers what waits that nothing of it was done; what is no write and came after it.
fn refuse(error: DiskError, first: Box<dyn Write>, queue: &Receiver<Job>) -> Option<Job> {
    first.answer(Err(error.clone()));
    loop {
        match queue.try_recv() {
            Ok(Job::Write(write, _place)) => write.answer(Err(error.clone())),
            Ok(job) => return Some(job),
            Err(_) => return None,
        }
    }
}

/// The writer of one folder, on its thread.
pub(super) struct Writer {
    pub(super) store: Store,
    pub(super) folder: Folder,
    pub(super) progress_file: ProgressFile,
    pub(super) progress: Progress,
    pub(super) run: Run,
    pub(super) clock: Clock,
    pub(super) status: Arc<Status>,
    pub(super) pools: Arc<[Pool; 2]>,
    pub(super) threads: Vec<JoinHandle<()>>,
    /// When what was committed is synced at the latest.
    pub(super) sync_due: Option<Tick>,
    pub(super) poisoned: Option<DiskError>,
}

impl Writer {
    /// Notes that this run has the folder, for good, before anything else is written.
    pub(super) fn begin(&mut self) -> Result<(), DiskError> {
        let mut changes = Overlay::default();
        self.run.put(&mut changes);
        self.store.wait_for_room()?;
        self.commit(changes)?;
        self.sync()
    }

    /// Writes until it is told to close, or everybody who could ask is gone.
    pub(super) fn work(mut self, queue: &Receiver<Job>) {
        let closing = loop {
            match self.next(queue) {
                Ok(Job::Write(write, place)) => {
                    if let Some(job) = self.gather(write, place, queue)
                        && let Some(closing) = self.other(job)
                    {
                        break Some(closing);
                    }
                }
                Ok(job) => {
                    if let Some(closing) = self.other(job) {
                        break Some(closing);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    // Who asked is answered already; the next one is told if it fails.
                    let _ = self.sync();
                }
                Err(RecvTimeoutError::Disconnected) => break None,
            }
        };
        let closed = self.close();
        if let Some(reply) = closing {
            let _ = reply.send(closed);
        }
    }

    fn next(&self, queue: &Receiver<Job>) -> Result<Job, RecvTimeoutError> {
        match self.sync_due {
            Some(due) => queue.recv_timeout(due.since(self.clock.now())),
            None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// What is no write; the reply of one that closes.
    fn other(&mut self, job: Job) -> Option<oneshot::Sender<Result<(), DiskError>>> {
        match job {
            Job::Close(reply) => return Some(reply),
            Job::Clear(spaces, reply) => {
                let _ = reply.send(self.clear(spaces));
            }
            Job::Write(write, _) => write.answer(Err(DiskError::Closed)),
        }
        None
    }

    fn clear(&mut self, spaces: Vec<Space>) -> Result<(), DiskError> {
        if let Some(error) = &self.poisoned {
            return Err(error.clone());
        }
        self.store.wait_for_room()?;
        let cleared = spaces.into_iter().try_for_each(|space| self.store.clear(space));
        self.seen(cleared).and_then(|()| self.commit(Overlay::default()))
    }

    /// Commits what waits, beginning with `first`; what is no write and came after it.
    fn gather(
        &mut self,
        first: Box<dyn Write>,
        place: OwnedSemaphorePermit,
        queue: &Receiver<Job>,
    ) -> Option<Job> {
        // Before any step: what a step has told its caller's state is not taken back.
        if self.poisoned.is_none()
            && let Err(error) = self.store.wait_for_room()
        {
            if matches!(error, DiskError::Poisoned { .. }) {
                let _ = self.seen(Err(error.clone()));
            }
            return refuse(error, first, queue);
        }
        let mut group = Group::default();
        self.step(&mut group, first, place);
        let mut other = None;
        while group.writes() < GROUP_WRITES_MAX && group.changes.bytes() < GROUP_BYTES_MAX {
            match queue.try_recv() {
                Ok(Job::Write(write, place)) => self.step(&mut group, write, place),
                Ok(job) => {
                    other = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        self.finish(group);
        other
    }

    fn step(&self, group: &mut Group, mut write: Box<dyn Write>, place: OwnedSemaphorePermit) {
        if let Some(error) = &self.poisoned {
            write.answer(Err(error.clone()));
            return;
        }
        let mut changes = Changes::new(&self.store, &group.changes);
        if write.run(&mut changes) {
            let (own, then) = changes.done();
            group.changes.extend(own);
            group.then.extend(then);
        }
        let always = write.durability() == Durability::Always;
        if always { group.synced.push((write, place)) } else { group.handed.push((write, place)) }
    }

    fn finish(&mut self, group: Group) {
        let Group { changes, then, handed, synced } = group;
        let committed = match (&self.poisoned, changes.is_empty()) {
            (Some(error), _) => Err(error.clone()),
            (None, true) => Ok(()),
            (None, false) => self.commit(changes),
        };
        if committed.is_ok() {
            let then = || then.into_iter().for_each(|then| then());
            // Who waits is answered whatever a step has left to be done.
            let _ = std::panic::catch_unwind(AssertUnwindSafe(then));
        }
        for (write, _place) in handed {
            if let Durability::Interval(interval) = write.durability() {
                let due = self.clock.now().after(interval);
                self.sync_due = Some(self.sync_due.map_or(due, |earlier| earlier.min(due)));
            }
            write.answer(committed.clone());
        }
        // Where writes come without a pause the queue is never waited for.
        let is_due = self.sync_due.is_some_and(|due| due <= self.clock.now());
        if synced.is_empty() && !is_due {
            return;
        }
        let done = committed.and_then(|()| self.sync());
        for (write, _place) in synced {
            write.answer(done.clone());
        }
    }

    fn commit(&mut self, mut changes: Overlay) -> Result<(), DiskError> {
        let group = self.progress.handed + 1;
        changes.set(
            Space::State,
            Bytes::from_static(GROUP_KEY),
            Some(Bytes::copy_from_slice(&group.to_le_bytes())),
        );
        let committed = self.store.commit(&changes);
        self.seen(committed)?;
        self.progress.handed = group;
        self.status.groups.fetch_add(1, Ordering::Relaxed);
        let written = self.progress_file.write(self.progress);
        self.seen(written)
    }

    fn sync(&mut self) -> Result<(), DiskError> {
        self.sync_due = None;
        if let Some(error) = &self.poisoned {
            return Err(error.clone());
        }
        if self.progress.synced == self.progress.handed {
            return Ok(());
        }
        let synced = self.store.sync();
        self.seen(synced)?;
        self.status.syncs.fetch_add(1, Ordering::Relaxed);
        self.progress.synced = self.progress.handed;
        let written = self.progress_file.write(self.progress);
        self.seen(written)
    }

    /// After what has failed nothing more is written, and nobody knows what was.
    fn seen(&mut self, done: Result<(), DiskError>) -> Result<(), DiskError> {
        let Err(error) = done else { return Ok(()) };
        let error = match error {
            DiskError::Poisoned { .. } => error,
            other => DiskError::Poisoned { cause: Arc::new(other) },
        };
        self.sync_due = None;
        self.status.poisoned.store(true, Ordering::Release);
        Err(self.poisoned.get_or_insert(error).clone())
    }

    fn end_well(&mut self) -> Result<(), DiskError> {
        let mut changes = Overlay::default();
        self.run.is_clean = true;
        self.run.put(&mut changes);
        self.store.wait_for_room()?;
        self.commit(changes)?;
        self.sync()
    }

    /// Syncs, notes that nothing was lost, then ends the other threads: they write nothing, and a process that leaves does not
    /// wait for them.
    fn close(mut self) -> Result<(), DiskError> {
        self.status.closed.store(true, Ordering::Release);
        self.pools.iter().for_each(Pool::close);
        let closed = self.sync().and_then(|()| self.end_well());
        for thread in self.threads.drain(..) {
            // One that panicked has ended too.
            let _ = thread.join();
        }
        let Self { store, folder, .. } = self;
        // The store first: whoever gets the lock finds nobody there.
        drop(store);
        drop(folder);
        closed
    }
}

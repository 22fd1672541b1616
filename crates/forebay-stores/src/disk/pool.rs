//! Threads that read the store, or rewrite it, so that no thread of the runtime waits for a disk.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use forebay::rt::Mutex;
use tokio::sync::{Semaphore, oneshot};

use super::DiskError;
use super::store::Store;

/// The most jobs that wait for a thread; beyond it callers wait for their turn.
const QUEUE_MAX: usize = 1024;

type Job = Box<dyn FnOnce(&Store) + Send>;

/// A fixed number of threads with one queue. They end when it is closed or dropped, after what is queued.
#[derive(Debug)]
pub(super) struct Pool {
    jobs: Mutex<Option<SyncSender<Job>>>,
    /// One permit a place in the queue.
    places: Arc<Semaphore>,
}

impl Pool {
    /// A pool of `threads` threads over `store`, and what to join once it is closed.
    pub(super) fn start(
        name: &str,
        threads: usize,
        store: &Store,
    ) -> Result<(Self, Vec<JoinHandle<()>>), DiskError> {
        let (jobs, queue) = sync_channel(QUEUE_MAX);
        let queue = Arc::new(Mutex::new(queue));
        let mut running = Vec::with_capacity(threads);
        for number in 1..=threads {
            let (queue, store) = (Arc::clone(&queue), store.clone());
            let thread = std::thread::Builder::new().name(format!("forebay-{name}-{number}"));
            let thread = thread.spawn(move || work(&queue, &store));
            running.push(thread.map_err(DiskError::io("start a thread for", name))?);
        }
        Ok((Self { jobs: Mutex::new(Some(jobs)), places: Arc::new(Semaphore::new(QUEUE_MAX)) }, running))
    }

    /// Does `work` on one of the threads. A caller who goes away does not stop it once it has begun to wait for its answer.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, DiskError> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| DiskError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let job = move |store: &Store| {
            let done = std::panic::catch_unwind(AssertUnwindSafe(|| work(store)));
            drop(place);
            // Whoever asked may be gone.
            let _ = reply.send(done.unwrap_or_else(|_| Err(panicked())));
        };
        self.send(Box::new(job))?;
        answer.await.unwrap_or(Err(DiskError::Closed))
    }

    fn send(&self, job: Job) -> Result<(), DiskError> {
        let jobs = self.jobs.lock();
        let jobs = jobs.as_ref().ok_or(DiskError::Closed)?;
        // Whoever has a permit finds a place.
        jobs.try_send(job).map_err(|_| DiskError::Closed)
    }

    pub(super) fn close(&self) {
        self.jobs.lock().take();
    }
}

pub(super) fn panicked() -> DiskError {
    DiskError::Refused { problem: "what was to be done panicked; nothing was".into() }
}

fn work(queue: &Mutex<Receiver<Job>>, store: &Store) {
    loop {
        // One thread waits for the queue, the others for the lock.
        let job = queue.lock().recv();
        let Ok(job) = job else { return };
        job(store);
    }
}

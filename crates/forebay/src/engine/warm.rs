//! Warming a namespace: keys are loaded before anybody asks, batch by batch, within their share of the source.
//!
//! A batch goes through the same flights, fences and fills as any read, and counts as one. It starts when the source has a slot
//! to spare and no reader waits for it, so that warming gives way.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::core::Core;
use super::handle::Namespace;
use super::listing::Listing;
use crate::error::Error;
use crate::source::SourceError;
use crate::value::KeyBuf;
use crate::warming::{Progress, Warm, WarmProgress, may_start};

/// How many keys are loaded at once.
const BATCH: usize = 256;
/// The most keys that a source prefers.
const PREFERRED_MAX: usize = 100_000;
/// How long warming waits before it looks again whether the source has a slot to spare.
const GIVE_WAY: Duration = Duration::from_millis(2);

/// A warming under way. It goes on when this is dropped, and ends with the namespace's last handle.
#[derive(Debug)]
pub struct Warming {
    progress: Arc<Progress>,
}

impl Warming {
    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> WarmProgress {
        self.progress.now()
    }

    /// Has it load no more. Its batch under way goes on to its end, and then it is over.
    pub fn stop(&self) {
        self.progress.stop();
    }

    /// Waits until it is over; how it ended.
    pub async fn finished(&self) -> WarmProgress {
        let mut progress = self.progress.watch();
        // The sender lives in `self`, so the wait ends only by the end of the warming.
        let _ = progress.wait_for(|progress| progress.is_over).await;
        self.progress.now()
    }
}

impl<V> Namespace<V> {
    /// Loads what `warm` names in the background, within the share of the source that all warmings of the namespace have together:
    /// a quarter of its slots, at least one, and none while a reader waits.
    ///
    /// # Errors
    /// [`Error::Build`] where the lists do not fit the key, or more is asked for than the limits allow.
    pub fn warm(&self, warm: Warm) -> Result<Warming, Error> {
        let core = &self.core;
        let fail = |problem: String| Error::Build { namespace: Arc::clone(&core.name), problem };
        // Checked here, so that nothing is begun that cannot be finished.
        warm.batches(core.pattern.names().len(), BATCH).map_err(|fault| fail(fault.to_string()))?;
        let progress = Arc::new(Progress::default());
        let warming = Warming { progress: Arc::clone(&progress) };
        let (tasks, namespace) = (core.tasks.clone(), Arc::downgrade(core));
        let ends = Ends(progress);
        tasks.spawn(async move { warm_all(&namespace, &warm, &ends.0).await });
        Ok(warming)
    }

    /// The keys that are read most, the hottest first, at most `keys` of them: none unless the namespace
    /// [counts](super::NamespaceBuilder::count_hottest). Kept over a restart and handed to [`warm_keys`](Self::warm_keys), they
    /// warm the next run.
    #[must_use]
    pub fn hottest(&self, keys: usize) -> Vec<Vec<u8>> {
        let tails = self.core.sketch.as_ref().map(|sketch| sketch.hottest(keys)).unwrap_or_default();
        tails.iter().map(|tail| self.core.pattern.whole(tail)).collect()
    }

    /// Loads `keys`, given by their texts, as [`warm`](Self::warm) does; what is no key of the namespace does not exist.
    #[must_use = "it tells how far it is"]
    pub fn warm_keys(&self, keys: Vec<Vec<u8>>) -> Warming {
        let (tasks, namespace) = (self.core.tasks.clone(), Arc::downgrade(&self.core));
        let progress = Arc::new(Progress::default());
        let warming = Warming { progress: Arc::clone(&progress) };
        let ends = Ends(progress);
        tasks.spawn(async move {
            for batch in keys.chunks(BATCH) {
                let Some(core) = ends.0.goes_on(&namespace) else { return };
                let tails: Vec<&[u8]> = batch.iter().filter_map(|key| core.pattern.tail(key)).collect();
                core.warm_batch(&tails, &ends.0).await;
            }
        });
        warming
    }
}

impl Progress {
    /// The namespace, as long as it is there and more is to be loaded.
    fn goes_on(&self, namespace: &Weak<Core>) -> Option<Arc<Core>> {
        namespace.upgrade().filter(|_| !self.now().is_stopped)
    }
}

/// Tells that a warming is over, also where it ends with its namespace.
struct Ends(Arc<Progress>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The namespace does not live for the sake of its warming: it is looked for anew before each batch.
async fn warm_all(namespace: &Weak<Core>, warm: &Warm, progress: &Progress) {
    if warm_named(namespace, warm, progress).await.is_none() {
        return;
    }
    // What a listing that broke off did not tell is loaded when it is asked for.
    if warm.preferred {
        let _ = warm_preferred(namespace, progress).await;
    }
    let listing = namespace.upgrade().filter(|_| warm.listing).map(|core| Listing::of(&core, BATCH));
    if let Some(listing) = listing {
        let _ = warm_listing(namespace, listing, progress).await;
    }
}

/// Loads the keys of the lists, and those that are read most; `None` where there is nothing more to do.
async fn warm_named(namespace: &Weak<Core>, warm: &Warm, progress: &Progress) -> Option<()> {
    let params = namespace.upgrade()?.pattern.names().len();
    for batch in warm.batches(params, BATCH).into_iter().flatten() {
        let core = progress.goes_on(namespace)?;
        let tails: Vec<KeyBuf> = batch.iter().filter_map(|key| core.tail_of(key)).collect();
        core.warm_batch(&tails, progress).await;
    }
    if warm.hottest == 0 {
        return Some(());
    }
    let tails = namespace.upgrade()?.sketch.as_ref().map(|sketch| sketch.hottest(warm.hottest));
    for batch in tails.unwrap_or_default().chunks(BATCH) {
        progress.goes_on(namespace)?.warm_batch(batch, progress).await;
    }
    Some(())
}

async fn warm_preferred(namespace: &Weak<Core>, progress: &Progress) -> Result<(), SourceError> {
    let Some(listing) = namespace.upgrade().map(|core| Listing::of(&core, PREFERRED_MAX)) else {
        return Ok(());
    };
    for batch in listing.preferred().await?.chunks(BATCH) {
        let Some(core) = progress.goes_on(namespace) else { return Ok(()) };
        core.warm_batch(batch, progress).await;
    }
    Ok(())
}

async fn warm_listing(
    namespace: &Weak<Core>,
    mut listing: Listing,
    progress: &Progress,
) -> Result<(), SourceError> {
    loop {
        let tails = listing.next().await?;
        let Some(core) = progress.goes_on(namespace).filter(|_| !tails.is_empty()) else { return Ok(()) };
        core.warm_batch(&tails, progress).await;
    }
}

impl Core {
    async fn warm_batch(self: &Arc<Self>, tails: &[impl AsRef<[u8]>], progress: &Progress) {
        let tails: Vec<&[u8]> = tails.iter().map(AsRef::as_ref).collect();
        progress.learn(crate::value::length(tails.len()));
        let Some(_turn) = self.turn(progress).await else { return };
        let (mut done, mut failed, mut absent) = (0, 0, 0);
        for read in self.read_many(&tails).await {
            match read {
                Ok(read) if read.value.is_some() => done += 1,
                Ok(_) => absent += 1,
                Err(_) => failed += 1,
            }
        }
        progress.land(done, failed, absent);
    }

    /// Waits until another batch may be warmed, whichever of the namespace's warmings it is of; `None` where it has been stopped by then.
    async fn turn(&self, progress: &Progress) -> Option<Turn<'_>> {
        loop {
            if progress.now().is_stopped {
                return None;
            }
            {
                let mut warming = self.warming.lock();
                if may_start(self.queue.free(), *warming, self.policy.concurrency, self.queue.waiting()) {
                    *warming += 1;
                    return Some(Turn { core: self });
                }
            }
            self.clock.sleep(GIVE_WAY).await;
        }
    }
}

/// The right of one batch to be warmed; dropped, it is given back.
struct Turn<'a> {
    core: &'a Core,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut warming = self.core.warming.lock();
        *warming = warming.saturating_sub(1);
    }
}

//! The embedded tier keeps the contract of shared tiers, in memory and in a folder.

use std::sync::Arc;

use forebay::rt::Mutex;
use forebay::tier::shared::SharedTier;
use forebay_simulated::conformance::{Later, Subject, check_shared_tier};
use forebay_stores::disk::Disk;

use super::{EmbeddedTier, Place, disk};

fn passing(place: &Place) -> Box<dyn Fn(std::time::Duration) -> Later<()> + Send + Sync> {
    let clock = place.clock.clone();
    Box::new(move |time| {
        clock.advance(time);
        Box::pin(async {})
    })
}

#[tokio::test]
async fn in_memory_it_conforms() {
    check_shared_tier(|| async {
        let place = Place::new();
        let tier = place.tier(&Disk::memory()).await;
        let tier: Arc<dyn SharedTier> = tier;
        Subject { other: Arc::clone(&tier), tier, pass: passing(&place), restart: None, fail_over: None }
    })
    .await;
}

/// What runs in a folder, and ends and begins again.
struct Running {
    place: Place,
    now: Mutex<Option<(Disk, Arc<EmbeddedTier>)>>,
}

impl Running {
    async fn again(self: Arc<Self>, boot_id: &'static str, is_clean: bool) -> Arc<dyn SharedTier> {
        let before = self.now.lock().take();
        if let Some((old, tier)) = before {
            if is_clean {
                tier.close().await.unwrap();
                old.close().await.unwrap();
            } else {
                // Its folder as it is now; the disk would end it well.
                let copy = tempfile::tempdir().unwrap();
                super::super::disk::copy_all(self.place.folder.path(), copy.path());
                old.close().await.unwrap();
                std::fs::remove_dir_all(self.place.folder.path()).unwrap();
                super::super::disk::copy_all(copy.path(), self.place.folder.path());
            }
        }
        let disk = disk(self.place.folder.path(), boot_id).await;
        let tier = self.place.tier(&disk).await;
        *self.now.lock() = Some((disk, Arc::clone(&tier)));
        tier
    }
}

async fn in_a_folder(restarts_well: bool) {
    check_shared_tier(|| async {
        let running = Arc::new(Running { place: Place::new(), now: Mutex::default() });
        let tier = Arc::clone(&running).again("first", true).await;
        let pass = passing(&running.place);
        let (restarted, failed) = (Arc::clone(&running), running);
        Subject {
            other: Arc::clone(&tier),
            tier,
            pass,
            restart: Some(Box::new(move || Box::pin(Arc::clone(&restarted).again("first", restarts_well)))),
            fail_over: Some(Box::new(move || Box::pin(Arc::clone(&failed).again("second", false)))),
        }
    })
    .await;
}

#[tokio::test]
async fn in_a_folder_that_is_closed_it_conforms() {
    in_a_folder(true).await;
}

#[tokio::test]
async fn in_a_folder_whose_process_is_killed_it_conforms() {
    in_a_folder(false).await;
}

//! The simulated tier and store keep the contracts that they are to be unhelpful within.

use std::sync::Arc;

use forebay::rt::Clock;
use forebay::tier::shared::SharedTier;
use forebay::tier::store::Store;
use forebay_simulated::conformance::{StoreSubject, Subject, check_shared_tier, check_store};
use forebay_simulated::{SimulatedDisk, SimulatedTier};

#[tokio::test]
async fn the_simulated_tier_conforms() {
    check_shared_tier(|| async {
        let clock = Clock::simulated();
        let tier = SimulatedTier::new(clock.clone(), 1);
        let link = |number| Arc::new(tier.link(number)) as Arc<dyn SharedTier>;
        let (one, other, failed_over) = (link(1), link(2), link(1));
        Subject {
            tier: one,
            other,
            pass: Box::new(move |time| {
                clock.advance(time);
                Box::pin(async {})
            }),
            restart: None,
            fail_over: Some(Box::new(move || {
                tier.restart(1);
                let link = Arc::clone(&failed_over);
                Box::pin(async move { link })
            })),
        }
    })
    .await;
}

#[tokio::test]
async fn the_simulated_store_conforms() {
    check_store(|| async {
        let (clock, disk) = (Clock::simulated(), SimulatedDisk::new());
        let (passing, restarting) = (clock.clone(), clock.clone());
        StoreSubject {
            store: Arc::new(disk.open(clock)),
            pass: Box::new(move |time| {
                passing.advance(time);
                Box::pin(async {})
            }),
            restart: Some(Box::new(move || {
                disk.crash(0);
                let store: Arc<dyn Store> = Arc::new(disk.open(restarting.clone()));
                Box::pin(async move { store })
            })),
        }
    })
    .await;
}

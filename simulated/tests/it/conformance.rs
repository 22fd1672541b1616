//! The simulated tier keeps the contract that it is to be unhelpful within.

use std::sync::Arc;

use forebay::rt::Clock;
use forebay::tier::shared::SharedTier;
use forebay_simulated::SimulatedTier;
use forebay_simulated::conformance::{Subject, check_shared_tier};

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

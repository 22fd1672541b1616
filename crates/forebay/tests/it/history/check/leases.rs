//! P2 over instances: while an instance loads under a live lease of the shared tier, another one loads the same key only after
//! it has waited, or where the tier did not tell it.
//!
//! Only calm times are judged: in others a lease may have ended without anybody's hearing of it, and an instance may be out of
//! touch, and ask nobody.

use std::collections::HashMap;

use super::{Index, Tally, Violation};
use crate::history::record::{Exchanged, KeyIndex, Said, Scope};

/// What a lease lives longer than its load may take, in milliseconds.
const LEASE_MARGIN_MS: u64 = 1_000;
/// The longest that somebody else's load is waited for, in milliseconds, and the part of a load's time that it takes.
const WAIT_MAX_MS: u64 = 1_000;
const WAIT_SHARE: u64 = 2;
/// After so long without faults every instance is in touch, and nothing is on its way any more, in milliseconds.
const CALM_AFTER_MS: u64 = 1_500;
/// The longest pause between two looks at a key that another instance loads, in milliseconds.
const LOOK_MS: u64 = 150;

/// A lease, as its holder knows of it.
#[derive(Clone, Copy, Debug)]
struct Held {
    instance: usize,
    since_ms: u64,
    until_ms: u64,
}

/// What is known of leases at one step of a history.
#[derive(Default)]
struct Leases {
    held: HashMap<KeyIndex, Held>,
    /// What the tier said to each instance, and when, in milliseconds.
    said: HashMap<(usize, KeyIndex), Vec<(u64, Said)>>,
}

/// What happens to leases, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// An exchange was sent: what it ends may have ended.
    Sent(usize),
    Answered(usize),
    Load(usize),
}

pub(super) fn check(index: &Index<'_>, tally: &mut Tally) -> Vec<Violation> {
    let history = index.history;
    if history.exchanges.is_empty() {
        return Vec::new();
    }
    let mut events: Vec<(u64, Event)> = Vec::new();
    for (number, exchange) in history.exchanges.iter().enumerate() {
        events.push((exchange.sent.step, Event::Sent(number)));
        events.push((exchange.at.step, Event::Answered(number)));
    }
    events.extend(
        history.loads.iter().enumerate().map(|(number, load)| (load.start.step, Event::Load(number))),
    );
    events.sort_unstable();
    let mut leases = Leases::default();
    let mut violations = Vec::new();
    for (_, event) in events {
        match event {
            Event::Sent(exchange) => leases.sent(index, exchange),
            Event::Answered(exchange) => leases.answered(index, exchange),
            Event::Load(load) => {
                for &key in &history.loads[load].keys {
                    violations.extend(leases.begins(index, load, key, tally));
                }
            }
        }
    }
    violations
}

impl Leases {
    fn sent(&mut self, index: &Index<'_>, exchange: usize) {
        let exchange = &index.history.exchanges[exchange];
        let ended = match exchange.what {
            Exchanged::Filled { key, .. } | Exchanged::Released { key } => {
                self.held.get(&key).filter(|held| held.instance == exchange.instance).map(|_| key)
            }
            Exchanged::Told { scope: Scope::Key(key), .. } => Some(key),
            _ => None,
        };
        if let Some(key) = ended {
            self.held.remove(&key);
        }
    }

    fn answered(&mut self, index: &Index<'_>, exchange: usize) {
        let exchange = &index.history.exchanges[exchange];
        match exchange.what {
            Exchanged::Asked { key, said } => {
                let instance = exchange.instance;
                self.said.entry((instance, key)).or_default().push((exchange.at.ms, said));
                if said == Said::Leased {
                    let life = index.history.rules_of(key).load_timeout + LEASE_MARGIN_MS;
                    let (since_ms, until_ms) = (exchange.at.ms, exchange.sent.ms + life);
                    self.held.insert(key, Held { instance, since_ms, until_ms });
                }
            }
            // Told while the lease was asked for, it may have taken it.
            Exchanged::Told { scope: Scope::Key(key), .. } => {
                self.held.remove(&key);
            }
            _ => {}
        }
    }

    fn begins(&self, index: &Index<'_>, load: usize, key: KeyIndex, tally: &mut Tally) -> Option<Violation> {
        let (history, rules) = (index.history, index.history.rules_of(key));
        // A single field is loaded without a lease, and what changes it takes that of its hash.
        if rules.fields {
            return None;
        }
        let (instance, start) = (history.loads[load].instance, history.loads[load].start);
        let held =
            self.held.get(&key).filter(|held| held.instance != instance && start.ms < held.until_ms)?;
        let calm_since = held.since_ms.saturating_sub(CALM_AFTER_MS);
        let faulty = history.faulty.iter().any(|(from, until)| from.ms <= start.ms && calm_since <= until.ms);
        let said = self.said.get(&(instance, key)).filter(|_| !faulty && calm_since > 0)?;
        // It counts from when the flight was boarded, which is before the tier's first answer: half of it is asked for.
        let longest = WAIT_MAX_MS.min(rules.load_timeout / WAIT_SHARE);
        let wait = longest / 2;
        // A flight may wait for its turn for as long as a load takes; nobody knows which of several it is that loads.
        let on_its_way = history.reach.map_or(0, |reach| reach.answer) + rules.load_timeout;
        let since = start.ms.saturating_sub(longest + LOOK_MS + on_its_way);
        let lately: Vec<_> = said.iter().rev().take_while(|&&(ms, _)| ms >= since).collect();
        if lately.is_empty() || lately.iter().any(|&&(_, said)| said != Said::Busy) {
            return None;
        }
        tally.loads_without_lease += 1;
        let waited = lately.iter().any(|&&(ms, _)| ms + wait <= start.ms);
        let what = format!(
            "load {load} began on instance {instance}, which had not waited {wait} ms for instance {}, who has the lease \
             since {} ms",
            held.instance, held.since_ms
        );
        let around = Some((key, start.step.saturating_sub(200), start.step + 20));
        (!waited).then_some(Violation { property: "P2", what, around })
    }
}

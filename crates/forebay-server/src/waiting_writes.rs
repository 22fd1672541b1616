//! Looks after writes that wait for their sink, and tells the log of what an operator has to see to.
//!
//! It guarantees one line when writes begin to wait for long and one when that is over, and one whenever more of them have become dead
//! letters. What is done with them is the engine's.

use std::sync::Arc;
use std::time::Duration;

use forebay::rt::Clock;
use forebay::{Blob, Namespace, PendingWrites, Writes};

use crate::keyspaces::Keyspaces;
use crate::stop::Stop;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A write that waits for longer is told.
const LONG: Duration = Duration::from_secs(30);

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Waiting,
    CaughtUp,
    DeadLetters,
}

/// One namespace that writes behind.
struct Watched {
    keyspace: Arc<str>,
    namespace: Namespace<Blob>,
    told: Told,
}

/// What was told of one namespace.
#[derive(Debug, Default)]
struct Told {
    is_waiting: bool,
    dead_letters: usize,
}

impl Told {
    /// What is new in `pending`.
    fn news(&mut self, pending: &PendingWrites) -> Vec<News> {
        let mut news = Vec::new();
        let is_waiting = pending.writes > 0 && pending.oldest >= LONG;
        if is_waiting != std::mem::replace(&mut self.is_waiting, is_waiting) {
            news.push(if is_waiting { News::Waiting } else { News::CaughtUp });
        }
        if pending.dead_letters > std::mem::replace(&mut self.dead_letters, pending.dead_letters) {
            news.push(News::DeadLetters);
        }
        news
    }
}

/// Looks after the namespaces in service that write behind, until the process stops.
pub(crate) async fn look_after(keyspaces: Keyspaces, clock: Clock, mut stop: Stop) {
    let mut watched = Vec::new();
    loop {
        watch(&keyspaces, &mut watched);
        for Watched { keyspace, namespace, told } in &mut watched {
            let pending = namespace.pending_writes();
            for news in told.news(&pending) {
                let newest = namespace.dead_letters().pop();
                let reason = newest.as_ref().map_or("", |letter| &letter.reason);
                tell(keyspace, namespace.name(), &pending, reason, news);
            }
        }
        tokio::select! {
            () = clock.sleep(LOOK_EVERY) => {}
            () = stop.asked() => return,
        }
    }
}

/// Has those watched that are in service now and write behind, and no others.
fn watch(keyspaces: &Keyspaces, watched: &mut Vec<Watched>) {
    let served = keyspaces.now();
    let mut in_service = Vec::new();
    for (_, keyspace) in served.all() {
        let behind = keyspace.namespaces().iter().filter(|it| it.policy().writes == Writes::Behind);
        in_service.extend(behind.map(|namespace| (keyspace.name(), namespace)));
    }
    watched.retain(|one| in_service.iter().any(|(_, namespace)| namespace.is_same_as(&one.namespace)));
    for (keyspace, namespace) in in_service {
        if !watched.iter().any(|one| one.namespace.is_same_as(namespace)) {
            let (keyspace, namespace) = (keyspace.into(), namespace.clone());
            watched.push(Watched { keyspace, namespace, told: Told::default() });
        }
    }
}

/// `reason`: why the newest dead letter is one.
fn tell(keyspace: &str, namespace: &str, pending: &PendingWrites, reason: &str, news: News) {
    let PendingWrites { writes, oldest, dead_letters, .. } = *pending;
    match news {
        News::Waiting => {
            tracing::warn!(
                keyspace,
                namespace,
                writes,
                ?oldest,
                "writes wait: their sink fails or does not keep up"
            );
        }
        News::CaughtUp => tracing::info!(keyspace, namespace, writes, "writes no longer wait"),
        News::DeadLetters => {
            tracing::warn!(
                keyspace,
                namespace,
                dead_letters,
                reason,
                "writes could not be applied and are kept as dead letters; their keys take no more writes"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::log::tests::Lines;

    #[test]
    fn each_episode_is_told_once() {
        let pending = |writes, secs, dead_letters| PendingWrites {
            writes,
            oldest: Duration::from_secs(secs),
            dead_letters,
            ..PendingWrites::default()
        };
        let mut told = Told::default();
        for (at, pending, news) in [
            (1, pending(3, 1, 0), &[][..]),
            (2, pending(3, 30, 0), &[News::Waiting]),
            (3, pending(9, 60, 1), &[News::DeadLetters]),
            (4, pending(9, 60, 1), &[]),
            (5, pending(0, 60, 1), &[News::CaughtUp]),
            (6, pending(0, 0, 0), &[]),
            (7, pending(1, 31, 2), &[News::Waiting, News::DeadLetters]),
        ] {
            assert_eq!(told.news(&pending), news, "look {at}");
        }
    }

    /// Two keyspaces may have namespaces of one name.
    #[test]
    fn each_line_names_keyspace_and_namespace() {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let _here = tracing::subscriber::set_default(log);
        for news in [News::Waiting, News::CaughtUp, News::DeadLetters] {
            tell("shop", "price", &PendingWrites::default(), "no such row", news);
        }
        let told = lines.text();
        assert_eq!(told.lines().count(), 3, "{told}");
        for line in told.lines() {
            assert!(line.contains("keyspace=\"shop\" namespace=\"price\""), "{line}");
        }
        assert!(told.contains("reason=\"no such row\""), "{told}");
    }
}

//! What a client does: random operations over few keys, so that they meet.
//!
//! Most changes go to a key that is being loaded, since that is the race that is to be lost or won. The last thing that
//! every client does is to read every key once more, when the faults are over.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use fastrand::Rng;
use tokio::task::yield_now;

use super::instance::Instance;
use super::record::{Asked, Ended, KeyIndex, Scope};
use super::world::{TAGS, World};

/// Lives the life of client number `client`.
pub async fn client(world: World, client: usize, on: Instance) {
    let seed = world.plan().seed.wrapping_mul(31).wrapping_add(client as u64);
    let mut client = Client { rng: Rng::with_seed(seed), number: client, on, world };
    for _ in 0..client.world.plan().ops {
        client.think().await;
        client.act().await;
    }
    // What was invalidated last is read at least once after it.
    for key in 0..client.world.plan().keys.len() {
        client.get(key).await;
    }
    client.world.leave();
}

/// Reads every key once, when all has settled.
pub async fn last_reader(world: World, client: usize, on: Instance) {
    let mut client = Client { rng: Rng::with_seed(0), number: client, on, world };
    for key in 0..client.world.plan().keys.len() {
        client.get(key).await;
    }
    client.world.leave();
}

struct Client {
    rng: Rng,
    number: usize,
    on: Instance,
    world: World,
}

impl Client {
    async fn think(&mut self) {
        match self.rng.u8(0..8) {
            0..3 => {}
            3..5 => yield_now().await,
            _ => self.world.wait(self.rng.u64(0..4)).await,
        }
        let pause = self.world.plan().pause;
        if pause > 0 && self.rng.u8(0..6) == 0 {
            self.world.wait(self.rng.u64(0..pause)).await;
        }
    }

    async fn act(&mut self) {
        let plan = self.world.plan();
        let key = self.rng.usize(0..plan.keys.len());
        let namespace = plan.keys[key].namespace;
        if plan.namespaces[namespace].warmed && self.rng.u8(0..12) == 0 {
            return self.warm(namespace).await;
        }
        let only_reads = self.world.only_reads(self.on.number);
        match self.rng.u8(0..if only_reads { 55 } else { 100 }) {
            0..45 => {
                for _ in 0..self.rng.usize(1..4) {
                    self.get(key).await;
                }
            }
            45..55 => self.get_many(key).await,
            55..59 => self.change_and_get_fresh(key).await,
            59..62 if self.world.faults() => self.get_and_leave(key).await,
            62..64 => self.commit(key),
            64..67 => self.put(),
            _ => self.change(key).await,
        }
    }

    async fn get(&mut self, key: KeyIndex) {
        let op = self.world.begin(self.number, self.on.number, Asked::Get(key));
        let ended = self.on.get(key).await;
        self.world.end(op, ended);
    }

    /// Asks for the truth itself, most often after a change that nobody was told of, while an older load is under way.
    async fn change_and_get_fresh(&mut self, key: KeyIndex) {
        let key = self.meet(key);
        if self.rng.u8(0..4) > 0 {
            self.commit(key);
        }
        let op = self.world.begin(self.number, self.on.number, Asked::GetFresh(key));
        let ended = self.on.get_fresh(key).await;
        self.world.end(op, ended);
    }

    /// Reads some keys of the namespace of `key` together.
    async fn get_many(&mut self, key: KeyIndex) {
        let keys = &self.world.plan().keys;
        let mut some: Vec<KeyIndex> =
            (0..keys.len()).filter(|&other| keys[other].namespace == keys[key].namespace).collect();
        self.rng.shuffle(&mut some);
        some.truncate(self.rng.usize(1..=some.len()));
        let ops: Vec<usize> = some
            .iter()
            .map(|&key| self.world.begin(self.number, self.on.number, Asked::GetMany(key)))
            .collect();
        for (op, ended) in ops.into_iter().zip(self.on.get_many(&some).await) {
            self.world.end(op, ended);
        }
    }

    /// Begins to read and goes away, perhaps before the answer has come.
    async fn get_and_leave(&mut self, key: KeyIndex) {
        let op = self.world.begin(self.number, self.on.number, Asked::Get(key));
        let patience = self.world.wait(self.rng.u64(0..6));
        let on = self.on.clone();
        match first_of(on.get(key), patience).await {
            Some(ended) => self.world.end(op, ended),
            None => self.world.cancel(op),
        }
    }

    fn put(&mut self) {
        let world = self.world.clone();
        let kept: Vec<KeyIndex> = world.kept().collect();
        let Some(key) = self.rng.choice(kept) else { return };
        let put = self.world.next_put();
        let op = self.world.begin(self.number, self.on.number, Asked::Put { key, put });
        let ended = self.on.put(key, put);
        self.world.end(op, ended);
    }

    async fn warm(&mut self, namespace: usize) {
        let by = self.rng.u8(0..3);
        let op = self.world.begin(self.number, self.on.number, Asked::Warm { namespace });
        let ended = self.on.warm(namespace, by).await;
        self.world.end(op, ended);
    }

    /// Changes the truth and tells nobody: only time makes the copies of it old. Where there is a filter no row is added so.
    fn commit(&mut self, key: KeyIndex) {
        let plan = self.world.plan();
        let may_add = !plan.namespaces[plan.keys[key].namespace].filtered || self.world.truth(key).present;
        let present = self.rng.u8(0..4) > 0 && may_add;
        self.world.commit(key, present, self.rng.u8(0..1 << TAGS));
    }

    /// Changes the truth, of which others are told.
    fn commit_to_tell(&mut self, key: KeyIndex) {
        let present = self.rng.u8(0..4) > 0;
        self.world.commit(key, present, self.rng.u8(0..1 << TAGS));
    }

    /// Most often a key that is being loaded, else `key`.
    fn meet(&mut self, key: KeyIndex) -> KeyIndex {
        let nth = self.rng.usize(..);
        self.world.loading(nth).filter(|_| self.rng.u8(0..10) > 0).unwrap_or(key)
    }

    /// Changes the truth, most often of a key that is being loaded, and makes copies of it gone, or stale.
    async fn change(&mut self, key: KeyIndex) {
        let key = self.meet(key);
        let scope = self.scope(key);
        if self.rng.u8(0..10) > 0 {
            self.commit_to_tell(key);
        }
        // A field is gone or there: only its hash can be stale.
        let of_a_field = matches!(scope, Scope::Key(key) if self.on.is_field(key));
        if self.rng.u8(0..8) == 0 && !of_a_field {
            let op = self.world.begin(self.number, self.on.number, Asked::Expire(scope));
            let ended = self.on.expire(scope).await;
            self.world.end(op, ended);
        } else {
            let op = self.world.begin(self.number, self.on.number, Asked::Invalidate(scope));
            let ended = self.on.invalidate(scope).await;
            self.world.end(op, ended);
        }
        if self.world.plan().instances > 1 && self.rng.u8(0..6) == 0 {
            self.wait_for_all().await;
        }
        if self.rng.bool() {
            self.get(key).await;
        }
    }

    async fn wait_for_all(&mut self) {
        let op = self.world.begin(self.number, self.on.number, Asked::Acknowledged);
        let ended = self.on.acknowledged().await;
        self.world.end(op, ended);
    }

    /// What takes in `key`, or the value that it has.
    fn scope(&mut self, key: KeyIndex) -> Scope {
        let tags = self.world.truth(key).tags;
        let carried: Vec<u32> = (0..TAGS).filter(|tag| tags >> tag & 1 == 1).collect();
        let facts = &self.world.plan().keys[key];
        let (namespace, group) = (facts.namespace, facts.group);
        // A group may have brought keys that nobody knows: the filter denies none for a while, and proves nothing.
        if self.world.plan().namespaces.iter().any(|bounds| bounds.filtered) && self.rng.u8(0..20) > 0 {
            return Scope::Key(key);
        }
        match self.rng.u8(0..100) {
            0..12 => self.rng.choice(carried).map_or(Scope::Key(key), Scope::Tag),
            12..20 => Scope::Prefix { namespace, group },
            20..26 => Scope::Declared { group },
            26..30 => Scope::Namespace(namespace),
            30..32 => Scope::Everything,
            _ => Scope::Key(key),
        }
    }
}

/// What `work` brings, or `None` where `limit` ends first; `work` is dropped then.
async fn first_of(work: impl Future<Output = Ended>, limit: impl Future<Output = ()>) -> Option<Ended> {
    let mut work = std::pin::pin!(work);
    let mut limit = std::pin::pin!(limit);
    std::future::poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending => Pin::as_mut(&mut limit).poll(context).map(|()| None),
    })
    .await
}

//! Connections: how many there may be, and accepting them.
//!
//! Both listeners share one number of places, in all and for each address, so that one client cannot take them all. Who comes when there
//! is none is told so at once, and let go. When the process is to end, those who had come before are still served.

use std::borrow::Cow;
use std::collections::HashMap;
use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use forebay::rt::{Clock, Mutex, Tasks};
use tokio::net::{TcpListener, TcpStream};

use crate::stop::Stop;

/// After the system could not accept a connection, it is asked again in so long.
const BACK_OFF: Duration = Duration::from_millis(50);
/// The first bits of an IPv6 address, which one site has.
const SITE_BITS: u32 = 64;

/// Connections of one listener.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    open: AtomicU64,
    accepted: AtomicU64,
    refused: Refused,
}

/// Connections that found no place.
#[derive(Debug, Default)]
pub(crate) struct Refused(AtomicU64);

impl Refused {
    fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One of them, open until it is dropped.
#[derive(Debug)]
pub(crate) struct Open(Arc<Counted>);

impl Counted {
    /// Counts another that was accepted.
    pub(crate) fn enter(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// Those that found no place.
    pub(crate) fn refused(&self) -> &Refused {
        &self.refused
    }

    /// How many are open, and how many have been.
    pub(crate) fn now(&self) -> (u64, u64) {
        (self.open.load(Ordering::Relaxed), self.accepted.load(Ordering::Relaxed))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Places for connections.
#[derive(Debug)]
pub(crate) struct Places {
    all: usize,
    per_address: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// None of them zero, so that there are no more than connections.
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

impl Places {
    /// So many in all, and for each address.
    pub(crate) fn new(all: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self { all, per_address, taken: Mutex::default() })
    }

    /// How many there are in all.
    pub(crate) fn all(&self) -> usize {
        self.all
    }

    /// A place for who comes from `address`, if there is one left.
    fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = site(address);
        let mut taken = self.taken.lock();
        if taken.all >= self.all {
            return None;
        }
        let of_address = taken.by_address.get(&address).copied().unwrap_or(0);
        if of_address >= self.per_address {
            return None;
        }
        taken.by_address.insert(address, of_address + 1);
        taken.all += 1;
        Some(Place { places: Arc::clone(self), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        taken.all = taken.all.saturating_sub(1);
        if let Some(of_address) = taken.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

/// What counts as one address: whoever has one of IPv6 has all of its site.
fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() >> (u128::BITS - SITE_BITS) << (u128::BITS - SITE_BITS);
            Ipv6Addr::from_bits(bits).into()
        }
        address => address,
    }
}

/// Accepts connections until it is told to stop, then those that have come by then, and waits until all have ended. Who finds no place
/// is sent what `refusal` gives, and counted.
pub(crate) async fn accept<W>(
    listener: TcpListener,
    places: &Arc<Places>,
    (refusal, refused): (impl Fn() -> Cow<'static, [u8]>, &Refused),
    clock: &Clock,
    mut stop: Stop,
    serve: impl Fn(TcpStream, SocketAddr) -> W,
) where
    W: Future<Output = ()> + Send + 'static,
{
    let Some(connections) = Tasks::current() else { return };
    let admit = |stream: TcpStream, from: SocketAddr| match places.take(from.ip()) {
        Some(place) => {
            // On its own, so that a task that holds it does not have room for it twice.
            let served = Box::pin(serve(stream, from));
            connections.spawn(async move {
                served.await;
                drop(place);
            });
        }
        None => {
            refused.count();
            turn_away(stream, &refusal());
        }
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.asked() => break,
        };
        match accepted {
            Ok((stream, from)) => admit(stream, from),
            Err(error) => {
                // Out of file descriptors, most likely: connections that end give some back.
                tracing::warn!(%error, "cannot accept a connection");
                clock.sleep(BACK_OFF).await;
            }
        }
    }
    loop {
        let come = tokio::select! {
            biased;
            come = listener.accept() => come,
            () = std::future::ready(()) => break,
        };
        let Ok((stream, from)) = come else { break };
        admit(stream, from);
    }
    drop(listener);
    connections.idle().await;
}

/// Says why, and closes. What the client has sent so far is taken, so that the system does not cut it off before it reads that.
pub(crate) fn turn_away(stream: TcpStream, refusal: &[u8]) {
    let Ok(mut stream) = stream.into_std() else { return };
    let _ = stream.write(refusal);
    let _ = stream.read(&mut [0; 4096]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_take_all_places() {
        let places = Places::new(3, 2);
        let at = |text: &str| places.take(text.parse().unwrap());
        let (first, second) = (at("192.0.2.1"), at("::ffff:192.0.2.1"));
        assert!(first.is_some() && second.is_some());
        assert!(at("192.0.2.1").is_none(), "both are the same address");
        let third = at("2001:db8::1");
        assert!(third.is_some() && at("192.0.2.2").is_none(), "there are three in all");
        drop(first);
        let fourth = at("2001:db8::ffff:1");
        assert!(fourth.is_some());
        drop(second);
        assert!(at("2001:db8:0:0:9::").is_none(), "all of them are one site's");
        assert!(at("2001:db8:0:1::").is_some());
        drop((third, fourth));
        assert!(places.taken.lock().by_address.is_empty());
        assert_eq!(places.taken.lock().all, 0);
    }
}

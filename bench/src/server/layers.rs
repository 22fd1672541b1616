//! `layers`: what each layer of a GET that hits memory costs, by itself and one after the other, on one thread.
//!
//! The layers are the shipped functions in the order in which the server calls them. What is left of a request's processor time, which
//! `resp` prints, is the runtime's and the kernel's: the socket's reads and writes, and waiting for them.

use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

use bytes::BytesMut;
use forebay::{Blob, Forebay, Keyspace, Namespace, Value};
use forebay_wire::resp::{Limits, Request, State, decode, encode_request, reply, resolve};

use super::{VALUE, key};
use crate::error::Error;
use crate::rounds::medians;
use crate::{Extent, Settings};

pub(crate) const MEASURES: &str =
    "what each layer of a GET that hits costs: decoding, command, key, memory, reply";
pub(crate) const GOAL: &str = "none: it says where time goes";

const ENTRIES: u32 = 100_000;
const SEED: u64 = 0x1a7e_25ed;

pub(crate) fn run(out: &mut dyn Write, settings: &Settings) -> Result<(), Error> {
    let (rounds, requests) = match settings.extent {
        Extent::Full => (51, 100_000),
        Extent::Quick => (3, 10_000),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let _entered = runtime.enter();
    let keyspace = filled()?;
    let mut random = fastrand::Rng::with_seed(SEED);
    let wanted: Vec<String> = (0..requests).map(|_| key(random.u32(..ENTRIES))).collect();
    let asked = wanted.iter().map(|key| request(key)).collect::<Result<Vec<_>, _>>()?;
    let found = wanted.iter().map(|key| namespace(&keyspace, key)).collect::<Result<Vec<_>, _>>()?;
    let mut reply = BytesMut::with_capacity(1024);
    let times = medians(
        rounds,
        [
            &mut || wanted.iter().try_for_each(|key| request(key).map(drop)),
            &mut || wanted.iter().try_for_each(|key| encoded(key).map(drop)),
            &mut || {
                asked.iter().for_each(|request| {
                    let command = resolve(request).ok().map(|spec| spec.parse(request));
                    black_box(command);
                });
                Ok(())
            },
            &mut || wanted.iter().try_for_each(|key| black_box(namespace(&keyspace, key)).map(|_| ())),
            &mut || {
                wanted.iter().zip(&found).try_for_each(|(key, namespace)| {
                    black_box(namespace.read_now(key.as_bytes())).map(drop).ok_or(Error::NoHit)
                })
            },
            &mut || {
                for _ in &wanted {
                    reply.clear();
                    reply::bulk(&mut reply, black_box(&VALUE));
                }
                Ok(())
            },
        ],
    )?;
    let each = |took: Duration| took.as_secs_f64() * 1e9 / f64::from(requests);
    let [decoded, encoded, command, key, memory, reply] = times.map(each);
    writeln!(out, "# {ENTRIES} entries, {requests} requests drawn evenly, median of {rounds} rounds")?;
    let rows = [
        ("decode", decoded - encoded),
        ("command", command),
        ("key", key),
        ("memory", memory),
        ("reply", reply),
    ];
    for (name, ns) in rows {
        writeln!(out, "layer={name} ours={ns:.1} unit=ns")?;
    }
    writeln!(out, "layer=all ours={:.1} unit=ns", rows.iter().map(|(_, ns)| ns).sum::<f64>())?;
    Ok(())
}

/// A keyspace that holds every entry.
fn filled() -> Result<Keyspace, Error> {
    let engine = Forebay::builder().memory_budget_bytes(1 << 30).build()?;
    let day = Duration::from_secs(24 * 60 * 60);
    let entries = engine.namespace::<Blob>("entries").key("key:{number}").ttl(day).build()?;
    for number in 0..ENTRIES {
        entries.write(key(number).as_bytes(), Value::from(Blob::opaque(VALUE)), None)?;
    }
    let mut keyspace = Keyspace::new("bench");
    keyspace.add(entries)?;
    Ok(keyspace)
}

/// A GET of `key`, as a client sends it.
fn encoded(key: &str) -> Result<BytesMut, Error> {
    let mut bytes = BytesMut::with_capacity(64);
    encode_request(&mut bytes, &["GET", key]);
    Ok(black_box(bytes))
}

/// The same, decoded.
fn request(key: &str) -> Result<Request, Error> {
    let decoded = decode(&mut encoded(key)?, &Limits::AUTHENTICATED, &mut State::default());
    decoded.ok().flatten().map(black_box).ok_or(Error::NoHit)
}

fn namespace<'k>(keyspace: &'k Keyspace, key: &str) -> Result<&'k Namespace<Blob>, Error> {
    keyspace.find(key.as_bytes()).ok_or(Error::NoHit)
}

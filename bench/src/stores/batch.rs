//! `batch`: a hundred keys at a time filled into, and read from, the embedded tier, beside redis-server and plain fjall.
//!
//! Keys of 16 bytes, values of 100, ours drawn by chance, so that the disk cannot make them smaller. A fill of ours is what a load of cold keys does: it asks for the keys, is handed their leases, and
//! fills them; that of redis-server is a MGET that finds nothing and as many SET in one pipeline, over loopback; that of fjall is
//! reads that find nothing and one batch. As many callers for each, each waiting for its answer. Nobody syncs: these are caches.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use forebay::tier::shared::{
    Answer, Envelope, EnvelopeValue, Fill, Filled, LeaseTerms, Owner, SharedTier as _,
};
use forebay_stores::disk::{Disk, DiskOptions};
use forebay_stores::tier::embedded::{EmbeddedOptions, EmbeddedTier};
use tokio::task::JoinSet;

use super::{now, per_second, runtime, store};
use crate::error::Error;
use crate::report::{Better, Comparison};
use crate::{Extent, Settings};

pub(crate) const MEASURES: &str =
    "100 keys at a time filled into and read from the embedded tier, against redis-server and plain fjall";
pub(crate) const GOAL: &str = "ratio >= 0.5";

/// Keys of one call.
pub(super) const KEYS: u32 = 100;
const CALLERS: u32 = 4;
const VALUE: [u8; 100] = [b'v'; 100];
const PATIENCE: Duration = Duration::from_secs(60);

/// Calls of one caller.
fn calls(extent: Extent) -> u32 {
    match extent {
        Extent::Full => 500,
        Extent::Quick => 50,
    }
}

pub(super) fn key(number: u32) -> String {
    format!("key:{number:012}")
}

/// The keys of a caller's call.
fn keys(caller: u32, call: u32) -> impl Iterator<Item = String> {
    let first = (call * CALLERS + caller) * KEYS;
    (first..first + KEYS).map(key)
}

/// Keys a second: filled, and read.
#[derive(Clone, Copy)]
struct Rates {
    fill: f64,
    get: f64,
}

pub(crate) fn run(out: &mut dyn Write, settings: &Settings) -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let calls = calls(settings.extent);
    let ours = embedded(&folder.path().join("tier"), calls)?;
    let mut compare = |peer: &'static str, theirs: Rates| {
        for (bench, ours, theirs) in
            [("batch-fill", ours.fill, theirs.fill), ("batch-get", ours.get, theirs.get)]
        {
            let (unit, better, goal) = ("keys/s", Better::More, 0.5);
            writeln!(out, "{}", Comparison { bench, ours, peer, theirs, unit, better, goal })?;
        }
        Ok::<_, Error>(())
    };
    compare("fjall", fjall(&folder.path().join("fjall"), calls)?)?;
    match &settings.redis {
        Some(address) => compare("redis-server", redis(address, calls)?),
        None => Ok(writeln!(out, "# no redis-server to compare with: give --redis URL")?),
    }
}

pub(super) fn owner() -> Owner {
    Owner { keyspace: Arc::from("bench"), namespace: Arc::from("entries") }
}

/// Fills these keys, as a load does.
pub(super) async fn fill(tier: &EmbeddedTier, of: &Owner, keys: &[String]) -> Result<(), Error> {
    let names: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    let terms = LeaseTerms { time: Duration::from_secs(6), even_if_fresh: false };
    let answers = tier.get(of, &names, Some(terms)).await.map_err(store)?;
    let mut fills = Vec::with_capacity(keys.len());
    for (key, answer) in names.iter().zip(answers.answers) {
        let Answer::Leased { lease, .. } = answer else { return Err(store("a cold key was not leased")) };
        let value = Some(EnvelopeValue::Blob {
            bytes: std::iter::repeat_with(fastrand::alphanumeric)
                .take(VALUE.len())
                .collect::<String>()
                .into(),
            content_type: Arc::from("application/octet-stream"),
        });
        let envelope = Envelope {
            value,
            age_ms: 0,
            fresh_for_ms: 3_600_000,
            useless_after_ms: 3_600_000,
            noted: answers.tail,
            tags: Vec::new(),
            version: None,
            shape: 0,
            expired: false,
        };
        fills.push(Fill { key: (*key).into(), lease, envelope });
    }
    let filled = tier.fill(of, &fills).await.map_err(store)?;
    if filled.iter().all(|filled| *filled == Filled::Stored) {
        Ok(())
    } else {
        Err(store("a fill was refused"))
    }
}

async fn get(tier: &EmbeddedTier, of: &Owner, keys: &[String]) -> Result<(), Error> {
    let names: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    let answers = tier.get(of, &names, None).await.map_err(store)?;
    let found = answers.answers.iter().filter(|answer| matches!(answer, Answer::Held(_))).count();
    if found == keys.len() { Ok(()) } else { Err(store("a filled key was not held")) }
}

fn embedded(folder: &Path, calls: u32) -> Result<Rates, Error> {
    runtime()?.block_on(async {
        let disk = Disk::open(folder, DiskOptions::default()).await.map_err(store)?;
        let tier = EmbeddedTier::open(disk.clone(), EmbeddedOptions::default()).await.map_err(store)?;
        let tier = Arc::new(tier);
        let mut rates = [0.0; 2];
        for (fills, rate) in [true, false].into_iter().zip(&mut rates) {
            let start = now();
            let mut callers = JoinSet::new();
            for caller in 0..CALLERS {
                let tier = Arc::clone(&tier);
                callers.spawn(async move {
                    let of = owner();
                    for call in 0..calls {
                        let keys: Vec<String> = keys(caller, call).collect();
                        if fills { fill(&tier, &of, &keys).await? } else { get(&tier, &of, &keys).await? }
                    }
                    Ok::<_, Error>(())
                });
            }
            while let Some(done) = callers.join_next().await {
                done.map_err(store)??;
            }
            *rate = per_second(CALLERS * calls * KEYS, start.elapsed());
        }
        tier.close().await.map_err(store)?;
        disk.close().await.map_err(store)?;
        let [fill, get] = rates;
        Ok(Rates { fill, get })
    })
}

/// Lets callers work, each on a thread of its own; keys a second.
fn at_once(calls: u32, caller: impl Fn(u32) -> Result<(), Error> + Sync) -> Result<f64, Error> {
    let start = now();
    std::thread::scope(|scope| {
        let caller = &caller;
        let threads: Vec<_> = (0..CALLERS).map(|number| scope.spawn(move || caller(number))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| store("a caller panicked"))?)
    })?;
    Ok(per_second(CALLERS * calls * KEYS, start.elapsed()))
}

fn fjall(folder: &Path, calls: u32) -> Result<Rates, Error> {
    let database = fjall::Database::builder(folder).open().map_err(store)?;
    let entries = database.keyspace("entries", fjall::KeyspaceCreateOptions::default).map_err(store)?;
    let find = |keys: &[String]| {
        let held = keys.iter().map(|key| entries.get(key).map(|value| usize::from(value.is_some())));
        held.sum::<Result<usize, _>>().map_err(store)
    };
    let fill = at_once(calls, |caller| {
        for call in 0..calls {
            let keys: Vec<String> = keys(caller, call).collect();
            let found = find(&keys)?;
            let mut batch = database.batch();
            keys.into_iter().for_each(|key| batch.insert(&entries, key, VALUE));
            batch.commit().map_err(store)?;
            if found > 0 {
                return Err(store("a cold key was found"));
            }
        }
        Ok(())
    })?;
    let get = at_once(calls, |caller| {
        (0..calls).try_for_each(|call| {
            let keys: Vec<String> = keys(caller, call).collect();
            if find(&keys)? == keys.len() { Ok(()) } else { Err(store("a filled key was not found")) }
        })
    })?;
    Ok(Rates { fill, get })
}

/// A connection to a Redis.
struct Redis {
    stream: TcpStream,
    replies: BufReader<TcpStream>,
}

impl Redis {
    fn connect(address: &str) -> Result<Self, Error> {
        let stream = TcpStream::connect(address.trim_start_matches("redis://"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { replies: BufReader::new(stream.try_clone()?), stream })
    }

    /// How many of these keys are there.
    fn mget(&mut self, keys: &[String]) -> Result<usize, Error> {
        let mut command = Vec::new();
        write!(command, "*{}\r\n$4\r\nMGET\r\n", keys.len() + 1)?;
        for key in keys {
            write!(command, "${}\r\n{key}\r\n", key.len())?;
        }
        self.stream.write_all(&command)?;
        self.line()?;
        let mut found = 0;
        for _ in keys {
            let head = self.line()?;
            if head != "$-1" {
                let mut value = [0; VALUE.len() + 2];
                self.replies.read_exact(&mut value)?;
                found += 1;
            }
        }
        Ok(found)
    }

    fn set(&mut self, keys: &[String]) -> Result<(), Error> {
        let mut commands = Vec::new();
        for key in keys {
            write!(commands, "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n", key.len(), VALUE.len())?;
            commands.extend_from_slice(&VALUE);
            commands.extend_from_slice(b"\r\n");
        }
        self.stream.write_all(&commands)?;
        for _ in keys {
            let reply = self.line()?;
            if reply != "+OK" {
                return Err(store(format!("redis-server answered SET with \"{reply}\"")));
            }
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String, Error> {
        let mut line = String::new();
        self.replies.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

fn redis(address: &str, calls: u32) -> Result<Rates, Error> {
    let fill = at_once(calls, |caller| {
        let mut redis = Redis::connect(address)?;
        (0..calls).try_for_each(|call| {
            let keys: Vec<String> = keys(caller, call).collect();
            redis.mget(&keys)?;
            redis.set(&keys)
        })
    })?;
    let get = at_once(calls, |caller| {
        let mut redis = Redis::connect(address)?;
        (0..calls).try_for_each(|call| {
            let keys: Vec<String> = keys(caller, call).collect();
            if redis.mget(&keys)? == keys.len() { Ok(()) } else { Err(store("a filled key was not found")) }
        })
    })?;
    Ok(Rates { fill, get })
}

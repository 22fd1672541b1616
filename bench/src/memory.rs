//! `memory`: what an entry of a 16-byte key and a 100-byte value takes, beside redis-server.
//!
//! Ours is the growth of resident memory of a process that does nothing else, so that whatever the allocator and the table
//! waste is counted. Redis tells `used_memory`, which leaves a part of its allocator's waste out. Both use jemalloc, as they
//! are shipped; the note says what Redis was built with. The values are blobs, as front ends serve them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use forebay::{Blob, Forebay, Value};

use crate::error::Error;
use crate::report::{Better, Comparison};
use crate::{Extent, Settings};

pub(crate) const MEASURES: &str = "memory an entry, 16-byte key and 100-byte value, against redis-server";
pub(crate) const GOAL: &str = "ratio >= 1";

/// The hidden argument under which this binary measures ours and prints it.
pub(crate) const ALONE: &str = "memory-alone";

const VALUE: [u8; 100] = [b'v'; 100];
/// What redis-server 7.0.15 takes an entry, in bytes, where there is none to ask.
const KNOWN_BYTES: f64 = 202.0;
/// Commands sent before their replies are read.
const PIPELINE: usize = 500;
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(out: &mut dyn Write, settings: &Settings) -> Result<(), Error> {
    let (theirs, note) = match &settings.redis {
        Some(address) => redis(address, entries(settings.extent))?,
        None => (KNOWN_BYTES, "none to ask: what redis-server 7.0.15 took on another machine".to_owned()),
    };
    let ours = in_a_process_of_its_own(settings.extent)?;
    writeln!(out, "# {} entries; redis-server: {note}", entries(settings.extent))?;
    let (bench, peer, unit, better, goal) = ("memory", "redis-server", "bytes", Better::Less, 1.0);
    writeln!(out, "{}", Comparison { bench, ours, peer, theirs, unit, better, goal })?;
    Ok(())
}

fn entries(extent: Extent) -> u32 {
    match extent {
        Extent::Full => 1_000_000,
        Extent::Quick => 100_000,
    }
}

fn key(number: u32) -> String {
    format!("key:{number:012}")
}

fn in_a_process_of_its_own(extent: Extent) -> Result<f64, Error> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(ALONE);
    if extent == Extent::Quick {
        command.arg("--quick");
    }
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    said.trim().parse().map_err(|_| Error::Memory { problem: String::from_utf8_lossy(&output.stderr).into() })
}

/// Fills an engine and writes the bytes that an entry takes.
pub(crate) fn alone(out: &mut dyn Write, extent: Extent) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let _entered = runtime.enter();
    let engine = Forebay::builder().memory_budget_bytes(4 * 1024 * 1024 * 1024).build()?;
    let namespace =
        engine.namespace::<Blob>("memory").key("{key}").ttl(Duration::from_secs(24 * 60 * 60)).build()?;
    let before = resident_bytes()?;
    for number in 0..entries(extent) {
        namespace.write(key(number).as_bytes(), Value::from(Blob::opaque(VALUE)), None)?;
    }
    let grown = resident_bytes()? - before;
    let last = namespace.read_now(key(entries(extent) - 1).as_bytes());
    if last.is_none_or(|read| read.value.is_none()) {
        return Err(Error::Memory { problem: "the last entry is not held".to_owned() });
    }
    writeln!(out, "{}", grown / f64::from(entries(extent)))?;
    Ok(())
}

/// The memory of this process that is not swapped out.
fn resident_bytes() -> Result<f64, Error> {
    resident_bytes_of("self")
}

/// The memory of a process that is not swapped out; it is named by its id, or is `self`.
pub(crate) fn resident_bytes_of(process: &str) -> Result<f64, Error> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    let kibibytes: Option<f64> = kibibytes.and_then(|number| number.parse().ok());
    let problem = || Error::Memory { problem: "/proc tells no VmRSS in kB".to_owned() };
    Ok(kibibytes.ok_or_else(problem)? * 1024.0)
}

/// What an entry takes in the Redis at `address`, with its version and allocator.
fn redis(address: &str, entries: u32) -> Result<(f64, String), Error> {
    let stream = TcpStream::connect(address.trim_start_matches("redis://"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut redis = Redis { replies: BufReader::new(stream.try_clone()?), stream };
    let before = redis.info("memory", "used_memory")?;
    let numbers: Vec<u32> = (0..entries).collect();
    for batch in numbers.chunks(PIPELINE) {
        redis.set_all(batch)?;
    }
    let after = redis.info("memory", "used_memory")?;
    let version = redis.info("server", "redis_version")?;
    let allocator = redis.info("memory", "mem_allocator")?;
    let bytes = |text: &str| -> Result<f64, Error> {
        text.parse().map_err(|_| Error::Memory { problem: format!("used_memory is \"{text}\"") })
    };
    Ok(((bytes(&after)? - bytes(&before)?) / f64::from(entries), format!("{version} with {allocator}")))
}

struct Redis {
    stream: TcpStream,
    replies: BufReader<TcpStream>,
}

impl Redis {
    fn set_all(&mut self, numbers: &[u32]) -> Result<(), Error> {
        let mut commands = Vec::new();
        for &number in numbers {
            let key = key(number);
            write!(commands, "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n", key.len(), VALUE.len())?;
            commands.extend_from_slice(&VALUE);
            commands.extend_from_slice(b"\r\n");
        }
        self.stream.write_all(&commands)?;
        for _ in numbers {
            let reply = self.line()?;
            if reply != "+OK" {
                return Err(Error::Memory { problem: format!("redis-server answered SET with \"{reply}\"") });
            }
        }
        Ok(())
    }

    /// The field `name` of a section of INFO.
    fn info(&mut self, section: &str, name: &str) -> Result<String, Error> {
        write!(self.stream, "INFO {section}\r\n")?;
        let head = self.line()?;
        let problem = || Error::Memory { problem: format!("redis-server answered INFO with \"{head}\"") };
        let length: u64 =
            head.strip_prefix('$').and_then(|length| length.parse().ok()).ok_or_else(problem)?;
        let mut text = String::new();
        self.replies.by_ref().take(length + 2).read_to_string(&mut text)?;
        let field = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        field.map(str::to_owned).ok_or_else(problem)
    }

    fn line(&mut self) -> Result<String, Error> {
        let mut line = String::new();
        self.replies.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

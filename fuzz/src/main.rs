//! `cargo xtask fuzz` runs this: every target in turn, each for its share of the time.
//!
//! It prints a line `fuzz=NAME runs=N per_second=N seen=N findings=N` for each target. A finding is written to a file, and printed as a
//! line for the corpus. An input that ends the process, or on which it hangs, is found in the file `current` afterwards.

#![allow(clippy::print_stdout, reason = "a command that talks to the person at the terminal")]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use forebay::rt::Clock;
use forebay::rt::atomic::{AtomicU64, Ordering};
use forebay_fuzz::hunt::{Finding, Hunt, Watch};
use forebay_fuzz::mutate::seed_of;
use forebay_fuzz::{Fault, Target, corpus, targets};

/// After so long without an end to one input, the process ends.
const HANGS: Duration = Duration::from_secs(60);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Inputs tried between two looks at the clock.
const BETWEEN_LOOKS: u32 = 16;
/// A target with so many findings has had its time.
const FINDINGS_MAX: u64 = 5;

/// Attacks the parsers of Forebay with inputs made from their corpora.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which; all where none is named
    targets: Vec<String>,
    /// How long, in all
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// What the inputs are made by
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Where findings are written
    #[arg(long, value_name = "FOLDER", default_value = "target/fuzz")]
    to: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(findings) => {
            println!("{findings} findings: add the lines above to their corpora, and mend the parsers");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<u64, String> {
    let chosen = chosen(&arguments.targets)?;
    std::fs::create_dir_all(&arguments.to).map_err(|error| format!("{}: {error}", arguments.to.display()))?;
    let share = Duration::from_secs(arguments.seconds) / u32::try_from(chosen.len()).unwrap_or(1).max(1);
    let lookout =
        Lookout::begin(&arguments.to).map_err(|error| format!("{}: {error}", arguments.to.display()))?;
    let mut findings = 0;
    for target in chosen {
        findings += attack(target, arguments, share, &lookout)?;
    }
    Ok(findings)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Target>, String> {
    if names.is_empty() {
        return Ok(targets::ALL.iter().collect());
    }
    let named = |name: &String| {
        let known = || targets::ALL.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
        targets::find(name).ok_or_else(|| format!("there is no target `{name}`: there are {}", known()))
    };
    names.iter().map(named).collect()
}

/// Attacks `target` for as long as `share`; how much was found.
fn attack(target: &Target, arguments: &Arguments, share: Duration, lookout: &Lookout) -> Result<u64, String> {
    let clock = Clock::system();
    let until = clock.now().after(share);
    let begun = clock.now();
    let (mut findings, mut runs, mut seen) = (0, 0, 0);
    let mut seed = arguments.seed;
    // After a finding what was attacked may be in any state: a new one is begun.
    while findings < FINDINGS_MAX && (clock.now() < until || runs == 0) {
        let inputs = corpus::of(target.name).map_err(|error| error.to_string())?;
        let stage = |fault: Fault| format!("{}: {fault}", target.name);
        let mut hunt = Hunt::begin(target, inputs, seed, lookout.watch()).map_err(stage)?;
        let found = hunt_until(&mut hunt, || clock.now() >= until, runs == 0);
        runs += hunt.runs();
        seen = seen.max(hunt.seen());
        seed = seed.wrapping_add(1);
        if let Some(found) = found {
            findings += 1;
            tell(target, &found, &arguments.to)?;
        }
    }
    let per_second = u128::from(runs) * 1000 / clock.now().since(begun).as_millis().max(1);
    println!("fuzz={} runs={runs} per_second={per_second} seen={seen} findings={findings}", target.name);
    Ok(findings)
}

fn hunt_until(hunt: &mut Hunt<'_>, is_over: impl Fn() -> bool, first: bool) -> Option<Box<Finding>> {
    let replayed = hunt.replay();
    // What the corpus itself shows is told once, and does not keep the hunt from going on.
    if let (Err(found), true) = (replayed, first) {
        return Some(found);
    }
    while !is_over() {
        for _ in 0..BETWEEN_LOOKS {
            if let Err(found) = hunt.step() {
                return Some(found);
            }
        }
    }
    None
}

fn tell(target: &Target, found: &Finding, to: &Path) -> Result<(), String> {
    let path = to.join(format!("{}-{:016x}", target.name, seed_of(&found.input)));
    std::fs::write(&path, &found.input).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{}: {}", target.name, found.fault);
    println!("  the input is in {}; the line for fuzz/corpus/{}.txt is", path.display(), target.name);
    println!("{}", corpus::line(&found.input));
    Ok(())
}

/// Looks whether an input has come to its end, and keeps it in a file meanwhile.
struct Lookout {
    current: PathBuf,
    /// How many inputs were tried, of all targets.
    tried: Arc<AtomicU64>,
}

impl Lookout {
    fn begin(folder: &Path) -> io::Result<Self> {
        let (current, tried) = (folder.join("current"), Arc::new(AtomicU64::new(0)));
        let (path, seen) = (current.clone(), Arc::clone(&tried));
        std::thread::Builder::new().name("lookout".into()).spawn(move || look_out(&seen, &path))?;
        Ok(Self { current, tried })
    }

    fn watch(&self) -> Box<dyn Watch> {
        let file = File::create(&self.current).ok();
        Box::new(Current { file, tried: Arc::clone(&self.tried) })
    }
}

/// Ends the process where one input takes for ever. The process ends it.
fn look_out(tried: &AtomicU64, current: &Path) {
    let clock = Clock::system();
    let (mut last, mut since) = (0, clock.now());
    loop {
        std::thread::park_timeout(LOOK);
        let (now, count) = (clock.now(), tried.load(Ordering::Relaxed));
        if count != last {
            (last, since) = (count, now);
        } else if now.since(since) > HANGS {
            println!("it hangs: the input is in {}", current.display());
            std::process::exit(1);
        }
    }
}

struct Current {
    file: Option<File>,
    tried: Arc<AtomicU64>,
}

impl Watch for Current {
    fn tried(&mut self, input: &[u8]) {
        self.tried.fetch_add(1, Ordering::Relaxed);
        let written = self.file.as_ref().map(|file| {
            file.set_len(u64::try_from(input.len()).unwrap_or_default())?;
            file.write_all_at(input, 0)
        });
        // A disk that is full takes nothing away from the hunt but this.
        if matches!(written, Some(Err(_))) {
            self.file = None;
        }
    }
}

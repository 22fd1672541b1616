//! What RESP clients have asked for: how often each command, and how long those of each group took.
//!
//! A hit costs microseconds, so that it may not cost more than a few nanoseconds to be measured: a connection keeps a [`Tally`] of
//! the commands that came together, reads the clock before the first and after the last of them, and adds all up at once. So every
//! command of a pipeline counts the time that its client waited for the whole. The counters are striped by connection. What is
//! counted is bounded by the command table, whatever clients send.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use forebay::observe::{Distribution, Histogram};
use forebay::rt::Clock;
use forebay_wire::resp::{self, CommandSpec, Group};

use super::stopwatch::Stopwatch;

/// Stripes of counters; a connection keeps to one.
const STRIPES: usize = 4;
/// Different commands that a tally knows at once.
const TALLIED_MAX: usize = 16;
/// The name of what is no command.
const UNKNOWN: &str = "unknown";

/// What all connections have asked for.
#[derive(Debug)]
pub(crate) struct Commands {
    /// The names of the commands in the order of their counters; what is no command is the last.
    names: Vec<&'static str>,
    /// The place and the group of each name.
    places: HashMap<&'static str, (usize, usize)>,
    stripes: [Stripe; STRIPES],
}

#[derive(Debug)]
#[repr(align(128))]
struct Stripe {
    /// By the places of the names.
    counts: Box<[AtomicU64]>,
    /// In microseconds, by the places of the groups.
    took: [Histogram; Group::ALL.len()],
}

impl Default for Commands {
    fn default() -> Self {
        let mut specs = Vec::new();
        resp::commands().for_each(|spec| and_below(spec, &mut specs));
        let place = |(place, spec): (usize, &&'static CommandSpec)| {
            let group = Group::ALL.iter().position(|group| *group == spec.group).unwrap_or_default();
            (spec.name, (place, group))
        };
        let places = specs.iter().enumerate().map(place).collect();
        let names: Vec<_> = specs.iter().map(|spec| spec.name).chain([UNKNOWN]).collect();
        let stripe = |_| Stripe {
            counts: names.iter().map(|_| AtomicU64::new(0)).collect(),
            took: std::array::from_fn(|_| Histogram::default()),
        };
        Self { stripes: std::array::from_fn(stripe), names, places }
    }
}

fn and_below(spec: &'static CommandSpec, specs: &mut Vec<&'static CommandSpec>) {
    specs.push(spec);
    spec.subcommands.iter().for_each(|sub| and_below(sub, specs));
}

impl Commands {
    /// How often each command was asked for that was at all, in the order of the table: its name in small letters, words apart.
    pub(crate) fn counts(&self) -> Vec<(String, u64)> {
        let counted = self.names.iter().enumerate().map(|(place, name)| {
            let of =
                |stripe: &Stripe| stripe.counts.get(place).map_or(0, |count| count.load(Ordering::Relaxed));
            (name.to_ascii_lowercase().replace('|', " "), self.stripes.iter().map(of).sum())
        });
        counted.filter(|(_, count)| *count > 0).collect()
    }

    /// How long the commands of each group took, in microseconds.
    pub(crate) fn took(&self) -> Vec<(&'static str, Distribution)> {
        let of = |(place, group): (usize, Group)| {
            let mut all = Distribution::default();
            for took in self.stripes.iter().filter_map(|stripe| stripe.took.get(place)) {
                all.merge(&took.snapshot());
            }
            (group.word(), all)
        };
        Group::ALL.into_iter().enumerate().map(of).collect()
    }

    /// The place of a command's counter, and that of its group; what is no command has no group.
    fn place(&self, name: &str) -> (usize, Option<usize>) {
        match self.places.get(name) {
            Some((place, group)) => (*place, Some(*group)),
            None => (self.names.len().saturating_sub(1), None),
        }
    }
}

/// What one connection has asked for that came together.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    begun: Option<Stopwatch>,
    /// The commands that it asks for, most of which it will ask for again.
    commands: Vec<Tallied>,
}

#[derive(Debug)]
struct Tallied {
    name: &'static str,
    place: usize,
    group: Option<usize>,
    count: u64,
}

impl Tally {
    /// The first of the commands that came together is about to be carried out.
    pub(crate) fn begin(&mut self, clock: &Clock) {
        self.begun.get_or_insert_with(|| Stopwatch::start(clock));
    }

    /// One of them has been; `None` is one that is not in the table.
    pub(crate) fn count(&mut self, name: Option<&'static str>, all: &Commands) {
        let name = name.unwrap_or(UNKNOWN);
        // Names are those of the table, so that the same name lies in the same place.
        if let Some(known) = self.commands.iter_mut().find(|known| std::ptr::eq(known.name, name)) {
            known.count += 1;
            return;
        }
        if self.commands.len() >= TALLIED_MAX {
            // Those that are not counted yet stay.
            self.commands.retain(|known| known.count > 0);
        }
        let (place, group) = all.place(name);
        if self.commands.len() < TALLIED_MAX {
            self.commands.push(Tallied { name, place, group, count: 1 });
        } else if let Some(count) = all.stripes.first().and_then(|stripe| stripe.counts.get(place)) {
            // So many different ones at once are counted, and not measured.
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All of them have been answered: adds them to what all connections have asked for. `connection` is the number of this one.
    pub(crate) fn end(&mut self, all: &Commands, connection: i64) {
        let Some(begun) = self.begun.take() else { return };
        let took_us = begun.elapsed_us();
        let stripe = usize::try_from(connection).unwrap_or_default() % STRIPES;
        let Some(stripe) = all.stripes.get(stripe) else { return };
        for known in self.commands.iter_mut().filter(|known| known.count > 0) {
            let count = std::mem::take(&mut known.count);
            if let Some(counter) = stripe.counts.get(known.place) {
                counter.fetch_add(count, Ordering::Relaxed);
            }
            if let Some(took) = known.group.and_then(|group| stripe.took.get(group)) {
                took.record_many(took_us, count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(of: &str) -> &'static str {
        Commands::default().names.iter().find(|name| **name == of).unwrap()
    }

    #[test]
    fn what_came_together_is_counted_at_its_end() {
        let (all, mut tally) = (Commands::default(), Tally::default());
        for _ in 0..3 {
            tally.begin(&Clock::simulated());
            tally.count(Some(name("GET")), &all);
        }
        tally.count(Some(name("CLIENT|ID")), &all);
        tally.count(None, &all);
        assert_eq!(all.counts(), []);
        tally.end(&all, 7);
        let counted = [("client id".to_owned(), 1), ("get".to_owned(), 3), ("unknown".to_owned(), 1)];
        let mut counts = all.counts();
        counts.sort();
        assert_eq!(counts, counted);
        let took: Vec<_> = all.took().into_iter().filter(|(_, took)| took.count() > 0).collect();
        let groups: Vec<_> = took.iter().map(|(group, took)| (*group, took.count())).collect();
        assert_eq!(groups, [("connection", 1), ("string", 3)]);
        tally.end(&all, 7);
        assert_eq!(all.counts().len(), 3, "counted twice");
    }

    /// A connection that asks for everything in one pipeline.
    #[test]
    fn a_tally_is_bounded_and_loses_nothing() {
        let (all, mut tally) = (Commands::default(), Tally::default());
        for round in 1..=3 {
            tally.begin(&Clock::simulated());
            for name in &all.names {
                tally.count(Some(name), &all);
                assert!(tally.commands.len() <= TALLIED_MAX);
            }
            tally.end(&all, 1);
            assert_eq!(all.counts().len(), all.names.len());
            assert!(all.counts().iter().all(|(_, count)| *count == round), "{:?}", all.counts());
        }
    }
}

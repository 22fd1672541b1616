//! The alarms of the declaration: looked after once a second, over what is in service then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::Tick;
use forebay::{Blob, Keyspace, Namespace};

use super::super::Observed;
use super::super::health::Health;
use super::bounds::{Sample, Window};
use super::{By, Id};
use crate::assembly::Assembled;
use crate::configuration::{Alarm, Bounds};
use crate::stop::Stop;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// An alarm in service, and what it watches.
#[derive(Clone, Debug)]
pub(crate) struct AlarmOf {
    id: Id,
    declared: Alarm,
    keyspace: Arc<Keyspace>,
}

/// The alarms that are declared, on what was built.
pub(crate) fn of(assembled: &[Assembled]) -> Vec<AlarmOf> {
    let of_one = |one: &Assembled| {
        let alarms = one.declared.alarms.iter();
        let alarm = |(name, declared): (&String, &Alarm)| AlarmOf {
            id: Id {
                keyspace: one.declared.name.as_str().into(),
                name: name.as_str().into(),
                by: By::Declaration,
            },
            declared: declared.clone(),
            keyspace: Arc::clone(&one.keyspace),
        };
        alarms.map(alarm).collect::<Vec<_>>()
    };
    assembled.iter().flat_map(of_one).collect()
}

/// What is known of one alarm from looking again and again.
#[derive(Debug)]
struct Watched {
    declared: Alarm,
    window: Window,
    /// When something was out of bounds last.
    wrong: Option<Tick>,
}

/// Looks again and again, until the process stops.
pub(crate) async fn watch(observed: Arc<Observed>, mut stop: Stop) {
    let mut watched = BTreeMap::new();
    let mut view = observed.keyspaces.view();
    let clock = observed.engine.clock().clone();
    loop {
        look(&observed, &mut watched, clock.now());
        tokio::select! {
            () = clock.sleep(LOOK_EVERY) => {}
            () = view.moved() => {}
            () = stop.asked() => return,
        }
    }
}

/// Looks at every alarm once. Those that are declared no more are forgotten; one that is declared otherwise begins anew.
fn look(observed: &Observed, watched: &mut BTreeMap<Id, Watched>, now: Tick) {
    let served = observed.keyspaces.now();
    let is_gone = |id: &Id| !served.alarms.iter().any(|alarm| alarm.id == *id);
    let gone: Vec<Id> = watched.keys().filter(|id| is_gone(id)).cloned().collect();
    for id in gone {
        watched.remove(&id);
        observed.alarms.forget(&id);
    }
    let asks = served.alarms.iter().any(|alarm| !alarm.declared.troubles.is_empty());
    let health = asks.then(|| Health::of(observed));
    for alarm in &served.alarms {
        let of = watched.entry(alarm.id.clone()).or_insert_with(|| Watched::new(&alarm.declared));
        if of.declared != alarm.declared {
            *of = Watched::new(&alarm.declared);
        }
        match of.wrong(alarm, health.as_ref(), now) {
            Some(reason) => observed.alarms.raise(alarm.id.clone(), &reason, alarm.declared.unready),
            None if of.is_over(now) => observed.alarms.clear(&alarm.id),
            None => {}
        }
    }
}

impl Watched {
    fn new(declared: &Alarm) -> Self {
        Self { declared: declared.clone(), window: Window::default(), wrong: None }
    }

    /// What is wrong now.
    fn wrong(&mut self, alarm: &AlarmOf, health: Option<&Health>, now: Tick) -> Option<String> {
        let of_reads = self.declared.bounds.as_ref().and_then(|bounds| {
            let sample = Sample::of(namespace(alarm, bounds)?, bounds.latency_max);
            self.window.look(now, sample, self.declared.window, bounds)
        });
        let of_health = || health?.one_of(&self.declared.troubles, &alarm.id.keyspace);
        let wrong = of_reads.or_else(of_health);
        if wrong.is_some() {
            self.wrong = Some(now);
        }
        wrong
    }

    /// Whether nothing has been wrong for a window.
    fn is_over(&self, now: Tick) -> bool {
        self.wrong.is_none_or(|wrong| now.since(wrong) >= self.declared.window)
    }
}

fn namespace<'a>(alarm: &'a AlarmOf, bounds: &Bounds) -> Option<&'a Namespace<Blob>> {
    alarm.keyspace.namespace(&bounds.namespace)
}

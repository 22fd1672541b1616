//! Options of an alarm: the bounds that it watches, and the troubles that it tells of.

use super::{Kind, NONE, Opt, Section, TextKind, between, millis};

pub(super) static ALARM: Section = Section {
    path: "alarm.NAME",
    about: "Raised while something is out of its bounds, and told by a metric, by `/health/ready` and by one line of the log: of a \
            namespace its hit rate or the latency of its reads, or what is wrong with the process. Environments have the same alarms.",
    options: &[
        Opt {
            name: "namespace",
            kind: Kind::Text(TextKind::Name),
            default: NONE,
            effect: "The namespace that `hit_rate_min` and `latency_max` are of.",
        },
        Opt {
            name: "hit_rate_min",
            kind: Kind::Percent,
            default: NONE,
            effect: "Raised where a smaller share of the reads was answered without waiting for the source: from memory, a stale value \
                     included, or from the tier below.",
        },
        Opt {
            name: "latency_max",
            kind: between(millis(1), millis(60_000)),
            default: NONE,
            effect: "Raised where more than one read in a hundred took longer (p99). What memory answered took no time; what waited took \
                     as long as the loads of the window, or their wait in the queue.",
        },
        Opt {
            name: "requests_min",
            kind: Kind::Integer { min: 1, max: 1_000_000_000 },
            default: "100",
            effect: "With fewer reads in the window nothing is out of bounds.",
        },
        Opt {
            name: "troubles",
            kind: Kind::Texts(TextKind::Name),
            default: NONE,
            effect: "Raised while one of these is told by `/health/ready`, of this keyspace or of the whole process: \
                     `[\"database_unreachable\", \"copies_failed\"]`.",
        },
        Opt {
            name: "window",
            kind: between(millis(1_000), millis(3_600_000)),
            default: "1m",
            effect: "How far back reads are looked at. The alarm is over when for so long nothing was out of bounds.",
        },
        Opt {
            name: "unready",
            kind: Kind::Flag,
            default: "`false`",
            effect: "While it is raised `/health/ready` answers 503, so that balancers send requests elsewhere.",
        },
    ],
};

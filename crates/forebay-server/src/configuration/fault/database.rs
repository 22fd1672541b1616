//! Faults of databases, the shared tier, environments, and several declarations together.

use super::{Advice, advice};

#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseFault {
    #[error("{place} needs {schemes}")]
    BadScheme { place: &'static str, schemes: &'static str },
    #[error("a SQLite database in memory cannot be served: every connection would see another one")]
    InMemory,
    #[error("the url of a database needs {what}")]
    Incomplete { what: &'static str, mend: &'static str },
    #[error("{kind} has no feed of row changes")]
    NoFeed { kind: &'static str },
    #[error("{kind} has no replicas that can be read")]
    NoReplicas { kind: &'static str },
    #[error("`warm` is more than `max`")]
    WarmOverMax { max: u32 },
    #[error("there is no `[database.{name}]`")]
    UnknownDatabase { name: String, mend: String },
    #[error(
        "the environment `{environment}` gives no address for the database `{database}`, so it would share production's data"
    )]
    SharedData { environment: String, database: String },
    #[error("the environment `{environment}` has the same `{database}` as {by}, so it would share its data")]
    SameAddress { environment: String, database: String, by: String },
    #[error("the number {db} is taken by the keyspace `{by}`")]
    TakenNumber { db: u16, by: String, free: u16 },
    #[error("the keyspace `{name}` is declared twice")]
    TakenKeyspace { name: String },
    #[error("`[{table}]` says something else than in another file")]
    Disagree { table: &'static str },
    #[error("`prefix` has no meaning in a tier that no other program writes to")]
    PrefixLocal,
    #[error("`[app.{name}]` stands in two files")]
    AppTwice { name: String },
}

impl DatabaseFault {
    fn advice(&self) -> Advice {
        match self {
            Self::BadScheme { schemes, .. } => advice("another kind of address", format!("write {schemes}")),
            Self::InMemory => advice("in memory", "name a file: `sqlite:data/main.db`"),
            Self::Incomplete { mend, .. } => advice("incomplete", *mend),
            Self::NoFeed { .. } => advice(
                "nothing to feed from",
                "leave `feed` out; invalidate from your program, or keep the TTL as short as stale answers may be old",
            ),
            Self::NoReplicas { .. } => {
                advice("no replicas", "leave `replicas` out, or name a PostgreSQL database")
            }
            Self::WarmOverMax { max } => {
                advice("too many", format!("write `warm` of at most {max}, or raise `max`"))
            }
            Self::UnknownDatabase { mend, .. } => advice("not declared", mend),
            Self::SharedData { environment, database } => advice(
                "has no database of its own",
                format!("add `[environment.{environment}.database.{database}]` with a `url` of its own"),
            ),
            Self::SameAddress { .. } => advice("the same place", "give it another file or database"),
            Self::TakenNumber { free, .. } => {
                advice("taken", format!("pick another one, like `db = {free}`"))
            }
            Self::TakenKeyspace { .. } => {
                advice("the same name", "rename one of them: the name is in its paths")
            }
            Self::Disagree { table } => {
                advice("another one", format!("keep `[{table}]` in one file; one process has one"))
            }
            Self::PrefixLocal => advice("no other program writes there", "leave `prefix` out"),
            Self::AppTwice { .. } => advice("another one", "keep the app's settings in one file"),
        }
    }
}

super::fault_by_advice!(DatabaseFault);

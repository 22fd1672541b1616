//! What is to be seen of a database from outside: how many of its connections are open, and how many of these are in use.

use super::{Database, Pool};

/// The connections of a database, from one moment. Those of its replicas are not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Connections that work, or are held by who is about to let them.
    pub active: u32,
    /// Connections that are open and free.
    pub idle: u32,
    /// The most that may be open.
    pub max: u32,
}

impl Database {
    /// Its connections now.
    #[must_use]
    pub fn connections(&self) -> Connections {
        match self.pool() {
            Pool::Sqlite(pool) => {
                Connections::of(pool.size(), pool.num_idle(), pool.options().get_max_connections())
            }
            Pool::Postgres(pool) => {
                Connections::of(pool.size(), pool.num_idle(), pool.options().get_max_connections())
            }
        }
    }
}

impl Connections {
    /// Both numbers are read one after the other, so that one may be of a moment later.
    fn of(open: u32, idle: usize, max: u32) -> Self {
        let idle = u32::try_from(idle).unwrap_or(u32::MAX).min(open);
        Self { active: open - idle, idle, max }
    }
}

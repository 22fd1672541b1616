//! What is to be seen of a database from outside: how many of its connections are open, how many of these are in use, and whether it
//! answers.

use super::{Database, DatabaseError, Pool};

/// What a SQLite database is asked: it has to look into its file.
const LOOK: &str = "select 1 from sqlite_schema limit 1";
/// How often it is asked before it counts as one that does not answer: the first connection may be one that has been cut meanwhile.
const TRIES: usize = 2;

/// The connections of a database, from one moment. Those of its replicas are not among them, nor that by which
/// transactions write to a SQLite file.
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

/// What came of asking a database whether it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ping {
    /// It answered.
    Answered,
    /// It was not asked, since all its connections are at work: whether it answers is not known.
    Busy,
}

impl Database {
    /// Whether it answers; waits for a free connection as long as is declared. It is not asked where all its connections are at work,
    /// since the question would wait for these and not for the database.
    ///
    /// # Errors
    /// What it said, or what kept it from saying anything.
    pub async fn ping(&self) -> Result<Ping, DatabaseError> {
        let Connections { active, max, .. } = self.connections();
        if active >= max {
            return Ok(Ping::Busy);
        }
        let mut asked = Ok(());
        for _ in 0..TRIES {
            asked = match self.pool() {
                Pool::Sqlite(pool) => sqlx::query(LOOK).execute(pool).await.map(drop),
                Pool::Postgres(pool) => sqlx::query("select 1").execute(pool).await.map(drop),
            };
            if asked.is_ok() {
                break;
            }
        }
        asked?;
        Ok(Ping::Answered)
    }
}

impl Connections {
    /// Both numbers are read one after the other, so that one may be of a moment later.
    fn of(open: u32, idle: usize, max: u32) -> Self {
        let idle = u32::try_from(idle).unwrap_or(u32::MAX).min(open);
        Self { active: open - idle, idle, max }
    }
}

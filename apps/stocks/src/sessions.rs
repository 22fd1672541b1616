//! Sessions: who is logged in, with which permissions, and when they were last seen.
//!
//! A session lives in `USER_SESSIONS`, a store: it ends an hour after its last use, at the latest thirty days after the login. Who a user is, and what
//! they may do, is a row of `users`; a session has a copy, which [`Sessions::confirm`] compares with the row.
//!
//! `last_active` moves with each use that is told here, without a write: uses are gathered, one for each user, and written together every
//! [`FLUSHED`]. What a process that ends had not written yet is lost, so that `last_active` is late by that at most; the hour itself is counted by
//! the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::{Clock, Mutex};
use forebay::value::{Blob, Value};
use forebay_server::app::Served;
use forebay_server::problem::Problem;
use forebay_server::time::WallClock;
use forebay_stores::database::transaction::TransactionError;
use forebay_stores::database::{Database, Row, Statement};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::moment;
use crate::exchange::SESSIONS;
use crate::refusal::{Refusal, not_in_service, of_transaction};

/// How often what was seen is written.
pub const FLUSHED: Duration = Duration::from_secs(30);
/// Of so many users at most uses are gathered between two writes; of the rest the store alone knows.
const SEEN_MAX: usize = 100_000;

/// A session, as its key has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Whose it is.
    pub user_id: String,
    /// What they are called.
    pub username: String,
    /// What they may do.
    pub permissions: Vec<String>,
    /// When they were last seen.
    pub last_active: Timestamp,
}

impl Session {
    fn value(&self) -> Value {
        // Text, and a list of it: there is nothing that JSON has no words for.
        Value::from(Blob::json(serde_json::to_vec(self).unwrap_or_default()))
    }

    fn of(value: &Value) -> Option<Self> {
        serde_json::from_slice(&value.to_blob()?.bytes()).ok()
    }
}

/// A user, as the row has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct User {
    /// Unlike any other's.
    pub user_id: String,
    /// What they are called.
    pub username: String,
    /// What they may do.
    pub permissions: Vec<String>,
}

impl User {
    fn of(row: &Row) -> Result<Self, Refusal> {
        let permissions: String = row.get("permissions")?;
        Ok(Self {
            user_id: row.get("user_id")?,
            username: row.get("username")?,
            permissions: serde_json::from_str(&permissions).map_err(|_| Refusal::damaged("permissions"))?,
        })
    }
}

/// The sessions of the keyspace. Clones are the same.
#[derive(Clone, Debug)]
pub struct Sessions {
    database: Database,
    served: Served,
    wall: WallClock,
    seen: Arc<Mutex<HashMap<String, Timestamp>>>,
}

fn key(user_id: &str) -> String {
    format!("session:{user_id}")
}

impl Sessions {
    /// Sessions of the users of `database`.
    #[must_use]
    pub fn new(database: Database, served: Served, wall: WallClock) -> Self {
        Self { database, served, wall, seen: Arc::default() }
    }

    fn namespace<T>(&self, of: impl FnOnce(&forebay::Namespace<Blob>) -> T) -> Result<T, Problem> {
        let keyspace = self.served.now().ok_or_else(not_in_service)?;
        keyspace.namespace(SESSIONS).map(of).ok_or_else(not_in_service)
    }

    /// Writes a user; whether they are new. A session that they have goes on as it is until it is confirmed.
    ///
    /// # Errors
    /// What the database says against it.
    pub async fn put_user(&self, user: &User) -> Result<bool, Problem> {
        const FIND: &str = "select user_id from users where user_id = $1";
        const PUT: &str = "insert into users (user_id, username, permissions) values ($1, $2, $3) \
             on conflict (user_id) do update set username = excluded.username, permissions = excluded.permissions";
        let permissions = serde_json::to_string(&user.permissions).unwrap_or_default();
        let put = self.database.transaction(async |tx| -> Result<bool, Refusal> {
            let found = tx.rows(Statement::new(FIND).bind(user.user_id.as_str())).await?;
            let put = Statement::new(PUT).bind(user.user_id.as_str()).bind(user.username.as_str());
            tx.execute(put.bind(permissions)).await?;
            Ok(found.is_empty())
        });
        let put: Result<_, TransactionError<Refusal>> = put.await;
        Ok(put.map_err(of_transaction)?.value)
    }

    async fn user(&self, user_id: &str) -> Result<Option<User>, Problem> {
        const USER: &str = "select user_id, username, permissions from users where user_id = $1";
        let rows = self.database.rows(Statement::new(USER).bind(user_id)).await;
        let rows = rows.map_err(|error| Problem::database(&error))?;
        Ok(rows.first().map(User::of).transpose()?)
    }

    /// Begins a session of a user, in place of one that they have.
    ///
    /// # Errors
    /// `user_unknown`; what the database or the store says against it.
    pub async fn begin(&self, user_id: &str) -> Result<Session, Problem> {
        let user = self.user(user_id).await?.ok_or_else(|| Refusal::NoUser(user_id.to_owned()))?;
        let User { user_id, username, permissions } = user;
        let session = Session { user_id, username, permissions, last_active: self.now() };
        let namespace = self.namespace(Clone::clone)?;
        let set = namespace.set_key(key(&session.user_id).as_bytes(), session.value(), None).await;
        set.map_err(|error| Problem::engine(&error))?;
        self.seen.lock().remove(&session.user_id);
        Ok(session)
    }

    /// Ends a session; there need not be one.
    ///
    /// # Errors
    /// What the store says against it.
    pub async fn end(&self, user_id: &str) -> Result<(), Problem> {
        let namespace = self.namespace(Clone::clone)?;
        let deleted = namespace.delete_key(key(user_id).as_bytes()).await;
        self.seen.lock().remove(user_id);
        deleted.map_err(|error| Problem::engine(&error))
    }

    /// The session of a user, which is used by that.
    ///
    /// # Errors
    /// `session_unknown`; what the store says against it.
    pub async fn used(&self, user_id: &str) -> Result<Session, Problem> {
        let namespace = self.namespace(Clone::clone)?;
        let read = namespace.read(key(user_id).as_bytes()).await.map_err(|error| Problem::engine(&error))?;
        let session = read.value.as_ref().and_then(Session::of);
        let session = session.ok_or_else(|| Refusal::NoSession(user_id.to_owned()))?;
        let now = self.now();
        let mut seen = self.seen.lock();
        if seen.len() < SEEN_MAX || seen.contains_key(user_id) {
            seen.insert(user_id.to_owned(), now);
        }
        Ok(Session { last_active: now.max(session.last_active), ..session })
    }

    /// The same, compared with the user's row: permissions that were given or taken since are in the session from now on, and a user who is no more has
    /// none.
    ///
    /// # Errors
    /// `session_unknown`; what the database or the store says against it.
    pub async fn confirm(&self, user_id: &str) -> Result<Session, Problem> {
        let session = self.used(user_id).await?;
        let Some(User { username, permissions, .. }) = self.user(user_id).await? else {
            self.end(user_id).await?;
            return Err(Refusal::NoSession(user_id.to_owned()).into());
        };
        if (&session.username, &session.permissions) == (&username, &permissions) {
            return Ok(session);
        }
        let confirmed = Session { username, permissions, ..session };
        self.change(user_id, |was| Session {
            last_active: was.last_active.max(confirmed.last_active),
            ..confirmed.clone()
        })
        .await?;
        Ok(confirmed)
    }

    /// Changes a session that is still there.
    async fn change(&self, user_id: &str, change: impl FnOnce(Session) -> Session) -> Result<(), Problem> {
        let (namespace, key) = (self.namespace(Clone::clone)?, key(user_id));
        let changed = namespace.update_key(key.as_bytes(), |value| {
            if let Some(session) = value.as_ref().and_then(Session::of) {
                *value = Some(change(session).value());
            }
        });
        changed.await.map_err(|error| Problem::engine(&error))
    }

    fn now(&self) -> Timestamp {
        moment(&self.wall)
    }

    /// Writes what was seen, every [`FLUSHED`] of `real`, for ever.
    pub async fn run(self, real: Clock) {
        let mut failing = false;
        loop {
            real.sleep(FLUSHED).await;
            match self.flush().await {
                Ok(_) => failing = false,
                Err(_) if failing => {}
                Err(_) => {
                    failing = true;
                    tracing::warn!("when users were last seen cannot be written; trying again");
                }
            }
        }
    }

    /// Writes when users were last seen, where that was after what their session says; of how many.
    ///
    /// # Errors
    /// What the store says against it; what was not written is written the next time.
    pub async fn flush(&self) -> Result<usize, Problem> {
        let seen = std::mem::take(&mut *self.seen.lock());
        let (mut written, mut failed) = (0, None);
        for (user_id, at) in seen {
            let seen = |was: Session| Session { last_active: was.last_active.max(at), ..was };
            match self.change(&user_id, seen).await {
                Ok(()) => written += 1,
                Err(error) => {
                    let mut seen = self.seen.lock();
                    let kept = seen.entry(user_id).or_insert(at);
                    *kept = at.max(*kept);
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(written), Err)
    }
}

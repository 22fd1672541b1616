//! Sessions: who is logged in, with which permissions, and when they were last seen.
//!
//! A session lives in `USER_SESSIONS`, a store: it ends an hour after its last use, at the latest thirty days after the login. Who a user is, and what
//! they may do, is a row of `users`; a session has a copy, which [`Sessions::confirm`] compares with the row. The copy is only ever written while the
//! row is held, so that however logins, confirmations and changes of the row meet, a session never goes back to what the row said before.
//!
//! `last_active` moves with each use that is told here, without a write: uses are gathered, one for each user, and written together every
//! [`FLUSHED`], and when the process is stopped. What a process that is killed had not written yet is lost, so that `last_active` is late by that at
//! most; the hour itself is counted by the store, from the last use or from when that was written.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use forebay::Namespace;
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
use crate::rows::Words;

/// How often what was seen is written.
pub const FLUSHED: Duration = Duration::from_secs(30);
/// How soon after it could not be.
pub const RETRIED: Duration = Duration::from_secs(1);
/// Of so many users at most uses are gathered between two writes; of the rest the store alone knows.
const SEEN_MAX: usize = 100_000;
/// Of so many users it is tried in vain at a time: more tell nothing new.
const FAILED_MAX: usize = 8;

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

    /// Whether it says of the user what their row does.
    fn is_of(&self, user: &User) -> bool {
        (&self.username, &self.permissions) == (&user.username, &user.permissions)
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

    fn namespace(&self) -> Result<Namespace<Blob>, Problem> {
        let keyspace = self.served.now().ok_or_else(not_in_service)?;
        keyspace.namespace(SESSIONS).cloned().ok_or_else(not_in_service)
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

    /// Does `work` with the user's row, which nobody changes meanwhile: of two who write a session by what the row says, the later one has seen the
    /// later row.
    async fn by_row<T>(
        &self,
        user_id: &str,
        work: impl AsyncFnOnce(Option<User>) -> Result<T, Refusal>,
    ) -> Result<T, Problem> {
        const HELD: Words = Words {
            sqlite: "select user_id, username, permissions from users where user_id = $1",
            postgres: "select user_id, username, permissions from users where user_id = $1 for update",
        };
        let done = self.database.transaction(async |tx| {
            let rows = tx.rows(HELD.statement(tx.dialect()).bind(user_id)).await?;
            work(rows.first().map(User::of).transpose()?).await
        });
        Ok(done.await.map_err(of_transaction)?.value)
    }

    /// Begins a session of a user, in place of one that they have.
    ///
    /// # Errors
    /// `user_unknown`; what the database or the store says against it.
    pub async fn begin(&self, user_id: &str) -> Result<Session, Problem> {
        let namespace = self.namespace()?;
        self.by_row(user_id, async |user| {
            let user = user.ok_or_else(|| Refusal::NoUser(user_id.to_owned()))?;
            let User { user_id, username, permissions } = user;
            let session = Session { user_id, username, permissions, last_active: self.now() };
            namespace.set_key(key(&session.user_id).as_bytes(), session.value(), None).await?;
            Ok(session)
        })
        .await
    }

    /// Ends a session; there need not be one.
    ///
    /// # Errors
    /// What the store says against it.
    pub async fn end(&self, user_id: &str) -> Result<(), Problem> {
        let namespace = self.namespace()?;
        let deleted = namespace.delete_key(key(user_id).as_bytes()).await;
        self.seen.lock().remove(user_id);
        deleted.map_err(|error| Problem::engine(&error))
    }

    /// The session of a user, which is used by that.
    ///
    /// # Errors
    /// `session_unknown`; what the store says against it.
    pub async fn used(&self, user_id: &str) -> Result<Session, Problem> {
        let namespace = self.namespace()?;
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
        if self.user(user_id).await?.is_some_and(|user| session.is_of(&user)) {
            return Ok(session);
        }
        // It differs: it is written while the row is held, by what that says then.
        let namespace = self.namespace()?;
        let no_session = || Refusal::NoSession(user_id.to_owned());
        self.by_row(user_id, async |user| {
            let Some(User { username, permissions, .. }) = user else {
                namespace.delete_key(key(user_id).as_bytes()).await?;
                return Err(no_session());
            };
            let confirmed = Session { username, permissions, ..session };
            let change = |was: Session| Session {
                last_active: was.last_active.max(confirmed.last_active),
                ..confirmed.clone()
            };
            match change_of(&namespace, user_id, change).await? {
                true => Ok(confirmed),
                false => Err(no_session()),
            }
        })
        .await
    }

    fn now(&self) -> Timestamp {
        moment(&self.wall)
    }

    /// Writes what was seen, every [`FLUSHED`] of `real`, for ever; after a failure again every [`RETRIED`].
    pub async fn run(self, real: Clock) {
        let mut failing = false;
        loop {
            real.sleep(if failing { RETRIED } else { FLUSHED }).await;
            let flushed = self.flush().await;
            if flushed.is_err() && !failing {
                tracing::warn!("when users were last seen cannot be written; trying again every second");
            }
            failing = flushed.is_err();
        }
    }

    /// Writes what was seen when the process is stopped: where that fails, once more.
    pub async fn flush_at_last(&self) {
        if self.flush().await.is_err() && self.flush().await.is_err() {
            let users = self.seen.lock().len();
            tracing::warn!(users, "when users were last seen could not be written at the stop");
        }
    }

    /// Writes when users were last seen, where that was after what their session says; of how many. What was written is forgotten then and not before,
    /// so that who goes away in the middle of it takes nothing along.
    ///
    /// # Errors
    /// What the store says against it: of one user, it goes on with the others, and of eight not. All that was not written is written the next
    /// time.
    pub async fn flush(&self) -> Result<usize, Problem> {
        let seen: Vec<(String, Timestamp)> =
            self.seen.lock().iter().map(|(user_id, at)| (user_id.clone(), *at)).collect();
        if seen.is_empty() {
            return Ok(0);
        }
        let namespace = self.namespace()?;
        let mut failed = Vec::new();
        for (user_id, at) in &seen {
            let change = |was: Session| Session { last_active: was.last_active.max(*at), ..was };
            match change_of(&namespace, user_id, change).await {
                Ok(_) => {
                    let mut seen = self.seen.lock();
                    if seen.get(user_id) == Some(at) {
                        seen.remove(user_id);
                    }
                }
                Err(error) => failed.push(error),
            }
            if failed.len() == FAILED_MAX {
                break;
            }
        }
        match failed.first() {
            Some(error) => Err(Problem::engine(error)),
            None => Ok(seen.len()),
        }
    }
}

/// Changes the session of a user, where there is one; whether there was.
async fn change_of(
    namespace: &Namespace<Blob>,
    user_id: &str,
    change: impl FnOnce(Session) -> Session,
) -> Result<bool, forebay::Error> {
    let key = key(user_id);
    let changed = namespace.update_key(key.as_bytes(), |value| {
        let Some(session) = value.as_ref().and_then(Session::of) else { return false };
        *value = Some(change(session).value());
        true
    });
    changed.await
}

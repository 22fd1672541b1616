//! Streaming replicas of a PostgreSQL database, which are read in its place where nothing is missing there.
//!
//! Each load notes how far the primary's log has been written, and takes a replica only if it has applied that much: whatever was
//! committed before the load began is seen, so a value of a replica is as good as one of the primary, and no invalidation has to be
//! remembered. A replica that lags gets a few milliseconds to catch up. Then, as one that fails, it is left alone for a
//! while, and the primary is read. Nothing that a lagging one says is used.

use std::sync::Arc;
use std::time::Duration;

use forebay::rt::atomic::{AtomicU64, Ordering};
use forebay::rt::{Clock, Mutex, Tick};
use sqlx::postgres::PgPool;

use super::DatabaseOptions;
use super::cancel::Cancelling;
use super::postgres::Url;

/// How long a replica may take to answer whether it has caught up, its connection included.
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);
/// How long a replica that lags is waited for, step by step.
const PATIENCE: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(2), Duration::from_millis(5), Duration::from_millis(10)];
/// How long one that lags is left alone.
const LAGGING_FOR: Duration = Duration::from_secs(1);
/// How long one that fails is left alone.
const FAILING_FOR: Duration = Duration::from_secs(5);

/// How far the log has been written, also by what is committed and not yet on disk; and whose log it is.
const WRITTEN: &str =
    "select (pg_current_wal_insert_lsn() - '0/0')::bigint, system_identifier from pg_control_system()";
/// Whether that much has been applied; NULL where the server is no replica.
const APPLIED: &str = "select (pg_last_wal_replay_lsn() - '0/0')::bigint >= $1";
/// Whether it is a copy of the same database.
const SAME: &str = "select system_identifier = $1 from pg_control_system()";

/// The replicas of a database.
#[derive(Debug)]
pub(crate) struct Replicas {
    all: Vec<Replica>,
    next: AtomicU64,
    clock: Clock,
}

/// One replica.
#[derive(Debug)]
pub(crate) struct Replica {
    pool: PgPool,
    url: Url,
    state: Mutex<State>,
}

/// What is known of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing.
    New,
    /// It is one of this database.
    Known,
    /// It is left alone.
    Resting { until: Tick },
}

/// Why a replica is not read.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("it lags, or has become a primary")]
    Lags,
    #[error("it is no replica of this database: correct `replicas`")]
    Another,
    #[error("it did not answer within {ANSWERS_WITHIN:?}")]
    Late,
    #[error("{0}")]
    Failed(#[from] sqlx::Error),
}

impl Replicas {
    /// Those that are declared; none is connected to before it is needed.
    fn open(options: &DatabaseOptions) -> Self {
        let open = |url: &Url| Replica {
            pool: super::postgres::open_lazily(url, options),
            url: url.clone(),
            state: Mutex::new(State::New),
        };
        let all = options.replicas.iter().map(open).collect();
        Self { all, next: AtomicU64::new(0), clock: Clock::default() }
    }

    /// A session on a replica that has everything the primary has committed by now; `None` where none has.
    ///
    /// # Errors
    /// When the primary does not tell what that is: nobody knows how old a replica is then.
    pub(crate) async fn caught_up(
        &self,
        primary: &PgPool,
    ) -> Result<Option<(&Replica, Cancelling)>, sqlx::Error> {
        let Some(replica) = self.next() else { return Ok(None) };
        let mut asked = Cancelling::acquire(primary).await?;
        let written: (i64, i64) = sqlx::query_as(WRITTEN).fetch_one(asked.connection()?).await?;
        asked.done();
        let session = self.clock.timeout(ANSWERS_WITHIN, self.session(replica, written)).await;
        match session.unwrap_or(Err(Unfit::Late)) {
            Ok(session) => Ok(Some((replica, session))),
            Err(unfit) => {
                self.rest(replica, &unfit);
                Ok(None)
            }
        }
    }

    /// The next in turn that is not left alone.
    fn next(&self) -> Option<&Replica> {
        let now = self.clock.now();
        let is_awake = |replica: &&Replica| match *replica.state.lock() {
            State::New | State::Known => true,
            State::Resting { until } => until <= now,
        };
        let turn = usize::try_from(self.next.fetch_add(1, Ordering::Relaxed)).unwrap_or_default();
        let from = turn.checked_rem(self.all.len())?;
        self.all.iter().cycle().skip(from).take(self.all.len()).find(is_awake)
    }

    async fn session(&self, replica: &Replica, (position, system): (i64, i64)) -> Result<Cancelling, Unfit> {
        let mut session = Cancelling::acquire(&replica.pool).await?;
        let before = *replica.state.lock();
        if before != State::Known {
            let is_same: bool =
                sqlx::query_scalar(SAME).bind(system).fetch_one(session.connection()?).await?;
            if !is_same {
                session.done();
                return Err(Unfit::Another);
            }
        }
        for pause in PATIENCE {
            self.clock.sleep(pause).await;
            let applied: Option<bool> =
                sqlx::query_scalar(APPLIED).bind(position).fetch_one(session.connection()?).await?;
            if applied == Some(true) {
                *replica.state.lock() = State::Known;
                if matches!(before, State::Resting { .. }) {
                    tracing::info!(replica = ?replica.url, "the replica is read again");
                }
                return Ok(session);
            }
        }
        session.done();
        Err(Unfit::Lags)
    }

    /// Leaves `replica` alone for a while.
    fn rest(&self, replica: &Replica, why: &Unfit) {
        let span = if matches!(why, Unfit::Lags) { LAGGING_FOR } else { FAILING_FOR };
        let mut state = replica.state.lock();
        let was_read = !matches!(*state, State::Resting { .. });
        *state = State::Resting { until: self.clock.now().after(span) };
        drop(state);
        if was_read {
            tracing::warn!(replica = ?replica.url, cause = %why, "the replica is not read, the primary is; the next line comes when it is again");
        }
    }

    /// `replica` has failed at a query.
    pub(crate) fn failed(&self, replica: &Replica, error: sqlx::Error) {
        self.rest(replica, &Unfit::Failed(error));
    }
}

/// The replicas that `options` declare, if any.
pub(super) fn of(options: &DatabaseOptions) -> Option<Arc<Replicas>> {
    (!options.replicas.is_empty()).then(|| Arc::new(Replicas::open(options)))
}

//! Streaming replicas of a PostgreSQL database, which are read in its place where nothing is missing there.
//!
//! Each load notes how far the primary's log has been written, and on which timeline, and takes a replica only if it follows that
//! timeline and has applied that much: whatever was committed before the load began is seen, so a value of a replica is as good as one
//! of the primary, and no invalidation has to be remembered. A replica that lags gets a few milliseconds to catch up. Then, as one that
//! fails, or of which nobody can tell what it follows, it is left alone for a while, and the primary is read. Nothing that such a one
//! says is used.

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

/// How far the log has been written, also by what is committed and not yet on disk; whose log it is, and on which timeline.
const WRITTEN: &str =
    "select (at - '0/0')::bigint, system_identifier, ('x' || left(pg_walfile_name(at), 8))::bit(32)::bigint
    from pg_current_wal_insert_lsn() at, pg_control_system()";
/// Whether it is a replica, of which database, whether it has applied that much, which timeline it streams, and whether its role may not
/// know that: one that is not in `pg_read_all_stats` is told of the process that receives, and nothing else.
///
/// Whoever streams a timeline has applied nothing but its history: the server does not follow one that forked off before what it
/// has applied. What its control file tells may be of a timeline that it has left.
const APPLIED: &str = "select pg_is_in_recovery(), system_identifier,
    coalesce((pg_last_wal_replay_lsn() - '0/0')::bigint >= $1, false), received_tli::bigint, pid is not null and status is null
    from pg_control_system() left join pg_stat_wal_receiver on coalesce(status, 'streaming') = 'streaming'";

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

/// Whether a replica is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is, or nobody has tried.
    Read,
    /// It is left alone.
    Resting { until: Tick },
}

/// What the primary has written.
#[derive(Clone, Copy, Debug)]
struct Written {
    position: i64,
    system: i64,
    timeline: i64,
}

/// Why a replica is not read.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("it lags")]
    Lags,
    #[error("it is a primary, by promotion or from the start: correct `replicas`")]
    Primary,
    #[error("it is no replica of this database: correct `replicas`")]
    Another,
    #[error("it follows timeline {follows} and the primary is on {primary}: let it follow the primary")]
    Timeline { follows: i64, primary: i64 },
    #[error(
        "it streams from nobody, so that what it has applied may be another history: let it follow the primary"
    )]
    Alone,
    #[error("its role may not see which timeline it follows: `grant pg_read_all_stats` to it on the primary")]
    Hidden,
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
            state: Mutex::new(State::Read),
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
        let (position, system, timeline) = sqlx::query_as(WRITTEN).fetch_one(asked.connection()?).await?;
        asked.done();
        let written = Written { position, system, timeline };
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
            State::Read => true,
            State::Resting { until } => until <= now,
        };
        let turn = usize::try_from(self.next.fetch_add(1, Ordering::Relaxed)).unwrap_or_default();
        let from = turn.checked_rem(self.all.len())?;
        self.all.iter().cycle().skip(from).take(self.all.len()).find(is_awake)
    }

    async fn session(&self, replica: &Replica, written: Written) -> Result<Cancelling, Unfit> {
        let mut session = Cancelling::acquire(&replica.pool).await?;
        for pause in PATIENCE {
            self.clock.sleep(pause).await;
            match has_all(&mut session, written).await {
                Ok(true) => {
                    let before = std::mem::replace(&mut *replica.state.lock(), State::Read);
                    if before != State::Read {
                        tracing::info!(replica = ?replica.url, "the replica is read again");
                    }
                    return Ok(session);
                }
                Ok(false) => {}
                // What a statement was given up at is not asked again.
                Err(Unfit::Failed(error)) => return Err(Unfit::Failed(error)),
                Err(unfit) => {
                    session.done();
                    return Err(unfit);
                }
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

/// Whether the server of `session` has applied what was `written`, or will have.
async fn has_all(session: &mut Cancelling, written: Written) -> Result<bool, Unfit> {
    let asked = sqlx::query_as(APPLIED).bind(written.position);
    let (is_replica, system, is_enough, timeline, is_hidden): (bool, i64, bool, Option<i64>, bool) =
        asked.fetch_one(session.connection()?).await?;
    match timeline {
        _ if !is_replica => Err(Unfit::Primary),
        _ if system != written.system => Err(Unfit::Another),
        Some(follows) if follows == written.timeline => Ok(is_enough),
        Some(follows) => Err(Unfit::Timeline { follows, primary: written.timeline }),
        None if is_hidden => Err(Unfit::Hidden),
        None => Err(Unfit::Alone),
    }
}

/// The replicas that `options` declare, if any.
pub(super) fn of(options: &DatabaseOptions) -> Option<Arc<Replicas>> {
    (!options.replicas.is_empty()).then(|| Arc::new(Replicas::open(options)))
}

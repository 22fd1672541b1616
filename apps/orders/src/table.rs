//! The tables: orders and periods are made and changed here, in transactions, and nowhere else.
//!
//! A transaction invalidates what was read of the rows that it changes, before it returns. On PostgreSQL it is told which rows those are
//! ([`Transaction::changed`]), so that no more goes than that.

use std::time::Duration;

use forebay::feed::{Changed, Columns};
use forebay::value::Param;
use forebay_server::time::WallClock;
use forebay_stores::database::transaction::{Committed, Transaction, TransactionError};
use forebay_stores::database::{Database, DatabaseError, Dialect, Row, Statement};

use crate::money::Money;
use crate::order::{Moment, Order, Status, order_columns};
use crate::period::{Period, State};
use crate::refusal::Refusal;

/// The tables of one database. Clones are the same.
#[derive(Clone, Debug)]
pub struct Tables {
    database: Database,
    wall: WallClock,
}

/// An order that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOrder {
    /// Its number.
    pub order_no: String,
    /// Whose it is.
    pub uid: String,
    /// The period that it is in.
    pub period_number: String,
    /// What it costs.
    pub amount: Money,
    /// What it brought.
    pub profit_amount: Money,
    /// Until when it must be paid.
    pub expires: Expires,
}

/// Until when an order must be paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expires {
    /// As the client says.
    At(Moment),
    /// So long after it is made.
    After(Duration),
}

/// What an `Idempotency-Key` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The key as the client gave it.
    pub key: String,
    /// The request in a form that is the same for the same request.
    pub request: String,
}

/// What came of a request for an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// It was made.
    New(Order),
    /// It had been made before, by the same request.
    Before(Order),
}

/// Figures of an order that change while it lives; what is not given stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// What it brought.
    pub profit_amount: Option<Money>,
    /// How often it was liked.
    pub like_count: Option<i64>,
    /// How often it was shared.
    pub share_count: Option<i64>,
    /// How many follow it.
    pub follow_count: Option<i64>,
    /// How many marked it.
    pub favorite_count: Option<i64>,
}

/// What a transaction of the app comes to.
pub type Done<T> = Result<Committed<T>, TransactionError<Refusal>>;

const FIND: &str = concat!("select ", order_columns!(), " from orders where order_no = $1");
/// Makes an order where its period is open and no other has its number.
const INSERT: &str = concat!(
    "insert into orders (order_no, uid, period_number, amount, profit_amount, status, expire_time, created_at, updated_at) \
     select $1, $2, $3, $4, $5, 'pending', $6, $7, $7 from periods where period_number = $3 and state = 'open' \
     on conflict (order_no) do nothing returning ",
    order_columns!()
);

impl Tables {
    /// The tables of `database`, at the time of `wall`.
    #[must_use]
    pub fn new(database: Database, wall: WallClock) -> Self {
        Self { database, wall }
    }

    /// The time. In a transaction it is asked once nobody else can change what is to be changed: who waited is judged by the time at which it
    /// was their turn.
    fn now(&self) -> Moment {
        Moment::at(self.wall.now())
    }

    /// Makes an order, once: the same request again is answered with what the first one made. Where the period is not known, it is opened
    /// if `opens` says so.
    ///
    /// # Errors
    /// [`Refusal`]s: another order has the number, the period takes none, the key was used for something else.
    pub async fn create(
        &self,
        order: &NewOrder,
        idempotency: Option<&Idempotency>,
        opens: bool,
    ) -> Done<Made> {
        self.database
            .transaction(async |tx| {
                if let Some(idempotency) = idempotency
                    && let Some(made) = replayed(tx, idempotency, order, &self.now()).await?
                {
                    return Ok(made);
                }
                if let Some(there) = found(tx, &order.order_no).await? {
                    return order.before(there);
                }
                // SQLite writes one at a time: what the statement finds open nobody else closes before the end.
                if tx.dialect() == Dialect::Sqlite
                    && order.is_in_time(&self.now()).is_ok()
                    && let Some(made) = self.inserted(tx, order).await?
                {
                    return Ok(Made::New(made));
                }
                takes_orders(tx, &order.period_number, opens, &self.now()).await?;
                order.is_in_time(&self.now())?;
                if let Some(made) = self.inserted(tx, order).await? {
                    return Ok(Made::New(made));
                }
                // Another one with its number was committed meanwhile. The statement has taken the table, which is told of no other row.
                let there = found(tx, &order.order_no).await?;
                let there = there.ok_or_else(|| Refusal::NoOrder(order.order_no.clone()))?;
                tx.changed(Changed::updated("orders", keys(&there), keys(&there)));
                order.before(there)
            })
            .await
    }

    /// The order, made; `None` where its period is not open, or another has its number.
    async fn inserted(&self, tx: &mut Transaction, order: &NewOrder) -> Result<Option<Order>, Refusal> {
        let rows = tx.rows(order.insert(self.wall.now())).await?;
        let made = rows.first().map(Order::of).transpose()?;
        if let Some(made) = &made {
            tx.changed(Changed::inserted("orders", keys(made)));
        }
        Ok(made)
    }

    /// Moves an order on. Of several who want to, one does.
    ///
    /// # Errors
    /// [`Refusal::IllegalTransition`] with what it is, where it cannot become `status` from there.
    pub async fn transit(&self, order_no: &str, status: Status) -> Done<Order> {
        self.database
            .transaction(async |tx| {
                if tx.dialect() == Dialect::Postgres {
                    const HOLD: &str = "select order_no from orders where order_no = $1 for update";
                    tx.rows(Statement::new(HOLD).bind(order_no)).await?;
                }
                let now = &self.now();
                let moved = match transition(status) {
                    Some(statement) => {
                        let statement = Statement::new(statement).bind(order_no).bind(now.text());
                        tx.rows(statement).await?
                    }
                    None => Vec::new(),
                };
                match moved.first() {
                    Some(row) => changed(tx, row),
                    None => {
                        let order = found(tx, order_no).await?;
                        let order = order.ok_or_else(|| Refusal::NoOrder(order_no.to_owned()))?;
                        let state = order.seen(now).status;
                        let order_no = order_no.to_owned();
                        Err(Refusal::IllegalTransition { order_no, state, wanted: status })
                    }
                }
            })
            .await
    }

    /// Writes figures of an order.
    ///
    /// # Errors
    /// [`Refusal::NoOrder`].
    pub async fn record(&self, order_no: &str, figures: Figures) -> Done<Order> {
        const RECORD: &str = concat!(
            "update orders set profit_amount = coalesce($2, profit_amount), like_count = coalesce($3, like_count), \
             share_count = coalesce($4, share_count), follow_count = coalesce($5, follow_count), \
             favorite_count = coalesce($6, favorite_count), updated_at = $7 where order_no = $1 returning ",
            order_columns!()
        );
        self.database
            .transaction(async |tx| {
                let profit_amount = figures.profit_amount.map(|amount| amount.to_string());
                let record = Statement::new(RECORD)
                    .bind(order_no)
                    .bind(profit_amount)
                    .bind(figures.like_count)
                    .bind(figures.share_count)
                    .bind(figures.follow_count)
                    .bind(figures.favorite_count)
                    .bind(self.now().text());
                let rows = tx.rows(record).await?;
                let row = rows.first().ok_or_else(|| Refusal::NoOrder(order_no.to_owned()))?;
                changed(tx, row)
            })
            .await
    }

    /// Deletes an order.
    ///
    /// # Errors
    /// [`Refusal::NoOrder`].
    pub async fn delete(&self, order_no: &str) -> Done<Order> {
        const DELETE: &str = concat!("delete from orders where order_no = $1 returning ", order_columns!());
        self.database
            .transaction(async |tx| {
                let rows = tx.rows(Statement::new(DELETE).bind(order_no)).await?;
                let row = rows.first().ok_or_else(|| Refusal::NoOrder(order_no.to_owned()))?;
                let order = Order::of(row)?;
                tx.changed(Changed::deleted("orders", keys(&order)));
                Ok(order)
            })
            .await
    }

    /// Makes the rows of up to `limit` orders that were not paid in time say so; how many did. Of several who do this at a time, each order is
    /// one's.
    ///
    /// # Errors
    /// What the database says against it.
    pub async fn expire(&self, limit: i64) -> Done<usize> {
        const EXPIRE: &str = concat!(
            "update orders set status = 'expired', updated_at = $1 where status = 'pending' and expire_time <= $1 and order_no in \
             (select order_no from orders where status = 'pending' and expire_time <= $1 order by expire_time limit $2) returning ",
            order_columns!()
        );
        self.database
            .transaction(async |tx| {
                let rows = tx.rows(Statement::new(EXPIRE).bind(self.now().text()).bind(limit)).await?;
                for row in &rows {
                    changed(tx, row)?;
                }
                Ok(rows.len())
            })
            .await
    }

    /// Forgets what `Idempotency-Key`s that are older than `age` stood for, up to `limit` of them; how many.
    ///
    /// # Errors
    /// What the database says against it.
    pub async fn forget_keys(&self, age: Duration, limit: i64) -> Done<u64> {
        const FORGET: &str = "delete from idempotency where idempotency_key in \
             (select idempotency_key from idempotency where created_at < $1 order by created_at limit $2)";
        let then = Moment::at(self.wall.now().saturating_sub(age));
        let forget = Statement::new(FORGET).bind(then.text()).bind(limit);
        self.database.transaction(async |tx| Ok(tx.execute(forget).await?)).await
    }

    /// Opens a period; one that is there already is left as it is, and told.
    ///
    /// # Errors
    /// What the database says against it.
    pub async fn open(&self, period: &str) -> Done<(Period, bool)> {
        self.database
            .transaction(async |tx| {
                let is_new = opened(tx, period, &self.now()).await?;
                let rows = tx.rows(Statement::new(PERIOD).bind(period)).await?;
                let row = rows.first().ok_or_else(|| Refusal::NoPeriod(period.to_owned()))?;
                Ok((Period::of(row)?, is_new))
            })
            .await
    }

    /// Moves a period one step on: once it is closed, no order is made in it.
    ///
    /// # Errors
    /// [`Refusal::IllegalStep`] with what it is, where it cannot become `state` from there.
    pub async fn step(&self, period: &str, state: State) -> Done<Period> {
        const STEP: &str = "update periods set state = $2, updated_at = $4 where period_number = $1 and state = $3 \
             returning period_number, state, opened_at, updated_at";
        self.database
            .transaction(async |tx| {
                let moved = match state.before() {
                    Some(before) => {
                        let step = Statement::new(STEP).bind(period).bind(state.name()).bind(before.name());
                        tx.rows(step.bind(self.now().text())).await?
                    }
                    None => Vec::new(),
                };
                if let Some(row) = moved.first() {
                    let row_of = || vec![("period_number".into(), Some(Param::Text(period.to_owned())))];
                    tx.changed(Changed::updated("periods", row_of(), row_of()));
                    return Ok(Period::of(row)?);
                }
                let rows = tx.rows(Statement::new(PERIOD).bind(period)).await?;
                let row = rows.first().ok_or_else(|| Refusal::NoPeriod(period.to_owned()))?;
                let (period, now) = (period.to_owned(), Period::of(row)?.state);
                Err(Refusal::IllegalStep { period, state: now, wanted: state })
            })
            .await
    }

    /// What a statement answers that changes nothing.
    pub(crate) async fn rows(&self, statement: Statement) -> Result<Vec<Row>, DatabaseError> {
        self.database.rows(statement).await
    }
}

const PERIOD: &str =
    "select period_number, state, opened_at, updated_at from periods where period_number = $1";

impl NewOrder {
    /// The statement that makes it, at the time `since_1970`.
    fn insert(&self, since_1970: Duration) -> Statement {
        let now = Moment::at(since_1970);
        let expire_time = match &self.expires {
            Expires::At(moment) => moment.clone(),
            Expires::After(span) => Moment::at(since_1970.saturating_add(*span)),
        };
        Statement::new(INSERT)
            .bind(self.order_no.as_str())
            .bind(self.uid.as_str())
            .bind(self.period_number.as_str())
            .bind(self.amount.to_string())
            .bind(self.profit_amount.to_string())
            .bind(expire_time.text())
            .bind(now.text())
    }

    /// That it may still be paid `now`.
    fn is_in_time(&self, now: &Moment) -> Result<(), Refusal> {
        match &self.expires {
            Expires::At(moment) if moment <= now => {
                Err(Refusal::BadRequest(format!("expire_time: {} is no time to come", moment.text())))
            }
            Expires::At(_) | Expires::After(_) => Ok(()),
        }
    }

    /// What it means that `there` has its number: that it was made before, or that it is another one.
    fn before(&self, there: Order) -> Result<Made, Refusal> {
        let is_same =
            there.uid == self.uid && there.period_number == self.period_number && there.amount == self.amount;
        if is_same { Ok(Made::Before(there)) } else { Err(Refusal::OrderExists(self.order_no.clone())) }
    }
}

/// The statement that moves an order to `status`, from wherever it may go there: `$1` is its number, `$2` the time. An order that was not
/// paid in time goes nowhere but to `expired`, whatever its row says.
fn transition(status: Status) -> Option<&'static str> {
    Some(match status {
        Status::Pending => return None,
        Status::Confirmed => concat!(
            "update orders set status = 'confirmed', updated_at = $2 \
             where order_no = $1 and status = 'pending' and expire_time > $2 returning ",
            order_columns!()
        ),
        Status::Completed => concat!(
            "update orders set status = 'completed', updated_at = $2 \
             where order_no = $1 and status = 'confirmed' returning ",
            order_columns!()
        ),
        Status::Cancelled => concat!(
            "update orders set status = 'cancelled', updated_at = $2 \
             where order_no = $1 and (status = 'confirmed' or (status = 'pending' and expire_time > $2)) returning ",
            order_columns!()
        ),
        Status::Expired => concat!(
            "update orders set status = 'expired', updated_at = $2 \
             where order_no = $1 and status = 'pending' returning ",
            order_columns!()
        ),
    })
}

/// The columns of an order that keys are made of.
fn keys(order: &Order) -> Columns {
    let column = |name: &str, text: &str| (name.into(), Some(Param::Text(text.to_owned())));
    vec![
        column("order_no", &order.order_no),
        column("period_number", &order.period_number),
        column("uid", &order.uid),
    ]
}

/// The order of a row that a statement has changed; the change is told. Its keys are as they were.
fn changed(tx: &mut Transaction, row: &Row) -> Result<Order, Refusal> {
    let order = Order::of(row)?;
    tx.changed(Changed::updated("orders", keys(&order), keys(&order)));
    Ok(order)
}

async fn found(tx: &mut Transaction, order_no: &str) -> Result<Option<Order>, Refusal> {
    let rows = tx.rows(Statement::new(FIND).bind(order_no)).await?;
    Ok(rows.first().map(Order::of).transpose()?)
}

/// What the key has made already; `None` where it is new, and from now on stands for `order`.
async fn replayed(
    tx: &mut Transaction,
    idempotency: &Idempotency,
    order: &NewOrder,
    now: &Moment,
) -> Result<Option<Made>, Refusal> {
    const KEEP: &str = "insert into idempotency (idempotency_key, request, order_no, created_at) \
         values ($1, $2, $3, $4) on conflict (idempotency_key) do nothing";
    const KEPT: &str = "select request, order_no from idempotency where idempotency_key = $1";
    let keep = Statement::new(KEEP)
        .bind(idempotency.key.as_str())
        .bind(idempotency.request.as_str())
        .bind(order.order_no.as_str())
        .bind(now.text());
    if tx.execute(keep).await? == 1 {
        return Ok(None);
    }
    let rows = tx.rows(Statement::new(KEPT).bind(idempotency.key.as_str())).await?;
    let Some(row) = rows.first() else { return Err(Refusal::KeyReused) };
    if row.get::<String>("request")? != idempotency.request {
        return Err(Refusal::KeyReused);
    }
    let order_no: String = row.get("order_no")?;
    match found(tx, &order_no).await? {
        Some(order) => Ok(Some(Made::Before(order))),
        None => Err(Refusal::KeySpent(order_no)),
    }
}

/// That a period takes orders, and goes on to until the transaction has ended. SQLite writes one at a time; PostgreSQL holds the row,
/// beside others who make orders, against who would close it.
async fn takes_orders(tx: &mut Transaction, period: &str, opens: bool, now: &Moment) -> Result<(), Refusal> {
    let held = match tx.dialect() {
        Dialect::Sqlite => "select state from periods where period_number = $1",
        Dialect::Postgres => "select state from periods where period_number = $1 for share",
    };
    let state = async |tx: &mut Transaction| -> Result<Option<String>, Refusal> {
        let rows = tx.rows(Statement::new(held).bind(period)).await?;
        Ok(rows.first().map(|row| row.get("state")).transpose()?)
    };
    let mut found = state(tx).await?;
    if found.is_none() && opens {
        opened(tx, period, now).await?;
        found = state(tx).await?;
    }
    match found {
        None => Err(Refusal::NoPeriod(period.to_owned())),
        Some(state) if state == State::Open.name() => Ok(()),
        Some(state) => Err(Refusal::PeriodClosed { period: period.to_owned(), state }),
    }
}

/// Opens a period; whether it was not there before.
async fn opened(tx: &mut Transaction, period: &str, now: &Moment) -> Result<bool, Refusal> {
    const OPEN: &str = "insert into periods (period_number, state, opened_at, updated_at) values ($1, 'open', $2, $2) \
         on conflict (period_number) do nothing";
    let is_new = tx.execute(Statement::new(OPEN).bind(period).bind(now.text())).await? == 1;
    // Also where it was there: the statement has taken the table, which is told of no other row.
    let row = vec![("period_number".into(), Some(Param::Text(period.to_owned())))];
    tx.changed(Changed::inserted("periods", row));
    Ok(is_new)
}

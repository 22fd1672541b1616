//! The statements of the door: each is for many rows at once.

use std::collections::BTreeMap;

use forebay::feed::{Changed, Columns};
use forebay::value::Param;
use forebay_stores::database::transaction::Transaction;
use forebay_stores::database::{Row, Statement};
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Value, json};

use super::judge::{Id, Known, Rank, Told, Update};
use super::{Listing, Reference, Refused};
use crate::market::{Kind, Provenance};
use crate::of_rows;
use crate::refusal::Refusal;
use crate::rows::Words;

/// The most refused updates that are kept.
pub(super) const REFUSED_MAX: i64 = 1_000;

/// A table of what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    Quotes,
    Indices,
}

impl Table {
    pub(super) const ALL: [Self; 2] = [Self::Quotes, Self::Indices];

    pub(super) const fn of(kind: Kind) -> Self {
        match kind {
            Kind::AShare | Kind::ChiNext | Kind::Star => Self::Quotes,
            Kind::Index => Self::Indices,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Quotes => "quotes",
            Self::Indices => "indices",
        }
    }

    /// The one of two statements that is about this table.
    const fn pick(self, quotes: Words, indices: Words) -> Words {
        match self {
            Self::Quotes => quotes,
            Self::Indices => indices,
        }
    }
}

/// A statement about either table.
macro_rules! of_both {
    ($table:expr, $before:literal, $of:literal, $after:literal) => {
        $table.pick(
            of_rows!(concat!($before, "quotes", $of), $after),
            of_rows!(concat!($before, "indices", $of), $after),
        )
    };
}

/// Holds the instruments `ids` against everybody else who writes what is shown of them, until the transaction has ended. SQLite writes one at a
/// time; PostgreSQL locks their rows, always in the same order.
async fn hold(tx: &mut Transaction, ids: &[Value]) -> Result<Vec<Row>, Refusal> {
    const HELD: Words = Words {
        sqlite: "select market, code, name, kind, listed_on from instruments \
                 where (market, code) in (select value ->> 0, value ->> 1 from json_each($1))",
        postgres: "select market, code, name, kind, listed_on from instruments \
                   where (market, code) in (select value ->> 0, value ->> 1 from json_array_elements(cast($1 as json))) \
                   order by market, code for update",
    };
    Ok(tx.rows(HELD.of(tx.dialect(), ids.to_vec())).await?)
}

/// What is known of each of `ids` that is listed; nobody else writes it until the transaction has ended.
pub(super) async fn known<'i>(
    tx: &mut Transaction,
    ids: impl IntoIterator<Item = &'i Id>,
) -> Result<BTreeMap<Id, (Table, Known)>, Refusal> {
    let ids: Vec<Value> = ids.into_iter().map(|id| json!([id.market, id.code])).collect();
    let mut kinds = BTreeMap::new();
    for row in hold(tx, &ids).await? {
        let kind = Kind::named(&row.get::<String>("kind")?).ok_or_else(|| Refusal::damaged("kind"))?;
        let listed_on = row.get_nullable::<String>("listed_on")?.map(|day| date(&day)).transpose()?;
        kinds.insert(id(&row)?, (kind, row.get::<String>("name")?, listed_on));
    }
    let mut known = BTreeMap::new();
    for table in Table::ALL {
        let shown = of_both!(
            table,
            "select market, code, status, price, volume, day, previous_close, source_us, sequence from ",
            " where (market, code) in (select value ->> 0, value ->> 1 from",
            ")"
        );
        for row in tx.rows(shown.of(tx.dialect(), ids.clone())).await? {
            let id = id(&row)?;
            if let Some((kind, name, listed_on)) = kinds.remove(&id) {
                let source_us: i64 = row.get("source_us")?;
                let rank = Rank::of(source_us, row.get("sequence")?, told(&row)?);
                let known_of = Known {
                    kind,
                    name,
                    listed_on,
                    day: date(&row.get::<String>("day")?)?,
                    previous_close: milli(&row.get::<String>("previous_close")?)?,
                    shown: (source_us >= 0).then_some(rank),
                };
                known.insert(id, (table, known_of));
            }
        }
    }
    Ok(known)
}

fn id(row: &Row) -> Result<Id, Refusal> {
    Ok(Id { market: row.get("market")?, code: row.get("code")? })
}

fn date(text: &str) -> Result<Date, Refusal> {
    text.parse().map_err(|_| Refusal::damaged("day"))
}

fn milli(text: &str) -> Result<crate::money::Milli, Refusal> {
    text.parse().map_err(|_| Refusal::damaged("price"))
}

fn told(row: &Row) -> Result<Told, Refusal> {
    Ok(match (row.get::<String>("status")?.as_str(), row.get_nullable::<String>("price")?) {
        ("trading", Some(price)) => Told::Trading { price: milli(&price)?, volume: row.get("volume")? },
        ("suspended", None) => Told::Suspended,
        ("not_traded", None) => Told::NotTraded,
        _ => return Err(Refusal::damaged("status")),
    })
}

/// Shows `updates`, each of another instrument, in place of what was shown.
pub(super) async fn show(
    tx: &mut Transaction,
    table: Table,
    updates: &[(&Update, &Known)],
) -> Result<(), Refusal> {
    if updates.is_empty() {
        return Ok(());
    }
    let show = of_both!(
        table,
        "update ",
        " set status = told.status, price = told.price, change = told.change, change_pct = told.change_pct, volume = told.volume, \
         timestamp = told.at, source_us = told.source_us, sequence = told.sequence \
         from (select value ->> 0 as in_market, value ->> 1 as of_code, value ->> 2 as status, value ->> 3 as price, value ->> 4 as change, \
         value ->> 5 as change_pct, cast(value ->> 6 as bigint) as volume, value ->> 7 as at, cast(value ->> 8 as bigint) as source_us, \
         cast(value ->> 9 as bigint) as sequence from",
        ") as told where market = told.in_market and code = told.of_code"
    );
    let rows = updates.iter().map(|(update, known)| {
        let price = update.told.price();
        let (change, percent) = price.map(|price| known.change(price)).unzip();
        json!([
            update.id.market,
            update.id.code,
            update.told.status(),
            price.map(|price| price.to_string()),
            change.map(|change| change.to_string()),
            percent,
            update.told.volume(),
            update.at.to_string(),
            update.at.as_microsecond(),
            update.sequence,
        ])
    });
    tx.execute(show.of(tx.dialect(), rows.collect())).await?;
    for (update, _) in updates {
        tx.changed(Changed::updated(table.name(), keys(&update.id), keys(&update.id)));
    }
    Ok(())
}

/// Writes the days of `opened`, as what is known of each says now. What is shown of a day that goes on has its change from the previous close that
/// is written.
pub(super) async fn open(
    tx: &mut Transaction,
    table: Table,
    opened: &[(&Id, &Known)],
) -> Result<(), Refusal> {
    if opened.is_empty() {
        return Ok(());
    }
    let open = of_both!(
        table,
        "update ",
        " set day = told.of_day, previous_close = told.close, source_us = told.of_source_us, sequence = told.of_sequence, \
         change = coalesce(told.new_change, change), change_pct = coalesce(told.new_percent, change_pct) \
         from (select value ->> 0 as in_market, value ->> 1 as of_code, value ->> 2 as of_day, value ->> 3 as close, \
         cast(value ->> 4 as bigint) as of_source_us, cast(value ->> 5 as bigint) as of_sequence, value ->> 6 as new_change, \
         value ->> 7 as new_percent from",
        ") as told where market = told.in_market and code = told.of_code"
    );
    let rows = opened.iter().map(|(id, known)| {
        let (source_us, sequence) = known.shown.map_or((-1, 0), Rank::of_source);
        let (change, percent) = known.shown.and_then(Rank::price).map(|price| known.change(price)).unzip();
        json!([
            id.market,
            id.code,
            known.day.to_string(),
            known.previous_close.to_string(),
            source_us,
            sequence,
            change.map(|change| change.to_string()),
            percent,
        ])
    });
    tx.execute(open.of(tx.dialect(), rows.collect())).await?;
    for (id, _) in opened {
        tx.changed(Changed::updated(table.name(), keys(id), keys(id)));
    }
    Ok(())
}

/// Lists an instrument, which has no price yet; one that is listed already stays as it is. Whether it is new.
pub(super) async fn list(tx: &mut Transaction, listing: &Listing) -> Result<bool, Refusal> {
    const INSTRUMENT: &str = "insert into instruments (market, code, name, kind, listed_on, provenance) values ($1, $2, $3, $4, $5, $6) \
         on conflict (market, code) do nothing";
    const QUOTE: &str = "insert into quotes (market, code, name, status, volume, timestamp, day, previous_close, source_us, sequence, provenance) \
         values ($1, $2, $3, 'not_traded', 0, $4, $5, $6, -1, 0, $7) on conflict do nothing";
    const INDEX: &str = "insert into indices (market, code, name, status, volume, timestamp, day, previous_close, source_us, sequence, provenance) \
         values ($1, $2, $3, 'not_traded', 0, $4, $5, $6, -1, 0, $7) on conflict do nothing";
    let Listing { reference: Reference { id, day, previous_close }, name, kind, listed_on, at } = listing;
    let provenance = Provenance::Ingested.as_str();
    let instrument = Statement::new(INSTRUMENT)
        .bind(id.market.as_str())
        .bind(id.code.as_str())
        .bind(name.as_str())
        .bind(kind.as_str())
        .bind(listed_on.map(|day| day.to_string()))
        .bind(provenance);
    if tx.execute(instrument).await? == 0 {
        return Ok(false);
    }
    let table = Table::of(*kind);
    let shown = Statement::new(if table == Table::Quotes { QUOTE } else { INDEX })
        .bind(id.market.as_str())
        .bind(id.code.as_str())
        .bind(name.as_str())
        .bind(at.to_string())
        .bind(day.to_string())
        .bind(previous_close.to_string())
        .bind(provenance);
    if tx.execute(shown).await? == 0 {
        return Err(Refusal::CodeTaken(id.code.clone()));
    }
    tx.changed(Changed::inserted(table.name(), keys(id)));
    Ok(true)
}

/// Writes the name, the kind and the first day of an instrument that is listed already; a first day that is not told stays as it is.
pub(super) async fn describe(tx: &mut Transaction, table: Table, listing: &Listing) -> Result<(), Refusal> {
    const INSTRUMENT: &str = "update instruments set name = $3, kind = $4, listed_on = coalesce($5, listed_on) where market = $1 and code = $2";
    const QUOTE: &str = "update quotes set name = $3 where market = $1 and code = $2";
    const INDEX: &str = "update indices set name = $3 where market = $1 and code = $2";
    let Listing { reference: Reference { id, .. }, name, kind, listed_on, .. } = listing;
    let of = |sql| Statement::new(sql).bind(id.market.as_str()).bind(id.code.as_str()).bind(name.as_str());
    let listed_on = listed_on.map(|day| day.to_string());
    tx.execute(of(INSTRUMENT).bind(kind.as_str()).bind(listed_on)).await?;
    tx.execute(of(if table == Table::Quotes { QUOTE } else { INDEX })).await?;
    tx.changed(Changed::updated(table.name(), keys(id), keys(id)));
    Ok(())
}

/// Keeps refused updates for who looks at them, the newest [`REFUSED_MAX`].
pub(super) async fn keep_aside(
    tx: &mut Transaction,
    refused: &[Refused],
    now: Timestamp,
) -> Result<(), Refusal> {
    const KEEP: Words = of_rows!(
        "insert into refused_quotes (market, code, timestamp, sequence, price, reason, detail, received_at) \
         select value ->> 0, value ->> 1, value ->> 2, cast(value ->> 3 as bigint), value ->> 4, value ->> 5, value ->> 6, value ->> 7 from",
        ""
    );
    const FORGET: &str = "delete from refused_quotes where id <= (select max(id) from refused_quotes) - $1";
    if refused.is_empty() {
        return Ok(());
    }
    let row = |Refused { id: Id { market, code }, at, sequence, price, reason }: &Refused| {
        let (at, price) = (at.to_string(), price.map(|price| price.to_string()));
        json!([market, code, at, sequence, price, reason.code(), reason.to_string(), now.to_string()])
    };
    tx.execute(KEEP.of(tx.dialect(), refused.iter().map(row).collect())).await?;
    tx.execute(Statement::new(FORGET).bind(REFUSED_MAX)).await?;
    Ok(())
}

/// The columns of an instrument that keys are made of.
fn keys(id: &Id) -> Columns {
    let column = |name: &str, text: &str| (name.into(), Some(Param::Text(text.to_owned())));
    vec![column("market", &id.market), column("code", &id.code)]
}

//! What a transaction has written, as far as it is known: rows where somebody tells of them, whole tables where nobody does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use forebay::feed::{Changed, Watched};

use super::ROWS_MAX;

/// What the work tells of.
#[derive(Debug, Default)]
pub(super) struct Told {
    tables: BTreeMap<Arc<str>, Rows>,
    /// Something else, too.
    elsewhere: bool,
}

/// Changed rows of one table.
#[derive(Debug)]
enum Rows {
    Each(Vec<Changed>),
    Whole,
}

impl Told {
    pub(super) fn add(&mut self, change: Changed) {
        let Some(table) = change.table() else {
            self.elsewhere = true;
            return;
        };
        let rows = self.tables.entry(table.into()).or_insert_with(|| Rows::Each(Vec::new()));
        match (&mut *rows, change) {
            (Rows::Each(each), change @ Changed::Row { .. }) if each.len() < ROWS_MAX => each.push(change),
            _ => *rows = Rows::Whole,
        }
    }

    /// Whether something was told of this table.
    pub(super) fn is_of(&self, table: &str) -> bool {
        self.tables.contains_key(table)
    }

    /// All of it.
    pub(super) fn changes(&self) -> Vec<Changed> {
        let of = |(table, rows): (&Arc<str>, &Rows)| match rows {
            Rows::Each(each) => each.clone(),
            Rows::Whole => vec![Changed::Table(Arc::clone(table))],
        };
        let elsewhere = self.elsewhere.then_some(Changed::Elsewhere);
        self.tables.iter().flat_map(of).chain(elsewhere).collect()
    }
}

/// What is to be invalidated once a transaction is committed.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// What is known to have changed.
    pub(super) changes: Vec<Changed>,
    /// Whether the database was changed at all.
    pub(super) anything: bool,
}

impl Written {
    /// That nobody knows anything of what was done, while `watched` was watched.
    pub(super) fn who_knows(watched: &[Watched]) -> Self {
        let changes = watched.iter().map(|watched| Changed::Table(Arc::clone(&watched.table)));
        Self { changes: changes.collect(), anything: true }
    }

    /// What has changed for those who watch the tables of `now`, where it was noted for those of `then`; and for those who cannot tell
    /// what they are made of, where anything has.
    pub(super) fn with_unwatched(&self, then: &[Watched], now: &[Watched]) -> Vec<Changed> {
        let mut changes = self.changes.clone();
        if self.anything {
            let is_new = |is: &&Watched| !then.iter().any(|was| was.table == is.table);
            let new = now.iter().filter(is_new);
            changes.extend(new.map(|watched| Changed::Table(Arc::clone(&watched.table))));
            changes.push(Changed::Elsewhere);
        }
        changes
    }
}

/// The tables of which all that depends on them is gone, in order.
pub(super) fn whole(changes: &[Changed]) -> Vec<Arc<str>> {
    let table = |change: &Changed| match change {
        Changed::Table(table) => Some(Arc::clone(table)),
        Changed::Row { .. } | Changed::Elsewhere => None,
    };
    changes.iter().filter_map(table).collect::<BTreeSet<_>>().into_iter().collect()
}

/// What several watch, each table once.
pub(super) fn united(watched: impl Iterator<Item = Watched>) -> Vec<Watched> {
    let mut tables: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> = BTreeMap::new();
    for Watched { table, columns } in watched {
        tables.entry(table).or_default().extend(columns);
    }
    let one = |(table, columns): (_, BTreeSet<_>)| Watched { table, columns: columns.into_iter().collect() };
    tables.into_iter().map(one).collect()
}

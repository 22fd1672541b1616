//! Which keys of a namespace a changed row concerns.
//!
//! A row concerns the key whose parameters its columns carry, before the change and after it. Where the table lacks a column,
//! nobody knows which keys: all that begin with the parameters that are known.

use std::sync::Arc;

use bytes::Bytes;

use super::{Changed, Columns};
use crate::log::Reach;
use crate::namespace::pattern::Pattern;
use crate::value::{Key, KeyBuf, KeyPart, Param, TakeParts};

/// Rows that the values of a namespace are made of.
///
/// ```
/// use forebay::feed::Rows;
///
/// // A row concerns the key `price:{symbol}:{currency}` of its columns `symbol` and `iso_code`.
/// let rows = Rows::of("main", "prices").column("currency", "iso_code");
/// ```
#[derive(Clone, Debug)]
pub struct Rows {
    database: Arc<str>,
    /// Nothing where it may be any.
    table: Option<Arc<str>>,
    /// Parameters of the key whose column has another name.
    columns: Vec<(Arc<str>, Arc<str>)>,
    field: Option<Arc<str>>,
    is_told: bool,
}

/// Why a namespace cannot depend on rows as it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RowsError {
    #[error(
        "it depends on rows of `{table}`: the key has no parameter `{name}`, give one that it has to `column`"
    )]
    NoParameter { table: String, name: String },
}

impl Rows {
    /// The rows of `table` in `database`, whose columns are called as the parameters of the key. A parameter that no column is
    /// called as is one that a row does not tell: its changes concern all keys with the parameters before it.
    #[must_use]
    pub fn of(database: &str, table: &str) -> Self {
        Self { table: Some(table.into()), ..Self::of_any(database) }
    }

    /// The rows of any table in `database`: nobody knows which ones the values are made of. Whatever changes there concerns all keys.
    #[must_use]
    pub fn of_any(database: &str) -> Self {
        Self { database: database.into(), table: None, columns: Vec::new(), field: None, is_told: false }
    }

    /// The parameter `param` of the key is in the column called `column`.
    #[must_use]
    pub fn column(mut self, param: &str, column: &str) -> Self {
        self.columns.push((param.into(), column.into()));
        self
    }

    /// A row is one field of a hash, called as the column `column` says: of its key only that field is invalidated.
    #[must_use]
    pub fn field(mut self, column: &str) -> Self {
        self.field = Some(column.into());
        self
    }

    /// Whoever changes the rows tells of it by [`rows_changed`](crate::Forebay::rows_changed), so that a membership filter may deny keys
    /// where no feed is followed.
    #[must_use]
    pub fn told_by_writers(mut self) -> Self {
        self.is_told = true;
        self
    }

    /// Whether all changes are told without a feed.
    pub(crate) fn are_told_by_writers(&self) -> bool {
        self.is_told
    }

    /// The database, by the name that its feed is followed under.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The table; `None` where it may be any.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        self.table.as_deref()
    }

    /// The columns that a row is matched to the keys of `pattern` by.
    pub(crate) fn columns_of(&self, pattern: &Pattern) -> Vec<Arc<str>> {
        let names = pattern.names().map(|name| self.column_of(name).into());
        names.chain(self.field.iter().map(Arc::clone)).collect()
    }

    /// Whether they can be matched to the keys of `pattern`.
    pub(crate) fn check(&self, pattern: &Pattern) -> Result<(), RowsError> {
        let unknown = |(param, _): &&(Arc<str>, Arc<str>)| !pattern.names().any(|name| name == &**param);
        match self.columns.iter().find(unknown) {
            Some((param, _)) => {
                let table = self.table().unwrap_or("any table").to_owned();
                Err(RowsError::NoParameter { table, name: param.to_string() })
            }
            None => Ok(()),
        }
    }

    /// What `changed` makes invalid in the namespace called `namespace`, whose keys are of `pattern`.
    pub(crate) fn concerned(&self, changed: &Changed, namespace: &Arc<str>, pattern: &Pattern) -> Vec<Reach> {
        let all = || vec![Reach::Namespace(Arc::clone(namespace))];
        match changed {
            _ if self.table.is_none() => all(),
            _ if changed.table() != self.table() => Vec::new(),
            Changed::Table(_) | Changed::Elsewhere => all(),
            Changed::Row { old, new, .. } => {
                let sides = [old, new].into_iter().flatten();
                sides.filter_map(|row| self.reach(row, namespace, pattern)).collect()
            }
        }
    }

    /// What a row with these columns is part of; nothing where it can be part of no key.
    fn reach(&self, row: &Columns, namespace: &Arc<str>, pattern: &Pattern) -> Option<Reach> {
        let namespace = Arc::clone(namespace);
        let mut params: Vec<&Param> = Vec::new();
        for name in pattern.names() {
            match self.cell(row, name) {
                Some(Some(param)) => params.push(param),
                // NULL is in no key.
                Some(None) => return None,
                None => break,
            }
        }
        if params.len() < pattern.names().len() {
            let texts: Vec<KeyBuf> = params.iter().map(|param| text(param)).collect();
            let values: Vec<&[u8]> = texts.iter().map(|text| &**text).collect();
            return Some(match values.is_empty() {
                true => Reach::Namespace(namespace),
                false => Reach::Prefix { namespace, prefix: pattern.fill(&values).into() },
            });
        }
        let mut key = KeyBuf::new();
        pattern.render(&Parts(&params), &mut key).ok()?;
        let key = key.as_slice().into();
        match self.field.as_ref().and_then(|column| cell(row, column)) {
            Some(Some(field)) => {
                Some(Reach::Field { namespace, key, field: Bytes::copy_from_slice(&text(field)) })
            }
            _ => Some(Reach::Key { namespace, key }),
        }
    }

    /// What the row has for a parameter of the key; `None` where it does not tell.
    fn cell<'r>(&self, row: &'r Columns, param: &str) -> Option<Option<&'r Param>> {
        cell(row, self.column_of(param))
    }

    /// The column that a parameter of the key is in.
    fn column_of<'n>(&'n self, param: &'n str) -> &'n str {
        let renamed = self.columns.iter().find(|(name, _)| **name == *param);
        renamed.map_or(param, |(_, column)| column)
    }
}

fn cell<'r>(row: &'r Columns, column: &str) -> Option<Option<&'r Param>> {
    row.iter().find(|(name, _)| **name == *column).map(|(_, value)| value.as_ref())
}

/// The parameters of a key, which lie apart.
struct Parts<'p>(&'p [&'p Param]);

impl Key for Parts<'_> {
    fn give_parts(&self, to: &mut impl TakeParts) {
        for param in self.0 {
            param.give(to);
        }
    }
}

/// A parameter as it stands in a key.
fn text(param: &Param) -> KeyBuf {
    struct Taken(KeyBuf);
    impl TakeParts for Taken {
        fn take(&mut self, text: &[u8]) {
            self.0.extend_from_slice(text);
        }
    }
    let mut taken = Taken(KeyBuf::new());
    param.give(&mut taken);
    taken.0
}

#[cfg(test)]
mod tests {
    use super::{Changed, Columns, Param, Pattern, Reach, Rows, RowsError};

    fn row(columns: &[(&str, Option<&str>)]) -> Columns {
        columns
            .iter()
            .map(|(name, text)| ((*name).into(), text.map(|text| Param::Text(text.into()))))
            .collect()
    }

    fn reached(rows: &Rows, changed: &Changed, pattern: &str) -> Vec<String> {
        let concerned = rows.concerned(changed, &"n".into(), &Pattern::parse(pattern).unwrap());
        let utf8 = |bytes: &[u8]| String::from_utf8(bytes.into()).unwrap();
        let told = |reach| match reach {
            Reach::Key { key, .. } => format!("key {}", utf8(&key)),
            Reach::Field { key, field, .. } => format!("field {} of {}", utf8(&field), utf8(&key)),
            Reach::Prefix { prefix, .. } => format!("prefix {}", utf8(&prefix)),
            Reach::Namespace(_) => "namespace".into(),
            Reach::Tag(_) | Reach::All => panic!("rows know neither tags nor keyspaces"),
        };
        concerned.into_iter().map(told).collect()
    }

    #[test]
    fn a_row_that_moves_concerns_both_keys() {
        let moved = Changed::updated("t", row(&[("a", Some("1"))]), row(&[("a", Some("2"))]));
        assert_eq!(reached(&Rows::of("db", "t"), &moved, "k:{a}"), ["key k:1", "key k:2"]);
        assert!(reached(&Rows::of("db", "other"), &moved, "k:{a}").is_empty());
    }

    #[test]
    fn a_column_may_have_another_name() {
        let rows = Rows::of("db", "t").column("b", "c");
        let new = Changed::inserted("t", row(&[("b", Some("no")), ("a", Some("1")), ("c", Some("2"))]));
        assert_eq!(reached(&rows, &new, "k:{a}:{b}"), ["key k:1:2"]);
        let wrong = Rows::of("db", "t").column("x", "c").check(&Pattern::parse("k:{a}").unwrap());
        assert_eq!(wrong, Err(RowsError::NoParameter { table: "t".into(), name: "x".into() }));
    }

    #[test]
    fn what_a_row_does_not_tell_concerns_all() {
        let rows = Rows::of("db", "t");
        let gone = Changed::deleted("t", row(&[("a", Some("1"))]));
        assert_eq!(reached(&rows, &gone, "k:{a}:{b}"), ["prefix k:1:"]);
        assert_eq!(reached(&rows, &gone, "k:{b}:{a}"), ["namespace"]);
        assert_eq!(reached(&rows, &Changed::Table("t".into()), "k:{a}"), ["namespace"]);
    }

    #[test]
    fn who_depends_on_any_table_is_concerned_by_all() {
        let rows = Rows::of_any("db");
        let changes = [
            Changed::inserted("t", row(&[("a", Some("1"))])),
            Changed::Table("other".into()),
            Changed::Elsewhere,
        ];
        for changed in changes {
            assert_eq!(reached(&rows, &changed, "k:{a}"), ["namespace"]);
        }
        assert!(reached(&Rows::of("db", "t"), &Changed::Elsewhere, "k:{a}").is_empty());
    }

    #[test]
    fn a_null_and_a_text_that_makes_no_key_concern_none() {
        let rows = Rows::of("db", "t");
        for text in [None, Some("")] {
            assert!(reached(&rows, &Changed::inserted("t", row(&[("a", text)])), "k:{a}").is_empty());
        }
    }

    #[test]
    fn a_field_is_one_row_of_its_hash() {
        let rows = Rows::of("db", "t").field("f");
        let columns = |field| row(&[("a", Some("1")), ("f", field)]);
        assert_eq!(reached(&rows, &Changed::inserted("t", columns(Some("x"))), "k:{a}"), ["field x of k:1"]);
        assert_eq!(reached(&rows, &Changed::deleted("t", row(&[("a", Some("1"))])), "k:{a}"), ["key k:1"]);
    }
}

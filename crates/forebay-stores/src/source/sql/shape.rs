//! What the rows of a key make: one row, all of them, a hash or a sorted set.
//!
//! A key without rows does not exist, whatever its shape. Rows and bytes of a key, and the bytes of all keys of a load together, are
//! bounded while they come, so that no query fills the memory with what could never be kept. A row that has NULL where a part of its key, its field or its member would be belongs
//! to none.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use forebay::namespace::pattern::{ParamKind, Pattern};
use forebay::rt::Tick;
use forebay::source::Answers;
use forebay::value::{Field, Hash, Param, Score, SortedSet, Tag, Version};
use forebay::{Blob, LoadKey, Loaded, Value};
use serde_json::value::RawValue;

use super::row::RowError;
use super::{Row, SqlError, SqlQuery};
use crate::source::json;

/// What the rows of a key make.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Shape {
    /// Its one row, as a JSON object.
    #[default]
    Row,
    /// All its rows, as a JSON array of objects in the query's order.
    Rows,
    /// Its one row, as a hash of its columns. Text stands there without quotes, everything else as in JSON; a column that is NULL is no
    /// field.
    Columns,
    /// A hash with a field for each row, whose value is the row as a JSON object.
    Fields {
        /// The name of a row's field, with columns in braces.
        name: Pattern,
        /// The query for single fields, with `{keys}` for the parameters of the key and then the columns of the name. Without it a
        /// field is loaded with its whole hash.
        query: Option<String>,
    },
    /// A sorted set with a member for each row.
    Members {
        /// The column of the member.
        member: String,
        /// The column of its score: numbers, as doubles.
        score: String,
    },
}

impl Shape {
    /// The columns that tell a row apart within its key, with the options that name them.
    pub(super) fn columns(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Row | Self::Rows | Self::Columns => Vec::new(),
            Self::Fields { name, .. } => name.names().map(|column| ("field", column)).collect(),
            Self::Members { member, score } => vec![("member", member), ("score", score)],
        }
    }
}

/// How much the rows of one key may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most rows of a key.
    pub rows: u64,
    /// The most bytes of a key's rows, as JSON; of a sorted set, of its members and 8 for each score.
    pub bytes: u64,
}

impl Default for Limits {
    /// 10,000 rows, 16 MiB.
    fn default() -> Self {
        Self { rows: 10_000, bytes: 16 << 20 }
    }
}

/// The most bytes that the rows of several keys may have together, unless one key alone may have more.
const TOGETHER_BYTES_MAX: u64 = 64 << 20;

/// Rows that come, put to their keys.
pub(super) struct Gathering<'q> {
    query: &'q SqlQuery,
    asked: HashSet<&'q [Param]>,
    found: HashMap<Vec<Param>, Gathered>,
    /// Of all keys.
    bytes: u64,
    bytes_max: u64,
}

/// What has come of one key.
struct Gathered {
    rows: u64,
    bytes: u64,
    made: Made,
    version: Option<i64>,
    /// When the first row ends that says so, where it ends the whole.
    fresh_until: Option<Tick>,
    /// Whether there is a row that says nothing of its end.
    ends_unsaid: bool,
    /// With their places among them.
    tags: HashMap<Tag, usize>,
}

enum Made {
    Row(Vec<u8>),
    Rows(Vec<u8>),
    Columns(Vec<(String, Bytes)>),
    Fields(HashMap<Vec<u8>, Field>),
    Members(SortedSet),
}

impl<'q> Gathering<'q> {
    /// What comes of `keys`.
    pub(super) fn of(query: &'q SqlQuery, keys: &'q [LoadKey]) -> Self {
        let asked = keys.iter().map(|key| key.params.as_slice()).collect();
        let bytes_max = query.limits.bytes.max(TOGETHER_BYTES_MAX);
        Self { query, asked, found: HashMap::new(), bytes: 0, bytes_max }
    }

    /// Forgets what has come.
    pub(super) fn clear(&mut self) {
        self.found.clear();
        self.bytes = 0;
    }

    /// Whether a row of `key` is to be made, which holds `held` bytes as the database gave it; an error where those alone are too many.
    pub(super) fn takes(&self, key: Option<&[Param]>, held: u64) -> Result<bool, SqlError> {
        // A row whose key columns are NULL or of another type belongs to no key that was asked for.
        let Some(key) = key.filter(|key| self.asked.contains(key)) else { return Ok(false) };
        // Of a sorted set only the members are kept.
        if !matches!(self.query.shape, Shape::Members { .. }) {
            let before = self.found.get(key).map_or(0, |gathered| gathered.bytes);
            self.bounded(key, before.saturating_add(held), self.bytes.saturating_add(held))?;
        }
        Ok(true)
    }

    /// An error where a key would have `own` bytes, or all of them `together`, and may not.
    fn bounded(&self, key: &[Param], own: u64, together: u64) -> Result<(), SqlError> {
        let limit = self.query.limits.bytes;
        if own > limit {
            return Err(SqlError::TooLarge { key: key.to_vec(), limit });
        }
        if together > self.bytes_max {
            return Err(SqlError::TooLargeTogether { keys: self.asked.len(), limit: self.bytes_max });
        }
        Ok(())
    }

    /// Puts `row` to its key.
    pub(super) fn add(&mut self, row: Row) -> Result<(), SqlError> {
        let Row { json, key, version, fresh_until, tags, place } = row;
        let Limits { rows, .. } = self.query.limits;
        let gathered = self.found.entry(key.clone()).or_insert_with(|| Gathered::none_of(&self.query.shape));
        gathered.rows = gathered.rows.saturating_add(1);
        if gathered.rows > rows {
            return Err(SqlError::TooManyRows { key, limit: rows });
        }
        gathered.version = gathered.version.max(version);
        if !matches!(gathered.made, Made::Fields(_)) {
            gathered.ends_unsaid |= fresh_until.is_none();
            gathered.fresh_until = [gathered.fresh_until, fresh_until].into_iter().flatten().min();
        }
        for tag in tags {
            let place = gathered.tags.len();
            gathered.tags.entry(tag).or_insert(place);
        }
        let added = gathered.made.add(&self.query.shape, &key, (json, fresh_until), &place)?;
        gathered.bytes = gathered.bytes.saturating_add(added);
        let own = gathered.bytes;
        self.bytes = self.bytes.saturating_add(added);
        self.bounded(&key, own, self.bytes)
    }

    /// What was found of `keys`, in their order.
    pub(super) fn answers(self, keys: &[LoadKey]) -> Answers {
        let ttl = self.query.fresh_until.as_ref().map(|of| of.ttl);
        let found: HashMap<Vec<Param>, Loaded> =
            self.found.into_iter().filter_map(|(key, gathered)| Some((key, gathered.loaded(ttl)?))).collect();
        keys.iter().map(|key| found.get(&key.params).cloned()).collect()
    }
}

impl Gathered {
    fn none_of(shape: &Shape) -> Self {
        let made = match shape {
            Shape::Row => Made::Row(Vec::new()),
            Shape::Rows => Made::Rows(Vec::new()),
            Shape::Columns => Made::Columns(Vec::new()),
            Shape::Fields { .. } => Made::Fields(HashMap::new()),
            Shape::Members { .. } => Made::Members(SortedSet::new()),
        };
        let (version, fresh_until, ends_unsaid) = (None, None, false);
        Self { rows: 0, bytes: 0, made, version, fresh_until, ends_unsaid, tags: HashMap::new() }
    }

    /// `ttl`: how long a row is fresh that says nothing.
    fn loaded(self, ttl: Option<Duration>) -> Option<Loaded> {
        let Self { made, version, fresh_until, ends_unsaid, tags, .. } = self;
        let ttl = ttl.filter(|_| ends_unsaid && fresh_until.is_some());
        let mut tags: Vec<(Tag, usize)> = tags.into_iter().collect();
        tags.sort_unstable_by_key(|(_, place)| *place);
        let tags = tags.into_iter().map(|(tag, _)| tag).collect();
        let version = version.map(Version);
        Some(Loaded { ttl, fresh_until, version, tags, ..Loaded::new(made.value()?) })
    }
}

impl Made {
    /// Adds a row of `key` and when it ends by itself, which has `place` where its shape tells it apart; how many bytes that are.
    fn add(
        &mut self,
        shape: &Shape,
        key: &[Param],
        (json, fresh_until): (Vec<u8>, Option<Tick>),
        place: &[Option<String>],
    ) -> Result<u64, SqlError> {
        let doubled = |part: &[u8]| SqlError::DoubledPart {
            key: key.to_vec(),
            part: String::from_utf8_lossy(part).into_owned(),
        };
        let bytes = length(&json);
        match self {
            Self::Row(row) if row.is_empty() => *row = json,
            Self::Columns(fields) if fields.is_empty() => *fields = columns(&json)?,
            Self::Row(_) | Self::Columns(_) => return Err(SqlError::Doubled { key: key.to_vec() }),
            Self::Rows(rows) => {
                rows.push(if rows.is_empty() { b'[' } else { b',' });
                rows.extend_from_slice(&json);
            }
            Self::Fields(fields) => {
                let Some(name) = field_name(shape, place) else { return Ok(0) };
                let added = bytes.saturating_add(length(&name));
                let known = fields.contains_key(&name);
                if known {
                    return Err(doubled(&name));
                }
                let value = Bytes::from(json.into_boxed_slice());
                fields.insert(name, Field { value, fresh_until });
                return Ok(added);
            }
            Self::Members(set) => {
                let [Some(member), score] = place else { return Ok(0) };
                let score = score_of(shape, score.as_deref())?;
                if set.score(member.as_bytes()).is_some() {
                    return Err(doubled(member.as_bytes()));
                }
                set.upsert(member.as_bytes(), score);
                return Ok(length(member.as_bytes()).saturating_add(8));
            }
        }
        Ok(bytes)
    }

    /// The value; `None` where no row is part of it.
    fn value(self) -> Option<Value> {
        match self {
            Self::Row(row) if row.is_empty() => None,
            Self::Row(row) => Some(Blob::json(row).into()),
            Self::Rows(rows) if rows.is_empty() => None,
            Self::Rows(mut rows) => {
                rows.push(b']');
                Some(Blob::json(rows).into())
            }
            Self::Columns(fields) => (!fields.is_empty()).then(|| Hash::whole(fields).into()),
            Self::Fields(fields) => (!fields.is_empty()).then(|| Hash::whole_until(fields).into()),
            Self::Members(set) => (!set.is_empty()).then(|| set.into()),
        }
    }
}

pub(super) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// The columns of a row that are not NULL, as fields of a hash.
fn columns(row: &[u8]) -> Result<Vec<(String, Bytes)>, SqlError> {
    let unreadable = |error: serde_json::Error| {
        SqlError::Row(RowError::Unreadable { column: String::new(), problem: error.to_string() })
    };
    let members: json::Members<'_> = serde_json::from_slice(row).map_err(unreadable)?;
    let field = |(name, value): (std::borrow::Cow<'_, str>, &RawValue)| {
        (value.get() != "null").then(|| {
            let text = json::scalar(value).unwrap_or_else(|| value.get().into());
            (name.into_owned(), Bytes::copy_from_slice(text.as_bytes()))
        })
    };
    Ok(members.0.into_iter().filter_map(field).collect())
}

/// The field that a row with these columns is; `None` where one is NULL, or where the name would be read as another row's.
fn field_name(shape: &Shape, columns: &[Option<String>]) -> Option<Vec<u8>> {
    let Shape::Fields { name, .. } = shape else { return None };
    let texts: Vec<&[u8]> =
        columns.iter().map(|text| Some(text.as_ref()?.as_bytes())).collect::<Option<_>>()?;
    let filled = name.fill(&texts);
    let is_read_back = texts_of(name, &filled)? == texts;
    is_read_back.then_some(filled)
}

/// The texts of the parameters in `name`; `None` where it is no name of the pattern, or one is not canonical for its type.
fn texts_of<'n>(pattern: &Pattern, name: &'n [u8]) -> Option<Vec<&'n [u8]>> {
    let texts = pattern.matches(name)?;
    let are_canonical = texts.iter().zip(pattern.kinds()).all(|(text, kind)| kind.canonical(text));
    are_canonical.then(|| texts.to_vec())
}

/// The parameters that the field called `name` is looked up by; `None` where no row can have it.
pub(super) fn field_params(pattern: &Pattern, name: &[u8]) -> Option<Vec<Param>> {
    let param = |(text, kind): (&[u8], ParamKind)| kind.param(std::str::from_utf8(text).ok()?);
    texts_of(pattern, name)?.into_iter().zip(pattern.kinds()).map(param).collect()
}

fn score_of(shape: &Shape, text: Option<&str>) -> Result<Score, SqlError> {
    let Shape::Members { score: column, .. } = shape else {
        return Err(SqlError::ShapeColumn { option: "score", column: String::new() });
    };
    let number = text.and_then(|text| text.parse().ok()).and_then(|number| Score::new(number).ok());
    number.ok_or_else(|| {
        let held = text.map_or_else(|| "NULL".to_owned(), |text| format!("\"{text}\""));
        SqlError::Row(RowError::NotAScore { column: column.clone(), held })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use forebay::LoadKey;
    use forebay::rt::Clock;
    use forebay::value::{Param, Tag};

    use super::super::{Row, SqlQuery};
    use super::{Gathering, Limits, Shape};

    #[test]
    fn tags_of_many_rows_are_told_once_each_and_soon() {
        let many = 60_000;
        let limits = Limits { rows: 1 << 20, ..Limits::default() };
        let query = SqlQuery { shape: Shape::Rows, limits, ..SqlQuery::default() };
        let keys = [LoadKey { params: vec![Param::Integer(1)] }];
        let mut gathering = Gathering::of(&query, &keys);
        let clock = Clock::system();
        let began = clock.now();
        for number in 0..many {
            let tags = vec![Tag::from(format!("venue:{number:06}")), Tag::from("all")];
            let key = vec![Param::Integer(1)];
            let (version, fresh_until) = (None, None);
            let row = Row { json: b"{}".to_vec(), key, version, fresh_until, tags, place: vec![] };
            gathering.add(row).unwrap();
        }
        let loaded = gathering.answers(&keys).remove(0).unwrap();
        let took = clock.now().since(began);
        assert_eq!(loaded.tags.len(), many + 1);
        assert_eq!(loaded.tags[..3], ["venue:000000", "all", "venue:000001"].map(Tag::from));
        assert!(took < Duration::from_secs(4), "{took:?}");
    }
}

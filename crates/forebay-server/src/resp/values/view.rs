//! What some keys have, as a command finds it and as it leaves it.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use forebay::namespace::kind;
use forebay::value::{Hash, Kind, SortedSet, Value, counter};

use super::Refusal;

/// The values of a command's keys.
#[derive(Debug, Default)]
pub(in crate::resp) struct View {
    /// In the order of the keys, each once.
    cells: Vec<(Bytes, Cell)>,
}

/// What one key has.
#[derive(Clone, Debug, Default)]
pub(in crate::resp) struct Cell {
    /// Whether some namespace has the key.
    pub(in crate::resp) has_namespace: bool,
    /// The value; `None` where there is none, or only its kind was asked for.
    value: Option<Value>,
    /// The kind of a value that is there, where only that was asked for.
    seen: Option<Kind>,
    /// What is written is to be of this kind, where one is declared.
    declared: Option<Kind>,
    /// How long what was there at first has left; `None` where it does not end.
    left: Option<Duration>,
    ends: Ends,
    changed: bool,
    /// What was there at first was replaced, or taken away: what is there now has nothing to do with when that was to end.
    is_new: bool,
}

/// When the value that a command leaves ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::resp) enum Ends {
    /// When the one before did; a new one when its namespace says.
    #[default]
    AsBefore,
    /// When its namespace says.
    Anew,
    /// So long from now.
    After(Duration),
    /// Never.
    Never,
}

impl Cell {
    /// A key that has this value, which has so long left.
    pub(in crate::resp) fn new(value: Option<Value>, left: Option<Duration>) -> Self {
        Self { has_namespace: true, value, left, ..Self::default() }
    }

    /// A key of which it is known what kind of value it has, and how long that has left.
    pub(in crate::resp) fn seen(kind: Option<Kind>, left: Option<Duration>) -> Self {
        Self { has_namespace: true, seen: kind, left, ..Self::default() }
    }

    /// The same, of a namespace that declares this kind.
    pub(in crate::resp) fn of_kind(self, declared: Option<Kind>) -> Self {
        Self { declared, ..self }
    }

    /// Whether what is there now has replaced what was there at first, or came after that was taken away.
    pub(in crate::resp) fn is_new(&self) -> bool {
        self.is_new
    }

    /// What a change has left, and when it ends; `None` where nothing was changed.
    pub(in crate::resp) fn changed(self) -> Option<(Option<Value>, Ends)> {
        self.changed.then_some((self.value, self.ends))
    }

    /// What is there: a collection with nothing in it is not.
    fn value(&self) -> Option<&Value> {
        self.value.as_ref().filter(|value| match value.kind() {
            Kind::Hash => value.as_hash().is_some_and(|hash| hash.is_empty() != Some(true)),
            Kind::SortedSet => value.as_sorted_set().is_some_and(|set| !set.is_empty()),
            Kind::Blob | Kind::Native | Kind::Counter => true,
        })
    }

    fn kind(&self) -> Option<Kind> {
        self.value().map(Value::kind).or(self.seen)
    }

    /// What is there, to be changed as a value of this kind; `new` where nothing is.
    fn value_or(&mut self, kind: Kind, new: impl FnOnce() -> Value) -> Result<&mut Value, Refusal> {
        kind::takes(self.declared, kind)?;
        let cell = self.touched()?;
        if cell.value().is_none() {
            cell.clear();
        }
        Ok(cell.value.get_or_insert_with(new))
    }

    /// What is there, to be made less. Nothing new is written, so that its kind is not judged: it may be older than what is declared.
    fn value_to_shrink(&mut self) -> Result<Option<&mut Value>, Refusal> {
        if self.value().is_none() {
            return Ok(None);
        }
        Ok(self.touched()?.value.as_mut())
    }

    /// Takes away what is there, and when that was to end: what comes after it within the same change does not take that over.
    fn clear(&mut self) -> Option<Value> {
        (self.left, self.ends, self.is_new) = (None, Ends::Anew, true);
        self.value.take()
    }

    fn left(&self) -> Option<Duration> {
        match self.ends {
            Ends::AsBefore => self.left,
            Ends::After(left) => Some(left),
            Ends::Anew | Ends::Never => None,
        }
    }

    /// When another value would end that ends when this one does.
    fn lasting(&self) -> Ends {
        match self.ends {
            Ends::AsBefore => self.left.map_or(Ends::Never, Ends::After),
            ends => ends,
        }
    }

    /// To be changed.
    fn touched(&mut self) -> Result<&mut Self, Refusal> {
        if !self.has_namespace {
            return Err(Refusal::NoNamespace);
        }
        self.changed = true;
        Ok(self)
    }
}

impl View {
    /// A view of these keys. Of a key that comes twice, the first counts.
    pub(in crate::resp) fn new(cells: impl IntoIterator<Item = (Bytes, Cell)>) -> Self {
        let mut cells: Vec<_> = cells.into_iter().collect();
        cells.sort_by(|(a, _), (b, _)| a.cmp(b));
        cells.dedup_by(|(later, _), (first, _)| later == first);
        Self { cells }
    }

    /// What the keys have now, in the order of their bytes.
    pub(in crate::resp) fn into_cells(self) -> Vec<(Bytes, Cell)> {
        self.cells
    }

    /// What those of `keys` have that are among its own, to be changed for themselves. However much they have, that costs little.
    pub(in crate::resp) fn part(&self, keys: &[Bytes]) -> Self {
        Self::new(keys.iter().filter_map(|key| Some((key.clone(), self.cell(key)?.clone()))))
    }

    /// Lets keys have what they have in a part of it.
    pub(in crate::resp) fn put_back(&mut self, part: Self) {
        for (key, cell) in part.cells {
            if let Ok(own) = self.cell_mut(&key) {
                *own = cell;
            }
        }
    }

    /// What `key` has, where it is one of these keys.
    pub(in crate::resp) fn found(&self, key: &[u8]) -> Option<Option<&Value>> {
        self.cell(key).map(Cell::value)
    }

    fn cell(&self, key: &[u8]) -> Option<&Cell> {
        let at = self.cells.binary_search_by(|(other, _)| other.as_ref().cmp(key)).ok()?;
        self.cells.get(at).map(|(_, cell)| cell)
    }

    fn cell_mut(&mut self, key: &[u8]) -> Result<&mut Cell, Refusal> {
        let at = self.cells.binary_search_by(|(other, _)| other.as_ref().cmp(key));
        let at = at.map_err(|_| Refusal::NoNamespace)?;
        self.cells.get_mut(at).map(|(_, cell)| cell).ok_or(Refusal::NoNamespace)
    }

    /// The kind of value that the key has.
    pub(super) fn kind(&self, key: &[u8]) -> Option<Kind> {
        self.cell(key)?.kind()
    }

    /// How long the value of the key has left; `None` where it does not end.
    pub(super) fn left(&self, key: &[u8]) -> Option<Duration> {
        self.cell(key)?.left()
    }

    /// The value of the key.
    pub(super) fn value(&self, key: &[u8]) -> Option<&Value> {
        self.cell(key)?.value()
    }

    /// The string that the key has.
    pub(super) fn string(&self, key: &[u8]) -> Result<Option<Cow<'_, [u8]>>, Refusal> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Blob(blob)) => Ok(Some(Cow::Borrowed(blob.as_bytes()))),
            Some(Value::Counter(number)) => Ok(Some(Cow::Owned(counter::print(*number).to_vec()))),
            Some(_) => Err(Refusal::WrongKind),
        }
    }

    /// The hash that the key has.
    pub(super) fn hash(&self, key: &[u8]) -> Result<Option<&Hash>, Refusal> {
        let Some(value) = self.value(key) else { return Ok(None) };
        value.as_hash().map(|hash| Some(hash.as_ref())).ok_or(Refusal::WrongKind)
    }

    /// The sorted set that the key has.
    pub(super) fn sorted_set(&self, key: &[u8]) -> Result<Option<&SortedSet>, Refusal> {
        let Some(value) = self.value(key) else { return Ok(None) };
        value.as_sorted_set().map(|set| Some(set.as_ref())).ok_or(Refusal::WrongKind)
    }

    /// The hash that the key has, to be added to; an empty one where nothing is there.
    pub(super) fn hash_mut(&mut self, key: &[u8]) -> Result<&mut Hash, Refusal> {
        let none: [(&[u8], Bytes); 0] = [];
        let value = self.cell_mut(key)?.value_or(Kind::Hash, || Hash::whole(none).into())?;
        value.hash_mut().ok_or(Refusal::WrongKind)
    }

    /// The hash that the key has, to be taken from. Left empty, it does not exist.
    pub(super) fn hash_to_shrink(&mut self, key: &[u8]) -> Result<Option<&mut Hash>, Refusal> {
        let Some(value) = self.cell_mut(key)?.value_to_shrink()? else { return Ok(None) };
        value.hash_mut().map(Some).ok_or(Refusal::WrongKind)
    }

    /// The sorted set that the key has, to be added to; an empty one where nothing is there.
    pub(super) fn sorted_set_mut(&mut self, key: &[u8]) -> Result<&mut SortedSet, Refusal> {
        let value = self.cell_mut(key)?.value_or(Kind::SortedSet, || SortedSet::new().into())?;
        value.sorted_set_mut().ok_or(Refusal::WrongKind)
    }

    /// The sorted set that the key has, to be taken from. Left empty, it does not exist.
    pub(super) fn sorted_set_to_shrink(&mut self, key: &[u8]) -> Result<Option<&mut SortedSet>, Refusal> {
        let Some(value) = self.cell_mut(key)?.value_to_shrink()? else { return Ok(None) };
        value.sorted_set_mut().map(Some).ok_or(Refusal::WrongKind)
    }

    /// Writes a value that ends when the one before did, as `APPEND` does.
    pub(super) fn change(&mut self, key: &[u8], value: Value) -> Result<(), Refusal> {
        let cell = self.cell_mut(key)?;
        let value = kind::fit(cell.declared, value)?;
        let cell = cell.touched()?;
        if cell.value().is_none() {
            cell.clear();
        }
        cell.value = Some(value);
        Ok(())
    }

    /// Writes a value that ends when its namespace says, as `SET` does.
    pub(super) fn replace(&mut self, key: &[u8], value: Value) -> Result<(), Refusal> {
        let cell = self.cell_mut(key)?;
        let value = kind::fit(cell.declared, value)?;
        let cell = cell.touched()?;
        (cell.value, cell.ends, cell.is_new) = (Some(value), Ends::Anew, true);
        Ok(())
    }

    /// Writes the value of one key, and when it ends, under another.
    pub(super) fn copy(&mut self, from: &[u8], to: &[u8]) -> Result<(), Refusal> {
        let Some(cell) = self.cell(from) else { return Ok(()) };
        let (value, ends) = (cell.value().cloned(), cell.lasting());
        let cell = self.cell_mut(to)?;
        let value = value.map(|value| kind::fit(cell.declared, value)).transpose()?;
        let cell = cell.touched()?;
        (cell.value, cell.ends, cell.is_new) = (value, ends, true);
        Ok(())
    }

    /// Takes the value away; tells what it was.
    pub(super) fn take(&mut self, key: &[u8]) -> Result<Option<Value>, Refusal> {
        if self.value(key).is_none() {
            return Ok(None);
        }
        Ok(self.cell_mut(key)?.touched()?.clear())
    }

    /// Lets the value end after `ttl`; now where that is zero.
    pub(super) fn ends_after(&mut self, key: &[u8], ttl: Duration) -> Result<(), Refusal> {
        if ttl.is_zero() {
            return self.take(key).map(drop);
        }
        self.cell_mut(key)?.touched()?.ends = Ends::After(ttl);
        Ok(())
    }

    /// Lets the value not end.
    pub(super) fn never_ends(&mut self, key: &[u8]) -> Result<(), Refusal> {
        self.cell_mut(key)?.touched()?.ends = Ends::Never;
        Ok(())
    }
}

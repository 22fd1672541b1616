//! What a disk is made of: spaces of rows, changes to them, and views that read them.
//!
//! Everything here works on any [`Base`]: the folder's store, a snapshot of it, or a map in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;

use bytes::Bytes;

use super::DiskError;

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 60_000;
/// The largest content of one row, in bytes.
pub const VALUE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// An ordered map of its own within a disk: one for each purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// What the disk and its users remember of themselves, by name.
    State,
    /// Copies that a cache holds.
    Entries,
    /// When copies end.
    Expiry,
    /// Groups that were invalidated.
    Groups,
    /// What store namespaces hold.
    Stores,
    /// When what stores hold ends.
    StoreExpiry,
}

impl Space {
    /// Every space.
    pub const ALL: [Self; 6] =
        [Self::State, Self::Entries, Self::Expiry, Self::Groups, Self::Stores, Self::StoreExpiry];

    /// Its name in files and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Entries => "entries",
            Self::Expiry => "expiry",
            Self::Groups => "groups",
            Self::Stores => "stores",
            Self::StoreExpiry => "store-expiry",
        }
    }

    /// Its number in checksums and backups. It never changes.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::State => 0,
            Self::Entries => 1,
            Self::Expiry => 2,
            Self::Groups => 3,
            // 4 was that of a space `hot`, which older folders have.
            Self::Stores => 5,
            Self::StoreExpiry => 6,
        }
    }

    pub(super) fn numbered(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|space| space.number() == number)
    }
}

/// Which rows a scan reads.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The space.
    pub space: Space,
    /// How their keys begin.
    pub prefix: Bytes,
    /// Only rows after this key: the last one of the page before.
    pub after: Option<Bytes>,
    /// The most rows to read.
    pub limit: usize,
}

/// What a scan has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<C = Bytes> {
    /// Keys and contents, in the order of the keys.
    pub rows: Vec<(Bytes, C)>,
    /// Whether there may be more after the last of them.
    pub more: bool,
}

/// Told a key and its content; whether to go on.
pub(super) type Visit<'a> = &'a mut dyn FnMut(&[u8], Result<Bytes, DiskError>) -> bool;

/// Rows as something holds them.
pub(super) trait Base {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, DiskError>;

    /// Tells `visit` the rows of `space` from `from` on, in order, until it says false.
    fn walk(&self, space: Space, from: Bound<&[u8]>, visit: Visit<'_>) -> Result<(), DiskError>;
}

/// Changes that are not in a base yet: what each key holds, `None` where it was deleted.
#[derive(Clone, Debug, Default)]
pub(super) struct Overlay {
    spaces: BTreeMap<Space, BTreeMap<Bytes, Option<Bytes>>>,
    bytes: usize,
}

impl Overlay {
    pub(super) fn set(&mut self, space: Space, key: Bytes, value: Option<Bytes>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Bytes::len);
        self.spaces.entry(space).or_default().insert(key, value);
    }

    pub(super) fn get(&self, space: Space, key: &[u8]) -> Option<&Option<Bytes>> {
        self.spaces.get(&space)?.get(key)
    }

    /// What the keys and contents set so far take, those that were replaced included.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spaces.is_empty()
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.bytes += other.bytes;
        for (space, rows) in other.spaces {
            self.spaces.entry(space).or_default().extend(rows);
        }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = (Space, &Bytes, Option<&Bytes>)> {
        let of_space = |(space, rows): (&Space, _)| (*space, rows);
        let spaces = self.spaces.iter().map(of_space);
        spaces.flat_map(|(space, rows): (Space, &BTreeMap<Bytes, Option<Bytes>>)| {
            rows.iter().map(move |(key, value)| (space, key, value.as_ref()))
        })
    }
}

/// A consistent look at the rows: every batch answered before it began, none in part.
pub struct View<'a> {
    base: &'a dyn Base,
    /// What lies over it, the last on top.
    over: [Option<&'a Overlay>; 2],
}

impl<'a> View<'a> {
    pub(super) fn new(base: &'a dyn Base) -> Self {
        Self { base, over: [None, None] }
    }

    /// The content of the row at `key`.
    ///
    /// # Errors
    /// [`DiskError::Damaged`] names the record; [`DiskError::Unreadable`].
    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, DiskError> {
        if key.len() > KEY_BYTES_MAX {
            // No row has it, and a store may panic that is asked for it.
            return Ok(None);
        }
        for over in self.over.iter().rev().flatten() {
            if let Some(value) = over.get(space, key) {
                return Ok(value.clone());
            }
        }
        self.base.get(space, key)
    }

    /// The rows that `scan` asks for.
    ///
    /// # Errors
    /// [`DiskError::Damaged`] names the first damaged record among them; scan on from its key to go past it.
    /// [`DiskError::Unreadable`].
    pub fn scan(&self, scan: &Scan) -> Result<Page, DiskError> {
        let Page { rows, more } = self.scan_past_damage(scan)?;
        let sound = rows.into_iter().map(|(key, content)| Ok((key, content?)));
        Ok(Page { rows: sound.collect::<Result<_, DiskError>>()?, more })
    }

    /// The rows that `scan` asks for, those among them that are damaged, with what is wrong in place of their content.
    ///
    /// # Errors
    /// [`DiskError::Unreadable`].
    pub fn scan_past_damage(&self, scan: &Scan) -> Result<Page<Result<Bytes, DiskError>>, DiskError> {
        self.scan_as(scan, usize::MAX, |_, content| content)
    }

    /// What `read` makes of the rows that `scan` asks for, their contents or what is wrong with them; of no more once keys and contents
    /// have taken `bytes_max` bytes. A content is gone before the next is read, if `read` keeps none of it.
    ///
    /// # Errors
    /// [`DiskError::Unreadable`].
    pub fn scan_as<C>(
        &self,
        scan: &Scan,
        bytes_max: usize,
        read: impl FnMut(&[u8], Result<Bytes, DiskError>) -> C,
    ) -> Result<Page<C>, DiskError> {
        if scan.prefix.len() > KEY_BYTES_MAX {
            return Ok(Page { rows: Vec::new(), more: false });
        }
        let from = match &scan.after {
            // No row has a longer key, so that those after its beginning are those after the whole.
            Some(after) if after[..] >= scan.prefix[..] => {
                Bound::Excluded(after.get(..KEY_BYTES_MAX).unwrap_or(after))
            }
            _ => Bound::Included(&scan.prefix[..]),
        };
        let mut over: BTreeMap<&Bytes, &Option<Bytes>> = BTreeMap::new();
        for overlay in self.over.iter().flatten() {
            let Some(rows) = overlay.spaces.get(&scan.space) else { continue };
            let rows = rows.range::<[u8], _>((from, Bound::Unbounded));
            over.extend(rows.take_while(|(key, _)| key.starts_with(&scan.prefix)));
        }
        let mut over = over.into_iter().peekable();
        let page = Page { rows: Vec::new(), more: false };
        let mut page = Pages { page, limit: scan.limit, bytes_left: bytes_max, read };
        self.base.walk(scan.space, from, &mut |key, content| {
            if !key.starts_with(&scan.prefix) {
                return false;
            }
            while let Some((above, value)) = over.next_if(|(above, _)| above[..] < *key) {
                if !page.take(above, value.clone().map(Ok)) {
                    return false;
                }
            }
            match over.next_if(|(above, _)| above[..] == *key) {
                Some((above, value)) => page.take(above, value.clone().map(Ok)),
                None => page.take(key, Some(content)),
            }
        })?;
        for (key, value) in over {
            if !page.take(key, value.clone().map(Ok)) {
                break;
            }
        }
        Ok(page.page)
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

/// A page that is being filled.
struct Pages<C, R> {
    page: Page<C>,
    limit: usize,
    bytes_left: usize,
    read: R,
}

impl<C, R: FnMut(&[u8], Result<Bytes, DiskError>) -> C> Pages<C, R> {
    /// Takes the next row, unless it was deleted; whether to go on.
    fn take(&mut self, key: &[u8], content: Option<Result<Bytes, DiskError>>) -> bool {
        let Some(content) = content else { return true };
        if self.page.rows.len() >= self.limit || self.bytes_left == 0 {
            self.page.more = true;
            return false;
        }
        let bytes = key.len() + content.as_ref().map_or(0, Bytes::len);
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        self.page.rows.push((Bytes::copy_from_slice(key), (self.read)(key, content)));
        true
    }
}

/// Changes that are done all or none.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    changes: Vec<(Space, Bytes, Option<Bytes>)>,
    bytes: usize,
}

impl Batch {
    /// One without changes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The row at `key` holds `content`.
    pub fn put(&mut self, space: Space, key: impl Into<Bytes>, content: impl Into<Bytes>) -> &mut Self {
        self.change(space, key.into(), Some(content.into()))
    }

    /// There is no row at `key`.
    pub fn delete(&mut self, space: Space, key: impl Into<Bytes>) -> &mut Self {
        self.change(space, key.into(), None)
    }

    fn change(&mut self, space: Space, key: Bytes, content: Option<Bytes>) -> &mut Self {
        self.bytes += key.len() + content.as_ref().map_or(0, Bytes::len);
        self.changes.push((space, key, content));
        self
    }

    /// What its keys and contents take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What is done once the changes are in the store.
type Then = Box<dyn FnOnce() + Send>;

/// Changes in the making, over what every earlier write has done: what a write may read and change in one step.
pub struct Changes<'a> {
    base: &'a dyn Base,
    /// What earlier writes of the same group have done.
    group: &'a Overlay,
    own: Overlay,
    then: Vec<Then>,
}

impl<'a> Changes<'a> {
    pub(super) fn new(base: &'a dyn Base, group: &'a Overlay) -> Self {
        Self { base, group, own: Overlay::default(), then: Vec::new() }
    }

    fn view(&self) -> View<'_> {
        View { base: self.base, over: [Some(self.group), Some(&self.own)] }
    }

    /// The content of the row at `key`, with every earlier change and those of this write.
    ///
    /// # Errors
    /// As [`View::get`].
    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, DiskError> {
        self.view().get(space, key)
    }

    /// The rows that `scan` asks for, with every earlier change and those of this write.
    ///
    /// # Errors
    /// As [`View::scan`].
    pub fn scan(&self, scan: &Scan) -> Result<Page, DiskError> {
        self.view().scan(scan)
    }

    /// The rows that `scan` asks for, with every earlier change and those of this write, past what is damaged.
    ///
    /// # Errors
    /// As [`View::scan_past_damage`].
    pub fn scan_past_damage(&self, scan: &Scan) -> Result<Page<Result<Bytes, DiskError>>, DiskError> {
        self.view().scan_past_damage(scan)
    }

    /// What `read` makes of the rows that `scan` asks for, with every earlier change and those of this write.
    ///
    /// # Errors
    /// As [`View::scan_as`].
    pub fn scan_as<C>(
        &self,
        scan: &Scan,
        bytes_max: usize,
        read: impl FnMut(&[u8], Result<Bytes, DiskError>) -> C,
    ) -> Result<Page<C>, DiskError> {
        self.view().scan_as(scan, bytes_max, read)
    }

    /// The row at `key` holds `content` from now on.
    ///
    /// # Errors
    /// [`DiskError::Refused`] beyond [`KEY_BYTES_MAX`] or [`VALUE_BYTES_MAX`].
    pub fn put(
        &mut self,
        space: Space,
        key: impl Into<Bytes>,
        content: impl Into<Bytes>,
    ) -> Result<(), DiskError> {
        self.set(space, key.into(), Some(content.into()))
    }

    /// There is no row at `key` from now on.
    ///
    /// # Errors
    /// [`DiskError::Refused`] beyond [`KEY_BYTES_MAX`].
    pub fn delete(&mut self, space: Space, key: impl Into<Bytes>) -> Result<(), DiskError> {
        self.set(space, key.into(), None)
    }

    /// What is done once the changes are in the store and before anybody is answered, in the order of the writes. It is not done
    /// where they fail, and should be quick.
    pub fn then(&mut self, then: impl FnOnce() + Send + 'static) {
        self.then.push(Box::new(then));
    }

    fn set(&mut self, space: Space, key: Bytes, content: Option<Bytes>) -> Result<(), DiskError> {
        let length = content.as_ref().map_or(0, Bytes::len);
        if key.len() > KEY_BYTES_MAX || length > VALUE_BYTES_MAX {
            let problem = format!(
                "a key of {} bytes with {length} bytes of content; the limits are {KEY_BYTES_MAX} and {VALUE_BYTES_MAX}",
                key.len()
            );
            return Err(DiskError::Refused { problem });
        }
        self.own.set(space, key, content);
        Ok(())
    }

    pub(super) fn apply(&mut self, batch: Batch) -> Result<(), DiskError> {
        batch.changes.into_iter().try_for_each(|(space, key, content)| self.set(space, key, content))
    }

    pub(super) fn done(self) -> (Overlay, Vec<Then>) {
        (self.own, self.then)
    }
}

impl fmt::Debug for Changes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("own", &self.own).finish_non_exhaustive()
    }
}

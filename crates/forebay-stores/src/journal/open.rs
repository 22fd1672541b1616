//! Opening a journal: its lock, its segments, what they hold.
//!
//! Whatever is read from the last segment was perhaps never on the disk: a process that died after a failed sync leaves it in the memory
//! of the machine only. So it is written anew, and only then is anybody told of it.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forebay::tier::shared::Owner;
use forebay::writes::{Operation, OperationId};

use super::frame::{FORMAT, Payload, Record, SegmentHeader};
use super::held::Held;
use super::io::{Io, Locked};
use super::log::{Active, Extent, Log, MAKING, RESERVE, Unmade, make_segment};
use super::segment::{Next, Problem, Segment, Wrong, name_of, number_of};
use super::{Found, FoundDead, FoundPending, JournalOptions, OpenError};

/// The name of the lock.
const LOCK: &str = "lock";

/// A journal that was opened.
pub(super) struct Opened {
    pub(super) log: Log,
    pub(super) found: Found,
    /// Held as long as the log is.
    pub(super) lock: Box<dyn Send>,
}

/// What the segments told so far.
#[derive(Default)]
struct Told {
    held: Held,
    operations: HashMap<OperationId, Operation>,
    owner: Option<Owner>,
    next_place: u64,
    next_sequence: Option<u64>,
}

/// Opens the journal in `folder`, or makes one.
pub(super) fn open(io: Arc<dyn Io>, folder: PathBuf, options: JournalOptions) -> Result<Opened, OpenError> {
    if let Some(problem) = options.problem() {
        return Err(OpenError::Options { problem });
    }
    io.make_folder(&folder).map_err(|cause| disk(&folder, cause))?;
    let who = format!("process {}", std::process::id());
    let lock = io.lock(&folder.join(LOCK), &who).map_err(|locked| match locked {
        Locked::Taken { by } => OpenError::InUse { folder: folder.clone(), by },
        Locked::Failed(cause) => disk(&folder.join(LOCK), cause),
    })?;
    let names = io.list(&folder).map_err(|cause| disk(&folder, cause))?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    if names.iter().any(|name| name == MAKING) {
        io.remove(&folder.join(MAKING)).map_err(|cause| disk(&folder.join(MAKING), cause))?;
    }
    let mut told = Told::default();
    let mut closed = VecDeque::new();
    let mut last = None;
    for (at, number) in numbers.iter().enumerate() {
        let is_last = at + 1 == numbers.len();
        if at > 0 && numbers.get(at - 1).is_some_and(|before| before + 1 != *number) {
            let path = folder.join(name_of(number - 1));
            return Err(OpenError::damaged(&path, 0, "this segment is missing"));
        }
        let path = folder.join(name_of(*number));
        let bytes = io.read(&path).map_err(|cause| disk(&path, cause))?;
        let (header, sound) =
            told.read(*number, &bytes, is_last).map_err(|problem| refused(&path, &problem))?;
        if is_last {
            last = Some((header, sound.to_vec()));
        } else {
            closed
                .push_back(Extent { number: *number, bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX) });
        }
    }
    let (header, bytes) = last.unwrap_or_else(|| {
        let header = SegmentHeader { number: 1, sequence: 0, salt: fastrand::u32(..) };
        (header, header.bytes())
    });
    let file = renewed(io.as_ref(), &folder, header, &bytes)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let owner = told.owner.clone();
    let found = told.found();
    let active = Active { file, header, bytes: length, owner: None };
    let (held, next_place) = (told.held, told.next_place);
    let next_sequence = told.next_sequence.unwrap_or_default();
    let (has_reserve, is_poisoned) = (false, false);
    let mut log = Log {
        io,
        folder,
        options,
        held,
        owner,
        closed,
        active,
        next_place,
        next_sequence,
        has_reserve,
        is_poisoned,
    };
    log.keep_reserve();
    Ok(Opened { log, found, lock })
}

/// Writes the last segment anew, in place of what it was read from. The room in reserve is there for that.
fn renewed(
    io: &dyn Io,
    folder: &Path,
    header: SegmentHeader,
    bytes: &[u8],
) -> Result<Box<dyn super::io::IoFile>, OpenError> {
    let path = folder.join(name_of(header.number));
    match make_segment(io, folder, header, bytes) {
        Err(Unmade::Before(error)) if error.kind() == ErrorKind::StorageFull => {
            io.remove(&folder.join(RESERVE)).map_err(|_| disk(&path, error))?;
            make_segment(io, folder, header, bytes)
        }
        made => made,
    }
    .map_err(|(Unmade::Before(cause) | Unmade::Maybe(cause))| disk(&path, cause))
}

fn disk(path: &Path, cause: io::Error) -> OpenError {
    OpenError::Disk { path: path.to_path_buf(), cause: Arc::new(cause) }
}

fn refused(path: &Path, problem: &Problem) -> OpenError {
    match problem.what {
        Wrong::Newer(found) => OpenError::Newer { path: path.to_path_buf(), found, known: FORMAT },
        Wrong::Damaged(what) => OpenError::damaged(path, problem.offset, what),
    }
}

impl Told {
    /// Reads the segment `number`: its header, and as much of it as is sound.
    fn read<'a>(
        &mut self,
        number: u32,
        bytes: &'a [u8],
        is_last: bool,
    ) -> Result<(SegmentHeader, &'a [u8]), Problem> {
        let mut segment = Segment::open(bytes, is_last)?;
        let wrong = |what| Problem { offset: 0, what: Wrong::Damaged(what) };
        if segment.header.number != number {
            return Err(wrong("this segment has the name of another"));
        }
        if self.next_sequence.is_some_and(|next| next != segment.header.sequence) {
            return Err(wrong("this segment does not follow the one before it"));
        }
        while let Next::Frame(payload) = segment.next()? {
            self.follow(payload, number);
        }
        self.next_sequence = Some(segment.sequence());
        Ok((segment.header, segment.sound()))
    }

    fn follow(&mut self, payload: Payload, segment: u32) {
        self.next_place = self.next_place.max(self.held.follow(&payload, segment));
        for (record, _) in payload.records {
            match record {
                Record::Append(operation) | Record::Moved { operation, .. } => {
                    self.operations.insert(operation.id, operation);
                }
                Record::Settle(id) => {
                    self.operations.remove(&id);
                }
                Record::Owner(owner) => self.owner = Some(owner),
                Record::Park { .. } | Record::Revive(_) => {}
            }
        }
    }

    /// What is held, in its order.
    fn found(&mut self) -> Found {
        let mut entries: Vec<_> = self.held.entries.iter().collect();
        entries.sort_unstable_by_key(|(_, entry)| entry.place);
        let mut found = Found { owner: self.owner.take(), ..Found::default() };
        for (id, entry) in entries {
            let Some(operation) = self.operations.remove(id) else { continue };
            match entry.dead.clone() {
                Some(dead) => found.dead.push(FoundDead { operation, dead }),
                None => found.pending.push(FoundPending { operation, written_ms: entry.written_ms }),
            }
        }
        found.dead.sort_by_key(|one| one.dead.parked_ms);
        found
    }
}

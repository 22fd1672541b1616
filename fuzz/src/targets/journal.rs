//! Segments of a journal that were changed after they were written.
//!
//! An input begins with `last ` or `full `: whether the segment is the last of its journal, which alone may end in the middle of a
//! commit. What follows are changes to a segment that the journal wrote, eight bytes each: what is done (1), the place (3), how many
//! bytes (2), a byte to do it with (2, of which the second counts); or, behind `raw `, a segment as such.

use forebay_stores::fuzzing::journal::{Commits, Refused, Written, segment, written};

use crate::allocation::{Bound, within};
use crate::{Fault, Large, Seen, Target};

pub(super) const TARGET: Target = Target {
    name: "journal",
    attacks: "segments of a journal: what is read was written, up to a tail that was cut; anything else is refused with its place",
    words: &[
        b"last ",
        b"full ",
        b"raw ",
        b"FOREBAYJ\x01",
        b"FJ\x01\x00",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"x\0\0\0\0\0\0\0",
        b"z\0\0\0\x02\0\0\0",
        b"c\0\0\x20\0\0\0\0",
        b"d\0\0\x20\0\x20\0\0",
    ],
    large: &[
        Large { before: b"raw FOREBAYJ", unit: b"\0", times: 100_000, after: b"" },
        Large { before: b"last ", unit: b"z\0\0\x20\x10\0\0\0", times: 1, after: b"" },
    ],
    begin: || {
        let original = written().ok_or_else(|| Fault::Stage("no segment can be written".to_owned()))?;
        let whole = segment(&original.bytes, false);
        let told = whole
            .map_err(|refused| Fault::Stage(format!("a segment as it is written is refused: {refused:?}")))?
            .told;
        Ok(Box::new(move |input: &[u8], seen: &mut Seen| attack(&original, &told, input, seen)))
    },
};

fn attack(original: &Written, told: &[String], input: &[u8], seen: &mut Seen) -> Result<(), Fault> {
    if let Some(raw) = input.strip_prefix(b"raw ") {
        return match within(Bound::STRANGERS, raw.len(), || segment(raw, true))? {
            // A checksum keeps chance from writing a commit; one that somebody wrote on purpose is read.
            Ok(read) => sound(&read, raw),
            Err(refused) => placed(&refused, raw, seen),
        };
    }
    let (is_last, changes) = match (input.strip_prefix(b"last "), input.strip_prefix(b"full ")) {
        (Some(changes), _) => (true, changes),
        (_, Some(changes)) => (false, changes),
        _ => return Ok(()),
    };
    let changed = changed(&original.bytes, changes);
    match segment(&changed, is_last) {
        Ok(read) => {
            seen.note(("read", is_last, read.told.len()));
            sound(&read, &changed)?;
            only_what_was_written(original, told, &changed, &read)
        }
        Err(refused) => placed(&refused, &changed, seen),
    }
}

/// What is sound lies within the file.
fn sound(read: &Commits, file: &[u8]) -> Result<(), Fault> {
    if read.sound_bytes > file.len() {
        return Err(Fault::Broken(format!("{} bytes of {} are sound", read.sound_bytes, file.len())));
    }
    Ok(())
}

/// A refusal names a place in the file.
fn placed(refused: &Refused, file: &[u8], seen: &mut Seen) -> Result<(), Fault> {
    seen.note_message(&refused.what);
    match usize::try_from(refused.offset) {
        Ok(offset) if offset <= file.len() && !refused.what.is_empty() => Ok(()),
        _ => Err(Fault::Broken(format!("{refused:?} of {} bytes", file.len()))),
    }
}

fn only_what_was_written(
    original: &Written,
    told: &[String],
    changed: &[u8],
    read: &Commits,
) -> Result<(), Fault> {
    let count = read.told.len();
    if told.get(..count) != Some(&read.told[..]) {
        return Err(Fault::Broken(format!("a commit that was not written, among {count}")));
    }
    let is_untouched = |commit: usize| {
        let ends = (original.ends.get(commit).copied(), original.ends.get(commit + 1).copied());
        let (Some(from), Some(to)) = ends else { return false };
        let of = |file: &[u8]| file.get(from..to).map(<[u8]>::to_vec);
        of(changed).is_some() && of(changed) == of(&original.bytes)
    };
    let untouched_first = (0..told.len()).take_while(|commit| is_untouched(*commit)).count();
    if count < untouched_first {
        return Err(Fault::Broken(format!("{count} commits, of which {untouched_first} are untouched")));
    }
    // A tail is cut where nothing follows it; damage before commits that are whole is told.
    if let Some(lost) = (count + 1..told.len()).find(|commit| is_untouched(*commit)) {
        return Err(Fault::Broken(format!(
            "cut behind {count} commits, before commit {lost}, which is whole"
        )));
    }
    Ok(())
}

fn changed(original: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut file = original.to_vec();
    for change in changes.chunks_exact(8) {
        let [what, high, middle, low, many_high, many_low, _, byte] = change else { continue };
        let place = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
        let at = if file.is_empty() { 0 } else { place % file.len() };
        let many = usize::from(*many_high) << 8 | usize::from(*many_low);
        let end = at.saturating_add(many).min(file.len());
        match what {
            // Turned bits, zeros, a byte, a cut, a piece taken out, a piece doubled, a byte put in.
            b'x' => file.iter_mut().skip(at).take(1).for_each(|known| *known ^= (*byte).max(1)),
            b'z' => file.iter_mut().skip(at).take(many.max(1)).for_each(|known| *known = 0),
            b'b' => file.iter_mut().skip(at).take(many.max(1)).for_each(|known| *known = *byte),
            b'c' => file.truncate(at),
            b'd' => drop(file.drain(at..end)),
            b'r' => file.extend_from_within(at..end),
            b'a' => file.extend(std::iter::repeat_n(*byte, many.min(4096))),
            _ => file.insert(at, *byte),
        }
        file.truncate(64 * 1024);
    }
    file
}

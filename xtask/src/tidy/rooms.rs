//! Inside the engine an arrow between rooms only points to a room of lower rank.
//!
//! A room is the first part of a path under `crates/forebay/src`. Paths that begin with `crate::`, or with as many
//! `super::` as lead to the root, are arrows; `lib.rs` may name all rooms. Arrows through a re-export at the root cannot be
//! judged, so they are findings.

use super::Finding;
use super::rust::{Kind, Source};
use super::tree::View;

/// The folder that holds the rooms.
pub(super) const ENGINE: &str = "crates/forebay/src/";

/// Rooms in import order; those in one row do not know each other.
const ROOMS: &[&[&str]] = &[
    &["error", "rt"],
    &["value"],
    &["namespace"],
    &["observe"],
    // A shared tier carries the log.
    &["log"],
    &["tier", "source", "feed"],
    &["protection"],
    &["loader"],
    &["invalidation", "writes", "warming"],
    &["engine"],
];

const RULE: &str = "room-arrows";

/// The rooms that exist, with the path that shows it.
pub(super) fn existing<'a>(view: &'a View<'_>) -> impl Iterator<Item = (&'a str, &'a str)> {
    let files = view.rust.iter().filter_map(|file| Some((room_of(file.path)?, file.path)));
    files.filter(|(room, _)| rank(room).is_some())
}

/// Arrows between rooms, and files that are in no room.
#[must_use]
pub(super) fn check(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &view.rust {
        let Some(room) = room_of(file.path) else { continue };
        let Some(here) = rank(room) else {
            let mend =
                "put it into a room; a new room is a decision: give it a rank in xtask/src/tidy/rooms.rs";
            findings.push(Finding::new(
                file.path,
                1,
                RULE,
                format!("`{room}` is no room of the engine"),
                mend,
            ));
            continue;
        };
        for (at, target) in names_at_root(&file.source, depth(file.path)) {
            let line = file.source.line(at);
            match rank(target) {
                _ if target == room => {}
                None => {
                    let what = format!("`{target}` at the root is no room");
                    findings.push(Finding::new(file.path, line, RULE, what, "name the room that has it"));
                }
                Some(there) if there >= here => {
                    let what = format!("{room} names {target}, which does not stand below it");
                    let mend = "turn the arrow: a trait or a verdict below, the caller above";
                    findings.push(Finding::new(file.path, line, RULE, what, mend));
                }
                Some(_) => {}
            }
        }
    }
    findings
}

fn rank(room: &str) -> Option<usize> {
    ROOMS.iter().position(|row| row.contains(&room))
}

fn room_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix(ENGINE)?;
    let first = inside.split('/').next()?;
    (inside != "lib.rs").then(|| first.trim_end_matches(".rs"))
}

/// How many modules deep the file at `path` is below the root.
fn depth(path: &str) -> usize {
    let inside = path.strip_prefix(ENGINE).unwrap_or(path).trim_end_matches(".rs");
    inside.split('/').filter(|part| *part != "mod").count()
}

/// The names that paths of `source` take at the crate's root, each with its piece.
fn names_at_root<'a>(source: &Source<'a>, depth: usize) -> Vec<(usize, &'a str)> {
    let inline: Vec<_> = source.modules().into_iter().filter_map(|module| module.body).collect();
    let mut found = Vec::new();
    for at in 0..source.pieces.len() {
        let continues = at >= 2 && source.reads(at - 2, &[":", ":"]);
        let hops = (0..).take_while(|hop| source.reads(at + 3 * hop, &["super", ":", ":"])).count();
        let next = if source.reads(at, &["crate", ":", ":"]) {
            at + 3
        } else if hops > 0 && !continues {
            let here = depth + inline.iter().filter(|body| body.contains(&at)).count();
            if hops != here {
                continue;
            }
            at + 3 * hops
        } else {
            continue;
        };
        names_of_group(source, next, &mut found);
    }
    found
}

/// The first names at `at`: one, or those of a group in braces.
fn names_of_group<'a>(source: &Source<'a>, at: usize, found: &mut Vec<(usize, &'a str)>) {
    if source.text(at) != "{" {
        found.push((at, source.text(at)));
        return;
    }
    let close = source.close(at);
    let mut here = at + 1;
    let mut begins = true;
    while here < close {
        let is_word = source.pieces.get(here).is_some_and(|piece| piece.kind == Kind::Word);
        if begins && is_word && source.text(here) != "self" {
            found.push((here, source.text(here)));
        }
        begins = source.text(here) == ",";
        here = if source.text(here) == "{" { source.close(here) + 1 } else { here + 1 };
    }
}

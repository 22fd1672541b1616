//! Forebay's own commands, on how fresh a value is: FB.INVALIDATE, FB.EXPIRE, FB.TAG, FB.WHY, FB.FRESH.

use bytes::Bytes;

use super::{Command, CommandError};
use crate::resp::spec::{Access, CommandSpec, Flag, Group, KeyUse, Keys};

/// A command on how fresh values are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FreshnessCommand {
    /// `FB.INVALIDATE`: these values have changed at their source.
    Invalidate {
        /// The keys, at least one.
        keys: Vec<Bytes>,
    },
    /// `FB.EXPIRE`: these values may have changed at their source; copies are served only if it fails.
    Expire {
        /// The keys, at least one.
        keys: Vec<Bytes>,
    },
    /// `FB.TAG`: the value that is held belongs to these groups too.
    Tag {
        /// The key.
        key: Bytes,
        /// The tags, at least one, as often as they were named.
        tags: Vec<Bytes>,
    },
    /// `FB.WHY`: what is known of a value.
    Why {
        /// The key.
        key: Bytes,
    },
    /// `FB.FRESH`: the value from its source, past every copy.
    Fresh {
        /// The key.
        key: Bytes,
    },
}

pub(in crate::resp) static FB_INVALIDATE: CommandSpec =
    CommandSpec::row(Group::Freshness, "FB.INVALIDATE", -2, Access::Invalidate, |call| {
        asked(FreshnessCommand::Invalidate { keys: call.rest(1) })
    })
    .flags(&[Flag::Write, Flag::Fast])
    .keys(Keys::all(KeyUse::Remove))
    .since("0.1.0")
    .words("key [key ...]")
    .does("Drops every copy of the values, of which no later read gets one")
    .costs("O(N) for N keys");

pub(in crate::resp) static FB_EXPIRE: CommandSpec =
    CommandSpec::row(Group::Freshness, "FB.EXPIRE", -2, Access::Invalidate, |call| {
        asked(FreshnessCommand::Expire { keys: call.rest(1) })
    })
    .flags(&[Flag::Write, Flag::Fast])
    .keys(Keys::all(KeyUse::Remove))
    .since("0.1.0")
    .words("key [key ...]")
    .does("Makes every copy of the values stale: served only if the source fails and the namespace allows it")
    .costs("O(N) for N keys");

pub(in crate::resp) static FB_TAG: CommandSpec =
    CommandSpec::row(Group::Freshness, "FB.TAG", -3, Access::Invalidate, |call| {
        asked(FreshnessCommand::Tag { key: call.bytes(1)?, tags: call.rest(2) })
    })
    .flags(&[Flag::Write, Flag::Fast])
    .keys(Keys::one(KeyUse::Mark))
    .since("0.1.0")
    .words("key tag [tag ...]")
    .does("Adds tags to the value that is held, with which it is invalidated from now on")
    .costs("O(N) for N tags");

pub(in crate::resp) static FB_WHY: CommandSpec =
    CommandSpec::row(Group::Freshness, "FB.WHY", 2, Access::Observe, |call| {
        asked(FreshnessCommand::Why { key: call.bytes(1)? })
    })
    .flags(&[Flag::ReadOnly])
    .keys(Keys::one(KeyUse::Inspect))
    .since("0.1.0")
    .words("key")
    .does("Tells where a value came from, how old it is and what happened to it, without loading it");

pub(in crate::resp) static FB_FRESH: CommandSpec =
    CommandSpec::row(Group::Freshness, "FB.FRESH", 2, Access::Read, |call| {
        asked(FreshnessCommand::Fresh { key: call.bytes(1)? })
    })
    .flags(&[Flag::ReadOnly])
    .keys(Keys::one(KeyUse::Read))
    .since("0.1.0")
    .words("key")
    .does("Answers the value from its source, past every copy, and refreshes the copies");

fn asked(command: FreshnessCommand) -> Result<Command, CommandError> {
    Ok(Command::Freshness(command))
}

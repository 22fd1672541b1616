//! The keys that a parsed command names by its meaning: the table of commands, which finds keys by their places, is to find the same.

use std::collections::BTreeSet;

use bytes::Bytes;
use forebay_wire::resp::{Data, HashCommand, KeyCommand, SortedSetCommand, StringCommand};

/// What `data` works on.
pub(super) fn named(data: &Data) -> BTreeSet<&[u8]> {
    let all: Vec<&Bytes> = match data {
        Data::String(command) => of_strings(command),
        Data::Hash(command) => vec![of_hashes(command)],
        Data::SortedSet(command) => of_sorted_sets(command),
        Data::Key(command) => of_any(command),
    };
    all.into_iter().map(AsRef::as_ref).collect()
}

fn of_strings(command: &StringCommand) -> Vec<&Bytes> {
    match command {
        StringCommand::Get { key }
        | StringCommand::StrLen { key }
        | StringCommand::GetRange { key, .. }
        | StringCommand::SetNx { key, .. }
        | StringCommand::GetEx { key, .. }
        | StringCommand::GetDel { key }
        | StringCommand::Append { key, .. }
        | StringCommand::SetRange { key, .. }
        | StringCommand::Increment { key, .. }
        | StringCommand::IncrementFloat { key, .. } => vec![key],
        StringCommand::Set(set) => vec![&set.key],
        StringCommand::Lcs(lcs) => vec![&lcs.first, &lcs.second],
        StringCommand::MGet { keys } => keys.iter().collect(),
        StringCommand::MSet { pairs } | StringCommand::MSetNx { pairs } => {
            pairs.iter().map(|(key, _)| key).collect()
        }
    }
}

fn of_hashes(command: &HashCommand) -> &Bytes {
    match command {
        HashCommand::Get { key, .. }
        | HashCommand::MGet { key, .. }
        | HashCommand::GetAll { key }
        | HashCommand::Keys { key }
        | HashCommand::Vals { key }
        | HashCommand::Len { key }
        | HashCommand::Exists { key, .. }
        | HashCommand::StrLen { key, .. }
        | HashCommand::RandField { key, .. }
        | HashCommand::Scan { key, .. }
        | HashCommand::Set { key, .. }
        | HashCommand::MSet { key, .. }
        | HashCommand::SetNx { key, .. }
        | HashCommand::IncrBy { key, .. }
        | HashCommand::IncrByFloat { key, .. }
        | HashCommand::Del { key, .. } => key,
    }
}

fn of_sorted_sets(command: &SortedSetCommand) -> Vec<&Bytes> {
    match command {
        SortedSetCommand::Rem { key, .. }
        | SortedSetCommand::Card { key }
        | SortedSetCommand::Score { key, .. }
        | SortedSetCommand::MScore { key, .. }
        | SortedSetCommand::Rank { key, .. }
        | SortedSetCommand::Count { key, .. }
        | SortedSetCommand::Range { key, .. }
        | SortedSetCommand::RemRange { key, .. }
        | SortedSetCommand::Pop { key, .. }
        | SortedSetCommand::RandMember { key, .. }
        | SortedSetCommand::Scan { key, .. } => vec![key],
        SortedSetCommand::Add(add) => vec![&add.key],
        SortedSetCommand::RangeStore { to, key, .. } => vec![to, key],
        SortedSetCommand::MPop { keys, .. } | SortedSetCommand::InterCard { keys, .. } => {
            keys.iter().collect()
        }
        SortedSetCommand::Combine(combined) => combined.keys.iter().collect(),
        SortedSetCommand::CombineStore { to, of } => std::iter::once(to).chain(&of.keys).collect(),
    }
}

fn of_any(command: &KeyCommand) -> Vec<&Bytes> {
    match command {
        KeyCommand::Del { keys }
        | KeyCommand::Unlink { keys }
        | KeyCommand::Exists { keys }
        | KeyCommand::Touch { keys } => keys.iter().collect(),
        KeyCommand::Expire(expire) => vec![&expire.key],
        KeyCommand::Rename { from, to }
        | KeyCommand::RenameNx { from, to }
        | KeyCommand::Copy { from, to, .. } => vec![from, to],
        KeyCommand::Persist { key }
        | KeyCommand::Ttl { key }
        | KeyCommand::PTtl { key }
        | KeyCommand::ExpireTime { key }
        | KeyCommand::PExpireTime { key }
        | KeyCommand::Type { key }
        | KeyCommand::Encoding { key }
        | KeyCommand::Frequency { key }
        | KeyCommand::IdleTime { key }
        | KeyCommand::RefCount { key }
        | KeyCommand::Weight { key } => vec![key],
    }
}

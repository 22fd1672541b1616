//! Commands on sorted sets.

use forebay::value::SortedSet;
use forebay_wire::resp::SortedSetCommand;

use super::{Answer, Refusal, View};

pub(super) fn run(
    command: &SortedSetCommand,
    view: &mut View,
    answer: &mut Answer<'_>,
) -> Result<(), Refusal> {
    match command {
        SortedSetCommand::Score { key, member } => {
            match view.sorted_set(key)?.and_then(|set| set.score(member)) {
                Some(score) => answer.double(score.get()),
                None => answer.null(),
            }
        }
        SortedSetCommand::Card { key } => answer.count(view.sorted_set(key)?.map_or(0, SortedSet::len)),
    }
    Ok(())
}

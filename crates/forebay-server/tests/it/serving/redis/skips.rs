//! Where we answer differently on purpose.

use forebay_wire::resp::glob;

use super::choose::{Words, shown, words};
use super::{Both, Verdict, compare};

/// The shapes of commands that may be answered differently.
pub(super) struct Skips(Vec<Skip>);

/// One of them.
struct Skip {
    /// A glob of the command's words as people read them.
    shape: String,
    /// Commands, of which the last is answered differently.
    example: Vec<Words>,
    line: String,
}

impl Skips {
    /// Those of `skips.txt`.
    pub(super) fn read() -> Self {
        let lines =
            include_str!("skips.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.map(Skip::of).collect())
    }

    /// Whether this command may be answered differently.
    pub(super) fn allows(&self, command: &Words) -> bool {
        let text = shown(command);
        self.0.iter().any(|skip| glob::matches(skip.shape.as_bytes(), text.as_bytes()))
    }
}

impl Skip {
    fn of(line: &str) -> Self {
        let [shape, example, reason] = line.splitn(3, " | ").collect::<Vec<_>>()[..] else {
            panic!("not `shape | example | reason`: {line}")
        };
        assert!(reason.ends_with('.'), "a reason is a sentence: {line}");
        Self {
            shape: shape.to_owned(),
            example: example.split("; ").map(words).collect(),
            line: line.to_owned(),
        }
    }
}

#[tokio::test]
async fn what_is_skipped_still_differs() {
    let mut both = Both::new(7, 2).await;
    for Skip { shape, example, line } in Skips::read().0 {
        both.say_one(&words("FLUSHDB")).await;
        let mut last = Verdict::Same;
        for command in &example {
            let (theirs, ours) = both.say_one(command).await;
            last = compare(command, &theirs, &ours);
        }
        assert_ne!(last, Verdict::Same, "answered as Redis does now, take it out: {line}");
        let command = shown(example.last().unwrap());
        assert!(glob::matches(shape.as_bytes(), command.as_bytes()), "no example of its shape: {line}");
    }
    both.stop().await;
}

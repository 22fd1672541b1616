//! `observe`: its line, and that its numbers agree with each other.

use crate::line::Line;
use crate::lines;

#[test]
fn it_compares_a_hit_with_one_that_is_not_counted() {
    let printed = lines(&["observe", "--quick"]);
    let (notes, compared): (Vec<&String>, Vec<&String>) =
        printed.iter().partition(|line| line.starts_with("# "));
    assert_eq!((notes.len(), compared.len()), (2, 1), "{printed:?}");
    let line = Line::read(compared[0]);
    assert_eq!(line.names(), ["bench", "ours", "peer", "theirs", "unit", "ratio", "goal"]);
    let said = ["bench", "peer", "unit", "goal"].map(|name| line.value(name));
    assert_eq!(said, ["observe", "without-statistics", "ns", "0.9"]);
    let [ours, theirs, ratio] = ["ours", "theirs", "ratio"].map(|name| line.number(name));
    assert!(ours > 0.0, "{printed:?}");
    assert!((ratio - theirs / ours).abs() < 0.02, "{ours} beside {theirs} is not a ratio of {ratio}");
    assert_eq!(line.words, [if ratio >= 0.9 { "ok" } else { "short" }]);
}

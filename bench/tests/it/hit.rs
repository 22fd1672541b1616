//! `hit`: its lines, and that their numbers agree with each other.

use crate::line::Line;
use crate::lines;

#[test]
fn it_compares_get_and_read_now_with_both_peers() {
    let printed = lines(&["hit", "--quick"]);
    let (notes, compared): (Vec<&String>, Vec<&String>) =
        printed.iter().partition(|line| line.starts_with("# "));
    assert_eq!(notes.len(), 2, "{printed:?}");
    let compared: Vec<Line<'_>> = compared.iter().map(|line| Line::read(line)).collect();
    let what: Vec<[&str; 3]> =
        compared.iter().map(|line| ["bench", "peer", "goal"].map(|name| line.value(name))).collect();
    assert_eq!(
        what,
        [
            ["hit", "quick_cache", "0.7"],
            ["hit", "moka", "2"],
            ["hit-now", "quick_cache", "0.7"],
            ["hit-now", "moka", "2"],
        ]
    );
    for line in &compared {
        assert_eq!(line.names(), ["bench", "ours", "peer", "theirs", "unit", "ratio", "goal"]);
        assert_eq!(line.value("unit"), "ns");
        check_ratio(line);
    }
}

/// The ratio is that of the two figures, as far as their one decimal place lets it be told, and the last word follows it.
fn check_ratio(line: &Line<'_>) {
    let [ours, theirs, ratio, goal] = ["ours", "theirs", "ratio", "goal"].map(|name| line.number(name));
    assert!(ours > 0.0 && theirs > 0.0);
    let least = (theirs - 0.05) / (ours + 0.05) - 0.01;
    let most = (theirs + 0.05) / (ours - 0.05);
    assert!((least..=most).contains(&ratio), "{ours} beside {theirs} is not a ratio of {ratio}");
    assert_eq!(line.words, [if ratio >= goal { "ok" } else { "short" }]);
}

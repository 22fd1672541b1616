//! `engine`: the set of its lines is a golden file; their figures are not.

use expect_test::expect_file;

use crate::line::Line;
use crate::lines;

#[test]
fn the_lines_are_those_of_the_golden_file() {
    let printed = lines(&["engine", "--quick"]);
    let shapes: Vec<String> = printed.iter().map(|line| shape(line)).collect();
    expect_file!["engine.txt"].assert_eq(&(shapes.join("\n") + "\n"));

    // What does not hang on the machine's speed must hold here too.
    let promised = printed
        .iter()
        .map(|line| Line::read(line))
        .find(|line| line.pairs.contains(&("bench", "herd-queries")));
    let promised = promised.unwrap();
    assert_eq!((promised.number("ours"), &*promised.words), (1.0, ["ok"].as_slice()));

    // Five times the goal of 1 ms: a median on a busy machine, and a build that is not the quickest.
    let refused = printed
        .iter()
        .map(|line| Line::read(line))
        .find(|line| line.pairs.contains(&("bench", "breaker-median")));
    assert!(refused.unwrap().number("ours") <= 5_000.0, "an open breaker takes too long to answer");
}

/// A line without what differs from run to run: figures, verdicts, and which peer or row was the best or worst.
fn shape(line: &str) -> String {
    if line.starts_with("# ") {
        return without_figures(line);
    }
    let judged_by_rank = line.starts_with("bench=ratio-");
    let word = |word: &str| match word.split_once('=') {
        Some(("peer", _)) if judged_by_rank => "peer=PEER".to_owned(),
        Some(("row", _)) => "row=ROW".to_owned(),
        Some((name, value)) if name != "goal" && value.parse::<f64>().is_ok() => format!("{name}=V"),
        None if matches!(word, "ok" | "short") => "ok|short".to_owned(),
        _ => word.to_owned(),
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// A note with `N` for every figure.
fn without_figures(note: &str) -> String {
    let mut shape = String::new();
    let mut figure = String::new();
    for character in note.chars().chain([' ']) {
        let belongs = character.is_ascii_digit() || character == '.' || character == '-' && figure.is_empty();
        if belongs {
            figure.push(character);
            continue;
        }
        shape.push_str(if figure.contains(|c: char| c.is_ascii_digit()) { "N" } else { &figure });
        figure.clear();
        shape.push(character);
    }
    shape.trim_end().to_owned()
}

#[test]
fn figures_leave_the_shape_and_words_stay() {
    assert_eq!(
        shape("bench=hit ours=1.5 peer=moka goal=2 short"),
        "bench=hit ours=V peer=moka goal=2 ok|short"
    );
    assert_eq!(
        shape("bench=ratio-worst row=a@1% ours=-1 peer=moka"),
        "bench=ratio-worst row=ROW ours=V peer=PEER"
    );
    assert_eq!(shape("# moka 0.12.16: 80.5 %, foyer-lfu -1.0."), "# moka N: N %, foyer-lfu N");
}

//! `race`: ours keeps no stale value, and the lines say of each peer what was seen.

use crate::line::Line;
use crate::lines;

const PEERS: [&str; 6] =
    ["moka-sync", "moka-future", "quick_cache-sync", "quick_cache-async", "foyer", "hand-written"];

#[test]
fn ours_keeps_no_stale_value_and_every_peer_is_told() {
    let printed = lines(&["race"]);
    assert!(printed[0].starts_with("# peers: moka "), "{printed:?}");
    let (seen, compared): (Vec<&String>, Vec<&String>) =
        printed[1..].iter().partition(|line| line.starts_with("race "));
    let seen: Vec<(&str, &str)> = seen
        .iter()
        .map(|line| {
            let line = Line::read(line);
            assert_eq!((line.names(), &*line.words), (vec!["peer", "kept_stale"], ["race"].as_slice()));
            (line.value("peer"), line.value("kept_stale"))
        })
        .collect();
    assert_eq!(seen[0], ("forebay", "no"));
    assert_eq!(seen[1..].iter().map(|seen| seen.0).collect::<Vec<_>>(), PEERS);

    assert_eq!(compared.len(), PEERS.len());
    for (line, (peer, kept)) in compared.iter().zip(&seen[1..]) {
        let wanted = format!("bench=race ours=no peer={peer} theirs={kept} unit=kept_stale goal=no ok");
        assert_eq!(**line, wanted);
    }
}

/// Get, load and insert by hand cannot see an invalidation: were it ever to keep nothing, the race would not be one.
#[test]
fn the_race_is_one_that_can_be_lost() {
    assert!(lines(&["race"]).contains(&"race peer=hand-written kept_stale=yes".to_owned()));
}

//! Private torrents have one tracker of their own at a time (BEP 27).

use super::*;

#[test]
fn a_private_torrent_s_next_tracker_takes_the_place_of_the_one_that_fails() {
    let mut clocked = Clocked::new(&["a", "b"], Reading::One);
    clocked.announce(STARTED);
    assert!(clocked.plan.keeps_to_one(clocked.hash()));
    assert!(!clocked.told("a", STARTED).instead);
    clocked.at(100).missed("a", None, false);
    assert_eq!(clocked.tasks(), "Ab", "it is not tried beside the other");
    let mut due = [clocked.take().unwrap(), clocked.take().unwrap()];
    due.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(due, [("a".into(), STOPPED), ("b".into(), STARTED)]);
    clocked.settle("a", STOPPED, Err("silent".to_owned()), false);
    let found = clocked.settle("b", STARTED, Ok(answer(100, None)), false);
    assert_eq!((found.peers.len(), found.instead), (1, true));
    assert_eq!((clocked.tasks(), clocked.pause()), ("b".into(), 100));
}

#[test]
fn where_all_of_a_private_torrent_s_trackers_fail_none_is_asked_without_pause() {
    let mut clocked = Clocked::new(&["a", "b"], Reading::One);
    clocked.announce(STARTED);
    clocked.missed("a", STARTED, true);
    clocked.missed("b", STARTED, true);
    let mut asked = 0;
    for second in 0..60 {
        clocked.at(second);
        while let Some((url, event)) = clocked.take() {
            asked += 1;
            assert!(asked < 60, "asked too often");
            clocked.settle(&url, event, Err("silent".to_owned()), true);
        }
    }
    assert_eq!(clocked.tasks(), "ab");
    // Both answer at once: one of them counts.
    clocked.at(120);
    let due = [clocked.take().unwrap(), clocked.take().unwrap()];
    let found = due.map(|(url, event)| clocked.settle(&url, event, Ok(answer(100, None)), true));
    let counts = found.map(|found| (found.peers.len(), found.instead));
    assert_eq!(counts, [(1, false), (0, false)]);
}

/// The same, at which these have failed by now. Then its torrent turns out to be private.
fn private_link(tiers: &[&str], failed: &[&str]) -> Clocked {
    let mut clocked = asked_link(tiers);
    for url in failed {
        clocked.settle(url, STARTED, Err("silent".to_owned()), false);
    }
    clocked.plan.keep_to_one(clocked.hash(), clocked.now);
    // What follows may still come with the trackers that TRACKER_INFO named before that.
    clocked.list(&["o"]);
    clocked.plan.follow(clocked.hash(), clocked.now);
    clocked
}

#[test]
fn what_was_asked_before_a_link_was_known_to_be_private_brings_no_other_tracker_back() {
    let mut clocked = private_link(&["a"], &[]);
    assert_eq!(clocked.tasks(), "aO");
    clocked.settle("a", STARTED, Ok(answer(100, None)), false);
    assert_eq!(clocked.tasks(), "aO");
    clocked.announce(None);
    assert_eq!(clocked.tasks(), "aO");
    let found = clocked.settle("o", STARTED, Ok(answer(100, None)), false);
    assert_eq!((found.peers.len(), found.instead), (0, false));
    clocked.at(1).told("o", STOPPED);
    assert_eq!(clocked.tasks(), "a");
}

#[test]
fn a_private_torrent_never_takes_a_tracker_that_it_does_not_name() {
    for (own, left) in [(&["a"][..], "aO"), (&[], "O")] {
        let mut clocked = private_link(own, own);
        let found = clocked.settle("o", STARTED, Ok(answer(100, None)), false);
        assert_eq!((found.peers.len(), found.instead), (0, false));
        assert_eq!(clocked.tasks(), left);
    }
}

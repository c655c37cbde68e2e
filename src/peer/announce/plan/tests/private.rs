//! A private torrent uses only the trackers that it names, one at a time (BEP 27).

use super::*;

#[test]
fn the_next_tracker_of_a_private_torrent_replaces_the_one_that_fails() {
    let mut test = PlanTest::new(&["a", "b"], TierPolicy::OneTracker);
    test.announce(STARTED);
    assert!(test.plan.is_private(test.hash()));
    assert!(!test.answered("a", STARTED).replaces_peers);
    test.at(100).unanswered("a", None, false);
    // In `tasks`, a capital letter is a tracker that the torrent leaves.
    assert_eq!(test.tasks(), "Ab", "`b` replaces `a`");
    let mut due = [test.take().unwrap(), test.take().unwrap()];
    due.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(due, [("a".into(), STOPPED), ("b".into(), STARTED)]);
    test.settle("a", STOPPED, silent(), false);
    let result = test.settle("b", STARTED, Ok(answer(100, None)), false);
    assert_eq!((result.peers.len(), result.replaces_peers), (1, true));
    assert_eq!((test.tasks(), test.pause()), ("b".into(), 100));
}

#[test]
fn a_private_torrent_whose_trackers_all_fail_tries_them_with_pauses() {
    let mut test = PlanTest::new(&["a", "b"], TierPolicy::OneTracker);
    test.announce(STARTED);
    test.unanswered("a", STARTED, true);
    test.unanswered("b", STARTED, true);
    let mut announces = 0;
    for second in 0..60 {
        test.at(second);
        while let Some((url, event)) = test.take() {
            announces += 1;
            assert!(announces < 60, "too many announces");
            test.settle(&url, event, silent(), true);
        }
    }
    assert_eq!(test.tasks(), "ab");
    // Both answer at the same time: only one answer counts.
    test.at(120);
    let due = [test.take().unwrap(), test.take().unwrap()];
    let result = due.map(|(url, event)| test.settle(&url, event, Ok(answer(100, None)), true));
    let counts = result.map(|result| (result.peers.len(), result.replaces_peers));
    assert_eq!(counts, [(1, false), (0, false)]);
}

/// A magnet link with the trackers `tiers`, and `o` in TRACKER_INFO. The announces to `failed`
/// fail, and then the torrent turns out to be private.
fn private_magnet(tiers: &[&str], failed: &[&str]) -> PlanTest {
    let mut test = magnet_link(tiers);
    for url in failed {
        test.settle(url, STARTED, silent(), false);
    }
    test.plan.set_private(test.hash(), test.now);
    // The trackers of TRACKER_INFO may arrive again later. They must not be used for this torrent.
    test.list_in_tracker_info(&["o"]);
    test.plan.update_tasks(test.hash(), test.now);
    test
}

#[test]
fn in_spite_of_late_answers_a_private_magnet_link_leaves_a_tracker_that_it_does_not_name() {
    let mut test = private_magnet(&["a"], &[]);
    assert_eq!(test.tasks(), "aO");
    test.settle("a", STARTED, Ok(answer(100, None)), false);
    assert_eq!(test.tasks(), "aO");
    test.announce(None);
    assert_eq!(test.tasks(), "aO");
    let result = test.settle("o", STARTED, Ok(answer(100, None)), false);
    assert_eq!((result.peers.len(), result.replaces_peers), (0, false));
    test.at(1).answered("o", STOPPED);
    assert_eq!(test.tasks(), "a");
}

#[test]
fn a_private_torrent_ignores_peers_from_other_trackers_even_if_all_its_own_trackers_fail() {
    for (own, tasks) in [(&["a"][..], "aO"), (&[], "O")] {
        let mut test = private_magnet(own, own);
        let result = test.settle("o", STARTED, Ok(answer(100, None)), false);
        assert_eq!((result.peers.len(), result.replaces_peers), (0, false));
        assert_eq!(test.tasks(), tasks);
    }
}

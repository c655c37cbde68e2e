use super::*;
use crate::system::recover;
use std::sync::Condvar;

/// The announces of swarms 0, 1, 2, ... to a tracker.
fn announces(tracker: &str, count: u32) -> impl Iterator<Item = FinalAnnounce<u32>> {
    (0..count).map(move |payload| FinalAnnounce {
        tracker: tracker.to_owned(),
        payload,
        sends_completed: false,
    })
}

#[test]
fn trackers_that_answer_get_all_their_announces_once_although_another_one_is_silent() {
    let all = announces("a", 1_000)
        .chain(announces("silent", 100))
        .chain(announces("b", 3));
    let sent = Mutex::new(Vec::new());
    send_all(all.collect(), |announce, limit| {
        assert!(!limit.is_zero() && limit <= LIMIT);
        lock(&sent).push((announce.tracker.clone(), announce.payload));
        announce.tracker != "silent"
    });
    let mut sent = sent.into_inner().unwrap();
    sent.sort_unstable();
    let silent = sent
        .extract_if(.., |(tracker, _)| tracker == "silent")
        .count();
    assert!(
        (1..=5).contains(&silent),
        "at most one on each of the 5 connections: {silent}"
    );
    let expected = announces("a", 1_000).chain(announces("b", 3));
    let expected: Vec<_> = expected
        .map(|announce| (announce.tracker, announce.payload))
        .collect();
    assert_eq!(sent, expected);
}

#[test]
fn many_announces_to_one_tracker_are_sent_over_several_connections_at_once() {
    let (begun, changed) = (Mutex::new(0), Condvar::new());
    send_all(announces("a", 320).collect(), |_, _| {
        let mut count = lock(&begun);
        *count += 1;
        changed.notify_all();
        // The first announce on each connection waits until every connection has begun one.
        let waited = changed.wait_timeout_while(count, LIMIT * 3, |count| *count < CONNECTIONS);
        !recover(waited).1.timed_out()
    });
    assert_eq!(*lock(&begun), 320);
}

#[test]
fn every_tracker_has_a_connection_before_any_has_a_second_one() {
    let all = announces("a", 45)
        .chain(announces("b", 1))
        .chain(announces("c", 1_000));
    // There is one connection for every 20 announces to a tracker (`PER_CONNECTION`).
    let trackers = by_tracker(all.collect());
    let name = |tracker: &&ToTracker<u32>| lock(&tracker.waiting)[0].tracker.clone();
    let order: Vec<_> = connections(&trackers).iter().map(name).collect();
    assert_eq!(order[..6].concat(), "abcaca");
    assert_eq!(order.len(), 3 + 1 + CONNECTIONS);
}

//! Catching up with another tracker.

use super::*;

#[test]
fn a_catch_up_fetches_batches_and_merges_them_in_one_step() {
    let (mut a, mut b) = (
        TestTracker::new(1, StartData::Alone),
        TestTracker::new(2, StartData::Empty),
    );
    a.replica.batch = 1;
    for name in ["nik", "olga", "ada"] {
        a.create_account(name).unwrap();
    }
    a.open(1);
    b.open(1);
    let mut batches = 0;
    while !b.serves() {
        assert_eq!(b.replica.registry().rows().count(), 0, "all or nothing");
        batches += a.sent_kinds().iter().filter(|it| **it == "changes").count();
        for (connection, message) in std::mem::take(&mut a.sent) {
            b.receive(connection, message);
        }
        for (connection, message) in std::mem::take(&mut b.sent) {
            a.receive(connection, message);
        }
    }
    assert_eq!((batches, b.replica.registry().rows().count()), (3, 3));
    assert_eq!(b.disk.len(), 1, "one commit");
}

#[test]
fn a_push_that_builds_on_unknown_writes_starts_a_catch_up() {
    let (mut a, mut b) = pair();
    a.create_account("olga").unwrap();
    let lost = std::mem::take(&mut a.sent);
    assert_eq!(lost.len(), 1);
    a.create_account("nik").unwrap();
    let (connection, message) = a.sent.remove(0);
    b.receive(connection, message);
    assert_eq!(b.replica.registry().rows().count(), 0);
    assert_eq!(b.sent_kinds(), ["pull"]);
    exchange_messages(&mut a, &mut b);
    assert_eq!(b.replica.registry().rows().count(), 2);
    assert_eq!(a.acknowledged, [(1, Copies::Two), (2, Copies::Two)]);
}

#[test]
fn parts_of_a_batch_keep_a_slow_connection_open_and_staged_batches_survive_a_lost_pull() {
    let (mut a, mut b) = (
        TestTracker::new(1, StartData::Alone),
        TestTracker::new(2, StartData::Empty),
    );
    a.replica.batch = 1;
    for name in ["nik", "olga", "ada"] {
        a.create_account(name).unwrap();
    }
    a.open(1);
    b.open(1);
    let has_sent_pull = |tracker: &TestTracker| tracker.sent_kinds().contains(&"pull");
    let step = |from: &mut TestTracker, to: &mut TestTracker| {
        for (connection, message) in std::mem::take(&mut from.sent) {
            to.receive(connection, message);
        }
    };
    step(&mut a, &mut b);
    assert!(has_sent_pull(&b));
    step(&mut b, &mut a);
    // The first batch takes a minute, and nothing else arrives.
    for _ in 0..60 {
        b.advance(SECOND);
        let effects = b.replica.on_bytes(ReplicaConnectionId(1), b.now);
        b.perform(effects);
    }
    b.sent.clear();
    a.advance(SECOND);
    step(&mut a, &mut b);
    assert!(has_sent_pull(&b) && b.closed.is_empty(), "{:?}", b.closed);
    // The next pull is lost.
    b.sent.clear();
    b.advance(ANSWER_TIMEOUT + RETRY_PAUSE);
    assert!(has_sent_pull(&b) && b.closed.is_empty());
    assert_eq!(b.replica.registry().rows().count(), 0);
    let mut batches = 0;
    while b.replica.registry().rows().count() < 3 {
        batches += a.sent_kinds().iter().filter(|it| **it == "changes").count();
        step(&mut a, &mut b);
        step(&mut b, &mut a);
    }
    assert_eq!(batches, 2, "the first batch was kept");
}

#[test]
fn an_unanswered_pull_is_given_up_and_sent_again() {
    let (mut a, mut b) = pair();
    a.close(1);
    b.close(1);
    a.create_account("olga").unwrap();
    a.open(2);
    b.open(2);
    for (connection, message) in std::mem::take(&mut a.sent) {
        b.receive(connection, message);
    }
    let pulls = |tracker: &TestTracker| {
        tracker
            .sent_kinds()
            .iter()
            .filter(|it| **it == "pull")
            .count()
    };
    assert_eq!(pulls(&b), 1);
    b.sent.clear();
    for _ in 0..8 {
        b.advance(SECOND / 2);
        a.advance(SECOND / 2);
        for (connection, message) in std::mem::take(&mut a.sent) {
            b.receive(connection, message);
        }
    }
    assert_eq!(pulls(&b), 1, "{:?}", b.sent_kinds());
}

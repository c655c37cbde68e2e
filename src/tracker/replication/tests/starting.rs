//! When a tracker serves after a start, and with which data.

use super::*;

#[test]
fn a_resumed_tracker_waits_until_it_is_in_sync_or_for_two_seconds() {
    let mut a = TestTracker::new(1, StartData::Resumed);
    assert_eq!(
        a.create_account("olga"),
        Err(ReplicaError::NotServing(Serving::Waiting))
    );
    a.advance(START_WAIT);
    assert!(a.serves());
    let (mut a, mut b) = (
        TestTracker::new(1, StartData::Resumed),
        TestTracker::new(2, StartData::Alone),
    );
    b.create_account("olga").unwrap();
    a.open(1);
    b.open(1);
    for (connection, message) in std::mem::take(&mut b.sent) {
        a.receive(connection, message);
    }
    assert!(!a.serves(), "it would answer from stale data");
    exchange_messages(&mut a, &mut b);
    assert!(a.serves() && a.replica.registry().rows().count() == 1);
}

#[test]
fn a_tracker_replicates_with_exactly_the_listed_trackers() {
    let (mut a, mut b) = (
        TestTracker::new(1, StartData::Alone),
        TestTracker::new(2, StartData::Empty),
    );
    let effects = a.replica.set_listed([number(1)], a.now);
    a.perform(effects);
    assert!(a.replica.is_single());
    a.create_account("olga").unwrap();
    connect(&mut a, &mut b, 1);
    assert!(!b.serves() && a.closed == [ReplicaConnectionId(1)]);
    let effects = a.replica.set_listed([1, 2].map(number), a.now);
    a.perform(effects);
    b.close(1);
    connect(&mut a, &mut b, 2);
    assert!(b.serves() && b.replica.registry().rows().count() == 1);
    a.create_account("nik").unwrap();
    let effects = a.replica.set_listed([number(1)], a.now);
    a.perform(effects);
    assert_eq!(a.acknowledged.last(), Some(&(2, Copies::OnlyHere)));
    assert!(a.replica.is_single() && a.closed.ends_with(&[ReplicaConnectionId(2)]));
}

#[test]
fn a_restored_tracker_serves_only_when_it_has_caught_up_with_one_that_serves() {
    let (mut a, mut b) = (
        TestTracker::new(1, StartData::Restored),
        TestTracker::new(2, StartData::Restored),
    );
    connect(&mut a, &mut b, 1);
    a.advance(START_WAIT * 2);
    assert_eq!(a.replica.serving(), Serving::Restoring);
    assert_eq!(b.replica.serving(), Serving::Restoring);
    let (mut a, mut b) = (
        TestTracker::new(1, StartData::Restored),
        TestTracker::new(2, StartData::Alone),
    );
    b.create_account("olga").unwrap();
    a.open(1);
    b.open(1);
    for (connection, message) in std::mem::take(&mut b.sent) {
        a.receive(connection, message);
    }
    assert!(!a.serves(), "it has not caught up");
    exchange_messages(&mut a, &mut b);
    assert!(a.serves() && a.replica.registry().rows().count() == 1);
}

#[test]
fn a_tracker_with_an_older_copy_halts_when_another_one_knows_later_writes_of_its_origin() {
    let (mut a, mut b) = pair();
    a.create_account("olga").unwrap();
    exchange_messages(&mut a, &mut b);
    b.close(1);
    // With `StartData::Alone`, a tracker serves at once, even from an older copy: the operator
    // guarantees that no other tracker has newer data.
    let mut alone = TestTracker::new(1, StartData::Alone);
    alone.create_account("nik").unwrap();
    alone.create_account("ada").unwrap();
    assert_eq!(alone.acknowledged.len(), 2);
    let mut older = TestTracker::new(1, StartData::Resumed);
    connect(&mut older, &mut b, 2);
    let halt = HaltReason::Rewound {
        known: 0,
        known_elsewhere: 1,
    };
    assert_eq!(older.replica.serving(), Serving::Halted(halt));
    assert!(older.reports.contains(&Report::Halted(halt)));
    assert!(older.closed.contains(&ReplicaConnectionId(2)));
    assert!(matches!(
        older.create_account("x"),
        Err(ReplicaError::NotServing(_))
    ));
    older.open(3);
    assert_eq!(older.closed.last(), Some(&ReplicaConnectionId(3)));
}

#[test]
fn a_tracker_with_an_older_copy_writes_under_a_new_origin_if_it_meets_no_other_tracker() {
    let (mut a, mut b) = pair();
    a.create_account("olga").unwrap();
    a.create_account("ada").unwrap();
    exchange_messages(&mut a, &mut b);
    b.close(1);
    // This tracker has an empty copy from before these writes. It has no connection to a tracker
    // that could report them.
    let mut older = TestTracker::new(1, StartData::Resumed);
    older.advance(START_WAIT);
    let origin = Origin([101; 16]);
    assert_eq!(
        older.disk[0].origin,
        Some(origin),
        "the origin is durable before the first write"
    );
    assert_eq!(older.create_account("nik"), Ok(1));
    assert_eq!(older.disk[1].origin, None);
    connect(&mut older, &mut b, 2);
    assert!(older.serves() && b.serves());
    for tracker in [&older, &b] {
        assert_eq!(tracker.replica.registry().rows().count(), 3);
    }
    // A tracker that is in sync with all listed trackers keeps its origin.
    let (a, _) = pair_of_resumed();
    assert_eq!(a.replica.registry().origin(), Origin([1; 16]));
    assert!(a.disk.iter().all(|commit| commit.origin.is_none()));
}

#[test]
fn a_report_counts_only_if_it_was_sent_after_the_hello_of_this_process() {
    let mut b = TestTracker::new(2, StartData::Resumed);
    let mut older = TestTracker::new(1, StartData::Resumed);
    older.open(2);
    b.open(2);
    // The hello of b says that b has no writes of tracker 1. But b has not got the hello of this
    // process yet: a write that an earlier process sent may still reach it.
    for (connection, message) in std::mem::take(&mut b.sent) {
        older.receive(connection, message);
    }
    older.jump(SECOND);
    assert!(!older.serves());
    older.advance(START_WAIT);
    assert!(older.serves());
    assert_eq!(older.replica.registry().origin(), Origin([101; 16]));
}

#[test]
fn a_tracker_that_left_the_list_before_it_reported_may_know_later_writes() {
    let mut older = TestTracker::new(1, StartData::Resumed);
    let effects = older.replica.set_listed([number(1)], older.now);
    older.perform(effects);
    assert!(older.serves());
    assert_eq!(older.replica.registry().origin(), Origin([101; 16]));
}

#[test]
fn a_hello_over_an_older_connection_is_late_even_if_the_newer_one_has_closed() {
    let (mut a, mut b) = pair();
    for tracker in [&mut a, &mut b] {
        tracker.close(1);
    }
    a.open(5);
    a.open(6);
    b.open(6);
    let (connection, hello) = b.sent.remove(0);
    a.receive(connection, hello.clone());
    a.close(6);
    a.receive(ReplicaConnectionId(5), hello);
    assert_eq!(a.closed.last(), Some(&ReplicaConnectionId(5)));
}

fn pair_of_resumed() -> (TestTracker, TestTracker) {
    let (mut a, mut b) = (
        TestTracker::new(1, StartData::Resumed),
        TestTracker::new(2, StartData::Resumed),
    );
    connect(&mut a, &mut b, 1);
    assert!(a.serves() && b.serves());
    (a, b)
}

#[test]
fn a_stalled_tracker_starts_again_and_answers_nothing_from_stale_data() {
    for only_wall_clock in [false, true] {
        let (mut a, mut b) = pair();
        b.create_account("olga").unwrap();
        // `b` sends these before the stall, and `a` receives them after it.
        let late_messages = std::mem::take(&mut b.sent);
        let passed = STALL_LIMIT + SECOND;
        a.now.wall += passed;
        if !only_wall_clock {
            a.now.elapsed += passed;
        }
        assert!(a.replica.stalled_for(a.now).is_some());
        // Any call detects the stall.
        let refused = Err(ReplicaError::NotServing(Serving::Waiting));
        assert_eq!(a.create_account("nik"), refused);
        for (connection, message) in late_messages {
            a.receive(connection, message);
        }
        assert!(!a.serves() && a.closed == [ReplicaConnectionId(1)]);
        assert!(a.reports.contains(&Report::Stalled { passed }));
        a.tick();
        assert_eq!(a.replica.registry().rows().count(), 0);
        b.close(1);
        connect(&mut a, &mut b, 2);
        assert!(a.serves() && a.replica.registry().rows().count() == 1);
        assert_eq!(a.replica.registry().origin(), Origin([1; 16]));
        // While no other tracker connects, it waits as after a start.
        a.jump(STALL_LIMIT);
        assert!(!a.serves());
        a.advance(START_WAIT);
        assert!(a.serves());
    }
    // The only tracker of a list does not start again.
    let mut single = TestTracker::new(1, StartData::Alone);
    let effects = single.replica.set_listed([number(1)], single.now);
    single.perform(effects);
    single.now.wall += STALL_LIMIT * 100;
    assert_eq!(
        single.create_account("nik"),
        Ok(1),
        "no other tracker went on without it"
    );
}

/// Lets time pass in which the tracker gets no processor.
fn starve(tracker: &mut TestTracker, passed: Duration) {
    tracker.now.elapsed += passed;
    tracker.now.wall += passed;
}

#[test]
fn a_tracker_goes_on_serving_after_a_pause_in_which_no_other_tracker_gave_up_on_it() {
    let (mut a, mut b) = pair();
    a.create_account("olga").unwrap();
    exchange_messages(&mut a, &mut b);
    a.create_account("ada").unwrap();
    b.create_account("nik").unwrap();
    let late_messages = std::mem::take(&mut b.sent);
    let passed = STALL_LIMIT - Duration::from_millis(1);
    for _ in 0..3 {
        starve(&mut a, passed);
        assert_eq!(a.replica.stalled_for(a.now), None);
        a.tick();
    }
    assert!(a.serves() && a.closed.is_empty());
    assert_eq!(a.reports.last(), Some(&Report::Paused { passed }));
    assert_eq!(
        a.acknowledged,
        [(1, Copies::Two)],
        "the second write still waits: its confirmation may be among the unread messages"
    );
    for (connection, message) in late_messages {
        a.receive(connection, message);
    }
    exchange_messages(&mut a, &mut b);
    assert_eq!(a.acknowledged, [(1, Copies::Two), (2, Copies::Two)]);
    assert_eq!(a.replica.registry().rows().count(), 3);
    // Time limits still expire, but they count only the time in which the tracker runs.
    a.advance(IDLE_TIMEOUT);
    assert_eq!(a.closed, [ReplicaConnectionId(1)]);
}

#[test]
fn a_tracker_starts_again_if_another_one_gave_up_its_connection_during_a_short_pause() {
    let (mut a, _) = pair();
    a.close(1);
    assert!(a.serves(), "there was no pause before the loss");
    let (mut a, _) = pair();
    starve(&mut a, STALL_LIMIT / 2);
    a.tick();
    assert!(a.serves());
    a.close(1);
    assert!(!a.serves());
    a.advance(START_WAIT);
    assert!(a.serves());
}

#[test]
fn pending_writes_are_abandoned_when_a_tracker_halts() {
    let (mut a, mut b) = pair();
    a.create_account("olga").unwrap();
    // The other tracker knows write 9 of the origin of `a`, which `a` does not know. So `a` halts.
    let versions = {
        let mut versions = VersionVector::new();
        versions.note(a.replica.registry().origin(), Sequence::new(9).unwrap());
        crate::wire::replica::Encoded::new(versions.encode()).unwrap()
    };
    let (clock, serving) = (0, true);
    a.receive(
        ReplicaConnectionId(1),
        ReplicaMessage::Ping {
            clock,
            versions,
            serving,
        },
    );
    assert_eq!((a.abandoned, a.acknowledged.len()), (1, 0));
    b.sent.clear();
}

#[test]
fn two_trackers_with_copies_of_one_folder_both_halt() {
    let (mut a, mut b) = (
        TestTracker::new(1, StartData::Alone),
        TestTracker::new(2, StartData::Alone),
    );
    b.replica.registry = Registry::new(a.replica.registry().origin());
    a.open(1);
    b.open(1);
    let (from_a, from_b) = (a.sent.remove(0), b.sent.remove(0));
    a.receive(from_b.0, from_b.1);
    b.receive(from_a.0, from_a.1);
    let halted_as_copy_of = |other| {
        Serving::Halted(HaltReason::Copied {
            other: number(other),
        })
    };
    assert_eq!(a.replica.serving(), halted_as_copy_of(2));
    assert_eq!(b.replica.serving(), halted_as_copy_of(1));
}

#[test]
fn of_two_other_trackers_with_the_same_origin_the_second_is_rejected() {
    let (mut a, mut b) = pair();
    let effects = a.replica.set_listed([1, 2, 3].map(number), a.now);
    a.perform(effects);
    let hello = ReplicaMessage::Hello {
        number: number(3),
        origin: b.replica.registry().origin().0,
        versions: Encoded::new(VersionVector::new().encode()).unwrap(),
        serving: true,
    };
    a.open(2);
    a.receive(ReplicaConnectionId(2), hello);
    assert_eq!(a.closed, [ReplicaConnectionId(2)]);
    assert!(
        matches!(a.reports.last(), Some(Report::Trouble { other, .. }) if *other == Some(number(3)))
    );
    a.sent.clear();
    // `a` receives write 1 of `b`. Then it receives a different write 1 of the same origin, as from
    // a tracker that runs on a copy of the folder of `b`.
    b.create_account("olga").unwrap();
    let (connection, push) = b.sent.remove(0);
    a.receive(connection, push.clone());
    assert_eq!(a.sent_kinds(), ["pushed"]);
    a.receive(connection, push);
    assert_eq!(a.sent_kinds(), ["pushed", "pushed"], "the same push again");
    let origin = b.replica.registry().origin();
    let registry = Registry::new(origin);
    let new = NewAccount {
        id: RowId([77; 16]),
        name: "nik".parse().unwrap(),
        password: password("first"),
    };
    let update = registry.create_account(new, b.now.wall).unwrap();
    let change = update.change().unwrap().encode();
    let change = Encoded::new(change).unwrap();
    a.receive(connection, ReplicaMessage::Push { id: 1, change });
    assert_eq!(a.sent_kinds(), ["pushed", "pushed"]);
    assert_eq!(a.closed.last(), Some(&connection));
}

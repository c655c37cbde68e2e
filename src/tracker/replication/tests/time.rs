//! Clocks and expiry.

use super::*;
use crate::torrent::FileName;
use crate::tracker::registry::{CodeHash, LOG_OUT_LIFETIME, NewShare};

#[test]
fn a_clock_that_is_hours_ahead_is_reported_once_and_its_correction_is_reported_too() {
    let (mut a, mut b) = pair();
    b.now.wall += SECOND * 7_200;
    b.tick();
    a.close(1);
    connect(&mut a, &mut b, 2);
    for _ in 0..3 {
        a.advance(PING_INTERVAL);
        exchange_messages(&mut a, &mut b);
    }
    let reported = |tracker: &TestTracker| {
        let all = tracker.reports.iter();
        let found = all.filter_map(|report| match report {
            Report::ClockOffset { .. } => Some(report.to_string()),
            _ => None,
        });
        found.collect::<Vec<_>>()
    };
    let wrong = "the clock of tracker 2 is 7200 s ahead of the clock of this one; \
                 correct the clock that is wrong";
    assert_eq!(reported(&a), [wrong]);
    b.create_account("olga").unwrap();
    exchange_messages(&mut a, &mut b);
    // The write of tracker 2 has a stamp in the future. Tracker 1 reports that separately.
    assert!(
        a.reports
            .iter()
            .any(|it| matches!(it, Report::Drift { .. }))
    );
    b.now = a.now;
    b.tick();
    a.close(2);
    connect(&mut a, &mut b, 3);
    a.advance(PING_INTERVAL);
    exchange_messages(&mut a, &mut b);
    let right = "the clock of tracker 2 agrees with the clock of this one again";
    assert_eq!(reported(&a), [wrong, right]);
}

#[test]
fn expired_rows_are_deleted_a_day_later_if_all_trackers_have_them_and_no_clock_is_wrong() {
    let (mut a, mut b) = pair();
    a.create_account("olga").unwrap();
    let actor = a.replica.registry().rows().next().unwrap().id();
    let login = a.new_id();
    let end = a.now.wall + LOG_OUT_LIFETIME;
    a.write(Vec::new(), |registry, now| {
        registry.log_out(actor, login, end, now)
    })
    .unwrap();
    exchange_messages(&mut a, &mut b);
    let has = |tracker: &TestTracker| tracker.replica.registry().row(login).is_some();
    let pass_a_month =
        |tracker: &mut TestTracker| tracker.now.wall += LOG_OUT_LIFETIME + EXPIRED_ROW_GRACE;
    pass_a_month(&mut a);
    a.advance(PING_INTERVAL);
    exchange_messages(&mut a, &mut b);
    a.advance(GC_INTERVAL);
    assert!(has(&a), "the two clocks are a month apart");
    pass_a_month(&mut b);
    b.advance(GC_INTERVAL + PING_INTERVAL);
    connect(&mut a, &mut b, 2);
    a.advance(GC_INTERVAL);
    assert!(!has(&a));
    assert!(a.disk.last().unwrap().dropped_rows == [login]);
    b.advance(GC_INTERVAL);
    assert!(!has(&b), "each tracker deletes by itself");
}

/// Creates an invite that expires after a second. Returns its row.
fn create_short_invite(tracker: &mut TestTracker) -> RowId {
    let (id, end) = (tracker.new_id(), tracker.now.wall + SECOND);
    let written = tracker.write(Vec::new(), |registry, now| {
        registry.create_invite(id, CodeHash([9; 32]), end, now)
    });
    written.unwrap();
    id
}

#[test]
fn a_tracker_whose_clock_was_set_compares_the_clocks_again_before_it_deletes_a_row() {
    let (mut a, mut b) = pair();
    let id = create_short_invite(&mut a);
    exchange_messages(&mut a, &mut b);
    a.advance(PING_INTERVAL);
    exchange_messages(&mut a, &mut b);
    let ahead = a.replica.status(a.now).others[0].clock_ahead;
    assert!(ahead.is_some(), "the clocks were compared");
    a.now.wall += EXPIRED_ROW_GRACE * 2;
    a.tick();
    assert!(a.closed.contains(&ReplicaConnectionId(1)), "it has stalled");
    b.close(1);
    a.sent.clear();
    a.open(2);
    b.open(2);
    // The other tracker introduces itself, and answers no ping.
    b.sent.retain(|(_, message)| message.kind() == "hello");
    for (connection, message) in std::mem::take(&mut b.sent) {
        a.receive(connection, message);
    }
    a.advance(GC_INTERVAL);
    assert!(a.replica.registry().row(id).is_some());
}

#[test]
fn expired_rows_are_kept_after_a_tracker_with_another_clock_has_left_the_list() {
    let (mut a, mut b) = pair();
    let id = create_short_invite(&mut a);
    exchange_messages(&mut a, &mut b);
    a.now.wall += EXPIRED_ROW_GRACE * 2;
    a.tick();
    b.close(1);
    connect(&mut a, &mut b, 2);
    let ahead = a.replica.status(a.now).others[0].clock_ahead;
    assert!(ahead.is_some_and(|ahead| ahead < -1_000_000), "{ahead:?}");
    let effects = a.replica.set_listed([number(1)], a.now);
    a.perform(effects);
    a.advance(GC_INTERVAL);
    assert!(a.replica.registry().row(id).is_some());
}

#[test]
fn a_log_out_is_not_deleted_before_the_report_of_a_tracker_that_keeps_it_longer() {
    let (mut a, mut b) = pair();
    a.create_account("olga").unwrap();
    exchange_messages(&mut a, &mut b);
    let actor = a.replica.registry().rows().next().unwrap().id();
    let login = a.new_id();
    // It was written by a clock that was far behind. So it has expired here, and b keeps it longer.
    let end = a.now.wall - EXPIRED_ROW_GRACE;
    a.write(Vec::new(), |registry, now| {
        registry.log_out(actor, login, end, now)
    })
    .unwrap();
    for (connection, message) in std::mem::take(&mut a.sent) {
        b.receive(connection, message);
    }
    assert_eq!(b.sent_kinds(), ["pushed"]);
    for (connection, message) in std::mem::take(&mut b.sent) {
        a.receive(connection, message);
    }
    a.advance(GC_INTERVAL);
    b.advance(GC_INTERVAL);
    assert!(a.replica.registry().row(login).is_some());
    a.close(1);
    b.close(1);
    connect(&mut a, &mut b, 2);
    for tracker in [&mut a, &mut b] {
        tracker.advance(GC_INTERVAL);
        let row = tracker.replica.registry().row(login).and_then(Row::expires);
        let needed = tracker.now.wall;
        assert!(row.is_some_and(|expires| u128::from(expires) > needed.as_millis()));
    }
}

#[test]
fn a_share_of_a_removed_user_keeps_no_blob() {
    let (mut a, mut b) = pair();
    a.create_account("olga").unwrap();
    a.create_group_naming_blob(vec![(BLOB, vec![7])]).unwrap();
    exchange_messages(&mut a, &mut b);
    a.close(1);
    b.close(1);
    let olga = "olga".parse().unwrap();
    let olga = a.replica.registry().account_id(&olga).unwrap();
    a.write(Vec::new(), |registry, now| {
        registry.remove_account_as_operator(olga, 9, now)
    })
    .unwrap();
    let info_hash = InfoHash([8; 20]);
    let new = NewShare {
        id: b.new_id(),
        name: FileName::new("a.bin").unwrap(),
        info_hash,
        length: 1,
        note: None,
        is_update: false,
    };
    b.write(vec![(info_hash, vec![7])], |registry, now| {
        registry.publish(olga, &"blob".parse().unwrap(), new, now)
    })
    .unwrap();
    connect(&mut a, &mut b, 2);
    a.advance(PING_INTERVAL);
    b.advance(PING_INTERVAL);
    exchange_messages(&mut a, &mut b);
    assert_eq!(
        a.replica.registry().version_vector(),
        b.replica.registry().version_vector()
    );
    assert!(!a.replica.blobs.stored.contains(&info_hash));
    assert!(a.replica.blobs.missing.is_empty());
    assert!(b.replica.blobs.stored.contains(&info_hash));
    b.advance(GC_INTERVAL * 2);
    assert!(!b.replica.blobs.stored.contains(&info_hash));
}

#[test]
fn a_blob_that_is_named_by_no_row_is_deleted_after_two_garbage_collections() {
    let unnamed = InfoHash([8; 20]);
    let mut a = TestTracker::new(1, StartData::Alone);
    a.create_account("olga").unwrap();
    a.create_group_naming_blob(vec![(BLOB, vec![7])]).unwrap();
    a.replica.blobs.stored.insert(unnamed);
    let dropped = |tracker: &TestTracker| {
        let commits = tracker.disk.iter();
        commits
            .flat_map(|it| it.dropped_blobs.clone())
            .collect::<Vec<_>>()
    };
    a.advance(GC_INTERVAL);
    assert_eq!(dropped(&a), [], "a row that names the blob may arrive");
    a.advance(GC_INTERVAL);
    a.advance(GC_INTERVAL);
    assert_eq!(dropped(&a), [unnamed], "once, and only this one");
    assert!(a.replica.blobs.stored.contains(&BLOB));
}

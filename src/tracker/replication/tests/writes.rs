//! Writes and their copies.

use super::*;
use crate::tracker::registry::CodeHash;

#[test]
fn a_write_is_on_the_disk_then_pushed_then_acknowledged() {
    let (mut a, mut b) = pair();
    a.unsynced = Some(Vec::new());
    assert_eq!(a.create_account("olga"), Ok(1));
    assert!(
        a.sent.is_empty() && a.acknowledged.is_empty(),
        "not durable yet"
    );
    a.sync();
    assert_eq!(a.sent_kinds(), ["push"]);
    assert_eq!(a.acknowledged, []);
    b.unsynced = Some(Vec::new());
    exchange_messages(&mut a, &mut b);
    assert_eq!(a.acknowledged, [], "not durable at the other tracker yet");
    b.sync();
    assert_eq!(b.sent_kinds(), ["pushed"]);
    exchange_messages(&mut a, &mut b);
    assert_eq!(a.acknowledged, [(1, Copies::Two)]);
    assert_eq!(a.replica.registry().dump(), b.replica.registry().dump());
}

#[test]
fn without_another_tracker_a_write_is_acknowledged_at_once_and_sent_when_one_connects() {
    let (mut a, mut b) = pair();
    a.close(1);
    b.close(1);
    assert!(a.reports.contains(&Report::Lost { other: number(2) }));
    a.create_account("olga").unwrap();
    assert_eq!(a.acknowledged, [(1, Copies::OnlyHere)]);
    assert_eq!(a.replica.status(a.now).others[0].it_lacks, Some(1));
    connect(&mut a, &mut b, 2);
    assert_eq!(b.replica.registry().rows().count(), 1);
    assert_eq!(a.replica.status(a.now).others[0].it_lacks, Some(0));
}

#[test]
fn only_the_first_write_waits_for_a_tracker_that_does_not_answer() {
    let (mut a, mut b) = pair();
    a.create_account("olga").unwrap();
    a.advance(PUSH_WAIT - Duration::from_millis(1));
    assert_eq!(a.acknowledged, []);
    a.advance(Duration::from_millis(1));
    assert_eq!(a.acknowledged, [(1, Copies::OnlyHere)]);
    a.create_account("nik").unwrap();
    assert_eq!(a.acknowledged.len(), 2, "the second does not wait");
    exchange_messages(&mut a, &mut b);
    a.advance(PING_INTERVAL);
    exchange_messages(&mut a, &mut b);
    assert!(
        a.replica.status(a.now).others[0].current,
        "the other tracker is up to date again"
    );
    a.create_account("ada").unwrap();
    exchange_messages(&mut a, &mut b);
    assert_eq!(a.acknowledged[2], (3, Copies::Two));
}

#[test]
fn rows_wait_for_their_blob_and_both_are_acknowledged_together() {
    let (mut a, mut b) = pair();
    a.create_account("olga").unwrap();
    exchange_messages(&mut a, &mut b);
    assert_eq!(
        a.create_group_naming_blob(Vec::new()),
        Err(ReplicaError::NoBlob(BLOB))
    );
    // Two full parts and a short one.
    let blob = vec![7; 2 * BLOB_PART + 5];
    a.create_group_naming_blob(vec![(BLOB, blob.clone())])
        .unwrap();
    assert_eq!(a.sent_kinds(), ["push"]);
    let mut parts = 0;
    while a.acknowledged.len() < 2 {
        parts += a.sent_kinds().iter().filter(|it| **it == "blob").count();
        let groups = b.replica.registry().dump().groups.len();
        assert_eq!(groups, 0, "the blob is not there yet");
        for (connection, message) in std::mem::take(&mut a.sent) {
            b.receive(connection, message);
        }
        for (connection, message) in std::mem::take(&mut b.sent) {
            a.receive(connection, message);
        }
    }
    assert_eq!((parts, a.acknowledged[1]), (3, (2, Copies::Two)));
    let stored = b
        .disk
        .iter()
        .position(|commit| commit.blobs == [(BLOB, blob.clone())]);
    let rows = b.disk.iter().position(|commit| commit.rows.len() == 2);
    assert!(stored.is_some() && stored <= rows);
}

#[test]
fn rows_are_merged_without_their_blob_if_the_sender_has_only_an_invalid_one() {
    let (mut a, mut b) = pair();
    a.create_account("olga").unwrap();
    exchange_messages(&mut a, &mut b);
    // By the rule in `settings`, a blob is valid if all its bytes are 7.
    a.create_group_naming_blob(vec![(BLOB, vec![8; 3])])
        .unwrap();
    exchange_messages(&mut a, &mut b);
    assert_eq!(b.replica.registry().dump().groups.len(), 1);
    assert!(b.reports.contains(&Report::BlobMissing { info_hash: BLOB }));
    assert_eq!(b.replica.status(b.now).missing_blobs, 1);
    // The trackers connect again. This time `b` receives a valid blob.
    b.close(1);
    a.close(1);
    b.open(2);
    a.open(2);
    for (connection, message) in std::mem::take(&mut a.sent) {
        b.receive(connection, message);
    }
    let asks = b.sent.iter().any(|(_, it)| it.kind() == "want-blob");
    assert!(asks, "{:?}", b.sent);
    let part = InfoPart::new(0, 3, vec![7; 3]).unwrap();
    let info_hash = BLOB;
    b.receive(
        ReplicaConnectionId(2),
        ReplicaMessage::Blob { info_hash, part },
    );
    assert_eq!(b.replica.status(b.now).missing_blobs, 0);
}

#[test]
fn a_repeated_command_is_safe_only_when_another_tracker_has_the_earlier_write_too() {
    let (mut a, mut b) = pair();
    b.close(1);
    a.close(1);
    let receipt = RowId([77; 16]);
    let expires = a.now.wall + SECOND * 3_600;
    let id = a.new_id();
    a.write(Vec::new(), |registry, now| {
        registry.with_receipt(invite(registry, id, now)?, receipt, expires, now)
    })
    .unwrap();
    assert_eq!(a.acknowledged, [(1, Copies::OnlyHere)]);
    // It starts again, and serves under a new origin before it meets the other tracker.
    let rows: Vec<Row> = a.replica.registry().rows().cloned().collect();
    let versions = a.replica.registry().version_vector().clone();
    let loaded = Registry::load(Origin([1; 16]), versions, rows).unwrap();
    let mut a = TestTracker::of(1, loaded, StartData::Resumed);
    a.advance(START_WAIT);
    b.advance(START_WAIT);
    a.open(2);
    b.open(2);
    // The two introduce themselves. So a takes b for a tracker that has all writes of its new
    // origin. The earlier write has not been sent yet.
    for (connection, message) in std::mem::take(&mut b.sent) {
        a.receive(connection, message);
    }
    a.sent
        .retain(|(_, message)| ["hello", "pong"].contains(&message.kind()));
    for (connection, message) in std::mem::take(&mut a.sent) {
        b.receive(connection, message);
    }
    let held = std::mem::take(&mut b.sent);
    assert!(a.replica.status(a.now).others[0].current);
    a.write(Vec::new(), |registry, now| {
        registry.renew_receipt(receipt, expires, now)
    })
    .unwrap();
    assert_eq!(a.sent_kinds(), ["ping"], "b does not get the receipt alone");
    for (connection, message) in std::mem::take(&mut a.sent) {
        b.receive(connection, message);
    }
    assert_eq!(a.acknowledged, []);
    b.sent.extend(held);
    assert!(b.sent_kinds().contains(&"pull"));
    exchange_messages(&mut a, &mut b);
    assert_eq!(a.acknowledged, [(1, Copies::Two)]);
    for row in [receipt, id] {
        assert!(b.replica.registry().row(row).is_some());
    }
    // Now b has all that a has. So it gets the next renewal at once.
    b.advance(PING_INTERVAL);
    exchange_messages(&mut a, &mut b);
    a.write(Vec::new(), |registry, now| {
        registry.renew_receipt(receipt, expires, now)
    })
    .unwrap();
    assert_eq!(a.sent_kinds(), ["push", "ping"]);
}

/// A write that needs no other row.
fn invite(registry: &Registry, id: RowId, now: Duration) -> Result<Update, Refusal> {
    registry.create_invite(id, CodeHash([9; 32]), now + SECOND, now)
}

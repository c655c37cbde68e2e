//! Writes and their copies.

use super::*;

#[test]
fn a_write_is_on_the_disk_then_pushed_then_acknowledged() {
    let (mut a, mut b) = pair();
    a.slow = Some(Vec::new());
    assert_eq!(a.user("olga"), Ok(1));
    assert!(a.sent.is_empty() && a.told.is_empty(), "not durable yet");
    a.sync();
    assert_eq!(a.kinds(), ["push"]);
    assert_eq!(a.told, []);
    b.slow = Some(Vec::new());
    talk(&mut a, &mut b);
    assert_eq!(a.told, [], "not durable at the twin yet");
    b.sync();
    assert_eq!(b.kinds(), ["pushed"]);
    talk(&mut a, &mut b);
    assert_eq!(a.told, [(1, Copies::Two)]);
    assert_eq!(a.replica.registry().dump(), b.replica.registry().dump());
}

#[test]
fn without_a_twin_a_write_is_acknowledged_at_once_and_told_when_it_comes() {
    let (mut a, mut b) = pair();
    a.down(1);
    b.down(1);
    assert!(a.reports.contains(&Report::Split { other: number(2) }));
    a.user("olga").unwrap();
    assert_eq!(a.told, [(1, Copies::OnlyHere)]);
    assert_eq!(a.replica.status(a.now).others[0].it_lacks, Some(1));
    connect(&mut a, &mut b, 2);
    assert_eq!(b.replica.registry().rows().count(), 1);
    assert_eq!(a.replica.status(a.now).others[0].it_lacks, Some(0));
}

#[test]
fn a_twin_that_stands_still_is_waited_for_once() {
    let (mut a, mut b) = pair();
    a.user("olga").unwrap();
    a.later(PUSH_WAIT - Duration::from_millis(1));
    assert_eq!(a.told, []);
    a.later(Duration::from_millis(1));
    assert_eq!(a.told, [(1, Copies::OnlyHere)]);
    a.user("nik").unwrap();
    assert_eq!(a.told.len(), 2, "the second does not wait");
    talk(&mut a, &mut b);
    a.later(PING);
    talk(&mut a, &mut b);
    assert!(
        a.replica.status(a.now).others[0].current,
        "until it is back"
    );
    a.user("ada").unwrap();
    talk(&mut a, &mut b);
    assert_eq!(a.told[2], (3, Copies::Two));
}

#[test]
fn rows_wait_for_their_blob_and_both_are_acknowledged_together() {
    let (mut a, mut b) = pair();
    a.user("olga").unwrap();
    talk(&mut a, &mut b);
    assert_eq!(a.group_with_blob(Vec::new()), Err(WriteError::NoBlob(BLOB)));
    // Two parts and a bit.
    let blob = vec![7; 2 * BLOB_PART + 5];
    a.group_with_blob(vec![(BLOB, blob.clone())]).unwrap();
    assert_eq!(a.kinds(), ["push"]);
    let mut parts = 0;
    while a.told.len() < 2 {
        parts += a.kinds().iter().filter(|it| **it == "blob").count();
        let groups = b.replica.registry().dump().groups.len();
        assert_eq!(groups, 0, "the blob is not there yet");
        for (line, message) in std::mem::take(&mut a.sent) {
            b.receive(line, message);
        }
        for (line, message) in std::mem::take(&mut b.sent) {
            a.receive(line, message);
        }
    }
    assert_eq!((parts, a.told[1]), (3, (2, Copies::Two)));
    let stored = b
        .disk
        .iter()
        .position(|commit| commit.blobs == [(BLOB, blob.clone())]);
    let rows = b.disk.iter().position(|commit| commit.rows.len() == 2);
    assert!(stored.is_some() && stored <= rows);
}

#[test]
fn a_blob_that_is_nowhere_or_false_does_not_hold_up_the_rows_and_is_asked_for_again() {
    let (mut a, mut b) = pair();
    a.user("olga").unwrap();
    talk(&mut a, &mut b);
    a.group_with_blob(vec![(BLOB, vec![8; 3])]).unwrap();
    talk(&mut a, &mut b);
    assert_eq!(b.replica.registry().dump().groups.len(), 1);
    assert!(b.reports.contains(&Report::BlobMissing { info_hash: BLOB }));
    assert_eq!(b.replica.status(b.now).lacking_blobs, 1);
    // A tracker that has it comes.
    b.down(1);
    a.down(1);
    b.up(2);
    a.up(2);
    for (line, message) in std::mem::take(&mut a.sent) {
        b.receive(line, message);
    }
    let asks = b.sent.iter().any(|(_, it)| it.kind() == "want-blob");
    assert!(asks, "{:?}", b.sent);
    let part = InfoPart::new(0, 3, vec![7; 3]).unwrap();
    let info_hash = BLOB;
    b.receive(LineId(2), Message::Blob { info_hash, part });
    assert_eq!(b.replica.status(b.now).lacking_blobs, 0);
}

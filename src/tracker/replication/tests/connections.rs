//! Connections that are closed because they are silent, rejected, replaced or broken.

use super::*;

#[test]
fn a_silent_connection_is_closed_and_later_messages_on_it_are_ignored() {
    let (mut a, mut b) = pair();
    b.create_account("olga").unwrap();
    let late = std::mem::take(&mut b.sent);
    a.advance(IDLE_TIMEOUT);
    assert_eq!(a.closed, [ReplicaConnectionId(1)]);
    for (connection, message) in late {
        a.receive(connection, message);
    }
    assert_eq!(a.replica.registry().rows().count(), 0);
}

#[test]
fn unlisted_trackers_and_other_protocol_versions_are_rejected_and_reported_once() {
    let mut a = TestTracker::new(1, StartData::Alone);
    let hello = |protocol, tracker: u32| match protocol {
        PROTOCOL => ReplicaMessage::Hello {
            number: number(tracker),
            origin: [77; 16],
            versions: crate::wire::replica::Encoded::new(b"le".to_vec()).unwrap(),
            serving: true,
        },
        protocol => ReplicaMessage::OtherHello {
            protocol,
            number: number(tracker),
        },
    };
    // Each entry is a protocol version and the number of a tracker. Tracker 3 is not listed, and
    // tracker 1 is `a` itself.
    let (this, other) = (PROTOCOL, PROTOCOL + 1);
    let hellos = [(this, 3), (this, 3), (this, 1), (other, 2), (other, 2)];
    for (connection, (protocol, tracker)) in hellos.into_iter().enumerate() {
        let connection = connection as u64;
        a.open(connection);
        a.receive(ReplicaConnectionId(connection), hello(protocol, tracker));
        assert_eq!(a.closed.last(), Some(&ReplicaConnectionId(connection)));
    }
    let troubles = a.reports.iter();
    let troubles = troubles.filter(|report| matches!(report, Report::Trouble { .. }));
    assert_eq!(troubles.count(), 3, "{:?}", a.reports);
}

#[test]
fn a_newer_connection_replaces_the_older_one() {
    let (mut a, mut b) = pair();
    connect(&mut a, &mut b, 2);
    assert_eq!(
        (a.closed.as_slice(), b.closed.as_slice()),
        (&[ReplicaConnectionId(1)][..], &[ReplicaConnectionId(1)][..])
    );
    a.create_account("olga").unwrap();
    exchange_messages(&mut a, &mut b);
    assert_eq!(a.acknowledged, [(1, Copies::Two)]);
}

#[test]
fn an_undecodable_change_closes_the_connection() {
    let (mut a, _) = pair();
    let rubbish = || crate::wire::replica::Encoded::new(b"i1e".to_vec()).unwrap();
    a.receive(
        ReplicaConnectionId(1),
        ReplicaMessage::Push {
            id: 1,
            change: rubbish(),
        },
    );
    assert_eq!(a.closed, [ReplicaConnectionId(1)]);
    assert!(matches!(
        a.reports.last(),
        Some(Report::Lost { .. } | Report::Trouble { .. })
    ));
    assert!(Change::decode(b"de").is_err());
}

//! A peer and a tracker that speak different versions of the protocol.

use crate::common::account_tracker::AccountTracker;
use crate::common::fake_peer::listen_tcp;
use crate::common::fake_tracker::set_only_tracker;
use crate::common::waiting::PATIENCE;
use pieceful::certificate::Authority;
use pieceful::net::{FrameReader, TRACKER_NAME, TlsServer, write_frame};
use pieceful::wire::access::{AccessReplyMessage, MAX_FRAME, PROTOCOL};
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

/// A tracker that speaks version 7 of the protocol and belongs to this cluster.
fn tracker_of_version_7(cluster: &Authority) -> SocketAddr {
    let server = TlsServer::new(cluster.issue(TRACKER_NAME).unwrap()).unwrap();
    listen_tcp(move |connection, _| {
        let socket = Arc::new(connection.stream.try_clone().unwrap());
        let Ok(stream) = server.accept(socket, PATIENCE) else {
            return;
        };
        let mut requests = FrameReader::new(&stream, MAX_FRAME);
        while requests.next(PATIENCE, PATIENCE).is_ok() {
            let reply = b"d4:kind3:new8:protocoli7e8:surpriselee";
            write_frame(&stream, reply, MAX_FRAME, PATIENCE).unwrap();
        }
    })
}

#[test]
fn a_tracker_names_both_versions_when_it_refuses_a_peer_of_another_version() {
    let tracker = AccountTracker::new();
    let mut connection = tracker.connect();
    let later = b"d2:idi7e8:protocoli7e8:surpriselee";
    let refused = connection.exchange(later).unwrap().result.unwrap_err();
    let expected = format!(
        "this tracker speaks version {PROTOCOL} of the protocol, and the peer version 7; install \
         the same version of pieceful on both machines"
    );
    assert_eq!(
        (refused.kind.as_str(), refused.message.as_str()),
        ("bad-request", &*expected)
    );
    // A peer of the first version, which had no key `protocol`, can read the reply.
    let connection = tracker.connect();
    let first = b"d2:idi7e4:type7:clustere";
    write_frame(&connection.stream, first, MAX_FRAME, PATIENCE).unwrap();
    let mut replies = FrameReader::new(&connection.stream, MAX_FRAME);
    let reply = replies.next(PATIENCE, PATIENCE).unwrap();
    assert!(AccessReplyMessage::decode(reply).is_err());
    let reply = String::from_utf8_lossy(reply);
    assert!(
        reply.starts_with("d2:idi0e4:kind11:bad-request7:message"),
        "{reply}"
    );
    assert!(reply.ends_with("4:type5:errore"), "{reply}");
    assert!(
        reply.contains(&expected.replace("version 7", "version 1")),
        "{reply}"
    );
}

#[test]
fn a_peer_names_both_versions_and_uses_a_tracker_of_its_own_version() {
    let tracker = AccountTracker::new();
    let key = fs::read(tracker.sandbox.path("data/cluster.pem")).unwrap();
    let other = tracker_of_version_7(&Authority::from_pem(&key).unwrap());
    let mut nik = tracker.sandbox.peer("nik");
    set_only_tracker(&tracker.sandbox, other);
    let both_versions = format!(
        "it speaks version 7 of the protocol, and this program version {PROTOCOL}; install the \
         same version of pieceful on both machines"
    );
    // The tracker carried nothing out, so the error is not `unknown-outcome`.
    nik.assert_refused(
        "create_user nik\nsecret word",
        "unreachable",
        &both_versions,
    );
    let both_trackers = format!("{other}\n{}\n", tracker.address());
    fs::write(tracker.sandbox.tracker_info(), both_trackers).unwrap();
    nik.run("create_user nik\nsecret word");
    nik.run("login nik\nsecret word");
}

//! Extensions (BEP 10) in the swarm of a group: the peer names no other peer (BEP 11) and serves no
//! metadata (BEP 9). A name in an extension handshake does not replace the name in the certificate.

use super::fake_member::{Connection, MemberIdentity, call_tls, certify, handshake};
use super::team::{second_login, team};
use crate::common::account_tracker::AccountTracker;
use crate::common::fake_peer::EXTENDED;
use crate::common::peer::{Peer, quoted};
use crate::common::waiting::wait_until;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;

/// Connects as a member. Its handshake offers BEP 6 and BEP 10. Returns the link after the
/// handshakes of TLS and BEP 3.
fn connect(
    peer: &Peer,
    info_hash: &str,
    identity: &MemberIdentity,
    id: &str,
) -> impl Connection + use<> {
    let mut link = call_tls(peer.process.address, info_hash, Some(identity));
    let mut ours = handshake(info_hash, id);
    (ours[25], ours[27]) = (0x10, 0x04);
    link.write_all(&ours).unwrap();
    link.read_exact(&mut [0; 68]).unwrap();
    link
}

/// A message of an extension.
fn extension_message(id: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + 2).unwrap();
    [&length.to_be_bytes()[..], &[EXTENDED, id], payload].concat()
}

/// Reads up to the next message of an extension. Returns its id and payload.
fn read_extension_message(link: &mut impl Read) -> (u8, Vec<u8>) {
    loop {
        let mut length = [0; 4];
        link.read_exact(&mut length).unwrap();
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        link.read_exact(&mut body).unwrap();
        if body.first() == Some(&EXTENDED) {
            return (body[1], body[2..].to_vec());
        }
    }
}

#[test]
fn in_a_group_swarm_no_peer_is_named_and_no_metadata_is_served() {
    let tracker = AccountTracker::new();
    let [mut nik, _mayank] = team(&tracker, ["nik", "mayank"]);
    let file = tracker.sandbox.file("gift", 100_000, 1);
    let shared = nik.run(&format!("upload_file lab {}", quoted(&file)));
    let info_hash = shared["info_hash"].as_str().unwrap().to_owned();
    let (identity, _) = certify(&mut second_login(&tracker, "mayank"), "lab");
    let extension_handshake = b"d1:md11:ut_metadatai7e6:ut_pexi9ee1:pi6001ee";
    let mut first = connect(&nik, &info_hash, &identity, "first");
    let mut second = connect(&nik, &info_hash, &identity, "second");
    let contact_listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = contact_listener.local_addr().unwrap().port().to_be_bytes();
    for link in [&mut first, &mut second] {
        link.write_all(&extension_message(0, extension_handshake))
            .unwrap();
        let (id, handshake) = read_extension_message(link);
        let handshake = String::from_utf8_lossy(&handshake).into_owned();
        assert_eq!(id, 0);
        for word in ["ut_pex", "ut_metadata", "metadata_size"] {
            assert!(!handshake.contains(word), "{handshake}");
        }
        // The member names a contact and requests metadata. It uses the ids 3 and 2, which a peer
        // of an open swarm offers for this.
        let contact = [b"d5:added6:\x7f\0\0\x01".as_slice(), &port, b"e"].concat();
        link.write_all(&extension_message(3, &contact)).unwrap();
        link.write_all(&extension_message(2, b"d8:msg_typei0e5:piecei0ee"))
            .unwrap();
        link.flush().unwrap();
        // The first extension message is the reject. So the peer did not name the other member.
        let (id, answer) = read_extension_message(link);
        assert_eq!(
            (id, answer.as_slice()),
            (7, &b"d8:msg_typei2e5:piecei0ee"[..])
        );
    }
    contact_listener.set_nonblocking(true).unwrap();
    assert!(
        contact_listener.accept().is_err(),
        "the peer called the contact"
    );
}

#[test]
fn a_link_has_the_name_in_the_certificate_and_not_the_claimed_name() {
    let tracker = AccountTracker::new();
    let [mut nik, _mayank] = team(&tracker, ["nik", "mayank"]);
    let file = tracker.sandbox.file("gift", 100_000, 1);
    let shared = nik.run(&format!("upload_file lab {}", quoted(&file)));
    let info_hash = shared["info_hash"].as_str().unwrap().to_owned();
    let (identity, _) = certify(&mut second_login(&tracker, "mayank"), "lab");
    let mut link = connect(&nik, &info_hash, &identity, "liar");
    link.write_all(&extension_message(0, b"d1:mde4:name3:nike"))
        .unwrap();
    link.flush().unwrap();
    let mut links = Value::Null;
    wait_until("the claim has arrived", || {
        links = nik.run("show_peers");
        links["peers"][0]["claimed_name"] == "nik"
    });
    assert_eq!(links["peers"][0]["name"], "mayank", "{links}");
}

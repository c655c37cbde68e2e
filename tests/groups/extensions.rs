//! What members hear of in extensions (BEP 10): in a group's swarm nobody is named (BEP 11) and no metadata given (BEP 9).

use super::fake_member::{Bytes, MemberIdentity, call_tls, certify, handshake};
use super::team::{session, team};
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::{Peer, quoted};
use std::io::{Read, Write};
use std::net::TcpListener;

/// A member's line, after the handshakes, with BEP 6 and BEP 10.
fn greet(peer: &Peer, info_hash: &str, shown: &MemberIdentity, id: &str) -> impl Bytes + use<> {
    let mut line = call_tls(peer.process.address, info_hash, Some(shown));
    let mut ours = handshake(info_hash, id);
    (ours[25], ours[27]) = (0x10, 0x04);
    line.write_all(&ours).unwrap();
    line.read_exact(&mut [0; 68]).unwrap();
    line
}

fn extended(id: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + 2).unwrap();
    [&length.to_be_bytes()[..], &[20, id], payload].concat()
}

/// The next message of an extension: its number and payload.
fn next(line: &mut impl Read) -> (u8, Vec<u8>) {
    loop {
        let mut length = [0; 4];
        line.read_exact(&mut length).unwrap();
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        line.read_exact(&mut body).unwrap();
        if body.first() == Some(&20) {
            return (body[1], body[2..].to_vec());
        }
    }
}

#[test]
fn members_hear_of_no_other_by_a_peer_and_get_no_metadata() {
    let service = AccountTracker::new();
    let [mut nik, _mayank] = team(&service, ["nik", "mayank"]);
    let file = service.sandbox.file("gift", 100_000, 1);
    let shared = nik.run(&format!("upload_file lab {}", quoted(&file)));
    let info_hash = shared["info_hash"].as_str().unwrap().to_owned();
    let (shown, _) = certify(&mut session(&service, "mayank"), "lab");
    let hello = b"d1:md11:ut_metadatai7e6:ut_pexi9ee1:pi6001ee";
    let mut first = greet(&nik, &info_hash, &shown, "first");
    let mut second = greet(&nik, &info_hash, &shown, "second");
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_be_bytes();
    for line in [&mut first, &mut second] {
        line.write_all(&extended(0, hello)).unwrap();
        let (id, told) = next(line);
        let told = String::from_utf8_lossy(&told).into_owned();
        assert_eq!(id, 0);
        for word in ["ut_pex", "ut_metadata", "metadata_size"] {
            assert!(!told.contains(word), "{told}");
        }
        // Told and asked all the same.
        let contact = [b"d5:added6:\x7f\0\0\x01".as_slice(), &port, b"e"].concat();
        line.write_all(&extended(3, &contact)).unwrap();
        line.write_all(&extended(2, b"d8:msg_typei0e5:piecei0ee"))
            .unwrap();
        line.flush().unwrap();
        // The refusal is the first that comes: of the other member there was no word.
        let (id, answer) = next(line);
        assert_eq!(
            (id, answer.as_slice()),
            (7, &b"d8:msg_typei2e5:piecei0ee"[..])
        );
    }
    other.set_nonblocking(true).unwrap();
    assert!(other.accept().is_err(), "a contact was called");
}

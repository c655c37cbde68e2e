//! Peer exchange (BEP 11): which peers a peer names to whom, and which named addresses it calls.

use crate::common::extensions::*;
use crate::common::fake_peer::*;
use crate::common::handmade_torrent::Torrent;
use crate::common::log::{log_line_with, wait_for_log_line};
use crate::common::open_swarm::{TORRENT, leech, leech_with};
use crate::common::peer::{Peer, quoted};
use crate::common::process::run;
use crate::common::sandbox::Sandbox;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The compact form of an IPv4 address.
fn contact(address: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(address) = address else {
        panic!("only IPv4 here");
    };
    [&address.ip().octets()[..], &address.port().to_be_bytes()].concat()
}

/// The payload of a message that names these contacts.
fn added_payload(contacts: &[u8]) -> Vec<u8> {
    let head = format!("d5:added{}:", contacts.len());
    [head.as_bytes(), contacts, b"e"].concat()
}

/// Connects to `peer` as the peer `id`, which claims to listen at `port`. Returns the link, and the
/// id that `peer` has chosen for `ut_pex`, if any.
fn connect(peer: &Peer, torrent: &Torrent, id: &str, port: u16) -> (FakePeer, Option<u8>) {
    let mut link = FakePeer::connect(peer.process.address, torrent, EXTENDED_AND_FAST, id);
    link.send(&extension_handshake(None, Some(port)));
    let (_, handshake) = read_extension_message(&mut link).unwrap();
    (link, extension_id(&handshake, "ut_pex"))
}

/// Waits until the other peer has read everything: it answers a request for metadata only after it
/// has read all earlier messages.
fn wait_until_read(link: &mut FakePeer) {
    link.send(&extension_message(2, b"d8:msg_typei0e5:piecei99ee"));
    assert!(read_extension_message(link).is_some());
}

#[test]
fn a_named_peer_is_called_and_linked_peers_are_named_to_each_other() {
    let sandbox = Sandbox::new();
    let mut leech = leech(&sandbox, "leech", &TORRENT);
    let seed = honest_seed(&TORRENT, "seed");
    let (mut first, _) = connect(&leech, &TORRENT, "first", 6_001);
    wait_until_read(&mut first);
    let (mut second, pex_id) = connect(&leech, &TORRENT, "second", 6_002);
    let (id, payload) = read_extension_message(&mut second).unwrap();
    assert_eq!(id, FAKE_UT_PEX_ID);
    let expected = contact(([127, 0, 0, 1], 6_001).into());
    let expected_start = [b"d5:added6:".as_slice(), &expected, b"7:added.f1:\0"].concat();
    assert!(payload.starts_with(&expected_start), "{payload:?}");
    let (_, payload) = read_extension_message(&mut first).unwrap();
    let expected = contact(([127, 0, 0, 1], 6_002).into());
    assert!(
        payload.windows(6).any(|bytes| bytes == expected),
        "{payload:?}"
    );
    second.send(&extension_message(
        pex_id.unwrap(),
        &added_payload(&contact(seed)),
    ));
    leech.run("wait 30");
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == TORRENT.content);
    let from = leech.shown_download("share")["from"].clone();
    assert_eq!(from[seed.to_string()], TORRENT.content.len(), "{from}");
}

#[test]
fn three_peers_find_each_other_without_a_tracker() {
    let sandbox = Sandbox::new();
    let content = Torrent::new("share", 3 << 20, 32_768, 7);
    let mut seed = sandbox.debug_peer("seed", &[]);
    fs::write(sandbox.path("seed/share"), &content.content).unwrap();
    seed.run(&format!(
        "download {}",
        quoted(&content.write(&sandbox, "s.torrent"))
    ));
    seed.run("wait 30");
    // The second peer is slow, so that the third gets most bytes from the seed. Only the second
    // names the seed.
    let download_from = |address| {
        format!(
            "download {}",
            magnet_link(&content, &peer_parameter(address))
        )
    };
    let mut second = sandbox.debug_peer("second", &["--down", "32k"]);
    second.run(&download_from(seed.process.address));
    second.wait_for_download("share", |download| download["bytes_done"] != 0);
    let mut third = sandbox.debug_peer("third", &[]);
    third.run(&download_from(second.process.address));
    third.run("wait 50");
    let from = third.shown_download("share")["from"].clone();
    let bytes_from_seed = from[seed.process.address.to_string()].as_u64();
    assert!(
        bytes_from_seed.is_some_and(|bytes| bytes > 1 << 20),
        "{from}"
    );
}

#[test]
fn in_a_private_swarm_no_peer_is_named_and_named_peers_are_not_called() {
    let sandbox = Sandbox::new();
    sandbox.file("secret", 100_000, 1);
    let create = "torrent create secret -o s.torrent --private -t http://127.0.0.1:1/announce";
    let words: Vec<&str> = create.split(' ').collect();
    let created = run(&sandbox.path(""), &words, "");
    assert_eq!(created.code, Some(0), "{created:?}");
    let secret = Torrent::read(&sandbox.path("s.torrent"));
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.run(&format!("download {}", quoted(&sandbox.path("s.torrent"))));
    leech.wait_for_state("secret", "downloading");
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let named_address = listen_tcp(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let (mut first, pex_id) = connect(&leech, &secret, "first", 6_001);
    assert_eq!(pex_id, None);
    first.send(&extension_message(
        3,
        &added_payload(&contact(named_address)),
    ));
    first.send(&extension_message(3, b"not a message"));
    wait_until_read(&mut first);
    let (mut second, _) = connect(&leech, &secret, "second", 6_002);
    // The next message is the answer to a request for metadata. It does not name the first peer.
    second.send(&extension_message(2, b"d8:msg_typei0e5:piecei99ee"));
    assert_eq!(
        read_extension_message(&mut second).unwrap().0,
        FAKE_UT_METADATA_ID
    );
    // A peer calls a named address at once. If no call comes within a second, none will come.
    assert_eq!(leech.try_run("wait 1")["error"]["kind"], "not-complete");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    assert!(log_line_with(&leech.log, &["calling", &named_address.to_string()]).is_none());
}

#[test]
fn each_bad_message_ends_its_own_link_and_the_log_names_the_rule() {
    let sandbox = Sandbox::new();
    let mut leech = leech(&sandbox, "leech", &TORRENT);
    let table: &[(&[u8], &str)] = &[
        (b"", "malformed peer exchange message"),
        (b"le", "malformed peer exchange message"),
        (b"d5:added", "malformed peer exchange message"),
        (
            b"d5:added5:aaaaae",
            "\"added\" is not a list of whole contacts",
        ),
        (b"d5:addedi1ee", "\"added\" is not a list of whole contacts"),
        (
            b"d7:dropped7:aaaaaaae",
            "\"dropped\" is not a list of whole contacts",
        ),
        (
            b"d6:added66:aaaaaae",
            "\"added6\" is not a list of whole contacts",
        ),
        (
            b"d8:dropped6lee",
            "\"dropped6\" is not a list of whole contacts",
        ),
    ];
    let (mut honest, _) = connect(&leech, &TORRENT, "honest", 6_000);
    for (at, (payload, rule)) in table.iter().enumerate() {
        let (mut link, pex_id) = connect(&leech, &TORRENT, &format!("bad{at}"), 6_001 + at as u16);
        link.send(&extension_message(pex_id.unwrap(), payload));
        link.read_to_end();
        let port = (6_001 + at).to_string();
        wait_for_log_line(&leech.log, &[&format!("127.0.0.1:{port}"), rule]);
    }
    // Messages that come too often are ignored at first, and then they end the link.
    let (mut link, pex_id) = connect(&leech, &TORRENT, "flood", 6_100);
    for _ in 0..12 {
        link.send(&extension_message(pex_id.unwrap(), b"de"));
    }
    link.read_to_end();
    wait_for_log_line(
        &leech.log,
        &["127.0.0.1:6100", "more often than once a minute"],
    );
    wait_until_read(&mut honest);
    assert_eq!(leech.shown_download("share")["state"], "downloading");
}

#[test]
fn impossible_contacts_are_skipped_and_only_the_first_hundred_contacts_are_read() {
    let sandbox = Sandbox::new();
    let mut leech = leech_with(&sandbox, "leech", &TORRENT, &[]);
    let own = leech.process.address;
    let seed = honest_seed(&TORRENT, "seed");
    let mut contacts = [
        contact(([0, 0, 0, 0], 5).into()),
        contact(([127, 0, 0, 1], 0).into()),
        contact(([224, 0, 0, 1], 5).into()),
        contact(own),
        contact(seed),
    ]
    .concat();
    // 2,000 more contacts. The peer reads only the first hundred of the whole list.
    for number in 0..2_000u32 {
        contacts.extend([127, 1, (number >> 8) as u8, number as u8, 0, 9]);
    }
    let (mut link, pex_id) = connect(&leech, &TORRENT, "crowd", 6_001);
    link.send(&extension_message(
        pex_id.unwrap(),
        &added_payload(&contacts),
    ));
    leech.run("wait 30");
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == TORRENT.content);
    let log = fs::read_to_string(&leech.log).unwrap();
    for never in [
        "calling 0.0.0.0:5",
        "calling 127.0.0.1:0",
        "calling 224.0.0.1:5",
    ] {
        assert!(!log.contains(never), "{never}");
    }
    assert!(
        !log.contains("calling 127.1.0.101:9"),
        "the peer read more contacts than allowed"
    );
}

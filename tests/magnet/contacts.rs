//! Peers that name each other (BEP 11).

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

fn contact(address: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(address) = address else {
        panic!("only IPv4 here");
    };
    [&address.ip().octets()[..], &address.port().to_be_bytes()].concat()
}

fn added(contacts: &[u8]) -> Vec<u8> {
    let head = format!("d5:added{}:", contacts.len());
    [head.as_bytes(), contacts, b"e"].concat()
}

/// Calls as `id`, which listens at `port`; gives the line and the number under which messages of BEP 11 are taken.
fn call(peer: &Peer, torrent: &Torrent, id: &str, port: u16) -> (FakePeer, Option<u8>) {
    let mut link = FakePeer::connect(peer.process.address, torrent, EXTENDED_AND_FAST, id);
    link.send(&extension_handshake(None, Some(port)));
    let (_, theirs) = read_extended(&mut link).unwrap();
    (link, extension_id(&theirs, "ut_pex"))
}

/// Waits until everything that was sent is taken in: only then what follows is answered.
fn settle(link: &mut FakePeer) {
    link.send(&extended(2, b"d8:msg_typei0e5:piecei99ee"));
    assert!(read_extended(link).is_some());
}

#[test]
fn who_is_named_by_a_peer_is_called_and_each_hears_of_the_others() {
    let sandbox = Sandbox::new();
    let mut leech = leech(&sandbox, "leech", &TORRENT);
    let owner = honest_seed(&TORRENT, "owner");
    let (mut first, _) = call(&leech, &TORRENT, "first", 6_001);
    settle(&mut first);
    let (mut second, number) = call(&leech, &TORRENT, "second", 6_002);
    let (id, told) = read_extended(&mut second).unwrap();
    assert_eq!(id, OUR_PEX);
    let expected = contact(([127, 0, 0, 1], 6_001).into());
    let named = [b"d5:added6:".as_slice(), &expected, b"7:added.f1:\0"].concat();
    assert!(told.starts_with(&named), "{told:?}");
    let (_, told) = read_extended(&mut first).unwrap();
    let expected = contact(([127, 0, 0, 1], 6_002).into());
    assert!(told.windows(6).any(|bytes| bytes == expected), "{told:?}");
    second.send(&extended(number.unwrap(), &added(&contact(owner))));
    leech.run("wait 30");
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == TORRENT.content);
    let from = leech.download("share")["from"].clone();
    assert_eq!(from[owner.to_string()], TORRENT.content.len(), "{from}");
}

#[test]
fn three_peers_of_ours_find_each_other_without_a_tracker() {
    let sandbox = Sandbox::new();
    let content = Torrent::new("share", 3 << 20, 32_768, 7);
    let mut seed = sandbox.debug_peer("seed", &[]);
    fs::write(sandbox.path("seed/share"), &content.content).unwrap();
    seed.run(&format!(
        "download {}",
        quoted(&content.write(&sandbox, "s.torrent"))
    ));
    seed.run("wait 30");
    // The second one is slow, so that the third gets most from the seed, of which it hears from the second alone.
    let by = |address| {
        format!(
            "download {}",
            magnet_link(&content, &peer_parameter(address))
        )
    };
    let mut second = sandbox.debug_peer("second", &["--down", "32k"]);
    second.run(&by(seed.process.address));
    second.wait_for_download("share", |download| download["bytes_done"] != 0);
    let mut third = sandbox.debug_peer("third", &[]);
    third.run(&by(second.process.address));
    third.run("wait 50");
    let from = third.download("share")["from"].clone();
    let given = from[seed.process.address.to_string()].as_u64();
    assert!(given.is_some_and(|bytes| bytes > 1 << 20), "{from}");
}

#[test]
fn in_a_private_swarm_nobody_is_named_or_believed() {
    let sandbox = Sandbox::new();
    sandbox.file("secret", 100_000, 1);
    let create = "torrent create secret -o s.torrent --private -t http://127.0.0.1:1/announce";
    let words: Vec<&str> = create.split(' ').collect();
    let made = run(&sandbox.path(""), &words, "");
    assert_eq!(made.code, Some(0), "{made:?}");
    let secret = Torrent::read(&sandbox.path("s.torrent"));
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.run(&format!("download {}", quoted(&sandbox.path("s.torrent"))));
    leech.wait_for_download("secret", |download| download["state"] == "downloading");
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let other = listen_tcp(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let (mut first, number) = call(&leech, &secret, "first", 6_001);
    assert_eq!(number, None);
    first.send(&extended(3, &added(&contact(other))));
    first.send(&extended(3, b"what is no message"));
    settle(&mut first);
    let (mut second, _) = call(&leech, &secret, "second", 6_002);
    // The first thing it hears is the answer to what it asks, and not of the first.
    second.send(&extended(2, b"d8:msg_typei0e5:piecei99ee"));
    assert_eq!(read_extended(&mut second).unwrap().0, OUR_METADATA);
    // Whoever is to be called is called at once: a second without a call is one without hearsay.
    assert_eq!(leech.try_run("wait 1")["error"]["kind"], "not-complete");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    assert!(log_line_with(&leech.log, &["calling", &other.to_string()]).is_none());
}

#[test]
fn each_bad_message_ends_its_line_alone_with_the_rule_it_broke() {
    let sandbox = Sandbox::new();
    let mut leech = leech(&sandbox, "leech", &TORRENT);
    let tables: &[(&[u8], &str)] = &[
        (b"", "bad message about contacts"),
        (b"le", "bad message about contacts"),
        (b"d5:added", "bad message about contacts"),
        (
            b"d5:added5:aaaaae",
            "\"added\" is no list of whole contacts",
        ),
        (b"d5:addedi1ee", "\"added\" is no list of whole contacts"),
        (
            b"d7:dropped7:aaaaaaae",
            "\"dropped\" is no list of whole contacts",
        ),
        (
            b"d6:added66:aaaaaae",
            "\"added6\" is no list of whole contacts",
        ),
        (
            b"d8:dropped6lee",
            "\"dropped6\" is no list of whole contacts",
        ),
    ];
    let (mut sound, _) = call(&leech, &TORRENT, "sound", 6_000);
    for (at, (payload, rule)) in tables.iter().enumerate() {
        let (mut link, number) = call(&leech, &TORRENT, &format!("bad{at}"), 6_001 + at as u16);
        link.send(&extended(number.unwrap(), payload));
        link.read_to_end();
        let port = (6_001 + at).to_string();
        wait_for_log_line(&leech.log, &[&format!("127.0.0.1:{port}"), rule]);
    }
    // One that tells again and again is not heard, and then not borne.
    let (mut link, number) = call(&leech, &TORRENT, "flood", 6_100);
    for _ in 0..12 {
        link.send(&extended(number.unwrap(), b"de"));
    }
    link.read_to_end();
    wait_for_log_line(
        &leech.log,
        &["127.0.0.1:6100", "more often than once a minute"],
    );
    settle(&mut sound);
    assert_eq!(leech.download("share")["state"], "downloading");
}

#[test]
fn contacts_that_cannot_be_are_passed_over_and_a_crowd_of_them_does_no_harm() {
    let sandbox = Sandbox::new();
    let mut leech = leech_with(&sandbox, "leech", &TORRENT, &[]);
    let own = leech.process.address;
    let owner = honest_seed(&TORRENT, "owner");
    let mut contacts = [
        contact(([0, 0, 0, 0], 5).into()),
        contact(([127, 0, 0, 1], 0).into()),
        contact(([224, 0, 0, 1], 5).into()),
        contact(own),
        contact(owner),
    ]
    .concat();
    // 2,000 more, of which a hundred are read.
    for number in 0..2_000u32 {
        contacts.extend([127, 1, (number >> 8) as u8, number as u8, 0, 9]);
    }
    let (mut link, number) = call(&leech, &TORRENT, "crowd", 6_001);
    link.send(&extended(number.unwrap(), &added(&contacts)));
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
        "more were read than allowed"
    );
}

//! Downloads by magnet link: the exchange of metadata (BEP 9), with honest, lying and silent peers.

use crate::common::extensions::*;
use crate::common::fake_peer::*;
use crate::common::handmade_torrent::Torrent;
use crate::common::log::wait_for_log_line;
use crate::common::open_swarm::{TORRENT, leech};
use crate::common::peer::{Peer, quoted};
use crate::common::process::run;
use crate::common::sandbox::{Sandbox, bytes};
use crate::common::waiting::{PATIENCE, wait_for};
use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, LazyLock, Mutex};

/// Metadata of more than four pieces: 4,000 hashes.
static LONG: LazyLock<Torrent> = LazyLock::new(|| Torrent::new("long", 4_000 * 1_024, 1_024, 5));

/// The magnet link that `torrent show` prints.
fn shown_magnet_link(sandbox: &Sandbox, torrent: &str) -> String {
    let output = run(&sandbox.path(""), &["torrent", "show", torrent], "");
    let line = output.stdout.lines().find(|line| line.contains("magnet:?"));
    let line = line.unwrap_or_else(|| panic!("no link: {output:?}"));
    line[line.find("magnet:?").unwrap()..].to_owned()
}

#[test]
fn a_folder_is_downloaded_by_its_magnet_link_alone() {
    let sandbox = Sandbox::new();
    let tracker = sandbox.tracker(&[]);
    sandbox.file("set/a", 70_000, 1);
    sandbox.file("set/sub/b", 3_000_000, 2);
    sandbox.file("set/empty", 0, 3);
    let mut seed = sandbox.peer("seed");
    let set = sandbox.path("set");
    seed.run(&format!("send {}", quoted(&set)));
    let torrent = sandbox.path("seed/set.torrent");
    let magnet = shown_magnet_link(&sandbox, torrent.to_str().unwrap());
    assert!(magnet.contains("&dn=set&tr=http%3A%2F%2F"), "{magnet}");
    // The second peer has the tracker from the magnet link alone.
    let elsewhere = Sandbox::new();
    for (sandbox, name) in [(&sandbox, "one"), (&elsewhere, "two")] {
        let mut peer = sandbox.peer(name);
        let started = peer.run(&format!("download '{magnet}'"));
        assert_eq!(started["name"], "set");
        peer.run("wait 30");
        for file in ["a", "sub/b", "empty"] {
            let copy = fs::read(sandbox.path(name).join("set").join(file)).unwrap();
            assert!(copy == fs::read(set.join(file)).unwrap());
        }
        let download = peer.shown_download("set");
        assert_eq!(download["bytes_done"], 3_070_000);
        let again = peer.run(&format!("download '{magnet}'"));
        assert_eq!(
            (&again["name"], &again["already"]),
            (&"set".into(), &true.into())
        );
    }
    drop(tracker);
}

#[test]
fn a_magnet_link_that_names_a_peer_needs_no_tracker() {
    let sandbox = Sandbox::new();
    let seed = seed_of(&sandbox, &LONG);
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.run(&format!(
        "download {} {}",
        magnet_link(
            &LONG,
            &format!("&dn=shown&x.pe=localhost:{}", seed.process.address.port())
        ),
        quoted(&sandbox.path("copy"))
    ));
    leech.run("wait 30");
    assert!(fs::read(sandbox.path("copy")).unwrap() == LONG.content);
    assert_eq!(
        leech.shown_download("long")["path"],
        sandbox.path("copy").to_str().unwrap()
    );
    // This peer never had a `.torrent`, and it serves the metadata to the next peer.
    let mut third = sandbox.debug_peer("third", &[]);
    let address = leech.process.address;
    third.run(&format!(
        "download {}",
        magnet_link(&LONG, &peer_parameter(address))
    ));
    drop(seed);
    third.run("wait 30");
    assert!(fs::read(sandbox.path("third/long")).unwrap() == LONG.content);
}

/// A peer that has the torrent's content from the start.
fn seed_of(sandbox: &Sandbox, torrent: &Torrent) -> Peer {
    let mut peer = sandbox.debug_peer("seed", &[]);
    fs::write(sandbox.path("seed").join(&torrent.name), &torrent.content).unwrap();
    let file = torrent.write(sandbox, "seed.torrent");
    peer.run(&format!("download {}", quoted(&file)));
    peer.run("wait 30");
    peer
}

/// Sends the first piece of the metadata of `LONG`, waits for the requests of the other pieces, and
/// sends nothing more.
fn serve_first_metadata_piece(link: &mut FakePeer) {
    let metadata = info_dictionary(&LONG);
    link.send(&extension_handshake(Some(metadata.len()), None));
    let (_, payload) = read_extension_message(link).unwrap();
    let leech_metadata_id = extension_id(&payload, "ut_metadata").unwrap();
    link.send(&extension_message(
        leech_metadata_id,
        &metadata_piece(0, metadata),
    ));
    // The fifth request follows because the first piece came.
    (0..5).for_each(|_| assert!(read_extension_message(link).is_some()));
}

/// Serves the metadata and the content of `LONG` until the link ends.
fn serve_metadata_and_content(link: &mut FakePeer) {
    let metadata = info_dictionary(&LONG);
    link.send(&[have_all(), unchoke()].concat());
    let mut leech_metadata_id = 0;
    link.send(&extension_handshake(Some(metadata.len()), None));
    while let Some((id, body)) = link.read_message() {
        match (id, body.first()) {
            (EXTENDED, Some(0)) => leech_metadata_id = extension_id(&body, "ut_metadata").unwrap(),
            (EXTENDED, Some(&FAKE_UT_METADATA_ID)) => {
                let piece = integer_under(&body, "piece") as usize;
                link.send(&extension_message(
                    leech_metadata_id,
                    &metadata_piece(piece, metadata),
                ));
            }
            (REQUEST, _) => {
                let (index, begin, length) = parse_request(&body);
                link.send(&piece(index, begin, LONG.block(index, begin, length)));
            }
            _ => {}
        }
    }
}

#[test]
fn a_magnet_search_is_shown_as_such_and_goes_on_after_a_kill() {
    let sandbox = Sandbox::new();
    let (was_requested, requested) = channel();
    let was_requested = Mutex::new(was_requested);
    // The first caller gets one piece of the metadata, later callers get everything.
    let seed = listen(&LONG, "slow", move |mut link, number| {
        if number > 0 {
            return serve_metadata_and_content(&mut link);
        }
        let was_requested = was_requested.lock().unwrap().clone();
        serve_first_metadata_piece(&mut link);
        was_requested.send(()).unwrap();
        link.read_to_end();
    });
    let mut leech = sandbox.debug_peer("leech", &[]);
    let magnet = magnet_link(&LONG, &format!("&dn=a+name{}", peer_parameter(seed)));
    let started = leech.run(&format!("download {magnet} 'here'"));
    assert_eq!(started["name"], "a name");
    requested.recv_timeout(PATIENCE).unwrap();
    let download = leech.shown_download("a name");
    let (total, trouble) = (&download["bytes_total"], &download["trouble"]);
    assert_eq!(
        (total.as_u64(), trouble.as_str()),
        (Some(0), Some("looking for the metadata"))
    );
    assert_eq!(download["state"], "downloading");
    assert_eq!(leech.try_run("wait 0.01")["error"]["kind"], "not-complete");
    leech.kill();
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.run("wait 30");
    assert!(fs::read(sandbox.path("leech/here")).unwrap() == LONG.content);
    wait_for(
        || {
            let mut records = fs::read_dir(sandbox.path("leech.state/magnets")).unwrap();
            records.next().is_none().then_some(())
        },
        || "the record of the magnet search is not removed".to_owned(),
    );
    // The complete download is not a magnet search after a restart.
    leech.kill();
    let mut leech = sandbox.debug_peer("leech", &[]);
    // If the kill came before the completion was recorded, the file is checked first.
    leech.wait_for_state("long", "complete");
}

/// Six bad sources of metadata. Returns each address and what the log must say about it. `calls`
/// counts the calls that the first source gets.
fn bad_metadata_sources(calls: &Arc<AtomicUsize>) -> [(SocketAddr, String); 6] {
    let counted = calls.clone();
    let liar = listen(&TORRENT, "liar", move |mut link, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        let mut wrong = info_dictionary(&TORRENT).to_vec();
        *wrong.last_mut().unwrap() ^= 1;
        serve_metadata(&mut link, wrong.len(), |piece| {
            metadata_piece(piece, &wrong)
        });
    });
    let refuses = listen(&TORRENT, "refuses", |mut link, _| {
        serve_metadata(&mut link, 500, |piece| {
            format!("d8:msg_typei2e5:piecei{piece}ee").into_bytes()
        });
    });
    let short = listen(&TORRENT, "short", |mut link, _| {
        serve_metadata(&mut link, 500, |_| {
            b"d8:msg_typei1e5:piecei0e10:total_sizei500eex".to_vec()
        });
    });
    let huge = listen(&TORRENT, "huge", |mut link, _| {
        serve_metadata(&mut link, (16 << 20) + 1, |_| {
            panic!("metadata above the limit is requested")
        });
    });
    let knows_nothing = listen(&TORRENT, "nothing", |mut link, _| {
        link.send(&extension_message(0, b"de"));
        link.read_to_end();
    });
    let other = listen(&TORRENT, "other", |mut link, _| {
        serve_metadata(&mut link, 500, |_| metadata_piece(1, &bytes(20_000, 1)));
    });
    [
        (liar, "its metadata has another hash"),
        (refuses, "no metadata: it refused to send piece 0"),
        (short, "no metadata: metadata: piece 0 has 1 bytes, not 500"),
        (huge, "no metadata: metadata: its size is 16777217 bytes"),
        (knows_nothing, "no metadata: it has no metadata"),
        (other, "no metadata: metadata: piece 1 was not requested"),
    ]
    .map(|(address, reason)| (address, format!("{address}: {reason}")))
}

#[test]
fn bad_metadata_sources_do_not_keep_a_magnet_search_from_an_honest_one() {
    let sandbox = Sandbox::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let bad = bad_metadata_sources(&calls);
    let parameters: String = bad
        .iter()
        .map(|(address, _)| peer_parameter(*address))
        .collect();
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.run(&format!("download {}", magnet_link(&TORRENT, &parameters)));
    for (_, reason) in &bad {
        wait_for_log_line(&leech.log, &[reason]);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    // An honest peer calls.
    let mut link = FakePeer::connect(leech.process.address, &TORRENT, EXTENDED_AND_FAST, "honest");
    // Without the metadata the leech can neither use nor check the pieces that the peer has.
    link.send(&[frame(BITFIELD, &[255; 9]), unchoke(), frame(99, b"?")].concat());
    link.send(&[frame(HAVE, &numbers(&[u32::MAX])), KEEP_ALIVE.to_vec()].concat());
    serve_metadata_of(&mut link, &TORRENT);
    leech.wait_for_download("share", |download| {
        let has_metadata = download["bytes_total"] == TORRENT.content.len();
        has_metadata && download["state"] == "downloading"
    });
    let link = FakePeer::connect(leech.process.address, &TORRENT, EXTENDED_AND_FAST, "honest");
    serve_all(link, &TORRENT);
    leech.run("wait 30");
    assert!(fs::read(sandbox.path("leech/share")).unwrap() == TORRENT.content);
    assert_eq!(calls.load(Ordering::SeqCst), 1, "the liar was called again");
}

/// Connects a caller that claims to have metadata and sends none.
fn connect_silent_caller(leech: &Peer, number: usize) -> FakePeer {
    let id = format!("silent{number}");
    let mut link = FakePeer::connect(leech.process.address, &LONG, EXTENDED_AND_FAST, &id);
    assert_eq!(read_extension_message(&mut link).unwrap().0, 0);
    link.send(&extension_handshake(Some(16 << 20), None));
    link
}

#[test]
fn silent_callers_do_not_hold_up_peers_that_the_leech_calls() {
    let sandbox = Sandbox::new();
    let (open, opened) = channel::<()>();
    let opened = Mutex::new(opened);
    let metadata_peer = listen(&LONG, "metadata", move |mut link, _| {
        let _ = opened.lock().unwrap().recv();
        serve_metadata_of(&mut link, &LONG);
    });
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.run(&format!(
        "download {}",
        magnet_link(&LONG, &peer_parameter(metadata_peer))
    ));
    // The leech asks two silent callers. It ends the links of other callers at once, to keep places
    // for peers that it calls.
    let asked_callers: Vec<FakePeer> = (0..2)
        .map(|number| {
            let mut link = connect_silent_caller(&leech, number);
            assert_eq!(
                read_extension_message(&mut link).unwrap().0,
                FAKE_UT_METADATA_ID
            );
            link
        })
        .collect();
    for number in 2..4 {
        assert!(read_extension_message(&mut connect_silent_caller(&leech, number)).is_none());
    }
    // The leech accepts a long message with an unknown id. It accepts a bitfield of any length,
    // because it does not know the number of pieces.
    let mut other = FakePeer::connect(leech.process.address, &LONG, EXTENDED_AND_FAST, "other");
    other.send(
        &[
            frame(99, &vec![0; 1 << 19]),
            frame(BITFIELD, &vec![1; 100_000]),
        ]
        .concat(),
    );
    other.send(&extension_handshake(None, None));
    other.read_to_end();
    wait_for_log_line(&leech.log, &["no metadata: it has no metadata"]);
    drop(open);
    leech.wait_for_state("long", "downloading");
    // The leech has the metadata, so it ends the links to the silent callers.
    asked_callers
        .into_iter()
        .for_each(|mut link| link.read_to_end());
}

#[test]
fn a_cancel_while_a_magnet_search_becomes_a_download_leaves_nothing() {
    let big = Torrent::new("big", 24 << 20, 1 << 20, 4);
    let served = big.clone();
    let metadata_peer = listen(&big, "metadata", move |mut link, _| {
        serve_metadata_of(&mut link, &served);
    });
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    // The leech hashes this file, because it may be the share.
    let old_file = sandbox.path("leech/big");
    fs::write(&old_file, vec![1; 24 << 20]).unwrap();
    for _ in 0..3 {
        let link = magnet_link(&big, &format!("&dn=big{}", peer_parameter(metadata_peer)));
        leech.run(&format!("download {link} --force"));
        leech.wait_for_download("big", |download| {
            download["state"] == "checking" || download["bytes_total"] != 0
        });
        leech.run("cancel big");
        let downloads = leech.run("show_downloads")["downloads"].clone();
        assert_eq!(downloads.as_array().unwrap().len(), 0, "{downloads}");
    }
    let names = || -> Vec<_> {
        let entries = fs::read_dir(sandbox.path("leech")).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    };
    // The cancelled downloads leave no other file.
    wait_for(
        || (names() == ["big"]).then_some(()),
        || format!("the folder contains {:?}", names()),
    );
    assert!(fs::read(&old_file).unwrap() == vec![1; 24 << 20]);
    leech.kill();
    let mut leech = sandbox.debug_peer("leech", &[]);
    let downloads = leech.run("show_downloads")["downloads"].clone();
    assert_eq!(downloads.as_array().unwrap().len(), 0, "{downloads}");
}

/// A request for a piece of the metadata. `id` is the id that the receiver has chosen for
/// `ut_metadata`.
fn metadata_request(id: u8, piece: usize) -> Vec<u8> {
    extension_message(id, format!("d8:msg_typei0e5:piecei{piece}ee").as_bytes())
}

/// Requests all pieces of the metadata at once, in reverse order, and a piece that does not exist.
/// Asserts that all pieces are served and the other request is rejected.
fn assert_all_metadata_is_served(link: &mut FakePeer, id: u8, metadata: &[u8]) {
    let count = metadata.len().div_ceil(16 << 10);
    let mut requested: Vec<usize> = (0..count).rev().collect();
    requested.push(count);
    let requests = requested.iter().map(|piece| metadata_request(id, *piece));
    link.send(&requests.collect::<Vec<_>>().concat());
    let mut received = vec![None; count];
    let mut rejected = Vec::new();
    for _ in 0..=count {
        let (id, payload) = read_extension_message(link).unwrap();
        assert_eq!(id, FAKE_UT_METADATA_ID);
        let piece = integer_under(&payload, "piece") as usize;
        match integer_under(&payload, "msg_type") {
            1 => {
                assert_eq!(payload, metadata_piece(piece, metadata));
                received[piece] = Some(());
            }
            kind => {
                assert_eq!(kind, 2);
                rejected.push(piece);
            }
        }
    }
    assert!(received.iter().all(Option::is_some));
    assert_eq!(rejected, [count]);
}

#[test]
fn metadata_is_served_at_most_twice_over_one_link() {
    let sandbox = Sandbox::new();
    let leech = leech(&sandbox, "leech", &LONG);
    let metadata = info_dictionary(&LONG);
    let count = metadata.len().div_ceil(16 << 10);
    let mut link = FakePeer::connect(leech.process.address, &LONG, EXTENDED_AND_FAST, "requester");
    link.send(&extension_handshake(None, None));
    let (_, payload) = read_extension_message(&mut link).unwrap();
    assert_eq!(
        integer_under(&payload, "metadata_size") as usize,
        metadata.len()
    );
    let leech_metadata_id = extension_id(&payload, "ut_metadata").unwrap();
    assert_all_metadata_is_served(&mut link, leech_metadata_id, metadata);
    let kinds: Vec<u32> = (0..=count)
        .map(|_| {
            link.send(&metadata_request(leech_metadata_id, 0));
            let (_, payload) = read_extension_message(&mut link).unwrap();
            integer_under(&payload, "msg_type")
        })
        .collect();
    let mut expected = vec![1; count];
    expected.push(2);
    assert_eq!(kinds, expected);
    // A bad message of BEP 9 ends the link.
    link.send(&extension_message(leech_metadata_id, b"d8:msg_typei0ee"));
    link.read_to_end();
    wait_for_log_line(&leech.log, &["bad message about metadata", "\"piece\""]);
}

#[test]
fn the_metadata_of_a_private_torrent_is_not_served() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    sandbox.file("secret", 100_000, 1);
    let created = run(
        &sandbox.path(""),
        &[
            "torrent",
            "create",
            "secret",
            "-o",
            "s.torrent",
            "--private",
            "-t",
            "http://127.0.0.1:1/announce",
        ],
        "",
    );
    assert_eq!(created.code, Some(0), "{created:?}");
    let torrent = Torrent::read(&sandbox.path("s.torrent"));
    let mut seed = sandbox.debug_peer("seed", &[]);
    let (file, folder) = (sandbox.path("s.torrent"), sandbox.path(""));
    seed.run(&format!("download {} {}", quoted(&file), quoted(&folder)));
    seed.run("wait 30");
    let mut link = FakePeer::connect(
        seed.process.address,
        &torrent,
        EXTENDED_AND_FAST,
        "requester",
    );
    link.send(&extension_handshake(None, None));
    let (_, payload) = read_extension_message(&mut link).unwrap();
    let text = String::from_utf8_lossy(&payload).into_owned();
    for word in ["metadata_size", "ut_metadata", "ut_pex"] {
        assert!(!text.contains(word), "{text}");
    }
    // A request that is sent nevertheless is rejected.
    link.send(&extension_message(2, b"d8:msg_typei0e5:piecei0ee"));
    let (_, payload) = read_extension_message(&mut link).unwrap();
    assert_eq!(integer_under(&payload, "msg_type"), 2);
}

#[test]
fn unusable_metadata_fails_the_download_with_the_reason() {
    let sandbox = Sandbox::new();
    let unsafe_name = Torrent::new("a/b", 100, 1_024, 1);
    let served = unsafe_name.clone();
    let metadata_peer = listen(&unsafe_name, "metadata", move |mut link, _| {
        serve_metadata_of(&mut link, &served);
    });
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.run(&format!(
        "download {}",
        magnet_link(
            &unsafe_name,
            &format!("&dn=x{}", peer_parameter(metadata_peer))
        )
    ));
    let failed = leech.wait_for_state("x", "failed");
    let reason = failed["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("the metadata cannot be used: unsafe name"),
        "{reason}"
    );
    for (line, kind) in [
        ("download magnet:?xt=urn:btih:1", "bad-magnet"),
        ("download 'magnet:?dn=x&tr=http://t/'", "bad-magnet"),
        (
            &format!("download {} /nowhere/at/all", magnet_link(&TORRENT, "")),
            "file",
        ),
    ] {
        assert_eq!(leech.try_run(line)["error"]["kind"], kind, "{line}");
    }
}

#[test]
fn a_cancelled_magnet_search_is_forgotten() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.run(&format!("download {}", magnet_link(&TORRENT, "&dn=../x")));
    let hash = leech.run("show_downloads")["downloads"][0]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(hash.len(), 40, "the unsafe name is shown");
    leech.run(&format!("cancel {hash}"));
    leech.kill();
    let mut leech = sandbox.debug_peer("leech", &[]);
    assert_eq!(
        leech.run("show_downloads")["downloads"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
}

//! Downloads by magnet link (BEP 9).

use crate::extension::*;
use crate::peers::{TORRENT, leech, peer, seed};
use crate::script::*;
use crate::support::{PATIENCE, Sandbox, bytes, run};
use crate::torrent::{Torrent, word};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, LazyLock, Mutex};

/// Metadata of more than four pieces: 4,000 hashes.
static LONG: LazyLock<Torrent> = LazyLock::new(|| Torrent::new("long", 4_000 * 1_024, 1_024, 5));

fn magnet_of(sandbox: &Sandbox, torrent: &str) -> String {
    let shown = run(&sandbox.path(""), &["torrent", "show", torrent], "");
    let line = shown.stdout.lines().find(|line| line.contains("magnet:?"));
    let line = line.unwrap_or_else(|| panic!("no link: {shown:?}"));
    line[line.find("magnet:?").unwrap()..].to_owned()
}

#[test]
fn a_folder_is_fetched_by_its_link_alone_from_whoever_the_tracker_names() {
    let sandbox = Sandbox::new();
    let tracker = sandbox.tracker(&[]);
    sandbox.file("set/a", 70_000, 1);
    sandbox.file("set/sub/b", 3_000_000, 2);
    sandbox.file("set/empty", 0, 3);
    let mut seed = sandbox.peer("seed");
    seed.run(&format!("send {}", word(&sandbox.path("set"))));
    let torrent = sandbox.path("seed/set.torrent");
    let link = magnet_of(&sandbox, torrent.to_str().unwrap());
    assert!(link.contains("&dn=set&tr=http%3A%2F%2F"), "{link}");
    // The second one knows the tracker from the link alone.
    let elsewhere = Sandbox::new();
    for (sandbox, name) in [(&sandbox, "one"), (&elsewhere, "two")] {
        let mut peer = sandbox.peer(name);
        let started = peer.run(&format!("download '{link}'"));
        assert_eq!(started["name"], "set");
        peer.run("wait 30");
        for file in ["a", "sub/b", "empty"] {
            let copy = fs::read(sandbox.path(name).join("set").join(file)).unwrap();
            assert!(copy == fs::read(self::path(&sandbox_of(&torrent), file)).unwrap());
        }
        let download = peer.download("set");
        assert_eq!(download["bytes_done"], 3_070_000);
        assert_eq!(
            peer.try_run(&format!("download '{link}'"))["error"]["kind"],
            "already"
        );
    }
    drop(tracker);
}

fn sandbox_of(torrent: &std::path::Path) -> std::path::PathBuf {
    torrent.parent().unwrap().parent().unwrap().join("set")
}

fn path(set: &std::path::Path, file: &str) -> std::path::PathBuf {
    set.join(file)
}

#[test]
fn a_peer_that_the_link_names_is_enough_and_metadata_of_many_pieces_comes_whole() {
    let sandbox = Sandbox::new();
    let seed = seed_of(&sandbox, &LONG);
    let mut leech = peer(&sandbox, "leech", &[]);
    leech.run(&format!(
        "download {} {}",
        link(
            &LONG,
            &format!("&dn=shown&x.pe=localhost:{}", seed.process.address.port())
        ),
        word(&sandbox.path("copy"))
    ));
    leech.run("wait 30");
    assert!(fs::read(sandbox.path("copy")).unwrap() == LONG.content);
    assert_eq!(
        leech.download("long")["path"],
        sandbox.path("copy").to_str().unwrap()
    );
    // The one that fetched it by link gives the metadata to the next, though no file of a torrent was ever here.
    let mut third = peer(&sandbox, "third", &[]);
    let address = leech.process.address;
    third.run(&format!(
        "download {}",
        link(&LONG, &peer_parameter(address))
    ));
    drop(seed);
    third.run("wait 30");
    assert!(fs::read(sandbox.path("third/long")).unwrap() == LONG.content);
}

fn seed_of(sandbox: &Sandbox, torrent: &Torrent) -> crate::peers::Logged {
    let mut peer = peer(sandbox, "seed", &[]);
    let name = String::from_utf8_lossy(info(torrent)).into_owned();
    let name = name
        .split_once("4:name4:")
        .map(|(_, rest)| rest[..4].to_owned());
    let name = name.unwrap();
    fs::write(sandbox.path("seed").join(&name), &torrent.content).unwrap();
    let file = torrent.write(sandbox, "seed.torrent");
    peer.run(&format!("download {}", word(&file)));
    peer.run("wait 30");
    peer
}

#[test]
fn while_the_metadata_is_sought_that_is_shown_and_it_goes_on_after_a_kill() {
    let sandbox = Sandbox::new();
    let (asked, was_asked) = channel();
    let asked = Mutex::new(asked);
    // It gives the first pieces and no more, to the first who calls.
    let owner = listen(&LONG, "slow", move |mut wire, number| {
        if number == 0 {
            let asked = asked.lock().unwrap().clone();
            wire.send(&hello(Some(info(&LONG).len()), None));
            let (_, payload) = next_extended(&mut wire).unwrap();
            let theirs = number_of(&payload, "ut_metadata").unwrap();
            wire.send(&extended(theirs, &data(0, info(&LONG))));
            // The next one is asked for because the first came.
            (0..5).for_each(|_| assert!(next_extended(&mut wire).is_some()));
            asked.send(()).unwrap();
            return wire.drain();
        }
        wire.send(&[have_all(), unchoke()].concat());
        let mut theirs = 0;
        wire.send(&hello(Some(info(&LONG).len()), None));
        while let Some((id, body)) = wire.message() {
            match (id, body.first()) {
                (20, Some(0)) => theirs = number_of(&body, "ut_metadata").unwrap(),
                (20, Some(&OUR_METADATA)) => {
                    let piece = field(&body, "piece") as usize;
                    wire.send(&extended(theirs, &data(piece, info(&LONG))));
                }
                (6, _) => {
                    let (index, begin, length) = self::asked(&body);
                    wire.send(&piece(index, begin, LONG.block(index, begin, length)));
                }
                _ => {}
            }
        }
    });
    let mut leech = peer(&sandbox, "leech", &[]);
    let link = link(&LONG, &format!("&dn=a+name{}", peer_parameter(owner)));
    let started = leech.run(&format!("download {link} 'here'"));
    assert_eq!(started["name"], "a name");
    was_asked.recv_timeout(PATIENCE).unwrap();
    let download = leech.download("a name");
    let (total, trouble) = (&download["bytes_total"], &download["trouble"]);
    assert_eq!(
        (total.as_u64(), trouble.as_str()),
        (Some(0), Some("looking for the metadata"))
    );
    assert_eq!(download["state"], "downloading");
    assert_eq!(leech.try_run("wait 0.01")["error"]["kind"], "not-complete");
    leech.kill();
    let mut leech = peer(&sandbox, "leech", &[]);
    leech.run("wait 30");
    assert!(fs::read(sandbox.path("leech/here")).unwrap() == LONG.content);
    wait_for(
        || {
            let mut left = fs::read_dir(sandbox.path("leech.state/magnets")).unwrap();
            left.next().is_none().then_some(())
        },
        || "the link is kept".to_owned(),
    );
    // Complete, it is no download by link any more.
    leech.kill();
    let mut leech = peer(&sandbox, "leech", &[]);
    // The kill may have come before its end was recorded: then it is checked first.
    leech.until("long", |download| download["state"] == "complete");
}

#[test]
fn of_several_that_lie_reject_or_are_silent_none_keeps_it_from_a_sound_one() {
    let sandbox = Sandbox::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let liar = listen(&TORRENT, "liar", move |mut wire, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        let mut wrong = info(&TORRENT).to_vec();
        *wrong.last_mut().unwrap() ^= 1;
        give(&mut wire, wrong.len(), |piece| data(piece, &wrong));
    });
    let refuses = listen(&TORRENT, "refuses", |mut wire, _| {
        give(&mut wire, 500, |piece| {
            format!("d8:msg_typei2e5:piecei{piece}ee").into_bytes()
        });
    });
    let short = listen(&TORRENT, "short", |mut wire, _| {
        give(&mut wire, 500, |_| {
            b"d8:msg_typei1e5:piecei0e10:total_sizei500eex".to_vec()
        });
    });
    let huge = listen(&TORRENT, "huge", |mut wire, _| {
        give(&mut wire, (16 << 20) + 1, |_| {
            panic!("it asked for more than can be")
        });
    });
    let knows_nothing = listen(&TORRENT, "nothing", |mut wire, _| {
        wire.send(&extended(0, b"de"));
        wire.drain();
    });
    let other = listen(&TORRENT, "other", |mut wire, _| {
        give(&mut wire, 500, |_| data(1, &bytes(20_000, 1)));
    });
    let bad: String = [liar, refuses, short, huge, knows_nothing, other]
        .map(peer_parameter)
        .concat();
    let mut leech = peer(&sandbox, "leech", &[]);
    leech.run(&format!("download {}", link(&TORRENT, &bad)));
    for reason in [
        format!("{liar}: its metadata does not have the hash"),
        format!("{refuses}: no metadata: it will not send piece 0"),
        format!("{short}: no metadata: metadata: piece 0 of the metadata with 1 bytes where 500"),
        format!("{huge}: no metadata: metadata: metadata of 16777217 bytes"),
        format!("{knows_nothing}: no metadata: it has no metadata"),
        format!("{other}: no metadata: metadata: piece 1 of the metadata, which was not asked for"),
    ] {
        logged(&leech.log, &[&reason]);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    // A sound one calls.
    let mut wire = Wire::greet(leech.process.address, &TORRENT, BOTH, "sound");
    // What it has is no matter yet, and cannot be checked either.
    wire.send(&[frame(5, &[255; 9]), unchoke(), frame(99, b"?")].concat());
    wire.send(&[frame(4, &numbers(&[u32::MAX])), KEEP_ALIVE.to_vec()].concat());
    give(&mut wire, info(&TORRENT).len(), |piece| {
        data(piece, info(&TORRENT))
    });
    leech.until("share", |download| {
        let known = download["bytes_total"] == TORRENT.content.len();
        known && download["state"] == "downloading"
    });
    let wire = Wire::greet(leech.process.address, &TORRENT, BOTH, "sound");
    serve(wire, &TORRENT, |_, block| block.to_vec());
    leech.run("wait 30");
    assert!(fs::read(sandbox.path("leech/share")).unwrap() == TORRENT.content);
    assert_eq!(calls.load(Ordering::SeqCst), 1, "the liar was called again");
}

#[test]
fn callers_who_take_places_and_give_nothing_hold_up_nobody_whom_we_call() {
    let sandbox = Sandbox::new();
    let (open, opened) = channel::<()>();
    let opened = Mutex::new(opened);
    let owner = listen(&LONG, "owner", move |mut wire, _| {
        let _ = opened.lock().unwrap().recv();
        give(&mut wire, info(&LONG).len(), |piece| {
            data(piece, info(&LONG))
        });
    });
    let mut leech = peer(&sandbox, "leech", &[]);
    leech.run(&format!("download {}", link(&LONG, &peer_parameter(owner))));
    let silent = |number: usize| {
        let id = format!("silent{number}");
        let mut wire = Wire::greet(leech.process.address, &LONG, BOTH, &id);
        assert_eq!(next_extended(&mut wire).unwrap().0, 0);
        wire.send(&hello(Some(16 << 20), None));
        wire
    };
    // Two are asked; others are ended at once, to leave places for whom we call.
    let asked: Vec<Wire> = (0..2)
        .map(|number| {
            let mut wire = silent(number);
            assert_eq!(next_extended(&mut wire).unwrap().0, OUR_METADATA);
            wire
        })
        .collect();
    for number in 2..4 {
        assert!(next_extended(&mut silent(number)).is_none());
    }
    // A message that nobody knows passes however long it is, and so does a bitfield.
    let mut other = Wire::greet(leech.process.address, &LONG, BOTH, "other");
    other.send(&[frame(99, &vec![0; 1 << 19]), frame(5, &vec![1; 100_000])].concat());
    other.send(&hello(None, None));
    other.drain();
    logged(&leech.log, &["no metadata: it has no metadata"]);
    drop(open);
    leech.until("long", |download| download["state"] == "downloading");
    // It is here: whoever else was asked is not waited for.
    asked.into_iter().for_each(|mut wire| wire.drain());
}

#[test]
fn a_cancel_while_the_metadata_is_made_into_a_download_leaves_nothing_behind() {
    let big = Torrent::new("big", 24 << 20, 1 << 20, 4);
    let metadata = info(&big).to_vec();
    let owner = listen(&big, "owner", move |mut wire, _| {
        give(&mut wire, metadata.len(), |piece| data(piece, &metadata));
    });
    let sandbox = Sandbox::new();
    let mut leech = peer(&sandbox, "leech", &[]);
    // It is hashed, since it may be the share.
    let there = sandbox.path("leech/big");
    fs::write(&there, vec![1; 24 << 20]).unwrap();
    for _ in 0..3 {
        let line = link(&big, &format!("&dn=big{}", peer_parameter(owner)));
        leech.run(&format!("download {line} --force"));
        leech.until("big", |download| {
            download["state"] == "checking" || download["bytes_total"] != 0
        });
        leech.run("cancel big");
        let shown = leech.run("show_downloads")["downloads"].clone();
        assert_eq!(shown.as_array().unwrap().len(), 0, "{shown}");
    }
    let names = || -> Vec<_> {
        let entries = fs::read_dir(sandbox.path("leech")).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    };
    // What was begun before is undone.
    wait_for(
        || (names() == ["big"]).then_some(()),
        || format!("it left {:?}", names()),
    );
    assert!(fs::read(&there).unwrap() == vec![1; 24 << 20]);
    leech.kill();
    let mut leech = peer(&sandbox, "leech", &[]);
    let shown = leech.run("show_downloads")["downloads"].clone();
    assert_eq!(shown.as_array().unwrap().len(), 0, "{shown}");
}

#[test]
fn metadata_is_given_to_who_asks_but_not_more_than_twice() {
    let sandbox = Sandbox::new();
    let leech = leech(&sandbox, "leech", &LONG);
    let metadata = info(&LONG);
    let count = metadata.len().div_ceil(16 << 10);
    let mut wire = Wire::greet(leech.process.address, &LONG, BOTH, "asks");
    wire.send(&hello(None, None));
    let (_, payload) = next_extended(&mut wire).unwrap();
    assert_eq!(field(&payload, "metadata_size") as usize, metadata.len());
    let theirs = number_of(&payload, "ut_metadata").unwrap();
    let ask = |piece: u64| {
        extended(
            theirs,
            format!("d8:msg_typei0e5:piecei{piece}ee").as_bytes(),
        )
    };
    // All at once, out of order, and one there is not.
    let mut asked: Vec<u64> = (0..count as u64).rev().collect();
    asked.push(count as u64);
    let all: Vec<u8> = asked.iter().flat_map(|piece| ask(*piece)).collect();
    wire.send(&all);
    let mut came = vec![None; count];
    let mut rejected = Vec::new();
    for _ in 0..=count {
        let (id, payload) = next_extended(&mut wire).unwrap();
        assert_eq!(id, OUR_METADATA);
        let piece = field(&payload, "piece") as usize;
        match field(&payload, "msg_type") {
            1 => {
                assert_eq!(payload, data(piece, metadata));
                came[piece] = Some(());
            }
            kind => {
                assert_eq!(kind, 2);
                rejected.push(piece);
            }
        }
    }
    assert!(came.iter().all(Option::is_some));
    assert_eq!(rejected, [count]);
    let kinds: Vec<u32> = (0..=count)
        .map(|_| {
            wire.send(&ask(0));
            let (_, payload) = next_extended(&mut wire).unwrap();
            field(&payload, "msg_type")
        })
        .collect();
    let mut expected = vec![1; count];
    expected.push(2);
    assert_eq!(kinds, expected);
    // What is no message of BEP 9 ends the link.
    wire.send(&extended(theirs, b"d8:msg_typei0ee"));
    wire.drain();
    logged(&leech.log, &["bad message about metadata", "\"piece\""]);
}

#[test]
fn a_private_torrent_s_metadata_is_given_to_nobody() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    sandbox.file("secret", 100_000, 1);
    let made = run(
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
    assert_eq!(made.code, Some(0), "{made:?}");
    let whole = Torrent::read(&sandbox.path("s.torrent"));
    let mut seed = peer(&sandbox, "seed", &[]);
    seed.run(
        &format!("download s.torrent {}", word(&sandbox.path("")))
            .replace("s.torrent", sandbox.path("s.torrent").to_str().unwrap()),
    );
    seed.run("wait 30");
    let mut wire = Wire::greet(seed.process.address, &whole, BOTH, "asks");
    wire.send(&hello(None, None));
    let (_, payload) = next_extended(&mut wire).unwrap();
    let text = String::from_utf8_lossy(&payload).into_owned();
    for word in ["metadata_size", "ut_metadata", "ut_pex"] {
        assert!(!text.contains(word), "{text}");
    }
    // Asked all the same, it refuses.
    wire.send(&extended(2, b"d8:msg_typei0e5:piecei0ee"));
    let (_, payload) = next_extended(&mut wire).unwrap();
    assert_eq!(field(&payload, "msg_type"), 2);
}

#[test]
fn metadata_that_cannot_be_taken_ends_the_download_with_the_reason() {
    let sandbox = Sandbox::new();
    let unsafe_name = Torrent::new("a/b", 100, 1_024, 1);
    let metadata = info(&unsafe_name).to_vec();
    let owner = listen(&unsafe_name, "owner", move |mut wire, _| {
        give(&mut wire, metadata.len(), |piece| data(piece, &metadata));
    });
    let mut leech = peer(&sandbox, "leech", &[]);
    leech.run(&format!(
        "download {}",
        link(&unsafe_name, &format!("&dn=x{}", peer_parameter(owner)))
    ));
    let failed = leech.until("x", |download| download["state"] == "failed");
    let reason = failed["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("the metadata cannot be used: unsafe name"),
        "{reason}"
    );
    for (line, kind) in [
        ("download magnet:?xt=urn:btih:1", "bad-magnet"),
        ("download 'magnet:?dn=x&tr=http://t/'", "bad-magnet"),
        (
            &format!("download {} /nowhere/at/all", link(&TORRENT, "")),
            "file",
        ),
    ] {
        assert_eq!(leech.try_run(line)["error"]["kind"], kind, "{line}");
    }
}

#[test]
fn a_cancelled_search_is_forgotten() {
    let sandbox = Sandbox::new();
    let mut leech = peer(&sandbox, "leech", &[]);
    leech.run(&format!("download {}", link(&TORRENT, "&dn=../x")));
    let hash = leech.run("show_downloads")["downloads"][0]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(hash.len(), 40, "an unsafe name is not shown");
    leech.run(&format!("cancel {hash}"));
    leech.kill();
    let mut leech = peer(&sandbox, "leech", &[]);
    assert_eq!(
        leech.run("show_downloads")["downloads"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    let _ = seed;
}

//! Private torrents (BEP 27): one tracker of their own at a time, and nobody but whom it names.

use crate::extension::{data, give, info, link, peer_parameter};
use crate::others::Other;
use crate::peers::peer;
use crate::script::*;
use crate::support::{PATIENCE, Process, Sandbox, run};
use crate::tiers::{announces, other_tracker, tiered};
use crate::torrent::{Torrent, word};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, LazyLock, Mutex};

static SECRET: LazyLock<Torrent> =
    LazyLock::new(|| Torrent::new("secret", 5 * 32_768 + 1, 32_768, 9).private(1));

#[test]
fn one_tracker_of_ours_hears_of_it_and_neither_the_next_nor_those_of_tracker_info() {
    let sandbox = Sandbox::new();
    let listed = sandbox.tracker(&[]);
    let (first, second) = (other_tracker(&sandbox), other_tracker(&sandbox));
    sandbox.file("seed/data", 300_000, 1);
    let url = |tracker: &Process| format!("http://{}/announce", tracker.address);
    let (one, two) = (url(&first), url(&second));
    let made = run(
        &sandbox.path("seed"),
        &[
            "torrent",
            "create",
            "data",
            "--private",
            "-t",
            &one,
            "-t",
            &two,
        ],
        "",
    );
    assert_eq!(made.code, Some(0), "{made:?}");
    let torrent = word(&sandbox.path("seed/data.torrent"));
    let mut seed = sandbox.peer("seed");
    seed.run(&format!("download {torrent}"));
    let mut leech = sandbox.peer("leech");
    leech.run(&format!("download {torrent}"));
    leech.run("wait 50");
    let copy = fs::read(sandbox.path("leech/data")).unwrap();
    assert!(copy == fs::read(sandbox.path("seed/data")).unwrap());
    for mut peer in [seed, leech] {
        peer.run("quit");
        let (exit, stderr) = peer.process.wait();
        assert!(exit.success(), "{stderr}");
    }
    // Each has said that it begins and that it ends.
    assert!(announces(&first) >= 4);
    assert_eq!((announces(&second), announces(&listed)), (0, 0));
}

#[test]
fn any_number_but_0_is_private() {
    for (number, is_private) in [(1, true), (2, true), (-1, true), (0, false)] {
        let sandbox = Sandbox::new();
        let listed = Other::naming(&[]);
        fs::write(sandbox.tracker_info(), format!("{}\n", listed.address())).unwrap();
        let own = Other::naming(&[]);
        let torrent = Torrent::new("share", 100_000, 32_768, 1).private(number);
        let torrent = tiered(&sandbox, &torrent.bytes, &[&[own.url()]]);
        let mut leech = sandbox.peer("leech");
        leech.run(&format!("download {}", word(&torrent)));
        own.until(|heard| !heard.is_empty());
        leech.run("quit");
        let (exit, stderr) = leech.process.wait();
        assert!(exit.success(), "{stderr}");
        assert_eq!(listed.heard().is_empty(), is_private, "private {number}");
    }
}

#[test]
fn when_its_tracker_fails_another_takes_its_place_and_whom_the_former_named_is_given_up() {
    let sandbox = Sandbox::new();
    let (calls, called) = channel();
    let (ends, ended) = channel();
    let both = Mutex::new((calls, ends));
    let named = listen(&SECRET, "named", move |mut wire, _| {
        let (calls, ends) = both.lock().unwrap().clone();
        calls.send(()).unwrap();
        wire.drain();
        let _ = ends.send(());
    });
    // One more is called and takes its time to answer.
    let (answers, may_answer) = channel::<()>();
    let may_answer = Mutex::new(may_answer);
    let late = listen_raw(move |mut wire, _| {
        assert!(wire.handshake().is_some());
        let _ = may_answer.lock().unwrap().recv();
        wire.send(&handshake(SECRET.info_hash, BOTH, "late"));
        wire.drain();
    });
    let (first, second) = (Other::down(), Other::down());
    first.name_often(&[named, late]);
    let owner = sound_owner(&SECRET, "owner");
    let torrent = tiered(&sandbox, &SECRET.bytes, &[&[first.url()], &[second.url()]]);
    let mut leech = peer(&sandbox, "leech", &[]);
    leech.run(&format!("download {} copy", word(&torrent)));
    called.recv_timeout(PATIENCE).unwrap();
    first.until(|heard| heard.len() > 3);
    assert_eq!(second.heard(), [""; 0], "one at a time");
    first.fail();
    // As long as neither answers, nobody is given up.
    second.until(|heard| !heard.is_empty());
    assert!(ended.try_recv().is_err());
    second.name(&[owner]);
    ended.recv_timeout(PATIENCE).unwrap();
    drop(answers);
    for given_up in [named, late] {
        let address = given_up.to_string();
        logged(
            &leech.log,
            &[&address, "the tracker that named it has failed"],
        );
    }
    leech.run("wait 50");
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == SECRET.content);
    assert!(
        called.try_recv().is_err(),
        "the one given up was called again"
    );
}

#[test]
fn a_link_whose_metadata_is_private_forgets_all_but_its_own_tracker() {
    let sandbox = Sandbox::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let listed = Arc::new(Other::down());
    let hears = Arc::clone(&listed);
    // The link names it, and so do the trackers.
    let giver = listen(&SECRET, "giver", move |mut wire, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        // A tracker that has not heard that it begins need not hear that it ends.
        hears.until(|heard| !heard.is_empty());
        let metadata = info(&SECRET);
        give(&mut wire, metadata.len(), |piece| data(piece, metadata));
    });
    listed.name_often(&[giver]);
    fs::write(sandbox.tracker_info(), format!("{}\n", listed.address())).unwrap();
    let own = Other::down();
    own.name_often(&[]);
    let mut leech = peer(&sandbox, "leech", &[]);
    let link = link(
        &SECRET,
        &format!("&dn=sought&tr={}{}", own.url(), peer_parameter(giver)),
    );
    leech.run(&format!("download {link}"));
    leech.until("secret", |download| download["state"] == "downloading");
    listed.until(|heard| {
        heard
            .last()
            .is_some_and(|line| line.contains("event=stopped"))
    });
    let (told, begun) = (listed.heard().len(), own.heard().len());
    // Whoever is to be called is called at once.
    own.until(|heard| heard.len() > begun + 2);
    assert_eq!(
        calls.load(Ordering::SeqCst),
        1,
        "the giver was called again"
    );
    assert_eq!(listed.heard().len(), told);
    own.name_often(&[sound_owner(&SECRET, "owner")]);
    leech.run("wait 50");
    assert!(fs::read(sandbox.path("leech/secret")).unwrap() == SECRET.content);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    // Neither does the next start call it.
    leech.kill();
    let mut leech = peer(&sandbox, "leech", &[]);
    leech.until("secret", |download| download["state"] == "complete");
    let begun = own.heard().len();
    own.until(|heard| heard.len() > begun);
    assert_eq!(
        (listed.heard().len(), calls.load(Ordering::SeqCst)),
        (told, 1)
    );
}

#[test]
fn a_tracker_that_is_being_asked_as_a_link_turns_out_to_be_private_hears_that_it_ends() {
    let sandbox = Sandbox::new();
    let (listed, own) = (Other::naming(&[]), Other::down());
    own.name_often(&[]);
    fs::write(sandbox.tracker_info(), format!("{}\n", listed.address())).unwrap();
    let (held, own_held) = (listed.hold(), own.hold());
    let (gives, may_give) = channel::<()>();
    let may_give = Mutex::new(may_give);
    let giver = listen(&SECRET, "giver", move |mut wire, _| {
        let _ = may_give.lock().unwrap().recv();
        let metadata = info(&SECRET);
        give(&mut wire, metadata.len(), |piece| data(piece, metadata));
    });
    let mut leech = peer(&sandbox, "leech", &[]);
    let link = link(
        &SECRET,
        &format!("&tr={}{}", own.url(), peer_parameter(giver)),
    );
    leech.run(&format!("download {link}"));
    listed.until(|heard| !heard.is_empty());
    own.until(|heard| !heard.is_empty());
    drop(gives);
    leech.until("secret", |download| download["state"] == "downloading");
    // What the one answers, which it was asked before, does not bring the other back.
    drop(own_held);
    own.until(|heard| heard.len() > 2);
    drop(held);
    let heard = listed.until(|heard| heard.len() > 1);
    assert!(heard[1].contains("event=stopped"), "{heard:?}");
    let begun = own.heard().len();
    own.until(|heard| heard.len() > begun + 2);
    assert_eq!(listed.heard().len(), 2);
}

#[test]
fn a_private_torrent_without_a_tracker_says_so_though_tracker_info_names_one() {
    let sandbox = Sandbox::new();
    let listed = Other::naming(&[]);
    fs::write(sandbox.tracker_info(), format!("{}\n", listed.address())).unwrap();
    let mut leech = peer(&sandbox, "leech", &[]);
    let torrent = SECRET.write(&sandbox, "secret.torrent");
    leech.run(&format!("download {} copy", word(&torrent)));
    leech.until("secret", |download| {
        let trouble = &download["trouble"];
        assert!(trouble != "neither the torrent nor TRACKER_INFO names a tracker");
        trouble == "the torrent is private and names no tracker"
    });
    assert_eq!(listed.heard(), [""; 0]);
}

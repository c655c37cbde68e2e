//! More files of a share of which some were chosen before.

use super::chosen::{SET, download, files};
use crate::common::extensions::{
    self, extension_handshake, info_dictionary, magnet_link, metadata_piece, read_extended,
};
use crate::common::fake_peer::*;
use crate::common::peer::{Peer, quoted};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_for;
use crate::common::web_server::{WebServer, send_whole};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::{self, JoinHandle};

const ALL: [&str; 5] = ["a.txt", "d.bin", "empty", "sub/b.bin", "sub/c.txt"];

/// Gives these pieces alone, to the end of the line; the end tells which of them were asked for.
fn serve_pieces(leech: &Peer, pieces: &[u32]) -> JoinHandle<BTreeSet<u32>> {
    let mut link = FakePeer::connect(leech.process.address, &SET, EXTENDED_AND_FAST, "giver");
    link.send(&[frame(HAVE_NONE, &[]), unchoke()].concat());
    for index in pieces {
        link.send(&frame(HAVE, &numbers(&[*index])));
    }
    thread::spawn(move || {
        let mut asked_for = BTreeSet::new();
        while let Some(body) = link.read_until(REQUEST) {
            let (index, begin, length) = parse_request(&body);
            asked_for.insert(index);
            link.send(&piece(index, begin, SET.block(index, begin, length)));
        }
        asked_for
    })
}

/// A giver of all pieces, and what was asked of it once `set` is complete.
fn complete(leech: &mut Peer) -> Vec<u32> {
    let all: Vec<u32> = (0..14).collect();
    let given = serve_pieces(leech, &all);
    leech.run("wait 60");
    given.join().unwrap().into_iter().collect()
}

fn check(folder: &Path, names: &[&str]) {
    assert_eq!(files(folder), names);
    for name in names {
        let copy = fs::read(folder.join(name)).unwrap();
        assert!(copy == SET.file(name), "{name}");
    }
}

/// What a caller is told: the pieces that are there, and whether nothing more is fetched (BEP 21).
fn told(leech: &Peer) -> (Vec<u32>, bool) {
    let mut link = FakePeer::connect(leech.process.address, &SET, EXTENDED_AND_FAST, "asks");
    link.send(&[frame(HAVE_NONE, &[]), extension_handshake(None, None)].concat());
    let (id, body) = link.read_message().unwrap();
    let pieces = (0..14).filter(|index| match id {
        14 => true,
        5 => body[*index as usize / 8] & (0x80 >> (index % 8)) != 0,
        _ => false,
    });
    let (_, told) = read_extended(&mut link).unwrap();
    let told = String::from_utf8_lossy(&told).into_owned();
    (pieces.collect(), told.contains("11:upload_onlyi1e"))
}

fn message(refused: &Value) -> &str {
    refused["error"]["message"].as_str().unwrap()
}

#[test]
fn a_finished_choice_is_widened_and_nothing_that_is_there_is_fetched_again() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    download(&mut leech, &sandbox, &SET, "--only '*.txt'");
    leech.wait_for_download("set", |download| download["state"] == "downloading");
    assert_eq!(complete(&mut leech), [0, 1, 2, 9, 10]);
    let set = sandbox.path("leech/set");
    check(&set, &["a.txt", "sub/c.txt"]);
    let inode = || fs::metadata(set.join("a.txt")).unwrap().ino();
    let before = inode();
    assert_eq!(told(&leech), (vec![0, 1, 2, 9, 10], true));

    // The beginning of d.bin is in a piece that is here.
    let line = download(&mut leech, &sandbox, &SET, "--only d.bin");
    let widened = |leech: &mut Peer| {
        let shown = leech.wait_for_download("set", |download| download["state"] == "downloading");
        assert_eq!(shown["bytes_done"], 5 * 32_768);
        assert_eq!(told(leech), (vec![0, 1, 2, 9, 10], false));
        check(&set, &["a.txt", "sub/c.txt"]);
    };
    widened(&mut leech);
    leech.kill();
    let mut leech = sandbox.debug_peer("leech", &[]);
    widened(&mut leech);
    let first = serve_pieces(&leech, &[12]);
    leech.wait_for_download("set", |download| download["bytes_done"] == 6 * 32_768);
    leech.kill();
    assert_eq!(first.join().unwrap(), BTreeSet::from([12]));
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.wait_for_download("set", |download| download["state"] == "downloading");
    assert_eq!(complete(&mut leech), [11, 13]);
    check(&set, &["a.txt", "d.bin", "sub/c.txt"]);
    assert_eq!(told(&leech), (vec![0, 1, 2, 9, 10, 11, 12, 13], true));
    let refused = leech.try_run(&line);
    assert_eq!(refused["error"]["kind"], "already", "{refused}");
    let says = "set is already downloaded (3 chosen of 5 files) and shared here: ";
    assert!(message(&refused).starts_with(says), "{refused}");

    // All that is left, by a link.
    let magnet = magnet_link(&SET, "");
    leech.run(&format!("download {magnet}"));
    leech.wait_for_download("set", |download| download["state"] == "downloading");
    assert_eq!(complete(&mut leech), [3, 4, 5, 6, 7, 8]);
    let assert_whole = |leech: &mut Peer| {
        let shown = leech.wait_for_download("set", |download| download["state"] == "complete");
        assert_eq!(shown["bytes_done"], SET.content.len());
        check(&set, &ALL);
        assert_eq!(told(leech).0, (0..14).collect::<Vec<u32>>());
        let there = files(&sandbox.path("leech"));
        assert!(
            there.iter().all(|name| name.starts_with("set/")),
            "{there:?}"
        );
        assert!(!sandbox.path("leech/set.part").exists());
    };
    assert_whole(&mut leech);
    leech.kill();
    let mut leech = sandbox.debug_peer("leech", &[]);
    assert_whole(&mut leech);
    assert_eq!(inode(), before, "it is the file that it was");
    let mode = fs::metadata(set.join("sub/b.bin")).unwrap().mode();
    assert!(mode & 0o100 != 0);
    let refused = leech.try_run(&line);
    let says = "set is already downloaded and shared here: ";
    assert!(message(&refused).starts_with(says), "{refused}");
}

#[test]
fn a_choice_under_way_is_widened_and_goes_on() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    let line = download(&mut leech, &sandbox, &SET, "--only a.txt --only sub/c.txt");
    leech.wait_for_download("set", |download| download["state"] == "downloading");
    let first = serve_pieces(&leech, &[1, 2, 10]);
    leech.wait_for_download("set", |download| download["bytes_done"] == 3 * 32_768);
    let refused = leech.try_run(&line);
    let says = "set is already downloading (2 chosen of 5 files) here: ";
    assert!(message(&refused).starts_with(says), "{refused}");
    download(&mut leech, &sandbox, &SET, "--only d.bin --only empty");
    assert_eq!(first.join().unwrap(), BTreeSet::from([1, 2, 10]));
    let widened = |leech: &mut Peer| {
        let shown = leech.wait_for_download("set", |download| download["state"] == "downloading");
        assert_eq!(shown["bytes_done"], 3 * 32_768);
    };
    widened(&mut leech);
    leech.kill();
    let mut leech = sandbox.debug_peer("leech", &[]);
    widened(&mut leech);
    let again = serve_pieces(&leech, &[11]);
    leech.wait_for_download("set", |download| download["bytes_done"] == 4 * 32_768);
    // While somebody gives, and all of it.
    download(&mut leech, &sandbox, &SET, "");
    assert_eq!(again.join().unwrap(), BTreeSet::from([11]));
    leech.wait_for_download("set", |download| download["state"] == "downloading");
    assert_eq!(complete(&mut leech), [0, 3, 4, 5, 6, 7, 8, 9, 12, 13]);
    check(&sandbox.path("leech/set"), &ALL);
    assert_eq!(files(&sandbox.path("leech")).len(), ALL.len());
}

#[test]
fn what_stands_in_the_way_is_told_and_what_was_finished_stays() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    let line = download(&mut leech, &sandbox, &SET, "--only a.txt");
    leech.wait_for_download("set", |download| download["state"] == "downloading");
    assert_eq!(complete(&mut leech), [0, 1, 2]);
    let set = sandbox.path("leech/set");

    let file = quoted(&sandbox.path("set.torrent"));
    let refused = leech.try_run(&format!("download {file} other"));
    assert_eq!(refused["error"]["kind"], "already", "{refused}");
    let told_where = message(&refused);
    assert!(told_where.contains(set.to_str().unwrap()), "{told_where}");
    assert!(told_where.contains("stop_share - set"), "{told_where}");
    // Somebody's own file where one of the share is to be.
    fs::write(set.join("d.bin"), "mine").unwrap();
    let refused = leech.try_run(&format!("download {file} --only d.bin"));
    assert_eq!(refused["ok"], false, "{refused}");
    assert!(
        message(&refused).contains("d.bin exists already"),
        "{refused}"
    );
    for restart in [false, true] {
        if restart {
            leech.kill();
            leech = sandbox.debug_peer("leech", &[]);
        }
        leech.wait_for_download("set", |download| download["state"] == "complete");
        assert_eq!(told(&leech), (vec![0, 1, 2], true), "restart {restart}");
    }
    assert_eq!(fs::read(set.join("d.bin")).unwrap(), b"mine");
    let there = files(&sandbox.path("leech"));
    assert_eq!(there.len(), 3, "{there:?}");
    assert!(leech.try_run(&line)["error"]["kind"] == "already");

    // With room for it, it comes; given up, it leaves what was there.
    fs::remove_file(set.join("d.bin")).unwrap();
    leech.run(&format!("download {file} --only d.bin"));
    leech.wait_for_download("set", |download| download["state"] == "downloading");
    let given = serve_pieces(&leech, &[11]);
    leech.wait_for_download("set", |download| download["bytes_done"] == 4 * 32_768);
    leech.run("cancel set");
    given.join().unwrap();
    check(&set, &["a.txt"]);
    assert_eq!(files(&sandbox.path("leech")), ["set/a.txt"]);
    // It can be taken up again from there, but for the piece of which a part lay beside it.
    leech.run(&line);
    leech.wait_for_download("set", |download| download["state"] == "downloading");
    assert_eq!(complete(&mut leech), [2]);
    // Shared no more, its files stay, and nothing beside them.
    assert_eq!(files(&sandbox.path("leech")).len(), 2);
    leech.run("stop_share - set");
    assert_eq!(files(&sandbox.path("leech")), ["set/a.txt"]);
    leech.run(&line);
    leech.wait_for_download("set", |download| download["state"] == "downloading");
    assert_eq!(complete(&mut leech), [2]);
    leech.run(&format!("download {file}"));
    leech.wait_for_download("set", |download| download["state"] == "downloading");
    assert_eq!(complete(&mut leech), (3..14).collect::<Vec<u32>>());
    check(&set, &ALL);
}

#[test]
fn a_finished_file_that_changes_meanwhile_is_not_taken_for_what_it_was() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    download(&mut leech, &sandbox, &SET, "--only a.txt");
    leech.wait_for_download("set", |download| download["state"] == "downloading");
    complete(&mut leech);
    let set = sandbox.path("leech/set");
    let line = download(&mut leech, &sandbox, &SET, "--only d.bin");
    leech.wait_for_download("set", |download| download["state"] == "downloading");
    let mut damaged = SET.file("a.txt").to_vec();
    damaged[40_000] ^= 1;
    fs::write(set.join("a.txt"), &damaged).unwrap();
    let given = serve_pieces(&leech, &[10, 11, 12, 13]);
    let failed = leech.wait_for_download("set", |download| download["state"] == "failed");
    given.join().unwrap();
    let says = |failed: &Value| {
        failed["reason"]
            .as_str()
            .unwrap_or_default()
            .contains("a.txt was changed")
    };
    assert!(says(&failed), "{failed}");
    // Nor by the next start; with what it was, it goes on.
    leech.kill();
    let mut leech = sandbox.debug_peer("leech", &[]);
    let failed = leech.wait_for_download("set", |download| download["state"] == "failed");
    assert!(says(&failed), "{failed}");
    fs::write(set.join("a.txt"), SET.file("a.txt")).unwrap();
    leech.run(&line);
    leech.run("wait 60");
    check(&set, &["a.txt", "d.bin"]);
}

#[test]
fn trackers_hear_that_more_is_fetched_and_when_it_is_here() {
    let sandbox = Sandbox::new();
    // It knows nobody.
    let tracker =
        WebServer::start(|_, _, stream| send_whole(stream, b"d8:intervali1800e5:peers0:e"));
    fs::write(sandbox.tracker_info(), format!("{}\n", tracker.address)).unwrap();
    let mut heard = 0;
    let mut until = |event: &str, left: usize| {
        let parts = [format!("event={event}"), format!("left={left}&")];
        heard = wait_for(
            || {
                let requests = tracker.requests();
                let mut new = requests.iter().enumerate().skip(heard);
                let found = new.find(|(_, it)| parts.iter().all(|part| it.path.contains(part)))?;
                Some(found.0 + 1)
            },
            || format!("{parts:?} in {:?}", tracker.requests()),
        );
    };
    let all = SET.content.len();
    let mut leech = sandbox.debug_peer("leech", &[]);
    download(&mut leech, &sandbox, &SET, "--only a.txt");
    until("started", all);
    complete(&mut leech);
    until("paused", all - 3 * 32_768);
    download(&mut leech, &sandbox, &SET, "");
    until("started", all - 3 * 32_768);
    complete(&mut leech);
    until("completed", 0);
}

#[test]
fn a_real_seed_sends_nothing_twice_and_is_called_at_once() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    for (name, length) in [("a", 3_000_000), ("b", 2_500_000), ("c/d", 700_000)] {
        sandbox.file(&format!("seed/files/{name}"), length, length as u64);
    }
    let mut seed = sandbox.debug_peer("seed", &[]);
    seed.run("send files");
    let mut leech = sandbox.debug_peer("leech", &[]);
    let mut fetched = |options: &str| {
        leech.run(&format!("download ../seed/files.torrent {options}"));
        leech.run("wait 60");
        let download = leech.download("files");
        assert_eq!(download["bytes_done"], download["bytes_total"]);
        let from = download["from"].as_object().unwrap();
        assert_eq!(from.len(), 1, "{download}");
        assert_eq!(from.values().next(), Some(&download["bytes_total"]));
    };
    fetched("--only b");
    fetched("--only c/");
    fetched("");
    for name in ["a", "b", "c/d"] {
        let copy = fs::read(sandbox.path("leech/files").join(name)).unwrap();
        let own = fs::read(sandbox.path("seed/files").join(name)).unwrap();
        assert!(copy == own, "{name}");
    }
    let status = seed.run("status");
    assert_eq!(status["shares"][0]["uploaded"], 6_200_000);
}

#[test]
fn what_a_link_asks_for_is_widened_before_the_files_are_known() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    let magnet = magnet_link(&SET, "&dn=set");
    leech.run(&format!("download {magnet} --only a.txt"));
    leech.run(&format!("download {magnet} --only empty"));
    let again = leech.try_run(&format!("download {magnet} --only empty"));
    assert_eq!(again["error"]["kind"], "already", "{again}");
    leech.kill();
    let mut leech = sandbox.debug_peer("leech", &[]);
    let owner = FakePeer::connect(leech.process.address, &SET, EXTENDED_AND_FAST, "knows");
    let given = thread::spawn(move || {
        let (mut link, metadata) = (owner, info_dictionary(&SET));
        extensions::serve_metadata(&mut link, metadata.len(), |piece| {
            metadata_piece(piece, metadata)
        });
    });
    leech.wait_for_download("set", |download| download["bytes_total"] == 3 * 32_768);
    given.join().unwrap();
    leech.wait_for_download("set", |download| download["state"] == "downloading");
    assert_eq!(complete(&mut leech), [0, 1, 2]);
    check(&sandbox.path("leech/set"), &["a.txt", "empty"]);
}

#[test]
fn one_that_replaces_a_folder_is_widened_with_what_fits_of_it() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    let set = sandbox.folder("leech/set");
    let own = [("a.txt", &b"mine"[..]), ("d.bin", SET.file("d.bin"))];
    for (name, content) in own {
        fs::write(set.join(name), content).unwrap();
    }
    download(&mut leech, &sandbox, &SET, "--only a.txt --force");
    leech.wait_for_download("set", |download| download["state"] == "downloading");
    download(&mut leech, &sandbox, &SET, "--only d.bin");
    let begun = |leech: &mut Peer| {
        leech.wait_for_download("set", |download| {
            let inner = u64::from(SET.content.len() as u32 - 11 * 32_768);
            download["state"] == "downloading" && download["bytes_done"] == inner
        });
        for (name, content) in own {
            assert!(fs::read(set.join(name)).unwrap() == content, "{name}");
        }
    };
    begun(&mut leech);
    leech.kill();
    let mut leech = sandbox.debug_peer("leech", &[]);
    begun(&mut leech);
    // The beginning of d.bin is in a piece of which nobody has the rest.
    assert_eq!(complete(&mut leech), [0, 1, 2, 10]);
    check(&set, &["a.txt", "d.bin"]);
}

#[test]
fn a_file_that_was_removed_is_fetched_again_and_the_others_are_not() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    let line = download(&mut leech, &sandbox, &SET, "");
    leech.wait_for_download("set", |download| download["state"] == "downloading");
    complete(&mut leech);
    let set = sandbox.path("leech/set");
    fs::remove_file(set.join("sub/b.bin")).unwrap();
    leech.wait_for_download("set", |download| download["state"] == "failed");
    leech.run(&line);
    leech.wait_for_download("set", |download| download["state"] == "downloading");
    assert_eq!(complete(&mut leech), [2, 3, 4, 5, 6, 7, 8]);
    check(&set, &ALL);
    assert!(!sandbox.path("leech/set.part").exists());
}

#[test]
fn a_folder_that_the_share_was_named_as_is_the_place_of_more_of_it() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    download(&mut leech, &sandbox, &SET, "mine --only a.txt");
    leech.wait_for_download("set", |download| download["state"] == "downloading");
    assert_eq!(complete(&mut leech), [0, 1, 2]);
    let mine = sandbox.path("leech/mine");
    check(&mine, &["a.txt"]);
    for (asked, fetched, there) in [
        ("mine --only empty", vec![], &["a.txt", "empty"][..]),
        ("mine/", (3..14).collect(), &ALL),
    ] {
        download(&mut leech, &sandbox, &SET, asked);
        match fetched.is_empty() {
            true => leech.run("wait 60"),
            false => {
                leech.wait_for_download("set", |download| download["state"] == "downloading");
                assert_eq!(complete(&mut leech), fetched);
                leech.run("wait 60")
            }
        };
        check(&mine, there);
    }
}

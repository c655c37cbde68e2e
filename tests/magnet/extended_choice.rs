//! Extended choices: a download of some files of a share, to which the user adds more files.

use super::file_choice::{SET, download, files};
use crate::common::extensions::{
    self, extension_handshake, info_dictionary, magnet_link, metadata_piece, read_extension_message,
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

/// The files of [`SET`] in alphabetical order. The comment of [`SET`] lists the pieces of each
/// file.
const ALL: [&str; 5] = ["a.txt", "d.bin", "empty", "sub/b.bin", "sub/c.txt"];

/// Starts a thread that serves only these pieces until the link ends, and then returns the pieces
/// that were requested.
fn serve_pieces(leech: &Peer, pieces: &[u32]) -> JoinHandle<BTreeSet<u32>> {
    let mut link = FakePeer::connect(leech.process.address, &SET, EXTENDED_AND_FAST, "source");
    link.send(&[frame(HAVE_NONE, &[]), unchoke()].concat());
    for index in pieces {
        link.send(&frame(HAVE, &numbers(&[*index])));
    }
    thread::spawn(move || {
        let mut requested = BTreeSet::new();
        while let Some(body) = link.read_until(REQUEST) {
            let (index, begin, length) = parse_request(&body);
            requested.insert(index);
            link.send(&piece(index, begin, SET.block(index, begin, length)));
        }
        requested
    })
}

/// Serves all pieces until the download is complete. Returns the pieces that were requested.
fn complete_and_list_pieces(leech: &mut Peer) -> Vec<u32> {
    let all: Vec<u32> = (0..14).collect();
    let serving = serve_pieces(leech, &all);
    leech.run("wait 60");
    serving.join().unwrap().into_iter().collect()
}

/// Asserts that the folder has these files with their content, and no others.
fn assert_files(folder: &Path, names: &[&str]) {
    assert_eq!(files(folder), names);
    for name in names {
        let copy = fs::read(folder.join(name)).unwrap();
        assert!(copy == SET.file(name), "{name}");
    }
}

/// The pieces that the peer offers to a new caller, and whether it reports that it only uploads
/// (BEP 21).
fn offer(leech: &Peer) -> (Vec<u32>, bool) {
    let mut link = FakePeer::connect(leech.process.address, &SET, EXTENDED_AND_FAST, "observer");
    link.send(&[frame(HAVE_NONE, &[]), extension_handshake(None, None)].concat());
    let (id, body) = link.read_message().unwrap();
    let pieces = (0..14).filter(|index| match id {
        HAVE_ALL => true,
        BITFIELD => body[*index as usize / 8] & (0x80 >> (index % 8)) != 0,
        _ => false,
    });
    let (_, handshake) = read_extension_message(&mut link).unwrap();
    let handshake = String::from_utf8_lossy(&handshake).into_owned();
    (pieces.collect(), handshake.contains("11:upload_onlyi1e"))
}

fn message(refused: &Value) -> &str {
    refused["error"]["message"].as_str().unwrap()
}

/// Asserts that the two text files are complete, and that the leech wants no other file.
fn assert_text_files_complete(leech: &Peer, set: &Path) {
    assert_files(set, &["a.txt", "sub/c.txt"]);
    assert_eq!(offer(leech), (vec![0, 1, 2, 9, 10], true));
}

/// Asserts that `d.bin` was added to the choice of the text files, and that no piece has been
/// fetched for it yet.
fn assert_d_bin_chosen(leech: &mut Peer, set: &Path) {
    let download = leech.wait_for_state("set", "downloading");
    assert_eq!(download["bytes_done"], 5 * 32_768);
    assert_eq!(offer(leech), (vec![0, 1, 2, 9, 10], false));
    assert_files(set, &["a.txt", "sub/c.txt"]);
}

/// Asserts that `d.bin` and the text files are complete, that `command` answers `already`, and that
/// the same command with another destination is refused.
fn assert_d_bin_complete(leech: &mut Peer, set: &Path, command: &str) {
    assert_files(set, &["a.txt", "d.bin", "sub/c.txt"]);
    let pieces = vec![0, 1, 2, 9, 10, 11, 12, 13];
    assert_eq!(offer(leech), (pieces, true));
    let again = leech.run(command);
    assert_eq!(again["already"], true, "{again}");
    let refused = leech.try_run(&format!("{command} elsewhere"));
    assert_eq!(refused["error"]["kind"], "already", "{refused}");
    let says = "set is already downloaded (3 chosen of 5 files) and shared here: ";
    assert!(message(&refused).starts_with(says), "{refused}");
}

/// Asserts that all files are complete, and that the folder of the leech has nothing else: no
/// partial folder and no parts file.
fn assert_all_complete(leech: &mut Peer, sandbox: &Sandbox) {
    let download = leech.wait_for_state("set", "complete");
    assert_eq!(download["bytes_done"], SET.content.len());
    assert_files(&sandbox.path("leech/set"), &ALL);
    assert_eq!(offer(leech).0, (0..14).collect::<Vec<u32>>());
    let names = files(&sandbox.path("leech"));
    assert!(
        names.iter().all(|name| name.starts_with("set/")),
        "{names:?}"
    );
    assert!(!sandbox.path("leech/set.part").exists());
}

#[test]
fn a_complete_download_of_chosen_files_is_extended_and_no_piece_is_fetched_twice() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    download(&mut leech, &sandbox, &SET, "--only '*.txt'");
    leech.wait_for_state("set", "downloading");
    assert_eq!(complete_and_list_pieces(&mut leech), [0, 1, 2, 9, 10]);
    let set = sandbox.path("leech/set");
    assert_text_files_complete(&leech, &set);
    let inode = || fs::metadata(set.join("a.txt")).unwrap().ino();
    let inode_before = inode();

    // The start of `d.bin` is in piece 10, which the leech has.
    let command = download(&mut leech, &sandbox, &SET, "--only d.bin");
    assert_d_bin_chosen(&mut leech, &set);
    leech.kill();
    let mut leech = sandbox.debug_peer("leech", &[]);
    assert_d_bin_chosen(&mut leech, &set);
    let serving = serve_pieces(&leech, &[12]);
    leech.wait_for_download("set", |download| download["bytes_done"] == 6 * 32_768);
    leech.kill();
    assert_eq!(serving.join().unwrap(), BTreeSet::from([12]));
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.wait_for_state("set", "downloading");
    assert_eq!(complete_and_list_pieces(&mut leech), [11, 13]);
    assert_d_bin_complete(&mut leech, &set, &command);

    // A magnet link adds all other files to the choice.
    leech.run(&format!("download {}", magnet_link(&SET, "")));
    leech.wait_for_state("set", "downloading");
    assert_eq!(complete_and_list_pieces(&mut leech), [3, 4, 5, 6, 7, 8]);
    assert_all_complete(&mut leech, &sandbox);
    leech.kill();
    let mut leech = sandbox.debug_peer("leech", &[]);
    assert_all_complete(&mut leech, &sandbox);
    assert_eq!(inode(), inode_before, "a.txt is another file than before");
    let mode = fs::metadata(set.join("sub/b.bin")).unwrap().mode();
    assert!(mode & 0o100 != 0);
    assert_eq!(leech.run(&command)["already"], true);
    let refused = leech.try_run(&format!("{command} elsewhere"));
    let says = "set is already downloaded and shared here: ";
    assert!(message(&refused).starts_with(says), "{refused}");
}

#[test]
fn a_running_download_of_chosen_files_is_extended_and_goes_on() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    let command = download(&mut leech, &sandbox, &SET, "--only a.txt --only sub/c.txt");
    leech.wait_for_state("set", "downloading");
    let first_serving = serve_pieces(&leech, &[1, 2, 10]);
    leech.wait_for_download("set", |download| download["bytes_done"] == 3 * 32_768);
    assert_eq!(leech.run(&command)["already"], true);
    let refused = leech.try_run(&format!("{command} elsewhere"));
    let says = "set is already downloading (2 chosen of 5 files) here: ";
    assert!(message(&refused).starts_with(says), "{refused}");
    download(&mut leech, &sandbox, &SET, "--only d.bin --only empty");
    assert_eq!(first_serving.join().unwrap(), BTreeSet::from([1, 2, 10]));
    let assert_bytes_kept = |leech: &mut Peer| {
        let download = leech.wait_for_state("set", "downloading");
        assert_eq!(download["bytes_done"], 3 * 32_768);
    };
    assert_bytes_kept(&mut leech);
    leech.kill();
    let mut leech = sandbox.debug_peer("leech", &[]);
    assert_bytes_kept(&mut leech);
    let second_serving = serve_pieces(&leech, &[11]);
    leech.wait_for_download("set", |download| download["bytes_done"] == 4 * 32_768);
    // While a peer serves the leech, the choice becomes the whole share.
    download(&mut leech, &sandbox, &SET, "");
    assert_eq!(second_serving.join().unwrap(), BTreeSet::from([11]));
    leech.wait_for_state("set", "downloading");
    assert_eq!(
        complete_and_list_pieces(&mut leech),
        [0, 3, 4, 5, 6, 7, 8, 9, 12, 13]
    );
    assert_files(&sandbox.path("leech/set"), &ALL);
    assert_eq!(files(&sandbox.path("leech")).len(), ALL.len());
}

/// A peer that has `a.txt` of the set, and the command that chose this file.
fn leech_with_a_txt(sandbox: &Sandbox) -> (Peer, String) {
    let mut leech = sandbox.debug_peer("leech", &[]);
    let command = download(&mut leech, sandbox, &SET, "--only a.txt");
    leech.wait_for_state("set", "downloading");
    assert_eq!(complete_and_list_pieces(&mut leech), [0, 1, 2]);
    (leech, command)
}

#[test]
fn the_refusal_of_an_extended_choice_names_the_obstacle_and_changes_nothing() {
    let sandbox = Sandbox::new();
    let (mut leech, command) = leech_with_a_txt(&sandbox);
    let set = sandbox.path("leech/set");
    let file = quoted(&sandbox.path("set.torrent"));
    let refused = leech.try_run(&format!("download {file} other"));
    assert_eq!(refused["error"]["kind"], "already", "{refused}");
    let text = message(&refused);
    assert!(text.contains(set.to_str().unwrap()), "{text}");
    assert!(text.contains("stop_share - set"), "{text}");
    // A file of the user is in the place of a file of the share.
    fs::write(set.join("d.bin"), "mine").unwrap();
    let refused = leech.try_run(&format!("download {file} --only d.bin"));
    assert_eq!(refused["ok"], false, "{refused}");
    assert!(
        message(&refused).contains("d.bin exists already"),
        "{refused}"
    );
    for after_restart in [false, true] {
        if after_restart {
            leech.kill();
            leech = sandbox.debug_peer("leech", &[]);
        }
        leech.wait_for_state("set", "complete");
        assert_eq!(
            offer(&leech),
            (vec![0, 1, 2], true),
            "restarted: {after_restart}"
        );
    }
    assert_eq!(fs::read(set.join("d.bin")).unwrap(), b"mine");
    let found = files(&sandbox.path("leech"));
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(leech.run(&command)["already"], true);
    // Without the obstacle, the larger choice is accepted.
    fs::remove_file(set.join("d.bin")).unwrap();
    leech.run(&format!("download {file} --only d.bin"));
    leech.wait_for_state("set", "downloading");
}

#[test]
fn a_cancelled_extended_choice_and_a_stopped_share_keep_the_complete_files() {
    let sandbox = Sandbox::new();
    let (mut leech, command) = leech_with_a_txt(&sandbox);
    let set = sandbox.path("leech/set");
    let file = quoted(&sandbox.path("set.torrent"));
    leech.run(&format!("download {file} --only d.bin"));
    leech.wait_for_state("set", "downloading");
    let serving = serve_pieces(&leech, &[11]);
    leech.wait_for_download("set", |download| download["bytes_done"] == 4 * 32_768);
    leech.run("cancel set");
    serving.join().unwrap();
    assert_files(&set, &["a.txt"]);
    assert_eq!(files(&sandbox.path("leech")), ["set/a.txt"]);
    // The first choice goes on from `a.txt`. Piece 2 is fetched again: its bytes of `sub/b.bin`
    // were in the parts file, which was removed.
    leech.run(&command);
    leech.wait_for_state("set", "downloading");
    assert_eq!(complete_and_list_pieces(&mut leech), [2]);
    // A stopped share leaves `a.txt` and removes the parts file.
    assert_eq!(files(&sandbox.path("leech")).len(), 2);
    leech.run("stop_share - set");
    assert_eq!(files(&sandbox.path("leech")), ["set/a.txt"]);
    leech.run(&command);
    leech.wait_for_state("set", "downloading");
    assert_eq!(complete_and_list_pieces(&mut leech), [2]);
    leech.run(&format!("download {file}"));
    leech.wait_for_state("set", "downloading");
    assert_eq!(
        complete_and_list_pieces(&mut leech),
        (3..14).collect::<Vec<u32>>()
    );
    assert_files(&set, &ALL);
}

#[test]
fn a_finished_file_that_changes_while_more_files_are_fetched_fails_the_download() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    download(&mut leech, &sandbox, &SET, "--only a.txt");
    leech.wait_for_state("set", "downloading");
    complete_and_list_pieces(&mut leech);
    let set = sandbox.path("leech/set");
    let command = download(&mut leech, &sandbox, &SET, "--only d.bin");
    leech.wait_for_state("set", "downloading");
    let mut damaged = SET.file("a.txt").to_vec();
    damaged[40_000] ^= 1;
    fs::write(set.join("a.txt"), &damaged).unwrap();
    let serving = serve_pieces(&leech, &[10, 11, 12, 13]);
    let failed = leech.wait_for_state("set", "failed");
    serving.join().unwrap();
    let names_the_change = |failed: &Value| {
        failed["reason"]
            .as_str()
            .unwrap_or_default()
            .contains("a.txt was changed")
    };
    assert!(names_the_change(&failed), "{failed}");
    // The download fails after a restart too. With the old content it goes on.
    leech.kill();
    let mut leech = sandbox.debug_peer("leech", &[]);
    let failed = leech.wait_for_state("set", "failed");
    assert!(names_the_change(&failed), "{failed}");
    fs::write(set.join("a.txt"), SET.file("a.txt")).unwrap();
    leech.run(&command);
    leech.run("wait 60");
    assert_files(&set, &["a.txt", "d.bin"]);
}

#[test]
fn each_extended_choice_and_its_completion_are_announced() {
    let sandbox = Sandbox::new();
    // This tracker names no peer.
    let tracker =
        WebServer::start(|_, _, stream| send_whole(stream, b"d8:intervali1800e5:peers0:e"));
    fs::write(sandbox.tracker_info(), format!("{}\n", tracker.address)).unwrap();
    let mut checked_requests = 0;
    let mut wait_for_announce = |event: &str, left: usize| {
        let parts = [format!("event={event}"), format!("left={left}&")];
        checked_requests = wait_for(
            || {
                let requests = tracker.requests();
                let mut new = requests.iter().enumerate().skip(checked_requests);
                let found =
                    new.find(|(_, request)| parts.iter().all(|part| request.path.contains(part)))?;
                Some(found.0 + 1)
            },
            || format!("no new announce has {parts:?}: {:?}", tracker.requests()),
        );
    };
    let all = SET.content.len();
    let mut leech = sandbox.debug_peer("leech", &[]);
    download(&mut leech, &sandbox, &SET, "--only a.txt");
    wait_for_announce("started", all);
    complete_and_list_pieces(&mut leech);
    wait_for_announce("paused", all - 3 * 32_768);
    download(&mut leech, &sandbox, &SET, "");
    wait_for_announce("started", all - 3 * 32_768);
    complete_and_list_pieces(&mut leech);
    wait_for_announce("completed", 0);
}

#[test]
fn a_seed_sends_no_byte_twice_to_a_peer_that_extends_its_choice() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    for (name, length) in [("a", 3_000_000), ("b", 2_500_000), ("c/d", 700_000)] {
        sandbox.file(&format!("seed/files/{name}"), length, length as u64);
    }
    let mut seed = sandbox.debug_peer("seed", &[]);
    seed.run("send files");
    let mut leech = sandbox.debug_peer("leech", &[]);
    let mut download_and_check_source = |options: &str| {
        leech.run(&format!("download ../seed/files.torrent {options}"));
        leech.run("wait 60");
        let download = leech.shown_download("files");
        assert_eq!(download["bytes_done"], download["bytes_total"]);
        let from = download["from"].as_object().unwrap();
        assert_eq!(from.len(), 1, "{download}");
        assert_eq!(from.values().next(), Some(&download["bytes_total"]));
    };
    download_and_check_source("--only b");
    download_and_check_source("--only c/");
    download_and_check_source("");
    for name in ["a", "b", "c/d"] {
        let copy = fs::read(sandbox.path("leech/files").join(name)).unwrap();
        let own = fs::read(sandbox.path("seed/files").join(name)).unwrap();
        assert!(copy == own, "{name}");
    }
    let status = seed.run("status");
    assert_eq!(status["shares"][0]["uploaded"], 6_200_000);
}

#[test]
fn a_choice_is_extended_while_the_metadata_is_unknown() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    let magnet = magnet_link(&SET, "&dn=set");
    leech.run(&format!("download {magnet} --only a.txt"));
    leech.run(&format!("download {magnet} --only empty"));
    let again = leech.run(&format!("download {magnet} --only empty"));
    assert_eq!(again["already"], true, "{again}");
    leech.kill();
    let mut leech = sandbox.debug_peer("leech", &[]);
    let metadata_peer =
        FakePeer::connect(leech.process.address, &SET, EXTENDED_AND_FAST, "metadata");
    let serving = thread::spawn(move || {
        let (mut link, metadata) = (metadata_peer, info_dictionary(&SET));
        extensions::serve_metadata(&mut link, metadata.len(), |piece| {
            metadata_piece(piece, metadata)
        });
    });
    leech.wait_for_download("set", |download| download["bytes_total"] == 3 * 32_768);
    serving.join().unwrap();
    leech.wait_for_state("set", "downloading");
    assert_eq!(complete_and_list_pieces(&mut leech), [0, 1, 2]);
    assert_files(&sandbox.path("leech/set"), &["a.txt", "empty"]);
}

#[test]
fn a_download_with_force_uses_good_pieces_of_existing_files_also_when_it_is_extended() {
    // `--force` also covers files that are chosen later. All files stay as they are until the end.
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    let set = sandbox.folder("leech/set");
    let existing = [("a.txt", &b"mine"[..]), ("d.bin", SET.file("d.bin"))];
    for (name, content) in existing {
        fs::write(set.join(name), content).unwrap();
    }
    download(&mut leech, &sandbox, &SET, "--only a.txt --force");
    leech.wait_for_state("set", "downloading");
    download(&mut leech, &sandbox, &SET, "--only d.bin");
    let assert_bytes_kept = |leech: &mut Peer| {
        leech.wait_for_download("set", |download| {
            let whole_pieces_of_d_bin = SET.content.len() - 11 * 32_768;
            download["state"] == "downloading" && download["bytes_done"] == whole_pieces_of_d_bin
        });
        for (name, content) in existing {
            assert!(fs::read(set.join(name)).unwrap() == content, "{name}");
        }
    };
    assert_bytes_kept(&mut leech);
    leech.kill();
    let mut leech = sandbox.debug_peer("leech", &[]);
    assert_bytes_kept(&mut leech);
    // The start of `d.bin` is in piece 10, whose bytes of `sub/c.txt` are missing.
    assert_eq!(complete_and_list_pieces(&mut leech), [0, 1, 2, 10]);
    assert_files(&set, &["a.txt", "d.bin"]);
}

#[test]
fn only_a_removed_file_is_fetched_again() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    let command = download(&mut leech, &sandbox, &SET, "");
    leech.wait_for_state("set", "downloading");
    complete_and_list_pieces(&mut leech);
    let set = sandbox.path("leech/set");
    fs::remove_file(set.join("sub/b.bin")).unwrap();
    leech.wait_for_state("set", "failed");
    leech.run(&command);
    leech.wait_for_state("set", "downloading");
    assert_eq!(complete_and_list_pieces(&mut leech), [2, 3, 4, 5, 6, 7, 8]);
    assert_files(&set, &ALL);
    assert!(!sandbox.path("leech/set.part").exists());
}

#[test]
fn an_extended_choice_goes_to_the_folder_that_was_named_first() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    download(&mut leech, &sandbox, &SET, "mine --only a.txt");
    leech.wait_for_state("set", "downloading");
    assert_eq!(complete_and_list_pieces(&mut leech), [0, 1, 2]);
    let mine = sandbox.path("leech/mine");
    assert_files(&mine, &["a.txt"]);
    for (options, pieces, expected_files) in [
        ("mine --only empty", vec![], &["a.txt", "empty"][..]),
        ("mine/", (3..14).collect(), &ALL),
    ] {
        download(&mut leech, &sandbox, &SET, options);
        if pieces.is_empty() {
            leech.run("wait 60");
        } else {
            leech.wait_for_state("set", "downloading");
            assert_eq!(complete_and_list_pieces(&mut leech), pieces);
        }
        assert_files(&mine, expected_files);
    }
}

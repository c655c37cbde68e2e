//! The choice of files in a share, the order of pieces, data that exists before the download, and
//! torrents that are hybrid or refused.

use crate::common::extensions::*;
use crate::common::fake_peer::*;
use crate::common::handmade_torrent::Torrent;
use crate::common::open_swarm::{TORRENT, serve_to};
use crate::common::peer::{Peer, quoted};
use crate::common::sandbox::Sandbox;
use sha1::{Digest, Sha1};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::LazyLock;
use std::thread;

/// Five files in 14 pieces of 32 KiB. Some end inside a piece. One is empty, one is executable, and
/// there is padding.
///
/// | file | in pieces |
/// |---|---|
/// | `a.txt` | 0 to 2 |
/// | `sub/b.bin` | 2 to 8 |
/// | padding | 8 and 9 |
/// | `sub/c.txt` | 9 and 10 |
/// | `d.bin` | 10 to 13 |
pub(crate) static SET: LazyLock<Torrent> = LazyLock::new(|| {
    Torrent::folder(
        "set",
        &[
            ("a.txt", 70_000, ""),
            ("sub/b.bin", 200_000, "x"),
            ("empty", 0, ""),
            (".pad/25680", 25_680, "p"),
            ("sub/c.txt", 40_000, ""),
            ("d.bin", 100_000, ""),
        ],
        32_768,
        8,
    )
});

/// The paths of all files below a folder, sorted.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(subfolder) = folders.pop() {
        for entry in fs::read_dir(subfolder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => names.push(path.strip_prefix(folder).unwrap().display().to_string()),
            }
        }
    }
    names.sort();
    names
}

/// Starts a download of the torrent and returns the command.
pub(crate) fn download(
    peer: &mut Peer,
    sandbox: &Sandbox,
    torrent: &Torrent,
    options: &str,
) -> String {
    let file = torrent.write(sandbox, &format!("{}.torrent", torrent.name));
    let command = format!("download {} {options}", quoted(&file));
    peer.run(&command);
    command
}

/// Serves all of the set to the leech until its download is complete. Returns the pieces that the
/// leech requested.
fn serve_and_list_pieces(leech: &mut Peer) -> Vec<u32> {
    let mut link = FakePeer::connect(leech.process.address, &SET, EXTENDED_AND_FAST, "caller");
    let serving = thread::spawn(move || {
        let mut indices = Vec::new();
        link.send(&[have_all(), unchoke(), extension_handshake(None, None)].concat());
        while let Some((id, body)) = link.read_message() {
            if id == REQUEST {
                let (index, begin, length) = parse_request(&body);
                indices.push(index);
                link.send(&piece(index, begin, SET.block(index, begin, length)));
            }
        }
        indices.sort_unstable();
        indices.dedup();
        indices
    });
    leech.run("wait 30");
    serving.join().unwrap()
}

/// Asserts that the folder has the two text files with their content, and no others.
fn assert_text_files(sandbox: &Sandbox) {
    assert_eq!(files(&sandbox.path("leech/set")), ["a.txt", "sub/c.txt"]);
    for file in ["a.txt", "sub/c.txt"] {
        let copy = fs::read(sandbox.path("leech/set").join(file)).unwrap();
        assert!(copy == SET.file(file), "{file}");
    }
}

/// Asserts that the peer serves whole pieces at the edges of the text files, and reports that it
/// fetches nothing more (BEP 21).
fn assert_serves_edge_pieces(leech: &Peer) {
    let mut link = FakePeer::connect(leech.process.address, &SET, EXTENDED_AND_FAST, "observer");
    link.send(&[frame(HAVE_NONE, &[]), extension_handshake(None, None)].concat());
    let bits = link.read_until(BITFIELD).unwrap();
    assert_eq!(bits, [0b1110_0000, 0b0110_0000]);
    let (_, handshake) = read_extension_message(&mut link).unwrap();
    let handshake = String::from_utf8_lossy(&handshake).into_owned();
    assert!(handshake.contains("11:upload_onlyi1e"), "{handshake}");
    for index in [2, 9] {
        let block = link.fetch(index, 16_384, 16_384).unwrap();
        assert!(block == SET.block(index, 16_384, 16_384));
    }
}

/// Asserts that the peer offers the pieces inside the text files and none at their edges.
fn assert_serves_no_edge_pieces(leech: &Peer) {
    let mut link = FakePeer::connect(leech.process.address, &SET, EXTENDED_AND_FAST, "again");
    link.send(&frame(HAVE_NONE, &[]));
    let bits = link.read_until(BITFIELD).unwrap();
    assert_eq!(bits, [0b1100_0000, 0b0100_0000]);
}

/// Removes the parts file, which has those bytes of the edge pieces that belong to other files.
fn remove_parts_file(sandbox: &Sandbox) {
    let all = files(&sandbox.path("leech"));
    let hidden: Vec<_> = all.iter().filter(|name| name.starts_with('.')).collect();
    assert_eq!(hidden.len(), 1, "{hidden:?}");
    fs::remove_file(sandbox.path("leech").join(hidden[0])).unwrap();
}

/// Changes a bit in the last byte of `a.txt`.
fn damage_a_txt(sandbox: &Sandbox) {
    let mut content = SET.file("a.txt").to_vec();
    *content.last_mut().unwrap() ^= 1;
    fs::write(sandbox.path("leech/set/a.txt"), content).unwrap();
}

#[test]
fn only_chosen_files_and_the_pieces_at_their_edges_arrive_and_they_survive_restarts() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    download(&mut leech, &sandbox, &SET, "--only '*.txt'");
    let waiting = leech.wait_for_state("set", "downloading");
    // `a.txt` is in pieces 0 to 2. `c.txt` is in pieces 9 and 10 and begins inside piece 9.
    assert_eq!(waiting["bytes_total"], 5 * 32_768);
    assert_eq!(serve_and_list_pieces(&mut leech), [0, 1, 2, 9, 10]);
    assert_text_files(&sandbox);
    for _restart in 0..2 {
        assert_serves_edge_pieces(&leech);
        leech.kill();
        leech = sandbox.debug_peer("leech", &[]);
        let download = leech.wait_for_state("set", "complete");
        assert_eq!(download["bytes_done"], 5 * 32_768);
    }
    assert_text_files(&sandbox);
    leech.kill();
    remove_parts_file(&sandbox);
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.wait_for_state("set", "complete");
    for _restart in 0..2 {
        assert_serves_no_edge_pieces(&leech);
        leech.kill();
        leech = sandbox.debug_peer("leech", &[]);
        leech.wait_for_state("set", "complete");
    }
    // A damaged file makes the download fail even without the parts file.
    leech.kill();
    damage_a_txt(&sandbox);
    let mut leech = sandbox.debug_peer("leech", &[]);
    let download = leech.wait_for_download("set", |download| download["state"] != "checking");
    assert_eq!(download["state"], "failed", "{download}");
}

#[test]
fn files_of_a_magnet_link_are_chosen_when_the_metadata_is_known() {
    let sandbox = Sandbox::new();
    // The metadata and the pieces come over different links.
    let metadata_peer = listen(&SET, "metadata", |mut link, _| {
        serve_metadata_of(&mut link, &SET);
    });
    let mut leech = sandbox.debug_peer("leech", &[]);
    let magnet = magnet_link(&SET, &peer_parameter(metadata_peer));
    leech.run(&format!("download {magnet} --only sub/ --sequential"));
    let waiting = leech.wait_for_download("set", |download| {
        download["state"] == "downloading" && download["bytes_total"] != 0
    });
    // `b.bin` and `c.txt` are in pieces 2 to 10, together with the end of `a.txt` and the start of
    // `d.bin`.
    assert_eq!(waiting["bytes_total"], 9 * 32_768);
    let mut link = FakePeer::connect(leech.process.address, &SET, EXTENDED_AND_FAST, "source");
    link.send(&[have_all(), unchoke()].concat());
    let mut order = Vec::new();
    while let Some(body) = link.read_until(REQUEST) {
        let (index, begin, length) = parse_request(&body);
        order.push(index);
        link.send(&piece(index, begin, SET.block(index, begin, length)));
    }
    order.dedup();
    assert_eq!(order, (2..11).collect::<Vec<u32>>());
    leech.run("wait 60");
    let set = sandbox.path("leech/set");
    assert_eq!(files(&set), ["sub/b.bin", "sub/c.txt"]);
    for name in ["sub/b.bin", "sub/c.txt"] {
        assert!(
            fs::read(set.join(name)).unwrap() == SET.file(name),
            "{name}"
        );
    }
}

#[test]
fn a_magnet_link_may_select_files_by_their_numbers() {
    let sandbox = Sandbox::new();
    let metadata_peer = listen(&SET, "metadata", |mut link, _| {
        serve_metadata_of(&mut link, &SET);
    });
    let parameters = format!("&dn=set{}", peer_parameter(metadata_peer));
    let start = |name: &str, line: &str| {
        let mut leech = sandbox.debug_peer(name, &[]);
        leech.run(&format!("download {line}"));
        leech
    };
    // The padding is file 3.
    let select = format!("{parameters}&amp;so=0,3-4");
    let mut leech = start("leech", &magnet_link(&SET, &select));
    let has_begun = |download: &serde_json::Value| {
        download["state"] == "downloading" && download["bytes_total"] != 0
    };
    leech.wait_for_download("set", has_begun);
    leech.kill();
    // The choice survives the kill.
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.wait_for_download("set", has_begun);
    let serving = serve_to(&leech, &SET, "source");
    leech.run("wait 60");
    let set = sandbox.path("leech/set");
    assert_eq!(files(&set), ["a.txt", "sub/c.txt"]);
    // A second link adds the file whose number it has.
    leech.run(&format!("download {}", magnet_link(&SET, "&so=5")));
    serving.join().unwrap();
    leech.wait_for_download("set", has_begun);
    let serving = serve_to(&leech, &SET, "source");
    leech.run("wait 60");
    serving.join().unwrap();
    assert_eq!(files(&set), ["a.txt", "d.bin", "sub/c.txt"]);
    // With `--only`, the leech ignores the numbers in the link.
    let line = format!("{} --only a.txt", magnet_link(&SET, &select));
    let mut other = start("other", &line);
    let chosen = other.wait_for_download("set", has_begun);
    assert_eq!(chosen["bytes_total"], 3 * 32_768);
    // The download fails if one of the numbers belongs to no file. A link with a word instead of a
    // number is refused.
    let mut none = start("none", &magnet_link(&SET, &format!("{parameters}&so=9")));
    let failed = none.wait_for_state("set", "failed");
    assert!(failed.to_string().contains("so=9"), "{failed}");
    let link = magnet_link(&SET, "&so=first");
    none.assert_refused(&format!("download {link}"), "bad-magnet", "selects files");
}

#[test]
fn a_damaged_chosen_file_fails_the_download_although_the_parts_file_is_intact() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    download(&mut leech, &sandbox, &SET, "--only a.txt");
    leech.wait_for_state("set", "downloading");
    let serving = serve_to(&leech, &SET, "source");
    leech.run("wait 30");
    leech.kill();
    serving.join().unwrap();
    // The last bytes of `a.txt` are in a piece that also has the start of another file.
    damage_a_txt(&sandbox);
    let mut leech = sandbox.debug_peer("leech", &[]);
    let download = leech.wait_for_download("set", |download| download["state"] != "checking");
    assert_eq!(download["state"], "failed", "{download}");
    // With the old content, the download is complete again.
    fs::write(sandbox.path("leech/set/a.txt"), SET.file("a.txt")).unwrap();
    leech.wait_for_state("set", "complete");
}

#[test]
fn a_kill_during_a_download_of_chosen_files_loses_no_verified_piece() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    download(&mut leech, &sandbox, &SET, "--only d.bin --only a.txt");
    leech.wait_for_state("set", "downloading");
    let serve_pieces = |leech: &Peer, pieces: &'static [u32]| {
        let mut link = FakePeer::connect(leech.process.address, &SET, EXTENDED_AND_FAST, "source");
        link.send(&[frame(HAVE_NONE, &[]), unchoke()].concat());
        for index in pieces {
            link.send(&frame(HAVE, &numbers(&[*index])));
        }
        thread::spawn(move || {
            while let Some(body) = link.read_until(REQUEST) {
                let (index, begin, length) = parse_request(&body);
                assert!(pieces.contains(&index), "piece {index} was not offered");
                link.send(&piece(index, begin, SET.block(index, begin, length)));
            }
        })
    };
    // Piece 2 is at the edge of `a.txt`, piece 1 is inside it.
    let first_serving = serve_pieces(&leech, &[1, 2, 5]);
    leech.wait_for_download("set", |download| download["bytes_done"] == 2 * 32_768);
    leech.kill();
    first_serving.join().unwrap();
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.wait_for_download("set", |download| {
        download["state"] == "downloading" && download["bytes_done"] == 2 * 32_768
    });
    let second_serving = serve_pieces(&leech, &[0, 10, 11, 12, 13]);
    leech.run("wait 30");
    assert!(fs::read(sandbox.path("leech/set/d.bin")).unwrap() == SET.file("d.bin"));
    assert_eq!(files(&sandbox.path("leech/set")), ["a.txt", "d.bin"]);
    leech.kill();
    second_serving.join().unwrap();
}

#[test]
fn a_choice_that_matches_no_file_is_refused_and_a_cancelled_choice_leaves_nothing() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    let file = SET.write(&sandbox, "set.torrent");
    let command = format!("download {} --only '*.doc'", quoted(&file));
    let refused = leech.try_run(&command);
    assert_eq!(refused["error"]["kind"], "nothing-chosen", "{refused}");
    leech.run(&format!("download {} --only empty", quoted(&file)));
    leech.run("wait 30");
    assert_eq!(files(&sandbox.path("leech/set")), ["empty"]);
    let mut other = sandbox.debug_peer("other", &[]);
    other.run(&format!("download {} --only '*.txt'", quoted(&file)));
    other.wait_for_state("set", "downloading");
    other.run("cancel set");
    assert!(files(&sandbox.path("other")).is_empty());
}

#[test]
fn padding_is_not_stored_and_empty_and_executable_files_arrive() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    download(&mut leech, &sandbox, &SET, "");
    leech.wait_for_state("set", "downloading");
    let serving = serve_to(&leech, &SET, "source");
    leech.run("wait 30");
    serving.join().unwrap();
    let set = sandbox.path("leech/set");
    let names = ["a.txt", "d.bin", "empty", "sub/b.bin", "sub/c.txt"];
    assert_eq!(files(&set), names);
    for name in names {
        assert!(
            fs::read(set.join(name)).unwrap() == SET.file(name),
            "{name}"
        );
        let mode = fs::metadata(set.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o100 != 0, name == "sub/b.bin", "{name}");
    }
}

#[test]
fn a_sequential_download_fetches_pieces_in_order() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    download(&mut leech, &sandbox, &TORRENT, "copy --sequential");
    leech.wait_for_state("share", "downloading");
    let mut link = FakePeer::connect(leech.process.address, &TORRENT, EXTENDED_AND_FAST, "source");
    link.send(&[have_all(), unchoke()].concat());
    let mut order = Vec::new();
    while let Some(body) = link.read_until(REQUEST) {
        let (index, begin, length) = parse_request(&body);
        order.push(index);
        link.send(&piece(index, begin, TORRENT.block(index, begin, length)));
    }
    order.dedup();
    assert_eq!(order, (0..20).collect::<Vec<u32>>());
    leech.run("wait 30");
}

#[test]
fn a_complete_file_at_the_destination_is_verified_and_not_fetched() {
    let sandbox = Sandbox::new();
    let mut whole = sandbox.debug_peer("whole", &[]);
    fs::write(sandbox.path("whole/share"), &TORRENT.content).unwrap();
    download(&mut whole, &sandbox, &TORRENT, "");
    assert_eq!(whole.shown_download("share")["state"], "complete");
    whole.kill();
    let mut whole = sandbox.debug_peer("whole", &[]);
    assert_eq!(whole.shown_download("share")["state"], "complete");
}

/// The file at the destination has a correct first half.
#[test]
fn with_force_a_file_is_replaced_and_its_matching_pieces_are_not_fetched_again() {
    let sandbox = Sandbox::new();
    let mut half = sandbox.debug_peer("half", &[]);
    let command = format!(
        "download {}",
        quoted(&TORRENT.write(&sandbox, "share.torrent"))
    );
    let mut content = TORRENT.content.clone();
    content[10 * 32_768..].fill(7);
    content.truncate(15 * 32_768);
    let destination = sandbox.path("half/share");
    fs::write(&destination, &content).unwrap();
    let refused = half.try_run(&command);
    assert_eq!(refused["error"]["kind"], "exists", "{refused}");
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("--force"), "{message}");
    assert!(fs::read(&destination).unwrap() == content);
    let forced_command = format!("{command} --force");
    let assert_forced_download = |half: &mut Peer| {
        half.wait_for_download("share", |download| {
            download["state"] == "downloading" && download["bytes_done"] == 10 * 32_768
        });
        assert!(
            fs::read(&destination).unwrap() == content,
            "the file was changed"
        );
    };
    half.run(&forced_command);
    assert_forced_download(&mut half);
    half.run("cancel share");
    assert_eq!(files(&sandbox.path("half")), ["share"]);
    half.run(&forced_command);
    assert_forced_download(&mut half);
    half.kill();
    let mut half = sandbox.debug_peer("half", &[]);
    assert_forced_download(&mut half);
    let link = FakePeer::connect(half.process.address, &TORRENT, EXTENDED_AND_FAST, "source");
    let serving = thread::spawn(|| {
        serve(link, &TORRENT, |(index, ..), block| {
            assert!(index >= 10, "piece {index} is requested again");
            block.to_vec()
        });
    });
    half.run("wait 30");
    serving.join().unwrap();
    assert!(fs::read(&destination).unwrap() == TORRENT.content);
    assert_eq!(half.shown_download("share")["from"]["disk"], 10 * 32_768);
}

#[test]
fn a_forced_choice_replaces_its_own_files_and_no_others() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    let set = sandbox.path("leech/set");
    fs::create_dir_all(set.join("sub")).unwrap();
    for name in ["a.txt", "d.bin", "sub/mine"] {
        fs::write(set.join(name), name).unwrap();
    }
    download(&mut leech, &sandbox, &SET, "--only '*.txt' --force");
    leech.wait_for_state("set", "downloading");
    leech.kill();
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.wait_for_state("set", "downloading");
    assert_eq!(files(&set), ["a.txt", "d.bin", "sub/mine"]);
    let serving = serve_to(&leech, &SET, "source");
    leech.run("wait 30");
    serving.join().unwrap();
    assert_eq!(files(&set), ["a.txt", "d.bin", "sub/c.txt", "sub/mine"]);
    for name in ["a.txt", "sub/c.txt"] {
        assert!(fs::read(set.join(name)).unwrap() == SET.file(name));
    }
    for name in ["d.bin", "sub/mine"] {
        assert_eq!(fs::read_to_string(set.join(name)).unwrap(), name);
    }
    assert!(!sandbox.path("leech/set.part").exists());
}

/// The torrent with parts of its info dictionary replaced.
fn with_changed_info(torrent: &Torrent, changes: &[(&str, &str)]) -> Torrent {
    let mut info = info_dictionary(torrent).to_vec();
    for (from, to) in changes {
        let at = info
            .windows(from.len())
            .position(|bytes| bytes == from.as_bytes())
            .unwrap();
        info.splice(at..at + from.len(), to.bytes());
    }
    let mut changed = torrent.clone();
    changed.info_hash = Sha1::digest(&info).into();
    changed.bytes = [b"d4:info", info.as_slice(), b"e"].concat();
    changed
}

#[test]
fn a_hybrid_torrent_is_downloaded_by_its_version_1_part() {
    let length = TORRENT.content.len();
    let root = "r".repeat(32);
    let tree =
        format!("d9:file treed5:shared0:d6:lengthi{length}e11:pieces root32:{root}eee6:length");
    let changes = [
        ("d6:length", tree.as_str()),
        ("4:name", "12:meta versioni2e4:name"),
    ];
    let mut hybrid = with_changed_info(&TORRENT, &changes);
    hybrid.bytes.pop();
    let layers = format!("12:piece layersd32:{root}32:{root}ee");
    hybrid.bytes.extend(layers.as_bytes());
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    download(&mut leech, &sandbox, &hybrid, "");
    leech.wait_for_state("share", "downloading");
    let link = FakePeer::connect(leech.process.address, &hybrid, EXTENDED_AND_FAST, "source");
    let serving = thread::spawn(move || serve_all(link, &hybrid));
    leech.run("wait 30");
    serving.join().unwrap();
    assert!(fs::read(sandbox.path("leech/share")).unwrap() == TORRENT.content);
}

#[test]
fn bad_torrents_are_refused_with_a_reason_and_leave_nothing() {
    let sandbox = Sandbox::new();
    let mut leech = sandbox.debug_peer("leech", &[]);
    for (torrent, reason) in [
        (
            with_changed_info(
                &TORRENT,
                &[("d6:lengthi642592e", "d12:total lengthi642592e")],
            ),
            "\"total length\"",
        ),
        (
            with_changed_info(&TORRENT, &[("d6:length", "d12:total lengthi1e6:length")]),
            "\"total length\"",
        ),
        (
            with_changed_info(&SET, &[("d4:attr1:x6:length", "d4:attr1:l6:length")]),
            "symbolic link",
        ),
        (
            with_changed_info(&SET, &[("pathl5:a.txte", "pathl2:..e")]),
            "unsafe name",
        ),
        (
            with_changed_info(&SET, &[("pathl5:d.bine", "pathl5:a.txte")]),
            "a.txt",
        ),
    ] {
        let file = torrent.write(&sandbox, "refused.torrent");
        let refused = leech.try_run(&format!("download {}", quoted(&file)));
        assert_eq!(refused["error"]["kind"], "bad-torrent", "{refused}");
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.contains(reason), "{reason}: {message}");
    }
    assert!(files(&sandbox.path("leech")).is_empty());
}

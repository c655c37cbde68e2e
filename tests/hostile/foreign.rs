//! Files of the user that have the names of partial files, and disks that are not mounted. A peer
//! does not change such files. It does not start a download again from nothing while its disk is
//! missing.

use super::disk::leech_with_eight_pieces;
use super::late::start_leech;
use crate::common::fake_tracker::{set_only_tracker, tracker_naming};
use crate::common::handmade_torrent::Torrent;
use crate::common::open_swarm::{TORRENT, assert_serves, leech, seed, serve_to};
use crate::common::peer::{Peer, quoted};
use crate::common::process::Process;
use crate::common::sandbox::{Sandbox, bytes};
use pieceful::peer::{Deadlines, PeerError};
use pieceful::storage::Destination;
use pieceful::torrent::Metainfo;
use std::fs;
use std::path::{Path, PathBuf};

/// Writes a file of the user that has the length of the share. Returns its content.
fn write_file_of_user(path: &Path) -> Vec<u8> {
    let content = vec![b'm'; TORRENT.content.len()];
    fs::write(path, &content).unwrap();
    content
}

/// The sorted names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn partial_with_hash(name: &str) -> String {
    let digits = TORRENT.info_hash.iter().map(|byte| format!("{byte:02x}"));
    format!("{name}.{}.part", digits.collect::<String>())
}

#[test]
fn a_part_file_of_the_user_survives_a_download_a_restart_and_a_cancel() {
    let sandbox = Sandbox::new();
    let part = sandbox.folder("leech").join("copy.part");
    let mine = write_file_of_user(&part);
    let mut first = leech(&sandbox, "leech", &TORRENT);
    let both = ["copy.part".to_owned(), partial_with_hash("copy")];
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(names(&sandbox.path("leech")), sorted(both.to_vec()));
    first.run("cancel share");
    assert_eq!(names(&sandbox.path("leech")), ["copy.part"]);
    assert!(fs::read(&part).unwrap() == mine);
    let file = TORRENT.write(&sandbox, "again.torrent");
    first.run(&format!("download {} copy", quoted(&file)));
    first.kill();
    let mut restarted = sandbox.debug_peer("leech", &[]);
    restarted.wait_for_state("share", "downloading");
    let serving = serve_to(&restarted, &TORRENT, "source");
    restarted.run("wait 30");
    serving.join().unwrap();
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == TORRENT.content);
    assert!(fs::read(&part).unwrap() == mine);
    assert_eq!(names(&sandbox.path("leech")), ["copy", "copy.part"]);
}

#[test]
fn a_finished_share_survives_a_download_whose_partial_file_would_have_its_name() {
    let sandbox = Sandbox::new();
    let tracker = sandbox.tracker(&[]);
    // Both shares have the same length.
    let [x, part] = ["x", "x.part"].map(|name| {
        let random_seed = name.len() as u64;
        sandbox.file(&format!("seed/{name}"), 300_000, random_seed)
    });
    let mut seed = sandbox.peer("seed");
    seed.run("send x");
    seed.run("send x.part");
    let mut leech = sandbox.peer("leech");
    leech.run("download ../seed/x.part.torrent");
    leech.run("wait 30");
    leech.end();
    let mut leech = sandbox.peer("leech");
    leech.run("download ../seed/x.torrent");
    leech.run("wait 30");
    for file in [&x, &part] {
        let copy = sandbox.path("leech").join(file.file_name().unwrap());
        assert!(fs::read(copy).unwrap() == fs::read(file).unwrap());
    }
    let shares = leech.run("status")["shares"].clone();
    for share in shares.as_array().unwrap() {
        assert!(share["trouble"].is_null(), "{share}");
    }
    assert_eq!(names(&sandbox.path("leech")), ["x", "x.part"]);
    drop(tracker);
}

#[test]
fn the_paths_of_another_download_are_refused_as_a_destination() {
    let sandbox = Sandbox::new();
    let tracker = sandbox.tracker(&[]);
    sandbox.file("seed/other", 100_000, 7);
    let mut seed = sandbox.peer("seed");
    seed.run("send other");
    let mut leech = leech(&sandbox, "leech", &TORRENT);
    let before = names(&sandbox.path("leech"));
    for command in [
        "download ../seed/other.torrent copy",
        "download ../seed/other.torrent copy --force",
        "download ../seed/other.torrent copy.part",
        "download ../seed/other.torrent copy.part --force",
    ] {
        leech.assert_refused(command, "exists", "belongs to share");
    }
    assert_eq!(names(&sandbox.path("leech")), before);
    drop(tracker);
}

/// The disk of the folder `leech`. While it is not mounted, an empty folder is in its place.
struct Disk<'a> {
    sandbox: &'a Sandbox,
}

impl Disk<'_> {
    fn unmount(&self) {
        fs::rename(self.sandbox.path("leech"), self.sandbox.path("disk")).unwrap();
        fs::create_dir(self.sandbox.path("leech")).unwrap();
    }

    /// Panics if anything was written to the empty folder.
    fn mount(&self) {
        fs::remove_dir(self.sandbox.path("leech")).unwrap();
        fs::rename(self.sandbox.path("disk"), self.sandbox.path("leech")).unwrap();
    }
}

#[test]
fn a_download_whose_disk_is_gone_waits_for_it_and_goes_on_by_itself() {
    let sandbox = Sandbox::new();
    let (first, go) = leech_with_eight_pieces(&sandbox);
    first.kill();
    drop(go);
    let disk = Disk { sandbox: &sandbox };
    disk.unmount();
    let mut restarted = sandbox.debug_peer("leech", &[]);
    let waiting = restarted.wait_for_download("share", |download| !download["trouble"].is_null());
    assert_eq!(waiting["state"], "downloading", "{waiting}");
    let trouble = waiting["trouble"].as_str().unwrap();
    assert!(
        trouble.contains("copy.part is missing") && trouble.contains("mount its disk"),
        "{trouble}"
    );
    let file = TORRENT.write(&sandbox, "again.torrent");
    let again = restarted.run(&format!("download {} copy", quoted(&file)));
    assert_eq!(again["already"], true, "{again}");
    let waited = restarted.try_run("wait 0.1");
    assert_eq!(waited["error"]["kind"], "not-complete", "{waited}");
    disk.mount();
    let download = restarted.wait_for_state("share", "complete");
    assert!(
        download["from"]["disk"].as_u64() >= Some(8 * 32_768),
        "{download}"
    );
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == TORRENT.content);
}

#[test]
fn a_download_that_waits_for_its_disk_can_be_cancelled_and_begun_anew() {
    let sandbox = Sandbox::new();
    let (first, go) = leech_with_eight_pieces(&sandbox);
    first.kill();
    drop(go);
    fs::remove_file(sandbox.path("leech/copy.part")).unwrap();
    let mut restarted = sandbox.debug_peer("leech", &[]);
    restarted.wait_for_download("share", |download| !download["trouble"].is_null());
    restarted.run("cancel share");
    assert!(names(&sandbox.path("leech")).is_empty());
    let file = TORRENT.write(&sandbox, "again.torrent");
    restarted.run(&format!("download {} copy", quoted(&file)));
    restarted.wait_for_state("share", "complete");
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == TORRENT.content);
}

#[test]
fn a_file_of_the_user_at_the_destination_of_an_unfinished_download_is_reported() {
    let sandbox = Sandbox::new();
    let (first, go) = leech_with_eight_pieces(&sandbox);
    first.kill();
    drop(go);
    let copy = sandbox.path("leech/copy");
    let file = quoted(&TORRENT.write(&sandbox, "again.torrent"));
    let download = format!("download {file} copy");
    for own in [b"mine!".to_vec(), bytes(TORRENT.content.len(), 99)] {
        fs::write(&copy, &own).unwrap();
        let mut restarted = sandbox.debug_peer("leech", &[]);
        // The peer may or may not have looked at the file yet.
        let (_, message) = restarted.error_of(&download);
        assert!(message.contains("copy exists"), "{message}");
        assert!(message.contains("move it away"), "{message}");
        let failed = restarted.wait_for_state("share", "failed");
        let reason = failed["reason"].as_str().unwrap();
        assert!(reason.contains("copy exists"), "{reason}");
        assert!(reason.contains("move it away"), "{reason}");
        restarted.assert_refused(&download, "exists", "move it away");
        assert!(fs::read(&copy).unwrap() == own);
        restarted.kill();
    }
    let mut restarted = sandbox.debug_peer("leech", &[]);
    restarted.wait_for_state("share", "failed");
    fs::remove_file(&copy).unwrap();
    restarted.run(&download);
    let complete = restarted.wait_for_state("share", "complete");
    assert!(
        complete["from"]["disk"].as_u64() >= Some(8 * 32_768),
        "{complete}"
    );
}

#[test]
fn a_download_goes_on_if_its_peer_was_killed_before_the_file_got_its_length() {
    let sandbox = Sandbox::new();
    let (first, go) = leech_with_eight_pieces(&sandbox);
    first.kill();
    drop(go);
    fs::write(sandbox.path("leech/copy.part"), "").unwrap();
    let mut restarted = sandbox.debug_peer("leech", &[]);
    restarted.wait_for_state("share", "complete");
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == TORRENT.content);
    assert_eq!(names(&sandbox.path("leech")), ["copy"]);
}

#[test]
fn a_complete_share_is_served_again_when_its_disk_is_back() {
    let sandbox = Sandbox::new();
    drop(seed(&sandbox, "leech", &TORRENT));
    let disk = Disk { sandbox: &sandbox };
    disk.unmount();
    let mut restarted = sandbox.debug_peer("leech", &[]);
    let lost = restarted.wait_for_state("share", "failed");
    assert!(lost["reason"].as_str().unwrap().contains("copy"), "{lost}");
    disk.mount();
    restarted.wait_for_state("share", "complete");
    assert_serves(&restarted, &TORRENT);
}

#[test]
fn a_complete_download_whose_disk_is_gone_is_not_begun_anew() {
    let sandbox = Sandbox::new();
    drop(seed(&sandbox, "leech", &TORRENT));
    let disk = Disk { sandbox: &sandbox };
    disk.unmount();
    let file = quoted(&TORRENT.write(&sandbox, "again.torrent"));
    let hash: String = TORRENT.info_hash.map(|byte| format!("{byte:02x}")).concat();
    let magnet = format!("'magnet:?xt=urn:btih:{hash}'");
    let mut restarted = sandbox.debug_peer("leech", &[]);
    // The commands are refused before and after the peer has looked for the files.
    let assert_refused = |peer: &mut Peer| {
        for command in [
            "download FILE copy",
            "download FILE copy --force",
            "download LINK copy",
        ] {
            let command = command.replace("FILE", &file).replace("LINK", &magnet);
            for part in ["copy is missing", "mount its disk", "stop_share - share"] {
                peer.assert_refused(&command, "storage", part);
            }
        }
    };
    assert_refused(&mut restarted);
    let lost = restarted.wait_for_state("share", "failed");
    assert!(
        lost["reason"].as_str().unwrap().contains("mount its disk"),
        "{lost}"
    );
    assert_refused(&mut restarted);
    disk.mount();
    restarted.wait_for_state("share", "complete");
    let copy = quoted(&sandbox.path("leech/copy"));
    let again = restarted.run(&format!("download {file} {copy}"));
    assert_eq!(again["already"], true, "{again}");
    // If the folder of the destination is gone too, the command does not create a file that has the
    // folder's name.
    restarted.kill();
    fs::rename(sandbox.path("leech"), sandbox.path("disk")).unwrap();
    let mut restarted = sandbox.debug_peer("leech", &[]);
    fs::remove_dir(sandbox.path("leech")).unwrap();
    let gone = quoted(&sandbox.path("leech"));
    let refused = format!("download {file} {gone}");
    restarted.assert_refused(&refused, "storage", "copy is missing");
    assert!(!sandbox.path("leech.part").exists() && !sandbox.path("leech").exists());
    restarted.run("stop_share - share");
    sandbox.folder("leech");
    restarted.run(&format!("download {file} {gone}"));
}

#[test]
fn a_download_cancelled_right_after_the_start_leaves_no_file() {
    let sandbox = Sandbox::new();
    set_only_tracker(&sandbox, tracker_naming(&[]));
    let torrent = |number| Torrent::new(&format!("share-{number}"), 24 << 20, 1 << 18, number);
    let mut torrents: Vec<Torrent> = (0..4).map(torrent).collect();
    // A peer that starts opens its downloads in this order.
    torrents.sort_by_key(|torrent| torrent.info_hash);
    let mut peer = sandbox.debug_peer("leech", &[]);
    for torrent in &torrents {
        let file = torrent.write(&sandbox, &format!("{}.torrent", torrent.name));
        peer.run(&format!("download {}", quoted(&file)));
    }
    peer.kill();
    let partial = |torrent: &Torrent| format!("{}.part", torrent.name);
    let [first, cancelled @ .., last] = &torrents[..] else {
        panic!("too few torrents");
    };
    // The check of the first download takes so long that others can be cancelled before they are
    // open.
    fs::write(sandbox.path("leech").join(partial(first)), &first.content).unwrap();
    let mut restarted: Peer = sandbox.debug_peer("leech", &[]);
    for torrent in cancelled {
        restarted.run(&format!("cancel {}", torrent.name));
    }
    restarted.wait_for_state(&last.name, "downloading");
    restarted.wait_for_state(&first.name, "complete");
    let mut expected = [first.name.clone(), partial(last)];
    expected.sort();
    assert_eq!(names(&sandbox.path("leech")), expected);
}

/// A seed with two shares of the same length: `x`, and `x.part`, which has the name of the partial
/// file of `x`. The leech began to download `x` and stopped; then the partial file was removed.
struct StoppedDownload {
    sandbox: Sandbox,
    files: [PathBuf; 2],
    leech: Peer,
    _running: (Process, Peer),
}

impl StoppedDownload {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let tracker = sandbox.tracker(&[]);
        let files = ["x", "x.part"].map(|name| {
            let random_seed = name.len() as u64;
            sandbox.file(&format!("seed/{name}"), 300_000, random_seed)
        });
        let mut seed = sandbox.peer("seed");
        seed.run("send x");
        seed.run("send x.part");
        seed.kill();
        let mut leech = sandbox.peer("leech");
        leech.run("download ../seed/x.torrent");
        leech.run("stop_share - x");
        fs::remove_file(sandbox.path("leech/x.part")).unwrap();
        let seed = sandbox.peer("seed");
        Self {
            sandbox,
            files,
            leech,
            _running: (tracker, seed),
        }
    }

    /// Downloads `x` and asserts that both files are whole.
    fn assert_both_are_whole_after_the_next_download(mut self) {
        self.leech.run("download ../seed/x.torrent");
        self.leech.run("wait 30");
        for file in &self.files {
            let name = file.file_name().unwrap();
            let copy = self.sandbox.path("leech").join(name);
            assert!(
                fs::read(copy).unwrap() == fs::read(file).unwrap(),
                "{name:?}"
            );
        }
    }
}

#[test]
fn a_stopped_download_does_not_write_to_a_share_that_now_has_the_name_of_its_partial_file() {
    let mut stopped = StoppedDownload::new();
    stopped.leech.run("download ../seed/x.part.torrent");
    stopped.leech.run("wait 30");
    stopped.assert_both_are_whole_after_the_next_download();
}

#[test]
fn a_stopped_download_does_not_write_to_a_former_share_with_the_name_of_its_partial_file() {
    let mut stopped = StoppedDownload::new();
    stopped.leech.run("download ../seed/x.part.torrent");
    stopped.leech.run("wait 30");
    stopped.leech.run("stop_share - x.part");
    // The stopped download is known from its record alone.
    stopped.leech.end();
    stopped.leech = stopped.sandbox.peer("leech");
    stopped.assert_both_are_whole_after_the_next_download();
}

#[test]
fn a_stopped_download_does_not_write_to_a_file_that_its_user_has_shared() {
    let mut stopped = StoppedDownload::new();
    let mine = stopped.sandbox.path("leech/x.part");
    fs::copy(&stopped.files[1], mine).unwrap();
    stopped.leech.end();
    stopped.leech = stopped.sandbox.peer("leech");
    stopped.leech.run("send x.part");
    stopped.leech.run("stop_share - x.part");
    stopped.assert_both_are_whole_after_the_next_download();
}

#[test]
fn a_cancel_removes_the_partial_file_although_the_final_name_is_taken() {
    let sandbox = Sandbox::new();
    let mut first = leech(&sandbox, "leech", &TORRENT);
    let mine = write_file_of_user(&sandbox.path("leech/copy"));
    let serving = serve_to(&first, &TORRENT, "source");
    first.wait_for_state("share", "failed");
    serving.join().unwrap();
    first.run("cancel share");
    assert_eq!(names(&sandbox.path("leech")), ["copy"]);
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == mine);
}

#[test]
fn a_cancel_that_could_not_remove_the_files_can_be_repeated() {
    let sandbox = Sandbox::new();
    let mut first = leech(&sandbox, "leech", &TORRENT);
    // The download ends with an error, so that it does not hold the lock of its partial file.
    write_file_of_user(&sandbox.path("leech/copy"));
    let serving = serve_to(&first, &TORRENT, "source");
    first.wait_for_state("share", "failed");
    serving.join().unwrap();
    let part = fs::File::open(sandbox.path("leech/copy.part")).unwrap();
    part.lock().unwrap();
    for _ in 0..2 {
        first.assert_refused("cancel share", "storage", "in use by another download");
        assert_eq!(names(&sandbox.path("leech")), ["copy", "copy.part"]);
    }
    drop(part);
    first.run("cancel share");
    assert_eq!(names(&sandbox.path("leech")), ["copy"]);
    assert_eq!(first.run("status")["shares"].as_array().unwrap().len(), 0);
    first.assert_refused("cancel share", "no-such-download", "share");
}

#[test]
fn a_download_of_a_closed_run_that_cannot_be_started_leaves_no_file() {
    let sandbox = Sandbox::new();
    let peer = start_leech(&sandbox, Deadlines::default());
    let info = Metainfo::parse(&TORRENT.bytes).unwrap().info().clone();
    let destination = Destination {
        folder: sandbox.folder("out"),
        name: "f".into(),
    };
    let refused = peer.fetch_in_closed_run(info, destination);
    assert!(
        matches!(refused, Err(PeerError::Already { .. })),
        "{refused:?}"
    );
    assert!(names(&sandbox.path("out")).is_empty());
}

#[test]
fn pieces_of_a_removed_partial_file_are_fetched_again_for_another_choice() {
    let sandbox = Sandbox::new();
    let tracker = sandbox.tracker(&[]);
    let length = 3_000_000;
    let files = ["a", "b"].map(|name| sandbox.file(&format!("seed/set/{name}"), length, 5));
    let mut seed = sandbox.peer("seed");
    seed.run("send set");
    let mut leech = sandbox.peer_with("leech", &["--down", "1M"]);
    leech.run("download ../seed/set.torrent --only a");
    leech.wait_for_download("set", |download| {
        let done = download["bytes_done"].as_u64().unwrap();
        (1..length as u64).contains(&done)
    });
    seed.kill();
    fs::remove_file(sandbox.path("leech/set.part/a")).unwrap();
    leech.run("download ../seed/set.torrent --only b");
    let seed = sandbox.peer("seed");
    leech.run("wait 60");
    for file in &files {
        let copy = sandbox.path("leech/set").join(file.file_name().unwrap());
        assert!(fs::read(copy).unwrap() == fs::read(file).unwrap());
    }
    drop((tracker, seed));
}

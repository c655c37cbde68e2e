//! Files and disks: destinations that must not be written, writes that fail, files that change
//! while they are shared.

use crate::common::fake_peer::*;
use crate::common::fake_tracker::{set_only_tracker, tracker_naming};
use crate::common::log::{log_line_with, wait_for_log_line};
use crate::common::odd_disk::report_skipped;
use crate::common::open_swarm::{TORRENT, leech, seed};
use crate::common::peer::{Peer, quoted};
use crate::common::process::{command_with_file_limit, run, run_command};
use crate::common::sandbox::{Sandbox, bytes};
use crate::common::waiting::wait_for;
use serde_json::Value;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Starts a download to `destination`, which must be refused, and returns the message.
fn refusal(peer: &mut Peer, sandbox: &Sandbox, destination: &Path) -> String {
    let file = TORRENT.write(sandbox, "share.torrent");
    let answer = peer.try_run(&format!(
        "download {} {}",
        quoted(&file),
        quoted(destination)
    ));
    let kind = answer["error"]["kind"].as_str().unwrap();
    assert!(["exists", "storage"].contains(&kind), "{answer}");
    assert_eq!(
        peer.run("show_downloads")["downloads"],
        serde_json::json!([])
    );
    answer["error"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn no_destination_is_overwritten_or_written_through_a_symbolic_link() {
    let sandbox = Sandbox::new();
    let mut peer = sandbox.debug_peer("leech", &[]);
    let victim = sandbox.path("authorized_keys");
    fs::write(&victim, "mine").unwrap();
    let message = refusal(&mut peer, &sandbox, &victim);
    assert!(
        message.contains("authorized_keys exists already"),
        "{message}"
    );
    let symbolic_link = sandbox.path("link");
    symlink(&victim, &symbolic_link).unwrap();
    assert!(refusal(&mut peer, &sandbox, &symbolic_link).contains("exists already"));
    let dangling = sandbox.path("dangling");
    symlink(sandbox.path("nothing"), &dangling).unwrap();
    assert!(refusal(&mut peer, &sandbox, &dangling).contains("exists already"));
    // A symbolic link or file that has the name of the partial file stays as it is. The partial
    // file gets another name.
    symlink(&victim, sandbox.path("new.part")).unwrap();
    fs::write(sandbox.path("other.part"), "a file of somebody else").unwrap();
    let file = quoted(&sandbox.path("share.torrent"));
    for name in ["new", "other"] {
        let destination = sandbox.path(name);
        peer.run(&format!("download {file} {}", quoted(&destination)));
        peer.wait_for_download("share", |download| download["state"] != "checking");
        peer.run("cancel share");
        assert!(!destination.exists());
    }
    let other = fs::read_to_string(sandbox.path("other.part")).unwrap();
    assert_eq!(other, "a file of somebody else");
    assert!(sandbox.path("new.part").is_symlink());
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    assert!(!sandbox.path("nothing").exists() && !sandbox.path("new").exists());
}

#[test]
fn the_error_names_a_folder_that_cannot_be_written() {
    let sandbox = Sandbox::new();
    let mut peer = sandbox.debug_peer("leech", &[]);
    // Not even root can create a file there.
    let message = refusal(&mut peer, &sandbox, Path::new("/sys/kernel/pieceful-test"));
    assert!(message.contains("/sys/kernel"), "{message}");
    let message = refusal(&mut peer, &sandbox, &sandbox.path("missing/copy"));
    assert!(message.contains("missing"), "{message}");
}

#[test]
fn a_partial_file_of_another_peer_is_not_touched() {
    let sandbox = Sandbox::new();
    let first = leech(&sandbox, "leech", &TORRENT);
    let mut second = sandbox.debug_peer("second", &[]);
    let message = refusal(&mut second, &sandbox, &sandbox.path("leech/copy"));
    assert!(
        message.contains("copy.part is in use by another download"),
        "{message}"
    );
    drop(second);
    assert!(sandbox.path("leech/copy.part").exists());
    drop(first);
}

/// The trouble of the only share in `status`.
fn trouble(peer: &mut Peer) -> Value {
    peer.run("status")["shares"][0]["trouble"].clone()
}

#[test]
fn a_file_cut_while_it_is_seeded_ends_the_link_and_is_shown_as_trouble() {
    let sandbox = Sandbox::new();
    let mut seed = seed(&sandbox, "seed", &TORRENT);
    let mut link = FakePeer::connect(seed.process.address, &TORRENT, EXTENDED_AND_FAST, "leech");
    assert!(link.fetch(0, 0, BLOCK).is_some());
    let file = File::options()
        .write(true)
        .open(sandbox.path("seed/copy"))
        .unwrap();
    // The file now ends inside a block.
    file.set_len(32_768 * 5 + 1000).unwrap();
    assert_eq!(link.fetch(5, 0, BLOCK), None, "half a block was sent");
    let trouble = wait_for(
        || Some(trouble(&mut seed)).filter(|trouble| !trouble.is_null()),
        || "status shows no trouble".into(),
    );
    assert!(
        trouble.as_str().unwrap().contains("was changed"),
        "{trouble}"
    );
    // The seed serves nothing of the file any more, although a part of the file is intact.
    let mut link = FakePeer::connect_tcp(seed.process.address);
    link.send(&handshake(TORRENT.info_hash, EXTENDED_AND_FAST, "another"));
    assert!(link.read_handshake().is_none());
}

#[test]
fn a_file_changed_while_it_is_seeded_never_reaches_a_copy() {
    let sandbox = Sandbox::new();
    let seed = seed(&sandbox, "seed", &TORRENT);
    // Length and time stay the same: only reading the file can show the change.
    let file = File::options()
        .write(true)
        .open(sandbox.path("seed/copy"))
        .unwrap();
    let time = file.metadata().unwrap().modified().unwrap();
    let changed = bytes(TORRENT.content.len(), 99);
    file.write_all_at(&changed, 0).unwrap();
    file.set_modified(time).unwrap();
    set_only_tracker(&sandbox, tracker_naming(&[seed.process.address]));
    let mut leech = leech(&sandbox, "leech", &TORRENT);
    wait_for_log_line(
        &leech.log,
        &[
            &format!("link with {} ended", seed.process.address),
            "does not verify",
        ],
    );
    let download = leech.shown_download("share");
    assert_eq!(
        (&download["bytes_done"], &download["state"]),
        (&0.into(), &"downloading".into())
    );
    assert!(!sandbox.path("leech/copy").exists());
}

/// The arguments of a peer that downloads to `folder/copy`, waits for the end and shows its
/// downloads.
fn download_arguments(sandbox: &Sandbox, folder: &Path) -> Vec<String> {
    let file = TORRENT.write(sandbox, "share.torrent");
    let download = format!(
        "download {} {}",
        quoted(&file),
        quoted(&folder.join("copy"))
    );
    let (info, state) = (sandbox.tracker_info(), sandbox.path("state"));
    let mut arguments = vec!["peer", "127.0.0.1:0", info.to_str().unwrap()];
    arguments.extend(["--dir", state.to_str().unwrap(), "--json", "--log", "debug"]);
    arguments.extend(["-c", &download, "-c", "wait 30", "-c", "show_downloads"]);
    arguments.into_iter().map(str::to_owned).collect()
}

#[test]
fn a_file_larger_than_the_system_allows_is_refused_at_once() {
    let sandbox = Sandbox::new();
    let folder = sandbox.folder("small");
    let arguments = download_arguments(&sandbox, &folder);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = run_command(command_with_file_limit(&folder, &arguments, 150));
    let text = output.stdout;
    assert!(
        text.contains("\"kind\":\"storage\"") && text.contains("copy.part"),
        "{text}{}",
        output.stderr
    );
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "a file was left");
}

/// A seed that serves the first eight pieces, and the others after a signal over `gate` or the drop
/// of its sender. Links after the first one get all pieces at once.
pub(crate) fn seed_in_two_parts(gate: Receiver<()>) -> SocketAddr {
    let gate = Mutex::new(Some(gate));
    listen(&TORRENT, "seed", move |mut link, _| {
        let mut gate = gate.lock().unwrap().take();
        link.send(&[have_all(), unchoke()].concat());
        while let Some(body) = link.read_until(REQUEST) {
            let (index, begin, length) = parse_request(&body);
            if index >= 8
                && let Some(gate) = gate.take()
            {
                let _ = gate.recv();
            }
            link.send(&piece(index, begin, TORRENT.block(index, begin, length)));
        }
    })
}

/// A peer that has eight pieces in `leech/copy.part`. A signal over the channel, or the drop of the
/// sender, lets its seed serve the other pieces.
pub(crate) fn leech_with_eight_pieces(sandbox: &Sandbox) -> (Peer, Sender<()>) {
    let (go, gate) = channel();
    set_only_tracker(sandbox, tracker_naming(&[seed_in_two_parts(gate)]));
    let mut leech = sandbox.debug_peer("leech", &[]);
    let file = TORRENT.write(sandbox, "share.torrent");
    leech.run(&format!("download {} copy --sequential", quoted(&file)));
    leech.wait_for_download("share", |download| download["bytes_done"] == 8 * 32_768);
    (leech, go)
}

/// Lets the download go on, which must fail, and returns the reason.
fn reason_of_failure(leech: &mut Peer, go: &Sender<()>) -> String {
    go.send(()).unwrap();
    let download = leech.wait_for_download("share", |download| download["state"] != "downloading");
    assert_eq!(download["state"], "failed", "{download}");
    assert_eq!(log_line_with(&leech.log, &["share: complete"]), None);
    download["reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_failed_write_fails_the_download_with_the_reason() {
    let sandbox = Sandbox::new();
    let (mut leech, go) = leech_with_eight_pieces(&sandbox);
    // The limit is larger than the eight pieces, and larger than all other files of the peer.
    let prlimit_status = Command::new("prlimit")
        .args(["--pid", &leech.process.id().to_string(), "--fsize=400000"])
        .status();
    if !prlimit_status.is_ok_and(|status| status.success()) {
        return report_skipped("no prlimit here");
    }
    let reason = reason_of_failure(&mut leech, &go);
    assert!(
        reason.contains("cannot write") && reason.contains("copy.part"),
        "{reason}"
    );
    assert!(!sandbox.path("leech/copy").exists());
    leech.kill();
    // Without the limit the download completes.
    let mut restarted = sandbox.debug_peer("leech", &[]);
    restarted.wait_for_state("share", "complete");
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == TORRENT.content);
}

#[test]
fn a_partial_file_that_is_cut_fails_its_download() {
    let sandbox = Sandbox::new();
    let (mut leech, go) = leech_with_eight_pieces(&sandbox);
    let part = sandbox.path("leech/copy.part");
    let file = File::options().write(true).open(&part).unwrap();
    file.set_len(1_000).unwrap();
    let reason = reason_of_failure(&mut leech, &go);
    assert!(
        reason.contains("copy.part") && reason.contains("1000"),
        "{reason}"
    );
    assert!(!sandbox.path("leech/copy").exists());
}

#[test]
fn a_folder_that_is_removed_fails_its_download() {
    let sandbox = Sandbox::new();
    let (mut leech, go) = leech_with_eight_pieces(&sandbox);
    fs::remove_dir_all(sandbox.path("leech")).unwrap();
    let reason = reason_of_failure(&mut leech, &go);
    assert!(reason.contains("copy.part"), "{reason}");
    assert!(!sandbox.path("leech").exists());
    // The peer still works.
    assert_eq!(leech.run("status")["command"], "status");
}

#[test]
fn a_state_folder_in_use_is_refused_before_anything_starts() {
    let sandbox = Sandbox::new();
    let _first = sandbox.debug_peer("one", &[]);
    let state = sandbox.path("one.state");
    let output = run(
        &sandbox.folder("two"),
        &[
            "peer",
            "127.0.0.1:0",
            "t.txt",
            "--dir",
            state.to_str().unwrap(),
        ],
        "",
    );
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(1), ""),
        "{output:?}"
    );
    assert!(output.stderr.contains("one.state"), "{output:?}");
}

//! Hooks after the ends of downloads and shares.

use super::script::{Script, begin_download, download, leave, small_torrent, wait_for_result};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_until;
use std::fs;

#[test]
fn a_complete_download_is_reported_once_with_its_facts() {
    let sandbox = Sandbox::new();
    let script = Script::new(&sandbox, "hook", "");
    let arguments = ["--on-complete", &script.command()];
    let mut peer = sandbox.debug_peer("leech", &arguments);
    let first = small_torrent("first", 1);
    download(&sandbox, &mut peer, &first);
    let facts = script.wait_for("first");
    assert_eq!(facts["PIECEFUL_EVENT"], "complete");
    let path = sandbox.path("leech/first");
    assert_eq!(facts["PIECEFUL_PATH"], path.to_str().unwrap());
    assert_eq!(fs::read(path).unwrap(), first.content);
    assert_eq!(facts["PIECEFUL_LENGTH"], "40000");
    assert_eq!(facts["PIECEFUL_INFO_HASH"].len(), 40);
    assert_eq!(
        facts["PIECEFUL_DIR"],
        sandbox.state("leech").to_str().unwrap()
    );
    assert_eq!(facts["PIECEFUL_ADDRESS"], peer.process.address.to_string());
    assert_eq!(facts["PIECEFUL_PEER_NAME"], "leech");
    for unknown in ["GROUP", "USER", "PUBLISHER", "ERROR", "ERROR_KIND"] {
        assert!(
            !facts.contains_key(&format!("PIECEFUL_{unknown}")),
            "{facts:?}"
        );
    }
    // The environment of the peer is passed on.
    assert_eq!(facts["HOME"], sandbox.path("leech").to_str().unwrap());
    assert_eq!(wait_for_result(&mut peer, "complete"), "exit code 0");
    leave(peer);
    // Hooks run in order, so a second run for the first download would come before this one.
    let mut peer = sandbox.debug_peer("leech", &arguments);
    download(&sandbox, &mut peer, &small_torrent("second", 2));
    script.wait_for("second");
    assert_eq!(script.names(), ["first", "second"]);
}

#[test]
fn what_was_complete_before_there_was_a_hook_is_not_reported() {
    let sandbox = Sandbox::new();
    let script = Script::new(&sandbox, "hook", "");
    let arguments = ["--on-complete", &script.command()];
    let mut peer = sandbox.debug_peer("leech", &[]);
    download(&sandbox, &mut peer, &small_torrent("early", 1));
    leave(peer);
    let mut peer = sandbox.debug_peer("leech", &arguments);
    download(&sandbox, &mut peer, &small_torrent("second", 2));
    script.wait_for("second");
    leave(peer);
    // During a start without a hook nothing is lost.
    let mut peer = sandbox.debug_peer("leech", &[]);
    download(&sandbox, &mut peer, &small_torrent("third", 3));
    leave(peer);
    let mut peer = sandbox.debug_peer("leech", &arguments);
    download(&sandbox, &mut peer, &small_torrent("fourth", 4));
    script.wait_for("fourth");
    assert_eq!(script.names(), ["fourth", "second", "third"]);
}

#[test]
fn what_waits_survives_the_end_of_its_share_and_a_start_with_other_hooks() {
    let sandbox = Sandbox::new();
    let body = "test \"$PIECEFUL_NAME\" != first || while :; do sleep 0.1; done";
    let script = Script::new(&sandbox, "hook", body);
    let arguments = ["--on-complete", &script.command(), "--hook-time", "30"];
    let mut peer = sandbox.debug_peer("leech", &arguments);
    download(&sandbox, &mut peer, &small_torrent("first", 1));
    script.wait_for("first");
    // The share ends before its hook has begun, and perhaps before anybody has looked.
    download(&sandbox, &mut peer, &small_torrent("second", 2));
    peer.run("stop_share - second");
    peer.kill();
    script.kill_run_of("first");
    for other in [&[][..], &["--on-error", "true"]] {
        leave(sandbox.debug_peer("leech", other));
    }
    assert_eq!(script.names(), ["first"]);
    let _peer = sandbox.debug_peer("leech", &arguments);
    let facts = script.wait_for("second");
    assert_eq!(facts["PIECEFUL_LENGTH"], "40000");
    let path = sandbox.path("leech/second");
    assert_eq!(facts["PIECEFUL_PATH"], path.to_str().unwrap());
}

#[test]
fn after_kill_9_a_hook_that_had_not_begun_runs_and_one_that_had_begun_does_not() {
    let sandbox = Sandbox::new();
    // The first hook does not end, so the second one waits.
    let body = "test \"$PIECEFUL_NAME\" != first || while :; do sleep 0.1; done";
    let script = Script::new(&sandbox, "hook", body);
    let arguments = ["--on-complete", &script.command(), "--hook-time", "30"];
    let mut peer = sandbox.debug_peer("leech", &arguments);
    download(&sandbox, &mut peer, &small_torrent("first", 1));
    script.wait_for("first");
    download(&sandbox, &mut peer, &small_torrent("second", 2));
    wait_until("the second event waits", || {
        let status = peer.run("status");
        let hook = &status["hooks"][0];
        hook["running"] == "first" && hook["waiting"] == 1
    });
    peer.kill();
    assert_eq!(script.names(), ["first"]);
    let peer = sandbox.debug_peer("leech", &arguments);
    script.wait_for("second");
    assert_eq!(script.names(), ["first", "second"]);
    drop(peer);
    // The script of the killed peer goes on.
    script.kill_run_of("first");
}

#[test]
fn a_peer_that_leaves_by_itself_lets_its_hooks_end_first() {
    let sandbox = Sandbox::new();
    let done = sandbox.path("done");
    let script = Script::new(
        &sandbox,
        "hook",
        &format!("sleep 3; : > '{}'", done.display()),
    );
    let mut peer = sandbox.debug_peer("leech", &["--on-complete", &script.command()]);
    download(&sandbox, &mut peer, &small_torrent("data", 1));
    // The input of the peer ends, usually while the hook runs.
    let (_, notes) = peer.process.wait();
    assert!(done.exists());
    assert!(
        notes.contains("the peer ends when 1 hook has ended"),
        "{notes}"
    );
}

#[test]
fn a_lost_share_is_an_error_and_a_cancelled_download_is_none() {
    let sandbox = Sandbox::new();
    let script = Script::new(&sandbox, "hook", "exit 7");
    let arguments = ["--on-error", &script.command()];
    let _tracker = sandbox.tracker(&[]);
    let mut peer = sandbox.debug_peer("owner", &arguments);
    begin_download(&sandbox, &mut peer, &small_torrent("cancelled", 1));
    peer.run("cancel cancelled");
    begin_download(&sandbox, &mut peer, &small_torrent("stopped", 2));
    peer.run("stop_share - stopped");
    let file = sandbox.file("owner/data", 1_000, 3);
    peer.run("send data");
    fs::write(&file, "other").unwrap();
    let facts = script.wait_for("data");
    assert_eq!(facts["PIECEFUL_EVENT"], "error");
    assert_eq!(facts["PIECEFUL_ERROR_KIND"], "lost");
    assert!(facts["PIECEFUL_ERROR"].contains("changed"), "{facts:?}");
    assert_eq!(facts["PIECEFUL_PATH"], file.to_str().unwrap());
    // A hook that fails is shown, and changes nothing else.
    assert_eq!(wait_for_result(&mut peer, "error"), "exit code 7");
    assert_eq!(script.names(), ["data"]);
    leave(peer);
    // It is still lost after a restart. A second share is lost later.
    let mut peer = sandbox.debug_peer("owner", &arguments);
    let file = sandbox.file("owner/more", 1_000, 4);
    peer.run("send more");
    fs::remove_file(file).unwrap();
    script.wait_for("more");
    assert_eq!(script.names(), ["data", "more"]);
}

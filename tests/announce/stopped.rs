//! `stop_share` in open swarms: the peer leaves the swarm, forgets the share and keeps the files.

use crate::common::http_client::stats;
use crate::common::peer::Peer;
use crate::common::process::{Process, run};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_for;
use std::fs;

/// Waits until the tracker counts `count` peers in its swarms.
fn wait_for_peers(tracker: &Process, count: u64) {
    wait_for(
        || (stats(tracker.address)["peers"] == count).then_some(()),
        || format!("expected {count} peers: {}", stats(tracker.address)),
    );
}

fn share_count(peer: &mut Peer) -> usize {
    let status = peer.run("status");
    status["shares"].as_array().unwrap().len()
}

#[test]
fn a_stopped_share_leaves_its_swarm_and_keeps_its_files() {
    let sandbox = Sandbox::new();
    let tracker = sandbox.tracker(&[]);
    let data = sandbox.file("seed/data", 1_000_000, 1);
    let mut seed = sandbox.peer("seed");
    seed.run("send data");
    let mut leech = sandbox.peer("leech");
    leech.run("download ../seed/data.torrent");
    leech.run("wait 60");
    wait_for_peers(&tracker, 2);
    let refused = leech.try_run("cancel data");
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("stop_share - data"), "{message}");
    let stopped = leech.run("stop_share - data");
    assert_eq!(
        (&stopped["name"], &stopped["withdrawn"]),
        (&"data".into(), &false.into())
    );
    wait_for_peers(&tracker, 1);
    assert!(leech.shown_download("data").is_null() && share_count(&mut leech) == 0);
    let refused = leech.try_run("stop_share - data");
    assert_eq!(refused["error"]["kind"], "no-such-share", "{refused}");
    // The share is forgotten after a restart too.
    leech.process.kill();
    let mut leech = sandbox.peer("leech");
    assert!(leech.shown_download("data").is_null() && share_count(&mut leech) == 0);
    let copy = sandbox.path("leech/data");
    assert!(fs::read(&copy).unwrap() == fs::read(&data).unwrap());
    // The seed stops its own share by its info-hash.
    let status = seed.run("status");
    let info_hash = status["shares"][0]["info_hash"].as_str().unwrap();
    seed.run(&format!("stop_share - {info_hash}"));
    wait_for_peers(&tracker, 0);
    assert!(data.exists() && share_count(&mut seed) == 0);
    // Both peers can share it again.
    leech.run("download ../seed/data.torrent");
    assert_eq!(leech.shown_download("data")["state"], "complete");
    seed.run("send data");
    wait_for_peers(&tracker, 2);
}

#[test]
fn a_stopped_download_goes_on_from_its_partial_file() {
    let sandbox = Sandbox::new();
    let tracker = sandbox.tracker(&[]);
    let data = sandbox.file("seed/data", 4_000_000, 1);
    let mut seed = sandbox.peer_with("seed", &["--up", "1M"]);
    seed.run("send data");
    let mut leech = sandbox.peer("leech");
    leech.run("download ../seed/data.torrent");
    leech.wait_for_download("data", |download| download["bytes_done"].as_u64() > Some(0));
    leech.run("stop_share - data");
    assert!(leech.shown_download("data").is_null());
    wait_for_peers(&tracker, 1);
    assert!(sandbox.path("leech/data.part").exists());
    leech.run("download ../seed/data.torrent");
    let resumed = leech.wait_for_download("data", |download| download["state"] != "checking");
    assert!(resumed["from"]["disk"].as_u64() > Some(0), "{resumed}");
    leech.run("wait 60");
    assert!(fs::read(sandbox.path("leech/data")).unwrap() == fs::read(&data).unwrap());
}

#[test]
fn the_info_hash_selects_one_of_two_shares_with_the_same_name() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let folder = sandbox.folder("p");
    sandbox.file("p/a/data", 10_000, 1);
    sandbox.file("p/b/data", 10_000, 2);
    let info = sandbox.tracker_info();
    let info = info.to_str().unwrap();
    let run_peer = |commands: &[&str]| {
        let mut all = vec!["peer", "127.0.0.1:0", info, "--dir", "state"];
        commands
            .iter()
            .for_each(|command| all.extend(["-c", command]));
        run(&folder, &all, "")
    };
    let sent = run_peer(&["send a/data a.torrent", "send b/data b.torrent"]);
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let ended = run_peer(&["stop_share - data"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let (_, hash) = ended.stderr.trim().rsplit_once(", ").unwrap();
    let ended = run_peer(&[
        &format!("stop_share - {hash}"),
        "stop_share - data",
        "stop_share - data",
    ]);
    let lines: Vec<&str> = ended.stdout.lines().skip(1).collect();
    let first = format!("stopped sharing {hash}");
    assert_eq!(lines, [&first, "stopped sharing data"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("status lists all"), "{ended:?}");
}

//! Shares and downloads of open swarms that a person ends.

use crate::common::http_client::HttpClient;
use crate::common::peer::Peer;
use crate::common::process::{Process, run};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_for;
use serde_json::Value;
use std::fs;

/// Waits until so many peers are in swarms of the tracker, by what it was told.
fn until_peers(tracker: &Process, count: u64) {
    let told = || {
        let told = HttpClient::new(tracker.address).get("/stats");
        serde_json::from_slice::<Value>(&told.body).unwrap()
    };
    wait_for(
        || (told()["peers"] == count).then_some(()),
        || format!("{count} awaited: {}", told()),
    );
}

fn shares(peer: &mut Peer) -> usize {
    let status = peer.run("status");
    status["shares"].as_array().unwrap().len()
}

#[test]
fn what_is_stopped_leaves_the_swarm_is_forgotten_and_its_files_stay() {
    let sandbox = Sandbox::new();
    let tracker = sandbox.tracker(&[]);
    let data = sandbox.file("seed/data", 1_000_000, 1);
    let mut seed = sandbox.peer("seed");
    seed.run("send data");
    let mut leech = sandbox.peer("leech");
    leech.run("download ../seed/data.torrent");
    leech.run("wait 60");
    until_peers(&tracker, 2);
    let refused = leech.try_run("cancel data");
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("stop_share - data"), "{message}");
    let stopped = leech.run("stop_share - data");
    assert_eq!(
        (&stopped["name"], &stopped["withdrawn"]),
        (&"data".into(), &false.into())
    );
    until_peers(&tracker, 1);
    assert!(leech.download("data").is_null() && shares(&mut leech) == 0);
    let refused = leech.try_run("stop_share - data");
    assert_eq!(refused["error"]["kind"], "no-such-share", "{refused}");
    // Nor is it known at the next start.
    leech.process.kill();
    let mut leech = sandbox.peer("leech");
    assert!(leech.download("data").is_null() && shares(&mut leech) == 0);
    let copy = sandbox.path("leech/data");
    assert!(fs::read(&copy).unwrap() == fs::read(&data).unwrap());
    // What is a person's own, by its info-hash.
    let status = seed.run("status");
    let info_hash = status["shares"][0]["info_hash"].as_str().unwrap();
    seed.run(&format!("stop_share - {info_hash}"));
    until_peers(&tracker, 0);
    assert!(data.exists() && shares(&mut seed) == 0);
    // It can be shared again from either.
    leech.run("download ../seed/data.torrent");
    assert_eq!(leech.download("data")["state"], "complete");
    seed.run("send data");
    until_peers(&tracker, 2);
}

#[test]
fn a_download_that_is_stopped_goes_on_when_it_is_asked_for_again() {
    let sandbox = Sandbox::new();
    let tracker = sandbox.tracker(&[]);
    let data = sandbox.file("seed/data", 4_000_000, 1);
    let mut seed = sandbox.peer_with("seed", &["--up", "1M"]);
    seed.run("send data");
    let mut leech = sandbox.peer("leech");
    leech.run("download ../seed/data.torrent");
    leech.wait_for_download("data", |download| download["bytes_done"].as_u64() > Some(0));
    leech.run("stop_share - data");
    assert!(leech.download("data").is_null());
    until_peers(&tracker, 1);
    assert!(sandbox.path("leech/data.part").exists());
    leech.run("download ../seed/data.torrent");
    let on = leech.wait_for_download("data", |download| download["state"] != "checking");
    assert!(on["from"]["disk"].as_u64() > Some(0), "{on}");
    leech.run("wait 60");
    assert!(fs::read(sandbox.path("leech/data")).unwrap() == fs::read(&data).unwrap());
}

#[test]
fn of_two_with_one_name_the_info_hash_says_which_and_people_are_told_in_words() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let folder = sandbox.folder("p");
    sandbox.file("p/a/data", 10_000, 1);
    sandbox.file("p/b/data", 10_000, 2);
    let info = sandbox.tracker_info();
    let info = info.to_str().unwrap();
    let start = |commands: &[&str]| {
        let mut all = vec!["peer", "127.0.0.1:0", info, "--dir", "state"];
        commands
            .iter()
            .for_each(|command| all.extend(["-c", command]));
        run(&folder, &all, "")
    };
    let sent = start(&["send a/data a.torrent", "send b/data b.torrent"]);
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let ended = start(&["stop_share - data"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let (_, hash) = ended.stderr.trim().rsplit_once(", ").unwrap();
    let ended = start(&[
        &format!("stop_share - {hash}"),
        "stop_share - data",
        "stop_share - data",
    ]);
    let shown: Vec<&str> = ended.stdout.lines().skip(1).collect();
    let first = format!("{hash} is not shared from here any more");
    assert_eq!(shown, [&first, "data is not shared from here any more"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("status lists all"), "{ended:?}");
}

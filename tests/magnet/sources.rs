//! A second torrent or magnet link of the same share names more trackers, web seeds or peers. A
//! download that waits uses them too, also after a restart.

use crate::common::extensions::{magnet_link, peer_parameter};
use crate::common::handmade_torrent::Torrent;
use crate::common::open_swarm::TORRENT;
use crate::common::peer::{Peer, quoted};
use crate::common::process::{Process, run};
use crate::common::sandbox::Sandbox;
use crate::common::web_server::{WebServer, send_requested};
use std::fs;

/// Nothing listens on port 1.
const DEAD: &str = "http://127.0.0.1:1/announce";

/// A live tracker that no TRACKER_INFO names.
struct Swarm {
    sandbox: Sandbox,
    tracker: Process,
}

impl Swarm {
    /// The second value is a seed of `TORRENT` that announces to the tracker.
    fn new() -> (Self, Peer) {
        let sandbox = Sandbox::new();
        let tracker = sandbox.tracker(&["--interval", "1"]);
        fs::remove_file(sandbox.tracker_info()).unwrap();
        let swarm = Self { sandbox, tracker };
        let mut seed = swarm.sandbox.peer("seed");
        fs::write(swarm.sandbox.path("seed/share"), &TORRENT.content).unwrap();
        seed.run(&format!("download {}", swarm.live_torrent()));
        seed.run("wait 30");
        (swarm, seed)
    }

    fn live_url(&self) -> String {
        format!("http://{}/announce", self.tracker.address)
    }

    fn live_torrent(&self) -> String {
        write_with_tracker(&self.sandbox, &TORRENT, "live", &self.live_url())
    }

    fn dead_torrent(&self) -> String {
        write_with_tracker(&self.sandbox, &TORRENT, "dead", DEAD)
    }

    fn live_link(&self) -> String {
        magnet_link(&TORRENT, &format!("&tr={}", self.live_url()))
    }

    fn leech(&self) -> Peer {
        self.sandbox.debug_peer("leech", &[])
    }

    /// Waits until the leech has the share. Then removes the download and its file, and ends the
    /// leech.
    fn finish(&self, mut leech: Peer) {
        leech.run("wait 30");
        let copy = self.sandbox.path("leech/copy");
        assert!(fs::read(&copy).unwrap() == TORRENT.content);
        leech.run("stop_share - share");
        fs::remove_file(copy).unwrap();
        leech.end();
    }
}

/// Writes the torrent with this tracker. Returns its path, in quotes for a command.
fn write_with_tracker(sandbox: &Sandbox, torrent: &Torrent, name: &str, url: &str) -> String {
    let start = format!("d8:announce{}:{url}", url.len()).into_bytes();
    let path = sandbox.path(&format!("{name}.torrent"));
    fs::write(&path, [&start, &torrent.bytes[1..]].concat()).unwrap();
    quoted(&path)
}

#[test]
fn a_better_link_or_torrent_helps_a_download_that_waits() {
    let (swarm, seed) = Swarm::new();
    let (live, link) = (swarm.live_torrent(), swarm.live_link());
    let (bare, dead) = (magnet_link(&TORRENT, ""), swarm.dead_torrent());
    let peer = magnet_link(&TORRENT, &peer_parameter(seed.process.address));
    for (first, better) in [
        (&bare, &link),
        (&bare, &live),
        (&bare, &peer),
        (&dead, &live),
        (&dead, &link),
        (&dead, &peer),
    ] {
        let mut leech = swarm.leech();
        leech.run(&format!("download {first} copy"));
        leech.run(&format!("download {better} copy"));
        swarm.finish(leech);
    }
}

#[test]
fn what_a_better_link_or_torrent_names_is_recorded() {
    let (swarm, seed) = Swarm::new();
    seed.kill();
    let server =
        WebServer::start(|request, _, stream| send_requested(request, stream, &TORRENT.content));
    let (live, link) = (swarm.live_torrent(), swarm.live_link());
    let (bare, dead) = (magnet_link(&TORRENT, ""), swarm.dead_torrent());
    for (first, better) in [
        (&bare, &link),
        (&bare, &live),
        (&dead, &live),
        (&dead, &link),
    ] {
        let mut leech = swarm.leech();
        leech.run(&format!("download {first} copy"));
        leech.run(&format!("download {better} copy"));
        leech.kill();
        let leech = swarm.leech();
        let seed = swarm.sandbox.peer("seed");
        swarm.finish(leech);
        seed.kill();
    }
    // The rate keeps the leech from fetching all from the web seed before its restart.
    let url = server.url("/some/file");
    let mut leech = swarm.sandbox.debug_peer("leech", &["--down", "16K"]);
    leech.run(&format!("download {dead} copy"));
    let web_link = magnet_link(&TORRENT, &format!("&ws={url}"));
    leech.run(&format!("download {web_link} copy"));
    leech.kill();
    swarm.finish(swarm.leech());
}

#[test]
fn a_private_torrent_keeps_its_own_tracker_and_the_command_says_so() {
    let (swarm, _seed) = Swarm::new();
    let torrent = TORRENT.clone().private(1);
    let (sandbox, url) = (&swarm.sandbox, swarm.live_url());
    let dead = write_with_tracker(sandbox, &torrent, "private", DEAD);
    let live = write_with_tracker(sandbox, &torrent, "other", &url);
    let link = magnet_link(&torrent, &format!("&tr={url}"));
    for (first, second) in [(&dead, &live), (&dead, &link), (&link, &dead)] {
        let info = sandbox.tracker_info();
        let (first, second) = (format!("download {first}"), format!("download {second}"));
        let mut arguments = vec!["peer", "127.0.0.1:0", info.to_str().unwrap()];
        arguments.extend(["-c", &first, "-c", &second, "-c", "status"]);
        let folder = tempfile::tempdir().unwrap();
        let output = run(folder.path(), &arguments, "");
        assert!(
            output.stderr.contains("share: its torrent is private"),
            "{output:?}"
        );
        // The tracker of the link gets `stopped`, and is listed until it has answered.
        let lines = output.stdout.lines();
        let mut trackers = lines.filter(|line| line.starts_with("tracker "));
        assert!(
            first.contains("magnet") || trackers.all(|line| line.contains(DEAD)),
            "{output:?}"
        );
    }
}

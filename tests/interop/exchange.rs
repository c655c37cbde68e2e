//! Downloads between a peer and another client: in both directions, by torrent and by magnet link.
//! The tracker is a pieceful tracker.

use super::contents::{self, EMPTY, NAMES, assert_same};
use super::programs::wait_for_answer;
use crate::common::http_client::stats;
use crate::common::peer::Peer;
use crate::common::process::{Process, run};
use crate::common::sandbox::Sandbox;
use pieceful::torrent::Metainfo;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Another BitTorrent client. A method panics if the client fails.
pub(crate) trait OtherClient {
    /// Writes the `.torrent` of `path`. Clients that cannot do that use `pieceful torrent create`.
    fn make(&mut self, path: &Path, url: &str, torrent: &Path) {
        make(path, url, torrent);
    }

    /// Seeds the content that is in `folder`.
    fn seed(&mut self, torrent: &Path, folder: &Path);

    /// Starts a download into `folder`.
    fn fetch(&mut self, torrent: &Path, folder: &Path);

    /// Starts a download by magnet link into `folder`.
    fn fetch_by_magnet_link(&mut self, link: &str, folder: &Path);

    /// Whether a download creates empty files.
    fn creates_empty_files(&self) -> bool {
        true
    }

    /// Waits until everything is complete.
    fn wait_until_complete(&mut self);

    /// What the client found wrong with its peers: bad data, breaches of the protocol, bans.
    fn complaints(&mut self) -> Vec<String>;
}

/// Writes a `.torrent` with `pieceful torrent create`.
pub(crate) fn make(path: &Path, url: &str, torrent: &Path) {
    make_with(path, url, torrent, &[]);
}

/// Like [`make`], with more options.
pub(crate) fn make_with(path: &Path, url: &str, torrent: &Path, more: &[&str]) {
    let (folder, name) = (path.parent().unwrap(), path.to_str().unwrap());
    let mut arguments = vec![
        "torrent",
        "create",
        name,
        "-o",
        torrent.to_str().unwrap(),
        "-t",
        url,
    ];
    arguments.extend(more);
    let created = run(folder, &arguments, "");
    assert_eq!(created.code, Some(0), "{created:?}");
}

/// The protocol of announces to the tracker.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TrackerProtocol {
    Http,
    Udp,
}

impl TrackerProtocol {
    /// The announce URL of a tracker.
    pub(crate) fn url(self, tracker: SocketAddr) -> String {
        let scheme = match self {
            Self::Http => "http",
            Self::Udp => "udp",
        };
        format!("{scheme}://{tracker}/announce")
    }
}

/// A sandbox with the shared content and a running tracker.
pub(crate) struct Swarm {
    pub(crate) sandbox: Sandbox,
    pub(crate) tracker: Process,
    pub(crate) owned: PathBuf,
    pub(crate) ip: IpAddr,
}

impl Swarm {
    /// Starts a tracker at this loopback address.
    pub(crate) fn new(ip: &str) -> Self {
        let (sandbox, ip) = (Sandbox::new(), ip.parse().unwrap());
        let listen = SocketAddr::new(ip, 0).to_string();

        let folder = sandbox.folder("tracker");
        let arguments = [
            "tracker",
            "--listen",
            &listen,
            "--open",
            "--interval",
            "1",
            "--data",
            ".",
        ];
        let tracker = Process::start(&folder, &arguments);
        fs::write(sandbox.tracker_info(), format!("{}\n", tracker.address)).unwrap();
        Self {
            owned: sandbox.path("owned"),
            sandbox,
            tracker,
            ip,
        }
    }

    /// Starts a peer. It downloads into the folder `name`.
    pub(crate) fn peer(&self, name: &str, more: &[&str]) -> Peer {
        let address = SocketAddr::new(self.ip, 0).to_string();
        let arguments = [&["--log", "debug"], more].concat();
        self.sandbox.peer_at(&address, name, &arguments)
    }

    /// The log of the peer called `name`.
    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.sandbox.log(name)).unwrap()
    }

    /// Removes the tracker from TRACKER_INFO: new peers find a tracker only in torrents.
    pub(crate) fn clear_tracker_info(&self) {
        fs::write(self.sandbox.tracker_info(), "# no tracker\n").unwrap();
    }

    /// A figure of the tracker's `/stats`.
    pub(crate) fn figure(&self, key: &str) -> u64 {
        stats(self.tracker.address)[key].as_u64().unwrap()
    }

    /// Waits until the tracker counts at least `count` peers in all swarms together. There may be
    /// more, because a peer with a hybrid torrent is in two swarms. Seeds and leeches both count,
    /// because the tracker may still count a seed as a leech.
    pub(crate) fn wait_for_announced_peers(&self, count: u64) {
        wait_for_answer("the tracker counts all peers", || {
            (self.figure("peers") >= count).then_some(())
        });
    }

    /// Lets a peer share a file or folder. Returns a torrent whose only tracker is `url`.
    pub(crate) fn send(&self, seed: &mut Peer, path: &Path, url: &str) -> PathBuf {
        let torrent = path.with_extension("torrent");
        seed.run(&format!("send {} {}", path.display(), torrent.display()));
        let metainfo = Metainfo::parse(&fs::read(&torrent).unwrap()).unwrap();
        let with_tracker = self
            .sandbox
            .path(path.file_name().unwrap().to_str().unwrap());
        let with_tracker = with_tracker.with_extension("named.torrent");
        let tiers = vec![vec![url.to_owned()]];
        fs::write(
            &with_tracker,
            Metainfo::new(metainfo.info().clone(), tiers).encode(),
        )
        .unwrap();
        with_tracker
    }
}

/// Waits until a peer has completed its downloads.
pub(crate) fn wait_for_peer(peer: &mut Peer) {
    wait_for_answer("the downloads of the peer are complete", || {
        let waited = peer.try_run("wait 20");
        let is_late = waited["error"]["kind"] == "not-complete";
        assert!(waited["ok"] == true || is_late, "{waited}");
        (!is_late).then_some(())
    });
}

/// The client downloads all content from a peer that the tracker names.
pub(crate) fn client_fetches_from_peer(
    swarm: &Swarm,
    client: &mut dyn OtherClient,
    protocol: TrackerProtocol,
) {
    let url = protocol.url(swarm.tracker.address);
    let owned = contents::write(&swarm.sandbox);
    let mut seed = swarm.peer("seed", &[]);
    let torrents = NAMES.map(|name| swarm.send(&mut seed, &owned.join(name), &url));
    swarm.wait_for_announced_peers(NAMES.len() as u64);
    let copies = swarm.sandbox.folder("copies");
    for torrent in torrents {
        client.fetch(&torrent, &copies);
    }
    assert_client_has_all(swarm, client);
}

/// A peer downloads all content from the client that the tracker names.
pub(crate) fn peer_fetches_from_client(
    swarm: &Swarm,
    client: &mut dyn OtherClient,
    protocol: TrackerProtocol,
) {
    let url = protocol.url(swarm.tracker.address);
    let owned = contents::write(&swarm.sandbox);
    let torrents = NAMES.map(|name| {
        let torrent = swarm.sandbox.path(&format!("{name}.torrent"));
        client.make(&owned.join(name), &url, &torrent);
        client.seed(&torrent, &owned);
        torrent
    });
    swarm.wait_for_announced_peers(NAMES.len() as u64);
    swarm.clear_tracker_info();
    let mut leech = swarm.peer("leech", &[]);
    for torrent in torrents {
        leech.run(&format!("download {}", torrent.display()));
    }
    assert_peer_has_all(swarm, client, &mut leech);
}

/// The magnet link of a torrent, with one tracker.
pub(crate) fn magnet_link(torrent: &Path, url: &str) -> String {
    let metainfo = Metainfo::parse(&fs::read(torrent).unwrap()).unwrap();
    format!(
        "magnet:?xt=urn:btih:{}&tr={url}",
        metainfo.info().info_hash()
    )
}

/// The client downloads all content from a peer by magnet link.
pub(crate) fn client_fetches_by_magnet_link(
    swarm: &Swarm,
    client: &mut dyn OtherClient,
    protocol: TrackerProtocol,
) {
    let url = protocol.url(swarm.tracker.address);
    let owned = contents::write(&swarm.sandbox);
    let mut seed = swarm.peer("seed", &[]);
    let links =
        NAMES.map(|name| magnet_link(&swarm.send(&mut seed, &owned.join(name), &url), &url));
    swarm.wait_for_announced_peers(NAMES.len() as u64);
    let copies = swarm.sandbox.folder("copies");
    for link in links {
        client.fetch_by_magnet_link(&link, &copies);
    }
    assert_client_has_all(swarm, client);
}

/// A peer downloads all content from the client by magnet link.
pub(crate) fn peer_fetches_by_magnet_link(
    swarm: &Swarm,
    client: &mut dyn OtherClient,
    protocol: TrackerProtocol,
) {
    let url = protocol.url(swarm.tracker.address);
    let owned = contents::write(&swarm.sandbox);
    let links = NAMES.map(|name| {
        let torrent = swarm.sandbox.path(&format!("{name}.torrent"));
        client.make(&owned.join(name), &url, &torrent);
        client.seed(&torrent, &owned);
        magnet_link(&torrent, &url)
    });
    swarm.wait_for_announced_peers(NAMES.len() as u64);
    swarm.clear_tracker_info();
    let mut leech = swarm.peer("leech", &[]);
    for link in links {
        leech.run(&format!("download '{link}'"));
    }
    assert_peer_has_all(swarm, client, &mut leech);
}

/// Waits until the client has all content in `copies`.
pub(crate) fn assert_client_has_all(swarm: &Swarm, client: &mut dyn OtherClient) {
    client.wait_until_complete();
    let copies = swarm.sandbox.path("copies");
    if !client.creates_empty_files() {
        fs::write(copies.join(EMPTY), "").unwrap();
    }
    for name in NAMES {
        assert_same(&swarm.owned.join(name), &copies.join(name));
    }
    assert_no_complaints(swarm, client, "seed");
}

/// Waits until the peer called `leech` has all content.
pub(crate) fn assert_peer_has_all(swarm: &Swarm, client: &mut dyn OtherClient, leech: &mut Peer) {
    wait_for_peer(leech);
    for name in NAMES {
        assert_same(
            &swarm.owned.join(name),
            &swarm.sandbox.path("leech").join(name),
        );
    }
    assert_no_complaints(swarm, client, "leech");
}

/// Asserts that neither the client nor the peer called `name` found anything wrong.
pub(crate) fn assert_no_complaints(swarm: &Swarm, client: &mut dyn OtherClient, name: &str) {
    assert_eq!(client.complaints(), Vec::<String>::new());
    assert_no_warnings(swarm, name);
}

/// Asserts that the log of the peer called `name` has no warning.
pub(crate) fn assert_no_warnings(swarm: &Swarm, name: &str) {
    let log = swarm.log(name);
    // A warning about a `wait` that was too short does not matter.
    let is_warning = |line: &&str| line.contains("WARN") && !line.contains("command wait failed");
    let warnings: Vec<_> = log.lines().filter(is_warning).collect();
    assert_eq!(warnings, Vec::<&str>::new());
}

//! A tracker of ours, peers of ours, and whoever else there is: who has what goes to the others.

use super::contents::{self, EMPTY, NAMES, assert_same};
use super::programs::until;
use crate::common::peer::Peer;
use crate::common::process::{Process, run};
use crate::common::sandbox::Sandbox;
use pieceful::torrent::Metainfo;
use serde_json::Value;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// A client that nobody here wrote. A method panics where the client fails.
pub(crate) trait OtherClient {
    /// Writes the `.torrent` of `path`; by a program of ours where the client has none for it.
    fn make(&mut self, path: &Path, url: &str, torrent: &Path) {
        make(path, url, torrent);
    }

    /// Offers what lies in `folder` already.
    fn seed(&mut self, torrent: &Path, folder: &Path);

    /// Starts a download into `folder`.
    fn fetch(&mut self, torrent: &Path, folder: &Path);

    /// Starts a download by magnet link into `folder`.
    fn fetch_by_link(&mut self, link: &str, folder: &Path);

    /// Whether a download brings a file of no bytes into being.
    fn makes_empty_files(&self) -> bool {
        true
    }

    /// Waits until everything is complete.
    fn until_complete(&mut self);

    /// What it found wrong with others: bad data, broken rules, bans.
    fn complaints(&mut self) -> Vec<String>;
}

/// Has a program of ours make a `.torrent`.
pub(crate) fn make(path: &Path, url: &str, torrent: &Path) {
    make_with(path, url, torrent, &[]);
}

/// The same with more options.
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
    let made = run(folder, &arguments, "");
    assert_eq!(made.code, Some(0), "{made:?}");
}

/// How clients reach the tracker.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Over {
    Http,
    Udp,
}

impl Over {
    /// The announce URL of a tracker there.
    pub(crate) fn url(self, tracker: SocketAddr) -> String {
        let scheme = match self {
            Self::Http => "http",
            Self::Udp => "udp",
        };
        format!("{scheme}://{tracker}/announce")
    }
}

/// A sandbox with contents and a tracker of ours.
pub(crate) struct Swarm {
    pub(crate) sandbox: Sandbox,
    pub(crate) tracker: Process,
    pub(crate) owned: PathBuf,
    pub(crate) ip: IpAddr,
}

impl Swarm {
    /// On the loopback address given.
    pub(crate) fn new(ip: &str) -> Self {
        let (sandbox, ip) = (Sandbox::new(), ip.parse().unwrap());
        let listen = SocketAddr::new(ip, 0).to_string();
        // Later options count: this is where it listens.
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

    /// A peer of ours; it downloads into a folder of its name.
    pub(crate) fn peer(&self, name: &str, more: &[&str]) -> Peer {
        let address = SocketAddr::new(self.ip, 0).to_string();
        let arguments = [&["--log", "debug"], more].concat();
        self.sandbox.peer_at(&address, name, &arguments)
    }

    /// What the peer of that name has logged.
    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.sandbox.log(name)).unwrap()
    }

    /// From now on no peer of ours knows a tracker but by a torrent.
    pub(crate) fn hide_tracker(&self) {
        fs::write(self.sandbox.tracker_info(), "# nobody\n").unwrap();
    }

    /// A figure of the tracker's `/stats`.
    pub(crate) fn figure(&self, key: &str) -> u64 {
        let mut response = ureq::get(format!("http://{}/stats", self.tracker.address))
            .call()
            .unwrap();
        let told = response.body_mut().read_to_string().unwrap();
        let told: Value = serde_json::from_str(&told).unwrap();
        told[key].as_u64().unwrap()
    }

    /// Waits until the tracker knows so many peers, of all swarms together. It need not take each for the seed that it is,
    /// and whoever has a hybrid is in two swarms.
    pub(crate) fn until_known(&self, count: u64) {
        until("the tracker hears of everybody", || {
            (self.figure("peers") >= count).then_some(())
        });
    }

    /// Has a peer of ours send something; its torrent names the tracker at `url` alone.
    pub(crate) fn send(&self, seed: &mut Peer, path: &Path, url: &str) -> PathBuf {
        let torrent = path.with_extension("torrent");
        seed.run(&format!("send {} {}", path.display(), torrent.display()));
        let sent = Metainfo::parse(&fs::read(&torrent).unwrap()).unwrap();
        let named = self
            .sandbox
            .path(path.file_name().unwrap().to_str().unwrap());
        let named = named.with_extension("named.torrent");
        let tiers = vec![vec![url.to_owned()]];
        fs::write(&named, Metainfo::new(sent.info().clone(), tiers).encode()).unwrap();
        named
    }
}

/// Waits until a peer of ours has completed its downloads.
pub(crate) fn until_fetched(peer: &mut Peer) {
    until("our downloads are complete", || {
        let told = peer.try_run("wait 20");
        let is_late = told["error"]["kind"] == "not-complete";
        assert!(told["ok"] == true || is_late, "{told}");
        (!is_late).then_some(())
    });
}

/// Every content goes from a peer of ours to the client, found by our tracker.
pub(crate) fn they_fetch_what_we_seed(swarm: &Swarm, client: &mut dyn OtherClient, over: Over) {
    let url = over.url(swarm.tracker.address);
    let owned = contents::write(&swarm.sandbox);
    let mut seed = swarm.peer("seed", &[]);
    let torrents = NAMES.map(|name| swarm.send(&mut seed, &owned.join(name), &url));
    swarm.until_known(NAMES.len() as u64);
    let copies = swarm.sandbox.folder("copies");
    for torrent in torrents {
        client.fetch(&torrent, &copies);
    }
    until_copied(swarm, client);
}

/// Every content goes from the client to a peer of ours, found by our tracker.
pub(crate) fn we_fetch_what_they_seed(swarm: &Swarm, client: &mut dyn OtherClient, over: Over) {
    let url = over.url(swarm.tracker.address);
    let owned = contents::write(&swarm.sandbox);
    let torrents = NAMES.map(|name| {
        let torrent = swarm.sandbox.path(&format!("{name}.torrent"));
        client.make(&owned.join(name), &url, &torrent);
        client.seed(&torrent, &owned);
        torrent
    });
    swarm.until_known(NAMES.len() as u64);
    swarm.hide_tracker();
    let mut leech = swarm.peer("leech", &[]);
    for torrent in torrents {
        leech.run(&format!("download {}", torrent.display()));
    }
    until_copied_by_us(swarm, client, &mut leech);
}

/// The magnet link of a torrent, with one tracker.
pub(crate) fn link(torrent: &Path, url: &str) -> String {
    let metainfo = Metainfo::parse(&fs::read(torrent).unwrap()).unwrap();
    format!(
        "magnet:?xt=urn:btih:{}&tr={url}",
        metainfo.info().info_hash()
    )
}

/// Files and folders go from a peer of ours to the client, which has nothing but a magnet link.
pub(crate) fn they_fetch_by_link(swarm: &Swarm, client: &mut dyn OtherClient, over: Over) {
    let url = over.url(swarm.tracker.address);
    let owned = contents::write(&swarm.sandbox);
    let mut seed = swarm.peer("seed", &[]);
    let links = NAMES.map(|name| link(&swarm.send(&mut seed, &owned.join(name), &url), &url));
    swarm.until_known(NAMES.len() as u64);
    let copies = swarm.sandbox.folder("copies");
    for link in links {
        client.fetch_by_link(&link, &copies);
    }
    until_copied(swarm, client);
}

/// Files and folders go from the client to a peer of ours, which has nothing but a magnet link.
pub(crate) fn we_fetch_by_link(swarm: &Swarm, client: &mut dyn OtherClient, over: Over) {
    let url = over.url(swarm.tracker.address);
    let owned = contents::write(&swarm.sandbox);
    let links = NAMES.map(|name| {
        let torrent = swarm.sandbox.path(&format!("{name}.torrent"));
        client.make(&owned.join(name), &url, &torrent);
        client.seed(&torrent, &owned);
        link(&torrent, &url)
    });
    swarm.until_known(NAMES.len() as u64);
    swarm.hide_tracker();
    let mut leech = swarm.peer("leech", &[]);
    for link in links {
        leech.run(&format!("download '{link}'"));
    }
    until_copied_by_us(swarm, client, &mut leech);
}

/// Waits until the client has every content in `copies`.
pub(crate) fn until_copied(swarm: &Swarm, client: &mut dyn OtherClient) {
    client.until_complete();
    let copies = swarm.sandbox.path("copies");
    if !client.makes_empty_files() {
        fs::write(copies.join(EMPTY), "").unwrap();
    }
    for name in NAMES {
        assert_same(&swarm.owned.join(name), &copies.join(name));
    }
    assert_content(swarm, client, "seed");
}

/// Waits until our peer called `leech` has every content.
pub(crate) fn until_copied_by_us(swarm: &Swarm, client: &mut dyn OtherClient, leech: &mut Peer) {
    until_fetched(leech);
    for name in NAMES {
        assert_same(
            &swarm.owned.join(name),
            &swarm.sandbox.path("leech").join(name),
        );
    }
    assert_content(swarm, client, "leech");
}

/// Neither the client nor our peers found anything wrong with each other.
pub(crate) fn assert_content(swarm: &Swarm, client: &mut dyn OtherClient, ours: &str) {
    assert_eq!(client.complaints(), Vec::<String>::new());
    assert_calm(swarm, ours);
}

/// A peer of ours found nothing wrong with others.
pub(crate) fn assert_calm(swarm: &Swarm, ours: &str) {
    let log = swarm.log(ours);
    // A wait that was too short says nothing about others.
    let is_warning = |line: &&str| line.contains("WARN") && !line.contains("command wait failed");
    let warnings: Vec<_> = log.lines().filter(is_warning).collect();
    assert_eq!(warnings, Vec::<&str>::new());
}

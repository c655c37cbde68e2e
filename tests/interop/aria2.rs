//! aria2: one process for each torrent.

use super::contents::{self, NAMES, assert_same};
use super::exchange::{
    OtherClient, Swarm, TrackerProtocol, client_fetches_by_magnet_link, client_fetches_from_peer,
    make, peer_fetches_by_magnet_link, peer_fetches_from_client, wait_for_peer,
};
use super::programs::{Program, are_installed, command, free_port, wait_for_answer};
use crate::common::process::KilledOnDrop;
use crate::common::web_server::{WebServer, send_requested, send_status};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The processes of aria2. The process of a download ends when the download is complete. The
/// process of a seed goes on until it is dropped.
pub(crate) struct Aria2 {
    home: PathBuf,
    downloads: Vec<KilledOnDrop>,
    seeds: Vec<KilledOnDrop>,
    logs: Vec<PathBuf>,
}

impl Aria2 {
    pub(crate) fn new(swarm: &Swarm) -> Self {
        Self {
            home: swarm.sandbox.folder("aria2"),
            downloads: Vec::new(),
            seeds: Vec::new(),
            logs: Vec::new(),
        }
    }

    fn start(&mut self, torrent: &Path, folder: &Path, more: &[&str]) -> KilledOnDrop {
        // Another process may take a free port before aria2 does. So aria2 gets three to choose
        // from.
        let ports = [(); 3].map(|()| free_port(Ipv4Addr::LOCALHOST.into()).to_string());
        let log = self.home.join(format!("{}.log", self.logs.len()));
        let mut aria2 = command("aria2c", &self.home);
        aria2
            .args(["--no-conf", "--interface=127.0.0.1", "--disable-ipv6"])
            .args(["--enable-dht=false", "--bt-enable-lpd=false"])
            .args(["--log-level=notice", "--quiet", "--file-allocation=none"])
            .arg(format!("--listen-port={}", ports.join(",")))
            .arg(format!("--log={}", log.display()))
            .arg(format!("--dir={}", folder.display()))
            .args(more)
            .arg(torrent);
        self.logs.push(log);
        KilledOnDrop(aria2.stdout(Stdio::null()).spawn().unwrap())
    }
}

impl OtherClient for Aria2 {
    fn seed(&mut self, torrent: &Path, folder: &Path) {
        let seed = self.start(torrent, folder, &["--check-integrity", "--seed-ratio=0.0"]);
        self.seeds.push(seed);
    }

    fn fetch(&mut self, torrent: &Path, folder: &Path) {
        let download = self.start(torrent, folder, &["--seed-time=0"]);
        self.downloads.push(download);
    }

    fn fetch_by_magnet_link(&mut self, link: &str, folder: &Path) {
        // aria2 must not write the torrent into the folder of the download.
        let more = ["--seed-time=0", "--follow-torrent=mem"];
        let download = self.start(Path::new(link), folder, &more);
        self.downloads.push(download);
    }

    fn wait_until_complete(&mut self) {
        for download in &mut self.downloads {
            let status = wait_for_answer("aria2 ends", || download.exit_status());
            let logs = self.logs.iter().map(fs::read_to_string);
            assert!(status.success(), "{status}: {:?}", logs.collect::<Vec<_>>());
        }
    }

    fn complaints(&mut self) -> Vec<String> {
        let logs = self.logs.iter().map(|log| fs::read_to_string(log).unwrap());
        let lines: Vec<_> = logs
            .flat_map(|log| log.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let is_complaint = |line: &String| line.contains("[ERROR]") || line.contains("[WARN]");
        lines.into_iter().filter(is_complaint).collect()
    }
}

fn run_exchange(exchange: fn(&Swarm, &mut dyn OtherClient, TrackerProtocol)) {
    if !are_installed(&[Program::Aria2]) {
        return;
    }
    let swarm = Swarm::new("127.0.0.1");
    let mut aria2 = Aria2::new(&swarm);
    exchange(&swarm, &mut aria2, TrackerProtocol::Http);
}

#[test]
fn aria2_fetches_from_a_peer() {
    run_exchange(client_fetches_from_peer);
}

#[test]
fn a_peer_fetches_from_aria2() {
    run_exchange(peer_fetches_from_client);
}

#[test]
fn aria2_fetches_by_magnet_link_from_a_peer() {
    run_exchange(client_fetches_by_magnet_link);
}

#[test]
fn a_peer_fetches_by_magnet_link_from_aria2() {
    run_exchange(peer_fetches_by_magnet_link);
}

/// No peer has the files of these torrents: they are on a web seed (BEP 19).
#[test]
fn aria2_and_a_peer_fetch_from_a_web_seed() {
    if !are_installed(&[Program::Aria2]) {
        return;
    }
    let swarm = Swarm::new("127.0.0.1");
    let owned = contents::write(&swarm.sandbox);
    let served = owned.clone();
    let server = WebServer::start(move |request, _, stream| {
        match fs::read(served.join(&request.path[1..])) {
            Ok(content) => send_requested(request, stream, &content),
            Err(_) => send_status(stream, "404 Not Found"),
        }
    });
    let mut aria2 = Aria2::new(&swarm);
    let copies = swarm.sandbox.folder("copies");
    let mut leech = swarm.peer("leech", &[]);
    for name in NAMES {
        let torrent = swarm.sandbox.path(&format!("{name}.torrent"));
        let file = owned.join(name);
        make(
            &file,
            &TrackerProtocol::Http.url(swarm.tracker.address),
            &torrent,
        );
        let mut bytes = fs::read(&torrent).unwrap();
        assert_eq!(bytes.pop(), Some(b'e'));
        // To the URL for a folder, a client adds the name of the folder.
        let url = server.url(if name == "many" { "/" } else { "/{name}" });
        let url = url.replace("{name}", name);
        bytes.extend(format!("8:url-list{}:{url}e", url.len()).bytes());
        fs::write(&torrent, bytes).unwrap();
        aria2.fetch(&torrent, &copies);
        leech.run(&format!("download {}", torrent.display()));
    }
    aria2.wait_until_complete();
    wait_for_peer(&mut leech);
    for name in NAMES {
        assert_same(&owned.join(name), &copies.join(name));
        assert_same(&owned.join(name), &swarm.sandbox.path("leech").join(name));
    }
}

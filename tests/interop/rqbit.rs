//! rqbit: one server for all torrents of a test, driven through its HTTP interface.

use super::exchange::{
    OtherClient, Swarm, TrackerProtocol, client_fetches_by_magnet_link, client_fetches_from_peer,
    peer_fetches_by_magnet_link, peer_fetches_from_client,
};
use super::programs::{Program, are_installed, command, free_port, rqbit, wait_for_answer};
use crate::common::process::KilledOnDrop;
use serde_json::Value;
use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// rqbit writes all torrents into one folder, which must be known when its server starts. So the
/// server starts when the first torrent is added, with the folder of this torrent.
pub(crate) struct Rqbit {
    home: PathBuf,
    ip: IpAddr,
    server: Option<Server>,
}

struct Server {
    /// The address of the HTTP interface.
    http_api: SocketAddr,
    folder: PathBuf,
    _process: KilledOnDrop,
}

impl Rqbit {
    pub(crate) fn new(swarm: &Swarm) -> Self {
        Self {
            home: swarm.sandbox.folder("rqbit"),
            ip: swarm.ip,
            server: None,
        }
    }

    fn start(&self, folder: &Path) -> Server {
        let http_api = SocketAddr::new(self.ip, free_port(self.ip));
        let port = free_port(self.ip).to_string();
        let log = File::create(self.home.join("log")).unwrap();
        let mut rqbit = command(rqbit(), &self.home);
        rqbit
            .args(["-v", "info", "--worker-threads", "2"])
            .args(["--http-api-listen-addr", &http_api.to_string()])
            .args(["--listen-ip", &self.ip.to_string()])
            // Without the second option, rqbit announces its default port.
            .args(["--listen-port", &port, "--announce-port", &port])
            .args(["--disable-dht", "--disable-dht-persistence"])
            .args(["--disable-upnp-port-forward", "--disable-lsd"])
            .args(["--tracker-refresh-interval", "1s"])
            .args(["server", "start", "--disable-persistence"])
            .arg(folder);
        rqbit.stdout(log).stderr(Stdio::null());
        let running = KilledOnDrop(rqbit.spawn().unwrap());
        wait_for_answer("rqbit listens", || {
            ureq::get(format!("http://{http_api}/")).call().ok()
        });
        Server {
            http_api,
            folder: folder.to_owned(),
            _process: running,
        }
    }

    /// Adds a torrent. `torrent` is the content of a `.torrent` or a magnet link.
    fn add(&mut self, torrent: &[u8], folder: &Path) {
        if self.server.is_none() {
            self.server = Some(self.start(folder));
        }
        let server = self.server.as_ref().unwrap();
        assert_eq!(server.folder, folder, "rqbit has one folder");
        let url = format!("http://{}/torrents?overwrite=true", server.http_api);
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let mut response = agent.post(url).send(torrent).unwrap();
        let (status, text) = (
            response.status(),
            response.body_mut().read_to_string().unwrap(),
        );
        assert!(status.is_success(), "{text}");
    }

    fn ask(&self, path: &str) -> Value {
        let url = format!("http://{}{path}", self.server.as_ref().unwrap().http_api);
        let response = ureq::get(url).call().unwrap().body_mut().read_to_string();
        serde_json::from_str(&response.unwrap()).unwrap()
    }

    fn stats(&self) -> Vec<Value> {
        let all = self.ask("/torrents?with_stats=true");
        let all = all["torrents"].as_array().unwrap();
        all.iter().map(|torrent| torrent["stats"].clone()).collect()
    }
}

impl OtherClient for Rqbit {
    fn seed(&mut self, torrent: &Path, folder: &Path) {
        self.add(&fs::read(torrent).unwrap(), folder);
    }

    fn fetch(&mut self, torrent: &Path, folder: &Path) {
        self.add(&fs::read(torrent).unwrap(), folder);
    }

    fn fetch_by_magnet_link(&mut self, link: &str, folder: &Path) {
        self.add(link.as_bytes(), folder);
    }

    fn wait_until_complete(&mut self) {
        wait_for_answer("rqbit is complete", || {
            let all = self.stats();
            let is_complete = |stats: &Value| stats["finished"] == true && stats["state"] == "live";
            all.iter().all(is_complete).then_some(())
        });
    }

    fn complaints(&mut self) -> Vec<String> {
        let log = fs::read_to_string(self.home.join("log")).unwrap();
        let is_complaint = |line: &&str| line.contains("WARN") || line.contains("ERROR");
        let complaints = log.lines().filter(is_complaint).map(str::to_owned);
        let errors = self.stats().into_iter();
        let errors = errors.filter_map(|stats| Some(stats["error"].as_str()?.to_owned()));
        complaints.chain(errors).collect()
    }
}

fn run_exchange(
    exchange: fn(&Swarm, &mut dyn OtherClient, TrackerProtocol),
    protocol: TrackerProtocol,
) {
    if !are_installed(&[Program::Rqbit]) {
        return;
    }
    let swarm = Swarm::new("127.0.0.1");
    let mut rqbit = Rqbit::new(&swarm);
    exchange(&swarm, &mut rqbit, protocol);
}

#[test]
fn rqbit_fetches_from_a_peer_with_an_http_tracker() {
    run_exchange(client_fetches_from_peer, TrackerProtocol::Http);
}

#[test]
fn rqbit_fetches_from_a_peer_with_a_udp_tracker() {
    run_exchange(client_fetches_from_peer, TrackerProtocol::Udp);
}

#[test]
fn a_peer_fetches_from_rqbit_with_an_http_tracker() {
    run_exchange(peer_fetches_from_client, TrackerProtocol::Http);
}

#[test]
fn a_peer_fetches_from_rqbit_with_a_udp_tracker() {
    run_exchange(peer_fetches_from_client, TrackerProtocol::Udp);
}

#[test]
fn rqbit_fetches_by_magnet_link_from_a_peer() {
    run_exchange(client_fetches_by_magnet_link, TrackerProtocol::Http);
}

#[test]
fn a_peer_fetches_by_magnet_link_from_rqbit() {
    run_exchange(peer_fetches_by_magnet_link, TrackerProtocol::Http);
}

//! rqbit: a server with every torrent of a test, told what to do over its HTTP interface.

use super::exchange::{
    OtherClient, Over, Swarm, they_fetch_by_link, they_fetch_what_we_seed, we_fetch_by_link,
    we_fetch_what_they_seed,
};
use super::programs::{Program, Running, are_installed, command, free_port, rqbit, until};
use serde_json::Value;
use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// It puts everything into one folder, which is known by the first torrent only.
pub(crate) struct Rqbit {
    home: PathBuf,
    ip: IpAddr,
    server: Option<Server>,
}

struct Server {
    interface: SocketAddr,
    folder: PathBuf,
    _process: Running,
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
        let interface = SocketAddr::new(self.ip, free_port(self.ip));
        let port = free_port(self.ip).to_string();
        let log = File::create(self.home.join("log")).unwrap();
        let mut rqbit = command(rqbit(), &self.home);
        rqbit
            .args(["-v", "info", "--worker-threads", "2"])
            .args(["--http-api-listen-addr", &interface.to_string()])
            .args(["--listen-ip", &self.ip.to_string()])
            // Without the second it tells trackers of its default.
            .args(["--listen-port", &port, "--announce-port", &port])
            .args(["--disable-dht", "--disable-dht-persistence"])
            .args(["--disable-upnp-port-forward", "--disable-lsd"])
            .args(["--tracker-refresh-interval", "1s"])
            .args(["server", "start", "--disable-persistence"])
            .arg(folder);
        rqbit.stdout(log).stderr(Stdio::null());
        let running = Running(rqbit.spawn().unwrap());
        until("rqbit listens", || {
            ureq::get(format!("http://{interface}/")).call().ok()
        });
        Server {
            interface,
            folder: folder.to_owned(),
            _process: running,
        }
    }

    /// `what` is the content of a `.torrent`, or a link.
    fn add(&mut self, what: &[u8], folder: &Path) {
        if self.server.is_none() {
            self.server = Some(self.start(folder));
        }
        let server = self.server.as_ref().unwrap();
        assert_eq!(server.folder, folder, "it has one folder");
        let url = format!("http://{}/torrents?overwrite=true", server.interface);
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let mut told = agent.post(url).send(what).unwrap();
        let (status, said) = (told.status(), told.body_mut().read_to_string().unwrap());
        assert!(status.is_success(), "{said}");
    }

    fn ask(&self, path: &str) -> Value {
        let url = format!("http://{}{path}", self.server.as_ref().unwrap().interface);
        let told = ureq::get(url).call().unwrap().body_mut().read_to_string();
        serde_json::from_str(&told.unwrap()).unwrap()
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

    fn fetch_by_link(&mut self, link: &str, folder: &Path) {
        self.add(link.as_bytes(), folder);
    }

    fn until_complete(&mut self) {
        until("rqbit is complete", || {
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

fn exchange(exchange: fn(&Swarm, &mut dyn OtherClient, Over), over: Over) {
    if !are_installed(&[Program::Rqbit]) {
        return;
    }
    let swarm = Swarm::new("127.0.0.1");
    let mut rqbit = Rqbit::new(&swarm);
    exchange(&swarm, &mut rqbit, over);
}

#[test]
fn it_fetches_what_we_seed_over_http() {
    exchange(they_fetch_what_we_seed, Over::Http);
}

#[test]
fn it_fetches_what_we_seed_over_udp() {
    exchange(they_fetch_what_we_seed, Over::Udp);
}

#[test]
fn we_fetch_what_it_seeds_over_http() {
    exchange(we_fetch_what_they_seed, Over::Http);
}

#[test]
fn we_fetch_what_it_seeds_over_udp() {
    exchange(we_fetch_what_they_seed, Over::Udp);
}

#[test]
fn it_fetches_by_magnet_link_what_we_seed() {
    exchange(they_fetch_by_link, Over::Http);
}

#[test]
fn we_fetch_by_magnet_link_what_it_seeds() {
    exchange(we_fetch_by_link, Over::Http);
}

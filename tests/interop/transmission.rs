//! Transmission: its daemon, told what to do over its JSON interface.

use super::exchange::{
    OtherClient, Over, Swarm, they_fetch_by_link, they_fetch_what_we_seed, we_fetch_by_link,
    we_fetch_what_they_seed,
};
use super::programs::{Program, Running, are_installed, command, free_port, until};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::thread::{self, Builder};

/// A daemon with every torrent of a test. It calls nobody on loopback, v4 or v6: others have to call it.
pub(crate) struct Transmission {
    interface: SocketAddr,
    _process: Running,
}

impl Transmission {
    /// One that listens on the loopback address of the swarm.
    pub(crate) fn start(swarm: &Swarm) -> Self {
        let home = swarm.sandbox.folder("transmission");
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        let interface = SocketAddr::new(loopback, free_port(loopback));
        let settings = json!({
            // Announces over IPv6 fail from any other than this default.
            "bind-address-ipv4": if swarm.ip.is_ipv6() { "0.0.0.0" } else { "127.0.0.1" },
            "bind-address-ipv6": "::1",
            "cache-size-mb": 0,
            "dht-enabled": false,
            "download-queue-enabled": false,
            "lpd-enabled": false,
            "message-level": 3,
            "peer-port": free_port(swarm.ip),
            "port-forwarding-enabled": false,
            "rpc-bind-address": "127.0.0.1",
            "rpc-port": interface.port(),
            "utp-enabled": false,
        });
        fs::write(home.join("settings.json"), settings.to_string()).unwrap();
        let log = File::create(home.join("log")).unwrap();
        let mut daemon = command("transmission-daemon", &home);
        daemon.args(["--foreground", "--config-dir"]).arg(&home);
        daemon.stdout(Stdio::null()).stderr(log);
        let running = Running(daemon.spawn().unwrap());
        let mut started = Self {
            interface,
            _process: running,
        };
        until("Transmission listens", || {
            started.try_ask("session-get", &json!({})).ok()
        });
        started
    }

    fn ask(&mut self, method: &str, arguments: &Value) -> Value {
        let told = self.try_ask(method, arguments).unwrap();
        assert_eq!(told["result"], "success", "{method}: {told:#}");
        told["arguments"].clone()
    }

    /// The first answer is a refusal that names the session, which the second request repeats.
    fn try_ask(&mut self, method: &str, arguments: &Value) -> Result<Value, ureq::Error> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let url = format!("http://{}/transmission/rpc", self.interface);
        let asked = json!({"method": method, "arguments": arguments}).to_string();
        let refusal = agent.post(&url).send(&asked)?;
        let session = refusal.headers()["x-transmission-session-id"].clone();
        let request = agent
            .post(&url)
            .header("X-Transmission-Session-Id", session);
        let told = request.send(&asked)?.body_mut().read_to_string()?;
        Ok(serde_json::from_str(&told).unwrap())
    }

    /// Whether it has a line with anybody.
    pub(crate) fn is_connected(&mut self) -> bool {
        let torrents = self.torrents();
        torrents
            .iter()
            .any(|torrent| torrent["peersConnected"] != 0)
    }

    fn torrents(&mut self) -> Vec<Value> {
        let fields = [
            "name",
            "leftUntilDone",
            "status",
            "error",
            "errorString",
            "corruptEver",
            "peersConnected",
        ];
        let told = self.ask("torrent-get", &json!({"fields": fields}));
        told["torrents"].as_array().unwrap().clone()
    }

    fn add(&mut self, torrent: &Path, folder: &Path) {
        let arguments = json!({"filename": torrent, "download-dir": folder});
        self.ask("torrent-add", &arguments);
    }
}

impl OtherClient for Transmission {
    fn seed(&mut self, torrent: &Path, folder: &Path) {
        self.add(torrent, folder);
    }

    fn fetch(&mut self, torrent: &Path, folder: &Path) {
        self.add(torrent, folder);
    }

    fn fetch_by_link(&mut self, link: &str, folder: &Path) {
        self.add(Path::new(link), folder);
    }

    fn makes_empty_files(&self) -> bool {
        false
    }

    fn until_complete(&mut self) {
        until("Transmission is complete", || {
            let all = self.torrents();
            // Status 6 is seeding: not stopped, waiting or checking.
            let is_complete =
                |torrent: &Value| torrent["leftUntilDone"] == 0 && torrent["status"] == 6;
            all.iter().all(is_complete).then_some(())
        });
    }

    fn complaints(&mut self) -> Vec<String> {
        let mut torrents = self.torrents();
        torrents.retain(|torrent| torrent["error"] != 0 || torrent["corruptEver"] != 0);
        torrents.iter().map(Value::to_string).collect()
    }
}

type Exchange = fn(&Swarm, &mut dyn OtherClient, Over);

/// All ways at once: a daemon takes a while to announce, and unchokes every ten seconds.
fn every_way(exchange: Exchange) {
    if !are_installed(&[Program::Transmission]) {
        return;
    }
    let one_way = |ip, over| {
        let swarm = Swarm::new(ip);
        let mut transmission = Transmission::start(&swarm);
        exchange(&swarm, &mut transmission, over);
    };
    thread::scope(|scope| {
        for (ip, over) in [
            ("127.0.0.1", Over::Http),
            ("127.0.0.1", Over::Udp),
            ("::1", Over::Http),
        ] {
            let way = Builder::new().name(format!("{over:?} on {ip}"));
            way.spawn_scoped(scope, move || one_way(ip, over)).unwrap();
        }
    });
}

#[test]
fn it_fetches_what_we_seed_over_http_udp_and_ipv6() {
    every_way(they_fetch_what_we_seed);
}

#[test]
fn we_fetch_what_it_seeds_over_http_udp_and_ipv6() {
    every_way(we_fetch_what_they_seed);
}

#[test]
fn it_fetches_by_magnet_link_what_we_seed_over_http_udp_and_ipv6() {
    every_way(they_fetch_by_link);
}

#[test]
fn we_fetch_by_magnet_link_what_it_seeds_over_http_udp_and_ipv6() {
    every_way(we_fetch_by_link);
}

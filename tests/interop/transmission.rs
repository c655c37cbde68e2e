//! Transmission: its daemon, driven through its JSON interface.

use super::exchange::{
    OtherClient, Swarm, TrackerProtocol, client_fetches_by_magnet_link, client_fetches_from_peer,
    peer_fetches_by_magnet_link, peer_fetches_from_client,
};
use super::programs::{Program, are_installed, command, free_port, wait_for_answer};
use crate::common::process::KilledOnDrop;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::thread::{self, Builder};

/// One daemon for all torrents of a test. The daemon calls no peer on loopback: others must call
/// it.
pub(crate) struct Transmission {
    interface: SocketAddr,
    _process: KilledOnDrop,
}

impl Transmission {
    /// Starts a daemon that listens at the loopback address of the swarm.
    pub(crate) fn start(swarm: &Swarm) -> Self {
        let home = swarm.sandbox.folder("transmission");
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        let interface = SocketAddr::new(loopback, free_port(loopback));
        let settings = json!({
            // Announces over IPv6 work only with 0.0.0.0, the default.
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
        let running = KilledOnDrop(daemon.spawn().unwrap());
        let mut started = Self {
            interface,
            _process: running,
        };
        wait_for_answer("Transmission listens", || {
            started.try_ask("session-get", &json!({})).ok()
        });
        started
    }

    fn ask(&mut self, method: &str, arguments: &Value) -> Value {
        let response = self.try_ask(method, arguments).unwrap();
        assert_eq!(response["result"], "success", "{method}: {response:#}");
        response["arguments"].clone()
    }

    /// Sends a request twice: the first answer is a refusal with a session id, which the second
    /// request must repeat.
    fn try_ask(&mut self, method: &str, arguments: &Value) -> Result<Value, ureq::Error> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let url = format!("http://{}/transmission/rpc", self.interface);
        let body = json!({"method": method, "arguments": arguments}).to_string();
        let refusal = agent.post(&url).send(&body)?;
        let session = refusal.headers()["x-transmission-session-id"].clone();
        let request = agent
            .post(&url)
            .header("X-Transmission-Session-Id", session);
        let response = request.send(&body)?.body_mut().read_to_string()?;
        Ok(serde_json::from_str(&response).unwrap())
    }

    /// Whether the daemon has a link with a peer.
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
        let response = self.ask("torrent-get", &json!({"fields": fields}));
        response["torrents"].as_array().unwrap().clone()
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

    fn fetch_by_magnet_link(&mut self, link: &str, folder: &Path) {
        self.add(Path::new(link), folder);
    }

    fn creates_empty_files(&self) -> bool {
        false
    }

    fn wait_until_complete(&mut self) {
        wait_for_answer("Transmission is complete", || {
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

type Exchange = fn(&Swarm, &mut dyn OtherClient, TrackerProtocol);

/// Runs the exchange over HTTP, UDP and IPv6 at the same time, because the daemon announces late
/// and unchokes only every ten seconds.
fn exchange_over_all(exchange: Exchange) {
    if !are_installed(&[Program::Transmission]) {
        return;
    }
    let exchange_with = |ip, protocol| {
        let swarm = Swarm::new(ip);
        let mut transmission = Transmission::start(&swarm);
        exchange(&swarm, &mut transmission, protocol);
    };
    thread::scope(|scope| {
        for (ip, protocol) in [
            ("127.0.0.1", TrackerProtocol::Http),
            ("127.0.0.1", TrackerProtocol::Udp),
            ("::1", TrackerProtocol::Http),
        ] {
            let thread = Builder::new().name(format!("{protocol:?} on {ip}"));
            thread
                .spawn_scoped(scope, move || exchange_with(ip, protocol))
                .unwrap();
        }
    });
}

#[test]
fn transmission_fetches_from_a_peer_with_http_and_udp_trackers_and_on_ipv6() {
    exchange_over_all(client_fetches_from_peer);
}

#[test]
fn a_peer_fetches_from_transmission_with_http_and_udp_trackers_and_on_ipv6() {
    exchange_over_all(peer_fetches_from_client);
}

#[test]
fn transmission_fetches_by_magnet_link_from_a_peer_with_http_and_udp_trackers_and_on_ipv6() {
    exchange_over_all(client_fetches_by_magnet_link);
}

#[test]
fn a_peer_fetches_by_magnet_link_from_transmission_with_http_and_udp_trackers_and_on_ipv6() {
    exchange_over_all(peer_fetches_by_magnet_link);
}

//! The source addresses of announces: a tracker names a peer by an address at which the peer
//! listens.

use super::tiers::write_torrent_with_tiers;
use super::trackers::start_udp_tracker;
use crate::common::http_client::{HttpClient, announce_target, peer_addresses};
use crate::common::open_swarm::TORRENT;
use crate::common::peer::{Peer, quoted};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_for;
use pieceful::tracker::Tracker;
use pieceful::wire::AnnounceResponse;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// A peer that listens at `listen` and downloads a torrent whose tracker is `tracker`.
fn leech(sandbox: &Sandbox, listen: &str, tracker: &str) -> Peer {
    let torrent = write_torrent_with_tiers(sandbox, &TORRENT.bytes, &[&[tracker.to_owned()]]);
    let mut peer = sandbox.peer_at(listen, "leech", &[]);
    peer.run(&format!("download {}", quoted(&torrent)));
    peer
}

/// The peers that the tracker names to a client at the address `from`. Waits until there is one.
fn named_peers(tracker: &Tracker, from: &str) -> Vec<SocketAddr> {
    let from: IpAddr = from.parse().unwrap();
    let hash: String = TORRENT
        .info_hash
        .iter()
        .map(|byte| format!("%{byte:02x}"))
        .collect();
    wait_for(
        || {
            let mut client = HttpClient::new((from, tracker.address().port()).into());
            let query = announce_target('z', 9, "&key=z").replace(&"a".repeat(20), &hash);
            let answer = AnnounceResponse::parse(&client.get(&query).body).unwrap();
            Some(peer_addresses(&answer)).filter(|named| !named.is_empty())
        },
        || "no peer has announced".to_owned(),
    )
}

#[test]
fn a_peer_that_listens_at_one_address_announces_from_it() {
    for scheme in ["http", "udp"] {
        let tracker = start_udp_tracker("127.0.0.1:0");
        let url = format!("{scheme}://{}/announce", tracker.address());
        let sandbox = Sandbox::new();
        let leech = leech(&sandbox, "127.0.0.2:0", &url);
        let address = leech.process.address;
        assert_eq!(address.ip(), IpAddr::from([127, 0, 0, 2]));
        assert_eq!(named_peers(&tracker, "127.0.0.1"), [address], "{scheme}");
    }
}

#[test]
fn a_tracker_names_a_peer_in_the_address_families_in_which_the_peer_listens() {
    let localhost = ("localhost", 1).to_socket_addrs().unwrap();
    let is_ipv6 = |address: SocketAddr| address.is_ipv6();
    if !localhost.into_iter().any(is_ipv6) {
        eprintln!("skipped: localhost has no IPv6 address here");
        return;
    }
    let (v4, v6) = ("127.0.0.1", "::1");
    for scheme in ["http", "udp"] {
        for (listen, named_to_v4, named_to_v6) in [
            ("[::]:0", v4, v6),
            ("0.0.0.0:0", v4, v4),
            ("127.0.0.1:0", v4, v4),
            ("[::1]:0", v6, v6),
        ] {
            let tracker = start_udp_tracker("[::]:0");
            let port = tracker.address().port();
            let url = format!("{scheme}://localhost:{port}/announce");
            let sandbox = Sandbox::new();
            let leech = leech(&sandbox, listen, &url);
            let at = |ip: &str| SocketAddr::new(ip.parse().unwrap(), leech.process.address.port());
            // The client asks over IPv6 last: by then the tracker knows the peer's IPv6 address, if
            // it has one.
            for (client, expected) in [(v4, named_to_v4), (v6, named_to_v6)] {
                wait_for(
                    || (named_peers(&tracker, client) == [at(expected)]).then_some(()),
                    || {
                        format!(
                            "{scheme}, {listen}: {client} receives {:?}",
                            named_peers(&tracker, client)
                        )
                    },
                );
            }
        }
    }
}

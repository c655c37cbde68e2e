//! Peers that a person or a magnet link names as `HOST:PORT`.

use crate::peer::Announced;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

/// The maximum number of addresses used of one host name.
const ADDRESSES: usize = 4;

/// Adds the peers to a swarm, which calls them. Host names are looked up in the background, because
/// that may take long.
pub(crate) fn call(swarm: Arc<dyn Announced>, peers: &[String]) {
    let literal = peers.iter().filter_map(|peer| peer.parse().ok());
    let literal: Vec<SocketAddr> = literal.collect();
    if literal.len() == peers.len() {
        if !literal.is_empty() {
            swarm.add_peers(literal);
        }
        return;
    }
    let (swarm_of_thread, peers) = (Arc::clone(&swarm), peers.to_vec());
    // Not joined: a look-up may take long, and the thread holds nothing.
    let thread = std::thread::Builder::new().name("look-up".to_owned());
    let spawned = thread.spawn(move || {
        for peer in peers {
            match peer.to_socket_addrs() {
                Ok(addresses) => swarm_of_thread.add_peers(addresses.take(ADDRESSES).collect()),
                Err(error) => log::info!("{}: {peer}: {error}", swarm_of_thread.name()),
            }
        }
    });
    if let Err(error) = spawned {
        log::warn!("{}: peers are not called: {error}", swarm.name());
    }
}

//! Peers that a person or a magnet link names, as `HOST:PORT`.

use crate::peer::Announced;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

/// The most addresses of one name that are called.
const ADDRESSES: usize = 4;

/// Has a swarm call them. Names are looked up in the background, which may take long.
pub(crate) fn call(swarm: Arc<dyn Announced>, peers: &[String]) {
    let literal = peers.iter().filter_map(|peer| peer.parse().ok());
    let literal: Vec<SocketAddr> = literal.collect();
    if literal.len() == peers.len() {
        if !literal.is_empty() {
            swarm.found(literal);
        }
        return;
    }
    let (looked_up, peers) = (Arc::clone(&swarm), peers.to_vec());
    // Not joined: a look-up may take long, and holds nothing.
    let thread = std::thread::Builder::new().name("look-up".to_owned());
    let spawned = thread.spawn(move || {
        for peer in peers {
            match peer.to_socket_addrs() {
                Ok(addresses) => looked_up.found(addresses.take(ADDRESSES).collect()),
                Err(error) => log::info!("{}: {peer}: {error}", looked_up.name()),
            }
        }
    });
    if let Err(error) = spawned {
        log::warn!("{}: peers are not called: {error}", swarm.name());
    }
}

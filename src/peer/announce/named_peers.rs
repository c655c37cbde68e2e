//! Peers that a person, a magnet link or a tracker names by host name. Names are looked up in the
//! background, because that may take long.

use super::Announced;
use crate::wire::HostPort;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The maximum number of addresses used per host name.
const ADDRESSES: usize = 4;

/// Adds peers, written as `HOST:PORT`, to a swarm, which calls them.
pub(crate) fn call(swarm: Arc<dyn Announced>, peers: &[String]) {
    let literal = peers.iter().filter_map(|peer| peer.parse().ok());
    let literal: Vec<SocketAddr> = literal.collect();
    if literal.len() == peers.len() {
        if !literal.is_empty() {
            swarm.add_peers(literal);
        }
        return;
    }
    look_up(swarm, peers.to_vec(), || {});
}

/// Looks up the host names that trackers return, one answer at a time. So a tracker cannot start
/// many threads. The names in answers that arrive meanwhile are skipped; trackers repeat them.
#[derive(Debug, Default)]
pub(super) struct TrackerNames {
    is_running: Arc<AtomicBool>,
}

impl TrackerNames {
    /// Adds the peers to a swarm, which calls them.
    pub(super) fn call(&self, swarm: Arc<dyn Announced>, peers: &[HostPort]) {
        if peers.is_empty() || self.is_running.swap(true, Ordering::Relaxed) {
            return;
        }
        let is_running = Arc::clone(&self.is_running);
        let peers = peers.iter().map(HostPort::to_string).collect();
        look_up(swarm, peers, move || {
            is_running.store(false, Ordering::Relaxed)
        });
    }
}

/// Looks up names on another thread, adds the peers, and calls `done`.
fn look_up(swarm: Arc<dyn Announced>, peers: Vec<String>, done: impl FnOnce() + Send + 'static) {
    let swarm_of_thread = Arc::clone(&swarm);
    // Not joined: a look-up may take long, and the thread holds nothing.
    let thread = std::thread::Builder::new().name("look-up".to_owned());
    let spawned = thread.spawn(move || {
        for peer in peers {
            match peer.to_socket_addrs() {
                Ok(addresses) => swarm_of_thread.add_peers(addresses.take(ADDRESSES).collect()),
                Err(error) => log::info!("{}: {peer}: {error}", swarm_of_thread.name()),
            }
        }
        done();
    });
    if let Err(error) = spawned {
        log::warn!("{}: peers are not called: {error}", swarm.name());
    }
}
